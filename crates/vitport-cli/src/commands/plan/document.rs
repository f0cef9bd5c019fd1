//! The documents of `vitport plan`: the plan, and the mapping of `--print-mapping`.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};
use vitport::facts::{Basis, Facts};
use vitport::mapping::TargetClass;
use vitport::model::Prepared;
use vitport::plan::{Dropped, Part};
use vitport::resampling::Resampled;
use vitport_checkpoint::Dtype;

use crate::document::Document;

/// Describes what a conversion would do: `vitport plan`.
#[derive(Serialize, JsonSchema)]
pub struct PlanDocument<'a> {
    /// Gives the model's name.
    model: &'a str,
    /// Gives the source, as it is shown.
    source: String,
    /// Gives the nested part of the checkpoint that holds the weights; empty for the whole.
    root: &'a str,
    /// Gives the wrapper prefix that is taken off all names.
    prefix: &'a str,
    /// Says what loading the file in Python would run; null for nothing.
    dangerous_call: Option<&'a str>,
    /// Names the mapping's file.
    mapping: &'a str,
    /// Gives the class that it becomes.
    target: Option<TargetClass>,
    /// Lists every class that could hold it, the best first.
    targets: &'a [TargetClass],
    /// Lists what is known of the model.
    facts: &'a Facts,
    #[serde(flatten)]
    basis: Basis,
    /// Lists settings in the file that were not read, by their paths.
    unread_arguments: &'a [String],
    /// Holds the `config.json` that would be written.
    config: Value,
    /// Holds the `preprocessor_config.json` that would be written; null if none would.
    preprocessor: Option<&'a Value>,
    /// Lists the tensors that would be written, in their order.
    tensors: Vec<TensorDocument<'a>>,
    /// Lists the tensors left out, with the reason.
    dropped: &'a [Dropped],
    /// Counts the bytes of all tensors that would be written.
    bytes: u64,
    /// Says which tensors are resampled for images of another size; null where that is not asked for.
    resampled: Option<&'a Resampled>,
    /// Says whether the source's tensors can be recovered bit for bit.
    reversible: bool,
}

impl Document for PlanDocument<'_> {
    const SCHEMA: &'static str = "vitport/plan/2";
}

/// Describes a mapping: `vitport plan --print-mapping`.
#[derive(Serialize, JsonSchema)]
pub struct MappingDocument<'a> {
    /// Names its file.
    pub(super) file: &'a str,
    /// Holds its text.
    pub(super) text: &'a str,
}

impl Document for MappingDocument<'_> {
    const SCHEMA: &'static str = "vitport/mapping/2";
}

/// Describes a tensor that would be written.
#[derive(Serialize, JsonSchema)]
struct TensorDocument<'a> {
    /// Gives its name in the folder.
    target: &'a str,
    /// Names its dtype.
    dtype: Dtype,
    /// Gives its shape.
    shape: &'a [u64],
    /// Names the operation of the mapping that makes it.
    operation: &'static str,
    /// Lists what fills it, in order.
    sources: Vec<PartDocument<'a>>,
}

/// Describes what a part of a tensor is made of.
#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
enum PartDocument<'a> {
    /// Takes elements of a source tensor, in row-major order.
    Slice {
        /// Names it.
        tensor: &'a str,
        /// Counts the elements before the first that is taken.
        first: u64,
        /// Counts the elements that are taken.
        elements: u64,
    },
    /// Multiplies a source tensor by one factor.
    Scaled {
        /// Names it.
        tensor: &'a str,
        /// Gives the factor.
        times: f64,
    },
    /// Multiplies each row of a source tensor by a factor.
    ScaledRows {
        /// Names it.
        tensor: &'a str,
        /// Names the tensor of factors.
        rows_times: &'a str,
    },
    /// Adds an addend to each column of a source tensor.
    ShiftedColumns {
        /// Names it.
        tensor: &'a str,
        /// Names the tensor of addends.
        columns_plus: &'a str,
    },
    /// Computes a table of relative position biases with an MLP.
    DistanceTable {
        /// Names the weight and bias of both layers.
        distances_through: Vec<&'a str>,
        /// Counts the patches along an edge of the image.
        side: u64,
        /// Says whether patches do not see the class token.
        hides_class_token: bool,
    },
    /// Writes so many zeros.
    Zeros {
        /// Counts them.
        zeros: u64,
    },
    /// Writes so many ones.
    Ones {
        /// Counts them.
        ones: u64,
    },
    /// Writes a number again and again.
    Repeated {
        /// Gives the number.
        repeated: u8,
        /// Says how often.
        elements: u64,
    },
    /// Writes the numbers of distances in a square window.
    WindowDistances {
        /// Gives the window's edge.
        window_distances: u64,
    },
    /// Writes an identity matrix.
    Identity {
        /// Gives its edge.
        identity: u64,
    },
}

pub(super) fn document(prepared: &Prepared) -> PlanDocument<'_> {
    let (model, plan) = (&prepared.model, &prepared.plan);
    let tensors = plan.targets.iter().map(|target| TensorDocument {
        target: &target.name,
        dtype: target.dtype,
        shape: &target.shape,
        operation: target.operation,
        sources: target.parts.iter().map(part_document).collect(),
    });
    PlanDocument {
        model: &model.name,
        source: prepared.source.display_name().to_string(),
        root: &prepared.source.checkpoint.root().path,
        prefix: model.state_dict.prefix(),
        dangerous_call: prepared.source.checkpoint.evidence().dangerous_call.as_deref(),
        mapping: model.mapping.file(),
        target: model.target_class(),
        targets: &model.targets,
        facts: &model.facts,
        basis: model.basis(),
        unread_arguments: &model.unread_arguments,
        config: json!(prepared.config()),
        preprocessor: model.processor.as_ref(),
        tensors: tensors.collect(),
        dropped: &plan.dropped,
        bytes: plan.bytes(),
        resampled: plan.resampled.as_ref(),
        reversible: plan.is_reversible(),
    }
}

fn part_document(part: &Part) -> PartDocument<'_> {
    match part {
        Part::Slice { tensor, first, elements } => {
            PartDocument::Slice { tensor: &tensor.name, first: *first, elements: *elements }
        }
        Part::Scaled { tensor, factor } => PartDocument::Scaled { tensor: &tensor.name, times: *factor },
        Part::ScaledRows { tensor, factors } => {
            PartDocument::ScaledRows { tensor: &tensor.name, rows_times: &factors.name }
        }
        Part::ShiftedColumns { tensor, addends } => {
            PartDocument::ShiftedColumns { tensor: &tensor.name, columns_plus: &addends.name }
        }
        Part::DistanceTable(table) => PartDocument::DistanceTable {
            distances_through: table.mlp.iter().map(|tensor| &*tensor.name).collect(),
            side: table.side,
            hides_class_token: table.hides_class_token,
        },
        Part::Zeros { elements } => PartDocument::Zeros { zeros: *elements },
        Part::Repeated { number: 1, elements } => PartDocument::Ones { ones: *elements },
        Part::Repeated { number, elements } => {
            PartDocument::Repeated { repeated: *number, elements: *elements }
        }
        Part::WindowDistances { side } => PartDocument::WindowDistances { window_distances: *side },
        Part::Identity { size } => PartDocument::Identity { identity: *size },
    }
}
