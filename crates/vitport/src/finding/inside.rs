//! What stands under a network's own names and is not part of it: decoders and projection heads of pretraining; and the
//! classifier, where it is a layer in a list or lies next to the network.

use std::collections::BTreeMap;
use std::sync::Arc;

use vitport_checkpoint::Tensor;

use super::{FoundNetwork, outside};
use crate::facts::{Fact, FactError, Origin};
use crate::plan::Dropped;
use crate::state_dict::StateDict;

/// Describes where a definition, or a layout of it, has its classifier.
#[derive(Debug, Clone, Copy)]
pub struct Head {
    /// Names its linear layer: `head.fc`.
    name: &'static str,
    /// Names a tensor that has as many elements as the layer has inputs.
    width: &'static str,
    /// Names a tensor that other layouts with that one do not have.
    shown_by: &'static str,
}

impl Head {
    /// Describes a linear layer with as many inputs as the tensor `width` has elements.
    pub const fn new(name: &'static str, width: &'static str) -> Self {
        Self { name, width, shown_by: width }
    }

    /// Describes the layer of networks that have a tensor of this name, too.
    pub const fn shown_by(self, shown_by: &'static str) -> Self {
        Self { shown_by, ..self }
    }

    /// Returns whether a network has its classifier there.
    fn is_of(&self, state_dict: &StateDict) -> bool {
        state_dict.has(self.width) && state_dict.has(self.shown_by)
    }
}

/// Lists beginnings of the names of MAE's decoder.
const DECODER: [&str; 5] =
    ["decoder_pos_embed", "decoder_embed.", "decoder_blocks.", "decoder_norm.", "decoder_pred."];

/// Lists names of heads that networks are trained with and that are not a classifier if they normalise batches.
pub(super) const HEADS: [&str; 6] = ["head", "fc", "projector", "projection", "projection_head", "proj_head"];

/// Takes what is not part of the network out of its state dict, and gives the classifier its own name. `heads` are the
/// definition's, of which the first that fits counts; `without_head` says that it is not wanted.
///
/// # Errors
/// Returns [`FactError::NoTarget`] for a head of several layers that is wanted.
pub fn sort_out(
    network: FoundNetwork,
    heads: &[Head],
    without_head: bool,
) -> Result<(FoundNetwork, Option<Fact>), FactError> {
    let FoundNetwork { state_dict, outside, mut dropped, choice } = network;
    let head = heads.iter().find(|head| head.is_of(&state_dict));
    let mut kept: Vec<Entry> = Vec::new();
    let pretraining = heads_of_pretraining(&state_dict);
    // Without its outer layers a part of a decoder is something else.
    let has_decoder = state_dict.iter().any(|(name, _)| name.starts_with("decoder_pred."));
    let mut groups: BTreeMap<&str, (usize, u64, &str)> = BTreeMap::new();
    for (name, tensor) in state_dict.entries() {
        let first = name.split('.').next().unwrap_or_default();
        let reason = if has_decoder && DECODER.iter().any(|beginning| name.starts_with(beginning)) {
            Some("MAE's decoder, which only pretraining uses")
        } else if pretraining.contains(&first) {
            Some("a projection head of self-supervised training")
        } else {
            None
        };
        match reason {
            None => kept.push((Arc::clone(name), Arc::clone(tensor))),
            Some(reason) => {
                let (count, bytes, _) = groups.entry(first).or_insert((0, 0, reason));
                *count += 1;
                *bytes = bytes.saturating_add(tensor.bytes());
            }
        }
    }
    dropped.extend(groups.into_iter().map(|(first, (tensors, bytes, reason))| Dropped {
        name: format!("{}{first}{}", state_dict.prefix(), if tensors > 1 { ".*" } else { "" }),
        tensors,
        bytes,
        reason: reason.to_owned(),
    }));
    let mut classifier = None;
    if let Some(head) = head {
        unpack_list(&mut kept, &mut dropped, head, without_head)?;
        let has_head = pretraining.is_empty() && kept.iter().any(|(name, _)| name.starts_with(head.name));
        if !has_head && !without_head {
            classifier = from_outside(&mut kept, &mut dropped, &outside, head);
        }
    }
    let state_dict = StateDict::from_entries(kept).with_taken_prefix(state_dict.prefix());
    Ok((FoundNetwork { state_dict, outside, dropped, choice }, classifier))
}

/// Pairs a bare name with its tensor.
type Entry = (Arc<str>, Arc<Tensor>);

/// Returns the parts that normalise batches, or weights row by row, as projection heads do and classifiers do not.
fn heads_of_pretraining(state_dict: &StateDict) -> Vec<&str> {
    let mut found: Vec<&str> = Vec::new();
    for (name, _) in state_dict.iter() {
        let Some((first, rest)) = name.split_once('.') else { continue };
        let is_projection = HEADS.contains(&first) && rest.ends_with("running_mean")
            // MSN's and lightly's, which a classifier named `fc` would not have.
            || first == "fc" && rest.starts_with("fc1.")
            || rest.starts_with("last_layer.weight_g")
            || rest.starts_with("last_layer.parametrizations.");
        if is_projection && !found.contains(&first) {
            found.push(first);
        }
    }
    found
}

