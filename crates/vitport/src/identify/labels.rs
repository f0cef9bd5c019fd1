//! Which words the classes get: the user's, the source's, those that timm infers from the class count, or placeholders.

use super::{Hints, IdentifyError, Known, LabelChoice, Origin};
use crate::labels::{self, LabelError, LabelSet};
use crate::source::TimmConfig;

/// One name a class, in the order of the logits; all different, so that each class can be reached by its name.
pub type Labels = Known<Vec<String>>;

/// The names for `classes` classes.
///
/// # Errors
/// [`IdentifyError::Labels`] if a list cannot be read or has another length than the head.
pub fn choose_labels(
    classes: u64,
    hints: &Hints,
    config: Option<&TimmConfig>,
) -> Result<Labels, IdentifyError> {
    let count = usize::try_from(classes).unwrap_or(usize::MAX);
    let given = |names: Vec<String>, source_name: String| match names.len() {
        labels if labels != count => Err(LabelError::Count { source_name, labels, classes: count }),
        _ => Ok(Known::new(names, Origin::Option("--labels"))),
    };
    match &hints.labels {
        Some(LabelChoice::Set(set)) => return Ok(given(set.labels(), format!("--labels {}", set.name()))?),
        Some(LabelChoice::File(path)) => {
            let source_name = path.display().to_string();
            let names = labels::from_file(path)?.for_classes(count, &source_name)?;
            return Ok(given(names, source_name)?);
        }
        Some(LabelChoice::None) => {
            return Ok(Known::new(labels::placeholder(count), Origin::Option("--labels none")));
        }
        None => {}
    }
    if let Some(config) = config
        && let Some(names) = config.label_names()
    {
        let names = labels::from_timm(names, config.label_descriptions(), count, "config.json")?;
        return Ok(Known::new(names.names().to_vec(), Origin::HubConfig("label_names")));
    }
    Ok(match LabelSet::by_class_count(count) {
        Some(set) => {
            let origin = Origin::Zoo(format!("{} from its {classes} classes, as timm infers", set.name()));
            Known::new(set.labels(), origin)
        }
        None => Known::new(
            labels::placeholder(count),
            Origin::Definition("no names are known for this class count; --labels FILE gives them"),
        ),
    })
}
