//! The attributes of an object, and whether they are those of a module.

use crate::pickle::nodes::Object;
use crate::pickle::{Arena, Node, Value};

/// Returns the attributes of an object, out of its states, and how many entries were looked at for them. A state is a dict,
/// or a dict and the values of slots. A module of `torch.fx` has no state; the dict that it is made of is its first argument
/// (`reduce_graph_module`).
pub(super) fn of(arena: &Arena, object: &Object) -> (Vec<(Value, Value)>, usize) {
    let mut fields = Vec::new();
    let mut looks = 0;
    let first = arena.sequence(object.args).and_then(<[Value]>::first);
    let made_of = first.and_then(|first| arena.node(*first));
    if let (true, Some(Node::Dict(entries))) = (object.states.is_empty(), made_of) {
        looks += entries.len();
        if is_module(arena, entries) {
            fields.extend_from_slice(entries);
        }
    }
    let number = |count: usize| Value::Int(i32::try_from(count).unwrap_or(i32::MAX));
    for state in &object.states {
        match arena.node(*state) {
            Some(Node::Dict(entries)) => fields.extend_from_slice(entries),
            Some(Node::Tuple(parts)) => {
                let dicts = parts.iter().filter_map(|part| match arena.node(*part) {
                    Some(Node::Dict(entries)) => Some(entries),
                    _ => None,
                });
                dicts.for_each(|entries| fields.extend_from_slice(entries));
                let others = parts.iter().filter(|part| !matches!(arena.node(**part), Some(Node::Dict(_))));
                fields.extend(others.enumerate().map(|(index, part)| (number(index), *part)));
            }
            _ => fields.push((number(fields.len()), *state)),
        }
    }
    looks = looks.saturating_add(fields.len());
    (fields, looks)
}

/// Returns whether attributes are those of a `torch.nn.Module`.
pub(super) fn is_module(arena: &Arena, fields: &[(Value, Value)]) -> bool {
    let has = |name| matches!(named(arena, fields, name), Some(Node::Dict(_)));
    has("_parameters") && has("_buffers") && has("_modules")
}

/// Returns the attribute of this name, the last one if it was set twice.
pub(super) fn named<'a>(arena: &'a Arena, fields: &[(Value, Value)], name: &str) -> Option<Node<'a>> {
    let found = fields.iter().rev().find(|(key, _)| arena.text(*key) == Some(name));
    found.and_then(|(_, value)| arena.node(*value))
}
