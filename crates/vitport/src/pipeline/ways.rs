//! The ways back: from a class of transformers to the frameworks of which a mapping, or a mapping and a layout, has such networks.

use vitport_checkpoint::escape;

use crate::facts::FactError;
use crate::frameworks::transformers::TargetDefinition;
use crate::frameworks::{DESTINATIONS, TARGETS, maker_of};
use crate::mapping::{Mapping, layouts, mappings};

/// Describes a way back: the mapping that is read backwards, and the layout whose names are written.
pub(super) struct Way {
    pub target: &'static dyn TargetDefinition,
    pub mapping: &'static Mapping,
    pub layout: Option<&'static Mapping>,
}

/// Returns the ways back from a class to a framework.
pub(super) fn ways(model_type: &str, framework: &str) -> Vec<Way> {
    let of_target = |target: &'static dyn TargetDefinition| {
        // What is only asked for scales weights, and a folder does not show by how much.
        let is_its = |mapping: &&Mapping| mapping.to() == target.id() && !mapping.is_only_asked_for();
        mappings().iter().filter(is_its).flat_map(move |mapping| {
            let plain = (mapping.framework() == framework).then_some(None);
            let through = layouts_of(mapping, framework).map(Some);
            plain.into_iter().chain(through).map(move |layout| Way { target, mapping, layout })
        })
    };
    TARGETS.into_iter().filter(|target| target.model_type() == model_type).flat_map(of_target).collect()
}

/// Returns the layouts of a framework in which sources of a mapping are written.
fn layouts_of(mapping: &Mapping, framework: &str) -> impl Iterator<Item = &'static Mapping> {
    layouts().iter().filter(move |layout| {
        let is_its = layout.is_written() && layout.to() == mapping.from() && !layout.excludes(mapping);
        is_its && layout.framework() == framework
    })
}

/// Returns the names of the frameworks that folders of a model type may go back to.
pub fn ways_back(model_type: &str) -> Vec<&'static str> {
    DESTINATIONS.into_iter().filter(|framework| !ways(model_type, framework).is_empty()).collect()
}

/// Returns the refusal of a class that has no way back to a framework, of a folder that goes back to others.
pub(super) fn no_way(class: &str, model_type: &str, framework: &str, others: &[&str]) -> FactError {
    let model_type = escape(model_type);
    let is_only_read = layouts().iter().any(|layout| {
        let is_its = mappings().iter().any(|mapping| {
            let is_to = TARGETS
                .into_iter()
                .any(|target| target.id() == mapping.to() && model_type.to_string() == target.model_type());
            is_to && mapping.from() == layout.to()
        });
        is_its && layout.framework() == framework && !layout.is_written()
    });
    let why = match is_only_read {
        true => format!("vitport reads such networks of {} and does not write them", maker_of(framework)),
        false => format!("no mapping makes a `{model_type}` of a network of {}", maker_of(framework)),
    };
    let instead = match others.is_empty() {
        true => "it has no way back".to_owned(),
        false => format!("it goes back with --to {}", listed(others)),
    };
    let tensor = Some("model_type in config.json".to_owned());
    FactError::NoTarget { what: class_named(class), why, tensor, instead }
}

/// Returns what could be done instead, with the other frameworks that the folder goes back to.
pub(super) fn or_back_to(instead: String, others: &[&str]) -> String {
    match others.is_empty() {
        true => instead,
        false => format!("{instead}; this folder goes back with --to {}", listed(others)),
    }
}

fn listed(names: &[&str]) -> String {
    match names.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} or {last}", others.join(", ")),
        _ => names.concat(),
    }
}

/// Returns a class as refusals name it.
pub(super) fn class_named(class: &str) -> String {
    escape(if class.is_empty() { "a folder that names no class" } else { class }).to_string()
}
