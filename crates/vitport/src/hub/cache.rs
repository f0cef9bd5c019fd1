//! Reads and writes the cache on disk, laid out as Python's `huggingface_hub` lays it out, so that either finds what the other
//! fetched:
//!
//! ```text
//! models--org--name/blobs/<etag>                     the bytes, once
//! models--org--name/blobs/<etag>.incomplete          an interrupted transfer, to be resumed
//! models--org--name/refs/<branch, tag or refs/pr/N>  the commit it stood for when last asked
//! models--org--name/snapshots/<commit>/<path>        a relative link to the blob
//! models--org--name/.refs/<a%2Fb>                    the same, where refs/a is a file and refs/a/b cannot be
//! models--org--name/.no_exist/<commit>/<path>        an empty file: the commit is known not to have this one
//! .locks/models--org--name/<etag>.lock               held (flock) while the blob is written
//! ```
//!
//! Everything appears by rename, whole or not at all.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use vitport_checkpoint::{platform, read_regular};

use super::error::HubError;
use super::etag::Etag;
use super::name::check_path;
use super::progress::{FetchEvent, Progress};
use crate::temporary::uninterrupted;

/// Describes the part of the cache that belongs to one repository.
#[derive(Clone, Debug)]
pub(super) struct RepoCache {
    root: PathBuf,
    folder_name: String,
}

impl RepoCache {
    /// Makes the cache of `repo`, a checked name, `org/name`.
    pub(super) fn new(root: &Path, repo: &str) -> Self {
        Self { root: root.to_owned(), folder_name: format!("models--{}", repo.replace('/', "--")) }
    }

