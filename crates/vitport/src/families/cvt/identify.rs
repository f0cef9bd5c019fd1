//! From tensors, names and options to a CvT: its heads and its picture leave no trace in the weights, so they come from an
//! option, from the published model of the same sizes, or from the file's name.

use serde_json::{Value, json};
use vitport_checkpoint::escape;

use super::forward_microsoft::{ConvolutionalVisionTransformer, CvtStage};
use super::published::{PUBLISHED, Published, by_name, edge_in_name};
use super::structure::Structure;
use super::{Cvt, MicrosoftCvt, RULES, Transform, config};
use crate::identify::{Fact, Hints, IdentifyError, Known, Model, Origin, choose_labels, choose_license};
use crate::image::{CropMode, Filter, MicrosoftTransform};
use crate::nn::{Activation, Window};
use crate::preprocessing::{DEFAULT_CROP_PCT, IMAGENET_MEAN, IMAGENET_STD, Preprocessing};
use crate::source::Source;
use crate::state_dict::StateDict;

/// Identifies a CvT.
pub(super) fn identify(
    source: &Source,
    state_dict: StateDict,
    hints: &Hints,
) -> Result<Model, IdentifyError> {
    let structure = Structure::read(&state_dict)?;
    if hints.without_head {
        return Err(IdentifyError::NoTarget {
            what: "a CvT without its classification head".to_owned(),
            why: "CvtModel ends before the final norm, so no class in transformers gives its features"
                .to_owned(),
            tensor: None,
            instead: "leave --no-head out".to_owned(),
        });
    }
    let published = published(hints, &structure)?;
    let heads = heads(hints, published, &structure)?;
    let size = image_size(source, hints, published)?;
    let preprocessing = preprocessing(hints, size.value);
    let processor = processor(&preprocessing)?;
    let labels = choose_labels(structure.classes, hints, None)?;
    let name = match published {
        Some(published) if source_is_named(source, published) => source.stem(),
        Some(published) => published.name.to_owned(),
        None => source.stem(),
    };
    Ok(Model {
        family: &Cvt,
        rules: RULES,
        name: escape(&name).to_string(),
        tag: None,
        facts: facts(&structure, &heads, &size, &preprocessing, hints, &labels),
        bindings: config::bindings(&structure),
        expected: config::expected(&structure),
        config: config::config(&structure, &heads.value),
        network: Box::new(MicrosoftCvt {
            network: network(&structure, &heads.value, size.value),
            transform: transform(&preprocessing, hints),
        }),
        labels: Some(labels),
        processor,
        license: choose_license(source, None),
        state_dict,
    })
}

/// The network by Microsoft's definition; the activation is what its factory passes, QuickGELU.
fn network(structure: &Structure, heads: &[u64], size: [u64; 2]) -> ConvolutionalVisionTransformer {
    let window = |kernel: u64, stride: u64, padding: u64| {
        let square = |edge: u64| (to_size(edge), to_size(edge));
        Window { kernel: square(kernel), stride: square(stride), padding: square(padding) }
    };
    let count = structure.stages.len();
    let geometry = config::PATCH_STRIDES.into_iter().zip(config::PATCH_PADDINGS);
    let stages = structure.stages.iter().zip(heads).zip(geometry).enumerate();
    ConvolutionalVisionTransformer {
        image_size: (to_size(size[0]), to_size(size[1])),
        channels: 3,
        stages: stages
            .map(|(index, ((stage, &heads), (stride, padding)))| CvtStage {
                embedding: window(stage.patch_kernel, stride, padding),
                dim: to_size(stage.width),
                depth: to_size(stage.depth),
                heads: to_size(heads),
                mlp_hidden: to_size(stage.mlp),
                qkv_bias: structure.qkv_bias,
                class_token: index + 1 == count,
                query: window(stage.qkv_kernel, 1, config::QKV_PADDING),
                key_value: window(stage.qkv_kernel, config::KV_STRIDE, config::QKV_PADDING),
            })
            .collect(),
        activation: Activation::QuickGelu,
        classes: to_size(structure.classes),
    }
}

fn source_is_named(source: &Source, published: &Published) -> bool {
    by_name(&source.stem()) == Some(published)
}

