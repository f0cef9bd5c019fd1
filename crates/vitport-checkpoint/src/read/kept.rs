//! A tensor's span that is kept because its next blocks will need it again, and the memory for it.
//!
//! The span is read in pieces, each under a lock of its own. Threads that fill neighbouring blocks of one tensor need all
//! of it at the same time, so each takes up the pieces that no other is busy with, and they share the reading.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError};

use crate::error::Fault;

/// Where memory pages begin. The system copies slowly into memory that begins a few bytes behind one.
const PAGE: usize = 4096;

/// Most bytes of rooms that wait to be used again.
const SPARE: usize = 16 << 20;

/// Rooms are multiples of this long, so that one fits where another was.
const ROOM: usize = 256 << 10;

/// The last span that was kept, and rooms that are free. There is one, so that memory stays bounded however many threads
/// read.
#[derive(Debug, Default)]
pub(super) struct Kept {
    last: Mutex<Option<Arc<Pieces>>>,
    /// Notified when somebody no longer uses the last span.
    let_go: Condvar,
    spare: Mutex<Vec<Room>>,
}

/// A span's pieces, each empty until it is first needed.
#[derive(Debug)]
struct Pieces {
    storage: usize,
    start: u64,
    len: usize,
    piece: usize,
    rooms: Vec<Mutex<Room>>,
}

/// Bytes that begin at a page.
#[derive(Debug, Default)]
pub(super) struct Room {
    bytes: Vec<u8>,
    begin: usize,
    is_filled: bool,
}

/// A room that goes back to the others.
pub(super) struct Borrowed<'a> {
    room: Room,
    kept: &'a Kept,
}

/// A kept span, in use.
pub(super) struct Span<'a> {
    pieces: Option<Arc<Pieces>>,
    kept: &'a Kept,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Room {
    fn new(len: usize) -> Self {
        let bytes = vec![0; len.saturating_add(PAGE)];
        let begin = bytes.as_ptr().align_offset(PAGE).min(PAGE);
        Self { bytes, begin, is_filled: false }
    }

    fn len(&self) -> usize {
        self.bytes.len().saturating_sub(self.begin)
    }

    fn first(&mut self, len: usize) -> &mut [u8] {
        let end = self.begin.saturating_add(len).min(self.bytes.len());
        self.bytes.get_mut(self.begin..end).unwrap_or_default()
    }
}

impl Borrowed<'_> {
    /// The first `len` bytes, or as many as there are.
    pub(super) fn first(&mut self, len: usize) -> &mut [u8] {
        self.room.first(len)
    }
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        self.kept.give_back(std::mem::take(&mut self.room));
    }
}

impl Kept {
    /// Room for `len` bytes, whatever they hold.
    pub(super) fn room(&self, len: usize) -> Borrowed<'_> {
        Borrowed { room: self.take(len), kept: self }
    }

    fn take(&self, len: usize) -> Room {
        let mut spare = lock(&self.spare);
        let fitting = spare.iter().enumerate().filter(|(_, room)| room.len() >= len);
        let nearest = fitting.min_by_key(|(_, room)| room.len()).map(|(place, _)| place);
        // Not more memory than is needed: what does not fit makes way.
        let room = nearest.or(spare.len().checked_sub(1)).map(|place| spare.swap_remove(place));
        drop(spare);
        room.filter(|room| room.len() >= len).unwrap_or_else(|| Room::new(len.next_multiple_of(ROOM)))
    }

    fn give_back(&self, mut room: Room) {
        room.is_filled = false;
        let mut spare = lock(&self.spare);
        let held = spare.iter().fold(0_usize, |sum, room| sum.saturating_add(room.len()));
        if room.len() > 0 && held.saturating_add(room.len()) <= SPARE {
            spare.push(room);
        }
    }

    /// The span of `len` bytes from byte `start` of a storage on, in pieces of `piece` bytes. If the last one is another,
    /// this waits until nobody uses that, and takes its place and its rooms.
    pub(super) fn span(&self, storage: usize, start: u64, len: usize, piece: usize) -> Span<'_> {
        let is_same = |known: &Arc<Pieces>| {
            (known.storage, known.start, known.len, known.piece) == (storage, start, len, piece)
        };
        let is_in_the_way = |last: &mut Option<Arc<Pieces>>| {
            last.as_ref().is_some_and(|known| !is_same(known) && Arc::strong_count(known) > 1)
        };
        let mut last =
            self.let_go.wait_while(lock(&self.last), is_in_the_way).unwrap_or_else(PoisonError::into_inner);
        let pieces = match last.take() {
            Some(known) if is_same(&known) => known,
            before => {
                let rooms = before.and_then(Arc::into_inner).map(|pieces| pieces.rooms).unwrap_or_default();
                for room in rooms {
                    self.give_back(room.into_inner().unwrap_or_else(PoisonError::into_inner));
                }
                let rooms = (0..len.div_ceil(piece.max(1))).map(|_| Mutex::default()).collect();
                Arc::new(Pieces { storage, start, len, piece, rooms })
            }
        };
        *last = Some(Arc::clone(&pieces));
        Span { pieces: Some(pieces), kept: self }
    }
}

