//! Gathers what is said of a model outside of its tensors' shapes: by its config, its training, options, timm's registry, and in
//! the end by what is usual.

use vitport_checkpoint::escape;

use super::super::source::{Identity, Inquiry, Preparation, Transform, one_of};
use super::image_size::StatedSizes;
use super::like::Like;
use super::named::Named;
use super::preprocessing::{self, Said};
use super::saved_module::SavedConfig;
use super::training::Training;
use super::{TimmConfig, TimmDefinition, registry, statements};
use crate::facts::{Evidence, Fact, FactError, Facts, Origin, is_same};
use crate::options::FactOptions;
use crate::preprocessing::Preprocessing;
use serde_json::Value;

impl TimmDefinition {
    /// Gathers what is said of a model outside of its tensors' shapes.
    ///
    /// # Errors
    /// Returns [`FactError`] for a name that is not known, and for options that cannot be.
    pub(super) fn gather_statements(
        &self,
        inquiry: &Inquiry<'_>,
        evidence: &mut Evidence,
    ) -> Result<Identity, FactError> {
        let Inquiry { source, options, .. } = inquiry;
        let config = TimmConfig::of(source)?;
        let like = Like::of(options)?;
        let mut training = Training::of(source)?;
        let is_sized = self.fields().any(|field| field.fact == "img_size");
        let of_config = config.as_ref().map(|config| statements::of_config(config, is_sized));
        let mut statements = of_config.transpose()?.unwrap_or_default();
        // One without is that of another framework's network, in timm's words.
        if let Some(architecture) = config.as_ref().and_then(|config| config.architecture) {
            self.refuse_arguments(architecture, &statements)?;
        }
        statements.append(&mut training.arguments);
        // What is listed as assumed where nothing says it is said here.
        let is_listed = |fact: &str| self.usual.iter().any(|(listed, _)| *listed == fact);
        let usual = |fact: &str| self.otherwise(fact).filter(|_| !is_listed(fact));
        let mut unread = inquiry.modules.read(self.family, self.saved_modules, usual, evidence)?;
        let saved = SavedConfig::of(inquiry.modules);
        training.names.splice(0..0, saved.as_ref().and_then(SavedConfig::name));
        let facts = evidence.facts();
        let stated = self.read_statements(&statements, &facts, &mut training.read)?;
        let named = self.named(inquiry, config.as_ref(), &mut training, &facts, &stated)?;
        let StatedSizes { kept, overridden, left } =
            self.stated_sizes(config.as_ref(), stated, &facts, options);
        unread.extend(left);
        kept.into_iter().for_each(|fact| evidence.state(fact));
        self.state_heads_option(options, evidence)?;
        if let Some(eps) = options.layer_norm_eps {
            let given = Fact::new("norm_eps", eps, Origin::Option("--layer-norm-eps"));
            let registered = named.as_ref().and_then(|named| self.registered_as(named, "norm_eps"));
            evidence.state(match registered.filter(|registered| !is_same(&registered.value, &given.value)) {
                Some(registered) => given.in_place_of(registered),
                None => given,
            });
        }
        match &named {
            Some(named) => {
                self.state_registered(named, evidence);
                if config.is_some() {
                    self.state_architecture(named, &statements, &facts, evidence);
                }
            }
            None => self.state_of_all(like.as_ref(), &facts, evidence),
        }
        self.state_usual(named.as_ref(), &facts, evidence);
        self.check_heads(&evidence.facts())?;
        if let Some(named) = &named {
            evidence.add("architecture", named.name(), named.origin.clone());
        }

        let of_others = (config.as_ref(), saved.as_ref());
        self.image_size(inquiry, of_others, overridden, &mut training, named.as_ref(), evidence)?;
        let facts = evidence.facts();
        let is_oblong = match options.resample_to.or_else(|| facts.pair("img_size")) {
            Some([height, width]) => height != width,
            None => evidence.asked("img_size").is_some_and(|asked| asked.takes == "HEIGHTxWIDTH"),
        };
        let said = Said {
            config: config.as_ref(),
            saved: saved.as_ref(),
            training: &training,
            like: like.as_ref(),
            is_oblong,
        };
        let chosen = preprocessing::choose(self, inquiry, &said, named.as_ref(), &facts);
        let chosen = chosen.map(|(preprocessing, facts)| {
            let size = options.resample_to.unwrap_or(preprocessing.size);
            (Preprocessing { size, ..preprocessing }, facts)
        });
        let preparation = preparation(chosen, evidence)?;
        let published = named.filter(|named| named.is_published(self, &facts));
        let model = published.as_ref().and_then(Named::published);
        Ok(Identity {
            name: published.as_ref().map_or_else(|| escape(&source.stem()).to_string(), Named::name),
            published: model,
            preparation,
            read: training.read,
            unread,
        })
    }

    /// Says whether its networks have one number of heads, as a fact of their own.
    pub(super) fn has_heads(&self) -> bool {
        self.fields().any(|field| field.fact == "num_heads")
    }

