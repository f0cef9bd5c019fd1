//! The nested parts of a state dict that was saved flat: from the keys that lead to each tensor to branches.

use std::sync::Arc;

use super::value_path;
use crate::contents::{Branch, Contents};
use crate::evidence::Unsupported;
use crate::tensor::Tensor;

/// Describes what hangs at the end of a path.
pub(super) enum Leaf {
    Tensor(Tensor),
    Unsupported(Unsupported),
}

/// Hangs tensors by their paths on branches, parents before children.
pub(super) fn grow(out: &mut Contents, mut leaves: Vec<(Vec<String>, Leaf)>) {
    // Of one part all leaves follow each other, its own before those of its parts, each in the order of the file.
    leaves.sort_by(|(one, _), (other, _)| around(one).cmp(around(other)));
    let mut open: Vec<usize> = Vec::new();
    let mut keys: Vec<String> = Vec::new();
    enter(out, &mut open, &[]);
    for (path, leaf) in leaves {
        let around = around(&path);
        let shared = keys.iter().zip(around).take_while(|(one, other)| one == other).count();
        while keys.len() > shared {
            leave(out, &mut open);
            keys.pop();
        }
        for key in around.iter().skip(shared) {
            keys.push(key.clone());
            enter(out, &mut open, &keys);
        }
        if let Some(branch) = open.last().and_then(|number| out.branches.get_mut(*number)) {
            branch.direct += 1;
        }
        match leaf {
            Leaf::Tensor(tensor) => out.tensors.push(Arc::new(tensor)),
            Leaf::Unsupported(unsupported) => out.unsupported.push(unsupported),
        }
    }
    while !open.is_empty() {
        leave(out, &mut open);
    }
}

/// Returns the keys that lead to the part that a value lies in.
fn around(path: &[String]) -> &[String] {
    path.split_last().map_or(&[], |(_, around)| around)
}

fn enter(out: &mut Contents, open: &mut Vec<usize>, keys: &[String]) {
    let (tensors, unsupported) = (out.tensors.len(), out.unsupported.len());
    open.push(out.branches.len());
    out.branches.push(Branch {
        path: value_path(keys),
        depth: keys.len(),
        tensors: tensors..tensors,
        direct: 0,
        unsupported: unsupported..unsupported,
    });
}

fn leave(out: &mut Contents, open: &mut Vec<usize>) {
    if let Some(branch) = open.pop().and_then(|number| out.branches.get_mut(number)) {
        branch.tensors.end = out.tensors.len();
        branch.unsupported.end = out.unsupported.len();
    }
}
