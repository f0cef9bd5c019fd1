//! Shows what a written folder is for: the images that it takes, its classes, and what to type next.

use std::path::Path;

use serde_json::Value;
use vitport::facts::Fact;
use vitport::model::Prepared;
use vitport_checkpoint::escape;

use super::prepared::INDENT;
use crate::terminal::wrap::{columns, wrap};

/// Returns a line for the images and one for the classes.
pub fn lines(prepared: &Prepared) -> Vec<String> {
    let columns = columns();
    let facts = &prepared.model.facts;
    let shown = |names: &[&str]| names.iter().find_map(|name| facts.get(name)).map(Fact::shown);
    let size = shown(&["img_size", "image_size"]).map(|size| size.replace(',', "x"));
    let named = |name: &str| Some(format!("{} {}", name, shown(&[name])?));
    let numbers = ["mean", "std", "interpolation", "crop_pct", "crop_mode"].into_iter().filter_map(named);
    let images = size.into_iter().chain(numbers).collect::<Vec<_>>().join(", ");
    let mut lines = Vec::new();
    if !images.is_empty() {
        lines.push(wrap("  images", &escape(&images).to_string(), INDENT, columns));
    }
    if let Some(labels) = facts.get("labels").filter(|_| is_classifier(prepared)) {
        let classes = format!("{} ({})", labels.shown(), labels.known_from());
        lines.push(wrap("  classes", &escape(&classes).to_string(), INDENT, columns));
    }
    lines
}

/// Returns what to type next: the command that classifies an image, or the Python that opens the folder.
pub fn next(prepared: &Prepared, out: &Path) -> String {
    let out = out.display().to_string();
    let text = match is_classifier(prepared) {
        true => format!(
            "vitport classify {} IMAGE",
            shlex::try_quote(&out).unwrap_or_else(|_| out.as_str().into())
        ),
        false => format!("transformers.AutoModel.from_pretrained({})", Value::from(out)),
    };
    format!("\nnext: {}", escape(&text))
}

fn is_classifier(prepared: &Prepared) -> bool {
    prepared.model.target_class().is_some_and(|target| target.class.contains("ForImageClassification"))
}
