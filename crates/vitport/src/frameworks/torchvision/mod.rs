//! torchvision: its registry. Those of its networks that can be converted are timm's under other names, or under the same.

pub mod registry;

use super::framework::convertible;
use super::registry::{Architecture, Found, Tag, known_model};
use super::{Framework, KnownModel, PublishedModel};
use crate::facts::FactError;

/// Stands for torchvision, as a framework.
pub struct Torchvision;

impl Framework for Torchvision {
    fn convertible(&self) -> String {
        "torchvision's networks that are the same".to_owned()
    }

    fn refuse_by_name(&self, name: &str) -> Option<FactError> {
        let Found { architecture, tag, .. } = registry::find(name)?;
        if tag.facts().is_some() {
            return None;
        }
        let why = match (&tag.target, &tag.note) {
            (Some(class), Some(note)) => {
                format!("{class} could hold it, which vitport does not write yet: {note}")
            }
            (Some(class), None) => format!("{class} could hold it, which vitport does not write yet"),
            (None, Some(note)) => note.clone(),
            (None, None) => "nobody has examined which class could hold it".to_owned(),
        };
        Some(FactError::NoTarget {
            what: format!("torchvision's {} ({name})", architecture.class),
            why,
            tensor: None,
            instead: format!("vitport converts {}", convertible()),
        })
    }

    fn find(&self, name: &str) -> Option<Found> {
        registry::find(name)
    }

    fn suggest(&self, name: &str) -> Vec<String> {
        if name.starts_with("torchvision/") { registry::suggest(name) } else { Vec::new() }
    }

    fn tags_of(&self, architecture: &str) -> Vec<&'static Tag> {
        registry::weights_of(architecture).collect()
    }

    fn released_as(&self, file_name: &str) -> Option<PublishedModel> {
        registry::weights().find(|tag| tag.file_name() == Some(file_name)).map(Tag::published)
    }

    fn weights_like(&self, module: &str) -> Vec<&'static Tag> {
        registry::weights().filter(|weights| weights.module == module).collect()
    }

    fn architectures_like(&self, module: &str) -> Vec<&'static Architecture> {
        registry::architectures().filter(|architecture| architecture.module == module).collect()
    }

    fn known_models(&self) -> Box<dyn Iterator<Item = KnownModel>> {
        Box::new(registry::weights().map(known_model))
    }
}