/// The published model that the sizes are, checked against `--arch`.
fn published(hints: &Hints, structure: &Structure) -> Result<Option<&'static Published>, IdentifyError> {
    let is_same = |known: &&Published| {
        structure.stages.iter().map(|stage| stage.width).eq(known.embed_dim)
            && structure.stages.iter().map(|stage| stage.depth).eq(known.depth)
    };
    let by_sizes = PUBLISHED.iter().find(is_same);
    let Some(arch) = &hints.arch else { return Ok(by_sizes) };
    let Some(named) = by_name(arch) else {
        let names = PUBLISHED.map(|known| known.name).join(", ");
        return Err(IdentifyError::UnknownName {
            name: arch.clone(),
            suggestion: format!(" (CvTs are {names})"),
        });
    };
    if by_sizes == Some(named) {
        return Ok(by_sizes);
    }
    let widths: Vec<u64> = structure.stages.iter().map(|stage| stage.width).collect();
    let depths: Vec<u64> = structure.stages.iter().map(|stage| stage.depth).collect();
    Err(IdentifyError::Contradiction {
        option: format!("--arch {}", escape(arch)),
        reason: format!("its stages have {widths:?} channels and {depths:?} blocks; leave --arch out"),
    })
}

fn heads(
    hints: &Hints,
    published: Option<&'static Published>,
    structure: &Structure,
) -> Result<Known<Vec<u64>>, IdentifyError> {
    let stages = &structure.stages;
    if let Some(heads) = &hints.num_heads {
        let divides = |(heads, width): (&u64, u64)| *heads > 0 && width % heads == 0;
        if heads.len() == stages.len()
            && heads.iter().zip(stages.iter().map(|stage| stage.width)).all(divides)
        {
            return Ok(Known::new(heads.clone(), Origin::Option("--num-heads")));
        }
        let widths: Vec<u64> = stages.iter().map(|stage| stage.width).collect();
        return Err(IdentifyError::Contradiction {
            option: "--num-heads".to_owned(),
            reason: format!("it needs one number a stage, each a divisor of its channels {widths:?}"),
        });
    }
    if let Some(published) = published {
        return Ok(Known::new(published.num_heads.to_vec(), Origin::Published(published.name.to_owned())));
    }
    let widths: Vec<u64> = stages.iter().map(|stage| stage.width).collect();
    let by_64: Vec<String> = widths.iter().map(|width| (width / 64).max(1).to_string()).collect();
    Err(IdentifyError::Undecided {
        question: format!(
            "the numbers of attention heads leave no trace in the weights, and no published CvT has {widths:?} channels"
        ),
        candidates: format!(
            "all divisors of the channels (Microsoft's have one head every 64: {})",
            by_64.join(",")
        ),
        option: format!("give --num-heads with {} numbers, such as --num-heads 1,3,6", stages.len()),
    })
}

/// The picture's size: by an option, by a name, or because only one was published.
fn image_size(
    source: &Source,
    hints: &Hints,
    published: Option<&'static Published>,
) -> Result<Known<[u64; 2]>, IdentifyError> {
    if let Some(size) = hints.image_size {
        return Ok(Known::new(size, Origin::Option("--image-size")));
    }
    let edges = published.map_or(&[224, 384][..], |published| published.image_sizes);
    let is_published = |edge: &u64| edges.contains(edge);
    if let Some(edge) = hints.arch.as_deref().and_then(edge_in_name).filter(is_published) {
        return Ok(Known::new([edge; 2], Origin::Option("--arch")));
    }
    let stem = source.stem();
    if let Some(edge) = edge_in_name(&stem).filter(is_published) {
        return Ok(Known::new([edge; 2], Origin::FileName(escape(&stem).to_string())));
    }
    match (edges, published) {
        (&[edge], Some(published)) => Ok(Known::new([edge; 2], Origin::Published(published.name.to_owned()))),
        _ => Err(IdentifyError::Undecided {
            question: "the size of the picture leaves no trace in a CvT's weights".to_owned(),
            candidates: edges.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and "),
            option: "give --image-size 224 or --image-size 384, as it was trained".to_owned(),
        }),
    }
}