    /// Returns the whole cache's folder.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    fn folder(&self) -> PathBuf {
        self.root.join(&self.folder_name)
    }

    /// Returns the folder of the snapshot of a commit; it need not exist.
    pub(super) fn snapshot(&self, commit: &str) -> PathBuf {
        self.folder().join("snapshots").join(commit)
    }

    /// Returns the place of a file of a commit, if its bytes are here.
    pub(super) fn file(&self, commit: &str, path: &str) -> Option<PathBuf> {
        let place = self.snapshot(commit).join(path);
        place.is_file().then_some(place)
    }

    /// Returns the blob's place; it need not exist.
    pub(super) fn blob(&self, etag: &Etag) -> PathBuf {
        self.folder().join("blobs").join(etag.name())
    }

    /// Returns the file in which the bytes gather until they are whole.
    pub(super) fn incomplete(&self, etag: &Etag) -> PathBuf {
        self.folder().join("blobs").join(format!("{}.incomplete", etag.name()))
    }

    /// Returns the commit that a revision stands for, as far as the cache knows.
    pub(super) fn commit_of(&self, revision: &str) -> Option<String> {
        if is_commit(revision) && self.snapshot(revision).is_dir() {
            return Some(revision.to_owned());
        }
        let usual = self.folder().join("refs").join(revision);
        let text = read_ref(&usual).or_else(|| read_ref(&self.aside(revision)))?;
        let commit = text.trim();
        is_segment(commit).then(|| commit.to_owned())
    }

    /// Lists every file of a commit whose bytes are here, as paths in the repository.
    pub(super) fn listing(&self, commit: &str) -> Vec<String> {
        let mut files = Vec::new();
        let mut folders = vec![(self.snapshot(commit), String::new())];
        while let Some((folder, prefix)) = folders.pop() {
            let Ok(entries) = fs::read_dir(&folder) else { continue };
            for entry in entries.flatten() {
                let Ok(name) = entry.file_name().into_string() else { continue };
                let path = format!("{prefix}{name}");
                let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
                if is_folder && prefix.matches('/').count() < 16 {
                    folders.push((entry.path(), format!("{path}/")));
                } else if entry.path().is_file() && check_path(&path).is_ok() {
                    files.push(path);
                }
            }
        }
        files.sort();
        files
    }

    fn absence(&self, commit: &str, path: &str) -> PathBuf {
        self.folder().join(".no_exist").join(commit).join(path)
    }

    /// Says whether the commit is known not to have a file.
    pub(super) fn is_known_absent(&self, commit: &str, path: &str) -> bool {
        self.absence(commit, path).is_file()
    }

    /// Remembers that the commit does not have a file. Nothing depends on it but a question less next time, so a cache
    /// that takes no note is not a failure.
    pub(super) fn remember_absence(&self, commit: &str, path: &str) {
        let place = self.absence(commit, path);
        let made = place.parent().map_or(Ok(()), fs::create_dir_all);
        let _ = made.and_then(|()| OpenOptions::new().create(true).append(true).open(&place));
    }

    /// Remembers which commit a revision stands for.
    pub(super) fn remember(&self, revision: &str, commit: &str) -> Result<(), HubError> {
        let usual = self.folder().join("refs").join(revision);
        let is_shadowed = usual.is_dir() || usual.ancestors().skip(1).any(Path::is_file);
        let place = if is_shadowed { self.aside(revision) } else { usual };
        let known = read_ref(&place).is_some_and(|text| text == commit);
        if revision == commit || known {
            return Ok(());
        }
        let write = |source| HubError::disk("write", &place, source);
        let folder = place.parent().unwrap_or(&self.root);
        fs::create_dir_all(folder).map_err(|source| HubError::disk("create the folder", folder, source))?;
        let _section = uninterrupted();
        let mut builder = tempfile::Builder::new();
        builder.prefix(".ref-");
        // A cache may be shared between users.
        if let Some(permissions) = platform::usual_permissions() {
            builder.permissions(permissions);
        }
        let mut new = builder.tempfile_in(folder).map_err(write)?;
        new.write_all(commit.as_bytes()).map_err(write)?;
        new.persist(&place).map_err(|error| write(error.error))?;
        Ok(())
    }

    /// Returns where a revision is noted whose usual place is taken: `refs/a` is a file, so that `refs/a/b` cannot be. In one
    /// name, with `%2F` in place of `/`.
    fn aside(&self, revision: &str) -> PathBuf {
        self.folder().join(".refs").join(revision.replace('%', "%25").replace('/', "%2F"))
    }

    /// Takes the lock that `huggingface_hub` takes before it writes this blob. It is given up when the
    /// returned file is dropped. A file system without locks is used without: the digest of what was
    /// written is checked in any case.
    pub(super) fn lock(&self, etag: &Etag, file: &str, progress: &dyn Progress) -> Result<File, HubError> {
        let folder = self.root.join(".locks").join(&self.folder_name);
        fs::create_dir_all(&folder).map_err(|source| HubError::disk("create the folder", &folder, source))?;
        let place = folder.join(format!("{}.lock", etag.name()));
        let open = |source| HubError::disk("open", &place, source);
        if fs::metadata(&place).is_ok_and(|there| !there.is_file()) {
            return Err(open(io::Error::new(io::ErrorKind::InvalidInput, "this is not a regular file")));
        }
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(&place).map_err(open)?;
        let mut waited: Option<(Instant, Option<u64>)> = None;
        while let Err(TryLockError::WouldBlock) = lock.try_lock() {
            let length = fs::metadata(self.incomplete(etag)).ok().map(|there| there.len());
            match &mut waited {
                None => {
                    progress.event(FetchEvent::WaitingForLock { file });
                    waited = Some((Instant::now(), length));
                }
                Some((since, known)) if *known != length => (*since, *known) = (Instant::now(), length),
                Some((since, _)) if since.elapsed() > LONGEST_WAIT => {
                    let why = "another process holds it and fetches nothing; end that one, then try again";
                    return Err(HubError::disk("lock", &place, io::Error::new(io::ErrorKind::TimedOut, why)));
                }
                Some(_) => {}
            }
            sleep(Duration::from_millis(100));
        }
        Ok(lock)
    }

    /// Makes `path` of `commit` a link to a blob that is whole.
    pub(super) fn link(&self, commit: &str, path: &str, etag: &Etag) -> Result<PathBuf, HubError> {
        let place = self.snapshot(commit).join(path);
        let folder = place.parent().unwrap_or(&self.root);
        fs::create_dir_all(folder).map_err(|source| HubError::disk("create the folder", folder, source))?;
        let up = "../".repeat(path.matches('/').count().saturating_add(2));
        let target = PathBuf::from(format!("{up}blobs/{}", etag.name()));
        if fs::read_link(&place).is_ok_and(|there| there == target) {
            return Ok(place);
        }
        let write = |source| HubError::disk("write", &place, source);
        let _section = uninterrupted();
        let result =
            tempfile::Builder::new().prefix(".link-").make_in(folder, |new| platform::link(&target, new));
        match result {
            Ok(new) => {
                new.into_temp_path().persist(&place).map_err(|error| write(error.error))?;
            }
            // A file system without links: the bytes themselves go to where they are looked for, as
            // `huggingface_hub` does it.
            Err(error)
                if matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported) =>
            {
                fs::rename(self.blob(etag), &place).map_err(write)?;
            }
            Err(error) => return Err(write(error)),
        }
        Ok(place)
    }
}

/// Limits how long another process may hold a lock without getting any further. It may wait five minutes because a server asked
/// it to.
const LONGEST_WAIT: Duration = Duration::from_secs(900);

/// Reads the text of a file in `refs`, which is short.
fn read_ref(place: &Path) -> Option<String> {
    String::from_utf8(read_regular(place, 1 << 10).ok()?).ok()
}

/// Says whether `revision` is a full commit id, which never changes its meaning.
pub(super) fn is_commit(revision: &str) -> bool {
    revision.len() == 40 && revision.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'))
}

/// Says whether a commit from a server or a refs file can be the name of one folder.
pub(super) fn is_segment(commit: &str) -> bool {
    (1..=128).contains(&commit.len())
        && !commit.starts_with('.')
        && commit.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}
