//! Pickles that would run something, hide something, or never end: nothing is called, the weights next to
//! are read, and what cannot be read is refused.

use vitport_checkpoint::{Checkpoint, GlobalClass, Limits, Reason};

use crate::support::pickles::Pickle;
use crate::support::zips::torch_file;
use crate::support::{
    data, described, floats, one_line, open, open_bytes, open_bytes_with, open_dangerous, refusal,
};

/// A dict with one tensor, and `evil` under another key.
fn beside_a_tensor(evil: impl FnOnce(Pickle) -> Pickle) -> Checkpoint {
    let pickle = Pickle::new().op(b"}").text("w").tensor("0", 4, 0, &[4], &[1]).op(b"s").text("x");
    let checkpoint = open_dangerous(&torch_file(&evil(pickle).op(b"s").stop())).unwrap();
    assert_eq!(floats(&checkpoint, "w"), [1.0, 2.0, 3.0, 4.0]);
    assert_eq!(checkpoint.tensors().len(), 1);
    checkpoint
}

/// The evidence of one global.
fn global<'a>(checkpoint: &'a Checkpoint, name: &str) -> &'a vitport_checkpoint::Global {
    checkpoint.evidence().globals.iter().find(|global| global.name == name).unwrap()
}

#[test]
fn a_call_is_never_made() {
    let witness = std::env::temp_dir().join(format!("vitport-witness-{}", std::process::id()));
    let command = format!("touch {}", witness.display());
    let c = beside_a_tensor(|p| p.global("posix", "system").op(b"(").text(&command).op(b"tR"));
    let system = global(&c, "system");
    assert_eq!(system.class, GlobalClass::Dangerous);
    assert_eq!(system.would_run, [format!("posix.system('{command}')")]);
    assert!(!witness.exists());
}

#[test]
fn every_way_to_make_an_object_stays_opaque() {
    let command = "id";
    for (how, evil) in [
        ("REDUCE", Pickle::default().global("os", "system").op(b"(").text(command).op(b"tR")),
        ("NEWOBJ", Pickle::default().global("os", "system").op(b"(").text(command).op(b"t\x81")),
        ("NEWOBJ_EX", Pickle::default().global("os", "system").op(b"(").text(command).op(b"t}\x92")),
        ("OBJ", Pickle::default().op(b"(").global("os", "system").text(command).op(b"o")),
        ("INST", Pickle::default().op(b"(").text(command).op(b"ios\nsystem\n")),
        ("STACK_GLOBAL", Pickle::default().text("os").text("system").op(b"\x93(").text(command).op(b"tR")),
        ("memoized", Pickle::default().global("os", "system").op(b"q\x000h\x00(").text(command).op(b"tR")),
    ] {
        let c = beside_a_tensor(|p| p.op(&evil.0));
        assert_eq!(global(&c, "system").would_run, ["os.system('id')"], "{how}");
    }
}

#[test]
fn empty_containers_are_accounted_for_with_what_the_search_for_tensors_takes() {
    // A byte each in the file; some 60 in memory, once the values that a list holds are looked through.
    let tuples = b")".repeat(1_700_000);
    let evil = Pickle::default().op(b"](").op(&tuples).op(b"e.");
    assert_eq!(refusal(&torch_file(&evil.0)).0, Reason::Limit);
}

#[test]
fn a_call_of_what_a_call_returned() {
    let c = beside_a_tensor(|p| {
        p.global("builtins", "getattr")
            .op(b"(")
            .global("os", "path")
            .text("system")
            .op(b"tR(")
            .text("id")
            .op(b"tR")
    });
    let getattr = global(&c, "getattr");
    assert_eq!(getattr.class, GlobalClass::Dangerous);
    assert_eq!(getattr.would_run.len(), 2);
    assert!(getattr.would_run[1].contains("'id'"), "{:?}", getattr.would_run);
}

#[test]
fn a_state_is_never_set() {
    let c = beside_a_tensor(|p| p.global("os", "environ").op(b"}").text("PATH").text("/evil").op(b"sb"));
    assert!(global(&c, "environ").would_run[0].contains("/evil"));
}

