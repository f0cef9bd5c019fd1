//! How an image becomes a network's input, as the source defines it, and the transformers image processor that does the
//! same.
//!
//! The source's definition is timm's `create_transform` for evaluation (timm/data/transforms_factory.py,
//! `transforms_imagenet_eval`): resize, centre crop, scale to 0…1, normalise. Which transformers class gives the same
//! pixels follows from the crop alone; `ViTImageProcessor`, the obvious choice, squashes every image to a square and is
//! right only where the source does too.

pub mod plausibility;
mod stated;

use serde_json::{Value, json};

use self::plausibility::Implausible;
pub use self::stated::StatedPreprocessing;
use crate::facts::{Fact, FactError, Origin, Question};
use crate::image::{CropMode, Filter, TimmTransform};
use crate::options::FactOptions;

/// Gives the means of ImageNet-1k's channels on a 0…1 scale, `timm.data.constants.IMAGENET_DEFAULT_MEAN`.
pub const IMAGENET_MEAN: [f64; 3] = [0.485, 0.456, 0.406];
/// Gives the standard deviations of ImageNet-1k's channels, `timm.data.constants.IMAGENET_DEFAULT_STD`.
pub const IMAGENET_STD: [f64; 3] = [0.229, 0.224, 0.225];
/// Gives timm's crop fraction where nothing else is said, `timm.data.constants.DEFAULT_CROP_PCT`.
pub const DEFAULT_CROP_PCT: f64 = 0.875;

/// Describes the source's way from an image to its input.
#[derive(Debug, Clone, PartialEq)]
pub struct Preprocessing {
    /// Gives height and width of the network's input in pixels.
    pub size: [u64; 2],
    /// Gives the share of the resized edge that the crop keeps, above 0; 1 keeps all.
    pub crop_pct: f64,
    /// Says what is cut off.
    pub crop_mode: CropMode,
    /// Says how pixels are interpolated.
    pub interpolation: Filter,
    /// Gives the mean of each channel (red, green, blue) on a 0…1 scale.
    pub mean: [f64; 3],
    /// Gives the standard deviation of each channel on a 0…1 scale.
    pub std: [f64; 3],
}

/// Describes preprocessing that no transformers image processor can do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the source's preprocessing ({what}) has no image processor in transformers that gives the same pixels; {instead}"
)]
pub struct NoProcessor {
    what: String,
    instead: String,
}

impl Preprocessing {
    /// Returns it with what the source states and the options say instead, and every number as a fact. `origin` is where the
    /// others come from, `stated` what each carrier of statements says, the one that is preferred first.
    ///
    /// # Errors
    /// Returns [`FactError::Contradiction`] if carriers disagree on what no option says, [`FactError::Questions`] for numbers that
    /// no network was trained with, wherever they come from.
    pub fn overridden(
        self,
        options: &FactOptions,
        origin: &Origin,
        stated: &[StatedPreprocessing],
    ) -> Result<(Self, Vec<Fact>), FactError> {
        let of = |option: &'static str| (option, origin.clone());
        let (mean, mean_fact) = stated::choose(
            "mean",
            options.mean,
            stated.iter().map(|stated| &stated.mean),
            self.mean,
            of("--mean"),
            |mean| json!(mean),
        )?;
        let (std, std_fact) = stated::choose(
            "std",
            options.std,
            stated.iter().map(|stated| &stated.std),
            self.std,
            of("--std"),
            |std| json!(std),
        )?;
        let (interpolation, interpolation_fact) = stated::choose(
            "interpolation",
            options.interpolation,
            stated.iter().map(|stated| &stated.interpolation),
            self.interpolation,
            of("--interpolation"),
            |filter: &Filter| json!(filter.name()),
        )?;
        let (crop_pct, crop_pct_fact) = stated::choose(
            "crop_pct",
            options.crop_pct,
            stated.iter().map(|stated| &stated.crop_pct),
            self.crop_pct,
            of("--crop-pct"),
            |fraction| json!(fraction),
        )?;
        let (crop_mode, crop_mode_fact) = stated::choose(
            "crop_mode",
            options.crop_mode,
            stated.iter().map(|stated| &stated.crop_mode),
            self.crop_mode,
            of("--crop-mode"),
            |mode: &CropMode| json!(mode.name()),
        )?;
        let chosen = Self { size: self.size, crop_pct, crop_mode, interpolation, mean, std };
        let facts = vec![mean_fact, std_fact, interpolation_fact, crop_pct_fact, crop_mode_fact];
        let questions = chosen.implausible(&facts);
        if questions.is_empty() { Ok((chosen, facts)) } else { Err(FactError::questions(questions)) }
    }

