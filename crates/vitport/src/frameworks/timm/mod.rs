//! timm (PyTorch Image Models): its model files, its registry, and what hub folders and training runs say of a model.

mod arguments;
pub mod beit;
mod classes;
pub mod convnext;
mod definition;
pub mod efficientnet;
mod encoder;
pub mod eva;
mod field;
mod fitting;
mod gather;
mod hub_config;
mod image_size;
pub mod labels;
mod layers;
mod like;
mod named;
mod patch_embed;
mod positions;
mod preprocessing;
pub mod registry;
pub mod regnet;
mod resampling;
pub mod resnet;
mod saved_module;
mod stage_ratio;
mod statements;
mod structure;
mod swin_modules;
pub mod swin_transformer;
pub mod swin_transformer_v2;
mod training;
pub mod vision_transformer;
pub mod vision_transformer_relpos;
mod write_config;

use serde_json::{Map, Value, json};

use self::field::{Field, Kind, Literal};
pub use self::hub_config::TimmConfig;
use self::registry::{Architecture, Found, Tag};
use self::resampling::OtherSizes;
use self::structure::Structure;
use super::framework::convertible;
use super::registry::known_model;
use super::saved_modules::Role;
use super::{Framework, KnownModel, PublishedModel, SourceConfig};
use crate::facts::{Fact, FactError, Facts, is_same};
use crate::finding::Head;
use crate::nn::{ForwardError, Network};
use crate::source::ConfigFile;

/// Lists what every definition depends on.
const OF_ALL: [Field; 3] = [
    Field::plain("global_pool", Kind::Text),
    Field::argument("in_chans", "in_chans", Kind::Number),
    Field::argument("num_classes", "num_classes", Kind::Number),
];

/// Declares a definition of timm's: all that is read generically, and how its network is built.
#[derive(Debug)]
pub struct TimmDefinition {
    /// Gives its id.
    id: &'static str,
    /// Says what people call it: `timm's ViT`.
    description: &'static str,
    /// Lists timm's modules whose architectures it defines.
    modules: &'static [&'static str],
    /// Says what errors call these networks: `ViT`.
    family: &'static str,
    /// Says what its tensors show.
    structure: Structure,
    /// Lists where its classifier is: in timm's names, and in each layout.
    heads: &'static [Head],
    /// Lists the modules of a network that was saved whole, in a table for the classes of each framework that has it.
    saved_modules: &'static [&'static [Role]],
    /// Says what becomes of its weights for images of another size.
    other_sizes: OtherSizes,
    /// Says what it depends on, next to what all do ([`OF_ALL`]).
    fields: &'static [Field],
    /// Says what holds where nothing is said.
    usual: &'static [(&'static str, Literal)],
    /// Lists the facts of `usual` with the value that holds instead where another fact has the value after it.
    usual_instead: &'static [(&'static str, Literal, &'static str, Literal)],
    /// Lists the facts of `usual`, each with a fact that leaves it open where it is true.
    left_open: &'static [(&'static str, &'static str)],
    /// Gives the origin of what holds where nothing is said.
    by_definition: &'static str,
    /// Builds the network of a config.
    build: fn(&Map<String, Value>) -> Result<Network, ForwardError>,
}

impl TimmDefinition {
    /// Stands for a definition that declares nothing.
    const PLAIN: Self = Self {
        id: "",
        description: "",
        modules: &[],
        family: "",
        structure: Structure::NOTHING,
        heads: &[],
        saved_modules: &[],
        other_sizes: OtherSizes::Unsized,
        fields: &[],
        usual: &[],
        usual_instead: &[],
        left_open: &[],
        by_definition: "",
        build: |_| Err(ForwardError::config("there is no network")),
    };

