//! What will be written, before anything is: every tensor of the target as slices of source tensors, and every source
//! tensor accounted for.
//!
//! A [`Plan`] is pure data. It is made by [`crate::mapping`], shown by `vitport plan`, written by [`crate::folder`], and
//! inverted by [`Mapping::inverse`](crate::mapping::Mapping::inverse). No tensor's bytes have been read yet.

use std::collections::HashSet;
use std::sync::Arc;

use smallvec::SmallVec;
use vitport_checkpoint::{Dtype, Tensor};

use crate::resampling::Resampled;

/// Describes a run of elements of a target tensor, in row-major order, and where they come from.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    /// Takes elements `first .. first + elements` of a view of a source tensor, in the view's own row-major order.
    Slice {
        /// Holds the view; its strides may differ from the source tensor's when a rule transposes.
        tensor: Arc<Tensor>,
        /// Counts the elements before the first, in the view's row-major order.
        first: u64,
        /// Counts the elements.
        elements: u64,
    },
    /// Multiplies every element of a source tensor by one factor. The product is taken in float64 and rounded once to the target's
    /// dtype, so it cannot be undone bit for bit.
    Scaled {
        /// Holds the tensor.
        tensor: Arc<Tensor>,
        /// Gives the factor.
        factor: f64,
    },
    /// Multiplies row `r` (first axis) of a source tensor by element `r` of `factors`. The product is taken in float64 and
    /// rounded once to the target's dtype, so it cannot be undone bit for bit.
    ScaledRows {
        /// Holds the tensor whose rows are scaled, shape `[rows, …]`.
        tensor: Arc<Tensor>,
        /// Holds one factor a row, shape `[rows]`.
        factors: Arc<Tensor>,
    },
    /// Adds element `c` of `addends` to column `c` (last axis) of a source tensor. The sum is taken in float64 and rounded once
    /// to the target's dtype, so it cannot be undone bit for bit.
    ShiftedColumns {
        /// Holds the tensor whose columns are shifted, shape `[…, columns]`.
        tensor: Arc<Tensor>,
        /// Holds one addend a column, shape `[columns]`.
        addends: Arc<Tensor>,
    },
    /// Computes a table of relative position biases with an MLP, in float64, each number rounded once; it cannot be undone.
    DistanceTable(Arc<DistanceTable>),
    /// Writes zeros that no source tensor holds.
    Zeros {
        /// Counts the elements.
        elements: u64,
    },
    /// Writes one number again and again that no source tensor holds.
    Repeated {
        /// Gives the number.
        number: u8,
        /// Counts the elements.
        elements: u64,
    },
    /// Writes the identity matrix of `size` rows and columns.
    Identity {
        /// Counts the rows, and the columns.
        size: u64,
    },
    /// Writes for each two places of a square window the number of their distance, (rows + side − 1) · (2 side − 1) + columns +
    /// side − 1, as int64: the row of a table of relative position biases.
    WindowDistances {
        /// Counts the places along an edge of the window.
        side: u64,
    },
}

impl Part {
    /// Returns the number of elements of the target that this part fills.
    pub fn elements(&self) -> u64 {
        match self {
            Part::Slice { elements, .. } | Part::Zeros { elements } | Part::Repeated { elements, .. } => {
                *elements
            }
            Part::Scaled { tensor, .. }
            | Part::ScaledRows { tensor, .. }
            | Part::ShiftedColumns { tensor, .. } => tensor.elements(),
            Part::DistanceTable(table) => table.rows().saturating_mul(table.heads()),
            Part::Identity { size } => size.saturating_mul(*size),
            Part::WindowDistances { side } => side.saturating_pow(4),
        }
    }
}

/// Describes a table of relative position biases as BEiT has it, a row for each distance of two patches and a column for each head,
/// and three more rows: from the class token to the patches, from these to it, and to itself. An MLP with ReLU makes the rows of the
/// patches of two coordinates, sign(d) ln(1 + |d|) of the distance d along each edge.
#[derive(Debug, Clone, PartialEq)]
pub struct DistanceTable {
    /// Holds the first layer's weight, shape `[hidden, 2]`, and bias, `[hidden]`, and the second's, `[heads, hidden]` and `[heads]`.
    pub mlp: [Arc<Tensor>; 4],
    /// Counts the patches along an edge of the image.
    pub side: u64,
    /// Says whether the patches do not see the class token: their bias to it is −10⁹, and not 0.
    pub hides_class_token: bool,
}

impl DistanceTable {
    /// Counts the rows that belong to the class token.
    pub const OF_CLASS_TOKEN: u64 = 3;

