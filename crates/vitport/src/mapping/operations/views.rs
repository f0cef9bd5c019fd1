//! Tensors as views, for operations that change the order of axes: another shape and other strides over the same elements.

use std::sync::Arc;

use smallvec::smallvec;
use vitport_checkpoint::{Dims, Dtype, Tensor};

use super::{Made, unfit};
use crate::mapping::problems::Problem;
use crate::mapping::sources::SourceTensor;
use crate::plan::{Part, Parts};

/// Returns the view that a tensor is, in the tensor's shape.
pub(super) fn view_of(tensor: &SourceTensor) -> Result<Arc<Tensor>, Problem> {
    view_in_shape(tensor, &tensor.shape)
}

/// Returns the view that a tensor is, in another shape of as many elements.
pub(super) fn view_in_shape(tensor: &SourceTensor, shape: &Dims) -> Result<Arc<Tensor>, Problem> {
    let view = tensor.view().ok_or_else(|| {
        unfit(&tensor.name, "it is made of several parts, whose axes cannot be put into another order")
    })?;
    if view.shape == *shape {
        return Ok(Arc::clone(view));
    }
    let in_shape = row_major(view, 0, shape.clone());
    if !view.is_contiguous() || in_shape.elements() != view.elements() {
        let reason = format!("its elements lie as {:?} and cannot be seen as {shape:?}", view.shape);
        return Err(unfit(&tensor.name, reason));
    }
    Ok(Arc::new(in_shape))
}

/// Returns the elements of a contiguous view from `first` on, in this shape.
fn row_major(view: &Tensor, first: u64, shape: Dims) -> Tensor {
    let offset = view.offset.saturating_add(first);
    let tensor = Tensor::contiguous(Arc::clone(&view.name), view.dtype, shape, offset, view.storage);
    Tensor { lazy_bits: view.lazy_bits, ..tensor }
}

/// Returns the elements of a tensor from `first` on that fill this shape.
pub(super) fn share_of(tensor: &SourceTensor, first: u64, shape: &Dims) -> Result<SourceTensor, Problem> {
    let elements = shape.iter().fold(1_u64, |product, &size| product.saturating_mul(size));
    let is_whole = |parts: &Parts| parts.iter().map(Part::elements).sum::<u64>() == elements;
    let Some(mut parts) = tensor.cut(first, elements).filter(is_whole) else {
        return Err(unfit(&tensor.name, format!("no share of it has the shape {shape:?}")));
    };
    if let [Part::Slice { tensor: view, first, elements }] = parts.as_mut_slice()
        && view.is_contiguous()
    {
        let share = row_major(view, *first, Dims::from_slice(&[*elements]));
        (*view, *first) = (Arc::new(share), 0);
    }
    Ok(SourceTensor { shape: shape.clone(), parts, ..tensor.clone() })
}

/// Returns what an operation makes that changes nothing but the view.
pub(super) fn as_made(dtype: Dtype, shape: Dims, view: Tensor, operation: &'static str) -> Made {
    let elements = view.elements();
    let part = Part::Slice { tensor: Arc::new(view), first: 0, elements };
    Made { dtype, shape, parts: smallvec![part], operation }
}
