//! The `config.json` of timm's hub folders (timm/models/_hub.py, `save_config_for_hf`): the architecture, the arguments that the
//! model was made with, its preprocessing, its licence and the names of its classes.

use serde_json::{Map, Value};
use vitport_checkpoint::escape;

use super::super::SourceConfig;
use super::labels::hub_labels;
use crate::facts::{FactError, Origin, Sourced};
use crate::labels::{ClassNames, LabelError};
use crate::source::{ConfigFile, Source};

/// Names the key with the Python that makes the network, in configs that vitport writes for other frameworks' networks.
pub(super) const PYTHON: &str = "python";

/// Lists the fields of `PretrainedCfg` (timm/models/_pretrained.py), which takes no others.
const PRETRAINED_CFG: [&str; 33] = [
    "architecture",
    "classifier",
    "crop_mode",
    "crop_pct",
    "custom_load",
    "description",
    "file",
    "first_conv",
    "fixed_input_size",
    "hf_hub_filename",
    "hf_hub_id",
    "input_size",
    "interpolation",
    "label_descriptions",
    "label_names",
    "label_offset",
    "license",
    "mean",
    "min_input_size",
    "notes",
    "num_classes",
    "origin_url",
    "paper_ids",
    "paper_name",
    "pool_size",
    "source",
    "state_dict",
    "std",
    "tag",
    "test_crop_pct",
    "test_input_size",
    "test_pool_size",
    "url",
];

/// Lists the keys that timm takes out of a config without `pretrained_cfg`, next to `architecture`, before it takes the rest for it.
const FLAT: [&str; 2] = ["labels", "num_features"];

/// Describes a `config.json` that timm wrote.
#[derive(Debug, Clone, PartialEq)]
pub struct TimmConfig<'a> {
    /// Holds the name of the architecture, without a tag; none of a network of another framework that is none of its architectures.
    pub architecture: Option<&'a str>,
    /// Holds the pretrained tag.
    pub tag: Option<&'a str>,
    /// Holds preprocessing, licence and the like. In older configs it is the whole.
    pub pretrained_cfg: &'a Map<String, Value>,
    model_args: Option<&'a Map<String, Value>>,
    whole: &'a Map<String, Value>,
}

impl<'a> TimmConfig<'a> {
    /// Reads the config next to a source's weights, if there is one.
    ///
    /// # Errors
    /// Returns [`FactError::Config`] if it is not timm's.
    pub fn of(source: &'a Source) -> Result<Option<Self>, FactError> {
        source.config.as_ref().map(Self::read).transpose()
    }

    /// Reads a config.
    ///
    /// # Errors
    /// Returns [`FactError::Config`] if it is not timm's.
    pub fn read(file: &'a ConfigFile) -> Result<Self, FactError> {
        Self::parse(&file.values).map_err(|reason| FactError::Config { path: file.path.clone(), reason })
    }

