//! The values of a pickle, the globals and storages that it names, and a count of the memory that all of it takes.

use std::collections::HashMap;
use std::sync::Arc;

use super::globals::{self, Meaning};
use super::nodes::{self, Entries, New, Node, NodeId, Nodes, Object, View, narrow};
use crate::error::{Fault, Reason, refuse};
use crate::escape::escape;
use crate::evidence::{Global, GlobalClass};
use crate::limits::Limits;
use crate::numpy::ArrayType;
use crate::tensor::Dims;

/// Gives what a global costs that was not named before.
const GLOBAL: usize = 1024;

/// Describes a value: a small one itself, or where it lies in the arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    None,
    Bool(bool),
    /// Means a whole number of 32 bits.
    Int(i32),
    /// Means the place of a longer one.
    Long(u32),
    /// Means the place of a number with a fraction.
    Float(u32),
    Node(NodeId),
}

// A pickle of ten thousand tensors keeps a quarter of a million of them.
const _: () = assert!(size_of::<Value>() == 8);

/// Returns a value's node.
fn node(value: Value) -> Option<NodeId> {
    match value {
        Value::Node(id) => Some(id),
        _ => None,
    }
}

/// Returns the text of a value, or of a byte string that is text.
fn text(nodes: &Nodes, value: Value) -> Option<&str> {
    match nodes.get(node(value)?)? {
        Node::Text(text) => Some(text),
        Node::Bytes(string) => std::str::from_utf8(string.bytes.as_deref()?).ok(),
        _ => None,
    }
}

/// Describes a storage that the pickle declares; where it lies is found later, by the container.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Declared {
    /// Holds its key, by which the container knows it: a text.
    pub(crate) key: Value,
    /// Holds its length in bytes.
    pub(crate) bytes: u64,
    /// Gives the bytes per element, as the pickle declares them.
    pub(crate) element_size: u64,
    /// Holds the device that it was saved from.
    pub(crate) device: Arc<str>,
    /// Is set when the storage's bytes are a part of the pickle itself.
    pub(crate) place: Option<Box<Place>>,
}

/// Describes where bytes inside a pickle lie.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Place {
    /// Lies in the file, as it is there.
    File { at: u64, big_endian: bool },
    /// Lies in memory.
    Memory { bytes: Arc<[u8]>, at: u64, big_endian: bool },
}

/// Describes all values of one or several pickles of a file.
#[derive(Debug)]
pub(crate) struct Arena {
    nodes: Nodes,
    longs: Vec<i64>,
    floats: Vec<f64>,
    global_numbers: HashMap<(String, String), usize>,
    pub(crate) globals: Vec<(Global, Meaning)>,
    pub(crate) storages: Vec<Declared>,
    /// Holds the first dangerous call that the pickles would make.
    pub(crate) dangerous_call: Option<String>,
    /// Holds the storages' numbers by their keys.
    storage_numbers: HashMap<Box<str>, u32>,
    /// Holds the device that was named last.
    device: Arc<str>,
    pub(crate) protocol: Option<u8>,
    pub(crate) notes: Vec<String>,
    /// Is true in plain pickles, where a numpy array is a tensor.
    pub(crate) arrays_are_tensors: bool,
    spent: usize,
    pub(crate) limits: Limits,
}

