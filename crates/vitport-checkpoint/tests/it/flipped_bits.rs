//! One flipped bit in every byte of a small file of each container, read through an audit.
//!
//! Where there are checksums (PyTorch's zip, stored or deflated, and numpy's), and in a shard index, which says
//! nothing that the shards do not say too, the answer is a refusal or the truth.
//!
//! The other formats cannot show more than this:
//!
//! - **In a tensor's bytes** every bit is lawful. Exactly that bit of exactly the tensors that lie there is
//!   another one, and nothing else.
//! - **In a safetensors header** a name may be another name, since nothing else repeats it, and a tensor without
//!   elements another shape. No dtype, no shape of a tensor with elements and no value is another one: sizes and
//!   offsets must agree to the byte.
//! - **In a pickle without a checksum** (legacy stream, tar) names may be other names, tensors may be missing, and
//!   sizes, strides and offsets may describe another view, since a view need not fill its storage. Whatever is
//!   read is still that view of bytes that are a storage's.
//! - **In a plain pickle** the same; and a storage is a byte string of the pickle, which may begin or end elsewhere.
//! - **In a zip all of whose checksums are zero**, besides that, a record may begin elsewhere, since the length of what
//!   precedes it is said only once. It is still a part of the file, and the view of it is right.

use std::io::{Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use vitport_checkpoint::{Checkpoint, CheckpointError, Dtype, Limits, Reason};

use crate::support::zips::{Entry, deflated, entry, zip};
use crate::support::{data, open_bytes, refusal};

/// A tensor with its values.
type Read = (String, Dtype, Vec<u64>, Vec<u8>);

/// Opens a file and reads all of it under supervision.
fn read(path: &Path) -> Result<(Checkpoint, Vec<Read>), CheckpointError> {
    let c = Checkpoint::open(path, &Limits::default())?;
    let audit = c.audit();
    let mut tensors = Vec::new();
    for t in c.tensors() {
        let mut out = vec![0; usize::try_from(t.bytes()).unwrap()];
        audit.read(t, 0, &mut out)?;
        tensors.push((t.name.to_string(), t.dtype, t.shape.to_vec(), out));
    }
    audit.finish()?;
    Ok((c, tensors))
}

/// A copy of a fixture that can be damaged.
struct Copy {
    _folder: tempfile::TempDir,
    /// What is opened.
    opened: PathBuf,
    /// The file whose bits are flipped, and its bytes.
    damaged: PathBuf,
    whole: Vec<u8>,
    truth: Vec<Read>,
}

impl Copy {
    /// Of one file.
    fn of(file: &str) -> Self {
        Self::next_to(file, &[])
    }

    /// Of one file and those that belong to it.
    fn next_to(file: &str, others: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in others.iter().chain([&file]) {
            let to = folder.path().join(Path::new(name).file_name().unwrap());
            std::fs::copy(data(name), to).unwrap();
        }
        let opened = folder.path().join(Path::new(file).file_name().unwrap());
        let whole = std::fs::read(&opened).unwrap();
        let truth = read(&opened).unwrap().1;
        Self { _folder: folder, damaged: opened.clone(), opened, whole, truth }
    }

    /// Flips one bit of each byte, and calls `check` with its place, its mask and what is read instead, where
    /// anything is. Gives how many were refused.
    fn each_byte(&self, mut check: impl FnMut(usize, u8, Checkpoint, Vec<Read>)) -> usize {
        let mut refused = 0;
        let mut file = std::fs::OpenOptions::new().write(true).open(&self.damaged).unwrap();
        let mut put = |at: usize, byte: u8| {
            file.seek(SeekFrom::Start(at as u64)).unwrap();
            file.write_all(&[byte]).unwrap();
        };
        for (at, &byte) in self.whole.iter().enumerate() {
            // A sequence in which neighbours and multiples of eight have different bits.
            let mask = 1_u8 << ((at.wrapping_mul(0x9e37_79b1) >> 13) % 8);
            put(at, byte ^ mask);
            match read(&self.opened) {
                Ok((c, tensors)) => check(at, mask, c, tensors),
                Err(error) => {
                    assert!(error.reason().is_some(), "byte {at} mask {mask:#04x}: {error}");
                    refused += 1;
                }
            }
            put(at, byte);
        }
        refused
    }

    /// The bytes of the file that are storages'.
    fn storages(&self) -> Vec<Range<usize>> {
        let (c, _) = read(&self.opened).unwrap();
        let range = |s: &vitport_checkpoint::Storage| s.offset as usize..(s.offset + s.len) as usize;
        c.storages().iter().map(range).collect()
    }
}

/// Every flip is refused or harmless.
fn refused_or_true(copy: &Copy) {
    let refused = copy.each_byte(|at, mask, _, tensors| {
        assert_eq!(tensors, copy.truth, "byte {at} mask {mask:#04x}");
    });
    assert!(refused > copy.whole.len() / 4, "only {refused} bits were refused");
}

/// A view's bytes, element by element, out of the storage's.
fn by_counting(shape: &[u64], strides: &[u64], offset: u64, size: u64, storage: &[u8]) -> Vec<u8> {
    let mut elements = vec![offset];
    for (count, stride) in shape.iter().zip(strides) {
        elements = elements.iter().flat_map(|at| (0..*count).map(move |i| at + i * stride)).collect();
    }
    elements.iter().flat_map(|at| &storage[(at * size) as usize..][..size as usize]).copied().collect()
}

/// Without checksums: what is read are views of the storages that the file has, and a bit of a storage is that
/// bit and nothing else.
fn views_of_what_is_stored(copy: &Copy, places_are_sure: bool) {
    let storages = copy.storages();
    let mut changed = 0;
    copy.each_byte(|at, mask, c, tensors| {
        let mut bytes = copy.whole.clone();
        bytes[at] ^= mask;
        for (t, (name, _, _, values)) in c.tensors().iter().zip(&tensors) {
            let storage = &c.storages()[t.storage];
            let range = storage.offset as usize..(storage.offset + storage.len) as usize;
            let known = storages.contains(&range);
            assert!(known || !places_are_sure, "byte {at} mask {mask:#04x}: '{name}' lies at {range:?}");
            let wanted = by_counting(&t.shape, &t.strides, t.offset, t.dtype.size(), &bytes[range]);
            assert_eq!(values, &wanted, "byte {at} mask {mask:#04x}: '{name}'");
        }
        if storages.iter().any(|range| range.contains(&at)) {
            let described = |(name, dtype, shape, _): &Read| (name.clone(), *dtype, shape.clone());
            let (found, truth): (Vec<_>, Vec<_>) =
                (tensors.iter().map(described).collect(), copy.truth.iter().map(described).collect());
            assert_eq!(found, truth, "byte {at} mask {mask:#04x}");
            changed += usize::from(tensors != copy.truth);
        }
    });
    assert!(changed > 0, "the format has checksums after all");
}

#[test]
fn torch_zip() {
    refused_or_true(&Copy::of("small.pth"));
}

#[test]
fn deflated_torch_zip() {
    refused_or_true(&Copy::of("deflated.pth"));
}

#[test]
fn npz() {
    refused_or_true(&Copy::of("arrays.npz"));
}

#[test]
fn compressed_npz() {
    refused_or_true(&Copy::of("arrays_compressed.npz"));
}

/// One bit makes text of numbers (`i8`, `a8`), and text next to weights is left out: not before its checksum is right.
#[test]
fn text_in_an_npz_is_checked_though_nobody_reads_it() {
    let array = |kind: &str| {
        let header = format!("{{'descr': '<{kind}8', 'fortran_order': False, 'shape': (2,), }}\n");
        let start = [b"\x93NUMPY\x01\0", &(header.len() as u16).to_le_bytes()[..]].concat();
        [&start[..], header.as_bytes(), &[7; 16]].concat()
    };
    for make in [entry, deflated] {
        let sound = zip(&[make("w.npy", &array("i")), make("n.npy", &array("a"))]);
        assert_eq!(open_bytes(&sound).unwrap().tensors().len(), 1);
        let numbers = make("n.npy", &array("i"));
        let damaged = Entry { crc: numbers.crc, local_crc: numbers.local_crc, ..make("n.npy", &array("a")) };
        assert_eq!(refusal(&zip(&[make("w.npy", &array("i")), damaged])).0, Reason::Checksum);
    }
}

#[test]
fn shard_index() {
    let parts = ["shards/part-1-of-2.safetensors", "shards/part-2-of-2.safetensors"];
    refused_or_true(&Copy::next_to("shards/model.safetensors.index.json", &parts));
}

#[test]
fn zip_without_checksums() {
    views_of_what_is_stored(&Copy::of("no_crc.pth"), false);
}

#[test]
fn legacy_stream() {
    views_of_what_is_stored(&Copy::of("small.legacy.pth"), true);
}

#[test]
fn plain_pickles() {
    // From protocol 3 on, byte strings lie in the file as they are.
    for file in ["plain3.pkl", "plain4.pkl", "plain5.pkl"] {
        views_of_what_is_stored(&Copy::of(file), false);
    }
}

#[test]
fn tar() {
    views_of_what_is_stored(&Copy::of("old.tar"), true);
}

#[test]
fn safetensors() {
    let copy = Copy::of("dtypes.safetensors");
    let header = 8 + u64::from_le_bytes(copy.whole[..8].try_into().unwrap()) as usize;
    let refused = copy.each_byte(|at, mask, c, tensors| {
        let at_bit = format!("byte {at} mask {mask:#04x}");
        assert_eq!(tensors.len(), copy.truth.len(), "{at_bit}");
        let mut renamed = 0;
        for (t, (found, truth)) in c.tensors().iter().zip(tensors.iter().zip(&copy.truth)) {
            renamed += usize::from(found.0 != truth.0);
            assert_eq!(found.1, truth.1, "{at_bit}: dtype of '{}'", truth.0);
            assert!(found.2 == truth.2 || t.elements() == 0, "{at_bit}: shape of '{}'", truth.0);
            let start = c.storages()[t.storage].offset as usize + (t.offset * t.dtype.size()) as usize;
            let mut wanted = truth.3.clone();
            if let Some(byte) = at.checked_sub(start).and_then(|inside| wanted.get_mut(inside)) {
                *byte ^= mask;
            }
            assert_eq!(found.3, wanted, "{at_bit}: values of '{}'", truth.0);
        }
        assert!(renamed <= usize::from(at < header), "{at_bit}: {renamed} other names");
    });
    assert!(refused > 0 && refused <= header, "{refused} bits were refused");
}
