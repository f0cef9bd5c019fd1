//! Which of timm's architectures a checkpoint is, as far as anything says so: an option, the `config.json`, a record inside
//! the checkpoint, the file's name, or timm's registry where all that fit the weights agree.

use serde_json::Value;
use vitport_checkpoint::escape;

use super::super::source::Inquiry;
use super::hub_config::TimmConfig;
use super::registry::{self, Architecture, Tag};
use super::{Framework, PublishedModel, TimmDefinition};
use crate::facts::{FactError, Facts, Origin, is_same};
use crate::source::Source;

/// Describes an architecture that something names.
#[derive(Debug, Clone)]
pub(super) struct Named {
    pub architecture: &'static Architecture,
    /// Gives the tag, if it was named too.
    pub tag: Option<&'static Tag>,
    pub origin: Origin,
}

impl Named {
    /// Returns the architecture's name, with the tag if it is known.
    pub fn name(&self) -> String {
        self.tag.map_or_else(|| self.architecture.name.to_owned(), Tag::full_name)
    }

    /// Returns what the registry has of the tag. What a training run recorded names the weights that it began with, and says nothing
    /// of what it was trained on.
    pub fn published(&self) -> Option<PublishedModel> {
        let published = self.tag?.published();
        match self.origin {
            Origin::Argument(_) | Origin::Attribute(_) | Origin::Checkpoint(_) => {
                Some(PublishedModel { datasets: Vec::new(), ..published })
            }
            _ => Some(published),
        }
    }

    /// Returns whether it says all that another name does.
    fn says(&self, other: &Self) -> bool {
        self.architecture.name == other.architecture.name && other.tag.is_none_or(|tag| self.tag == Some(tag))
    }

    /// Returns the origin of what the registry has of a tag that nothing names, such as timm's default. It follows from an
    /// architecture that is assumed, but not from one that the source names: training may have changed it.
    pub fn of_default_tag(&self, entry: &str) -> Origin {
        match registry::origin(entry) {
            Origin::Registry(entry) if !self.origin.is_assumption() => Origin::Candidates(entry),
            origin => origin,
        }
    }

    /// Returns whether the weights have the sizes of the architecture, the classes of its tag and its image size: a user's own
    /// variant must not be called by the published one's name.
    pub fn is_published(&self, definition: &TimmDefinition, facts: &Facts) -> bool {
        let image = self.architecture.pair("img_size").map(|edges| edges.map(|edge| edge as u64));
        definition.difference(self.architecture, facts).is_none()
            && self.tag.is_none_or(|tag| Some(tag.num_classes as u64) == facts.number("num_classes"))
            && image.is_none_or(|image| facts.pair("img_size") == Some(image))
    }
}

impl TimmDefinition {
    /// Returns the architecture that is named by the first of: `--arch`, `config.json`, a record in the checkpoint, the file's
    /// name. The last two count only if the weights have that architecture's structure.
    ///
    /// # Errors
    /// Returns [`FactError::UnknownName`] or [`FactError::NoTarget`] for a name that is not one of this definition's,
    /// [`FactError::Contradiction`] for an `--arch` that the weights are not.
    pub(super) fn named(
        &self,
        inquiry: &Inquiry<'_>,
        config: Option<&TimmConfig<'_>>,
        facts: &Facts,
    ) -> Result<Option<Named>, FactError> {
        let Inquiry { source, options, .. } = inquiry;
        if let Some(name) = &options.arch {
            let found = self.look_up(name, Origin::Option("--arch"))?;
            if let Some(difference) = self.difference(found.architecture, facts) {
                let reason =
                    format!("{difference}; name another architecture, or leave it out and give --num-heads");
                return Err(FactError::contradiction(format!("--arch {}", escape(name)), reason));
            }
            let stated = self.stated(source, config, facts).ok().flatten();
            return Ok(Some(stated.filter(|stated| stated.says(&found)).unwrap_or(found)));
        }
        if let Some(stated) = self.stated(source, config, facts)? {
            return Ok(Some(stated));
        }
        let stem = source.stem();
        let by_file = self.find(&stem, Origin::FileName(escape(&stem).to_string()));
        Ok(by_file.filter(|found| self.difference(found.architecture, facts).is_none()))
    }

