//! The memory that bytes travel through: as long as what is read and written at a time, and beginning at a page.
//!
//! Where it begins matters. The system copies between files and memory with `rep movsb`, which AMD's Zen 3 and 4 do up to
//! five times slower when the destination lies a few bytes behind the source modulo 4096 (glibc's bug 30994). An allocator
//! puts a large piece of memory 16 bytes behind a page, which is just that. Bytes that lie in the source just before the place
//! modulo 4096 that they have in the block would still meet it; such a block begins a little behind the page
//! ([`is_slow`]).

/// Length of a block, and what its place in the file is a multiple of. Twice the length is a tenth faster while the system has
/// memory for it at hand, and several times slower when it has none ([`pieces`](super::pieces)). As a multiple of 16 it never
/// cuts an element in two.
pub(super) const BLOCK: usize = 256 * 1024;

/// Where memory pages begin: at multiples of this, on every machine with 4 KiB pages or larger ones.
const PAGE: usize = 4096;

/// How far behind a page a block begins whose bytes would be copied slowly at the page. Neither is it near a page again
/// when it is written.
const SHIFT: usize = 64;

/// Whether bytes at `from` of a file are copied slowly to `to` bytes behind a page: measured at 2.6 times for 1 to 15 bytes
/// ahead modulo a page, and at no other distance.
pub(super) fn is_slow(from: u64, to: u64) -> bool {
    (1..16).contains(&(to.wrapping_sub(from) % PAGE as u64))
}

/// Zeroed bytes that begin at a page.
#[derive(Default)]
pub(super) struct Block {
    bytes: Vec<u8>,
    start: usize,
}

impl Block {
    /// `len` bytes.
    pub(super) fn new(len: usize) -> Self {
        let bytes = vec![0; len.saturating_add(PAGE)];
        // An allocator that cannot say where its memory begins leaves it where it is.
        let start = bytes.as_ptr().align_offset(PAGE).min(PAGE);
        Self { bytes, start }
    }

    /// `len` bytes for [`shifted`](Self::shifted).
    pub(super) fn with_shift(len: usize) -> Self {
        Self::new(len.saturating_add(SHIFT))
    }

    /// The first `len` bytes, or if `is_shifted`, as many that begin behind the page.
    pub(super) fn shifted(&mut self, len: usize, is_shifted: bool) -> &mut [u8] {
        let shift = if is_shifted { SHIFT } else { 0 };
        self.first(len.saturating_add(shift)).get_mut(shift..).unwrap_or_default()
    }

    /// How many they are.
    pub(super) fn len(&self) -> usize {
        self.bytes.len().saturating_sub(self.start)
    }

    /// The first `len` of them, or as many as there are.
    pub(super) fn first(&mut self, len: usize) -> &mut [u8] {
        let end = self.start.saturating_add(len).min(self.bytes.len());
        self.bytes.get_mut(self.start..end).unwrap_or_default()
    }
}
