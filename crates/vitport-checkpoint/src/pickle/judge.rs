//! Whether a call that is not made would be dangerous.
//!
//! Most dangerous calls are so by the name of what is called ([`dangerous`](super::dangerous)). The others reach it on a
//! detour: `getattr` of a class or a module, a call of what another call returned, a class made on the spot, attributes set
//! on something imported, or a state that replaces `__setstate__`.

use super::arena::{Arena, Value};
use super::dangerous::is_dangerous;
use super::globals::Meaning;
use super::nodes::{Node, Object};
use crate::evidence::GlobalClass;

/// Limits the detours that are followed.
const DETOURS: usize = 8;

/// Describes what would be called.
enum Callee {
    /// Means a global, or what is reached from one: its module and its dotted name.
    Named(String, String),
    /// Means a method of an object that the pickle makes.
    Method,
    /// Says what some other call returns.
    Returned,
    /// Stands for nothing that can be called.
    Data,
}

/// Returns whether a call is dangerous.
pub(super) fn is_dangerous_call(arena: &Arena, callee: Value, args: Value) -> bool {
    let args = arena.sequence(args).unwrap_or_default();
    if let Some(Node::Global(number)) = arena.node(callee) {
        return match arena.globals.get(number) {
            Some((global, _)) => by_arguments(arena, &global.module, &global.name, args)
                .unwrap_or(global.class == GlobalClass::Dangerous),
            None => false,
        };
    }
    match resolve(arena, callee, DETOURS) {
        Callee::Data => false,
        Callee::Method | Callee::Returned => true,
        Callee::Named(module, name) => {
            by_arguments(arena, &module, &name, args).unwrap_or_else(|| is_dangerous(&module, &name))
        }
    }
}

/// Judges those functions that are dangerous with some arguments only; `None` for any other function.
fn by_arguments(arena: &Arena, module: &str, name: &str, args: &[Value]) -> Option<bool> {
    Some(match (module, name) {
        ("builtins" | "__builtin__", "type") => args.len() != 1,
        ("builtins" | "__builtin__", "getattr") => {
            let (owner, attribute) = (args.first()?, args.get(1)?);
            match attribute_of(arena, *owner, *attribute, DETOURS) {
                Callee::Named(module, name) => is_dangerous(&module, &name),
                _ => false,
            }
        }
        ("functools" | "_functools", "partial") => match resolve(arena, *args.first()?, DETOURS) {
            Callee::Named(module, name) => is_dangerous(&module, &name) || is_detour(&module, &name),
            _ => false,
        },
        // The function in the first argument is called with the third.
        ("torch._tensor", "_rebuild_from_type" | "_rebuild_from_type_v2") => {
            is_called_dangerously(arena, *args.first()?)
        }
        _ => return None,
    })
}

/// Returns whether a function that another one calls may do anything but rebuild a tensor.
fn is_called_dangerously(arena: &Arena, function: Value) -> bool {
    match resolve(arena, function, DETOURS) {
        Callee::Named(module, name) => {
            let is_builder = arena.meaning(function).is_some_and(|meaning| meaning != Meaning::Nothing);
            !is_builder && (is_dangerous(&module, &name) || is_detour(&module, &name))
        }
        Callee::Method | Callee::Returned => true,
        Callee::Data => false,
    }
}

/// Returns whether a state replaces the method that the next state would be given to.
pub(super) fn is_dangerous_state(arena: &Arena, state: Value) -> bool {
    let is_hook = |key: &Value| matches!(arena.text(*key), Some("__setstate__" | "__class__"));
    let has_hook = |value: &Value| match arena.node(*value) {
        Some(Node::Dict(entries)) => entries.iter().any(|(key, _)| is_hook(key)),
        _ => false,
    };
    let parts = match arena.node(state) {
        Some(Node::Tuple(parts)) if parts.len() == 2 => parts,
        _ => &[],
    };
    has_hook(&state) || parts.iter().any(has_hook)
}

/// Returns whether a function calls or fetches something that its arguments name.
fn is_detour(module: &str, name: &str) -> bool {
    matches!((module, name), ("builtins" | "__builtin__", "getattr" | "type"))
}

fn resolve(arena: &Arena, callee: Value, detours: usize) -> Callee {
    let Some(detours) = detours.checked_sub(1) else {
        return Callee::Returned;
    };
    match arena.node(callee) {
        Some(Node::Global(number)) => match arena.globals.get(number) {
            Some((global, _)) => Callee::Named(global.module.clone(), global.name.clone()),
            None => Callee::Data,
        },
        Some(Node::Object(object)) => returned(arena, object, detours),
        _ => Callee::Data,
    }
}

/// Resolves what a call returns, as far as it is a function by another name.
fn returned(arena: &Arena, object: &Object, detours: usize) -> Callee {
    let args = arena.sequence(object.args).unwrap_or_default();
    let Callee::Named(module, name) = resolve(arena, object.callee, detours) else {
        return Callee::Returned;
    };
    match (module.as_str(), name.as_str(), args) {
        ("builtins" | "__builtin__", "getattr", [owner, attribute, ..]) => {
            attribute_of(arena, *owner, *attribute, detours)
        }
        ("functools" | "_functools", "partial", [function, ..]) => {
            // The state of a partial names its function once more.
            let state = object.states.last().and_then(|state| arena.sequence(*state));
            let function = state.and_then(<[Value]>::first).unwrap_or(function);
            resolve(arena, *function, detours)
        }
        _ => Callee::Returned,
    }
}

/// Resolves `getattr(owner, attribute)`.
fn attribute_of(arena: &Arena, owner: Value, attribute: Value, detours: usize) -> Callee {
    match (resolve(arena, owner, detours), arena.text(attribute)) {
        (Callee::Named(module, name), Some(attribute)) => {
            Callee::Named(module, format!("{name}.{attribute}"))
        }
        _ => Callee::Method,
    }
}
