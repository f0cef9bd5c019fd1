//! From tensors, config and options to a model: the order in which a ViT's facts are asked for, and who answers first.

use vitport_checkpoint::escape;

use super::architecture::{self, Named};
use super::arguments::{self, Hidden, TIMM_EPS};
use super::forward_timm::VisionTransformer;
use super::structure::{Layout, Structure};
use super::{JAX_RULES, RULES, TimmVit, Vit, config, jax, preprocess};
use crate::identify::{Fact, Hints, IdentifyError, Known, Model, Origin, choose_labels, choose_license};
use crate::source::Source;
use crate::state_dict::StateDict;

/// Identifies a ViT.
pub(super) fn identify(
    source: &Source,
    state_dict: StateDict,
    hints: &Hints,
) -> Result<Model, IdentifyError> {
    let configured = source.config.as_ref().map(arguments::image_size).transpose()?.flatten();
    let structure = Structure::read(&state_dict, hints, configured)?;
    if let Some(wanted) = hints.image_size.filter(|wanted| *wanted != structure.image) {
        let [height, width] = structure.image;
        return Err(IdentifyError::Contradiction {
            option: format!("--image-size {}x{}", wanted[0], wanted[1]),
            reason: format!(
                "its positions are those of {height}x{width} pixels, and vitport does not resample them"
            ),
        });
    }
    let named = architecture::named(source, hints, &structure)?;
    let hidden = hidden(source, hints, named.as_ref(), &structure)?;
    let with_head = structure.classes > 0 && !hints.without_head;
    let (preprocessing, preprocessing_facts) =
        preprocess::choose(hints, source.config.as_ref(), named.as_ref(), &structure)?;
    let processor = preprocessing.processor()?;
    let labels = match with_head {
        true => Some(choose_labels(structure.classes, hints, source.config.as_ref())?),
        false => None,
    };
    let mut facts = facts(&structure, &hidden, named.as_ref(), with_head, hints);
    facts.extend(preprocessing_facts);
    if let Some(labels) = &labels {
        facts.push(Fact::new("labels", format!("{} names", labels.value.len()), labels.origin.clone()));
    }
    let stem = escape(&source.stem()).to_string();
    let tag = named
        .as_ref()
        .filter(|named| is_published(named, &structure))
        .and_then(|named| Some(named.tag?.full_name()));
    Ok(Model {
        family: &Vit,
        rules: match structure.layout {
            Layout::Timm => RULES,
            Layout::Jax { .. } => JAX_RULES,
        },
        name: match &named {
            Some(named) if is_published(named, &structure) => named.name(),
            _ => stem,
        },
        license: choose_license(source, tag.as_deref()),
        tag,
        facts,
        bindings: config::bindings(&structure, with_head),
        expected: config::expected(&structure, with_head),
        config: config::config(&structure, &hidden, with_head),
        labels,
        processor,
        network: Box::new(TimmVit {
            network: network(&structure, &hidden, with_head),
            transform: preprocessing.timm_transform(),
            layout: structure.layout,
        }),
        state_dict,
    })
}

/// Whether the weights have the sizes of the architecture that is named, and the classes of its tag: a user's own variant
/// must not be called by the published one's name.
fn is_published(named: &Named, structure: &Structure) -> bool {
    architecture::difference(named.architecture, structure).is_none()
        && named.tag.is_none_or(|tag| tag.num_classes as u64 == structure.classes)
        && structure.image == named.architecture.img_size.map(|edge| edge as u64)
}

