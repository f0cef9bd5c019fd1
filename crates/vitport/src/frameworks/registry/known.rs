//! The rows of `vitport models` that a registry has, and what becomes of each.

use super::super::known_model::{Becomes, Exactness, KnownModel, class_of};
use super::super::{SOURCES, SourceDefinition, framework};
use super::Tag;
use crate::facts::Facts;

impl Tag {
    /// Returns the id of the definition that defines its network, and the facts that the registry has of it; none for a network
    /// that is not defined here.
    pub fn facts(&self) -> Option<(&'static str, Facts)> {
        let architecture = framework::find(self.architecture)?.architecture;
        let facts = |definition: &dyn SourceDefinition| {
            Some((definition.id(), definition.registered(architecture, self)?))
        };
        SOURCES.into_iter().find_map(facts)
    }

    /// Returns what it becomes: what the mappings make of the facts that the registry has of it.
    pub fn becomes(&self) -> Becomes {
        self.written_as().0
    }

    /// Returns what it becomes, and whether that must be asked for.
    fn written_as(&self) -> (Becomes, bool) {
        let is_exact = self.exactness == Exactness::Exact;
        let class = self.facts().and_then(|(definition, facts)| class_of(definition, &facts, is_exact));
        let (class, is_asked_for) =
            class.map_or((None, false), |(class, is_asked_for)| (Some(class), is_asked_for));
        let becomes = match (class, self.target.as_ref()) {
            (Some(class), _) => Becomes::Class(class),
            (None, Some(class)) => Becomes::NotYet(class.clone()),
            (None, None) if self.exactness == Exactness::NotExamined => Becomes::NotExamined,
            (None, None) => Becomes::Nothing,
        };
        (becomes, is_asked_for)
    }
}

/// Returns a tag as a row.
pub(in super::super) fn known_model(tag: &'static Tag) -> KnownModel {
    let [_, height, width] = tag.input_size;
    let (becomes, is_asked_for) = tag.written_as();
    KnownModel {
        name: tag.full_name(),
        family: match tag.module {
            "vision_transformer" | "deit" => "vit",
            module => module.trim_start_matches("torchvision."),
        },
        module: tag.is_timms().then_some(tag.module),
        exactness: Some(tag.exactness),
        parameters: tag.parameters,
        classes: tag.num_classes,
        image: [height, width],
        mean: tag.mean,
        std: tag.std,
        interpolation: tag.interpolation.clone(),
        crop_pct: tag.crop_pct,
        crop_mode: tag.crop_mode.clone(),
        license: tag.license.clone(),
        becomes,
        is_asked_for,
        note: tag.note.clone(),
        published_at: tag.hub_id.clone().or_else(|| tag.url.clone()).filter(|_| tag.has_weights),
    }
}
