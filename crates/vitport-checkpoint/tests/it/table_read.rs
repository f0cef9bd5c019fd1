//! The table of docs/reading.md, the rows that are read: one test a row, named after it, over every cell of the row.
//!
//! Files of torch and numpy stand next to the tests with what those say is in them; the rest is written here byte by byte.

use vitport_checkpoint::{Checkpoint, CheckpointError, Container, Dtype, GlobalClass, Limits, Reason};

use crate::support::pickles::Pickle;
use crate::support::zips::{Entry, deflated, entry, torch_entries, torch_file, zip};
use crate::support::{
    self, bytes, data, described, expected, floats, open, open_bytes, open_dangerous, refusal,
};

/// The tensors of a file next to the tests are those that torch or numpy wrote down for it.
fn reads_as_written_down(name: &str, container: Container) -> Checkpoint {
    let c = open(name);
    let all = expected();
    let wanted = all.get(name).unwrap_or_else(|| panic!("nothing is written down for {name}"));
    assert_eq!(serde_json::Value::from(described(&c)), wanted["tensors"], "{name}");
    assert_eq!(c.root().path, wanted["root"], "{name}");
    assert_eq!(c.evidence().container, Some(container), "{name}");
    c.verify_all().unwrap();
    c
}

/// A pickle with the tensor `w` of four floats.
fn one() -> Vec<u8> {
    support::pickles::one_tensor()
}

const VALUES: [f32; 4] = [1.0, 2.0, 3.0, 4.0];

/// A file that holds `w` as it was written.
fn holds_w(file: &[u8], what: &str) {
    let c = open_bytes(file).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(floats(&c, "w"), VALUES, "{what}");
    c.verify_all().unwrap();
}

#[test]
fn zip_with_any_root_folder_stored_or_deflated_zip64_padded() {
    for file in [
        "small.pth",
        "deflated.pth",
        "zip64.pth",
        "no_folder.pth",
        "streamed.pth",
        "padded.pth",
        "trailing.pth",
    ] {
        reads_as_written_down(file, Container::TorchZip);
    }
    for folder in ["archive/", "größe und mehr/", "..data/", "a.b-c/", ""] {
        let mut entries = torch_entries(&one());
        for e in &mut entries {
            e.name = e.name.replacen("a/", folder, 1);
            e.local_name.clone_from(&e.name);
        }
        holds_w(&zip(&entries), folder);
    }
    let stored = torch_entries(&one());
    let deflate = |e: &Entry| deflated(&e.name, &e.data);
    for number in 0..stored.len() {
        let mut entries = stored.clone();
        entries[number] = deflate(&stored[number]);
        holds_w(&zip(&entries), "one entry deflated");
    }
    // Alignment as PyTorch writes it, an extra field `FB` before the bytes, and a cut one as other writers leave it.
    for extra in [&b"FB\x05\0ZZZZZ"[..], b"FB\x39\0ZZ", b"\0\0\0"] {
        let mut entries = stored.clone();
        entries[1].local_extra = extra.to_vec();
        holds_w(&zip(&entries), "alignment");
    }
    for (before, behind) in [(0, 1), (1, 0), (513, 7), (4096, 65_536)] {
        let file = [vec![0; before], zip(&stored), vec![0; behind]].concat();
        holds_w(&file, "padding");
    }
}

#[test]
fn legacy_stream_tar_and_plain_pickles() {
    for file in ["small.legacy.pth", "views.legacy.pth", "old_views.legacy.pth", "protocol1.legacy.pth"] {
        let c = reads_as_written_down(file, Container::TorchLegacy);
        assert!(c.evidence().notes.iter().any(|note| note.contains("no checksums")), "{file}");
    }
    reads_as_written_down("old.tar", Container::TorchTar);
    for file in ["plain0.pkl", "plain1.pkl", "plain2.pkl", "plain3.pkl", "plain4.pkl", "plain5.pkl"] {
        reads_as_written_down(file, Container::Pickle);
    }
    for file in ["arrays2.pkl", "arrays4.pkl", "arrays5.pkl"] {
        reads_as_written_down(file, Container::Pickle);
    }
}

