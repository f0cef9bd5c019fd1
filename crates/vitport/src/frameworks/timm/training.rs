//! What training programs say of a timm model: which of their arguments means what. timm's `train.py`, DeiT's `main.py`, MAE's
//! scripts and torchvision's reference are known by arguments of their own; of any other program the usual names are read.

use serde_json::{Value, json};
use vitport_checkpoint::escape;

use super::statements::Statement;
use crate::facts::{FactError, Origin, Sourced};
use crate::image::{CropMode, Filter, crop_fraction};
use crate::preprocessing::{
    DEFAULT_CROP_PCT, IMAGENET_MEAN, IMAGENET_STD, Preprocessing, StatedPreprocessing,
};
use crate::source::Source;
use crate::training::{Record, Records};

/// Says what an argument of a training program is.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Meaning {
    /// Stands for the name of one of timm's architectures.
    Architecture,
    /// Stands for the name of one of MAE's (models_vit.py, models_mae.py), which are timm's at 224 pixels.
    MaeArchitecture,
    /// Stands for the name of one of torchvision's.
    TorchvisionArchitecture,
    /// Stands for an argument of the network's constructor, under timm's name.
    Argument(&'static str),
    /// Stands for the arguments of the network's constructor, by timm's names.
    Arguments,
    /// Says how tokens are pooled: a name of timm's, or whether they are averaged.
    Pooling,
    /// Stands for the size of the image: one edge, height and width, or channels, height and width.
    Size,
    /// Stands for a key of timm's preprocessing.
    Image(&'static str),
}

/// Describes a training program by the arguments that it records.
struct Program {
    /// Lists the objects in which it records them; an empty one is the top of the file.
    roots: &'static [&'static str],
    /// Lists arguments that all of its runs have, and that tell it from the programs below.
    known_by: &'static [&'static str],
    /// Says what arguments mean.
    meanings: &'static [(&'static str, Meaning)],
    /// Says whether its arguments are those of this very network and nothing else, so that none may contradict the weights.
    is_strict: bool,
    /// Lists the arguments that this code of its own reads.
    of_images: &'static [&'static str],
    /// Returns what its own code does to images, by its arguments.
    transform: fn(&Records, &str) -> Option<(Preprocessing, &'static str)>,
}

/// Describes timm's `train.py`; images as in timm/data/config.py, `resolve_data_config`.
const TIMM: Program = Program {
    roots: &["args"],
    known_by: &["model", "gp"],
    meanings: &[
        ("model", Meaning::Architecture),
        ("gp", Meaning::Pooling),
        ("num_classes", Meaning::Argument("num_classes")),
        ("in_chans", Meaning::Argument("in_chans")),
        ("bn_eps", Meaning::Argument("bn_eps")),
        ("bn_momentum", Meaning::Argument("bn_momentum")),
        ("model_kwargs", Meaning::Arguments),
        ("input_size", Meaning::Size),
        ("img_size", Meaning::Size),
        ("mean", Meaning::Image("mean")),
        ("std", Meaning::Image("std")),
        ("crop_pct", Meaning::Image("crop_pct")),
        ("crop_mode", Meaning::Image("crop_mode")),
        ("interpolation", Meaning::Image("interpolation")),
    ],
    is_strict: true,
    of_images: &[],
    transform: |_, _| None,
};

/// Describes MAE's `main_finetune.py` and `main_linprobe.py`; images as in its util/datasets.py.
const MAE: Program = Program {
    roots: &["args"],
    known_by: &["model", "nb_classes", "global_pool"],
    meanings: &[
        ("model", Meaning::MaeArchitecture),
        ("global_pool", Meaning::Pooling),
        ("nb_classes", Meaning::Argument("num_classes")),
        ("input_size", Meaning::Size),
    ],
    is_strict: true,
    of_images: &[],
    transform: |records, root| {
        records.value(&format!("{root}.accum_iter"))?;
        let size = records.value(&format!("{root}.input_size")).and_then(Value::as_u64).unwrap_or(224);
        let crop_pct = if size <= 224 { DEFAULT_CROP_PCT } else { 1.0 };
        Some((imagenet(crop_pct), "MAE's util/datasets.py"))
    },
};

/// Describes MAE's `main_pretrain.py`, which evaluates on no images.
const MAE_PRETRAIN: Program = Program {
    roots: &["args"],
    known_by: &["model", "mask_ratio", "norm_pix_loss"],
    meanings: &[("model", Meaning::MaeArchitecture), ("input_size", Meaning::Size)],
    is_strict: true,
    of_images: &[],
    transform: |_, _| None,
};

