//! Which weights transformers loads from a folder, and whether it can.
//!
//! | rule | v4: modeling_utils.py | v5: modeling_utils.py |
//! |---|---|---|
//! | `transformers_weights` of config.json names the file, before all others | 4869–4879, 918–921 | 4330, 574–590 |
//! | otherwise model.safetensors, model.safetensors.index.json, pytorch_model.bin, pytorch_model.bin.index.json, and no other name | 935–964, 988–993 | 591–629 |
//! | an index has `metadata`, an object, and `weight_map` (utils/hub.py) | 1069–1075 | 965–971 |
//! | `dtype` of an index's `metadata` is obeyed | – | 834–835 |
//! | tensors that `weight_map` does not list are missing, so they are random | 5310–5311 | – |
//! | all files that `weight_map` names are read in the order of their names, a later one over an earlier one | 5452 | 4552–4578 |
//! | a file is safetensors if its name says so, and is otherwise unpickled | 483, 526–531 | 334, 357–364 |
//! | the `format` of safetensors metadata is `pt` or `mlx`, or there is no metadata at all | 487–491, 4925–4946 | not read |
//! | a buffer that is not in the file keeps what the class computes, since none is made on the meta device | 4377, 5844–5848 | not read (models/swin/modeling_swin.py) |
//! | names of CLIP's and SigLIP's towers with or without `vision_model.` | with alone | 5.6 and later: both, and writes them without |
//! | a pickle is read by `torch.load(mmap=True, weights_only=True)`, which takes compressed records as they are and knows the opcodes of protocol 2 | 526–531 | 357–364 |
//! | a pickle holds tensors by their names, and only classes that `torch.load(weights_only=True)` accepts | 526–531 | 357–364 |

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde_json::{Map, Value};
use vitport_checkpoint::{Checkpoint, Container, FileEvidence, Limits, escape};

use crate::plan::{Part, Target};

/// Lists the names that are looked for, in their order.
const NAMES: [&str; 4] = [
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
];

/// Lists what `torch.load(weights_only=True)` builds tensors from (torch/_weights_only_unpickler.py, `_get_allowed_globals`), as
/// far as files of weights have it.
const UNPICKLED: [(&str, &[&str]); 5] = [
    ("collections", &["OrderedDict"]),
    ("torch._utils", &["_rebuild_tensor_v2", "_rebuild_parameter", "_rebuild_tensor"]),
    ("torch.nn.parameter", &["Parameter"]),
    ("torch.storage", &["UntypedStorage", "TypedStorage"]),
    ("torch", &["Size", "Tensor", "device"]),
];

/// Gives the highest pickle protocol of which `torch.load(weights_only=True)` knows every opcode (torch/_weights_only_unpickler.py).
const PROTOCOL: u8 = 2;

/// Returns whether a tensor that a conversion writes may be missing: a buffer of values that the class computes by itself, and that version
/// 5 does not save.
pub fn may_be_missing(tensor: &Target) -> bool {
    tensor.parts.iter().all(|part| matches!(part, Part::WindowDistances { .. }))
}

/// Returns what is wrong with the weights of a folder, by what transformers does with them. `checkpoint` is what lies there.
pub fn findings(
    folder: &Path,
    config: &Map<String, Value>,
    checkpoint: &Checkpoint,
    limits: &Limits,
) -> Vec<String> {
    let name = NAMES.into_iter().find(|name| folder.join(name).is_file());
    let mut found = Vec::from_iter(named(config, name));
    let Some(name) = name else {
        found.push(format!(
            "transformers finds no weights: it looks for {} and for no other name",
            NAMES.join(", ")
        ));
        return found;
    };
    if name.ends_with(".index.json") {
        found.extend(of_index(folder, name, checkpoint, limits));
    }
    let files: Vec<&Path> = checkpoint.files().iter().map(|file| file.path.as_path()).collect();
    match name.starts_with("model.") {
        true => found.extend(of_safetensors(&files, checkpoint, limits)),
        false => found.extend(of_pickle(&files, checkpoint)),
    }
    found
}

