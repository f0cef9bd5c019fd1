//! Which of timm's architectures a checkpoint is, as far as anything says so: an option, the `config.json`, a record inside
//! the checkpoint, the file's name, or timm's registry where all that fit the weights agree.

use serde_json::Value;
use vitport_checkpoint::escape;

use super::super::framework;
use super::super::source::Inquiry;
use super::field::Kind;
use super::hub_config::TimmConfig;
use super::registry::{self, Architecture, Tag};
use super::training::Training;
use super::{PublishedModel, TimmDefinition};
use crate::facts::{Contradiction, Fact, FactError, Facts, Origin, is_same};

/// Describes an architecture that something names.
#[derive(Debug, Clone)]
pub(super) struct Named {
    pub architecture: &'static Architecture,
    /// Gives the tag, if it was named too.
    pub tag: Option<&'static Tag>,
    pub origin: Origin,
}

impl Named {
    /// Returns an error if something else names another architecture, or another tag of it.
    fn check_same(&self, other: &Self) -> Result<(), FactError> {
        let is_other_tag =
            self.tag.zip(other.tag).is_some_and(|(one, other)| one.full_name() != other.full_name());
        if self.architecture.name == other.architecture.name && !is_other_tag {
            return Ok(());
        }
        let fact = |named: &Self| Fact::new("architecture", named.name(), named.origin.clone());
        Err(Contradiction::between(&fact(self), &fact(other)).into())
    }

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

    /// Returns the origin of what the registry has of a tag that nothing names, such as timm's default. It follows from an
    /// architecture that is assumed, but not from one that the source names: training may have changed it.
    pub fn of_default_tag(&self, entry: &str) -> Origin {
        match registry::origin(entry) {
            Origin::Registry(entry) if !self.origin.is_assumption() => Origin::Candidates(entry),
            origin => origin,
        }
    }

    /// Returns whether the model is the architecture in everything, with the classes of its tag and its image size: a user's own
    /// variant must not be called by the published one's name.
    pub fn is_published(&self, definition: &TimmDefinition, facts: &Facts) -> bool {
        let image = self.architecture.pair("img_size").map(|edges| edges.map(|edge| edge as u64));
        definition.difference(self.architecture, facts, &[]).is_none()
            && definition.stated_otherwise(self.architecture, facts.iter()).is_none()
            && self.tag.is_none_or(|tag| Some(tag.num_classes as u64) == facts.number("num_classes"))
            && image.is_none_or(|image| facts.pair("img_size") == Some(image))
    }
}

impl TimmDefinition {
    /// Returns the architecture that `--arch`, `config.json`, a saved module, a record in the checkpoint or the file's name gives, in this order. What
    /// the last three say counts only if the weights have that architecture's structure, apart from what is `stated` of it.
    ///
    /// # Errors
    /// Returns [`FactError::UnknownName`] or [`FactError::NoTarget`] for a name that is not one of this definition's,
    /// [`FactError::Contradiction`] for an `--arch` that the source is not, and for a config and a record that name two.
    pub(super) fn named(
        &self,
        inquiry: &Inquiry<'_>,
        config: Option<&TimmConfig<'_>>,
        training: &mut Training,
        facts: &Facts,
        stated: &[Fact],
    ) -> Result<Option<Named>, FactError> {
        let Inquiry { source, options, .. } = inquiry;
        let of_config = match config.and_then(|config| Some((config, config.architecture?))) {
            Some((config, architecture)) => {
                let origin = Origin::Config("architecture".to_owned());
                let mut found = self.look_up(architecture, origin)?;
                let mut tags = registry::tags_of(found.architecture.name);
                found.tag = config.tag.and_then(|tag| tags.find(|row| row.tag == tag));
                Some(found)
            }
            None => None,
        };
        // Modules that were saved whole, and buffers that only some files have.
        let is_stated = |fact: &Fact| stated.iter().any(|stated| stated.name == fact.name);
        let by_file = |fact: &&Fact| match fact.origin {
            Origin::Attribute(_) => true,
            Origin::Weights(_) => !is_stated(fact),
            _ => false,
        };
        let by_file = || facts.iter().filter(by_file);
        let fits = |found: &Named| {
            self.difference(found.architecture, facts, stated).is_none()
                && self.stated_otherwise(found.architecture, by_file()).is_none()
        };
        let recorded: Vec<Named> = std::mem::take(&mut training.names)
            .into_iter()
            .filter_map(|name| self.find(&name.value, name.origin).filter(fits))
            .collect();
        for found in &recorded {
            if let Origin::Argument(path) = &found.origin {
                training.read.push(path.clone());
            }
        }
        let mut by_source: Option<Named> = None;
        for found in of_config.into_iter().chain(recorded) {
            match &by_source {
                None => by_source = Some(found),
                Some(known) => known.check_same(&found)?,
            }
        }
        if let Some(name) = &options.arch {
            let found = self.look_up(name, Origin::Option("--arch"))?;
            if let Some(known) = &by_source {
                known.check_same(&found)?;
            }
            // What the source says of its own variant of an architecture is not a variant of another.
            let own = if by_source.is_some() { stated } else { &[] };
            let difference = self.difference(found.architecture, facts, own);
            if let Some(difference) = difference
                .or_else(|| self.stated_otherwise(found.architecture, stated.iter().chain(by_file())))
            {
                let heads = if self.has_heads() { " and give --num-heads" } else { "" };
                let reason = format!("{difference}; name another architecture, or leave it out{heads}");
                return Err(FactError::contradiction(format!("--arch {}", escape(name)), reason));
            }
            return Ok(match by_source {
                Some(known) if known.tag.is_some() || found.tag.is_none() => Some(known),
                _ => Some(found),
            });
        }
        let stem = source.stem();
        let by_its_name = || {
            let origin = Origin::FileName(escape(&stem).to_string());
            self.find(&registry::released(&stem).unwrap_or_else(|| stem.clone()), origin).filter(fits)
        };
        Ok(by_source.or_else(by_its_name))
    }

