//! What a CvT's weights do not tell: its heads and its image come from an option, from the published model of the same sizes,
//! or from the file's name; strides and paddings are those of every published model.

use serde_json::{Value, json};
use vitport_checkpoint::escape;

use super::super::source::{Identity, Inquiry, Preparation, Transform};
use super::modules::MODULES;
use super::published::{PUBLISHED, PublishedCvt, by_name, edge_in_name};
use super::recorded::Recorded;
use crate::facts::{Candidate, Evidence, Fact, FactError, Facts, Origin, Question, Sourced};
use crate::image::{CropMode, Filter, MicrosoftTransform};
use crate::options::FactOptions;
use crate::preprocessing::{
    DEFAULT_CROP_PCT, IMAGENET_MEAN, IMAGENET_STD, Preprocessing, StatedPreprocessing,
};
use crate::source::Source;

/// Lists strides and paddings, one entry a stage (experiments/imagenet/cvt/*.yaml): they cannot be inferred from the weights.
const GEOMETRY: [(&str, [u64; 3]); 6] = [
    ("patch_stride", [4, 2, 2]),
    ("patch_padding", [2, 1, 1]),
    ("stride_kv", [2, 2, 2]),
    ("padding_kv", [1, 1, 1]),
    ("stride_q", [1, 1, 1]),
    ("padding_q", [1, 1, 1]),
];

/// Gives the epsilon of CvT's layer norms in Microsoft's definition (`norm_layer=partial(LayerNorm, eps=1e-5)`), and the one that
/// transformers always uses, whatever its config says.
const LAYER_NORM_EPS: f64 = 1e-5;

/// Gathers what is stated of a CvT outside of its tensors' shapes.
///
/// # Errors
/// Returns [`FactError`] for options that cannot be.
pub(super) fn gather(inquiry: &Inquiry<'_>, evidence: &mut Evidence) -> Result<Identity, FactError> {
    let Inquiry { source, options, .. } = inquiry;
    let unread = inquiry.modules.read("CvT", &[MODULES], |_| None, evidence)?;
    let recorded = Recorded::of(source, evidence);
    if let Some(like) = &options.like {
        let reason = "it is a CvT, which is prepared by Microsoft's own transform; give --mean, --std, --interpolation or \
                      --crop-pct where it was trained otherwise";
        return Err(FactError::contradiction(format!("--like {}", escape(like)), reason));
    }
    let facts = evidence.facts();
    let widths = facts.numbers("embed_dim").unwrap_or_default();
    let published = published(options, &facts, &widths)?;
    if let Some(published) = published {
        evidence.add("architecture", published.name, named_by(source, options, published));
    }
    for (fact, values) in GEOMETRY {
        evidence.add(fact, values.to_vec(), origin(published, "Microsoft's experiment files"));
    }
    evidence.add("act_layer", "quick_gelu", origin(published, "Microsoft's cls_cvt.py"));
    evidence.add("norm_eps", LAYER_NORM_EPS, origin(published, "Microsoft's cls_cvt.py"));
    if let Some(eps) = options.layer_norm_eps.filter(|eps| *eps != LAYER_NORM_EPS) {
        let reason =
            format!("Microsoft's CvT has an epsilon of {LAYER_NORM_EPS:e}, and transformers' no other");
        return Err(FactError::contradiction(format!("--layer-norm-eps {eps:e}"), reason));
    }
    heads(options, published, &widths, evidence)?;
    image_size(source, options, (published, recorded.size), evidence);
    let name = match published {
        Some(published) if by_name(&source.stem()) != Some(published) => published.name.to_owned(),
        _ => source.stem(),
    };
    let size = evidence.facts().pair("image_size");
    let stated = [recorded.preprocessing];
    let preparation = size.map(|size| prepare(options, published, &stated, size)).transpose()?;
    Ok(Identity {
        name: escape(&name).to_string(),
        published: None,
        preparation,
        read: recorded.read,
        unread,
    })
}

/// Returns the origin of what Microsoft's `file` says: of the published model that this is taken for, else of all CvTs.
fn origin(published: Option<&PublishedCvt>, file: &'static str) -> Origin {
    match published {
        Some(published) => Origin::Registry(format!("{file}: {}", published.name)),
        None => Origin::Definition(file),
    }
}

/// Returns what says that this is the published model: an option, the file's name, or its sizes alone.
fn named_by(source: &Source, options: &FactOptions, published: &PublishedCvt) -> Origin {
    let stem = source.stem();
    match by_name(&stem) {
        _ if options.arch.is_some() => Origin::Option("--arch"),
        Some(named) if named == published => Origin::FileName(escape(&stem).to_string()),
        _ => Origin::Candidates("Microsoft's experiment files: these widths and depths".to_owned()),
    }
}

/// Returns the published model that the sizes are, compared with `--arch`.
fn published(
    options: &FactOptions,
    facts: &Facts,
    widths: &[u64],
) -> Result<Option<&'static PublishedCvt>, FactError> {
    let depths = facts.numbers("depth").unwrap_or_default();
    let by_sizes = PUBLISHED.iter().find(|known| widths == known.embed_dim && depths == known.depth);
    let Some(arch) = &options.arch else { return Ok(by_sizes) };
    let Some(named) = by_name(arch) else {
        let names = PUBLISHED.map(|known| known.name).join(", ");
        return Err(FactError::UnknownName {
            name: arch.clone(),
            suggestion: format!(" (CvTs are {names})"),
        });
    };
    if by_sizes == Some(named) {
        return Ok(by_sizes);
    }
    Err(FactError::contradiction(
        format!("--arch {}", escape(arch)),
        format!("its stages have {widths:?} channels and {depths:?} blocks; leave --arch out"),
    ))
}

