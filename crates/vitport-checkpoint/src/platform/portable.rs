//! Does without any system's own calls, but for what Windows needs to read at a position and to open a folder.

use std::fs::{self, File, FileType, Metadata, OpenOptions, Permissions};
use std::io;
#[cfg(not(windows))]
use std::io::{Read, Seek, SeekFrom, Write};
#[cfg(windows)]
use std::os::windows::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use super::Special;

#[cfg_attr(test, expect(dead_code, reason = "tests ask the system's own branch"))]
pub(super) fn special(_: FileType) -> Special {
    Special::Device
}

/// Returns nothing: the numbers of a file on Windows are not in Rust's standard library.
pub(super) fn identity(_: &Metadata) -> Option<(u64, u64)> {
    None
}

#[cfg(windows)]
pub(super) fn read_at(file: &File, out: &mut [u8], offset: u64) -> io::Result<usize> {
    file.seek_read(out, offset)
}

#[cfg(not(windows))]
pub(super) fn read_at(mut file: &File, out: &mut [u8], offset: u64) -> io::Result<usize> {
    file.seek(SeekFrom::Start(offset))?;
    file.read(out)
}

pub(super) fn read_exact_at(file: &File, mut out: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !out.is_empty() {
        match read_at(file, out, offset) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                out = out.get_mut(count..).unwrap_or_default();
                offset = offset.saturating_add(count as u64);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(windows)]
fn write_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<usize> {
    file.seek_write(bytes, offset)
}

#[cfg(not(windows))]
fn write_at(mut file: &File, bytes: &[u8], offset: u64) -> io::Result<usize> {
    file.seek(SeekFrom::Start(offset))?;
    file.write(bytes)
}

pub(super) fn write_all_at(file: &File, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match write_at(file, bytes, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => {
                bytes = bytes.get(count..).unwrap_or_default();
                offset = offset.saturating_add(count as u64);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

pub(super) fn allocate(file: &File, len: u64) -> io::Result<()> {
    file.set_len(len)
}

#[cfg_attr(test, expect(dead_code, reason = "tests ask the system's own branch"))]
pub(super) fn free_bytes(_: &Path) -> Option<u64> {
    None
}

#[expect(clippy::unnecessary_wraps, reason = "other systems may fail")]
pub(super) fn exchange(_: &Path, _: &Path) -> io::Result<bool> {
    Ok(false)
}

#[cfg_attr(test, expect(dead_code, reason = "tests ask the system's own branch"))]
pub(super) fn link(target: &Path, place: &Path) -> io::Result<()> {
    #[cfg(windows)]
    return std::os::windows::fs::symlink_file(target, place);
    #[cfg(not(windows))]
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        format!("no link from {} to {}", place.display(), target.display()),
    ))
}

#[cfg_attr(test, expect(dead_code, reason = "tests ask the system's own branch"))]
pub(super) fn usual_permissions() -> Option<Permissions> {
    None
}

pub(super) fn open_to_owner(folder: &Path) -> io::Result<()> {
    let mut permissions = fs::symlink_metadata(folder)?.permissions();
    if permissions.readonly() {
        #[expect(
            clippy::permissions_set_readonly_false,
            reason = "where this is used, it is an attribute of the file and no mode"
        )]
        permissions.set_readonly(false);
        fs::set_permissions(folder, permissions)?;
    }
    Ok(())
}

pub(super) fn open_folder(folder: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    // FILE_FLAG_BACKUP_SEMANTICS, without which CreateFileW opens no folder.
    #[cfg(windows)]
    options.custom_flags(0x0200_0000);
    options.read(true).open(folder)
}

#[cfg_attr(test, expect(dead_code, reason = "tests ask the system's own branch"))]
pub(super) fn open_for_writing(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).open(path)
}

/// Does nothing: Windows writes the names of a folder by itself.
#[expect(clippy::unnecessary_wraps, reason = "other systems may fail")]
pub(super) fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}
