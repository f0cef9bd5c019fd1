//! Runs `vitport models`: every architecture and tag that vitport has heard of, and what each becomes or why not.

mod filter;

use schemars::JsonSchema;
use serde::Serialize;
use vitport::catalogue::{self, KnownModel};
use vitport::frameworks::timm::registry::{self, Exactness};
use vitport::labels::LabelSet;
use vitport_checkpoint::escape;

use self::filter::Filters;
use crate::arguments::{ModelsArguments, SortBy};
use crate::document::Document;
use crate::failure::{Failure, FailureKind};
use crate::output::Printer;
use crate::terminal::fitting;
use crate::terminal::style::DIM;
use crate::terminal::table::{Align, Table};
use crate::terminal::wrap::wrap;

/// Lists.
pub fn run(arguments: &ModelsArguments, output: &Printer) -> Result<(), Failure> {
    let mut rows: Vec<KnownModel> = catalogue::models().collect();
    let filters = Filters::new(arguments)?;
    rows.retain(|row| filters.accept(row));
    match arguments.sort {
        SortBy::Table => {}
        SortBy::Name => rows.sort_by(|a, b| a.name.cmp(&b.name)),
        SortBy::Params => rows.sort_by_key(|row| row.parameters),
        SortBy::Classes => rows.sort_by_key(|row| row.classes),
        SortBy::Image => rows.sort_by_key(|row| row.image),
        SortBy::License => rows.sort_by(|a, b| a.license.cmp(&b.license)),
        SortBy::Becomes => rows.sort_by_key(becomes),
    }
    if arguments.reverse {
        rows.reverse();
    }
    if output.is_json() {
        return output.document(&ModelsDocument { models: rows.iter().map(ModelDocument::new).collect() });
    }
    if rows.is_empty() {
        return Err(nothing(arguments, &filters));
    }
    let wide = wide_table(&rows, output.is_verbose());
    output.print(fitting(wide.text(), |width| narrow_list(&rows, width)))?;
    let convertible = rows.iter().filter(|row| row.becomes.class().is_some()).count();
    let models = if rows.len() == 1 { "1 model".to_owned() } else { format!("{} models", rows.len()) };
    output.say(format!("\n{models}, {convertible} of them convertible"))
}

/// Makes the failure of a list without rows.
fn nothing(arguments: &ModelsArguments, filters: &Filters) -> Failure {
    let refused = catalogue::models().filter(|row| filters.accept_but_for_conversion(row)).count();
    if refused > 0 {
        return Failure::new(
            FailureKind::NoTarget,
            match refused {
                1 => "1 model matches, and it cannot be converted; without --convertible the list says why"
                    .to_owned(),
                count => format!(
                    "{count} models match, and none of them can be converted; without --convertible the list says why"
                ),
            },
        );
    }
    let pattern = arguments.pattern.as_deref().unwrap_or_default();
    let is_filtered =
        arguments.family.is_some() || arguments.becomes.is_some() || arguments.license.is_some();
    if is_filtered || pattern.is_empty() {
        return Failure::new(
            FailureKind::UnknownArchitecture,
            "no model is left by these filters; leave one of them out",
        );
    }
    let near = registry::suggest(pattern);
    let hint = if near.is_empty() { String::new() } else { format!(" (did you mean {}?)", near.join(", ")) };
    let message = format!("no model's name contains `{}`{hint}", escape(pattern));
    Failure::new(FailureKind::UnknownArchitecture, message)
}

/// Says what it becomes, or why nothing.
fn becomes(row: &KnownModel) -> String {
    match (row.becomes.class(), row.becomes.why_not()) {
        (_, Some(why)) => format!("– {why}"),
        (Some(class), None) if row.published_at.is_none() => format!("{class}, no weights published"),
        (Some(class), None) if row.is_asked_for => format!("{class}, only with --target"),
        (class, None) => class.unwrap_or_default().to_owned(),
    }
}

fn image(row: &KnownModel) -> String {
    let [height, width] = row.image;
    format!("{height}x{width}")
}

fn preprocessing(row: &KnownModel) -> String {
    let normalisation = match row.mean {
        [0.5, 0.5, 0.5] => "0.5".to_owned(),
        [0.485, ..] => "ImageNet".to_owned(),
        [0.48145466, ..] => "CLIP".to_owned(),
        [red, ..] => red.to_string(),
    };
    format!("{} {} {normalisation}", row.interpolation, row.crop_pct)
}

fn sizes(row: &KnownModel) -> [String; 3] {
    let classes = if row.classes == 0 { "–".to_owned() } else { row.classes.to_string() };
    [format!("{:.1}M", row.parameters as f64 / 1e6), classes, image(row)]
}

