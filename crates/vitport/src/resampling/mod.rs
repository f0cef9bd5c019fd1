//! Position embeddings for images of another size, made of those that the weights hold, as a framework makes them when it loads weights
//! into a network of another size. That changes what the network computes, and nothing can undo it: it is done only where it is asked
//! for (`--resample-to`), and every report says so.

mod distances;
mod positions;

use schemars::JsonSchema;
use serde::Serialize;

use crate::facts::FactError;

/// Limits the patches of an image; one of 4096×4096 pixels has as many of 16×16.
const MOST_PATCHES: u64 = 1 << 16;

/// Limits the elements of a tensor that is resampled: so many patches of 1024 channels each.
const MOST_ELEMENTS: u64 = 1 << 26;

/// Says what a tensor that is resampled holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PositionKind {
    /// Holds an embedding for each token before the patches and for each patch, shape `[1, tokens, channels]`.
    Positions,
    /// Holds a bias of each head for each distance of two patches and for some more, shape `[distances, heads]`.
    Distances,
}

/// Says how embeddings of positions between two others are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Interpolation {
    /// Makes them of four by four with a cubic kernel, of more where there are fewer patches than before (antialiasing).
    Bicubic,
    /// Makes them of two by two.
    Bilinear,
    /// Makes them of two by two, and keeps those in the corners.
    BilinearWithCorners,
}

impl Interpolation {
    /// Returns its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bicubic => "bicubic with antialiasing",
            Self::Bilinear => "bilinear",
            Self::BilinearWithCorners => "bilinear with aligned corners",
        }
    }
}

/// Names a tensor that is resampled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ResampledTensor {
    /// Gives its name in the source's definition.
    pub name: String,
    /// Says what it holds.
    pub holds: PositionKind,
}

/// Describes what is resampled for images of another size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Resampled {
    /// Names the framework that resamples so: `timm`.
    pub framework: String,
    /// Gives height and width in pixels of the images that the weights are for.
    pub from_pixels: [u64; 2],
    /// Gives height and width in pixels of the images that are asked for.
    pub to_pixels: [u64; 2],
    /// Gives the rows and columns of patches of the former.
    pub from_patches: [u64; 2],
    /// Gives the rows and columns of patches of the latter.
    pub to_patches: [u64; 2],
    /// Says how embeddings of positions are made.
    pub interpolation: Interpolation,
    /// Lists the tensors that are resampled; none where no weight depends on the size of images.
    pub tensors: Vec<ResampledTensor>,
}

impl Resampled {
    /// Returns that nothing is resampled yet for images of `to` in place of `from`, of patches of `patch` pixels.
    ///
    /// # Errors
    /// Returns [`FactError::Contradiction`] for an image that is not made of whole patches, or of too many.
    pub fn new(
        framework: &str,
        [from, to]: [[u64; 2]; 2],
        [height, width]: [u64; 2],
    ) -> Result<Self, FactError> {
        let grid = |size: [u64; 2]| {
            [size[0].checked_div(height).unwrap_or(0), size[1].checked_div(width).unwrap_or(0)]
        };
        let is_whole = height > 0 && width > 0 && to[0].is_multiple_of(height) && to[1].is_multiple_of(width);
        if !is_whole || to.contains(&0) {
            let reason = format!("its patches are {height}×{width} pixels, which do not divide that");
            return Err(refused(to, &reason));
        }
        let patches = grid(to)[0].saturating_mul(grid(to)[1]);
        if patches > MOST_PATCHES {
            let reason = format!("such an image has {patches} patches, and {MOST_PATCHES} is the most");
            return Err(refused(to, &reason));
        }
        Ok(Self {
            framework: framework.to_owned(),
            from_pixels: from,
            to_pixels: to,
            from_patches: grid(from),
            to_patches: grid(to),
            interpolation: Interpolation::Bicubic,
            tensors: Vec::new(),
        })
    }

    /// Returns it with embeddings of positions that are made so.
    #[must_use]
    pub fn by(self, interpolation: Interpolation) -> Self {
        Self { interpolation, ..self }
    }

    /// Returns it with a tensor of this shape that is resampled.
    ///
    /// # Errors
    /// Returns [`FactError::Contradiction`] for a shape that does not go with the patches, or that is too large.
    pub fn with(mut self, name: &str, holds: PositionKind, shape: &[u64]) -> Result<Self, FactError> {
        let resampled = self.shape(holds, shape);
        let wrong = || {
            let reason = format!("{name} has the shape {shape:?}, which does not go with its patches");
            refused(self.to_pixels, &reason)
        };
        let resampled = resampled.ok_or_else(wrong)?;
        // The first of two passes changes columns alone.
        let between = [self.from_patches[0], self.to_patches[1], shape.last().copied().unwrap_or(0)];
        let largest = [shape, &resampled, &between].map(|shape| shape.iter().try_fold(1, product));
        if largest.iter().any(|elements| elements.is_none_or(|elements| elements > MOST_ELEMENTS)) {
            let reason = format!("{name} would have more than {MOST_ELEMENTS} elements on the way");
            return Err(refused(self.to_pixels, &reason));
        }
        self.tensors.push(ResampledTensor { name: name.to_owned(), holds });
        Ok(self)
    }

