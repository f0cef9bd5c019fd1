//! Decides which files hold which tensors: the split into shards, and the index that lists them.
//!
//! The split is huggingface's (`split_state_dict_into_shards_factory` of huggingface_hub, which transformers' own
//! `save_pretrained` calls): tensors in order, a new shard where the next one would exceed the limit, and a tensor above
//! the limit in a shard of its own. Inside a file, tensors of wider dtypes come first, so that every tensor's bytes begin
//! at a multiple of its element's size, as the safetensors library writes them.

use std::cmp::Reverse;
use std::collections::HashSet;

use foldhash::fast::RandomState;
use serde_json::{Value, json};
use vitport_checkpoint::Dtype;

use super::error::{FolderError, Result};
use super::header::{LENGTH, METADATA, header};
use crate::plan::{Part, Plan, Target};

/// Gives the largest shard that is written unless something else is asked for: transformers 4's default, 5 GB.
pub const DEFAULT_SHARD_SIZE: u64 = 5_000_000_000;

/// Gives the name of the index next to shards.
pub const INDEX_NAME: &str = "model.safetensors.index.json";

/// Returns whether weights are written under that name: `model.safetensors`, or a shard's.
pub(super) fn is_weight_file(name: &str) -> bool {
    let is_number = |text: &str| text.len() >= 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    let Some(stem) = name.strip_prefix("model").and_then(|rest| rest.strip_suffix(".safetensors")) else {
        return false;
    };
    let parts = stem.strip_prefix('-').and_then(|rest| rest.split_once("-of-"));
    stem.is_empty() || parts.is_some_and(|(number, count)| is_number(number) && is_number(count))
}

/// Gives the longest safetensors header that its own library reads, in bytes.
const MAX_HEADER: usize = 100_000_000;

/// Lists the weight files of a folder.
#[derive(Debug)]
pub struct FileLayout<'a> {
    /// Holds `model.safetensors`, or the shards in order.
    pub files: Vec<WeightFile<'a>>,
}

/// Describes one safetensors file.
#[derive(Debug)]
pub struct WeightFile<'a> {
    /// Gives its name in the folder.
    pub name: String,
    /// Holds what lies before the tensors' bytes: the length of the description, and the description.
    pub header: Vec<u8>,
    /// Holds the tensors in the order of their bytes, which follow one another without gaps.
    pub tensors: Vec<&'a Target>,
}

impl WeightFile<'_> {
    /// Returns its length in bytes.
    pub fn bytes(&self) -> u64 {
        self.tensors.iter().fold(self.header.len() as u64, |sum, tensor| sum.saturating_add(tensor.bytes()))
    }
}

impl<'a> FileLayout<'a> {
    /// Splits the plan's tensors into files of at most `max_shard_size` bytes of tensors each.
    ///
    /// # Errors
    /// Of class usage when a tensor would have to be cast in a way that is never done. Of class bug when the plan
    /// contradicts itself.
    pub fn new(plan: &'a Plan, max_shard_size: u64) -> Result<Self> {
        let mut names: HashSet<&str, RandomState> = HashSet::default();
        for target in &plan.targets {
            check(target)?;
            if *target.name == *METADATA || !names.insert(&target.name) {
                return Err(inconsistent(target, "its name is taken".to_owned()));
            }
        }
        let shards = split(&plan.targets, max_shard_size);
        let count = shards.len();
        let files = shards.into_iter().enumerate().map(|(position, mut tensors)| {
            tensors.sort_by_key(|target| Reverse(target.dtype.size()));
            let name = match count {
                1 => "model.safetensors".to_owned(),
                _ => format!("model-{:05}-of-{count:05}.safetensors", position + 1),
            };
            Ok(WeightFile { name, header: checked_header(&tensors)?, tensors })
        });
        Ok(FileLayout { files: files.collect::<Result<_>>()? })
    }

