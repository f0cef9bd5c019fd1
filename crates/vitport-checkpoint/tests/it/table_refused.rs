//! The table of docs/reading.md, the rows that are refused or never obeyed: one test a row, named after it, over every
//! cell of the row. What each format's own tests try at length lies in `hostile_*.rs`; here every cell is tried once, on
//! other bytes.

use std::time::{Duration, Instant};

use vitport_checkpoint::{Checkpoint, CheckpointError, GlobalClass, Limits, Reason};

use crate::support::pickles::{Pickle, one_tensor};
use crate::support::zips::{Entry, deflated, entry, torch_entries, torch_file, zip};
use crate::support::{data, floats, one_line, open_bytes, open_dangerous, refusal};

/// A refusal as [`refusal`] gives it, within the time that hostile files may take on a machine that others use, too.
fn soon_refused(bytes: &[u8]) -> (Reason, String) {
    let start = Instant::now();
    let refused = refusal(bytes);
    assert!(start.elapsed() < Duration::from_secs(20), "{}", refused.1);
    refused
}

/// A file of PyTorch with one dict: a tensor `w`, and `x` with the given value.
fn beside_w(x: &[u8]) -> Vec<u8> {
    torch_file(
        &Pickle::new().op(b"}").text("w").tensor("0", 4, 0, &[4], &[1]).op(b"s").text("x").op(x).op(b"s.").0,
    )
}

#[test]
fn sparse_quantized_nested_tensors() {
    let made_by = |module: &str, name: &str| {
        Pickle::default().global(module, name).op(b"(").storage("FloatStorage", "0", 4).op(b"tR").0
    };
    for (name, what) in [
        ("_rebuild_sparse_tensor", "a sparse tensor"),
        ("_rebuild_sparse_csr_tensor", "a sparse tensor"),
        ("_rebuild_qtensor", "a quantized tensor"),
        ("_rebuild_nested_tensor", "a nested tensor"),
        ("_rebuild_meta_tensor_no_storage", "a meta tensor"),
        ("_rebuild_wrapper_subclass", "a tensor subclass without storage"),
    ] {
        let (reason, text) = refusal(&beside_w(&made_by("torch._utils", name)));
        assert_eq!(reason, Reason::Unsupported, "{name}");
        assert!(text.contains(&format!("'x' is {what}")), "{text}");
    }
    let jagged = made_by("torch.nested._internal.nested_tensor", "_rebuild_njt");
    assert!(refusal(&beside_w(&jagged)).1.contains("'x' is a nested tensor"));
    for file in ["sparse.pth", "sparse_csr.pth", "quantized.pth", "nested.pth"] {
        let error = Checkpoint::open(&data(file), &Limits::default()).unwrap_err();
        assert_eq!(one_line(error).0, Reason::Unsupported, "{file}");
    }
}

#[test]
fn legacy_storage_list_that_omits_a_storage() {
    let whole = std::fs::read(data("small.legacy.pth")).unwrap();
    let c = Checkpoint::open(&data("small.legacy.pth"), &Limits::default()).unwrap();
    // The list is a pickle by itself after the object; its first key goes, and with it the bytes of its storage.
    let list = whole.windows(4).rposition(|window| window == b"\x80\x02]q").unwrap();
    let end = list + whole[list..].iter().position(|byte| *byte == b'.').unwrap() + 1;
    let first = c.storages().iter().min_by_key(|storage| storage.offset).unwrap();
    assert_eq!(first.offset, end as u64 + 8);
    let key = [&b"X"[..], &(first.key.len() as u32).to_le_bytes(), first.key.as_bytes()].concat();
    let at = list + whole[list..end].windows(key.len()).position(|window| window == key).unwrap();
    let behind = end + 8 + first.len as usize;
    // The key is followed by BINPUT and its slot.
    let without = [&whole[..at], &whole[at + key.len() + 2..end], &whole[behind..]].concat();
    let (reason, text) = refusal(&without);
    assert_eq!(reason, Reason::Contradiction);
    assert!(text.contains(&format!("'{}' is used but never written", first.key)), "{text}");
}

