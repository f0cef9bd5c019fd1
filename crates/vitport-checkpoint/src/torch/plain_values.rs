//! From a pickle's values to plain ones, and the search for those next to the weights.
//!
//! Everything is bounded: levels, parts of one value, parts in all, and bytes of text. Values that are shared a million
//! times, or that hold themselves, cost no more than the bounds allow; what is left out is named in its place.

use std::collections::HashSet;

use foldhash::fast::RandomState;

use super::{attributes, key};
use crate::evidence::{FileEvidence, Global};
use crate::metadata::Metadata;
use crate::pickle::globals::Meaning;
use crate::pickle::nodes::Object;
use crate::pickle::{Arena, Node, Value};
use crate::plain_value::{PlainCall, PlainValue};
use crate::roots;

/// Limits the levels of lists, dicts and objects inside one value.
const VALUE_DEPTH: usize = 8;

/// Limits the levels of dicts and objects between the top of the file and a value.
const PATH_DEPTH: usize = 12;

/// Gives the longest text that is kept: a configuration file as mmengine records it has some 50,000 bytes.
const TEXT: usize = 256 << 10;

/// Limits the numbers, texts and names in one value. The names of ImageNet-21k's classes are 21,843.
const PARTS: usize = 64 << 10;

/// Limits the bytes of text that are kept in all.
const ALL_TEXT: usize = 8 << 20;

/// Limits the entries that are looked at for each one that may be kept.
const LOOKS: usize = 64;

/// Reads values until a budget is spent.
pub(super) struct Reader<'a> {
    pub(super) arena: &'a Arena,
    /// Gives the values that may still be looked at.
    looks: usize,
    /// Gives the bytes of text that may still be kept.
    text: usize,
    /// Gives the values that may still be looked at inside the value at hand.
    parts: usize,
    /// Says whether something was left out for want of budget.
    is_cut: bool,
}

impl<'a> Reader<'a> {
    pub(super) fn new(arena: &'a Arena) -> Self {
        let looks = arena.limits.max_metadata.saturating_mul(LOOKS);
        Self { arena, looks, text: ALL_TEXT, parts: 0, is_cut: false }
    }

    /// Takes `entries` looks from the budget; false when there are not as many left.
    pub(super) fn look(&mut self, entries: usize) -> bool {
        match self.looks.checked_sub(entries) {
            Some(left) => self.looks = left,
            None => {
                self.looks = 0;
                self.is_cut = true;
            }
        }
        !self.is_cut
    }

    /// Takes bytes of text from the budget; false when there are not as many left.
    pub(super) fn take_text(&mut self, bytes: usize) -> bool {
        match self.text.checked_sub(bytes) {
            Some(left) => self.text = left,
            None => self.is_cut = true,
        }
        !self.is_cut
    }

    /// Returns true once the budget is spent.
    pub(super) fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// Reads one value whole. One with too many parts becomes an opaque one as a whole.
    pub(super) fn value(&mut self, value: Value) -> PlainValue {
        self.parts = PARTS;
        let read = self.part(value, VALUE_DEPTH);
        match self.parts {
            0 => PlainValue::Opaque(format!("a value of more than {PARTS} parts")),
            _ => read,
        }
    }

    fn part(&mut self, value: Value, depth: usize) -> PlainValue {
        self.parts = self.parts.saturating_sub(1);
        if self.parts == 0 || !self.look(1) {
            return cut();
        }
        match value {
            Value::None => PlainValue::None,
            Value::Bool(truth) => PlainValue::Bool(truth),
            Value::Int(_) | Value::Long(_) => self.arena.int(value).map_or_else(cut, PlainValue::Int),
            Value::Float(_) => self.arena.float(value).map_or_else(cut, PlainValue::Float),
            Value::Node(_) => self.node(value, depth),
        }
    }

