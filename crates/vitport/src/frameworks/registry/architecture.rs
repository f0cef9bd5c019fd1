//! One architecture, as fields by name.

use serde_json::{Map, Value};

use super::rows::Line;

/// Describes an architecture: a function such as timm's `vit_base_patch16_224`, called without arguments.
///
/// Its fields have the names of timm's constructor arguments (`embed_dim`, `depths`, `num_heads`, `kernel_sizes` …), with the
/// values that the network was made with; what no argument says was read off its modules (`mlp_dim`, `norm_eps`, `num_chs` …).
/// `data/timm/README.md` lists the latter. Another framework's network that is one of timm's has timm's fields.
#[derive(Debug, Clone, PartialEq)]
pub struct Architecture {
    /// Gives its name: timm's, or one that begins with its framework.
    pub name: &'static str,
    /// Gives the timm module that defines such networks: `vision_transformer`, `convnext`, …; `torchvision.vgg` where none does.
    pub module: &'static str,
    /// Gives the Python class that it is an instance of: `VisionTransformer`, `ConvNeXt`, …
    pub class: &'static str,
    /// Gives the tag that the bare name means.
    pub default_tag: &'static str,
    fields: Map<String, Value>,
}

impl Architecture {
    pub(in super::super) fn new(line: &Line, fields: Map<String, Value>) -> Option<Self> {
        let (module, class) = line.class.split_once('/')?;
        Some(Self { name: line.name, module, class, default_tag: line.tag, fields })
    }

    /// Returns the framework whose architecture it is.
    pub fn framework(&self) -> &'static str {
        self.name.split_once('/').map_or("timm", |(framework, _)| framework)
    }

    /// Returns a field as it was exported; `None` if the architecture has no such field or timm leaves it empty.
    pub fn get(&self, field: &str) -> Option<&Value> {
        self.fields.get(field).filter(|value| !value.is_null())
    }

    /// Returns a whole number of at least 0, such as `embed_dim` in channels.
    pub fn size(&self, field: &str) -> Option<usize> {
        whole(self.get(field)?)
    }

    /// Returns a list of whole numbers, one a stage, such as `depths`; `None` if it is a single number.
    pub fn sizes(&self, field: &str) -> Option<Vec<usize>> {
        self.get(field)?.as_array()?.iter().map(whole).collect()
    }

    /// Returns height and width, such as `patch_size` in pixels; a single number stands for both.
    pub fn pair(&self, field: &str) -> Option<[usize; 2]> {
        match self.get(field)? {
            Value::Array(edges) => match edges.as_slice() {
                [height, width] => Some([whole(height)?, whole(width)?]),
                _ => None,
            },
            edge => whole(edge).map(|edge| [edge; 2]),
        }
    }

    /// Returns a number, such as `norm_eps`.
    pub fn number(&self, field: &str) -> Option<f64> {
        self.get(field)?.as_f64()
    }

    /// Returns a word, such as `global_pool` or the name of a class.
    pub fn text(&self, field: &str) -> Option<&str> {
        self.get(field)?.as_str()
    }

    /// Returns whether a field is true; one that is missing is not.
    pub fn flag(&self, field: &str) -> bool {
        self.get(field).and_then(Value::as_bool).unwrap_or(false)
    }
}

fn whole(value: &Value) -> Option<usize> {
    value.as_u64().and_then(|number| usize::try_from(number).ok())
}
