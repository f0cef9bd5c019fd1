//! Changes to the modules of a network: each is a fact, or refused; none passes unseen.

use std::path::Path;

use serde_json::json;
use vitport_checkpoint::{Checkpoint, Limits, PlainCall, PlainValue};

use super::SavedModules;
use crate::facts::{Evidence, FactError, Facts};
use crate::frameworks::timm::vision_transformer::DEFINITION;

fn modules() -> SavedModules {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/modules/torchsave_module.pt");
    SavedModules::of(&Checkpoint::open(&path, &Limits::default()).unwrap(), "")
}

/// Reads modules after a change, next to what the weights show.
fn read(modules: &SavedModules) -> Result<Facts, FactError> {
    let mut evidence = Evidence::new();
    evidence.weights("embed_dim", 48, "patch_embed.proj.weight");
    evidence.weights("patch_size", json!([8, 8]), "patch_embed.proj.weight");
    evidence.weights("class_token", true, "cls_token");
    modules.read("ViT", DEFINITION.saved_modules(), |_| None, &mut evidence)?;
    evidence.resolve()
}

fn set(modules: &mut SavedModules, path: &str, name: &str, value: PlainValue) {
    let module = modules.modules.iter_mut().find(|module| module.path == path).unwrap();
    module.attributes.retain(|(known, _)| known != name);
    module.attributes.push((name.to_owned(), value));
}

fn pair(number: i64) -> PlainValue {
    PlainValue::List(vec![PlainValue::Int(number); 2])
}

fn hooks() -> PlainValue {
    PlainValue::Dict(vec![("0".to_owned(), PlainValue::Name("mine.double".to_owned()))])
}

fn text(text: &str) -> PlainValue {
    PlainValue::Str(text.to_owned())
}

#[test]
fn a_change_is_a_fact() {
    let facts = read(&modules()).unwrap();
    assert_eq!((facts.number("num_heads"), facts.text("global_pool")), (Some(3), Some("token")));
    let mut changed = modules();
    set(&mut changed, "", "global_pool", text("avg"));
    for block in ["blocks.0", "blocks.1"] {
        set(&mut changed, &format!("{block}.mlp.act"), "approximate", text("tanh"));
    }
    let facts = read(&changed).unwrap();
    assert_eq!((facts.text("global_pool"), facts.text("act_layer")), (Some("avg"), Some("gelu_tanh")));
}

#[test]
fn what_the_definition_does_not_compute_is_refused() {
    let changes = [
        ("blocks.1.attn", "scale", PlainValue::Float(0.3), "blocks.1.attn.scale"),
        ("blocks.1.attn", "num_heads", PlainValue::Int(4), "blocks.1.attn.head_dim"),
        ("blocks.1.attn", "gate", PlainValue::Bool(true), "blocks.1.attn.gate"),
        ("blocks.0", "_forward_hooks", hooks(), "a ViT with a hook (_forward_hooks: "),
        ("blocks.0.mlp.act", "_forward_pre_hooks", hooks(), "the saved module's blocks.0.mlp.act"),
        ("head", "forward", PlainValue::Name("torch.relu".to_owned()), "a forward of its own, torch.relu"),
        ("", "_pos_embed", PlainValue::Name("torch.relu".to_owned()), "_pos_embed is torch.relu"),
        ("", "patch_embed", PlainValue::Int(1), "an attribute that hides its patch_embed"),
        ("", "cls_token", PlainValue::None, "an attribute that hides its cls_token"),
        ("blocks", "0", PlainValue::Int(1), "blocks.0"),
        ("patch_embed", "flatten", PlainValue::Bool(false), "patch_embed.flatten"),
        ("patch_embed", "output_fmt", PlainValue::Int(1), "patch_embed.output_fmt"),
        ("patch_embed", "grid_size", pair(2), "patch_embed.grid_size"),
        ("patch_embed", "num_patches", PlainValue::Int(4), "patch_embed.num_patches"),
        ("blocks.1.norm2", "eps", PlainValue::Float(1e-4), "1e-6 by blocks.0.norm1.eps"),
        (
            "blocks.1.norm2",
            "elementwise_affine",
            PlainValue::Bool(false),
            "blocks.1.norm2.elementwise_affine",
        ),
        ("blocks.0.mlp.act", "approximate", text("other"), "blocks.0.mlp.act.approximate"),
        ("blocks.1.mlp.act", "approximate", text("tanh"), "gelu_tanh"),
        ("patch_embed.proj", "stride", pair(4), "patch_embed.proj.stride"),
        ("patch_embed.proj", "padding", pair(1), "patch_embed.proj.padding"),
        ("patch_embed.proj", "dilation", pair(2), "patch_embed.proj.dilation"),
        ("patch_embed.proj", "groups", PlainValue::Int(3), "patch_embed.proj.groups"),
        ("patch_embed.proj", "padding_mode", text("reflect"), "patch_embed.proj.padding_mode"),
        ("", "num_prefix_tokens", PlainValue::Int(2), "num_prefix_tokens"),
        ("", "global_pool", PlainValue::Int(1), "global_pool"),
    ];
    for (path, name, value, shown) in changes {
        let mut changed = modules();
        set(&mut changed, path, name, value);
        let error = read(&changed).unwrap_err();
        assert!(matches!(error, FactError::NoTarget { .. }), "{error}");
        assert!(error.to_string().contains(shown), "{path}.{name}: {error}");
    }
}

