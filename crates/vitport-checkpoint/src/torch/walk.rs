//! From a pickle's object to tensors with names: a depth-first walk in the order of the file.
//!
//! Names are dotted paths of dict keys, list indices and attributes. A module contributes what its
//! `state_dict` would ([`module`](super::module)). The walk goes only where tensors are, never in
//! circles, and never deeper or longer than the limits allow.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::reach::{self, Containers};
use super::script::Classes;
use super::{Locate, attributes, module};
use crate::contents::{Branch, Contents};
use crate::error::{Fault, Reason, refuse};
use crate::escape::escape;
use crate::evidence::Unsupported;
use crate::pickle::nodes::{Object, View};
use crate::pickle::{Arena, Node, NodeId, Value};
use crate::tensor::Tensor;

/// Limits the depth of the walk, however high the limit is set.
const DEEPEST: usize = 200;

/// Limits the entries of dicts, lists and objects that are looked at for each tensor that is allowed.
const LOOKS_A_TENSOR: usize = 30;

/// Describes the walk while it runs.
pub(super) struct Walk<'a> {
    pub(super) arena: &'a Arena,
    pub(super) scripts: &'a Classes,
    pub(super) out: Contents,
    /// Holds the containers from which a tensor can be reached.
    reaching: Containers,
    /// Holds the nodes between the top and here.
    open: Vec<NodeId>,
    /// Holds the branches between the top and here.
    inside: Vec<usize>,
    locate: &'a mut Locate<'a>,
    /// Holds the storage made for each declared one.
    storages: Vec<Option<usize>>,
    /// Gives the entries looked at so far.
    looks: usize,
    /// Gives the bytes of all names so far, those of branches included.
    named: usize,
}

/// Walks from the top of a pickle.
pub(super) fn walk<'a>(
    arena: &'a Arena,
    root: Value,
    scripts: &'a Classes,
    locate: &'a mut Locate<'a>,
) -> Result<Contents, Fault> {
    let mut walk = Walk {
        arena,
        scripts,
        out: Contents::default(),
        reaching: reach::reaching_tensors(arena, root),
        open: Vec::new(),
        inside: Vec::new(),
        locate,
        storages: Vec::new(),
        looks: 0,
        named: 0,
    };
    // Most tensors are met once, and have a storage of their own.
    let tensors = arena.tensors().min(arena.limits.max_tensors);
    walk.out.tensors.reserve(tensors);
    walk.out.storages.reserve(tensors);
    if matches!(arena.node(root), Some(Node::Tensor(_) | Node::Unsupported(_))) {
        // A tensor that was saved by itself has no name.
        walk.enter("");
        walk.visit(root, "tensor")?;
        walk.leave();
    } else {
        walk.visit(root, "")?;
    }
    if walk.out.branches.is_empty() {
        walk.enter("");
        walk.leave();
    }
    Ok(walk.out)
}

impl<'a> Walk<'a> {
    /// Begins a branch.
    fn enter(&mut self, path: &str) {
        let (tensors, unsupported) = (self.out.tensors.len(), self.out.unsupported.len());
        let depth = self.inside.len();
        self.inside.push(self.out.branches.len());
        self.out.branches.push(Branch {
            path: path.to_owned(),
            depth,
            tensors: tensors..tensors,
            direct: 0,
            unsupported: unsupported..unsupported,
        });
    }

    /// Ends the innermost branch; one without tensors is forgotten.
    fn leave(&mut self) {
        let number = self.inside.pop().unwrap_or(0);
        let Some(branch) = self.out.branches.get_mut(number) else {
            return;
        };
        branch.tensors.end = self.out.tensors.len();
        branch.unsupported.end = self.out.unsupported.len();
        if branch.tensors.is_empty() && branch.unsupported.is_empty() && number > 0 {
            self.out.branches.truncate(number);
        }
    }

    /// Returns the node of a value, if tensors can be reached through it and it is not being visited already.
    pub(super) fn worthwhile(&self, value: Value) -> Option<(NodeId, Node<'a>)> {
        let Value::Node(id) = value else {
            return None;
        };
        let node = self.arena.node(value)?;
        let is_tensor = matches!(node, Node::Tensor(_) | Node::Unsupported(_));
        let is_worthwhile = is_tensor || self.reaching.contains(&id) && !self.open.contains(&id);
        is_worthwhile.then_some((id, node))
    }

