//! Facts are evidence: what is known of a model, where it came from, what contradicts it, and which questions are open. Nothing
//! else of this crate is known here; frameworks and the pipeline gather the evidence.

mod basis;
mod error;
mod evidence;
mod fact;
mod question;

pub use basis::{Assumption, Basis, Following, Overridden};
pub use error::{Contradiction, FactError};
pub use evidence::Evidence;
pub(crate) use evidence::is_same;
pub use fact::{Fact, Facts, Origin, Sourced};
pub use question::{Candidate, Question};
