//! Zips that say two things at once are refused by name: this is how scanners are shown one file and
//! loaders another.

use vitport_checkpoint::Reason;

use crate::support::pickles::one_tensor;
use crate::support::zips::{deflated, end, entry, torch_entries, torch_file, zip};
use crate::support::{self, data, floats, open_bytes, refusal};

/// The refusal of a PyTorch file whose storage entry is changed.
fn with_storage(change: impl FnOnce(&mut support::zips::Entry)) -> (Reason, String) {
    let mut entries = torch_entries(&one_tensor());
    change(&mut entries[1]);
    refusal(&zip(&entries))
}

#[test]
fn the_truthful_zip_opens() {
    let checkpoint = open_bytes(&torch_file(&one_tensor())).unwrap();
    assert_eq!(floats(&checkpoint, "w"), [1.0, 2.0, 3.0, 4.0]);
    checkpoint.verify_all().unwrap();
}

#[test]
fn duplicate_entry_names() {
    let mut entries = torch_entries(&one_tensor());
    entries.push(entries[0].clone());
    let (reason, text) = refusal(&zip(&entries));
    assert_eq!(reason, Reason::Contradiction);
    assert!(text.contains("two entries called 'a/data.pkl'"), "{text}");
}

#[test]
fn two_pickles() {
    let mut entries = torch_entries(&one_tensor());
    entries.push(entry("b/data.pkl", &one_tensor()));
    let (reason, text) = refusal(&zip(&entries));
    assert_eq!(reason, Reason::Contradiction);
    assert!(text.contains("'a/' and in 'b/'"), "{text}");
}

#[test]
fn local_header_with_another_name() {
    let (reason, text) = with_storage(|e| e.local_name = "a/data/1".into());
    assert_eq!(reason, Reason::Contradiction);
    assert!(
        text.contains("'a/data/0' differs from the directory") && text.contains("another name"),
        "{text}"
    );
    let (reason, _) = with_storage(|e| e.local_name = "a/data/00".into());
    assert_eq!(reason, Reason::Contradiction);
}

#[test]
fn local_header_with_another_compression_size_or_checksum() {
    assert_eq!(with_storage(|e| e.local_method = 8).0, Reason::Contradiction);
    assert_eq!(with_storage(|e| e.local_len = 12).0, Reason::Contradiction);
    assert_eq!(with_storage(|e| e.local_crc ^= 1).0, Reason::Contradiction);
    assert_eq!(with_storage(|e| e.local_flags = 1).0, Reason::Contradiction);
    assert_eq!(with_storage(|e| e.local_flags = 8).0, Reason::Contradiction);
}

/// The headers of so many entries are compared while the pickle runs.
#[test]
fn local_headers_of_a_large_zip() {
    let large = |pickle: &[u8]| {
        let mut entries = torch_entries(pickle);
        entries.extend((1..3000).map(|key| entry(&format!("a/data/{key}"), &[0; 4])));
        entries
    };
    let checkpoint = open_bytes(&zip(&large(&one_tensor()))).unwrap();
    assert_eq!(floats(&checkpoint, "w"), [1.0, 2.0, 3.0, 4.0]);
    for changed in [0, 1, 1500, 2999] {
        // Whatever the pickle says, the header is told.
        for pickle in [one_tensor(), b"\x80\x02e.".to_vec()] {
            let mut entries = large(&pickle);
            entries[changed].local_crc ^= 1;
            let name = entries[changed].name.clone();
            let (reason, text) = refusal(&zip(&entries));
            assert_eq!(reason, Reason::Contradiction, "{name}");
            assert!(text.contains(&format!("'{name}' differs from the directory")), "{text}");
        }
    }
    let (reason, _) = refusal(&zip(&large(b"\x80\x02e.")));
    assert_eq!(reason, Reason::Malformed);
}

#[test]
fn local_header_with_another_64_bit_size() {
    let wide = |len: u64| [&[1, 0, 16, 0][..], &len.to_le_bytes(), &len.to_le_bytes()].concat();
    let with = |len: u64| {
        let mut entries = torch_entries(&one_tensor());
        entries[1].local_len = u64::from(u32::MAX);
        entries[1].local_extra = wide(len);
        zip(&entries)
    };
    assert!(open_bytes(&with(16)).is_ok());
    assert_eq!(refusal(&with(12)).0, Reason::Contradiction);
}

#[test]
fn descriptor_that_disagrees() {
    let descriptor = |len: u32| [&b"PK\x07\x08"[..], &crc(), &len.to_le_bytes(), &len.to_le_bytes()].concat();
    fn crc() -> [u8; 4] {
        torch_entries(&one_tensor())[1].crc.to_le_bytes()
    }
    let with = |descriptor: Vec<u8>| {
        let mut entries = torch_entries(&one_tensor());
        let e = &mut entries[1];
        (e.flags, e.local_flags, e.descriptor) = (8, 8, descriptor);
        zip(&entries)
    };
    assert!(open_bytes(&with(descriptor(16))).is_ok());
    assert!(open_bytes(&with(descriptor(16)[4..].to_vec())).is_ok());
    assert_eq!(refusal(&with(descriptor(12))).0, Reason::Contradiction);
}

