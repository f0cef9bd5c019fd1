//! Microsoft's CvT ("CvT: Introducing Convolutions to Vision Transformers", Wu et al. 2021) and transformers'
//! `CvtForImageClassification`.
//!
//! Source: lib/models/cls_cvt.py of Microsoft's CvT repository. Target: transformers/models/cvt. The two hold the same
//! weights and differ in one thing: Microsoft's factory passes QuickGELU, transformers hard-codes GELU, and no config value
//! changes that. It is a known deviation, which weighing measures and proves to be the only one.

mod config;
mod identify;
mod published;
mod structure;

pub mod forward_microsoft;
pub mod forward_transformers;

pub use published::{PUBLISHED, PUBLISHED_AT, Published, by_name, edge_in_name};

use serde_json::Value;

use self::forward_microsoft::ConvolutionalVisionTransformer;
use self::forward_transformers::CvtConfig;
use super::{Deviation, ExactCode, Family, RuleFile, SourceNetwork};
use crate::identify::{Hints, IdentifyError, Model};
use crate::image::{CropRounding, ImageError, MicrosoftTransform, Picture, Pixels, TimmTransform};
use crate::nn::{Activation, ForwardError, Observer, Output, Weights};
use crate::source::Source;
use crate::state_dict::StateDict;

/// The family.
pub struct Cvt;

/// Microsoft's layout.
const RULES: RuleFile = RuleFile { name: "cvt.toml", text: include_str!("rules.toml") };

impl Family for Cvt {
    fn name(&self) -> &'static str {
        "cvt"
    }

    fn description(&self) -> &'static str {
        "Microsoft's CvT"
    }

    fn maker(&self) -> Option<&'static str> {
        Some("microsoft")
    }

    fn rules(&self) -> &'static [RuleFile] {
        &[RULES]
    }

    fn recognises(&self, state_dict: &StateDict) -> bool {
        state_dict.has("stage0.patch_embed.proj.weight")
            && state_dict.find(|name| name.starts_with("stage0.blocks.0.attn.")).is_some()
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
        "ConvNextImageProcessor"
    }

    fn exact_code(&self) -> Option<ExactCode> {
        Some(ExactCode {
            file: "modeling_microsoft_cvt.py",
            text: include_str!("microsoft_code.py"),
            auto_class: "AutoModelForImageClassification",
            class: "modeling_microsoft_cvt.MicrosoftCvtForImageClassification",
        })
    }

    fn default_config(&self, _: &Value) -> Value {
        config::defaults()
    }

    fn ignored_keys(&self) -> &'static [&'static str] {
        &["layer_norm_eps", "hidden_act"]
    }

    fn runs(&self, config: &Value) -> bool {
        config.get("model_type").and_then(Value::as_str) == Some("cvt")
    }

    fn run_target(
        &self,
        config: &Value,
        weights: &dyn Weights,
        pixels: &Pixels,
        observer: &mut dyn Observer,
    ) -> Result<Output, ForwardError> {
        let config: CvtConfig = serde_json::from_value(config.clone())
            .map_err(|error| ForwardError::config(format!("config.json is no CvtConfig: {error}")))?;
        forward_transformers::Cvt::new(&config)?.forward(pixels, weights, observer)
    }
}

/// Microsoft's network with Microsoft's transform, or with another one that the user asked for.
struct MicrosoftCvt {
    network: ConvolutionalVisionTransformer,
    transform: Transform,
}

#[derive(Clone)]
enum Transform {
    Microsoft(MicrosoftTransform),
    Other(TimmTransform),
}

impl SourceNetwork for MicrosoftCvt {
    fn pixels(&self, picture: &Picture, rounding: CropRounding) -> Result<Pixels, ImageError> {
        match &self.transform {
            Transform::Microsoft(transform) => transform.apply_rounding(picture, rounding),
            Transform::Other(transform) => transform.apply_rounding(picture, rounding),
        }
    }

    fn run(
        &self,
        weights: &dyn Weights,
        pixels: &Pixels,
        observer: &mut dyn Observer,
    ) -> Result<Output, ForwardError> {
        self.network.forward(pixels, weights, observer)
    }

    fn deviation(&self) -> Option<Deviation> {
        if self.network.activation == Activation::Gelu {
            return None;
        }
        let network = ConvolutionalVisionTransformer { activation: Activation::Gelu, ..self.network.clone() };
        Some(Deviation {
            what: "Microsoft's CvT computes QuickGELU in its MLPs, transformers' CvT exact GELU, and no config value changes that",
            as_target_computes: Box::new(MicrosoftCvt { network, transform: self.transform.clone() }),
        })
    }
}
