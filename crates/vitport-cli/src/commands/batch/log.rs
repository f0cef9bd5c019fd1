//! Logs a batch: a line as each job ends, with the time, and a summary of all.

use std::collections::BTreeMap;

use serde::Serialize;
use vitport_checkpoint::escape;

use super::document::{End, JobDocument};
use super::jobs::Job;
use crate::arguments::LogFormat;
use crate::clock;
use crate::failure::Failure;
use crate::output::Printer;
use crate::terminal::json::json_line;
use crate::terminal::message::{error_line, error_text};
use crate::terminal::style::{DIM, GREEN};
use crate::terminal::table::{Align, Table};

/// Limits the lines that the summary names.
const MOST_LINES: usize = 8;

/// Logs in the format that was asked for.
pub struct Log<'a> {
    format: LogFormat,
    output: &'a Printer,
}

/// Describes what is logged of a job as JSON.
#[derive(Serialize)]
struct Event<'a, T> {
    time: String,
    event: &'static str,
    #[serde(flatten)]
    job: &'a T,
}

/// Describes a job that begins.
#[derive(Serialize)]
struct Started<'a> {
    line: usize,
    source: &'a str,
    out: String,
}

impl<'a> Log<'a> {
    /// Makes one.
    pub fn new(format: LogFormat, output: &'a Printer) -> Self {
        Self { format, output }
    }

    /// Logs that a job begins: for programs only, since people see its end.
    pub fn start(&self, job: &Job) {
        if self.format == LogFormat::Json {
            json(
                "start",
                &Started { line: job.line, source: job.source(), out: job.out.display().to_string() },
            );
        }
    }

    /// Logs how a job ended.
    ///
    /// # Errors
    /// Of disk, if standard output takes nothing.
    pub fn end(&self, job: &JobDocument) -> Result<(), Failure> {
        if self.format == LogFormat::Json {
            json("end", job);
            return Ok(());
        }
        let time = clock::now();
        let (source, out) = (escape(&job.source).to_string(), escape(&job.out).to_string());
        match &job.end {
            End::Failed { error, .. } => {
                let begins_with_it = error.starts_with(source.as_str());
                let about = if begins_with_it { String::new() } else { format!("{source}: ") };
                error_line(&format!("{time}  line {}: {about}{error}", job.line));
                Ok(())
            }
            End::Skipped => {
                let what = format!("{DIM}skipped (up to date){DIM:#}");
                self.output.say(format!("{DIM}{time}{DIM:#}  {what}  {source} → {out}"))
            }
            End::Done { headline, .. } => {
                let headline = escape(headline.as_deref().unwrap_or("not verified")).to_string();
                let done = format!("{GREEN}done{GREEN:#}");
                self.output.say(format!("{DIM}{time}{DIM:#}  {done}  {source} → {out}  {headline}"))
            }
        }
    }
}

fn json<T: Serialize>(event: &'static str, job: &T) {
    let made = serde_json::to_value(Event { time: clock::now(), event, job });
    if let Ok(line) = made.as_ref().map(json_line) {
        error_text(line.trim_end());
    }
}

/// Returns a table of how jobs ended: those that ended alike are one row.
pub fn summary(jobs: &[JobDocument]) -> String {
    let mut groups: BTreeMap<(u8, String), (Vec<usize>, f64)> = BTreeMap::new();
    for job in jobs {
        let how = match &job.end {
            End::Done { headline, .. } => {
                let headline = headline.as_deref().unwrap_or("not verified");
                (0, format!("done: {}", escape(headline)))
            }
            End::Skipped => (1, "skipped (up to date)".to_owned()),
            End::Failed { kind, .. } => (2, format!("failed: {} (exit {})", kind.name(), kind.exit_code())),
        };
        let (lines, seconds) = groups.entry(how).or_default();
        lines.push(job.line);
        *seconds += job.seconds;
    }
    let columns = [
        ("how it ended", Align::Left),
        ("jobs", Align::Right),
        ("seconds", Align::Right),
        ("lines", Align::Left),
    ];
    let mut table = Table::new(columns);
    for ((_, how), (lines, seconds)) in groups {
        let more = if lines.len() > MOST_LINES { ", …" } else { "" };
        let shown: Vec<String> = lines.iter().take(MOST_LINES).map(ToString::to_string).collect();
        let shown = shown.join(", ") + more;
        table.row([how, lines.len().to_string(), format!("{seconds:.1}"), shown]);
    }
    table.text()
}