/// Describes DeiT's `main.py`; images as in its datasets.py, which does not resize those of 32 pixels and less.
const DEIT: Program = Program {
    roots: &["args"],
    known_by: &["model", "nb_classes", "input_size"],
    meanings: &[
        ("model", Meaning::Architecture),
        ("nb_classes", Meaning::Argument("num_classes")),
        ("input_size", Meaning::Size),
    ],
    is_strict: true,
    of_images: &["eval_crop_ratio"],
    transform: |records, root| {
        records.value(&format!("{root}.repeated_aug"))?;
        let size = records.value(&format!("{root}.input_size")).and_then(Value::as_u64)?;
        let crop_pct = records.value(&format!("{root}.eval_crop_ratio")).and_then(Value::as_f64);
        (size > 32).then(|| (imagenet(crop_pct.unwrap_or(DEFAULT_CROP_PCT)), "DeiT's datasets.py"))
    },
};

/// Describes torchvision's references/classification/train.py; images as in its presets.py, `ClassificationPresetEval`.
const TORCHVISION: Program = Program {
    roots: &["args"],
    known_by: &["model", "val_resize_size", "val_crop_size"],
    meanings: &[("model", Meaning::TorchvisionArchitecture), ("val_crop_size", Meaning::Size)],
    is_strict: true,
    of_images: &["val_resize_size", "interpolation"],
    transform: |records, root| {
        let value = |key: &str| records.value(&format!("{root}.{key}"));
        let edge = |key: &str| usize::try_from(value(key)?.as_u64()?).ok();
        let crop_pct = crop_fraction(&[(edge("val_crop_size")?, edge("val_resize_size")?)])?;
        let interpolation = value("interpolation").and_then(Value::as_str).unwrap_or("bilinear");
        let interpolation = Filter::from_name(interpolation)?;
        Some((Preprocessing { interpolation, ..imagenet(crop_pct) }, "torchvision's presets.py"))
    },
};

/// Describes any other program, by the names that are usual.
const OTHER: Program = Program {
    roots: &["args", "hyper_parameters", "hparams", "config", ""],
    known_by: &[],
    meanings: &[
        ("model", Meaning::Architecture),
        ("model_name", Meaning::Architecture),
        ("arch", Meaning::Architecture),
        ("architecture", Meaning::Architecture),
        ("backbone", Meaning::Architecture),
        ("backbone_name", Meaning::Architecture),
        ("timm_model", Meaning::Architecture),
        ("timm_name", Meaning::Architecture),
        ("model_kwargs", Meaning::Arguments),
        ("model_args", Meaning::Arguments),
        ("backbone_kwargs", Meaning::Arguments),
        ("timm_kwargs", Meaning::Arguments),
        ("gp", Meaning::Pooling),
        ("global_pool", Meaning::Pooling),
        ("pool", Meaning::Pooling),
        ("num_classes", Meaning::Argument("num_classes")),
        ("nb_classes", Meaning::Argument("num_classes")),
        ("in_chans", Meaning::Argument("in_chans")),
        ("embed_dim", Meaning::Argument("embed_dim")),
        ("depth", Meaning::Argument("depth")),
        ("num_heads", Meaning::Argument("num_heads")),
        ("mlp_ratio", Meaning::Argument("mlp_ratio")),
        ("patch_size", Meaning::Argument("patch_size")),
        ("qkv_bias", Meaning::Argument("qkv_bias")),
        ("init_values", Meaning::Argument("init_values")),
        ("act_layer", Meaning::Argument("act_layer")),
        ("norm_layer", Meaning::Argument("norm_layer")),
        ("norm_eps", Meaning::Argument("norm_eps")),
        ("block_fn", Meaning::Argument("block_fn")),
        ("attn_layer", Meaning::Argument("attn_layer")),
        ("mlp_layer", Meaning::Argument("mlp_layer")),
        ("use_rot_pos_emb", Meaning::Argument("use_rot_pos_emb")),
        ("use_post_norm", Meaning::Argument("use_post_norm")),
        ("rope_type", Meaning::Argument("rope_type")),
        ("rope_temperature", Meaning::Argument("rope_temperature")),
        ("rope_rotate_half", Meaning::Argument("rope_rotate_half")),
        ("rope_grid_indexing", Meaning::Argument("rope_grid_indexing")),
        ("rope_grid_offset", Meaning::Argument("rope_grid_offset")),
        ("img_size", Meaning::Size),
        ("image_size", Meaning::Size),
        ("input_size", Meaning::Size),
        ("mean", Meaning::Image("mean")),
        ("std", Meaning::Image("std")),
        ("crop_pct", Meaning::Image("crop_pct")),
        ("crop_mode", Meaning::Image("crop_mode")),
        ("interpolation", Meaning::Image("interpolation")),
        ("pretrained_cfg.mean", Meaning::Image("mean")),
        ("pretrained_cfg.std", Meaning::Image("std")),
        ("pretrained_cfg.crop_pct", Meaning::Image("crop_pct")),
        ("pretrained_cfg.crop_mode", Meaning::Image("crop_mode")),
        ("pretrained_cfg.interpolation", Meaning::Image("interpolation")),
    ],
    is_strict: false,
    of_images: &[],
    transform: |_, _| None,
};

