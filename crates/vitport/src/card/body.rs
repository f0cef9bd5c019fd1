//! What a person reads: verdict, use, preprocessing, provenance, and the comparison in full.

use std::fmt::Write as _;

use serde_json::Value;

use super::Card;
use super::markdown::{code, table};
use crate::facts::Assumption;
use crate::frameworks::Transform;
use crate::frameworks::transformers::Task;
use crate::image::Filter;
use crate::model::Model;
use crate::verify::{Comparison, Guess, NamedDeviation, Report, Verdict, accounts};

/// Limits the training arguments that are listed by name.
const UNREAD_SHOWN: usize = 20;

/// Adds everything below the metadata.
pub(super) fn write(out: &mut String, card: &Card<'_>) {
    heading(out, card);
    usage(out, card);
    match &card.prepared.model.processor {
        Some(processor) => preprocessing(out, processor),
        None => out.push_str(
            "## Preprocessing\n\nThere is no image processor in this folder: prepare images as the model was trained with.\n\n",
        ),
    }
    provenance(out, card);
    if let Some(report) = card.report {
        comparison(out, report);
    }
    facts(out, card);
}

// Writing to a String cannot fail, so results of writing are dropped throughout.

fn heading(out: &mut String, card: &Card<'_>) {
    let model = &card.prepared.model;
    let _ = writeln!(out, "\n# {}\n", code(&model.name));
    let _ = writeln!(
        out,
        "{} as transformers' `{}`, converted by vitport {}.\n",
        model.definition.description(),
        card.class(),
        env!("CARGO_PKG_VERSION")
    );
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
    basis(out, model);
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
    if let Some(base) = &model.license_of_base {
        let _ = writeln!(
            out,
            "No licence is stated for these weights: the base model's licence was {} ({}); state your own.\n",
            code(&base.value.to_string()),
            code(&base.origin.to_string())
        );
    }
    for known in known_deviations(card) {
        let remedy = match known.removed {
            true => "removed with `trust_remote_code=True` by the code in this folder".to_owned(),
            false => format!("remedy: {}", known.remedy),
        };
        let _ = writeln!(out, "Known deviation {}: {}; {remedy}.\n", code(&known.name), known.what);
    }
}