#[test]
fn duplicate_names_header_mismatch_encryption_overlap() {
    let refused = |says: &str, change: &dyn Fn(&mut Vec<Entry>)| {
        let mut entries = torch_entries(&one_tensor());
        change(&mut entries);
        let (reason, text) = refusal(&zip(&entries));
        assert!(matches!(reason, Reason::Contradiction | Reason::Unsupported), "{text}");
        assert!(text.contains(says), "{text}");
    };
    refused("two entries called 'a/version'", &|entries| entries.push(entry("a/version", b"4\n")));
    refused("two entries called 'a/data/0'", &|entries| entries.push(entry("a/data/0", &[0; 16])));
    for twin in ["a/DATA/0", "a/Data.pkl", "a/VERSION"] {
        refused("but for upper and lower case", &|entries| entries.push(entry(twin, &[0; 16])));
        refused("but for upper and lower case", &|entries| entries.insert(0, entry(twin, &[0; 16])));
    }
    for number in 0..3 {
        refused("another name", &|entries| entries[number].local_name.push('x'));
        refused("another compression", &|entries| entries[number].local_method = 8);
        refused("another checksum", &|entries| entries[number].local_crc ^= 0x8000);
        refused("other sizes", &|entries| entries[number].local_len += 1);
        refused("other flags", &|entries| entries[number].local_flags = 1 << 6);
        for encrypted in [1, 1 << 6, 1 << 13] {
            refused("is encrypted", &|entries| {
                (entries[number].flags, entries[number].local_flags) = (encrypted, encrypted);
            });
        }
    }
    refused("overlaps", &|entries| {
        // The record of the storage declares that it goes on into the next entry.
        let e = &mut entries[1];
        (e.len, e.local_len, e.packed) = (20, 20, 20);
    });
    refused("no header", &|entries| entries[1].offset = Some(1));
}

#[test]
fn reduce_build_inst_obj_newobj_are_recorded_and_never_called() {
    let witness = std::env::temp_dir().join(format!("vitport-table-{}", std::process::id()));
    let command = format!("touch {}", witness.display());
    let system = || Pickle::default().global("posix", "system");
    for (how, evil) in [
        ("REDUCE", system().op(b"(").text(&command).op(b"tR")),
        ("BUILD", system().op(b"(").text(&command).op(b"t\x81}").text("a").text(&command).op(b"sb")),
        ("INST", Pickle::default().op(b"(").text(&command).op(b"iposix\nsystem\n")),
        ("OBJ", Pickle::default().op(b"(").op(&system().0).text(&command).op(b"o")),
        ("NEWOBJ", system().op(b"(").text(&command).op(b"t\x81")),
        ("NEWOBJ_EX", system().op(b")}").text("command").text(&command).op(b"s\x92")),
        ("APPENDS", system().op(b")R(").text(&command).op(b"e")),
        ("SETITEMS", system().op(b")R(").text("k").text(&command).op(b"u")),
    ] {
        let bytes = beside_w(&evil.0);
        assert!(matches!(open_bytes(&bytes), Err(CheckpointError::Dangerous { .. })), "{how}");
        let c = open_dangerous(&bytes).unwrap_or_else(|error| panic!("{how}: {error}"));
        assert_eq!(floats(&c, "w"), [1.0, 2.0, 3.0, 4.0], "{how}");
        let global = c.evidence().globals.iter().find(|global| global.name == "system").unwrap();
        assert_eq!((global.class, global.count), (GlobalClass::Dangerous, 1), "{how}");
        assert!(!global.would_run.is_empty(), "{how}");
    }
    assert!(!witness.exists());
}

