//! Says how far verification has come, for whoever waits for it.

use std::fmt;

use crate::nn::{Matrix, Observer};

/// Says what verification is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum VerifyStep {
    /// Compares weights and pixels while the source's files are hashed.
    Hashing,
    /// Runs the source's network.
    Source {
        /// Counts the layers that it has come by.
        layer: usize,
        /// Counts the layers.
        layers: usize,
    },
    /// Runs the source's network with what is known to differ as the target computes it.
    Reference {
        /// Counts the layers that it has come by.
        layer: usize,
        /// Counts the layers.
        layers: usize,
    },
    /// Runs the folder's network.
    Target {
        /// Counts the layers that it has come by.
        layer: usize,
        /// Counts the layers.
        layers: usize,
    },
}

impl fmt::Display for VerifyStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hashing => write!(f, "comparing weights, hashing the source"),
            Self::Source { layer, layers } => write!(f, "source network, layer {layer} of {layers}"),
            Self::Reference { layer, layers } => {
                write!(f, "source network as the folder computes, layer {layer} of {layers}")
            }
            Self::Target { layer, layers } => write!(f, "target network, layer {layer} of {layers}"),
        }
    }
}

/// Tells how many of the places that are compared a network has come by, and passes on what it sees there.
pub(super) struct Counted<'a, O> {
    observer: &'a mut O,
    is_place: &'a (dyn Fn(&str) -> bool + Sync),
    tell: &'a (dyn Fn(usize) + Sync),
    seen: usize,
}

impl<'a, O> Counted<'a, O> {
    pub(super) fn new(
        observer: &'a mut O,
        is_place: &'a (dyn Fn(&str) -> bool + Sync),
        tell: &'a (dyn Fn(usize) + Sync),
    ) -> Self {
        tell(0);
        Self { observer, is_place, tell, seen: 0 }
    }
}

impl<O: Observer> Observer for Counted<'_, O> {
    fn observe(&mut self, name: &str, hidden: &Matrix) {
        self.observer.observe(name, hidden);
        if (self.is_place)(name) {
            self.seen += 1;
            (self.tell)(self.seen);
        }
    }
}
