//! What the model card of a source says of it: licence and datasets, from the YAML at the head of its README.md.
//!
//! A card is a stranger's text. An alias is one more handle of the text that it stands for, so that aliases cost nothing. A head
//! that cannot be read in full says nothing at all: what stands in the part that is not understood could change the rest.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::rc::Rc;

use saphyr_parser::{Event, Parser};
use vitport_checkpoint::read_regular;

/// Gives the name of the card's file in a repository or folder.
pub const CARD: &str = "README.md";

/// Limits the bytes of a card. The longest of published models have some tens of thousands.
pub const MOST_BYTES: u64 = 1 << 20;

/// Limits the datasets that are taken from a card.
const MOST_DATASETS: usize = 32;

/// Limits the bytes of a value that is taken from a card.
const LONGEST_VALUE: usize = 4 << 10;

/// Limits the lists and mappings inside each other.
const MOST_NESTED: usize = 64;

/// Describes the metadata that a conversion writes into the new card.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FrontMatter {
    /// Gives `license`, as it is written.
    pub license: Option<String>,
    /// Gives `license_name`, for a licence that is `other`.
    pub license_name: Option<String>,
    /// Gives `license_link`: an address, or a file in the repository.
    pub license_link: Option<String>,
    /// Gives `datasets`.
    pub datasets: Vec<String>,
    /// Says why the metadata cannot be read in full; then nothing is taken of it.
    pub unreadable: Option<String>,
}

impl FrontMatter {
    /// Reads the card in a folder; none if there is no card.
    pub fn next_to(folder: &Path) -> Option<Self> {
        match read_regular(&folder.join(CARD), MOST_BYTES) {
            Ok(bytes) => Some(match std::str::from_utf8(&bytes) {
                Ok(text) => Self::parse(text),
                Err(_) => Self::unreadable("it is not UTF-8"),
            }),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                None
            }
            Err(error) => Some(Self::unreadable(error.to_string())),
        }
    }

    /// Returns what is known of a card that is there and cannot be read, and why.
    pub fn unreadable(why: impl Into<String>) -> Self {
        Self { unreadable: Some(why.into()), ..Self::default() }
    }

    /// Reads the text of a card. The block is found as the Hub finds it: between a first line `---` and the next one.
    pub fn parse(card: &str) -> Self {
        match block(card) {
            Ok(None) => Self::default(),
            Ok(Some(block)) => Reader::read(block).unwrap_or_else(Self::unreadable),
            Err(why) => Self::unreadable(why),
        }
    }
}

/// Returns the YAML at the head of a card; none if there is none.
fn block(card: &str) -> Result<Option<&str>, String> {
    let text = card.trim_start_matches('\u{feff}').trim_start();
    let Some(block) = text.strip_prefix("---") else { return Ok(None) };
    let block = block.strip_prefix("\r\n").or_else(|| block.strip_prefix('\n'));
    let block = block.ok_or("its first line is not `---` alone")?;
    let mut end = 0;
    for line in block.split_inclusive('\n') {
        if line.trim_end() == "---" {
            let yaml = block.get(..end).unwrap_or_default();
            // YAML's readers disagree about tabs.
            return if yaml.contains('\t') { Err("it holds a tab".to_owned()) } else { Ok(Some(yaml)) };
        }
        end += line.len();
    }
    Err("no line `---` ends it".to_owned())
}

/// Describes a value of the metadata, as far as it matters. A copy of it is another handle.
#[derive(Clone)]
enum Value {
    Null,
    Text(Rc<str>),
    Texts(Rc<[Rc<str>]>),
    /// Stands for something that no licence and no list of datasets is.
    Other,
}

/// Reads the events of a document, keeping what anchors stand for.
struct Reader<'input> {
    parser: Parser<'input, saphyr_parser::StrInput<'input>>,
    anchors: HashMap<usize, Value>,
}

