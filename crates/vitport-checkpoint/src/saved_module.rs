//! Modules that were saved whole: their classes and their own settings.

use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use crate::contents::Branch;
use crate::plain_value::{Entries, PlainValue};

/// Describes a module of a model that was saved whole (`torch.save(model)`, or a TorchScript archive), or one of its submodules.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct SavedModule {
    /// Holds the dotted path, as in the names of its parameters: `blocks.0.attn`; empty for a model at the top.
    pub path: String,
    /// Holds the class by its module and name, as the file writes it, such as `timm.layers.attention.Attention`. Of a TorchScript
    /// archive without `__torch__` and without the numbers that tell classes of one name apart.
    pub class: String,
    /// Holds the attributes that are not parameters, buffers, submodules or internals of `torch.nn.Module`, in the order of the
    /// file. Hooks of the forward pass are under their name in Python (`_forward_hooks`). Of a TorchScript archive its constants too.
    #[serde(serialize_with = "as_object")]
    #[schemars(with = "std::collections::BTreeMap<String, PlainValue>")]
    pub attributes: Vec<(String, PlainValue)>,
    /// Holds the calls in the code of a TorchScript class, as the code writes them: `torch.gelu(input, approximate="tanh")`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<String>,
}

impl SavedModule {
    /// Returns the attribute of this name.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&PlainValue> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// Returns the module with its path in a branch; `None` when it lies outside of it.
    pub(crate) fn below(&self, branch: &Branch) -> Option<Self> {
        let path = match self.path.strip_prefix(&branch.path)? {
            "" => "",
            path if branch.depth == 0 => path,
            path => path.strip_prefix('.')?,
        };
        Some(Self { path: path.to_owned(), ..self.clone() })
    }
}

fn as_object<S: Serializer>(attributes: &[(String, PlainValue)], serializer: S) -> Result<S::Ok, S::Error> {
    Entries(attributes).serialize(serializer)
}
