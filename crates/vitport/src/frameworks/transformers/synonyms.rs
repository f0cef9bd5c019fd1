//! Configs that say in other words what a conversion says, and of which transformers makes the same network.

use serde_json::{Map, Value, json};

use super::first_architecture;
use crate::mapping::efficientnet::{rounded, unrounded};

/// Limits the stages whose widths are looked at; the largest published network has 7.
const MOST_STAGES: usize = 64;

/// Returns a config without gaps in the words in which a conversion writes it: an activation by its usual name, an EfficientNet's blocks as
/// its class counts them and the least widths that it rounds to the same, and the default for a projection that a CLIPVisionModel does not have.
pub(crate) fn in_usual_words(
    config: &Map<String, Value>,
    defaults: &Map<String, Value>,
) -> Map<String, Value> {
    let mut usual = config.clone();
    if config.get("hidden_act") == Some(&json!("swish")) {
        usual.insert("hidden_act".to_owned(), json!("silu"));
    }
    if let (Some(depth), Some(Value::Array(repeats))) =
        (config.get("depth_coefficient").and_then(Value::as_f64), config.get("num_block_repeats"))
    {
        // `round_repeats` (models/efficientnet/modeling_efficientnet.py).
        let counted = |repeats: &Value| Some((depth * repeats.as_u64()? as f64).ceil() as u64);
        if let Some(counted) = repeats.iter().map(counted).collect::<Option<Vec<u64>>>() {
            usual.insert("num_block_repeats".to_owned(), json!(counted));
            usual.insert("depth_coefficient".to_owned(), json!(1.0));
        }
    }
    if let Some(width) = config.get("width_coefficient").and_then(Value::as_f64) {
        let least = |channels: &Value| unrounded(rounded(channels.as_u64()?, width), width);
        for key in ["in_channels", "out_channels"] {
            let list = config.get(key).and_then(Value::as_array).filter(|list| list.len() <= MOST_STAGES);
            if let Some(list) = list.and_then(|list| list.iter().map(least).collect::<Option<Vec<u64>>>()) {
                usual.insert(key.to_owned(), json!(list));
            }
        }
    }
    if let (Some("CLIPVisionModel"), Some(default)) =
        (first_architecture(config), defaults.get("projection_dim"))
    {
        usual.insert("projection_dim".to_owned(), default.clone());
    }
    usual
}

/// Returns whether a key decides nothing of the network of a config without gaps, so that a folder of other hands may well have another value:
/// the activation next to a gated MLP, since `Dinov2SwiGLUFFN` computes SiLU (models/dinov2/modeling_dinov2.py), and BEiT's mask token, which
/// is read in pretraining only.
pub(crate) fn is_idle(key: &str, config: &Map<String, Value>) -> bool {
    match key {
        "hidden_act" => config.get("use_swiglu_ffn") == Some(&Value::Bool(true)),
        "use_mask_token" => config.get("model_type").is_some_and(|model_type| model_type == "beit"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_words_become_the_usual_ones() {
        let of = |config: Value| {
            let defaults = json!({ "projection_dim": 512 });
            let usual = in_usual_words(config.as_object().unwrap(), defaults.as_object().unwrap());
            Value::Object(usual)
        };
        let b1 = json!({ "hidden_act": "swish", "depth_coefficient": 1.1, "num_block_repeats": [1, 2, 4] });
        let usual = json!({ "hidden_act": "silu", "depth_coefficient": 1.0, "num_block_repeats": [2, 3, 5] });
        assert_eq!(of(b1), usual);
        assert_eq!(of(usual.clone()), usual);
        let clip = |class: &str| json!({ "architectures": [class], "projection_dim": 768 });
        assert_eq!(of(clip("CLIPVisionModel"))["projection_dim"], 512);
        assert_eq!(of(clip("CLIPVisionModelWithProjection"))["projection_dim"], 768);
        let published = json!({ "width_coefficient": 1.0, "in_channels": [32, 16, 24] });
        assert_eq!(of(published)["in_channels"], json!([27, 9, 18]));
        let odd = json!({ "hidden_act": 3, "depth_coefficient": "x", "num_block_repeats": ["y"] });
        assert_eq!(of(odd.clone()), odd);
    }

    #[test]
    fn some_keys_decide_nothing() {
        let is = |key: &str, config: Value| is_idle(key, config.as_object().unwrap());
        assert!(is("hidden_act", json!({ "use_swiglu_ffn": true })));
        assert!(!is("hidden_act", json!({ "use_swiglu_ffn": false })));
        assert!(is("use_mask_token", json!({ "model_type": "beit" })));
        assert!(!is("use_mask_token", json!({ "model_type": "dinov2" })));
        assert!(!is("layer_norm_eps", json!({ "model_type": "beit", "use_swiglu_ffn": true })));
    }
}
