//! Arguments that a timm model was made with. Those that a definition depends on become facts, which must not contradict the
//! weights; what timm's constructor does not take is refused, and so is what is not known here and could change what is computed.

use serde_json::{Value, json};
use vitport_checkpoint::escape;

use super::TimmDefinition;
use super::field::{Field, Kind};
use super::hub_config::TimmConfig;
use super::named::Named;
use super::registry;
use super::resampling::OtherSizes;
use super::statements::Statement;
use crate::facts::{Evidence, Fact, FactError, Facts, Origin, is_same};

/// Lists the arguments of constructors without a say in what the network computes in evaluation, with what timm accepts.
const WITHOUT_EFFECT: [(&str, Accepted); 14] = [
    ("drop_rate", Accepted::Rate),
    ("pos_drop_rate", Accepted::Rate),
    ("patch_drop_rate", Accepted::Rate),
    ("proj_drop_rate", Accepted::Rate),
    ("attn_drop_rate", Accepted::Rate),
    ("drop_path_rate", Accepted::Rate),
    ("drop_block_rate", Accepted::Rate),
    ("zero_init_last", Accepted::Any),
    ("head_init_scale", Accepted::Number),
    ("weight_init", Accepted::OneOf(&["", "skip", "reset", "jax", "jax_nlhb", "moco"])),
    ("fix_init", Accepted::Any),
    ("dynamic_img_size", Accepted::Any),
    ("dynamic_img_pad", Accepted::Any),
    ("device", Accepted::OneOf(&["cpu"])),
];

/// Lists what timm's factory takes itself and the constructor never sees (`create_model` in timm/models/_factory.py,
/// `build_model_with_cfg` in timm/models/_builder.py).
const OF_THE_FACTORY: [&str; 9] = [
    "pretrained",
    "pretrained_cfg",
    "pretrained_cfg_overlay",
    "pretrained_strict",
    "checkpoint_path",
    "cache_dir",
    "scriptable",
    "exportable",
    "no_jit",
];

/// Lists those of them that timm's factory hands on to the constructor or to the architecture's function, and so fails on, where they
/// stand among the `model_args` of a hub folder (`_resolve_model_source` in timm/models/_factory.py).
const REFUSED_IN_MODEL_ARGS: [&str; 8] = [
    "pretrained",
    "pretrained_cfg",
    "pretrained_cfg_overlay",
    "checkpoint_path",
    "cache_dir",
    "scriptable",
    "exportable",
    "no_jit",
];

/// Lists the arguments that no constructor takes null for. timm drops those of a call that are null, but not those of `model_args`.
const NEVER_NULL: [&str; 9] = [
    "depth",
    "depths",
    "embed_dim",
    "global_pool",
    "img_size",
    "in_chans",
    "num_classes",
    "num_heads",
    "patch_size",
];

/// Names the number of which the width of a gated MLP is a multiple.
const ALIGN: &str = "swiglu_align_to";

/// Names the stages to give out, which the functions of networks that take a size of images take out, and all others hand on.
const OUT_INDICES: &str = "out_indices";

/// Says which values timm accepts for an argument.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Accepted {
    /// Stands for every value.
    Any,
    /// Stands for a number.
    Number,
    /// Stands for a number from 0 to 1.
    Rate,
    /// Stands for one of these texts.
    OneOf(&'static [&'static str]),
}

impl Accepted {
    fn takes(self, value: &Value) -> bool {
        match self {
            Self::Any => true,
            Self::Number => value.is_number(),
            Self::Rate => value.as_f64().is_some_and(|rate| (0.0..=1.0).contains(&rate)),
            Self::OneOf(texts) => value.as_str().is_some_and(|text| texts.contains(&text)),
        }
    }
}

