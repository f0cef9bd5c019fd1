//! What is said of adapters: peft's `adapter_config.json` next to the file, or the same settings in the file itself.

use std::path::PathBuf;

use serde_json::{Map, Value, json};
use vitport_checkpoint::{Checkpoint, read_regular};

use crate::facts::{Fact, FactError, Origin};
use crate::source::{MAX_CONFIG_BYTES, Source};

/// Names the factor of adapters: alpha by the rank, as LoRA has it.
const BY_RANK: &str = "alpha / rank";

/// Names the factor of adapters that are stabilised by rank (rsLoRA).
const BY_ROOT: &str = "alpha / sqrt(rank)";

/// Lists settings of peft's LoraConfig that change what is computed, in words. None of them is read.
const UNREAD: [(&str, &str); 12] = [
    ("use_dora", "DoRA"),
    ("use_qalora", "QALoRA"),
    ("use_bdlora", "block-diagonal LoRA"),
    ("fan_in_fan_out", "weights that are transposed (fan_in_fan_out)"),
    ("alpha_pattern", "an alpha for each layer (alpha_pattern)"),
    ("lora_bias", "a bias of its own (lora_bias)"),
    ("layer_replication", "layers that are used several times (layer_replication)"),
    ("trainable_token_indices", "trained tokens (trainable_token_indices)"),
    ("target_parameters", "parameters outside of layers (target_parameters)"),
    ("alora_invocation_tokens", "activation by tokens (aLoRA)"),
    ("monteclora_config", "MonteCLoRA"),
    ("arrow_config", "a router between adapters (Arrow)"),
];

/// Holds the settings of an adapter, and where they stand.
pub(super) struct Settings {
    values: Map<String, Value>,
    place: String,
}

impl Settings {
    /// Reads what is said of an adapter: `adapter_config.json` in the folder of the file or in the adapter's own below it, else what
    /// the checkpoint records under the same names.
    ///
    /// # Errors
    /// Returns [`FactError::Config`] for a file that cannot be read, and [`FactError::NoTarget`] for settings that change what is
    /// computed and are not read.
    pub fn of(source: &Source, adapter: &str) -> Result<Self, FactError> {
        let checkpoint = source.adapter.as_ref().map_or(&source.checkpoint, |adapter| &adapter.checkpoint);
        let settings = match Self::of_folder(checkpoint, adapter)? {
            Some(settings) => settings,
            None => Self::of_records(checkpoint),
        };
        settings.check()?;
        Ok(settings)
    }

    /// Names the weights that an adapter was trained on, as `adapter_config.json` does.
    pub fn base_of(checkpoint: &Checkpoint) -> Option<String> {
        let settings = Self::of_folder(checkpoint, "").ok()??;
        let base = settings.values.get("base_model_name_or_path")?.as_str()?;
        (!base.is_empty()).then(|| base.to_owned())
    }

    fn of_folder(checkpoint: &Checkpoint, adapter: &str) -> Result<Option<Self>, FactError> {
        let file = checkpoint.files().first().map(|file| file.path.clone()).unwrap_or_default();
        let folder = file.parent().map(PathBuf::from).unwrap_or_default();
        for path in [folder.join(adapter).join("adapter_config.json"), folder.join("adapter_config.json")] {
            let failed = |reason: String| FactError::Config { path: path.clone(), reason };
            let text = match read_regular(&path, MAX_CONFIG_BYTES) {
                Ok(text) => text,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(failed(error.to_string())),
            };
            return match serde_json::from_slice(&text) {
                Ok(Value::Object(values)) => {
                    Ok(Some(Self { values, place: "adapter_config.json: ".to_owned() }))
                }
                Ok(_) => Err(failed("it is JSON, but no object".to_owned())),
                Err(error) => Err(failed(format!("it is not JSON: {error}"))),
            };
        }
        Ok(None)
    }

    /// Returns what the checkpoint records, such as `hyper_parameters.lora_alpha`: the first of each name.
    fn of_records(checkpoint: &Checkpoint) -> Self {
        let known = UNREAD.iter().map(|(key, _)| *key).chain(["lora_alpha", "use_rslora"]);
        let known: Vec<&str> = known.collect();
        let (mut values, mut place) = (Map::new(), String::new());
        for entry in checkpoint.metadata() {
            let (before, key) = entry.path.rsplit_once('.').unwrap_or(("", &entry.path));
            if known.contains(&key) && !values.contains_key(key) {
                if key == "lora_alpha" && !before.is_empty() {
                    place = format!("{before}.");
                }
                values.insert(key.to_owned(), json!(entry.value));
            }
        }
        Self { values, place }
    }

