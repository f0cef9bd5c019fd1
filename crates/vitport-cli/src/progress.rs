//! Shows a bar for work that takes long: on standard error and only on a terminal, or to the program that runs the command.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output::Printer;
use crate::watch::Unit;

const BYTES: &str = "{msg}  [{bar:32}]  {decimal_bytes}/{decimal_total_bytes}  {decimal_bytes_per_sec}";

/// Shows a bar over so many bytes; invisible where progress is not wanted or nobody sees it.
pub fn bytes(total: u64, what: &str, output: &Printer) -> ProgressBar {
    bar(Some(total), what, BYTES, Unit::Bytes, output)
}

/// Shows what is being done, by the bar's message, for work whose length is not known.
pub fn spinner(what: &str, output: &Printer) -> ProgressBar {
    bar(None, what, "{spinner} {wide_msg}", Unit::Unknown, output)
}

/// Shows a bar over so many things.
pub fn count(total: u64, output: &Printer) -> ProgressBar {
    bar(Some(total), "", "[{bar:32}]  {pos}/{len}  {elapsed}", Unit::Count, output)
}

fn bar(total: Option<u64>, what: &str, template: &str, unit: Unit, output: &Printer) -> ProgressBar {
    if let Some(watch) = output.watch() {
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::hidden());
        bar.set_message(what.to_owned());
        watch.show(&bar, unit);
        return bar;
    }
    if !output.shows_progress() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr_with_hz(10));
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("━╸─"));
    }
    bar.set_message(what.to_owned());
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