    /// Returns a question for each of its numbers that no network was trained with.
    fn implausible(&self, facts: &[Fact]) -> Vec<Question> {
        let checks = [
            ("mean", ("--mean", "R,G,B"), plausibility::mean(&self.mean)),
            ("std", ("--std", "R,G,B"), plausibility::std(&self.std)),
            ("crop_pct", ("--crop-pct", "FRACTION"), plausibility::crop_pct(self.crop_pct)),
        ];
        let asked = checks.into_iter().filter_map(|(name, (option, takes), checked)| {
            let why: Implausible = checked.err()?;
            let fact = facts.iter().find(|fact| fact.name == name)?;
            let what = format!(
                "no network was trained with a {name} of {} (known from {}): {why}",
                fact.shown(),
                fact.origin
            );
            Some(
                Question::new(name, what, option, takes)
                    .with_candidates(why.meant())
                    .or("what it was trained with"),
            )
        });
        asked.collect()
    }

    /// Returns height and width that the image (its shorter edge, for [`CropMode::Center`]) is resized to before the crop:
    /// `floor(size / crop_pct)`, as timm computes it.
    pub fn resized(&self) -> [u64; 2] {
        self.size.map(|edge| (edge as f64 / self.crop_pct).floor() as u64)
    }

    /// Returns the same as timm's transform, ready to be run.
    pub fn timm_transform(&self) -> TimmTransform {
        let [height, width] = self.size.map(|edge| usize::try_from(edge).unwrap_or(usize::MAX));
        TimmTransform {
            input_size: (height, width),
            crop_pct: self.crop_pct,
            crop_mode: self.crop_mode,
            interpolation: self.interpolation,
            mean: self.mean,
            std: self.std,
        }
    }

    /// Returns the contents of `preprocessor_config.json` that give the same pixels.
    ///
    /// A centre crop is `CLIPImageProcessor` (resize the shorter edge, crop), a squash without crop `ViTImageProcessor`,
    /// a squash with crop `CLIPImageProcessor` with a height and a width.
    ///
    /// # Errors
    /// Returns [`NoProcessor`] for timm's `border` mode, for a centre crop of an image that is not square, and for sizes that
    /// cannot be.
    pub fn processor(&self) -> Result<Value, NoProcessor> {
        let [height, width] = self.size;
        let [resized_height, resized_width] = self.resized();
        let is_square = height == width;
        let size = match self.crop_mode {
            CropMode::Center if is_square => json!({ "shortest_edge": resized_height }),
            CropMode::Squash => json!({ "height": resized_height, "width": resized_width }),
            CropMode::Center => {
                return Err(NoProcessor {
                    what: format!(
                        "a centre crop of {height}×{width}, which keeps the aspect ratio of the crop"
                    ),
                    instead: "give --crop-mode squash if the images may be squashed".to_owned(),
                });
            }
            CropMode::Border => {
                return Err(NoProcessor {
                    what: "crop mode `border`, which fills up the edges".to_owned(),
                    instead: "give --crop-mode center or squash to accept other pixels".to_owned(),
                });
            }
        };
        let mut fields = json!({
            "do_convert_rgb": true,
            "do_normalize": true,
            "do_rescale": true,
            "do_resize": true,
            "image_mean": self.mean,
            "image_std": self.std,
            "resample": self.interpolation.pillow_number(),
            "rescale_factor": 1.0 / 255.0,
            "size": size,
        });
        let is_plain = self.crop_mode == CropMode::Squash && self.resized() == self.size;
        let class = if is_plain { "ViTImageProcessor" } else { "CLIPImageProcessor" };
        if let Some(map) = fields.as_object_mut() {
            map.insert("image_processor_type".to_owned(), json!(class));
            if !is_plain {
                map.insert("do_center_crop".to_owned(), json!(true));
                map.insert("crop_size".to_owned(), json!({ "height": height, "width": width }));
            }
        }
        Ok(fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timm(crop_pct: f64, crop_mode: CropMode) -> Preprocessing {
        Preprocessing {
            size: [224, 224],
            crop_pct,
            crop_mode,
            interpolation: Filter::Bicubic,
            mean: [0.5; 3],
            std: [0.5; 3],
        }
    }

    #[test]
    fn a_centre_crop_is_a_clip_processor() {
        let processor = timm(0.9, CropMode::Center).processor().unwrap();
        assert_eq!(processor["image_processor_type"], "CLIPImageProcessor");
        assert_eq!(processor["size"], json!({ "shortest_edge": 248 }));
        assert_eq!(processor["crop_size"], json!({ "height": 224, "width": 224 }));
        assert_eq!(processor["resample"], 3);
    }

    #[test]
    fn only_a_plain_squash_is_a_vit_processor() {
        let plain = timm(1.0, CropMode::Squash).processor().unwrap();
        assert_eq!(plain["image_processor_type"], "ViTImageProcessor");
        assert!(plain.get("crop_size").is_none());
        let cropped = timm(0.875, CropMode::Squash).processor().unwrap();
        assert_eq!(cropped["image_processor_type"], "CLIPImageProcessor");
        assert_eq!(cropped["size"], json!({ "height": 256, "width": 256 }));
    }

    #[test]
    fn what_no_processor_does_is_refused() {
        assert!(timm(1.0, CropMode::Border).processor().unwrap_err().to_string().contains("border"));
        let wide = Preprocessing { size: [224, 448], ..timm(0.9, CropMode::Center) };
        assert!(wide.processor().unwrap_err().to_string().contains("224×448"));
    }
}
