//! `vitport models`: every architecture and tag that vitport has heard of, and what each becomes or why not.

use serde_json::{Value, json};
use vitport::families::cvt::{PUBLISHED, PUBLISHED_AT};
use vitport::zoo::{self, Level, Tag};

use crate::arguments::{Models, SortBy};
use crate::failure::Failure;
use crate::output::Output;
use crate::table::{Align, Table};

/// One model of the list.
struct Row {
    name: String,
    parameters: u64,
    classes: usize,
    image: String,
    preprocessing: String,
    license: String,
    becomes: Becomes,
    published_at: Option<String>,
}

enum Becomes {
    Class(&'static str),
    Nothing(String),
}

/// Lists.
pub fn run(arguments: &Models, output: &Output) -> Result<(), Failure> {
    let mut rows: Vec<Row> = zoo::tags().iter().map(timm_row).chain(cvt_rows()).collect();
    if let Some(pattern) = &arguments.pattern {
        rows.retain(|row| matches(pattern, &row.name));
    }
    if arguments.convertible {
        rows.retain(|row| matches!(row.becomes, Becomes::Class(_)));
    }
    match arguments.sort {
        SortBy::Table => {}
        SortBy::Name => rows.sort_by(|a, b| a.name.cmp(&b.name)),
        SortBy::Params => rows.sort_by_key(|row| row.parameters),
        SortBy::Classes => rows.sort_by_key(|row| row.classes),
        SortBy::Image => {
            rows.sort_by_key(|row| row.image.split('x').next().and_then(|edge| edge.parse::<u64>().ok()))
        }
    }
    if output.is_json() {
        return output.document(&rows.iter().map(document).collect::<Vec<_>>());
    }
    if rows.is_empty() {
        let pattern = arguments.pattern.as_deref().unwrap_or_default();
        let near = zoo::suggest(pattern);
        let hint =
            if near.is_empty() { String::new() } else { format!(" (did you mean {}?)", near.join(", ")) };
        let shown = vitport_checkpoint::escape(pattern);
        return Err(Failure::unknown(format!("no model's name holds `{shown}`{hint}")));
    }
    let mut table = Table::new([
        ("model", Align::Left),
        ("params", Align::Right),
        ("classes", Align::Right),
        ("image", Align::Right),
        ("preprocessing", Align::Left),
        ("licence", Align::Left),
        ("becomes", Align::Left),
    ]);
    for row in &rows {
        let becomes = match &row.becomes {
            Becomes::Class(class) => (*class).to_owned(),
            Becomes::Nothing(why) => format!("– {why}"),
        };
        table.row([
            row.name.clone(),
            format!("{:.1}M", row.parameters as f64 / 1e6),
            if row.classes == 0 { "–".to_owned() } else { row.classes.to_string() },
            row.image.clone(),
            row.preprocessing.clone(),
            row.license.clone(),
            becomes,
        ]);
    }
    output.print(table)?;
    let convertible = rows.iter().filter(|row| matches!(row.becomes, Becomes::Class(_))).count();
    output.say(format!("\n{} models, {convertible} of them convertible", rows.len()))
}

fn timm_row(tag: &'static Tag) -> Row {
    let [_, height, width] = tag.input_size;
    let normalisation = match tag.mean {
        [0.5, 0.5, 0.5] => "0.5".to_owned(),
        [0.485, ..] => "ImageNet".to_owned(),
        [0.48145466, ..] => "CLIP".to_owned(),
        [red, ..] => red.to_string(),
    };
    let becomes = match tag.target.as_deref() {
        Some("ViTForImageClassification") if tag.level == Level::Logits => {
            Becomes::Class("ViTForImageClassification")
        }
        Some("ViTModel") if tag.level == Level::Logits => Becomes::Class("ViTModel"),
        Some(class) => Becomes::Nothing(format!("{class} could hold it, not written yet")),
        None => Becomes::Nothing("no class in transformers holds it".to_owned()),
    };
    Row {
        name: tag.full_name(),
        parameters: tag.parameters,
        classes: tag.num_classes,
        image: format!("{height}x{width}"),
        preprocessing: format!("{} {} {normalisation}", tag.interpolation, tag.crop_pct),
        license: tag.license.clone().unwrap_or_else(|| "–".to_owned()),
        becomes,
        published_at: if tag.has_weights { tag.hub_id.clone() } else { None },
    }
}

fn cvt_rows() -> impl Iterator<Item = Row> {
    PUBLISHED.iter().flat_map(|known| {
        known.releases.iter().map(|release| {
            let edge = vitport::families::cvt::edge_in_name(release).unwrap_or(224);
            let crop = if edge >= 384 { "1" } else { "0.875" };
            Row {
                name: (*release).to_owned(),
                parameters: known.parameters,
                classes: 1000,
                image: format!("{edge}x{edge}"),
                preprocessing: format!("bicubic {crop} ImageNet"),
                license: "–".to_owned(),
                becomes: Becomes::Class("CvtForImageClassification"),
                published_at: Some(PUBLISHED_AT.to_owned()),
            }
        })
    })
}

fn document(row: &Row) -> Value {
    let (becomes, why_not) = match &row.becomes {
        Becomes::Class(class) => (Some(*class), None),
        Becomes::Nothing(why) => (None, Some(why)),
    };
    json!({
        "name": row.name,
        "parameters": row.parameters,
        "classes": row.classes,
        "image_size": row.image,
        "preprocessing": row.preprocessing,
        "license": if row.license == "–" { None } else { Some(&row.license) },
        "becomes": becomes,
        "why_not": why_not,
        "published_at": row.published_at,
    })
}

/// Whether a name holds a pattern; `*` stands for any text and `?` for one character.
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.to_ascii_lowercase(), name.to_ascii_lowercase());
    if !pattern.contains(['*', '?']) {
        return name.contains(&pattern);
    }
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    // Row by row over the pattern: which beginnings of the name does the pattern so far match?
    let mut reached = vec![false; name.len() + 1];
    if let Some(first) = reached.first_mut() {
        *first = true;
    }
    for wanted in pattern {
        let before = reached.clone();
        let mut any_before = false;
        for (index, cell) in reached.iter_mut().enumerate() {
            let previous = index.checked_sub(1);
            any_before = any_before || before.get(index).copied().unwrap_or(false);
            *cell = match wanted {
                '*' => any_before,
                _ => previous.is_some_and(|previous| {
                    before.get(previous).copied().unwrap_or(false)
                        && name.get(previous).is_some_and(|letter| wanted == '?' || *letter == wanted)
                }),
            };
        }
    }
    reached.last().copied().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_are_texts_or_wildcards() {
        assert!(matches("tiny", "vit_tiny_patch16_224.augreg_in21k"));
        assert!(matches("vit_*_224.*", "vit_tiny_patch16_224.augreg_in21k"));
        assert!(matches("deit3_?mall*", "deit3_small_patch16_224.fb_in1k"));
        assert!(!matches("vit_*_224", "vit_tiny_patch16_224.augreg_in21k"));
        assert!(matches("*", ""));
        assert!(!matches("?", ""));
    }
}