#[test]
fn encrypted_entries() {
    let (reason, text) = with_storage(|e| (e.flags, e.local_flags) = (1, 1));
    assert_eq!(reason, Reason::Unsupported);
    assert!(text.contains("'a/data/0' is encrypted"), "{text}");
}

#[test]
fn unknown_compression() {
    let (reason, text) = with_storage(|e| (e.method, e.local_method) = (12, 12));
    assert_eq!(reason, Reason::Unsupported);
    assert!(text.contains("method 12"), "{text}");
}

#[test]
fn overlapping_entries() {
    // A second entry whose header lies inside the first one's data.
    let inner = zip(&[entry("a/data/1", &[0; 16])])[..30 + 8 + 16].to_vec();
    let mut entries = torch_entries(&one_tensor());
    entries[1] = entry("a/data/0", &inner);
    let outer = zip(&entries);
    let at = outer.windows(8).position(|w| w == b"a/data/1").unwrap() - 30;
    let mut second = entry("a/data/1", &[0; 16]);
    second.offset = Some(at as u64);
    // The second entry's own local header and data are left behind as padding.
    entries.push(second);
    let (reason, text) = refusal(&zip(&entries));
    assert_eq!(reason, Reason::Contradiction);
    assert!(text.contains("overlaps"), "{text}");
}

#[test]
fn entries_beyond_the_end() {
    assert_eq!(with_storage(|e| e.offset = Some(1 << 31)).0, Reason::Truncated);
    let (reason, _) = with_storage(|e| {
        (e.len, e.packed, e.local_len) = (1 << 30, 1 << 30, 1 << 30);
    });
    assert_eq!(reason, Reason::Truncated);
}

#[test]
fn names_that_readers_would_cut() {
    let (reason, _) = with_storage(|e| {
        e.name = "a/data/0\0.txt".into();
        e.local_name = e.name.clone();
    });
    assert_eq!(reason, Reason::Contradiction);
}

#[test]
fn two_directories() {
    let honest = torch_file(&one_tensor());
    let evil = torch_file(&one_tensor());
    // Both archives end the file: the second one's offsets are right only after its own beginning.
    let both = [honest.clone(), evil].concat();
    assert!(open_bytes(&honest).is_ok());
    assert_eq!(refusal(&both).0, Reason::Contradiction);
}

#[test]
fn a_second_end_record_in_the_comment() {
    let mut file = torch_file(&one_tensor());
    let at = file.len() - 2;
    file[at] = 22;
    file.extend(end(0, 0, 0));
    assert_eq!(refusal(&file).0, Reason::Contradiction);
}

#[test]
fn a_zip_within_an_entry_is_no_second_directory() {
    let inner = torch_file(&one_tensor());
    let with = |position: usize| {
        let mut entries = torch_entries(&one_tensor());
        entries.insert(position, entry("a/inner.pth", &inner));
        zip(&entries)
    };
    for position in 0..=3 {
        let c = open_bytes(&with(position)).unwrap();
        assert_eq!(floats(&c, "w"), [1.0, 2.0, 3.0, 4.0], "{position}");
        c.verify_all().unwrap();
    }
    // Even one that contradicts itself: its end calls for a 64-bit record that is not there.
    let mut torn = inner.clone();
    let at = torn.len() - 12;
    torn[at..at + 2].copy_from_slice(&[0xff; 2]);
    assert_eq!(refusal(&torn).0, Reason::Unsupported);
    torn[at - 2..at].copy_from_slice(&[0xff; 2]);
    assert_eq!(refusal(&torn).0, Reason::Contradiction);
    let mut entries = torch_entries(&one_tensor());
    entries.push(entry("a/inner.pth", &torn));
    assert_eq!(floats(&open_bytes(&zip(&entries)).unwrap(), "w"), [1.0, 2.0, 3.0, 4.0]);
    // Between two entries it lies in nobody's bytes.
    let mut entries = torch_entries(&one_tensor());
    entries[1].descriptor = inner;
    assert_eq!(refusal(&zip(&entries)).0, Reason::Contradiction);
}

#[test]
fn more_entries_than_the_directory_holds() {
    let file = torch_file(&one_tensor());
    let lie = |count: u16| {
        let mut file = file.clone();
        let at = file.len() - 14;
        file[at..at + 2].copy_from_slice(&count.to_le_bytes());
        file[at + 2..at + 4].copy_from_slice(&count.to_le_bytes());
        file
    };
    assert_eq!(refusal(&lie(60_000)).0, Reason::Contradiction);
    assert_eq!(refusal(&lie(2)).0, Reason::Contradiction);
    assert!(open_bytes(&lie(3)).is_ok());
}

#[test]
fn an_end_that_is_missing() {
    let file = torch_file(&one_tensor());
    let (reason, text) = refusal(&file[..file.len() - 30]);
    assert_eq!(reason, Reason::Truncated);
    assert!(text.contains("fetch the file again"), "{text}");
}

