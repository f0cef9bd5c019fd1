//! Ends a transfer that goes on for ever without getting anywhere: a server may send one byte after another, each just in time.

use std::io;
use std::time::{Duration, Instant};

use super::config::HubConfig;

/// Watches over the tries of one transfer.
pub(super) struct Pace {
    /// Says what all tries of a small file may take together; none for a large file.
    overall: Option<Duration>,
    /// Says what the tries before this one took.
    spent: Duration,
    begin: Instant,
    window: Duration,
    least_bytes: u64,
    window_begin: Instant,
    window_bytes: u64,
}

impl Pace {
    /// Watches over a small file, which has to be there within [`HubConfig::small_file_timeout`], or a large one, which has to
    /// come at [`HubConfig::slowest_rate`].
    pub(super) fn new(config: &HubConfig, is_small: bool) -> Self {
        let now = Instant::now();
        Self {
            overall: is_small.then_some(config.small_file_timeout),
            spent: Duration::ZERO,
            begin: now,
            window: config.slowest_window,
            least_bytes: config.slowest_rate.saturating_mul(config.slowest_window.as_secs().max(1)),
            window_begin: now,
            window_bytes: 0,
        }
    }

    /// Begins a try.
    pub(super) fn begin(&mut self) {
        let now = Instant::now();
        (self.begin, self.window_begin, self.window_bytes) = (now, now, 0);
    }

    /// Counts what has arrived.
    ///
    /// # Errors
    /// Of kind [`io::ErrorKind::QuotaExceeded`] when a small file's time is up, for good; of another kind when a large one comes
    /// too slowly.
    pub(super) fn received(&mut self, bytes: usize) -> io::Result<()> {
        if let Some(overall) = self.overall {
            let spent = self.spent.saturating_add(self.begin.elapsed());
            return match spent > overall {
                true => Err(io::Error::new(
                    io::ErrorKind::QuotaExceeded,
                    format!("it is small and has not arrived after {} s", spent.as_secs()),
                )),
                false => Ok(()),
            };
        }
        self.window_bytes = self.window_bytes.saturating_add(bytes as u64);
        if self.window_begin.elapsed() < self.window {
            return Ok(());
        }
        let arrived = std::mem::take(&mut self.window_bytes);
        self.window_begin = Instant::now();
        match arrived < self.least_bytes {
            true => Err(io::Error::other(format!("only {arrived} bytes in {} s", self.window.as_secs()))),
            false => Ok(()),
        }
    }

    /// Ends a try.
    pub(super) fn end(&mut self) {
        self.spent = self.spent.saturating_add(self.begin.elapsed());
    }
}

/// Says whether an error of [`Pace::received`] is for good.
pub(super) fn is_over(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::QuotaExceeded
}
