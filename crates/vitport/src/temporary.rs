//! Keeps a list of the temporary folders and files that this process has made, so that a command that is ended by a signal can
//! remove them on its way out.
//!
//! Whoever makes one, gives it its final name or removes it does so in a section ([`uninterrupted`]) that the removal waits for: a
//! folder is either on the list or published, whenever the signal comes. The list is one for the process, as signals are. The
//! library installs no handler for them; that is the command's business.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::folder::publish::{remove, unmake};

/// Lists, for each temporary folder, the folders above it that were made for it, outermost first.
static LIST: Mutex<BTreeMap<PathBuf, Vec<PathBuf>>> = Mutex::new(BTreeMap::new());

/// Holds a section of the work that [`remove_all`] waits for. It must not be entered twice by one thread.
#[derive(Debug)]
pub struct Uninterrupted(MutexGuard<'static, BTreeMap<PathBuf, Vec<PathBuf>>>);

/// Enters a section that [`remove_all`] does not interrupt. After a [`remove_all`] it waits for as long as that is held.
pub fn uninterrupted() -> Uninterrupted {
    Uninterrupted(LIST.lock().unwrap_or_else(PoisonError::into_inner))
}

impl Uninterrupted {
    /// Puts a folder on the list, with the folders above it that are to go with it if they are empty.
    pub(crate) fn add(&mut self, folder: PathBuf, made: Vec<PathBuf>) {
        self.0.insert(folder, made);
    }

    /// Takes a folder off the list.
    pub(crate) fn forget(&mut self, folder: &Path) {
        self.0.remove(folder);
    }
}

/// Removes everything on the list, and keeps all other threads from making, publishing or removing anything for as long as what
/// it returns is held. A process that is about to end holds it to its end.
pub fn remove_all() -> Uninterrupted {
    const TRIES: usize = 64;
    let mut section = uninterrupted();
    for (folder, made) in std::mem::take(&mut *section.0) {
        // Other threads still put files into it.
        for _ in 0..TRIES {
            match remove(&folder) {
                Err(error) if error.kind() == std::io::ErrorKind::DirectoryNotEmpty => {}
                _ => break,
            }
        }
        unmake(&made);
    }
    section
}