    /// Counts entries that are looked at. Values that are shared are looked at once for each path to them.
    fn look(&mut self, entries: usize) -> Result<(), Fault> {
        self.looks = self.looks.saturating_add(entries);
        if self.looks <= self.arena.limits.max_tensors.saturating_mul(LOOKS_A_TENSOR) {
            return Ok(());
        }
        refuse(Reason::Limit, "the pickle's objects refer to each other in too many ways")
    }

    /// Counts the bytes of names.
    fn account(&mut self, bytes: usize) -> Result<(), Fault> {
        self.named = self.named.saturating_add(bytes);
        let limit = self.arena.limits.max_pickle_memory / 3;
        if self.named <= limit {
            return Ok(());
        }
        refuse(Reason::Limit, format!("the names of the tensors take more than {limit} bytes"))
    }

    /// Counts a step down and refuses what goes too deep.
    pub(super) fn descend(&mut self, id: NodeId, path: &str) -> Result<(), Fault> {
        self.look(1)?;
        if self.open.len() >= self.arena.limits.max_depth.min(DEEPEST) {
            return refuse(
                Reason::Limit,
                format!("tensors lie more than {} levels deep, at '{}'", self.open.len(), escape(&cut(path))),
            );
        }
        self.open.push(id);
        Ok(())
    }

    pub(super) fn ascend(&mut self) {
        self.open.pop();
    }

    fn visit(&mut self, value: Value, path: &str) -> Result<(), Fault> {
        let Some((id, node)) = self.worthwhile(value) else {
            return Ok(());
        };
        if matches!(node, Node::Tensor(_) | Node::Unsupported(_)) {
            return self.tensor(node, path);
        }
        self.descend(id, path)?;
        self.account(path.len() + size_of::<Branch>())?;
        self.enter(path);
        match node {
            Node::Dict(entries) => self.dict(entries, path)?,
            Node::List(items) | Node::Set(items) | Node::Tuple(items) => self.list(items, path)?,
            Node::Object(object) => self.object(object, path)?,
            _ => {}
        }
        self.leave();
        self.ascend();
        Ok(())
    }

    fn dict(&mut self, entries: &[(Value, Value)], path: &str) -> Result<(), Fault> {
        self.look(entries.len())?;
        for &(key, value) in self.last_of_each_key(entries).iter() {
            if self.worthwhile(value).is_some() {
                let below = self.join(path, self.key(key))?;
                self.visit(value, &below)?;
            }
        }
        Ok(())
    }

    fn list(&mut self, items: &[Value], path: &str) -> Result<(), Fault> {
        self.look(items.len())?;
        for (index, value) in items.iter().enumerate() {
            if self.worthwhile(*value).is_some() {
                let below = self.join(path, index.to_string())?;
                self.visit(*value, &below)?;
            }
        }
        Ok(())
    }

    /// Visits a module, or any other object: its attributes, its items, and what it would have been made of.
    fn object(&mut self, object: &'a Object, path: &str) -> Result<(), Fault> {
        let fields = self.fields(object)?;
        if let Some(shape) = module::shape(self.arena, self.scripts, object, &fields) {
            let prefix = if self.inside.len() <= 1 { String::new() } else { format!("{path}.") };
            return self.module(shape, &fields, &prefix);
        }
        self.dict(&fields, path)?;
        self.dict(&object.items, path)?;
        self.list(&object.list, path)?;
        if self.worthwhile(object.args).is_some() {
            let below = self.join(path, "__args__")?;
            self.visit(object.args, &below)?;
        }
        Ok(())
    }

    /// Returns the attributes of an object.
    pub(super) fn fields(&mut self, object: &Object) -> Result<Vec<(Value, Value)>, Fault> {
        let (fields, looks) = attributes::of(self.arena, object);
        self.look(looks)?;
        Ok(fields)
    }