    fn node(&mut self, value: Value, depth: usize) -> PlainValue {
        if let Some(text) = self.arena.text(value) {
            if text.len() > TEXT {
                return PlainValue::Opaque(format!("a text of {} bytes", text.len()));
            }
            return if self.take_text(text.len()) { PlainValue::Str(text.to_owned()) } else { cut() };
        }
        let node = self.arena.node(value);
        let is_nested = matches!(
            node,
            Some(Node::List(_) | Node::Tuple(_) | Node::Set(_) | Node::Dict(_) | Node::Object(_))
        );
        let deeper = match depth.checked_sub(1) {
            Some(deeper) => deeper,
            None if is_nested => return PlainValue::Opaque("a value nested too deeply".to_owned()),
            None => 0,
        };
        match node {
            Some(Node::List(items) | Node::Tuple(items) | Node::Set(items)) => {
                PlainValue::List(self.items(items, deeper))
            }
            Some(Node::Dict(entries)) => PlainValue::Dict(self.entries(entries, deeper)),
            Some(Node::Global(number)) => self.name(number).map_or_else(cut, PlainValue::Name),
            Some(Node::Object(object)) => self.object(object, deeper),
            Some(Node::Bytes(string)) => PlainValue::Opaque(format!("{} bytes", string.len)),
            Some(Node::Tensor(_)) => PlainValue::Opaque("a tensor".to_owned()),
            Some(Node::Unsupported(kind)) => PlainValue::Opaque(kind.kind.to_string()),
            Some(Node::Storage(_)) => PlainValue::Opaque("a storage".to_owned()),
            Some(Node::ArrayType(_)) => PlainValue::Opaque("a numpy dtype".to_owned()),
            Some(Node::Text(_)) | None => cut(),
        }
    }

    fn items(&mut self, items: &[Value], depth: usize) -> Vec<PlainValue> {
        let mut read = Vec::new();
        for item in items {
            if self.parts == 0 || self.is_cut {
                break;
            }
            read.push(self.part(*item, depth));
        }
        read
    }

    fn entries(&mut self, entries: &[(Value, Value)], depth: usize) -> Vec<(String, PlainValue)> {
        if !self.look(entries.len()) {
            return Vec::new();
        }
        let mut read = Vec::new();
        for (key, value) in last_of_each(self.arena, entries) {
            if self.parts == 0 || !self.take_text(key.len()) {
                break;
            }
            read.push((key, self.part(value, depth)));
        }
        read
    }

    /// Returns the module and name of a global.
    pub(super) fn name(&mut self, number: usize) -> Option<String> {
        let (global, _) = self.arena.globals.get(number)?;
        self.take_text(global.module.len() + global.name.len()).then(|| match global.module.as_str() {
            "" => global.name.clone(),
            module => format!("{module}.{}", global.name),
        })
    }

    fn object(&mut self, object: &Object, depth: usize) -> PlainValue {
        let arena = self.arena;
        if self.is_named(object.callee, "functools", "partial") {
            return self.partial(object, depth);
        }
        let (class, arguments) = class_of(arena, object);
        if let [only] = arguments
            && self.is_in(class, "torch.jit._pickle")
        {
            // How TorchScript writes lists of one type.
            return self.part(*only, depth);
        }
        let Some(Node::Global(number)) = arena.node(class) else {
            return PlainValue::Opaque("what a call of something unnamed returns".to_owned());
        };
        let Some(name) = self.name(number) else {
            return cut();
        };
        let (fields, looks) = attributes::of(arena, object);
        let has_fields = self.look(looks);
        if has_fields && attributes::is_module(arena, &fields) {
            let call = PlainCall { name, arguments: Vec::new(), keywords: Vec::new() };
            return PlainValue::Object(Box::new(call));
        }
        let mut arguments = self.items(arguments, depth);
        arguments.extend(self.items(&object.list, depth));
        let mut keywords = if has_fields { self.entries(&fields, depth) } else { Vec::new() };
        keywords.extend(self.entries(&object.items, depth));
        PlainValue::Object(Box::new(PlainCall { name, arguments, keywords }))
    }

    fn is_named(&self, value: Value, module: &str, name: &str) -> bool {
        self.global(value).is_some_and(|global| global.module == module && global.name == name)
    }

    fn is_in(&self, value: Value, module: &str) -> bool {
        self.global(value).is_some_and(|global| global.module == module)
    }

    fn global(&self, value: Value) -> Option<&'a Global> {
        match self.arena.node(value) {
            Some(Node::Global(number)) => self.arena.globals.get(number).map(|(global, _)| global),
            _ => None,
        }
    }

    /// Returns a `functools.partial`, whose state is the function, the arguments, the keyword arguments and its own attributes.
    fn partial(&mut self, object: &Object, depth: usize) -> PlainValue {
        let arena = self.arena;
        let state = object.states.last().and_then(|state| arena.sequence(*state)).unwrap_or_default();
        let made_of = arena.sequence(object.args).unwrap_or_default();
        let Some(function) = state.first().or(made_of.first()) else {
            return cut();
        };
        let name = match self.part(*function, depth) {
            PlainValue::Name(name) => name,
            other => other.to_string(),
        };
        let arguments = state.get(1).and_then(|arguments| arena.sequence(*arguments));
        let arguments = arguments.or(made_of.get(1..)).unwrap_or_default();
        let arguments = self.items(arguments, depth);
        let keywords = match state.get(2).and_then(|keywords| arena.node(*keywords)) {
            Some(Node::Dict(entries)) => self.entries(entries, depth),
            _ => Vec::new(),
        };
        PlainValue::Partial(Box::new(PlainCall { name, arguments, keywords }))
    }
}