fn heads(
    options: &FactOptions,
    published: Option<&'static PublishedCvt>,
    widths: &[u64],
    evidence: &mut Evidence,
) -> Result<(), FactError> {
    if let Some(heads) = &options.num_heads {
        let divides = |(heads, width): (&u64, &u64)| *heads > 0 && width % heads == 0;
        if heads.len() == widths.len() && heads.iter().zip(widths).all(divides) {
            evidence.add("num_heads", heads.clone(), Origin::Option("--num-heads"));
            return Ok(());
        }
        let reason = format!("it needs one number a stage, each a divisor of its channels {widths:?}");
        return Err(FactError::contradiction("--num-heads", reason));
    }
    if let Some(published) = published {
        let by = origin(Some(published), "Microsoft's experiment files");
        evidence.add("num_heads", published.num_heads.to_vec(), by);
        return Ok(());
    }
    let by_64: Vec<String> = widths.iter().map(|width| (width / 64).max(1).to_string()).collect();
    let question = Question::new(
        "num_heads",
        format!(
            "the numbers of attention heads cannot be inferred from the weights, and no published CvT has {widths:?} channels; \
             one number a stage, each a divisor of its channels"
        ),
        "--num-heads",
        "N,N,N",
    );
    let note = "as Microsoft's, one head every 64 channels".to_owned();
    evidence.ask(Question { candidates: vec![Candidate { value: by_64.join(","), note }], ..question });
    Ok(())
}

/// Adds the image's size: by an option, by what training recorded, by a name, or because only one was published.
fn image_size(
    source: &Source,
    options: &FactOptions,
    (published, recorded): (Option<&'static PublishedCvt>, Option<Sourced<[u64; 2]>>),
    evidence: &mut Evidence,
) {
    let recorded = recorded.map(|size| Fact::new("image_size", size.value.to_vec(), size.origin));
    match (options.image_size, recorded) {
        (Some(size), recorded) => {
            let fact = Fact::new("image_size", size.to_vec(), Origin::Option("--image-size"));
            return evidence.state(match recorded {
                Some(other) if other.value == fact.value => other,
                Some(other) => fact.in_place_of(other),
                None => fact,
            });
        }
        (None, Some(recorded)) => return evidence.state(recorded),
        (None, None) => {}
    }
    let mut add = |edge: u64, origin| evidence.add("image_size", vec![edge; 2], origin);
    let edges = published.map_or(&[224, 384][..], |published| published.image_sizes);
    let is_published = |edge: &u64| edges.contains(edge);
    if let Some(edge) = options.arch.as_deref().and_then(edge_in_name).filter(is_published) {
        return add(edge, Origin::Option("--arch"));
    }
    let stem = source.stem();
    if let Some(edge) = edge_in_name(&stem).filter(is_published) {
        return add(edge, Origin::FileName(escape(&stem).to_string()));
    }
    match (edges, published) {
        (&[edge], Some(_)) => add(edge, origin(published, "Microsoft's experiment files")),
        _ => {
            let what = "the size of the image cannot be inferred from a CvT's weights";
            let question = Question::new("image_size", what, "--image-size", "HEIGHTxWIDTH");
            evidence.ask(question.with_candidates(edges));
        }
    }
}

/// Returns Microsoft's test transform: at 384 and above the image is squashed, below it is resized to size / 0.875 and cropped.
fn prepare(
    options: &FactOptions,
    published: Option<&PublishedCvt>,
    stated: &[StatedPreprocessing],
    size: [u64; 2],
) -> Result<Preparation, FactError> {
    let is_squashed = size.iter().all(|&edge| edge >= 384);
    let base = Preprocessing {
        size,
        crop_pct: if is_squashed { 1.0 } else { DEFAULT_CROP_PCT },
        crop_mode: if is_squashed { CropMode::Squash } else { CropMode::Center },
        interpolation: Filter::Bicubic,
        mean: IMAGENET_MEAN,
        std: IMAGENET_STD,
    };
    let (preprocessing, facts) =
        base.overridden(options, &origin(published, "Microsoft's test transform"), stated)?;
    let transform = transform(&preprocessing, options);
    let processor = processor(&preprocessing);
    Ok(Preparation { preprocessing, facts, transform, processor, is_grey: false })
}

/// Returns Microsoft's own transform, unless the user asked for another crop.
fn transform(preprocessing: &Preprocessing, options: &FactOptions) -> Transform {
    let [height, width] = preprocessing.size;
    if options.crop_pct.is_some() || options.crop_mode.is_some() || height != width {
        return Transform::Timm(preprocessing.timm_transform());
    }
    Transform::Microsoft(MicrosoftTransform {
        image_size: usize::try_from(height).unwrap_or(usize::MAX),
        center_crop: preprocessing.crop_mode == CropMode::Center,
        interpolation: preprocessing.interpolation,
        mean: preprocessing.mean,
        std: preprocessing.std,
    })
}

/// Returns `ConvNextImageProcessor`, as all published CvT folders have it, where it gives the same pixels: it squashes from 384 on
/// and crops below.
fn processor(preprocessing: &Preprocessing) -> Option<Value> {
    let [height, width] = preprocessing.size;
    let is_large = height >= 384;
    let is_same = height == width
        && match preprocessing.crop_mode {
            CropMode::Center => !is_large,
            CropMode::Squash => is_large && preprocessing.crop_pct == 1.0,
            CropMode::Border => false,
        };
    is_same.then(|| {
        json!({
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
        })
    })
}
