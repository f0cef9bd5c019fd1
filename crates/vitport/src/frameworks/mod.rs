//! Frameworks define networks. There is a folder for each framework, and in it a file for each of the framework's own model
//! files, under the same name. A definition is built from a config without weights; it says which tensors the network
//! reads and computes its forward pass. Definitions of two frameworks share modules and never each other.

mod framework;
mod known_model;
mod literal;
pub mod microsoft;
pub mod registry;
mod saved_modules;
pub mod source;
pub mod timm;
pub mod torchvision;
pub mod transformers;

pub use framework::{Framework, PublishedModel, SourceConfig, opened_by_name, read_config, refuse_by_name};
pub use known_model::{Becomes, Exactness, KnownModel};
pub use saved_modules::SavedModules;
pub use source::{Identity, Inquiry, Preparation, SourceDefinition, Transform};

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::nn::{Forward, ForwardError, Network, Scope};

/// Describes a framework's definition of a network.
pub trait Definition: Sync {
    /// Returns the framework and the name of its model file: `timm/vision_transformer`.
    fn id(&self) -> &'static str;

    /// Builds the network of a config, without weights.
    ///
    /// # Errors
    /// Returns [`ForwardError::Config`] when the framework could not build it, or the config asks for what is not defined
    /// here.
    fn build(&self, config: &Map<String, Value>) -> Result<Network, ForwardError>;
}

/// Builds the network of a config whose type is `C`; `whose` config it is is named where it cannot be read. Keys that the
/// definition does not read are left alone.
///
/// # Errors
/// Returns [`ForwardError::Config`] for a key that is missing or has a value of another kind, and what `new` does.
pub(crate) fn build<C: DeserializeOwned, M: Forward + 'static>(
    whose: &str,
    config: &Map<String, Value>,
    new: impl FnOnce(&Scope, &C) -> Result<M, ForwardError>,
) -> Result<Network, ForwardError> {
    let config = serde_json::from_value(Value::Object(config.clone()))
        .map_err(|error| ForwardError::config(format!("this is not a config of {whose}: {error}")))?;
    Network::build(|scope| new(scope, &config))
}

/// Returns the entry of a stage in one of a config's lists.
pub(crate) fn of_stage<T: Clone>(field: &str, entries: &[T], index: usize) -> Result<T, ForwardError> {
    entries.get(index).cloned().ok_or_else(|| {
        ForwardError::config(format!("{field} has {} entries, none for stage {index}", entries.len()))
    })
}

/// Lists every framework whose models can be converted.
pub const FRAMEWORKS: [&dyn Framework; 3] = [&timm::Timm, &torchvision::Torchvision, &microsoft::Microsoft];

/// Lists every definition whose checkpoints can be converted, in the order in which they are tried.
pub const SOURCES: [&dyn SourceDefinition; 11] = [
    // Their tensors are a ViT's with tables of relative positions, or with other names of biases and scales.
    &timm::beit::DEFINITION,
    &timm::eva::DEFINITION,
    &timm::vision_transformer_relpos::DEFINITION,
    &timm::vision_transformer::DEFINITION,
    &timm::convnext::DEFINITION,
    &timm::resnet::DEFINITION,
    &timm::regnet::DEFINITION,
    &timm::swin_transformer::DEFINITION,
    &timm::swin_transformer_v2::DEFINITION,
    &timm::efficientnet::DEFINITION,
    &microsoft::cvt::MicrosoftCvt,
];

/// Lists every definition of transformers that can be written and run.
pub const TARGETS: [&dyn transformers::TargetDefinition; 23] = [
    &transformers::vit::DEFINITION,
    &transformers::clip::DEFINITION,
    &transformers::siglip::DEFINITION,
    &transformers::siglip::CLASSIFIER,
    &transformers::ijepa::DEFINITION,
    &transformers::aimv2::DEFINITION,
    &transformers::internvl::DEFINITION,
    &transformers::tipsv2::DEFINITION,
    &transformers::radio::DEFINITION,
    &transformers::beit::DEFINITION,
    &transformers::dinov2::DEFINITION,
    &transformers::dinov2_with_registers::DEFINITION,
    &transformers::deit::DEFINITION,
    &transformers::dinov3_vit::DEFINITION,
    &transformers::dinov3_convnext::DEFINITION,
    &transformers::convnext::DEFINITION,
    &transformers::convnextv2::DEFINITION,
    &transformers::resnet::DEFINITION,
    &transformers::regnet::DEFINITION,
    &transformers::swin::DEFINITION,
    &transformers::swinv2::DEFINITION,
    &transformers::efficientnet::DEFINITION,
    &transformers::cvt::Cvt,
];

/// Returns the definition of transformers with that id.
pub fn target(id: &str) -> Option<&'static dyn transformers::TargetDefinition> {
    TARGETS.into_iter().find(|target| target.id() == id)
}

/// Lists the frameworks that folders go back to.
pub const DESTINATIONS: [&str; 5] = ["timm", "torchvision", "microsoft", "meta", "jax"];

/// Returns what people call those whose framework it is: `Microsoft` for `microsoft`.
pub fn maker_of(framework: &str) -> &str {
    match framework {
        "microsoft" => "Microsoft",
        "meta" => "Meta",
        "jax" => "Google",
        framework => framework,
    }
}
