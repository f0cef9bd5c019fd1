//! Structures that no class holds: each is refused with what it is, the tensor that shows it, and what could hold it.

use std::path::Path;

use safetensors::tensor::{Dtype, TensorView, serialize_to_file};
use serde_json::json;
use vitport::facts::{Fact, FactError, Facts, Origin};
use vitport::frameworks::Definition;
use vitport::frameworks::timm::vision_transformer::DEFINITION;
use vitport::mapping::{Mapping, TensorValues, mappings, route};
use vitport::model::Prepared;
use vitport::options::FactOptions;
use vitport::pipeline::{self, ConvertError, Request};
use vitport::source::Source;
use vitport_checkpoint::{Checkpoint, Limits};

use crate::golden;
use crate::networks::timm_vit;

/// Names and shapes of a state dict.
type Shapes = Vec<(String, Vec<usize>)>;

/// A refusal: what the source is, what shows it, and what could hold it.
type Refusal = (String, Option<String>, String);

/// What is changed in a state dict of a structure that has a target.
#[derive(Debug, Clone, Copy)]
enum Change {
    Add(&'static str),
    /// Takes away all names that begin so.
    Remove(&'static str),
    Reshape(&'static str, &'static [usize]),
}

/// A change, and the refusal that it leads to.
struct Case {
    change: Change,
    what: &'static str,
    /// The tensor, or the words that name it.
    tensor: &'static str,
    /// Part of what could hold it.
    instead: &'static str,
}

fn case(change: Change, what: &'static str, tensor: &'static str, instead: &'static str) -> Case {
    Case { change, what, tensor, instead }
}

/// A tensor that a plain network does not have and that shows the structure.
fn sign(name: &'static str, what: &'static str, instead: &'static str) -> Case {
    case(Change::Add(name), what, name, instead)
}

/// timm's ViT with one block of four channels, for images of 4 × 4, with two classes.
fn tiny_vit() -> Shapes {
    let config = timm_vit(json!({
        "img_size": [4, 4], "patch_size": [2, 2], "num_classes": 2, "embed_dim": 4, "depth": 1, "num_heads": 1, "mlp_dim": 12
    }));
    let network = DEFINITION.build(&config).unwrap();
    network.parameters().iter().map(|tensor| (tensor.name().to_owned(), tensor.shape().to_vec())).collect()
}

/// The names and shapes of a fixture.
fn fixture(name: &str) -> Shapes {
    let file = Checkpoint::open(&golden::path(name), &Limits::default()).unwrap();
    let shape = |shape: &[u64]| shape.iter().map(|&size| size as usize).collect();
    file.tensors().iter().map(|tensor| (tensor.name.to_string(), shape(&tensor.shape))).collect()
}

fn changed(mut shapes: Shapes, change: Change) -> Shapes {
    match change {
        Change::Add(name) => shapes.push((name.to_owned(), vec![4])),
        Change::Remove(prefix) => shapes.retain(|(name, _)| !name.starts_with(prefix)),
        Change::Reshape(name, shape) => {
            shapes.iter_mut().find(|(known, _)| known == name).unwrap().1 = shape.to_vec();
        }
    }
    shapes
}

/// Plans the conversion of a state dict of zeros.
fn plan(folder: &Path, shapes: &Shapes, facts: FactOptions) -> Result<Prepared, ConvertError> {
    let zeros: Vec<Vec<u8>> =
        shapes.iter().map(|(_, shape)| vec![0; shape.iter().product::<usize>() * 4]).collect();
    let views = shapes
        .iter()
        .zip(&zeros)
        .map(|((name, shape), bytes)| (name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap()));
    serialize_to_file(views, None, &folder.join("model.safetensors")).unwrap();
    pipeline::plan(Source::open(folder, None, &Limits::default())?, &Request { facts, ..Request::default() })
}

fn refusal(planned: Result<Prepared, ConvertError>, of: &dyn std::fmt::Debug) -> Refusal {
    match planned {
        Err(ConvertError::Facts(FactError::NoTarget { what, tensor, instead, .. })) => {
            (what, tensor, instead)
        }
        Err(other) => panic!("{of:?}: {other}"),
        Ok(_) => panic!("{of:?} is not refused"),
    }
}

fn check(shapes: &Shapes, cases: &[Case]) {
    for case in cases {
        let folder = tempfile::tempdir().unwrap();
        let planned = plan(folder.path(), &changed(shapes.clone(), case.change), FactOptions::default());
        let (what, tensor, instead) = refusal(planned, &case.change);
        assert_eq!((what.as_str(), tensor.as_deref()), (case.what, Some(case.tensor)), "{:?}", case.change);
        assert!(instead.contains(case.instead), "{:?}: {instead}", case.change);
    }
}

fn vit_cases() -> Vec<Case> {
    let (nothing, beit) = ("no class in transformers", "BeitForImageClassification");
    let parallel = "a ViT with parallel blocks";
    let differential = "a ViT with differential attention";
    let qk_norm = "a ViT with normalised queries and keys (QK norm)";
    let sub_norm = "a ViT with norms inside attention or MLP (sub-LN, BEiT-3)";
    let gated = "a ViT with a gated MLP (SwiGLU)";
    let gated_by_rows = Change::Reshape("blocks.0.mlp.fc2.weight", &[4, 6]);
    let registers = ("a ViT with register tokens", "Dinov2WithRegistersModel");
    let decoder = ("a network with more than a ViT's encoder", "encoder's state dict alone");
    vec![
        sign("patch_embed.backbone.conv.weight", "a hybrid of a ResNet stem and a ViT", "`vit_hybrid`"),
        sign("reg_token", registers.0, registers.1),
        sign("register_tokens", registers.0, registers.1),
        case(
            Change::Add("attn_pool.latent"),
            "a SigLIP image tower with `class_token=True`",
            "cls_token",
            "no class that vitport writes",
        ),
        sign("blocks.0.attns.0.qkv.weight", parallel, nothing),
        sign("blocks.0.ffns.0.mlp.fc1.weight", parallel, nothing),
        sign("blocks.0.in_proj.weight", parallel, nothing),
        sign("blocks.0.in_norm.weight", parallel, nothing),
        sign("blocks.0.attn.lambda_q1", differential, nothing),
        sign("blocks.0.attn.sub_norm.weight", differential, nothing),
        sign("blocks.0.attn.q_norm.weight", qk_norm, "InternVLVisionModel"),
        sign("blocks.0.attn.k_norm.weight", qk_norm, "InternVLVisionModel"),
        sign("blocks.0.attn.norm.weight", sub_norm, nothing),
        sign("blocks.0.mlp.norm.weight", sub_norm, nothing),
        sign("blocks.0.mlp.fc1_g.weight", gated, "Dinov2Model"),
        sign("blocks.0.mlp.w12.weight", gated, "Dinov2Model"),
        sign("blocks.0.mlp.fc1_x.weight", gated, "Aimv2VisionModel"),
        case(
            gated_by_rows,
            gated,
            "blocks.0.mlp.fc1.weight, whose 12 rows are twice what fc2 takes",
            "Dinov2Model",
        ),
        sign("blocks.0.attn.relative_position_bias_table", "a BEiT", beit),
        sign("rel_pos_bias.relative_position_bias_table", "a BEiT", beit),
        sign("blocks.0.attn.rel_pos.mlp.fc1.weight", "a BEiT", beit),
        sign("blocks.0.attn.q_bias", "an EVA or BEiT", beit),
        sign("blocks.0.attn.q_proj.weight", "an EVA or BEiT", beit),
        sign("rope.pos_embed", "an EVA or BEiT", beit),
        sign("patch_embed.norm.weight", "a ViT with a norm after the patch embedding", "Aimv2VisionModel"),
        sign("pre_logits.fc.weight", "a ViT with a representation layer (pre_logits)", "--no-head"),
        sign("patch_generator.queries", decoder.0, decoder.1),
        sign("decoder_pos_embed", decoder.0, decoder.1),
        case(
            Change::Remove("pos_embed"),
            "a ViT without learned position embeddings",
            "the absence of pos_embed",
            nothing,
        ),
        case(
            Change::Remove("norm.weight"),
            "a ViT without a final norm",
            "the absence of norm.weight and fc_norm.weight",
            "InternVLVisionModel",
        ),
        case(
            Change::Reshape("patch_embed.proj.weight", &[4, 5, 2, 2]),
            "timm's ViT for images of 5 channels",
            "patch_embed.proj.weight, whose second axis is 5",
            "--no-processor",
        ),
    ]
}

/// Tokens that have positions of their own, so that the positions are not a square and one more.
#[test]
fn a_variant_with_more_positions_is_refused_and_not_asked_for_its_size() {
    let token = "reg_token";
    let folder = tempfile::tempdir().unwrap();
    let shapes = changed(tiny_vit(), Change::Reshape("pos_embed", &[1, 6, 4]));
    let planned = plan(folder.path(), &changed(shapes, Change::Add(token)), FactOptions::default());
    let (found, tensor, _) = refusal(planned, &token);
    assert_eq!((found.as_str(), tensor.as_deref()), ("a ViT with register tokens", Some(token)));
}

#[test]
fn a_head_of_several_layers_is_left_out_where_that_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let mut shapes = changed(tiny_vit(), Change::Remove("head."));
    for (name, shape) in
        [("head.0.weight", vec![8, 4]), ("head.0.bias", vec![8]), ("head.3.weight", vec![2, 8])]
    {
        shapes.push((name.to_owned(), shape));
    }
    let (what, tensor, instead) = refusal(plan(folder.path(), &shapes, FactOptions::default()), &"head");
    assert_eq!(
        (what.as_str(), tensor.as_deref()),
        ("a network whose head is several layers", Some("head.0.bias"))
    );
    assert!(instead.contains("--no-head"), "{instead}");
    let options = FactOptions {
        without_head: true,
        num_heads: Some(vec![1]),
        like: Some("vit_tiny_patch16_224".to_owned()),
        ..FactOptions::default()
    };
    let prepared = plan(folder.path(), &shapes, options).unwrap();
    let dropped: Vec<_> = prepared.plan.dropped.iter().map(|part| (&*part.name, part.tensors)).collect();
    assert_eq!(dropped, [("head.*", 3)]);
    assert_eq!(prepared.model.config["architectures"][0], "ViTModel");
}

#[test]
fn an_oblong_grid_is_asked_for_once() {
    let folder = tempfile::tempdir().unwrap();
    let shapes = changed(tiny_vit(), Change::Reshape("pos_embed", &[1, 7, 4]));
    match plan(folder.path(), &shapes, FactOptions::default()).err().unwrap() {
        ConvertError::Facts(FactError::Questions { open: questions, .. }) => {
            assert_eq!(questions.iter().filter(|question| question.fact == "img_size").count(), 1);
        }
        other => panic!("{other}"),
    }
}

fn cvt_cases() -> Vec<Case> {
    let nothing = "no class in transformers";
    let convolution = "stage0.blocks.0.attn.conv_proj_q.conv.weight";
    vec![
        case(
            Change::Reshape("stage0.patch_embed.proj.weight", &[16, 4, 7, 7]),
            "Microsoft's CvT for images of 4 channels",
            "stage0.patch_embed.proj.weight",
            "--no-processor",
        ),
        case(
            Change::Remove(convolution),
            "a CvT whose queries are not made by a depth-wise convolution",
            "the absence of stage0.blocks.0.attn.conv_proj_q.conv.weight",
            nothing,
        ),
        case(Change::Remove("stage2."), "a CvT of 2 stages", "stage1", nothing),
        case(Change::Remove("stage1.blocks.1."), "a CvT with 1 blocks in stage 1", "stage1.blocks", nothing),
        case(
            Change::Add("stage1.cls_token"),
            "a CvT with or without a class token in stage 1 (no,yes,yes)",
            "stage1.cls_token",
            nothing,
        ),
        case(
            Change::Remove("stage2.cls_token"),
            "a CvT with or without a class token in stage 2 (no,no,no)",
            "the absence of stage2.cls_token",
            nothing,
        ),
        sign("stage0.pos_embed", "a CvT with position embeddings", nothing),
        sign("stage2.blocks.0.attn.rel_pos_h", "a CvT with position embeddings", nothing),
        case(
            Change::Remove("head."),
            "a CvT without its classification head",
            "the absence of head.weight",
            "with its head",
        ),
    ]
}

#[test]
fn variants_of_a_vit() {
    check(&tiny_vit(), &vit_cases());
}

#[test]
fn variants_of_a_cvt() {
    check(&fixture("cvt/microsoft.safetensors"), &cvt_cases());
}

#[test]
fn a_cvt_whose_head_is_to_be_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let facts = FactOptions { without_head: true, ..FactOptions::default() };
    let planned = plan(folder.path(), &fixture("cvt/microsoft.safetensors"), facts);
    let (what, _, instead) = refusal(planned, &"--no-head");
    assert_eq!(what, "a CvT without its classification head");
    assert!(instead.contains("leave --no-head out"), "{instead}");
}