#[test]
fn whole_modules_and_torchscript() {
    for (file, container) in [
        ("module.pt", Container::TorchZip),
        ("module_inside.pt", Container::TorchZip),
        ("module.legacy.pt", Container::TorchLegacy),
        ("script.pt", Container::TorchScript),
        ("trace.pt", Container::TorchScript),
    ] {
        let c = reads_as_written_down(file, container);
        assert!(c.evidence().globals.iter().all(|global| global.class != GlobalClass::Dangerous), "{file}");
    }
    let (reason, text) = refusal(&zip(&[entry("m/model.json", b"{}"), entry("m/tensors/0", &[0; 4])]));
    assert_eq!(reason, Reason::UnknownFormat);
    assert!(text.contains("TorchScript archive of PyTorch 1.2 or earlier"), "{text}");
    // A module of torch.fx is made by a function of a module's dict, and has no state.
    let dict =
        |p: Pickle, name: &str, inside: &dyn Fn(Pickle) -> Pickle| inside(p.text(name).op(b"}")).op(b"s");
    let p = Pickle::new().global("torch.fx.graph_module", "reduce_graph_module").op(b"}");
    let p = dict(p, "_parameters", &|p| p.text("w").tensor("0", 4, 0, &[4], &[1]).op(b"s"));
    let p = dict(p, "_buffers", &|p| p.text("b").tensor("0", 4, 2, &[2], &[1]).op(b"s"));
    let p = dict(p, "_modules", &|p| p);
    let bytes = torch_file(&p.text("import torch").op(b"\x86R.").0);
    assert!(matches!(open_bytes(&bytes), Err(CheckpointError::Dangerous { .. })), "it executes the text");
    let c = open_dangerous(&bytes).unwrap();
    assert_eq!(c.tensors().iter().map(|t| &*t.name).collect::<Vec<_>>(), ["w", "b"]);
    assert_eq!(c.evidence().globals[0].class, GlobalClass::Dangerous);
    assert_eq!(floats(&c, "b"), [3.0, 4.0]);
}

#[test]
fn protocols_2_to_5() {
    for protocol in 2..=5_u8 {
        let c = reads_as_written_down(&format!("protocol{protocol}.pth"), Container::TorchZip);
        assert_eq!(c.evidence().pickle_protocol, Some(protocol));
    }
    // FRAME, SHORT_BINUNICODE, MEMOIZE, STACK_GLOBAL, POP, POP_MARK, DUP, one after the other.
    let text = |text: &str| [&[0x8c, text.len() as u8][..], text.as_bytes()].concat();
    let rebuild = [text("torch._utils"), text("_rebuild_tensor_v2"), vec![0x93]].concat();
    let storage = [
        b"(".to_vec(),
        text("storage"),
        [text("torch"), text("FloatStorage"), vec![0x93]].concat(),
        text("0"),
        text("cpu"),
        b"K\x04tQ".to_vec(),
    ];
    let body = [
        vec![b'}', 0x94],
        text("w"),
        vec![0x94],
        b"N0".to_vec(),
        b"(NN1".to_vec(),
        rebuild,
        b"(".to_vec(),
        storage.concat(),
        b"K\0K\x04\x85K\x01\x85\x89N".to_vec(),
        b"tR".to_vec(),
        b"20".to_vec(),
        b"s.".to_vec(),
    ]
    .concat();
    for protocol in [4, 5] {
        let framed = [&[0x80, protocol, 0x95][..], &(body.len() as u64).to_le_bytes(), &body].concat();
        holds_w(&torch_file(&framed), "framed");
    }
    assert_eq!(refusal(&torch_file(&[&[0x80, 6][..], &body].concat())).0, Reason::Unsupported);
}

#[test]
fn dtypes() {
    let c = reads_as_written_down("dtypes.pth", Container::TorchZip);
    reads_as_written_down("dtypes.safetensors", Container::Safetensors);
    let mut found: Vec<Dtype> = c.tensors().iter().map(|t| t.dtype).collect();
    found.sort_unstable_by_key(|dtype| dtype.name());
    found.dedup();
    let names: Vec<&str> = found.iter().map(|dtype| dtype.name()).collect();
    assert_eq!(
        names,
        [
            "BF16", "BOOL", "C64", "F16", "F32", "F64", "F8_E4M3", "F8_E5M2", "I16", "I32", "I64", "I8",
            "U16", "U32", "U64", "U8"
        ]
    );
    // Those that no tensor of a target can hold are refused by their name.
    for class in ["ComplexDoubleStorage", "QUInt4x2Storage"] {
        let pickle = Pickle::new().op(b"}").text("w").global("torch._utils", "_rebuild_tensor_v2").op(b"(");
        let pickle = pickle.storage(class, "0", 1).int(0).ints(&[1]).ints(&[1]).op(b"\x89NtRs.").0;
        let mut entries = torch_entries(&pickle);
        entries[1] = entry("a/data/0", &[0; 16][..if class == "ComplexDoubleStorage" { 16 } else { 1 }]);
        let (reason, text) = refusal(&zip(&entries));
        assert_eq!(reason, Reason::Unsupported, "{class}");
        assert!(text.contains("'w'"), "{text}");
    }
}

