//! Fills the segments of a weight file: the header, a tensor's own bytes, elements cast to another dtype, scaled tensors and rows,
//! shifted columns, tables of distances, zeros, ones, or an identity matrix. Any segment can be filled by itself, which is what lets several threads work on one tensor and
//! one buffer hold many small ones.

use std::sync::Arc;

use smallvec::SmallVec;
use vitport_checkpoint::{Audit, Dtype, Tensor};

use super::block::{BLOCK, Block};
use super::cast::{Cast, CastBuffers, Change, Overflow, RowFactors, to_f64};
use super::distances::distance_table;
use super::error::{FolderError, Result};
use super::layout::WeightFile;
use crate::plan::{Part, Target};

/// Describes a run of bytes of a weight file and where they come from.
pub(super) struct Segment<'a> {
    /// Says where it begins in the file.
    pub begin: u64,
    /// Says where it ends in the file.
    pub end: u64,
    fill: Fill<'a>,
}

enum Fill<'a> {
    Header(&'a [u8]),
    Part { target: &'a Target, part: &'a Part, operand: Vec<f64> },
}

/// Returns all segments of a file, in order. The factors of rows and the addends of columns are read here,
/// once, and tables are computed.
pub(super) fn segments<'a>(file: &'a WeightFile<'a>, audit: &Audit<'_>) -> Result<Vec<Segment<'a>>> {
    let mut end = file.header.len() as u64;
    let mut all = Vec::with_capacity(file.tensors.len().saturating_add(1));
    all.push(Segment { begin: 0, end, fill: Fill::Header(&file.header) });
    for &target in &file.tensors {
        add_segments(&mut all, target, end, audit)?;
        end = end.saturating_add(target.bytes());
    }
    Ok(all)
}

/// Adds the segments of one tensor whose bytes begin at `begin`.
pub(super) fn add_segments<'a>(
    all: &mut Vec<Segment<'a>>,
    target: &'a Target,
    begin: u64,
    audit: &Audit<'_>,
) -> Result<()> {
    let mut end = begin;
    for part in target.parts.iter().filter(|part| part.elements() > 0) {
        let operand = match part {
            Part::ScaledRows { factors: operand, .. } | Part::ShiftedColumns { addends: operand, .. } => {
                read_operand(operand, audit)?
            }
            Part::DistanceTable(table) => {
                let read = |tensor: &Arc<Tensor>| read_operand(tensor, audit);
                let [weight1, bias1, weight2, bias2] = &table.mlp;
                let mlp = [read(weight1)?, read(bias1)?, read(weight2)?, read(bias2)?];
                distance_table(table, &mlp)
            }
            _ => Vec::new(),
        };
        let begin = end;
        end = begin.saturating_add(part.elements().saturating_mul(target.dtype.size()));
        all.push(Segment { begin, end, fill: Fill::Part { target, part, operand } });
    }
    Ok(())
}

/// Reads factors or addends.
fn read_operand(operand: &Tensor, audit: &Audit<'_>) -> Result<Vec<f64>> {
    let too_many = |_| FolderError::Plan {
        tensor: operand.name.to_string(),
        why: format!("{} factors or addends do not fit into memory", operand.elements()),
    };
    let count = usize::try_from(operand.elements()).map_err(too_many)?;
    let mut bytes = vec![0; count.saturating_mul(size(operand.dtype))];
    audit.read(operand, 0, &mut bytes)?;
    let mut doubles = vec![0.0; count];
    to_f64(operand.dtype, &bytes, &mut doubles);
    Ok(doubles)
}

/// Holds buffers for the elements that are being cast, of which each thread has its own.
pub(super) struct Scratch {
    stored: Block,
    buffers: Option<CastBuffers>,
}

/// Gives the elements that are read at a time to be cast. As many as a block has of float32: of a transposed matrix each read
/// takes a part of every row, and short parts of them are slow.
const AT_A_TIME: usize = BLOCK / 4;

