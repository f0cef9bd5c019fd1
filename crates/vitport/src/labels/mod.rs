//! What a class number means: the names that `config.json` has in `id2label`. They come from one of the ImageNet sets that
//! timm knows (embedded, [`LabelSet`]), from a file that the user names ([`from_file`]), from what the source's framework
//! keeps next to the weights, or from nowhere ([`placeholder`]); [`choose_labels`] decides. Whatever the source, no two classes
//! end up with the same name, so that `label2id` is the exact inverse of `id2label`.

mod choose;
mod error;
mod imagenet;
mod parse;
mod recorded;
mod unique;

pub use choose::{LabelChoice, Labels, choose_labels};
pub use error::LabelError;
pub use imagenet::LabelSet;
pub(crate) use parse::{class_number, quoted, shape};
pub use parse::{from_file, parse};
pub use recorded::recorded;
pub(crate) use unique::make_unique;

/// Holds the names of a model's classes, in the order of its logits; all different.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassNames {
    names: Vec<String>,
    made_unique: usize,
}

impl ClassNames {
    /// Returns the names, one a class, in the order of the logits.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Returns how many names had to be extended because the source gives them to several classes ("cat" twice becomes
    /// "cat (0)" and "cat (7)"); worth telling whoever wrote the source.
    pub fn made_unique(&self) -> usize {
        self.made_unique
    }

    /// Returns the names for a head of `classes` classes.
    ///
    /// # Errors
    /// Returns [`LabelError::Count`] if there are more or fewer names than classes; `source` is the file or option that
    /// the message blames.
    pub fn for_classes(self, classes: usize, source: &str) -> Result<Vec<String>, LabelError> {
        if self.names.len() == classes {
            Ok(self.names)
        } else {
            Err(LabelError::Count { source_name: source.to_owned(), labels: self.names.len(), classes })
        }
    }
}

/// Returns `LABEL_0`, `LABEL_1`, …: what transformers calls the classes of a model that names none
/// (`PretrainedConfig.num_labels`).
pub fn placeholder(classes: usize) -> Vec<String> {
    (0..classes).map(|index| format!("LABEL_{index}")).collect()
}