fn license(row: &KnownModel) -> &str {
    row.license.as_deref().unwrap_or("–")
}

/// Makes one line for each model.
fn wide_table(rows: &[KnownModel], with_notes: bool) -> Table {
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
        let [parameters, classes, image] = sizes(row);
        table.row([
            row.name.clone(),
            parameters,
            classes,
            image,
            preprocessing(row),
            license(row).to_owned(),
            becomes(row) + &note,
        ]);
    }
    table
}

/// Makes two lines or more for each model, none longer than a terminal of `width` columns: what it is, and what becomes of it.
fn narrow_list(rows: &[KnownModel], width: usize) -> String {
    let mut table = Table::new([("model", Align::Left), ("params", Align::Right), ("classes", Align::Right)]);
    for row in rows {
        let [parameters, classes, _] = sizes(row);
        table.row([row.name.clone(), parameters, classes]);
    }
    let table = table.text();
    let mut lines = table.lines();
    let mut out = lines.next().map(str::to_owned).into_iter().collect::<Vec<_>>();
    for (line, row) in lines.zip(rows) {
        let more = format!("  {} · {} · {} · {}", image(row), preprocessing(row), license(row), becomes(row));
        let more = wrap("", more.trim_start(), 2, width);
        out.extend([line.to_owned(), format!("{DIM}{more}{DIM:#}")]);
    }
    out.join("\n")
}

/// Lists models and what each becomes: `vitport models`.
#[derive(Serialize, JsonSchema)]
pub struct ModelsDocument<'a> {
    /// Lists those that were asked for, in the order that was asked for.
    models: Vec<ModelDocument<'a>>,
}

impl Document for ModelsDocument<'_> {
    const SCHEMA: &'static str = "vitport/models/2";
}

/// Describes a model that a framework's registry has, by its architecture or by its tag.
#[derive(Serialize, JsonSchema)]
struct ModelDocument<'a> {
    /// Gives its name, with the tag if it has one.
    name: &'a str,
    /// Names the family.
    family: &'a str,
    /// Counts the numbers of its weights.
    parameters: u64,
    /// Counts its classes; 0 without a head.
    classes: usize,
    /// Gives height and width of its images, in pixels: `224x224`.
    image_size: String,
    /// Gives the height, in pixels.
    height: usize,
    /// Gives the width, in pixels.
    width: usize,
    /// Sums its preprocessing up: `bicubic 0.9 ImageNet`.
    preprocessing: String,
    /// Gives the mean of each channel, of values from 0 to 1.
    mean: [f64; 3],
    /// Gives the standard deviation of each channel.
    std: [f64; 3],
    /// Says how images are resized.
    interpolation: &'a str,
    /// Gives the share of the resized image that the crop keeps.
    crop_pct: f64,
    /// Says what is cut off.
    crop_mode: &'a str,
    /// Gives the licence of its weights, where it is known.
    license: Option<&'a str>,
    /// Names the class of transformers that it becomes.
    becomes: Option<&'a str>,
    /// Says whether it becomes that only where the class is asked for, with --target.
    only_asked_for: bool,
    /// Says why it becomes none.
    why_not: Option<String>,
    /// Says more of what it becomes.
    note: Option<&'a str>,
    /// Says where its weights are published; null where none are.
    published_at: Option<&'a str>,
    /// Names timm's module that has it.
    module: Option<&'a str>,
    /// Names the class that it becomes, or that could hold it.
    target: Option<&'a str>,
    /// Says how much of it that class computes.
    exactness: Option<&'static str>,
    /// Names the labels that its number of classes goes with.
    labels: Option<&'static str>,
}

impl<'a> ModelDocument<'a> {
    fn new(row: &'a KnownModel) -> Self {
        let [height, width] = row.image;
        Self {
            name: &row.name,
            family: row.family,
            parameters: row.parameters,
            classes: row.classes,
            image_size: image(row),
            height,
            width,
            preprocessing: preprocessing(row),
            mean: row.mean,
            std: row.std,
            interpolation: &row.interpolation,
            crop_pct: row.crop_pct,
            crop_mode: &row.crop_mode,
            license: row.license.as_deref(),
            becomes: row.becomes.class(),
            only_asked_for: row.is_asked_for,
            why_not: row.becomes.why_not(),
            note: row.note.as_deref(),
            published_at: row.published_at.as_deref(),
            module: row.module,
            target: row.becomes.target(),
            exactness: row.exactness.map(Exactness::name),
            labels: LabelSet::by_class_count(row.classes).map(LabelSet::name),
        }
    }
}