#[test]
fn sizes_beyond_the_file_overflow_expansion_memo_nesting_tricks_and_bombs() {
    let tensor = |numel, offset, shape: &[i64], strides: &[i64]| {
        torch_file(&Pickle::new().op(b"}").text("w").tensor("0", numel, offset, shape, strides).op(b"s.").0)
    };
    // Declared sizes beyond the file; a product that overflows; a view outside of its storage.
    assert_eq!(soon_refused(&tensor(1 << 40, 0, &[4], &[1])).0, Reason::Contradiction);
    assert_eq!(soon_refused(&tensor(i64::MAX, 0, &[4], &[1])).0, Reason::Malformed);
    assert_eq!(soon_refused(&tensor(4, 0, &[1 << 33, 1 << 33], &[0, 0])).0, Reason::Malformed);
    assert_eq!(soon_refused(&tensor(4, 3, &[2], &[1])).0, Reason::Truncated);
    // One element for a petabyte.
    assert_eq!(soon_refused(&tensor(4, 0, &[1 << 50], &[0])).0, Reason::Limit);
    // A memo in which each value is two of the one before it, around a tensor.
    let mut laughs = Pickle(vec![0x80, 4]).tensor("0", 4, 0, &[4], &[1]).op(b"q\x00");
    for _ in 0..90 {
        laughs = laughs.op(b"0](h\x00h\x00eq\x00");
    }
    assert_eq!(soon_refused(&torch_file(&laughs.op(b".").0)).0, Reason::Limit);
    // Dicts in dicts.
    let mut deep = Pickle::new();
    for _ in 0..100_000 {
        deep = deep.op(b"}K\x01");
    }
    let deep = deep.tensor("0", 4, 0, &[4], &[1]).op(&vec![b's'; 100_000]).op(b".").0;
    assert_eq!(soon_refused(&torch_file(&deep)).0, Reason::Limit);
    // 10^7 entries: of the memo, of a list, of a tuple's mark, of a dict.
    let many = |part: &[u8]| Pickle::new().op(b"](").op(&part.repeat(10_000_000)).op(b"e.").0;
    for part in [&b"\x94"[..], b"]", b"(", b"N0", b"}NNs"] {
        let file = torch_file(&many(part));
        let start = Instant::now();
        // Ten million instructions that leave nothing are no trick; they only have to come to an end.
        let opened = open_bytes(&file).map(drop);
        assert!(opened.is_err(), "{part:?}");
        assert!(start.elapsed() < Duration::from_secs(20), "{part:?}");
    }
    // Compressed records: of the pickle, of a storage, of text in an .npz.
    let zeros = deflated("x", &vec![0; 64 << 20]);
    let bomb = |name: &str| Entry { name: name.into(), local_name: name.into(), ..zeros.clone() };
    let mut entries = torch_entries(&one_tensor());
    entries[0] = bomb("a/data.pkl");
    assert_eq!(soon_refused(&zip(&entries)).0, Reason::Limit);
    assert_eq!(soon_refused(&zip(&[bomb("t.npy")])).0, Reason::Malformed);
    let many = (0..40).map(|number| format!("a/data/{number}")).collect::<Vec<_>>();
    let mut pickle = Pickle::new().op(b"}");
    for number in 0..40 {
        let count = 16 << 20;
        pickle =
            pickle.text(&format!("w{number}")).tensor(&number.to_string(), count, 0, &[count], &[1]).op(b"s");
    }
    let records = many.iter().map(|name| bomb(name));
    let entries: Vec<Entry> =
        std::iter::once(entry("a/data.pkl", &pickle.op(b".").0)).chain(records).collect();
    let (reason, text) = soon_refused(&zip(&entries));
    assert_eq!(reason, Reason::Limit);
    assert!(text.contains("would unpack to"), "{text}");
    // The limits themselves.
    let limited = |limits: Limits| {
        let file = tensor(4, 0, &[1 << 10], &[0]);
        let file =
            tempfile::NamedTempFile::new().and_then(|f| std::fs::write(f.path(), file).map(|()| f)).unwrap();
        one_line(Checkpoint::open(file.path(), &limits).unwrap_err()).0
    };
    let plain = Limits::default;
    assert_eq!(limited(Limits { max_tensors: 0, ..plain() }), Reason::Limit);
    assert_eq!(limited(Limits { max_name_len: 0, ..plain() }), Reason::Limit);
    assert_eq!(limited(Limits { max_depth: 0, ..plain() }), Reason::Limit);
    assert_eq!(limited(Limits { max_header_bytes: 10, ..plain() }), Reason::Limit);
    assert_eq!(limited(Limits { max_pickle_memory: 100, ..plain() }), Reason::Limit);
    assert_eq!(limited(Limits { max_pickle_steps: 3, ..plain() }), Reason::Limit);
    assert_eq!(limited(Limits { max_entries: 2, ..plain() }), Reason::Limit);
    assert_eq!(limited(Limits { max_dims: 0, ..plain() }), Reason::Limit);
    assert_eq!(limited(Limits { max_expansion_bytes: 4, max_expansion_factor: 0, ..plain() }), Reason::Limit);
}