    /// Returns the shape that a tensor of this shape gets; none if it does not go with the patches.
    pub(crate) fn shape(&self, holds: PositionKind, shape: &[u64]) -> Option<Vec<u64>> {
        match (holds, shape) {
            (PositionKind::Positions, &[1, tokens, channels]) => {
                let prefix = tokens.checked_sub(area(self.from_patches)?)?;
                Some(vec![1, prefix.checked_add(area(self.to_patches)?)?, channels])
            }
            (PositionKind::Distances, &[rows, heads]) => {
                let others = rows.checked_sub(area(distances(self.from_patches)?)?)?;
                Some(vec![others.checked_add(area(distances(self.to_patches)?)?)?, heads])
            }
            _ => None,
        }
    }

    /// Returns the values of a tensor, row-major, whose last axis has `columns` elements, as they are resampled.
    pub(crate) fn values(&self, holds: PositionKind, values: &[f32], columns: usize) -> Vec<f32> {
        let grids = [self.from_patches, self.to_patches].map(|grid| grid.map(size));
        match holds {
            PositionKind::Positions => positions::resample(values, columns, grids, self.interpolation),
            PositionKind::Distances => distances::resample(values, columns, grids.map(|[edge, _]| edge)),
        }
    }

    /// Returns what was done, in a few words: `position embeddings resampled from 14×14 to 24×24 as timm does`.
    pub fn sentence(&self) -> String {
        let Self { framework, from_pixels, to_pixels, from_patches, to_patches, .. } = self;
        let of = |[rows, columns]: &[u64; 2]| format!("{rows}×{columns}");
        let held = |kind: PositionKind| self.tensors.iter().any(|tensor| tensor.holds == kind);
        let what = match (held(PositionKind::Positions), held(PositionKind::Distances)) {
            (true, true) => "position embeddings and relative position biases",
            (true, false) => "position embeddings",
            (false, true) => "relative position biases",
            (false, false) => {
                let (from, to) = (of(from_pixels), of(to_pixels));
                return format!(
                    "for images of {to} in place of {from} pixels, for which {framework} resamples no weight"
                );
            }
        };
        format!("{what} resampled from {} to {} as {framework} does", of(from_patches), of(to_patches))
    }

    /// Returns what was done and what that means for the comparison, in two sentences.
    pub fn explanation(&self) -> String {
        let of = |[height, width]: &[u64; 2]| format!("{height}×{width}");
        let how = match self.tensors.iter().any(|tensor| tensor.holds == PositionKind::Positions) {
            true => format!(" ({})", self.interpolation.name()),
            false => String::new(),
        };
        format!(
            "{}{how}. Asked for with --resample-to: both networks are run for images of {} in place of {} pixels. How good the model \
             is on images of that size is not measured.",
            self.sentence(),
            of(&self.to_pixels),
            of(&self.from_pixels)
        )
    }

    /// Returns whether weights are other ones than the source's.
    pub fn changes_weights(&self) -> bool {
        !self.tensors.is_empty()
    }
}

/// Returns the refusal of a size that is asked for.
pub fn refused([height, width]: [u64; 2], reason: &str) -> FactError {
    FactError::contradiction(format!("--resample-to {height}x{width}"), reason)
}

/// Returns how many distances of rows and of columns the patches of a grid have.
fn distances([rows, columns]: [u64; 2]) -> Option<[u64; 2]> {
    let of = |patches: u64| patches.checked_mul(2)?.checked_sub(1);
    Some([of(rows)?, of(columns)?])
}

fn area([rows, columns]: [u64; 2]) -> Option<u64> {
    rows.checked_mul(columns)
}

fn product(all: u64, size: &u64) -> Option<u64> {
    all.checked_mul(*size)
}

fn size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(sizes: [u64; 2], patch: u64) -> Result<Resampled, String> {
        let images = sizes.map(|edge| [edge, edge]);
        Resampled::new("timm", images, [patch, patch]).map_err(|error| error.to_string())
    }

    #[test]
    fn an_image_is_made_of_whole_patches_and_not_of_too_many() {
        assert_eq!(of([224, 384], 16).unwrap().to_patches, [24, 24]);
        for (size, patch, word) in [(385, 16, "do not divide"), (4112, 16, "66049"), (16, 0, "do not divide")]
        {
            let why = of([224, size], patch).unwrap_err();
            assert!(why.contains(&format!("--resample-to {size}x{size}")) && why.contains(word), "{why}");
        }
    }

    #[test]
    fn shapes_go_with_the_patches() {
        let resampled = of([224, 384], 16).unwrap();
        assert_eq!(resampled.shape(PositionKind::Positions, &[1, 201, 8]), Some(vec![1, 581, 8]));
        assert_eq!(resampled.shape(PositionKind::Positions, &[1, 195, 8]), None);
        assert_eq!(resampled.shape(PositionKind::Distances, &[732, 3]), Some(vec![2212, 3]));
        assert_eq!(resampled.shape(PositionKind::Distances, &[1, 732, 3]), None);
        assert!(resampled.clone().with("a", PositionKind::Positions, &[1, 197, 1 << 20]).is_err());
        assert!(resampled.clone().with("a", PositionKind::Positions, &[1, 197, u64::MAX]).is_err());
        let named = resampled.with("a", PositionKind::Positions, &[1, 197, 8]).unwrap();
        assert_eq!(named.sentence(), "position embeddings resampled from 14×14 to 24×24 as timm does");
    }
}
