//! The second step: from a checkpoint and what the user says to a [`Model`], every fact of which says where it came from.
//!
//! What the weights say is read off them; what they cannot say (heads, preprocessing) comes from the `config.json` beside
//! them, from the user, or from timm's own table where all entries that fit agree. Where they do not agree the answer is a
//! question ([`IdentifyError::Undecided`]), never a guess.

mod error;
mod facts;
mod hints;
mod labels;
mod license;

pub use error::IdentifyError;
pub use facts::{Fact, Known, Origin};
pub use hints::{Hints, LabelChoice};
pub use labels::{Labels, choose_labels};
pub use license::choose_license;

use serde_json::{Map, Value};
use vitport_checkpoint::escape;

use crate::families::{self, Family, RuleFile, SourceNetwork};
use crate::license::License;
use crate::rules::{Bindings, Expected};
use crate::source::Source;
use crate::state_dict::StateDict;

/// An identified model: all that planning, carrying and weighing need to know of it.
pub struct Model {
    /// The family that knows it.
    pub family: &'static dyn Family,
    /// The family's rule file for the layout that its tensors have.
    pub rules: RuleFile,
    /// Its name: `vit_base_patch16_224.augreg2_in21k_ft_in1k`, `cvt-13`, or a description.
    pub name: String,
    /// timm's `architecture.tag` when it is known to be one of those.
    pub tag: Option<String>,
    /// What is known and how.
    pub facts: Vec<Fact>,
    /// The network's tensors by their bare names.
    pub state_dict: StateDict,
    /// What the rule file may use.
    pub bindings: Bindings,
    /// The target network's own list of tensors.
    pub expected: Expected,
    /// `config.json` without labels and dtype.
    pub config: Map<String, Value>,
    /// Class names; none for a model without a head.
    pub labels: Option<Labels>,
    /// `preprocessor_config.json`.
    pub processor: Value,
    /// The source network and its preprocessing, ready to be run from the source's weights.
    pub network: Box<dyn SourceNetwork>,
    /// Licence, where the source says it.
    pub license: Option<Known<License>>,
}

/// Finds out what a source is.
///
/// # Errors
/// [`IdentifyError`]: unknown, without a target, undecided or contradictory.
pub fn identify(source: &Source, hints: &Hints) -> Result<Model, IdentifyError> {
    let is_known = |dict: &StateDict| families::ALL.iter().any(|family| family.recognises(dict));
    let state_dict = StateDict::of(&source.checkpoint, is_known);
    let Some(family) = families::ALL.iter().find(|family| family.recognises(&state_dict)) else {
        if let Some(error) = families::refuse_by_name(source, hints) {
            return Err(error);
        }
        let names: Vec<&str> = state_dict.iter().map(|(name, _)| name).take(3).collect();
        let known = families::ALL.iter().map(|family| family.description()).collect::<Vec<_>>().join(" and ");
        let sample =
            if names.is_empty() { "none at all".to_owned() } else { format!("{}, …", names.join(", ")) };
        return Err(IdentifyError::Unknown { file: source.display_name(), sample, known });
    };
    let mut model = family.identify(source, state_dict, hints)?;
    if !model.state_dict.prefix().is_empty() {
        let prefix = escape(model.state_dict.prefix()).to_string();
        let origin = Origin::Weights("every name begins with it".to_owned());
        model.facts.push(Fact { name: "prefix taken off", value: prefix, origin });
    }
    if let Some(license) = &model.license {
        model.facts.push(Fact::new("license", &license.value, license.origin.clone()));
    }
    Ok(model)
}
