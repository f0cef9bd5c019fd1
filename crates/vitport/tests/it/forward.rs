//! Compares the forward passes of all definitions with their own frameworks' hidden states.

use serde_json::{Map, Value, json};
use vitport::frameworks::{Definition, microsoft, timm, transformers};
use vitport::mapping::Sources;
use vitport::nn::{ForwardError, Matrix, Network};
use vitport::state_dict::StateDict;
use vitport::verify::SourceWeights;
use vitport_checkpoint::{Checkpoint, Limits};

use crate::golden::{self, compare, pixels, relative_error, tensors, weights};
use crate::networks::{timm_vit as timm, with};

const TIMM: &dyn Definition = &timm::vision_transformer::DEFINITION;
const MICROSOFT: &dyn Definition = &microsoft::cvt::MicrosoftCvt;
const VIT: &dyn Definition = &transformers::vit::DEFINITION;
const CVT: &dyn Definition = &transformers::cvt::Cvt;
const SIGLIP: &dyn Definition = &transformers::siglip::DEFINITION;
const SIGLIP_CLASSIFIER: &dyn Definition = &transformers::siglip::CLASSIFIER;
const IJEPA: &dyn Definition = &transformers::ijepa::DEFINITION;
const AIMV2: &dyn Definition = &transformers::aimv2::DEFINITION;
const INTERNVL: &dyn Definition = &transformers::internvl::DEFINITION;
const TIPSV2: &dyn Definition = &transformers::tipsv2::DEFINITION;
const RADIO: &dyn Definition = &transformers::radio::DEFINITION;
const BEIT: &dyn Definition = &transformers::beit::DEFINITION;
const DINOV2: &dyn Definition = &transformers::dinov2::DEFINITION;
const REGISTERS: &dyn Definition = &transformers::dinov2_with_registers::DEFINITION;
const DEIT: &dyn Definition = &transformers::deit::DEFINITION;
const DINOV3: &dyn Definition = &transformers::dinov3_vit::DEFINITION;

/// A golden file, and the network that computes it.
struct Case {
    definition: &'static dyn Definition,
    /// The weights, and the expected values where these are not named otherwise.
    name: &'static str,
    config: Map<String, Value>,
    /// How many hidden states and outputs the file holds.
    places: usize,
}

/// The config of the fixture: see `MODEL.SPEC` in `data/cvt/README.md`.
fn microsoft(changes: Value) -> Map<String, Value> {
    let base = json!({
        "image_size": [64, 64],
        "in_chans": 3,
        "num_classes": 10,
        "act_layer": "quick_gelu",
        "patch_size": [7, 3, 3],
        "patch_stride": [4, 2, 2],
        "patch_padding": [2, 1, 1],
        "embed_dim": [16, 32, 64],
        "num_heads": [1, 2, 4],
        "depth": [1, 2, 3],
        "mlp_dim": [64, 128, 256],
        "qkv_bias": [true, true, true],
        "cls_token": [false, false, true],
        "kernel_qkv": [3, 3, 3],
        "padding_kv": [1, 1, 1],
        "stride_kv": [2, 2, 2],
        "padding_q": [1, 1, 1],
        "stride_q": [1, 1, 1],
    });
    with(base.as_object().unwrap().clone(), changes)
}

fn config(name: &str) -> Map<String, Value> {
    serde_json::from_slice(&golden::bytes(&format!("{name}.json"))).unwrap()
}

