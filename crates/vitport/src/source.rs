//! The first step: from a path to an open checkpoint and whatever lies next to it that says what it is.
//!
//! A source is a weight file, or a folder that holds one. In a timm hub folder the `config.json` names the architecture, its
//! arguments and its preprocessing; it is read here as far as the families need it, and every field of it is taken as a
//! claim that the weights may contradict.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use vitport_checkpoint::{Checkpoint, Limits, Scalar, escape};

use crate::front_matter::FrontMatter;

/// Bytes that a `config.json` may have. Published ones with 21,843 labels take some 2 MB.
const MAX_CONFIG_BYTES: u64 = 32 << 20;

/// Why a source could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The weights cannot be read, or are refused.
    #[error(transparent)]
    Checkpoint(#[from] vitport_checkpoint::Error),
    /// The `config.json` next to the weights cannot be read.
    #[error("{}: {reason}; correct or remove it", escape(&.path.display().to_string()))]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The folder holds a model that transformers opens already.
    #[error("{}: this is a transformers folder already (its config.json says model_type `{}`); nothing is to be converted", escape(&.path.display().to_string()), escape(.model_type))]
    AlreadyConverted {
        /// The folder.
        path: PathBuf,
        /// What its config says.
        model_type: String,
    },
}

/// Where a source came from, when it is more than a path.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Provenance {
    /// Repository on the Hub, such as `timm/vit_base_patch16_224.augreg_in21k`.
    pub repository: String,
    /// Commit that was fetched.
    pub commit: String,
}

/// An opened source.
pub struct Source {
    /// The path that was given.
    pub path: PathBuf,
    /// Its tensors.
    pub checkpoint: Checkpoint,
    /// The `config.json` of a timm hub folder.
    pub config: Option<TimmConfig>,
    /// What the model card next to the weights says.
    pub card: Option<FrontMatter>,
    /// The repository it was fetched from.
    pub provenance: Option<Provenance>,
}

impl Source {
    /// Opens a file or a folder. `root` picks the nested part of the checkpoint that holds the weights, if it is given.
    ///
    /// # Errors
    /// [`SourceError`].
    pub fn open(path: &Path, root: Option<&str>, limits: &Limits) -> Result<Self, SourceError> {
        let (config, card) = match path.is_dir() {
            true => (TimmConfig::beside(path)?, FrontMatter::beside(path)),
            false => (None, None),
        };
        let checkpoint = match root {
            Some(root) => Checkpoint::open_root(path, limits, root)?,
            None => Checkpoint::open(path, limits)?,
        };
        Ok(Self { path: path.to_owned(), checkpoint, config, card, provenance: None })
    }

    /// The path or repository as it is shown.
    pub fn display_name(&self) -> String {
        match &self.provenance {
            Some(provenance) => provenance.repository.clone(),
            None => self.path.display().to_string(),
        }
    }

    /// The last part of the path without the weight file's extension: `vit_base_patch16_224.augreg_in21k`.
    pub fn stem(&self) -> String {
        let name = match &self.provenance {
            Some(provenance) => provenance.repository.rsplit('/').next().unwrap_or_default().to_owned(),
            None => {
                let absolute = std::path::absolute(&self.path).unwrap_or_else(|_| self.path.clone());
                absolute.file_name().unwrap_or_default().to_string_lossy().into_owned()
            }
        };
        let extensions = [".index.json", ".safetensors", ".pth.tar", ".pth", ".pt", ".bin", ".ckpt", ".npz"];
        let stem = extensions.iter().find_map(|extension| name.strip_suffix(extension));
        stem.unwrap_or(&name).to_owned()
    }

    /// A text that the checkpoint keeps next to the weights, such as `arch`.
    pub fn recorded(&self, path: &str) -> Option<&str> {
        let entry = self.checkpoint.metadata().iter().find(|entry| entry.path == path)?;
        match &entry.value {
            Scalar::Str(text) => Some(text),
            _ => None,
        }
    }
}

