//! The families of networks that vitport knows. Each has a folder here that says how to recognise it, what its sizes are,
//! what its transformers config is, which rule file maps it, and how its two networks compute; and one line in [`ALL`].

pub mod cvt;
pub mod vit;

use serde_json::Value;

use crate::identify::{Hints, IdentifyError, Model};
use crate::image::{CropRounding, ImageError, Picture, Pixels};
use crate::nn::{ForwardError, Observer, Output, Weights};
use crate::source::Source;
use crate::state_dict::StateDict;

/// Every family, in the order in which they are tried.
pub const ALL: [&dyn Family; 2] = [&vit::Vit, &cvt::Cvt];

/// A family of networks and its way into transformers.
pub trait Family: Sync {
    /// Short name, also that of its rule file's `family` line: `vit`.
    fn name(&self) -> &'static str;

    /// A few words for people: `timm's ViT`.
    fn description(&self) -> &'static str;

    /// The word by which the Hub's model cards name where the family comes from, as a tag.
    fn maker(&self) -> Option<&'static str> {
        None
    }

    /// The built-in rule files, one for each layout that the family's files come in.
    fn rules(&self) -> &'static [RuleFile];

    /// Whether these tensors are one of the family's, be it one that has no target.
    fn recognises(&self, state_dict: &StateDict) -> bool;

    /// What the model is, or why it has no target.
    ///
    /// # Errors
    /// [`IdentifyError`].
    fn identify(&self, source: &Source, state_dict: StateDict, hints: &Hints)
    -> Result<Model, IdentifyError>;

    /// The defaults of transformers' config class, for keys that this `config.json` leaves out.
    fn default_config(&self, config: &Value) -> Value;

    /// The image processor that transformers takes where a folder names none.
    fn default_processor(&self) -> &'static str;

    /// Code that gives the source's exact network where the target's class deviates.
    fn exact_code(&self) -> Option<ExactCode> {
        None
    }

    /// Keys that transformers' config class accepts and its network ignores.
    fn ignored_keys(&self) -> &'static [&'static str] {
        &[]
    }

    /// Whether a `config.json` of transformers describes a network of this family that [`Family::run_target`] can run.
    fn runs(&self, config: &Value) -> bool;

    /// Runs the transformers network that `config` and `weights` of a folder describe, by transformers' definition.
    /// `pixels` have the shape `[channels, height, width]`.
    ///
    /// # Errors
    /// [`ForwardError`].
    fn run_target(
        &self,
        config: &Value,
        weights: &dyn Weights,
        pixels: &Pixels,
        observer: &mut dyn Observer,
    ) -> Result<Output, ForwardError>;
}

/// A built-in rule file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuleFile {
    /// Its name, for messages and reports.
    pub name: &'static str,
    /// TOML in the language of [`crate::rules`].
    pub text: &'static str,
}

/// A source network by its own definition, with its own way from a picture to its input.
pub trait SourceNetwork: Send + Sync {
    /// Pixels `[channels, height, width]` of a picture, as the source framework prepares them, or with the crop rounded as
    /// transformers' PIL backend does. [`CropRounding::HalfToEven`] is the source's own.
    ///
    /// # Errors
    /// [`ImageError`].
    fn pixels(&self, picture: &Picture, rounding: CropRounding) -> Result<Pixels, ImageError>;

    /// Runs the network from the source's own tensors.
    ///
    /// # Errors
    /// [`ForwardError`].
    fn run(
        &self,
        weights: &dyn Weights,
        pixels: &Pixels,
        observer: &mut dyn Observer,
    ) -> Result<Output, ForwardError>;

    /// How the target framework's definition is known to differ, if it does.
    fn deviation(&self) -> Option<Deviation> {
        None
    }
}

/// A difference between the two frameworks' definitions that no config can remove.
pub struct Deviation {
    /// One sentence.
    pub what: &'static str,
    /// The source network with that one difference taken over from the target's definition: it must agree with the
    /// target within rounding, which proves that nothing else differs.
    pub as_target_computes: Box<dyn SourceNetwork>,
}

/// A small Python module for a folder, and how `config.json` points to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExactCode {
    /// Name of the file.
    pub file: &'static str,
    /// Its text.
    pub text: &'static str,
    /// The Auto class that loads it.
    pub auto_class: &'static str,
    /// `module.Class`, as `auto_map` has it.
    pub class: &'static str,
}

/// The reason why an architecture that is named, but that no family recognises, has no target, if timm knows it.
pub fn refuse_by_name(source: &Source, hints: &Hints) -> Option<IdentifyError> {
    let name =
        hints.arch.clone().or_else(|| source.config.as_ref().map(|config| config.architecture.clone()))?;
    let module = crate::zoo::other_family(&name)?;
    Some(IdentifyError::NoTarget {
        what: format!("timm's {name}"),
        why: format!("it is of timm's family `{module}`, which has no mapping here yet"),
        tensor: None,
        instead: "vitport converts timm's vision_transformer and deit models and Microsoft's CvT".to_owned(),
    })
}
