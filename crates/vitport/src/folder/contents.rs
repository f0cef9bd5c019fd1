//! Returns the bytes that a plan makes of the source for one tensor, without a file to write them into: what a folder that
//! exists is compared with.

use vitport_checkpoint::Audit;

use super::error::Result;
use super::fill::{Scratch, Segment, add_segments};
use crate::plan::Target;

/// Describes what a target tensor should hold.
pub struct TargetContents<'a> {
    segments: Vec<Segment<'a>>,
    audit: &'a Audit<'a>,
    scratch: Scratch,
}

impl<'a> TargetContents<'a> {
    /// Returns the contents of `target`, made of the checkpoint that `audit` reads.
    ///
    /// # Errors
    /// When the factors of scaled rows cannot be read.
    pub fn new(target: &'a Target, audit: &'a Audit<'a>) -> Result<Self> {
        let mut segments = Vec::new();
        add_segments(&mut segments, target, 0, audit)?;
        Ok(Self { segments, audit, scratch: Scratch::new() })
    }

    /// Fills `out` with the tensor's bytes from `position` on. Both are multiples of the element's size.
    ///
    /// # Errors
    /// When the source cannot be read, or a value is beyond the target's dtype.
    pub fn read(&mut self, position: u64, out: &mut [u8]) -> Result<()> {
        let mut position = position;
        let mut rest = out;
        for segment in &self.segments {
            if rest.is_empty() || position >= segment.end {
                continue;
            }
            let length = usize::try_from(segment.end - position).unwrap_or(usize::MAX).min(rest.len());
            let (now, later) = rest.split_at_mut(length);
            segment.fill(self.audit, position, now, &mut self.scratch)?;
            position = position.saturating_add(length as u64);
            rest = later;
        }
        Ok(())
    }
}
