//! What an operation makes of a tensor's shape: axes in another order, rows put after one another, rows of zeros. No byte is
//! read, and a shape that does not fit is a problem of its tensor.

use std::sync::Arc;

use vitport_checkpoint::{Dims, Dtype, Tensor};

use super::problems::Problem;
use super::sources::SourceTensor;
use crate::plan::Part;

/// The view that a tensor is, for operations on its axes or rows.
pub(super) fn one_view(tensor: &SourceTensor) -> Result<&Arc<Tensor>, Problem> {
    tensor.view().ok_or_else(|| Problem::Unfit {
        name: tensor.name.to_string(),
        reason: "it is made of several parts, whose axes cannot be put into another order".to_owned(),
    })
}

pub(super) fn whole(tensor: &Arc<Tensor>) -> Part {
    Part::Slice { tensor: Arc::clone(tensor), first: 0, elements: tensor.elements() }
}

/// The view with its last two axes exchanged; no byte moves.
pub(super) fn transposed(tensor: &Tensor) -> Result<Tensor, Problem> {
    let mut view = tensor.clone();
    let axes = view.shape.len();
    if axes < 2 || view.strides.len() != axes {
        let reason = format!("shape {:?} has no two axes to exchange", tensor.shape);
        return Err(Problem::Unfit { name: tensor.name.to_string(), reason });
    }
    view.shape.swap(axes - 2, axes - 1);
    view.strides.swap(axes - 2, axes - 1);
    Ok(view)
}

/// The view with its axes in another order, and the shape that it has once those of each group are one axis; no byte moves.
pub(super) fn permuted(tensor: &Tensor, axes: &[Vec<usize>]) -> Result<(Dims, Tensor), Problem> {
    let unfit = || {
        let wanted = axes.iter().map(Vec::len).sum::<usize>();
        let reason =
            format!("shape {:?} does not have the {wanted} axes that are put into order", tensor.shape);
        Problem::Unfit { name: tensor.name.to_string(), reason }
    };
    let count = axes.iter().map(Vec::len).sum::<usize>();
    if tensor.shape.len() != count || tensor.strides.len() != count {
        return Err(unfit());
    }
    let mut view = tensor.clone();
    let take =
        |from: &[u64]| axes.iter().flatten().map(|&axis| from.get(axis).copied()).collect::<Option<_>>();
    view.shape = take(&tensor.shape).ok_or_else(unfit)?;
    view.strides = take(&tensor.strides).ok_or_else(unfit)?;
    let joined = |group: &Vec<usize>| {
        let sizes = group.iter().filter_map(|&axis| tensor.shape.get(axis));
        sizes.fold(1_u64, |product, &size| product.saturating_mul(size))
    };
    Ok((axes.iter().map(joined).collect(), view))
}

/// Shape and dtype of tensors put one after another along their first axis.
pub(super) fn stacked(tensors: &[SourceTensor]) -> Result<(Dims, Dtype), Problem> {
    let unfit =
        |tensor: &SourceTensor, reason: String| Problem::Unfit { name: tensor.name.to_string(), reason };
    let Some((first, others)) = tensors.split_first() else {
        return Err(Problem::Unfit {
            name: String::new(),
            reason: "there is nothing to concatenate".to_owned(),
        });
    };
    let Some((rows, columns)) = first.shape.split_first() else {
        return Err(unfit(first, "a scalar has no rows to concatenate".to_owned()));
    };
    let mut total = *rows;
    for tensor in others {
        match tensor.shape.split_first() {
            Some((rows, rest)) if rest == columns && tensor.dtype == first.dtype => {
                total = total.saturating_add(*rows);
            }
            _ => {
                let (shape, dtype) = (&tensor.shape, tensor.dtype);
                let reason = format!("{dtype} {shape:?} cannot follow {} {:?}", first.dtype, first.shape);
                return Err(unfit(tensor, reason));
            }
        }
    }
    let mut shape = Dims::from_slice(&[total]);
    shape.extend_from_slice(columns);
    Ok((shape, first.dtype))
}

/// Shape with `rows` more on the last but one axis, and how many zeros that takes. The axes before it must be 1 long, or
/// the zeros would not all lie before the source.
pub(super) fn padded(tensor: &SourceTensor, rows: u64) -> Result<(Dims, u64), Problem> {
    let unfit = || Problem::Unfit {
        name: tensor.name.to_string(),
        reason: format!("shape {:?} has no single run of rows that could be padded", tensor.shape),
    };
    let mut shape = tensor.shape.clone();
    let [leading @ .., length, width] = shape.as_mut_slice() else { return Err(unfit()) };
    if leading.iter().any(|&dim| dim != 1) {
        return Err(unfit());
    }
    *length = length.checked_add(rows).ok_or_else(unfit)?;
    let zeros = width.checked_mul(rows).ok_or_else(unfit)?;
    Ok((shape, zeros))
}

/// One float factor a row, and float rows.
pub(super) fn check_factors(tensor: &SourceTensor, factors: &SourceTensor) -> Result<(), Problem> {
    let rows = tensor.shape.first().copied();
    let fits = rows.is_some() && factors.shape.len() == 1 && factors.shape.first().copied() == rows;
    if fits && tensor.dtype.is_float() && factors.dtype.is_float() {
        return Ok(());
    }
    let reason = format!(
        "{} {:?} does not hold one factor a row of {} ({} {:?})",
        factors.dtype, factors.shape, tensor.name, tensor.dtype, tensor.shape
    );
    Err(Problem::Unfit { name: factors.name.to_string(), reason })
}
