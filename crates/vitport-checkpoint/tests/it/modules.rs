//! What whole modules say of themselves: classes and settings, those without parameters included.

use vitport_checkpoint::{Checkpoint, Limits, PlainValue, SavedModule};

use crate::support::pickles::Pickle;
use crate::support::zips::torch_file;
use crate::support::{open, open_bytes, open_bytes_with};

fn module<'a>(modules: &'a [SavedModule], path: &str) -> &'a SavedModule {
    let found = modules.iter().find(|module| module.path == path);
    found.unwrap_or_else(|| panic!("no {path} in {:?}", modules.iter().map(|m| &m.path).collect::<Vec<_>>()))
}

/// An attribute as Python writes it.
fn shown(checkpoint: &Checkpoint, path: &str, attribute: &str) -> String {
    let module = module(checkpoint.modules(), path);
    let value = module.attribute(attribute);
    value.unwrap_or_else(|| panic!("no {attribute} in {module:?}")).to_string()
}

#[test]
fn classes_and_settings_of_a_model() {
    let c = open("says/module_quickgelu.pt");
    assert_eq!(module(c.modules(), "").class, "timm.models.vision_transformer.VisionTransformer");
    assert_eq!(module(c.modules(), "blocks.0.attn").class, "timm.layers.attention.Attention");
    assert_eq!(module(c.modules(), "blocks.0.mlp.act").class, "timm.layers.activations.QuickGELU");
    assert_eq!(module(c.modules(), "blocks.0.norm1").class, "torch.nn.modules.normalization.LayerNorm");
    assert_eq!(shown(&c, "", "global_pool"), "'token'");
    assert_eq!(shown(&c, "", "num_prefix_tokens"), "1");
    assert_eq!(shown(&c, "", "no_embed_class"), "False");
    assert_eq!(shown(&c, "", "training"), "False");
    assert_eq!(shown(&c, "blocks.0.attn", "num_heads"), "3");
    assert_eq!(shown(&c, "blocks.0.attn", "fused_attn"), "True");
    assert_eq!(shown(&c, "blocks.0.norm1", "eps"), "0.001");
    assert_eq!(shown(&c, "blocks.0.norm1", "normalized_shape"), "[12]");
    let cfg = module(c.modules(), "").attribute("default_cfg").unwrap();
    assert_eq!(cfg.get("mean").unwrap().to_string(), "[0.1, 0.2, 0.3]");
    assert_eq!((cfg.get("license"), cfg.get("tag")), (Some(&PlainValue::None), None));
    for saved in c.modules() {
        // What torch keeps of parts and of hooks that there are not is left out.
        let of_torch = ["_parameters", "_buffers", "_modules", "_forward_hooks", "_forward_pre_hooks"];
        assert!(saved.attributes.iter().all(|(name, _)| !of_torch.contains(&&**name)), "{saved:?}");
    }
    let json = serde_json::to_value(module(c.modules(), "blocks.0.norm1")).unwrap();
    assert_eq!((&json["path"], &json["attributes"]["eps"]), (&"blocks.0.norm1".into(), &0.001.into()));
    assert!(open("says/timm_train.pth.tar").modules().is_empty());
}

#[test]
fn functions_classes_and_partials_are_names() {
    let c = open("says/module_functions.pt");
    assert_eq!(shown(&c, "blocks.0.mlp", "act_fn"), "torch._C._nn.gelu");
    assert_eq!(shown(&c, "blocks.0.mlp", "act_class"), "torch.nn.modules.activation.SiLU");
    let norm = "partial(torch.nn.modules.normalization.LayerNorm(eps=0.001))";
    assert_eq!(shown(&c, "blocks.0.mlp", "norm_layer"), norm);
    assert_eq!(shown(&c, "", "place"), "pathlib.PurePosixPath('/', 'data')");
    assert_eq!(shown(&c, "", "nothing"), "None");
    let method = module(c.modules(), "blocks.0.mlp").attribute("method").unwrap();
    assert!(method.to_string().contains("'forward_features'"), "{method}");
    let partial = module(c.modules(), "blocks.0.mlp").attribute("norm_layer").unwrap();
    assert_eq!(partial.name(), Some("torch.nn.modules.normalization.LayerNorm"));
    assert_eq!(partial.get("eps").and_then(PlainValue::as_float), Some(1e-3));
}

#[test]
fn paths_are_those_of_the_selected_root() {
    let mut c = open("says/module_avgpool_wrapped.pth");
    assert_eq!(c.root().path, "model");
    assert_eq!(module(c.modules(), "").class, "torch.nn.parallel.data_parallel.DataParallel");
    assert_eq!(shown(&c, "module", "global_pool"), "'avg'");
    assert!(c.tensor("module.cls_token").is_some());
    assert_eq!(
        module(c.all_modules(), "model.module.blocks.0.attn").class,
        "timm.layers.attention.Attention"
    );
    c.select("").unwrap();
    assert_eq!(shown(&c, "model.module", "global_pool"), "'avg'");
    assert_eq!(c.modules(), c.all_modules());
}

