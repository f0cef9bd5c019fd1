//! What `.metadata` says: which tensors there are, in which chunks they lie, and in which bytes of which file each chunk.
//!
//! It is the pickle of a `torch.distributed.checkpoint.metadata.Metadata`. Of its objects the attributes are looked up by name;
//! nothing of it is called.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::{consolidate, value_path};
use crate::error::{Fault, Reason, refuse};
use crate::escape::escape;
use crate::evidence::{Container, FileEvidence};
use crate::limits::Limits;
use crate::pickle::nodes::Object;
use crate::pickle::{Arena, Node, PersistentIds, Value};
use crate::source::{Origin, Source, Stream};
use crate::tensor::Dims;
use crate::torch::plain_values::class_of;
use crate::torch::{load, look_behind};

/// Limits the attributes of an object that are looked through for one of a name; those of the format have at most five.
const ATTRIBUTES: usize = 64;

/// Holds what `.metadata` says.
pub(super) struct Description {
    /// Lists what was saved, in the order of the file.
    pub items: Vec<Item>,
    /// Names the files that hold it.
    pub files: Vec<String>,
    /// Holds what the pickle shows.
    pub evidence: FileEvidence,
}

/// Describes one value of the state dict that was saved.
pub(super) struct Item {
    /// Holds the keys that lead to it.
    pub path: Vec<String>,
    pub what: What,
}

/// Says what a value is.
pub(super) enum What {
    Tensor { size: Dims, chunks: Vec<Chunk> },
    Value(Place),
}

/// Describes a block of a tensor.
pub(super) struct Chunk {
    pub offsets: Dims,
    pub sizes: Dims,
    pub place: Place,
}

/// Describes bytes of a file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// Holds the number of the file among [`Description::files`].
    pub file: usize,
    pub offset: u64,
    pub len: u64,
}

/// Reads `.metadata`.
pub(super) fn read(source: &Source, limits: &Limits) -> Result<Description, Fault> {
    if source.len > limits.max_header_bytes {
        let (len, limit) = (source.len, limits.max_header_bytes);
        return refuse(Reason::Limit, format!("'.metadata' has {len} bytes, more than {limit}"));
    }
    let mut arena = Arena::new(limits);
    let mut stream = Stream::new(Origin::File(source), 0, source.len);
    let root = load(&mut stream, &mut arena, &PersistentIds::None)?;
    look_behind(&mut stream, &mut arena, &PersistentIds::None)?;
    let mut reader = Reader { arena: &arena, files: Vec::new(), named: 0, chunks: 0 };
    let items = reader.items(root)?;
    let files = reader.files;
    let mut evidence = FileEvidence::of(Container::TorchDistributed);
    evidence.dangerous_call = arena.dangerous();
    evidence.pickle_protocol = arena.protocol;
    evidence.globals = arena.globals.into_iter().map(|(global, _)| global).collect();
    arena.notes.into_iter().for_each(|note| evidence.note(note));
    Ok(Description { items, files, evidence })
}

/// Says where values lie: by their names, and chunks of tensors also by where they begin.
type Places<'a> = HashMap<(&'a str, Option<Dims>), Place, RandomState>;

struct Reader<'a> {
    arena: &'a Arena,
    files: Vec<String>,
    /// Gives the bytes of all paths so far.
    named: usize,
    /// Gives the chunks so far.
    chunks: usize,
}