impl Drop for Span<'_> {
    fn drop(&mut self) {
        let last = lock(&self.kept.last);
        self.pieces = None;
        drop(last);
        self.kept.let_go.notify_all();
    }
}

impl Span<'_> {
    /// Whether it is one piece.
    pub(super) fn is_whole(&self) -> bool {
        self.pieces.as_ref().is_none_or(|pieces| pieces.rooms.len() <= 1)
    }

    /// Calls `each` with every piece and the byte of the span that it begins at, in any order. `read` fills what has not
    /// been read yet, from a byte of the storage on.
    pub(super) fn visit(
        &self,
        read: impl Fn(u64, &mut [u8]) -> Result<(), Fault>,
        mut each: impl FnMut(usize, &[u8]) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let Some(pieces) = self.pieces.as_deref() else { return Ok(()) };
        let mut visit = |number: usize, mut room: MutexGuard<'_, Room>| {
            let begin = number.saturating_mul(pieces.piece);
            let len = pieces.piece.min(pieces.len.saturating_sub(begin));
            if !room.is_filled {
                *room = self.kept.take(len);
                read(pieces.start.saturating_add(begin as u64), room.first(len))?;
                room.is_filled = true;
            }
            each(begin, room.first(len))
        };
        let mut busy = Vec::new();
        for (number, room) in pieces.rooms.iter().enumerate() {
            match room.try_lock() {
                Ok(room) => visit(number, room)?,
                Err(TryLockError::Poisoned(room)) => visit(number, room.into_inner())?,
                Err(TryLockError::WouldBlock) => busy.push((number, room)),
            }
        }
        busy.into_iter().try_for_each(|(number, room)| visit(number, lock(room)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;
    use std::time::Duration;

    use super::*;

    #[test]
    fn threads_share_the_reading_of_a_span_and_wait_for_one_another_at_the_next() {
        const LEN: usize = 10_000;
        let kept = Kept::default();
        let reads = AtomicUsize::new(0);
        let read = |start: u64, bytes: &mut [u8]| {
            reads.fetch_add(1, Ordering::Relaxed);
            // As long as it takes others to come by.
            thread::sleep(Duration::from_micros(300));
            for (byte, place) in bytes.iter_mut().zip(start..) {
                *byte = (place % 251) as u8;
            }
            Ok(())
        };
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for storage in [3, 5, 3] {
                        let span = kept.span(storage, 100, LEN, 999);
                        let mut seen = 0;
                        let each = |begin: usize, bytes: &[u8]| {
                            seen += bytes.len();
                            let is_right =
                                |(byte, place): (&u8, usize)| usize::from(*byte) == (100 + place) % 251;
                            assert!(bytes.iter().zip(begin..).all(is_right), "{begin}");
                            Ok(())
                        };
                        span.visit(read, each).unwrap();
                        assert_eq!(seen, LEN);
                    }
                });
            }
        });
        // Eleven pieces, for each time that a span took another's place.
        let reads = reads.into_inner();
        assert!(reads.is_multiple_of(11) && (33..=132).contains(&reads), "{reads}");
        let rooms: usize = lock(&kept.spare).iter().map(Room::len).sum();
        assert!(rooms < 2 * (LEN + 11 * PAGE), "{rooms}");
    }

    #[test]
    fn a_piece_that_could_not_be_read_is_read_again() {
        let kept = Kept::default();
        let fails = |_: u64, _: &mut [u8]| crate::error::refuse(crate::error::Reason::Truncated, "no");
        assert!(kept.span(0, 0, 10, 4).visit(fails, |_, _| Ok(())).is_err());
        let mut found = vec![0; 10];
        let read = |start: u64, bytes: &mut [u8]| {
            bytes.iter_mut().zip(start..).for_each(|(byte, place)| *byte = place as u8);
            Ok(())
        };
        let each = |begin: usize, bytes: &[u8]| {
            found[begin..][..bytes.len()].copy_from_slice(bytes);
            Ok(())
        };
        kept.span(0, 0, 10, 4).visit(read, each).unwrap();
        assert_eq!(found, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    }
}