/// Lists the classes whose names begin with a part that transformers leaves out from 5.6 on (core_model_loading.py brings them together);
/// version 4 finds the weights under the whole names only.
const SHORTER_NAMES: [(&str, &str); 2] =
    [("CLIPVisionModel", "vision_model."), ("SiglipVisionModel", "vision_model.")];

/// Returns what the names of a folder leave out as transformers writes them from 5.6 on.
pub fn left_out_of_names(config: &Map<String, Value>, checkpoint: &Checkpoint) -> Option<&'static str> {
    let class = config.get("architectures")?.get(0)?.as_str()?;
    let (_, prefix) = SHORTER_NAMES.into_iter().find(|(shorter, _)| *shorter == class)?;
    let names = || checkpoint.tensors().iter().map(|tensor| &tensor.name);
    let is_left_out =
        names().any(|name| name.starts_with("embeddings.")) && !names().any(|name| name.starts_with(prefix));
    is_left_out.then_some(prefix)
}

/// Returns what `transformers_weights` does, unless it names the file that is taken anyway.
fn named(config: &Map<String, Value>, name: Option<&str>) -> Option<String> {
    let value = config.get("transformers_weights").filter(|value| !value.is_null())?;
    let is_same = name.is_some_and(|name| value.as_str() == Some(name)) && name != Some("pytorch_model.bin");
    (!is_same).then(|| format!("config.json: transformers_weights makes transformers load {value} instead"))
}

/// Returns what an index says that is not so, or that transformers needs and does not find.
fn of_index(folder: &Path, name: &str, checkpoint: &Checkpoint, limits: &Limits) -> Vec<String> {
    let Some(Value::Object(index)) = read_json(&folder.join(name), limits.max_header_bytes) else {
        return vec![format!("not verified: {name} cannot be read as a JSON object")];
    };
    let mut found = Vec::new();
    match index.get("metadata") {
        Some(Value::Object(metadata)) => {
            let obeyed =
                metadata.get("dtype").map(|value| super::not_verified(name, "metadata.dtype", value));
            found.extend(obeyed);
        }
        _ => found
            .push(format!("{name} has no object \"metadata\", without which transformers opens no shards")),
    }
    let listed: BTreeSet<&str> = match index.get("weight_map") {
        Some(Value::Object(map)) => map.keys().map(String::as_str).collect(),
        _ => BTreeSet::new(),
    };
    let unlisted: Vec<&str> = checkpoint
        .tensors()
        .iter()
        .map(|tensor| &*tensor.name)
        .filter(|name| !listed.contains(name))
        .collect();
    if let Some(first) = unlisted.first() {
        found.push(format!(
            "the weight_map of {name} lists {} tensors less than there are ({}), which transformers 4 leaves at random",
            unlisted.len(),
            escape(first)
        ));
    }
    found
}

/// Returns what a safetensors file, or one of its shards, is refused for.
fn of_safetensors(files: &[&Path], checkpoint: &Checkpoint, limits: &Limits) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(container) = container(checkpoint).filter(|found| *found != Container::Safetensors) {
        found
            .push(format!("the weights are a {container}, and transformers reads their name as safetensors"));
        return found;
    }
    let mut seen = BTreeSet::new();
    for file in files {
        let shown = escape(&file.file_name().unwrap_or_default().to_string_lossy()).to_string();
        if file.extension().is_none_or(|ending| ending != "safetensors") {
            found.push(format!(
                "transformers reads {shown} as a pickle, since its name does not end in .safetensors"
            ));
        }
        let Some(header) = header(file, limits) else {
            found.push(format!("not verified: the header of {shown} cannot be read"));
            continue;
        };
        let format = match header.get("__metadata__") {
            None | Some(Value::Null) => None,
            Some(metadata) => Some(metadata.get("format").unwrap_or(&Value::Null)),
        };
        if let Some(format) = format.filter(|format| !["pt", "mlx"].map(Some).contains(&format.as_str())) {
            found.push(match format {
                Value::Null => {
                    format!("the metadata of {shown} has no \"format\", and transformers 4 refuses it")
                }
                format => {
                    format!("the metadata of {shown} has the format {}, not \"pt\"", super::shown(format))
                }
            });
        }
        let names = header.into_iter().map(|(name, _)| name).filter(|name| name != "__metadata__");
        let twice: Vec<String> = names.filter(|name| !seen.insert(name.clone())).collect();
        if let Some(first) = twice.first() {
            found.push(format!(
                "the tensor {} lies in two shards, and transformers takes the last",
                escape(first)
            ));
        }
    }
    found
}

