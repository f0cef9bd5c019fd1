//! Which keys of `config.json` transformers obeys, and which values it refuses.
//!
//! | rule | v4: configuration_utils.py | v5: configuration_utils.py |
//! |---|---|---|
//! | every key becomes an attribute of the config, or the start of an error where the class has a property or a method of that name | 341–347 | 499–508 |
//! | `attribute_map` renames attributes when they are read | 199–207 | 653–661 |
//! | the types of the class's fields are insisted on (huggingface_hub/dataclasses.py) | – | `type_validator` |
//! | generation parameters are taken off | 320–321 | 481–483 |
//! | `id2label` goes before `num_labels`; without both there are two classes, LABEL_0 and LABEL_1 | 303–307 | 453–462 |
//! | `single_label_classification` needs two classes | – | 464–469 |
//! | `attn_implementation` is obeyed, and must be known | no: 806 | 493 |
//! | `pretrained_cfg` makes the image processor timm's (utils/generic.py) | 849–879 | 874–904 |
//! | the probability of a dropout is within 0 and 1 (torch/nn/modules/dropout.py, `_DropoutNd.__init__`) | | |
//! | CvT takes the entry of each stage from its lists of rates (models/cvt/modeling_cvt.py) | 433–454 | 401–422 |
//! | `stage_names`, `out_features` and `out_indices` must fit each other (utils/backbone_utils.py; backbone_utils.py) | 32–78 | 78 |
//! | a Swin's `num_layers` and `hidden_size` follow from its `depths` and `embed_dim` (models/swin/configuration_swin.py) | 141, 156 | 79–82 |
//! | an EfficientNet's `num_hidden_layers` is four times its blocks (models/efficientnet/configuration_efficientnet.py) | 150 | 92 |

use serde_json::{Map, Value, json};

use super::{names, not_verified, shown, types};

/// Says that version 5 refuses the type of a value, which version 4 takes.
pub const REFUSED_BY_5: &str = "and transformers 5 refuses all but";

/// Lists the keys that decide nothing in evaluation, and the values that their classes accept.
const INERT: [(&str, Range); 13] = [
    ("attention_drop_rate", Range::Fraction),
    ("attention_dropout", Range::Number),
    // BEiT makes a layer of it in version 4 (models/beit/modeling_beit.py 256), others do not.
    ("attention_probs_dropout_prob", Range::Fraction),
    // EfficientNet makes layers of it in proportion to the depth, and one of dropout_rate (modeling_efficientnet.py).
    ("drop_connect_rate", Range::Fraction),
    ("drop_path_rate", Range::Number),
    ("drop_rate", Range::Fraction),
    ("dropout_rate", Range::Fraction),
    ("encoder_stride", Range::Number),
    ("hidden_dropout_prob", Range::Fraction),
    ("initializer_factor", Range::NotNegative),
    ("initializer_range", Range::NotNegative),
    // RADIO's config computes it from the patches, whatever it is (v5: models/radio/configuration_radio.py 93).
    ("patch_dim", Range::Number),
    ("projection_dropout", Range::Fraction),
];

/// Lists the keys with a rule of their own: here, or among the facts and effects that verification compares.
const RULED: [&str; 19] = [
    "architectures",
    "auto_map",
    "configuration_files",
    "custom_pipelines",
    "dtype",
    "id2label",
    "image_processor_type",
    "label2id",
    "model_type",
    "num_labels",
    "per_layer_config",
    "pretrained_cfg",
    "problem_type",
    "pruned_heads",
    "quantization_config",
    "return_dict",
    "torch_dtype",
    "transformers_version",
    "transformers_weights",
];

/// Lists the keys of which any text was tried: they name where a model is from, or its tokenizer, and are read by no vision
/// model.
const TEXTS: [&str; 6] =
    ["_commit_hash", "_name_or_path", "finetuning_task", "name_or_path", "tokenizer_class", "prefix"];

/// Names the key under which a model of several parts has the config of its image tower: where a class is such a tower, it reads that
/// in place of the rest (`base_config_key`, configuration_utils.py).
const TOWER: &str = "vision_config";

/// Lists further values that were tried.
const TRIED: [(&str, &str); 2] = [("attribute_map", "{}"), ("task_specific_params", "{}")];

