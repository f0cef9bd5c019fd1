//! The YAML at the head of a card, in the terms of the Hub's model cards (huggingface/hub-docs, docs/hub/model-cards.md).
//!
//! It is a mapping of scalars and lists of scalars. The texts among them are written as double-quoted scalars in ASCII, of
//! which YAML 1.1 and 1.2 and JSON make the same, so a library that writes YAML would add nothing.

use std::fmt::Write as _;

use super::Card;
use crate::frameworks::transformers::Task;

/// Returns the block with its two lines of dashes.
pub(super) fn front_matter(card: &Card<'_>) -> String {
    let model = &card.prepared.model;
    let mut out = String::from("---\n");
    if let Some(license) = &model.license {
        let license = &license.value;
        scalar(&mut out, "license", &license.id);
        if let Some(name) = &license.name {
            scalar(&mut out, "license_name", name);
        }
        if let Some(link) = &license.link {
            scalar(&mut out, "license_link", link);
        }
    }
    out.push_str("library_name: transformers\n");
    out.push_str(match card.task() {
        Task::Classification => "pipeline_tag: image-classification\n",
        Task::Features { .. } => "pipeline_tag: image-feature-extraction\n",
    });
    let tags = ["vision", model.target.model_type(), model.definition.maker(), "vitport"];
    list(&mut out, "tags", tags);
    if let Some(provenance) = &card.prepared.source.provenance {
        list(&mut out, "base_model", [provenance.repository.as_str()]);
    }
    let datasets = datasets(card);
    if !datasets.is_empty() {
        list(&mut out, "datasets", datasets.iter().map(String::as_str));
    }
    out.push_str("---\n");
    out
}

/// Returns the datasets that the source's card names, else those of the published model that the source is a copy of.
pub(super) fn datasets(card: &Card<'_>) -> Vec<String> {
    let source = &card.prepared.source;
    let stated = source.card.as_ref().map(|card| card.datasets.clone()).unwrap_or_default();
    match &card.prepared.model.published {
        Some(published) if stated.is_empty() && published.is_from(source.provenance.as_ref()) => {
            published.datasets.clone()
        }
        _ => stated,
    }
}

fn scalar(out: &mut String, key: &str, value: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{key}: {}", quoted(value));
}

fn list<'a>(out: &mut String, key: &str, values: impl IntoIterator<Item = &'a str>) {
    let _ = writeln!(out, "{key}:");
    for value in values {
        let _ = writeln!(out, "- {}", quoted(value));
    }
}

/// Returns a text as a YAML scalar: bare where it is an identifier that can be nothing else, else between double quotes.
fn quoted(text: &str) -> String {
    let is_word = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./+".contains(c));
    // YAML 1.1 reads some words as truth values or nothing.
    let means_more = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];
    if is_word && !means_more.contains(&text.to_ascii_lowercase().as_str()) {
        return text.to_owned();
    }
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            ' '..='~' => out.push(c),
            c => {
                let code = u32::from(c);
                let _ = match code {
                    0..=0xffff => write!(out, "\\u{code:04x}"),
                    _ => write!(out, "\\U{code:08x}"),
                };
            }
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn a_scalar_stays_one_scalar() {
        for (text, expected) in [
            ("apache-2.0", "apache-2.0"),
            ("timm/vit_tiny_patch16_224.augreg_in21k", "timm/vit_tiny_patch16_224.augreg_in21k"),
            ("no", "\"no\""),
            ("2.0", "\"2.0\""),
            ("a: b #c", "\"a: b #c\""),
            ("x\n---\nlicense: mit", "\"x\\u000a---\\u000alicense: mit\""),
            ("\"\\", "\"\\\"\\\\\""),
            ("é\u{1f600}\u{2028}", "\"\\u00e9\\U0001f600\\u2028\""),
            ("", "\"\""),
        ] {
            assert_eq!(quoted(text), expected);
        }
    }
}