fn cases() -> Vec<Case> {
    let case = |definition, name, config, places| Case { definition, name, config, places };
    let of_config = |definition, name, places| Case { definition, name, config: config(name), places };
    let deit3 = json!({ "img_size": [16, 12], "layer_scale": true, "no_embed_class": true });
    let dinov2 = json!({ "layer_scale": true, "mlp_dim": 41, "num_classes": 0 });
    let no_qkv_bias =
        json!({ "num_heads": 4, "qkv_bias": false, "norm_eps": 1e-5, "act_layer": "quick_gelu" });
    let registers = json!({ "global_pool": "avg", "fc_norm": true, "reg_tokens": 3, "layer_scale": true });
    let registers_no_embed =
        json!({ "reg_tokens": 2, "no_embed_class": true, "final_norm": false, "num_classes": 0 });
    let one_register = json!({
        "class_token": false,
        "global_pool": "avg",
        "fc_norm": true,
        "reg_tokens": 1,
        "no_embed_class": true,
    });
    let map = json!({
        "class_token": false,
        "global_pool": "map",
        "act_layer": "gelu_tanh",
        "num_classes": 0,
    });
    let map_prefix = json!({ "global_pool": "map", "reg_tokens": 1, "pool_include_prefix": true });
    let mean_prefix = json!({ "global_pool": "avg", "fc_norm": true, "pool_include_prefix": true });
    let max = json!({ "global_pool": "max", "fc_norm": true, "act_layer": "relu" });
    let packed = json!({
        "mlp_layer": "SwiGLUPacked",
        "act_layer": "silu",
        "mlp_dim": 24,
        "layer_scale": true,
    });
    let aimv2 = json!({
        "class_token": false,
        "global_pool": "avg",
        "mlp_layer": "SwiGLU",
        "act_layer": "silu",
        "mlp_dim": 44,
        "qkv_bias": false,
        "proj_bias": false,
        "mlp_bias": false,
        "block_norm": "RmsNorm",
        "norm_eps": 1e-5,
        "patch_norm": true,
        "num_classes": 0,
    });
    vec![
        // embeddings, two layers, norm, pooled and, with a head, logits
        case(TIMM, "vit/timm_plain", timm(json!({})), 6),
        case(TIMM, "vit/timm_deit3", timm(deit3), 6),
        case(TIMM, "vit/timm_dinov2_base", timm(dinov2), 5),
        case(TIMM, "vit/timm_no_qkv_bias", timm(no_qkv_bias), 6),
        case(TIMM, "vit/timm_mean", timm(json!({ "class_token": false, "global_pool": "avg" })), 6),
        case(TIMM, "vit/timm_registers", timm(registers), 6),
        case(TIMM, "vit/timm_registers_no_embed", timm(registers_no_embed), 5),
        case(TIMM, "vit/timm_one_register", timm(one_register), 6),
        // The logits of both heads and their mean.
        case(TIMM, "vit/timm_distilled", timm(json!({ "dist_token": true })), 8),
        case(TIMM, "vit/timm_no_positions", timm(json!({ "pos_embed": false, "fc_norm": true })), 6),
        case(TIMM, "vit/timm_clip", timm(json!({ "pre_norm": true, "norm_eps": 1e-5 })), 6),
        case(TIMM, "vit/timm_map", timm(map), 5),
        case(TIMM, "vit/timm_map_prefix", timm(map_prefix), 6),
        case(TIMM, "vit/timm_mean_prefix", timm(mean_prefix), 6),
        case(TIMM, "vit/timm_avgmax", timm(json!({ "global_pool": "avgmax", "fc_norm": true })), 6),
        case(TIMM, "vit/timm_max", timm(max), 6),
        case(TIMM, "vit/timm_all_tokens", timm(json!({ "global_pool": "", "num_classes": 0 })), 5),
        case(TIMM, "vit/timm_qk_norm", timm(json!({ "qk_norm": true, "num_heads": 4 })), 6),
        case(TIMM, "vit/timm_qk_rms_norm", timm(json!({ "qk_norm": true, "block_norm": "RmsNorm" })), 6),
        case(TIMM, "vit/timm_packed", timm(packed), 6),
        case(TIMM, "vit/timm_aimv2", timm(aimv2), 5),
        case(TIMM, "vit/timm_patch_norm", timm(json!({ "patch_norm": true })), 6),
        of_config(VIT, "vit/transformers_classifier", 6),
        // With the default eps, another activation and no qkv bias.
        of_config(VIT, "vit/transformers_defaults", 6),
        // With a pooler.
        of_config(VIT, "vit/transformers_base", 6),
        // embeddings, two layers, pooled and, with a head, logits; a last norm where it is one of tokens
        of_config(BEIT, "transformers/beit_mean", 5),
        of_config(BEIT, "transformers/beit_relative", 6),
        of_config(BEIT, "transformers/beit_shared", 4),
        of_config(BEIT, "transformers/beit_class_token", 5),
        of_config(DINOV2, "transformers/dinov2_base", 5),
        of_config(DINOV2, "transformers/dinov2_swiglu", 5),
        of_config(REGISTERS, "transformers/dinov2_registers", 5),
        of_config(REGISTERS, "transformers/dinov2_registers_classifier", 5),
        // With the logits of both heads.
        of_config(DEIT, "transformers/deit_teacher", 7),
        of_config(DEIT, "transformers/deit_base", 5),
        of_config(DINOV3, "transformers/dinov3", 5),
        of_config(DINOV3, "transformers/dinov3_gated", 5),
        // three embeddings, the first and last layers of three stages, norm, logits
        case(MICROSOFT, "cvt/microsoft", microsoft(json!({})), 10),
        of_config(CVT, "cvt/transformers_three_stages", 3 + 6 + 3),
        // Eps and activation of the config are ignored.
        of_config(CVT, "cvt/transformers_two_stages", 2 + 3 + 3),
        // embeddings, two layers, a norm where there is one, and outputs
        of_config(SIGLIP, "encoders/siglip_pooled", 5),
        of_config(SIGLIP, "encoders/siglip", 5),
        of_config(SIGLIP_CLASSIFIER, "encoders/siglip_classifier", 6),
        of_config(IJEPA, "encoders/ijepa", 5),
        of_config(IJEPA, "encoders/ijepa_classifier", 6),
        of_config(AIMV2, "encoders/aimv2", 5),
        of_config(AIMV2, "encoders/aimv2_biases", 5),
        of_config(INTERNVL, "encoders/internvl", 4),
        of_config(INTERNVL, "encoders/internvl_normed", 4),
        of_config(TIPSV2, "encoders/tipsv2", 5),
        of_config(TIPSV2, "encoders/tipsv2_swiglu", 5),
        of_config(RADIO, "encoders/radio", 4),
    ]
}