/// Lists the keys that choose how attention is computed: every class can do it by itself, and some with torch's function.
const ATTENTION: [&str; 2] = ["attn_implementation", "_attn_implementation"];

/// Lists the keys that hold the config of a part, and the `model_type` of that: SigLIP's classifier runs the vision model, and reads the text
/// model's config without making anything of it.
const NESTED: [(&str, &str); 2] =
    [("text_config", "siglip_text_model"), ("vision_config", "siglip_vision_model")];

/// Lists the names under which `get_text_config` looks for the config of a text model, besides `text_config` (configuration_utils.py,
/// v4: 1213–1223; v5: 1539–1549). More than one is refused.
const TEXT_CONFIGS: [&str; 3] = ["decoder", "generator", "text_encoder"];

/// Says which numbers are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Range {
    /// Means from 0 to 1.
    Fraction,
    /// Means 0 and more: version 4 initialises a CLIP with it before it loads the weights, and `torch.nn.init.normal_` refuses
    /// negative deviations.
    NotNegative,
    /// Means any, since the class makes no layer of it or one that is off in evaluation.
    Number,
}

/// Returns whether a key decides nothing in evaluation.
pub fn is_inert(key: &str) -> bool {
    INERT.iter().any(|(known, _)| *known == key)
}

/// Returns what a `config.json` says that transformers refuses, obeys, or may obey. `wanted` is the config that the folder
/// should have; values of its keys that are accepted here are still to be compared.
pub fn findings(
    config: &Map<String, Value>,
    wanted: &Map<String, Value>,
    model_type: &str,
    classes: Option<usize>,
) -> Vec<String> {
    let mut found = Vec::new();
    for (key, value) in config {
        if key == TOWER && !wanted.contains_key(key) {
            found.push(not_verified("config.json", key, value));
            continue;
        }
        if let Some((_, part)) =
            NESTED.iter().find(|(known, _)| known == key && names::is_known_in_config(model_type, key))
        {
            found.extend(of_part(key, value, wanted, part));
            continue;
        }
        let has_text_config = names::type_of(model_type, "text_config").is_some();
        if has_text_config && TEXT_CONFIGS.contains(&key.as_str()) && !value.is_null() {
            found.push(format!(
                "config.json: {key} is {}, which transformers takes for a second text_config, and refuses",
                shown(value)
            ));
            continue;
        }
        let kind = names::type_of(model_type, key).filter(|kind| !types::accepts(kind, value));
        if let Some(kind) = kind {
            let value = shown(value);
            found.push(format!("config.json: {key} is {value}, {REFUSED_BY_5} {kind}"));
            continue;
        }
        let is_understood = match INERT.iter().find(|(known, _)| known == key) {
            Some((_, range)) => is_within(*range, value, wanted.get(key)),
            None => {
                wanted.contains_key(key)
                    || RULED.contains(&key.as_str())
                    || is_tried(key, value, model_type)
                    || !names::is_known_in_config(model_type, key)
                    || match of_stages(key, config, wanted) {
                        // The default is that of the class's own stages.
                        Some(follows) => follows.contains(value),
                        None => names::is_default(model_type, key, value),
                    }
            }
        };
        if !is_understood {
            found.push(match is_inert(key) {
                true => format!("config.json: {key} is {}, which transformers refuses", shown(value)),
                false => not_verified("config.json", key, value),
            });
        }
    }
    if config.get("pretrained_cfg").is_some() {
        found.push(
            "config.json: pretrained_cfg makes transformers prepare images as timm does, whatever \
             preprocessor_config.json says"
                .to_owned(),
        );
    }
    found.extend(of_classes(config, classes));
    found
}