#[test]
fn a_record_of_another_length_than_the_pickle_declares() {
    let mut entries = torch_entries(&one_tensor());
    entries[1] = entry("a/data/0", &[0; 20]);
    assert_eq!(refusal(&zip(&entries)).0, Reason::Contradiction);
    entries.remove(1);
    let (reason, text) = refusal(&zip(&entries));
    assert_eq!(reason, Reason::Truncated);
    assert!(text.contains("'data/0' is missing"), "{text}");
}

#[test]
fn checksums() {
    // Of the pickle: at once.
    let mut file = torch_file(&one_tensor());
    let at = file.windows(3).position(|w| w == b"cpu").unwrap();
    file[at] ^= 1;
    assert_eq!(refusal(&file).0, Reason::Checksum);
    // Of a storage: when it is checked.
    let mut file = torch_file(&one_tensor());
    let at = file.windows(4).position(|w| w == 2.0_f32.to_le_bytes()).unwrap();
    file[at] ^= 1;
    let checkpoint = open_bytes(&file).unwrap();
    let error = checkpoint.verify_all().unwrap_err();
    assert_eq!(error.reason(), Some(Reason::Checksum));
    assert!(error.to_string().contains("'data/0'"), "{error}");
}

#[test]
fn a_single_checksum_of_zero_is_a_checksum() {
    let mut entries = torch_entries(&one_tensor());
    (entries[1].crc, entries[1].local_crc) = (0, 0);
    let checkpoint = open_bytes(&zip(&entries)).unwrap();
    assert_eq!(checkpoint.verify_all().unwrap_err().reason(), Some(Reason::Checksum));
    for e in &mut entries {
        (e.crc, e.local_crc) = (0, 0);
    }
    let checkpoint = open_bytes(&zip(&entries)).unwrap();
    checkpoint.verify_all().unwrap();
    assert!(checkpoint.evidence().notes.iter().any(|note| note.contains("CRC-32 is 0")));
}

#[test]
fn deflated_records_that_lie() {
    let values: Vec<u8> = (0..4).flat_map(|v| (v as f32).to_le_bytes()).collect();
    let mut entries = torch_entries(&one_tensor());
    entries[1] = deflated("a/data/0", &values);
    assert_eq!(floats(&open_bytes(&zip(&entries)).unwrap(), "w"), [0.0, 1.0, 2.0, 3.0]);

    for longer in [true, false] {
        let mut entries = entries.clone();
        let other = if longer { [&values[..], &[0]].concat() } else { values[..15].to_vec() };
        let packed = deflated("a/data/0", &other);
        (entries[1].data, entries[1].packed) = (packed.data, packed.packed);
        let checkpoint = open_bytes(&zip(&entries)).unwrap();
        let tensor = checkpoint.tensors()[0].clone();
        let error = checkpoint.read(&tensor, 0, &mut [0; 16]).unwrap_err();
        assert_eq!(error.reason(), Some(Reason::Malformed), "{error}");
        assert!(checkpoint.verify_all().is_err());
    }
    (entries[1].crc, entries[1].local_crc) = (1, 1);
    let checkpoint = open_bytes(&zip(&entries)).unwrap();
    assert_eq!(checkpoint.verify_all().unwrap_err().reason(), Some(Reason::Checksum));
}

#[test]
fn every_prefix_of_a_real_file_is_refused() {
    let whole = std::fs::read(data("small.pth")).unwrap();
    for len in (0..whole.len() - 1).step_by(7) {
        let (_, text) = refusal(&whole[..len]);
        assert!(!text.is_empty());
    }
}

/// A truthful zip whose end is given by the 64-bit records that are given and by a locator that leads to `offset`.
fn with_wide_end(records: usize, locator: impl Fn(u64) -> u64, disks: u32) -> Vec<u8> {
    let mut file = torch_file(&support::pickles::one_tensor());
    let end = file.split_off(file.len() - 22);
    let number = |at: usize| u64::from(u32::from_le_bytes(end[at..at + 4].try_into().unwrap()));
    let entries = u64::from(u16::from_le_bytes(end[10..12].try_into().unwrap()));
    let first = file.len() as u64;
    for _ in 0..records {
        file.extend(b"PK\x06\x06");
        file.extend(44_u64.to_le_bytes());
        file.extend([45, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        for value in [entries, entries, number(12), number(16)] {
            file.extend(value.to_le_bytes());
        }
    }
    file.extend(b"PK\x06\x07\0\0\0\0");
    file.extend(locator(first).to_le_bytes());
    file.extend(disks.to_le_bytes());
    file.extend(b"PK\x05\x06\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0");
    file
}

#[test]
fn two_64_bit_end_records() {
    assert!(support::open_bytes(&with_wide_end(1, |first| first, 1)).is_ok());
    let (reason, text) = refusal(&with_wide_end(2, |first| first, 1));
    assert_eq!(reason, Reason::Contradiction);
    assert!(text.contains("two zip64 end records"), "{text}");
    assert_eq!(refusal(&with_wide_end(0, |first| first, 1)).0, Reason::Contradiction);
    assert_eq!(refusal(&with_wide_end(1, |first| first, 9)).0, Reason::Unsupported);
}