/// The `config.json` of a timm hub folder (timm/models/_hub.py, `save_config_for_hf`).
#[derive(Debug, Clone, PartialEq)]
pub struct TimmConfig {
    /// timm's architecture name.
    pub architecture: String,
    /// Arguments that the model was made with, beyond the architecture's own.
    pub model_args: Map<String, Value>,
    /// Preprocessing, licence and the like.
    pub pretrained_cfg: Map<String, Value>,
    whole: Map<String, Value>,
}

impl TimmConfig {
    /// Reads the config of a folder; none if there is no such file.
    fn beside(folder: &Path) -> Result<Option<Self>, SourceError> {
        let path = folder.join("config.json");
        let failed = |reason: String| SourceError::Config { path: path.clone(), reason };
        let file = match fs::File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error.to_string())),
        };
        let mut text = String::new();
        let read = file
            .take(MAX_CONFIG_BYTES + 1)
            .read_to_string(&mut text)
            .map_err(|error| failed(error.to_string()))?;
        if read as u64 > MAX_CONFIG_BYTES {
            return Err(failed(format!("it is larger than {MAX_CONFIG_BYTES} bytes")));
        }
        let value: Value =
            serde_json::from_str(&text).map_err(|error| failed(format!("it is no JSON: {error}")))?;
        let Value::Object(whole) = value else {
            return Err(failed("it is JSON, but no object".to_owned()));
        };
        if let Some(Value::String(model_type)) = whole.get("model_type") {
            let model_type = model_type.clone();
            return Err(SourceError::AlreadyConverted { path: folder.to_owned(), model_type });
        }
        Self::parse(whole).map(Some).map_err(failed)
    }

    /// Takes a config apart. Older ones hold the keys of `pretrained_cfg` at the top.
    ///
    /// # Errors
    /// A sentence that says which key is missing or of the wrong kind.
    pub fn parse(whole: Map<String, Value>) -> Result<Self, String> {
        let object = |key: &str| match whole.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Object(map)) => Ok(Some(map.clone())),
            Some(_) => Err(format!("its `{key}` is no object")),
        };
        let Some(Value::String(architecture)) = whole.get("architecture") else {
            return Err("it names no `architecture`, so it is not timm's".to_owned());
        };
        let (name, tag) =
            architecture.split_once('.').map_or((architecture.as_str(), None), |(n, t)| (n, Some(t)));
        let mut pretrained_cfg = object("pretrained_cfg")?.unwrap_or_else(|| whole.clone());
        if let Some(tag) = tag {
            pretrained_cfg.entry("tag").or_insert_with(|| Value::String(tag.to_owned()));
        }
        let model_args = object("model_args")?.unwrap_or_default();
        Ok(Self { architecture: name.to_owned(), model_args, pretrained_cfg, whole })
    }

    /// The pretrained tag, if it says one.
    pub fn tag(&self) -> Option<&str> {
        self.text("tag")
    }

    /// A text of `pretrained_cfg`.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.pretrained_cfg.get(key)?.as_str().filter(|text| !text.is_empty())
    }

    /// `label_names`, at the top or in `pretrained_cfg`.
    pub fn label_names(&self) -> Option<&Value> {
        self.labelling("label_names").or_else(|| self.labelling("labels"))
    }

    /// `label_descriptions`, at the top or in `pretrained_cfg`.
    pub fn label_descriptions(&self) -> Option<&Value> {
        self.labelling("label_descriptions")
    }

    fn labelling(&self, key: &str) -> Option<&Value> {
        self.whole.get(key).or_else(|| self.pretrained_cfg.get(key)).filter(|value| !value.is_null())
    }

    /// How tokens become one vector, if it says so.
    pub fn global_pool(&self) -> Option<&str> {
        let of_args = self.model_args.get("global_pool").and_then(Value::as_str);
        of_args.or_else(|| self.whole.get("global_pool").and_then(Value::as_str))
    }
}
