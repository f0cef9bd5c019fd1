//! Whole modules: what `state_dict()` would have given.
//!
//! `torch.save(model)` saves each module as an object with the dicts `_parameters`, `_buffers` and
//! `_modules`; a TorchScript archive saves attributes, and its code says which of them are parameters and
//! buffers. The order is that of `Module.state_dict`: a module's own parameters, its persistent buffers,
//! then its children.

use super::attributes;
use super::script::{Class, Classes};
use super::walk::Walk;
use crate::error::Fault;
use crate::pickle::nodes::Object;
use crate::pickle::{Arena, Node, Value};

/// Describes the attributes of an object.
type Fields = [(Value, Value)];

/// Describes how an object shows that it is a module.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape<'a> {
    /// Means the dicts of `torch.nn.Module`.
    Python,
    /// Means a class of a TorchScript archive.
    Script(&'a Class),
}

/// Returns whether an object is a module, and of which sort.
pub(super) fn shape<'a>(
    arena: &Arena,
    scripts: &'a Classes,
    object: &Object,
    fields: &Fields,
) -> Option<Shape<'a>> {
    if let Some(Node::Global(number)) = arena.node(object.callee)
        && let Some(class) = scripts.get(&number)
    {
        return Some(Shape::Script(class));
    }
    attributes::is_module(arena, fields).then_some(Shape::Python)
}

impl<'a> Walk<'a> {
    /// Returns the attribute of this name, the last one if it was set twice.
    fn field(&self, fields: &Fields, name: &str) -> Option<Node<'a>> {
        attributes::named(self.arena, fields, name)
    }

    /// Adds a module's tensors under `prefix`, which ends with a dot unless it is empty.
    pub(super) fn module(&mut self, shape: Shape<'a>, fields: &Fields, prefix: &str) -> Result<(), Fault> {
        match shape {
            Shape::Python => self.python_module(fields, prefix),
            Shape::Script(class) => self.script_module(class, fields, prefix),
        }
    }

    fn python_module(&mut self, fields: &Fields, prefix: &str) -> Result<(), Fault> {
        let entries = |node: Option<Node<'_>>| match node {
            Some(Node::Dict(entries)) => entries.to_vec(),
            _ => Vec::new(),
        };
        let transient: Vec<&str> = match self.field(fields, "_non_persistent_buffers_set") {
            Some(Node::Set(names) | Node::List(names)) => {
                names.iter().filter_map(|name| self.arena.text(*name)).collect()
            }
            _ => Vec::new(),
        };
        let parameters = entries(self.field(fields, "_parameters"));
        let buffers = entries(self.field(fields, "_buffers"));
        let children = entries(self.field(fields, "_modules"));
        for &(key, value) in self.last_of_each_key(&parameters).iter() {
            self.own_tensor(key, value, prefix)?;
        }
        for &(key, value) in self.last_of_each_key(&buffers).iter() {
            let persistent = match self.arena.node(value) {
                Some(Node::Tensor(view)) => view.persistent,
                _ => true,
            };
            if persistent && !self.arena.text(key).is_some_and(|name| transient.contains(&name)) {
                self.own_tensor(key, value, prefix)?;
            }
        }
        for &(key, value) in self.last_of_each_key(&children).iter() {
            self.child(key, value, prefix)?;
        }
        let own = fields.iter().filter(|(_, value)| {
            matches!(self.arena.node(*value), Some(Node::Tensor(_) | Node::Unsupported(_)))
        });
        if own.count() > 0 {
            self.out
                .evidence
                .note("tensors that are plain attributes of a module are not part of its state dict");
        }
        Ok(())
    }

    fn script_module(&mut self, class: &Class, fields: &Fields, prefix: &str) -> Result<(), Fault> {
        let fields = self.last_of_each_key(fields);
        let named = |walk: &Self, names: &[String], key: Value| {
            walk.arena.text(key).is_some_and(|key| names.iter().any(|name| name == key))
        };
        for &(key, value) in fields.iter() {
            if named(self, &class.parameters, key) {
                self.own_tensor(key, value, prefix)?;
            }
        }
        for &(key, value) in fields.iter() {
            if named(self, &class.buffers, key) {
                self.own_tensor(key, value, prefix)?;
            }
        }
        for &(key, value) in fields.iter() {
            self.child(key, value, prefix)?;
        }
        Ok(())
    }

    fn own_tensor(&mut self, key: Value, value: Value, prefix: &str) -> Result<(), Fault> {
        match self.arena.node(value) {
            Some(node @ (Node::Tensor(_) | Node::Unsupported(_))) => {
                let name = self.name(format!("{prefix}{}", self.key(key)).into())?;
                self.tensor(node, &name)
            }
            _ => Ok(()),
        }
    }

    /// Adds a child module; anything else under a child's name holds no state.
    fn child(&mut self, key: Value, value: Value, prefix: &str) -> Result<(), Fault> {
        let Some((id, Node::Object(object))) = self.worthwhile(value) else {
            return Ok(());
        };
        let fields = self.fields(object)?;
        let Some(shape) = shape(self.arena, self.scripts, object, &fields) else {
            return Ok(());
        };
        let below = self.name(format!("{prefix}{}.", self.key(key)).into())?;
        self.descend(id, &below)?;
        self.module(shape, &fields, &below)?;
        self.ascend();
        Ok(())
    }
}