#[test]
fn safetensors_header_length_utf8_duplicates_gaps_overlaps_and_mismatch() {
    let file = |length: Option<u64>, header: &[u8], data: usize| {
        let length = length.unwrap_or(header.len() as u64);
        [&length.to_le_bytes()[..], header, &vec![0; data]].concat()
    };
    let tensor = |name: &str, shape: &str, begin: u64, end: u64| {
        format!(r#""{name}":{{"dtype":"I16","shape":{shape},"data_offsets":[{begin},{end}]}}"#)
    };
    let header = format!("{{{},{}}}", tensor("a", "[2]", 0, 4), tensor("b", "[]", 4, 6));
    assert_eq!(open_bytes(&file(None, header.as_bytes(), 6)).unwrap().tensors().len(), 2);
    let of =
        |entries: &[String], data: usize| file(None, format!("{{{}}}", entries.join(",")).as_bytes(), data);
    for (what, bytes, reason) in [
        ("length", file(Some(7000), header.as_bytes(), 6), Reason::Truncated),
        ("length", file(Some(header.len() as u64 - 1), header.as_bytes(), 6), Reason::Malformed),
        ("UTF-8", file(None, header.replace('a', "\u{1}").as_bytes(), 6), Reason::Malformed),
        (
            "UTF-8",
            file(None, &[&header.as_bytes()[..2], b"\xc3", &header.as_bytes()[2..]].concat(), 6),
            Reason::Malformed,
        ),
        ("duplicate", of(&[tensor("a", "[1]", 0, 2), tensor("a", "[1]", 2, 4)], 4), Reason::Malformed),
        ("gap", of(&[tensor("a", "[1]", 0, 2), tensor("b", "[1]", 3, 5)], 5), Reason::Contradiction),
        ("gap at the end", of(&[tensor("a", "[1]", 0, 2)], 3), Reason::Contradiction),
        ("overlap", of(&[tensor("a", "[2]", 0, 4), tensor("b", "[2]", 2, 6)], 6), Reason::Contradiction),
        ("mismatch", of(&[tensor("a", "[3]", 0, 4)], 4), Reason::Malformed),
        ("mismatch", of(&[tensor("a", "[1]", 2, 0)], 2), Reason::Malformed),
        ("beyond the data", of(&[tensor("a", "[4]", 0, 8)], 4), Reason::Truncated),
    ] {
        assert_eq!(refusal(&bytes).0, reason, "{what}: {}", refusal(&bytes).1);
    }
}

#[test]
fn shard_names_that_are_absolute_or_lead_upwards() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("model");
    std::fs::create_dir_all(folder.join("inside")).unwrap();
    let part = data("shards/part-1-of-2.safetensors");
    let tensor = Checkpoint::open(&part, &Limits::default()).unwrap().tensors()[0].name.clone();
    for place in ["model/part.safetensors", "model/inside/part.safetensors", "part.safetensors"] {
        std::fs::copy(&part, parent.path().join(place)).unwrap();
    }
    let index = |name: &str| {
        let text = serde_json::json!({ "weight_map": { (tensor.to_string()): name } }).to_string();
        std::fs::write(folder.join("model.safetensors.index.json"), text).unwrap();
        Checkpoint::open(&folder, &Limits::default())
    };
    for name in ["part.safetensors", "inside/part.safetensors"] {
        assert!(index(name).unwrap().tensor(&tensor).is_some(), "{name}");
    }
    let absolute = parent.path().join("part.safetensors").display().to_string();
    for name in [
        &absolute,
        "../part.safetensors",
        "inside/../../part.safetensors",
        "inside/..",
        "..",
        "./../part.safetensors",
    ] {
        let (reason, text) = one_line(index(name).map(drop).unwrap_err());
        assert_eq!(reason, Reason::Shard, "{text}");
        assert!(text.contains("leads out of the folder"), "{text}");
    }
}