impl Scratch {
    /// Returns buffers that take no memory until something is cast.
    pub(super) fn new() -> Self {
        Scratch { stored: Block::default(), buffers: None }
    }
}

impl Segment<'_> {
    /// Fills `out` with the bytes from `position` of the file on, all of which lie in this segment. `position` and the
    /// length are multiples of the element's size.
    pub(super) fn fill(
        &self,
        audit: &Audit<'_>,
        position: u64,
        out: &mut [u8],
        scratch: &mut Scratch,
    ) -> Result<()> {
        let into = position.saturating_sub(self.begin);
        match &self.fill {
            Fill::Header(header) => {
                let begin = usize::try_from(into).unwrap_or(usize::MAX);
                if let Some(bytes) = header.get(begin..).and_then(|rest| rest.get(..out.len())) {
                    out.copy_from_slice(bytes);
                }
                Ok(())
            }
            Fill::Part { target, part, operand } => {
                let skipped = into / target.dtype.size();
                match part {
                    Part::Slice { tensor, first, .. } if tensor.dtype == target.dtype => {
                        Ok(audit.read(tensor, first.saturating_add(skipped), out)?)
                    }
                    Part::Slice { tensor, first, .. } => {
                        cast(target, tensor, None, first.saturating_add(skipped), audit, out, scratch)
                    }
                    Part::Scaled { tensor, factor } => {
                        cast(target, tensor, Some(Change::All(*factor)), skipped, audit, out, scratch)
                    }
                    Part::ScaledRows { tensor, .. } => {
                        let columns = tensor.elements() / (operand.len() as u64).max(1);
                        let columns = usize::try_from(columns).unwrap_or(usize::MAX);
                        let change = Change::Rows(RowFactors { factors: operand, columns });
                        cast(target, tensor, Some(change), skipped, audit, out, scratch)
                    }
                    Part::ShiftedColumns { tensor, .. } => {
                        cast(target, tensor, Some(Change::Columns(operand)), skipped, audit, out, scratch)
                    }
                    Part::DistanceTable(_) => {
                        let first = usize::try_from(skipped).unwrap_or(usize::MAX);
                        computed(target, operand.get(first..).unwrap_or_default(), out)
                    }
                    Part::Repeated { number, .. } => {
                        repeated(target.dtype, *number, out);
                        Ok(())
                    }
                    Part::Zeros { .. } => {
                        out.fill(0);
                        Ok(())
                    }
                    Part::Identity { size } => {
                        identity(target.dtype, *size, skipped, out);
                        Ok(())
                    }
                    Part::WindowDistances { side } => {
                        window_distances(*side, skipped, out);
                        Ok(())
                    }
                }
            }
        }
    }
}

/// Fills `out` with the elements of `tensor` from `first` on, in the target's dtype, each changed as `change` says.
fn cast(
    target: &Target,
    tensor: &Tensor,
    change: Option<Change<'_>>,
    first: u64,
    audit: &Audit<'_>,
    out: &mut [u8],
    scratch: &mut Scratch,
) -> Result<()> {
    let (from, to) = (tensor.dtype, target.dtype);
    if scratch.stored.len() < AT_A_TIME * size(from) {
        scratch.stored = Block::new(AT_A_TIME * size(from));
    }
    let buffers = scratch.buffers.get_or_insert_with(CastBuffers::new);
    let number = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let mut next = first;
    for out in out.chunks_mut(AT_A_TIME * size(to)) {
        let count = out.len() / size(to);
        let stored = scratch.stored.first(count * size(from));
        audit.read(tensor, next, stored)?;
        let cast = Cast { from, to, change, first: number(next), stored, out, buffers: &mut *buffers };
        cast.run().map_err(|Overflow(value)| overflow(target, value))?;
        next = next.saturating_add(count as u64);
    }
    Ok(())
}