impl<'a> Reader<'a> {
    fn items(&mut self, root: Value) -> Result<Vec<Item>, Fault> {
        let root = self.object(root)?;
        let described = self.dict(self.field(root, "state_dict_metadata"))?;
        let paths = match self.field(root, "planner_data").and_then(|value| self.arena.node(value)) {
            Some(Node::Dict(entries)) => entries,
            _ => &[],
        };
        let paths: HashMap<&str, Value, RandomState> =
            paths.iter().filter_map(|(name, path)| Some((self.arena.text(*name)?, *path))).collect();
        let places = self.places(root)?;
        let limit = self.arena.limits.max_tensors;
        if described.len() > limit {
            return refuse(Reason::Limit, format!("'.metadata' names more than {limit} tensors and values"));
        }
        let mut items = Vec::with_capacity(described.len());
        for (name, value) in described {
            let Some(name) = self.arena.text(*name) else {
                return unlike("the name of a value is no text");
            };
            let path = self.path(name, paths.get(name).copied())?;
            let value = self.object(*value)?;
            let what = match self.class(value) {
                Some("TensorStorageMetadata") => self.tensor(name, value, &places)?,
                Some("BytesStorageMetadata") => match places.get(&(name, None)) {
                    Some(place) => What::Value(*place),
                    None => return nowhere(name),
                },
                _ => return unlike("a value is neither a tensor nor bytes"),
            };
            items.push(Item { path, what });
        }
        Ok(items)
    }

    /// Returns the keys that lead to a value: those that are recorded, or else its whole name.
    fn path(&mut self, name: &str, recorded: Option<Value>) -> Result<Vec<String>, Fault> {
        let keys = recorded.and_then(|path| self.arena.sequence(path)).filter(|keys| !keys.is_empty());
        let path: Vec<String> = match keys {
            Some(keys) if keys.len() <= self.arena.limits.max_depth => {
                keys.iter().map(|key| super::super::key(self.arena, *key).into_owned()).collect()
            }
            Some(_) => {
                return refuse(Reason::Limit, "a value lies deeper in the state dict than the limit allows");
            }
            None => vec![name.to_owned()],
        };
        let bytes = path.iter().map(|key| key.len() + size_of::<String>()).sum::<usize>();
        self.named = self.named.saturating_add(bytes);
        let (limit, all) = (self.arena.limits.max_name_len, self.arena.limits.max_pickle_memory / 3);
        if bytes > limit.saturating_add(path.len() * size_of::<String>()) || self.named > all {
            let shown: String = value_path(&path).chars().take(80).collect();
            return refuse(Reason::Limit, format!("the name '{}' is longer than the limit", escape(&shown)));
        }
        Ok(path)
    }

    fn tensor(&mut self, name: &str, value: &'a Object, places: &Places<'_>) -> Result<What, Fault> {
        let size = self.numbers(self.field(value, "size"))?;
        let chunks = self.field(value, "chunks").and_then(|chunks| self.arena.sequence(chunks));
        let Some(chunks) = chunks else { return unlike("a tensor has no list of chunks") };
        self.chunks = self.chunks.saturating_add(chunks.len());
        if self.chunks > self.arena.limits.max_entries {
            let limit = self.arena.limits.max_entries;
            return refuse(Reason::Limit, format!("the tensors lie in more than {limit} chunks"));
        }
        let mut found = Vec::with_capacity(chunks.len());
        for chunk in chunks {
            let chunk = self.object(*chunk)?;
            let (offsets, sizes) =
                (self.numbers(self.field(chunk, "offsets"))?, self.numbers(self.field(chunk, "sizes"))?);
            let Some(place) = places.get(&(name, Some(offsets.clone()))) else { return nowhere(name) };
            found.push(Chunk { offsets, sizes, place: *place });
        }
        Ok(What::Tensor { size, chunks: found })
    }

