//! The steps in their order: open, identify, plan, write, verify, publish. The command and the Python module only call this.

mod channels;
mod classify;
mod convert;
mod error;
mod identify;
mod plan;
mod values;
mod verify;
mod write;

pub use classify::classify;
pub use convert::{ConvertRequest, Converted, Event, Hooks, Staged, convert};
pub use error::ConvertError;
pub use identify::{identify, network};
pub use plan::{Request, mapping_of, plan};
pub use verify::{Acceptance, NotAccepted, deviation_names, plan_for, verify};
pub use write::{WriteOptions, Written, write};
