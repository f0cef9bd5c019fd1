//! Parses the etag of a file: the name of its blob in the cache and, nearly always, a digest of its bytes.
//!
//! The Hub's etag of a large file (Git LFS, Xet) is the SHA-256 of its bytes; that of a small one is its
//! git object id, the SHA-1 of `blob <size>\0` and the bytes. Some mirrors give the plain SHA-1 instead,
//! which proves as much.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::error::HubError;

/// Gives the bytes read at once while digesting.
const BLOCK: usize = 256 * 1024;

/// Holds a checked etag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Etag {
    name: String,
}

/// Says what a file's bytes are compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Sha256,
    Sha1,
    Opaque,
}

impl Etag {
    /// Reads an `ETag` or `X-Linked-Etag` header as `huggingface_hub` does, and refuses what could not
    /// be the name of a file: the cache stores the bytes under it.
    pub(super) fn parse(header: &str) -> Option<Self> {
        let name = header.trim().trim_start_matches(['W', '/']).trim_matches('"');
        let plain = name.chars().all(|c| c.is_ascii_graphic() && !"/\\\"".contains(c));
        let fits =
            (1..=200).contains(&name.len()) && !name.starts_with('.') && !name.ends_with(".incomplete");
        (plain && fits).then(|| Self { name: name.to_owned() })
    }

    /// Returns the file name of the blob.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> Kind {
        match self.name.len() {
            _ if !self.name.chars().all(|c| c.is_ascii_hexdigit()) => Kind::Opaque,
            64 => Kind::Sha256,
            40 => Kind::Sha1,
            _ => Kind::Opaque,
        }
    }

    /// Compares the bytes of `path` with the digest that the etag is. An etag that is not a digest cannot be
    /// checked and passes.
    ///
    /// Returns the name of the digest and its value in `path` where they differ.
    pub(super) fn check(&self, path: &Path) -> Result<Result<(), (&'static str, String)>, HubError> {
        let read = |source| HubError::disk("read", path, source);
        let mut file = File::open(path).map_err(read)?;
        let size = file.metadata().map_err(read)?.len();
        let found = match self.kind() {
            Kind::Opaque => return Ok(Ok(())),
            Kind::Sha256 => {
                let mut digest = Sha256::new();
                feed(&mut file, |bytes| digest.update(bytes)).map_err(read)?;
                ("sha256", vec![hex(&digest.finalize())])
            }
            Kind::Sha1 => {
                let mut git = Sha1::new_with_prefix(format!("blob {size}\0"));
                let mut plain = Sha1::new();
                feed(&mut file, |bytes| {
                    git.update(bytes);
                    plain.update(bytes);
                })
                .map_err(read)?;
                ("git sha1", vec![hex(&git.finalize()), hex(&plain.finalize())])
            }
        };
        let (algorithm, values) = found;
        if values.iter().any(|value| value.eq_ignore_ascii_case(&self.name)) {
            return Ok(Ok(()));
        }
        Ok(Err((algorithm, values.into_iter().next().unwrap_or_default())))
    }
}

fn feed(file: &mut File, mut each: impl FnMut(&[u8])) -> io::Result<()> {
    let mut block = vec![0; BLOCK];
    loop {
        match file.read(&mut block) {
            Ok(0) => return Ok(()),
            Ok(count) => each(block.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::Etag;

    #[test]
    fn headers_are_stripped_like_pythons() {
        for (header, name) in [("\"abc\"", "abc"), ("W/\"abc\"", "abc"), ("abc", "abc"), (" \"a-1\" ", "a-1")]
        {
            assert_eq!(Etag::parse(header).unwrap().name(), name);
        }
        for refused in [
            "",
            "\"\"",
            "\"../../x\"",
            "\"a/b\"",
            "\".hidden\"",
            "\"a b\"",
            "a.incomplete",
            "a\\b",
            "\"a\u{e9}\"",
        ] {
            assert_eq!(Etag::parse(refused), None, "{refused}");
        }
        assert_eq!(Etag::parse(&"a".repeat(201)), None);
    }

    #[test]
    fn digests_are_those_of_git_lfs_and_git() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "hello\n").unwrap();
        // `git hash-object`, `sha1sum` and `sha256sum` of a file that holds "hello\n".
        for right in [
            "ce013625030ba8dba906f756967f9e9ca394464a",
            "f572d396fae9206628714fb2ce00f72e94f2258f",
            "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03",
            "opaque-42",
        ] {
            assert_eq!(Etag::parse(right).unwrap().check(file.path()).unwrap(), Ok(()), "{right}");
        }
        let (algorithm, found) =
            Etag::parse(&"0".repeat(40)).unwrap().check(file.path()).unwrap().unwrap_err();
        assert_eq!((algorithm, found.as_str()), ("git sha1", "ce013625030ba8dba906f756967f9e9ca394464a"));
        assert!(Etag::parse(&"0".repeat(64)).unwrap().check(file.path()).unwrap().is_err());
    }
}