/// Returns what the config of a part says that transformers refuses, obeys, or may obey.
fn of_part(name: &str, value: &Value, whole: &Map<String, Value>, model_type: &str) -> Vec<String> {
    let place = format!("{name} of config.json");
    let none = Map::new();
    let wanted = whole.get(name).and_then(Value::as_object);
    let Some(part) = value.as_object() else {
        let is_absent = value.is_null() && wanted.is_none();
        return if is_absent { Vec::new() } else { vec![not_verified("config.json", name, value)] };
    };
    // No class that is written makes anything of a part that a conversion leaves out; it only has to be a config.
    let is_left_out = wanted.is_none();
    let wanted = wanted.unwrap_or(&none);
    let is_understood = |key: &str, value: &Value| match key {
        "model_type" => value == model_type,
        "dtype" | "torch_dtype" => value.is_null() || whole.get("torch_dtype") == Some(value),
        "transformers_version" => value.is_string(),
        _ if RULED.contains(&key) => false,
        _ => match INERT.iter().find(|(known, _)| *known == key) {
            Some((_, range)) => is_within(*range, value, wanted.get(key)),
            None => {
                wanted.contains_key(key)
                    || is_tried(key, value, model_type)
                    || names::is_default(model_type, key, value)
                    || is_left_out && names::type_of(model_type, key).is_some()
                    || !names::is_known_in_config(model_type, key)
            }
        },
    };
    let refused = |key: &str, value: &Value| {
        names::type_of(model_type, key)
            .filter(|kind| !types::accepts(kind, value))
            .map(|kind| format!("{place}: {key} is {}, {REFUSED_BY_5} {kind}", shown(value)))
    };
    let findings = part.iter().filter_map(|(key, value)| match refused(key, value) {
        None if is_understood(key, value) => None,
        None => Some(not_verified(&place, key, value)),
        refused => refused,
    });
    findings.collect()
}

fn is_tried(key: &str, value: &Value, model_type: &str) -> bool {
    if ATTENTION.contains(&key) {
        return match value.as_str() {
            Some("eager") => true,
            Some("sdpa") => names::supports_sdpa(model_type),
            _ => value.is_null(),
        };
    }
    names::is_neutral_in_config(key, value)
        || (TEXTS.contains(&key) && value.is_string())
        || TRIED.contains(&(key, value.to_string().as_str()))
}

/// Returns whether an inert key has a value that its class accepts: a number, or one for each stage where it is a list.
fn is_within(range: Range, value: &Value, wanted: Option<&Value>) -> bool {
    match value {
        Value::Null => wanted.is_none_or(|wanted| !wanted.is_array()),
        Value::Array(entries) => {
            let stages = wanted.and_then(Value::as_array).map_or(0, Vec::len);
            entries.len() >= stages && entries.iter().all(|entry| is_within(range, entry, None))
        }
        Value::Number(number) => number.as_f64().is_some_and(|number| match range {
            Range::Fraction => (0.0..=1.0).contains(&number),
            Range::NotNegative => number.is_finite() && number >= 0.0,
            Range::Number => number.is_finite(),
        }),
        _ => false,
    }
}

/// Returns the values that a key which says something of the stages may have, as they follow from the rest; none for all other keys.
/// Version 4 computes `num_layers` and `hidden_size` whatever they are, version 5 takes what is said.
fn of_stages(key: &str, config: &Map<String, Value>, wanted: &Map<String, Value>) -> Option<Vec<Value>> {
    if key == "num_hidden_layers" {
        // Counted before they are multiplied with `depth_coefficient`.
        let repeats = config
            .get("num_block_repeats")
            .or_else(|| wanted.get("num_block_repeats"))?
            .as_array()?
            .iter()
            .filter_map(Value::as_u64);
        return Some(vec![json!(4 * repeats.sum::<u64>())]);
    }
    let number = |key: &str| wanted.get(key).and_then(Value::as_u64);
    let depths = wanted.get("depths").and_then(Value::as_array).map(|depths| depths.len() as u64);
    // A ResNet counts the stages that it has depths for, and a backbone without stages its layers.
    let stages = number("num_stages").or(depths).or_else(|| number("num_hidden_layers"))?;
    match key {
        "stage_names" => {
            let stages = (1..=stages).map(|stage| json!(format!("stage{stage}")));
            Some(vec![std::iter::once(json!("stem")).chain(stages).collect()])
        }
        "out_features" => Some(vec![Value::Null, json!([format!("stage{stages}")])]),
        "out_indices" => Some(vec![Value::Null, json!([stages])]),
        "num_layers" => Some(vec![json!(depths?)]),
        "hidden_size" => {
            let doublings = u32::try_from(depths?.checked_sub(1)?).ok()?;
            Some(vec![json!(number("embed_dim")?.checked_shl(doublings)?)])
        }
        _ => None,
    }
}

