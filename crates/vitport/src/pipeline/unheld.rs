//! What a framework's network has otherwise than the folder, and no config of its says: how that is found, and the same as deviations
//! whose effect is measured.

use serde_json::{Map, Value};

use super::back::{PreparedBack, refused};
use super::error::ConvertError;
use super::identify::target_network;
use crate::facts::{Fact, FactError, Facts, Origin, is_same};
use crate::frameworks::source::Unheld;
use crate::mapping::{Deviation, InCommon, Mapping};
use crate::model::Model;

/// Names the fact that a network may have otherwise: how much that changes is measured.
const NORM_EPS: &str = "norm_eps";

/// Names the fact that a network may have otherwise where both are GELU, exact or by tanh.
const ACT_LAYER: &str = "act_layer";

/// Lists these two.
const GELUS: [&str; 2] = ["gelu", "gelu_tanh"];

/// Lists the facts that are the epsilon of some norms alone, and which norms these are.
const EPS_OF_SOME: [(&str, &str); 2] =
    [("last_norm_eps", "the last norm"), ("block_norm_eps", "the blocks' norms and of the last")];

/// Returns the names of the deviations of networks whose epsilon, or whose kind of GELU, a framework's cannot have: `timm-eps`.
pub(super) fn deviations_of(framework: &str) -> [String; 2] {
    ["eps", "gelu"].map(|what| format!("{framework}-{what}"))
}

/// Returns the facts as the framework of a layout has them, and what that changes.
///
/// # Errors
/// Returns [`FactError::NoTarget`] for facts of which it has no network.
pub(super) fn in_layout(
    layout: &'static Mapping,
    mut facts: Facts,
    class: &str,
) -> Result<(Facts, Vec<Unheld>), FactError> {
    let mut unheld = Vec::new();
    for InCommon { fact, held, by } in layout.unlike(&facts) {
        let Some(known) = facts.get(fact).cloned() else { continue };
        let name = match fact {
            NORM_EPS => NORM_EPS,
            ACT_LAYER if [&known.value, held].iter().all(|act| GELUS.iter().any(|gelu| *act == gelu)) => {
                ACT_LAYER
            }
            _ => "",
        };
        if name.is_empty() {
            let why =
                format!("{fact} is {} and {} in every network of {by}", known.shown(), known.show(held));
            return Err(refused(class, why, None));
        }
        let why = format!("{by} has no other");
        unheld.push(Unheld { fact: name, wanted: known.value.clone(), held: held.clone(), why });
        facts.set(Fact { value: held.clone(), ..known });
    }
    match layout.refused_network(&facts) {
        Some(refusal) => Err(refusal),
        None => Ok((facts, unheld)),
    }
}

/// Gives a network the epsilon that all sources of a mapping have, where its config says another one, which verification measures.
pub(super) fn other_eps(mapping: &Mapping, known: &mut Map<String, Value>) -> Option<Unheld> {
    let (held, why) = mapping.required(NORM_EPS)?;
    let wanted = known.get(NORM_EPS).filter(|wanted| !is_same(wanted, held))?.clone();
    known.insert(NORM_EPS.to_owned(), held.clone());
    let of_some = EPS_OF_SOME.iter().map(|(fact, _)| *fact).find(|fact| mapping.reads_where_known(fact));
    let fact = of_some.unwrap_or(NORM_EPS);
    Some(Unheld { fact, wanted, held: held.clone(), why: why.to_owned() })
}

/// Returns the model with all that its framework cannot hold as known deviations: the folder has the values that are wanted.
///
/// # Errors
/// Returns [`ConvertError`] if the class cannot be built of them.
pub(super) fn deviating(mut model: Model, prepared: &PreparedBack) -> Result<Model, ConvertError> {
    if prepared.unheld.is_empty() {
        return Ok(model);
    }
    let is_of_timm = prepared.layout.is_none();
    let mut replaced = model.facts.clone();
    for unheld in &prepared.unheld {
        let Unheld { fact, held, .. } = unheld;
        if model.facts.get(fact).is_none() {
            let origin = if is_of_timm { "timm's architecture" } else { "the framework's own network" };
            let own = Fact::new(fact, held.clone(), Origin::Definition(origin));
            model.facts.set(own.clone());
            replaced.set(own);
        }
        let deviation = deviation_of(unheld, prepared);
        replaced = deviation.replaced(&replaced);
        model.mapping = model.mapping.deviating(deviation);
    }
    model.config = model.mapping.target_config(&replaced)?;
    let classes = replaced.number("num_classes").unwrap_or(0);
    model.target_network = target_network(model.target, &model.config, classes).map_err(|error| {
        FactError::Impossible { place: "config.json of the folder".to_owned(), reason: error.to_string() }
    })?;
    Ok(model)
}

/// Returns what a framework's network has otherwise as a deviation, with what removes it.
fn deviation_of(unheld: &Unheld, prepared: &PreparedBack) -> Deviation {
    let Unheld { fact, wanted, held, why } = unheld;
    let maker = prepared.maker();
    let network = if prepared.layout.is_some() { "network" } else { "architecture" };
    let shown = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let (wanted_shown, held_shown) = (shown(wanted), shown(held));
    let what =
        format!("{fact} is {wanted_shown} in the folder and {held_shown} in {maker}'s {network}, and {why}");
    let made = if prepared.layout.is_some() { "the network is made" } else { "timm.create_model" };
    let [eps, gelu] = deviations_of(&prepared.framework);
    let (name, remedy) = match *fact {
        ACT_LAYER => (gelu, format!("compute {wanted_shown} in its MLPs after {made}")),
        fact => {
            let of_some = EPS_OF_SOME.iter().find(|(name, _)| *name == fact);
            let norms = of_some.map_or("every norm", |(_, norms)| norms);
            (eps, format!("set the eps of {norms} to {wanted} after {made}"))
        }
    };
    Deviation::of_framework(&name, fact, wanted.clone(), what, remedy)
}