impl Reader<'_> {
    fn read(block: &str) -> Result<FrontMatter, String> {
        let mut reader = Reader { parser: Parser::new_from_str(block), anchors: HashMap::new() };
        let mut values: Option<HashMap<Rc<str>, Value>> = None;
        loop {
            match reader.next()? {
                Event::StreamEnd => break,
                Event::MappingStart(..) if values.is_none() => values = Some(reader.top_level()?),
                Event::Nothing | Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd => {}
                Event::Scalar(text, ..) if text.is_empty() && values.is_none() => {}
                _ => return Err("it is not one mapping".to_owned()),
            }
        }
        let mut values = values.unwrap_or_default();
        let mut text = |key: &str| match values.remove(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Text(text)) if text.len() <= LONGEST_VALUE => Ok(Some(text.to_string())),
            Some(Value::Texts(texts))
                if texts.iter().map(|text| text.len()).sum::<usize>() <= LONGEST_VALUE =>
            {
                Ok(Some(texts.join(", ")))
            }
            Some(_) => Err(format!("its `{key}` is not a text")),
        };
        let (license, license_name, license_link) =
            (text("license")?, text("license_name")?, text("license_link")?);
        let datasets = match values.remove("datasets") {
            Some(Value::Text(text)) => vec![text],
            Some(Value::Texts(texts)) => texts.to_vec(),
            _ => Vec::new(),
        };
        let short = datasets.iter().filter(|text| text.len() <= LONGEST_VALUE).take(MOST_DATASETS);
        let datasets = short.map(|text| text.to_string()).collect();
        Ok(FrontMatter { license, license_name, license_link, datasets, unreadable: None })
    }

    fn next(&mut self) -> Result<Event<'static>, String> {
        match self.parser.next_event() {
            // What a tag makes of a value is up to the reader.
            Some(Ok((
                Event::Scalar(.., Some(_))
                | Event::SequenceStart(_, Some(_))
                | Event::MappingStart(_, Some(_)),
                _,
            ))) => Err("it has a tag".to_owned()),
            Some(Ok((event, _))) => Ok(owned(event)),
            Some(Err(error)) => Err(format!("it is not YAML: {error}")),
            None => Ok(Event::StreamEnd),
        }
    }

    /// Reads the keys and values of the outermost mapping.
    fn top_level(&mut self) -> Result<HashMap<Rc<str>, Value>, String> {
        let mut values = HashMap::new();
        loop {
            let key = match self.next()? {
                Event::MappingEnd => return Ok(values),
                event => self.value(event, 0)?,
            };
            let event = self.next()?;
            let value = self.value(event, 0)?;
            match key {
                Value::Text(key) if &*key == "<<" => {
                    return Err("it merges one mapping into another".to_owned());
                }
                Value::Text(key) => {
                    if values.insert(Rc::clone(&key), value).is_some() {
                        return Err(format!("it has two keys `{key}`"));
                    }
                }
                _ => return Err("a key of it is not a text".to_owned()),
            }
        }
    }

    /// Reads the value that begins with an event.
    fn value(&mut self, event: Event<'_>, depth: usize) -> Result<Value, String> {
        if depth > MOST_NESTED {
            return Err(format!("it nests more than {MOST_NESTED} lists and mappings"));
        }
        let (value, anchor) = match event {
            Event::Alias(anchor) => {
                let known = self.anchors.get(&anchor).cloned();
                return known.ok_or_else(|| "an alias of it stands for itself".to_owned());
            }
            Event::Scalar(text, style, anchor, _) => {
                let is_plain = style == saphyr_parser::ScalarStyle::Plain;
                let is_null = is_plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                (if is_null { Value::Null } else { Value::Text(text.as_ref().into()) }, anchor)
            }
            Event::SequenceStart(anchor, _) => (self.list(depth)?, anchor),
            Event::MappingStart(anchor, _) => {
                loop {
                    match self.next()? {
                        Event::MappingEnd => break,
                        event => self.value(event, depth + 1).map(drop)?,
                    }
                }
                (Value::Other, anchor)
            }
            _ => return Err("it ends too early".to_owned()),
        };
        // 0 is not an anchor.
        if anchor > 0 {
            self.anchors.insert(anchor, value.clone());
        }
        Ok(value)
    }

    fn list(&mut self, depth: usize) -> Result<Value, String> {
        let mut texts = Some(Vec::new());
        loop {
            let value = match self.next()? {
                Event::SequenceEnd => {
                    return Ok(texts.map_or(Value::Other, |texts| Value::Texts(texts.into())));
                }
                event => self.value(event, depth + 1)?,
            };
            match (value, &mut texts) {
                (Value::Text(text), Some(texts)) => texts.push(text),
                (Value::Null, _) => {}
                _ => texts = None,
            }
        }
    }
}

