//! Runs `vitport models`: every architecture and tag that vitport has heard of, and what each becomes or why not.

mod filter;

use serde_json::{Value, json};
use vitport::catalogue::{self, KnownModel};
use vitport::frameworks::timm::registry::{self, Exactness};
use vitport::labels::LabelSet;
use vitport_checkpoint::escape;

use self::filter::Filters;
use crate::arguments::{ModelsArguments, SortBy};
use crate::failure::{Failure, FailureKind};
use crate::output::Printer;
use crate::terminal::fitting;
use crate::terminal::style::DIM;
use crate::terminal::table::{Align, Table};

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
        return output.list(&rows.iter().map(document).collect::<Vec<_>>());
    }
    if rows.is_empty() {
        return Err(nothing(arguments, &filters));
    }
    let wide = wide_table(&rows, output.is_verbose());
    output.print(fitting(wide.text(), |width| narrow_list(&rows, width)))?;
    let convertible = rows.iter().filter(|row| row.becomes.class().is_some()).count();
    output.say(format!("\n{} models, {convertible} of them convertible", rows.len()))
}

/// Makes the failure of a list without rows.
fn nothing(arguments: &ModelsArguments, filters: &Filters) -> Failure {
    let refused = catalogue::models().filter(|row| filters.accept_but_for_conversion(row)).count();
    if refused > 0 {
        return Failure::new(
            FailureKind::NoTarget,
            format!(
                "{refused} models match, none of which can be converted; without --convertible the list says why"
            ),
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
    let message = format!("no model's name holds `{}`{hint}", escape(pattern));
    Failure::new(FailureKind::UnknownArchitecture, message)
}

/// Says what it becomes, or why nothing.
fn becomes(row: &KnownModel) -> String {
    match (row.becomes.class(), row.becomes.why_not()) {
        (_, Some(why)) => format!("– {why}"),
        (Some(class), None) if row.published_at.is_none() => format!("{class}, no weights published"),
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

/// Makes two lines for each model, neither longer than a terminal of `width` columns: what it is, and what becomes of it.
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
        let more = match more.char_indices().nth(width) {
            Some(_) => more.chars().take(width.saturating_sub(1)).chain(['…']).collect(),
            None => more,
        };
        out.extend([line.to_owned(), format!("{DIM}{more}{DIM:#}")]);
    }
    out.join("\n")
}

fn document(row: &KnownModel) -> Value {
    json!({
        "name": row.name,
        "family": row.family,
        "parameters": row.parameters,
        "classes": row.classes,
        "image_size": image(row),
        "height": row.image[0],
        "width": row.image[1],
        "preprocessing": preprocessing(row),
        "mean": row.mean,
        "std": row.std,
        "interpolation": row.interpolation,
        "crop_pct": row.crop_pct,
        "crop_mode": row.crop_mode,
        "license": row.license,
        "becomes": row.becomes.class(),
        "why_not": row.becomes.why_not(),
        "note": row.note,
        "published_at": row.published_at,
        "module": row.module,
        "target": row.becomes.target(),
        "exactness": row.exactness.map(Exactness::name),
        "labels": LabelSet::by_class_count(row.classes).map(LabelSet::name),
    })
}
