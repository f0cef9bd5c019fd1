//! The modules of a file: classes and settings, by the paths that their parameters have in their names.
//!
//! The search goes where the walk for tensors goes, and also to modules without tensors: an activation has none.

use super::attributes;
use super::module::{Shape, shape};
use super::plain_values::{Reader, class_of, last_of_each};
use super::script::{Class, Classes, unmangled};
use crate::evidence::FileEvidence;
use crate::pickle::{Arena, Node, NodeId, Value};
use crate::plain_value::PlainValue;
use crate::saved_module::SavedModule;

/// Limits the dicts, lists, objects and modules inside each other that are followed.
const DEPTH: usize = 64;

/// Lists what `torch.nn.Module` keeps of itself that no forward pass reads next to the state (`Module.__init__`,
/// torch/nn/modules/module.py; `_backend` before 1.3).
const INTERNALS: [&str; 13] = [
    "_parameters",
    "_buffers",
    "_modules",
    "_non_persistent_buffers_set",
    "_backward_hooks",
    "_backward_pre_hooks",
    "_is_full_backward_hook",
    "_state_dict_hooks",
    "_state_dict_pre_hooks",
    "_load_state_dict_pre_hooks",
    "_load_state_dict_post_hooks",
    "_version",
    "_backend",
];

/// Lists the dicts of hooks that run with a forward pass, and the flags of these hooks.
const HOOKS: [&str; 5] = [
    "_forward_hooks",
    "_forward_pre_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_pre_hooks_with_kwargs",
    "_forward_hooks_always_called",
];

/// Returns all modules that the top leads to.
pub(super) fn modules(
    arena: &Arena,
    root: Value,
    scripts: &Classes,
    evidence: &mut FileEvidence,
) -> Vec<SavedModule> {
    let mut search = Search { reader: Reader::new(arena), scripts, open: Vec::new(), found: Vec::new() };
    search.visit(root, "");
    if search.reader.is_cut() {
        evidence.is_cut = true;
        evidence.note("there is more in the modules than is kept of their settings");
    }
    search.found
}

struct Search<'a> {
    reader: Reader<'a>,
    scripts: &'a Classes,
    /// Holds the nodes between the top and here.
    open: Vec<NodeId>,
    found: Vec<SavedModule>,
}

impl<'a> Search<'a> {
    /// Looks for modules in a value under `path`, which is empty at the top.
    fn visit(&mut self, value: Value, path: &str) {
        let arena = self.reader.arena;
        let (Value::Node(id), Some(node)) = (value, arena.node(value)) else {
            return;
        };
        if self.reader.is_cut() || self.open.len() >= DEPTH || self.open.contains(&id) {
            return;
        }
        let entries = match node {
            Node::Dict(entries) => entries.to_vec(),
            Node::List(items) | Node::Tuple(items) => {
                let number = |index: usize| Value::Int(i32::try_from(index).unwrap_or(i32::MAX));
                items.iter().enumerate().map(|(index, item)| (number(index), *item)).collect()
            }
            Node::Object(object) => {
                let (fields, looks) = attributes::of(arena, object);
                if !self.reader.look(looks) {
                    return;
                }
                if let Some(shape) = shape(arena, self.scripts, object, &fields) {
                    self.open.push(id);
                    self.module(shape, class_of(arena, object).0, &fields, path);
                    self.open.pop();
                    return;
                }
                [fields.as_slice(), &object.items].concat()
            }
            _ => return,
        };
        if !self.reader.look(entries.len()) {
            return;
        }
        self.open.push(id);
        self.children(&entries, path);
        self.open.pop();
    }

    /// Visits what lies under each key, as far as more can lie in it.
    fn children(&mut self, entries: &[(Value, Value)], path: &str) {
        let arena = self.reader.arena;
        let leads_on = |value: Value| {
            matches!(
                arena.node(value),
                Some(Node::Dict(_) | Node::List(_) | Node::Tuple(_) | Node::Object(_))
            )
        };
        let entries: Vec<(Value, Value)> =
            entries.iter().filter(|(_, value)| leads_on(*value)).copied().collect();
        for (name, value) in last_of_each(arena, &entries) {
            let below = if path.is_empty() { name } else { format!("{path}.{name}") };
            if below.len() <= arena.limits.max_name_len && self.reader.take_text(below.len()) {
                self.visit(value, &below);
            }
        }
    }

    /// Adds a module, then its submodules.
    fn module(&mut self, shape: Shape<'a>, class: Value, fields: &[(Value, Value)], path: &str) {
        let arena = self.reader.arena;
        let class = match arena.node(class) {
            Some(Node::Global(number)) => self.reader.name(number).unwrap_or_default(),
            _ => String::new(),
        };
        let (class, script) = match shape {
            Shape::Python => (class, None),
            Shape::Script(script) => (unmangled(&class), Some(script)),
        };
        let mut module =
            SavedModule { path: path.to_owned(), class, attributes: Vec::new(), calls: Vec::new() };
        for (name, value) in last_of_each(arena, fields) {
            if self.reader.is_cut() {
                break;
            }
            let is_state = script.is_some_and(|script| self.is_state(script, &name, value));
            if !is_state && !self.is_internal(&name, value) {
                let value = self.reader.value(value);
                module.attributes.push((name, value));
            }
        }
        if let Some(script) = script {
            self.add_code(&mut module, script);
        }
        self.found.push(module);
        match script {
            Some(_) => self.children(fields, path),
            None => {
                if let Some(Node::Dict(children)) = attributes::named(arena, fields, "_modules") {
                    self.children(children, path);
                }
            }
        }
    }

    /// Returns whether an attribute belongs to the machinery of `torch.nn.Module`. A dict of hooks in which there is one does not:
    /// a hook may change what a module gets or returns.
    fn is_internal(&self, name: &str, value: Value) -> bool {
        let is_empty = matches!(self.reader.arena.node(value), Some(Node::Dict([])));
        INTERNALS.contains(&name) || (HOOKS.contains(&name) && is_empty)
    }

    /// Returns whether an attribute of a TorchScript module is a tensor or a submodule.
    fn is_state(&self, script: &Class, name: &str, value: Value) -> bool {
        let listed = |names: &[String]| names.iter().any(|known| known == name);
        let is_object = matches!(self.reader.arena.node(value), Some(Node::Object(_)));
        listed(&script.parameters) || listed(&script.buffers) || is_object
    }

    /// Adds what the code of a TorchScript class says: its constants, and what it calls.
    fn add_code(&mut self, module: &mut SavedModule, script: &Class) {
        let is_known = |module: &SavedModule, name: &str| module.attribute(name).is_some();
        for (name, text) in &script.constants {
            if !INTERNALS.contains(&name.as_str())
                && !is_known(module, name)
                && self.reader.take_text(text.len())
            {
                let value = super::script_literals::literal(text);
                let value = value.unwrap_or_else(|| PlainValue::Opaque(text.clone()));
                module.attributes.push((name.clone(), value));
            }
        }
        for (name, hooks) in &script.hooks {
            if self.reader.take_text(hooks.iter().map(String::len).sum()) {
                let hooks = hooks.iter().cloned().map(PlainValue::Str).collect();
                module.attributes.push((name.clone(), PlainValue::List(hooks)));
            }
        }
        if self.reader.take_text(script.calls.iter().map(String::len).sum()) {
            module.calls.clone_from(&script.calls);
        }
    }
}
