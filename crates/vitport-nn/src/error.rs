//! Says what can go wrong in a forward pass: a tensor that is not there or has another shape, a config that describes no
//! network, a size that no memory holds. Text from files is escaped by `{:?}`.

use std::error::Error;

/// Says why a network could not be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ForwardError {
    /// Means that the network needs a tensor that the weights do not hold.
    #[error(
        "the tensor {name:?} is missing, so the network cannot be run; check that the file holds the whole state dict"
    )]
    MissingTensor {
        /// Gives the full name of the tensor, prefix included.
        name: String,
    },
    /// Means that the weights hold the tensor in a shape that the definition or the config contradicts.
    #[error(
        "the tensor {name:?} has the shape {found:?} where the network's definition needs {expected:?}; check the architecture or config.json"
    )]
    WrongShape {
        /// Gives the full name of the tensor.
        name: String,
        /// Gives the shape that the definition asks for.
        expected: Vec<usize>,
        /// Gives the shape that the file holds.
        found: Vec<usize>,
    },
    /// Means that the tensor is there but its values could not be read as float32.
    #[error("the tensor {name:?} could not be read: {source}")]
    Unreadable {
        /// Gives the full name of the tensor.
        name: String,
        /// Holds what the reader said.
        source: Box<dyn Error + Send + Sync>,
    },
    /// Means that the definition or config does not describe a network that its framework could build.
    #[error("the configuration cannot be run: {detail}; correct it or convert the model again")]
    Config {
        /// Says what contradicts what.
        detail: String,
    },
    /// Means that the image's pixels do not fit the network's input.
    #[error(
        "the network takes pixels of shape {expected:?} and was given {found:?}; check the image processor's size"
    )]
    Input {
        /// Gives the (channels, height, width) that the network takes.
        expected: [usize; 3],
        /// Gives the (channels, height, width) that came.
        found: [usize; 3],
    },
    /// Means that a matrix would have more elements than this library is ready to hold.
    #[error(
        "{what} would need {rows} × {columns} numbers, more than vitport holds in memory; check the sizes in the configuration"
    )]
    TooLarge {
        /// Says what the matrix was to hold.
        what: &'static str,
        /// Counts the rows asked for.
        rows: usize,
        /// Counts the columns asked for.
        columns: usize,
    },
    /// Means that a kernel was given operands that do not fit each other.
    #[error(
        "the operands of {kernel} do not fit each other: {detail}; this is a fault of the definition that called it"
    )]
    Operands {
        /// Gives the kernel's name.
        kernel: &'static str,
        /// Says which sizes met.
        detail: String,
    },
}

impl ForwardError {
    /// Returns the error for a configuration that its framework could not build, in words.
    pub fn config(detail: impl Into<String>) -> Self {
        Self::Config { detail: detail.into() }
    }

    pub(crate) fn operands(kernel: &'static str, detail: impl Into<String>) -> Self {
        Self::Operands { kernel, detail: detail.into() }
    }
}
