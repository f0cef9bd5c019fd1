//! The `config.json` next to a CvT that vitport wrote: the keys of Microsoft's experiment files (lib/config/default.py) that say what the
//! network is and how images are prepared, and the names of its classes.

use serde_json::{Map, Value, json};

use super::super::SourceConfig;
use super::super::source::{Described, WrittenConfig};
use super::recorded::SPEC;
use crate::facts::{FactError, Origin, Sourced};
use crate::image::CropMode;
use crate::labels::{ClassNames, LabelError, recorded};
use crate::source::ConfigFile;
use crate::training::Records;

/// Gives the name of the network in Microsoft's experiment files.
const NAME: &str = "cls_cvt";

/// Names the key with the names of classes, which Microsoft's has not.
const LABELS: &str = "label_names";

/// Lists keys of `MODEL.SPEC` that say nothing of a trained network, with the values that leave it as it is.
const OF_TRAINING: [&str; 3] = ["DROP_RATE", "ATTN_DROP_RATE", "DROP_PATH_RATE"];

/// Describes such a config.
#[derive(Debug)]
pub(super) struct CvtConfig<'a>(&'a Map<String, Value>);

impl<'a> CvtConfig<'a> {
    /// Reads it; none if it is another framework's.
    pub fn read(file: &'a ConfigFile) -> Option<Self> {
        let name = file.values.get("MODEL")?.get("NAME")?.as_str()?;
        (name == NAME).then_some(Self(&file.values))
    }
}

impl SourceConfig for CvtConfig<'_> {
    fn architecture(&self) -> Option<&str> {
        None
    }

    fn license(&self) -> Option<Sourced<String>> {
        None
    }

    fn labels(&self, classes: usize) -> Result<Option<Sourced<ClassNames>>, LabelError> {
        let names = recorded(&Records::of_config(self.0), classes)?;
        Ok(names.map(|names| Sourced::new(names.value, Origin::Config(LABELS.to_owned()))))
    }
}

/// Returns the config of a CvT.
///
/// # Errors
/// Returns [`FactError::NoTarget`] for images that Microsoft's transform does not prepare so.
pub(super) fn write(described: &Described<'_>) -> Result<WrittenConfig, FactError> {
    let facts = described.facts;
    let entries = |fact: &str| facts.value(fact).cloned().unwrap_or_default();
    let mut spec: Map<String, Value> = SPEC
        .iter()
        .filter_map(|(key, fact)| Some((key.strip_prefix("SPEC.")?.to_owned(), entries(fact))))
        .collect();
    let stages = facts.numbers("depth").unwrap_or_default().len();
    let of_each = |value: Value| Value::from(vec![value; stages]);
    spec.insert("NUM_STAGES".to_owned(), json!(stages));
    spec.insert("MLP_RATIO".to_owned(), entries("mlp_ratio"));
    spec.insert("POS_EMBED".to_owned(), of_each(json!(false)));
    spec.insert("QKV_PROJ_METHOD".to_owned(), of_each(json!("dw_bn")));
    spec.extend(OF_TRAINING.map(|key| (key.to_owned(), of_each(json!(0.0)))));
    let model =
        json!({ "NAME": NAME, "NUM_CLASSES": facts.number("num_classes").unwrap_or(0), "SPEC": spec });
    let mut config = Map::from_iter([("MODEL".to_owned(), model)]);
    if let Some(preprocessing) = described.preprocessing {
        let [height, width] = preprocessing.size;
        let is_cropped = preprocessing.crop_mode == CropMode::Center;
        config.insert("INPUT".to_owned(), json!({ "MEAN": preprocessing.mean, "STD": preprocessing.std }));
        let test = json!({
            "CENTER_CROP": is_cropped,
            "IMAGE_SIZE": [width, height],
            "INTERPOLATION": preprocessing.interpolation.pillow_number(),
        });
        config.insert("TEST".to_owned(), test);
    }
    if let Some(labels) = described.labels {
        config.insert(LABELS.to_owned(), json!(labels));
    }
    let opened_by = [
        "config = yacs.config.CfgNode(json.load(open(\"{out}/config.json\")))",
        "model = models.cls_cvt.get_cls_model(config)",
        "model.load_state_dict(safetensors.torch.load_file(\"{out}/model.safetensors\"))",
    ];
    Ok(WrittenConfig { config, unheld: Vec::new(), opened_by: opened_by.map(str::to_owned).into() })
}