    /// Returns the number of rows.
    pub fn rows(&self) -> u64 {
        let distances = self.side.saturating_mul(2).saturating_sub(1);
        distances.saturating_mul(distances).saturating_add(Self::OF_CLASS_TOKEN)
    }

    /// Returns the number of columns.
    pub fn heads(&self) -> u64 {
        let [.., bias] = &self.mlp;
        bias.elements()
    }
}

/// Lists the parts of a target tensor in order. Most have one, which takes no memory of its own.
pub type Parts = SmallVec<[Part; 1]>;

/// Describes one tensor of the target folder.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// Holds its name in the target's state dict, as it is on disk.
    pub name: Arc<str>,
    /// Holds the dtype that it is written in.
    pub dtype: Dtype,
    /// Holds the shape that it is written in, which tensors of one shape share.
    pub shape: Arc<[u64]>,
    /// Lists what fills it, in order; the parts' elements add up to the shape's product.
    pub parts: Parts,
    /// Names the operation that made it, as the tables of mapping files are named.
    pub operation: &'static str,
}

impl Target {
    /// Returns whether the source's bytes can be recovered bit for bit: nothing is folded, and nothing cast.
    pub fn is_reversible(&self) -> bool {
        !self.is_folded() && !self.is_cast()
    }

    /// Returns whether it is written in another dtype than some source tensor that it is made of.
    pub fn is_cast(&self) -> bool {
        self.parts.iter().any(|part| match part {
            Part::Slice { tensor, .. }
            | Part::Scaled { tensor, .. }
            | Part::ScaledRows { tensor, .. }
            | Part::ShiftedColumns { tensor, .. } => tensor.dtype != self.dtype,
            Part::DistanceTable(table) => table.mlp.iter().any(|tensor| tensor.dtype != self.dtype),
            Part::Zeros { .. }
            | Part::Repeated { .. }
            | Part::Identity { .. }
            | Part::WindowDistances { .. } => false,
        })
    }

    /// Returns whether factors are multiplied into it, addends added to it, or all of it is computed.
    pub fn is_folded(&self) -> bool {
        let is_computed = |part: &Part| {
            matches!(
                part,
                Part::Scaled { .. }
                    | Part::ScaledRows { .. }
                    | Part::ShiftedColumns { .. }
                    | Part::DistanceTable(_)
            )
        };
        self.parts.iter().any(is_computed)
    }

    /// Returns the number of elements, the product of the shape.
    pub fn elements(&self) -> u64 {
        self.shape.iter().fold(1, |product, &dim| product.saturating_mul(dim))
    }

    /// Returns the number of bytes on disk.
    pub fn bytes(&self) -> u64 {
        self.elements().saturating_mul(self.dtype.size())
    }
}

/// Describes a source tensor, or a share of one, that has no place in the target, or several that lie together, and why.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Dropped {
    /// Holds its name in the source; of several the part that they lie in, with `.*`.
    pub name: String,
    /// Counts the tensors.
    pub tensors: usize,
    /// Counts the bytes that they take there.
    pub bytes: u64,
    /// Gives the reason.
    pub reason: String,
}

/// Lists every tensor of the target, and every source tensor that has no place in it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// Lists target tensors in the order they are written, which is the order their sources have in the file.
    pub targets: Vec<Target>,
    /// Lists source tensors left out.
    pub dropped: Vec<Dropped>,
    /// Counts source tensors that adapters were added to, in float64 and rounded once, before anything else is done.
    pub merged: usize,
    /// Says which source tensors were resampled for images of another size, before anything else is done.
    pub resampled: Option<Resampled>,
    /// Lists tensors of the target that its forward pass does not read, and why: on the way back they are left out, and so their values
    /// are not compared.
    pub unread: Vec<Dropped>,
}

impl Plan {
    /// Returns the number of bytes of tensor data that will be written.
    pub fn bytes(&self) -> u64 {
        self.targets.iter().map(Target::bytes).sum()
    }

    /// Returns whether every source tensor that is not dropped as a whole can be recovered bit for bit.
    pub fn is_reversible(&self) -> bool {
        self.merged == 0
            && !self.is_resampled()
            && self.targets.iter().all(Target::is_reversible)
            && !self.drops_shares()
    }

    /// Returns whether some source tensor was resampled.
    pub fn is_resampled(&self) -> bool {
        self.resampled.as_ref().is_some_and(Resampled::changes_weights)
    }

    /// Returns whether some source tensor is dropped in part.
    pub fn drops_shares(&self) -> bool {
        let dropped: HashSet<&str> = self.dropped.iter().map(|dropped| dropped.name.as_str()).collect();
        let is_written =
            |part: &Part| matches!(part, Part::Slice { tensor, .. } if dropped.contains(&*tensor.name));
        self.targets.iter().any(|target| target.parts.iter().any(is_written))
    }
}