#[test]
fn names_from_the_file_are_escaped() {
    let c = beside_a_tensor(|p| p.global("os", "system").op(b"(").text("\x1b]0;pwned\x07").op(b"tR"));
    let shown = &global(&c, "system").would_run[0];
    assert!(!shown.chars().any(char::is_control), "{shown:?}");

    let name = "w\x1b[2J\n\u{202e}";
    let pickle = Pickle::new().op(b"}").text(name).tensor("0", 4, 0, &[9], &[1]).op(b"s.").0;
    refusal(&torch_file(&pickle));
    let pickle = Pickle::new().op(b"}").text(name).global("torch._utils", "_rebuild_qtensor").op(b")Rs.").0;
    let (_, text) = refusal(&torch_file(&pickle));
    assert!(text.contains(r"w\u{1b}[2J\n\u{202e}"), "{text}");
}

#[test]
fn lone_surrogates_in_names() {
    let pickle =
        Pickle::new().op(b"}").op(b"X\x04\0\0\0a\xed\xb2\x80").tensor("0", 4, 0, &[4], &[1]).op(b"s.").0;
    let c = open_bytes(&torch_file(&pickle)).unwrap();
    assert_eq!(&*c.tensors()[0].name, "a\\udc80");
}

/// The pickle of a text that is dropped at once, before a tensor.
fn beside_text(bytes: &[u8]) -> Vec<u8> {
    let len = u32::try_from(bytes.len()).unwrap().to_le_bytes();
    let text = [b"X", len.as_slice(), bytes, b"0"].concat();
    Pickle::new().op(&text).op(b"}").text("w").tensor("0", 4, 0, &[4], &[1]).op(b"s.").0
}

#[test]
fn millions_of_lone_surrogates_are_read_once_each() {
    open_bytes(&torch_file(&beside_text(&b"\xed\xb2\x80".repeat(3_000_000)))).unwrap();
}

#[test]
fn long_texts_count_as_often_as_they_are_in_memory() {
    open_bytes(&torch_file(&beside_text(&b"a".repeat(30_000_000)))).unwrap();
    let (_, text) = refusal(&beside_text(&b"a".repeat(60_000_000)));
    assert!(text.contains("the pickle's objects take more than the limit"), "{text}");
    let (_, text) = refusal(&beside_text(&b"\xed\xb2\x80".repeat(10_000_000)));
    assert!(text.contains("the pickle's objects take more than the limit"), "{text}");
}

#[test]
fn views_outside_their_storage() {
    for (numel, offset, shape, strides) in [
        (4, 0, &[5][..], &[1][..]),
        (4, 1, &[4], &[1]),
        (4, 0, &[2, 2], &[3, 1]),
        (4, i64::MAX, &[1], &[1]),
        (4, 0, &[2], &[i64::MAX]),
        (4, 0, &[1 << 62, 1 << 62], &[0, 0]),
        (4, 0, &[1 << 40, 1 << 40], &[1, 1]),
        (4, -1, &[4], &[1]),
        (4, 0, &[-4], &[1]),
        (4, 0, &[4], &[-1]),
        (4, 0, &[4], &[1, 1]),
        (i64::MAX, 0, &[4], &[1]),
        (-1, 0, &[4], &[1]),
        (5, 0, &[4], &[1]),
    ] {
        let pickle = Pickle::new().op(b"}").text("w").tensor("0", numel, offset, shape, strides).op(b"s.").0;
        let (reason, text) = refusal(&torch_file(&pickle));
        assert!(
            matches!(reason, Reason::Malformed | Reason::Truncated | Reason::Contradiction),
            "{numel} {offset} {shape:?} {strides:?}: {text}"
        );
    }
}

#[test]
fn expansion_to_huge_sizes() {
    let file = |size: i64| {
        torch_file(&Pickle::new().op(b"}").text("w").tensor("0", 4, 0, &[size], &[0]).op(b"s.").0)
    };
    assert!(open_bytes(&file(1 << 20)).is_ok());
    let (reason, text) = refusal(&file(1 << 40));
    assert_eq!(reason, Reason::Limit);
    assert!(text.contains("would expand"), "{text}");
}

