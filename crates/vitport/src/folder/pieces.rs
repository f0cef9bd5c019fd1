//! Writes blocks in pieces that are as long as the system takes quickly.
//!
//! What is written at a time the system keeps in one piece of memory, and the longer it is the faster it is filled. Of long
//! pieces there may be few at hand. New ones come out of memory that was not in use; on a virtual machine whose host takes
//! such memory back and lends it anew, two megabytes of it take milliseconds, while shorter pieces are still at hand. So
//! once a write is slow, the ones behind it are shorter, down to those that `cp` writes.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::block::BLOCK;

/// The shortest that pieces become: as much as `cp` writes at a time.
const SHORTEST: usize = 64 * 1024;

/// A write of a piece takes a twentieth of a millisecond, and in memory that the host has to lend first, four.
const SLOW: Duration = Duration::from_millis(1);

/// How much of a file is written at a time, by all threads that write to it.
pub(super) struct Pieces {
    len: AtomicUsize,
}

impl Pieces {
    /// Whole blocks, until one is slow.
    pub(super) fn new() -> Self {
        Self { len: AtomicUsize::new(BLOCK) }
    }

    /// Writes a block to where it begins in the file.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn write(&self, file: &File, block: &[u8], begin: u64) -> io::Result<()> {
        let len = self.len.load(Ordering::Relaxed);
        let mut at = begin;
        for piece in block.chunks(len.max(SHORTEST)) {
            let before = time();
            file.write_all_at(piece, at)?;
            self.learn(len, time().saturating_sub(before));
            at = at.saturating_add(piece.len() as u64);
        }
        Ok(())
    }

    /// Makes the pieces half as long if one of `len` bytes was slow. Of several threads that find it so at once, one counts.
    fn learn(&self, len: usize, took: Duration) {
        if took > SLOW {
            self.len.fetch_min((len / 2).max(SHORTEST), Ordering::Relaxed);
        }
    }
}

/// The processor's time that this thread has taken. A thread that has to wait for a busy processor takes none meanwhile, and
/// one that waits for memory of the host does.
fn time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn slow_pieces_become_shorter_down_to_the_shortest() {
        let pieces = Pieces::new();
        let after = |took| {
            let len = pieces.len.load(Ordering::Relaxed);
            // Two threads, with pieces of the same length.
            pieces.learn(len, took);
            pieces.learn(len, took);
            pieces.len.load(Ordering::Relaxed)
        };
        assert_eq!(after(SLOW), BLOCK);
        assert_eq!(after(2 * SLOW), BLOCK / 2);
        assert_eq!(after(SLOW / 2), BLOCK / 2);
        assert_eq!(after(2 * SLOW), SHORTEST);
        assert_eq!(after(2 * SLOW), SHORTEST);
    }

    #[test]
    fn pieces_of_any_length_make_the_same_file() {
        let bytes: Vec<u8> = (0..2 * BLOCK + 12_345).map(|place| (place % 251) as u8).collect();
        for slow in 0..3 {
            let pieces = Pieces::new();
            (0..slow).for_each(|_| pieces.learn(pieces.len.load(Ordering::Relaxed), 2 * SLOW));
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("file");
            let file = File::create(&path).unwrap();
            for (number, block) in bytes.chunks(BLOCK).enumerate() {
                pieces.write(&file, block, 7 + (number * BLOCK) as u64).unwrap();
            }
            let mut found = Vec::new();
            File::open(&path).unwrap().read_to_end(&mut found).unwrap();
            assert_eq!(found[..7], [0; 7]);
            assert!(found[7..] == bytes, "{slow} times slow");
        }
    }
}
