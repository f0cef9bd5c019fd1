//! The way through: open, identify, plan, carry. [`prepare`] takes the first three steps and writes nothing; [`write()`]
//! takes the fourth into a temporary folder, which the caller publishes or drops.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use vitport_checkpoint::{Dtype, Limits};

use crate::facts::{FactError, FactOptions};
use crate::folder::layout::{INDEX_NAME, Layout};
use crate::folder::publish::{Options, Staging};
use crate::folder::{self, gather, json};
use crate::mapping::{Mapping, MappingError, Problems};
use crate::pipeline::{Model, identify};
use crate::plan::Plan;
use crate::source::{Source, SourceError};

/// The transformers version whose way of writing folders this follows, as `config.json` states it.
pub const TRANSFORMERS_VERSION: &str = "4.57.6";

/// What may be asked of a conversion before anything is written.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Facts about the model.
    pub facts: FactOptions,
    /// The nested part of the checkpoint that holds the weights.
    pub root: Option<String>,
    /// A mapping file in place of the built-in ones: its path, for messages, and its text.
    pub mapping: Option<(String, String)>,
    /// Dtype of the written float tensors; their own if none.
    pub dtype: Option<Dtype>,
    /// What a file may ask for.
    pub limits: Limits,
}

/// Why a conversion could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConvertError {
    /// The source cannot be opened.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The source is not known, has no target, or is undecided.
    #[error(transparent)]
    Facts(#[from] FactError),
    /// The mapping file cannot be used.
    #[error(transparent)]
    Mapping(#[from] MappingError),
    /// The rules do not account for the tensors.
    #[error("{}: {problems}", vitport_checkpoint::escape(.file))]
    Unaccounted {
        /// The source.
        file: String,
        /// Everything that is wrong.
        problems: Problems,
    },
    /// The folder cannot be written.
    #[error(transparent)]
    Folder(#[from] folder::Error),
}

/// A source that is known, and the plan for it.
pub struct Prepared {
    /// The source.
    pub source: Source,
    /// What it is.
    pub model: Model,
    /// Whether the mapping is the caller's, not a built-in one.
    pub own_mapping: bool,
    /// What will be written.
    pub plan: Plan,
    /// What a file may ask for, the folder's weights included.
    pub limits: Limits,
}

/// Opens a source, identifies it and plans its conversion. No tensor byte is read.
///
/// # Errors
/// [`ConvertError`], never of the folder kind.
pub fn prepare(source: Source, request: &Request) -> Result<Prepared, ConvertError> {
    let own = own_mapping(request)?;
    let model = identify(&source, &request.facts, own.as_ref())?;
    let plan = model
        .mapping
        .plan(&model.tensors, &model.bindings, request.dtype, &model.target_network)
        .map_err(|problems| ConvertError::Unaccounted { file: source.display_name(), problems })?;
    let mut plan = plan;
    plan.dropped.extend(model.dropped.iter().cloned());
    Ok(Prepared { source, model, own_mapping: own.is_some(), plan, limits: request.limits.clone() })
}

/// Returns the mapping that a conversion of this source follows, the caller's or a built-in one.
///
/// # Errors
/// As [`prepare`].
pub fn mapping_of(source: &Source, request: &Request) -> Result<Mapping, ConvertError> {
    Ok(identify(source, &request.facts, own_mapping(request)?.as_ref())?.mapping)
}

fn own_mapping(request: &Request) -> Result<Option<Mapping>, ConvertError> {
    let parse = |(file, text): &(String, String)| Mapping::parse(file, text);
    Ok(request.mapping.as_ref().map(parse).transpose()?)
}

/// How a folder is to be written.
#[derive(Debug, Clone, Copy)]
pub struct WriteOptions {
    /// Most bytes of tensors in one weight file.
    pub max_shard_size: u64,
    /// Whether an existing model folder is replaced.
    pub force: bool,
    /// Whether the files are on the disk before the folder gets its name.
    pub fsync: bool,
    /// Whether code that gives the source's exact network is added, where the target has some.
    pub exact_code: bool,
}

/// A folder that is written and not yet published.
pub struct Written {
    /// The temporary folder.
    pub staging: Staging,
    /// Names and sizes in bytes of its files.
    pub files: Vec<(String, u64)>,
}

impl Written {
    /// Adds a small file.
    ///
    /// # Errors
    /// [`folder::Error`] if it is there already or cannot be written.
    pub fn add(&mut self, name: &str, contents: &[u8]) -> Result<(), folder::Error> {
        self.staging.write(name, contents)?;
        self.files.push((name.to_owned(), contents.len() as u64));
        Ok(())
    }
}

/// Writes weights, config and image processor into a temporary folder beside `out`. `progress` is called from several
/// threads with the number of bytes written since its last call.
///
/// # Errors
/// [`ConvertError::Folder`]. Nothing is left behind.
pub fn write(
    prepared: &Prepared,
    out: &Path,
    options: WriteOptions,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Written, ConvertError> {
    let layout = Layout::new(&prepared.plan, options.max_shard_size)?;
    let protected: Vec<PathBuf> =
        prepared.source.checkpoint.files().iter().map(|file| file.path.clone()).collect();
    let staging = Staging::begin(out, &protected, Options { force: options.force, fsync: options.fsync })?;
    gather::carry(&prepared.source.checkpoint, &layout, staging.path(), staging.syncing(), progress)?;
    let mut files: Vec<(String, u64)> =
        layout.files.iter().map(|file| (file.name.clone(), file.bytes())).collect();
    if let Some(index) = layout.index() {
        files.push((INDEX_NAME.to_owned(), json::document(&index).len() as u64));
    }
    let mut config = config(prepared);
    if let Some(code) = prepared.model.target.exact_code().filter(|_| options.exact_code) {
        let mut auto_map = Map::new();
        auto_map.insert(code.auto_class.to_owned(), json!(code.class));
        config.insert("auto_map".to_owned(), Value::Object(auto_map));
        staging.write(code.file, code.text.as_bytes())?;
        files.push((code.file.to_owned(), code.text.len() as u64));
    }
    for (name, value) in [
        ("config.json", Value::Object(config)),
        ("preprocessor_config.json", prepared.model.processor.clone()),
    ] {
        let text = json::document(&value);
        staging.write(name, text.as_bytes())?;
        files.push((name.to_owned(), text.len() as u64));
    }
    Ok(Written { staging, files })
}

/// The whole `config.json`: the family's part, the labels, the dtype.
pub fn config(prepared: &Prepared) -> Map<String, Value> {
    let mut config = prepared.model.config.clone();
    if let Some(labels) = &prepared.model.labels {
        let by_id: Map<String, Value> =
            labels.value.iter().enumerate().map(|(id, label)| (id.to_string(), json!(label))).collect();
        let by_label: Map<String, Value> =
            labels.value.iter().enumerate().map(|(id, label)| (label.clone(), json!(id))).collect();
        config.insert("id2label".to_owned(), Value::Object(by_id));
        config.insert("label2id".to_owned(), Value::Object(by_label));
    }
    config.insert("torch_dtype".to_owned(), json!(torch_dtype(&prepared.plan)));
    config.insert("transformers_version".to_owned(), json!(TRANSFORMERS_VERSION));
    config
}

/// PyTorch's name of the dtype that most float bytes of a plan have.
pub(crate) fn torch_dtype(plan: &Plan) -> &'static str {
    let bytes_of = |dtype: Dtype| -> u64 {
        plan.targets.iter().filter(|target| target.dtype == dtype).map(|target| target.bytes()).sum()
    };
    let names = [
        (Dtype::F32, "float32"),
        (Dtype::F16, "float16"),
        (Dtype::BF16, "bfloat16"),
        (Dtype::F64, "float64"),
    ];
    let most = names.into_iter().max_by_key(|(dtype, name)| (bytes_of(*dtype), *name == "float32"));
    most.map_or("float32", |(_, name)| name)
}
