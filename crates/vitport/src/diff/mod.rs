//! Compares two lists of tensors, each made of a checkpoint, tensor by tensor. Which names stand opposite each other has been decided
//! before: the lists are plans ([`Target`]), so a tensor of one side may be made of several of its file.

mod values;

use std::collections::BTreeMap;

use rayon::prelude::*;
use serde::{Serialize, Serializer};
use vitport_checkpoint::{Audit, Checkpoint, Dtype};

pub use self::values::ValueDifference;
use crate::folder::FolderError;
use crate::plan::{Part, Target};

/// Gives one side: tensors under the names by which they are compared, and the checkpoint that they are made of.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// Holds the tensors' values.
    pub checkpoint: &'a Checkpoint,
    /// Lists the tensors.
    pub tensors: &'a [Target],
}

/// Says how a tensor of one side differs from that of the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiffKind {
    /// Means that names, dtypes, shapes and all bits are the same.
    Equal,
    /// Means that some value differs.
    Values,
    /// Means that the dtypes differ; the values are compared in float64.
    Dtype,
    /// Means that the shapes differ.
    Shape,
    /// Means that it is missing in B.
    OnlyInA,
    /// Means that it is extra in B.
    OnlyInB,
}

impl DiffKind {
    /// Returns it in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Equal => "equal",
            Self::Values => "other values",
            Self::Dtype => "other dtype",
            Self::Shape => "other shape",
            Self::OnlyInA => "only in A",
            Self::OnlyInB => "only in B",
        }
    }
}

impl Serialize for DiffKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.words())
    }
}

/// Describes a tensor of one side.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Form {
    /// Gives its dtype.
    pub dtype: Dtype,
    /// Gives its shape.
    pub shape: Vec<u64>,
    /// Lists the tensors of the file that it is made of.
    pub made_of: Vec<String>,
}

impl Form {
    fn of(tensor: &Target) -> Self {
        let name = |part: &Part| match part {
            Part::Slice { tensor, .. } | Part::Scaled { tensor, .. } => vec![tensor.name.to_string()],
            Part::ScaledRows { tensor, factors: other } | Part::ShiftedColumns { tensor, addends: other } => {
                vec![tensor.name.to_string(), other.name.to_string()]
            }
            Part::DistanceTable(table) => table.mlp.iter().map(|tensor| tensor.name.to_string()).collect(),
            _ => Vec::new(),
        };
        let mut made_of: Vec<String> = tensor.parts.iter().flat_map(name).collect();
        made_of.dedup();
        Self { dtype: tensor.dtype, shape: tensor.shape.to_vec(), made_of }
    }
}

/// Says what comparing one tensor showed.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct TensorRow {
    /// Gives the name by which it is compared.
    pub name: String,
    /// Says how it differs.
    #[serde(rename = "difference")]
    #[schemars(with = "String")]
    pub kind: DiffKind,
    /// Describes it in A, if it is there.
    pub a: Option<Form>,
    /// Describes it in B, if it is there.
    pub b: Option<Form>,
    /// Says how far apart its values are, where both sides have it in one shape and it is not equal.
    pub values: Option<ValueDifference>,
}

/// Compares two sides, and checks the checksums of both. The rows have A's order, and what only B has comes last.
///
/// # Errors
/// Returns [`FolderError`] when a file cannot be read, or does not match its own checksums.
pub fn compare(a: View<'_>, b: View<'_>) -> Result<Vec<TensorRow>, FolderError> {
    let by_name = |view: View<'_>| -> BTreeMap<String, usize> {
        view.tensors.iter().enumerate().map(|(place, tensor)| (tensor.name.to_string(), place)).collect()
    };
    let (in_a, in_b) = (by_name(a), by_name(b));
    let (read_a, read_b) = (a.checkpoint.audit(), b.checkpoint.audit());
    let other = |tensor: &Target| in_b.get(&*tensor.name).and_then(|place| b.tensors.get(*place));
    let rows: Vec<TensorRow> = a
        .tensors
        .par_iter()
        .map(|tensor| match other(tensor) {
            Some(other) => pair((tensor, &read_a), (other, &read_b)),
            None => Ok(alone(tensor, DiffKind::OnlyInA)),
        })
        .collect::<Result<_, FolderError>>()?;
    read_a.finish()?;
    read_b.finish()?;
    let extra = b.tensors.iter().filter(|tensor| !in_a.contains_key(&*tensor.name));
    Ok(rows.into_iter().chain(extra.map(|tensor| alone(tensor, DiffKind::OnlyInB))).collect())
}

fn alone(tensor: &Target, kind: DiffKind) -> TensorRow {
    let form = Some(Form::of(tensor));
    let (a, b) = if kind == DiffKind::OnlyInA { (form, None) } else { (None, form) };
    TensorRow { name: tensor.name.to_string(), kind, a, b, values: None }
}

fn pair(
    (a, read_a): (&Target, &Audit<'_>),
    (b, read_b): (&Target, &Audit<'_>),
) -> Result<TensorRow, FolderError> {
    let (kind, values) = if a.shape != b.shape {
        (DiffKind::Shape, None)
    } else {
        let values = values::between((a, read_a), (b, read_b))?;
        match (a.dtype == b.dtype, values) {
            (false, values) => (DiffKind::Dtype, values),
            (true, Some(values)) => (DiffKind::Values, Some(values)),
            (true, None) => (DiffKind::Equal, None),
        }
    };
    Ok(TensorRow { name: a.name.to_string(), kind, a: Some(Form::of(a)), b: Some(Form::of(b)), values })
}