    /// Returns a dict's entries as Python keeps them: a key that is set again keeps its place and gets the value.
    pub(super) fn last_of_each_key(&mut self, entries: &[(Value, Value)]) -> Vec<(Value, Value)> {
        let mut places: HashMap<Key<'_>, usize, RandomState> = HashMap::default();
        let mut kept: Vec<(Value, Value)> = Vec::with_capacity(entries.len());
        for &(key, value) in entries {
            let next = kept.len();
            let place = self.identity(key).map_or(next, |identity| *places.entry(identity).or_insert(next));
            let Some(before) = kept.get_mut(place) else {
                kept.push((key, value));
                continue;
            };
            before.1 = value;
            let name = cut(&self.key(key));
            self.out.evidence.note(format!(
                "a dict sets the key '{}' twice; the last value counts, as in Python",
                escape(&name)
            ));
        }
        kept
    }

    /// Returns what tells a dict's key from others; `None` for a key that is like no other.
    fn identity(&self, key: Value) -> Option<Key<'a>> {
        match (self.arena.text(key), self.arena.int(key)) {
            (Some(text), _) => Some(Key::Text(text)),
            (None, Some(number)) => Some(Key::Int(number)),
            (None, None) => None,
        }
    }

    /// Returns a key as part of a path.
    pub(super) fn key(&self, key: Value) -> Cow<'a, str> {
        super::key(self.arena, key)
    }

    /// Returns a path one key longer.
    pub(super) fn join<'k>(&self, path: &str, key: impl Into<Cow<'k, str>>) -> Result<Cow<'k, str>, Fault> {
        let key = key.into();
        self.name(if self.inside.len() <= 1 { key } else { format!("{path}.{key}").into() })
    }

    /// Returns a name, unless it is too long.
    pub(super) fn name<'k>(&self, name: Cow<'k, str>) -> Result<Cow<'k, str>, Fault> {
        let limit = self.arena.limits.max_name_len;
        if name.len() <= limit {
            return Ok(name);
        }
        let shown = cut(&name);
        refuse(
            Reason::Limit,
            format!("the name '{}' has {} bytes, more than {limit}", escape(&shown), name.len()),
        )
    }

    /// Adds a tensor under its path.
    pub(super) fn tensor(&mut self, node: Node<'_>, path: &str) -> Result<(), Fault> {
        let limit = self.arena.limits.max_tensors;
        if self.out.tensors.len() + self.out.unsupported.len() >= limit {
            return refuse(Reason::Limit, format!("the file names more than {limit} tensors"));
        }
        self.account(path.len())?;
        let branch = self.inside.last().and_then(|number| self.out.branches.get_mut(*number));
        if let Some(branch) = branch {
            branch.direct += 1;
        }
        match node {
            Node::Tensor(view) => {
                let tensor = self.placed(view, path)?;
                self.out.tensors.push(Arc::new(tensor));
            }
            Node::Unsupported(unread) => self.out.unsupported.push(Unsupported {
                path: path.to_owned(),
                kind: unread.kind.to_string(),
                dtype: unread.dtype.as_ref().map(ToString::to_string),
                shape: unread.shape.clone(),
            }),
            _ => {}
        }
        Ok(())
    }

    fn placed(&mut self, view: &View, path: &str) -> Result<Tensor, Fault> {
        let declared = view.declared as usize;
        if self.storages.len() <= declared {
            self.storages.resize(declared.saturating_add(1), None);
        }
        let storage = match self.storages.get(declared) {
            Some(&Some(number)) => number,
            _ => {
                let Some(declaration) = self.arena.storages.get(declared) else {
                    return refuse(Reason::Malformed, "a tensor names a storage that does not exist");
                };
                let storage = (self.locate)(self.arena, declaration)?;
                let number = self.out.storages.len();
                self.out.storages.push(storage);
                if let Some(slot) = self.storages.get_mut(declared) {
                    *slot = Some(number);
                }
                number
            }
        };
        let (Some(shape), Some(strides)) =
            (self.arena.numbers(view.shape)?, self.arena.numbers(view.strides)?)
        else {
            return refuse(Reason::Malformed, "a tensor has sizes that are no numbers");
        };
        Ok(Tensor {
            name: path.into(),
            dtype: view.dtype,
            shape,
            strides,
            offset: view.offset,
            storage,
            lazy_bits: view.lazy_bits,
        })
    }
}

/// Describes a dict's key, as far as keys can be distinguished by value.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Key<'a> {
    Text(&'a str),
    Int(i64),
}

/// Returns the beginning of a long name, for a message.
fn cut(name: &str) -> String {
    name.chars().take(80).collect()
}