    /// Returns the index document, when there are several files.
    pub fn index(&self) -> Option<Value> {
        if self.files.len() < 2 {
            return None;
        }
        let weight_map: serde_json::Map<_, _> = self
            .files
            .iter()
            .flat_map(|file| file.tensors.iter().map(|target| (target.name.to_string(), json!(file.name))))
            .collect();
        let targets = || self.files.iter().flat_map(|file| &file.tensors);
        let total_size: u64 = targets().map(|target| target.bytes()).sum();
        let total_parameters: u64 =
            targets().filter(|target| !is_buffer(&target.name)).map(|target| target.elements()).sum();
        Some(json!({
            "metadata": {"total_parameters": total_parameters, "total_size": total_size},
            "weight_map": weight_map,
        }))
    }

    /// Returns the length of all files in bytes.
    pub fn bytes(&self) -> u64 {
        self.files.iter().fold(0, |sum, file| sum.saturating_add(file.bytes()))
    }
}

/// Reads a size such as `5GB`, as huggingface_hub's `parse_size_to_int` does, or with a binary unit, such as `2GiB`, or a
/// plain number of bytes. The answer is in bytes, rounded down.
///
/// # Errors
/// Of class usage when it is not a positive size.
pub fn parse_size(text: &str) -> Result<u64> {
    const UNITS: [(&str, f64); 9] = [
        ("TIB", 1_099_511_627_776.0),
        ("GIB", 1_073_741_824.0),
        ("MIB", 1_048_576.0),
        ("KIB", 1024.0),
        ("TB", 1e12),
        ("GB", 1e9),
        ("MB", 1e6),
        ("KB", 1e3),
        ("", 1.0),
    ];
    let upper = text.trim().to_ascii_uppercase();
    let refused = || FolderError::ShardSize(text.to_owned());
    let (number, unit) = UNITS
        .iter()
        .find_map(|(name, unit)| upper.strip_suffix(name).map(|number| (number, unit)))
        .ok_or_else(refused)?;
    let size = number.trim().parse::<f64>().map_err(|_| refused())? * unit;
    if (1.0..1e18).contains(&size) { Ok(size as u64) } else { Err(refused()) }
}

/// Splits greedily, as Huggingface does. No tensors at all still make one shard.
fn split(targets: &[Target], max_shard_size: u64) -> Vec<Vec<&Target>> {
    let (mut shards, mut current, mut size) = (Vec::new(), Vec::new(), 0_u64);
    for target in targets {
        let bytes = target.bytes();
        if bytes > max_shard_size {
            shards.push(vec![target]);
            continue;
        }
        if size.saturating_add(bytes) > max_shard_size {
            shards.push(std::mem::take(&mut current));
            size = 0;
        }
        current.push(target);
        size = size.saturating_add(bytes);
    }
    if !current.is_empty() || shards.is_empty() {
        shards.push(current);
    }
    shards
}

/// Returns the header of a file of these tensors, unless it is longer than is read again.
fn checked_header(tensors: &[&Target]) -> Result<Vec<u8>> {
    let header = header(tensors);
    let len = header.len().saturating_sub(LENGTH);
    match tensors.first() {
        Some(first) if len > MAX_HEADER => {
            let why = format!("its file's header would have {len} bytes, more than {MAX_HEADER}");
            Err(inconsistent(first, why))
        }
        _ => Ok(header),
    }
}

