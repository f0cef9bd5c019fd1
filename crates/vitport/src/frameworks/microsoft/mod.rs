//! Microsoft's own repositories of models.

mod catalogue;
pub mod cvt;
mod gather;
mod modules;
mod published;
mod recorded;
mod structure;

use super::{Framework, KnownModel};

/// Stands for Microsoft, as a framework.
pub struct Microsoft;

impl Framework for Microsoft {
    fn convertible(&self) -> String {
        "Microsoft's CvT".to_owned()
    }

    fn known_models(&self) -> Box<dyn Iterator<Item = KnownModel>> {
        Box::new(catalogue::known_models())
    }
}
