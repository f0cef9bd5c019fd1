//! TorchScript archives: which attributes of a class are parameters and which are buffers.
//!
//! The pickle of such an archive holds attributes only. The code next to it (`code/__torch__/….py`) opens
//! each class with two lists of names, `__parameters__` and `__buffers__`. The lists are read as text; the
//! code is not interpreted.

use std::collections::HashMap;

use crate::error::{Fault, Reason, refuse};
use crate::limits::Limits;
use crate::pickle::Arena;
use crate::source::Source;
use crate::zip::Archive;

/// The classes of an archive, by the number of the global that names each.
pub(super) type Classes = HashMap<usize, Class>;

/// A class of an archive.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Class {
    pub(super) parameters: Vec<String>,
    pub(super) buffers: Vec<String>,
}

/// Bytes of code that are read in all.
const LONGEST: u64 = 16 << 20;

/// Finds the classes that a pickle names in the code of its archive.
pub(super) fn classes(
    source: &Source,
    archive: &Archive,
    folder: &str,
    arena: &Arena,
    limits: &Limits,
) -> Result<Classes, Fault> {
    let mut classes = Classes::new();
    let mut files: HashMap<String, HashMap<String, Class>> = HashMap::new();
    let mut total = 0_u64;
    for (number, (global, _)) in arena.globals.iter().enumerate() {
        if !global.module.starts_with("__torch__") {
            continue;
        }
        let path = format!("{folder}code/{}.py", global.module.replace('.', "/"));
        let Some(entry) = archive.get(&path) else {
            continue;
        };
        if !files.contains_key(&path) {
            total = total.saturating_add(entry.len);
            if total > LONGEST {
                return refuse(Reason::Limit, format!("the archive's code has more than {LONGEST} bytes"));
            }
            let code = archive.load(source, entry, limits)?;
            files.insert(path.clone(), classes_of(&String::from_utf8_lossy(&code)));
        }
        if let Some(class) = files.get_mut(&path).and_then(|classes| classes.remove(&global.name)) {
            classes.insert(number, class);
        }
    }
    Ok(classes)
}

/// The lists at the top of each `class NAME(Module):`. Of two classes of one name, the first counts.
fn classes_of(code: &str) -> HashMap<String, Class> {
    let mut classes: HashMap<String, Class> = HashMap::new();
    let mut open: Option<(String, Class)> = None;
    for line in code.lines().chain(["class"]) {
        if let Some(head) = line.strip_prefix("class") {
            if let Some((name, class)) = open.take() {
                classes.entry(name).or_insert(class);
            }
            let name = head.trim().strip_suffix("(Module):");
            open = name.map(|name| (name.to_owned(), Class::default()));
        } else if let Some((_, class)) = &mut open {
            let line = line.trim();
            if let Some(list) = line.strip_prefix("__parameters__ = ") {
                class.parameters = quoted(list);
            } else if let Some(list) = line.strip_prefix("__buffers__ = ") {
                class.buffers = quoted(list);
            }
        }
    }
    classes
}

/// The strings of a list literal.
fn quoted(list: &str) -> Vec<String> {
    list.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_a_class() {
        let code = "class A(Module):\n  __parameters__ = []\n  __buffers__ = []\n  def forward(self):\n    pass\n\
                    class B(Module):\n  __parameters__ = [\"weight\", \"bias\", ]\n  __buffers__ = [\"mean\", ]\n  x : int\n";
        let classes = classes_of(code);
        assert_eq!(classes["A"], Class::default());
        assert_eq!(classes["B"].parameters, ["weight", "bias"]);
        assert_eq!(classes["B"].buffers, ["mean"]);
        assert_eq!(classes.len(), 2);
    }
}