/// Gives the one linear layer of a head that is a list or has it by a name (`Sequential(Dropout, Linear)`, `head.fc`) the head's own name.
fn unpack_list(
    kept: &mut Vec<Entry>,
    dropped: &mut Vec<Dropped>,
    head: &Head,
    without_head: bool,
) -> Result<(), FactError> {
    let place = |name: &str| -> Option<(String, String)> {
        let (layer, rest) = name.strip_prefix(head.name)?.strip_prefix('.')?.split_once('.')?;
        Some((layer.to_owned(), rest.to_owned()))
    };
    let inside: Vec<(String, String, Entry)> = kept
        .iter()
        .filter_map(|entry| place(&entry.0).map(|(layer, rest)| (layer, rest, entry.clone())))
        .collect();
    let Some((first, _, (name, _))) = inside.first() else { return Ok(()) };
    let is_one = inside.iter().all(|(layer, rest, (_, tensor))| {
        layer == first
            && match rest.as_str() {
                "weight" => tensor.shape.len() == 2,
                "bias" => tensor.shape.len() == 1,
                _ => false,
            }
    });
    if is_one {
        for (name, _) in kept.iter_mut() {
            if let Some((_, rest)) = place(name) {
                *name = format!("{}.{rest}", head.name).into();
            }
        }
        return Ok(());
    }
    if !without_head {
        return Err(FactError::NoTarget {
            what: "a network whose head is several layers".to_owned(),
            why: "a classifier of transformers is one linear layer".to_owned(),
            tensor: Some(name.to_string()),
            instead: "give --no-head for the network without it".to_owned(),
        });
    }
    let bytes = inside.iter().fold(0_u64, |sum, (_, _, (_, tensor))| sum.saturating_add(tensor.bytes()));
    dropped.push(Dropped {
        name: format!("{}.*", head.name),
        tensors: inside.len(),
        bytes,
        reason: "the model is asked for without its classification head".to_owned(),
    });
    kept.retain(|(name, _)| place(name).is_none());
    Ok(())
}

/// Takes the classifier from next to the network, if there is one linear layer that fits it and no other part that could stand
/// between them. One that fits and is not taken says so.
fn from_outside(
    kept: &mut Vec<Entry>,
    dropped: &mut Vec<Dropped>,
    tensors: &[Arc<Tensor>],
    head: &Head,
) -> Option<Fact> {
    let (_, width) = kept.iter().find(|(name, _)| **name == *head.width)?;
    let width = width.elements();
    let of_part = |part: &Dropped| -> Vec<&Arc<Tensor>> {
        let path = part.name.strip_suffix('*').unwrap_or(&part.name);
        tensors.iter().filter(|tensor| tensor.name.starts_with(path)).collect()
    };
    // A norm between network and classifier looks like no weights, but has a number for each channel.
    let could_stand_between = |part: &&Dropped| match &*part.reason {
        outside::UNKNOWN => true,
        outside::NO_WEIGHTS => of_part(part).iter().any(|tensor| tensor.elements() == width),
        _ => false,
    };
    let open: Vec<&Dropped> = dropped.iter().filter(could_stand_between).collect();
    let linear = open.iter().find_map(|part| Some((part.name.clone(), linear(&of_part(part), width)?)));
    let (name, [weight, bias]) = linear?;
    let others: Vec<String> =
        open.iter().filter(|part| part.name != name).map(|part| part.name.clone()).collect();
    if !others.is_empty() {
        let options: Vec<String> = others.iter().map(|other| format!("--drop '{other}'")).collect();
        let reason = format!(
            "a linear layer that fits as the classifier, but {} could belong to it; if not, {} takes it",
            others.join(" and "),
            options.join(" ")
        );
        dropped.iter_mut().filter(|part| part.name == name).for_each(|part| part.reason.clone_from(&reason));
        return None;
    }
    let layer = weight.name.strip_suffix(".weight")?.to_owned();
    kept.push((format!("{}.weight", head.name).into(), Arc::clone(weight)));
    kept.push((format!("{}.bias", head.name).into(), Arc::clone(bias)));
    dropped.retain(|part| part.name != name);
    let what = "the only part next to the network that takes its output, a linear layer that fits it";
    let origin = Origin::Convention(what.to_owned());
    Some(Fact::new("classifier", vitport_checkpoint::escape(&layer).to_string(), origin))
}

/// Returns the weight and the bias of a part that is one linear layer with this many inputs.
fn linear<'a>(of_part: &[&'a Arc<Tensor>], width: u64) -> Option<[&'a Arc<Tensor>; 2]> {
    let [one, other] = of_part else { return None };
    let [weight, bias] = if one.shape.len() == 2 { [*one, *other] } else { [*other, *one] };
    let layer = weight.name.strip_suffix(".weight")?;
    let fits = bias.name.strip_suffix(".bias") == Some(layer)
        && matches!(weight.shape.as_slice(), [classes, inputs] if *inputs == width && bias.shape.as_slice() == [*classes]);
    fits.then_some([weight, bias])
}
