//! What a file shows of itself besides its tensors.

use vitport_checkpoint::{Checkpoint, Container, GlobalClass, PlainValue};

use crate::support::{self, open, open_bytes};

fn value(c: &Checkpoint, path: &str) -> PlainValue {
    let found = c.metadata().iter().find(|entry| entry.path == path);
    found.unwrap_or_else(|| panic!("no {path} in {:?}", c.metadata())).value.clone()
}

#[test]
fn containers() {
    for (file, container) in [
        ("small.pth", Container::TorchZip),
        ("script.pt", Container::TorchScript),
        ("small.legacy.pth", Container::TorchLegacy),
        ("old.tar", Container::TorchTar),
        ("plain2.pkl", Container::Pickle),
        ("arrays.npz", Container::Npz),
        ("dtypes.safetensors", Container::Safetensors),
        ("shards", Container::Safetensors),
    ] {
        assert_eq!(open(file).evidence().container, Some(container), "{file}");
    }
}

#[test]
fn who_wrote_it() {
    let zip = open("small.pth");
    assert_eq!(zip.evidence().writer_version.as_deref(), Some("3"));
    assert_eq!(zip.evidence().byteorder.as_deref(), Some("little"));
    assert_eq!(zip.evidence().pickle_protocol, Some(2));
    assert_eq!(open("protocol5.pth").evidence().pickle_protocol, Some(5));
    assert_eq!(open("big_endian.pth").evidence().byteorder.as_deref(), Some("big"));
    assert_eq!(open("cuda.pth").storages()[0].device.as_deref(), Some("cuda:1"));
}

/// Each of these was tried with `torch.load(mmap=True)` of torch 2.15: it raises, or takes compressed bytes for numbers.
#[test]
fn what_torch_load_takes_otherwise() {
    for (file, begins) in [
        ("deflated.pth", "its records are compressed"),
        ("no_folder.pth", "its records lie in no folder"),
        ("padded.pth", "the file begins with other bytes"),
    ] {
        let found = open(file).evidence().unlike_torch.clone();
        assert!(found.iter().any(|what| what.starts_with(begins)), "{file}: {found:?}");
    }
    let version = |version: Option<&[u8]>, order: &[u8]| {
        let mut entries = support::zips::torch_entries(&support::pickles::one_tensor());
        entries.retain(|entry| !["a/version", "a/byteorder"].contains(&&*entry.name));
        entries.extend(version.map(|version| support::zips::entry("a/version", version)));
        entries.push(support::zips::entry("a/byteorder", order));
        open_bytes(&support::zips::zip(&entries)).unwrap().evidence().unlike_torch.clone()
    };
    assert_eq!(version(Some(b"3\n"), b"little"), Vec::<String>::new());
    assert!(version(None, b"little")[0].starts_with("it has no record of its version"));
    assert!(version(Some(b"99"), b"little")[0].starts_with("its version is '99'"));
    assert!(version(Some(b"3"), b"little\n")[0].starts_with("its byte order ends with"));
    for file in ["small.pth", "train.pth", "big_endian.pth", "small.legacy.pth", "dtypes.pth"] {
        assert_eq!(open(file).evidence().unlike_torch, Vec::<String>::new(), "{file}");
    }
}

#[test]
fn numbers_and_words_beside_the_weights() {
    for file in ["train.pth", "train.legacy.pth"] {
        let c = open(file);
        assert_eq!(value(&c, "epoch"), PlainValue::Int(3));
        assert_eq!(value(&c, "arch").as_str(), Some("vit_tiny_patch16_224"));
        assert_eq!(value(&c, "args.model").as_str(), Some("vit_tiny"));
        assert_eq!(
            value(&c, "args.mean"),
            PlainValue::List(vec![PlainValue::Float(0.5), PlainValue::Float(0.25)])
        );
        assert_eq!(value(&c, "args.nested.depth"), PlainValue::Int(12));
        assert_eq!(value(&c, "best"), PlainValue::Float(0.75));
        assert_eq!(value(&c, "step"), PlainValue::Int(12));
        assert_eq!(value(&c, "flag"), PlainValue::Bool(true));
        assert_eq!(value(&c, "single"), PlainValue::Float(0.5));
    }
    let odd = open("odd.pth");
    assert_eq!(value(&odd, "text").as_str(), Some("größe\n"));
    assert_eq!(value(&odd, "3").as_str(), Some("three"));
    assert_eq!(value(&odd, "negative"), PlainValue::Int(-(1 << 40)));
    assert_eq!(value(&odd, "size"), PlainValue::List(vec![PlainValue::Int(2), PlainValue::Int(3)]));
    assert_eq!(value(&odd, "counter.a"), PlainValue::Int(2));
    assert_eq!(value(&odd, "none"), PlainValue::None);
    assert_eq!(value(&open("dtypes.safetensors"), "note").as_str(), Some("größe"));
}

