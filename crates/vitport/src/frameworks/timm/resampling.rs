//! What timm resamples when it loads weights into a network for images of another size: `create_model(NAME, pretrained=True, img_size=N)`
//! (the `checkpoint_filter_fn` of each module, 1.0.31).

use super::TimmDefinition;
use crate::facts::{FactError, Facts};
use crate::mapping::Sources;
use crate::resampling::{Interpolation, PositionKind, Resampled, refused};

/// Names the end of the names of tables of relative position biases.
const TABLE: &str = "relative_position_bias_table";

/// Says what a class of timm's does about images of another size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OtherSizes {
    /// Resamples `pos_embed`, if there is one. What depends on the size of images otherwise is computed: the angles of DINOv3.
    Positions,
    /// Resamples `pos_embed` and tables of relative position biases, both of square images.
    Tables,
    /// Keeps its windows, and with them all weights.
    Windows,
    /// Takes no size: the same network runs on images of any.
    Unsized,
}

/// Lists the RADIOs whose positions are resampled with aligned corners (`_RADIO_ALIGN_CORNERS`).
const ALIGNED: [&str; 2] = ["base_patch16_radio_v3", "huge_patch16_radio_v3"];

/// Returns how timm resamples positions of the architecture that is named (`_create_vision_transformer`).
fn interpolation(facts: &Facts) -> Interpolation {
    let architecture = facts.text("architecture").and_then(|name| name.split('.').next()).unwrap_or_default();
    let is_of = |part: &&str| architecture.contains(part);
    match (is_of(&"radio"), is_of(&"flexi")) {
        (true, _) if ALIGNED.iter().any(is_of) => Interpolation::BilinearWithCorners,
        (false, false) => Interpolation::Bicubic,
        _ => Interpolation::Bilinear,
    }
}

impl TimmDefinition {
    /// Returns what timm resamples of a network of these facts for images of `to` pixels.
    ///
    /// # Errors
    /// Returns [`FactError::Contradiction`] where timm takes no such size.
    pub(super) fn resampled_to(
        &self,
        tensors: &Sources,
        facts: &Facts,
        to: [u64; 2],
    ) -> Result<Resampled, FactError> {
        if self.other_sizes == OtherSizes::Unsized {
            let reason = format!(
                "{} {} has no position embeddings, and timm's class takes no image size; --image-size says which images it gets",
                if self.family.starts_with(['E', 'A']) { "an" } else { "a" },
                self.family
            );
            return Err(refused(to, &reason));
        }
        let (Some(from), Some(patch)) = (facts.pair("img_size"), facts.pair("patch_size")) else {
            return Err(refused(to, "the size of its images or of their patches is not known"));
        };
        let mut resampled = Resampled::new("timm", [from, to], patch)?.by(interpolation(facts));
        if from == to || self.other_sizes == OtherSizes::Windows {
            return Ok(resampled);
        }
        let is_square = |[height, width]: [u64; 2]| height == width;
        if self.other_sizes == OtherSizes::Tables && ![from, to].into_iter().all(is_square) {
            return Err(refused(to, "timm resamples its tables of biases for square images only"));
        }
        if let Some(shape) = tensors.shape("pos_embed") {
            resampled = resampled.with("pos_embed", PositionKind::Positions, shape)?;
        }
        if self.other_sizes == OtherSizes::Tables {
            for table in tensors.iter().filter(|tensor| tensor.name.ends_with(TABLE)) {
                resampled = resampled.with(&table.name, PositionKind::Distances, &table.shape)?;
            }
        }
        Ok(resampled)
    }
}
