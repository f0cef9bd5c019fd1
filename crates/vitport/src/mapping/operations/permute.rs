//! `"source" = { to = "target", axes = [2, [0, 1]] }`: the axes in another order, some of them joined; no byte moves.

use serde::Deserialize;
use vitport_checkpoint::{Dims, Tensor};

use super::one_to_one::Change;
use super::views::{as_made, view_in_shape, view_of};
use super::{Context, Made, unfit};
use crate::mapping::problems::Problem;
use crate::mapping::sources::SourceTensor;

pub(super) const TABLE: &str = "permute";

#[derive(Debug)]
pub(super) struct Permute(Axes);

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table of `to` and `axes`")]
pub(super) struct Entry {
    to: String,
    axes: AxesEntry,
}

impl Change for Permute {
    type Entry = Entry;

    fn parse(source: &str, Entry { to, axes }: Entry) -> Result<(String, Self), String> {
        Ok((to, Self(Axes::parse(source, axes)?)))
    }

    fn make(&self, tensor: &SourceTensor, _: &Context<'_>) -> Result<Made, Problem> {
        self.0.permuted(tensor)
    }

    fn restore(
        &self,
        target: &SourceTensor,
        source: &SourceTensor,
        _: &Context<'_>,
    ) -> Result<Made, Problem> {
        self.0.restored(target, &source.shape)
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
