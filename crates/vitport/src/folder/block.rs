//! Holds the memory that bytes travel through: as long as what is read and written at a time, and beginning at a page.
//!
//! Where it begins matters. The system copies between files and memory with `rep movsb`, which AMD's Zen 3 and 4 do up to
//! five times slower when the destination lies a few bytes after the source modulo 4096 (glibc's bug 30994). An allocator
//! puts a large allocation 16 bytes after a page, which is just that.

/// Gives the length of a block, and what its place in the file is a multiple of. Twice the length is a tenth faster while the
/// system has memory for it at hand, and several times slower when it has none. As a multiple of 16 it never cuts an element in
/// two.
pub(super) const BLOCK: usize = 256 * 1024;

/// Gives the bytes of a memory page: pages begin at multiples of this, on every machine with 4 KiB pages or larger ones.
const PAGE: usize = 4096;

/// Holds zeroed bytes that begin at a page.
#[derive(Default)]
pub(super) struct Block {
    bytes: Vec<u8>,
    start: usize,
}

impl Block {
    /// Allocates `len` bytes.
    pub(super) fn new(len: usize) -> Self {
        let bytes = vec![0; len.saturating_add(PAGE)];
        // An allocator that cannot say where its memory begins leaves it where it is.
        let start = bytes.as_ptr().align_offset(PAGE).min(PAGE);
        Self { bytes, start }
    }

    /// Returns the number of bytes.
    pub(super) fn len(&self) -> usize {
        self.bytes.len().saturating_sub(self.start)
    }

    /// Returns the first `len` bytes, or as many as there are.
    pub(super) fn first(&mut self, len: usize) -> &mut [u8] {
        let end = self.start.saturating_add(len).min(self.bytes.len());
        self.bytes.get_mut(self.start..end).unwrap_or_default()
    }
}
