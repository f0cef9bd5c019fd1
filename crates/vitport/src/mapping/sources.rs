//! What the rules of a mapping read: tensors by name, each made of parts of a checkpoint's tensors. A checkpoint's own tensors
//! are one part each; those that a layout makes may be several, or lie in another order. So a mapping can be put after a
//! layout, and its plan still reads straight from the file.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use smallvec::smallvec;
use vitport_checkpoint::{Dims, Dtype, Tensor};

use crate::nn::Network;
use crate::plan::{Part, Parts, Plan};
use crate::state_dict::StateDict;

/// Describes a tensor that rules may read.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceTensor {
    /// Holds its name, as patterns see it.
    pub name: Arc<str>,
    /// Holds its dtype.
    pub dtype: Dtype,
    /// Holds its shape.
    pub shape: Dims,
    /// Lists what fills it, row-major.
    pub parts: Parts,
    /// Names what a layout did to make it; `rename` for a checkpoint's own tensor.
    pub operation: &'static str,
}

impl SourceTensor {
    /// Returns the number of its elements.
    pub fn elements(&self) -> u64 {
        self.shape.iter().fold(1, |product, &size| product.saturating_mul(size))
    }

    /// Returns the names that the file has for the tensors that it is made of.
    pub fn names_in_file(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Slice { tensor, .. }
            | Part::Scaled { tensor, .. }
            | Part::ScaledRows { tensor, .. }
            | Part::ShiftedColumns { tensor, .. } => Some(&*tensor.name),
            Part::DistanceTable(table) => table.mlp.first().map(|tensor| &*tensor.name),
            Part::Zeros { .. }
            | Part::Repeated { .. }
            | Part::Identity { .. }
            | Part::WindowDistances { .. } => None,
        })
    }

    /// Returns the view that it is, if it is one whole view of one tensor.
    pub fn view(&self) -> Option<&Arc<Tensor>> {
        match self.parts.as_slice() {
            [Part::Slice { tensor, first: 0, elements }] if *elements == tensor.elements() => Some(tensor),
            _ => None,
        }
    }

    /// Returns its elements `first .. first + elements`; none if it is made of what cannot be cut.
    pub fn cut(&self, first: u64, elements: u64) -> Option<Parts> {
        let (mut start, end) = (0_u64, first.checked_add(elements)?);
        let mut cut = Parts::new();
        for part in &self.parts {
            let stop = start.checked_add(part.elements())?;
            let (from, to) = (start.max(first), stop.min(end));
            if from < to {
                cut.push(match part {
                    Part::Slice { tensor, first, .. } => Part::Slice {
                        tensor: Arc::clone(tensor),
                        first: first.checked_add(from - start)?,
                        elements: to - from,
                    },
                    Part::Zeros { .. } => Part::Zeros { elements: to - from },
                    Part::Repeated { number, .. } => Part::Repeated { number: *number, elements: to - from },
                    whole if (from, to) == (start, stop) => whole.clone(),
                    _ => return None,
                });
            }
            start = stop;
        }
        Some(cut)
    }
}

/// Holds tensors by name, in order.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    tensors: Vec<SourceTensor>,
    /// Places by name, seeded anew in each process, as a file chose the names.
    places: HashMap<Arc<str>, usize, RandomState>,
}

impl Sources {
    /// Returns the tensors of a state dict under their bare names.
    pub fn of_state_dict(state_dict: &StateDict) -> Self {
        let mut sources = Self::with_capacity(state_dict.len());
        for (name, tensor) in state_dict.entries() {
            sources.push(SourceTensor {
                name: Arc::clone(name),
                dtype: tensor.dtype,
                shape: tensor.shape.clone(),
                parts: smallvec![Part::Slice {
                    tensor: Arc::clone(tensor),
                    first: 0,
                    elements: tensor.elements()
                }],
                operation: "rename",
            });
        }
        sources
    }