/// Fills `out` with the elements of an identity matrix of `rows` rows, from element `first` on.
fn identity(dtype: Dtype, rows: u64, first: u64, out: &mut [u8]) {
    let one = bytes_of(dtype, 1);
    out.fill(0);
    let step = rows.saturating_add(1);
    let until_next = (step - first % step) % step;
    for element in (until_next..).step_by(usize::try_from(step).unwrap_or(usize::MAX)) {
        let begin = usize::try_from(element).ok().and_then(|element| element.checked_mul(size(dtype)));
        let Some(slot) = begin.and_then(|begin| out.get_mut(begin..begin.checked_add(one.len())?)) else {
            return;
        };
        slot.copy_from_slice(&one);
    }
}

/// Fills `out` with the numbers of the distances between the places of a window, int64, from element `first` on.
fn window_distances(side: u64, first: u64, out: &mut [u8]) {
    let (side, first) = (i64::try_from(side).unwrap_or(1).max(1), i64::try_from(first).unwrap_or(0));
    let area = side.saturating_mul(side);
    for (element, slot) in (first..).zip(out.chunks_exact_mut(size_of::<i64>())) {
        let (query, key) = (element / area, element % area);
        let distance = |one: i64, other: i64| one - other + side - 1;
        let (rows, columns) = (distance(query / side, key / side), distance(query % side, key % side));
        slot.copy_from_slice(&(rows * (2 * side - 1) + columns).to_le_bytes());
    }
}

/// Fills `out` with computed numbers, in float32 or float64: tables are written in no other dtype.
fn computed(target: &Target, values: &[f64], out: &mut [u8]) -> Result<()> {
    for (value, slot) in values.iter().zip(out.chunks_exact_mut(size(target.dtype))) {
        if target.dtype == Dtype::F64 {
            slot.copy_from_slice(&value.to_le_bytes());
            continue;
        }
        let single = *value as f32;
        if value.is_finite() && !single.is_finite() {
            return Err(overflow(target, *value));
        }
        slot.copy_from_slice(&single.to_le_bytes());
    }
    Ok(())
}

/// Fills `out` with a number.
fn repeated(dtype: Dtype, number: u8, out: &mut [u8]) {
    let bytes = bytes_of(dtype, number);
    for slot in out.chunks_mut(size(dtype)) {
        let (value, rest) = slot.split_at_mut(bytes.len().min(slot.len()));
        value.copy_from_slice(bytes.get(..value.len()).unwrap_or_default());
        rest.fill(0);
    }
}

/// Returns the bytes of a whole number, without zeros that follow them. Numbers of eight bits are rounded.
fn bytes_of(dtype: Dtype, number: u8) -> SmallVec<[u8; 8]> {
    match dtype {
        Dtype::F64 => SmallVec::from_slice(&f64::from(number).to_le_bytes()),
        Dtype::F32 | Dtype::C64 => SmallVec::from_slice(&f32::from(number).to_le_bytes()),
        Dtype::F16 => SmallVec::from_slice(&half::f16::from(number).to_le_bytes()),
        Dtype::BF16 => SmallVec::from_slice(&half::bf16::from(number).to_le_bytes()),
        // The sign and exponent of a wider number, of which the fraction is cut off.
        Dtype::F8E4M3 if number > 0 => {
            let bits = f32::from(number).to_bits() >> 20;
            SmallVec::from_slice(&[(bits.wrapping_sub((127 - 7) << 3) & 0x7f) as u8])
        }
        Dtype::F8E5M2 => SmallVec::from_slice(&[half::f16::from(number).to_le_bytes()[1]]),
        _ => SmallVec::from_slice(&[number]),
    }
}

fn overflow(target: &Target, value: f64) -> FolderError {
    let (to, advice) = match target.dtype {
        Dtype::F16 => ("float16", "use --dtype bf16 or f32"),
        Dtype::BF16 => ("bfloat16", "use --dtype f32"),
        _ => ("float32", "such a model cannot be written in float32"),
    };
    FolderError::Overflow { tensor: target.name.to_string(), value, to, advice }
}

/// Returns the bytes of an element.
fn size(dtype: Dtype) -> usize {
    usize::try_from(dtype.size()).unwrap_or(8)
}
