//! The steps in their order: open, identify, plan, write, verify, publish. The command and the Python module only call this.

mod back;
mod back_images;
mod channels;
mod classify;
mod convert;
mod convert_back;
mod diff;
mod error;
mod identify;
mod lost;
mod plan;
mod resample;
mod unheld;
mod values;
mod verify;
mod ways;
mod write;

pub use back::{BackRequest, PreparedBack, plan_back};
pub use classify::classify;
pub use convert::{ConvertRequest, Converted, Event, Hooks, Staged, convert};
pub use convert_back::{ConvertBackRequest, ConvertedBack, convert_back};
pub use diff::{Diff, Through};
pub use error::ConvertError;
pub use identify::{identify, network};
pub use plan::{Request, mapping_of, plan};
pub use verify::{
    Acceptance, NotAccepted, deviation_names, of_the_way_back, plan_for, verify, verify_watched,
};
pub use ways::ways_back;
pub use write::{WriteOptions, Written, write};
