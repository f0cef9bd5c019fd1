//! Arguments that a timm model was made with, as the `config.json` of a hub folder records them in `model_args`. Those that a
//! definition depends on become evidence, which must not contradict the weights; one that is not known here and could change
//! what is computed is refused.

use serde_json::{Value, json};
use vitport_checkpoint::escape;

use super::TimmDefinition;
use super::field::{Field, Kind, Literal};
use super::hub_config::TimmConfig;
use super::named::Named;
use crate::facts::{Evidence, FactError, Facts, Origin};

/// Lists the arguments without a say in what the network computes in evaluation.
const WITHOUT_EFFECT: [&str; 20] = [
    "drop_rate",
    "pos_drop_rate",
    "patch_drop_rate",
    "proj_drop_rate",
    "attn_drop_rate",
    "drop_path_rate",
    "drop_block_rate",
    "weight_init",
    "fix_init",
    "dynamic_img_size",
    "dynamic_img_pad",
    "strict_img_size",
    "num_classes",
    "pretrained",
    "pretrained_cfg",
    "pretrained_cfg_overlay",
    "cache_dir",
    "scriptable",
    "exportable",
    "device",
];

impl TimmDefinition {
    /// Adds what the arguments say, and what the named architecture says of what the weights show: both are statements about
    /// this model.
    ///
    /// # Errors
    /// Returns [`FactError::Misshapen`] for values of another kind, [`FactError::NoTarget`] for an argument that is not known
    /// here.
    pub(super) fn read_arguments(
        &self,
        config: &TimmConfig<'_>,
        named: &Named,
        facts: &Facts,
        evidence: &mut Evidence,
    ) -> Result<(), FactError> {
        let known = facts.to_config();
        for field in self.fields {
            let stated = field.config_key.and_then(|(name, kind)| {
                let value = config.argument(name)?;
                (!value.is_null() || kind == Kind::IsSome).then_some((name, kind, value))
            });
            if let Some((name, kind, value)) = stated {
                let value = kind.read(value, &known).ok_or_else(|| self.unread(config, name, kind, value))?;
                if self.is_telling(field.fact, &value, facts) {
                    evidence.add(field.fact, value, Origin::Config(format!("model_args.{name}")));
                }
            } else if field.words.is_some()
                && let Some(value) = self.made_with(field, named, facts)
                && self.is_telling(field.fact, &value, facts)
            {
                let origin = Origin::Config(format!("architecture {}", named.architecture.name));
                evidence.add(field.fact, value, origin);
            }
        }
        if let Some(pool) = config.global_pool() {
            evidence.add("global_pool", pool, Origin::Config("global_pool".to_owned()));
        }
        let is_known = |key: &str| {
            let is_field =
                self.fields.iter().any(|field| field.config_key.is_some_and(|(name, _)| name == key));
            is_field || WITHOUT_EFFECT.contains(&key) || self.shown_by_weights.contains(&key)
        };
        match config.arguments().find(|(key, value)| !value.is_null() && !is_known(key)) {
            Some((key, value)) => Err(self.not_known(config.architecture, key, &value.to_string())),
            None => Ok(()),
        }
    }

    /// Returns what a field is by the architecture alone: a ratio is kept where the whole is another.
    fn made_with(&self, field: &Field, named: &Named, facts: &Facts) -> Option<Value> {
        let own = field.of_architecture(named.architecture)?;
        let Some((_, Kind::RatioOf(whole))) = field.config_key else { return Some(own) };
        let (part, whole, actual) = (own.as_u64()?, named.architecture.size(whole)?, facts.number(whole)?);
        Some(json!((actual as f64 * (part as f64 / whole.max(1) as f64)) as u64))
    }

    /// Returns whether a statement tells anything: what the weights show nothing of and is as usual is left out.
    fn is_telling(&self, fact: &str, value: &Value, facts: &Facts) -> bool {
        let field = self.fields.iter().find(|field| field.fact == fact);
        let otherwise: Option<Literal> = field.and_then(|field| field.otherwise);
        facts.get(fact).is_some() || otherwise.is_none_or(|usual| Value::from(usual) != *value)
    }

    fn unread(&self, config: &TimmConfig<'_>, key: &str, kind: Kind, value: &Value) -> FactError {
        if value.is_string() && matches!(kind, Kind::Activation | Kind::NormEps(_)) {
            return self.not_known(config.architecture, key, value.as_str().unwrap_or_default());
        }
        let shown: String = value.to_string().chars().take(40).collect();
        FactError::Misshapen {
            tensor: "config.json".to_owned(),
            family: self.family,
            reason: format!("model_args.{key} is {}, which no {} has", escape(&shown), self.family),
        }
    }

    fn not_known(&self, architecture: &str, key: &str, value: &str) -> FactError {
        let value: String = value.chars().take(40).collect();
        FactError::NoTarget {
            what: format!("timm's {} with {} {}", escape(architecture), escape(key), escape(&value)),
            why: "it is not known here what it means, and it may change what the network computes".to_owned(),
            tensor: Some(format!("model_args.{key} in config.json")),
            instead: "if it does not change what the network computes, remove it from config.json".to_owned(),
        }
    }
}

/// Returns the image's size by the config: the model's own argument, or the size it was pretrained at.
///
/// # Errors
/// Returns [`FactError::Misshapen`] for a value of another kind.
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
            return edges.map(Some).ok_or_else(|| FactError::Misshapen {
                tensor: "config.json".to_owned(),
                family: "network",
                reason: format!("model_args.img_size is {}", escape(&value.to_string())),
            });
        }
    }
    let size = config.pretrained_cfg.get("input_size").and_then(Value::as_array);
    Ok(match size.map(Vec::as_slice) {
        Some([_, height, width]) => pair(height, width),
        _ => None,
    })
}