impl TimmDefinition {
    /// Returns what statements say of facts that the definition depends on, and adds to `read` the paths of those that were used.
    /// What a program that is not known says of something that the weights show otherwise is not used: it may be about another
    /// network.
    ///
    /// # Errors
    /// Returns [`FactError::Impossible`] for what timm does not accept, [`FactError::NoTarget`] for what is not known here.
    pub(super) fn read_statements(
        &self,
        statements: &[Statement],
        facts: &Facts,
        read: &mut Vec<String>,
    ) -> Result<Vec<Fact>, FactError> {
        let known = facts.to_config();
        let mut stated = Vec::new();
        for statement in statements {
            let Statement { argument, value, origin, .. } = statement;
            refuse_of_model_args(statement)?;
            let is_it = |(key, _): &(&str, Kind)| key == argument;
            // Programs of one's own say an epsilon, too, where the constructor takes a class.
            let of_fact = |field: &Field| field.registry.filter(|_| !statement.is_strict).filter(is_it);
            let mut fields = self
                .fields()
                .filter_map(|field| {
                    Some((field, field.config_key.filter(is_it).or_else(|| of_fact(field))?.1))
                })
                .peekable();
            let mut is_used = false;
            if fields.peek().is_none() {
                is_used = self.check_without_effect(statement)?;
            }
            for (field, kind) in fields {
                // Where an argument is None, the constructor has another default than the architecture only for a few.
                // There null is false, but for a norm that then follows from the pooling.
                let null = match kind {
                    Kind::Flag => Value::Bool(false),
                    Kind::FlagOrPooling(names) => pools_by(names, statements),
                    _ => Value::Null,
                };
                let value = if value.is_null() && is_of_model_args(statement) { &null } else { value };
                if value.is_null() && !kind.reads_null() {
                    // timm's functions leave null in place of what an architecture has, and constructors have a default of their own
                    // for it. The weights show the rest.
                    let is_hidden = field.words.is_none();
                    match is_of_model_args(statement) && is_hidden {
                        true => return Err(self.not_known(statement)),
                        false => continue,
                    }
                }
                let Some(value) = kind.read(value, &known) else {
                    // An activation that is not known is one that the network may well have.
                    match statement.is_strict || kind == Kind::Activation {
                        true => return Err(self.unread(statement, kind)),
                        false => continue,
                    }
                };
                let is_otherwise = facts.get(field.fact).is_some_and(|known| {
                    matches!(known.origin, Origin::Weights(_)) && !is_same(&known.value, &value)
                });
                if !statement.is_strict && is_otherwise {
                    continue;
                }
                is_used = true;
                if self.is_telling(field.fact, &value, facts) {
                    stated.push(Fact::new(field.fact, value, origin.clone()));
                }
            }
            if let (true, Some(path)) = (is_used, &statement.path) {
                read.push(path.clone());
            }
        }
        Ok(stated)
    }

    /// Refuses the name of a class among `model_args` where timm takes the class alone, and what its functions give themselves. Stages that
    /// a config describes are those of no function.
    ///
    /// # Errors
    /// Returns [`FactError::Impossible`].
    pub(super) fn refuse_arguments(
        &self,
        architecture: &str,
        statements: &[Statement],
    ) -> Result<(), FactError> {
        let describes_stages = statements.iter().any(|statement| statement.argument == "block_args");
        for Statement { argument, value, place, .. } in statements.iter().filter(|own| is_of_model_args(own))
        {
            let mut fields =
                self.fields().filter(|field| field.config_key.is_some_and(|(key, _)| key == argument));
            let reason = match fields.next() {
                Some(field) if field.takes_class && value.is_string() => format!(
                    "{} does not take {}, but a class, which no config.json holds",
                    self.by_definition_of(),
                    shown(value)
                ),
                Some(Field { given_to: Some(part), .. })
                    if architecture.contains(part) && !describes_stages =>
                {
                    format!(
                        "timm's functions give `{argument}` themselves and fail where it is given once more"
                    )
                }
                _ => continue,
            };
            return Err(FactError::Impossible { place: place.clone(), reason });
        }
        Ok(())
    }

    /// Returns whether an argument without a field is known to change nothing.
    fn check_without_effect(&self, statement: &Statement) -> Result<bool, FactError> {
        let Statement { argument, value, place, is_strict, .. } = statement;
        let takes_indices = !is_strict || self.other_sizes != OtherSizes::Unsized;
        let of_factory =
            OF_THE_FACTORY.contains(&argument.as_str()) || argument == OUT_INDICES && takes_indices;
        if of_factory || !is_strict {
            return Ok(of_factory);
        }
        let impossible = |reason: String| Err(FactError::Impossible { place: place.clone(), reason });
        if !self.takes(argument) {
            return impossible(format!(
                "{} takes no argument `{}`",
                self.by_definition_of(),
                escape(argument)
            ));
        }
        let known = WITHOUT_EFFECT.iter().find(|(name, _)| name == argument);
        match known {
            _ if value.is_null() => Ok(true),
            Some((_, accepted)) if accepted.takes(value) => Ok(true),
            Some(_) => impossible(format!("{} does not take {}", self.by_definition_of(), shown(value))),
            None => Err(self.not_known(statement)),
        }
    }

    /// Adds what the architecture that a config names says of what the weights show and the config does not state itself.
    pub(super) fn state_architecture(
        &self,
        named: &Named,
        statements: &[Statement],
        facts: &Facts,
        evidence: &mut Evidence,
    ) {
        let align = statements.iter().find(|statement| statement.argument == ALIGN);
        let align = align.and_then(|statement| statement.value.as_u64());
        for field in self.fields().filter(|field| field.words.is_some()) {
            let is_stated = statements.iter().any(|statement| {
                field.decided_by.contains(&statement.argument.as_str())
                    || field.config_key.is_some_and(|(key, kind)| {
                        key == statement.argument && (!statement.value.is_null() || kind.reads_null())
                    })
            });
            if !is_stated
                && let Some(value) = self.made_with(field, named.architecture, facts, align)
                && self.is_telling(field.fact, &value, facts)
            {
                let origin = Origin::Config(format!("architecture {}", named.architecture.name));
                evidence.add(field.fact, value, origin);
            }
        }
    }

