//! The tables of a pickle's values. A value that refers to a node says what it is, and its number among its like. What a node
//! holds lies in one table for each kind, and what cannot change once it is made, the letters of texts and the items of tuples,
//! in two runs of memory that all share: a state dict of ten thousand tensors has fourteen nodes a tensor, most of them texts
//! and tuples.

use std::ops::Range;
use std::sync::Arc;

use smallvec::SmallVec;

use super::arena::Value;
use crate::dtype::Dtype;
use crate::error::{Fault, Reason, refuse};
use crate::numpy::ArrayType;
use crate::tensor::{Dims, LazyBits};

/// Describes a value that is too large for a [`Value`], or that may be changed after it was made.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Node<'a> {
    Text(&'a str),
    Bytes(&'a ByteString),
    List(&'a [Value]),
    Tuple(&'a [Value]),
    Set(&'a [Value]),
    /// Lists pairs in insertion order; a key that is set twice occurs twice.
    Dict(&'a [(Value, Value)]),
    /// Means its number among the arena's globals.
    Global(usize),
    Object(&'a Object),
    Storage(&'a StorageRef),
    Tensor(&'a View),
    /// Means a tensor without plain elements: what it is.
    Unsupported(&'a Unread),
    /// Means a numpy array's type.
    ArrayType(&'a ArrayType),
}

/// Describes a node that is to be made and is neither a text nor a tuple.
pub(crate) enum New<'a> {
    Bytes(ByteString),
    List(Vec<Value>),
    Set(Vec<Value>),
    Dict(Entries),
    Global(usize),
    Object(Object),
    Storage(StorageRef),
    Tensor(View),
    Unsupported(&'a str),
    /// Means a tensor of a dtype that this reader does not hold: PyTorch's name for it, and the sizes.
    OtherDtype(&'a str, &'a [u64]),
    ArrayType(ArrayType),
}

/// Describes a tensor without elements that this reader could give.
#[derive(Debug)]
pub(crate) struct Unread {
    /// Says what it is.
    pub(crate) kind: Box<str>,
    /// Gives PyTorch's name for its dtype, if that is why.
    pub(crate) dtype: Option<Box<str>>,
    /// Holds its sizes, as far as they are known.
    pub(crate) shape: Option<Dims>,
}

/// Gives what a tensor is whose dtype is not one of the reader's.
const OTHER_DTYPE: &str = "a tensor of a dtype that this reader does not hold";

/// Describes a dict's entries in insertion order; a key that is set twice occurs twice. A state dict's `_metadata` holds a dict of one
/// entry for each module, and each tensor an empty one: those take no memory of their own.
pub(crate) type Entries = SmallVec<[(Value, Value); 1]>;

/// Describes a byte string, in memory or in the file.
#[derive(Clone, Debug)]
pub(crate) struct ByteString {
    /// Holds its length.
    pub(crate) len: u64,
    /// Says where it lies in the pickle's file, if it lies there as it is.
    pub(crate) at: Option<u64>,
    /// Holds its bytes, if it is short or had to be decoded.
    pub(crate) bytes: Option<Arc<[u8]>>,
}

/// Describes what a call of something unknown would have made.
#[derive(Debug)]
pub(crate) struct Object {
    /// Says what would have been called.
    pub(crate) callee: Value,
    /// Gives what it is called with.
    pub(crate) args: Value,
    /// Says what it would have been given as its state.
    pub(crate) states: Vec<Value>,
    /// Says what would have been appended to it.
    pub(crate) list: Vec<Value>,
    /// Says what would have been set in it by key.
    pub(crate) items: Vec<(Value, Value)>,
}

/// Describes a declared storage, or a part of one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StorageRef {
    /// Gives the number of the declared storage.
    pub(crate) declared: u32,
    /// Holds its element type; `None` for one this reader does not hold, or for untyped bytes.
    pub(crate) dtype: Option<Dtype>,
    /// Gives PyTorch's name for a type that this reader does not hold.
    pub(crate) other: Option<&'static str>,
    /// Gives the bytes per element of that type.
    pub(crate) element_size: u64,
    /// Gives the first element of the part.
    pub(crate) start: u64,
    /// Gives the elements in the part.
    pub(crate) numel: u64,
}

impl StorageRef {
    /// Returns the element type, or PyTorch's name for one that this reader does not hold.
    pub(crate) fn held_dtype(&self) -> Result<Dtype, &'static str> {
        self.dtype.ok_or(self.other.unwrap_or("untyped"))
    }
}

/// Describes a tensor as the pickle describes it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View {
    pub(crate) declared: u32,
    pub(crate) dtype: Dtype,
    /// Holds its sizes, a tuple of natural numbers.
    pub(crate) shape: Value,
    /// Holds its strides, a tuple of as many.
    pub(crate) strides: Value,
    pub(crate) offset: u64,
    pub(crate) lazy_bits: LazyBits,
    /// Is false for a buffer that its module declares not to be part of its state.
    pub(crate) persistent: bool,
}

/// Describes what a node is, and its number among its like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum NodeId {
    Text(u32),
    Bytes(u32),
    List(u32),
    Tuple(u32),
    Set(u32),
    Dict(u32),
    Global(u32),
    Object(u32),
    Storage(u32),
    Tensor(u32),
    Unsupported(u32),
    ArrayType(u32),
}

/// Gives what a text takes besides its letters, with space to grow.
pub(super) const TEXT: usize = 2 * (size_of::<NodeId>() + size_of::<u32>());

/// Gives what a tuple takes besides its items.
pub(super) const TUPLE: usize = TEXT + SEARCHED;

/// Gives what a container takes while tensors are looked for: a place in two sets, and a link to what holds it.
const SEARCHED: usize = 4 * size_of::<NodeId>();

impl New<'_> {
    /// Returns the bytes that it takes in the tables, with the space that they have to grow.
    pub(super) fn cost(&self) -> usize {
        let entry = match self {
            New::Bytes(_) => size_of::<ByteString>(),
            New::List(_) | New::Set(_) => size_of::<Vec<Value>>() + SEARCHED,
            New::Dict(_) => size_of::<Entries>() + SEARCHED,
            New::Global(_) => 0,
            New::Object(_) => size_of::<Object>() + SEARCHED,
            New::Storage(_) => size_of::<StorageRef>(),
            New::Tensor(_) => size_of::<View>(),
            New::Unsupported(kind) => size_of::<Unread>() + kind.len(),
            New::OtherDtype(name, shape) => {
                size_of::<Unread>() + OTHER_DTYPE.len() + name.len() + size_of_val(*shape)
            }
            New::ArrayType(_) => size_of::<ArrayType>(),
        };
        2 * (size_of::<NodeId>() + entry)
    }
}

/// Describes what a call of something unknown is.
#[derive(Debug)]
enum Made {
    /// Says what is known of it.
    Object(Object),
    /// Means the tensor that its state turned it into.
    Tensor(NodeId),
}

/// Describes all nodes.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    letters: String,
    /// Says where each text ends in the letters.
    text_ends: Vec<u32>,
    items: Vec<Value>,
    /// Says where each tuple ends in the items.
    tuple_ends: Vec<u32>,
    /// Lists and sets.
    lists: Vec<Vec<Value>>,
    dicts: Vec<Entries>,
    strings: Vec<ByteString>,
    objects: Vec<Made>,
    storages: Vec<StorageRef>,
    views: Vec<View>,
    unread: Vec<Unread>,
    array_types: Vec<ArrayType>,
}

impl Nodes {
    /// Returns how many tensors there are.
    pub(super) fn tensors(&self) -> usize {
        self.views.len()
    }

    #[inline(always)]
    pub(super) fn get(&self, id: NodeId) -> Option<Node<'_>> {
        Some(match self.now(id)? {
            NodeId::Text(number) => Node::Text(self.letters.get(segment(&self.text_ends, number)?)?),
            NodeId::Bytes(number) => Node::Bytes(self.strings.get(number as usize)?),
            NodeId::List(number) => Node::List(self.lists.get(number as usize)?),
            NodeId::Tuple(number) => Node::Tuple(self.items.get(segment(&self.tuple_ends, number)?)?),
            NodeId::Set(number) => Node::Set(self.lists.get(number as usize)?),
            NodeId::Dict(number) => Node::Dict(self.dicts.get(number as usize)?),
            NodeId::Global(number) => Node::Global(number as usize),
            NodeId::Object(number) => match self.objects.get(number as usize)? {
                Made::Object(object) => Node::Object(object),
                Made::Tensor(_) => return None,
            },
            NodeId::Storage(number) => Node::Storage(self.storages.get(number as usize)?),
            NodeId::Tensor(number) => Node::Tensor(self.views.get(number as usize)?),
            NodeId::Unsupported(number) => Node::Unsupported(self.unread.get(number as usize)?),
            NodeId::ArrayType(number) => Node::ArrayType(self.array_types.get(number as usize)?),
        })
    }

    /// Returns what a node is now, after an object may have become a tensor.
    fn now(&self, id: NodeId) -> Option<NodeId> {
        match id {
            NodeId::Object(number) => match self.objects.get(number as usize)? {
                Made::Object(_) => Some(id),
                Made::Tensor(id) => Some(*id),
            },
            _ => Some(id),
        }
    }

    /// Adds a text.
    pub(super) fn add_text(&mut self, text: &str) -> Result<NodeId, Fault> {
        self.letters.push_str(text);
        put(&mut self.text_ends, narrow(self.letters.len())?, NodeId::Text)
    }

    /// Adds a tuple.
    pub(super) fn add_tuple(&mut self, items: &[Value]) -> Result<NodeId, Fault> {
        self.items.extend_from_slice(items);
        put(&mut self.tuple_ends, narrow(self.items.len())?, NodeId::Tuple)
    }

    /// Adds a node.
    pub(super) fn add(&mut self, node: New<'_>) -> Result<NodeId, Fault> {
        match node {
            New::Bytes(string) => put(&mut self.strings, string, NodeId::Bytes),
            New::List(items) => put(&mut self.lists, items, NodeId::List),
            New::Set(items) => put(&mut self.lists, items, NodeId::Set),
            New::Dict(entries) => put(&mut self.dicts, entries, NodeId::Dict),
            New::Global(number) => narrow(number).map(NodeId::Global),
            New::Object(object) => put(&mut self.objects, Made::Object(object), NodeId::Object),
            New::Storage(storage) => put(&mut self.storages, storage, NodeId::Storage),
            New::Tensor(view) => put(&mut self.views, view, NodeId::Tensor),
            New::Unsupported(kind) => {
                let unread = Unread { kind: kind.into(), dtype: None, shape: None };
                put(&mut self.unread, unread, NodeId::Unsupported)
            }
            New::OtherDtype(name, shape) => {
                let (kind, dtype) = (OTHER_DTYPE.into(), Some(name.into()));
                let unread = Unread { kind, dtype, shape: Some(shape.into()) };
                put(&mut self.unread, unread, NodeId::Unsupported)
            }
            New::ArrayType(array_type) => put(&mut self.array_types, array_type, NodeId::ArrayType),
        }
    }

    /// Returns a list or set.
    pub(super) fn list_mut(&mut self, id: NodeId) -> Option<&mut Vec<Value>> {
        match id {
            NodeId::List(number) | NodeId::Set(number) => self.lists.get_mut(number as usize),
            _ => None,
        }
    }

    pub(super) fn dict_mut(&mut self, id: NodeId) -> Option<&mut Entries> {
        match id {
            NodeId::Dict(number) => self.dicts.get_mut(number as usize),
            _ => None,
        }
    }

    pub(super) fn object_mut(&mut self, id: NodeId) -> Option<&mut Object> {
        let NodeId::Object(number) = id else {
            return None;
        };
        match self.objects.get_mut(number as usize)? {
            Made::Object(object) => Some(object),
            Made::Tensor(_) => None,
        }
    }

    pub(super) fn view_mut(&mut self, id: NodeId) -> Option<&mut View> {
        match self.now(id)? {
            NodeId::Tensor(number) => self.views.get_mut(number as usize),
            _ => None,
        }
    }

    pub(super) fn array_type_mut(&mut self, id: NodeId) -> Option<&mut ArrayType> {
        match id {
            NodeId::ArrayType(number) => self.array_types.get_mut(number as usize),
            _ => None,
        }
    }

    /// Makes an object a copy of another node, if that is a tensor.
    pub(super) fn become_tensor(&mut self, id: NodeId, like: NodeId) -> Result<bool, Fault> {
        let copy = match self.now(like) {
            Some(NodeId::Tensor(number)) => match self.views.get(number as usize).copied() {
                Some(view) => put(&mut self.views, view, NodeId::Tensor)?,
                None => return Ok(false),
            },
            Some(kind @ NodeId::Unsupported(_)) => kind,
            _ => return Ok(false),
        };
        let NodeId::Object(number) = id else {
            return Ok(false);
        };
        if let Some(object) = self.objects.get_mut(number as usize) {
            *object = Made::Tensor(copy);
        }
        Ok(true)
    }
}

/// Returns where number `number` lies among things that lie side by side.
fn segment(ends: &[u32], number: u32) -> Option<Range<usize>> {
    let number = number as usize;
    let begin = match number.checked_sub(1) {
        Some(before) => *ends.get(before)?,
        None => 0,
    };
    Some(begin as usize..*ends.get(number)? as usize)
}

fn put<T>(table: &mut Vec<T>, value: T, id: fn(u32) -> NodeId) -> Result<NodeId, Fault> {
    let number = narrow(table.len())?;
    table.push(value);
    Ok(id(number))
}

pub(super) fn narrow(number: usize) -> Result<u32, Fault> {
    match u32::try_from(number) {
        Ok(number) => Ok(number),
        Err(_) => refuse(Reason::Limit, "the pickle has more than 2^32 objects or letters"),
    }
}
