//! Which words the classes get: the user's, the source's, those that timm infers from the class count, or placeholders.

use std::path::PathBuf;

use super::{ClassNames, LabelError, LabelSet, from_file, placeholder};
use crate::facts::{Origin, Sourced};

/// Says which names the classes get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LabelChoice {
    /// Takes a built-in list.
    Set(LabelSet),
    /// Takes a file of the user's.
    File(PathBuf),
    /// Takes `LABEL_0`, `LABEL_1`, ….
    None,
}

/// Returns one name for each of `classes` classes, in the order of the logits, all different: those that are chosen, else those
/// that the source has, else those of the only set with so many classes.
///
/// # Errors
/// Returns [`LabelError`] if a list cannot be read or has another length than the head.
pub fn choose_labels(
    classes: usize,
    choice: Option<&LabelChoice>,
    of_source: Option<Sourced<ClassNames>>,
) -> Result<Sourced<Vec<String>>, LabelError> {
    match choice {
        Some(LabelChoice::Set(set)) => {
            let (names, source_name) = (set.labels(), format!("--labels {}", set.name()));
            return match names.len() {
                labels if labels != classes => Err(LabelError::Count { source_name, labels, classes }),
                _ => Ok(Sourced::new(names, Origin::Option("--labels"))),
            };
        }
        Some(LabelChoice::File(path)) => {
            let names = from_file(path)?.for_classes(classes, &path.display().to_string())?;
            return Ok(Sourced::new(names, Origin::Option("--labels")));
        }
        Some(LabelChoice::None) => {
            return Ok(Sourced::new(placeholder(classes), Origin::Option("--labels none")));
        }
        None => {}
    }
    if let Some(Sourced { value, origin }) = of_source {
        return Ok(Sourced::new(value.names().to_vec(), origin));
    }
    Ok(match LabelSet::by_class_count(classes) {
        Some(set) => {
            let which = format!("timm's registry: {} from its {classes} classes, as timm infers", set.name());
            Sourced::new(set.labels(), Origin::Candidates(which))
        }
        None => Sourced::new(
            placeholder(classes),
            Origin::Definition("no names are known for this class count; --labels FILE gives them"),
        ),
    })
}