/// Returns what a pickled file is refused for.
fn of_pickle(files: &[&Path], checkpoint: &Checkpoint) -> Vec<String> {
    let mut found = Vec::new();
    let evidence = checkpoint.evidence();
    let is_named_safetensors = |file: &&&Path| file.extension().is_some_and(|ending| ending == "safetensors");
    if let Some(file) = files.iter().find(is_named_safetensors) {
        let shown = escape(&file.file_name().unwrap_or_default().to_string_lossy()).to_string();
        found.push(format!("transformers reads {shown} as safetensors by its name, and it is none"));
    }
    found.extend(evidence.unlike_torch.iter().map(|what| format!("the weights: {what}")));
    if let Some(protocol) = evidence.pickle_protocol.filter(|protocol| *protocol > PROTOCOL) {
        found.push(format!(
            "the weights are pickled by protocol {protocol}, and torch.load(weights_only=True) knows protocol {PROTOCOL}; save them with torch.save, which takes {PROTOCOL} by default"
        ));
    }
    let is_read = [Container::TorchZip, Container::TorchLegacy];
    if let Some(container) = evidence.container.filter(|container| !is_read.contains(container)) {
        found.push(format!("transformers does not unpickle the weights, which are a {container}"));
    }
    found.extend(strange_global(evidence));
    let root = &checkpoint.root().path;
    if !root.is_empty() {
        found.push(format!("the tensors lie under `{}`, where transformers does not look", escape(root)));
    } else if checkpoint.all_tensors().len() != checkpoint.tensors().len()
        || !checkpoint.metadata().is_empty()
    {
        found.push("not verified: the weights hold more than tensors by their names".to_owned());
    }
    if evidence.notes.iter().any(|note| note.contains("lies in two shards")) {
        found.push("a tensor lies in two shards, and transformers takes the last".to_owned());
    }
    found
}

/// Returns the first class that a pickle names and `torch.load` refuses.
fn strange_global(evidence: &FileEvidence) -> Option<String> {
    let is_accepted = |module: &str, name: &str| {
        let is_storage = ["torch", "torch.storage"].contains(&module) && name.ends_with("Storage");
        is_storage || UNPICKLED.iter().any(|(known, names)| *known == module && names.contains(&name))
    };
    let strange = evidence.globals.iter().find(|global| !is_accepted(&global.module, &global.name))?;
    let (module, name) = (escape(&strange.module), escape(&strange.name));
    Some(format!("the weights name {module}.{name}, which torch.load does not accept in a file of weights"))
}

fn container(checkpoint: &Checkpoint) -> Option<Container> {
    checkpoint.evidence().container
}

/// Returns the header of a safetensors file; none if it is too long or cannot be read.
fn header(path: &Path, limits: &Limits) -> Option<Map<String, Value>> {
    let mut file = File::open(path).ok()?;
    let mut length = [0; 8];
    file.read_exact(&mut length).ok()?;
    let length = u64::from_le_bytes(length);
    let mut text = Vec::new();
    file.take(length.min(limits.max_header_bytes)).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

fn read_json(path: &Path, longest: u64) -> Option<Value> {
    let mut text = Vec::new();
    File::open(path).ok()?.take(longest).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}
