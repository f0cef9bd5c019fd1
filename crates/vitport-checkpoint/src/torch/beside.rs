//! Plain values next to the weights: an epoch, an architecture's name, the arguments of a training run.
//!
//! Only dicts and objects near the top are looked at, and never more entries than the limit allows, so
//! values that are shared a million times cost nothing.

use crate::evidence::Evidence;
use crate::metadata::{Metadata, Scalar};
use crate::pickle::{Arena, Node, Value};

/// Levels of dicts and objects that are looked at.
const DEPTH: usize = 4;

/// The longest text that is kept.
const TEXT: usize = 4096;

/// The longest list of plain values that is kept.
const LIST: usize = 64;

/// Bytes of text that are kept in all.
const ALL_TEXT: usize = 8 << 20;

/// Attributes of an object among which a module has its `_modules`.
const FIRST: usize = 64;

/// Entries that are looked at for each one that may be kept.
const LOOKS: usize = 64;

/// All plain values near the top.
pub(super) fn scalars(arena: &Arena, root: Value, evidence: &mut Evidence) -> Vec<Metadata> {
    let looks = arena.limits.max_metadata.saturating_mul(LOOKS);
    let mut search = Search { arena, found: Vec::new(), looks, text: ALL_TEXT };
    search.visit(root, "", DEPTH);
    if search.looks == 0 || search.found.len() > arena.limits.max_metadata {
        evidence.note("there is more beside the weights than is kept as metadata");
    }
    search.found.truncate(arena.limits.max_metadata);
    search.found
}

struct Search<'a> {
    arena: &'a Arena,
    found: Vec<Metadata>,
    looks: usize,
    text: usize,
}

impl Search<'_> {
    fn visit(&mut self, value: Value, path: &str, depth: usize) {
        let Some(depth) = depth.checked_sub(1) else {
            return;
        };
        match self.arena.node(value) {
            Some(Node::Dict(entries)) => self.entries(entries, path, depth),
            Some(Node::Object(object)) => {
                for state in &object.states {
                    if let Some(Node::Dict(fields)) = self.arena.node(*state)
                        && !self.is_module(fields)
                    {
                        self.entries(fields, path, depth);
                    }
                }
                self.entries(&object.items, path, depth);
            }
            _ => {}
        }
    }

    /// A module's own attributes are settings of the network's code, hundreds of them.
    fn is_module(&self, fields: &[(Value, Value)]) -> bool {
        fields.iter().take(FIRST).any(|(key, _)| self.arena.text(*key) == Some("_modules"))
    }

    fn entries(&mut self, entries: &[(Value, Value)], path: &str, depth: usize) {
        for (key, value) in entries {
            if self.looks == 0 || self.found.len() > self.arena.limits.max_metadata {
                return;
            }
            self.looks -= 1;
            if matches!(self.arena.node(*value), Some(Node::Tensor(_) | Node::Unsupported(_))) {
                continue;
            }
            let key = match (self.arena.int(*key), self.arena.text(*key)) {
                (Some(number), _) => number.to_string(),
                (None, Some(text)) => text.to_owned(),
                (None, None) => continue,
            };
            let below = if path.is_empty() { key } else { format!("{path}.{key}") };
            if below.len() > self.arena.limits.max_name_len {
                continue;
            }
            match self.scalar(*value) {
                Some(value) => self.found.push(Metadata { path: below, value }),
                None => self.visit(*value, &below, depth),
            }
        }
    }

    /// A plain value, or a short list of plain values.
    fn scalar(&mut self, value: Value) -> Option<Scalar> {
        let items = match self.arena.node(value) {
            Some(Node::List(_) | Node::Tuple(_)) => {
                self.arena.sequence(value).filter(|items| items.len() <= LIST)
            }
            _ => None,
        };
        let Some(items) = items else { return self.plain(value) };
        self.looks = self.looks.saturating_sub(items.len());
        items.iter().map(|item| self.plain(*item)).collect::<Option<Vec<_>>>().map(Scalar::List)
    }

    fn plain(&mut self, value: Value) -> Option<Scalar> {
        Some(match value {
            Value::None => Scalar::None,
            Value::Bool(truth) => Scalar::Bool(truth),
            Value::Int(_) | Value::Long(_) => Scalar::Int(self.arena.int(value)?),
            Value::Float(_) => Scalar::Float(self.arena.float(value)?),
            Value::Node(_) => {
                let text = self.arena.text(value).filter(|text| text.len() <= TEXT)?;
                self.text = self.text.checked_sub(text.len()).or_else(|| {
                    self.looks = 0;
                    None
                })?;
                Scalar::Str(text.to_owned())
            }
        })
    }
}
