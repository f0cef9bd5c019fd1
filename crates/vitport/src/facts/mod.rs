//! Facts are evidence: what is known of a model, where it came from, what contradicts it, and which questions are open. No
//! framework is known here; frameworks and the pipeline gather the evidence.

mod error;
mod evidence;
mod fact;
mod labels;
mod license;
mod options;

pub use error::{Contradiction, FactError, Question};
pub use evidence::Evidence;
pub(crate) use evidence::is_same;
pub use fact::{Fact, Facts, Origin, Sourced};
pub use labels::{Labels, choose_labels};
pub use license::{PublishedLicense, choose_license};
pub use options::{FactOptions, LabelChoice};
