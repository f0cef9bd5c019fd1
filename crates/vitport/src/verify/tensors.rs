//! Compares the weights themselves: what the plan makes of the source, compared bit by bit with what lies in the folder.
//!
//! Running the networks proves that the mapping is right; it cannot see every bit, since a small change in a large network
//! may drown in its outputs. Comparing bytes can.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::PoisonError;

use rayon::prelude::*;
use schemars::JsonSchema;
use serde::Serialize;
use vitport_checkpoint::{Audit, Checkpoint, Dtype, Tensor};

use crate::folder::loading::weights::may_be_missing;
use crate::folder::{TargetContents, to_f64};
use crate::plan::{Plan, Target};

/// Gives the bytes compared at a time.
const BLOCK: u64 = 256 << 10;

/// Says what comparing the weights showed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct WeightsComparison {
    /// Counts the tensors that are the same bit by bit.
    pub same: usize,
    /// Lists the tensors whose values differ, with the first element that does.
    pub different: Vec<TensorMismatch>,
    /// Lists the tensors that the folder should hold and does not, those apart that its class computes by itself.
    pub missing: Vec<String>,
    /// Lists the tensors that the folder holds and should not.
    pub extra: Vec<String>,
    /// Lists the tensors that should hold NaN or infinity by the source, in the order of its file, with the first such element.
    /// They may well be the same bit by bit.
    pub not_finite: Vec<TensorMismatch>,
    /// Counts the bytes compared.
    pub bytes: u64,
}

/// Describes a tensor that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
pub struct TensorMismatch {
    /// Gives its name in the folder.
    pub name: String,
    /// Says what is wrong with it.
    pub what: String,
}

impl WeightsComparison {
    /// Says whether all is as it should be.
    pub fn agree(&self) -> bool {
        self.different.is_empty() && self.missing.is_empty() && self.extra.is_empty()
    }
}

/// Compares every tensor of a folder with what the plan makes of the source, and checks the checksums of both.
///
/// # Errors
/// When one of the files cannot be read, or does not match its own checksums.
pub fn compare(
    plan: &Plan,
    source: &Checkpoint,
    folder: &Checkpoint,
) -> Result<WeightsComparison, crate::folder::FolderError> {
    let found: BTreeMap<&str, &Tensor> =
        folder.tensors().iter().map(|tensor| (&*tensor.name, &**tensor)).collect();
    let wanted: BTreeMap<&str, &Target> = plan.targets.iter().map(|target| (&*target.name, target)).collect();
    let lacks = |target: &Target| !found.contains_key(&*target.name) && !may_be_missing(target);
    let is_read = |name: &str| !plan.unread.iter().any(|unread| unread.name == name);
    let missing =
        wanted.iter().filter(|(_, target)| lacks(target)).map(|(name, _)| (*name).to_owned()).collect();
    let extra = found
        .keys()
        .filter(|name| !wanted.contains_key(*name) && is_read(name))
        .map(|name| (*name).to_owned())
        .collect();
    let mismatches = Mutex::new((Vec::new(), Vec::new()));
    let pairs = plan.targets.iter().filter_map(|target| Some((target, *found.get(&*target.name)?)));
    let pairs: Vec<(&Target, &Tensor)> = pairs.filter(|(target, _)| is_read(&target.name)).collect();
    let (source, folder) = (source.audit(), folder.audit());
    pairs.par_iter().enumerate().try_for_each(|(place, (target, tensor))| {
        let Findings { different, not_finite } = compare_one(target, &source, tensor, &folder)?;
        if different.is_some() || not_finite.is_some() {
            let mut mismatches = mismatches.lock().unwrap_or_else(PoisonError::into_inner);
            let named = |what| TensorMismatch { name: target.name.to_string(), what };
            mismatches.0.extend(different.map(named));
            mismatches.1.extend(not_finite.map(|what| (place, named(what))));
        }
        Ok::<(), crate::folder::FolderError>(())
    })?;
    source.finish()?;
    folder.finish()?;
    let (mut different, mut not_finite) = mismatches.into_inner().unwrap_or_else(PoisonError::into_inner);
    different.sort();
    not_finite.sort();
    let not_finite = not_finite.into_iter().map(|(_, found)| found).collect();
    let bytes = pairs.iter().map(|(target, _)| target.bytes()).sum();
    Ok(WeightsComparison {
        same: pairs.len() - different.len(),
        different,
        missing,
        extra,
        not_finite,
        bytes,
    })
}

/// Holds what comparing one tensor showed.
#[derive(Default)]
struct Findings {
    different: Option<String>,
    not_finite: Option<String>,
}