    /// Returns the first statement that says otherwise than an architecture of what the weights do not show, in words.
    fn stated_otherwise<'a>(
        &self,
        architecture: &Architecture,
        mut stated: impl Iterator<Item = &'a Fact>,
    ) -> Option<String> {
        stated.find_map(|fact| {
            let field = self.fields().find(|field| field.fact == fact.name && field.words.is_none())?;
            let theirs = field.of_architecture(architecture)?;
            let is_otherwise = fact.origin.is_statement() && !is_same(&theirs, &fact.value);
            is_otherwise.then(|| {
                let shown = Fact::new(fact.name, theirs, fact.origin.clone()).shown();
                format!(
                    "{} of {} is {shown}, but {} according to {}",
                    fact.name,
                    architecture.name,
                    fact.shown(),
                    fact.origin
                )
            })
        })
    }

    fn find(&self, name: &str, origin: Origin) -> Option<Named> {
        let found = framework::find(name)?;
        let tag = (!found.default_tag).then_some(found.tag);
        let is_its_own = self.modules.contains(&found.architecture.module);
        is_its_own.then_some(Named { architecture: found.architecture, tag, origin })
    }

    fn look_up(&self, name: &str, origin: Origin) -> Result<Named, FactError> {
        let stated = format!("{origin} {}", escape(name));
        if let Some(found) = self.find(name, origin) {
            return Ok(found);
        }
        if let Some(error) = framework::refuse_by_name(name) {
            return Err(error);
        }
        let elsewhere = || framework::find(name).map(|found| found.architecture.module);
        if let Some(module) = registry::module_of(name).or_else(elsewhere) {
            let reason = format!(
                "it is of timm's family `{module}`, and the tensors are those of {}",
                self.description
            );
            return Err(FactError::contradiction(stated, reason));
        }
        Err(framework::unknown_name(name))
    }

    /// Returns the first way in which the weights are not of an architecture, class count and what is `stated` apart, in words.
    pub(super) fn difference(
        &self,
        architecture: &Architecture,
        facts: &Facts,
        stated: &[Fact],
    ) -> Option<String> {
        let name = architecture.name;
        let has = |flag: bool| if flag { "has" } else { "has no" };
        let is_stated = |fact: &str| stated.iter().any(|stated| stated.name == fact);
        self.fields().filter(|field| !is_stated(field.fact)).find_map(|field| {
            let theirs = match field.config_key {
                Some((_, Kind::RatioOf(whole))) if is_stated(whole) => {
                    self.made_with(field, architecture, facts, None)?
                }
                _ => field.of_architecture(architecture)?,
            };
            let words = field.words?;
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
                let field = self.fields().find(|field| field.fact == *fact);
                let theirs = field.and_then(|field| field.of_architecture(architecture));
                let ours = facts.value(fact).cloned();
                let ours = ours.unwrap_or_else(|| self.usually(fact, *value, facts).into());
                theirs.is_none_or(|theirs| is_same(&theirs, &ours))
            })
        };
        let all = self.modules.iter().flat_map(|module| registry::architectures_of(module));
        let by_weights = || facts.iter().filter(|fact| matches!(fact.origin, Origin::Weights(_)));
        all.filter(is_usual)
            .filter(|architecture| self.difference(architecture, facts, &[]).is_none())
            .filter(|architecture| self.stated_otherwise(architecture, by_weights()).is_none())
            .collect()
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
