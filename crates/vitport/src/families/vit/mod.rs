//! timm's Vision Transformer and transformers' `ViTForImageClassification` and `ViTModel`.
//!
//! Source: timm/models/vision_transformer.py and deit.py. Target: transformers/models/vit. The target holds exactly the
//! models with a class token, a final norm, plain attention and a plain MLP; layer scale is folded into the weights before
//! it, positions that leave the class token out get a zero row. Everything else is refused by name. The original JAX
//! releases (`.npz`) hold the same network in a layout of their own, which `jax.rs` and `rules_jax.toml` know.

mod architecture;
mod arguments;
mod config;
mod identify;
mod jax;
mod preprocess;
mod refusals;
mod structure;

pub mod forward_timm;
pub mod forward_transformers;

use serde_json::Value;

use self::forward_timm::VisionTransformer;
use self::forward_transformers::{ViT, ViTConfig};
use self::jax::JaxWeights;
use self::structure::Layout;
use super::{Family, RuleFile, SourceNetwork};
use crate::identify::{Hints, IdentifyError, Model};
use crate::image::{CropRounding, ImageError, Picture, Pixels, TimmTransform};
use crate::nn::{ForwardError, Observer, Output, Weights};
use crate::source::Source;
use crate::state_dict::StateDict;

/// The family.
pub struct Vit;

/// timm's layout.
const RULES: RuleFile = RuleFile { name: "vit.toml", text: include_str!("rules.toml") };

/// The layout of the original JAX releases.
const JAX_RULES: RuleFile = RuleFile { name: "vit_jax.toml", text: include_str!("rules_jax.toml") };

impl Family for Vit {
    fn name(&self) -> &'static str {
        "vit"
    }

    fn description(&self) -> &'static str {
        "timm's ViT"
    }

    fn maker(&self) -> Option<&'static str> {
        Some("timm")
    }

    fn rules(&self) -> &'static [RuleFile] {
        &[RULES, JAX_RULES]
    }

    fn recognises(&self, state_dict: &StateDict) -> bool {
        let has_patches = state_dict.has("patch_embed.proj.weight")
            || state_dict.find(|name| name.starts_with("patch_embed.backbone.")).is_some();
        let is_timm = has_patches && state_dict.find(|name| name.starts_with("blocks.0.")).is_some();
        is_timm || jax::recognises(state_dict)
    }

    fn identify(
        &self,
        source: &Source,
        state_dict: StateDict,
        hints: &Hints,
    ) -> Result<Model, IdentifyError> {
        identify::identify(source, state_dict, hints)
    }

    fn default_processor(&self) -> &'static str {
        "ViTImageProcessor"
    }

    fn default_config(&self, config: &Value) -> Value {
        config::defaults(config)
    }

    fn runs(&self, config: &Value) -> bool {
        config.get("model_type").and_then(Value::as_str) == Some("vit")
    }

    fn run_target(
        &self,
        config: &Value,
        weights: &dyn Weights,
        pixels: &Pixels,
        observer: &mut dyn Observer,
    ) -> Result<Output, ForwardError> {
        let config: ViTConfig = serde_json::from_value(config.clone())
            .map_err(|error| ForwardError::config(format!("config.json is no ViTConfig: {error}")))?;
        ViT::new(config)?.forward(pixels, weights, observer)
    }
}

/// timm's network with timm's transform.
struct TimmVit {
    network: VisionTransformer,
    transform: TimmTransform,
    layout: Layout,
}

impl SourceNetwork for TimmVit {
    fn pixels(&self, picture: &Picture, rounding: CropRounding) -> Result<Pixels, ImageError> {
        self.transform.apply_rounding(picture, rounding)
    }

    fn run(
        &self,
        weights: &dyn Weights,
        pixels: &Pixels,
        observer: &mut dyn Observer,
    ) -> Result<Output, ForwardError> {
        match self.layout {
            Layout::Timm => self.network.forward(pixels, weights, observer),
            Layout::Jax { .. } => {
                let weights = JaxWeights::new(weights, self.network.heads);
                self.network.forward(pixels, &weights, observer)
            }
        }
    }
}