impl Arena {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            nodes: Nodes::default(),
            longs: Vec::new(),
            floats: Vec::new(),
            global_numbers: HashMap::new(),
            globals: Vec::new(),
            storages: Vec::new(),
            dangerous_call: None,
            storage_numbers: HashMap::new(),
            device: "".into(),
            protocol: None,
            notes: Vec::new(),
            arrays_are_tensors: false,
            spent: 0,
            limits: limits.clone(),
        }
    }

    /// Counts memory before it is taken.
    pub(crate) fn charge(&mut self, bytes: usize) -> Result<(), Fault> {
        self.spent = self.spent.saturating_add(bytes);
        if self.spent <= self.limits.max_pickle_memory {
            return Ok(());
        }
        refuse(
            Reason::Limit,
            format!(
                "the pickle's objects take more than the limit of {} bytes",
                self.limits.max_pickle_memory
            ),
        )
    }

    /// Adds a node, which takes `payload` bytes besides its place in the tables.
    pub(crate) fn add(&mut self, node: New<'_>, payload: usize) -> Result<Value, Fault> {
        self.charge(node.cost().saturating_add(payload))?;
        self.nodes.add(node).map(Value::Node)
    }

    /// Adds a whole number as a value.
    pub(crate) fn add_int(&mut self, number: i64) -> Result<Value, Fault> {
        if let Ok(number) = i32::try_from(number) {
            return Ok(Value::Int(number));
        }
        self.charge(2 * size_of::<i64>())?;
        self.longs.push(number);
        narrow(self.longs.len() - 1).map(Value::Long)
    }

    /// Adds a number with a fraction as a value.
    pub(crate) fn add_float(&mut self, number: f64) -> Result<Value, Fault> {
        self.charge(2 * size_of::<f64>())?;
        self.floats.push(number);
        narrow(self.floats.len() - 1).map(Value::Float)
    }

    /// Returns the number that a value is, if it is a whole one.
    pub(crate) fn int(&self, value: Value) -> Option<i64> {
        match value {
            Value::Int(number) => Some(number.into()),
            Value::Long(place) => self.longs.get(place as usize).copied(),
            _ => None,
        }
    }

    /// Returns the number that a value is, if it is one with a fraction.
    pub(crate) fn float(&self, value: Value) -> Option<f64> {
        match value {
            Value::Float(place) => self.floats.get(place as usize).copied(),
            _ => None,
        }
    }

    /// Adds a text. Its letters have been accounted for.
    pub(crate) fn add_text(&mut self, text: &str) -> Result<Value, Fault> {
        self.charge(nodes::TEXT)?;
        self.nodes.add_text(text).map(Value::Node)
    }

    /// Adds a tuple, and counts the memory of its items.
    pub(crate) fn add_tuple(&mut self, items: &[Value]) -> Result<Value, Fault> {
        self.charge(nodes::TUPLE.saturating_add(size_of_val(items)))?;
        self.nodes.add_tuple(items).map(Value::Node)
    }

    /// Returns a tuple with the items of a tuple or list, which may be changed yet.
    pub(crate) fn tuple_like(&mut self, value: Value) -> Result<Value, Fault> {
        match self.node(value) {
            Some(Node::List(items)) => {
                let items = items.to_vec();
                self.add_tuple(&items)
            }
            _ => Ok(value),
        }
    }

    /// Adds a tuple of natural numbers.
    pub(crate) fn add_numbers(&mut self, numbers: &[u64]) -> Result<Value, Fault> {
        let number = |number: &u64| self.add_int(i64::try_from(*number).unwrap_or(i64::MAX));
        let items = numbers.iter().map(number).collect::<Result<Vec<_>, _>>()?;
        self.add_tuple(&items)
    }

    /// Returns the natural numbers that are the items of a tuple or list; `None` when there is anything else.
    pub(crate) fn numbers(&self, value: Value) -> Result<Option<Dims>, Fault> {
        let Some(items) = self.sequence(value) else {
            return Ok(None);
        };
        let limit = self.limits.max_dims;
        if items.len() > limit {
            let len = items.len();
            return refuse(Reason::Limit, format!("a tensor has {len} dimensions, more than {limit}"));
        }
        let mut numbers = Dims::with_capacity(items.len());
        for item in items {
            let Some(number) = self.int(*item).and_then(|number| u64::try_from(number).ok()) else {
                return Ok(None);
            };
            numbers.push(number);
        }
        Ok(Some(numbers))
    }

    /// Returns the text of a value as the name of a device; the empty one if it is not a text.
    pub(crate) fn device(&mut self, value: Value) -> Arc<str> {
        let name = self.text(value).unwrap_or_default();
        if *name != *self.device {
            self.device = name.into();
        }
        Arc::clone(&self.device)
    }

    /// Returns how many tensors have been made.
    pub(crate) fn tensors(&self) -> usize {
        self.nodes.tensors()
    }

    // Most callers ask for one kind; inlined, they look at no other.
    #[inline(always)]
    pub(crate) fn node(&self, value: Value) -> Option<Node<'_>> {
        self.nodes.get(node(value)?)
    }

    /// Returns a list or set, to be changed.
    pub(crate) fn list_mut(&mut self, value: Value) -> Option<&mut Vec<Value>> {
        self.nodes.list_mut(node(value)?)
    }

    pub(super) fn dict_mut(&mut self, value: Value) -> Option<&mut Entries> {
        self.nodes.dict_mut(node(value)?)
    }

    pub(super) fn object_mut(&mut self, value: Value) -> Option<&mut Object> {
        self.nodes.object_mut(node(value)?)
    }

    pub(super) fn view_mut(&mut self, value: Value) -> Option<&mut View> {
        self.nodes.view_mut(node(value)?)
    }

    pub(super) fn array_type_mut(&mut self, value: Value) -> Option<&mut ArrayType> {
        self.nodes.array_type_mut(node(value)?)
    }

    /// Makes an object a copy of another value, if that is a tensor; false if it is not.
    pub(super) fn become_tensor(&mut self, value: Value, like: Value) -> Result<bool, Fault> {
        self.charge(2 * size_of::<View>())?;
        match (node(value), node(like)) {
            (Some(value), Some(like)) => self.nodes.become_tensor(value, like),
            _ => Ok(false),
        }
    }

    /// Returns the number of a global, counting that it was named once more.
    pub(crate) fn global(&mut self, module: String, name: String) -> Result<Value, Fault> {
        let key = (module, name);
        let number = match self.global_numbers.get(&key) {
            Some(&number) => number,
            None => {
                self.charge(
                    key.0.len().saturating_add(key.1.len()).saturating_mul(2).saturating_add(GLOBAL),
                )?;
                let (class, meaning) = globals::meaning(&key.0, &key.1);
                let global = Global {
                    module: key.0.clone(),
                    name: key.1.clone(),
                    class,
                    count: 0,
                    would_run: Vec::new(),
                };
                self.globals.push((global, meaning));
                self.global_numbers.insert(key, self.globals.len() - 1);
                self.globals.len() - 1
            }
        };
        if let Some((global, _)) = self.globals.get_mut(number) {
            global.count = global.count.saturating_add(1);
        }
        self.add(New::Global(number), 0)
    }

    /// Returns the first dangerous call, or else a dangerous global that is named and not called, if there is one.
    pub(crate) fn dangerous(&self) -> Option<String> {
        let named = || {
            let dangerous = |(global, _): &&(Global, Meaning)| global.class == GlobalClass::Dangerous;
            let (global, _) = self.globals.iter().find(dangerous)?;
            let cut = |text: &str| text.chars().take(80).collect::<String>();
            Some(escape(&format!("{}.{}", cut(&global.module), cut(&global.name))).to_string())
        };
        self.dangerous_call.clone().or_else(named)
    }

    /// Adds what a pickle inside this one names and would call.
    pub(crate) fn adopt_globals(&mut self, inner: Self) -> Result<(), Fault> {
        self.dangerous_call = self.dangerous_call.take().or(inner.dangerous_call);
        for (global, _) in inner.globals {
            let count = global.count.saturating_sub(1);
            let value = self.global(global.module, global.name)?;
            if let Some(Node::Global(number)) = self.node(value)
                && let Some((known, _)) = self.globals.get_mut(number)
            {
                known.count = known.count.saturating_add(count);
                if global.class == GlobalClass::Dangerous {
                    known.class = global.class;
                }
                if known.would_run.is_empty() {
                    known.would_run = global.would_run;
                }
            }
        }
        Ok(())
    }

    /// Returns what a value means when it is called, if it is a global.
    pub(crate) fn meaning(&self, value: Value) -> Option<Meaning> {
        match self.node(value) {
            Some(Node::Global(number)) => self.globals.get(number).map(|(_, meaning)| *meaning),
            _ => None,
        }
    }

    /// Declares a storage, or finds the declaration again; two that disagree are refused.
    pub(crate) fn declare(&mut self, storage: Declared) -> Result<u32, Fault> {
        let key = self.key(&storage);
        let Some(&number) = self.storage_numbers.get(key) else {
            let key: Box<str> = key.into();
            self.charge(storage.device.len().saturating_add(key.len()).saturating_add(256))?;
            let number = narrow(self.storages.len())?;
            self.storage_numbers.insert(key, number);
            self.storages.push(storage);
            return Ok(number);
        };
        match self.storages.get(number as usize) {
            Some(known) if known.bytes == storage.bytes => Ok(number),
            _ => refuse(
                Reason::Contradiction,
                format!("storage '{}' is declared with two lengths", crate::escape::escape(key)),
            ),
        }
    }

    /// Returns a storage's key.
    pub(crate) fn key(&self, storage: &Declared) -> &str {
        self.text(storage.key).unwrap_or_default()
    }

    /// Returns the text of a text value, or of a byte string that is text (as Python 2 wrote them).
    pub(crate) fn text(&self, value: Value) -> Option<&str> {
        text(&self.nodes, value)
    }

    /// Returns the items of a tuple or list.
    pub(crate) fn sequence(&self, value: Value) -> Option<&[Value]> {
        match self.node(value)? {
            Node::Tuple(items) | Node::List(items) => Some(items),
            _ => None,
        }
    }
}
