//! What the client tells its caller while it works, so that a terminal can show it. The library itself
//! prints nothing.

use std::time::Duration;

/// Receives [`Event`]s. `()` ignores them all.
pub trait Progress {
    /// Something happened. Called from the thread that asked for the file.
    fn event(&self, event: Event<'_>);
}

impl Progress for () {
    fn event(&self, _: Event<'_>) {}
}

/// A step of fetching one file or asking one question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The file lies in the cache already; nothing is transferred.
    Cached {
        /// The path in the repository.
        file: &'a str,
    },
    /// A transfer begins.
    Started {
        /// The path in the repository, or the last part of an address.
        file: &'a str,
        /// Bytes in the whole file, where known.
        size: Option<u64>,
        /// Bytes that lie here from an earlier, interrupted transfer.
        resumed_from: u64,
    },
    /// More bytes arrived.
    Received {
        /// How many, since the last event.
        bytes: u64,
    },
    /// What had arrived is of no use; the transfer begins again at byte 0.
    Restarted {
        /// The path in the repository.
        file: &'a str,
    },
    /// The file is whole and checked.
    Finished {
        /// The path in the repository, or the last part of an address.
        file: &'a str,
    },
    /// A try failed for a passing reason; the next one follows after a pause.
    Retrying {
        /// What the network or the server said.
        why: &'a str,
        /// The pause.
        pause: Duration,
        /// The number of the try that failed, from 1.
        failed_try: u32,
        /// How many tries there are at most.
        tries: u32,
    },
    /// Another process is fetching the same file; we wait for it.
    WaitingForLock {
        /// The path in the repository.
        file: &'a str,
    },
}
