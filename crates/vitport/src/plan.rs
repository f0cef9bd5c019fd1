//! What will be written, before anything is: every tensor of the target as slices of source tensors, and every source
//! tensor accounted for.
//!
//! A [`Plan`] is pure data. It is made by [`crate::mapping`], shown by `vitport plan`, written by [`crate::folder`], and
//! inverted by [`crate::mapping::inverse()`]. No tensor's bytes have been read yet.

use std::sync::Arc;

use smallvec::SmallVec;
use vitport_checkpoint::{Dtype, Tensor};

/// A run of elements of a target tensor, in row-major order, and where they come from.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    /// Elements `first .. first + elements` of a view of a source tensor, in the view's own row-major order.
    Slice {
        /// The view; its strides may differ from the source tensor's when a rule transposes.
        tensor: Arc<Tensor>,
        /// First element, counted in the view's row-major order.
        first: u64,
        /// Number of elements.
        elements: u64,
    },
    /// All elements of a source tensor, row `r` (first axis) multiplied by element `r` of `factors`. The product is
    /// taken in float64 and rounded once to the target's dtype, so it cannot be undone bit for bit.
    ScaledRows {
        /// The tensor whose rows are scaled, shape `[rows, …]`.
        tensor: Arc<Tensor>,
        /// One factor a row, shape `[rows]`.
        factors: Arc<Tensor>,
    },
    /// Zeros that no source tensor holds.
    Zeros {
        /// Number of elements.
        elements: u64,
    },
    /// The identity matrix of `size` rows and columns.
    Identity {
        /// Rows, and columns.
        size: u64,
    },
}

impl Part {
    /// Number of elements of the target that this part fills.
    pub fn elements(&self) -> u64 {
        match self {
            Part::Slice { elements, .. } | Part::Zeros { elements } => *elements,
            Part::ScaledRows { tensor, .. } => tensor.elements(),
            Part::Identity { size } => size.saturating_mul(*size),
        }
    }
}

/// The parts of a target tensor in order. Most have one, which takes no memory of its own.
pub type Parts = SmallVec<[Part; 1]>;

/// What was done to make a target tensor; the name of the rule file's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// The same bytes under another name.
    Rename,
    /// An equal share of the rows of one source tensor.
    Split,
    /// The rows of several source tensors one after another.
    Concat,
    /// The last two axes exchanged.
    Transpose,
    /// The axes in another order, some of them joined.
    Permute,
    /// The same bytes under another shape.
    Reshape,
    /// Rows of zeros put before the source's rows.
    Pad,
    /// A factor a row multiplied into the weights.
    Fold,
    /// Values that no source tensor holds.
    Fill,
}

impl Operation {
    /// The operation's name as the rule files and tables spell it.
    pub fn name(self) -> &'static str {
        match self {
            Operation::Rename => "rename",
            Operation::Split => "split",
            Operation::Concat => "concat",
            Operation::Transpose => "transpose",
            Operation::Permute => "permute",
            Operation::Reshape => "reshape",
            Operation::Pad => "pad",
            Operation::Fold => "fold",
            Operation::Fill => "fill",
        }
    }

    /// Whether the source's bytes can be recovered bit for bit from the target's.
    pub fn is_reversible(self) -> bool {
        self != Operation::Fold
    }
}

/// One tensor of the target folder.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// Name in the target's state dict, as it lies on disk.
    pub name: Arc<str>,
    /// Dtype it is written in.
    pub dtype: Dtype,
    /// Shape it is written in, which tensors of one shape share.
    pub shape: Arc<[u64]>,
    /// What fills it, in order; the parts' elements add up to the shape's product.
    pub parts: Parts,
    /// What was done.
    pub operation: Operation,
}

impl Target {
    /// Whether the source's bytes can be recovered bit for bit: nothing is folded, and nothing cast.
    pub fn is_reversible(&self) -> bool {
        let is_cast = |part: &Part| matches!(part, Part::Slice { tensor, .. } if tensor.dtype != self.dtype);
        self.operation.is_reversible() && !self.parts.iter().any(is_cast)
    }

    /// Number of elements, the product of the shape.
    pub fn elements(&self) -> u64 {
        self.shape.iter().fold(1, |product, &dim| product.saturating_mul(dim))
    }

    /// Bytes on disk.
    pub fn bytes(&self) -> u64 {
        self.elements().saturating_mul(self.dtype.size())
    }
}

/// A source tensor that has no place in the target, and why.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Dropped {
    /// Name in the source.
    pub name: String,
    /// Bytes it takes there.
    pub bytes: u64,
    /// The rule file's reason.
    pub reason: String,
}

/// Every tensor of the target, and every source tensor that has no place in it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// Target tensors in the order they are written, which is the order their sources have in the file.
    pub targets: Vec<Target>,
    /// Source tensors left out.
    pub dropped: Vec<Dropped>,
}

impl Plan {
    /// Bytes of tensor data that will be written.
    pub fn bytes(&self) -> u64 {
        self.targets.iter().map(Target::bytes).sum()
    }

    /// Whether every source tensor that is not dropped can be recovered bit for bit.
    pub fn is_reversible(&self) -> bool {
        self.targets.iter().all(Target::is_reversible)
    }
}
