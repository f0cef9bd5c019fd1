//! The vision transformer's forward passes against timm's and transformers' own hidden states.

use vitport::families::vit::forward_timm::VisionTransformer;
use vitport::families::vit::forward_transformers::{ViT, ViTConfig};
use vitport::nn::{Activation, ForwardError};

use crate::golden::{self, compare, pixels, relative_error, state_dict, tensors};

/// The definition that `make.py` starts from.
fn timm() -> VisionTransformer {
    VisionTransformer {
        image_size: (16, 16),
        patch_size: (4, 4),
        channels: 3,
        dim: 16,
        depth: 2,
        heads: 2,
        mlp_hidden: 64,
        norm_eps: 1e-6,
        qkv_bias: true,
        layer_scale: None,
        no_embed_class: false,
        activation: Activation::Gelu,
        classes: 7,
    }
}

fn check_timm(name: &str, network: &VisionTransformer) {
    let weights = state_dict(&tensors(&format!("vit/{name}")));
    let expected = tensors(&format!("vit/{name}.expected"));
    let pixels = pixels(&expected);
    let compared = compare(&expected, |observer| network.forward(&pixels, &weights, observer));
    // embeddings, two layers, norm, pooled and, with a head, logits
    assert_eq!(compared, 5 + usize::from(network.classes > 0));
}

#[test]
fn timm_plain() {
    check_timm("timm_plain", &timm());
}

#[test]
fn timm_layer_scale_and_no_embed_class() {
    check_timm(
        "timm_deit3",
        &VisionTransformer {
            image_size: (16, 12),
            layer_scale: Some(["ls1.gamma", "ls2.gamma"]),
            no_embed_class: true,
            ..timm()
        },
    );
}

#[test]
fn timm_layer_scale_without_head() {
    check_timm(
        "timm_dinov2_base",
        &VisionTransformer {
            layer_scale: Some(["ls1.gamma", "ls2.gamma"]),
            mlp_hidden: 41,
            classes: 0,
            ..timm()
        },
    );
}

#[test]
fn timm_without_qkv_bias() {
    let quick_gelu = Activation::QuickGelu;
    check_timm(
        "timm_no_qkv_bias",
        &VisionTransformer { heads: 4, qkv_bias: false, norm_eps: 1e-5, activation: quick_gelu, ..timm() },
    );
}

fn config(name: &str) -> ViTConfig {
    serde_json::from_slice(&golden::bytes(&format!("vit/{name}.json"))).unwrap()
}

fn check_transformers(name: &str) {
    let weights = state_dict(&tensors(&format!("vit/{name}")));
    let expected = tensors(&format!("vit/{name}.expected"));
    let pixels = pixels(&expected);
    let network = ViT::new(config(name)).unwrap();
    assert_eq!(network.input_shape(), pixels.shape());
    assert_eq!(compare(&expected, |observer| network.forward(&pixels, &weights, observer)), 6);
}

#[test]
fn transformers_classifier() {
    check_transformers("transformers_classifier");
}

#[test]
fn transformers_with_the_default_eps_another_activation_and_no_qkv_bias() {
    check_transformers("transformers_defaults");
}

#[test]
fn transformers_base_with_pooler() {
    check_transformers("transformers_base");
}

#[test]
fn what_the_goldens_are_for_is_seen() {
    let weights = state_dict(&tensors("vit/timm_plain"));
    let expected = tensors("vit/timm_plain.expected");
    let logits = |network: &VisionTransformer| {
        network.forward(&pixels(&expected), &weights, &mut ()).unwrap().logits.unwrap()
    };
    for wrong in [
        VisionTransformer { heads: 4, ..timm() },
        VisionTransformer { norm_eps: 1e-3, ..timm() },
        VisionTransformer { activation: Activation::QuickGelu, ..timm() },
        VisionTransformer { depth: 1, ..timm() },
    ] {
        let error = relative_error(&logits(&wrong), &expected["logits"].1);
        assert!(error > 1e-4, "{wrong:?} passes with {error:e}");
    }
}

#[test]
fn every_tensor_is_needed_in_its_shape() {
    for name in ["timm_deit3", "transformers_classifier", "transformers_base"] {
        let all = tensors(&format!("vit/{name}"));
        let pixels = pixels(&tensors(&format!("vit/{name}.expected")));
        let run = |weights: &golden::Tensors| {
            let weights = state_dict(weights);
            if name == "timm_deit3" {
                let network = VisionTransformer {
                    image_size: (16, 12),
                    layer_scale: Some(["ls1.gamma", "ls2.gamma"]),
                    no_embed_class: true,
                    ..timm()
                };
                network.forward(&pixels, &weights, &mut ())
            } else {
                ViT::new(config(name)).unwrap().forward(&pixels, &weights, &mut ())
            }
        };
        assert!(run(&all).is_ok());
        for tensor in all.keys() {
            let mut without = all.clone();
            without.remove(tensor);
            let optional = tensor == "pooler.dense.weight";
            match run(&without) {
                Ok(output) => assert!(optional && output.pooler_output.is_none(), "{tensor} is not used"),
                Err(ForwardError::MissingTensor { name }) => assert!(name.ends_with(tensor.as_str())),
                Err(other) => panic!("{tensor}: {other}"),
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

#[test]
fn configs_that_describe_no_network_are_errors() {
    let good = config("transformers_classifier");
    for bad in [
        ViTConfig { num_attention_heads: 0, ..good.clone() },
        ViTConfig { num_attention_heads: 3, ..good.clone() },
        ViTConfig { hidden_act: "swish\u{202e}".to_owned(), ..good.clone() },
        ViTConfig { architectures: Some(vec!["ViTForMaskedImageModeling".to_owned()]), ..good.clone() },
        ViTConfig { architectures: None, ..good.clone() },
    ] {
        let message = ViT::new(bad).unwrap_err().to_string();
        assert!(message.starts_with("the configuration cannot be run"), "{message}");
        assert!(!message.contains('\u{202e}'));
    }
    let weights = state_dict(&tensors("vit/transformers_classifier"));
    let pixels = pixels(&tensors("vit/transformers_classifier.expected"));
    for lying in [
        ViTConfig { hidden_size: usize::MAX - 1, ..good.clone() },
        ViTConfig { intermediate_size: usize::MAX, ..good.clone() },
        ViTConfig { num_hidden_layers: usize::MAX, ..good.clone() },
        ViTConfig { patch_size: serde_json::from_str("[0, 4]").unwrap(), ..good.clone() },
    ] {
        assert!(ViT::new(lying.clone()).unwrap().forward(&pixels, &weights, &mut ()).is_err(), "{lying:?}");
    }
    let other_size = ViT::new(ViTConfig { image_size: serde_json::from_str("20").unwrap(), ..good }).unwrap();
    assert!(matches!(
        other_size.forward(&pixels, &weights, &mut ()),
        Err(ForwardError::Input { expected: [3, 20, 20], found: [3, 16, 16] })
    ));
}