    /// Returns the tensors that a plan makes.
    pub fn of_plan(plan: &Plan) -> Self {
        let mut sources = Self::with_capacity(plan.targets.len());
        for target in &plan.targets {
            sources.push(SourceTensor {
                name: Arc::clone(&target.name),
                dtype: target.dtype,
                shape: Dims::from_slice(&target.shape),
                parts: target.parts.clone(),
                operation: target.operation,
            });
        }
        sources
    }

    /// Returns the tensors that a network reads, by name and shape, with nothing in them. Their dtype is float32.
    pub fn of_network(network: &Network) -> Self {
        let mut sources = Self::with_capacity(network.parameters().len());
        for parameter in network.parameters() {
            sources.push(SourceTensor {
                name: parameter.name().into(),
                dtype: Dtype::F32,
                shape: parameter.shape().iter().map(|&size| size as u64).collect(),
                parts: Parts::new(),
                operation: "rename",
            });
        }
        sources
    }

    fn with_capacity(count: usize) -> Self {
        let places = HashMap::with_capacity_and_hasher(count, RandomState::default());
        Self { tensors: Vec::with_capacity(count), places }
    }

    fn push(&mut self, tensor: SourceTensor) {
        self.places.insert(Arc::clone(&tensor.name), self.tensors.len());
        self.tensors.push(tensor);
    }

    /// Puts a tensor in the place of the one of its name, if there is one.
    pub(crate) fn replace(&mut self, tensor: SourceTensor) {
        let place = self.places.get(&tensor.name).and_then(|place| self.tensors.get_mut(*place));
        if let Some(place) = place {
            *place = tensor;
        }
    }

    /// Returns the position and the tensor of a name.
    pub fn entry(&self, name: &str) -> Option<(usize, &SourceTensor)> {
        let place = *self.places.get(name)?;
        Some((place, self.tensors.get(place)?))
    }

    /// Returns the shape of the tensor of a name.
    pub fn shape(&self, name: &str) -> Option<&[u64]> {
        self.entry(name).map(|(_, tensor)| tensor.shape.as_slice())
    }

    /// Returns whether there is a tensor of that name.
    pub fn has(&self, name: &str) -> bool {
        self.entry(name).is_some()
    }

    /// Returns the first name that begins with one of `prefixes`.
    pub fn starting_with(&self, prefixes: &[&str]) -> Option<&str> {
        let mut names = self.tensors.iter().map(|tensor| &*tensor.name);
        names.find(|name| prefixes.iter().any(|prefix| name.starts_with(prefix)))
    }

    /// Returns how many consecutive numbers from 0 on stand right after `stem`, as in `blocks.0.`, `blocks.1.` ….
    pub fn count_indices(&self, stem: &str) -> u64 {
        self.count_indices_from(0, stem)
    }

    /// Returns how many consecutive numbers from `first` on stand right after `stem`. A `{n}` in the stem is any number.
    pub fn count_indices_from(&self, first: u64, stem: &str) -> u64 {
        let after = |name: &'_ str| -> Option<usize> {
            let Some((before, behind)) = stem.split_once("{n}") else {
                return name.starts_with(stem).then_some(stem.len());
            };
            let rest = name.strip_prefix(before)?;
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let is_there = digits > 0 && rest.get(digits..)?.starts_with(behind);
            is_there.then_some(before.len() + digits + behind.len())
        };
        let number = |tensor: &SourceTensor| {
            tensor.name.get(after(&tensor.name)?..)?.split(['.', '/']).next()?.parse::<u64>().ok()
        };
        let mut seen: Vec<u64> = self.tensors.iter().filter_map(number).collect();
        seen.sort_unstable();
        seen.dedup();
        seen.iter().zip(first..).take_while(|(index, expected)| **index == *expected).count() as u64
    }

    /// Returns all tensors in order.
    pub fn iter(&self) -> impl Iterator<Item = &SourceTensor> {
        self.tensors.iter()
    }

    /// Returns the number of tensors.
    pub fn len(&self) -> usize {
        self.tensors.len()
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.tensors.is_empty()
    }
}