/// Returns an event without a tag, so that it outlives the parser's next step.
fn owned(event: Event<'_>) -> Event<'static> {
    match event {
        Event::Nothing => Event::Nothing,
        Event::StreamStart => Event::StreamStart,
        Event::StreamEnd => Event::StreamEnd,
        Event::DocumentStart(explicit) => Event::DocumentStart(explicit),
        Event::DocumentEnd => Event::DocumentEnd,
        Event::Alias(anchor) => Event::Alias(anchor),
        Event::Scalar(text, style, anchor, _) => Event::Scalar(text.into_owned().into(), style, anchor, None),
        Event::SequenceStart(anchor, _) => Event::SequenceStart(anchor, None),
        Event::SequenceEnd => Event::SequenceEnd,
        Event::MappingStart(anchor, _) => Event::MappingStart(anchor, None),
        Event::MappingEnd => Event::MappingEnd,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_of_timm_says_licence_and_datasets() {
        let card = "---\ntags:\n- timm\nwidget:\n- src: a.jpg\n  license: no\nlicense: apache-2.0\nmodel-index:\n  name: \
                    {license: no}\ndatasets:\n- imagenet-1k\n- imagenet-21k\n---\n# Model\n---\nlicense: mit\n";
        let found = FrontMatter::parse(card);
        assert_eq!(found.license.as_deref(), Some("apache-2.0"));
        assert_eq!(found.datasets, ["imagenet-1k", "imagenet-21k"]);
        let other = FrontMatter::parse(
            "\u{feff}---\r\nlicense: other\r\nlicense_name: 'my own'\r\nlicense_link: LICENSE\r\ndatasets: birds\r\n---\r\n",
        );
        assert_eq!(other.license_name.as_deref(), Some("my own"));
        assert_eq!(other.license_link.as_deref(), Some("LICENSE"));
        assert_eq!(other.datasets, ["birds"]);
    }

    #[test]
    fn what_says_nothing_is_readable() {
        for card in
            ["", "# Model\nlicense: mit\n", "---\n---\n", "---\nlicense:\n---\n", "---\nlicense: null\n---\n"]
        {
            assert_eq!(FrontMatter::parse(card), FrontMatter::default(), "{card:?}");
        }
    }

    #[test]
    fn what_cannot_be_read_in_full_says_nothing() {
        let deep = format!("---\nlicense: mit\na: {}{}\n---\n", "[".repeat(80), "]".repeat(80));
        let long = format!("---\na: &a {}\nlicense: [{}]\n---\n", "x".repeat(500), ["*a"; 100].join(", "));
        for (card, why) in [
            ("---\nlicense: mit\n", "ends it"),
            ("---\n[: {\n---\n", ""),
            ("--- \nlicense: mit\n---\n", "first line"),
            ("---\nlicense:\tmit\n---\n", "tab"),
            ("---\nlicense: {a: mit}\n---\n", "not a text"),
            ("---\nlicense: [[mit]]\n---\n", "not a text"),
            ("---\n- mit\n---\n", "not one mapping"),
            ("---\nmit\n---\n", "not one mapping"),
            ("---\nlicense: mit\nlicense: apache-2.0\n---\n", "two keys"),
            ("---\na: &a {license: mit}\n<<: *a\n---\n", "merges"),
            ("---\nlicense: apache-2.0\na: &a {license: mit}\n<<: *a\n---\n", "merges"),
            ("---\nlicense: *nowhere\n---\n", ""),
            ("---\nlicense: !!python/name:os.system mit\n---\n", "a tag"),
            ("---\nlicense: mit\nx: !<tag:evil> [1]\n---\n", "a tag"),
            ("---\na: &a [*a]\nlicense: mit\n---\n", ""),
            ("---\n? [license]\n: mit\nlicense: mit\n---\n", "key"),
            (&deep, ""),
            (&long, "not a text"),
        ] {
            let found = FrontMatter::parse(card);
            assert_eq!((found.license, found.datasets), (None, Vec::new()), "{card:?}");
            let said = found.unreadable.unwrap_or_else(|| panic!("{card:?} is read"));
            assert!(said.contains(why), "{card:?}: {said}");
        }
    }

    #[test]
    fn aliases_are_what_they_stand_for() {
        for (card, license) in [
            ("---\nx: &l cc-by-nc-4.0\nlicense: *l\n---\n", "cc-by-nc-4.0"),
            ("---\nx: &k license\n*k : mit\n---\n", "mit"),
            ("---\nx: {y: [&l cc0-1.0]}\nlicense: *l\n---\n", "cc0-1.0"),
            ("---\nx: &l [mit, apache-2.0]\nlicense: *l\n---\n", "mit, apache-2.0"),
            ("---\nx: &l mit\ny: &l isc\nlicense: [*l]\n---\n", "isc"),
        ] {
            assert_eq!(FrontMatter::parse(card).license.as_deref(), Some(license), "{card:?}");
        }
    }

    #[test]
    fn aliases_that_multiply_cost_nothing() {
        let mut card = "---\na: &a [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for (name, before) in "bcdefghijklmnop".chars().zip("abcdefghijklmno".chars()) {
            card += &format!("{name}: &{name} [{}]\n", vec![format!("*{before}"); 10].join(", "));
        }
        card += "license: mit\n---\n";
        assert_eq!(FrontMatter::parse(&card).license.as_deref(), Some("mit"));
    }

    #[test]
    fn a_card_that_is_no_short_text_file_is_there_and_unreadable() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(FrontMatter::next_to(folder.path()), None);
        let card = folder.path().join(CARD);
        std::fs::create_dir(&card).unwrap();
        assert!(FrontMatter::next_to(folder.path()).unwrap().unreadable.is_some());
        std::fs::remove_dir(&card).unwrap();
        let long = format!("---\nlicense: mit\n---\n{}", " ".repeat(1 << 20));
        for text in [long.as_bytes(), b"---\nlicense: mit\n---\n\xff"] {
            std::fs::write(&card, text).unwrap();
            let found = FrontMatter::next_to(folder.path()).unwrap();
            assert!(found.unreadable.is_some() && found.license.is_none());
        }
    }
}