#[test]
fn strides_transposed_sliced_expanded_offset_shared_channels_last() {
    let c = reads_as_written_down("views.pth", Container::TorchZip);
    reads_as_written_down("views.legacy.pth", Container::TorchLegacy);
    let of = |name: &str| c.tensor(name).unwrap().clone();
    assert!(!of("transposed").is_contiguous() && !of("channels_last").is_contiguous());
    assert!(of("sliced").offset > 0 && of("expanded").strides.contains(&0));
    assert_eq!(of("shared").storage, of("contiguous").storage);
    assert_eq!(of("channels_last").strides[..], [75, 1, 15, 3]);
    // The same by hand: rows of a matrix of two columns from the back, and one element for all.
    let views = Pickle::new()
        .op(b"}")
        .text("t")
        .tensor("0", 4, 0, &[2, 2], &[1, 2])
        .op(b"s")
        .text("column")
        .tensor("0", 4, 1, &[2], &[2])
        .op(b"s")
        .text("all")
        .tensor("0", 4, 3, &[2, 3], &[0, 0])
        .op(b"s.")
        .0;
    let c = open_bytes(&torch_file(&views)).unwrap();
    assert_eq!(floats(&c, "t"), [1.0, 3.0, 2.0, 4.0]);
    assert_eq!(floats(&c, "column"), [2.0, 4.0]);
    assert_eq!(floats(&c, "all"), [4.0; 6]);
}

#[test]
fn conj_and_neg_bits() {
    let c = open("views.pth");
    let lazy = |name: &str| c.tensor(name).unwrap().lazy_bits;
    assert!(lazy("conj").conjugate && lazy("conj.strided").conjugate && lazy("neg").negate);
    // (1 + 2i, 3 + 4i) conjugated, negated, and both.
    let with = |bits: &[&str]| {
        let metadata = bits.iter().fold(Pickle::default().op(b"}"), |p, bit| p.text(bit).op(b"\x88s"));
        let pickle = Pickle::new().op(b"}").text("w").global("torch._utils", "_rebuild_tensor_v2").op(b"(");
        let pickle = pickle.storage("ComplexFloatStorage", "0", 2).int(0).ints(&[2]).ints(&[1]).op(b"\x89N");
        let c = open_bytes(&torch_file(&pickle.op(&metadata.0).op(b"tRs.").0)).unwrap();
        let found = bytes(&c, &c.tensors()[0]);
        found.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect::<Vec<f32>>()
    };
    assert_eq!(with(&[]), [1.0, 2.0, 3.0, 4.0]);
    assert_eq!(with(&["conj"]), [1.0, -2.0, 3.0, -4.0]);
    assert_eq!(with(&["neg"]), [-1.0, -2.0, -3.0, -4.0]);
    assert_eq!(with(&["conj", "neg"]), [-1.0, 2.0, -3.0, 4.0]);
}

#[test]
fn namespace_numpy_scalars_optimizer_state_and_unknown_classes_beside_the_weights() {
    let run = reads_as_written_down("train.pth", Container::TorchZip);
    reads_as_written_down("train.legacy.pth", Container::TorchLegacy);
    reads_as_written_down("odd.pth", Container::TorchZip);
    let metadata = |path: &str| run.metadata().iter().find(|entry| entry.path == path).unwrap().value.clone();
    assert_eq!(metadata("args.model").as_str(), Some("vit_tiny"));
    assert_eq!(metadata("step"), vitport_checkpoint::PlainValue::Int(12));
    assert!(run.roots().iter().any(|root| root.path == "optimizer" && root.training_state));
    let class = |name: &str| run.evidence().globals.iter().find(|g| g.name == name).unwrap().class;
    assert_eq!(class("Namespace"), GlobalClass::Opaque);
    // A class that nobody has, made in protocol 4's way, with a state that holds a tensor.
    let pickle = Pickle(vec![0x80, 4])
        .op(b"}")
        .text("model")
        .op(b"}")
        .text("w")
        .tensor("0", 4, 0, &[4], &[1])
        .op(b"ss")
        .text("ema_helper")
        .text("nobody.has")
        .text("This")
        .op(b"\x93)\x81}")
        .text("shadow")
        .tensor("0", 4, 0, &[2], &[1])
        .op(b"sbs.")
        .0;
    let c = open_bytes(&torch_file(&pickle)).unwrap();
    assert_eq!(c.root().path, "model");
    assert_eq!(floats(&c, "w"), VALUES);
    assert_eq!(&*c.all_tensors()[1].name, "ema_helper.shadow");
    assert_eq!(c.evidence().globals.iter().find(|g| g.name == "This").unwrap().class, GlobalClass::Opaque);
}