#[test]
fn torchscript_says_it_by_constants_and_calls() {
    for file in ["says/script_tanh.pt", "says/trace_tanh.pt"] {
        let c = open(file);
        assert_eq!(module(c.modules(), "blocks.0.mlp").class, "timm.layers.mlp.Mlp", "{file}");
        let act = module(c.modules(), "blocks.0.mlp.act");
        assert_eq!(act.class, "torch.nn.modules.activation.GELU", "{file}");
        assert!(act.calls[0].ends_with(r#", approximate="tanh")"#), "{file}: {act:?}");
        let norm = module(c.modules(), "blocks.0.norm1");
        assert!(
            norm.calls.iter().any(|call| call.contains("layer_norm(") && call.contains("e-0")),
            "{norm:?}"
        );
        assert_eq!(shown(&c, "blocks.0.attn", "training"), "False");
    }
    let c = open("says/script_tanh.pt");
    assert_eq!(shown(&c, "blocks.0.attn", "num_heads"), "3");
    assert_eq!(shown(&c, "blocks.0.norm1", "eps"), "1e-6");
    assert_eq!(shown(&c, "blocks.0.mlp.act", "approximate"), "'tanh'");
}

/// A pickled module of class `m.M` with these attributes besides a tensor `w`.
fn saved(attributes: impl FnOnce(Pickle) -> Pickle) -> Vec<u8> {
    let pickle = Pickle::new().global("m", "M").op(b")\x81q\x00}(").text("_parameters").op(b"}");
    let pickle = pickle.text("w").tensor("0", 4, 0, &[4], &[1]).op(b"s").text("_buffers").op(b"}");
    torch_file(&attributes(pickle.text("_modules").op(b"}")).op(b"ub").stop())
}

#[test]
fn attributes_that_hold_themselves() {
    let c = open_bytes(&saved(|p| p.text("me").op(b"h\x00").text("list").op(b"]q\x01(h\x01h\x01e"))).unwrap();
    let [only] = c.modules() else { panic!("{:?}", c.modules()) };
    assert!(only.attribute("me").is_some() && only.attribute("list").is_some());
    assert_eq!(c.tensors().len(), 1);
    // A module that is its own child.
    let own = Pickle::new().global("m", "M").op(b")\x81q\x00}(").text("_parameters").op(b"}");
    let own = own.text("w").tensor("0", 4, 0, &[4], &[1]).op(b"s").text("_buffers").op(b"}");
    let own = own.text("_modules").op(b"}").text("me").op(b"h\x00sub");
    assert_eq!(open_bytes(&torch_file(&own.stop())).unwrap().modules().len(), 1);
}

#[test]
fn a_million_shared_attributes_and_nested_ones_are_cut_and_said_to_be() {
    let shared = saved(|mut p| {
        p = p.text("x").op(b"](N").op(&b"N".repeat(9)).op(b"eq\x05");
        for name in 0..1_000_000_u32 {
            p = p.op(b"K\x01h\x05").op(if name == u32::MAX { b"." } else { b"" });
        }
        p
    });
    let started = std::time::Instant::now();
    let limits = Limits { max_tensors: 100_000, ..Limits::default() };
    let c = open_bytes_with(&shared, &limits).unwrap();
    assert!(c.evidence().is_cut && c.modules().len() <= 1, "{:?}", c.evidence());
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
    // Sixty lists, each holding the one before it ten times.
    let laughs = saved(|mut p| {
        p = p.text("x").op(b"]q\x01");
        for _ in 0..60 {
            p = p.op(b"0](h\x01h\x01h\x01h\x01h\x01h\x01h\x01h\x01h\x01h\x01eq\x01");
        }
        p
    });
    let c = open_bytes(&laughs).unwrap();
    assert!(matches!(c.modules()[0].attribute("x"), Some(PlainValue::Opaque(_))), "{:?}", c.modules());
    let deep = saved(|p| p.text("x").op(&[b']'; 50_000]).op(&[b'a'; 49_999]));
    assert!(
        open_bytes(&deep).unwrap().modules()[0].attribute("x").unwrap().to_string().contains("too deeply")
    );
    let text = saved(|p| p.text("x").text(&"x".repeat(1 << 20)));
    let c = open_bytes(&text).unwrap();
    assert_eq!(c.modules()[0].attribute("x"), Some(&PlainValue::Opaque("a text of 1048576 bytes".into())));
}

#[test]
fn more_than_is_kept_is_noted() {
    let many = saved(|mut p| {
        for number in 0..3000 {
            p = p.text(&format!("a{number}")).op(b"](").op(&b"N".repeat(100)).op(b"e");
        }
        p
    });
    let c = open_bytes(&many).unwrap();
    assert!(
        c.evidence().notes.iter().any(|note| note.contains("in the modules")),
        "{:?}",
        c.evidence().notes
    );
}