/// A value next to the weights as Python writes it.
fn shown(c: &Checkpoint, path: &str) -> String {
    value(c, path).to_string()
}

#[test]
fn arguments_of_a_training_run_are_kept_whole() {
    let c = open("says/timm_train.pth.tar");
    assert_eq!(shown(&c, "args.mean"), "[0.1, 0.2, 0.3]");
    assert_eq!(shown(&c, "args.crop_pct"), "0.95");
    assert_eq!(value(&c, "args.gp"), PlainValue::None);
    assert!(c.metadata().iter().all(|entry| entry.path != "args.global_pool"), "absent is not None");
    assert_eq!(value(&c, "args.model_kwargs"), PlainValue::Dict(Vec::new()));
    assert_eq!(shown(&c, "args.nested.a.b"), "[[1, 2], {'c': None}]");
    assert_eq!(value(&c, "args.no_aug"), PlainValue::Bool(false));
    assert_eq!(shown(&c, "args.output"), "pathlib.PurePosixPath('/', 'runs')");
    assert_eq!(value(&c, "args.act"), PlainValue::Name("torch.nn.modules.activation.GELU".into()));
    let (last, first) = (c.metadata().last().unwrap(), &c.metadata()[0]);
    assert!(last.path.starts_with("optimizer.") && first.path == "epoch", "{first:?} {last:?}");

    let c = open("says/lightning.ckpt");
    assert_eq!(value(&c, "hyper_parameters.class_names").as_list().map(<[_]>::len), Some(100));
    assert_eq!(shown(&c, "hyper_parameters.model.global_pool"), "'avg'");
    assert_eq!(value(&c, "hyper_parameters.head"), PlainValue::None);

    let c = open("says/mmengine.pth");
    assert_eq!(shown(&c, "meta.dataset_meta.classes"), "['cat', 'dog']");
    assert_eq!(value(&c, "meta.cfg").as_str().map(str::len), Some(15_000));
}

#[test]
fn globals_and_what_they_would_have_run() {
    let c = open("train.pth");
    let globals = &c.evidence().globals;
    let namespace = globals.iter().find(|global| global.name == "Namespace").unwrap();
    assert_eq!(namespace.class, GlobalClass::Opaque);
    assert_eq!(namespace.would_run, ["argparse.Namespace()"]);
    assert!(globals.iter().all(|global| global.class != GlobalClass::Dangerous), "{globals:?}");
    let rebuild = globals.iter().find(|global| global.name == "_rebuild_tensor_v2").unwrap();
    assert_eq!(rebuild.class, GlobalClass::Builder);
}

#[test]
fn torchs_own_files_name_nothing_dangerous() {
    for file in support::expected().keys() {
        for global in &open(file).evidence().globals {
            assert_ne!(global.class, GlobalClass::Dangerous, "{file}: {}.{}", global.module, global.name);
        }
    }
}

#[test]
fn evidence_can_be_given_to_programs() {
    let json = serde_json::to_value(open("train.pth").evidence()).unwrap();
    assert_eq!(json["container"], "torch-zip");
    assert_eq!(json["globals"][0]["class"], "builder");
    let tensor = serde_json::to_value(&open("small.pth").tensors()[0]).unwrap();
    assert_eq!(tensor["dtype"], "F32");
    assert_eq!(tensor["shape"], serde_json::json!([4, 3, 2, 2]));
}
