//! What a source says of how its network was made: the arguments of timm's constructors, as the `config.json` of a hub folder and
//! training programs record them, each with its origin.

use serde_json::{Value, json};

use super::hub_config::TimmConfig;
use crate::facts::{FactError, Origin};

/// Names the key with the size of the images that timm's transform makes.
pub(super) const INPUT_SIZE: &str = "pretrained_cfg.input_size";

/// Describes what is said of one argument.
#[derive(Debug, Clone)]
pub(super) struct Statement {
    /// Names the argument of timm's constructor.
    pub argument: String,
    /// Holds its value.
    pub value: Value,
    /// Says where it came from.
    pub origin: Origin,
    /// Names the place in messages.
    pub place: String,
    /// Gives its path among the records of a checkpoint, if it is one.
    pub path: Option<String>,
    /// Says whether it is an argument of this very network and nothing else.
    pub is_strict: bool,
}

/// Returns what a config says, as timm's `_parse_model_cfg` (timm/models/_hub.py) and `_update_default_model_kwargs`
/// (timm/models/_builder.py) take it. `is_sized` says whether the constructor takes a size of images: then it is that of the images
/// that timm's transform makes.
///
/// # Errors
/// Returns [`FactError::Impossible`] for an input size of another kind.
pub(super) fn of_config(config: &TimmConfig<'_>, is_sized: bool) -> Result<Vec<Statement>, FactError> {
    let statement = |argument: &str, key: String, value: Value| Statement {
        argument: argument.to_owned(),
        value,
        place: format!("config.json: {key}"),
        origin: Origin::Config(key),
        path: None,
        is_strict: true,
    };
    let mut statements: Vec<Statement> = config
        .arguments()
        .map(|(name, value)| statement(name, format!("model_args.{name}"), value.clone()))
        .collect();
    let is_given = |name: &str| config.argument(name).is_some_and(|value| !value.is_null());
    for key in ["global_pool", "num_classes"] {
        if let Some((path, value)) = config.default_of(key) {
            statements.push(statement(key, path, value.clone()));
        }
    }
    if let Some(value) = config.pretrained_cfg.get("input_size").filter(|value| !value.is_null()) {
        let key = || INPUT_SIZE.to_owned();
        let edges: Option<Vec<u64>> =
            value.as_array().and_then(|list| list.iter().map(Value::as_u64).collect());
        let Some([channels, height, width]) = edges.as_deref() else {
            let reason = "it is not channels, height and width".to_owned();
            return Err(FactError::Impossible { place: format!("config.json: {}", key()), reason });
        };
        if !is_given("in_chans") {
            statements.push(statement("in_chans", key(), json!(channels)));
        }
        let is = |name: &str, value: bool| config.argument(name) == Some(&json!(value));
        let is_fixed =
            config.has_fixed_size() && !is("dynamic_img_size", true) && !is("strict_img_size", false);
        // Where both are there, timm's `_parse_model_cfg` takes the argument for both.
        if is_sized && !(is_fixed && is_given("img_size")) {
            statements.push(statement("img_size", INPUT_SIZE.to_owned(), json!([height, width])));
        }
    }
    Ok(statements)
}
