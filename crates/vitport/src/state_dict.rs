//! The part of a checkpoint that is one network's state dict, under the names its own framework gave them.
//!
//! Training tools wrap networks (`DataParallel` puts `module.` before every name, `torch.compile` `_orig_mod.`,
//! Lightning often `model.`), so the names in a file may have a prefix that is no part of the network. A [`StateDict`]
//! knows the bare names, and each [`Tensor`] in it keeps the name that the file has for it.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use vitport_checkpoint::{Checkpoint, Tensor};

/// Lists the prefixes that wrappers put before every name, tried repeatedly and in any order.
///
/// `module.`: torch.nn.DataParallel and DistributedDataParallel; `_orig_mod.`: torch.compile; `model.`, `net.`,
/// `network.`: Lightning modules and the like; `backbone.`, `encoder.`, `student.`, `teacher.`: self-supervised training
/// code (DINO, MoCo, MAE) and feature extractors; `visual.`, `vit.`, `trunk.`: towers of larger models; `opt/target/`,
/// `params/`, `img/`: Flax, as timm takes them off (`_load_weights` in timm/models/vision_transformer.py).
pub const WRAPPER_PREFIXES: [&str; 15] = [
    "module.",
    "_orig_mod.",
    "model.",
    "net.",
    "network.",
    "backbone.",
    "encoder.",
    "student.",
    "teacher.",
    "visual.",
    "vit.",
    "trunk.",
    "opt/target/",
    "params/",
    "img/",
];

/// Holds the tensors of one network by their bare names, in the file's order.
#[derive(Debug, Clone, Default)]
pub struct StateDict {
    entries: Vec<(Arc<str>, Arc<Tensor>)>,
    positions: HashMap<Arc<str>, usize, RandomState>,
    prefix: String,
}

impl StateDict {
    /// Returns the selected root of a checkpoint, without the wrapper prefixes under which a network lies that
    /// `is_recognised` knows.
    ///
    /// The shortest prefix chain wins. Names outside the prefix keep their full name, so that a plan reports them
    /// instead of losing them. If nothing is recognised under any prefix, the names are kept as they are.
    pub fn of(checkpoint: &Checkpoint, is_recognised: impl Fn(&StateDict) -> bool) -> Self {
        let tensors = checkpoint.tensors();
        let bare = Self::with_prefix(tensors, "");
        if is_recognised(&bare) {
            return bare;
        }
        let mut queue = vec![String::new()];
        let mut tried = 0;
        while let Some(prefix) = queue.get(tried).cloned() {
            tried += 1;
            for wrapper in WRAPPER_PREFIXES {
                let longer = format!("{prefix}{wrapper}");
                if queue.contains(&longer) || !tensors.iter().any(|t| t.name.starts_with(&longer)) {
                    continue;
                }
                let candidate = Self::with_prefix(tensors, &longer);
                if is_recognised(&candidate) {
                    return candidate;
                }
                queue.push(longer);
            }
        }
        bare
    }

    /// Returns the tensors under `prefix` by the rest of their names; all others by their full names.
    ///
    /// A full name that meets a bare one (`head.weight` next to `module.head.weight`) stays reachable: the prefixed tensor
    /// keeps the bare name, the other one is listed after `(outside the prefix) `.
    fn with_prefix(tensors: &[Arc<Tensor>], prefix: &str) -> Self {
        let mut dict = StateDict { prefix: prefix.to_owned(), ..StateDict::default() };
        let mut outside = Vec::new();
        for tensor in tensors {
            match tensor.name.strip_prefix(prefix) {
                Some(_) if prefix.is_empty() => dict.insert(Arc::clone(&tensor.name), Arc::clone(tensor)),
                Some(bare) => dict.insert(bare.into(), Arc::clone(tensor)),
                None => outside.push(tensor),
            }
        }
        for tensor in outside {
            let name = match dict.has(&tensor.name) {
                true => format!("(outside the prefix) {}", tensor.name).into(),
                false => Arc::clone(&tensor.name),
            };
            dict.insert(name, Arc::clone(tensor));
        }
        dict
    }

    /// Returns a state dict made of given entries; a repeated name replaces the earlier one.
    pub fn from_entries<N, T>(entries: impl IntoIterator<Item = (N, T)>) -> Self
    where
        N: Into<Arc<str>>,
        T: Into<Arc<Tensor>>,
    {
        let mut dict = Self::default();
        for (name, tensor) in entries {
            dict.insert(name.into(), tensor.into());
        }
        dict
    }

    fn insert(&mut self, name: Arc<str>, tensor: Arc<Tensor>) {
        let next = self.entries.len();
        let position = *self.positions.entry(Arc::clone(&name)).or_insert(next);
        match self.entries.get_mut(position) {
            Some(entry) => entry.1 = tensor,
            None => self.entries.push((name, tensor)),
        }
    }

    /// Returns the wrapper prefix that was taken off, empty if none was.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Returns why a tensor is none of the network's, where the layout says so: under one of Flax's prefixes, whatever lies next
    /// to it, such as an optimizer's `opt/state/`, which timm's `_load_weights` does not look at either.
    pub fn outside(&self, tensor: &Tensor) -> Option<String> {
        let is_outside = self.prefix.ends_with('/') && !tensor.name.starts_with(&self.prefix);
        is_outside.then(|| format!("not under {}, where the network's arrays are", self.prefix))
    }

    /// Returns the tensor of that bare name.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.entry(name).map(|(_, tensor)| &**tensor)
    }

    /// Returns the shape of the tensor of that bare name.
    pub fn shape(&self, name: &str) -> Option<&[u64]> {
        self.get(name).map(|tensor| tensor.shape.as_slice())
    }

    /// Returns whether a tensor of that bare name exists.
    pub fn has(&self, name: &str) -> bool {
        self.entry(name).is_some()
    }

    /// Returns the position of a name in the file's order, and its tensor.
    pub fn entry(&self, name: &str) -> Option<(usize, &Arc<Tensor>)> {
        let position = *self.positions.get(name)?;
        self.entries.get(position).map(|(_, tensor)| (position, tensor))
    }

    /// Returns bare names and tensors in the file's order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.entries.iter().map(|(name, tensor)| (&**name, &**tensor))
    }

    /// Returns bare names and tensors, to be shared, in the file's order.
    pub fn entries(&self) -> impl Iterator<Item = &(Arc<str>, Arc<Tensor>)> {
        self.entries.iter()
    }

    /// Returns the number of tensors.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns whether there is no tensor at all.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}
