//! What a person reads, in the order in which a reader of the Hub looks for it: what the model is, what it is for, how it is used, how
//! images are prepared, and how far it was seen to be the same as its source.

use std::fmt::Write as _;

use serde_json::Value;

use super::markdown::{code, table};
use super::numbers::count;
use super::{Card, evidence, metadata, usage};
use crate::facts::{Assumption, Fact};
use crate::frameworks::transformers::Task;
use crate::image::Filter;
use crate::model::Model;
use crate::plan::Target;
use crate::verify::{NamedDeviation, Report, Verdict};

/// Adds everything below the metadata.
pub(super) fn write(out: &mut String, card: &Card<'_>) {
    description(out, card);
    out.push_str(
        "## Intended use and limits\n\n\
         *What this model is meant for, and what it is not: to be filled in by whoever publishes it.*\n\n\
         *Known limits and biases, and how good it is on which data: to be filled in. The conversion does not measure that.*\n\n",
    );
    usage::write(out, card);
    match &card.prepared.model.processor {
        Some(processor) => preprocessing(out, processor),
        None => out.push_str(
            "## Preprocessing\n\nThere is no image processor in this folder: prepare images as the model was trained with.\n\n",
        ),
    }
    verification(out, card);
    evidence::write(out, card);
}

// Writing to a String cannot fail, so results of writing are dropped throughout.

/// Says what the model is and what it was made from.
fn description(out: &mut String, card: &Card<'_>) {
    let prepared = card.prepared;
    let model = &prepared.model;
    let _ = writeln!(out, "\n# {}\n", code(&model.name));
    let task = match card.task() {
        Task::Classification => "An image classifier",
        Task::Features { .. } => "An image encoder, which gives features and no classes",
    };
    let _ = writeln!(
        out,
        "{task}: {}, as transformers' `{}`. Converted by [vitport](https://github.com/vitport/vitport) {}, which changes the form \
         of the weights and does not train.\n",
        model.definition.description(),
        card.class(),
        env!("CARGO_PKG_VERSION")
    );
    let parameters: u64 = prepared.plan.targets.iter().map(Target::elements).sum();
    let shown = |names: &[&str]| names.iter().find_map(|name| model.facts.get(name)).map(Fact::shown);
    let mut rows = vec![("parameters", count(parameters))];
    rows.extend(shown(&["img_size", "image_size"]).map(|size| ("image size", code(&size.replace(',', "x")))));
    if let (Task::Classification, Some(labels)) = (card.task(), model.facts.get("labels")) {
        rows.push(("classes", code(&labels.shown())));
    }
    rows.extend(shown(&["architecture"]).map(|name| ("architecture", code(&name))));
    rows.push(match &prepared.source.provenance {
        Some(provenance) => ("made from", code(&provenance.repository)),
        None => ("made from", format!("a file of weights, {}", code(&prepared.source.stem()))),
    });
    let datasets = metadata::datasets(card);
    let datasets: Vec<String> = datasets.iter().map(|name| code(name)).collect();
    rows.push((
        "trained on",
        if datasets.is_empty() {
            "not stated by the source; to be filled in".to_owned()
        } else {
            datasets.join(", ")
        },
    ));
    if let Some(license) = &model.license {
        rows.push(("licence", code(&license.value.to_string())));
    }
    table(out, &["", ""], rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]));
    if let Some(base) = &model.license_of_base {
        let _ = writeln!(
            out,
            "No licence is stated for these weights: the base model's licence was {} ({}); state your own.\n",
            code(&base.value.to_string()),
            code(&base.origin.to_string())
        );
    }
}

/// Says how far the model was seen to be the same as its source.
fn verification(out: &mut String, card: &Card<'_>) {
    out.push_str("## Is it the same model?\n\n");
    let verdict = match card.report.map(|report| (report.verdict, report)) {
        None => "The two networks were **not compared** (`--no-verify`).".to_owned(),
        Some((Verdict::Same | Verdict::SameWithKnownDeviation, report)) => format!(
            "Both networks were run on an image, the source's from its own file and this folder's from what lies here, and \
             compared layer by layer: **{}**.",
            report.headline
        ),
        Some((Verdict::Different, report)) => refused("is not the same model as its source", report),
        Some((Verdict::NotComparable, report)) => refused("cannot be compared with its source", report),
    };
    let _ = writeln!(out, "{verdict}\n");
    if let Some(resampled) = &card.prepared.plan.resampled {
        let _ = writeln!(out, "**Another image size**: {}\n", resampled.explanation());
    }
    for known in known_deviations(card) {
        let remedy = match known.removed {
            true => "removed with `trust_remote_code=True` by the code in this folder".to_owned(),
            false => format!("remedy: {}", known.remedy),
        };
        let _ = writeln!(out, "Known deviation {}: {}; {remedy}.\n", code(&known.name), known.what);
    }
    if let Some(call) = &card.prepared.source.checkpoint.evidence().dangerous_call {
        let _ = writeln!(
            out,
            "**The source file is dangerous**: loading it in Python would run {}. Nothing of it was run here, and this \
             folder holds its tensors only (`--allow-dangerous-pickle`).\n",
            code(call)
        );
    }
    for warning in card.warnings {
        let _ = writeln!(out, "**Warning:** {}.\n", code(warning));
    }
    basis(out, &card.prepared.model);
}