fn cut() -> PlainValue {
    PlainValue::Opaque("left out".to_owned())
}

/// Returns the class of an object, and what it was made of: protocols before 2 name the class as an argument.
pub(super) fn class_of<'a>(arena: &'a Arena, object: &Object) -> (Value, &'a [Value]) {
    let arguments = arena.sequence(object.args).unwrap_or_default();
    match (arena.meaning(object.callee), arguments) {
        (Some(Meaning::NewObject), [class, rest @ ..]) => (*class, rest),
        _ => (object.callee, arguments),
    }
}

/// Returns entries by their keys as text; of a key that is set twice the last value.
pub(super) fn last_of_each(arena: &Arena, entries: &[(Value, Value)]) -> Vec<(String, Value)> {
    let mut seen: HashSet<String, RandomState> = HashSet::default();
    let mut kept = Vec::with_capacity(entries.len());
    for (name, value) in entries.iter().rev() {
        let name = key(arena, *name);
        if seen.insert(name.clone().into_owned()) {
            kept.push((name.into_owned(), *value));
        }
    }
    kept.reverse();
    kept
}

/// Returns all plain values next to the weights, by their dotted paths. What a training run needs to go on comes last, since an
/// optimizer's state may be larger than all the rest.
pub(super) fn next_to_weights(arena: &Arena, root: Value, evidence: &mut FileEvidence) -> Vec<Metadata> {
    let mut search = Search { reader: Reader::new(arena), found: Vec::new() };
    search.visit(root, "", PATH_DEPTH);
    let limit = arena.limits.max_metadata;
    if search.reader.is_cut || search.found.len() > limit {
        evidence.is_cut = true;
        evidence.note("there is more next to the weights than is kept as metadata");
    }
    search.found.truncate(limit);
    search.found
}

struct Search<'a> {
    reader: Reader<'a>,
    found: Vec<Metadata>,
}

impl Search<'_> {
    fn is_full(&self) -> bool {
        self.reader.is_cut || self.found.len() > self.reader.arena.limits.max_metadata
    }

    /// Follows a dict or an object with attributes; false for anything else.
    fn visit(&mut self, value: Value, path: &str, depth: usize) -> bool {
        let arena = self.reader.arena;
        let Some(depth) = depth.checked_sub(1) else {
            return false;
        };
        match arena.node(value) {
            Some(Node::Dict(entries)) => self.entries(entries, path, depth),
            Some(Node::Object(object)) if !self.reader.is_named(object.callee, "functools", "partial") => {
                let (fields, looks) = attributes::of(arena, object);
                if !self.reader.look(looks) {
                    return true;
                }
                if attributes::is_module(arena, &fields) {
                    return true;
                }
                if fields.is_empty() && object.items.is_empty() {
                    return false;
                }
                self.entries(&fields, path, depth);
                self.entries(&object.items, path, depth);
            }
            _ => return false,
        }
        true
    }

    fn entries(&mut self, entries: &[(Value, Value)], path: &str, depth: usize) {
        let arena = self.reader.arena;
        if !self.reader.look(entries.len()) {
            return;
        }
        let is_tensor =
            |value: Value| matches!(arena.node(value), Some(Node::Tensor(_) | Node::Unsupported(_)));
        let plain: Vec<(Value, Value)> =
            entries.iter().filter(|(_, value)| !is_tensor(*value)).copied().collect();
        let mut named = last_of_each(arena, &plain);
        if path.is_empty() {
            named.sort_by_key(|(name, _)| roots::is_training_state(name));
        }
        for (name, value) in named {
            if self.is_full() {
                return;
            }
            let below = if path.is_empty() { name } else { format!("{path}.{name}") };
            if below.len() > arena.limits.max_name_len {
                let path: String = below.chars().take(80).collect();
                self.found.push(Metadata { path, value: cut() });
                continue;
            }
            if !self.reader.take_text(below.len()) {
                return;
            }
            let is_empty = matches!(arena.node(value), Some(Node::Dict([])));
            if is_empty || !self.visit(value, &below, depth) {
                let value = self.reader.value(value);
                self.found.push(Metadata { path: below, value });
            }
        }
    }
}
