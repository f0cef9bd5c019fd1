//! Compares the weights themselves: what the plan makes of the source, compared bit by bit with what lies in the folder.
//!
//! Running the networks proves that the mapping is right; it cannot see every bit, since a small change in a large network
//! may drown in its outputs. Comparing bytes can.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::PoisonError;

use rayon::prelude::*;
use serde::Serialize;
use vitport_checkpoint::{Audit, Checkpoint, Tensor};

use crate::folder::TargetContents;
use crate::plan::{Plan, Target};

/// Bytes compared at a time.
const BLOCK: u64 = 256 << 10;

/// Says what comparing the weights showed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct WeightsComparison {
    /// Counts the tensors that are the same bit by bit.
    pub same: usize,
    /// Lists the tensors whose values differ, with the first element that does.
    pub different: Vec<TensorMismatch>,
    /// Lists the tensors that the folder should hold and does not.
    pub missing: Vec<String>,
    /// Lists the tensors that the folder holds and should not.
    pub extra: Vec<String>,
    /// Counts the bytes compared.
    pub bytes: u64,
}

/// Describes a tensor that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
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
    let missing =
        wanted.keys().filter(|name| !found.contains_key(*name)).map(|name| (*name).to_owned()).collect();
    let extra =
        found.keys().filter(|name| !wanted.contains_key(*name)).map(|name| (*name).to_owned()).collect();
    let mismatches = Mutex::new(Vec::new());
    let pairs: Vec<(&Target, &Tensor)> =
        wanted.iter().filter_map(|(name, target)| Some((*target, *found.get(name)?))).collect();
    let (source, folder) = (source.audit(), folder.audit());
    pairs.par_iter().try_for_each(|(target, tensor)| {
        if let Some(what) = compare_one(target, &source, tensor, &folder)? {
            let mut mismatches = mismatches.lock().unwrap_or_else(PoisonError::into_inner);
            mismatches.push(TensorMismatch { name: target.name.to_string(), what });
        }
        Ok::<(), crate::folder::FolderError>(())
    })?;
    source.finish()?;
    folder.finish()?;
    let mut different = mismatches.into_inner().unwrap_or_else(PoisonError::into_inner);
    different.sort();
    let bytes = pairs.iter().map(|(target, _)| target.bytes()).sum();
    Ok(WeightsComparison { same: pairs.len() - different.len(), different, missing, extra, bytes })
}

fn compare_one(
    target: &Target,
    source: &Audit<'_>,
    tensor: &Tensor,
    folder: &Audit<'_>,
) -> Result<Option<String>, crate::folder::FolderError> {
    if target.dtype != tensor.dtype || *target.shape != *tensor.shape {
        let (wanted, found) = (target.dtype, tensor.dtype);
        return Ok(Some(format!(
            "it should be {wanted} {:?} and is {found} {:?}",
            target.shape, tensor.shape
        )));
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
        if expected != written {
            let place = expected.iter().zip(&written).position(|(a, b)| a != b).unwrap_or(0);
            let element = first + place as u64 / size;
            return Ok(Some(format!("its values differ from element {element} on")));
        }
        first += count;
    }
    Ok(None)
}
