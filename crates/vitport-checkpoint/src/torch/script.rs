//! TorchScript archives: which attributes of a class are parameters and which are buffers.
//!
//! The pickle of such an archive holds attributes only. The code next to it (`code/__torch__/….py`) opens
//! each class with two lists of names, `__parameters__` and `__buffers__`, and with its constants. Those are
//! read as text, and so are the calls in its methods; the code is not interpreted.

use std::collections::HashMap;

use crate::error::{Fault, Reason, refuse};
use crate::limits::Limits;
use crate::pickle::Arena;
use crate::source::Source;
use crate::zip::Archive;

/// Describes the classes of an archive, by the number of the global that names each.
pub(super) type Classes = HashMap<usize, Class>;

/// Describes a class of an archive.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Class {
    pub(super) parameters: Vec<String>,
    pub(super) buffers: Vec<String>,
    /// Names and values of `NAME : Final[TYPE] = VALUE`.
    pub(super) constants: Vec<(String, String)>,
    /// Holds the hooks of `forward` by the names of the dicts that they have in Python.
    pub(super) hooks: Vec<(String, Vec<String>)>,
    /// Holds the calls of functions in its methods, with their arguments.
    pub(super) calls: Vec<String>,
}

/// Limits the bytes of code that are read in all.
const LONGEST: u64 = 16 << 20;

/// Limits the constants and calls that are kept of one class.
const KEPT: usize = 1024;

/// Limits the bytes that are kept of one call.
const CALL: usize = 240;

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

/// Returns what the file says of each `class NAME(Module):`. Of two classes of one name, the first counts.
fn classes_of(code: &str) -> HashMap<String, Class> {
    let mut classes: HashMap<String, Class> = HashMap::new();
    let mut open: Option<(String, Class)> = None;
    // What a method calls under a short name, and whether the lines are those of a method's head.
    let mut aliases: HashMap<&str, &str> = HashMap::new();
    let (mut in_method, mut in_head) = (false, false);
    for line in code.lines().chain(["class"]) {
        if let Some(head) = line.strip_prefix("class") {
            if let Some((name, class)) = open.take() {
                classes.entry(name).or_insert(class);
            }
            let name = head.trim().strip_suffix("(Module):");
            open = name.map(|name| (name.to_owned(), Class::default()));
            in_method = false;
            continue;
        }
        let Some((_, class)) = &mut open else {
            continue;
        };
        let line = line.trim();
        if line.starts_with("def ") {
            (in_method, in_head) = (true, true);
            aliases.clear();
        }
        if in_head {
            in_head = !line.ends_with(':');
        } else if in_method {
            if let Some((name, function)) = line.split_once(" = __torch__.")
                && function.bytes().all(is_of_path)
            {
                aliases.insert(name, function);
            }
            calls(line, &aliases, &mut class.calls);
        } else if let Some(list) = line.strip_prefix("__parameters__ = ") {
            class.parameters = quoted(list);
        } else if let Some(list) = line.strip_prefix("__buffers__ = ") {
            class.buffers = quoted(list);
        } else if let Some((name, list)) = line.split_once("_hooks__ = ")
            && let Some(kind) = name.strip_prefix('_')
        {
            class.hooks.push((format!("{kind}_hooks"), quoted(list)));
        } else if let Some((name, rest)) = line.split_once(" : Final[")
            && let Some((_, value)) = rest.split_once("] = ")
            && class.constants.len() < KEPT
        {
            class.constants.push((name.to_owned(), value.to_owned()));
        }
    }
    classes
}

/// Returns the strings of a list literal.
fn quoted(list: &str) -> Vec<String> {
    list.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

fn is_of_path(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.')
}

/// Adds the calls in a line of code whose functions have dotted names, or short ones that stand for such.
fn calls(line: &str, aliases: &HashMap<&str, &str>, out: &mut Vec<String>) {
    let mut begin = 0;
    for (at, byte) in line.bytes().enumerate() {
        if is_of_path(byte) {
            continue;
        }
        let name = line.get(begin..at).unwrap_or_default();
        begin = at + 1;
        if byte != b'(' || out.len() >= KEPT {
            continue;
        }
        let function = match aliases.get(name) {
            Some(function) => function,
            None if ["torch.", "ops.", "__torch__."].iter().any(|known| name.starts_with(known)) => name,
            None => continue,
        };
        let arguments = line.get(at..).map(arguments).unwrap_or_default();
        out.push(format!("{}{arguments}", unmangled(function)));
    }
}

/// Returns the beginning of a text up to the parenthesis that closes its first one, or as much as is kept.
fn arguments(text: &str) -> &str {
    let (mut depth, mut in_string, mut is_escaped) = (0_usize, false, false);
    for (at, byte) in text.bytes().enumerate().take(CALL) {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_string => is_escaped = true,
            b'"' => in_string = !in_string,
            b'(' if !in_string => depth += 1,
            b')' if !in_string => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return text.get(..=at).unwrap_or(text);
                }
            }
            _ => {}
        }
    }
    text.get(..text.floor_char_boundary(CALL.min(text.len()))).unwrap_or(text)
}

/// Returns a qualified name without `__torch__` and without the parts that tell classes of one name apart.
pub(super) fn unmangled(name: &str) -> String {
    let parts = name.split('.').filter(|part| *part != "__torch__" && !part.starts_with("___torch_mangle_"));
    parts.collect::<Vec<_>>().join(".")
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

    #[test]
    fn constants_and_calls_of_a_class() {
        let code = r#"class A(Module):
  __parameters__ = []
  __buffers__ = []
  __forward_hooks__ = ["double", ]
  gelu : __torch__.torch.nn.modules.activation.GELU
  eps : Final[float] = 9.9999999999999995e-07
  def forward(self: __torch__.A,
    x: Tensor) -> Tensor:
    _0 = __torch__.torch.nn.functional.___torch_mangle_3.layer_norm
    y = _0(torch.gelu(x, approximate="tanh)"), [4], self.w, self.b, 1e-06, )
    return (self.norm).forward(y, )
"#;
        let class = &classes_of(code)["A"];
        assert_eq!(class.constants, [("eps".to_owned(), "9.9999999999999995e-07".to_owned())]);
        assert_eq!(class.hooks, [("_forward_hooks".to_owned(), vec!["double".to_owned()])]);
        let whole = r#"torch.nn.functional.layer_norm(torch.gelu(x, approximate="tanh)"), [4], self.w, self.b, 1e-06, )"#;
        assert_eq!(class.calls, [whole, r#"torch.gelu(x, approximate="tanh)")"#]);
        let long = format!("torch.cat({}", "é".repeat(1000));
        let mut found = Vec::new();
        calls(&long, &HashMap::new(), &mut found);
        assert!(found[0].len() < 300);
        assert_eq!(unmangled("__torch__.timm.layers.mlp.___torch_mangle_5.Mlp"), "timm.layers.mlp.Mlp");
    }
}