#[test]
fn one_storage_under_very_many_names() {
    let mut pickle = Pickle::new().op(b"}(").text("w").tensor("0", 4, 0, &[1 << 27], &[0]).op(b"q\x05");
    for i in 0..40 {
        pickle = pickle.text(&format!("w{i}")).op(b"h\x05");
    }
    let (reason, text) = refusal(&torch_file(&pickle.op(b"u.").0));
    assert_eq!(reason, Reason::Limit);
    assert!(text.contains("would come to"), "{text}");
}

#[test]
fn billion_laughs() {
    // Sixty lists, each holding the one before it ten times, next to a tensor: nobody walks them.
    let c = beside_a_tensor(|mut p| {
        p = p.op(b"]q\x01");
        for _ in 0..60 {
            p = p.op(b"0](h\x01h\x01h\x01h\x01h\x01h\x01h\x01h\x01h\x01h\x01eq\x01");
        }
        p
    });
    drop(c);
    // The same around a tensor: more names than there may be.
    let mut pickle = Pickle::new().tensor("0", 4, 0, &[4], &[1]).op(b"q\x01");
    for _ in 0..60 {
        pickle = pickle.op(b"0](h\x01h\x01eq\x01");
    }
    let (reason, _) = refusal(&torch_file(&pickle.op(b".").0));
    assert_eq!(reason, Reason::Limit);
}

#[test]
fn nesting_of_a_hundred_thousand() {
    let depth = 100_000;
    // Next to the weights it does no harm.
    beside_a_tensor(|p| p.op(&vec![b']'; depth]).op(&vec![b'a'; depth - 1]));
    // Around the weights it is refused.
    let pickle =
        Pickle::new().op(&vec![b']'; depth]).tensor("0", 4, 0, &[4], &[1]).op(&vec![b'a'; depth]).op(b".").0;
    let (reason, text) = refusal(&torch_file(&pickle));
    assert_eq!(reason, Reason::Limit);
    assert!(text.contains("levels deep"), "{text}");
}

#[test]
fn a_limit_on_depth_that_is_no_limit_does_not_exhaust_the_stack() {
    let pickle = Pickle::new().op(&[b']'; 5000]).tensor("0", 4, 0, &[4], &[1]).op(&[b'a'; 5000]).op(b".").0;
    let limits = Limits { max_depth: usize::MAX, max_name_len: 1 << 20, ..Limits::default() };
    let (reason, _) = one_line(open_bytes_with(&torch_file(&pickle), &limits).unwrap_err());
    assert_eq!(reason, Reason::Limit);
}

#[test]
fn values_that_contain_themselves() {
    let c = beside_a_tensor(|p| p.op(b"]q\x01h\x01a"));
    drop(c);
    // A dict that holds the tensor and itself.
    let pickle = Pickle::new()
        .op(b"}q\x01")
        .text("w")
        .tensor("0", 4, 0, &[4], &[1])
        .op(b"s")
        .text("me")
        .op(b"h\x01s.")
        .0;
    let c = open_bytes(&torch_file(&pickle)).unwrap();
    assert_eq!(c.tensors().len(), 1);
}

#[test]
fn memory_is_counted() {
    // Ten million empty dicts, kept on the stack.
    let (reason, text) = refusal(&torch_file(&Pickle::new().op(&vec![b'}'; 10_000_000]).op(b".").0));
    assert_eq!(reason, Reason::Limit);
    assert!(text.contains("pickle's objects"), "{text}");
    // Marks, memo slots far apart, long text.
    let (reason, _) = refusal(&torch_file(&Pickle::new().op(&vec![b'('; 20_000_000]).op(b".").0));
    assert_eq!(reason, Reason::Limit);
    let mut puts = Pickle::new().op(b"N");
    for slot in 0..3_000_000_u32 {
        puts = puts.op(b"r").op(&(slot.wrapping_mul(1_431)).to_le_bytes());
    }
    assert_eq!(refusal(&torch_file(&puts.op(b".").0)).0, Reason::Limit);
}

