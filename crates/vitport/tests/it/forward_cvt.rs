//! CvT's forward passes against Microsoft's and transformers' own hidden states.

use vitport::families::cvt::forward_microsoft::{ConvolutionalVisionTransformer, CvtStage};
use vitport::families::cvt::forward_transformers::{Cvt, CvtConfig};
use vitport::nn::{Activation, ForwardError, Window};
use vitport::state_dict::StateDict;
use vitport::verify::CheckpointWeights;
use vitport_checkpoint::{Checkpoint, Limits};

use crate::golden::{self, compare, pixels, relative_error, state_dict, tensors};

/// The definition of the fixture: see `MODEL.SPEC` in `data/cvt/README.md`.
fn microsoft(activation: Activation) -> ConvolutionalVisionTransformer {
    let stage = |embedding, dim, depth, heads, class_token| CvtStage {
        embedding,
        dim,
        depth,
        heads,
        mlp_hidden: 4 * dim,
        qkv_bias: true,
        class_token,
        query: Window::square(3, 1, 1),
        key_value: Window::square(3, 2, 1),
    };
    ConvolutionalVisionTransformer {
        image_size: (64, 64),
        channels: 3,
        stages: vec![
            stage(Window::square(7, 4, 2), 16, 1, 1, false),
            stage(Window::square(3, 2, 1), 32, 2, 2, false),
            stage(Window::square(3, 2, 1), 64, 3, 4, true),
        ],
        activation,
        classes: 10,
    }
}

#[test]
fn microsoft_with_quick_gelu() {
    let weights = state_dict(&tensors("cvt/microsoft"));
    let expected = tensors("cvt/microsoft.expected");
    let network = microsoft(Activation::QuickGelu);
    let compared = compare(&expected, |observer| network.forward(&pixels(&expected), &weights, observer));
    // three embeddings, the first and last layers of three stages, norm, logits
    assert_eq!(compared, 10);
}

#[test]
fn microsoft_with_gelu() {
    let weights = state_dict(&tensors("cvt/microsoft"));
    let pixels = pixels(&tensors("cvt/microsoft.expected"));
    let expected = tensors("cvt/microsoft_gelu.expected");
    let network = microsoft(Activation::Gelu);
    assert_eq!(compare(&expected, |observer| network.forward(&pixels, &weights, observer)), 3);
    let quick = microsoft(Activation::QuickGelu).forward(&pixels, &weights, &mut ()).unwrap();
    assert!(relative_error(&quick.logits.unwrap(), &expected["logits"].1) > 1e-3);
}

#[test]
fn microsoft_from_a_training_checkpoint() {
    let file = Checkpoint::open(&golden::path("cvt/microsoft_train.pth"), &Limits::default()).unwrap();
    assert_eq!(file.root().path, "state_dict");
    assert!(file.roots().len() > 1, "the optimizer's tensors are another root");
    let root = StateDict::of(&file, |_| true);
    let weights = CheckpointWeights::new(&file, &root);
    let expected = tensors("cvt/microsoft_train.expected");
    let network = microsoft(Activation::QuickGelu);
    assert_eq!(compare(&expected, |observer| network.forward(&pixels(&expected), &weights, observer)), 10);
}

#[test]
fn microsoft_without_class_token_takes_the_mean() {
    let mut all = tensors("cvt/microsoft");
    all.remove("stage2.cls_token").unwrap();
    let mut network = microsoft(Activation::QuickGelu);
    network.stages[2].class_token = false;
    let mut stages = Vec::new();
    let pixels = pixels(&tensors("cvt/microsoft.expected"));
    let output = network.forward(&pixels, &state_dict(&all), &mut stages).unwrap();
    let (_, norm) = stages.last().unwrap();
    assert_eq!((norm.rows(), norm.columns()), (16, 64));
    let mean: Vec<f32> =
        (0..64).map(|i| norm.values().iter().skip(i).step_by(64).sum::<f32>() / 16.0).collect();
    assert!(relative_error(&output.pooled, &mean) < 1e-6);
}

fn config(name: &str) -> CvtConfig {
    serde_json::from_slice(&golden::bytes(&format!("cvt/{name}.json"))).unwrap()
}

