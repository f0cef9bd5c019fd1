//! Reading in blocks, by several threads, under supervision: the same bytes as in one go.

use std::io::Write;

use vitport_checkpoint::{Checkpoint, CheckpointErrorClass, Limits, Reason, Stop};

use crate::support::pickles::Pickle;
use crate::support::zips::{deflated, entry, zip};
use crate::support::{bytes, data, open, open_bytes};

#[test]
fn any_block_of_any_tensor() {
    for file in
        ["views.pth", "deflated.pth", "big_endian.pth", "arrays.npz", "arrays_compressed.npz", "plain2.pkl"]
    {
        let c = open(file);
        for tensor in c.tensors() {
            let whole = bytes(&c, tensor);
            let size = tensor.dtype.size();
            for first in 0..tensor.elements() {
                for count in [1, 2, 3, 7, 50] {
                    let count = count.min(tensor.elements() - first);
                    let mut block = vec![0xaa; (count * size) as usize];
                    c.read(tensor, first, &mut block).unwrap();
                    let at = (first * size) as usize;
                    assert_eq!(block, whole[at..at + block.len()], "{file} {} {first} {count}", tensor.name);
                }
            }
        }
    }
}

#[test]
fn reading_ends_when_it_is_told_to() {
    for file in ["small.pth", "deflated.pth", "views.pth"] {
        let limits = Limits { stop: Stop::default(), ..Limits::default() };
        let c = Checkpoint::open(&data(file), &limits).unwrap();
        let tensor = c.tensors().iter().find(|tensor| tensor.elements() > 0).unwrap();
        let mut out = vec![0; tensor.dtype.size() as usize];
        limits.stop.stop();
        let error = c.read(tensor, 0, &mut out).unwrap_err();
        assert_eq!(error.class(), CheckpointErrorClass::Io, "{file}");
        assert!(error.to_string().contains("reading was stopped"), "{error}");
        assert!(c.audit().finish().is_err(), "{file}");
        assert!(Checkpoint::open(&data(file), &limits).is_err(), "{file}");
    }
}

#[test]
fn ranges_that_are_not_there() {
    let c = open("views.pth");
    let tensor = c.tensor("transposed").unwrap().clone();
    for (first, len) in [(0, 3), (0, 84), (20, 4), (19, 8), (u64::MAX, 4)] {
        let error = c.read(&tensor, first, &mut vec![0; len]).unwrap_err();
        assert_eq!(error.class(), CheckpointErrorClass::Misuse, "{first} {len}");
    }
    c.read(&tensor, 20, &mut []).unwrap();
    let mut stranger = (*tensor).clone();
    stranger.storage = 10_000;
    assert_eq!(c.read(&stranger, 0, &mut [0; 4]).unwrap_err().class(), CheckpointErrorClass::Misuse);
}

#[test]
fn plain_bytes_lie_where_they_are_said_to() {
    for file in
        ["small.pth", "small.legacy.pth", "dtypes.safetensors", "old.tar", "views.pth", "big_endian.pth"]
    {
        let c = open(file);
        let on_disk = std::fs::read(&c.files()[0].path).unwrap();
        for tensor in c.tensors() {
            let Some((0, at)) = c.plain_bytes(tensor) else { continue };
            let whole = bytes(&c, tensor);
            assert_eq!(on_disk[at as usize..][..whole.len()], whole, "{file} {}", tensor.name);
        }
    }
    let views = open("views.pth");
    for (name, plain) in
        [("contiguous", true), ("offset", true), ("transposed", false), ("conj", false), ("neg", false)]
    {
        assert_eq!(views.plain_bytes(views.tensor(name).unwrap()).is_some(), plain, "{name}");
    }
}

