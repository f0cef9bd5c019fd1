//! Writes a planned conversion into a temporary folder, which the caller publishes or drops.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::error::ConvertError;
use crate::folder::layout::{FileLayout, INDEX_NAME};
use crate::folder::publish::{Options, Staging};
use crate::folder::{self, gather, json};
use crate::model::Prepared;

/// Says how a folder is to be written.
#[derive(Debug, Clone, Copy)]
pub struct WriteOptions {
    /// Limits the bytes of tensors in one weight file.
    pub max_shard_size: u64,
    /// Says whether an existing model folder is replaced.
    pub force: bool,
    /// Says whether the files are on the disk before the folder gets its name.
    pub fsync: bool,
    /// Says whether code that gives the source's exact network is added, where the target has some.
    pub exact_code: bool,
}

/// Describes a folder that is written and not yet published.
pub struct Written {
    /// Gives the temporary folder.
    pub staging: Staging,
    /// Lists names and sizes in bytes of its files.
    pub files: Vec<(String, u64)>,
}

impl Written {
    /// Adds a small file.
    ///
    /// # Errors
    /// Returns [`folder::FolderError`] if it is there already or cannot be written.
    pub fn add(&mut self, name: &str, contents: &[u8]) -> Result<(), folder::FolderError> {
        self.staging.write(name, contents)?;
        self.files.push((name.to_owned(), contents.len() as u64));
        Ok(())
    }
}

/// Writes weights, config and image processor into a temporary folder next to `out`. `progress` is called from several
/// threads with the number of bytes written since its last call.
///
/// # Errors
/// Returns [`ConvertError::Folder`]. Nothing is left behind.
pub fn write(
    prepared: &Prepared,
    out: &Path,
    options: WriteOptions,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Written, ConvertError> {
    let layout = FileLayout::new(&prepared.plan, options.max_shard_size)?;
    let protected: Vec<PathBuf> =
        prepared.source.checkpoint.files().iter().map(|file| file.path.clone()).collect();
    let staging = Staging::begin(out, &protected, Options { force: options.force, fsync: options.fsync })?;
    gather::write_weights(&prepared.source.checkpoint, &layout, staging.path(), staging.syncing(), progress)?;
    let mut files: Vec<(String, u64)> =
        layout.files.iter().map(|file| (file.name.clone(), file.bytes())).collect();
    if let Some(index) = layout.index() {
        files.push((INDEX_NAME.to_owned(), json::document(&index).len() as u64));
    }
    let mut config = prepared.config();
    if let Some(code) = prepared.model.target.exact_code().filter(|_| options.exact_code) {
        let mut auto_map = Map::new();
        auto_map.insert(code.auto_class.to_owned(), json!(code.class));
        config.insert("auto_map".to_owned(), Value::Object(auto_map));
        staging.write(code.file, code.text.as_bytes())?;
        files.push((code.file.to_owned(), code.text.len() as u64));
    }
    let processor = prepared.model.processor.clone();
    let documents = [("config.json", Some(Value::Object(config))), ("preprocessor_config.json", processor)];
    for (name, value) in documents.into_iter().filter_map(|(name, value)| Some((name, value?))) {
        let text = json::document(&value);
        staging.write(name, text.as_bytes())?;
        files.push((name.to_owned(), text.len() as u64));
    }
    Ok(Written { staging, files })
}