    /// Refuses settings that change what is computed and are not read.
    fn check(&self) -> Result<(), FactError> {
        let is_set = |key: &str| match self.values.get(key) {
            None | Some(Value::Null | Value::Bool(false)) => false,
            Some(Value::Array(list)) => !list.is_empty(),
            Some(Value::Object(map)) => !map.is_empty(),
            Some(_) => true,
        };
        let method = self.values.get("peft_type").and_then(Value::as_str).filter(|method| *method != "LORA");
        let unread = UNREAD.iter().find(|(key, _)| is_set(key));
        let (key, what) = match (method, unread) {
            (Some(method), _) => ("peft_type", method),
            (None, Some((key, what))) => (*key, *what),
            (None, None) => return Ok(()),
        };
        Err(FactError::NoTarget {
            what: "a network with adapters of peft next to its weights".to_owned(),
            why: format!("this is {what}, which vitport does not merge"),
            tensor: Some(format!("{}{key}", self.place)),
            instead: super::INSTEAD.to_owned(),
        })
    }

    fn origin(&self, key: &str) -> Origin {
        Origin::Argument(format!("{}{key}", self.place))
    }

    /// Returns alpha: what is recorded, or else what is given; none if neither says it.
    ///
    /// # Errors
    /// Returns [`FactError::Contradiction`] where both say it and differ, and [`FactError::Impossible`] for what is not a number.
    pub fn alpha(&self, given: Option<f64>) -> Result<Option<Fact>, FactError> {
        let recorded = match self.values.get("lora_alpha") {
            None | Some(Value::Null) => None,
            Some(value) => match value.as_f64().filter(|alpha| alpha.is_finite() && *alpha > 0.0) {
                Some(alpha) => Some(alpha),
                None => {
                    let reason = format!("{value} is not a number above 0");
                    return Err(FactError::Impossible { place: format!("{}lora_alpha", self.place), reason });
                }
            },
        };
        match (recorded, given) {
            (Some(recorded), Some(given)) if recorded != given => {
                let reason = format!("lora_alpha is {recorded} according to {}", self.origin("lora_alpha"));
                Err(FactError::contradiction(format!("--lora-alpha {given}"), reason))
            }
            (Some(_), _) => {
                let recorded = self.values.get("lora_alpha").cloned().unwrap_or_default();
                Ok(Some(Fact::new("lora_alpha", recorded, self.origin("lora_alpha"))))
            }
            (None, Some(given)) => Ok(Some(Fact::new("lora_alpha", given, Origin::Option("--lora-alpha")))),
            (None, None) => Ok(None),
        }
    }

    /// Returns how alpha is divided: by the rank, or by its root (rsLoRA).
    pub fn scaling(&self) -> Fact {
        match self.values.get("use_rslora").and_then(Value::as_bool) {
            Some(is_by_root) => {
                let value = if is_by_root { BY_ROOT } else { BY_RANK };
                Fact::new("lora_scaling", value, self.origin("use_rslora"))
            }
            None => {
                let by = Origin::Definition("peft's LoraConfig where nothing else is said");
                Fact::new("lora_scaling", BY_RANK, by)
            }
        }
    }

    /// Checks the rank of a pair, where one rank is recorded for all.
    ///
    /// # Errors
    /// Returns [`FactError::Impossible`].
    pub fn check_rank(&self, rank: u64) -> Result<(), FactError> {
        let has_pattern =
            matches!(self.values.get("rank_pattern"), Some(Value::Object(map)) if !map.is_empty());
        match self.values.get("r").and_then(Value::as_u64).filter(|_| !has_pattern) {
            Some(recorded) if recorded != rank => {
                let reason = format!("it is {recorded}, and an adapter in the file has rank {rank}");
                Err(FactError::Impossible { place: format!("{}r", self.place), reason })
            }
            _ => Ok(()),
        }
    }
}

/// Returns the number that the product of a pair of this rank is multiplied with.
pub(super) fn factor(alpha: &Fact, scaling: &Fact, rank: u64) -> f64 {
    let rank = rank as f64;
    let divisor = if scaling.value == json!(BY_ROOT) { rank.sqrt() } else { rank };
    alpha.value.as_f64().unwrap_or(0.0) / divisor
}
