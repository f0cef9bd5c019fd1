//! An adapter in a file or folder of its own, as peft's `save_pretrained` writes it: laid next to the weights that it was trained on.
//!
//! Its names begin with `base_model.model.`, and then with what stood before the network in the module that was trained, which need
//! not be what stands before it in the file of the weights. Layers that were trained as a whole have their own names there.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use vitport_checkpoint::{Checkpoint, Limits, Tensor, escape};

use super::{INSTEAD, half_of_pair, unread};
use crate::facts::{Fact, FactError, Origin};
use crate::pipeline::ConvertError;
use crate::plan::Dropped;
use crate::source::{Source, SourceError};
use crate::state_dict::{StateDict, without_wrappers};

/// Lists the names of the weights in an adapter's folder.
pub(super) const FILES: [&str; 2] = ["adapter_model.safetensors", "adapter_model.bin"];

/// Begins the names of an adapter.
const WRAPPED: &str = "base_model.model.";

/// Gives the keys of a config that count or name classes, which another head takes the place of.
const OF_CLASSES: [&str; 4] = ["num_classes", "label_names", "label_descriptions", "pretrained_cfg"];

/// Describes an adapter that was opened.
pub struct Adapter {
    /// Holds the path that was given.
    pub path: PathBuf,
    /// Holds its tensors.
    pub checkpoint: Checkpoint,
}

impl Adapter {
    /// Opens an adapter: its file, or a folder that holds it.
    ///
    /// # Errors
    /// Returns [`SourceError`] for a file that cannot be read or is refused.
    pub fn open(path: &Path, limits: &Limits) -> Result<Self, SourceError> {
        let of_folder = FILES.iter().map(|name| path.join(name)).find(|file| file.is_file());
        let checkpoint = Checkpoint::open_whole(of_folder.as_deref().unwrap_or(path), limits)?;
        Ok(Self { path: path.to_owned(), checkpoint })
    }
}

/// Holds a network with the tensors of an adapter next to its own.
#[derive(Debug, Default)]
pub(super) struct Laid {
    pub state_dict: StateDict,
    /// Lists layers in whose place the adapter has others.
    pub replaced: Vec<Dropped>,
    /// Says which adapter it is.
    pub fact: Option<Fact>,
}

/// Lays the adapter of a source next to the tensors of its network; without one, the network stays what it is. `outside` are the
/// tensors next to the network, of which the adapter may hold others.
///
/// # Errors
/// Returns [`FactError::NoTarget`] for an adapter of other weights, and [`SourceError`] for one that cannot be read.
pub(super) fn laid(
    source: &mut Source,
    state_dict: &StateDict,
    outside: &mut [Arc<Tensor>],
) -> Result<Laid, ConvertError> {
    let Source { adapter, checkpoint, config, .. } = source;
    let Some(adapter) = adapter else {
        return Ok(Laid { state_dict: state_dict.clone(), ..Laid::default() });
    };
    let tensors = adapter.checkpoint.tensors();
    let prefix = prefix(tensors, state_dict)?;
    let mut entries: Vec<(Arc<str>, Arc<Tensor>)> = state_dict.entries().cloned().collect();
    let mut replaced = Vec::new();
    let mut has_another_head = false;
    for tensor in tensors {
        let mut bytes = vec![0; usize::try_from(tensor.bytes()).unwrap_or(usize::MAX)];
        adapter.checkpoint.read(tensor, 0, &mut bytes).map_err(SourceError::from)?;
        let own = own_name(tensor);
        if is_said_twice(own, tensors) {
            continue;
        }
        let mut added = |name: &str| {
            let added = checkpoint.add(name.into(), tensor.dtype, &tensor.shape, &bytes);
            added.map(Arc::new).map_err(SourceError::from)
        };
        let Some(bare) = own.strip_prefix(&prefix).map(without_wrappers) else {
            let Some(place) = outside.iter_mut().find(|place| *place.name == *own) else {
                return Err(unread(&tensor.name, "a layer that the weights do not have").into());
            };
            has_another_head |= place.shape != tensor.shape;
            replaced.push(in_place_of(own.to_owned(), place));
            *place = added(own)?;
            continue;
        };
        match state_dict.entry(&bare) {
            Some((number, old)) => {
                has_another_head |= old.shape != tensor.shape;
                replaced.push(in_place_of(format!("{}{bare}", state_dict.prefix()), old));
                if let Some(entry) = entries.get_mut(number) {
                    entry.1 = added(&tensor.name)?;
                }
            }
            None => entries.push((Arc::from(&*bare), added(&tensor.name)?)),
        }
    }
    // What the config of the weights says of classes is said of the head that was there before.
    if let Some(config) = config.as_mut().filter(|_| has_another_head) {
        forget_classes(&mut config.values);
    }
    let state_dict = StateDict::from_entries(entries).with_taken_prefix(state_dict.prefix());
    Ok(Laid { state_dict, replaced, fact: Some(fact(adapter)?) })
}

