//! `"target" = { mlp = ["weight", "bias", "weight", "bias"], edge = "img_size.0", patch = "patch_size.0", class_token =
//! "class_token" }`: a table of relative position biases as BEiT has it, which an MLP with ReLU makes of the logarithms of the distances of
//! patches, in float64, each number rounded once. The class token has biases of 0; without the flag `class_token` the patches do not see
//! it.

use std::sync::Arc;

use serde::Deserialize;
use smallvec::smallvec;
use vitport_checkpoint::{Dims, Dtype, Tensor};

use super::views::view_of;
use super::{Context, Dimension, Made, Operation, patterns, unfit};
use crate::mapping::pattern::Pattern;
use crate::mapping::problems::Problem;
use crate::mapping::sources::SourceTensor;
use crate::plan::{DistanceTable, Part};

pub(super) const TABLE: &str = "tabulate";

/// Limits the patches along an edge: a table of more would take gigabytes.
const MOST_PATCHES: u64 = 256;

#[derive(Debug)]
pub(super) struct Tabulate {
    mlp: Vec<Pattern>,
    target: Pattern,
    edge: Dimension,
    patch: Dimension,
    /// Names the flag of the class token.
    class_token: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table of `mlp`, `edge`, `patch` and `class_token`")]
pub(super) struct Entry {
    mlp: Vec<String>,
    edge: Dimension,
    patch: Dimension,
    class_token: String,
}

impl Operation for Tabulate {
    type Entry = Entry;

    fn parse(target: &str, Entry { mlp, edge, patch, class_token }: Entry) -> Result<Self, String> {
        if mlp.len() != 4 {
            return Err(format!("`mlp` of {target} is not the weight and bias of two layers"));
        }
        let (mlp, target) = (patterns(&mlp)?, Pattern::parse(target)?);
        Ok(Self { mlp, target, edge, patch, class_token })
    }

    fn sources(&self) -> Vec<&Pattern> {
        self.mlp.iter().collect()
    }

    fn targets(&self) -> Vec<&Pattern> {
        vec![&self.target]
    }

    fn make(&self, sources: &[&SourceTensor], context: &Context<'_>) -> Result<Vec<Made>, Problem> {
        let layers: [&SourceTensor; 4] = context.exactly(sources)?;
        let [weight1, ..] = layers;
        match layers.map(|tensor| tensor.shape.as_slice()) {
            [&[hidden, 2], &[of_hidden], &[heads, into], &[of_heads]]
                if hidden == of_hidden && hidden == into && heads == of_heads => {}
            _ => {
                let reason = "it and those next to it are not an MLP from two coordinates to heads";
                return Err(unfit(&weight1.name, reason));
            }
        }
        if !layers.iter().all(|tensor| tensor.dtype.is_float()) {
            return Err(unfit(&weight1.name, "an MLP cannot be computed with whole numbers"));
        }
        if !matches!(context.filler, Dtype::F32 | Dtype::F64) {
            let reason = format!(
                "the MLP that it belongs to becomes a table, which would be rounded to {} where the MLP is not; give --dtype f32",
                context.filler
            );
            return Err(unfit(&weight1.name, reason));
        }
        let (edge, patch) = (context.size(&self.edge)?, context.size(&self.patch)?);
        let Some(side) = edge.checked_div(patch).filter(|side| (1..=MOST_PATCHES).contains(side)) else {
            let reason = format!("{edge} pixels are not 1 to {MOST_PATCHES} patches of {patch}");
            return Err(unfit(&weight1.name, reason));
        };
        let views = layers.map(view_of);
        let [Ok(weight1), Ok(bias1), Ok(weight2), Ok(bias2)] = views else {
            return Err(unfit(&weight1.name, "it or one next to it is made of several parts"));
        };
        let mlp: [Arc<Tensor>; 4] = [weight1, bias1, weight2, bias2];
        let Some(has_class_token) = context.bindings.flags.get(&self.class_token) else {
            return Err(context.broken(format!("no fact is a flag `{}`", self.class_token)));
        };
        let table = DistanceTable { mlp, side, hides_class_token: !has_class_token };
        let shape = Dims::from_slice(&[table.rows(), table.heads()]);
        let parts = smallvec![Part::DistanceTable(Arc::new(table))];
        Ok(vec![Made { dtype: context.filler, shape, parts, operation: TABLE }])
    }

    fn invert(
        &self,
        targets: &[&SourceTensor],
        _: &[&SourceTensor],
        context: &Context<'_>,
    ) -> Result<Vec<Made>, Problem> {
        let [target] = context.exactly(targets)?;
        Err(unfit(&target.name, "an MLP made its numbers, and of these it cannot be made again"))
    }
}
