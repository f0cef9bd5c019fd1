//! Microsoft's own repositories of models.

mod catalogue;
mod config;
pub mod cvt;
mod gather;
mod modules;
mod published;
mod recorded;
mod structure;

use self::config::CvtConfig;
use super::{Framework, KnownModel, SourceConfig};
use crate::facts::FactError;
use crate::source::ConfigFile;

/// Stands for Microsoft, as a framework.
pub struct Microsoft;

impl Framework for Microsoft {
    fn convertible(&self) -> String {
        "Microsoft's CvT".to_owned()
    }

    fn read_config<'a>(
        &self,
        config: &'a ConfigFile,
    ) -> Option<Result<Box<dyn SourceConfig + 'a>, FactError>> {
        Some(Ok(Box::new(CvtConfig::read(config)?)))
    }

    fn known_models(&self) -> Box<dyn Iterator<Item = KnownModel>> {
        Box::new(catalogue::known_models())
    }
}
