//! Holds a converted folder in memory, in which one thing can be changed before it is written to another place.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::tensors::Tensors;

/// Holds what a folder holds, and its source.
pub struct FolderFiles {
    pub weights: Tensors,
    pub config: Value,
    pub processor: Value,
    /// Says what the weight file says of its framework.
    pub format: &'static str,
    /// Holds further files.
    pub others: BTreeMap<&'static str, String>,
    /// Holds the tensors of a safetensors source.
    pub source: Option<Tensors>,
}

impl FolderFiles {
    pub fn read(folder: &Path, source: &Path) -> Self {
        let document =
            |name: &str| serde_json::from_slice(&std::fs::read(folder.join(name)).unwrap()).unwrap();
        let is_readable = source.extension().is_some_and(|extension| extension == "safetensors");
        Self {
            weights: Tensors::read(&folder.join("model.safetensors")),
            config: document("config.json"),
            processor: document("preprocessor_config.json"),
            format: "pt",
            others: BTreeMap::new(),
            source: is_readable.then(|| Tensors::read(source)),
        }
    }

    pub fn write(&self, folder: &Path) {
        std::fs::create_dir(folder).unwrap();
        self.weights.write(&folder.join("model.safetensors"), self.format);
        for (name, text) in &self.others {
            std::fs::write(folder.join(name), text).unwrap();
        }
        for (name, document) in [("config.json", &self.config), ("preprocessor_config.json", &self.processor)]
        {
            std::fs::write(folder.join(name), document.to_string()).unwrap();
        }
    }

    /// Leaves a key of the config out.
    pub fn forget(&mut self, key: &str) {
        self.config.as_object_mut().unwrap().remove(key);
    }

    /// Returns the width of the network's heads, by its config.
    pub fn head_size(&self) -> usize {
        let number = |key: &str| self.config[key].as_u64().unwrap() as usize;
        number("hidden_size") / number("num_attention_heads")
    }
}
