//! What a framework knows of its models by name: which are published, why one has no target, and what a `config.json` of its own
//! says.

use super::FRAMEWORKS;
use super::known_model::KnownModel;
use super::registry::{Architecture, Found, Tag};
use crate::facts::{FactError, Origin, Sourced};
use crate::labels::{ClassNames, LabelError, LabelSet};
use crate::source::{ConfigFile, Provenance, Source};

/// Describes a framework whose models can be converted.
pub trait Framework: Sync {
    /// Returns what of it can be converted, as a refusal ends: `Microsoft's CvT`.
    fn convertible(&self) -> String;

    /// Reads a `config.json` next to weights; none for a framework that writes no such file.
    ///
    /// # Errors
    /// Returns [`FactError::Config`] for a file that is not the framework's.
    fn read_config<'a>(
        &self,
        _config: &'a ConfigFile,
    ) -> Option<Result<Box<dyn SourceConfig + 'a>, FactError>> {
        None
    }

    /// Returns the reason why the architecture of that name has no target, if the framework has it and it has none.
    fn refuse_by_name(&self, _name: &str) -> Option<FactError> {
        None
    }

    /// Says how transformers opens the published model of that name without a conversion, if it does.
    fn opened_by_name(&self, _name: &str) -> Option<String> {
        None
    }

    /// Returns the architecture that a name gives, with the weights that the name gives, or those that it means without.
    fn find(&self, _name: &str) -> Option<Found> {
        None
    }

    /// Returns names of its own that are near one that it does not have, nearest first.
    fn suggest(&self, _name: &str) -> Vec<String> {
        Vec::new()
    }

    /// Returns the published weights of an architecture, the default first.
    fn tags_of(&self, _architecture: &str) -> Vec<&'static Tag> {
        Vec::new()
    }

    /// Returns the model that it publishes in a repository of the Hub.
    fn published_in(&self, _repository: &str) -> Option<PublishedModel> {
        None
    }

    /// Returns the model that it publishes as a file of that name.
    fn released_as(&self, _file_name: &str) -> Option<PublishedModel> {
        None
    }

    /// Returns the published weights of networks that are those of one of timm's modules and are not timm's own.
    fn weights_like(&self, _module: &str) -> Vec<&'static Tag> {
        Vec::new()
    }

    /// Returns its architectures whose networks are those of one of timm's modules and are not timm's own.
    fn architectures_like(&self, _module: &str) -> Vec<&'static Architecture> {
        Vec::new()
    }

    /// Returns every model that it publishes.
    fn known_models(&self) -> Box<dyn Iterator<Item = KnownModel>>;
}

/// Describes a `config.json` next to weights, as the framework that wrote it reads it. What it says of the network becomes
/// evidence where the definition gathers it; the rest is here.
pub trait SourceConfig {
    /// Returns the architecture that it names, if it names one.
    fn architecture(&self) -> Option<&str>;

    /// Returns the pretrained tag that it names.
    fn tag(&self) -> Option<&str> {
        None
    }

    /// Returns the licence that it states.
    fn license(&self) -> Option<Sourced<String>>;

    /// Returns the names that it has for a head of so many classes.
    ///
    /// # Errors
    /// Returns [`LabelError`] for names that are not a list, or not as many.
    fn labels(&self, classes: usize) -> Result<Option<Sourced<ClassNames>>, LabelError>;
}

/// Describes a model that a framework publishes, as its registry has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedModel {
    /// Names the repository that it is published in.
    pub repository: Option<String>,
    /// Holds the licence as it is stated.
    pub license: Option<String>,
    /// Names the datasets that it was trained on, as the Hub calls them.
    pub datasets: Vec<String>,
    /// Names the registry and the entry.
    pub origin: Origin,
}

impl PublishedModel {
    /// Returns the classes that a head of so many was trained on, if one of the datasets has as many.
    pub fn label_set(&self, classes: usize) -> Option<LabelSet> {
        LabelSet::by_class_count(classes).filter(|set| self.datasets.iter().any(|name| set.is_of(name)))
    }

    /// Returns whether a source comes from the very repository that the model is published in.
    pub fn is_from(&self, provenance: Option<&Provenance>) -> bool {
        provenance.is_some_and(|provenance| self.repository.as_ref() == Some(&provenance.repository))
    }
}

/// Reads the `config.json` next to a source's weights, by the first framework whose own it is.
///
/// # Errors
/// Returns [`FactError::Config`] for a file of no framework.
pub fn read_config(source: &Source) -> Result<Option<Box<dyn SourceConfig + '_>>, FactError> {
    let Some(file) = &source.config else { return Ok(None) };
    let mut refused = None;
    for read in FRAMEWORKS.into_iter().filter_map(|framework| framework.read_config(file)) {
        match read {
            Ok(config) => return Ok(Some(config)),
            Err(error) => refused = refused.or(Some(error)),
        }
    }
    refused.map_or(Ok(None), Err)
}

/// Returns the reason why the architecture of that name has no target, if a framework has it and it has none.
pub fn refuse_by_name(name: &str) -> Option<FactError> {
    FRAMEWORKS.into_iter().find_map(|framework| {
        let refusal = framework.refuse_by_name(name)?;
        Some(refusal.or_else_by(framework.opened_by_name(name).as_deref()))
    })
}

/// Says how transformers opens the published model that an option or a config names without a conversion, if it does.
pub fn opened_by_name(arch: Option<&str>, config: Option<&dyn SourceConfig>) -> Option<String> {
    let of_config = |config: &dyn SourceConfig| match (config.architecture()?, config.tag()) {
        (name, Some(tag)) => Some(format!("{name}.{tag}")),
        (name, None) => Some(name.to_owned()),
    };
    let name = arch.map(str::to_owned).or_else(|| config.and_then(of_config))?;
    FRAMEWORKS.into_iter().find_map(|framework| framework.opened_by_name(&name))
}

/// Returns the architecture and the weights that a name gives, by the first framework that has it.
pub(super) fn find(name: &str) -> Option<Found> {
    FRAMEWORKS.into_iter().find_map(|framework| framework.find(name))
}

/// Returns the error for a name that no framework has, with names that are near it.
pub(super) fn unknown_name(name: &str) -> FactError {
    let near: Vec<String> = FRAMEWORKS.into_iter().flat_map(|framework| framework.suggest(name)).collect();
    FactError::unknown_name(name, &near)
}

/// Returns the published weights of an architecture, the default first.
pub(super) fn tags_of(architecture: &str) -> Vec<&'static Tag> {
    FRAMEWORKS.into_iter().flat_map(|framework| framework.tags_of(architecture)).collect()
}

/// Returns the published weights of other frameworks' networks that are those of one of timm's modules.
pub(super) fn weights_like(module: &str) -> Vec<&'static Tag> {
    FRAMEWORKS.into_iter().flat_map(|framework| framework.weights_like(module)).collect()
}

/// Returns the architectures of another framework whose networks are those of one of timm's modules.
pub(super) fn architectures_like(framework: &str, module: &str) -> Vec<&'static Architecture> {
    let all = FRAMEWORKS.into_iter().flat_map(|framework| framework.architectures_like(module));
    all.filter(|architecture| architecture.framework() == framework).collect()
}

/// Returns what can be converted, by framework.
pub(super) fn convertible() -> String {
    FRAMEWORKS.map(|framework| framework.convertible()).join(" and ")
}
