//! A folder's model alone, run on images as transformers would run it.

use std::path::Path;

use serde_json::Value;
use vitport_checkpoint::Limits;

use super::VerifyError;
use super::probabilities::{Guess, Probabilities, top};
use super::run::label_of_folder;
use super::weights::SourceWeights;
use crate::folder::loading::names;
use crate::folder::reader::Folder;
use crate::frameworks::TARGETS;
use crate::image::{ImageProcessor, RgbImage};
use crate::mapping::Sources;
use crate::nn::Network;
use crate::state_dict::StateDict;

/// Holds an opened folder, ready to classify. Weights are read from the file for each image.
pub struct Classifier {
    folder: Folder,
    network: Network,
    processor: ImageProcessor,
    tensors: Sources,
}

impl Classifier {
    /// Opens a folder of a class that a family here runs, whoever made it, and checks its weights' checksums, if it has any.
    ///
    /// # Errors
    /// [`VerifyError::Folder`] if it cannot be read, [`VerifyError::NotRunnable`] if no family runs it,
    /// [`VerifyError::Image`] if its image processor is not known.
    pub fn open(path: &Path, limits: &Limits) -> Result<Self, VerifyError> {
        let folder = Folder::open(path, limits)?;
        folder.checkpoint.audit().finish().map_err(crate::folder::FolderError::from)?;
        let not_runnable =
            |reason: String| VerifyError::NotRunnable { folder: path.display().to_string(), reason };
        let config = folder.config.as_object().cloned().unwrap_or_default();
        let model_type = config.get("model_type").and_then(Value::as_str);
        let Some(target) = TARGETS.into_iter().find(|target| Some(target.model_type()) == model_type) else {
            let model_type = config.get("model_type").map_or_else(|| "none".to_owned(), Value::to_string);
            return Err(not_runnable(format!("its config.json says model_type {model_type}")));
        };
        let network =
            target.build(&config).map_err(|error| VerifyError::Forward { side: "folder's", error })?;
        let Some(Value::Object(processor)) = &folder.processor else {
            return Err(not_runnable("it has no preprocessor_config.json".to_owned()));
        };
        let processor =
            ImageProcessor::from_json(processor, names::processor_of_model_type(target.model_type()))?;
        let named = folder.checkpoint.tensors().iter().map(|tensor| (tensor.name.clone(), tensor.clone()));
        let tensors = Sources::of_state_dict(&StateDict::from_entries(named));
        Ok(Self { network, processor, tensors, folder })
    }

    /// Returns the most probable classes of an image, `count` of them at most.
    ///
    /// # Errors
    /// [`VerifyError::Forward`] if a tensor is missing or misshapen, [`VerifyError::NotRunnable`] for a model without a
    /// head, [`VerifyError::NotFinite`] if a logit is not finite.
    pub fn top(&self, image: &RgbImage, count: usize) -> Result<Vec<Guess>, VerifyError> {
        let pixels = self.processor.apply(image)?;
        let weights = SourceWeights::new(&self.folder.checkpoint, &self.tensors);
        let outputs = self
            .network
            .forward(&pixels, &weights, &mut ())
            .map_err(|error| VerifyError::Forward { side: "folder's", error })?;
        match outputs.values("logits") {
            Some(logits) if !logits.iter().all(|logit| logit.is_finite()) => {
                Err(VerifyError::NotFinite { folder: self.folder.path.display().to_string() })
            }
            Some(logits) => {
                let config = &self.folder.config;
                let problem_type = config.get("problem_type").and_then(Value::as_str);
                let probabilities = Probabilities::of(problem_type, logits.len());
                Ok(top(count, logits, probabilities, |class| label_of_folder(config, class)))
            }
            None => Err(VerifyError::NotRunnable {
                folder: self.folder.path.display().to_string(),
                reason: "its model has no classification head".to_owned(),
            }),
        }
    }
}