    /// Returns all that it depends on.
    fn fields(&self) -> impl Iterator<Item = &'static Field> {
        self.fields.iter().chain(&OF_ALL)
    }

    /// Returns the modules of a network that was saved whole.
    #[cfg(test)]
    pub(super) fn saved_modules(&self) -> &'static [&'static [Role]] {
        self.saved_modules
    }

    /// Returns what a fact of `usual` is where nothing is said of it, by what is known.
    fn usually(&self, fact: &str, usual: Literal, facts: &Facts) -> Literal {
        let holds = |(own, _, cause, value): &&(&str, Literal, &str, Literal)| {
            let known = facts.value(cause);
            *own == fact && known.is_some_and(|known| is_same(known, &Value::from(*value)))
        };
        self.usual_instead.iter().find(holds).map_or(usual, |(_, instead, ..)| *instead)
    }

    /// Returns the facts that the registry has of one of its tags: what a model of that tag would be found to be.
    pub fn facts_of(&self, architecture: &Architecture, tag: &Tag) -> Facts {
        let origin = || registry::origin(&tag.full_name());
        let [channels, height, width] = tag.input_size;
        let mut facts = Facts::from_iter([
            Fact::new("in_chans", channels as u64, origin()),
            Fact::new("img_size", json!([height, width]), origin()),
            Fact::new("num_classes", tag.num_classes as u64, origin()),
            Fact::new("head", tag.num_classes > 0, origin()),
        ]);
        for field in self.fields() {
            let value = field.of_architecture(architecture);
            if let Some(value) = value.or_else(|| field.otherwise.map(Value::from)) {
                facts.set(Fact::new(field.fact, value, origin()));
            }
        }
        for (fact, value) in self.usual {
            if facts.get(fact).is_none() {
                facts.set(Fact::new(fact, *value, origin()));
            }
        }
        facts
    }
}

/// Lists every definition of timm's.
const DEFINITIONS: [&TimmDefinition; 10] = [
    &vision_transformer::DEFINITION,
    &vision_transformer_relpos::DEFINITION,
    &beit::DEFINITION,
    &eva::DEFINITION,
    &convnext::DEFINITION,
    &resnet::DEFINITION,
    &regnet::DEFINITION,
    &swin_transformer::DEFINITION,
    &swin_transformer_v2::DEFINITION,
    &efficientnet::DEFINITION,
];

/// Returns timm's modules whose architectures are defined here.
fn modules() -> Vec<&'static str> {
    DEFINITIONS.into_iter().flat_map(|definition| definition.modules).copied().collect()
}

/// Returns the refusal of an architecture that is defined here and that no mapping holds. Its tensors may look like another's: those of
/// EVAs with rotary positions alone are a DeiT-III's.
fn refuse_architecture(name: &str) -> Option<FactError> {
    let tag = registry::find(name)?.tag;
    let instead = tag.becomes().why_not()?;
    let unsaid = || "vitport has no mapping of such networks".to_owned();
    let why = tag.note.clone().unwrap_or_else(unsaid);
    Some(FactError::NoTarget { what: format!("timm's {name}"), why, tensor: None, instead })
}

/// Stands for timm, as a framework.
pub struct Timm;

impl Framework for Timm {
    fn convertible(&self) -> String {
        format!("timm's {} models", modules().join(", "))
    }

    fn read_config<'a>(
        &self,
        config: &'a ConfigFile,
    ) -> Option<Result<Box<dyn SourceConfig + 'a>, FactError>> {
        let read = TimmConfig::read(config);
        Some(read.map(|config| Box::new(config) as Box<dyn SourceConfig>))
    }

    fn refuse_by_name(&self, name: &str) -> Option<FactError> {
        let module = registry::module_of(name)?;
        if modules().contains(&module) {
            return refuse_architecture(name);
        }
        Some(FactError::NoTarget {
            what: format!("timm's {name}"),
            why: format!("it is of timm's family `{module}`, which has no mapping here yet"),
            tensor: None,
            instead: format!("vitport converts {}", convertible()),
        })
    }

    fn opened_by_name(&self, name: &str) -> Option<String> {
        let tag = registry::find(name)?.tag;
        let is_it = tag.has_weights && tag.hub_id.as_deref() == Some(&*format!("timm/{}", tag.full_name()));
        is_it.then(|| {
            format!(
                "with timm installed, transformers opens the published one as it is (TimmWrapper): \
                 AutoModel.from_pretrained(\"timm/{}\")",
                tag.full_name()
            )
        })
    }

    fn find(&self, name: &str) -> Option<Found> {
        registry::find(name)
    }

    fn suggest(&self, name: &str) -> Vec<String> {
        registry::suggest(name)
    }

    fn tags_of(&self, architecture: &str) -> Vec<&'static Tag> {
        registry::tags_of(architecture).collect()
    }

    fn published_in(&self, repository: &str) -> Option<PublishedModel> {
        let mut tags = registry::tags();
        tags.find(|tag| tag.hub_id.as_deref() == Some(repository)).map(Tag::published)
    }

    fn released_as(&self, file_name: &str) -> Option<PublishedModel> {
        registry::tags().find(|tag| tag.file_name() == Some(file_name)).map(Tag::published)
    }

    fn known_models(&self) -> Box<dyn Iterator<Item = KnownModel>> {
        Box::new(registry::tags().map(known_model))
    }
}