#[test]
fn names_with_control_characters_bidi_and_lone_surrogates_are_escaped() {
    let name = "a\u{1b}]0;b\u{7}\u{9b}31m\r\n\u{202e}c\u{2066}d\u{200f}\u{feff}\u{e0041}";
    let shown = r"a\u{1b}]0;b\u{7}\u{9b}31m\r\n\u{202e}c\u{2066}d\u{200f}\u{feff}\u{e0041}";
    // As a tensor's, an entry's, a storage's, a global's, a shard's and a safetensors tensor's name.
    let says = |file: &[u8]| {
        let (_, text) = refusal(file);
        assert!(text.contains(shown), "{text}");
    };
    says(&torch_file(
        &Pickle::new().op(b"}").text(name).global("torch._utils", "_rebuild_qtensor").op(b")Rs.").0,
    ));
    says(&zip(&[torch_entries(&one_tensor()), vec![entry(name, b"1"), entry(name, b"2")]].concat()));
    says(&torch_file(&Pickle::new().op(b"}").text("w").tensor(name, 4, 0, &[4], &[1]).op(b"s.").0));
    let json =
        serde_json::json!({ name: { "dtype": "F5", "shape": [], "data_offsets": [0, 0] } }).to_string();
    says(&[&(json.len() as u64).to_le_bytes()[..], json.as_bytes()].concat());
    let folder = tempfile::tempdir().unwrap();
    let index = folder.path().join("x.index.json");
    std::fs::write(&index, serde_json::json!({ "weight_map": { "w": name } }).to_string()).unwrap();
    let (_, text) = one_line(Checkpoint::open(&index, &Limits::default()).map(drop).unwrap_err());
    assert!(text.contains(shown), "{text}");
    // What would have run is shown on one line as well.
    let c =
        open_dangerous(&beside_w(&Pickle::default().global("os", "system").op(b"(").text(name).op(b"tR").0))
            .unwrap();
    let run = &c.evidence().globals.iter().find(|global| global.name == "system").unwrap().would_run[0];
    assert!(run.contains(shown) && !run.chars().any(char::is_control), "{run:?}");
    // Half of a pair of surrogates is not a character; it is shown by its number, and two names stay two.
    let half = |third: u8| [b"X\x04\0\0\0w\xed\xa0".to_vec(), vec![third]].concat();
    let two = Pickle::new().op(b"}").op(&half(0x80)).tensor("0", 4, 0, &[4], &[1]).op(b"s");
    let two = two.op(&half(0x81)).tensor("0", 4, 0, &[2], &[1]).op(b"s.").0;
    let c = open_bytes(&torch_file(&two)).unwrap();
    assert_eq!(c.tensors().iter().map(|t| &*t.name).collect::<Vec<_>>(), [r"w\ud800", r"w\ud801"]);
}
