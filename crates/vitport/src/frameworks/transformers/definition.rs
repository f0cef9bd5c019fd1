//! Makes definitions of what is declared of one class, or of two classes that have one config, one with a head and one without.

use serde_json::{Map, Value};

use super::super::Definition;
use super::{TargetDefinition, Task, architecture_among, first_architecture, with_defaults};
use crate::nn::{ForwardError, Network};

/// Declares a definition of two classes that have the same config.
#[derive(Debug)]
pub struct TwoClasses {
    /// Gives its id, which ends with the `model_type`.
    pub(super) id: &'static str,
    /// Gives the class with a head and the one without.
    pub(super) classes: [&'static str; 2],
    /// Says what a folder of each of them is used for.
    pub(super) tasks: [Task; 2],
    /// Lists the keys whose lists are read as far as there are stages.
    pub(super) stage_lists: &'static [&'static str],
    /// Returns the defaults of the config class for the keys that a config leaves out.
    pub(super) defaults: fn(&Map<String, Value>) -> Map<String, Value>,
    /// Lists the keys that the config class accepts and the network ignores.
    pub(super) ignored_keys: &'static [&'static str],
    /// Builds the network of a config without gaps, with or without the head.
    pub(super) build: fn(&Map<String, Value>, bool) -> Result<Network, ForwardError>,
}

impl Definition for TwoClasses {
    fn id(&self) -> &'static str {
        self.id
    }

    fn build(&self, config: &Map<String, Value>) -> Result<Network, ForwardError> {
        let class = architecture_among(config, &self.classes)?;
        (self.build)(&with_defaults(config, &self.defaults(config)), class == self.classes[0])
    }
}

impl TargetDefinition for TwoClasses {
    fn model_type(&self) -> &'static str {
        self.id.rsplit('/').next().unwrap_or_default()
    }

    fn defaults(&self, config: &Map<String, Value>) -> Map<String, Value> {
        (self.defaults)(config)
    }

    fn task(&self, config: &Map<String, Value>) -> Task {
        let ([with, _], [of_head, of_none]) = (self.classes, self.tasks);
        if first_architecture(config) == Some(with) { of_head } else { of_none }
    }

    fn ignored_keys(&self) -> &'static [&'static str] {
        self.ignored_keys
    }

    fn stage_lists(&self) -> &'static [&'static str] {
        self.stage_lists
    }
}

/// Declares a definition of one class.
#[derive(Debug)]
pub struct OneClass {
    /// Gives its id, which ends with the `model_type`.
    pub(super) id: &'static str,
    /// Gives the class.
    pub(super) class: &'static str,
    /// Returns what a folder with a config is used for.
    pub(super) task: fn(&Map<String, Value>) -> Task,
    /// Returns the defaults of the config class for the keys that a config leaves out.
    pub(super) defaults: fn(&Map<String, Value>) -> Map<String, Value>,
    /// Lists the keys that the config class accepts and the network ignores.
    pub(super) ignored_keys: &'static [&'static str],
    /// Builds the network of a config without gaps.
    pub(super) build: fn(&Map<String, Value>) -> Result<Network, ForwardError>,
}

impl Definition for OneClass {
    fn id(&self) -> &'static str {
        self.id
    }

    fn build(&self, config: &Map<String, Value>) -> Result<Network, ForwardError> {
        architecture_among(config, &[self.class])?;
        (self.build)(&with_defaults(config, &self.defaults(config)))
    }
}

impl TargetDefinition for OneClass {
    fn model_type(&self) -> &'static str {
        self.id.rsplit('/').next().unwrap_or_default()
    }

    fn defaults(&self, config: &Map<String, Value>) -> Map<String, Value> {
        (self.defaults)(config)
    }

    fn task(&self, config: &Map<String, Value>) -> Task {
        (self.task)(config)
    }

    fn ignored_keys(&self) -> &'static [&'static str] {
        self.ignored_keys
    }
}
