//! timm (PyTorch Image Models): its model files, its registry, and what hub folders and training runs say of a model.

mod arguments;
pub mod beit;
mod classes;
pub mod convnext;
mod definition;
pub mod efficientnet;
mod field;
mod hub_config;
pub mod labels;
mod layers;
mod like;
mod named;
mod preprocessing;
pub mod registry;
pub mod regnet;
pub mod resnet;
mod saved_module;
mod statements;
mod structure;
pub mod swin_transformer;
pub mod swin_transformer_v2;
mod training;
pub mod vision_transformer;
mod write_config;

use serde_json::{Map, Value, json};
use vitport_checkpoint::escape;

use self::field::{Field, Literal};
pub use self::hub_config::TimmConfig;
use self::like::Like;
use self::preprocessing::Said;
use self::registry::{Architecture, Found, Tag};
use self::saved_module::SavedConfig;
use self::structure::Structure;
use self::training::Training;
use super::framework::{self, convertible};
use super::registry::known_model;
use super::saved_modules::Role;
use super::source::{Identity, Inquiry, Preparation, Transform};
use super::{Framework, KnownModel, PublishedModel, SourceConfig};
use crate::facts::{Evidence, Fact, FactError, Facts, Origin, Question, is_same};
use crate::nn::{ForwardError, Network};
use crate::source::ConfigFile;

/// Declares a definition of timm's: all that is read generically, and how its network is built.
#[derive(Debug)]
pub struct TimmDefinition {
    /// Gives its id.
    id: &'static str,
    /// Says what people call it: `timm's ViT`.
    description: &'static str,
    /// Lists timm's modules whose architectures it defines.
    modules: &'static [&'static str],
    /// Says what errors call these networks: `ViT`.
    family: &'static str,
    /// Says what its tensors show.
    structure: Structure,
    /// Lists the modules of a network that was saved whole.
    saved_modules: &'static [Role],
    /// Says what it depends on.
    fields: &'static [Field],
    /// Says what holds where nothing is said.
    usual: &'static [(&'static str, Literal)],
    /// Lists the facts of `usual` with the value that holds instead where another fact has the value after it.
    usual_instead: &'static [(&'static str, Literal, &'static str, Literal)],
    /// Lists the facts of `usual`, each with a fact that leaves it open where it is true.
    left_open: &'static [(&'static str, &'static str)],
    /// Gives the origin of what holds where nothing is said.
    by_definition: &'static str,
    /// Builds the network of a config.
    build: fn(&Map<String, Value>) -> Result<Network, ForwardError>,
}

