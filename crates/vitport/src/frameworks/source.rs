//! What a framework's definition knows of sources: how its tensors are recognised, what their shapes tell, and what else is
//! said of a model.

use serde_json::{Map, Value};

use super::registry::{Architecture, Tag};
use super::{Definition, PublishedModel, SavedModules};
use crate::facts::{Evidence, Fact, FactError, Facts};
use crate::finding::Head;
use crate::image::{
    CropRounding, DirectPixels, ImageError, MicrosoftTransform, Pixels, RgbImage, TimmTransform,
};
use crate::mapping::Sources;
use crate::options::FactOptions;
use crate::preprocessing::{NoProcessor, Preprocessing};
use crate::resampling::{Resampled, refused};
use crate::source::Source;

/// Describes a definition whose checkpoints can be converted.
pub trait SourceDefinition: Definition {
    /// Returns a few words for people: `timm's ViT`.
    fn description(&self) -> &'static str;

    /// Returns the word by which model cards name where a model comes from: `timm`.
    fn maker(&self) -> &'static str {
        self.id().split('/').next().unwrap_or_default()
    }

    /// Returns the names of the facts that a layout may tell.
    fn fact_names(&self) -> Vec<&'static str> {
        Vec::new()
    }

    /// Returns beginnings of names that every network of this definition has: of each group at least one.
    fn anchors(&self) -> &'static [&'static [&'static str]];

    /// Returns where its classifier is, and where each of its layouts has it.
    fn heads(&self) -> &'static [Head] {
        &[]
    }

    /// Returns the facts that a registry has of published weights; none of networks that are not this definition's.
    fn registered(&self, _architecture: &Architecture, _tag: &Tag) -> Option<Facts> {
        None
    }

    /// Returns the facts that hold where nothing is said of them.
    fn usual_facts(&self) -> Vec<Fact> {
        Vec::new()
    }

    /// Returns the facts with what holds where nothing is said.
    fn completed(&self, mut facts: Facts) -> Facts {
        for usual in self.usual_facts() {
            if facts.get(usual.name).is_none() {
                facts.set(usual);
            }
        }
        facts
    }

    /// Returns whether these tensors are a network of this definition, be it one that has no target.
    fn recognises(&self, tensors: &Sources) -> bool;

    /// Reads what names and shapes tell.
    ///
    /// # Errors
    /// Returns [`FactError::Misshapen`] for tensors that fit no such network, [`FactError::Questions`] if a size stays open.
    fn read(&self, inquiry: &Inquiry<'_>, evidence: &mut Evidence) -> Result<(), FactError>;

    /// Gathers what shapes do not tell, who the model is, and how images are prepared for it. What is not known is asked in
    /// `evidence`.
    ///
    /// # Errors
    /// Returns [`FactError`].
    fn gather(&self, inquiry: &Inquiry<'_>, evidence: &mut Evidence) -> Result<Identity, FactError>;

    /// Returns what the framework resamples of these tensors for images of `to` pixels, height and width.
    ///
    /// # Errors
    /// Returns [`FactError::Contradiction`] where it takes no such size.
    fn resampled(&self, _tensors: &Sources, _facts: &Facts, to: [u64; 2]) -> Result<Resampled, FactError> {
        let reason = format!(
            "{} has no position embeddings that could be resampled; --image-size says which images it gets",
            self.description()
        );
        Err(refused(to, &reason))
    }

    /// Returns the `config.json` with which the framework makes such a network; none for a framework that writes no such file.
    ///
    /// # Errors
    /// Returns [`FactError::NoTarget`] for a network that the framework has not.
    fn write_config(&self, _described: &Described<'_>) -> Option<Result<WrittenConfig, FactError>> {
        None
    }
}

/// Describes a network for which a config is written.
#[derive(Debug, Clone, Copy)]
pub struct Described<'a> {
    /// Names the framework whose it is: the definition's own, or one that has such networks under other names.
    pub framework: &'a str,
    /// Gives the facts that it is built from.
    pub facts: &'a Facts,
    /// Says how images are prepared, if that is wanted.
    pub preprocessing: Option<&'a Preprocessing>,
    /// Names its classes in the order of its logits, if it has a head.
    pub labels: Option<&'a [String]>,
}

/// Holds a config that a framework opens.
#[derive(Debug, Clone, PartialEq)]
pub struct WrittenConfig {
    /// Gives the contents of `config.json`.
    pub config: Map<String, Value>,
    /// Lists the facts that the framework's network has otherwise, and no config says.
    pub unheld: Vec<Unheld>,
    /// Lists the lines of Python that open the folder, whose path is `{out}` there.
    pub opened_by: Vec<String>,
}

/// Describes a fact that a framework's network has otherwise than it should.
#[derive(Debug, Clone, PartialEq)]
pub struct Unheld {
    /// Names it.
    pub fact: &'static str,
    /// Gives the value that it should have.
    pub wanted: Value,
    /// Gives the value that it has.
    pub held: Value,
    /// Says why it has that, as the end of a sentence.
    pub why: String,
}

