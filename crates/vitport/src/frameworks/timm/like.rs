//! The published model that a person says the source is like: where its preprocessing comes from, and its number of heads if it has
//! the same sizes.

use super::super::framework;
use super::TimmDefinition;
use super::registry::{Architecture, Tag};
use crate::facts::{Evidence, FactError, Facts, Origin, Sourced};
use crate::image::{CropMode, Filter};
use crate::options::FactOptions;
use crate::preprocessing::StatedPreprocessing;

/// Describes a model of the registry that `--like` names.
#[derive(Debug, Clone)]
pub(super) struct Like {
    architecture: &'static Architecture,
    tag: &'static Tag,
}

impl Like {
    /// Returns the model that the option names.
    ///
    /// # Errors
    /// Returns [`FactError::UnknownName`] if the registry has none of that name.
    pub fn of(options: &FactOptions) -> Result<Option<Self>, FactError> {
        let Some(name) = &options.like else { return Ok(None) };
        match framework::find(name) {
            Some(found) => Ok(Some(Self { architecture: found.architecture, tag: found.tag })),
            None => Err(framework::unknown_name(name)),
        }
    }

    fn origin(&self) -> Origin {
        Origin::Like(self.tag.full_name())
    }

    /// Returns its preprocessing as statements about the source.
    pub fn preprocessing(&self) -> StatedPreprocessing {
        let tag = self.tag;
        StatedPreprocessing {
            mean: Some(Sourced::new(tag.mean, self.origin())),
            std: Some(Sourced::new(tag.std, self.origin())),
            crop_pct: Some(Sourced::new(tag.crop_pct, self.origin())),
            crop_mode: Some(Sourced::new(CropMode::from_name(&tag.crop_mode), self.origin())),
            interpolation: Filter::from_name(&tag.interpolation)
                .map(|filter| Sourced::new(filter, self.origin())),
        }
    }

    /// Adds its number of heads, if the source has its width, its depth and the width of its MLP.
    pub fn state_heads(&self, definition: &TimmDefinition, facts: &Facts, evidence: &mut Evidence) {
        let size_of = |fact: &str| {
            let field = definition.fields().find(|field| field.fact == fact)?;
            definition.made_with(field, self.architecture, facts, None)?.as_u64()
        };
        let is_same = |fact: &&str| size_of(fact).is_some_and(|size| facts.number(fact) == Some(size));
        if ["embed_dim", "depth", "mlp_dim"].iter().all(is_same)
            && let Some(heads) = size_of("num_heads")
        {
            evidence.add("num_heads", heads, self.origin());
        }
    }
}
