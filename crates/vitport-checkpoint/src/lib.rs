//! Files of tensors, read safely and lazily: what is in them, and where the bytes lie.

mod checkpoint;
mod contents;
mod detect;
mod dtype;
mod error;
mod escape;
mod evidence;
mod expansion;
mod index;
mod limits;
mod metadata;
mod numpy;
mod open;
mod pickle;
mod read;
mod roots;
mod safetensors;
mod source;
mod storage;
mod tar;
mod tensor;
mod torch;
mod zip;

pub use checkpoint::Checkpoint;
pub use dtype::Dtype;
pub use error::{Class, Error, Reason, Refusal};
pub use escape::{Escaped, escape};
pub use evidence::{Container, Evidence, Global, GlobalClass, Unsupported};
pub use limits::Limits;
pub use metadata::{Metadata, Scalar};
pub use read::audit::Audit;
pub use roots::{ChosenBy, Root, RootChoice};
pub use storage::{Encoding, SourceFile, Storage};
pub use tensor::{Lazily, Tensor};