#[test]
fn names_that_no_code_reads_are_listed() {
    let mut noted = modules();
    set(&mut noted, "", "my_note", text("of mine"));
    set(&mut noted, "", "class_names", PlainValue::List(vec![text("cat")]));
    set(&mut noted, "blocks.0", "note", PlainValue::Opaque("a tensor".to_owned()));
    set(&mut noted, "blocks.1", "note", PlainValue::None);
    let mut evidence = Evidence::new();
    evidence.weights("embed_dim", 48, "patch_embed.proj.weight");
    evidence.weights("patch_size", json!([8, 8]), "patch_embed.proj.weight");
    evidence.weights("class_token", true, "cls_token");
    let unread = noted.read("ViT", DEFINITION.saved_modules(), |_| None, &mut evidence).unwrap();
    let listed = ["blocks.*.note", "class_names", "my_note"].map(|name| format!("the saved module: {name}"));
    assert_eq!(unread, listed);
}

#[test]
fn an_embedding_for_any_size_leaves_its_map() {
    let format = |name: &str| {
        let (class, arguments) = ("timm.layers.format.Format".to_owned(), vec![text(name)]);
        PlainValue::Object(Box::new(PlainCall { name: class, arguments, keywords: Vec::new() }))
    };
    for (flatten, name, passes) in [
        (true, "NCHW", true),
        (false, "NHWC", true),
        (false, "NCHW", false),
        (true, "NHWC", false),
        (true, "NLC", false),
    ] {
        let mut changed = modules();
        set(&mut changed, "patch_embed", "output_fmt", format(name));
        set(&mut changed, "patch_embed", "flatten", PlainValue::Bool(flatten));
        assert_eq!(read(&changed).is_ok(), passes, "{flatten} {name}");
    }
}

#[test]
fn no_unknown_class_attribute_or_place_passes() {
    let count = modules().modules.len();
    assert!(count > 40);
    for index in 0..count {
        let [mut class, mut attribute, mut place] = [modules(), modules(), modules()];
        class.modules[index].class = "mine.Other".to_owned();
        attribute.modules[index].attributes.push(("dim".to_owned(), PlainValue::Int(1)));
        place.modules[index].path.push_str("_other");
        for changed in [&class, &attribute, &place] {
            let path = &changed.modules[index].path;
            let error = read(changed).unwrap_err();
            assert!(matches!(error, FactError::NoTarget { .. }), "{path}: {error}");
            assert!(error.to_string().contains(path.as_str()), "{path}: {error}");
        }
    }
}

#[test]
fn more_than_is_kept_and_unknown_modules_around_are_refused() {
    let cut = SavedModules { is_cut: true, ..modules() };
    assert!(read(&cut).unwrap_err().to_string().contains("more next to it than is read"));
    let mut wrapped = modules();
    let mut outer = wrapped.modules[0].clone();
    outer.class = "torch.nn.parallel.data_parallel.DataParallel".to_owned();
    wrapped.around.push(outer);
    assert!(read(&wrapped).is_ok());
    for (name, value) in [("_forward_hooks", hooks()), ("module", PlainValue::Int(1))] {
        let mut hooked = wrapped.around[0].clone();
        hooked.attributes.push((name.to_owned(), value));
        let hooked = SavedModules {
            modules: wrapped.modules.clone(),
            around: vec![hooked],
            ..SavedModules::default()
        };
        assert!(read(&hooked).unwrap_err().to_string().contains(name), "{name}");
        assert!(read(&hooked.without_those_outside(Some("model.module"), "module.")).is_ok());
    }
    wrapped.around[0].class = "__main__.Net".to_owned();
    assert!(read(&wrapped).unwrap_err().to_string().contains("inside a module of class __main__.Net"));
}