/// Returns what is said of the classes and refused.
fn of_classes(config: &Map<String, Value>, classes: Option<usize>) -> Vec<String> {
    let mut found = Vec::new();
    let is_single = config.get("problem_type").is_some_and(|kind| kind == "single_label_classification");
    if is_single && classes == Some(1) {
        found.push(
            "config.json: problem_type is \"single_label_classification\" for one class, and transformers 5 refuses that"
                .to_owned(),
        );
    }
    let ids = config.get("id2label").and_then(Value::as_object);
    let is_number = |key: &String| key.parse::<i64>().is_ok();
    if let Some(key) = ids.and_then(|ids| ids.keys().find(|key| !is_number(key))) {
        let key = vitport_checkpoint::escape(key);
        found.push(format!(
            "config.json: id2label has the key \"{key}\", and transformers takes nothing but numbers"
        ));
    }
    let count = config.get("num_labels");
    if count.is_some_and(Value::is_null) {
        found.push("config.json: num_labels is null, which transformers 5 refuses".to_owned());
    }
    if let Some(count) = count.filter(|count| {
        !count.is_null() && classes.is_none() && count.as_u64().is_none_or(|count| count > 100_000)
    }) {
        found.push(not_verified("config.json", "num_labels", count));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(key: &str, value: Value) -> Vec<String> {
        let wanted = json!({ "hidden_size": 48, "drop_rate": [0.0, 0.0], "num_stages": 2 });
        let config = Map::from_iter([(key.to_owned(), value)]);
        findings(&config, wanted.as_object().unwrap(), "vit", Some(10))
    }

    #[test]
    fn a_second_text_config_is_refused_where_the_class_has_one() {
        let of = |model_type: &str, value: Value| {
            let config = Map::from_iter([("generator".to_owned(), value)]);
            findings(&config, &Map::new(), model_type, None)
        };
        assert!(of("siglip", json!({ "lr": 1 }))[0].contains("second text_config"));
        assert_eq!(of("siglip", Value::Null), Vec::<String>::new());
        assert_eq!(of("vit", json!({ "lr": 1 })), Vec::<String>::new());
    }

    #[test]
    fn what_is_said_of_stages_follows_from_them() {
        let wanted = json!({ "embed_dim": 12, "depths": [2, 3, 2] });
        let of = |key: &str, value: &Value| {
            let config = Map::from_iter([(key.to_owned(), value.clone())]);
            findings(&config, wanted.as_object().unwrap(), "swin", Some(10))
        };
        for (key, value) in [
            ("num_layers", json!(3)),
            ("hidden_size", json!(48)),
            ("out_indices", json!([3])),
            ("out_indices", json!(null)),
            ("stage_names", json!(["stem", "stage1", "stage2", "stage3"])),
        ] {
            assert_eq!(of(key, &value), Vec::<String>::new(), "{key} {value}");
        }
        // These are the class's defaults, which has four stages.
        for (key, value) in [
            ("num_layers", json!(4)),
            ("hidden_size", json!(768)),
            ("out_indices", json!([4])),
            ("out_features", json!(["stage4"])),
            ("stage_names", json!(["stem", "stage1", "stage2", "stage3", "stage4"])),
        ] {
            assert_eq!(of(key, &value).len(), 1, "{key} {value}");
        }
    }

    #[test]
    fn an_efficientnets_layers_follow_from_its_blocks() {
        let wanted = json!({ "num_block_repeats": [1, 2, 4] });
        for (value, findings_wanted) in [(28, 0), (64, 1)] {
            let config = Map::from_iter([("num_hidden_layers".to_owned(), json!(value))]);
            let found = findings(&config, wanted.as_object().unwrap(), "efficientnet", Some(10));
            assert_eq!(found.len(), findings_wanted, "{value}: {found:?}");
        }
    }

    #[test]
    fn the_config_of_a_part_is_looked_into() {
        let wanted = json!({ "torch_dtype": "float32", "vision_config": { "hidden_size": 24, "attention_dropout": 0.0 } });
        let of = |key: &str, value: Value| {
            findings(
                &Map::from_iter([(key.to_owned(), value)]),
                wanted.as_object().unwrap(),
                "siglip",
                Some(5),
            )
        };
        for (key, value) in [
            ("text_config", json!(null)),
            (
                "text_config",
                json!({ "model_type": "siglip_text_model", "dtype": "float32", "vocab_size": 32000 }),
            ),
            (
                "vision_config",
                json!({ "model_type": "siglip_vision_model", "hidden_size": 48, "patch_size": 16 }),
            ),
            ("vision_config", json!({ "attention_dropout": 0.5, "my_project": [1], "is_decoder": false })),
            ("vision_config", json!({ "attn_implementation": "eager", "_attn_implementation": "sdpa" })),
        ] {
            assert_eq!(of(key, value), Vec::<String>::new(), "{key}");
        }
        for (key, value, part) in [
            ("vision_config", json!(null), "not verified: key vision_config of config.json"),
            (
                "vision_config",
                json!({ "model_type": "vit" }),
                "not verified: key model_type of vision_config",
            ),
            ("vision_config", json!({ "dtype": "float16" }), "not verified: key dtype of vision_config"),
            (
                "vision_config",
                json!({ "attn_implementation": "bogus" }),
                "not verified: key attn_implementation",
            ),
            ("vision_config", json!({ "patch_size": 16.0 }), "transformers 5 refuses all but int"),
            ("vision_config", json!({ "patch_size": 17 }), "not verified: key patch_size of vision_config"),
            (
                "text_config",
                json!({ "attribute_map": { "a": "b" } }),
                "not verified: key attribute_map of text_config",
            ),
            (
                "text_config",
                json!({ "hidden_size": "7" }),
                "text_config of config.json: hidden_size is \"7\"",
            ),
            ("text_config", json!("x"), "not verified: key text_config of config.json"),
        ] {
            let found = of(key, value.clone());
            assert!(found.iter().any(|found| found.contains(part)), "{key} {value}: {found:?}");
        }
    }

    #[test]
    fn a_key_is_neutral_only_if_it_was_tried_or_nobody_knows_it() {
        for (key, value) in [
            ("my_project", json!({ "anything": [1, 2] })),
            ("hidden_size", json!(49)),
            ("hidden_dropout_prob", json!(0.25)),
            ("drop_rate", json!([0.0, 0.1, 0.2])),
            ("attn_implementation", json!("eager")),
            ("attn_implementation", json!("sdpa")),
            ("_attn_implementation", json!("eager")),
            ("stage_names", json!(["stem", "stage1", "stage2"])),
            ("_name_or_path", json!("somewhere/else")),
            ("is_decoder", json!(false)),
            ("encoder_stride", json!(16)),
            ("qkv_bias", json!(true)),
        ] {
            assert_eq!(of(key, value), Vec::<String>::new(), "{key}");
        }
        for (key, value, part) in [
            ("is_causal", json!(true), "not verified: key is_causal"),
            ("attribute_map", json!({ "hidden_act": "pooler_act" }), "not verified: key attribute_map"),
            ("use_return_dict", json!(true), "not verified: key use_return_dict"),
            ("to_dict", json!("x"), "not verified: key to_dict"),
            ("attn_implementation", json!("bogus"), "not verified: key attn_implementation"),
            ("num_labels", json!(null), "which transformers 5 refuses"),
            ("initializer_range", json!(-1.0), "which transformers refuses"),
            ("hidden_size", json!(48.0), "transformers 5 refuses all but int"),
            ("hidden_dropout_prob", json!(2.0), "which transformers refuses"),
            ("hidden_dropout_prob", json!("0.1"), "transformers 5 refuses all but float | int"),
            ("drop_rate", json!([0.0]), "which transformers refuses"),
            ("dropout_rate", json!(2.0), "which transformers refuses"),
            ("drop_connect_rate", json!(1.5), "which transformers refuses"),
            ("attention_probs_dropout_prob", json!(2.0), "which transformers refuses"),
            ("out_features", json!(["stage1"]), "not verified: key out_features"),
            ("pretrained_cfg", json!({}), "as timm does"),
            ("id2label", json!({ "cat": "cat" }), "has the key \"cat\", and transformers takes nothing but"),
        ] {
            let found = of(key, value.clone());
            assert!(found.iter().any(|found| found.contains(part)), "{key} {value}: {found:?}");
        }
    }
}
