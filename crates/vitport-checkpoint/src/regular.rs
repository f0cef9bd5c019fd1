//! Opens files by name that have to be files: a pipe or a socket of that name would block for ever, a device never end.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use crate::platform::{Special, special};

/// Opens a regular file, following links. Anything else is not opened at all.
///
/// # Errors
/// What the system reports, of kind [`io::ErrorKind::NotFound`] only if nothing has that name; and an error of kind
/// [`io::ErrorKind::InvalidInput`] for what is not a regular file, such as a link to nothing.
pub fn open_regular(path: &Path) -> io::Result<File> {
    let there = fs::metadata(path).map_err(|error| match is_no_file(path) {
        Some(what) => io::Error::new(io::ErrorKind::InvalidInput, format!("this is {what}")),
        None => in_words(error),
    })?;
    if !there.is_file() {
        return Err(not_regular());
    }
    let file = File::open(path).map_err(in_words)?;
    // Somebody may have put another thing there meanwhile.
    if file.metadata()?.is_file() { Ok(file) } else { Err(not_regular()) }
}

/// Returns an error of the system with a plain sentence in place of its number, for what happens most.
fn in_words(error: io::Error) -> io::Error {
    match error.kind() {
        kind @ io::ErrorKind::NotFound => io::Error::new(kind, "there is no such file"),
        kind @ io::ErrorKind::PermissionDenied => io::Error::new(kind, "you have no permission to read it"),
        _ => error,
    }
}

/// Reads a regular file of at most `limit` bytes.
///
/// # Errors
/// As [`open_regular`]; and an error of kind [`io::ErrorKind::FileTooLarge`] for a file that has more bytes.
pub fn read_regular(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let file = open_regular(path)?;
    let too_large = || io::Error::new(io::ErrorKind::FileTooLarge, format!("it has more than {limit} bytes"));
    if file.metadata()?.len() > limit {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    // It may have grown since.
    let read = file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if read as u64 > limit { Err(too_large()) } else { Ok(bytes) }
}

/// Returns what stands at a path, if it is neither a file nor a folder: a link to nothing or to itself, a pipe, a socket, a device.
pub fn is_no_file(path: &Path) -> Option<&'static str> {
    let own = fs::symlink_metadata(path).ok()?.file_type();
    let kind = match fs::metadata(path) {
        Ok(there) => there.file_type(),
        Err(error) if own.is_symlink() => {
            return Some(match error.kind() {
                io::ErrorKind::NotFound => "a link to a file that is not there",
                _ => "a link that leads nowhere",
            });
        }
        Err(_) => return None,
    };
    Some(match special(kind)? {
        Special::Pipe => "a pipe",
        Special::Socket => "a socket",
        Special::CharacterDevice | Special::Device => "a device",
    })
}

fn not_regular() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "this is not a regular file")
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn only_files_are_opened_and_only_short_ones_read() {
        let folder = tempfile::tempdir().unwrap();
        let (file, socket) = (folder.path().join("file"), folder.path().join("socket"));
        fs::write(&file, "four").unwrap();
        assert_eq!(read_regular(&file, 4).unwrap(), b"four");
        assert_eq!(read_regular(&file, 3).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        let _listener = UnixListener::bind(&socket).unwrap();
        for path in [folder.path(), &socket, Path::new("/dev/zero")] {
            let error = open_regular(path).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{}: {error}", path.display());
        }
        for (link, target) in [("dangling", "nothing"), ("loop", "loop"), ("link", "file")] {
            std::os::unix::fs::symlink(target, folder.path().join(link)).unwrap();
        }
        for (name, what) in [
            ("dangling", Some("a link to a file that is not there")),
            ("loop", Some("a link that leads nowhere")),
            ("socket", Some("a socket")),
            ("link", None),
            ("file", None),
            ("none", None),
        ] {
            assert_eq!(is_no_file(&folder.path().join(name)), what, "{name}");
        }
        for link in ["dangling", "loop"] {
            let error = open_regular(&folder.path().join(link)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{link}: {error}");
        }
        assert_eq!(open_regular(&folder.path().join("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
