//! What can be wrong with a list of labels. Every message names the file, the place in it and the way out, on one
//! line, with text from the file escaped.

use std::path::PathBuf;

/// Why labels could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LabelError {
    /// The file cannot be opened or read.
    #[error(
        "cannot read labels from {path:?}: {error}; name a readable file or a built-in set such as imagenet-1k"
    )]
    Read {
        /// The file that was named.
        path: PathBuf,
        /// What the system said.
        #[source]
        error: std::io::Error,
    },
    /// More bytes than any list of class names has.
    #[error(
        "labels file {source_name:?} is larger than {limit} bytes, which no list of class names is; name another file"
    )]
    TooLarge {
        /// The file.
        source_name: String,
        /// The most bytes that are read.
        limit: u64,
    },
    /// The bytes are not UTF-8 text.
    #[error("labels file {source_name:?} is not UTF-8 text (byte {offset}); save it as UTF-8")]
    Encoding {
        /// The file.
        source_name: String,
        /// Offset of the first byte that is not UTF-8.
        offset: usize,
    },
    /// It starts like JSON and is not JSON.
    #[error(
        "labels file {source_name:?} starts like JSON and is not: {error}; correct it, or write one label a line"
    )]
    Json {
        /// The file.
        source_name: String,
        /// What the parser said, with line and column.
        #[source]
        error: serde_json::Error,
    },
    /// JSON of a shape that holds no labels.
    #[error(
        "labels in {source_name:?}: {found}; expected a list of names, an object such as {{\"0\": \"cat\"}}, or a config.json with id2label"
    )]
    Shape {
        /// The file.
        source_name: String,
        /// What was found, and where.
        found: String,
    },
    /// No label at all.
    #[error("labels file {source_name:?} holds no label; write one a line, in the order of the classes")]
    Empty {
        /// The file.
        source_name: String,
    },
    /// A class without a name: a blank line, or an empty string.
    #[error(
        "labels file {source_name:?}: class {class} has an empty name; give it one, or every later class would shift"
    )]
    Blank {
        /// The file.
        source_name: String,
        /// The class, counted from 0.
        class: usize,
    },
    /// Numbered labels that are not 0, 1, … n−1, each once.
    #[error(
        "labels in {source_name:?}: {given} names are numbered, but class {class} is {problem}; number them 0 to {last} each once"
    )]
    Numbering {
        /// The file.
        source_name: String,
        /// How many names there are.
        given: usize,
        /// The first class at fault.
        class: usize,
        /// "missing" or "named twice".
        problem: &'static str,
        /// The last number that there should be.
        last: usize,
    },
    /// More or fewer labels than the head has classes.
    #[error(
        "{source_name:?} has {labels} labels and the model {classes} classes; name the list that it was trained with, or none for LABEL_0 to LABEL_n"
    )]
    Count {
        /// The file or option.
        source_name: String,
        /// How many labels it gives.
        labels: usize,
        /// How many classes the head has.
        classes: usize,
    },
}