/// A matrix of 600 × 500 floats, transposed; and the same next to it, contiguous.
fn transposed() -> (Vec<u8>, Vec<f32>) {
    let values: Vec<f32> = (0..300_000).map(|v| v as f32).collect();
    let pickle = Pickle::new()
        .op(b"}")
        .text("t")
        .tensor("0", 300_000, 0, &[500, 600], &[1, 500])
        .op(b"s")
        .text("c")
        .tensor("0", 300_000, 0, &[600, 500], &[500, 1])
        .op(b"s.")
        .0;
    let stored: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    let file = zip(&[entry("a/data.pkl", &pickle), entry("a/data/0", &stored)]);
    let expected = (0..500).flat_map(|row| (0..600).map(move |column| (column * 500 + row) as f32)).collect();
    (file, expected)
}

#[test]
fn a_transposed_matrix_in_blocks_by_threads() {
    let (file, expected) = transposed();
    let c = open_bytes(&file).unwrap();
    let tensor = c.tensor("t").unwrap();
    let mut out = vec![0; 1_200_000];
    std::thread::scope(|scope| {
        for (number, block) in out.chunks_mut(10_000).enumerate() {
            let c = &c;
            scope.spawn(move || c.read(tensor, number as u64 * 2500, block).unwrap());
        }
    });
    let found: Vec<f32> = out.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    assert_eq!(found, expected);
}

/// Reads every tensor through an audit, in blocks, by two threads.
fn audited(c: &Checkpoint, block: u64) -> Result<(), vitport_checkpoint::CheckpointError> {
    let audit = c.audit();
    for tensor in c.tensors() {
        let size = tensor.dtype.size();
        let step = (block / size).max(1);
        std::thread::scope(|scope| {
            for half in 0..2 {
                let audit = &audit;
                scope.spawn(move || {
                    let mut first = half * step;
                    while first < tensor.elements() {
                        let count = step.min(tensor.elements() - first);
                        let mut out = vec![0; (count * size) as usize];
                        audit.read(tensor, first, &mut out).unwrap();
                        first += 2 * step;
                    }
                });
            }
        });
    }
    audit.finish()
}

#[test]
fn an_audit_passes_what_is_sound() {
    for file in [
        "small.pth",
        "views.pth",
        "train.pth",
        "deflated.pth",
        "big_endian.pth",
        "no_crc.pth",
        "arrays.npz",
        "small.legacy.pth",
        "dtypes.safetensors",
        "script.pt",
        "shards",
        "bins",
    ] {
        for block in [4, 16, 64, 1 << 20] {
            audited(&open(file), block).unwrap_or_else(|error| panic!("{file}: {error}"));
        }
        open(file).audit().finish().unwrap();
    }
}

#[test]
fn an_audit_finds_every_flipped_bit() {
    let (file, _) = transposed();
    let start = file.windows(8).position(|w| w == [0, 0, 0, 0, 0, 0, 0x80, 0x3f]).unwrap();
    for bit in (0..1_200_000 * 8).step_by(1_237_511) {
        let mut damaged = file.clone();
        damaged[start + bit / 8] ^= 1 << (bit % 8);
        let c = open_bytes(&damaged).unwrap();
        let error = audited(&c, 128 << 10).unwrap_err();
        assert_eq!(error.reason(), Some(Reason::Checksum), "bit {bit}");
    }
}

#[test]
fn an_audit_reads_what_nobody_read() {
    let mut entries = vec![
        entry("a/data.pkl", &Pickle::new().op(b"}").text("w").tensor("0", 4, 1, &[2], &[1]).op(b"s.").0),
        entry("a/data/0", &[7; 16]),
    ];
    // The damage lies outside of what the tensor shows.
    entries[1].data[15] = 8;
    let c = open_bytes(&zip(&entries)).unwrap();
    assert_eq!(audited(&c, 4).unwrap_err().reason(), Some(Reason::Checksum));
}

