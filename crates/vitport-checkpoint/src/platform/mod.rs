//! Holds what operating systems do differently. `unix` is for Linux and macOS; `portable` needs no more than Rust's standard library,
//! and Windows uses it. Both are compiled, and tested, on Linux.

#[cfg(any(not(unix), test))]
mod portable;
#[cfg(unix)]
mod unix;

#[cfg(not(unix))]
use self::portable as system;
#[cfg(unix)]
use self::unix as system;

use std::fs::{File, FileType, Metadata, Permissions};
use std::io;
use std::path::Path;

/// Says what stands in the place of a file or folder, and is neither.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Special {
    /// Means a pipe, which blocks whoever opens it.
    Pipe,
    /// Means a socket.
    Socket,
    /// Means a device that takes characters, such as a terminal.
    CharacterDevice,
    /// Means another device, or what the system does not tell.
    Device,
}

/// Returns what something is that is neither a file nor a folder nor a link.
#[must_use]
pub fn special(kind: FileType) -> Option<Special> {
    let is_other = !kind.is_file() && !kind.is_dir() && !kind.is_symlink();
    is_other.then(|| system::special(kind))
}

/// Returns the numbers of the file system and of the file in it, which no other file has at that time; `None` where the system has none.
#[must_use]
pub fn identity(metadata: &Metadata) -> Option<(u64, u64)> {
    system::identity(metadata)
}

/// Reads from `offset` on, as many bytes as one read of the system gives: 0 at the end of the file. Where other threads read the same
/// file does not matter.
///
/// # Errors
/// What the system reports.
pub fn read_at(file: &File, out: &mut [u8], offset: u64) -> io::Result<usize> {
    system::read_at(file, out, offset)
}

/// Fills `out` with the bytes from `offset` on.
///
/// # Errors
/// What the system reports, and an error of kind [`io::ErrorKind::UnexpectedEof`] if there are fewer.
pub fn read_exact_at(file: &File, out: &mut [u8], offset: u64) -> io::Result<()> {
    system::read_exact_at(file, out, offset)
}

/// Writes all bytes from `offset` on. Where other threads write into the same file does not matter.
///
/// # Errors
/// What the system reports.
pub fn write_all_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    system::write_all_at(file, bytes, offset)
}

/// Gives a file a length of `len` bytes, and its space on the disk where the file system can do that.
///
/// # Errors
/// What the system reports, such as a disk that is full.
pub fn allocate(file: &File, len: u64) -> io::Result<()> {
    system::allocate(file, len)
}

/// Returns the free bytes of the disk that holds a folder, where the system says so.
#[must_use]
pub fn free_bytes(folder: &Path) -> Option<u64> {
    system::free_bytes(folder)
}

/// Exchanges the names of two files or folders in one step. Returns `false`, and changes nothing, where the system or the file system
/// cannot do that.
///
/// # Errors
/// What the system reports.
pub fn exchange(one: &Path, other: &Path) -> io::Result<bool> {
    system::exchange(one, other)
}

/// Makes `place` a link to the file `target`.
///
/// # Errors
/// What the system reports, and an error of kind [`io::ErrorKind::Unsupported`] or [`io::ErrorKind::PermissionDenied`] where there are
/// no links for this user.
pub fn link(target: &Path, place: &Path) -> io::Result<()> {
    system::link(target, place)
}

/// Returns the permissions of a file that is simply created, before the umask, where there are such.
#[must_use]
pub fn usual_permissions() -> Option<Permissions> {
    system::usual_permissions()
}

/// Lets the owner read, change and enter a folder.
///
/// # Errors
/// What the system reports.
pub fn open_to_owner(folder: &Path) -> io::Result<()> {
    system::open_to_owner(folder)
}

/// Opens a folder, so that it can be locked.
///
/// # Errors
/// What the system reports.
pub fn open_folder(folder: &Path) -> io::Result<File> {
    system::open_folder(folder)
}

/// Opens what is there, a device or a pipe too, for writing.
///
/// # Errors
/// What the system reports, and that nobody reads a pipe, where the system would otherwise wait for a reader for ever.
pub fn open_for_writing(path: &Path) -> io::Result<File> {
    system::open_for_writing(path)
}

/// Puts a folder's list of names on the disk. File systems that cannot do that for a folder need not.
///
/// # Errors
/// What the system reports.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    system::sync_folder(folder)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Runs the same on both branches.
    macro_rules! on_both {
        ($test:ident, $system:ident => $body:block) => {
            #[test]
            fn $test() {
                {
                    use super::unix as $system;
                    $body
                }
                {
                    use super::portable as $system;
                    $body
                }
            }
        };
    }

    on_both!(bytes_are_read_and_written_at_their_place, system => {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let file = fs::OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
        system::allocate(&file, 12).unwrap();
        assert_eq!(file.metadata().unwrap().len(), 12);
        system::write_all_at(&file, b"later", 7).unwrap();
        system::write_all_at(&file, b"sooner", 0).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"sooner\0later");
        let mut bytes = [0; 5];
        system::read_exact_at(&file, &mut bytes, 7).unwrap();
        assert_eq!(&bytes, b"later");
        assert_eq!(system::read_at(&file, &mut bytes, 10).unwrap(), 2);
        let error = system::read_exact_at(&file, &mut bytes, 8).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    });

    on_both!(folders_are_exchanged_or_left_alone, system => {
        let folder = tempfile::tempdir().unwrap();
        let [one, other] = ["one", "other"].map(|name| folder.path().join(name));
        for path in [&one, &other] {
            fs::create_dir(path).unwrap();
        }
        fs::write(one.join("file"), "").unwrap();
        let holder = if system::exchange(&one, &other).unwrap() { &other } else { &one };
        assert!(holder.join("file").exists());
        system::sync_folder(folder.path()).unwrap();
        system::open_to_owner(&one).unwrap();
        system::open_folder(&one).unwrap();
    });

    #[test]
    fn a_file_is_known_again_and_what_is_none_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let [one, other] = ["one", "other"].map(|name| folder.path().join(name));
        fs::write(&one, "").unwrap();
        fs::write(&other, "").unwrap();
        let of = |path: &Path| identity(&fs::metadata(path).unwrap()).unwrap();
        assert_eq!(of(&one), of(&one));
        assert_ne!(of(&one), of(&other));
        assert!(portable::identity(&fs::metadata(&one).unwrap()).is_none());
        let kind = |path: &str| special(fs::metadata(path).unwrap().file_type());
        assert_eq!(kind("/dev/null"), Some(Special::CharacterDevice));
        assert_eq!(special(fs::metadata(&one).unwrap().file_type()), None);
        assert!(free_bytes(folder.path()).unwrap() > 0);
    }
}