/// Says what the verdict rests on, and lists what is assumed.
fn basis(out: &mut String, model: &Model) {
    let basis = model.basis();
    let _ = writeln!(out, "Of the source is known: {}.\n", basis.summary());
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
            format!("; overrides {} by {}", code(&known.value), code(&known.origin))
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

fn usage(out: &mut String, card: &Card<'_>) {
    let (task, auto, result) = match card.task() {
        Task::Classification => (
            "image-classification",
            "AutoModelForImageClassification",
            "    logits = model(**inputs).logits\nprint(model.config.id2label[logits.argmax(-1).item()])"
                .to_owned(),
        ),
        Task::Features { loader, output, .. } => (
            "image-feature-extraction",
            loader,
            format!("    features = model(**inputs).{output}\nprint(features.shape)"),
        ),
    };
    let model = &card.prepared.model;
    let target = model.target_class();
    let versions = match target.as_ref().and_then(|target| target.since) {
        Some(since) => format!("in transformers {since} only, which is the first version with its class"),
        None => "alike in transformers 4 and 5".to_owned(),
    };
    let _ = write!(
        out,
        "## Use\n\nThe folder opens {versions}. `.` is this folder; its name on the Hub does as well.\n\n"
    );
    if model.processor.is_some() && !model.is_grey() {
        let _ = write!(
            out,
            "```python\n\
             from transformers import pipeline\n\n\
             print(pipeline(\"{task}\", model=\".\")(\"image.jpg\"))\n\
             ```\n\n"
        );
    }
    let (imports, processor, inputs) = inputs(model);
    let _ = write!(
        out,
        "```python\n\
         {imports}\n\
         {processor}\
         model = {auto}.from_pretrained(\".\")\n\
         {inputs}\n\
         with torch.no_grad():\n\
         {result}\n\
         ```\n\n",
        imports = imports.replace("{auto}", auto)
    );
    if model.is_grey() {
        out.push_str(
            "Images have one channel. The image processor takes arrays of shape [height, width, 1] or [1, height, width] in \
             transformers 4 and 5, and in version 5 grey images (Pillow's mode `L`) as they are. `pipeline` makes RGB of every \
             image and fails.\n\n",
        );
    }
    if let Some(outside) = target.and_then(|target| target.outside) {
        let _ = write!(
            out,
            "Not in this folder is {}. With `outputs = model(**inputs)`:\n\n```python\n{}\n```\n\n",
            outside.what, outside.code
        );
    } else if let Task::Features { remark: Some(remark), .. } = card.task() {
        let _ = write!(out, "{remark}\n\n");
    }
    if let Some(exact) = card.prepared.model.target.exact_code().filter(|_| card.exact_code) {
        let _ = write!(
            out,
            "With `trust_remote_code=True` the source's exact network is loaded instead, by `{}`, which lies in this \
             folder; read it before you trust it:\n\n\
             ```python\n\
             from transformers import {auto}\n\n\
             model = {auto}.from_pretrained(\".\", trust_remote_code=True)\n\
             ```\n\n",
            exact.file,
            auto = exact.auto_class
        );
    }
}

/// Returns the lines of Python that import what is needed, load the image processor and make the inputs.
fn inputs(model: &Model) -> (&'static str, &'static str, String) {
    let processor = "processor = AutoImageProcessor.from_pretrained(\".\")\n";
    if model.processor.is_none() {
        let [channels, height, width] = match &model.transform {
            Transform::Direct(pixels) => pixels.shape,
            _ => [3, 0, 0],
        };
        let inputs = format!(
            "inputs = {{\"pixel_values\": torch.zeros(1, {channels}, {height}, {width})}}  # your pixels"
        );
        return ("import torch\nfrom transformers import {auto}\n", "", inputs);
    }
    if model.is_grey() {
        let imports = "import numpy as np\nimport torch\nfrom PIL import Image\nfrom transformers import AutoImageProcessor, {auto}\n";
        let inputs = "pixels = np.array(Image.open(\"image.jpg\").convert(\"L\"))[:, :, None]\n\
                      inputs = processor(pixels, input_data_format=\"channels_last\", return_tensors=\"pt\")";
        return (imports, processor, inputs.to_owned());
    }
    let imports =
        "import torch\nfrom PIL import Image\nfrom transformers import AutoImageProcessor, {auto}\n";
    let inputs = "inputs = processor(Image.open(\"image.jpg\").convert(\"RGB\"), return_tensors=\"pt\")";
    (imports, processor, inputs.to_owned())
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
    let resized = match (edge("size", "shortest_edge"), sides("size")) {
        (Some(shortest), _) => format!("shorter edge to {shortest} pixels"),
        (None, Some(sides)) => format!("to {sides} pixels, whatever the image's shape"),
        (None, None) => "no".to_owned(),
    };
    out.push_str("## Preprocessing\n\n");
    let channels = |key: &str| match processor.get(key).and_then(Value::as_array) {
        Some(list) => list.iter().map(Value::to_string).collect::<Vec<_>>().join(", "),
        None => "none".to_owned(),
    };
    let rows = [
        ("image processor", format!("`{}`", text("image_processor_type"))),
        ("resized", format!("{resized}, {}", filter.map_or("default", Filter::name))),
        ("cropped", sides("crop_size").map_or("no".to_owned(), |sides| format!("{sides} from the middle"))),
        ("mean", channels("image_mean")),
        ("standard deviation", channels("image_std")),
    ];
    table(out, &["", ""], rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]));
}

fn provenance(out: &mut String, card: &Card<'_>) {
    let (source, plan) = (&card.prepared.source, &card.prepared.plan);
    let mut rows: Vec<(&str, String)> = Vec::new();
    match &source.provenance {
        Some(provenance) => {
            rows.push(("repository", code(&provenance.repository)));
            rows.push(("commit", code(&provenance.commit)));
        }
        None => rows.push(("source", code(&source.stem()))),
    }
    for (index, file) in source.checkpoint.files().iter().enumerate() {
        let name = file.path.file_name().unwrap_or_default().to_string_lossy();
        let sha256 = card.report.and_then(|report| report.source.files.get(index)).map(|file| &file.sha256);
        let sha256 =
            sha256.map_or("sha256 not computed (`--no-verify`)".to_owned(), |sum| format!("sha256 `{sum}`"));
        rows.push(("file", format!("{}, {} bytes, {sha256}", code(&name), file.len)));
    }
    let root = source.checkpoint.root().path.as_str();
    if !root.is_empty() {
        rows.push(("weights found under", code(root)));
    }
    if let Some(license) = &card.prepared.model.license {
        let known_from = code(&license.origin.to_string());
        rows.push(("licence", format!("{}, known from {known_from}", code(&license.value.to_string()))));
    }
    let rules = card.prepared.model.mapping.file();
    let rules = std::path::Path::new(rules).file_name().unwrap_or_default().to_string_lossy();
    let own = if card.prepared.own_mapping { "the user's own" } else { "built in" };
    rows.push(("rule file", format!("{} ({own})", code(&rules))));
    rows.push(("vitport", env!("CARGO_PKG_VERSION").to_owned()));
    out.push_str("## Where it came from\n\n");
    table(out, &["", ""], rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]));

    let accounts = accounts(card.prepared);
    let _ = write!(
        out,
        "{} tensors went in, {} came out ({} bytes); {} folded, {} padded with zeros, {} filled in. ",
        accounts.source_tensors,
        accounts.target_tensors,
        accounts.target_bytes,
        accounts.folded,
        accounts.padded,
        accounts.filled
    );
    if accounts.merged > 0 {
        let _ = write!(
            out,
            "LoRA adapters were added to {} of the source's tensors in float64 and rounded once; they cannot be taken out again. ",
            accounts.merged
        );
    }
    let _ = writeln!(
        out,
        "The source's tensors {} be had back bit for bit.\n",
        if plan.is_reversible() { "can" } else { "cannot" }
    );
    const MOST: usize = 20;
    for dropped in accounts.dropped.iter().take(MOST) {
        let _ = writeln!(
            out,
            "- left out: {} ({} bytes): {}",
            code(&dropped.name),
            dropped.bytes,
            code(&dropped.reason)
        );
    }
    match accounts.dropped.len() {
        0 => {}
        count if count > MOST => {
            let _ = writeln!(out, "- and {} more\n", count - MOST);
        }
        _ => out.push('\n'),
    }
}