/// What the weights do not show, by the first of: options, config, the architecture that is named, timm's table.
fn hidden(
    source: &Source,
    hints: &Hints,
    named: Option<&Named>,
    structure: &Structure,
) -> Result<Hidden, IdentifyError> {
    let mut hidden = match (named, &source.config) {
        (Some(named), Some(config)) if hints.arch.is_none() => {
            arguments::of_config(named.architecture, config, structure)?
        }
        (Some(named), _) => arguments::of_architecture(named.architecture)?,
        (None, _) => {
            let heads = match (hints.num_heads.is_some(), structure.layout) {
                (false, Layout::Timm) => architecture::heads_of_all(structure)?,
                // Decided below.
                _ => Known::new(0, Origin::Option("--num-heads")),
            };
            let definition = || Origin::Definition("timm's VisionTransformer where nothing else is said");
            Hidden {
                heads,
                eps: Known::new(TIMM_EPS, definition()),
                activation: Known::new(arguments::GELU, definition()),
            }
        }
    };
    match hints.num_heads.as_deref() {
        Some(&[heads]) => hidden.heads = Known::new(heads, Origin::Option("--num-heads")),
        Some(list) => {
            return Err(IdentifyError::Contradiction {
                option: "--num-heads".to_owned(),
                reason: format!("a ViT has one number of heads, and {} are given", list.len()),
            });
        }
        None => {}
    }
    if let Layout::Jax { heads } = structure.layout {
        if hints.num_heads.is_some() && hidden.heads.value != heads {
            return Err(IdentifyError::Contradiction {
                option: format!("--num-heads {}", hidden.heads.value),
                reason: format!("{} has an axis of {heads} heads", jax::QUERY),
            });
        }
        hidden.heads = Known::new(heads, Origin::Weights(jax::QUERY.to_owned()));
    }
    if let Some(eps) = hints.layer_norm_eps {
        hidden.eps = Known::new(eps, Origin::Option("--layer-norm-eps"));
    }
    let heads = hidden.heads.value;
    if heads == 0 || !structure.width.is_multiple_of(heads) {
        return Err(match &hidden.heads.origin {
            Origin::Option(option) => IdentifyError::Contradiction {
                option: format!("{option} {heads}"),
                reason: format!("it does not divide the width of {} channels", structure.width),
            },
            origin => IdentifyError::Misshapen {
                tensor: structure.layout.names().patches.to_owned(),
                family: "ViT",
                reason: format!("{heads} heads ({origin}) do not divide its {} channels", structure.width),
            },
        });
    }
    Ok(hidden)
}

fn facts(
    structure: &Structure,
    hidden: &Hidden,
    named: Option<&Named>,
    with_head: bool,
    hints: &Hints,
) -> Vec<Fact> {
    let weights = |tensor: &str| Origin::Weights(tensor.to_owned());
    let names = structure.layout.names();
    let [height, width] = structure.image;
    let [patch_height, patch_width] = structure.patch;
    let yes = |flag: bool| if flag { "yes" } else { "no" };
    let mut facts = Vec::new();
    if let Some(named) = named {
        facts.push(Fact::new("architecture", named.name(), named.origin.clone()));
    }
    let image_origin = match hints.image_size {
        Some(_) => Origin::Option("--image-size"),
        None => weights(names.positions),
    };
    facts.extend([
        Fact::new("image_size", format!("{height}x{width}"), image_origin),
        Fact::new("patch_size", format!("{patch_height}x{patch_width}"), weights(names.patches)),
        Fact::new("hidden_size", structure.width, weights(names.patches)),
        Fact::new("num_hidden_layers", structure.depth, weights(names.blocks)),
        Fact::new("num_attention_heads", hidden.heads.value, hidden.heads.origin.clone()),
        Fact::new("intermediate_size", structure.mlp, weights(names.mlp)),
        Fact::new("hidden_act", hidden.activation.value.transformers, hidden.activation.origin.clone()),
        Fact::new("layer_norm_eps", format!("{:e}", hidden.eps.value), hidden.eps.origin.clone()),
        Fact::new("qkv_bias", yes(structure.qkv_bias), weights(names.qkv_bias)),
        Fact::new("class position", yes(structure.class_position), weights(names.positions)),
        Fact::new("layer scale", yes(structure.layer_scale.is_some()), weights(names.blocks)),
    ]);
    facts.push(match with_head {
        true => Fact::new("classes", structure.classes, weights(names.head)),
        false if structure.classes > 0 => Fact::new("classes", "none", Origin::Option("--no-head")),
        false => Fact::new("classes", "none", weights(&format!("no {}", names.head))),
    });
    facts
}

fn network(structure: &Structure, hidden: &Hidden, with_head: bool) -> VisionTransformer {
    let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let sides = |[height, width]: [u64; 2]| (size(height), size(width));
    VisionTransformer {
        image_size: sides(structure.image),
        patch_size: sides(structure.patch),
        channels: 3,
        dim: size(structure.width),
        depth: size(structure.depth),
        heads: size(hidden.heads.value),
        mlp_hidden: size(structure.mlp),
        norm_eps: hidden.eps.value,
        qkv_bias: structure.qkv_bias,
        layer_scale: structure.layer_scale,
        no_embed_class: !structure.class_position,
        activation: hidden.activation.value.computed,
        classes: if with_head { size(structure.classes) } else { 0 },
    }
}