fn build(definition: &dyn Definition, config: &Map<String, Value>) -> Network {
    definition.build(config).unwrap_or_else(|error| panic!("{}: {error}", definition.id()))
}

#[test]
fn every_definition_computes_its_frameworks_hidden_states() {
    for Case { definition, name, config, places } in cases() {
        let expected = tensors(&format!("{name}.expected"));
        let network = build(definition, &config);
        let compared = compare(&expected, &network, &pixels(&expected), &weights(&tensors(name)));
        assert_eq!(compared, places, "{name}");
    }
}

#[test]
fn a_network_lists_the_tensors_of_its_file() {
    for Case { definition, name, config, .. } in cases() {
        let network = build(definition, &config);
        let floats = network.parameters().iter().filter(|p| !p.name().ends_with("num_batches_tracked"));
        let mut listed: Vec<_> = floats.map(|p| (p.name().to_owned(), p.shape().to_vec())).collect();
        let mut in_file: Vec<_> = tensors(name).into_iter().map(|(name, (shape, _))| (name, shape)).collect();
        listed.sort();
        in_file.sort();
        assert_eq!(listed, in_file, "{name}");
    }
}

#[test]
fn microsoft_with_gelu() {
    let weights = weights(&tensors("cvt/microsoft"));
    let pixels = pixels(&tensors("cvt/microsoft.expected"));
    let expected = tensors("cvt/microsoft_gelu.expected");
    let network = build(MICROSOFT, &microsoft(json!({ "act_layer": "gelu" })));
    assert_eq!(compare(&expected, &network, &pixels, &weights), 3);
    let quick = build(MICROSOFT, &microsoft(json!({}))).forward(&pixels, &weights, &mut ()).unwrap();
    assert!(relative_error(quick.values("logits").unwrap(), &expected["logits"].1) > 1e-3);
}

#[test]
fn microsoft_from_a_training_checkpoint() {
    let file = Checkpoint::open(&golden::path("cvt/microsoft_train.pth"), &Limits::default()).unwrap();
    assert_eq!(file.root().path, "state_dict");
    assert!(file.roots().len() > 1, "the optimizer's tensors are another root");
    let sources = Sources::of_state_dict(&StateDict::under(file.tensors(), ""));
    let weights = SourceWeights::new(&file, &sources);
    let expected = tensors("cvt/microsoft_train.expected");
    let network = build(MICROSOFT, &microsoft(json!({})));
    assert_eq!(compare(&expected, &network, &pixels(&expected), &weights), 10);
}