fn comparison(out: &mut String, report: &Report) {
    let image = &report.image;
    let name = image.name.rsplit(['/', '\\']).next().unwrap_or_default();
    let _ = writeln!(
        out,
        "## What was compared\n\n\
         Image: {} ({}×{}, sha256 `{}`). Each row is the largest difference of two numbers relative to the size \
         (root mean square) of what is compared, and what the rounding of float32 explains.\n",
        code(name),
        image.width,
        image.height,
        image.sha256
    );
    let number = |value: f64| format!("{value:.1e}");
    let measured = |list: &[Comparison], index: usize| {
        list.get(index).map_or("–".to_owned(), |place| number(place.difference.relative))
    };
    match &report.known_deviation {
        None => table(
            out,
            &["place", "difference", "tolerance"],
            report.layers.iter().map(|place| {
                vec![place.place.clone(), number(place.difference.relative), number(place.tolerance)]
            }),
        ),
        Some(deviation) => table(
            out,
            &["place", "difference", "without the known deviation", "tolerance"],
            deviation.without_it.iter().enumerate().map(|(index, place)| {
                let with_it = measured(&deviation.measured, index);
                vec![place.place.clone(), with_it, number(place.difference.relative), number(place.tolerance)]
            }),
        ),
    }
    let weights = &report.weights;
    let (agree, facts) = report.agreeing_facts();
    let largest =
        |pixels: &[Comparison]| pixels.iter().map(|pixels| pixels.difference.largest).fold(0.0, f64::max);
    let rounded = match report.rounded_crops().len() {
        0 => String::new(),
        count => format!(
            " with the source's crop rounded down as here on {count} of {} images, {} as they are",
            report.pixels.len(),
            number(largest(&report.raw_pixels))
        ),
    };
    let _ = writeln!(
        out,
        "- weights: {} of {} tensors are {} ({} bytes)\n\
         - settings of the configuration: {agree} of {facts} are as known or assumed of the source",
        weights.same,
        weights.same + weights.different.len(),
        report.tensors_are(),
        weights.bytes
    );
    if !report.pixels.is_empty() {
        let _ = writeln!(
            out,
            "- pixels after both ways of preprocessing: at most {} apart{rounded} (transformers' PIL backend: \
             `use_fast=False` in version 4, `backend=\"pil\"` in version 5)",
            number(largest(&report.pixels))
        );
    }
    out.push('\n');
    if report.source_top5.is_empty() {
        return;
    }
    let percent = |guess: &Guess| format!("{:.2} %", guess.probability * 100.0);
    let rows = report.source_top5.iter().zip(&report.target_top5).map(|(source, target)| {
        vec![code(&source.label), percent(source), code(&target.label), percent(target)]
    });
    table(out, &["source", "", "this folder", ""], rows);
}

fn facts(out: &mut String, card: &Card<'_>) {
    out.push_str("## How every fact is known\n\n");
    let rows = card
        .prepared
        .model
        .facts
        .iter()
        .map(|fact| vec![fact.name.to_owned(), code(&fact.shown()), code(&fact.known_from())]);
    table(out, &["fact", "value", "known from"], rows);
    let unread = &card.prepared.model.unread_arguments;
    if unread.is_empty() {
        return;
    }
    let shown: Vec<String> = unread.iter().take(UNREAD_SHOWN).map(|path| code(path)).collect();
    let more = match unread.len().saturating_sub(UNREAD_SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let _ = writeln!(out, "Settings in the source that were not read: {}{more}.\n", shown.join(", "));
}
