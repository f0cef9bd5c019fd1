//! A network for images of another size: its facts, and the tensors that take the place of the source's.

use std::sync::Arc;

use smallvec::smallvec;
use vitport_checkpoint::{CheckpointError, Dims};

use super::error::ConvertError;
use crate::facts::{Fact, FactError, Facts, Origin};
use crate::folder::from_f64;
use crate::frameworks::SourceDefinition;
use crate::mapping::{SourceTensor, Sources};
use crate::model::Model;
use crate::nn::{ForwardError, Weights};
use crate::plan::Part;
use crate::resampling::{Resampled, ResampledTensor, refused};
use crate::source::{Source, SourceError};
use crate::verify::SourceWeights;

/// Names the operation that makes a resampled tensor.
const OPERATION: &str = "resample";

/// Returns the facts of the network for images of the size that is asked for, and what is resampled for it; nothing where they are of that
/// size already.
///
/// # Errors
/// Returns [`FactError::Contradiction`] for a size that the network cannot have.
pub(super) fn resized(
    definition: &dyn SourceDefinition,
    tensors: &Sources,
    mut facts: Facts,
    to: Option<[u64; 2]>,
) -> Result<(Facts, Option<Resampled>), FactError> {
    let Some(to) = to else { return Ok((facts, None)) };
    let resampled = definition.resampled(tensors, &facts, to)?;
    let Some(known) = facts.get("img_size").filter(|_| resampled.from_pixels != to).cloned() else {
        return Ok((facts, None));
    };
    facts.set(Fact::new(known.name, to.to_vec(), Origin::Request("--resample-to")));
    facts.set(Fact { name: "original_img_size", ..known });
    if !resampled.tensors.is_empty() && facts.text("architecture").is_none() {
        let origin = Origin::Definition("timm, which resamples FlexiViT and RADIO otherwise");
        facts.set(Fact::new("resampling", "bicubic", origin));
    }
    Ok((facts, Some(resampled)))
}

/// Puts the resampled tensors of a model in the place of the source's.
///
/// # Errors
/// Returns [`ConvertError::Facts`] for values that no network computes with, and [`ConvertError::Source`] for tensors that cannot be
/// read, or not be kept.
pub(super) fn apply(source: &mut Source, model: &mut Model) -> Result<(), ConvertError> {
    let Some(resampled) = model.resampled.clone() else { return Ok(()) };
    for tensor in &resampled.tensors {
        apply_to(source, &mut model.tensors, &resampled, tensor)?;
    }
    Ok(())
}

fn apply_to(
    source: &mut Source,
    tensors: &mut Sources,
    resampled: &Resampled,
    ResampledTensor { name, holds }: &ResampledTensor,
) -> Result<(), ConvertError> {
    let unreadable = |why: String| refused(resampled.to_pixels, &format!("{name} cannot be read: {why}"));
    let Some((_, tensor)) = tensors.entry(name) else {
        return Err(unreadable("it is not there".to_owned()).into());
    };
    let (dtype, named) = (tensor.dtype, Arc::clone(&tensor.name));
    let in_file: Arc<str> = tensor.names_in_file().next().unwrap_or(name).into();
    let Some(shape) = resampled.shape(*holds, &tensor.shape) else {
        return Err(unreadable(format!("its shape is {:?}", tensor.shape)).into());
    };
    let sizes: Vec<usize> =
        tensor.shape.iter().map(|size| usize::try_from(*size).unwrap_or(usize::MAX)).collect();
    let (count, mut scratch) = (sizes.iter().product(), Vec::new());
    let values = SourceWeights::new(&source.checkpoint, tensors);
    let values = match values.part(name, &sizes, 0..count, &mut scratch) {
        Ok(values) => resampled.values(*holds, values, sizes.last().copied().unwrap_or(0)),
        Err(ForwardError::Unreadable { source, .. }) => {
            return Err(match source.downcast::<CheckpointError>() {
                Ok(error) => SourceError::Checkpoint(*error).into(),
                Err(error) => unreadable(error.to_string()).into(),
            });
        }
        Err(error) => return Err(unreadable(error.to_string()).into()),
    };
    let mut bytes = Vec::with_capacity(values.len().saturating_mul(8));
    values.iter().for_each(|value| bytes.extend(from_f64(dtype, f64::from(*value)).unwrap_or_default()));
    let added = source.checkpoint.add(in_file, dtype, &shape, &bytes).map_err(SourceError::from)?;
    let (shape, elements) = (Dims::from_slice(&shape), added.elements());
    let parts = smallvec![Part::Slice { tensor: Arc::new(added), first: 0, elements }];
    tensors.replace(SourceTensor { name: named, dtype, shape, parts, operation: OPERATION });
    Ok(())
}
