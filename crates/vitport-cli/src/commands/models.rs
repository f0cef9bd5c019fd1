//! `vitport models`: every architecture and tag that vitport has heard of, and what each becomes or why not.

use glob::Pattern;
use serde_json::{Value, json};
use vitport::families::cvt::{PUBLISHED, PUBLISHED_AT};
use vitport::preprocessing::{DEFAULT_CROP_PCT, IMAGENET_MEAN, IMAGENET_STD};
use vitport::zoo::{self, Level, Tag};
use vitport_checkpoint::escape;

use crate::arguments::{Models, SortBy};
use crate::failure::{Failure, Kind};
use crate::output::Output;
use crate::terminal::fitting;
use crate::terminal::style::DIM;
use crate::terminal::table::{Align, Table};

/// One model of the list.
struct Row {
    name: String,
    family: &'static str,
    parameters: u64,
    classes: usize,
    /// Height and width.
    image: [usize; 2],
    mean: [f64; 3],
    std: [f64; 3],
    interpolation: String,
    crop_pct: f64,
    crop_mode: String,
    license: Option<String>,
    becomes: Becomes,
    /// What has to be done on the way, or why there is no way.
    note: Option<String>,
    published_at: Option<String>,
}

enum Becomes {
    Class(&'static str),
    /// A class that holds it, which vitport does not write.
    NotYet(String),
    Nothing,
}

/// Lists.
pub fn run(arguments: &Models, output: &Output) -> Result<(), Failure> {
    let mut rows: Vec<Row> = zoo::tags().map(timm_row).chain(cvt_rows()).collect();
    let filters = Filters::new(arguments)?;
    rows.retain(|row| filters.accept(row));
    match arguments.sort {
        SortBy::Table => {}
        SortBy::Name => rows.sort_by(|a, b| a.name.cmp(&b.name)),
        SortBy::Params => rows.sort_by_key(|row| row.parameters),
        SortBy::Classes => rows.sort_by_key(|row| row.classes),
        SortBy::Image => rows.sort_by_key(|row| row.image),
        SortBy::License => rows.sort_by(|a, b| a.license.cmp(&b.license)),
        SortBy::Becomes => rows.sort_by_key(Row::becomes),
    }
    if arguments.reverse {
        rows.reverse();
    }
    if output.is_json() {
        return output.list(&rows.iter().map(document).collect::<Vec<_>>());
    }
    if rows.is_empty() {
        return Err(nothing(arguments));
    }
    let wide = wide_table(&rows, output.is_verbose());
    output.print(fitting(&wide, |width| narrow_list(&rows, width)))?;
    let convertible = rows.iter().filter(|row| row.is_convertible()).count();
    output.say(format!("\n{} models, {convertible} of them convertible", rows.len()))
}

/// What is said of a list without rows.
fn nothing(arguments: &Models) -> Failure {
    let pattern = arguments.pattern.as_deref().unwrap_or_default();
    let is_filtered =
        arguments.family.is_some() || arguments.becomes.is_some() || arguments.license.is_some();
    if is_filtered || pattern.is_empty() {
        return Failure::new(
            Kind::UnknownArchitecture,
            "no model is left by these filters; leave one of them out",
        );
    }
    let near = zoo::suggest(pattern);
    let hint = if near.is_empty() { String::new() } else { format!(" (did you mean {}?)", near.join(", ")) };
    let message = format!("no model's name holds `{}`{hint}", escape(pattern));
    Failure::new(Kind::UnknownArchitecture, message)
}

impl Row {
    fn is_convertible(&self) -> bool {
        matches!(self.becomes, Becomes::Class(_))
    }

    /// What it becomes, or why nothing.
    fn becomes(&self) -> String {
        match &self.becomes {
            Becomes::Class(class) if self.published_at.is_none() => format!("{class}, no weights published"),
            Becomes::Class(class) => (*class).to_owned(),
            Becomes::NotYet(class) => format!("– {class} could hold it, not written yet"),
            Becomes::Nothing => "– no class in transformers holds it".to_owned(),
        }
    }

    fn image(&self) -> String {
        let [height, width] = self.image;
        format!("{height}x{width}")
    }

