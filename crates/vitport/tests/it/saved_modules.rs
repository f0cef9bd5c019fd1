//! Networks that were saved whole: their modules say what weights do not show, in every version of timm.

use std::path::{Path, PathBuf};

use vitport::facts::{Fact, FactError, Origin};
use vitport::model::Prepared;
use vitport::options::FactOptions;
use vitport::pipeline::{self, ConvertError, Request};
use vitport::source::Source;
use vitport_checkpoint::Limits;

/// The facts that only modules tell.
const TOLD: [&str; 5] = ["num_heads", "act_layer", "norm_eps", "global_pool", "mean"];

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/modules").join(name)
}

/// Preprocessing for files that say nothing of it, and another mean than any that does.
fn prepared() -> FactOptions {
    FactOptions {
        mean: Some([0.25; 3]),
        std: Some([0.5; 3]),
        crop_pct: Some(1.0),
        interpolation: vitport::image::Filter::from_name("bicubic"),
        ..FactOptions::default()
    }
}

fn plan(name: &str, facts: FactOptions) -> Result<Prepared, FactError> {
    let source = Source::open(&data(name), None, &Limits::default()).unwrap();
    match pipeline::plan(source, &Request { facts, ..Request::default() }) {
        Ok(prepared) => Ok(prepared),
        Err(ConvertError::Facts(error)) => Err(error),
        Err(error) => panic!("{name}: {error}"),
    }
}

/// What the modules of a file tell, as it is shown.
fn told(name: &str, facts: FactOptions) -> Vec<String> {
    let prepared = plan(name, facts).unwrap_or_else(|error| panic!("{name}: {error}"));
    let is_of_module = |fact: &&Fact| matches!(fact.origin, Origin::Attribute(_));
    let all: Vec<&Fact> = prepared.model.facts.iter().filter(is_of_module).collect();
    let shown = |name: &&str| all.iter().find(|fact| fact.name == *name).map(|fact| fact.shown());
    TOLD.iter().filter_map(|name| Some(format!("{name} {}", shown(name)?))).collect()
}

#[test]
fn every_version_of_timm_says_the_same() {
    for version in ["0.5.4", "0.6.13", "0.9.16", "1.0.9", "1.0.31"] {
        let vit = told(&format!("visiontransformer_{version}.pt"), FactOptions::default());
        let mean = "mean [0.1, 0.2, 0.3]";
        assert_eq!(
            vit,
            ["num_heads 3", "act_layer gelu", "norm_eps 1e-6", "global_pool token", mean],
            "{version}"
        );
        let convnext = told(&format!("convnext_{version}.pt"), FactOptions::default());
        assert_eq!(convnext, ["act_layer gelu", "norm_eps 1e-6", "global_pool avg", mean], "{version}");
        let beit = told(&format!("beit_{version}.pt"), FactOptions::default());
        assert_eq!(beit, ["act_layer gelu", "norm_eps 1e-6", "global_pool avg", mean], "{version}");
        let swin = told(&format!("swintransformer_{version}.pt"), FactOptions::default());
        assert_eq!(swin, ["norm_eps 1e-5", "global_pool avg", mean], "{version}");
    }
}

/// Weights show no windows of a SwinV2: it is told how large they are, and were before.
#[test]
fn a_swinv2_says_its_windows() {
    for version in ["0.9.16", "1.0.9", "1.0.31"] {
        let name = format!("swintransformerv2_{version}.pt");
        assert_eq!(
            told(&name, FactOptions::default()),
            ["act_layer gelu", "norm_eps 1e-5", "global_pool avg", "mean [0.1, 0.2, 0.3]"],
            "{version}"
        );
        let prepared = plan(&name, FactOptions::default()).unwrap();
        for (fact, shown) in [("window_size", "4"), ("pretrained_window_sizes", "3,2")] {
            let fact = prepared.model.facts.get(fact).unwrap();
            assert!(matches!(fact.origin, Origin::Attribute(_)), "{version}: {fact:?}");
            assert_eq!(fact.shown(), shown, "{version}");
        }
    }
}

/// How an EfficientNet pads, and the epsilon of its norms, no weight shows.
#[test]
fn an_efficientnet_says_its_padding_and_epsilon() {
    for version in ["0.5.4", "0.6.13", "0.9.16", "1.0.9", "1.0.31"] {
        let name = format!("efficientnet_{version}.pt");
        assert_eq!(
            told(&name, FactOptions::default()),
            ["act_layer silu", "norm_eps 0.001", "global_pool avg", "mean [0.1, 0.2, 0.3]"],
            "{version}"
        );
        let prepared = plan(&name, FactOptions::default()).unwrap();
        for (fact, shown) in [("pad_type", "same"), ("strides", "1,2,2")] {
            let fact = prepared.model.facts.get(fact).unwrap();
            assert!(matches!(fact.origin, Origin::Attribute(_)), "{version}: {fact:?}");
            assert_eq!(fact.shown(), shown, "{version}");
        }
        assert_eq!(prepared.model.unread_arguments, [""; 0], "{version}");
    }
    let sized = FactOptions { image_size: Some([32, 32]), ..prepared() };
    let error = plan("efficientnet_alike.pt", sized).err().unwrap().to_string();
    assert!(error.contains("alike on both sides, as PyTorch does"), "{error}");
    assert!(error.contains("the saved module: conv_stem is a Conv2d"), "{error}");
}

