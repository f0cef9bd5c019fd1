//! Says which files of a folder a conversion writes. Whatever else lies in a folder is somebody's, and is never deleted.

use std::fs::{self, DirEntry};
use std::io;
use std::path::{Path, PathBuf};

use super::error::{FolderError, Result};
use super::kept;
use super::layout::{INDEX_NAME, is_weight_file};
use super::npz;
use crate::frameworks::TARGETS;
use crate::verify::is_report;

/// Lists the documents of a folder, and the archive of one for JAX.
const DOCUMENTS: [&str; 4] = ["config.json", "preprocessor_config.json", INDEX_NAME, npz::ARCHIVE_NAME];

/// Is a key of the `config.json` of a folder for another framework, and its value: who made it, so that it may be replaced.
pub(crate) const MADE_BY: (&str, &str) = ("made_by", "vitport");

/// Returns the name of the first entry of a folder that no conversion writes and that is not kept; none if there is none.
pub(super) fn first_foreign(folder: &Path) -> Result<Option<PathBuf>> {
    let failed = |cause| FolderError::disk("list", folder)(cause);
    let mut foreign = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if !is_written(&entry).map_err(failed)? {
            foreign.push(PathBuf::from(entry.file_name()));
        }
    }
    Ok(foreign.into_iter().min())
}

/// Returns whether a conversion writes an entry of that name and kind, or keeps it. A link is never written.
fn is_written(entry: &DirEntry) -> io::Result<bool> {
    let (name, kind) = (entry.file_name(), entry.file_type()?);
    if kept::is_kept(&name, kind) {
        return Ok(true);
    }
    if !kind.is_file() {
        return Ok(false);
    }
    let Some(name) = name.to_str() else { return Ok(false) };
    let mut code = TARGETS.iter().filter_map(|target| target.exact_code());
    Ok(DOCUMENTS.contains(&name)
        || is_weight_file(name)
        || code.any(|code| code.file == name)
        || (entry.metadata()?.len() > 0 && is_report(&entry.path())))
}

/// Returns whether `config.json` of a folder is that of a transformers model, or says that vitport made it: other people's hub folders of timm,
/// and many that hold no model, have a file of that name, too.
pub(super) fn has_model_config(folder: &Path) -> bool {
    let path = folder.join("config.json");
    let is_file = fs::symlink_metadata(&path).is_ok_and(|config| config.is_file());
    let text = if is_file { fs::read(&path).unwrap_or_default() } else { Vec::new() };
    let config = serde_json::from_slice::<serde_json::Value>(&text).unwrap_or_default();
    let (key, maker) = MADE_BY;
    config.get("model_type").is_some_and(serde_json::Value::is_string)
        || config.get(key).is_some_and(|made_by| made_by == maker)
}
