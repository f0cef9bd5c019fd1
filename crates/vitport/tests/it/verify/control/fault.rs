//! Describes one planted fault: what it is called, which models have a place for it, what it changes, and whether running the
//! networks can show it.

use super::folder::FolderFiles;

/// Says where a fault lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Weights,
    Config,
    Labels,
    Processor,
}

/// Says whether the outputs or the pixels must show a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forward {
    /// Means that they must.
    Shows,
    /// Means that they cannot, and why.
    CannotShow(&'static str),
    /// Means that it depends on the network.
    MayShow(&'static str),
}

/// Describes a fault.
pub struct Fault {
    pub kind: Kind,
    pub name: &'static str,
    pub forward: Forward,
    pub fits: fn(&FolderFiles) -> bool,
    pub plant: fn(&mut FolderFiles),
}

/// Makes a fault that every model has a place for and that the outputs show.
pub fn fault(kind: Kind, name: &'static str, plant: fn(&mut FolderFiles)) -> Fault {
    Fault { kind, name, forward: Forward::Shows, fits: |_| true, plant }
}

impl Fault {
    pub fn fits(self, fits: fn(&FolderFiles) -> bool) -> Self {
        Self { fits, ..self }
    }

    pub fn unseen(self, why: &'static str) -> Self {
        Self { forward: Forward::CannotShow(why), ..self }
    }

    pub fn maybe_unseen(self, why: &'static str) -> Self {
        Self { forward: Forward::MayShow(why), ..self }
    }
}