fn compare_one(
    target: &Target,
    source: &Audit<'_>,
    tensor: &Tensor,
    folder: &Audit<'_>,
) -> Result<Findings, crate::folder::FolderError> {
    let mut findings = Findings::default();
    if target.dtype != tensor.dtype || *target.shape != *tensor.shape {
        let (wanted, found) = (target.dtype, tensor.dtype);
        findings.different =
            Some(format!("it should be {wanted} {:?} and is {found} {:?}", target.shape, tensor.shape));
        return Ok(findings);
    }
    let size = target.dtype.size();
    let step = (BLOCK / size).max(1);
    let mut contents = TargetContents::new(target, source)?;
    let mut first = 0;
    let mut expected = Vec::new();
    let mut written = Vec::new();
    while first < target.elements() {
        let count = step.min(target.elements() - first);
        let length = usize::try_from(count.saturating_mul(size)).unwrap_or(0);
        expected.resize(length, 0);
        written.resize(length, 0);
        contents.read(first.saturating_mul(size), &mut expected)?;
        folder.read(tensor, first, &mut written)?;
        if findings.not_finite.is_none() && holds_not_finite(target.dtype, &expected) {
            findings.not_finite = first_not_finite(target.dtype, &expected)
                .map(|(element, what)| format!("its element {} is {what}", first + element));
        }
        if expected != written {
            let place = expected.iter().zip(&written).position(|(a, b)| a != b).unwrap_or(0);
            let element = first + place as u64 / size;
            findings.different = Some(format!("its values differ from element {element} on"));
            return Ok(findings);
        }
        first += count;
    }
    Ok(findings)
}

/// Returns whether a number of `dtype` is not finite: all bits of its exponent are set. Without an early exit, so that it is a few
/// instructions for many numbers.
fn holds_not_finite(dtype: Dtype, bytes: &[u8]) -> bool {
    fn any<const N: usize>(bytes: &[u8], is_one: impl Fn([u8; N]) -> bool) -> bool {
        bytes.as_chunks::<N>().0.iter().fold(false, |any, &number| any | is_one(number))
    }
    match dtype {
        Dtype::F16 => any(bytes, |number| u16::from_le_bytes(number) & 0x7c00 == 0x7c00),
        Dtype::BF16 => any(bytes, |number| u16::from_le_bytes(number) & 0x7f80 == 0x7f80),
        Dtype::F32 => any(bytes, |number| u32::from_le_bytes(number) & 0x7f80_0000 == 0x7f80_0000),
        Dtype::F64 => any(bytes, |number| u64::from_le_bytes(number) >> 52 & 0x7ff == 0x7ff),
        _ => false,
    }
}

/// Returns the first number of `dtype` that is not finite, by its index, and what it is.
fn first_not_finite(dtype: Dtype, bytes: &[u8]) -> Option<(u64, &'static str)> {
    let size = usize::try_from(dtype.size()).unwrap_or(1).max(1);
    let mut numbers = (0..).zip(bytes.chunks_exact(size));
    let (index, number) = numbers.find(|(_, number)| holds_not_finite(dtype, number))?;
    let mut value = [0.0];
    to_f64(dtype, number, &mut value);
    Some((index, if value == [f64::INFINITY] || value == [f64::NEG_INFINITY] { "infinite" } else { "NaN" }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_are_not_finite_are_found_in_every_dtype() {
        let nan = f64::NAN;
        type Encode = fn(f64) -> Vec<u8>;
        let cases: [(Dtype, Encode); 4] = [
            (Dtype::F16, |value| half::f16::from_f64(value).to_le_bytes().to_vec()),
            (Dtype::BF16, |value| half::bf16::from_f64(value).to_le_bytes().to_vec()),
            (Dtype::F32, |value| (value as f32).to_le_bytes().to_vec()),
            (Dtype::F64, |value| value.to_le_bytes().to_vec()),
        ];
        for (dtype, bytes) in cases {
            let found = |numbers: &[f64]| {
                let bytes: Vec<u8> = numbers.iter().copied().flat_map(bytes).collect();
                holds_not_finite(dtype, &bytes).then(|| first_not_finite(dtype, &bytes).unwrap())
            };
            assert_eq!(found(&[0.0, 65504.0, -1.0, 1e-30]), None, "{dtype}");
            assert_eq!(found(&[1.0, -2.0, nan, f64::INFINITY]), Some((2, "NaN")), "{dtype}");
            assert_eq!(found(&[1.0, f64::NEG_INFINITY, nan]), Some((1, "infinite")), "{dtype}");
        }
        assert!(!holds_not_finite(Dtype::I64, &[0xff; 8]));
    }
}