#[test]
fn pooling_that_the_config_states() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = json!({
        "embed_dim": 4, "depth": 1, "num_heads": 2, "mlp_ratio": 3, "patch_size": 2, "img_size": 4,
    });
    let config = json!({
        "architecture": "vit_tiny_patch16_224",
        "num_classes": 2,
        "global_pool": "avg",
        "model_args": arguments,
        "pretrained_cfg": {},
    });
    std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    let (what, tensor, instead) =
        refusal(plan(folder.path(), &tiny_vit(), FactOptions::default()), &"global_pool");
    assert_eq!(what, "a ViT with global_pool `avg`");
    assert_eq!(tensor.as_deref(), Some("global_pool in config.json"));
    assert!(instead.contains("Dinov2ForImageClassification could hold"), "{instead}");
}

/// No file to look into.
struct NoValues;

impl TensorValues for NoValues {
    fn largest(&self, _: &str) -> Result<Option<f64>, String> {
        Ok(None)
    }
}

/// What timm's registry says of an architecture and the weights do not show.
const BY_NAME: [(&str, &str, &str); 10] = [
    ("block", "ResPostBlock", "a ViT with ResPostBlock as its blocks"),
    ("dist_token", "true", "a distilled DeiT"),
    ("block", "ParallelThingsBlock", "a ViT with parallel blocks"),
    ("attn", "DiffAttention", "a ViT with differential attention"),
    ("global_pool", "avg", "a ViT with global_pool `avg`"),
    ("norm", "RmsNorm", "a ViT whose last norm is RmsNorm"),
    ("block_norm", "RmsNorm", "a ViT with RmsNorm in its blocks"),
    ("patch_bias", "false", "a ViT whose patch embedding has no bias"),
    ("proj_bias", "false", "a ViT whose attention's output has no bias"),
    ("mlp_bias", "false", "a ViT whose MLP has no biases"),
];

