//! Lets another program follow a command that it runs: what is being done, what came of it, and a way to stop it.

use std::sync::{Arc, Mutex, PoisonError};

use indicatif::ProgressBar;
use serde_json::Value;
use vitport_checkpoint::Stop;

/// Follows one command from other threads. Clones are one.
#[derive(Debug, Clone, Default)]
pub struct Watch(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    stop: Stop,
    bar: Mutex<Option<(ProgressBar, Unit)>>,
    said: Mutex<Said>,
}

/// Says what progress counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Counts bytes.
    Bytes,
    /// Counts things: jobs of a batch.
    Count,
    /// Counts nothing: how long the work is cannot be known.
    Unknown,
}

/// Describes how far a command has come with what it is doing now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Says what it is doing, such as `writing`.
    pub what: String,
    /// Counts what is done.
    pub done: u64,
    /// Counts what there is to do, where that is known.
    pub total: Option<u64>,
    /// Says what is counted.
    pub unit: Unit,
}

/// Holds what a command said in place of printing it.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub document: Option<Value>,
    pub page: Option<String>,
    pub notes: Vec<String>,
}

impl Watch {
    /// Makes the command stop at its next read of a model's bytes, or when more of a file arrives from the Hub. It then returns an
    /// error, and leaves nothing unfinished behind.
    pub fn stop(&self) {
        self.0.stop.stop();
    }

    /// Returns whether it was told to stop.
    pub fn is_stopped(&self) -> bool {
        self.0.stop.is_stopped()
    }

    /// Returns what the command is doing; none before it does anything that takes long, and between two such things.
    pub fn step(&self) -> Option<Step> {
        let shown = self.0.bar.lock().unwrap_or_else(PoisonError::into_inner);
        let (bar, unit) = shown.as_ref().filter(|(bar, _)| !bar.is_finished())?;
        Some(Step { what: bar.message(), done: bar.position(), total: bar.length(), unit: *unit })
    }

    pub(crate) fn stop_flag(&self) -> Stop {
        self.0.stop.clone()
    }

    pub(crate) fn show(&self, bar: &ProgressBar, unit: Unit) {
        *self.0.bar.lock().unwrap_or_else(PoisonError::into_inner) = Some((bar.clone(), unit));
    }

    pub(crate) fn hear(&self, hear: impl FnOnce(&mut Said)) {
        hear(&mut self.0.said.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(crate) fn take_said(&self) -> Said {
        std::mem::take(&mut *self.0.said.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
