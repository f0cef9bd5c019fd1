//! Ends the command when somebody asks it to by a signal: what is unfinished is removed, what is published stays, and the exit
//! code is 128 and the signal's number.

use std::thread;

use vitport::temporary::remove_all;

/// Watches for signals from now on. One that whoever started the command has it ignore (`nohup`, `&` in a script) stays ignored.
pub fn watch() {
    let Some(wait) = system::waiting() else { return };
    let _ = thread::Builder::new().name("signals".to_owned()).spawn(move || {
        if let Some(signal) = wait() {
            // Held to the end, so that nothing is made or said any more.
            let _nothing_more = remove_all();
            std::process::exit(128 + signal);
        }
    });
}

/// Makes a write beyond `ulimit -f` fail like any other, where it would end the process by a signal. Should no handler be
/// had, the limit does what it did.
pub fn outlive_the_file_size_limit() {
    #[cfg(unix)]
    {
        let seen = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let _ = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, seen);
    }
}

#[cfg(unix)]
mod system {
    use std::fs;

    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    use signal_hook::iterator::Signals;

    /// Returns what waits for a signal and gives its number.
    pub(super) fn waiting() -> Option<impl FnOnce() -> Option<i32>> {
        let ignored = ignored();
        let wanted = [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|signal| !is_in(ignored, *signal));
        let mut signals = Signals::new(wanted).ok()?;
        Some(move || signals.forever().next())
    }

    /// Returns the mask of the signals that this process ignores, where the system says so.
    fn ignored() -> u64 {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
    }

    fn is_in(mask: u64, signal: i32) -> bool {
        u32::try_from(signal - 1).is_ok_and(|bit| mask.checked_shr(bit).is_some_and(|rest| rest & 1 == 1))
    }
}

#[cfg(not(unix))]
mod system {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread::sleep;
    use std::time::Duration;

    use signal_hook::consts::{SIGINT, SIGTERM};
    use signal_hook::flag::register_usize;

    /// Says how often is looked for a signal, where nothing can wait for one.
    const PAUSE: Duration = Duration::from_millis(50);

    /// Returns what waits for a signal and gives its number.
    pub(super) fn waiting() -> Option<impl FnOnce() -> Option<i32>> {
        let seen = Arc::new(AtomicUsize::new(0));
        for signal in [SIGINT, SIGTERM] {
            register_usize(signal, Arc::clone(&seen), usize::try_from(signal).ok()?).ok()?;
        }
        Some(move || {
            loop {
                match seen.load(Ordering::Relaxed) {
                    0 => sleep(PAUSE),
                    signal => return i32::try_from(signal).ok(),
                }
            }
        })
    }
}