/// How DINOv3 rotates, and which token it reads, no weight shows.
#[test]
fn an_eva_says_its_heads_its_rotation_and_its_pooling() {
    for version in ["0.9.16", "1.0.9", "1.0.31"] {
        assert_eq!(
            told(&format!("eva_{version}.pt"), FactOptions::default()),
            ["num_heads 3", "act_layer gelu", "norm_eps 1e-6", "global_pool avg", "mean [0.1, 0.2, 0.3]"],
            "{version}"
        );
    }
    for (name, pool, averages) in [("dinov3.pt", "avg", true), ("dinov3_token.pt", "token", false)] {
        let said = ["num_heads 3", "act_layer gelu", "norm_eps 1e-5", &format!("global_pool {pool}")];
        assert_eq!(told(name, prepared()), said, "{name}");
        let prepared = plan(name, prepared()).unwrap();
        let facts = &prepared.model.facts;
        assert_eq!(facts.flag("averages").unwrap_or(true), averages, "{name}");
        assert_eq!(prepared.model.config["rope_theta"], 50.0, "{name}");
        let is_told =
            |fact: &str| facts.get(fact).is_some_and(|fact| matches!(fact.origin, Origin::Attribute(_)));
        assert!(["rope_type", "rope_rotate_half", "use_rot_pos_emb"].into_iter().all(is_told), "{name}");
        assert_eq!(prepared.model.unread_arguments, [""; 0], "{name}");
    }
}

#[test]
fn a_vit_with_relative_positions_says_its_epsilon_and_pooling() {
    let said = ["act_layer gelu", "norm_eps 1e-6", "global_pool avg"];
    for version in ["0.6.13", "0.9.16", "1.0.9", "1.0.31"] {
        let told = told(&format!("relpos_{version}.pt"), FactOptions::default());
        assert_eq!(told, [&said[..], &["mean [0.1, 0.2, 0.3]"]].concat(), "{version}");
    }
    for name in ["relpos_table.pt", "relpos_shared.pt"] {
        assert_eq!(told(name, prepared()), said, "{name}");
    }
}

#[test]
fn modules_say_what_they_compute() {
    let vit = |act: &str, eps: &str| {
        vec![
            "num_heads 3".to_owned(),
            format!("act_layer {act}"),
            format!("norm_eps {eps}"),
            "global_pool token".to_owned(),
        ]
    };
    // Wrapped by DataParallel, below a key, scripted and traced.
    assert_eq!(told("relu.pt", prepared()), vit("relu", "1e-5"));
    assert_eq!(told("nested.pt", prepared()), vit("gelu_tanh", "1e-6"));
    assert_eq!(told("clip.pt", prepared()), vit("quick_gelu", "1e-5"));
    assert_eq!(told("scripted.pt", prepared()), vit("gelu_tanh", "1e-5"));
    assert_eq!(told("traced.pt", prepared()), vit("gelu_tanh", "1e-5"));
    assert_eq!(told("module_quickgelu_eps1e-3.pt", prepared()), vit("quick_gelu", "0.001"));
    assert_eq!(told("torchsave_module.pt", prepared()), vit("gelu", "1e-6"));
    let sized = FactOptions { image_size: Some([32, 32]), ..prepared() };
    let convnext = ["act_layer gelu_tanh", "norm_eps 1e-6", "global_pool avg"];
    assert_eq!(told("tanh_convnext.pt", sized), convnext);
}

/// Its windows and shifts are made for the size that it has.
#[test]
fn a_swin_that_was_saved_whole_is_of_no_other_size() {
    for name in ["swintransformer_1.0.31.pt", "swintransformerv2_1.0.31.pt"] {
        let of = |edge| FactOptions { image_size: Some([edge; 2]), ..prepared() };
        assert!(plan(name, of(32)).is_ok(), "{name}");
        let said = plan(name, of(64)).err().unwrap().to_string();
        for words in ["--image-size 64x64", "32x32 pixels according to the saved module", "--resample-to"] {
            assert!(said.contains(words), "{name}: {said}");
        }
    }
}

