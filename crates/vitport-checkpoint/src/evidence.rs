//! What a file shows of itself besides its tensors: the container, who wrote it, what its pickle names.
//!
//! FileEvidence is for people and programs that must decide whether to trust a file. Reading it is safe: a
//! global that a pickle names is a pair of strings here and is never looked up, let alone called.

use std::collections::HashMap;
use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;

use crate::escape::escape;
use crate::tensor::Dims;

/// Limits the sentences that are kept.
const NOTES: usize = 64;

/// Holds everything noteworthy about a checkpoint's files.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct FileEvidence {
    /// Holds the kind of container; that of the shards when there is an index.
    pub container: Option<Container>,
    /// Counts the shards, when the weights are spread over several files by an index.
    pub shards: Option<usize>,
    /// Says what the container's own version record says, such as `3`.
    pub writer_version: Option<String>,
    /// Says what the byte order record says, such as `little`.
    pub byteorder: Option<String>,
    /// Holds the highest pickle protocol that a pickle declares.
    pub pickle_protocol: Option<u8>,
    /// Holds every global that a pickle names, in the order of the file.
    pub globals: Vec<Global>,
    /// Holds the first call that the pickles would make and that executes code or reaches processes, files or the network, as
    /// Python would write it; a name alone where such a function is named and not called. It was not made.
    pub dangerous_call: Option<String>,
    /// Lists what torch.save does not write, and torch.load therefore reads as other numbers or not at all, one sentence each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unlike_torch: Vec<String>,
    /// Lists tensors of kinds that have no plain elements, with their dotted paths.
    pub unsupported: Vec<Unsupported>,
    /// Is true when the file says more next to its weights, or in the settings of its modules, than is kept of it.
    pub is_cut: bool,
    /// Holds other things worth knowing, one sentence each.
    pub notes: Vec<String>,
}

/// Describes the kinds of container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Container {
    /// Means safetensors.
    Safetensors,
    /// Means PyTorch's zip (1.6 and later).
    TorchZip,
    /// Means a TorchScript archive.
    TorchScript,
    /// Means PyTorch's stream of pickles followed by raw storages (0.1.10 to 1.5).
    TorchLegacy,
    /// Means PyTorch's tar (before 0.1.10).
    TorchTar,
    /// Means a folder of torch.distributed.checkpoint.
    TorchDistributed,
    /// Means a plain pickle that holds tensors or arrays.
    Pickle,
    /// Means a zip of numpy arrays.
    Npz,
}

impl fmt::Display for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Safetensors => "safetensors",
            Self::TorchZip => "PyTorch zip",
            Self::TorchScript => "TorchScript archive",
            Self::TorchLegacy => "PyTorch legacy stream",
            Self::TorchTar => "PyTorch tar",
            Self::TorchDistributed => "PyTorch distributed checkpoint",
            Self::Pickle => "plain pickle",
            Self::Npz => "numpy npz",
        })
    }
}

/// Describes a global that a pickle names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Global {
    /// Holds the Python module, as the file writes it.
    pub module: String,
    /// Holds the name in that module.
    pub name: String,
    /// Says what this reader makes of it.
    pub class: GlobalClass,
    /// Says how often the file names it.
    pub count: u64,
    /// Holds, for globals that are not builders: the first calls that Python's unpickler would have made, with
    /// their arguments. None of them was made.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub would_run: Vec<String>,
}

/// Describes what this reader makes of a global.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum GlobalClass {
    /// Means that it is on the short list of tensor builders and plain containers, whose meaning the reader knows.
    Builder,
    /// Means that it is unknown; what it would have built is kept as an opaque value.
    Opaque,
    /// Means something that executes code or reaches processes, files or the network, by its name or by how the pickle calls it.
    /// Kept as an opaque value, too.
    Dangerous,
}

/// Describes a tensor that is not a plain block of elements.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Unsupported {
    /// Holds its dotted path.
    pub path: String,
    /// Says what it is, such as `a quantized tensor`.
    pub kind: String,
    /// Holds the name that PyTorch gives to its dtype, such as `complex128`, where the file says it.
    pub dtype: Option<String>,
    /// Holds its sizes, where the file says them.
    pub shape: Option<Dims>,
}

impl Unsupported {
    /// Returns why it is not read, as the end of a sentence that begins with its name.
    pub(crate) fn in_words(&self) -> String {
        match &self.dtype {
            Some(dtype) => format!("has the dtype {}, which vitport does not read", escape(dtype)),
            None => format!("is {}, which vitport does not read", self.kind),
        }
    }
}

impl FileEvidence {
    /// Returns the evidence of a container of which nothing else is known yet.
    pub(crate) fn of(container: Container) -> Self {
        Self { container: Some(container), ..Self::default() }
    }

    /// Adds a sentence unless it is there already, or there are too many to be read.
    pub(crate) fn note(&mut self, sentence: impl Into<String>) {
        let sentence = sentence.into();
        if self.notes.len() < NOTES && !self.notes.contains(&sentence) {
            self.notes.push(sentence);
        }
    }

    /// Joins what another shard showed.
    pub(crate) fn absorb(&mut self, other: Self) {
        if let (Some(first), Some(second)) = (self.container, other.container)
            && first != second
        {
            self.unlike_torch.push(format!("one shard is a {first}, another a {second}"));
        }
        self.container = self.container.or(other.container);
        self.writer_version = self.writer_version.take().or(other.writer_version);
        self.byteorder = self.byteorder.take().or(other.byteorder);
        self.pickle_protocol = self.pickle_protocol.max(other.pickle_protocol);
        self.dangerous_call = self.dangerous_call.take().or(other.dangerous_call);
        let known: HashMap<(String, String), usize> = self
            .globals
            .iter()
            .enumerate()
            .map(|(number, global)| ((global.module.clone(), global.name.clone()), number))
            .collect();
        for global in other.globals {
            let number = known.get(&(global.module.clone(), global.name.clone()));
            match number.and_then(|&number| self.globals.get_mut(number)) {
                Some(known) => {
                    known.count = known.count.saturating_add(global.count);
                    if global.class == GlobalClass::Dangerous {
                        known.class = global.class;
                    }
                    if known.would_run.is_empty() {
                        known.would_run = global.would_run;
                    }
                }
                None => self.globals.push(global),
            }
        }
        self.unlike_torch.extend(other.unlike_torch);
        self.unlike_torch.sort_unstable();
        self.unlike_torch.dedup();
        self.unsupported.extend(other.unsupported);
        self.is_cut |= other.is_cut;
        other.notes.into_iter().for_each(|note| self.note(note));
    }
}
