//! A folder's model on images, as transformers would run it.

use std::path::Path;

use vitport_checkpoint::Limits;

use crate::image::RgbImage;
use crate::verify::{Classifier, Guess, VerifyError};

/// Returns the most probable classes of each image, `count` of them at most.
///
/// # Errors
/// Returns [`VerifyError`] if the folder is not of a class that can be run, or has no classification head.
pub fn classify(
    folder: &Path,
    images: &[RgbImage],
    count: usize,
    limits: &Limits,
) -> Result<Vec<Vec<Guess>>, VerifyError> {
    let classifier = Classifier::open(folder, limits)?;
    images.iter().map(|image| classifier.top(image, count)).collect()
}