/// Lists every program, the ones known by more first.
const PROGRAMS: [&Program; 6] = [&MAE, &MAE_PRETRAIN, &DEIT, &TORCHVISION, &TIMM, &OTHER];

/// Lists the beginnings of MAE's names, and timm's names of the same networks.
const MAE_ARCHITECTURES: [(&str, &str); 3] = [
    ("vit_base_patch16", "vit_base_patch16_224"),
    ("vit_large_patch16", "vit_large_patch16_224"),
    ("vit_huge_patch14", "vit_huge_patch14_224"),
];

fn imagenet(crop_pct: f64) -> Preprocessing {
    Preprocessing {
        size: [224; 2],
        crop_pct,
        crop_mode: CropMode::Center,
        interpolation: Filter::Bicubic,
        mean: IMAGENET_MEAN,
        std: IMAGENET_STD,
    }
}

/// Holds what training programs say of a model.
#[derive(Debug, Default)]
pub(super) struct Training {
    /// Gives names that may be of an architecture, each with the path at which it is recorded.
    pub names: Vec<Sourced<String>>,
    /// Gives arguments of the network's constructor.
    pub arguments: Vec<Statement>,
    /// Gives what is stated of preprocessing.
    pub preprocessing: StatedPreprocessing,
    /// Gives height and width of the image in pixels.
    pub size: Option<Sourced<[u64; 2]>>,
    /// Says whether that is the size of the network's own input.
    pub is_strict: bool,
    /// Gives what a program's own code does to images.
    pub transform: Option<Sourced<Preprocessing>>,
    /// Says whether timm's own program took what no argument says from the default tag of its version.
    pub takes_defaults: bool,
    /// Lists the paths of what was read of images.
    pub read: Vec<String>,
}

impl Training {
    /// Reads what a source's checkpoint records.
    ///
    /// # Errors
    /// Returns [`FactError::Impossible`] for an argument of a known program whose value cannot be meant.
    pub fn of(source: &Source) -> Result<Self, FactError> {
        let records = Records::of(source);
        let mut training = Self::default();
        for root in OTHER.roots {
            let has = |key: &&str| records.under(root).any(|(below, _)| below == *key || is_in(below, key));
            let program = PROGRAMS
                .into_iter()
                .find(|program| program.roots.contains(root) && program.known_by.iter().all(has));
            let Some(program) = program else { continue };
            for (key, record) in records.under(root) {
                let meant = program.meanings.iter().find(|(name, meaning)| {
                    *name == key || (*meaning == Meaning::Arguments && is_in(key, name))
                });
                if let Some((name, meaning)) = meant {
                    let argument = key.strip_prefix(name).and_then(|rest| rest.strip_prefix('.'));
                    training.take(*meaning, argument, record, program.is_strict)?;
                }
            }
            training.is_strict |= program.is_strict;
            training.takes_defaults |= program.known_by == TIMM.known_by;
            if let Some((transform, code)) = (program.transform)(&records, root) {
                training.transform = Some(Sourced::new(transform, Origin::Registry(code.to_owned())));
                training.read.extend(program.of_images.iter().map(|key| format!("{root}.{key}")));
            }
        }
        Ok(training)
    }

    /// Returns height and width of the image in pixels, as an argument of the program or of the network's constructor says.
    pub fn image_size(&self) -> Option<[u64; 2]> {
        let of_network = || self.arguments.iter().find(|statement| statement.argument == "img_size");
        let stated = self.size.as_ref().map(|stated| stated.value);
        stated.or_else(|| size(&of_network()?.value).map(|(_, size)| size))
    }

    /// Counts the size of the image among what is not read, if it is another than the network's.
    pub fn leave_other_size(&mut self, size: Option<[u64; 2]>) {
        let other = self.size.as_ref().filter(|stated| Some(stated.value) != size);
        if let Some(Origin::Argument(path) | Origin::Checkpoint(path)) = other.map(|stated| &stated.origin) {
            self.read.retain(|read| read != path);
        }
    }

