//! Which values lead to tensors.
//!
//! Pickles share values freely: sixty lists, each holding the one before twice, spell 2^60 paths. The
//! walk for tensors follows paths, so it first learns which values are worth following at all. This is
//! one pass over the table and its references, however they are entangled.

use crate::pickle::{Arena, Node, Value};

/// For each node, whether a tensor can be reached from it.
pub(super) fn reaches_tensor(arena: &Arena) -> Vec<bool> {
    let mut reached: Vec<bool> =
        arena.nodes().map(|node| matches!(node, Node::Tensor(_) | Node::Unsupported(_))).collect();
    let (starts, parents) = parents(arena);
    let mut open: Vec<usize> =
        reached.iter().enumerate().filter(|(_, is_tensor)| **is_tensor).map(|(index, _)| index).collect();
    while let Some(index) = open.pop() {
        let range = match (starts.get(index), starts.get(index + 1)) {
            (Some(&start), Some(&end)) => start as usize..end as usize,
            _ => continue,
        };
        for &parent in parents.get(range).unwrap_or_default() {
            let parent = parent as usize;
            if let Some(seen) = reached.get_mut(parent)
                && !*seen
            {
                *seen = true;
                open.push(parent);
            }
        }
    }
    reached
}

/// The nodes that refer to each node, side by side; node `i`'s lie at `starts[i]..starts[i + 1]`.
fn parents(arena: &Arena) -> (Vec<u32>, Vec<u32>) {
    let mut counts = vec![0_u32; arena.len() + 1];
    for node in arena.nodes() {
        children(node, &mut |child| {
            if let Some(count) = counts.get_mut(child) {
                *count = count.saturating_add(1);
            }
        });
    }
    let mut next = 0_u32;
    let starts: Vec<u32> = counts
        .iter()
        .map(|count| {
            let start = next;
            next = next.saturating_add(*count);
            start
        })
        .collect();
    let mut cursor = starts.clone();
    let mut parents = vec![0_u32; next as usize];
    for (index, node) in arena.nodes().enumerate() {
        children(node, &mut |child| {
            if let Some(at) = cursor.get_mut(child) {
                if let Some(slot) = parents.get_mut(*at as usize) {
                    *slot = u32::try_from(index).unwrap_or(u32::MAX);
                }
                *at += 1;
            }
        });
    }
    (starts, parents)
}

/// Calls `found` with the number of each node that the walk would go to from this one.
fn children(node: Node<'_>, found: &mut impl FnMut(usize)) {
    let mut each = |value: &Value| {
        if let Value::Node(id) = value {
            found(id.index());
        }
    };
    match node {
        Node::List(items) | Node::Set(items) | Node::Tuple(items) => items.iter().for_each(each),
        Node::Dict(entries) => entries.iter().for_each(|(_, value)| each(value)),
        Node::Object(object) => {
            each(&object.args);
            object.states.iter().chain(&object.list).for_each(&mut each);
            object.items.iter().for_each(|(_, value)| each(value));
        }
        _ => {}
    }
}
