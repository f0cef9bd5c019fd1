//! Puts files on the disk while other work goes on.
//!
//! Waiting for the disk takes longer than filling the system's cache, so a file's way to the disk begins with the file: a
//! thread asks the system for it from time to time while the file is being filled, and once more when it is full, while
//! other files are filled or the networks run. Publishing waits for all of them.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use super::error::{FolderError, Result};

/// Tracks files on their way to the disk, or none where nobody waits for the disk.
#[derive(Debug)]
pub struct Syncing {
    is_wanted: bool,
    files: Mutex<Vec<(PathBuf, JoinHandle<io::Result<()>>)>>,
    is_dropped: Arc<AtomicBool>,
}

/// Stands for a file that is being filled. Dropping it says that the file is full.
#[derive(Debug)]
pub(super) struct Filling(Option<Sender<()>>);

impl Filling {
    /// Says that enough was written for the disk to have something to do.
    pub(super) fn advance(&self) {
        if let Some(sender) = &self.0 {
            // A thread that failed listens no longer; its error comes out at the end.
            let _ = sender.send(());
        }
    }
}

impl Syncing {
    /// Tracks files that are put on the disk if `is_wanted`, and left to the system otherwise.
    pub fn new(is_wanted: bool) -> Self {
        Self { is_wanted, files: Mutex::default(), is_dropped: Arc::default() }
    }

    /// Takes a file in, at whose `path` an error points.
    pub(super) fn begin(&self, file: &File, path: &Path) -> Result<Filling> {
        if !self.is_wanted {
            return Ok(Filling(None));
        }
        let failed = FolderError::disk("sync", path);
        let start = || {
            let file = file.try_clone()?;
            let (sender, receiver) = channel();
            let is_dropped = Arc::clone(&self.is_dropped);
            let thread = thread::Builder::new().spawn(move || sync(&file, &receiver, &is_dropped))?;
            Ok((sender, thread))
        };
        let (sender, thread) = start().map_err(failed)?;
        self.files.lock().unwrap_or_else(PoisonError::into_inner).push((path.to_owned(), thread));
        Ok(Filling(Some(sender)))
    }

    /// Waits until all files are on the disk.
    ///
    /// # Errors
    /// Of class disk when one of them cannot be put there.
    pub fn finish(&self) -> Result<()> {
        let files = std::mem::take(&mut *self.files.lock().unwrap_or_else(PoisonError::into_inner));
        files.into_iter().try_for_each(|(path, thread)| match thread.join() {
            Ok(synced) => synced.map_err(FolderError::disk("sync", &path)),
            Err(panic) => std::panic::resume_unwind(panic),
        })
    }
}

impl Drop for Syncing {
    fn drop(&mut self) {
        // Files that are not to be published need not reach the disk.
        self.is_dropped.store(true, Ordering::Relaxed);
    }
}

fn sync(file: &File, receiver: &Receiver<()>, is_dropped: &AtomicBool) -> io::Result<()> {
    while receiver.recv().is_ok() {
        while receiver.try_recv().is_ok() {}
        file.sync_data()?;
    }
    if is_dropped.load(Ordering::Relaxed) { Ok(()) } else { file.sync_all() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folder::FolderErrorClass;

    #[test]
    fn a_file_that_cannot_reach_the_disk_is_named_at_the_end() {
        // There is no disk under it.
        let path = Path::new("/dev/null");
        let file = File::open(path).unwrap();
        for advances in 0..3 {
            let syncing = Syncing::new(true);
            let filling = syncing.begin(&file, path).unwrap();
            (0..advances).for_each(|_| filling.advance());
            drop(filling);
            let error = syncing.finish().unwrap_err();
            assert_eq!(error.class(), FolderErrorClass::Disk);
            assert!(error.to_string().contains("/dev/null"), "{error}");
        }
    }

    #[test]
    fn nobody_waits_for_files_that_need_not_be_on_the_disk() {
        let file = File::open("/dev/null").unwrap();
        let syncing = Syncing::new(false);
        syncing.begin(&file, Path::new("/dev/null")).unwrap().advance();
        syncing.finish().unwrap();
    }
}
