//! What is odd about a source although a conversion of it is right: what a person should know before the folder is used.

use super::VerifyError;
use crate::folder::{FolderError, TargetContents, to_f64};
use crate::frameworks::transformers::Task;
use crate::model::Prepared;
use crate::plan::Target;

/// Names the classifier's weight, shape `[classes, width]`, in every class of transformers that is written.
const CLASSIFIER: &str = "classifier.weight";

/// Gives the bytes read at a time.
const BLOCK: u64 = 256 << 10;

/// Returns what is odd about a source, a sentence each with what to do.
///
/// # Errors
/// Returns [`VerifyError::Folder`] if the source cannot be read.
pub fn warnings(prepared: &Prepared) -> Result<Vec<String>, VerifyError> {
    Ok(of_channels(prepared).into_iter().chain(of_head(prepared)?).collect())
}

/// Says what transformers cannot do with the channels of the images.
fn of_channels(prepared: &Prepared) -> Option<String> {
    let model = &prepared.model;
    if model.processor.is_none() {
        return Some(
            "there is no image processor in the folder (--no-processor): both networks are compared on pixels made directly of \
             the image, each channel with a factor of its own, and preparing images is left to you"
                .to_owned(),
        );
    }
    model.is_grey().then(|| {
        "images have one channel: transformers' pipeline makes RGB of every image and fails on it, so call the image processor \
         with arrays [height, width, 1]"
            .to_owned()
    })
}

/// Says that a head tells no classes apart.
fn of_head(prepared: &Prepared) -> Result<Option<String>, VerifyError> {
    let has_head = matches!(prepared.model.target.task(&prepared.model.config), Task::Classification);
    let mut targets = prepared.plan.targets.iter();
    let Some(head) = targets.find(|target| has_head && &*target.name == CLASSIFIER) else {
        return Ok(None);
    };
    let what = match constant_rows(prepared, head)? {
        Some(Rows::Zero) => "holds nothing but zeros",
        Some(Rows::Alike) => "has the same numbers in each row",
        None => return Ok(None),
    };
    Ok(Some(format!(
        "the head tells no classes apart: {CLASSIFIER} {what}, so that every image gets the same probabilities; \
         --no-head leaves it out"
    )))
}

/// Names rows of which no image tells one from another.
enum Rows {
    /// Says that all of them are zero.
    Zero,
    /// Says that all of them are like the first.
    Alike,
}

/// Returns whether the head's rows are all alike, reading no more than it takes to see that they are not. A single row is alike
/// only if it is zero.
fn constant_rows(prepared: &Prepared, head: &Target) -> Result<Option<Rows>, FolderError> {
    let audit = prepared.source.checkpoint.audit();
    let mut contents = TargetContents::new(head, &audit)?;
    let (classes, size) = (head.shape.first().copied().unwrap_or(0), head.dtype.size().max(1));
    let columns = head.elements().checked_div(classes).unwrap_or(0);
    let (mut is_zero, mut is_alike) = (head.elements() > 0, classes > 1);
    let mut first = Vec::new();
    let rows_at_a_time = (BLOCK / size).checked_div(columns).unwrap_or(1).max(1);
    let mut row = 0;
    while row < classes && (is_zero || is_alike) {
        let count = rows_at_a_time.min(classes - row).saturating_mul(columns);
        let mut bytes = vec![0; usize::try_from(count.saturating_mul(size)).unwrap_or(0)];
        contents.read(row.saturating_mul(columns).saturating_mul(size), &mut bytes)?;
        let mut numbers = vec![0.0; usize::try_from(count).unwrap_or(0)];
        to_f64(head.dtype, &bytes, &mut numbers);
        let columns = usize::try_from(columns).unwrap_or(usize::MAX).max(1);
        if row == 0 {
            first = numbers.iter().take(columns).copied().collect();
        }
        is_zero &= numbers.iter().all(|&number| number == 0.0);
        is_alike &= numbers.chunks(columns).all(|row| row == first);
        row += rows_at_a_time;
    }
    Ok(match (is_zero, is_alike) {
        (true, _) => Some(Rows::Zero),
        (false, true) => Some(Rows::Alike),
        (false, false) => None,
    })
}
