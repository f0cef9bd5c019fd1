//! A model that is known, and its source and plan with it: what writing, verifying and describing need.

use serde_json::{Map, Value, json};
use vitport_checkpoint::{Dtype, Limits};

use crate::facts::{Basis, Facts, Sourced};
use crate::frameworks::transformers::TargetDefinition;
use crate::frameworks::{PublishedModel, SourceDefinition, Transform};
use crate::license::License;
use crate::mapping::{Bindings, Mapping, Sources, TargetClass};
use crate::nn::Network;
use crate::plan::{Dropped, Plan};
use crate::resampling::Resampled;
use crate::source::Source;
use crate::state_dict::StateDict;

/// Names the transformers version whose way of writing folders this follows, as `config.json` states it.
pub const TRANSFORMERS_VERSION: &str = "4.57.6";

/// Gives the version whose layout is written where the former has no such class.
pub const NEWEST_TRANSFORMERS_VERSION: &str = "5.23.0";

/// Describes an identified model: all that planning, writing and verifying need to know of it.
pub struct Model {
    /// Gives the source's definition.
    pub definition: &'static dyn SourceDefinition,
    /// Gives the target's definition.
    pub target: &'static dyn TargetDefinition,
    /// Gives the mapping from one to the other.
    pub mapping: Mapping,
    /// Lists the classes that hold it, the best first; one with a mapping of the caller's own.
    pub targets: Vec<TargetClass>,
    /// Gives its name: `vit_base_patch16_224.augreg2_in21k_ft_in1k`, `cvt-13`, or the file's.
    pub name: String,
    /// Holds what its framework's registry has of it, when it is one of those that were published.
    pub published: Option<PublishedModel>,
    /// Says what is known and how.
    pub facts: Facts,
    /// Lists the training arguments and the attributes of saved modules that nobody read, by their paths in the file.
    pub unread_arguments: Vec<String>,
    /// Gives the network's tensors by their bare names in the file.
    pub state_dict: StateDict,
    /// Holds the same by the names of the definition.
    pub tensors: Sources,
    /// Lists the tensors that are not part of the network.
    pub dropped: Vec<Dropped>,
    /// Counts the tensors that adapters were added to.
    pub merged: usize,
    /// Says what is resampled for images of another size, as was asked for.
    pub resampled: Option<Resampled>,
    /// Says what the rules' variables stand for.
    pub bindings: Bindings,
    /// Gives `config.json` without labels and dtype.
    pub config: Map<String, Value>,
    /// Gives class names; none for a model whose outputs are not scores of classes.
    pub labels: Option<Sourced<Vec<String>>>,
    /// Gives `preprocessor_config.json`; none if none is wanted.
    pub processor: Option<Value>,
    /// Gives the source's own way from an image to its input, or pixels made directly where no processor is wanted.
    pub transform: Transform,
    /// Gives the source network.
    pub network: Network,
    /// Gives the target network, as its config describes it.
    pub target_network: Network,
    /// Gives the licence, where the source says it.
    pub license: Option<Sourced<License>>,
    /// Gives that of the published model that the source is named after, where its own is not known.
    pub license_of_base: Option<Sourced<License>>,
}

impl Model {
    /// Returns whether images have to come with one channel.
    pub fn is_grey(&self) -> bool {
        matches!(self.transform, Transform::Grey(_))
    }

    /// Returns the class that it becomes, and how much of it that class computes.
    pub fn target_class(&self) -> Option<TargetClass> {
        self.mapping.target(&self.facts)
    }

    /// Returns the other classes that could hold it, the best first.
    pub fn other_targets(&self) -> impl Iterator<Item = &TargetClass> {
        let chosen = self.target_class();
        self.targets.iter().filter(move |target| Some(*target) != chosen.as_ref())
    }

    /// Returns how much of what is known the source says itself, and what is assumed.
    pub fn basis(&self) -> Basis {
        Basis::of(&self.facts)
    }
}

/// Describes a source that is known, and the plan for it.
pub struct Prepared {
    /// Gives the source.
    pub source: Source,
    /// Says what it is.
    pub model: Model,
    /// Says whether the mapping is the caller's, not a built-in one.
    pub own_mapping: bool,
    /// Says what will be written.
    pub plan: Plan,
    /// Says what a file may ask for, the folder's weights included.
    pub limits: Limits,
    /// Says whether the source was made of the folder, which one version of transformers wrote and opens.
    pub is_way_back: bool,
}

impl Prepared {
    /// Returns the whole `config.json`: the mapping's part, the labels, the dtype.
    pub fn config(&self) -> Map<String, Value> {
        let mut config = self.model.config.clone();
        if let Some(labels) = &self.model.labels {
            let by_id: Map<String, Value> =
                labels.value.iter().enumerate().map(|(id, label)| (id.to_string(), json!(label))).collect();
            let by_label: Map<String, Value> =
                labels.value.iter().enumerate().map(|(id, label)| (label.clone(), json!(id))).collect();
            config.insert("id2label".to_owned(), Value::Object(by_id));
            config.insert("label2id".to_owned(), Value::Object(by_label));
        }
        config.insert("torch_dtype".to_owned(), json!(self.torch_dtype()));
        let since = self.model.target_class().and_then(|target| target.since);
        let version = since.map_or(TRANSFORMERS_VERSION, |_| NEWEST_TRANSFORMERS_VERSION);
        config.insert("transformers_version".to_owned(), json!(version));
        config
    }

    /// Returns PyTorch's name of the dtype that most float bytes of the plan have.
    pub(crate) fn torch_dtype(&self) -> &'static str {
        let bytes_of = |dtype: Dtype| -> u64 {
            self.plan.targets.iter().filter(|target| target.dtype == dtype).map(|target| target.bytes()).sum()
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
}