#[test]
fn what_only_the_name_of_an_architecture_says() {
    let mapping = mappings().iter().find(|mapping| mapping.from() == "timm/vision_transformer").unwrap();
    for (fact, value, expected) in BY_NAME {
        let known = value.parse::<bool>().map_or_else(|_| json!(value), |flag| json!(flag));
        let fact = Fact::new(fact, known, Origin::Registry("an architecture".to_owned()));
        match route([mapping], &Facts::from_iter([fact]), &NoValues, None) {
            Err(FactError::NoTarget { what, tensor: None, .. }) => assert_eq!(what, expected),
            other => panic!("{value}: {:?}", other.map(|found| found.map(Mapping::file))),
        }
    }
}

#[test]
fn layouts_of_other_releases() {
    let class_token = "SiglipVisionModel";
    let reload = "load it in timm and save its state dict";
    let cases = [
        sign("conv_root/kernel", "a hybrid of a ResNet stem and a ViT", "`vit_hybrid`"),
        sign("MAPHead_0/probe", "a ViT with attention pooling", class_token),
        sign("Transformer/encoderblock/bias", "a ViT whose blocks are stacked in one array", reload),
        sign("pos_embedding", "a ViT in the layout of big_vision", reload),
        sign("pre_logits/bias", "a ViT with a representation layer (pre_logits)", "--no-head"),
    ];
    // A representation layer is two arrays, of which one is the case's own.
    let whole_layer = changed(fixture("vit/jax_classifier.npz"), Change::Add("pre_logits/kernel"));
    let whole_layer = changed(whole_layer, Change::Reshape("pre_logits/kernel", &[4, 4]));
    for case in cases {
        let is_pre_logits = case.tensor.starts_with("pre_logits");
        let release = if is_pre_logits { whole_layer.clone() } else { fixture("vit/jax_classifier.npz") };
        check(&release, &[case]);
    }
}

