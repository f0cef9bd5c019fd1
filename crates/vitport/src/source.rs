//! The first step: from a path to an open checkpoint and whatever lies next to it that says what it is.
//!
//! A source is a weight file, or a folder that holds one. The `config.json` of a folder is parsed here and understood by the
//! framework that wrote it, which takes each of its keys as a statement that the weights may contradict.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use vitport_checkpoint::{Checkpoint, Limits, escape, is_no_file, read_regular};

use crate::adapters::Adapter;
use crate::front_matter::FrontMatter;

/// Limits the bytes that a `config.json` may have. Published ones with 21,843 labels take some 2 MB.
pub const MAX_CONFIG_BYTES: u64 = 16 << 20;

/// Limits the values in it, as far as commas count them: a value takes many times its bytes in memory.
const MOST_CONFIG_VALUES: usize = 1_000_000;

/// Lists the names of weight files that stand for the folder they lie in (timm/models/_hub.py, `HF_WEIGHTS_NAME` and the like).
const HUB_WEIGHTS: [&str; 3] = ["model.safetensors", "pytorch_model.bin", "pytorch_model.pth"];

/// Says why a source could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// Means that the weights cannot be read, or are refused.
    #[error(transparent)]
    Checkpoint(#[from] vitport_checkpoint::CheckpointError),
    /// Means that the `config.json` next to the weights cannot be read.
    #[error("{}: {reason}; correct or remove it", escape(&.path.display().to_string()))]
    Config {
        /// Names the file.
        path: PathBuf,
        /// Says what is wrong with it.
        reason: String,
    },
    /// Means that the folder holds a model that transformers opens already.
    #[error("{}: this is already a transformers folder (its config.json says model_type `{}`), so there is nothing to convert; --to timm goes the other way, and `vitport diff` compares two folders", escape(&.path.display().to_string()), escape(.model_type))]
    AlreadyConverted {
        /// Names the folder.
        path: PathBuf,
        /// Holds what its config says.
        model_type: String,
    },
}

/// Says where a source came from, when it is more than a path.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Provenance {
    /// Names the repository on the Hub, such as `timm/vit_base_patch16_224.augreg_in21k`.
    pub repository: String,
    /// Names the commit that was fetched.
    pub commit: String,
}

/// Describes the `config.json` next to the weights, which the framework that wrote it understands.
#[derive(Debug, Clone, PartialEq)]
pub struct ConfigFile {
    /// Names the file.
    pub path: PathBuf,
    /// Holds its keys and values.
    pub values: Map<String, Value>,
}

/// Describes an opened source.
pub struct Source {
    /// Holds the path that was given.
    pub path: PathBuf,
    /// Holds its tensors.
    pub checkpoint: Checkpoint,
    /// Holds the adapter that is to be added to them.
    pub adapter: Option<Adapter>,
    /// Names the part of the checkpoint that is meant, as `--key` takes it.
    pub key: Option<String>,
    /// Holds the `config.json` next to the weights.
    pub config: Option<ConfigFile>,
    /// Holds what the model card next to the weights says.
    pub card: Option<FrontMatter>,
    /// Names what lies in the folder and is neither a file nor a folder, and says what it is: nothing reads it.
    pub passed_over: Vec<(String, &'static str)>,
    /// Names the repository that it was fetched from.
    pub provenance: Option<Provenance>,
}

impl Source {
    /// Opens a file or a folder. `key` names the part of the checkpoint that holds the network, if it is given; it is looked for when
    /// the model is identified ([`find`](crate::finding::find)).
    ///
    /// # Errors
    /// Returns [`SourceError`] for weights that cannot be read or are refused, a `config.json` that is not a JSON object, and a folder
    /// that transformers opens already.
    pub fn open(path: &Path, key: Option<&str>, limits: &Limits) -> Result<Self, SourceError> {
        let (config, card, passed_over) = match path.is_dir() {
            true => (ConfigFile::next_to(path)?, FrontMatter::next_to(path), no_files(path)),
            false => (ConfigFile::of_weights(path), None, Vec::new()),
        };
        let checkpoint = match key {
            Some(_) => Checkpoint::open_whole(path, limits)?,
            None => Checkpoint::open_undecided(path, limits)?,
        };
        let key = key.map(str::to_owned);
        let (path, adapter, provenance) = (path.to_owned(), None, None);
        Ok(Self { path, checkpoint, adapter, key, config, card, passed_over, provenance })
    }

    /// Returns it with the LoRA adapter at `path`, a file or a folder of peft's, which is added to its weights.
    ///
    /// # Errors
    /// Returns [`SourceError`] for an adapter that cannot be read or is refused.
    pub fn with_adapter(self, path: &Path, limits: &Limits) -> Result<Self, SourceError> {
        Ok(Self { adapter: Some(Adapter::open(path, limits)?), ..self })
    }

    /// Returns the path or repository as it is shown.
    pub fn display_name(&self) -> String {
        match &self.provenance {
            Some(provenance) => provenance.repository.clone(),
            None => self.path.display().to_string(),
        }
    }

    /// Returns the last part of the path without the weight file's extension: `vit_base_patch16_224.augreg_in21k`.
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
}

/// Returns what in a folder is neither a file nor a folder, in the order of its names.
fn no_files(folder: &Path) -> Vec<(String, &'static str)> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let named = |entry: std::fs::DirEntry| {
        Some((entry.file_name().to_string_lossy().into_owned(), is_no_file(&entry.path())?))
    };
    let mut found: Vec<_> = entries.filter_map(named).collect();
    found.sort_unstable();
    found
}

impl ConfigFile {
    /// Returns the config of the folder that a weight file lies in, if the file has the name that its framework gives to the weights
    /// of such a folder, and the config is of a framework whose models can be converted.
    fn of_weights(file: &Path) -> Option<Self> {
        let name = file.file_name()?.to_str()?;
        let config = HUB_WEIGHTS.contains(&name).then(|| Self::next_to(file.parent()?).ok()?).flatten()?;
        ["architecture", "pretrained_cfg"]
            .iter()
            .any(|key| config.values.contains_key(*key))
            .then_some(config)
    }

    /// Reads the config of a folder; none if there is no such file.
    fn next_to(folder: &Path) -> Result<Option<Self>, SourceError> {
        let path = folder.join("config.json");
        let failed = |reason: String| SourceError::Config { path: path.clone(), reason };
        let text = match read_regular(&path, MAX_CONFIG_BYTES) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error.to_string())),
        };
        if text.iter().filter(|byte| **byte == b',').count() > MOST_CONFIG_VALUES {
            return Err(failed(format!("it lists more than {MOST_CONFIG_VALUES} values")));
        }
        let value: Value =
            serde_json::from_slice(&text).map_err(|error| failed(format!("it is not JSON: {error}")))?;
        let Value::Object(values) = value else {
            return Err(failed("it is JSON, but no object".to_owned()));
        };
        if let Some(Value::String(model_type)) = values.get("model_type") {
            let model_type = model_type.clone();
            return Err(SourceError::AlreadyConverted { path: folder.to_owned(), model_type });
        }
        Ok(Some(Self { path, values }))
    }
}
