//! The steps in their order: open, identify, plan, write, verify, publish. The command and the Python module only call this.

mod classify;
mod convert;
mod identify;
mod values;
mod verify;

pub use crate::convert::prepare as plan;
pub use classify::classify;
pub use convert::{ConvertRequest, Converted, Event, Hooks, Staged, convert};
pub use identify::{Model, identify, is_known};
pub use verify::{Acceptance, NotAccepted, verify, verify_hashed};