/// Returns what is said of a tensor in whose place the adapter has another.
fn in_place_of(name: String, tensor: &Tensor) -> Dropped {
    let reason = "the adapter's own was trained in its place".to_owned();
    Dropped { name, tensors: 1, bytes: tensor.bytes(), reason }
}

/// Returns a tensor's name in the module that was trained.
fn own_name(tensor: &Tensor) -> &str {
    tensor.name.strip_prefix(WRAPPED).unwrap_or(&tensor.name)
}

/// Returns whether a tensor of a layer that was trained as a whole stands in the adapter under the layer's own name too: with
/// `bias="all"` peft writes the biases of such a layer, and those that it had before, once more under its wrapper's names.
fn is_said_twice(own: &str, tensors: &[Arc<Tensor>]) -> bool {
    [".modules_to_save.", ".original_module."].into_iter().filter_map(|part| own.split_once(part)).any(
        |(layer, parameter)| {
            let name = format!("{layer}.{parameter}");
            tensors.iter().any(|tensor| own_name(tensor) == name)
        },
    )
}

/// Returns what stands before the network's names in the adapter: the shortest beginning behind which every layer of it has a weight.
///
/// # Errors
/// Returns [`FactError::NoTarget`] if there is none.
fn prefix(tensors: &[Arc<Tensor>], state_dict: &StateDict) -> Result<String, FactError> {
    let layers: Vec<(&str, &Tensor)> =
        tensors.iter().filter_map(|tensor| Some((half_of_pair(own_name(tensor))?.0, &**tensor))).collect();
    let Some((first, of_first)) = layers.first() else {
        let tensor = tensors.first().map(|tensor| tensor.name.to_string());
        return Err(FactError::NoTarget {
            what: "the adapter given with --adapter".to_owned(),
            why: "it holds no LoRA weights".to_owned(),
            tensor,
            instead: format!(
                "give peft's adapter_model.safetensors, or its folder; of another method, {INSTEAD}"
            ),
        });
    };
    let starts = std::iter::once(0).chain(first.match_indices('.').map(|(at, _)| at + 1));
    let has_weight = |layer: &str, prefix: &str| {
        layer.strip_prefix(prefix).is_some_and(|layer| state_dict.has(&format!("{layer}.weight")))
    };
    let fits = |prefix: &&str| layers.iter().all(|(layer, _)| has_weight(layer, prefix));
    let found = starts.filter_map(|at| first.get(..at)).find(fits);
    found.map(str::to_owned).ok_or_else(|| {
        let missing =
            layers.iter().find(|(layer, _)| !has_weight(layer, "")).map_or(*of_first, |(_, it)| *it);
        FactError::NoTarget {
            what: "an adapter of other weights than the source's".to_owned(),
            why: "the source has no weight that it is added to".to_owned(),
            tensor: Some(missing.name.to_string()),
            instead: "give as SOURCE the weights that it was trained on, in the names that they had then"
                .to_owned(),
        }
    })
}

/// Takes what is said of classes out of a config.
fn forget_classes(values: &mut Map<String, Value>) {
    for key in OF_CLASSES {
        match values.get_mut(key) {
            Some(Value::Object(inner)) => inner.retain(|key, _| !OF_CLASSES.contains(&&**key)),
            _ => drop(values.remove(key)),
        }
    }
    if let Some(Value::Object(arguments)) = values.get_mut("model_args") {
        arguments.remove("num_classes");
    }
}

/// Names the adapter and its hash, since only the weights' file is hashed elsewhere.
fn fact(adapter: &Adapter) -> Result<Fact, SourceError> {
    let mut hash = Sha256::new();
    for tensor in adapter.checkpoint.tensors() {
        hash.update(tensor.name.as_bytes());
        hash.update(adapter.checkpoint.sha256_of_tensor(tensor)?);
    }
    let hash: String = hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let name = adapter.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let value = format!("{}, {} tensors, {hash}", escape(&name), adapter.checkpoint.tensors().len());
    Ok(Fact::new("adapter", value, Origin::Request("--adapter")))
}
