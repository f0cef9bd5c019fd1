//! Hugging Face transformers: its model files, its config classes' defaults, and what its classes are called.

mod activations;
pub mod aimv2;
pub mod beit;
pub mod clip;
pub mod convnext;
pub mod convnextv2;
pub mod cvt;
mod definition;
pub mod deit;
pub mod dinov2;
pub mod dinov2_with_registers;
pub mod dinov3_convnext;
pub mod dinov3_vit;
pub mod efficientnet;
mod encoder;
pub mod ijepa;
pub mod internvl;
pub mod radio;
pub mod regnet;
mod residual;
pub mod resnet;
pub mod siglip;
pub mod swin;
pub mod swinv2;
mod synonyms;
pub mod tipsv2;
pub mod vit;

use serde::Deserialize;
use serde_json::{Map, Value};

pub use self::definition::{OneClass, TwoClasses};
pub(crate) use self::synonyms::{in_usual_words, is_idle};
use super::Definition;
use crate::nn::ForwardError;

/// Describes a definition of transformers.
pub trait TargetDefinition: Definition {
    /// Returns the `model_type` of its configs: `vit`.
    fn model_type(&self) -> &'static str;

    /// Returns the defaults of its config class for the keys that `config` leaves out.
    fn defaults(&self, config: &Map<String, Value>) -> Map<String, Value>;

    /// Returns what a folder with this config is used for.
    fn task(&self, config: &Map<String, Value>) -> Task {
        match first_architecture(config) {
            Some(class) if class.ends_with("ForImageClassification") => Task::Classification,
            _ => Task::POOLED,
        }
    }

    /// Returns the keys that the config class accepts and the network ignores.
    fn ignored_keys(&self) -> &'static [&'static str] {
        &[]
    }

    /// Returns the keys whose lists are read as far as there are stages; entries beyond these are ignored.
    fn stage_lists(&self) -> &'static [&'static str] {
        &[]
    }

    /// Returns code that gives the source's exact network where this class deviates.
    fn exact_code(&self) -> Option<ExactCode> {
        None
    }
}

/// Says what a folder is used for, as its model card shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Says that its outputs are scores of classes, which have names.
    Classification,
    /// Says that its outputs are features of the image.
    Features {
        /// Gives the class of transformers that loads it.
        loader: &'static str,
        /// Gives the output that holds the features.
        output: &'static str,
        /// Gives a sentence on what that output is.
        remark: Option<&'static str>,
    },
}

impl Task {
    /// Stands for the features that `AutoModel` gives as `pooler_output`.
    pub const POOLED: Self = Self::Features { loader: "AutoModel", output: "pooler_output", remark: None };

    /// Stands for the mean over the tokens of a model without class token, which timm takes and the class does not.
    pub const MEAN_OF_PATCHES: Self = Self::Features {
        loader: "AutoModel",
        output: "last_hidden_state.mean(1)",
        remark: Some("The class has no pooling: the mean over the patches is the source's pooled output."),
    };

    /// Stands for the mean of the class token and the distillation token, which timm takes and the class does not.
    pub const MEAN_OF_TWO_TOKENS: Self = Self::Features {
        loader: "AutoModel",
        output: "last_hidden_state[:, :2].mean(1)",
        remark: Some("The class has no pooling of both tokens: their mean is the source's pooled output."),
    };

    /// Stands for the class token of a model without pooling.
    pub const CLASS_TOKEN: Self = Self::Features {
        loader: "AutoModel",
        output: "last_hidden_state[:, 0]",
        remark: Some("The class has no pooling: its first token is the source's pooled output."),
    };
}

/// Describes a small Python module for a folder, and how `config.json` points to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExactCode {
    /// Gives the name of the file.
    pub file: &'static str,
    /// Gives its text.
    pub text: &'static str,
    /// Gives the Auto class that loads it.
    pub auto_class: &'static str,
    /// Gives `module.Class`, as `auto_map` has it.
    pub class: &'static str,
}

/// Holds a size that `config.json` writes as one number or as [height, width].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub(crate) enum ImageSize {
    /// Is height and width alike.
    Square(usize),
    /// Is [height, width].
    Sides([usize; 2]),
}

impl ImageSize {
    /// Returns (height, width).
    pub(crate) fn sides(self) -> (usize, usize) {
        match self {
            Self::Square(side) => (side, side),
            Self::Sides([height, width]) => (height, width),
        }
    }
}

/// Holds what every config of transformers says of its classes.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub(crate) struct Labels {
    /// Holds class names by number; their count is the number of classes.
    #[serde(default)]
    id2label: Option<Map<String, Value>>,
    /// Gives the number of classes where there is no `id2label`.
    #[serde(default)]
    num_labels: Option<usize>,
}

impl Labels {
    /// Returns the number of classes, `PretrainedConfig.num_labels`: two unless the config says otherwise.
    pub(crate) fn count(&self) -> usize {
        match &self.id2label {
            Some(labels) => labels.len(),
            None => self.num_labels.unwrap_or(2),
        }
    }
}

/// Returns the class that a config is for: the first of its `architectures`.
pub(crate) fn first_architecture(config: &Map<String, Value>) -> Option<&str> {
    config.get("architectures")?.get(0)?.as_str()
}

/// Returns the first of a config's `architectures`, if it is one of these classes.
///
/// # Errors
/// Returns [`ForwardError::Config`] for any other.
pub(crate) fn architecture_among<'a>(
    config: &Map<String, Value>,
    classes: &'a [&'static str],
) -> Result<&'a str, ForwardError> {
    let named = first_architecture(config);
    classes.iter().copied().find(|class| named == Some(class)).ok_or_else(|| {
        let names = match (config.get("architectures"), named) {
            (_, Some(class)) => format!("names {class:?}"),
            (None, None) => "is not there".to_owned(),
            (Some(_), None) => "names no class".to_owned(),
        };
        ForwardError::config(format!("architectures {names}, and only {} can be run", classes.join(" and ")))
    })
}

/// Returns a config with the keys that it leaves out filled from its class's defaults.
pub(crate) fn with_defaults(
    config: &Map<String, Value>,
    defaults: &Map<String, Value>,
) -> Map<String, Value> {
    let mut whole = defaults.clone();
    whole.extend(config.iter().map(|(key, value)| (key.clone(), value.clone())));
    whole
}

/// Returns the defaults of a config class, exported from transformers by `data/transformers/export.py`.
pub(crate) fn exported_defaults(document: &str) -> Map<String, Value> {
    let document: Value = serde_json::from_str(document).unwrap_or_default();
    document.get("defaults").and_then(Value::as_object).cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_class_that_is_not_there_is_not_quoted() {
        let classes = ["ViTForImageClassification", "ViTModel"];
        let read = |config: Value| {
            let found = architecture_among(config.as_object().unwrap(), &classes);
            found.map(ToOwned::to_owned).map_err(|error| error.to_string())
        };
        assert_eq!(read(json!({ "architectures": ["ViTModel"] })), Ok("ViTModel".to_owned()));
        let only = "and only ViTForImageClassification and ViTModel can be run";
        for (config, says) in [
            (json!({ "architectures": ["SwinModel"] }), "names \"SwinModel\""),
            (json!({ "architectures": [] }), "names no class"),
            (json!({ "architectures": "ViTModel" }), "names no class"),
            (json!({}), "is not there"),
        ] {
            let error = read(config).unwrap_err();
            assert!(error.contains(&format!("architectures {says}, {only}")), "{error}");
        }
    }
}