/// Returns whether a text is `pattern` with something in place of what stands in braces.
fn fits(text: &str, pattern: &str) -> bool {
    let (start, end) = (pattern.split('{').next().unwrap(), pattern.rsplit('}').next().unwrap());
    if start == pattern { text == pattern } else { text.starts_with(start) && text.ends_with(end) }
}

#[test]
fn every_condition_of_every_mapping_has_a_case() {
    let cases = vit_cases().into_iter().chain(cvt_cases()).map(|case| case.what);
    let tested: Vec<&str> = cases.chain(BY_NAME.map(|(.., what)| what)).collect();
    // The other families' refusals are tested next to them. A norm before the first block makes CLIP's mapping the nearest.
    for mapping in
        mappings().iter().filter(|mapping| ["timm_vit.toml", "microsoft_cvt.toml"].contains(&mapping.file()))
    {
        let file: toml::Table = toml::from_str(mapping.text()).unwrap();
        let conditions = file["requires"].as_array().unwrap();
        assert!(!conditions.is_empty());
        for condition in conditions {
            let what = condition["what"].as_str().unwrap();
            // Without a class token, or with another pooling, other mappings are nearer.
            let of_others = [
                "a CLIP image tower",
                "a ViT without a class token",
                "a ViT with attention pooling (SigLIP)",
                "a ViT with average pooling and a norm after it (fc_norm)",
            ];
            if of_others.contains(&what) {
                continue;
            }
            assert!(tested.iter().any(|tested| fits(tested, what)), "{}: {what}", mapping.file());
        }
    }
}
