//! Legacy streams, tars and plain pickles that contradict themselves. They have no checksums, so every
//! number in them must fit every other.

use vitport_checkpoint::Reason;

use crate::support::pickles::Pickle;
use crate::support::{data, floats, open, open_bytes, refusal};

/// A legacy stream with this object, these keys, and these storages after.
fn legacy(object: Vec<u8>, keys: &[&str], storages: &[(u64, &[u8])]) -> Vec<u8> {
    let mut out = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.".to_vec();
    out.extend(Pickle::new().int(1001).stop());
    out.extend(Pickle::new().op(b"}").text("little_endian").op(b"\x88s").stop());
    out.extend(object);
    let list = keys.iter().fold(Pickle::new().op(b"]"), |pickle, key| pickle.text(key).op(b"a"));
    out.extend(list.stop());
    for (count, bytes) in storages {
        out.extend(count.to_le_bytes());
        out.extend(*bytes);
    }
    out
}

/// The object of two tensors in two storages.
fn object() -> Vec<u8> {
    Pickle::new()
        .op(b"}")
        .text("a")
        .tensor("10", 4, 0, &[4], &[1])
        .op(b"s")
        .text("b")
        .tensor("11", 2, 0, &[2], &[1])
        .op(b"s.")
        .0
}

const SIXTEEN: [u8; 16] = [0, 0, 128, 63, 0, 0, 0, 64, 0, 0, 64, 64, 0, 0, 128, 64];

#[test]
fn the_truthful_stream_opens() {
    let c = open_bytes(&legacy(object(), &["11", "10"], &[(2, &SIXTEEN[8..]), (4, &SIXTEEN)])).unwrap();
    assert_eq!(floats(&c, "a"), [1.0, 2.0, 3.0, 4.0]);
    assert_eq!(floats(&c, "b"), [3.0, 4.0]);
    assert!(c.evidence().notes.iter().any(|note| note.contains("no checksums")));
}

#[test]
fn an_omitted_storage() {
    let (reason, text) = refusal(&legacy(object(), &["10"], &[(4, &SIXTEEN)]));
    assert_eq!(reason, Reason::Contradiction);
    assert!(text.contains("'11' is used but never written"), "{text}");
}

#[test]
fn storages_that_nobody_uses_or_that_come_twice() {
    let eight = &SIXTEEN[..8];
    let extra = legacy(object(), &["10", "11", "12"], &[(4, &SIXTEEN), (2, eight), (2, eight)]);
    assert_eq!(refusal(&extra).0, Reason::Contradiction);
    let twice = legacy(object(), &["10", "10", "11"], &[(4, &SIXTEEN), (4, &SIXTEEN), (2, eight)]);
    assert_eq!(refusal(&twice).0, Reason::Contradiction);
}

#[test]
fn counts_that_differ_from_what_is_declared() {
    for count in [0, 3, 5, u64::MAX, 1 << 63] {
        let (reason, _) = refusal(&legacy(object(), &["10", "11"], &[(count, &SIXTEEN), (2, &SIXTEEN[..8])]));
        assert_eq!(reason, Reason::Contradiction, "{count}");
    }
}

#[test]
fn a_stream_that_ends_early() {
    let whole = legacy(object(), &["10", "11"], &[(4, &SIXTEEN), (2, &SIXTEEN[..8])]);
    for len in 1..whole.len() {
        let (reason, _) = refusal(&whole[..len]);
        assert!(
            matches!(reason, Reason::Truncated | Reason::UnknownFormat | Reason::NoTensors),
            "{len}: {reason:?}"
        );
    }
    // Without the last byte it is the data that is missing.
    assert_eq!(refusal(&whole[..whole.len() - 1]).0, Reason::Truncated);
}

#[test]
fn another_version() {
    let mut file = legacy(object(), &["10", "11"], &[(4, &SIXTEEN), (2, &SIXTEEN[..8])]);
    let at = file.windows(2).position(|w| w == 1001_u16.to_le_bytes()).unwrap();
    file[at] += 1;
    assert_eq!(refusal(&file).0, Reason::Unsupported);
}

#[test]
fn a_part_of_a_storage_that_reaches_beyond_it() {
    let part = |start: i64, len: i64| {
        let object = Pickle::new()
            .op(b"}")
            .text("w")
            .global("torch._utils", "_rebuild_tensor_v2")
            .op(b"((")
            .text("storage")
            .global("torch", "FloatStorage")
            .text("10")
            .text("cpu")
            .int(4)
            .op(b"(")
            .text("11")
            .int(start)
            .int(len)
            .op(b"ttQ")
            .int(0)
            .ints(&[2])
            .ints(&[1])
            .op(b"\x89NtRs.")
            .0;
        legacy(object, &["10"], &[(4, &SIXTEEN)])
    };
    assert_eq!(floats(&open_bytes(&part(2, 2)).unwrap(), "w"), [3.0, 4.0]);
    for (start, len) in [(3, 2), (-1, 2), (0, 5), (i64::MAX, 2), (0, -1)] {
        assert_eq!(refusal(&part(start, len)).0, Reason::Malformed, "{start} {len}");
    }
    assert_eq!(refusal(&part(2, 1)).0, Reason::Truncated);
}

#[test]
fn tars_with_changed_numbers() {
    let whole = std::fs::read(data("old.tar")).unwrap();
    // A byte of a member's header breaks its checksum.
    let mut damaged = whole.clone();
    damaged[600] ^= 1;
    let at = whole.windows(7).position(|w| w == b"tensors").unwrap();
    damaged[at + 124 + 5] ^= 1;
    assert_eq!(refusal(&damaged).0, Reason::Malformed);
    // A member twice.
    let again = [&whole[..at], &whole[at..at + 1024], &whole[at..]].concat();
    assert!(matches!(refusal(&again).0, Reason::Contradiction | Reason::Malformed));
    for len in (512..whole.len() - 10_240).step_by(97) {
        refusal(&whole[..len]);
    }
}

#[test]
fn a_storage_inside_a_pickle_that_is_no_stream() {
    for inner in [&b"N."[..], b"", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."] {
        let pickle = Pickle(vec![0x80, 4])
            .global("torch.storage", "_load_from_bytes")
            .op(b"C")
            .op(&[inner.len() as u8])
            .op(inner)
            .op(b"\x85R.")
            .0;
        refusal(&pickle);
    }
}

#[test]
fn plain_pickles_with_references_to_elsewhere() {
    let (reason, _) = refusal(&Pickle::new().op(b"}").text("w").tensor("0", 4, 0, &[4], &[1]).op(b"s.").0);
    assert_eq!(reason, Reason::Unsupported);
}

#[test]
fn arrays_that_do_not_fill_their_shape() {
    let whole = std::fs::read(data("arrays4.pkl")).unwrap();
    // The shape (3, 4) of the first array is BININT1 3, BININT1 4, TUPLE2.
    let at = whole.windows(5).position(|w| w == b"K\x03K\x04\x86").unwrap();
    let mut damaged = whole.clone();
    damaged[at + 3] = 5;
    assert_eq!(refusal(&damaged).0, Reason::Contradiction);
    assert_eq!(open("arrays4.pkl").tensors()[0].shape[..], [3, 4]);
}