    fn preprocessing(&self) -> String {
        let normalisation = match self.mean {
            [0.5, 0.5, 0.5] => "0.5".to_owned(),
            [0.485, ..] => "ImageNet".to_owned(),
            [0.48145466, ..] => "CLIP".to_owned(),
            [red, ..] => red.to_string(),
        };
        format!("{} {} {normalisation}", self.interpolation, self.crop_pct)
    }

    fn sizes(&self) -> [String; 3] {
        let classes = if self.classes == 0 { "–".to_owned() } else { self.classes.to_string() };
        [format!("{:.1}M", self.parameters as f64 / 1e6), classes, self.image()]
    }

    fn license(&self) -> &str {
        self.license.as_deref().unwrap_or("–")
    }
}

/// One line a model.
fn wide_table(rows: &[Row], with_notes: bool) -> Table {
    let mut table = Table::new([
        ("model", Align::Left),
        ("params", Align::Right),
        ("classes", Align::Right),
        ("image", Align::Right),
        ("preprocessing", Align::Left),
        ("licence", Align::Left),
        ("becomes", Align::Left),
    ]);
    for row in rows {
        let note =
            row.note.as_ref().filter(|_| with_notes).map_or(String::new(), |note| format!(" ({note})"));
        let [parameters, classes, image] = row.sizes();
        table.row([
            row.name.clone(),
            parameters,
            classes,
            image,
            row.preprocessing(),
            row.license().to_owned(),
            row.becomes() + &note,
        ]);
    }
    table
}

/// Two lines a model, neither longer than a terminal of `width` columns: what it is, and what becomes of it.
fn narrow_list(rows: &[Row], width: usize) -> String {
    let columns = [
        ("model", Align::Left),
        ("params", Align::Right),
        ("classes", Align::Right),
        ("image", Align::Right),
    ];
    let mut table = Table::new(columns);
    for row in rows {
        let [parameters, classes, image] = row.sizes();
        table.row([row.name.clone(), parameters, classes, image]);
    }
    let table = table.to_string();
    let mut lines = table.lines();
    let mut out = lines.next().map(str::to_owned).into_iter().collect::<Vec<_>>();
    for (line, row) in lines.zip(rows) {
        let more = format!("  {} · {} · {}", row.preprocessing(), row.license(), row.becomes());
        let more = match more.char_indices().nth(width) {
            Some(_) => more.chars().take(width.saturating_sub(1)).chain(['…']).collect(),
            None => more,
        };
        out.extend([line.to_owned(), format!("{DIM}{more}{DIM:#}")]);
    }
    out.join("\n")
}

fn timm_row(tag: &'static Tag) -> Row {
    let [_, height, width] = tag.input_size;
    let becomes = match tag.target.as_deref() {
        Some("ViTForImageClassification") if tag.level == Level::Logits => {
            Becomes::Class("ViTForImageClassification")
        }
        Some("ViTModel") if tag.level == Level::Logits => Becomes::Class("ViTModel"),
        Some(class) => Becomes::NotYet(class.to_owned()),
        None => Becomes::Nothing,
    };
    Row {
        name: tag.full_name(),
        family: "vit",
        parameters: tag.parameters,
        classes: tag.num_classes,
        image: [height, width],
        mean: tag.mean,
        std: tag.std,
        interpolation: tag.interpolation.clone(),
        crop_pct: tag.crop_pct,
        crop_mode: tag.crop_mode.clone(),
        license: tag.license.clone(),
        becomes,
        note: tag.note.clone(),
        published_at: if tag.has_weights { tag.hub_id.clone() } else { None },
    }
}

fn cvt_rows() -> impl Iterator<Item = Row> {
    PUBLISHED.iter().flat_map(|known| {
        known.releases.iter().map(|release| {
            let edge = vitport::families::cvt::edge_in_name(release).unwrap_or(224);
            Row {
                name: (*release).to_owned(),
                family: "cvt",
                parameters: known.parameters,
                classes: 1000,
                image: [usize::try_from(edge).unwrap_or(usize::MAX); 2],
                mean: IMAGENET_MEAN,
                std: IMAGENET_STD,
                interpolation: "bicubic".to_owned(),
                crop_pct: if edge >= 384 { 1.0 } else { DEFAULT_CROP_PCT },
                crop_mode: "center".to_owned(),
                license: None,
                becomes: Becomes::Class("CvtForImageClassification"),
                note: Some(
                    "transformers computes GELU for QuickGELU; --with-exact-code adds the exact network"
                        .to_owned(),
                ),
                published_at: Some(PUBLISHED_AT.to_owned()),
            }
        })
    })
}

fn document(row: &Row) -> Value {
    let (becomes, why_not) = match &row.becomes {
        Becomes::Class(class) => (Some(*class), None),
        Becomes::NotYet(class) => (None, Some(format!("{class} could hold it, not written yet"))),
        Becomes::Nothing => (None, Some("no class in transformers holds it".to_owned())),
    };
    json!({
        "name": row.name,
        "family": row.family,
        "parameters": row.parameters,
        "classes": row.classes,
        "image_size": row.image(),
        "height": row.image[0],
        "width": row.image[1],
        "preprocessing": row.preprocessing(),
        "mean": row.mean,
        "std": row.std,
        "interpolation": row.interpolation,
        "crop_pct": row.crop_pct,
        "crop_mode": row.crop_mode,
        "license": row.license,
        "becomes": becomes,
        "why_not": why_not,
        "note": row.note,
        "published_at": row.published_at,
    })
}

/// What a name has to be like: hold a text, or match one with the wildcards `*` and `?`. Case does not matter.
enum Filter {
    Holds(String),
    Matches(Box<Pattern>),
}

impl Filter {
    /// Reads a filter.
    ///
    /// # Errors
    /// A usage failure for wildcards that mean nothing.
    fn new(text: &str) -> Result<Self, Failure> {
        let text = text.to_lowercase();
        if !text.contains(['*', '?', '[']) {
            return Ok(Self::Holds(text));
        }
        let pattern = Pattern::new(&text).map_err(|error| {
            Failure::usage(format!("`{}`: {}; * and ? are wildcards", escape(&text), error.msg))
        })?;
        Ok(Self::Matches(Box::new(pattern)))
    }