    /// Returns where everything lies.
    fn places(&mut self, root: &'a Object) -> Result<Places<'a>, Fault> {
        let entries = self.dict(self.field(root, "storage_data"))?;
        let mut numbers: HashMap<&str, usize, RandomState> = HashMap::default();
        let mut places = Places::default();
        for (index, info) in entries {
            let (index, info) = (self.object(*index)?, self.object(*info)?);
            let name = self.field(index, "fqn").and_then(|name| self.arena.text(name));
            let offset = match self.field(index, "offset") {
                None | Some(Value::None) => None,
                offset => Some(self.numbers(offset)?),
            };
            if !matches!(self.field(info, "transform_descriptors"), None | Some(Value::None)) {
                return consolidate("the bytes of its tensors were changed by an extension");
            }
            let file = self.field(info, "relative_path").and_then(|file| self.arena.text(file));
            let (Some(name), Some(file)) = (name, file) else {
                return unlike("a place has no name or no file");
            };
            let number = match numbers.get(file) {
                Some(number) => *number,
                None => {
                    if self.files.len() >= self.arena.limits.max_shards {
                        let limit = self.arena.limits.max_shards;
                        return refuse(Reason::Limit, format!("'.metadata' names more than {limit} files"));
                    }
                    self.files.push(file.to_owned());
                    numbers.insert(file, self.files.len() - 1);
                    self.files.len() - 1
                }
            };
            let place = Place {
                file: number,
                offset: self.number(self.field(info, "offset"))?,
                len: self.number(self.field(info, "length"))?,
            };
            if places.insert((name, offset), place).is_some_and(|other| other != place) {
                return refuse(
                    Reason::Contradiction,
                    format!("'.metadata' says of '{}' twice where it lies", escape(name)),
                );
            }
        }
        // What is read once for each place is then read once in all.
        let mut order: Vec<&Place> = places.values().collect();
        order.sort_unstable();
        let overlaps = order.windows(2).any(|pair| match pair {
            [one, other] => one.file == other.file && one.offset.saturating_add(one.len) > other.offset,
            _ => false,
        });
        if overlaps {
            return refuse(
                Reason::Contradiction,
                "'.metadata' puts two tensors or values into the same bytes",
            );
        }
        Ok(places)
    }

    fn object(&self, value: Value) -> Result<&'a Object, Fault> {
        match self.arena.node(value) {
            Some(Node::Object(object)) => Ok(object),
            _ => unlike("something else stands for an object"),
        }
    }

    /// Returns the name of an object's class without its module.
    fn class(&self, object: &Object) -> Option<&'a str> {
        match self.arena.node(class_of(self.arena, object).0) {
            Some(Node::Global(number)) => self.arena.globals.get(number).map(|(global, _)| &*global.name),
            _ => None,
        }
    }

    fn dict(&self, value: Option<Value>) -> Result<&'a [(Value, Value)], Fault> {
        match value.and_then(|value| self.arena.node(value)) {
            Some(Node::Dict(entries)) => Ok(entries),
            _ => unlike("something else stands for a dict"),
        }
    }

    /// Returns an attribute of an object.
    fn field(&self, object: &Object, name: &str) -> Option<Value> {
        let states = object.states.iter().rev().take(ATTRIBUTES);
        states.filter_map(|state| self.arena.node(*state)).find_map(|state| {
            let Node::Dict(entries) = state else { return None };
            let named =
                entries.iter().rev().take(ATTRIBUTES).find(|(key, _)| self.arena.text(*key) == Some(name));
            named.map(|(_, value)| *value)
        })
    }

    fn numbers(&self, value: Option<Value>) -> Result<Dims, Fault> {
        match value.map(|value| self.arena.numbers(value)).transpose()?.flatten() {
            Some(numbers) => Ok(numbers),
            None => unlike("a size is not made of natural numbers"),
        }
    }

    fn number(&self, value: Option<Value>) -> Result<u64, Fault> {
        let number = value.and_then(|value| self.arena.int(value)).map(u64::try_from);
        match number {
            Some(Ok(number)) => Ok(number),
            _ => unlike("a place is not a natural number"),
        }
    }
}

fn unlike<T>(why: &str) -> Result<T, Fault> {
    refuse(Reason::Malformed, format!("'.metadata' is not as torch.distributed.checkpoint writes it: {why}"))
}

fn nowhere<T>(name: &str) -> Result<T, Fault> {
    refuse(Reason::Malformed, format!("'.metadata' does not say where '{}' lies", escape(name)))
}
