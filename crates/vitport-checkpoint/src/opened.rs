//! Keeps a bounded number of files open: a model of thousands of shards may have more files than a process may open.
//!
//! A file that was closed is opened again by its name when it is read the next time, and refused if it is another one by
//! then.

use std::fs::{File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::SystemTime;

use crate::error::{Fault, Reason, refuse};
use crate::platform::{identity, read_at};

/// Gives the files of checkpoints that are open at a time in this process. Systems allow 256 (macOS) or 1,024 (Linux) unless told
/// otherwise.
const MOST_OPEN: usize = 128;

/// Lists the files that are open.
static OPEN: Mutex<Vec<Weak<Opened>>> = Mutex::new(Vec::new());

/// Counts the uses of all files, so that the one that was not used for longest is known.
static CLOCK: AtomicU64 = AtomicU64::new(0);

/// Holds what distinguishes a file from another of its name, and from itself after it was written to.
#[derive(Debug, PartialEq, Eq)]
struct State {
    len: u64,
    modified: Option<SystemTime>,
    place: Option<(u64, u64)>,
}

impl State {
    fn of(metadata: &Metadata) -> Self {
        Self { len: metadata.len(), modified: metadata.modified().ok(), place: identity(metadata) }
    }
}

/// Holds a file that was opened once.
#[derive(Debug)]
pub(crate) struct Opened {
    path: PathBuf,
    state: State,
    file: Mutex<Option<Arc<File>>>,
    used: AtomicU64,
}

impl Opened {
    /// Opens a file.
    pub(crate) fn open(path: &Path) -> io::Result<Arc<Self>> {
        let file = File::open(path)?;
        let state = State::of(&file.metadata()?);
        let file = Mutex::new(Some(Arc::new(file)));
        let opened = Arc::new(Self { path: path.to_path_buf(), state, file, used: AtomicU64::new(0) });
        opened.note_use();
        make_room_for(&opened);
        Ok(opened)
    }

    /// Returns the length that the file had.
    pub(crate) fn len(&self) -> u64 {
        self.state.len
    }

    /// Returns the file, opened again if it was closed.
    pub(crate) fn file(self: &Arc<Self>) -> Result<Arc<File>, Fault> {
        self.note_use();
        let mut slot = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = &*slot {
            return Ok(Arc::clone(file));
        }
        if !std::fs::metadata(&self.path)?.is_file() {
            return changed();
        }
        let file = Arc::new(File::open(&self.path)?);
        if State::of(&file.metadata()?) != self.state {
            return changed();
        }
        *slot = Some(Arc::clone(&file));
        drop(slot);
        make_room_for(self);
        Ok(file)
    }

    /// Refuses a file that was written to since it was opened, as far as its length and its time show it.
    pub(crate) fn check_unchanged(self: &Arc<Self>) -> Result<(), Fault> {
        if State::of(&self.file()?.metadata()?) == self.state { Ok(()) } else { changed() }
    }

    fn note_use(&self) {
        self.used.store(CLOCK.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Closes the file as soon as nobody reads from it.
    fn close(&self) {
        self.file.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

fn changed<T>() -> Result<T, Fault> {
    refuse(Reason::Changed, "the file was changed while it was read")
}

/// Notes that a file is open, and closes those that were not used for longest where there are too many.
fn make_room_for(opened: &Arc<Opened>) {
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    open.retain(|other| other.strong_count() > 0);
    open.push(Arc::downgrade(opened));
    while open.len() > MOST_OPEN {
        let used =
            |other: &Weak<Opened>| other.upgrade().map_or(0, |other| other.used.load(Ordering::Relaxed));
        let Some((oldest, _)) = open.iter().enumerate().min_by_key(|(_, other)| used(other)) else { return };
        if let Some(other) = open.swap_remove(oldest).upgrade() {
            other.close();
        }
    }
}

/// Reads a file of a checkpoint at positions.
#[derive(Clone, Debug)]
pub struct FileHandle(pub(crate) Arc<Opened>);

impl FileHandle {
    /// Reads bytes from `offset` on into `out`, and returns how many: 0 at the end of the file.
    ///
    /// # Errors
    /// What the system reports, and that the file is another one than the one that was opened.
    pub fn read_at(&self, out: &mut [u8], offset: u64) -> io::Result<usize> {
        let file = self.0.file().map_err(|fault| match fault {
            Fault::Io(error) => error,
            Fault::Refused(refusal) => io::Error::other(refusal.detail),
            Fault::Dangerous(_) => io::ErrorKind::InvalidData.into(),
        })?;
        read_at(&file, out, offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_files_are_read_and_a_changed_one_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = |number: usize| folder.path().join(number.to_string());
        let files: Vec<Arc<Opened>> = (0..3 * MOST_OPEN)
            .map(|number| {
                std::fs::write(path(number), format!("{number:08}")).unwrap();
                Opened::open(&path(number)).unwrap()
            })
            .collect();
        for round in 0..2 {
            for (number, file) in files.iter().enumerate() {
                let mut bytes = [0; 8];
                assert_eq!(FileHandle(Arc::clone(file)).read_at(&mut bytes, 0).unwrap(), 8, "round {round}");
                assert_eq!(bytes, *format!("{number:08}").as_bytes());
            }
        }
        let open = files.iter().filter(|file| file.file.lock().unwrap().is_some()).count();
        assert!(open <= MOST_OPEN, "{open} are open");
        // The first ones were closed. One is replaced by a copy of itself, one by a folder.
        std::fs::write(path(0), "another!").unwrap();
        std::fs::copy(path(1), path(9_999)).unwrap();
        std::fs::rename(path(9_999), path(1)).unwrap();
        std::fs::remove_file(path(2)).unwrap();
        std::fs::create_dir(path(2)).unwrap();
        for file in files.get(1..3).unwrap() {
            assert!(
                matches!(file.check_unchanged(), Err(Fault::Refused(refusal)) if refusal.reason == Reason::Changed)
            );
        }
        files.get(3).unwrap().check_unchanged().unwrap();
    }
}
