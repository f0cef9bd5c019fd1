//! One set of pretrained weights of an architecture.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::super::{Exactness, PublishedModel};
use super::origin;
use super::rows::Line;

/// Describes one set of pretrained weights of an architecture.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Tag {
    /// Gives the architecture's name.
    #[serde(skip)]
    pub architecture: &'static str,
    /// Gives the timm module that defines such networks.
    #[serde(skip)]
    pub module: &'static str,
    /// Gives the tag, such as `augreg_in21k_ft_in1k`; empty where timm gives none.
    #[serde(skip)]
    pub tag: &'static str,
    /// Names the repository on the Hugging Face Hub, such as `timm/vit_tiny_patch16_224.augreg_in21k`.
    pub hub_id: Option<String>,
    /// Gives the file of the repository that holds the weights, where it is not the usual one.
    pub hub_filename: Option<String>,
    /// Gives the file that the weights first came from.
    pub url: Option<String>,
    /// Says whether weights are published at all.
    pub has_weights: bool,
    /// Gives the number of classes of the head; 0 for a model without one.
    pub num_classes: usize,
    /// Gives the number of parameters, with that head.
    pub parameters: u64,
    /// Gives channels, height and width of the image, in pixels.
    pub input_size: [usize; 3],
    /// Says whether the network takes images of no other size.
    pub fixed_input_size: bool,
    /// Gives the smallest image that the network takes: channels, height and width, in pixels.
    pub min_input_size: Option<[usize; 3]>,
    /// Gives channels, height and width at which timm evaluates the model, where it is not `input_size`.
    pub test_input_size: Option<[usize; 3]>,
    /// Gives the mean of each channel, on a 0 to 1 scale.
    pub mean: [f64; 3],
    /// Gives the standard deviation of each channel, on a 0 to 1 scale.
    pub std: [f64; 3],
    /// Says how images are resized: `bicubic`, `bilinear`, …
    pub interpolation: String,
    /// Gives the part of the resized image's edge that the crop keeps.
    pub crop_pct: f64,
    /// Gives the same at `test_input_size`.
    pub test_crop_pct: Option<f64>,
    /// Gives `center` (resize the shortest edge, crop), `squash` (resize both edges) or `border`.
    pub crop_mode: String,
    /// Gives the licence of the weights, as the framework states it.
    pub license: Option<String>,
    /// Says whether `url` is in another layout than timm's own (JAX's `.npz`).
    pub custom_load: bool,
    /// Gives the page of the model's authors.
    pub origin_url: Option<String>,
    /// Names the paper, such as `arXiv:2212.07143`.
    pub paper: Option<String>,
    /// Gives a remark of timm's.
    pub notes: Option<String>,
    /// Gives the transformers class that holds it.
    pub target: Option<String>,
    /// Says how much of it that class holds.
    pub exactness: Exactness,
    /// Says what has to be done to get there, or why there is no class.
    pub note: Option<String>,
}

impl Tag {
    pub(in super::super) fn new(line: &Line, fields: Map<String, Value>) -> Option<Self> {
        let (module, _) = line.class.split_once('/')?;
        let mut tag = Self::deserialize(Value::Object(fields)).ok()?;
        (tag.architecture, tag.module, tag.tag) = (line.name, module, line.tag);
        if tag.hub_id.as_deref() == Some("=") {
            tag.hub_id = Some(format!("timm/{}", tag.full_name()));
        }
        Some(tag)
    }

    /// Returns what the registry has of it as a published model. Its name says the datasets: `augreg_in21k_ft_in1k`.
    pub(in super::super) fn published(&self) -> PublishedModel {
        let datasets = [
            ("in1k", "imagenet-1k"),
            ("in12k", "imagenet-12k"),
            ("in21k", "imagenet-21k"),
            ("in22k", "imagenet-22k"),
            ("IMAGENET1K", "imagenet-1k"),
        ];
        let words: Vec<&str> = self.tag.split('_').collect();
        let named = datasets.into_iter().filter(|(word, _)| words.contains(word));
        PublishedModel {
            repository: self.hub_id.clone(),
            license: self.license.clone(),
            datasets: named.map(|(_, dataset)| dataset.to_owned()).collect(),
            origin: origin(&self.full_name()),
        }
    }

    /// Returns whether timm publishes them.
    pub(super) fn is_timms(&self) -> bool {
        !self.architecture.contains('/')
    }

    /// Returns the name of the file that the weights first came in.
    pub(in super::super) fn file_name(&self) -> Option<&str> {
        self.url.as_deref()?.rsplit('/').next()
    }

    /// Returns its full name, `architecture.tag`.
    pub fn full_name(&self) -> String {
        match self.tag {
            "" => self.architecture.to_owned(),
            tag => format!("{}.{tag}", self.architecture),
        }
    }
}
