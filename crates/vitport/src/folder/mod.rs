//! Writes and reads the transformers folder on disk: which files it has, how the weights get into them, how it appears under
//! its name in one step, how one that exists is opened again, and what transformers does with it ([`loading`]).
//!
//! Nothing here knows a family. A [`crate::plan::Plan`] comes in, a folder comes out:
//! [`publish::Staging`] makes the place, [`layout::FileLayout`] says which files hold which tensors, [`gather::write_weights`] fills
//! them from the source, [`json`] writes the documents next to them, and [`reader::Folder`] opens the result.

mod block;
mod cast;
mod contents;
mod distances;
pub mod error;
mod fill;
pub mod gather;
mod header;
pub mod json;
mod kept;
pub mod layout;
pub mod loading;
pub mod npz;
mod occupant;
pub mod publish;
pub mod reader;
mod stale;
pub mod syncing;
pub(crate) mod written;

pub(crate) use cast::{from_f64, to_f64};
pub use contents::TargetContents;
pub use error::{FolderError, FolderErrorClass, Result};
pub use kept::is_kept;