/// Holds what is looked at to find out what a model is.
pub struct Inquiry<'a> {
    /// Gives the opened source.
    pub source: &'a Source,
    /// Gives what the person says of it.
    pub options: &'a FactOptions,
    /// Gives the modules of a network that was saved whole, by the names that they have in the file.
    pub modules: &'a SavedModules,
    /// Gives its tensors under the definition's names.
    pub tensors: &'a Sources,
    /// Says where the layout comes from, if it is not the framework's own: `jax`.
    pub layout: Option<&'a str>,
}

/// Says who a model is.
#[derive(Debug, Clone, PartialEq)]
pub struct Identity {
    /// Gives its name: `vit_base_patch16_224.augreg2_in21k_ft_in1k`, `cvt-13`, or the file's.
    pub name: String,
    /// Holds what is known of it when it is one of those that were published.
    pub published: Option<PublishedModel>,
    /// Says how images are prepared; none while that is a question.
    pub preparation: Option<Preparation>,
    /// Lists the paths of training arguments that were read.
    pub read: Vec<String>,
    /// Lists the attributes of saved modules that no code reads.
    pub unread: Vec<String>,
}

/// Describes the preprocessing of a source: as facts, as the source's own transform, and as an image processor of transformers.
#[derive(Debug, Clone, PartialEq)]
pub struct Preparation {
    /// Gives its numbers.
    pub preprocessing: Preprocessing,
    /// Holds the same with their origins.
    pub facts: Vec<Fact>,
    /// Says what the source's framework does to an image.
    pub transform: Transform,
    /// Gives `preprocessor_config.json`, where the framework's models have one of their own.
    pub processor: Option<Value>,
    /// Says whether images come with one channel.
    pub is_grey: bool,
}

impl Preparation {
    /// Returns `preprocessor_config.json`.
    ///
    /// # Errors
    /// Returns [`NoProcessor`] if no image processor of transformers gives the same pixels.
    pub fn processor(&self) -> Result<Value, NoProcessor> {
        let mut processor = match &self.processor {
            Some(processor) => processor.clone(),
            None => self.preprocessing.processor()?,
        };
        if let Some(fields) = processor.as_object_mut().filter(|_| self.is_grey) {
            fields.insert("do_convert_rgb".to_owned(), Value::Bool(false));
            for key in ["image_mean", "image_std"] {
                let first = fields.get(key).and_then(|numbers| numbers.get(0)).cloned();
                fields.insert(key.to_owned(), first.into_iter().collect());
            }
        }
        Ok(processor)
    }
}

/// Describes a framework's own way from an image to a network's input.
#[derive(Debug, Clone, PartialEq)]
pub enum Transform {
    /// Is timm's.
    Timm(TimmTransform),
    /// Is Microsoft's.
    Microsoft(MicrosoftTransform),
    /// Is a framework's, of an image in grey, of which one channel is taken.
    Grey(Box<Transform>),
    /// Is no framework's.
    Direct(DirectPixels),
}

impl Transform {
    /// Prepares an image, with the crop rounded as the framework does or as transformers' PIL backend does.
    ///
    /// # Errors
    /// Returns [`ImageError`].
    pub fn apply(&self, image: &RgbImage, rounding: CropRounding) -> Result<Pixels, ImageError> {
        match self {
            Transform::Timm(transform) => transform.apply_rounding(image, rounding),
            Transform::Microsoft(transform) => transform.apply_rounding(image, rounding),
            Transform::Grey(transform) => {
                transform.apply(&image.to_grey(), rounding).map(Pixels::first_channel)
            }
            Transform::Direct(pixels) => pixels.apply(image),
        }
    }
}

/// Returns what errors call one network of a family, with its article: `an EfficientNet`.
pub(super) fn one_of(family: &str) -> String {
    let article = if family.starts_with(['A', 'E', 'I', 'O']) { "an" } else { "a" };
    format!("{article} {family}")
}

/// Returns the lengths of the axes of a tensor that must have `count` of them.
///
/// # Errors
/// Returns [`FactError::Misshapen`].
pub(super) fn lengths<'a>(
    tensors: &'a Sources,
    name: &str,
    count: usize,
    family: &'static str,
) -> Result<&'a [u64], FactError> {
    let misshapen = |reason: String| FactError::Misshapen { tensor: name.to_owned(), family, reason };
    let shape = tensors.shape(name).ok_or_else(|| misshapen("the checkpoint lacks it".to_owned()))?;
    match shape.len() == count {
        true => Ok(shape),
        false => Err(misshapen(format!("its shape is {shape:?}, where {count} axes are needed"))),
    }
}

/// Returns the lengths of the axes of a tensor that must have `N` of them.
///
/// # Errors
/// Returns [`FactError::Misshapen`].
pub(super) fn axes<const N: usize>(
    tensors: &Sources,
    name: &str,
    family: &'static str,
) -> Result<[u64; N], FactError> {
    let mut axes = [0; N];
    axes.copy_from_slice(lengths(tensors, name, N, family)?);
    Ok(axes)
}
