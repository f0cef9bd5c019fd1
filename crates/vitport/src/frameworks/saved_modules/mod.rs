//! What a network that was saved whole (`torch.save(model)`, TorchScript) says of itself: the classes of its modules and their
//! attributes. A definition declares in tables which classes may stand where ([`Role`]), and what each of their attributes is
//! to it ([`Says`]). What no table has could change what is computed, and is refused, unless no code reads an attribute of its
//! name.

mod calls;
mod names;
mod read;
mod table;
#[cfg(test)]
mod tests;
pub(super) mod torch;
pub(super) mod torchvision;

use std::collections::HashSet;

use vitport_checkpoint::{Checkpoint, PlainValue, SavedModule};

pub(super) use self::calls::{Call, Given};
pub(super) use self::table::{At, Class, Read, Role, Says};

/// Holds the modules of one network, by their paths in it.
#[derive(Debug, Default)]
pub struct SavedModules {
    modules: Vec<SavedModule>,
    /// Holds the names of the network's tensors.
    tensors: HashSet<String>,
    /// Holds the modules that the network lies in, such as `DataParallel`, by their paths in the checkpoint.
    around: Vec<SavedModule>,
    /// Says whether there is more in the file than is kept.
    is_cut: bool,
}

impl SavedModules {
    /// Returns the same without the modules that the network lies in, if `key` names the network inside of them. A key that names one
    /// of them leaves them.
    #[must_use]
    pub fn without_those_outside(self, key: Option<&str>, prefix: &str) -> Self {
        let (key, path) = (key.unwrap_or_default().trim_end_matches('.'), prefix.trim_end_matches('.'));
        let is_network = key.strip_suffix(path).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
        match !key.is_empty() && is_network {
            true => Self { around: Vec::new(), ..self },
            false => self,
        }
    }

    /// Returns the modules of the selected root of a checkpoint whose names have `prefix` before those of the network.
    pub fn of(checkpoint: &Checkpoint, prefix: &str) -> Self {
        let inside = checkpoint.tensors().iter().filter_map(|tensor| tensor.name.strip_prefix(prefix));
        let tensors = inside.map(str::to_owned).collect();
        let mut all = Self { tensors, is_cut: checkpoint.evidence().is_cut, ..Self::default() };
        for module in checkpoint.modules() {
            let with_dot = format!("{}.", module.path);
            match with_dot.strip_prefix(prefix) {
                Some(rest) => {
                    let path = rest.strip_suffix('.').unwrap_or(rest).to_owned();
                    let mut module = module.clone();
                    module.path = path;
                    all.modules.push(module);
                }
                None if module.path.is_empty() || prefix.starts_with(&with_dot) => {
                    all.around.push(module.clone());
                }
                None => {}
            }
        }
        all
    }

    /// Returns whether nothing was saved but tensors.
    pub fn is_empty(&self) -> bool {
        self.modules.is_empty()
    }

    /// Returns an attribute of the module at `path`, which is empty for the network itself.
    pub fn attribute(&self, path: &str, name: &str) -> Option<&PlainValue> {
        self.modules.iter().find(|module| module.path == path)?.attribute(name)
    }

    /// Returns an attribute of the module at `path` that is two whole numbers, such as height and width.
    pub fn pair(&self, path: &str, name: &str) -> Option<[u64; 2]> {
        match self.attribute(path, name)?.as_list()? {
            [first, second] => {
                Some([u64::try_from(first.as_int()?).ok()?, u64::try_from(second.as_int()?).ok()?])
            }
            _ => None,
        }
    }
}