#[test]
fn microsoft_without_class_token_takes_the_mean() {
    let mut all = tensors("cvt/microsoft");
    all.remove("stage2.cls_token").unwrap();
    let network = build(MICROSOFT, &microsoft(json!({ "cls_token": [false, false, false] })));
    let mut places: Vec<(String, Matrix)> = Vec::new();
    let pixels = pixels(&tensors("cvt/microsoft.expected"));
    let outputs = network.forward(&pixels, &weights(&all), &mut places).unwrap();
    let (_, norm) = places.last().unwrap();
    assert_eq!((norm.rows(), norm.columns()), (16, 64));
    let mean: Vec<f32> =
        (0..64).map(|i| norm.values().iter().skip(i).step_by(64).sum::<f32>() / 16.0).collect();
    assert!(relative_error(outputs.values("features").unwrap(), &mean) < 1e-6);
}

#[test]
fn what_the_goldens_are_for_is_seen() {
    let weights = weights(&tensors("vit/timm_plain"));
    let expected = tensors("vit/timm_plain.expected");
    for wrong in [
        json!({ "num_heads": 4 }),
        json!({ "norm_eps": 1e-3 }),
        json!({ "act_layer": "quick_gelu" }),
        json!({ "depth": 1 }),
    ] {
        let network = build(TIMM, &timm(wrong.clone()));
        let outputs = network.forward(&pixels(&expected), &weights, &mut ()).unwrap();
        let error = relative_error(outputs.values("logits").unwrap(), &expected["logits"].1);
        assert!(error > 1e-4, "{wrong} passes with {error:e}");
    }
}

#[test]
fn every_tensor_is_needed_in_its_shape() {
    let names = [
        "vit/timm_deit3",
        "vit/transformers_classifier",
        "vit/transformers_base",
        "cvt/microsoft",
        "cvt/transformers_two_stages",
        "encoders/siglip_pooled",
        "encoders/siglip_classifier",
        "encoders/ijepa_classifier",
        "encoders/aimv2_biases",
        "encoders/internvl_normed",
    ];
    for Case { definition, name, config, .. } in cases().into_iter().filter(|case| names.contains(&case.name))
    {
        let all = tensors(name);
        let pixels = pixels(&tensors(&format!("{name}.expected")));
        let network = build(definition, &config);
        let run = |tensors: &golden::Tensors| network.forward(&pixels, &weights(tensors), &mut ());
        assert!(run(&all).is_ok());
        for tensor in all.keys() {
            let mut without = all.clone();
            without.remove(tensor);
            match run(&without) {
                Err(ForwardError::MissingTensor { name }) => assert_eq!(&name, tensor),
                other => panic!("without {tensor}: {other:?}"),
            }
            let mut misshapen = all.clone();
            misshapen.get_mut(tensor).unwrap().0.push(1);
            match run(&misshapen) {
                Err(ForwardError::WrongShape { name, .. }) => assert_eq!(&name, tensor),
                other => panic!("{tensor} with another axis: {other:?}"),
            }
        }
    }
}

/// Checks that transformers' definition refuses each config.
fn not_built(definition: &dyn Definition, good: &Map<String, Value>, bad: impl IntoIterator<Item = Value>) {
    for changes in bad {
        let error = definition.build(&with(good.clone(), changes.clone())).expect_err(&changes.to_string());
        assert!(matches!(error, ForwardError::Config { .. }), "{changes}: {error}");
        let message = error.to_string();
        assert!(message.starts_with("the configuration cannot be run"), "{message}");
        assert!(!message.contains('\u{202e}'));
    }
}

/// Checks that a config which lies about sizes is an error when it is built or run.
fn not_run(
    definition: &dyn Definition,
    name: &str,
    good: &Map<String, Value>,
    lies: impl IntoIterator<Item = Value>,
) {
    let weights = weights(&tensors(name));
    let pixels = pixels(&tensors(&format!("{name}.expected")));
    for changes in lies {
        let built = definition.build(&with(good.clone(), changes.clone()));
        let run = built.and_then(|network| network.forward(&pixels, &weights, &mut ()));
        assert!(run.is_err(), "{changes}");
    }
}