impl TimmDefinition {
    /// Returns the modules of a network that was saved whole.
    #[cfg(test)]
    pub(super) fn saved_modules(&self) -> &'static [Role] {
        self.saved_modules
    }

    /// Returns what a fact of `usual` is where nothing is said of it, by what is known.
    fn usually(&self, fact: &str, usual: Literal, facts: &Facts) -> Literal {
        let holds = |(own, _, cause, value): &&(&str, Literal, &str, Literal)| {
            let known = facts.value(cause);
            *own == fact && known.is_some_and(|known| is_same(known, &Value::from(*value)))
        };
        self.usual_instead.iter().find(holds).map_or(usual, |(_, instead, ..)| *instead)
    }

    /// Gathers what is said of a model outside of its tensors' shapes.
    ///
    /// # Errors
    /// Returns [`FactError`] for a name that is not known, and for options that cannot be.
    fn gather_statements(
        &self,
        inquiry: &Inquiry<'_>,
        evidence: &mut Evidence,
    ) -> Result<Identity, FactError> {
        let Inquiry { source, options, .. } = inquiry;
        let config = TimmConfig::of(source)?;
        let like = Like::of(options)?;
        let mut training = Training::of(source)?;
        let mut statements = config.as_ref().map(statements::of_config).transpose()?.unwrap_or_default();
        statements.append(&mut training.arguments);
        // What is listed as assumed where nothing says it is said here.
        let is_listed = |fact: &str| self.usual.iter().any(|(listed, _)| *listed == fact);
        let usual = |fact: &str| self.otherwise(fact).filter(|_| !is_listed(fact));
        let unread = inquiry.modules.read(self.family, self.saved_modules, usual, evidence)?;
        let saved = SavedConfig::of(inquiry.modules);
        training.names.splice(0..0, saved.as_ref().and_then(SavedConfig::name));
        let facts = evidence.facts();
        let stated = self.read_statements(&statements, &facts, &mut training.read)?;
        let named = self.named(inquiry, config.as_ref(), &mut training, &facts, &stated)?;
        let has_heads = self.fields.iter().any(|field| field.fact == "num_heads");
        for fact in stated {
            // The size that a config gives is that of images, too, which an option may say otherwise.
            let is_overridden = fact.name == "img_size" && options.image_size.is_some();
            if !is_overridden {
                evidence.state(fact);
            }
        }
        match options.num_heads.as_deref() {
            Some(&[heads]) if has_heads => evidence.add("num_heads", heads, Origin::Option("--num-heads")),
            Some(list) => {
                let heads = if has_heads { "one number of heads" } else { "no heads" };
                let reason = format!("a {} has {heads}, and {} are given", self.family, list.len());
                return Err(FactError::contradiction("--num-heads", reason));
            }
            None => {}
        }
        if let Some(eps) = options.layer_norm_eps {
            evidence.add("norm_eps", eps, Origin::Option("--layer-norm-eps"));
        }
        match &named {
            Some(named) => {
                for field in self.fields.iter().filter(|field| field.words.is_none()) {
                    if let Some(value) = field.of_architecture(named.architecture) {
                        let is_usual = field.otherwise.is_some_and(|usual| Value::from(usual) == value);
                        if !is_usual {
                            evidence.add(field.fact, value, registry::origin(named.architecture.name));
                        }
                    }
                }
                if config.is_some() {
                    self.state_architecture(named, &statements, &facts, evidence);
                }
            }
            None => {
                if let Some(like) = like.as_ref().filter(|_| has_heads) {
                    like.state_heads(self, &facts, evidence);
                }
                if has_heads && !evidence.has("num_heads") {
                    self.heads_of_all(&facts, evidence);
                }
                self.unusual_of_all(&facts, evidence);
            }
        }
        let is_open = |fact: &str| {
            let mut causes = self.left_open.iter().filter(|(open, _)| *open == fact);
            named.is_none() && causes.any(|(_, cause)| facts.flag(cause) == Some(true))
        };
        for (fact, value) in self.usual {
            if evidence.has(fact) {
                continue;
            }
            match is_open(fact) {
                true => self.setting_of_all(fact, &facts, evidence),
                false => {
                    evidence.add(fact, self.usually(fact, *value, &facts), self.by_default(named.as_ref()));
                }
            }
        }
        self.check_heads(&evidence.facts())?;
        if let Some(named) = &named {
            evidence.add("architecture", named.name(), named.origin.clone());
        }

        let of_others = (config.as_ref(), saved.as_ref());
        self.image_size(inquiry, of_others, &mut training, named.as_ref(), evidence)?;
        let facts = evidence.facts();
        let is_oblong = match facts.pair("img_size") {
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
        let preparation = match chosen {
            Ok((preprocessing, facts)) => {
                let transform = Transform::Timm(preprocessing.timm_transform());
                Some(Preparation { preprocessing, facts, transform, processor: None, is_grey: false })
            }
            Err(FactError::Questions { open, .. }) => {
                open.into_iter().for_each(|question| evidence.ask(question));
                None
            }
            Err(error) => return Err(error),
        };
        let published = named.filter(|named| named.is_published(self, &facts));
        let model = published.as_ref().and_then(named::Named::published);
        Ok(Identity {
            name: published.as_ref().map_or_else(|| escape(&source.stem()).to_string(), named::Named::name),
            published: model,
            preparation,
            read: training.read,
            unread,
        })
    }

    /// Says the size of the image: by the weights, else by an option, the training arguments, the config, the
    /// module that was saved whole, or the tag that is named.
    /// A size of the arguments that is not that of the weights is a contradiction, unless an option decides.
    fn image_size(
        &self,
        inquiry: &Inquiry<'_>,
        (config, saved): (Option<&TimmConfig<'_>>, Option<&SavedConfig>),
        training: &mut Training,
        named: Option<&named::Named>,
        evidence: &mut Evidence,
    ) -> Result<(), FactError> {
        let wanted = inquiry.options.image_size;
        let of_tag = named.and_then(|named| {
            let origin = |tag: &Tag| match named.tag {
                Some(_) => registry::origin(&tag.full_name()),
                None => named.of_default_tag(&tag.full_name()),
            };
            let tag = named.tag.or_else(|| framework::tags_of(named.architecture.name).first().copied())?;
            let [_, height, width] = tag.input_size;
            Some(([height as u64, width as u64], origin(tag)))
        });
        let of_training =
            training.size.clone().map(|size| Fact::new("img_size", size.value.to_vec(), size.origin));
        if evidence.has("img_size") || evidence.is_asked("img_size") {
            if let (Some(fact), true, None) = (of_training, training.is_strict, wanted) {
                evidence.state(fact);
            } else {
                training.leave_other_size(evidence.facts().pair("img_size"));
            }
            let known = evidence.facts().pair("img_size");
            let of_architecture = named.and_then(|named| {
                let size = named.architecture.pair("img_size")?.map(|edge| edge as u64);
                Some((size, registry::origin(named.architecture.name)))
            });
            for (size, origin) in of_architecture.into_iter().chain(of_tag) {
                if known == Some(size) {
                    evidence.add("img_size", size.to_vec(), origin);
                }
            }
            return Ok(());
        }
        let of_config = config.map(arguments::image_size).transpose()?.flatten();
        let of_config = of_config.map(|size| {
            Fact::new("img_size", size.to_vec(), Origin::Config("pretrained_cfg.input_size".to_owned()))
        });
        // A fine-tune keeps the `pretrained_cfg` of the weights that it began with, and its training may say otherwise.
        let of_module = saved.filter(|_| of_training.is_none()).and_then(|saved| {
            Some(Fact::new("img_size", saved.image_size()?.to_vec(), saved.origin("input_size")))
        });
        let stated: Vec<Fact> = of_training.into_iter().chain(of_config).chain(of_module).collect();
        if let Some(size) = wanted {
            let fact = Fact::new("img_size", size.to_vec(), Origin::Option("--image-size"));
            let other = stated.into_iter().find(|other| !is_same(&other.value, &fact.value));
            evidence.state(match other {
                Some(other) => fact.in_place_of(other),
                None => fact,
            });
        } else if !stated.is_empty() {
            stated.into_iter().for_each(|fact| evidence.state(fact));
        } else if let Some((size, origin)) = of_tag {
            evidence.add("img_size", size.to_vec(), origin);
        } else {
            let what =
                format!("the size of the image cannot be inferred from the weights of a {}", self.family);
            let question = Question::new("img_size", what, "--image-size", "N");
            evidence.ask(question.with_candidates([224]).or("--arch NAME.TAG"));
        }
        Ok(())
    }

    /// Returns the origin of a value that holds where nothing is said: the architecture's own where there is a name, since timm's
    /// constructor takes it then.
    fn by_default(&self, named: Option<&named::Named>) -> Origin {
        match named {
            Some(named) => {
                registry::origin(&format!("{}, which leaves it as usual", named.architecture.name))
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

    /// Says what all architectures that fit a bare file have otherwise than usual.
    fn unusual_of_all(&self, facts: &Facts, evidence: &mut Evidence) {
        let fitting = self.candidates(facts);
        for (fact, usual) in self.usual {
            let field = self.fields.iter().find(|field| field.fact == *fact);
            let mut values = fitting.iter().map(|architecture| field?.of_architecture(architecture));
            if let (Some(Some(first)), false) = (values.next(), evidence.has(fact))
                && first != Value::from(self.usually(fact, *usual, facts))
                && values.all(|value| value.as_ref() == Some(&first))
            {
                let which =
                    fitting.iter().map(|architecture| architecture.name).collect::<Vec<_>>().join(", ");
                evidence.add(fact, first, registry::candidates(&which));
            }
        }
    }

    /// Says the number of attention heads of a bare file, if all architectures of this width and depth that fit have one;
    /// asks otherwise.
    fn heads_of_all(&self, facts: &Facts, evidence: &mut Evidence) {
        let fitting = self.candidates(facts);
        let (width, depth) = (facts.number("embed_dim").unwrap_or(0), facts.number("depth").unwrap_or(0));
        let is_alike = |a: &&Architecture| {
            a.text("block_fn") == Some("Block")
                && a.flag("class_token") == (facts.flag("class_token") != Some(false))
                && a.text("attn_layer") == Some("Attention")
                && a.size("embed_dim").map(|size| size as u64) == Some(width)
                && a.size("depth").map(|size| size as u64) == Some(depth)
        };
        let (known, which) = match fitting.as_slice() {
            [] => {
                let all = self.modules.iter().flat_map(|module| registry::architectures_of(module));
                let which = "its class-token architectures of this width and depth".to_owned();
                (all.filter(is_alike).collect::<Vec<_>>(), which)
            }
            [only] => (fitting.clone(), only.name.to_owned()),
            several => (several.to_vec(), format!("the {} architectures that fit", several.len())),
        };
        let mut counts: Vec<u64> =
            known.iter().filter_map(|a| a.size("num_heads")).map(|heads| heads as u64).collect();
        counts.sort_unstable();
        counts.dedup();
        match counts.as_slice() {
            [heads] => evidence.add("num_heads", *heads, registry::candidates(&which)),
            _ => {
                let divisors =
                    (1..=64_u64).filter(|heads| width.is_multiple_of(*heads) && width / heads >= 8);
                let what = format!(
                    "the number of attention heads cannot be inferred from the weights, and timm has no {} of {width} channels and {depth} blocks",
                    self.family
                );
                let question = Question::new("num_heads", what, "--num-heads", "N");
                let question = question.with_candidates(divisors);
                evidence.ask(question.or("--arch NAME if it is one of timm's"));
            }
        }
    }

    /// Says what weights do not show of a bare file, if all architectures that fit agree on it; asks otherwise.
    fn setting_of_all(&self, fact: &'static str, facts: &Facts, evidence: &mut Evidence) {
        let fitting = self.candidates(facts);
        let field = self.fields.iter().find(|field| field.fact == fact);
        let values: Vec<Value> =
            fitting.iter().filter_map(|architecture| field?.of_architecture(architecture)).collect();
        match values.split_first() {
            Some((first, others)) if others.iter().all(|other| other == first) => {
                let which = format!("the {} architectures that fit", fitting.len());
                evidence.add(fact, first.clone(), registry::candidates(&which));
            }
            _ => {
                let shown = |value: &Value| Fact::new(fact, value.clone(), Origin::Definition("")).shown();
                let mut candidates: Vec<String> = values.iter().map(shown).collect();
                candidates.sort_unstable();
                candidates.dedup();
                let fit = match fitting.len() {
                    0 => "no architecture of timm's fits",
                    _ => "timm's architectures that fit do not agree",
                };
                let what = format!("{fact} cannot be inferred from the weights, and {fit}");
                let question = match fact {
                    "norm_eps" => {
                        Question::new(fact, what, "--layer-norm-eps", "EPS").with_candidates(candidates)
                    }
                    _ => Question::new(fact, format!("{what} ({})", candidates.join(" or ")), "", ""),
                };
                let others = match fact {
                    "norm_eps" => "--arch NAME",
                    _ => "--arch NAME, or a config.json with it among model_args",
                };
                evidence.ask(question.or(others));
            }
        }
    }

    /// Returns the facts that the registry has of one of its tags: what a model of that tag would be found to be.
    pub fn facts_of(&self, architecture: &Architecture, tag: &Tag) -> Facts {
        let origin = || registry::origin(&tag.full_name());
        let [channels, height, width] = tag.input_size;
        let mut facts = Facts::from_iter([
            Fact::new("in_chans", channels as u64, origin()),
            Fact::new("img_size", json!([height, width]), origin()),
            Fact::new("num_classes", tag.num_classes as u64, origin()),
            Fact::new("head", tag.num_classes > 0, origin()),
        ]);
        for field in self.fields {
            let value = field.of_architecture(architecture);
            if let Some(value) = value.or_else(|| field.otherwise.map(Value::from)) {
                facts.set(Fact::new(field.fact, value, origin()));
            }
        }
        for (fact, value) in self.usual {
            if facts.get(fact).is_none() {
                facts.set(Fact::new(fact, *value, origin()));
            }
        }
        facts
    }
}

/// Lists every definition of timm's.
const DEFINITIONS: [&TimmDefinition; 8] = [
    &vision_transformer::DEFINITION,
    &beit::DEFINITION,
    &convnext::DEFINITION,
    &resnet::DEFINITION,
    &regnet::DEFINITION,
    &swin_transformer::DEFINITION,
    &swin_transformer_v2::DEFINITION,
    &efficientnet::DEFINITION,
];

/// Returns timm's modules whose architectures are defined here.
fn modules() -> Vec<&'static str> {
    DEFINITIONS.into_iter().flat_map(|definition| definition.modules).copied().collect()
}

/// Stands for timm, as a framework.
pub struct Timm;

impl Framework for Timm {
    fn convertible(&self) -> String {
        format!("timm's {} models", modules().join(", "))
    }

    fn read_config<'a>(
        &self,
        config: &'a ConfigFile,
    ) -> Option<Result<Box<dyn SourceConfig + 'a>, FactError>> {
        let read = TimmConfig::read(config);
        Some(read.map(|config| Box::new(config) as Box<dyn SourceConfig>))
    }

    fn refuse_by_name(&self, name: &str) -> Option<FactError> {
        let module = registry::module_of(name)?;
        if modules().contains(&module) {
            return None;
        }
        Some(FactError::NoTarget {
            what: format!("timm's {name}"),
            why: format!("it is of timm's family `{module}`, which has no mapping here yet"),
            tensor: None,
            instead: format!("vitport converts {}", convertible()),
        })
    }

    fn opened_by_name(&self, name: &str) -> Option<String> {
        let tag = registry::find(name)?.tag;
        let is_it = tag.has_weights && tag.hub_id.as_deref() == Some(&*format!("timm/{}", tag.full_name()));
        is_it.then(|| {
            format!(
                "with timm installed, transformers opens the published one as it is (TimmWrapper): \
                 AutoModel.from_pretrained(\"timm/{}\")",
                tag.full_name()
            )
        })
    }

    fn find(&self, name: &str) -> Option<Found> {
        registry::find(name)
    }

    fn suggest(&self, name: &str) -> Vec<String> {
        registry::suggest(name)
    }

    fn tags_of(&self, architecture: &str) -> Vec<&'static Tag> {
        registry::tags_of(architecture).collect()
    }

    fn published_in(&self, repository: &str) -> Option<PublishedModel> {
        let mut tags = registry::tags();
        tags.find(|tag| tag.hub_id.as_deref() == Some(repository)).map(Tag::published)
    }

    fn released_as(&self, file_name: &str) -> Option<PublishedModel> {
        registry::tags().find(|tag| tag.file_name() == Some(file_name)).map(Tag::published)
    }

    fn known_models(&self) -> Box<dyn Iterator<Item = KnownModel>> {
        Box::new(registry::tags().map(known_model))
    }
}
