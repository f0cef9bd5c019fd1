//! Says what the client tells its caller while it works, so that a terminal can show it. The library itself prints nothing.

use std::time::Duration;

/// Receives [`FetchEvent`]s. `()` ignores them all.
pub trait Progress {
    /// Takes the news that something happened. Called from the thread that asked for the file.
    fn event(&self, event: FetchEvent<'_>);
}

impl Progress for () {
    fn event(&self, _: FetchEvent<'_>) {}
}

/// Describes a step of fetching one file or asking one question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FetchEvent<'a> {
    /// Means that the file lies in the cache already; nothing is transferred.
    Cached {
        /// Gives the path in the repository.
        file: &'a str,
    },
    /// Means that a transfer begins.
    Started {
        /// Gives the path in the repository, or the last part of an address.
        file: &'a str,
        /// Counts the bytes in the whole file, where known.
        size: Option<u64>,
        /// Counts the bytes that lie here from an earlier, interrupted transfer.
        resumed_from: u64,
    },
    /// Means that more bytes arrived.
    Received {
        /// Says how many, since the last event.
        bytes: u64,
    },
    /// Means that what had arrived is of no use; the transfer begins again at byte 0.
    Restarted {
        /// Gives the path in the repository.
        file: &'a str,
    },
    /// Means that the file is whole and checked.
    Finished {
        /// Gives the path in the repository, or the last part of an address.
        file: &'a str,
    },
    /// Means that a try failed for a passing reason; the next one follows after a pause.
    Retrying {
        /// Says what the network or the server said.
        why: &'a str,
        /// Gives the pause.
        pause: Duration,
        /// Gives the number of the try that failed, from 1.
        failed_try: u32,
        /// Says how many tries there are at most.
        tries: u32,
    },
    /// Means that another process is fetching the same file; we wait for it.
    WaitingForLock {
        /// Gives the path in the repository.
        file: &'a str,
    },
}