#[test]
fn records_outside_the_root_are_not_the_audits_business() {
    let pickle = Pickle::new()
        .op(b"}")
        .text("model")
        .op(b"}")
        .text("w")
        .tensor("0", 4, 0, &[4], &[1])
        .op(b"ss")
        .text("optimizer")
        .op(b"}")
        .text("m")
        .tensor("1", 4, 0, &[4], &[1])
        .op(b"ss.")
        .0;
    let mut damaged = entry("a/data/1", &[7; 16]);
    damaged.data[3] = 0;
    let c = open_bytes(&zip(&[entry("a/data.pkl", &pickle), entry("a/data/0", &[7; 16]), damaged])).unwrap();
    audited(&c, 16).unwrap();
    assert_eq!(c.verify_all().unwrap_err().reason(), Some(Reason::Checksum));
}

#[test]
fn a_file_that_shrinks_while_it_is_read() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let (content, _) = transposed();
    std::fs::write(file.path(), &content).unwrap();
    let c = Checkpoint::open(file.path(), &vitport_checkpoint::Limits::default()).unwrap();
    std::fs::OpenOptions::new().write(true).open(file.path()).unwrap().set_len(1000).unwrap();
    let tensor = c.tensor("c").unwrap();
    let error = c.read(tensor, 0, &mut vec![0; 1_200_000]).unwrap_err();
    assert_eq!(error.reason(), Some(Reason::Truncated), "{error}");
}

#[test]
fn a_file_that_is_written_to_while_it_is_read() {
    let whole = std::fs::read(data("small.legacy.pth")).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    let writing = || std::fs::OpenOptions::new().write(true).open(file.path()).unwrap();
    type Change<'a> = (&'a str, Box<dyn Fn() + 'a>);
    let changes: [Change<'_>; 4] = [
        ("longer", Box::new(|| writing().set_len(whole.len() as u64 + 1).unwrap())),
        ("shorter", Box::new(|| writing().set_len(whole.len() as u64 - 1).unwrap())),
        ("rewritten", Box::new(|| writing().write_all(&whole).unwrap())),
        ("of another time", Box::new(|| writing().set_modified(std::time::UNIX_EPOCH).unwrap())),
    ];
    for (what, change) in &changes {
        std::fs::write(file.path(), &whole).unwrap();
        let hour = std::time::Duration::from_secs(3600);
        writing().set_modified(std::time::SystemTime::now() - hour).unwrap();
        let c = Checkpoint::open(file.path(), &vitport_checkpoint::Limits::default()).unwrap();
        let audit = c.audit();
        audit.read(&c.tensors()[0], 0, &mut [0; 4]).unwrap();
        c.check_unchanged().unwrap();
        change();
        assert_eq!(audit.finish().unwrap_err().reason(), Some(Reason::Changed), "{what}");
        assert_eq!(c.check_unchanged().unwrap_err().reason(), Some(Reason::Changed), "{what}");
    }
    // Another file in its place, or none, does not touch the one that is open.
    std::fs::write(file.path(), &whole).unwrap();
    let c = Checkpoint::open(file.path(), &vitport_checkpoint::Limits::default()).unwrap();
    std::fs::remove_file(file.path()).unwrap();
    std::fs::write(file.path(), b"another").unwrap();
    c.audit_all().finish().unwrap();
}

#[test]
fn compressed_and_huge_in_memory_only_while_read() {
    // 40 MB of zeros in 40 kB, transposed: longer than what is kept in memory.
    let n = 10_000_000_i64;
    let pickle = Pickle::new().op(b"}").text("t").tensor("0", n, 0, &[1000, 10_000], &[1, 1000]).op(b"s.").0;
    let mut values = vec![0; 40_000_000];
    values[4..8].copy_from_slice(&5.0_f32.to_le_bytes());
    let file = zip(&[entry("a/data.pkl", &pickle), deflated("a/data/0", &values)]);
    assert!(file.len() < 100_000);
    let c = open_bytes(&file).unwrap();
    let mut block = vec![0; 80_000];
    c.read(c.tensor("t").unwrap(), 0, &mut block).unwrap();
    assert_eq!(block.iter().position(|b| *b != 0), Some(40_002));
}
