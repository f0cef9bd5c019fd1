//! The evidence: where the model came from, what was compared, how every fact is known. Whoever only wants to use the model need not
//! unfold it.

use std::fmt::Write as _;

use super::Card;
use super::markdown::{code, table};
use super::numbers::count;
use crate::verify::{Comparison, Guess, Report, shown_difference, tensor_counts};

/// Limits the training arguments that are listed by name.
const UNREAD_SHOWN: usize = 20;

// Writing to a String cannot fail, so results of writing are dropped throughout.

/// Adds it, folded.
pub(super) fn write(out: &mut String, card: &Card<'_>) {
    // Markdown begins again after an empty line.
    out.push_str(
        "<details>\n<summary>The evidence: hashes, comparison, and the origin of every fact</summary>\n\n",
    );
    provenance(out, card);
    if let Some(report) = card.report {
        comparison(out, report);
    }
    facts(out, card);
    out.push_str("</details>\n");
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
        rows.push(("file", format!("{}, {} bytes, {sha256}", code(&name), count(file.len))));
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
    rows.push(("mapping", format!("{} ({own})", code(&rules))));
    rows.push(("vitport", env!("CARGO_PKG_VERSION").to_owned()));
    out.push_str("### Where it came from\n\n");
    table(out, &["", ""], rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]));

    let counts = tensor_counts(card.prepared);
    let _ = write!(
        out,
        "{} tensors went in, {} came out ({} bytes); {} folded, {} padded with zeros, {} filled in. ",
        count(counts.source_tensors),
        count(counts.target_tensors),
        count(counts.target_bytes),
        count(counts.folded),
        count(counts.padded),
        count(counts.filled)
    );
    if counts.tabulated > 0 {
        let _ = write!(
            out,
            "{} hold the values of an MLP of the source, computed in float64 and rounded once. ",
            count(counts.tabulated)
        );
    }
    if counts.merged > 0 {
        let _ = write!(
            out,
            "LoRA adapters were added to {} of the source's tensors in float64 and rounded once; they cannot be taken out again. ",
            counts.merged
        );
    }
    if let Some(resampled) = counts.resampled.iter().find(|resampled| resampled.changes_weights()) {
        let names: Vec<String> =
            resampled.tensors.iter().map(|tensor| code(&tensor.name)).take(UNREAD_SHOWN).collect();
        let _ = write!(out, "Resampled, of {}: {}. ", count(resampled.tensors.len()), names.join(", "));
    }
    let _ = writeln!(
        out,
        "The source's tensors {} be recovered bit for bit.\n",
        if plan.is_reversible() { "can" } else { "cannot" }
    );
    const MOST: usize = 20;
    for dropped in counts.dropped.iter().take(MOST) {
        let _ = writeln!(
            out,
            "- left out: {} ({} bytes): {}",
            code(&dropped.name),
            count(dropped.bytes),
            code(&dropped.reason)
        );
    }
    match counts.dropped.len() {
        0 => {}
        more if more > MOST => {
            let _ = writeln!(out, "- and {} more\n", more - MOST);
        }
        _ => out.push('\n'),
    }
}

fn comparison(out: &mut String, report: &Report) {
    let image = &report.image;
    let name = image.name.rsplit(['/', '\\']).next().unwrap_or_default();
    let _ = writeln!(
        out,
        "### What was compared\n\n\
         Image: {} ({}×{}, sha256 `{}`). Each row is the largest difference of two numbers relative to the size \
         (root mean square) of what is compared, and what the rounding of float32 explains.\n",
        code(name),
        image.width,
        image.height,
        image.sha256
    );
    let measured = |list: &[Comparison], index: usize| {
        list.get(index).map_or("–".to_owned(), |place| shown_difference(place.difference.relative))
    };
    match report.known_deviation.as_ref().filter(|known| known.shows_in_outputs()) {
        None => table(
            out,
            &["place", "difference", "tolerance"],
            report.layers.iter().map(|place| {
                vec![
                    place.place.clone(),
                    shown_difference(place.difference.relative),
                    shown_difference(place.tolerance),
                ]
            }),
        ),
        Some(deviation) => table(
            out,
            &["place", "difference", "without the known deviation", "tolerance"],
            deviation.without_it.iter().enumerate().map(|(index, place)| {
                let with_it = measured(&deviation.measured, index);
                vec![
                    place.place.clone(),
                    with_it,
                    shown_difference(place.difference.relative),
                    shown_difference(place.tolerance),
                ]
            }),
        ),
    }
    let weights = &report.weights;
    let (agree, facts) = report.agreeing_facts();
    let largest =
        |pixels: &[Comparison]| pixels.iter().map(|pixels| pixels.difference.largest).fold(0.0, f64::max);
    let rounded = match report.rounded_crops().len() {
        0 => String::new(),
        images => format!(
            " with the source's crop rounded down as here on {images} of {} images, {} as they are",
            report.pixels.len(),
            shown_difference(largest(&report.raw_pixels))
        ),
    };
    let _ = writeln!(
        out,
        "- weights: {} of {} tensors are {} ({} bytes)\n\
         - settings of the configuration: {agree} of {facts} are as known or assumed of the source",
        count(weights.same),
        count(weights.same + weights.different.len()),
        report.tensors_are(),
        count(weights.bytes)
    );
    if !report.pixels.is_empty() {
        let _ = writeln!(
            out,
            "- pixels after both ways of preprocessing: at most {} apart{rounded} (transformers' PIL backend: \
             `use_fast=False` in version 4, `backend=\"pil\"` in version 5)",
            shown_difference(largest(&report.pixels))
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
    out.push_str("### How every fact is known\n\n");
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
