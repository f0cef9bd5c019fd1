//! An image prepared on both sides, by the source's own transform and by the folder's image processor, and the pixels
//! compared.

use serde_json::Value;

use super::difference::Difference;
use super::report::{Comparison, NamedDeviation};
use super::{TestImage, VerifyError};
use crate::folder::loading::names;
use crate::folder::reader::Folder;
use crate::frameworks::Transform;
use crate::image::{CropRounding, ImageError, ImageProcessor, Pixels, RgbImage};
use crate::model::Prepared;

/// Names the known deviation in preprocessing.
pub const CROP_ROUNDING: &str = "crop-rounding";

/// Returns what is known to differ in preprocessing of these images, as seen in transformers 4.57.6 and 5.23.0: `center_crop` of
/// image_transforms.py divides with `//`, that of image_processing_backends.py and image_processing_utils_fast.py takes
/// `int(… / 2.0)`, where torchvision's `center_crop` takes `int(round(… / 2.0))`.
fn crop_rounding(images: &[&str], of: usize) -> NamedDeviation {
    NamedDeviation {
        name: CROP_ROUNDING.to_owned(),
        what: format!(
            "timm and torchvision round half a pixel to even when they crop, transformers' image processors round \
             down, so the folder's crop lies one pixel off on {} of the {of} images that were prepared ({})",
            images.len(),
            images.join(", ")
        ),
        remedy: "no setting of transformers 4.57.6 or 5.23.0 removes it, with either backend; where one pixel matters, \
            prepare images with the source's own transform"
            .to_owned(),
        removed: false,
    }
}

/// Holds the image as both networks get it.
pub(super) struct PreparedPixels {
    /// Holds those of the source's transform.
    pub(super) source: Pixels,
    /// Holds those of the folder's processor, or says why it prepares none.
    pub(super) target: Result<Pixels, String>,
    /// Gives the source's with the crop rounded as on the target's side, where that is the only difference.
    pub(super) as_cropped: Option<Pixels>,
    /// Compares both with each other, on the image and on others made from it.
    pub(super) comparisons: Vec<Compared>,
}

impl PreparedPixels {
    /// Returns the deviation in how crops are rounded, if one of the images shows it.
    pub(super) fn deviation(&self) -> Option<NamedDeviation> {
        let rounded = self.comparisons.iter().filter(|compared| compared.judged.place != compared.raw.place);
        let images: Vec<&str> = rounded.map(|compared| compared.raw.place.as_str()).collect();
        (!images.is_empty()).then(|| crop_rounding(&images, self.comparisons.len()))
    }
}

/// Holds the pixels of one image.
pub(super) struct Compared {
    /// Compares them as they are.
    pub(super) raw: Comparison,
    /// Compares them with the source's crop rounded as the folder's, where that is all that differs; otherwise as they are.
    pub(super) judged: Comparison,
}

impl Compared {
    fn as_is(comparison: Comparison) -> Self {
        Self { raw: comparison.clone(), judged: comparison }
    }
}

/// Prepares the image, and two others made of it, on both sides.
///
/// # Errors
/// If the source's transform cannot prepare it. What the folder's processor cannot do is a finding.
pub(super) fn prepare(
    prepared: &Prepared,
    folder: &Folder,
    image: &TestImage,
) -> Result<PreparedPixels, VerifyError> {
    let transform = &prepared.model.transform;
    let source = transform.apply(&image.decoded, CropRounding::HalfToEven)?;
    let nothing = |source, why: String| {
        Ok(PreparedPixels { source, target: Err(why), as_cropped: None, comparisons: Vec::new() })
    };
    if prepared.model.processor.is_none() {
        let target = Ok(source.clone());
        return Ok(PreparedPixels { source, target, as_cropped: None, comparisons: Vec::new() });
    }
    let processor = match processor(prepared, folder) {
        Ok(processor) => processor,
        Err(why) => return nothing(source, why),
    };
    let target = match processor.apply(&image.decoded) {
        Ok(target) => target,
        Err(error) => return nothing(source, format!("the folder's image processor: {error}")),
    };
    let (as_cropped, first) = compare("image", transform, &image.decoded, &source, &target)?;
    let mut comparisons = vec![first];
    for (place, decoded) in image.variations() {
        let source = transform.apply(&decoded, CropRounding::HalfToEven)?;
        let comparison = match processor.apply(&decoded) {
            Ok(target) => compare(place, transform, &decoded, &source, &target)?.1,
            Err(_) => {
                Compared::as_is(Comparison::between(place.to_owned(), source.values(), &[], 0.0, |_| 0.0))
            }
        };
        comparisons.push(comparison);
    }
    Ok(PreparedPixels { source, target: Ok(target), as_cropped, comparisons })
}

/// Reads the folder's image processor, or says why it has none that can be run.
fn processor(prepared: &Prepared, folder: &Folder) -> Result<ImageProcessor, String> {
    let Some(Value::Object(processor)) = &folder.processor else {
        return Err("the folder has no preprocessor_config.json".to_owned());
    };
    let by_type = names::processor_of_model_type(prepared.model.target.model_type());
    ImageProcessor::from_json(processor, by_type).map_err(|error| error.to_string())
}

/// Compares the pixels of one image; also the source's with its crop rounded down, where that alone explains them.
fn compare(
    place: &str,
    transform: &Transform,
    decoded: &RgbImage,
    source: &Pixels,
    target: &Pixels,
) -> Result<(Option<Pixels>, Compared), ImageError> {
    let raw = comparison(place.to_owned(), source, target);
    if raw.agrees {
        return Ok((None, Compared::as_is(raw)));
    }
    let cropped = transform.apply(decoded, CropRounding::Down)?;
    let judged = comparison(format!("{place}, the source's crop rounded down"), &cropped, target);
    Ok(match judged.agrees {
        true => (Some(cropped), Compared { raw, judged }),
        false => (None, Compared::as_is(raw)),
    })
}

/// Compares pixels, which go through three float32 operations on both sides (scale, subtract, divide), each rounding once; four
/// units in the last place of the largest value are more than they can differ by.
fn comparison(place: String, source: &Pixels, target: &Pixels) -> Comparison {
    let values = if source.shape() == target.shape() { target.values() } else { &[] };
    let finite = source.values().iter().filter(|value| value.is_finite());
    let largest = finite.fold(0.0_f32, |largest, value| largest.max(value.abs()));
    Comparison::between(place, source.values(), values, 0.0, |difference: &Difference| {
        match difference.size > 0.0 {
            true => 4.0 * f64::from(f32::EPSILON) * f64::from(largest) / difference.size,
            false => 0.0,
        }
    })
}
