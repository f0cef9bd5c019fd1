//! Which network is taken of files as people have them.

use std::path::{Path, PathBuf};

use safetensors::serialize_to_file;
use safetensors::tensor::{SafeTensors, TensorView};
use serde_json::json;
use vitport::facts::FactError;
use vitport::frameworks::Definition;
use vitport::frameworks::timm::vision_transformer;
use vitport::model::Prepared;
use vitport::options::FactOptions;
use vitport::pipeline::{ConvertError, Request, plan};
use vitport::source::Source;
use vitport_checkpoint::Limits;

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/field").join(name)
}

fn planned(name: &str, key: Option<&str>) -> Result<Prepared, ConvertError> {
    planned_of(&path(name), key)
}

fn planned_of(path: &Path, key: Option<&str>) -> Result<Prepared, ConvertError> {
    planned_without(path, key, &[])
}

fn planned_without(path: &Path, key: Option<&str>, drop: &[&str]) -> Result<Prepared, ConvertError> {
    let facts = FactOptions {
        drop: drop.iter().map(|pattern| glob::Pattern::new(pattern).unwrap()).collect(),
        num_heads: Some(vec![3]),
        mean: Some([0.5; 3]),
        std: Some([0.5; 3]),
        crop_pct: Some(1.0),
        interpolation: Some(vitport::image::Filter::Bicubic),
        ..FactOptions::default()
    };
    plan(Source::open(path, key, &Limits::default()).unwrap(), &Request { facts, ..Request::default() })
}

#[test]
fn the_network_is_found_by_structure() {
    let cases = [
        ("dinov2_235_flat.pth", None, "teacher.backbone."),
        ("dinov2_235_flat.pth", Some("student"), "student.backbone."),
        ("dinov2_235_flat.pth", Some("model/student.backbone."), "student.backbone."),
        ("mocov3_vit-s-300ep.pth.tar", None, "module.base_encoder."),
        ("mocov3_vit-s-300ep.pth.tar", Some("module.momentum_encoder"), "module.momentum_encoder."),
        ("ema_pytorch.pt", None, "ema_model."),
        ("swa_averaged.pth", None, "module."),
        ("openclip_trunk_epoch_32.pt", None, "module.visual.trunk."),
        ("headseq.pth", None, ""),
        ("torchvision_heads_head.pth", None, ""),
        ("jeonsworld_checkpoint.bin", None, ""),
        ("mmpretrain_epoch_100.pth", None, "backbone."),
        ("hf_in_lightning.ckpt", None, "vit.vit."),
    ];
    for (name, key, prefix) in cases {
        let prepared = planned(name, key).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(prepared.model.state_dict.prefix(), prefix, "{name} {key:?}");
    }
}

/// Writes a file of zeros that holds ViTs, each under a prefix, with so many blocks and classes; and other tensors.
fn write_networks(path: &Path, networks: &[(&str, u64, u64)], others: &[(&str, &[usize])]) {
    let mut tensors: Vec<(String, Vec<usize>)> = Vec::new();
    for (prefix, depth, classes) in networks {
        let config = json!({
            "img_size": [32, 32], "patch_size": [8, 8], "in_chans": 3, "num_classes": classes, "embed_dim": 48, "depth": depth,
            "num_heads": 3, "mlp_dim": 192, "qkv_bias": true, "layer_scale": false, "no_embed_class": false, "pre_norm": false,
            "act_layer": "gelu", "norm_eps": 1e-6,
        });
        let network = vision_transformer::DEFINITION.build(config.as_object().unwrap()).unwrap();
        let named =
            |tensor: &vitport::nn::Parameter| (format!("{prefix}{}", tensor.name()), tensor.shape().to_vec());
        tensors.extend(network.parameters().iter().map(named));
    }
    tensors.extend(others.iter().map(|(name, shape)| ((*name).to_owned(), shape.to_vec())));
    let zeros = vec![0; 4 * tensors.iter().map(|(_, shape)| shape.iter().product::<usize>()).max().unwrap()];
    let views = tensors.iter().map(|(name, shape)| {
        let bytes = &zeros[..4 * shape.iter().product::<usize>()];
        (name, TensorView::new(safetensors::Dtype::F32, shape.clone(), bytes).unwrap())
    });
    serialize_to_file(views, None, path).unwrap();
}

#[test]
fn a_teacher_that_is_no_copy_or_has_classes_is_a_question() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("run.safetensors");
    for (teacher, is_taken) in [((2, 0), true), ((3, 0), false), ((2, 5), false)] {
        write_networks(&path, &[("student.", 2, teacher.1), ("teacher.", teacher.0, teacher.1)], &[]);
        match planned_of(&path, None) {
            Ok(prepared) => {
                assert!(is_taken && prepared.model.state_dict.prefix() == "teacher.", "{teacher:?}")
            }
            Err(ConvertError::Facts(FactError::Questions { open, .. })) => {
                assert!(!is_taken && open[0].fact == "network", "{teacher:?}: {}", open[0]);
            }
            Err(error) => panic!("{teacher:?}: {error}"),
        }
    }
}