    /// States the number of heads of an option.
    ///
    /// # Errors
    /// Returns [`FactError::Contradiction`] for several numbers, and for one of a network without.
    fn state_heads_option(&self, options: &FactOptions, evidence: &mut Evidence) -> Result<(), FactError> {
        match options.num_heads.as_deref() {
            Some(&[heads]) if self.has_heads() => {
                evidence.add("num_heads", heads, Origin::Option("--num-heads"))
            }
            // Those of stages are shown by the weights, which a list must agree with.
            Some(list) if evidence.has("heads") => {
                evidence.add("heads", list.to_vec(), Origin::Option("--num-heads"))
            }
            Some(list) => {
                let heads = if self.has_heads() { "one number of heads" } else { "no heads" };
                let reason = format!("{} has {heads}, and {} are given", one_of(self.family), list.len());
                return Err(FactError::contradiction("--num-heads", reason));
            }
            None => {}
        }
        Ok(())
    }

    /// Returns what the registry has of a fact of the architecture that is named, or what its constructor takes by default.
    fn registered_as(&self, named: &Named, fact: &'static str) -> Option<Fact> {
        let field = self.fields().find(|field| field.fact == fact)?;
        if let Some(value) = field.of_architecture(named.architecture) {
            return Some(Fact::new(fact, value, registry::origin(named.architecture.name)));
        }
        let (_, usual) = self.usual.iter().find(|(usual, _)| *usual == fact)?;
        Some(Fact::new(fact, *usual, self.by_default(Some(named))))
    }

    /// Adds what the registry has of the architecture that is named, where it is not the usual and nothing in the weights shows it.
    fn state_registered(&self, named: &Named, evidence: &mut Evidence) {
        for field in self.fields().filter(|field| field.words.is_none()) {
            if let Some(value) = field.of_architecture(named.architecture) {
                let is_usual = field.otherwise.is_some_and(|usual| Value::from(usual) == value);
                if !is_usual {
                    evidence.add(field.fact, value, registry::origin(named.architecture.name));
                }
            }
        }
    }

    /// Adds what the architectures have in common that fit a source without a name.
    fn state_of_all(&self, like: Option<&Like>, facts: &Facts, evidence: &mut Evidence) {
        if self.has_heads() {
            if let Some(like) = like {
                like.state_heads(self, facts, evidence);
            }
            if !evidence.has("num_heads") {
                self.heads_of_all(facts, evidence);
            }
        }
        self.unusual_of_all(facts, evidence);
    }

    /// Adds what holds where nothing is said, or asks.
    fn state_usual(&self, named: Option<&Named>, facts: &Facts, evidence: &mut Evidence) {
        let is_open = |fact: &str| {
            let mut causes = self.left_open.iter().filter(|(open, _)| *open == fact);
            named.is_none() && causes.any(|(_, cause)| facts.flag(cause) == Some(true))
        };
        for (fact, value) in self.usual {
            if evidence.has(fact) {
                continue;
            }
            match is_open(fact) {
                true => self.setting_of_all(fact, facts, evidence),
                false => {
                    evidence.add(fact, self.usually(fact, *value, facts), self.by_default(named));
                }
            }
        }
    }

    /// Returns the origin of a value that holds where nothing is said: the architecture's own where there is a name, since timm's
    /// constructor takes it then.
    fn by_default(&self, named: Option<&Named>) -> Origin {
        match named {
            Some(named) => {
                registry::origin(&format!("{}, which leaves the default", named.architecture.name))
            }
            None => Origin::Definition(self.by_definition),
        }
    }

    /// Refuses a number of heads that does not divide the width.
    fn check_heads(&self, facts: &Facts) -> Result<(), FactError> {
        let (Some(heads), Some(width)) = (facts.get("num_heads"), facts.number("embed_dim")) else {
            return Ok(());
        };
        let count = heads.value.as_u64().unwrap_or(0);
        if count > 0 && width.is_multiple_of(count) {
            return Ok(());
        }
        Err(match &heads.origin {
            Origin::Option(option) => FactError::contradiction(
                format!("{option} {count}"),
                format!("it does not divide the width of {width} channels"),
            ),
            origin => FactError::Misshapen {
                tensor: "patch_embed.proj.weight".to_owned(),
                family: self.family,
                reason: format!("{count} heads ({origin}) do not divide its {width} channels"),
            },
        })
    }
}

/// Returns how images are prepared; if that is open, the questions are asked.
fn preparation(
    chosen: Result<(Preprocessing, Vec<Fact>), FactError>,
    evidence: &mut Evidence,
) -> Result<Option<Preparation>, FactError> {
    match chosen {
        Ok((preprocessing, facts)) => {
            let transform = Transform::Timm(preprocessing.timm_transform());
            Ok(Some(Preparation { preprocessing, facts, transform, processor: None, is_grey: false }))
        }
        Err(FactError::Questions { open, .. }) => {
            open.into_iter().for_each(|question| evidence.ask(question));
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