#[test]
fn lengths_beyond_the_end() {
    for opcode in [b"X".as_slice(), b"T", b"B"] {
        let (reason, _) =
            refusal(&torch_file(&Pickle::new().op(opcode).op(&u32::MAX.to_le_bytes()).op(b"abc.").0));
        assert!(matches!(reason, Reason::Truncated | Reason::Limit));
    }
    for opcode in [[0x8d_u8], [0x8e], [0x96]] {
        let (reason, _) =
            refusal(&torch_file(&Pickle::new().op(&opcode).op(&u64::MAX.to_le_bytes()).op(b"abc.").0));
        assert!(matches!(reason, Reason::Truncated | Reason::Limit));
    }
}

#[test]
fn broken_programs() {
    for program in [
        &b""[..],
        b".",
        b"0.",
        b"1.",
        b"2.",
        b"t.",
        b"(.",
        b"]s.",
        b"}Na.",
        b"NNNs.",
        b"}(Nu.",
        b"h\x00.",
        b"gx\n.",
        b"\xff.",
        b"R.",
        b"(o.",
        b"b.",
        b"Q.",
        b"NQ.",
        b"(tQ.",
        b"\x82\x01.",
        b"\x97.",
        b"\x98.",
        b"I1x\n.",
        b"Fx\n.",
        b"Sx\n.",
        b"NN\x93.",
        b"X\x01\0\0\0\xff.",
    ] {
        let (_, text) = refusal(&torch_file(&Pickle::new().op(program).0));
        assert!(!text.is_empty(), "{program:?}");
    }
    let (reason, _) = refusal(&torch_file(&[0x80, 6, b'N', b'.']));
    assert_eq!(reason, Reason::Unsupported);
}

#[test]
fn a_mark_guards_what_lies_below_it() {
    // POP below a mark takes the mark, not the value below; TUPLE1 may not reach through it.
    assert_eq!(refusal(&torch_file(b"\x80\x02N(\x85.")).0, Reason::Malformed);
    assert_eq!(refusal(&torch_file(b"\x80\x02N(0.")).0, Reason::NoTensors);
}

#[test]
fn tensors_of_one_name() {
    let pickle = Pickle::new()
        .op(b"}")
        .text("a.b")
        .tensor("0", 4, 0, &[4], &[1])
        .op(b"s")
        .text("a")
        .op(b"}")
        .text("b")
        .tensor("0", 4, 0, &[2], &[1])
        .op(b"ss.")
        .0;
    let (reason, text) = refusal(&torch_file(&pickle));
    assert_eq!(reason, Reason::Contradiction);
    assert!(text.contains("both called 'a.b'"), "{text}");
}

#[test]
fn a_key_that_is_set_twice_has_its_last_value() {
    let pickle = Pickle::new()
        .op(b"}")
        .text("w")
        .tensor("0", 4, 0, &[4], &[1])
        .op(b"s")
        .text("w")
        .tensor("0", 4, 2, &[2], &[1])
        .op(b"s.")
        .0;
    let c = open_bytes(&torch_file(&pickle)).unwrap();
    assert_eq!(floats(&c, "w"), [3.0, 4.0]);
    assert!(c.evidence().notes.iter().any(|note| note.contains("'w' twice")));
}

#[test]
fn storages_that_contradict_each_other() {
    let pickle = Pickle::new()
        .op(b"}")
        .text("a")
        .tensor("0", 4, 0, &[4], &[1])
        .op(b"s")
        .text("b")
        .tensor("0", 8, 0, &[4], &[1])
        .op(b"s.")
        .0;
    assert_eq!(refusal(&torch_file(&pickle)).0, Reason::Contradiction);
}

#[test]
fn storage_keys_cannot_leave_the_archive() {
    let pickle = Pickle::new().op(b"}").text("w").tensor("../../../etc/passwd", 4, 0, &[4], &[1]).op(b"s.").0;
    let (reason, _) = refusal(&torch_file(&pickle));
    assert_eq!(reason, Reason::Truncated);
}

