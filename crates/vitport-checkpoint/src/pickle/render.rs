//! Values as short text, to show what a call would have been.

use super::arena::{Arena, Value};
use super::nodes::Node;
use crate::escape::escape;

/// Gives the characters of one rendered call.
const WIDTH: usize = 160;

/// Gives how deep arguments are shown.
const DEPTH: usize = 3;

/// Returns the call as Python would write it, cut to one short line.
pub(super) fn call(arena: &Arena, callee: Value, args: Value) -> String {
    let mut out = String::new();
    value(arena, callee, DEPTH, &mut out);
    out.push('(');
    match arena.sequence(args) {
        Some(items) => list(arena, items, DEPTH, &mut out),
        None => value(arena, args, DEPTH, &mut out),
    }
    out.push(')');
    cut(out)
}

/// Returns the call by which an object would be given a state, cut to one short line.
pub(super) fn state(arena: &Arena, target: Value, given: Value) -> String {
    let mut out = String::new();
    value(arena, target, DEPTH, &mut out);
    out.push_str(".__setstate__(");
    value(arena, given, DEPTH, &mut out);
    out.push(')');
    cut(out)
}

fn cut(out: String) -> String {
    match out.char_indices().nth(WIDTH) {
        Some((at, _)) => format!("{}…", out.get(..at).unwrap_or_default()),
        None => out,
    }
}

/// Returns the global of a callee: itself, or the one that made it.
pub(super) fn underlying_global(arena: &Arena, callee: Value) -> Option<usize> {
    let mut at = callee;
    for _ in 0..16 {
        match arena.node(at)? {
            Node::Global(number) => return Some(number),
            Node::Object(object) => at = object.callee,
            _ => return None,
        }
    }
    None
}

fn list(arena: &Arena, items: &[Value], depth: usize, out: &mut String) {
    for (index, item) in items.iter().enumerate() {
        if out.len() > WIDTH * 4 {
            return;
        }
        out.push_str(if index == 0 { "" } else { ", " });
        value(arena, *item, depth, out);
    }
}

fn value(arena: &Arena, shown: Value, depth: usize, out: &mut String) {
    let node = match shown {
        Value::None => return out.push_str("None"),
        Value::Bool(truth) => return out.push_str(if truth { "True" } else { "False" }),
        Value::Int(_) | Value::Long(_) => {
            return out.push_str(&arena.int(shown).unwrap_or_default().to_string());
        }
        Value::Float(_) => return out.push_str(&format!("{:?}", arena.float(shown).unwrap_or_default())),
        Value::Node(_) => arena.node(shown),
    };
    let Some(deeper) = depth.checked_sub(1) else {
        return out.push('…');
    };
    match node {
        Some(Node::Text(text)) => {
            let cut: String = text.chars().take(WIDTH).collect();
            out.push_str(&format!("'{}'", escape(&cut)));
        }
        Some(Node::Bytes(string)) => match string.bytes.as_deref() {
            Some(bytes) if bytes.len() <= WIDTH => {
                out.push_str(&format!("b'{}'", escape(&String::from_utf8_lossy(bytes))));
            }
            _ => out.push_str(&format!("<{} bytes>", string.len)),
        },
        Some(Node::Global(number)) => {
            if let Some((global, _)) = arena.globals.get(number) {
                let cut = |text: &str| text.chars().take(WIDTH).collect::<String>();
                out.push_str(&format!("{}.{}", escape(&cut(&global.module)), escape(&cut(&global.name))));
            }
        }
        Some(Node::Tuple(items)) => {
            out.push('(');
            list(arena, items, deeper, out);
            out.push(')');
        }
        Some(Node::List(items) | Node::Set(items)) => {
            out.push('[');
            list(arena, items, deeper, out);
            out.push(']');
        }
        Some(Node::Dict(items)) => {
            out.push('{');
            for (index, (key, item)) in items.iter().enumerate() {
                if out.len() > WIDTH * 4 {
                    break;
                }
                out.push_str(if index == 0 { "" } else { ", " });
                value(arena, *key, deeper, out);
                out.push_str(": ");
                value(arena, *item, deeper, out);
            }
            out.push('}');
        }
        Some(Node::Object(object)) => {
            value(arena, object.callee, deeper, out);
            out.push_str("(…)");
        }
        Some(Node::Storage(_)) => out.push_str("<storage>"),
        Some(Node::Tensor(_)) => out.push_str("<tensor>"),
        Some(Node::Unsupported(kind)) => out.push_str(&format!("<{}>", kind.kind)),
        Some(Node::ArrayType(_)) => out.push_str("<dtype>"),
        None => out.push('?'),
    }
}
