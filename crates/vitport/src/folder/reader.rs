//! Opens a transformers folder that exists, to be verified or used: its two documents and its weights.

use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::Value;
use vitport_checkpoint::{Checkpoint, Limits, open_regular};

use super::error::{FolderError, Result};
use super::loading;

/// Holds an opened model folder.
#[derive(Debug)]
pub struct Folder {
    /// Says where it is.
    pub path: PathBuf,
    /// Holds `config.json`, an object.
    pub config: Value,
    /// Holds `preprocessor_config.json`, an object; `None` when the folder has none.
    pub processor: Option<Value>,
    /// Holds the weights: `model.safetensors`, its shards, or `pytorch_model.bin`, whichever comes first, under the names of version 4.
    pub checkpoint: Checkpoint,
    /// Says what transformers does not load of the weights, or loads otherwise than [`Folder::checkpoint`] has it.
    pub weights_findings: Vec<String>,
    /// Says why one version of transformers finds no weights where another does.
    pub of_one_version: Option<String>,
}

/// Gives the largest document that is read, in bytes. 22,000 class names, twice, take 2 MB.
const MAX_DOCUMENT: u64 = crate::source::MAX_CONFIG_BYTES;

impl Folder {
    /// Opens the folder at `path`. No weight is read yet.
    ///
    /// # Errors
    /// Of class source when the folder or a document is missing or unreadable, a document is not a JSON object, or the
    /// weights are refused.
    pub fn open(path: &Path, limits: &Limits) -> Result<Self> {
        let config = document(&path.join("config.json"))?.ok_or_else(|| FolderError::Unreadable {
            path: path.to_owned(),
            why: if path.is_dir() { "has no config.json" } else { "is not a folder" }.to_owned(),
            advice: "give a folder that vitport convert or transformers wrote",
        })?;
        let processor = document(&path.join("preprocessor_config.json"))?;
        let mut checkpoint = Checkpoint::open(path, limits)?;
        let keys = config.as_object().cloned().unwrap_or_default();
        let weights_findings = loading::weights::findings(path, &keys, &checkpoint, limits);
        let left_out = loading::weights::left_out_of_names(&keys, &checkpoint);
        let of_one_version = left_out.map(|prefix| {
            checkpoint.prepend(prefix);
            format!(
                "the names of the tensors leave out `{prefix}`, as transformers writes them from 5.6 on, and transformers 4 finds none of \
                 them: it would run a network that is not trained"
            )
        });
        let path = path.to_owned();
        Ok(Folder { path, config, processor, checkpoint, weights_findings, of_one_version })
    }

    /// Returns whether the folder holds a file of this name, whatever it is.
    pub fn has(&self, name: &str) -> bool {
        self.path.join(name).exists()
    }

    /// Returns the bytes of a small file of the folder; none if there is no such file, or it is large or cannot be read.
    pub fn file(&self, name: &str) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        let file = open_regular(&self.path.join(name)).ok()?;
        file.take(MAX_DOCUMENT + 1).read_to_end(&mut bytes).ok()?;
        (bytes.len() as u64 <= MAX_DOCUMENT).then_some(bytes)
    }
}

/// Reads a JSON object from a file; `None` when there is no such file.
fn document(path: &Path) -> Result<Option<Value>> {
    let unreadable = |why: String| FolderError::Unreadable {
        path: path.to_owned(),
        why,
        advice: "write the folder again or restore the file",
    };
    let file = match open_regular(path) {
        Ok(file) => file,
        Err(error)
            if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(unreadable(format!("cannot be opened ({error})"))),
    };
    let mut bytes = Vec::new();
    file.take(MAX_DOCUMENT + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| unreadable(format!("cannot be read ({error})")))?;
    if bytes.len() as u64 > MAX_DOCUMENT {
        return Err(unreadable(format!("has more than {MAX_DOCUMENT} bytes")));
    }
    match serde_json::from_slice(&bytes) {
        Ok(value @ Value::Object(_)) => Ok(Some(value)),
        Ok(_) => Err(unreadable("is JSON but not an object".to_owned())),
        Err(error) => Err(unreadable(format!("is not JSON ({error})"))),
    }
}
