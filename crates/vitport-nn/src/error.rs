//! What can go wrong in a forward pass: a tensor that is not there or has another shape, a config
//! that describes no network, a size that no memory holds. Text from files is escaped by `{:?}`.

use std::error::Error;

/// Why a network could not be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ForwardError {
    /// The network needs a tensor that the weights do not hold.
    #[error(
        "the tensor {name:?} is missing, so the network cannot be run; check that the file holds the whole state dict"
    )]
    MissingTensor {
        /// Full name of the tensor, prefix included.
        name: String,
    },
    /// The weights hold the tensor in a shape that the definition or the config contradicts.
    #[error(
        "the tensor {name:?} has the shape {found:?} where the network's definition needs {expected:?}; check the architecture or config.json"
    )]
    WrongShape {
        /// Full name of the tensor.
        name: String,
        /// The shape that the definition asks for.
        expected: Vec<usize>,
        /// The shape that the file holds.
        found: Vec<usize>,
    },
    /// The tensor is there but its values could not be read as float32.
    #[error("the tensor {name:?} could not be read: {source}")]
    Unreadable {
        /// Full name of the tensor.
        name: String,
        /// What the reader said.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The definition or config does not describe a network that its framework could build.
    #[error("the configuration cannot be run: {detail}; correct it or convert the model again")]
    Config {
        /// What contradicts what.
        detail: String,
    },
    /// The image's pixels do not fit the network's input.
    #[error(
        "the network takes pixels of shape {expected:?} and was given {found:?}; check the image processor's size"
    )]
    Input {
        /// (channels, height, width) that the network takes.
        expected: [usize; 3],
        /// (channels, height, width) that came.
        found: [usize; 3],
    },
    /// A matrix would have more elements than this library is ready to hold.
    #[error(
        "{what} would need {rows} × {columns} numbers, more than vitport holds in memory; check the sizes in the configuration"
    )]
    TooLarge {
        /// What the matrix was to hold.
        what: &'static str,
        /// Rows asked for.
        rows: usize,
        /// Columns asked for.
        columns: usize,
    },
    /// A kernel was given operands that do not fit each other.
    #[error(
        "the operands of {kernel} do not fit each other: {detail}; this is a fault of the definition that called it"
    )]
    Operands {
        /// The kernel's name.
        kernel: &'static str,
        /// Which sizes met.
        detail: String,
    },
}

impl ForwardError {
    /// A configuration that its framework could not build, in words.
    pub fn config(detail: impl Into<String>) -> Self {
        Self::Config { detail: detail.into() }
    }

    pub(crate) fn operands(kernel: &'static str, detail: impl Into<String>) -> Self {
        Self::Operands { kernel, detail: detail.into() }
    }
}
