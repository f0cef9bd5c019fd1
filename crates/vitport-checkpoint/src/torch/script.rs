//! TorchScript archives: which attributes of a class are parameters and which are buffers.
//!
//! The pickle of such an archive holds attributes only. The code beside it (`code/__torch__/….py`) opens
//! each class with two lists of names, `__parameters__` and `__buffers__`. The lists are read as text; the
//! code is not interpreted.

use std::collections::HashMap;

use crate::error::Fault;
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

/// The longest code file that is read.
const LONGEST: u64 = 64 << 20;

/// Finds the classes that a pickle names in the code of its archive.
pub(super) fn classes(
    source: &Source,
    archive: &Archive,
    folder: &str,
    arena: &Arena,
    limits: &Limits,
) -> Result<Classes, Fault> {
    let mut classes = Classes::new();
    let mut files: HashMap<String, String> = HashMap::new();
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
                break;
            }
            let code = archive.load(source, entry, limits)?;
            files.insert(path.clone(), String::from_utf8_lossy(&code).into_owned());
        }
        let class = files.get(&path).and_then(|code| class_lists(code, &global.name));
        if let Some(class) = class {
            classes.insert(number, class);
        }
    }
    Ok(classes)
}

/// The lists at the top of `class NAME(Module):`. `None` when there is no such class.
fn class_lists(code: &str, name: &str) -> Option<Class> {
    let head = format!("class {name}(Module):");
    let mut lines = code.lines().skip_while(|line| line.trim_end() != head);
    lines.next()?;
    let mut class = Class::default();
    for line in lines.take_while(|line| line.is_empty() || line.starts_with(' ')) {
        let line = line.trim();
        if let Some(list) = line.strip_prefix("__parameters__ = ") {
            class.parameters = quoted(list);
        } else if let Some(list) = line.strip_prefix("__buffers__ = ") {
            class.buffers = quoted(list);
        } else if line.starts_with("def ") {
            break;
        }
    }
    Some(class)
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
        assert_eq!(class_lists(code, "A"), Some(Class::default()));
        let b = class_lists(code, "B").unwrap();
        assert_eq!(b.parameters, ["weight", "bias"]);
        assert_eq!(b.buffers, ["mean"]);
        assert_eq!(class_lists(code, "C"), None);
    }
}
