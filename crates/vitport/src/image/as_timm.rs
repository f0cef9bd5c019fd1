//! From an image processor of transformers to the transform of timm that gives the same pixels: the way back of
//! [`Preprocessing::processor`](crate::preprocessing::Preprocessing::processor).

use super::TimmTransform;
use super::processor::ImageProcessor;
use super::processor_config::{ProcessorClass, Resize};
use super::timm_transform::CropMode;

/// Lists in how many parts of 1 the crop fractions that people write are counted: 0.9, 0.875, 0.95, and whatever fits.
const PARTS: [usize; 4] = [10, 40, 100, 1000];

impl ImageProcessor {
    /// Returns timm's transform to an input of this (height, width) in pixels, or of whatever size the processor gives, that resizes,
    /// crops and normalises as the processor does; none if timm has no such transform. Whether the pixels are the same is for
    /// verification to say.
    pub fn as_timm(&self, input_size: Option<(usize, usize)>) -> Option<TimmTransform> {
        let config = self.config();
        let input_size = input_size.or(config.crop).or(match config.resize? {
            Resize::Sides { height, width } => Some((height, width)),
            Resize::ShortestEdge(edge) => Some((edge, edge)),
        })?;
        let (height, width) = input_size;
        let square = (height == width).then_some(height);
        let is_to_one = config.rescale_factor.is_some_and(|factor| (factor - 1.0 / 255.0).abs() < 1e-9);
        if !is_to_one {
            return None;
        }
        // timm always normalises.
        let (mean, std) = config.normalize.unwrap_or(([0.0; 3], [1.0; 3]));
        let again = config.again.unwrap_or([1.0; 3]);
        let std = std::array::from_fn(|channel| {
            std.get(channel).zip(again.get(channel)).map_or(1.0, |(std, again)| std * again)
        });
        let (crop_mode, crop_pct) = match (config.class, config.resize?, config.crop) {
            (ProcessorClass::ConvNext { crop_pct }, Resize::ShortestEdge(edge), _)
                if Some(edge) == square =>
            {
                // Below 384 pixels the class crops, from there on it squashes (image_processing_convnext.py, `resize`).
                if edge < 384 { (CropMode::Center, crop_pct) } else { (CropMode::Squash, 1.0) }
            }
            (ProcessorClass::ConvNext { .. }, ..) => return None,
            (_, Resize::Sides { height: to, width: across }, None) if (to, across) == input_size => {
                (CropMode::Squash, 1.0)
            }
            (_, Resize::Sides { height: to, width: across }, Some(crop)) if crop == input_size => {
                (CropMode::Squash, crop_fraction(&[(height, to), (width, across)])?)
            }
            (_, Resize::ShortestEdge(edge), Some(crop)) if crop == input_size => {
                (CropMode::Center, crop_fraction(&[(square?, edge)])?)
            }
            _ => return None,
        };
        let interpolation = config.resample;
        Some(TimmTransform { input_size, crop_pct, crop_mode, interpolation, mean, std })
    }
}

/// Returns the crop fraction of which timm makes each of these edges before the crop of the edge after it:
/// `floor(edge / crop_pct)`. Of those that do, it is one that people write, if there is one.
pub(crate) fn crop_fraction(edges: &[(usize, usize)]) -> Option<f64> {
    let fits = |fraction: f64| {
        edges.iter().all(|&(after, before)| (after as f64 / fraction).floor() == before as f64)
    };
    let &(after, before) = edges.first().filter(|(_, before)| *before > 0)?;
    let exact = after as f64 / before as f64;
    let near = PARTS.map(|parts| (exact * parts as f64).round() / parts as f64);
    near.into_iter().chain([exact, exact.next_down()]).find(|&fraction| fraction > 0.0 && fits(fraction))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fraction_that_people_write_is_found() {
        for (after, before, wanted) in
            [(224, 256, 0.875), (224, 248, 0.9), (384, 384, 1.0), (224, 235, 0.95), (518, 518, 1.0)]
        {
            assert_eq!(crop_fraction(&[(after, before)]), Some(wanted), "{after} of {before}");
        }
        for (after, before) in [(224, 400), (256, 300)]
            .into_iter()
            .flat_map(|(after, most)| (after..most).map(move |before| (after, before)))
        {
            let fraction = crop_fraction(&[(after, before)]).unwrap();
            // As a config.json has it.
            let read: f64 = serde_json::from_str(&fraction.to_string()).unwrap();
            assert_eq!((after as f64 / read).floor(), before as f64, "{after} of {before}");
        }
        assert_eq!(crop_fraction(&[(224, 0)]), None);
        assert_eq!(crop_fraction(&[(224, 256), (112, 112)]), None);
    }
}