/// Checks that the parts fill the target, lie in their sources, and need no cast that is never done.
fn check(target: &Target) -> Result<()> {
    let product = |dims: &[u64]| dims.iter().try_fold(1_u64, |product, &dim| product.checked_mul(dim));
    let elements = product(&target.shape)
        .filter(|elements| elements.checked_mul(target.dtype.size()).is_some_and(|bytes| bytes < 1 << 62))
        .ok_or_else(|| inconsistent(target, format!("the shape {:?} is too large", target.shape)))?;
    let mut filled = 0_u64;
    for part in &target.parts {
        let count = match part {
            Part::Slice { tensor, first, elements } => {
                castable(target, tensor.dtype, tensor.dtype == target.dtype)?;
                let last = first.checked_add(*elements).filter(|&last| last <= tensor.elements());
                last.map(|_| *elements)
            }
            Part::Scaled { tensor, .. } => {
                castable(target, tensor.dtype, false)?;
                Some(tensor.elements())
            }
            Part::ScaledRows { tensor, factors } => {
                castable(target, tensor.dtype, false)?;
                castable(target, factors.dtype, false)?;
                let rows = tensor.shape.first().copied();
                let fits = rows == Some(factors.elements()) && factors.shape.len() == 1;
                fits.then(|| tensor.elements())
            }
            Part::ShiftedColumns { tensor, addends } => {
                castable(target, tensor.dtype, false)?;
                castable(target, addends.dtype, false)?;
                let columns = tensor.shape.last().copied();
                let fits = columns == Some(addends.elements()) && addends.shape.len() == 1;
                fits.then(|| tensor.elements())
            }
            Part::DistanceTable(table) => {
                for tensor in &table.mlp {
                    castable(target, tensor.dtype, false)?;
                }
                let shapes = table.mlp.each_ref().map(|tensor| tensor.shape.as_slice());
                match shapes {
                    [&[hidden, 2], &[of_hidden], &[heads, into], &[of_heads]] => {
                        let fits = hidden == of_hidden && hidden == into && heads == of_heads;
                        fits.then(|| part.elements())
                    }
                    _ => None,
                }
            }
            Part::Zeros { elements } | Part::Repeated { elements, .. } => Some(*elements),
            Part::Identity { size } => size.checked_mul(*size),
            Part::WindowDistances { side } => side.checked_pow(4),
        };
        filled = count
            .and_then(|count| filled.checked_add(count))
            .ok_or_else(|| inconsistent(target, "a part of it lies outside its source".to_owned()))?;
    }
    if filled == elements {
        Ok(())
    } else {
        Err(inconsistent(target, format!("its parts have {filled} elements and its shape {elements}")))
    }
}

/// Refuses what is not arithmetic on real numbers between `from` and the target's dtype, unless the bytes are only moved.
fn castable(target: &Target, from: Dtype, moved: bool) -> Result<()> {
    let to = target.dtype;
    let writable = matches!(to, Dtype::F64 | Dtype::F32 | Dtype::F16 | Dtype::BF16);
    if moved || (from.is_float() && writable) {
        Ok(())
    } else {
        Err(FolderError::NotCastable { tensor: target.name.to_string(), from: from.name(), to: to.name() })
    }
}

fn inconsistent(target: &Target, why: String) -> FolderError {
    FolderError::Plan { tensor: target.name.to_string(), why }
}

/// Returns whether a tensor is state that torch's batch norm keeps next to its parameters (`torch.nn.modules.batchnorm._NormBase`
/// registers these three buffers); `total_parameters` does not count it.
fn is_buffer(name: &str) -> bool {
    let last = name.rsplit_once('.').map_or(name, |(_, last)| last);
    matches!(last, "running_mean" | "running_var" | "num_batches_tracked")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_huggingface_reads_them() {
        for (text, bytes) in [
            ("5GB", 5_000_000_000),
            ("500MB", 500_000_000),
            (" 1.5 kb ", 1500),
            ("2GiB", 2_147_483_648),
            ("1TB", 1_000_000_000_000),
            ("0.5MiB", 524_288),
            ("12345", 12345),
        ] {
            assert_eq!(parse_size(text).unwrap(), bytes, "{text}");
        }
        for text in ["", "GB", "5XB", "-1GB", "0", "nan", "infGB", "1e30TB", "5 giraffes", "5B\u{1b}"] {
            assert!(matches!(parse_size(text), Err(FolderError::ShardSize(_))), "{text}");
        }
    }
}
