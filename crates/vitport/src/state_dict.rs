//! The part of a checkpoint that is one network's state dict, under the names its own framework gave them.
//!
//! Training tools wrap networks (`DataParallel` puts `module.` before every name, `torch.compile` `_orig_mod.`,
//! Lightning often `model.`), so the names in a file may have a prefix that is no part of the network. A [`StateDict`]
//! knows the bare names, and each [`Tensor`] in it keeps the name that the file has for it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use vitport_checkpoint::Tensor;

/// Lists the parts of names that wrappers put anywhere: torch.compile, FSDP, activation checkpointing, DeepSpeed under Lightning.
const WRAPPERS: [&str; 4] =
    ["_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.", "_forward_module."];

/// Holds the part of names that peft puts before the last one of a layer with adapters.
const ADAPTED: &str = ".base_layer.";

/// Returns a name without the parts that wrappers put into it.
pub fn without_wrappers(name: &str) -> Cow<'_, str> {
    let mut bare = Cow::Borrowed(name);
    if !name.contains("_orig_mod.") && !name.contains("_module.") && !name.contains(ADAPTED) {
        return bare;
    }
    for wrapper in WRAPPERS {
        while let Some(at) = bare
            .match_indices(wrapper)
            .map(|(at, _)| at)
            .find(|at| *at == 0 || bare.as_bytes().get(at - 1) == Some(&b'.'))
        {
            bare = Cow::Owned(format!(
                "{}{}",
                bare.get(..at).unwrap_or_default(),
                bare.get(at + wrapper.len()..).unwrap_or_default()
            ));
        }
    }
    match bare.rsplit_once(ADAPTED) {
        Some((layer, parameter)) if !parameter.contains('.') => Cow::Owned(format!("{layer}.{parameter}")),
        _ => bare,
    }
}

/// Holds the tensors of one network by their bare names, in the file's order.
#[derive(Debug, Clone, Default)]
pub struct StateDict {
    entries: Vec<(Arc<str>, Arc<Tensor>)>,
    positions: HashMap<Arc<str>, usize, RandomState>,
    prefix: String,
}

impl StateDict {
    /// Returns the tensors whose names begin with `prefix`, by the rest of their names, without what wrappers put into them.
    pub fn under(tensors: &[Arc<Tensor>], prefix: &str) -> Self {
        let mut dict = StateDict { prefix: prefix.to_owned(), ..StateDict::default() };
        for tensor in tensors {
            match tensor.name.strip_prefix(prefix).map(without_wrappers) {
                Some(bare) if bare.len() == tensor.name.len() => {
                    dict.insert(Arc::clone(&tensor.name), Arc::clone(tensor));
                }
                Some(bare) => dict.insert(bare.as_ref().into(), Arc::clone(tensor)),
                None => {}
            }
        }
        dict
    }

    /// Returns the same with the prefix that was taken off its names.
    #[must_use]
    pub fn with_taken_prefix(self, prefix: &str) -> Self {
        Self { prefix: prefix.to_owned(), ..self }
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
