//! Computes the sha256 of a source's files, so that a report says which bytes it is about.
//!
//! A thread of its own computes them while the files are written and verified. It keeps to the pace of the writing as far
//! as it can, so a file that is not in the system's cache yet comes from the disk once and not twice.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use sha2::{Digest, Sha256};
use vitport_checkpoint::{Checkpoint, FileHandle};

use super::VerifyError;
use super::report::HashedFile;

/// Gives the bytes read at a time.
const BLOCK: usize = 256 << 10;

/// Computes hashes of files on their way. Dropping it before they are asked for ends the work.
#[derive(Debug)]
pub struct Hashing {
    hashes: Option<JoinHandle<Result<Vec<HashedFile>, VerifyError>>>,
    is_dropped: Arc<AtomicBool>,
}

impl Hashing {
    /// Begins to hash the files that a checkpoint was opened from, as they were opened.
    ///
    /// # Errors
    /// [`VerifyError::Hash`] if the system has no more threads.
    pub fn start(checkpoint: &Checkpoint) -> Result<Self, VerifyError> {
        let opened = checkpoint.files().iter().zip(checkpoint.handles());
        let files = opened.map(|(file, handle)| (file.path.clone(), handle)).collect::<Vec<_>>();
        let first = files.first().map(|(path, _)| path.clone()).unwrap_or_default();
        let is_dropped = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&is_dropped);
        let hashes = thread::Builder::new()
            .spawn(move || files.into_iter().map(|(path, file)| hash(path, &file, &stop)).collect())
            .map_err(failed(&first))?;
        Ok(Self { hashes: Some(hashes), is_dropped })
    }

    /// Waits for the hashes, in the order of the files.
    ///
    /// # Errors
    /// [`VerifyError::Hash`] if a file cannot be read.
    pub(crate) fn finish(mut self) -> Result<Vec<HashedFile>, VerifyError> {
        match self.hashes.take().map(JoinHandle::join) {
            Some(Ok(hashes)) => hashes,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            None => Ok(Vec::new()),
        }
    }
}

impl Drop for Hashing {
    fn drop(&mut self) {
        self.is_dropped.store(true, Ordering::Relaxed);
    }
}

fn failed(path: &std::path::Path) -> impl Fn(io::Error) -> VerifyError {
    let path = path.display().to_string();
    move |error| VerifyError::Hash { path: path.clone(), error }
}

fn hash(path: PathBuf, file: &FileHandle, stop: &AtomicBool) -> Result<HashedFile, VerifyError> {
    let mut hasher = Sha256::new();
    let mut block = vec![0; BLOCK];
    let mut bytes = 0;
    while !stop.load(Ordering::Relaxed) {
        let count = match file.read_at(&mut block, bytes) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read.map_err(failed(&path))?,
        };
        let Some(read) = block.get(..count).filter(|read| !read.is_empty()) else { break };
        hasher.update(read);
        bytes += count as u64;
    }
    let sha256 = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    Ok(HashedFile { name, bytes, sha256 })
}
