//! The ratio of the MLPs in networks whose stages have each a width of their own (Swin, SwinV2), of which each stage's MLPs have
//! `int(dim * mlp_ratio)` channels.

use super::super::source::{Inquiry, axes};
use super::hub_config::TimmConfig;
use crate::facts::{Evidence, FactError};

/// Names the argument.
const MLP_RATIO: &str = "mlp_ratio";

/// Reads the ratio off the first block of each of so many stages: what timm's `config.json` says, if it makes these widths, else the
/// least that does.
///
/// # Errors
/// Returns [`FactError::Misshapen`] for a block whose MLP is not there.
pub(super) fn read(
    inquiry: &Inquiry<'_>,
    stages: u64,
    family: &'static str,
    evidence: &mut Evidence,
) -> Result<(), FactError> {
    let name = |stage: u64| format!("layers.{stage}.blocks.0.mlp.fc1.weight");
    let mut sizes = Vec::new();
    for stage in 0..stages.max(1) {
        let [hidden, width] = axes::<2>(inquiry.tensors, &name(stage), family)?;
        sizes.push((hidden, width));
    }
    let makes = |ratio: f64| sizes.iter().all(|&(hidden, width)| (width as f64 * ratio) as u64 == hidden);
    let stated = TimmConfig::of(inquiry.source)?.and_then(|config| config.argument(MLP_RATIO)?.as_f64());
    let ratio_of = |&(hidden, width): &(u64, u64)| {
        let ratio = hidden as f64 / width.max(1) as f64;
        if ((width as f64 * ratio) as u64) < hidden { ratio.next_up() } else { ratio }
    };
    let least = sizes.iter().map(ratio_of).fold(0.0, f64::max);
    let of_first = sizes.first().map_or(0.0, ratio_of);
    let found = stated.into_iter().chain([least]).find(|ratio| makes(*ratio)).unwrap_or(of_first);
    evidence.weights(MLP_RATIO, found, name(0));
    Ok(())
}