#[test]
fn torchvisions_modules_say_what_they_compute() {
    let sized = || FactOptions { image_size: Some([32, 32]), ..prepared() };
    let vit = ["num_heads 3", "act_layer gelu", "norm_eps 0.001", "global_pool token"];
    assert_eq!(told("torchvision_vit.pt", prepared()), vit);
    assert_eq!(told("torchvision_swin.pt", sized()), ["norm_eps 1e-5", "global_pool avg"]);
    let swin_v2 = ["act_layer gelu", "norm_eps 1e-5", "global_pool avg"];
    assert_eq!(told("torchvision_swin_v2.pt", sized()), swin_v2);
    let facts = plan("torchvision_swin_v2.pt", sized()).unwrap().model.facts;
    let fact = |name: &str| facts.get(name).map(|fact| (fact.shown(), &fact.origin)).unwrap();
    assert!(matches!(fact("window_size"), (size, Origin::Weights(_)) if size == "4"));
    assert!(matches!(fact("pretrained_window_sizes"), (sizes, Origin::Attribute(_)) if sizes == "0,0,0,0"));
    assert!(matches!(fact("fixed_windows"), (_, Origin::Attribute(_))));
    let convnext = ["act_layer gelu", "norm_eps 1e-6", "global_pool avg"];
    assert_eq!(told("torchvision_convnext.pt", sized()), convnext);
    assert_eq!(told("torchvision_regnet.pt", sized()), ["act_layer relu", "global_pool avg"]);
}

#[test]
fn a_cvt_says_its_heads_strides_and_activation() {
    let options = || FactOptions { image_size: Some([32, 32]), ..FactOptions::default() };
    let prepared = plan("cvt_gelu.pt", options()).unwrap();
    let told = |name: &str| {
        let fact = prepared.model.facts.get(name).unwrap();
        assert!(matches!(fact.origin, Origin::Attribute(_)), "{fact:?}");
        fact.shown()
    };
    assert_eq!(
        (told("num_heads"), told("act_layer"), told("norm_eps")),
        ("1,2,3".into(), "gelu".into(), "1e-5".into())
    );
    assert_eq!(
        (told("patch_stride"), told("stride_kv"), told("padding_q")),
        ("2,2,2".into(), "2,2,1".into(), "1,1,1".into())
    );
    let error =
        plan("cvt_gelu.pt", FactOptions { num_heads: Some(vec![1, 2, 4]), ..options() }).err().unwrap();
    assert!(matches!(error, FactError::Contradiction(_)), "{error}");
}

#[test]
fn modules_reach_the_config_without_options() {
    let prepared = plan("module_quickgelu_eps1e-3.pt", prepared()).unwrap();
    let config = &prepared.model.config;
    assert_eq!((&config["hidden_act"], &config["layer_norm_eps"]), (&"quick_gelu".into(), &1e-3.into()));
    assert_eq!(config["num_attention_heads"], 3);
}

#[test]
fn averages_are_never_taken_for_the_class_token() {
    let error = plan("module_avgpool_nofc.pt", prepared()).err().unwrap();
    assert!(matches!(&error, FactError::NoTarget { .. }), "{error}");
    assert!(error.to_string().contains("global_pool `avg`"), "{error}");
    assert!(error.to_string().contains("the saved module: global_pool"), "{error}");
}

#[test]
fn hooks_are_refused_and_notes_are_listed() {
    for (name, place) in
        [("hooked.pt", "the saved module's blocks.0.mlp"), ("hooked_around.pt", "the saved module itself")]
    {
        let error = plan(name, prepared()).err().unwrap();
        assert!(matches!(&error, FactError::NoTarget { .. }), "{error}");
        let error = error.to_string();
        assert!(error.contains("a ViT with a hook (_forward_hooks: ") && error.contains(place), "{error}");
    }
    let noted = plan("noted.pt", prepared()).unwrap();
    assert_eq!(noted.model.unread_arguments, ["the saved module: class_names", "the saved module: my_note"]);
    // A key that names the wrapper takes it with its hook.
    for (key, is_inside) in [("module", true), ("module.", true), ("", false)] {
        let key = Some(key).filter(|key| !key.is_empty());
        let source = Source::open(&data("hooked_around.pt"), key, &Limits::default()).unwrap();
        let planned = pipeline::plan(source, &Request { facts: prepared(), ..Request::default() });
        assert_eq!(planned.is_ok(), is_inside, "{key:?}");
    }
    let plain = plan("relu.pt", prepared()).unwrap();
    assert_eq!(plain.model.unread_arguments, [""; 0]);
}

#[test]
fn an_option_that_the_module_denies_is_a_contradiction() {
    let options = [
        (FactOptions { num_heads: Some(vec![6]), ..prepared() }, "--num-heads 6", "num_heads is 3"),
        (
            FactOptions { layer_norm_eps: Some(1e-5), ..prepared() },
            "--layer-norm-eps 1e-5",
            "norm_eps is 1e-6",
        ),
    ];
    for (options, one, other) in options {
        let error = plan("torchsave_module.pt", options).err().unwrap();
        assert!(matches!(error, FactError::Contradiction(_)), "{error}");
        let error = error.to_string();
        assert!(
            error.contains(one) && error.contains(other) && error.contains("the saved module"),
            "{error}"
        );
    }
}

#[test]
fn the_network_that_a_fine_tune_began_with_names_no_published_model() {
    let prepared = plan("visiontransformer_1.0.31.pt", FactOptions::default()).unwrap();
    assert!(prepared.model.published.is_none() && prepared.model.license.is_none());
    assert_eq!(prepared.model.name, "visiontransformer_1.0.31");
}
