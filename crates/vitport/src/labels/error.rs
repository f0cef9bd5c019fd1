//! What can be wrong with a list of labels. Every message names the file, the place in it and the way out, on one
//! line, with text from the file escaped.

use std::path::PathBuf;

/// Says why labels could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LabelError {
    /// Means that the file cannot be opened or read.
    #[error(
        "cannot read labels from {path:?}: {error}; name a readable file or a built-in set such as imagenet-1k"
    )]
    Read {
        /// Names the file that was named.
        path: PathBuf,
        /// Gives what the system reports.
        #[source]
        error: std::io::Error,
    },
    /// Means that there are more bytes than any list of class names has.
    #[error(
        "labels file {source_name:?} is larger than {limit} bytes, which no list of class names is; name another file"
    )]
    TooLarge {
        /// Names the file.
        source_name: String,
        /// Gives the most bytes that are read.
        limit: u64,
    },
    /// Means that there are more values than any head has classes.
    #[error(
        "labels file {source_name:?} holds more than {limit} values, and no head has so many classes; name another file"
    )]
    TooMany {
        /// Names the file.
        source_name: String,
        /// Gives the most values that are read.
        limit: usize,
    },
    /// Means that the bytes are not UTF-8 text.
    #[error("labels file {source_name:?} is not UTF-8 text (byte {offset}); save it as UTF-8")]
    Encoding {
        /// Names the file.
        source_name: String,
        /// Gives the offset of the first byte that is not UTF-8.
        offset: usize,
    },
    /// Means that it starts like JSON and is not JSON.
    #[error(
        "labels file {source_name:?} starts like JSON and is not: {error}; correct it, or write one label a line"
    )]
    Json {
        /// Names the file.
        source_name: String,
        /// Gives what the parser reports, with line and column.
        #[source]
        error: serde_json::Error,
    },
    /// Means JSON of a shape that holds no labels.
    #[error(
        "labels in {source_name:?}: {found}; expected a list of names, an object such as {{\"0\": \"cat\"}}, or a config.json with id2label"
    )]
    Shape {
        /// Names the file.
        source_name: String,
        /// Says what was found, and where.
        found: String,
    },
    /// Means that there is no label at all.
    #[error("labels file {source_name:?} holds no label; write one a line, in the order of the classes")]
    Empty {
        /// Names the file.
        source_name: String,
    },
    /// Means a class without a name: a blank line, or an empty string.
    #[error(
        "labels file {source_name:?}: class {class} has an empty name; give it one, or every later class would shift"
    )]
    Blank {
        /// Names the file.
        source_name: String,
        /// Gives the class, counted from 0.
        class: usize,
    },
    /// Means numbered labels that are not 0, 1, … n−1, each once.
    #[error(
        "labels in {source_name:?}: {given} names are numbered, but class {class} is {problem}; number them 0 to {last} each once"
    )]
    Numbering {
        /// Names the file.
        source_name: String,
        /// Says how many names there are.
        given: usize,
        /// Gives the first class at fault.
        class: usize,
        /// Says "missing" or "named twice".
        problem: &'static str,
        /// Gives the last number that there should be.
        last: usize,
    },
    /// Means that there are more or fewer labels than the head has classes.
    #[error(
        "{source_name:?} has {labels} labels and the model {classes} classes; name the list that it was trained with, or none for LABEL_0 to LABEL_n"
    )]
    Count {
        /// Names the file or option.
        source_name: String,
        /// Says how many labels it gives.
        labels: usize,
        /// Says how many classes the head has.
        classes: usize,
    },
}