    fn parse(whole: &'a Map<String, Value>) -> Result<Self, String> {
        let object = |key: &str| match whole.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Object(map)) => Ok(Some(map)),
            Some(_) => Err(format!("its `{key}` is not an object")),
        };
        let architecture = match whole.get("architecture") {
            Some(Value::String(architecture)) => Some(architecture.as_str()),
            None if whole.contains_key(PYTHON) => None,
            _ => return Err("it names no `architecture`, so it is not timm's".to_owned()),
        };
        let (architecture, tag_in_name) = match architecture.and_then(|name| name.split_once('.')) {
            Some((name, tag)) => (Some(name), Some(tag)),
            None => (architecture, None),
        };
        let pretrained_cfg = match (object("pretrained_cfg")?, whole.contains_key("pretrained_cfg")) {
            (Some(pretrained_cfg), _) => pretrained_cfg,
            (None, true) => return Err("its `pretrained_cfg` is null, which timm fails on".to_owned()),
            (None, false) => whole,
        };
        let has_slash = |name: &&str| name.contains('/') && !whole.contains_key(PYTHON);
        if let Some(name) = architecture.filter(has_slash) {
            return Err(format!("its `architecture` is `{}`: no name of timm's has a slash", escape(name)));
        }
        let is_flat = !whole.contains_key("pretrained_cfg");
        let is_known = |key: &str| {
            PRETRAINED_CFG.contains(&key) || is_flat && (FLAT.contains(&key) || whole.contains_key(PYTHON))
        };
        if let Some(key) = pretrained_cfg.keys().find(|key| !is_known(key)) {
            let place = if is_flat { "a config without `pretrained_cfg`" } else { "`pretrained_cfg`" };
            return Err(format!("timm takes no `{}` in {place}", escape(key)));
        }
        if let Some(reason) = refused_by_timm(whole, pretrained_cfg) {
            return Err(reason);
        }
        let tag = match pretrained_cfg.get("tag") {
            Some(tag) => tag.as_str(),
            None => tag_in_name,
        };
        Ok(Self {
            architecture,
            tag: tag.filter(|tag| !tag.is_empty()),
            pretrained_cfg,
            model_args: object("model_args")?,
            whole,
        })
    }

    /// Returns the arguments that the model was made with, beyond the architecture's own.
    pub fn arguments(&self) -> impl Iterator<Item = (&'a String, &'a Value)> {
        self.model_args.into_iter().flatten()
    }

    /// Returns one of the arguments that the model was made with.
    pub fn argument(&self, name: &str) -> Option<&'a Value> {
        self.model_args?.get(name)
    }

    /// Returns whether the network is made for images of the config's size.
    pub fn has_fixed_size(&self) -> bool {
        self.pretrained_cfg.get("fixed_input_size") == Some(&Value::Bool(true))
    }

    /// Returns an argument's value outside of `model_args`, with the key at which it stands.
    pub fn default_of(&self, key: &str) -> Option<(String, &'a Value)> {
        let at = |map: &'a Map<String, Value>| map.get(key).filter(|value| !value.is_null());
        let of_pretrained = || Some((format!("pretrained_cfg.{key}"), at(self.pretrained_cfg)?));
        at(self.whole).map(|value| (key.to_owned(), value)).or_else(of_pretrained)
    }

    /// Returns a key about classes, which stands at the top or in `pretrained_cfg`.
    fn of_classes(&self, key: &str) -> Option<&'a Value> {
        self.whole.get(key).or_else(|| self.pretrained_cfg.get(key)).filter(|value| !value.is_null())
    }
}

/// Returns why timm's `load_pretrained` (timm/models/_builder.py) fails on a config, or leaves out its classifier's weights.
fn refused_by_timm(whole: &Map<String, Value>, pretrained_cfg: &Map<String, Value>) -> Option<String> {
    if whole.get("model_args") == Some(&Value::Null) {
        return Some("its `model_args` is null, which timm fails on".to_owned());
    }
    if pretrained_cfg.get("input_size") == Some(&Value::Null) {
        return Some("its `input_size` is null, which timm fails on".to_owned());
    }
    let is_given = |key: &str| pretrained_cfg.get(key).is_some_and(|value| !value.is_null());
    match whole.get("num_classes").or_else(|| pretrained_cfg.get("num_classes")) {
        Some(Value::Null) if is_given("classifier") => {
            return Some("its `num_classes` is null, which timm fails on".to_owned());
        }
        Some(number) if number.as_i64().is_some_and(|number| number < 0) => {
            return Some(format!("its `num_classes` is {number}, with which timm leaves the classifier out"));
        }
        _ => {}
    }
    let offset = pretrained_cfg.get("label_offset").filter(|offset| !offset.is_null())?;
    let takes_all = offset.as_i64().is_some_and(|offset| offset <= 0);
    (!takes_all).then(|| {
        let offset = escape(&offset.to_string()).to_string();
        format!("its `label_offset` is {offset}: timm leaves out the first classes of such a classifier, vitport does not")
    })
}

impl SourceConfig for TimmConfig<'_> {
    fn architecture(&self) -> Option<&str> {
        self.architecture
    }

    fn tag(&self) -> Option<&str> {
        self.tag
    }

    fn license(&self) -> Option<Sourced<String>> {
        let stated = self.pretrained_cfg.get("license")?.as_str().filter(|text| !text.is_empty())?;
        Some(Sourced::new(stated.to_owned(), Origin::Config("pretrained_cfg.license".to_owned())))
    }

    fn labels(&self, classes: usize) -> Result<Option<Sourced<ClassNames>>, LabelError> {
        let Some(names) = self.of_classes("label_names").or_else(|| self.of_classes("labels")) else {
            return Ok(None);
        };
        let names = hub_labels(names, self.of_classes("label_descriptions"), classes, "config.json")?;
        Ok(Some(Sourced::new(names, Origin::Config("label_names".to_owned()))))
    }
}
