//! Ends the command when somebody asks it to by a signal: what is unfinished is removed, what is published stays, and the exit
//! code is 128 and the signal's number.

use std::fs;
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use vitport::temporary::remove_all;

/// Watches for signals from now on. One that whoever started the command has it ignore (`nohup`, `&` in a script) stays ignored.
pub fn watch() {
    let ignored = ignored();
    let wanted = [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|signal| !is_in(ignored, *signal));
    let Ok(mut signals) = Signals::new(wanted) else { return };
    let _ = thread::Builder::new().name("signals".to_owned()).spawn(move || {
        if let Some(signal) = signals.forever().next() {
            // Held to the end, so that nothing is made or said any more.
            let _nothing_more = remove_all();
            std::process::exit(128 + signal);
        }
    });
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
