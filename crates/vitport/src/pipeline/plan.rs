//! The plan of a conversion: what the source is, which mapping holds it, and what will be written.

use vitport_checkpoint::{Dtype, Limits};

use super::error::ConvertError;
use super::identify::identify;
use super::resample;
use crate::mapping::Mapping;
use crate::model::Prepared;
use crate::options::FactOptions;
use crate::plan::Plan;
use crate::source::Source;

/// Says what may be asked of a conversion before anything is written.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Gives facts about the model.
    pub facts: FactOptions,
    /// Gives the nested part of the checkpoint that holds the weights.
    pub root: Option<String>,
    /// Gives a mapping file in place of the built-in ones: its path, for messages, and its text.
    pub mapping: Option<(String, String)>,
    /// Gives the dtype of the written float tensors; their own if none.
    pub dtype: Option<Dtype>,
    /// Says what a file may ask for.
    pub limits: Limits,
}

/// Identifies a source and plans its conversion. Tensors are read only where a mapping's condition is about their values, and those
/// that are resampled.
///
/// # Errors
/// Returns [`ConvertError`], never of the folder kind.
pub fn plan(mut source: Source, request: &Request) -> Result<Prepared, ConvertError> {
    let own = own_mapping(request)?;
    let mut model = identify(&mut source, &request.facts, own.as_ref())?;
    resample::apply(&mut source, &mut model)?;
    let plan = model
        .mapping
        .plan(&model.tensors, &model.bindings, request.dtype, &model.target_network)
        .map_err(|problems| ConvertError::Unaccounted { file: source.display_name(), problems })?;
    let mut plan = Plan { merged: model.merged, resampled: model.resampled.clone(), ..plan };
    plan.dropped.extend(model.dropped.iter().cloned());
    let (own_mapping, limits) = (own.is_some(), request.limits.clone());
    Ok(Prepared { source, model, own_mapping, plan, limits, is_way_back: false })
}

/// Returns the mapping that a conversion of this source follows, the caller's or a built-in one.
///
/// # Errors
/// As [`plan()`].
pub fn mapping_of(mut source: Source, request: &Request) -> Result<Mapping, ConvertError> {
    Ok(identify(&mut source, &request.facts, own_mapping(request)?.as_ref())?.mapping)
}

fn own_mapping(request: &Request) -> Result<Option<Mapping>, ConvertError> {
    let parse = |(file, text): &(String, String)| Mapping::parse(file, text);
    Ok(request.mapping.as_ref().map(parse).transpose()?)
}
