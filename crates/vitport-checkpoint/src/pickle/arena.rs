//! The values of a pickle, side by side in one table, and the account of the memory they take.
//!
//! What cannot change once it is made, the letters of texts and the items of tuples, lies in two runs of memory that all
//! values share: a state dict of ten thousand tensors has a hundred thousand of both.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::globals::{self, Meaning};
use crate::dtype::Dtype;
use crate::error::{Fault, Reason, refuse};
use crate::evidence::Global;
use crate::limits::Limits;
use crate::tensor::{Dims, LazyBits};

/// The longest pickle for whose values room is set aside, in bytes. A tensor takes some 180.
const MOST_EXPECTED: u64 = 8 << 20;

/// What a global costs that was not named before.
const GLOBAL: usize = 1024;

/// A value: a small one itself, or the number of a node.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Node(NodeId),
}

/// The number of a node in its arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct NodeId(u32);

impl NodeId {
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// A value that is too large for a [`Value`], or that may be changed after it was made.
#[derive(Debug)]
pub(crate) enum Node {
    Text(Text),
    Bytes(Box<ByteString>),
    List(Vec<Value>),
    Tuple(Tuple),
    Set(Vec<Value>),
    /// In insertion order; a key that is set twice occurs twice.
    Dict(Vec<(Value, Value)>),
    Global(usize),
    Object(Box<Object>),
    Storage(Box<StorageRef>),
    Tensor(Box<View>),
    /// A tensor without plain elements: what it is.
    Unsupported(Box<str>),
    /// A numpy array's type.
    ArrayType(Box<crate::numpy::ArrayType>),
}

/// A text; [`Arena::letters`] has its letters.
#[derive(Clone, Debug)]
pub(crate) struct Text(Range<usize>);

/// A tuple; [`Arena::items`] has its items.
#[derive(Clone, Debug)]
pub(crate) struct Tuple(Range<usize>);

/// A byte string, in memory or in the file.
#[derive(Clone, Debug)]
pub(crate) struct ByteString {
    /// Its length.
    pub(crate) len: u64,
    /// Where it lies in the pickle's file, if it lies there as it is.
    pub(crate) at: Option<u64>,
    /// Its bytes, if it is short or had to be decoded.
    pub(crate) bytes: Option<Arc<[u8]>>,
}

/// What a call of something unknown would have made.
#[derive(Debug)]
pub(crate) struct Object {
    /// What would have been called.
    pub(crate) callee: Value,
    /// With what.
    pub(crate) args: Value,
    /// What it would have been given as its state.
    pub(crate) states: Vec<Value>,
    /// What would have been appended to it.
    pub(crate) list: Vec<Value>,
    /// What would have been set in it by key.
    pub(crate) items: Vec<(Value, Value)>,
}

/// A storage that the pickle declares; where it lies is found later, by the container.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Declared {
    /// Its key, by which the container knows it.
    pub(crate) key: Arc<str>,
    /// Its length in bytes.
    pub(crate) bytes: u64,
    /// Bytes per element, as the pickle declares them.
    pub(crate) element_size: u64,
    /// The device that it was saved from.
    pub(crate) device: Arc<str>,
    /// Set when the storage's bytes are a part of the pickle itself.
    pub(crate) place: Option<Place>,
}

/// Where bytes inside a pickle lie.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Place {
    /// In the file, as they are.
    File { at: u64, big_endian: bool },
    /// In memory.
    Memory { bytes: Arc<[u8]>, at: u64, big_endian: bool },
}

/// A declared storage, or a part of one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StorageRef {
    /// Number of the declared storage.
    pub(crate) declared: usize,
    /// Its element type; `None` for one this reader does not hold, or for untyped bytes.
    pub(crate) dtype: Option<Dtype>,
    /// Bytes per element of that type.
    pub(crate) element_size: u64,
    /// First element of the part.
    pub(crate) start: u64,
    /// Elements in the part.
    pub(crate) numel: u64,
}

/// A tensor as the pickle describes it.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) declared: usize,
    pub(crate) dtype: Dtype,
    pub(crate) shape: Dims,
    pub(crate) strides: Dims,
    pub(crate) offset: u64,
    pub(crate) lazy_bits: LazyBits,
    /// False for a buffer that its module declares not to be part of its state.
    pub(crate) persistent: bool,
}

/// All values of one or several pickles of a file.
#[derive(Debug)]
pub(crate) struct Arena {
    nodes: Vec<Node>,
    letters: String,
    items: Vec<Value>,
    global_numbers: HashMap<(String, String), usize>,
    pub(crate) globals: Vec<(Global, Meaning)>,
    pub(crate) storages: Vec<Declared>,
    storage_numbers: HashMap<Arc<str>, usize, RandomState>,
    /// The device that was named last.
    device: Arc<str>,
    pub(crate) protocol: Option<u8>,
    pub(crate) notes: Vec<String>,
    /// True in plain pickles, where a numpy array is a tensor.
    pub(crate) arrays_are_tensors: bool,
    spent: usize,
    /// Length of a pickle that is about to be read, for the room of its memo.
    expected: usize,
    pub(crate) limits: Limits,
}

