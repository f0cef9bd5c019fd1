//! Tests the mappings of timm's ViTs onto transformers' other encoders by what comes out: the target's network, on the tensors that the
//! mapping makes of a twin's, gives timm's own output. No definition of timm's takes part.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use vitport::facts::{Fact, Facts, Origin};
use vitport::folder::TargetContents;
use vitport::frameworks::target;
use vitport::mapping::{Mapping, Sources};
use vitport::nn::{MemoryWeights, Network};
use vitport::plan::Plan;
use vitport::state_dict::StateDict;
use vitport_checkpoint::{Checkpoint, Dtype, Limits};

use crate::golden::{self, pixels, relative_error};

/// A twin in `tests/data/timm_encoders`, the mapping that takes it, and what of its facts is not as usual.
struct Twin {
    name: &'static str,
    mapping: &'static str,
    facts: Value,
    output: &'static str,
}

fn twins() -> Vec<Twin> {
    let twin = |name, mapping, output, facts| Twin { name, mapping, facts, output };
    let siglip = json!({ "attn_pool": true, "global_pool": "map" });
    let tanh = json!({ "attn_pool": true, "global_pool": "map", "act_layer": "gelu_tanh" });
    let with = |mut all: Value, facts: Value| {
        all.as_object_mut().unwrap().extend(facts.as_object().unwrap().clone());
        all
    };
    let class_token = |facts: Value| with(json!({ "class_token": true, "global_pool": "token" }), facts);
    let registers =
        |count, facts| with(json!({ "reg_tokens": count, "fc_norm": true, "layer_scale": true }), facts);
    let dinov2 = |facts| with(class_token(json!({ "layer_scale": true })), facts);
    let with_registers = |facts| with(json!({ "reg_tokens": 4, "no_embed_class": true }), facts);
    let giant = json!({ "gated_mlp": true, "mlp_dim": 64, "act_layer": "silu" });
    let distilled = class_token(json!({ "dist_token": true, "head": true, "num_classes": 7, "mlp_dim": 48 }));
    let distilled_base = class_token(json!({ "dist_token": true, "qkv_bias": false, "mlp_dim": 48 }));
    let (mean, pooled) = ("last_hidden_state.mean(1)", "pooler_output");
    let radio = |scale| {
        class_token(
            json!({ "reg_tokens": 7, "no_embed_class": true, "final_norm": false, "layer_scale": scale }),
        )
    };
    let tipsv2 = |facts| {
        with(class_token(json!({ "reg_tokens": 1, "no_embed_class": true, "layer_scale": true })), facts)
    };
    vec![
        twin("siglip", "timm_siglip.toml", pooled, siglip),
        twin("siglip_tanh", "timm_siglip.toml", pooled, tanh),
        twin("siglip_gap", "timm_ijepa.toml", mean, json!({})),
        twin("siglip_gap", "timm_siglip_gap.toml", mean, json!({})),
        twin(
            "siglip_gap_classifier",
            "timm_siglip_classifier.toml",
            "logits",
            json!({ "num_classes": 5, "head": true, "mlp_dim": 48 }),
        ),
        twin(
            "gap_classifier",
            "timm_siglip_classifier.toml",
            "logits",
            json!({ "num_classes": 7, "head": true, "qkv_bias": false, "layer_scale": true }),
        ),
        twin("ijepa", "timm_ijepa.toml", mean, json!({ "mlp_dim": 72 })),
        twin(
            "gap_classifier",
            "timm_ijepa.toml",
            "logits",
            json!({ "num_classes": 7, "head": true, "qkv_bias": false, "layer_scale": true }),
        ),
        twin(
            "siglip_gap_classifier",
            "timm_ijepa.toml",
            "logits",
            json!({ "num_classes": 5, "head": true, "mlp_dim": 48 }),
        ),
        twin(
            "aimv2",
            "timm_aimv2.toml",
            mean,
            json!({ "mlp_dim": 48, "act_layer": "silu", "norm_eps": 1e-5, "qkv_bias": false }),
        ),
        twin(
            "intern",
            "timm_internvl.toml",
            "last_hidden_state[0]",
            class_token(json!({ "layer_scale": true, "final_norm": false })),
        ),
        twin("tipsv2", "timm_tipsv2.toml", pooled, tipsv2(json!({}))),
        twin("tipsv2_so400m", "timm_tipsv2.toml", pooled, tipsv2(json!({ "mlp_dim": 89 }))),
        twin(
            "tipsv2_giant",
            "timm_tipsv2.toml",
            pooled,
            tipsv2(json!({ "gated_mlp": true, "mlp_dim": 48, "act_layer": "silu" })),
        ),
        twin("radio", "timm_radio.toml", "summary", radio(true)),
        twin("radio_huge", "timm_radio.toml", "summary", radio(false)),
        twin(
            "fc_norm",
            "timm_vit_beit.toml",
            "logits",
            json!({ "class_token": true, "fc_norm": true, "head": true, "num_classes": 7, "mlp_dim": 48 }),
        ),
        twin(
            "register_fc_norm",
            "timm_vit_beit.toml",
            "logits",
            registers(1, json!({ "no_embed_class": true, "head": true, "num_classes": 5, "mlp_dim": 48 })),
        ),
        twin(
            "register_no_qkv_bias",
            "timm_vit_beit.toml",
            pooled,
            registers(1, json!({ "qkv_bias": false, "mlp_dim": 48 })),
        ),
        twin("distilled", "timm_deit.toml", "logits", distilled),
        twin("distilled_base", "timm_deit.toml", "last_hidden_state[:, :2].mean(1)", distilled_base),
        twin("dinov2", "timm_dinov2.toml", pooled, dinov2(json!({ "mlp_dim": 62 }))),
        twin("dinov2_giant", "timm_dinov2.toml", pooled, dinov2(giant.clone())),
        twin("dinov2_registers", "timm_dinov2_registers.toml", pooled, dinov2(with_registers(json!({})))),
        twin("dinov2_registers_giant", "timm_dinov2_registers.toml", pooled, dinov2(with_registers(giant))),
        twin(
            "registers_gap",
            "timm_registers_gap.toml",
            "logits",
            registers(4, json!({ "layer_scale": false, "head": true, "num_classes": 7, "mlp_dim": 61 })),
        ),
        twin(
            "registers_fc_norm",
            "timm_registers_features.toml",
            "features.mean(1)",
            registers(4, json!({ "no_embed_class": true, "mlp_dim": 48 })),
        ),
        twin(
            "dinov2_registers_unscaled",
            "timm_dinov2_registers.toml",
            pooled,
            dinov2(with_registers(json!({ "layer_scale": false }))),
        ),
        twin(
            "registers_gap_scaled",
            "timm_registers_gap.toml",
            "logits",
            registers(4, json!({ "head": true, "num_classes": 7, "mlp_dim": 48 })),
        ),
        twin(
            "registers_fc_norm_unscaled",
            "timm_registers_features.toml",
            "features.mean(1)",
            registers(4, json!({ "no_embed_class": true, "mlp_dim": 48, "layer_scale": false })),
        ),
        twin(
            "register_map",
            "timm_register_map.toml",
            "last_hidden_state[0]",
            json!({ "reg_tokens": 1, "attn_pool": true, "global_pool": "map", "layer_scale": true, "mlp_dim": 48 }),
        ),
        twin(
            "siglip_classifier",
            "timm_siglip.toml",
            pooled,
            json!({ "attn_pool": true, "global_pool": "map", "head": true, "mlp_dim": 48 }),
        ),
    ]
}