fn check_transformers(name: &str, stages: usize) {
    let weights = state_dict(&tensors(&format!("cvt/{name}")));
    let expected = tensors(&format!("cvt/{name}.expected"));
    let network = Cvt::new(&config(name)).unwrap();
    let compared = compare(&expected, |observer| network.forward(&pixels(&expected), &weights, observer));
    assert_eq!(compared, stages);
}

#[test]
fn transformers_with_three_stages() {
    check_transformers("transformers_three_stages", 3 + 6 + 3);
}

#[test]
fn transformers_with_two_stages_ignores_eps_and_activation_of_the_config() {
    check_transformers("transformers_two_stages", 2 + 3 + 3);
}

#[test]
fn every_tensor_is_needed_in_its_shape() {
    let (microsoft_all, transformers_all) =
        (tensors("cvt/microsoft"), tensors("cvt/transformers_two_stages"));
    let microsoft_pixels = pixels(&tensors("cvt/microsoft.expected"));
    let transformers_pixels = pixels(&tensors("cvt/transformers_two_stages.expected"));
    let (source, target) =
        (microsoft(Activation::QuickGelu), Cvt::new(&config("transformers_two_stages")).unwrap());
    for (all, is_source) in [(&microsoft_all, true), (&transformers_all, false)] {
        let run = |weights: &golden::Tensors| {
            let weights = state_dict(weights);
            if is_source {
                source.forward(&microsoft_pixels, &weights, &mut ())
            } else {
                target.forward(&transformers_pixels, &weights, &mut ())
            }
        };
        for tensor in all.keys() {
            let mut without = all.clone();
            without.remove(tensor);
            match run(&without) {
                Err(ForwardError::MissingTensor { name }) => assert_eq!(&name, tensor),
                other => panic!("without {tensor}: {other:?}"),
            }
            let mut misshapen = all.clone();
            misshapen.get_mut(tensor).unwrap().0.insert(0, 1);
            match run(&misshapen) {
                Err(ForwardError::WrongShape { name, .. }) => assert_eq!(&name, tensor),
                other => panic!("{tensor} with another axis: {other:?}"),
            }
        }
    }
}

#[test]
fn configs_that_transformers_cannot_build_are_errors() {
    let good = config("transformers_three_stages");
    for bad in [
        CvtConfig { architectures: None, ..good.clone() },
        CvtConfig { architectures: Some(vec!["CvtModel".to_owned()]), ..good.clone() },
        CvtConfig { depth: vec![], ..good.clone() },
        CvtConfig { depth: vec![1, 2, 2], ..good.clone() },
        CvtConfig { cls_token: vec![false, true, true], ..good.clone() },
        CvtConfig { cls_token: vec![false, false, false], ..good.clone() },
        CvtConfig { num_heads: vec![1, 2], ..good.clone() },
        CvtConfig { num_heads: vec![1, 3, 3], ..good.clone() },
        CvtConfig { qkv_projection_method: vec!["avg".to_owned(); 3], ..good.clone() },
    ] {
        let error = Cvt::new(&bad).unwrap_err();
        assert!(matches!(error, ForwardError::Config { .. }), "{bad:?}: {error}");
    }
    let weights = state_dict(&tensors("cvt/transformers_three_stages"));
    let pixels = pixels(&tensors("cvt/transformers_three_stages.expected"));
    for lying in [
        CvtConfig { embed_dim: vec![usize::MAX; 3], num_heads: vec![1; 3], ..good.clone() },
        CvtConfig { patch_padding: vec![usize::MAX / 2, 1, 1], ..good.clone() },
        CvtConfig { patch_stride: vec![0, 1, 1], ..good.clone() },
        CvtConfig { mlp_ratio: vec![f64::NAN, 1e300, -1.0], ..good.clone() },
        CvtConfig { stride_q: vec![2, 1, 1], ..good.clone() },
        CvtConfig { kernel_qkv: vec![usize::MAX, 3, 3], ..good.clone() },
    ] {
        let run = Cvt::new(&lying).unwrap().forward(&pixels, &weights, &mut ());
        assert!(run.is_err(), "{lying:?}");
    }
}