impl Arena {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            nodes: Vec::new(),
            letters: String::new(),
            items: Vec::new(),
            global_numbers: HashMap::new(),
            globals: Vec::new(),
            storages: Vec::new(),
            storage_numbers: HashMap::default(),
            device: "".into(),
            protocol: None,
            notes: Vec::new(),
            arrays_are_tensors: false,
            spent: 0,
            expected: 0,
            limits: limits.clone(),
        }
    }

    /// Sets room aside for the values of a state dict's pickle of `len` bytes, so that they need not be moved as they become
    /// more. It is a guess; memory that nothing is put into costs nothing.
    pub(crate) fn expect(&mut self, len: u64) {
        let len = usize::try_from(len.min(MOST_EXPECTED)).unwrap_or(0);
        // Without the room the values are moved.
        let _ = self.nodes.try_reserve(len / 12);
        let _ = self.items.try_reserve(len / 8);
        let _ = self.letters.try_reserve(len / 3);
        let _ = self.storages.try_reserve(len / 160);
        let _ = self.storage_numbers.try_reserve(len / 160);
        self.expected = len;
    }

    /// The length that was given to [`expect`](Self::expect), once.
    pub(super) fn take_expected(&mut self) -> usize {
        std::mem::take(&mut self.expected)
    }

    /// Accounts for memory before it is taken.
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

    /// Adds a node, which takes `payload` bytes besides itself.
    pub(crate) fn add(&mut self, node: Node, payload: usize) -> Result<Value, Fault> {
        self.charge(size_of::<Node>().saturating_mul(2).saturating_add(payload))?;
        let Ok(number) = u32::try_from(self.nodes.len()) else {
            return refuse(Reason::Limit, "the pickle has more than 2^32 objects");
        };
        self.nodes.push(node);
        Ok(Value::Node(NodeId(number)))
    }

    /// Adds a text. Its letters have been accounted for.
    pub(crate) fn add_text(&mut self, text: &str) -> Result<Value, Fault> {
        let start = self.letters.len();
        self.letters.push_str(text);
        self.add(Node::Text(Text(start..self.letters.len())), 0)
    }

    /// Adds a tuple, and accounts for its items.
    pub(crate) fn add_tuple(&mut self, items: &[Value]) -> Result<Value, Fault> {
        let payload = size_of_val(items);
        let start = self.items.len();
        let value = self.add(Node::Tuple(Tuple(start..start.saturating_add(items.len()))), payload)?;
        self.items.extend_from_slice(items);
        Ok(value)
    }

    /// The letters of a text.
    pub(crate) fn letters(&self, text: &Text) -> &str {
        self.letters.get(text.0.clone()).unwrap_or_default()
    }

    /// The items of a tuple.
    pub(crate) fn items(&self, tuple: &Tuple) -> &[Value] {
        self.items.get(tuple.0.clone()).unwrap_or_default()
    }

    /// The text of a value as the name of a device; the empty one if it is no text.
    pub(crate) fn device(&mut self, value: Value) -> Arc<str> {
        let name = self.text(value).unwrap_or_default();
        if *name != *self.device {
            self.device = name.into();
        }
        Arc::clone(&self.device)
    }

    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(crate) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    pub(crate) fn node(&self, value: Value) -> Option<&Node> {
        match value {
            Value::Node(id) => self.nodes.get(id.index()),
            _ => None,
        }
    }

    pub(crate) fn node_mut(&mut self, value: Value) -> Option<&mut Node> {
        match value {
            Value::Node(id) => self.nodes.get_mut(id.index()),
            _ => None,
        }
    }

    /// The number of a global, counting that it was named once more.
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
        self.add(Node::Global(number), 0)
    }

    /// What a value means when it is called, if it is a global.
    pub(crate) fn meaning(&self, value: Value) -> Option<Meaning> {
        match self.node(value) {
            Some(Node::Global(number)) => self.globals.get(*number).map(|(_, meaning)| *meaning),
            _ => None,
        }
    }

    /// Declares a storage, or finds the declaration again; two that disagree are refused.
    pub(crate) fn declare(&mut self, storage: Declared) -> Result<usize, Fault> {
        if let Some(&number) = self.storage_numbers.get(&storage.key) {
            return match self.storages.get(number) {
                Some(known) if known.bytes == storage.bytes => Ok(number),
                _ => refuse(
                    Reason::Contradiction,
                    format!("storage '{}' is declared with two lengths", crate::escape::escape(&storage.key)),
                ),
            };
        }
        self.charge(storage.key.len().saturating_add(storage.device.len()).saturating_add(256))?;
        self.storage_numbers.insert(Arc::clone(&storage.key), self.storages.len());
        self.storages.push(storage);
        Ok(self.storages.len() - 1)
    }

    /// The text of a text value, or of a byte string that is text (as Python 2 wrote them).
    pub(crate) fn text(&self, value: Value) -> Option<&str> {
        match self.node(value)? {
            Node::Text(text) => Some(self.letters(text)),
            Node::Bytes(string) => std::str::from_utf8(string.bytes.as_deref()?).ok(),
            _ => None,
        }
    }

    /// The items of a tuple or list.
    pub(crate) fn sequence(&self, value: Value) -> Option<&[Value]> {
        match self.node(value)? {
            Node::Tuple(tuple) => Some(self.items(tuple)),
            Node::List(items) => Some(items),
            _ => None,
        }
    }
}
