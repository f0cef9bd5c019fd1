//! What the model card of a source says of it: licence and datasets, from the YAML at the head of its README.md.
//!
//! A card is a stranger's text. Its YAML is read event by event and never expanded, so that aliases cost nothing, and a
//! card that is no YAML, or too long, says nothing: a licence that cannot be read is not known.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;

use saphyr_parser::{Event, Parser};

/// Gives the name of the card's file in a repository or folder.
pub const CARD: &str = "README.md";

/// Limits the bytes of a card that are looked at; the metadata stands at its head.
const MOST_BYTES: u64 = 256 << 10;

/// Limits the datasets that are taken from a card.
const MOST_DATASETS: usize = 32;

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
}

impl FrontMatter {
    /// Reads the card in a folder; none if there is no card, or none that says anything.
    pub fn next_to(folder: &Path) -> Option<Self> {
        let file = fs::File::open(folder.join(CARD)).ok()?;
        let mut bytes = Vec::new();
        file.take(MOST_BYTES).read_to_end(&mut bytes).ok()?;
        Self::parse(&String::from_utf8_lossy(&bytes))
    }

    /// Reads the text of a card. The block is found as the Hub finds it: between a first line `---` and the next one.
    pub fn parse(card: &str) -> Option<Self> {
        let text = card.trim_start_matches('\u{feff}').trim_start();
        let block = text.strip_prefix("---")?;
        let block = block.strip_prefix("\r\n").or_else(|| block.strip_prefix('\n'))?;
        let mut end = 0;
        for line in block.split_inclusive('\n') {
            if line.trim_end() == "---" {
                let mut values = top_level(block.get(..end)?)?;
                let mut one = |key: &str| values.remove(key).map(|list| list.join(", "));
                let (license, license_name, license_link) =
                    (one("license"), one("license_name"), one("license_link"));
                let mut datasets = values.remove("datasets").unwrap_or_default();
                datasets.truncate(MOST_DATASETS);
                return Some(Self { license, license_name, license_link, datasets });
            }
            end += line.len();
        }
        None
    }
}

/// Returns the scalars of a mapping, and those of the lists in it; everything else is passed over. None if it is no YAML.
fn top_level(block: &str) -> Option<BTreeMap<String, Vec<String>>> {
    let mut values: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut depth = 0_usize;
    let mut key: Option<String> = None;
    // At depth 1 keys and values take turns.
    let mut is_key = true;
    let mut in_list = false;
    let mut parser = Parser::new_from_str(block);
    while let Some(event) = parser.next_event() {
        let (event, _) = event.ok()?;
        match event {
            Event::MappingStart(..) | Event::SequenceStart(..) => {
                if depth == 1 {
                    in_list = !is_key && matches!(event, Event::SequenceStart(..));
                }
                depth += 1;
            }
            Event::MappingEnd | Event::SequenceEnd => {
                depth = depth.saturating_sub(1);
                if depth == 1 {
                    (in_list, is_key) = (false, !is_key);
                }
            }
            Event::Alias(_) if depth == 1 => is_key = !is_key,
            Event::Scalar(text, ..) if depth == 1 && is_key => {
                (key, is_key) = (Some(text.into_owned()), false);
            }
            Event::Scalar(text, ..) if depth == 1 || (depth == 2 && in_list) => {
                if let Some(key) = key.as_ref().filter(|_| !matches!(&*text, "" | "~" | "null")) {
                    values.entry(key.clone()).or_default().push(text.into_owned());
                }
                if depth == 1 {
                    is_key = true;
                }
            }
            _ => {}
        }
    }
    Some(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_of_timm_says_licence_and_datasets() {
        let card = "---\ntags:\n- timm\nwidget:\n- src: a.jpg\n  license: no\nlicense: apache-2.0\nmodel-index:\n  name: \
                    {license: no}\ndatasets:\n- imagenet-1k\n- imagenet-21k\n---\n# Model\n---\nlicense: mit\n";
        let found = FrontMatter::parse(card).unwrap();
        assert_eq!(found.license.as_deref(), Some("apache-2.0"));
        assert_eq!(found.datasets, ["imagenet-1k", "imagenet-21k"]);
        let other = FrontMatter::parse(
            "\u{feff}---\r\nlicense: other\r\nlicense_name: 'my own'\r\nlicense_link: LICENSE\r\ndatasets: birds\r\n---\r\n",
        )
        .unwrap();
        assert_eq!(other.license_name.as_deref(), Some("my own"));
        assert_eq!(other.license_link.as_deref(), Some("LICENSE"));
        assert_eq!(other.datasets, ["birds"]);
    }

    #[test]
    fn what_is_no_metadata_says_nothing() {
        for card in [
            "",
            "# Model\nlicense: mit\n",
            "---\nlicense: mit\n",
            "---\n[: {\n---\n",
            "--- \nlicense: mit\n---\n",
        ] {
            assert_eq!(FrontMatter::parse(card).and_then(|found| found.license), None, "{card:?}");
        }
        for card in [
            "---\nlicense:\n---\n",
            "---\nlicense: null\n---\n",
            "---\nlicense: {a: mit}\n---\n",
            "---\n- mit\n---\n",
        ] {
            assert_eq!(FrontMatter::parse(card).unwrap().license, None, "{card:?}");
        }
    }

    #[test]
    fn aliases_are_not_followed() {
        let mut card = "---\na: &a [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for (name, before) in "bcdefghijklmnop".chars().zip("abcdefghijklmno".chars()) {
            card += &format!("{name}: &{name} [{}]\n", vec![format!("*{before}"); 10].join(", "));
        }
        card += "license: mit\n---\n";
        assert_eq!(FrontMatter::parse(&card).unwrap().license.as_deref(), Some("mit"));
    }
}
