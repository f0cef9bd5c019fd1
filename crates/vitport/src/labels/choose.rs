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

/// Returns one name for each of `classes` classes, in the order of the logits, all different, and what the source has instead
/// where that is overridden: those that are chosen, else those that the source has, else those of the only set with so many
/// classes. `trained_on` is what says that the classes are those of that set; without it that is an assumption.
///
/// # Errors
/// Returns [`LabelError`] if a list cannot be read or has another length than the head.
pub fn choose_labels(
    classes: usize,
    choice: Option<&LabelChoice>,
    of_source: Option<Sourced<ClassNames>>,
    trained_on: Option<Origin>,
) -> Result<Labels, LabelError> {
    let of_source = of_source.map(|names| Sourced::new(names.value.names().to_vec(), names.origin));
    let known = || of_source.unwrap_or_else(|| by_class_count(classes, trained_on));
    let given = match choice {
        None => return Ok(Labels { names: known(), overridden: None }),
        Some(LabelChoice::None) => Sourced::new(placeholder(classes), Origin::Request("--labels none")),
        Some(LabelChoice::Set(set)) => {
            let (names, source_name) = (set.labels(), format!("--labels {}", set.name()));
            match names.len() {
                labels if labels != classes => {
                    return Err(LabelError::Count { source_name, labels, classes });
                }
                _ => Sourced::new(names, Origin::Option("--labels")),
            }
        }
        Some(LabelChoice::File(path)) => {
            let names = from_file(path)?.for_classes(classes, &path.display().to_string())?;
            Sourced::new(names, Origin::Option("--labels"))
        }
    };
    let known = known();
    let is_claimed = !known.origin.is_assumption() && !matches!(known.origin, Origin::Placeholder(_));
    Ok(match is_claimed {
        true if known.value == given.value => Labels { names: known, overridden: None },
        true => Labels { names: given, overridden: Some(known) },
        false => Labels { names: given, overridden: None },
    })
}

/// Describes the names that were chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labels {
    /// Holds one name a class.
    pub names: Sourced<Vec<String>>,
    /// Holds those that the source has, where an option overrides them.
    pub overridden: Option<Sourced<Vec<String>>>,
}

/// Returns the names of the only set with so many classes, else placeholders.
fn by_class_count(classes: usize, trained_on: Option<Origin>) -> Sourced<Vec<String>> {
    let Some(set) = LabelSet::by_class_count(classes) else {
        let why = "no names are known for this class count; --labels FILE gives them";
        return Sourced::new(placeholder(classes), Origin::Placeholder(why));
    };
    let inferred = || {
        Origin::Candidates(format!(
            "timm's registry: {} from its {classes} classes, as timm infers",
            set.name()
        ))
    };
    Sourced::new(set.labels(), trained_on.unwrap_or_else(inferred))
}