#[test]
fn configs_that_describe_no_vit_are_errors() {
    let name = "vit/transformers_classifier";
    let good = config(name);
    not_built(
        VIT,
        &good,
        [
            json!({ "num_attention_heads": 0 }),
            json!({ "num_attention_heads": 3 }),
            json!({ "hidden_act": "swish\u{202e}" }),
            json!({ "architectures": ["ViTForMaskedImageModeling"] }),
            json!({ "architectures": null }),
        ],
    );
    not_run(
        VIT,
        name,
        &good,
        [
            json!({ "hidden_size": usize::MAX - 1 }),
            json!({ "intermediate_size": usize::MAX }),
            json!({ "num_hidden_layers": usize::MAX }),
            json!({ "patch_size": [0, 4] }),
        ],
    );
    let other_size = build(VIT, &with(good, json!({ "image_size": 20 })));
    let pixels = pixels(&tensors(&format!("{name}.expected")));
    assert!(matches!(
        other_size.forward(&pixels, &weights(&tensors(name)), &mut ()),
        Err(ForwardError::Input { expected: [3, 20, 20], found: [3, 16, 16] })
    ));
}

#[test]
fn configs_of_encoders_that_cannot_be_run_are_errors() {
    let sizes = || {
        [
            json!({ "num_attention_heads": 5 }),
            json!({ "architectures": ["AutoModel"] }),
            json!({ "hidden_act": "swish\u{202e}" }),
        ]
    };
    let cases = [
        (SIGLIP, "siglip", vec![json!({ "image_size": [20, 20] })]),
        (IJEPA, "ijepa", vec![]),
        (AIMV2, "aimv2", vec![json!({ "use_head": true }), json!({ "is_native": true })]),
        (
            INTERNVL,
            "internvl",
            vec![
                json!({ "use_qk_norm": true }),
                json!({ "use_mask_token": true }),
                json!({ "norm_type": "batch\u{202e}" }),
            ],
        ),
        (TIPSV2, "tipsv2", vec![json!({ "mlp_ratio": "4" })]),
        (
            RADIO,
            "radio",
            vec![
                json!({ "max_img_size": 2048 }),
                json!({ "num_cls_tokens": 3 }),
                json!({ "summary_idxs": [0, 1] }),
                json!({ "use_swiglu_ffn": true }),
                json!({ "video_temporal_patch_size": 2 }),
                json!({ "patch_size": 0 }),
            ],
        ),
    ];
    for (definition, name, bad) in cases {
        let name = format!("encoders/{name}");
        let good = config(&name);
        not_built(definition, &good, sizes().into_iter().chain(bad));
        let lies = [
            json!({ "hidden_size": 27 }),
            json!({ "num_hidden_layers": usize::MAX }),
            json!({ "layer_norm_eps": "1e-6", "rms_norm_eps": "1e-6" }),
            json!({ "patch_size": 3 }),
        ];
        not_run(definition, &name, &good, lies);
    }
}

#[test]
fn configs_that_transformers_cvt_cannot_build_are_errors() {
    let name = "cvt/transformers_three_stages";
    let good = config(name);
    not_built(
        CVT,
        &good,
        [
            json!({ "architectures": null }),
            json!({ "architectures": ["CvtModel"] }),
            json!({ "depth": [] }),
            json!({ "depth": [1, 2, 2] }),
            json!({ "cls_token": [false, true, true] }),
            json!({ "cls_token": [false, false, false] }),
            json!({ "num_heads": [1, 2] }),
            json!({ "num_heads": [1, 3, 3] }),
            json!({ "qkv_projection_method": ["avg", "avg", "avg"] }),
        ],
    );
    not_run(
        CVT,
        name,
        &good,
        [
            json!({ "embed_dim": [usize::MAX, usize::MAX, usize::MAX], "num_heads": [1, 1, 1] }),
            json!({ "patch_padding": [usize::MAX / 2, 1, 1] }),
            json!({ "patch_stride": [0, 1, 1] }),
            json!({ "mlp_ratio": [null, 1e300, -1.0] }),
            json!({ "mlp_ratio": [1.0, 1e300, -1.0] }),
            json!({ "stride_q": [2, 1, 1] }),
            json!({ "kernel_qkv": [usize::MAX, 3, 3] }),
        ],
    );
}