#[test]
fn unknown_tensor_metadata_is_not_ignored() {
    let with = |key: &str, value: &[u8]| {
        torch_file(
            &Pickle::new()
                .op(b"}")
                .text("w")
                .global("torch._utils", "_rebuild_tensor_v2")
                .op(b"(")
                .storage("FloatStorage", "0", 4)
                .int(0)
                .ints(&[4])
                .ints(&[1])
                .op(b"\x89N}")
                .text(key)
                .op(value)
                .op(b"stRs.")
                .0,
        )
    };
    assert_eq!(floats(&open_bytes(&with("neg", b"\x88")).unwrap(), "w"), [-1.0, -2.0, -3.0, -4.0]);
    assert_eq!(floats(&open_bytes(&with("neg", b"\x89")).unwrap(), "w"), [1.0, 2.0, 3.0, 4.0]);
    assert_eq!(refusal(&with("twist", b"\x88")).0, Reason::Unsupported);
    assert_eq!(refusal(&with("conj", b"K\x01")).0, Reason::Malformed);
}

#[test]
fn sharing_that_multiplies_the_work() {
    // A dict of 20,000 entries and one tensor, under 20,000 names: few tensors, many looks.
    let mut pickle = Pickle::new().op(b"}q\x01(");
    for i in 0..20_000 {
        pickle = pickle.text(&i.to_string()).op(b"N");
    }
    pickle = pickle.text("w").tensor("0", 4, 0, &[4], &[1]).op(b"u0](");
    for _ in 0..20_000 {
        pickle = pickle.op(b"h\x01");
    }
    let (reason, text) = refusal(&torch_file(&pickle.op(b"e.").0));
    assert_eq!(reason, Reason::Limit);
    assert!(text.contains("too many ways"), "{text}");
}

#[test]
fn pickles_behind_the_first_are_evidence_and_nothing_else() {
    let evil = Pickle(vec![0x80, 4]).global("posix", "system").op(b"(").text("id").op(b"tR.").0;
    let more = Pickle::new().op(b"}").text("v").tensor("0", 4, 0, &[2], &[1]).op(b"s.").0;
    let behind = [evil, more, b"\0garbage".to_vec()].concat();
    let weights = Pickle::new().op(b"}").text("w").tensor("0", 4, 0, &[4], &[1]).op(b"s.").0;
    let c = open_dangerous(&torch_file(&[&weights[..], &behind].concat())).unwrap();
    assert_eq!(c.tensors().iter().map(|t| &*t.name).collect::<Vec<_>>(), ["w"]);
    assert_eq!((global(&c, "system").class, c.evidence().pickle_protocol), (GlobalClass::Dangerous, Some(2)));
    assert_eq!(global(&c, "system").would_run, ["posix.system('id')"]);
    let said = format!("{} bytes follow the end of the pickle, other pickles among them", behind.len());
    assert!(c.evidence().notes.iter().any(|note| note.starts_with(&said)), "{:?}", c.evidence().notes);
    // The same in a plain pickle; what is not a pickle is only counted.
    let plain = std::fs::read(data("plain4.pkl")).unwrap();
    let c = open_dangerous(&[&plain[..], &behind].concat()).unwrap();
    assert_eq!(described(&c), described(&open("plain4.pkl")));
    assert_eq!(global(&c, "system").class, GlobalClass::Dangerous);
    let few = Limits { max_header_bytes: behind.len() as u64 - 1, ..Limits::default() };
    let c = open_bytes_with(&[&plain[..], &behind].concat(), &few).unwrap();
    assert!(c.evidence().globals.iter().all(|global| global.name != "system"), "too long to be looked into");
    let c = open_bytes(&[&plain[..], b"\0\0\0"].concat()).unwrap();
    assert!(c.evidence().notes.contains(&"3 bytes follow the end of the pickle".to_owned()));
}

#[test]
fn notes_do_not_pile_up() {
    let mut pickle = Pickle::new().op(b"}").text("w").tensor("0", 4, 0, &[4], &[1]).op(b"s");
    for i in 0..1000 {
        let key = i.to_string();
        pickle = pickle.text(&key).op(b"Ns").text(&key).op(b"Ns");
    }
    let c = open_bytes(&torch_file(&pickle.op(b".").0)).unwrap();
    assert!(c.evidence().notes.len() <= 64);
}
