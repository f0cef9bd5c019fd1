//! What training programs record of a CvT: the config of Microsoft's own (lib/config/default.py), whole or a part of it, under
//! whatever name it was saved.

use serde_json::{Value, json};

use crate::facts::{Evidence, Fact, Origin, Sourced};
use crate::preprocessing::StatedPreprocessing;
use crate::source::Source;
use crate::training::{Record, Records};

/// Lists keys of `MODEL.SPEC` and the facts that they are, a value a stage.
pub(super) const SPEC: [(&str, &str); 13] = [
    ("SPEC.NUM_HEADS", "num_heads"),
    ("SPEC.PATCH_STRIDE", "patch_stride"),
    ("SPEC.PATCH_PADDING", "patch_padding"),
    ("SPEC.STRIDE_KV", "stride_kv"),
    ("SPEC.PADDING_KV", "padding_kv"),
    ("SPEC.STRIDE_Q", "stride_q"),
    ("SPEC.PADDING_Q", "padding_q"),
    ("SPEC.PATCH_SIZE", "patch_size"),
    ("SPEC.DIM_EMBED", "embed_dim"),
    ("SPEC.DEPTH", "depth"),
    ("SPEC.KERNEL_QKV", "kernel_qkv"),
    ("SPEC.QKV_BIAS", "qkv_bias"),
    ("SPEC.CLS_TOKEN", "cls_token"),
];

/// Lists keys of how images are prepared in tests.
const IMAGES: [(&str, &str); 3] =
    [("INPUT.MEAN", "mean"), ("INPUT.STD", "std"), ("TEST.INTERPOLATION", "interpolation")];

/// Holds what is recorded of images.
#[derive(Debug, Default)]
pub(super) struct Recorded {
    /// Gives what is stated of preprocessing.
    pub preprocessing: StatedPreprocessing,
    /// Gives height and width of the image in pixels.
    pub size: Option<Sourced<[u64; 2]>>,
    /// Lists the paths of what was read.
    pub read: Vec<String>,
}

impl Recorded {
    /// Reads what a checkpoint records, and states what it says of the network.
    pub fn of(source: &Source, evidence: &mut Evidence) -> Self {
        let records = Records::of(source);
        let of_config =
            source.config.as_ref().map(|file| Records::of_config(&file.values)).unwrap_or_default();
        let mut recorded = Self::default();
        for (path, record, is_of_file) in all(&records, &of_config) {
            let is_at =
                |key: &str| path.strip_suffix(key).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
            let origin = || match is_of_file {
                true => Origin::Argument(path.to_owned()),
                false => Origin::Config(path.to_owned()),
            };
            if let Some((_, fact)) = SPEC.iter().find(|(key, _)| is_at(key)) {
                evidence.state(Fact::new(fact, record.value.clone(), origin()));
                recorded.read.push(path.to_owned());
            } else if let Some((_, name)) = IMAGES.iter().find(|(key, _)| is_at(key)) {
                let value = filter(&record.value).unwrap_or_else(|| record.value.clone());
                if recorded.preprocessing.set(name, &value, origin()) {
                    recorded.read.push(path.to_owned());
                }
            } else if is_at("TEST.IMAGE_SIZE")
                && let Ok([width, height]) = serde_json::from_value::<[u64; 2]>(record.value.clone())
            {
                recorded.size = Some(Sourced::new([height, width], origin()));
                recorded.read.push(path.to_owned());
            }
        }
        recorded
    }
}

/// Returns what a checkpoint records, and then what its `config.json` says; which of them it is.
fn all<'a>(
    records: &'a Records,
    of_config: &'a Records,
) -> impl Iterator<Item = (&'a str, &'a Record, bool)> {
    let of_file = records.under("").map(|(path, record)| (path, record, true));
    of_file.chain(of_config.under("").map(|(path, record)| (path, record, false)))
}

/// Returns the name of one of Pillow's filters that has a number.
fn filter(value: &Value) -> Option<Value> {
    match value.as_u64()? {
        2 => Some(json!("bilinear")),
        3 => Some(json!("bicubic")),
        _ => None,
    }
}
