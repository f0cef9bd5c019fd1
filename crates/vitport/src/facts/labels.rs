//! Which words the classes get: the user's, the source's, those that timm infers from the class count, or placeholders.

use serde_json::Value;

use super::{FactError, FactOptions, LabelChoice, Origin, Sourced};
use crate::labels::{self, LabelError, LabelSet};

/// One name a class, in the order of the logits; all different, so that each class can be reached by its name.
pub type Labels = Sourced<Vec<String>>;

/// Returns the names for `classes` classes; `listed` are the names and descriptions that the source's config lists.
///
/// # Errors
/// Returns [`FactError::Labels`] if a list cannot be read or has another length than the head.
pub fn choose_labels(
    classes: u64,
    options: &FactOptions,
    listed: Option<(&Value, Option<&Value>)>,
) -> Result<Labels, FactError> {
    let count = usize::try_from(classes).unwrap_or(usize::MAX);
    let given = |names: Vec<String>, source_name: String| match names.len() {
        labels if labels != count => Err(LabelError::Count { source_name, labels, classes: count }),
        _ => Ok(Sourced::new(names, Origin::Option("--labels"))),
    };
    match &options.labels {
        Some(LabelChoice::Set(set)) => return Ok(given(set.labels(), format!("--labels {}", set.name()))?),
        Some(LabelChoice::File(path)) => {
            let source_name = path.display().to_string();
            let names = labels::from_file(path)?.for_classes(count, &source_name)?;
            return Ok(given(names, source_name)?);
        }
        Some(LabelChoice::None) => {
            return Ok(Sourced::new(labels::placeholder(count), Origin::Option("--labels none")));
        }
        None => {}
    }
    if let Some((names, descriptions)) = listed {
        let names = labels::from_timm(names, descriptions, count, "config.json")?;
        return Ok(Sourced::new(names.names().to_vec(), Origin::Config("label_names".to_owned())));
    }
    Ok(match LabelSet::by_class_count(count) {
        Some(set) => {
            let origin = Origin::Candidates(format!(
                "timm's registry: {} from its {classes} classes, as timm infers",
                set.name()
            ));
            Sourced::new(set.labels(), origin)
        }
        None => Sourced::new(
            labels::placeholder(count),
            Origin::Definition("no names are known for this class count; --labels FILE gives them"),
        ),
    })
}
