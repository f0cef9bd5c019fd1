//! Holds what the fuzz targets share: opening bytes as a file and reading all that it offers, and writing the checksums that
//! would otherwise stop every mutation at the door.

pub mod targets;

use std::path::PathBuf;
use std::sync::OnceLock;

use vitport_checkpoint::{Checkpoint, Limits, escape};

/// Limits under which one execution stays fast.
fn limits() -> Limits {
    Limits {
        max_tensors: 1000,
        max_pickle_memory: 4 << 20,
        max_pickle_steps: 200_000,
        max_entries: 1000,
        max_expansion_bytes: 1 << 20,
        max_expansion_factor: 4,
        max_header_bytes: 1 << 20,
        ..Limits::default()
    }
}

/// Returns a folder in memory for this process, kept until it ends.
pub fn folder() -> &'static PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let place = if std::path::Path::new("/dev/shm").is_dir() { "/dev/shm" } else { "." };
        tempfile::Builder::new().prefix("vitport-fuzz").tempdir_in(place).expect("a temporary folder").keep()
    })
}

/// Writes the bytes to a file, opens it and reads everything.
pub fn open(bytes: &[u8]) {
    let path = folder().join("input");
    std::fs::write(&path, bytes).expect("a temporary file");
    open_path(&path);
}

/// Opens a path and reads everything that it offers, by every way there is.
pub fn open_path(path: &std::path::Path) {
    for opened in [Checkpoint::open(path, &limits()), Checkpoint::survey(path, &limits())] {
        match opened {
            Ok(mut checkpoint) => read_all(&mut checkpoint),
            Err(error) => {
                let text = error.to_string();
                assert!(!text.chars().any(char::is_control), "{text:?}");
            }
        }
    }
}

fn read_all(checkpoint: &mut Checkpoint) {
    let audit = checkpoint.audit();
    let mut budget = 1 << 20;
    for tensor in checkpoint.tensors() {
        assert!(!escape(&tensor.name).to_string().chars().any(char::is_control));
        let size = tensor.dtype.size();
        let count = tensor.elements().min(1000);
        budget -= (count * size) as i64;
        if budget < 0 {
            break;
        }
        let mut out = vec![0; (count * size) as usize];
        let _ = audit.read(tensor, 0, &mut out);
        let mut last = vec![0; size as usize];
        if let Some(at) = tensor.elements().checked_sub(1)
            && checkpoint.read(tensor, at, &mut last).is_ok()
            && at < count
            && checkpoint.read(tensor, 0, &mut out).is_ok()
        {
            assert_eq!(out[(at * size) as usize..][..size as usize], last, "blocks disagree");
        }
    }
    let _ = audit.finish();
    let shown = |text: String| assert!(!text.chars().any(char::is_control), "{text:?}");
    checkpoint.metadata().iter().for_each(|entry| shown(entry.value.to_string()));
    for module in checkpoint.all_modules() {
        module.attributes.iter().for_each(|(_, value)| shown(value.to_string()));
    }
    let roots: Vec<String> = checkpoint.roots().iter().map(|root| root.path.clone()).collect();
    for root in roots.iter().take(4) {
        let _ = checkpoint.select(root);
    }
    let _ = checkpoint.verify_all();
}

/// Returns a zip of stored entries with right checksums.
pub fn zip(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for (name, data) in entries {
        let mut common = vec![0; 6];
        common.extend([0; 2]);
        common.extend(crc32fast::hash(data).to_le_bytes());
        common.extend((data.len() as u32).to_le_bytes());
        common.extend((data.len() as u32).to_le_bytes());
        common.extend((name.len() as u16).to_le_bytes());
        common.extend(0_u16.to_le_bytes());
        let offset = out.len() as u32;
        out.extend(b"PK\x03\x04\x14\0");
        out.extend(&common);
        out.extend(name.bytes());
        out.extend(*data);
        directory.extend(b"PK\x01\x02\x14\0\x14\0");
        directory.extend(&common);
        directory.extend([0; 10]);
        directory.extend(offset.to_le_bytes());
        directory.extend(name.bytes());
    }
    let start = out.len() as u32;
    out.extend(&directory);
    out.extend(b"PK\x05\x06\0\0\0\0");
    out.extend((entries.len() as u16).to_le_bytes());
    out.extend((entries.len() as u16).to_le_bytes());
    out.extend((directory.len() as u32).to_le_bytes());
    out.extend(start.to_le_bytes());
    out.extend([0; 2]);
    out
}

/// Returns a tar of regular files with right checksums.
pub fn tar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, data) in members {
        let mut block = [0_u8; 512];
        block[..name.len()].copy_from_slice(name.as_bytes());
        block[124..135].copy_from_slice(format!("{:011o}", data.len()).as_bytes());
        block[148..156].fill(b' ');
        block[156] = b'0';
        let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
        block[148..154].copy_from_slice(format!("{sum:06o}").as_bytes());
        out.extend(block);
        out.extend(*data);
        out.resize(out.len().next_multiple_of(512), 0);
    }
    out.resize(out.len() + 1024, 0);
    out
}