    /// Returns what a field is by the architecture alone: a ratio is kept where the whole is another, and what comes out is a multiple of
    /// `align`, if it is said, or of what the architecture has.
    pub(super) fn made_with(
        &self,
        field: &Field,
        architecture: &registry::Architecture,
        facts: &Facts,
        align: Option<u64>,
    ) -> Option<Value> {
        let own = field.of_architecture(architecture)?;
        let Some((_, Kind::RatioOf(whole))) = field.config_key else { return Some(own) };
        let (part, whole, actual) = (own.as_u64()?, architecture.size(whole)?, facts.number(whole)?);
        let part = (actual as f64 * (part as f64 / whole.max(1) as f64)) as u64;
        let step = align.unwrap_or_else(|| architecture.size(ALIGN).unwrap_or(0) as u64);
        Some(json!(if step > 0 { part.checked_next_multiple_of(step)? } else { part }))
    }

    /// Returns whether timm's constructor of these networks takes an argument of that name.
    fn takes(&self, argument: &str) -> bool {
        self.modules.iter().any(|module| registry::takes(module, argument))
    }

    /// Returns timm's name of the class.
    fn by_definition_of(&self) -> &'static str {
        self.by_definition.split(" where").next().unwrap_or(self.by_definition)
    }

    /// Returns whether a statement tells anything: what the weights show nothing of and is as usual is left out.
    fn is_telling(&self, fact: &str, value: &Value, facts: &Facts) -> bool {
        facts.get(fact).is_some() || self.otherwise(fact).is_none_or(|usual| usual != *value)
    }

    /// Returns what a fact is where the weights show nothing of it.
    pub(super) fn otherwise(&self, fact: &str) -> Option<Value> {
        let field = self.fields().find(|field| field.fact == fact)?;
        field.otherwise.map(Value::from)
    }

    fn unread(&self, statement: &Statement, kind: Kind) -> FactError {
        let Statement { value, place, .. } = statement;
        if !value.is_number() && matches!(kind, Kind::Activation | Kind::NormEps(_)) {
            return self.not_known(statement);
        }
        let reason = format!("{} is not what {} takes", shown(value), self.by_definition_of());
        FactError::Impossible { place: place.clone(), reason }
    }

    fn not_known(&self, statement: &Statement) -> FactError {
        let Statement { argument, value, place, .. } = statement;
        let value = value.as_str().map_or_else(|| shown(value), |text| escape(text).to_string());
        FactError::NoTarget {
            what: format!("{} with {} {value}", self.by_definition_of(), escape(argument)),
            why: "vitport does not know what it means, and it may change what the network computes"
                .to_owned(),
            tensor: Some(place.clone()),
            instead: "if it does not change what the network computes, remove it".to_owned(),
        }
    }
}

/// Returns whether a statement is one of the `model_args` of a hub folder, which timm hands on as they are.
fn is_of_model_args(statement: &Statement) -> bool {
    matches!(&statement.origin, Origin::Config(key) if key.starts_with("model_args."))
}

/// Returns whether the pooling that is stated is one of these; null if none is.
fn pools_by(names: &[&str], statements: &[Statement]) -> Value {
    let pooling = statements.iter().find(|statement| statement.argument == "global_pool");
    pooling
        .and_then(|pooling| pooling.value.as_str())
        .map_or(Value::Null, |name| names.contains(&name).into())
}

/// Refuses what timm fails on among the `model_args` of a hub folder.
fn refuse_of_model_args(statement: &Statement) -> Result<(), FactError> {
    let Statement { argument, value, place, .. } = statement;
    let is = |list: &[&str]| list.contains(&argument.as_str());
    let reason = match is_of_model_args(statement) {
        true if is(&REFUSED_IN_MODEL_ARGS) => {
            "timm takes this from its caller alone, and fails on it in a config"
        }
        true if value.is_null() && is(&NEVER_NULL) => "timm's constructors do not take null for it",
        _ => return Ok(()),
    };
    Err(FactError::Impossible { place: place.clone(), reason: reason.to_owned() })
}

fn shown(value: &Value) -> String {
    let shown: String = value.to_string().chars().take(40).collect();
    escape(&shown).to_string()
}

/// Returns the image's size by the config: the model's own argument, or the size it was pretrained at.
///
/// # Errors
/// Returns [`FactError::Impossible`] for a value of another kind.
pub(super) fn image_size(config: &TimmConfig<'_>) -> Result<Option<[u64; 2]>, FactError> {
    let pair = |height: &Value, width: &Value| Some([height.as_u64()?, width.as_u64()?]);
    match config.argument("img_size") {
        None | Some(Value::Null) => {}
        Some(value) => {
            let edges = match value.as_array().map(Vec::as_slice) {
                Some([height, width]) => pair(height, width),
                Some(_) => None,
                None => pair(value, value),
            };
            return edges.map(Some).ok_or_else(|| FactError::Impossible {
                place: "config.json: model_args.img_size".to_owned(),
                reason: format!("{} is not a size of an image", shown(value)),
            });
        }
    }
    let size = config.pretrained_cfg.get("input_size").and_then(Value::as_array);
    Ok(match size.map(Vec::as_slice) {
        Some([_, height, width]) => pair(height, width),
        _ => None,
    })
}