/// The facts that a mapping's config and rules read.
fn facts(changes: &Value) -> Facts {
    let mut all = json!({
        "img_size": [16, 16], "patch_size": [4, 4], "in_chans": 3, "num_classes": 0, "head": false, "embed_dim": 24, "depth": 2,
        "num_heads": 3, "mlp_dim": 96, "qkv_bias": true, "layer_scale": false, "no_embed_class": false, "class_token": false,
        "reg_tokens": 0, "dist_token": false, "fc_norm": false, "attn_pool": false, "final_norm": true, "gated_mlp": false, "act_layer": "gelu", "norm_eps": 1e-6, "global_pool": "avg",
    });
    all.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    let fact = |(name, value): (&String, &Value)| {
        let name: &'static str = String::leak(name.clone());
        Fact::new(name, value.clone(), Origin::Definition("the test"))
    };
    Facts::from_iter(all.as_object().unwrap().iter().map(fact))
}

fn path(name: &str) -> PathBuf {
    golden::path(&format!("timm_encoders/{name}"))
}

/// The target's network, and the plan that makes its tensors of a twin's.
fn made(twin: &Twin, checkpoint: &Checkpoint) -> (Network, Plan) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("mappings").join(twin.mapping);
    let mapping = Mapping::parse(twin.mapping, &std::fs::read_to_string(file).unwrap()).unwrap();
    let facts = facts(&twin.facts);
    let mut config = mapping.target_config(&facts).unwrap();
    let classes = facts.number("num_classes").unwrap();
    let labels: Map<String, Value> =
        (0..classes).map(|class| (class.to_string(), json!(format!("class {class}")))).collect();
    if classes > 0 {
        config.insert("id2label".to_owned(), Value::Object(labels));
    }
    let network = target(mapping.to()).unwrap().build(&config).unwrap();
    let sources = Sources::of_state_dict(&StateDict::under(checkpoint.tensors(), ""));
    let plan = mapping.plan(&sources, &mapping.bindings(&facts).unwrap(), None, &network);
    let plan = plan.unwrap_or_else(|problems| panic!("{}: {problems}", twin.name));
    (network, plan)
}

#[test]
fn what_a_mapping_makes_of_a_twin_computes_timms_output() {
    for twin in twins() {
        let checkpoint =
            Checkpoint::open(&path(twin.name).join("model.safetensors"), &Limits::default()).unwrap();
        let (network, plan) = made(&twin, &checkpoint);
        let audit = checkpoint.audit();
        let mut weights = MemoryWeights::new();
        for target in &plan.targets {
            let mut bytes = vec![0; target.bytes() as usize];
            TargetContents::new(target, &audit).unwrap().read(0, &mut bytes).unwrap();
            let values: Vec<f32> = match target.dtype {
                Dtype::I64 => {
                    bytes.chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap()) as f32).collect()
                }
                _ => bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect(),
            };
            let shape: Vec<usize> = target.shape.iter().map(|&size| size as usize).collect();
            weights.insert(&*target.name, &shape, values).unwrap();
        }
        let expected = golden::tensors(&format!("timm_encoders/{}/expected", twin.name));
        let outputs = network.forward(&pixels(&expected), &weights, &mut ()).unwrap();
        let error = relative_error(outputs.values(twin.output).unwrap(), &expected["output"].1);
        assert!(error < 1e-5, "{}: {} is off by {error:e}", twin.name, twin.output);
    }
}