/// Says what the verdict rests on, and lists what is assumed.
fn basis(out: &mut String, model: &Model) {
    let basis = model.basis();
    let _ = writeln!(out, "What both networks were built from: {}.\n", basis.summary());
    if basis.assumptions.is_empty() {
        return;
    }
    let _ = writeln!(
        out,
        "Assumed, and not said by the source (if one of these is wrong, this folder is not the same model, and no comparison \
         of the two networks shows it):\n"
    );
    for Assumption { fact, value, origin, follows, overrides } in &basis.assumptions {
        let overrides = overrides.as_ref().map_or_else(String::new, |known| {
            format!("; overrides {} from {}", code(&known.value), code(&known.origin))
        });
        let names = follows.iter().map(|known| known.fact).collect::<Vec<_>>().join(", ");
        let follows = if names.is_empty() { names } else { format!(", and with it {names}") };
        let _ = writeln!(out, "- {fact} {} ({}{overrides}){follows}", code(value), code(origin));
    }
    out.push('\n');
}

/// Says why a folder is there although its verdict is not accepted.
fn refused(what: &str, report: &Report) -> String {
    let reasons: Vec<String> = report.reasons.iter().map(|reason| format!("- {}", code(reason))).collect();
    let reasons = reasons.join("\n");
    format!("**This folder {what}**; it was published all the same (`--keep-anyway`):\n\n{reasons}")
}

/// Returns what verification found, or without it what the mapping says.
fn known_deviations(card: &Card<'_>) -> Vec<NamedDeviation> {
    let model = &card.prepared.model;
    match card.report {
        Some(report) => report.known_deviation.iter().flat_map(|known| known.each.clone()).collect(),
        None => {
            let known = model.mapping.deviations().iter().filter(|known| known.applies(&model.facts));
            let removed = card.exact_code && model.target.exact_code().is_some();
            let named = known.map(|known| NamedDeviation {
                name: known.name().to_owned(),
                what: known.what().to_owned(),
                remedy: known.remedy().to_owned(),
                removed,
            });
            named.collect()
        }
    }
}

/// Adds `preprocessor_config.json` in words.
fn preprocessing(out: &mut String, processor: &Value) {
    let text = |key: &str| processor.get(key).and_then(Value::as_str).unwrap_or_default();
    let edge =
        |key: &str, side: &str| processor.get(key).and_then(|size| size.get(side)).and_then(Value::as_u64);
    let sides = |key: &str| match (edge(key, "height"), edge(key, "width")) {
        (Some(height), Some(width)) => Some(format!("{height}×{width}")),
        _ => None,
    };
    let filter = processor.get("resample").and_then(Value::as_u64).and_then(Filter::from_pillow_number);
    let to_sides = |sides: String| format!("to {sides} pixels, whatever the image's shape");
    let mut cropped = sides("crop_size");
    let resized = match (edge("size", "shortest_edge"), sides("size")) {
        (Some(shortest), _) if text("image_processor_type") == "ConvNextImageProcessor" => {
            // `resize` of the class, as crate::image applies it.
            let square = format!("{shortest}×{shortest}");
            let crop_pct = processor.get("crop_pct").and_then(Value::as_f64).unwrap_or(224.0 / 256.0);
            match shortest >= 384 {
                true => to_sides(square),
                false => {
                    cropped = Some(square);
                    format!("shorter edge to {} pixels", (shortest as f64 / crop_pct) as u64)
                }
            }
        }
        (Some(shortest), _) => format!("shorter edge to {shortest} pixels"),
        (None, Some(sides)) => to_sides(sides),
        (None, None) => "no".to_owned(),
    };
    let is_cropped_of_any_shape = cropped.is_some() && sides("size").is_none();
    out.push_str("## Preprocessing\n\n");
    let channels = |key: &str| match processor.get(key).and_then(Value::as_array) {
        Some(list) => list.iter().map(Value::to_string).collect::<Vec<_>>().join(", "),
        None => "none".to_owned(),
    };
    let rows = [
        ("image processor", format!("`{}`", text("image_processor_type"))),
        ("resized", format!("{resized}, {}", filter.map_or("default", Filter::name))),
        ("cropped", cropped.map_or("no".to_owned(), |sides| format!("{sides} from the middle"))),
        ("mean", channels("image_mean")),
        ("standard deviation", channels("image_std")),
    ];
    table(out, &["", ""], rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]));
    if is_cropped_of_any_shape {
        out.push_str(
            "Where the crop cuts off 3, 7, 11 … pixels of an edge, which depends on the image's shape, it lies one pixel off the source's: \
             image processors of transformers round half a pixel down, the source's transform rounds it to even.\n\n",
        );
    }
    if text("image_processor_type") == "CLIPImageProcessor" {
        out.push_str(
            "`CLIPImageProcessor` is the name of a way to prepare images (resize the shorter edge, crop the middle, normalise) and says \
             nothing of the network; `ViTImageProcessor` cannot crop.\n\n",
        );
    }
}