    fn accepts(&self, name: &str) -> bool {
        let name = name.to_lowercase();
        match self {
            Self::Holds(text) => name.contains(text),
            Self::Matches(pattern) => pattern.matches(&name),
        }
    }
}

/// The filters of the command line; what is not given accepts everything.
struct Filters {
    name: Option<Filter>,
    family: Option<Filter>,
    becomes: Option<Filter>,
    license: Option<Filter>,
    only_convertible: bool,
}

impl Filters {
    fn new(arguments: &Models) -> Result<Self, Failure> {
        let filter = |text: &Option<String>| text.as_deref().map(Filter::new).transpose();
        Ok(Self {
            name: filter(&arguments.pattern)?,
            family: filter(&arguments.family)?,
            becomes: filter(&arguments.becomes)?,
            license: filter(&arguments.license)?,
            only_convertible: arguments.convertible,
        })
    }

    fn accept(&self, row: &Row) -> bool {
        let accepts =
            |filter: &Option<Filter>, text: &str| filter.as_ref().is_none_or(|filter| filter.accepts(text));
        let class = if let Becomes::Class(class) = &row.becomes { Some(*class) } else { None };
        accepts(&self.name, &row.name)
            && accepts(&self.family, row.family)
            && self.becomes.as_ref().is_none_or(|filter| class.is_some_and(|class| filter.accepts(class)))
            && accepts(&self.license, row.license.as_deref().unwrap_or("unknown"))
            && (!self.only_convertible || row.is_convertible())
    }
}

#[cfg(test)]
mod tests {
    use super::Filter;

    #[test]
    fn filters_are_texts_or_wildcards() {
        let matches = |pattern: &str, name: &str| Filter::new(pattern).unwrap().accepts(name);
        assert!(matches("tiny", "vit_tiny_patch16_224.augreg_in21k"));
        assert!(matches("vit_*_224.*", "vit_tiny_patch16_224.augreg_in21k"));
        assert!(matches("DeiT3_?mall*", "deit3_small_patch16_224.fb_in1k"));
        assert!(!matches("vit_*_224", "vit_tiny_patch16_224.augreg_in21k"));
        assert!(matches("*", ""));
        assert!(!matches("?", ""));
        assert!(Filter::new("vit_[ab").is_err());
    }
}
