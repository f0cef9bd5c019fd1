//! Files of tensors, read safely and lazily: what is in them, and where the bytes lie.
//!
//! [`Checkpoint::open`] takes a file, a folder or a shard index and understands safetensors, PyTorch's zip,
//! its legacy stream and its tar, plain pickles, whole modules, TorchScript archives and numpy's `.npz`.
//! What it gives is the same for all of them: a list of [`Tensor`]s, each a checked view of a [`Storage`],
//! and [`Checkpoint::read`], which fetches any range of a tensor's elements in row-major order.
//!
//! ```
//! # use std::path::Path;
//! use vitport_checkpoint::{Checkpoint, Limits};
//!
//! # let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/train.pth");
//! let checkpoint = Checkpoint::open(Path::new(file), &Limits::default())?;
//! assert_eq!(checkpoint.root().path, "state_dict");
//!
//! let weight = checkpoint.tensor("weight").ok_or("no weight")?;
//! assert_eq!(weight.shape[..], [2, 3]);
//! let mut row = [0; 12];
//! checkpoint.read(weight, 3, &mut row)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The promise
//!
//! A file may have been written by anybody. Whatever is in it:
//!
//! - **Nothing is run.** A pickle is a program that can call any function; the machine that reads it here
//!   has no instruction for it. What a call would have been is kept as text, in the [`FileEvidence`]; a file
//!   with a call that would be dangerous in Python is refused unless [`Limits`] allow it.
//! - **Nothing is believed.** Every length, count and offset is compared with what the file has before
//!   memory is set aside for it, and every view is checked to lie in its storage. [`Limits`] bound the rest.
//! - **Nothing is ambiguous.** Where a file says one thing twice, both must agree; what another reader
//!   would see differently is refused ([`Reason::Contradiction`]).
//! - **Nothing is wrong silently.** Strides, offsets, byte order and lazily recorded operations are
//!   honoured; what cannot be represented is refused by name; checksums, where a format has any, are
//!   verified by an [`Audit`] while the bytes pass.
//! - **Nothing panics**, there is no `unsafe`, and a refusal is one line that says what, where, why and
//!   what to do ([`CheckpointError`]). Names are shown through [`escape`].
//! - **Nothing is read before it is wanted.** Opening reads headers, directories and pickles. A file that
//!   is rewritten while it is open gives other bytes or an error, not undefined behaviour, since it is read
//!   at positions and never mapped; an [`Audit`] refuses it, and so does [`Checkpoint::check_unchanged`].
//!
//! What it cannot notice: safetensors, legacy streams, tars and plain pickles have no checksums, so a
//! flipped bit in their weights is a different weight; and a file whose checksums were all set to zero has
//! none either (that is noted).
//!
//! # The modules
//!
//! | module | what it is about |
//! |---|---|
//! | `open`, `detect`, `index` | from a path to a kind of file; folders and shards |
//! | `safetensors`, `zip`, `tar`, `numpy` | the containers, each by itself |
//! | `pickle` | the machine and the table of values it fills |
//! | `torch` | PyTorch's three formats on top of those; from a pickled object to named tensors |
//! | `roots` | which nested part holds the weights |
//! | `read` | from a tensor to its bytes: contiguous, strided, compressed, supervised |
//! | `regular` | files that have to be files, no pipes |
//! | `platform` | what operating systems do differently |
//! | `source` | positional reads and bounded streams |
//! | `expansion` | small files that describe too much |

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
mod opened;
mod pickle;
mod plain_value;
pub mod platform;
mod read;
mod regular;
mod roots;
mod safetensors;
mod saved_module;
mod source;
mod stop;
mod storage;
mod tar;
mod tensor;
mod torch;
mod training_folder;
mod zip;

pub use checkpoint::Checkpoint;
pub use dtype::Dtype;
pub use error::{CheckpointError, CheckpointErrorClass, Reason, Refusal};
pub use escape::{Escaped, escape, is_unsafe_to_show};
pub use evidence::{Container, FileEvidence, Global, GlobalClass, Unsupported};
pub use limits::Limits;
pub use metadata::Metadata;
pub use opened::FileHandle;
pub use plain_value::{PlainCall, PlainValue};
pub use read::audit::Audit;
pub use regular::{is_no_file, open_regular, read_regular};
pub use roots::{ChosenBy, Root, RootChoice};
pub use saved_module::SavedModule;
pub use stop::Stop;
pub use storage::{Encoding, SourceFile, Storage, StoragePart};
pub use tensor::{Dims, LazyBits, Tensor};
