//! Writes the weights: fills the files of a [`FileLayout`] from the source, in memory that does not grow with the model.
//!
//! The *output* is cut into blocks, and a few threads take one block after another, fill it by positional reads from
//! wherever its bytes lie in the source, and write it at its place. So one path serves every case: one large tensor is
//! shared by all threads, hundreds of small ones travel in one block, and each byte is copied once in and once out. The
//! file's whole length is set aside beforehand, which makes the writes cheaper and shows a full disk before any work.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use vitport_checkpoint::platform::{allocate, write_all_at};
use vitport_checkpoint::{Audit, Checkpoint};

use super::block::{BLOCK, Block};
use super::error::{FolderError, Result};
use super::fill::{Scratch, Segment, segments};
use super::json;
use super::layout::{FileLayout, INDEX_NAME, WeightFile};
use super::syncing::{Filling, Syncing};

/// Limits the threads: more than this do not write faster into one file.
const MAX_THREADS: usize = 4;

/// Gives the bytes that are written at a time, as many as `cp` does. The system keeps them in one segment of memory. Longer ones
/// are no faster where they are at hand, and many times slower where a virtual machine has to get them from its host first.
const WRITTEN_AT_A_TIME: usize = 64 * 1024;

/// Gives the bytes after which the disk is given what was written since the last time.
const SYNCED_AT_A_TIME: u64 = 32 << 20;

/// Writes all files of `layout`, and the index if there are several, into the folder `folder`, from `checkpoint`. Calls
/// `progress` from several threads with the number of bytes that were written since its last call. When all is written,
/// the checksums of what was read have been verified; the files are on their way to the disk as `syncing` says.
///
/// # Errors
/// Of class usage when a value is beyond the dtype that it is to be cast to, of class source when the checkpoint cannot
/// be read or a checksum does not match, of class disk when a file cannot be written. The files are worthless then.
pub fn write_weights(
    checkpoint: &Checkpoint,
    layout: &FileLayout<'_>,
    folder: &Path,
    syncing: &Syncing,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<()> {
    let audit = checkpoint.audit();
    for file in &layout.files {
        write_file(file, &audit, folder, syncing, progress)?;
    }
    audit.finish()?;
    if let Some(index) = layout.index() {
        let path = folder.join(INDEX_NAME);
        let write = || {
            let index_file = create(&path)?;
            write_all_at(&index_file, json::document(&index).as_bytes(), 0).map(|()| index_file)
        };
        let index_file = write().map_err(FolderError::disk("write", &path))?;
        syncing.begin(&index_file, &path)?;
    }
    Ok(())
}

fn write_file(
    layout: &WeightFile<'_>,
    audit: &Audit<'_>,
    folder: &Path,
    syncing: &Syncing,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<()> {
    let path = folder.join(&layout.name);
    let len = layout.bytes();
    let file = create(&path).map_err(FolderError::disk("create", &path))?;
    allocate(&file, len).map_err(FolderError::disk("reserve space for", &path))?;
    let filling = syncing.begin(&file, &path)?;
    let blocks = Blocks {
        segments: segments(layout, audit)?,
        audit,
        file: &file,
        path: &path,
        len,
        next: AtomicU64::new(0),
        stop: AtomicBool::new(false),
        error: Mutex::new(None),
        filling,
        progress,
    };
    let threads = thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS);
    let useful = usize::try_from(len.div_ceil(BLOCK as u64)).unwrap_or(usize::MAX);
    thread::scope(|scope| {
        for _ in 1..threads.min(useful) {
            scope.spawn(|| blocks.work());
        }
        blocks.work();
    });
    blocks.error.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}

/// Holds the blocks of one file, which the threads take from until none is left or one of them fails.
struct Blocks<'a> {
    segments: Vec<Segment<'a>>,
    audit: &'a Audit<'a>,
    file: &'a File,
    path: &'a Path,
    len: u64,
    next: AtomicU64,
    stop: AtomicBool,
    error: Mutex<Option<FolderError>>,
    filling: Filling,
    progress: &'a (dyn Fn(u64) + Sync),
}

impl Blocks<'_> {
    fn work(&self) {
        let mut buffer = Block::new(BLOCK);
        let mut scratch = Scratch::new();
        while !self.stop.load(Ordering::Relaxed) {
            let begin = self.next.fetch_add(BLOCK as u64, Ordering::Relaxed);
            let Some(left) = self.len.checked_sub(begin).filter(|&left| left > 0) else { return };
            let len = usize::try_from(left).unwrap_or(BLOCK).min(BLOCK);
            let first = self.segments.partition_point(|segment| segment.end <= begin);
            let segments = self.segments.get(first..).unwrap_or_default();
            let block = buffer.first(len);
            if let Err(error) = self.write_block(segments, begin, block, &mut scratch) {
                self.stop.store(true, Ordering::Relaxed);
                self.error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                return;
            }
        }
    }

    fn write(&self, block: &[u8], begin: u64) -> io::Result<()> {
        let places = (begin..).step_by(WRITTEN_AT_A_TIME);
        block
            .chunks(WRITTEN_AT_A_TIME)
            .zip(places)
            .try_for_each(|(chunk, at)| write_all_at(self.file, chunk, at))
    }

    /// Fills the block that begins at `begin` of the file, in the first of the segments, and writes it there.
    fn write_block(
        &self,
        segments: &[Segment<'_>],
        begin: u64,
        block: &mut [u8],
        scratch: &mut Scratch,
    ) -> Result<()> {
        let mut position = begin;
        let mut rest = &mut *block;
        for segment in segments {
            let here = usize::try_from(segment.end.saturating_sub(position)).unwrap_or(usize::MAX);
            let (part, after) = rest.split_at_mut(here.min(rest.len()));
            segment.fill(self.audit, position, part, scratch)?;
            position = segment.end;
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        self.write(block, begin).map_err(FolderError::disk("write", self.path))?;
        if begin.is_multiple_of(SYNCED_AT_A_TIME) {
            self.filling.advance();
        }
        (self.progress)(block.len() as u64);
        Ok(())
    }
}