    /// Takes what a record says. `argument` is the rest of its path below an argument that holds others.
    fn take(
        &mut self,
        meaning: Meaning,
        argument: Option<&str>,
        record: &Record,
        is_strict: bool,
    ) -> Result<(), FactError> {
        let Record { path, value } = record;
        if value.is_null() {
            return Ok(());
        }
        let origin = match path.split_once('.') {
            Some(_) => Origin::Argument(path.clone()),
            None => Origin::Checkpoint(path.clone()),
        };
        let mut state = |argument: &str, value: Value| {
            self.arguments.push(Statement {
                argument: argument.to_owned(),
                value,
                origin: origin.clone(),
                place: path.clone(),
                path: Some(path.clone()),
                is_strict,
            });
        };
        let impossible = |what: &str| match is_strict {
            true => {
                let shown: String = value.to_string().chars().take(60).collect();
                let reason = format!("{} is not a valid {what}", escape(&shown));
                Err(FactError::Impossible { place: path.clone(), reason })
            }
            false => Ok(()),
        };
        match meaning {
            Meaning::Architecture | Meaning::MaeArchitecture | Meaning::TorchvisionArchitecture => {
                if let Some(name) = value.as_str() {
                    let name = match meaning {
                        Meaning::MaeArchitecture => of_mae(name).to_owned(),
                        Meaning::TorchvisionArchitecture => format!("torchvision/{name}"),
                        _ => name.to_owned(),
                    };
                    self.names.push(Sourced::new(name, origin));
                }
            }
            Meaning::Argument(name) => state(name, value.clone()),
            Meaning::Arguments => {
                if let Some(argument) = argument {
                    state(argument, value.clone());
                }
            }
            Meaning::Pooling => match value {
                Value::Bool(is_averaged) => {
                    state("global_pool", json!(if *is_averaged { "avg" } else { "token" }));
                }
                Value::String(text) if is_strict || !text.is_empty() => {
                    state("global_pool", value.clone());
                }
                _ => return impossible("kind of pooling"),
            },
            Meaning::Size => {
                let Some((channels, size)) = size(value) else { return impossible("size of an image") };
                if let Some(channels) = channels {
                    state("in_chans", json!(channels));
                }
                if self.size.is_none() {
                    self.size = Some(Sourced::new(size, origin));
                    self.read.push(path.clone());
                }
            }
            // As in `resolve_data_config`, what is empty or zero says nothing.
            Meaning::Image(_) if *value == json!("") || value.as_f64() == Some(0.0) => {}
            Meaning::Image(key) => match self.preprocessing.set(key, value, origin) {
                true => self.read.push(path.clone()),
                false => return impossible(key),
            },
        }
        Ok(())
    }
}

/// Returns whether a path lies below a key.
fn is_in(path: &str, key: &str) -> bool {
    path.strip_prefix(key).is_some_and(|rest| rest.starts_with('.'))
}

/// Returns timm's name of one of MAE's networks.
fn of_mae(name: &str) -> &str {
    let plain = name.strip_prefix("mae_").unwrap_or(name);
    let known = MAE_ARCHITECTURES.iter().find(|(start, _)| plain.starts_with(start));
    known.map_or(name, |(_, architecture)| architecture)
}

/// Returns the channels of an image, if they are said, with its height and width.
fn size(value: &Value) -> Option<(Option<u64>, [u64; 2])> {
    let edges: Vec<u64> = match value {
        Value::Array(list) => list.iter().map(Value::as_u64).collect::<Option<_>>()?,
        one => vec![one.as_u64()?],
    };
    let size = match *edges.as_slice() {
        [edge] => (None, [edge; 2]),
        [height, width] => (None, [height, width]),
        [channels, height, width] => (Some(channels), [height, width]),
        _ => return None,
    };
    size.1.iter().all(|edge| *edge > 0).then_some(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_as_programs_write_them() {
        assert_eq!(size(&json!(224)), Some((None, [224, 224])));
        assert_eq!(size(&json!([224, 192])), Some((None, [224, 192])));
        assert_eq!(size(&json!([1, 224, 192])), Some((Some(1), [224, 192])));
        for wrong in [json!(0), json!(-1), json!("224"), json!([1, 2, 3, 4]), json!([])] {
            assert_eq!(size(&wrong), None, "{wrong}");
        }
    }

    #[test]
    fn networks_of_mae_by_the_names_of_timm() {
        assert_eq!(of_mae("vit_huge_patch14"), "vit_huge_patch14_224");
        assert_eq!(of_mae("mae_vit_base_patch16_dec512d8b"), "vit_base_patch16_224");
        assert_eq!(of_mae("vit_tiny"), "vit_tiny");
    }
}