/// timm calls the classifier of its convolutional networks `head.fc` or `fc`.
#[test]
fn teachers_with_classes_are_a_question_in_every_family() {
    let scratch = tempfile::tempdir().unwrap();
    for family in ["convnext/plain", "residual/regnet_y", "residual/resnet_bottleneck"] {
        let file =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(family).join("model.safetensors");
        let bytes = std::fs::read(file).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let both: Vec<(String, TensorView<'_>)> = ["student", "teacher"]
            .into_iter()
            .flat_map(|role| {
                tensors.tensors().into_iter().map(move |(name, view)| (format!("{role}.{name}"), view))
            })
            .collect();
        let path = scratch.path().join("model.safetensors");
        serialize_to_file(both, None, &path).unwrap();
        match plan(Source::open(&path, None, &Limits::default()).unwrap(), &Request::default()) {
            Err(ConvertError::Facts(FactError::Questions { open, .. })) => {
                assert_eq!(open[0].fact, "network", "{family}")
            }
            Err(error) => panic!("{family}: {error}"),
            Ok(_) => panic!("{family}: one is taken"),
        }
    }
}

#[test]
fn what_an_optimizer_keeps_under_the_names_of_parameters_is_no_network() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("run.safetensors");
    write_networks(&path, &[("app.model.", 2, 5)], &[]);
    let names: Vec<(String, Vec<usize>)> = Source::open(&path, None, &Limits::default())
        .unwrap()
        .checkpoint
        .tensors()
        .iter()
        .flat_map(|tensor| {
            let shape: Vec<usize> = tensor.shape.iter().map(|&size| size as usize).collect();
            let name = tensor.name.replace("app.model.", "app.optim.state.");
            [(format!("{name}.exp_avg"), shape), (format!("{name}.step"), Vec::new())]
        })
        .collect();
    let others: Vec<(&str, &[usize])> = names.iter().map(|(name, shape)| (&**name, &**shape)).collect();
    write_networks(&path, &[("app.model.", 2, 5)], &others);
    assert_eq!(planned_of(&path, None).unwrap().model.state_dict.prefix(), "app.model.");
}

#[test]
fn a_key_that_names_nothing_is_told_where_the_networks_are() {
    let error = planned("ema_pytorch.pt", Some("nothing")).err().unwrap().to_string();
    assert!(error.contains("ema_model") && error.contains("online_model"), "{error}");
}

#[test]
fn a_layer_next_to_the_network_is_its_classifier_if_nothing_lies_between() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("own.safetensors");
    let linear: [(&str, &[usize]); 2] = [("fc.weight", &[5, 48]), ("fc.bias", &[5])];
    let norm: [(&str, &[usize]); 2] = [("neck.weight", &[48]), ("neck.bias", &[48])];
    let other: [(&str, &[usize]); 2] = [("aux.weight", &[9, 48]), ("aux.bias", &[9])];
    // A number for each class, as a loss has it, and a scalar: neither stands between.
    let buffers: [(&str, &[usize]); 2] = [("class_weights", &[5]), ("temperature", &[])];
    let (has_head, has_none) = ("ViTForImageClassification", "ViTModel");
    for (others, drop, class, hint) in [
        (linear.to_vec(), None, has_head, None),
        ([linear, buffers].concat(), None, has_head, None),
        ([linear, norm].concat(), None, has_none, Some("--drop 'neck.*'")),
        ([linear, norm].concat(), Some("neck.*"), has_head, None),
        ([linear, other].concat(), None, has_none, Some("--drop 'fc.*'")),
        ([linear, other].concat(), Some("aux.*"), has_head, None),
        (norm.to_vec(), None, has_none, None),
    ] {
        write_networks(&path, &[("encoder.", 2, 0)], &others);
        let drop: Vec<&str> = drop.into_iter().collect();
        let prepared =
            planned_without(&path, None, &drop).unwrap_or_else(|error| panic!("{others:?}: {error}"));
        assert_eq!(prepared.model.target_class().unwrap().class, class, "{others:?}");
        let found = prepared.plan.dropped.iter().find(|part| part.reason.contains("fits as the classifier"));
        assert_eq!(found.is_some(), hint.is_some(), "{others:?}");
        if let (Some(found), Some(hint)) = (found, hint) {
            assert!(found.reason.contains(hint), "{}", found.reason);
        }
    }
}