#[test]
fn nested_roots_are_found_and_can_be_chosen() {
    let names = [
        "state_dict",
        "model",
        "model_ema",
        "state_dict_ema",
        "net",
        "teacher",
        "student",
        "ema",
        "network",
        "module",
        "model_state_dict",
        "backbone",
    ];
    for name in names {
        let part = |p: Pickle, offset: i64| p.op(b"}").text("w").tensor("0", 4, offset, &[2], &[1]).op(b"ss");
        let pickle = part(Pickle::new().op(b"}").text("optimizer"), 2);
        let pickle = part(part(pickle.text("spare"), 2).text(name), 0).op(b".").0;
        let mut c = open_bytes(&torch_file(&pickle)).unwrap();
        assert_eq!(c.root().path, name);
        assert_eq!(floats(&c, "w"), [1.0, 2.0], "{name}");
        c.select("spare").unwrap();
        assert_eq!(floats(&c, "w"), [3.0, 4.0], "{name}");
    }
    for (file, container) in [("ema.pth", Container::TorchZip), ("dino.pth", Container::TorchZip)] {
        assert!(!reads_as_written_down(file, container).root_choice().alternatives.is_empty(), "{file}");
    }
    reads_as_written_down("deep.pth", Container::TorchZip);
}

#[test]
fn storages_tagged_cuda() {
    let c = reads_as_written_down("cuda.pth", Container::TorchZip);
    assert!(c.storages().iter().all(|storage| storage.device.as_deref() == Some("cuda:1")));
    for device in ["cuda:7", "mps", "xla:0", "meta device of nobody"] {
        let pickle = String::from_utf8_lossy(&one()).into_owned();
        assert!(pickle.contains("cpu"));
        let length = [
            b"X\x03\0\0\0cpu".to_vec(),
            [&b"X"[..], &(device.len() as u32).to_le_bytes(), device.as_bytes()].concat(),
        ];
        let bytes = one();
        let at = bytes.windows(8).position(|window| window == length[0]).unwrap();
        let tagged = [&bytes[..at], &length[1], &bytes[at + 8..]].concat();
        holds_w(&torch_file(&tagged), device);
        assert_eq!(open_bytes(&torch_file(&tagged)).unwrap().storages()[0].device.as_deref(), Some(device));
    }
}

#[test]
fn big_endian_record() {
    let c = reads_as_written_down("big_endian.pth", Container::TorchZip);
    assert_eq!(c.evidence().byteorder.as_deref(), Some("big"));
    let with = |order: &str| {
        let mut entries = torch_entries(&one());
        let swapped: Vec<u8> = VALUES.iter().flat_map(|v| v.to_be_bytes()).collect();
        entries[1] = entry("a/data/0", &swapped);
        entries.push(entry("a/byteorder", order.as_bytes()));
        zip(&entries)
    };
    holds_w(&with("big"), "big");
    let little = open_bytes(&with("little")).unwrap();
    assert_ne!(floats(&little, "w"), VALUES);
    let (reason, text) = refusal(&with("middle"));
    assert_eq!(reason, Reason::Unsupported);
    assert!(text.contains("'middle'"), "{text}");
}

#[test]
fn zip_crc_checked_unless_every_record_has_none() {
    let c = reads_as_written_down("no_crc.pth", Container::TorchZip);
    assert!(c.evidence().notes.iter().any(|note| note.contains("CRC-32 is 0")));
    let with = |crc: &dyn Fn(usize, u32) -> u32| {
        let mut entries = torch_entries(&one());
        for (number, e) in entries.iter_mut().enumerate() {
            (e.crc, e.local_crc) = (crc(number, e.crc), crc(number, e.crc));
        }
        open_bytes(&zip(&entries)).and_then(|c| c.verify_all().map(|()| c))
    };
    assert!(with(&|_, crc| crc).is_ok());
    assert!(with(&|_, _| 0).unwrap().evidence().notes.iter().any(|note| note.contains("CRC-32 is 0")));
    for wrong in 0..2 {
        let error = with(&|number, crc| if number == wrong { crc ^ 1 } else { crc }).unwrap_err();
        assert_eq!(error.reason(), Some(Reason::Checksum), "record {wrong}");
        let error = with(&|number, crc| if number == wrong { crc } else { 0 }).unwrap_err();
        assert_eq!(error.reason(), Some(Reason::Checksum), "the only record with one is {wrong}");
    }
}

#[test]
fn symlinked_shards() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = tempfile::tempdir().unwrap();
    // As in the Hub's cache: links to files elsewhere that are named by their hash.
    for (number, name) in
        ["model.safetensors.index.json", "part-1-of-2.safetensors", "part-2-of-2.safetensors"]
            .iter()
            .enumerate()
    {
        let blob = blobs.path().join(format!("{number:064x}"));
        std::fs::copy(data("shards").join(name), &blob).unwrap();
        std::os::unix::fs::symlink(&blob, folder.path().join(name)).unwrap();
    }
    let c = Checkpoint::open(folder.path(), &Limits::default()).unwrap();
    assert_eq!(serde_json::Value::from(described(&c)), serde_json::Value::from(described(&open("shards"))));
    assert_eq!(c.files().len(), 2);
}
