//! What a transformers folder says of images and classes, for the way back: preprocessing, the size of the image, labels.

use serde_json::{Map, Value};
use vitport_checkpoint::escape;

use super::back::BackRequest;
use crate::facts::{Fact, FactError, Facts, Origin};
use crate::folder::loading::names;
use crate::folder::reader::Folder;
use crate::frameworks::SourceDefinition;
use crate::frameworks::transformers::TargetDefinition;
use crate::image::ImageProcessor;
use crate::preprocessing::Preprocessing;

/// Names the size of the image where a definition takes images of any.
const IMAGE_SIZE: &str = "image_size";

/// Returns the source's preprocessing that gives the pixels of the folder's image processor; none if it is left out.
pub(super) fn preprocessing_of(
    folder: &Folder,
    target: &dyn TargetDefinition,
    class: &str,
    facts: &Facts,
    request: &BackRequest,
) -> Result<Option<Preprocessing>, FactError> {
    if request.without_processor {
        return Ok(None);
    }
    let lacking = |why: String| FactError::NoTarget {
        what: format!("the preprocessing of this {}", escape(class)),
        why,
        tensor: Some("preprocessor_config.json".to_owned()),
        instead: "leave it out with --no-processor".to_owned(),
    };
    let Some(Value::Object(processor)) = &folder.processor else {
        return Err(lacking("the folder says nothing of it".to_owned()));
    };
    let by_type = names::processor_of_model_type(target.model_type());
    let processor =
        ImageProcessor::from_json(processor, by_type).map_err(|error| lacking(error.to_string()))?;
    let pixels = |edge: u64| usize::try_from(edge).unwrap_or(usize::MAX);
    let size = facts.pair("img_size").map(|[height, width]| (pixels(height), pixels(width)));
    let transform = processor
        .as_timm(size)
        .ok_or_else(|| lacking("no transform of timm gives the same pixels".to_owned()))?;
    let (height, width) = transform.input_size;
    Ok(Some(Preprocessing {
        size: [height as u64, width as u64],
        crop_pct: transform.crop_pct,
        crop_mode: transform.crop_mode,
        interpolation: transform.interpolation,
        mean: transform.mean,
        std: transform.std,
    }))
}

/// Returns the facts with the size of the image, where the class has no key for it and its images are those of the processor.
pub(super) fn with_image_size(
    definition: &dyn SourceDefinition,
    mut facts: Facts,
    preprocessing: Option<&Preprocessing>,
) -> Facts {
    let is_open = definition.fact_names().contains(&IMAGE_SIZE) && facts.get(IMAGE_SIZE).is_none();
    if let Some(preprocessing) = preprocessing.filter(|_| is_open) {
        let origin = Origin::Config("preprocessor_config.json of the folder".to_owned());
        facts.set(Fact::new(IMAGE_SIZE, preprocessing.size.to_vec(), origin));
    }
    facts
}

/// Returns the names of the classes in the order of the logits; `LABEL_i` where the folder has none.
pub(super) fn labels_of(stated: &Map<String, Value>, classes: u64) -> Vec<String> {
    let ids = stated.get("id2label").and_then(Value::as_object);
    let name = |class: u64| {
        let known = ids.and_then(|ids| ids.get(&class.to_string())).and_then(Value::as_str);
        known.map_or_else(|| format!("LABEL_{class}"), str::to_owned)
    };
    (0..classes).map(name).collect()
}
