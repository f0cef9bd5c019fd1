//! `"source" = { to = "target", axes = [2, [0, 1]] }`: the axes in another order, some of them joined; no byte moves.

use serde::Deserialize;
use vitport_checkpoint::{Dims, Tensor};

use super::one_to_one::Change;
use super::views::{as_made, view_in_shape, view_of};
use super::{Context, Dimension, Made, unfit};
use crate::mapping::problems::Problem;
use crate::mapping::sources::SourceTensor;

pub(super) const TABLE: &str = "permute";

#[derive(Debug)]
pub(super) struct Permute {
    axes: Axes,
    /// Gives the source's shape as far as joined axes need it.
    shape: Option<Vec<Dimension>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table of `to` and `axes`, and of `shape` for the way back")]
pub(super) struct Entry {
    to: String,
    axes: AxesEntry,
    #[serde(default)]
    shape: Option<Vec<Dimension>>,
}

impl Change for Permute {
    type Entry = Entry;

    fn parse(source: &str, Entry { to, axes, shape }: Entry) -> Result<(String, Self), String> {
        Ok((to, Self { axes: Axes::parse(source, axes)?, shape }))
    }

    fn make(&self, tensor: &SourceTensor, _: &Context<'_>) -> Result<Made, Problem> {
        self.axes.permuted(tensor)
    }

    fn source_shape(&self, target: &SourceTensor, context: &Context<'_>) -> Result<Dims, Problem> {
        self.axes.source_shape(&target.name, &target.shape, self.shape.as_deref(), context)
    }

    fn restore(
        &self,
        target: &SourceTensor,
        source: &SourceTensor,
        _: &Context<'_>,
    ) -> Result<Made, Problem> {
        self.axes.restored(target, &source.shape)
    }
}

/// Lists the axes of a source in the order of the target; those of a group are one axis there, and an empty group is an axis of
/// length 1.
#[derive(Debug)]
pub(super) struct Axes(Vec<Vec<usize>>);

pub(super) type AxesEntry = Vec<Axis>;

/// Gives one axis of the target: an axis of the source, or several that become one.
#[derive(Deserialize)]
#[serde(untagged, expecting = "an axis is a number, or a list of numbers")]
pub(super) enum Axis {
    One(usize),
    Joined(Vec<usize>),
}

impl Axes {
    /// Reads the axes of a permutation, each of which must occur once; `key` is its entry's.
    pub(super) fn parse(key: &str, axes: AxesEntry) -> Result<Self, String> {
        let group = |axis| match axis {
            Axis::One(axis) => vec![axis],
            Axis::Joined(axes) => axes,
        };
        let groups: Vec<Vec<usize>> = axes.into_iter().map(group).collect();
        let mut named = groups.concat();
        named.sort_unstable();
        let is_whole = !named.is_empty() && named.iter().enumerate().all(|(place, axis)| place == *axis);
        if is_whole {
            return Ok(Self(groups));
        }
        Err(format!("`{key}` needs each of its axes, counted from 0, once"))
    }

    /// Returns the tensor with its axes in this order.
    pub(super) fn permuted(&self, tensor: &SourceTensor) -> Result<Made, Problem> {
        let view = view_of(tensor)?;
        let order = self.0.concat();
        let axes_in_order = in_order(&view, &order)?;
        let joined = |group: &Vec<usize>| {
            let sizes = group.iter().filter_map(|&axis| view.shape.get(axis));
            sizes.fold(1_u64, |product, &size| product.saturating_mul(size))
        };
        Ok(as_made(tensor.dtype, self.0.iter().map(joined).collect(), axes_in_order, TABLE))
    }

    /// Returns the shape that a tensor of this name had whose axes were put into this order. Of axes that were joined `stated` gives the
    /// lengths, with `rest` for the one that the others leave.
    pub(super) fn source_shape(
        &self,
        name: &str,
        permuted: &[u64],
        stated: Option<&[Dimension]>,
        context: &Context<'_>,
    ) -> Result<Dims, Problem> {
        let count = self.0.iter().map(Vec::len).sum();
        let mut shape = Dims::from_elem(1, count);
        let unknown = || unfit(name, "the lengths of the axes that were joined are not known");
        for (group, &length) in self.0.iter().zip(permuted) {
            let mut open = None;
            let mut product = 1_u64;
            for &axis in group {
                let size = match stated.and_then(|stated| stated.get(axis)) {
                    Some(Dimension::Count(rest)) if rest == "rest" => None,
                    Some(size) if group.len() > 1 => Some(context.size(size)?),
                    _ => None,
                };
                match size {
                    Some(size) => {
                        product = product.saturating_mul(size);
                        *shape.get_mut(axis).ok_or_else(unknown)? = size;
                    }
                    None if open.is_none() => open = Some(axis),
                    None => return Err(unknown()),
                }
            }
            let left = length.checked_div(product).filter(|left| left * product == length);
            let left = left.ok_or_else(unknown)?;
            match open {
                Some(axis) => *shape.get_mut(axis).ok_or_else(unknown)? = left,
                None if left == 1 => {}
                None => return Err(unknown()),
            }
        }
        Ok(shape)
    }

    /// Returns a permuted tensor with its axes in the order that they had before, when its shape was `original`.
    pub(super) fn restored(&self, tensor: &SourceTensor, original: &Dims) -> Result<Made, Problem> {
        let order = self.0.concat();
        let apart: Dims = order.iter().filter_map(|&axis| original.get(axis).copied()).collect();
        let mut back: Vec<usize> = (0..order.len()).collect();
        back.sort_unstable_by_key(|&place| order.get(place));
        let view = in_order(&*view_in_shape(tensor, &apart)?, &back)?;
        Ok(as_made(tensor.dtype, original.clone(), view, TABLE))
    }
}

/// Returns the view with its axes in this order.
fn in_order(view: &Tensor, order: &[usize]) -> Result<Tensor, Problem> {
    let misfit = || {
        let wanted = order.len();
        let reason =
            format!("shape {:?} does not have the {wanted} axes that are put into order", view.shape);
        unfit(&view.name, reason)
    };
    if view.shape.len() != order.len() || view.strides.len() != order.len() {
        return Err(misfit());
    }
    let take = |from: &[u64]| order.iter().map(|&axis| from.get(axis).copied()).collect::<Option<Dims>>();
    let (shape, strides) = (take(&view.shape), take(&view.strides));
    Ok(Tensor { shape: shape.ok_or_else(misfit)?, strides: strides.ok_or_else(misfit)?, ..view.clone() })
}