/// Microsoft's test transform: at 384 and above the picture is squashed, below it is resized to size / 0.875 and cropped.
fn preprocessing(hints: &Hints, size: [u64; 2]) -> Preprocessing {
    let is_squashed = size.iter().all(|&edge| edge >= 384);
    Preprocessing {
        size,
        crop_pct: hints.crop_pct.unwrap_or(if is_squashed { 1.0 } else { DEFAULT_CROP_PCT }),
        crop_mode: hints.crop_mode.unwrap_or(if is_squashed { CropMode::Squash } else { CropMode::Center }),
        interpolation: hints.interpolation.unwrap_or(Filter::Bicubic),
        mean: hints.mean.unwrap_or(IMAGENET_MEAN),
        std: hints.std.unwrap_or(IMAGENET_STD),
    }
}

/// Microsoft's own transform, unless the user asked for another crop.
fn transform(preprocessing: &Preprocessing, hints: &Hints) -> Transform {
    let [height, width] = preprocessing.size;
    if hints.crop_pct.is_some() || hints.crop_mode.is_some() || height != width {
        return Transform::Other(preprocessing.timm_transform());
    }
    Transform::Microsoft(MicrosoftTransform {
        image_size: to_size(height),
        center_crop: preprocessing.crop_mode == CropMode::Center,
        interpolation: preprocessing.interpolation,
        mean: preprocessing.mean,
        std: preprocessing.std,
    })
}

fn to_size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// `ConvNextImageProcessor`, as all published CvT folders have it, where it gives the same pixels: it squashes from 384 on
/// and crops below. Otherwise the class that does.
fn processor(preprocessing: &Preprocessing) -> Result<Value, IdentifyError> {
    let [height, width] = preprocessing.size;
    let is_large = height >= 384;
    let is_same = height == width
        && match preprocessing.crop_mode {
            CropMode::Center => !is_large,
            CropMode::Squash => is_large && preprocessing.crop_pct == 1.0,
            CropMode::Border => false,
        };
    if !is_same {
        return Ok(preprocessing.processor()?);
    }
    Ok(json!({
        "crop_pct": if is_large { DEFAULT_CROP_PCT } else { preprocessing.crop_pct },
        "do_normalize": true,
        "do_rescale": true,
        "do_resize": true,
        "image_mean": preprocessing.mean,
        "image_processor_type": "ConvNextImageProcessor",
        "image_std": preprocessing.std,
        "resample": preprocessing.interpolation.pillow_number(),
        "rescale_factor": 1.0 / 255.0,
        "size": { "shortest_edge": height },
    }))
}

fn facts(
    structure: &Structure,
    heads: &Known<Vec<u64>>,
    size: &Known<[u64; 2]>,
    preprocessing: &Preprocessing,
    hints: &Hints,
    labels: &crate::identify::Labels,
) -> Vec<Fact> {
    let weights = |tensor: &str| Origin::Weights(tensor.to_owned());
    let list = |numbers: Vec<u64>| numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let by = |option: Option<&'static str>| {
        option.map_or(Origin::Definition("Microsoft's test transform"), Origin::Option)
    };
    let definition = || Origin::Definition("Microsoft's cls_cvt.py");
    vec![
        Fact::new(
            "depth",
            list(structure.stages.iter().map(|stage| stage.depth).collect()),
            weights("blocks"),
        ),
        Fact::new(
            "embed_dim",
            list(structure.stages.iter().map(|stage| stage.width).collect()),
            weights("patch_embed.proj.weight"),
        ),
        Fact::new("num_heads", list(heads.value.clone()), heads.origin.clone()),
        Fact::new("image_size", format!("{}x{}", size.value[0], size.value[1]), size.origin.clone()),
        Fact::new("classes", structure.classes, weights("head.weight")),
        Fact::new("activation", "quick_gelu; transformers computes gelu", definition()),
        Fact::new("layer_norm_eps", format!("{:e}", config::LAYER_NORM_EPS), definition()),
        Fact::new("mean", format!("{:?}", preprocessing.mean), by(hints.mean.map(|_| "--mean"))),
        Fact::new("std", format!("{:?}", preprocessing.std), by(hints.std.map(|_| "--std"))),
        Fact::new(
            "interpolation",
            preprocessing.interpolation.name(),
            by(hints.interpolation.map(|_| "--interpolation")),
        ),
        Fact::new("crop_pct", preprocessing.crop_pct, by(hints.crop_pct.map(|_| "--crop-pct"))),
        Fact::new("crop_mode", preprocessing.crop_mode.name(), by(hints.crop_mode.map(|_| "--crop-mode"))),
        Fact::new("labels", format!("{} names", labels.value.len()), labels.origin.clone()),
    ]
}