    /// Returns the architecture that the source itself names: its `config.json`, else a record in the checkpoint.
    fn stated(
        &self,
        source: &Source,
        config: Option<&TimmConfig<'_>>,
        facts: &Facts,
    ) -> Result<Option<Named>, FactError> {
        if let Some(config) = config {
            let origin = Origin::Config("architecture".to_owned());
            let mut found = self.look_up(config.architecture, origin)?;
            let mut tags = registry::tags_of(found.architecture.name);
            found.tag = config.tag.and_then(|tag| tags.find(|row| row.tag == tag));
            return Ok(Some(found));
        }
        let carriers = [
            ("arch", Origin::Checkpoint as fn(String) -> Origin),
            ("args.model", Origin::Argument),
            ("hyper_parameters.model_name", Origin::Argument),
        ];
        let mut recorded = carriers
            .into_iter()
            .filter_map(|(key, origin)| self.find(source.recorded(key)?, origin(key.to_owned())));
        Ok(recorded.find(|found| self.difference(found.architecture, facts).is_none()))
    }

    fn find(&self, name: &str, origin: Origin) -> Option<Named> {
        let found = registry::find(name)?;
        let tag = (!found.default_tag).then_some(found.tag);
        let is_its_own = self.modules.contains(&found.architecture.module);
        is_its_own.then_some(Named { architecture: found.architecture, tag, origin })
    }

    fn look_up(&self, name: &str, origin: Origin) -> Result<Named, FactError> {
        if let Some(found) = self.find(name, origin) {
            return Ok(found);
        }
        if let Some(error) = super::Timm.refuse_by_name(name) {
            return Err(error);
        }
        let suggestion = match registry::suggest(name).as_slice() {
            [] => String::new(),
            names => format!(" (did you mean {}?)", names.join(", ")),
        };
        Err(FactError::UnknownName { name: name.to_owned(), suggestion })
    }

    /// Returns the first way in which the weights are not of an architecture, class count apart, in words.
    pub(super) fn difference(&self, architecture: &Architecture, facts: &Facts) -> Option<String> {
        let name = architecture.name;
        let has = |flag: bool| if flag { "has" } else { "has no" };
        self.fields.iter().find_map(|field| {
            let (words, theirs) = (field.words?, field.of_architecture(architecture)?);
            let ours = match facts.get(field.fact) {
                Some(fact) => matches!(fact.origin, Origin::Weights(_)).then(|| fact.value.clone())?,
                None => field.otherwise?.into(),
            };
            if is_same(&theirs, &ours) {
                return None;
            }
            Some(match (&theirs, &ours) {
                (Value::Bool(theirs), Value::Bool(ours)) => {
                    format!("{name} {} {words}, the file {} such tensors", has(*theirs), has(*ours))
                }
                (theirs, ours) => {
                    format!("{name} has {} {words}, the weights {}", listed(theirs), listed(ours))
                }
            })
        })
    }

    /// Returns the architectures whose structure the weights have and that are, where the weights show nothing, what this
    /// definition is where nothing is said.
    pub(super) fn candidates(&self, facts: &Facts) -> Vec<&'static Architecture> {
        let is_usual = |architecture: &&Architecture| {
            self.usual.iter().filter(|(fact, _)| *fact == "global_pool").all(|(fact, value)| {
                let field = self.fields.iter().find(|field| field.fact == *fact);
                let theirs = field.and_then(|field| field.of_architecture(architecture));
                theirs.is_none_or(|theirs| is_same(&theirs, &Value::from(*value)))
            })
        };
        let all = self.modules.iter().flat_map(|module| registry::architectures_of(module));
        all.filter(is_usual).filter(|architecture| self.difference(architecture, facts).is_none()).collect()
    }
}

fn listed(value: &Value) -> String {
    match value {
        Value::Array(list) => list.iter().map(ToString::to_string).collect::<Vec<_>>().join("x"),
        value => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(origin: Origin) -> Named {
        let found = registry::find("vit_tiny_patch16_224.augreg_in21k_ft_in1k").unwrap();
        Named { architecture: found.architecture, tag: Some(found.tag), origin }
    }

    #[test]
    fn a_training_runs_record_says_nothing_of_its_classes() {
        let record = named(Origin::Argument("args.model".to_owned())).published().unwrap();
        assert_eq!((record.label_set(1000), record.license.as_deref()), (None, Some("apache-2.0")));
        let config = named(Origin::Config("architecture".to_owned())).published().unwrap();
        assert!(config.label_set(1000).is_some() && config.label_set(21843).is_some());
    }

    #[test]
    fn timms_default_tag_is_assumed_where_the_source_names_no_tag() {
        let default = |origin| named(origin).of_default_tag("a tag");
        assert!(default(Origin::Checkpoint("arch".to_owned())).is_assumption());
        assert_eq!(default(Origin::Option("--arch")), registry::origin("a tag"), "it follows from the name");
    }
}
