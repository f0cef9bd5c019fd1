//! Runs `vitport batch`: many conversions in one run, so many at a time, each as `convert` makes it. A job that fails is
//! reported and does not stop the others.

mod document;
mod jobs;
mod log;
mod results;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use indicatif::ProgressBar;
use vitport::folder::publish::clear_away;
use vitport::pipeline::Staged;
use vitport_checkpoint::escape;

pub use self::document::BatchDocument;
use self::document::{End, JobDocument};
use self::jobs::Job;
use self::log::{Log, summary};
use self::results::{Done, FileStamp, Results};
use crate::arguments::{BatchArguments, FactArguments, JobShard, LogFormat};
use crate::conversion::{class, convert};
use crate::failure::{BadLine, Failure, FailureKind};
use crate::output::Printer;
use crate::output_file::is_same_file;
use crate::progress;
use crate::terminal::message::error_line;

/// Runs the jobs.
pub fn run(arguments: &BatchArguments, output: &Printer) -> Result<(), Failure> {
    let defaults = jobs::defaults(&arguments.defaults, arguments.force)?;
    let all = match jobs::parse(&jobs::read(&arguments.jobs_file)?, &defaults) {
        Ok(jobs) => jobs,
        Err(bad) => return Err(refuse(&arguments.jobs_file, bad)),
    };
    let shard = arguments.shard.unwrap_or(JobShard::WHOLE);
    let results_path =
        arguments.results.clone().or_else(|| Results::default_path(&arguments.jobs_file, shard));
    let results_path =
        results_path.ok_or_else(|| Failure::usage("jobs come from standard input; give --results FILE"))?;
    let bad = overwriting(&all, &arguments.jobs_file, &results_path);
    if !bad.is_empty() {
        return Err(refuse(&arguments.jobs_file, bad));
    }
    let results = Results::open(&results_path)?;
    let done = if arguments.resume { Done::read(&results_path) } else { Done::default() };
    let jobs: Vec<Job> =
        all.into_iter().enumerate().filter(|(place, _)| shard.holds(*place)).map(|(_, job)| job).collect();

    let run = Run {
        jobs: &jobs,
        done: &done,
        results: &results,
        log: Log::new(arguments.log_format, output),
        output,
        bar: progress::count(jobs.len() as u64, output),
        next: AtomicUsize::new(0),
        ends: Mutex::new(BTreeMap::new()),
        lost: Mutex::new(None),
    };
    let workers = arguments.jobs.clamp(1, jobs.len().max(1));
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| run.work());
        }
    });
    run.bar.finish_and_clear();
    if let Some(failure) = run.lost.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(failure);
    }
    let ends = run.ends.into_inner().unwrap_or_else(PoisonError::into_inner);
    conclude(jobs.len(), ends, &results_path, arguments.log_format, output)
}

/// Returns the lines whose report or attestation would overwrite the jobs or the results.
fn overwriting(jobs: &[Job], jobs_file: &Path, results: &Path) -> Vec<BadLine> {
    let is_needed = |path: &&Path| [jobs_file, results].iter().any(|file| is_same_file(file, path));
    let files =
        jobs.iter().flat_map(|job| job.files.iter().map(|(name, path)| (job.line, name, path.as_path())));
    let overwriting = files.filter(|(.., path)| is_needed(path));
    let message = |name| format!("its `{name}` would overwrite the jobs or the results");
    overwriting.map(|(line, name, _)| BadLine { line, message: message(name) }).collect()
}

/// Holds what the workers share.
struct Run<'a> {
    jobs: &'a [Job],
    done: &'a Done,
    results: &'a Results,
    output: &'a Printer,
    log: Log<'a>,
    bar: ProgressBar,
    next: AtomicUsize,
    /// Holds results by the job's place.
    ends: Mutex<BTreeMap<usize, JobDocument>>,
    /// Says why results can no longer be written, which ends the run.
    lost: Mutex<Option<Failure>>,
}

impl Run<'_> {
    /// Takes one job after another until there are none.
    fn work(&self) {
        loop {
            let place = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(job) = self.jobs.get(place) else { return };
            let start = Instant::now();
            self.bar.suspend(|| self.log.start(job));
            let end = if self.done.holds(job) {
                clear_away(&job.out);
                End::Skipped
            } else {
                match catch_unwind(AssertUnwindSafe(|| self.convert(job))) {
                    Ok(Ok(end)) => end,
                    Ok(Err(failure)) => End::failed(failure),
                    Err(_) => End::failed(Failure::new(
                        FailureKind::Bug,
                        "the conversion ended in a panic; please report it",
                    )),
                }
            };
            if let Err(failure) = self.report(place, job, end, start.elapsed().as_secs_f64()) {
                self.next.store(self.jobs.len(), Ordering::Relaxed);
                self.lost.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(failure);
                return;
            }
        }
    }

    fn convert(&self, job: &Job) -> Result<End, Failure> {
        let arguments = job.convert()?;
        let FactArguments { labels, mapping, adapter, .. } = &arguments.facts;
        let options = [labels.as_ref().map(Path::new), mapping.as_deref(), adapter.as_deref()];
        let options: Vec<FileStamp> = options.into_iter().flatten().filter_map(FileStamp::read).collect();
        let before_publishing = |staged: &Staged<'_>| {
            let inputs = staged.inputs.iter().filter_map(|path| FileStamp::read(path)).chain(options.clone());
            let exit_code = if staged.accepted.is_ok() { 0 } else { FailureKind::Different.exit_code() };
            self.results.publishing(job, staged.folder, &staged.names, inputs.collect(), exit_code)
        };
        let converted = convert(arguments, &self.output.silent_for(job.command()), &before_publishing)?;
        let report = converted.report.as_ref();
        let end = End::Done {
            class: class(&converted).to_owned(),
            verdict: report.map(|report| report.verdict),
            headline: report.map(|report| report.headline.clone()),
            assumptions: converted.prepared.model.basis().assumptions,
            warnings: converted.warnings.clone(),
        };
        converted.accepted.map(|()| end).map_err(Failure::from)
    }

    /// Says and writes down how a job ended.
    fn report(&self, place: usize, job: &Job, end: End, seconds: f64) -> Result<(), Failure> {
        let document = JobDocument {
            line: job.line,
            source: job.source().to_owned(),
            out: job.out.display().to_string(),
            exit_code: end.kind().map_or(0, FailureKind::exit_code),
            seconds: (seconds * 1e3).round() / 1e3,
            end,
        };
        if !matches!(document.end, End::Skipped) {
            self.results.finished(&document)?;
        }
        self.bar.inc(1);
        self.bar.suspend(|| self.log.end(&document))?;
        self.ends.lock().unwrap_or_else(PoisonError::into_inner).insert(place, document);
        Ok(())
    }
}

/// Prints the summary, and returns the failure that stands for those of the jobs.
fn conclude(
    count_of_jobs: usize,
    ends: BTreeMap<usize, JobDocument>,
    results: &Path,
    log: LogFormat,
    output: &Printer,
) -> Result<(), Failure> {
    let jobs: Vec<JobDocument> = ends.into_values().collect();
    let count = |is: fn(&End) -> bool| jobs.iter().filter(|job| is(&job.end)).count();
    let document = BatchDocument {
        results: results.display().to_string(),
        done: count(|end| matches!(end, End::Done { .. })),
        skipped: count(|end| matches!(end, End::Skipped)),
        failed: count(|end| matches!(end, End::Failed { .. })),
        jobs,
    };
    let BatchDocument { done, skipped, failed, jobs, .. } = &document;
    if log == LogFormat::Text && !jobs.is_empty() {
        output.say(format!("\n{}", summary(jobs)))?;
    }
    output
        .say(format!("{count_of_jobs} jobs: {done} done, {skipped} skipped (up to date), {failed} failed"))?;
    if let Some(kind) = worst(jobs.iter().filter_map(|job| job.end.kind())) {
        const MOST: usize = 20;
        let lines = jobs.iter().filter(|job| job.end.kind().is_some()).map(|job| job.line.to_string());
        let lines: Vec<String> = lines.collect();
        let more = if lines.len() > MOST { ", …" } else { "" };
        let shown = lines.iter().take(MOST).map(String::as_str).collect::<Vec<_>>().join(", ");
        let noun = if *failed == 1 { "line" } else { "lines" };
        let message = format!(
            "{failed} of {count_of_jobs} jobs failed ({noun} {shown}{more}); run it again with --resume to try these again"
        );
        return Err(Failure::new(kind, message).with_document(&document));
    }
    if output.is_json() { output.document(&document) } else { Ok(()) }
}

/// Returns the kind that stands for many: a bug, then what may pass by itself (6), then what is wrong with the model (5), its
/// file (3), its structure (7), what is known of it (4) and the job (2).
fn worst(kinds: impl Iterator<Item = FailureKind>) -> Option<FailureKind> {
    const ORDER: [u8; 7] = [1, 6, 5, 3, 7, 4, 2];
    kinds.min_by_key(|kind| ORDER.iter().position(|code| *code == kind.exit_code()))
}

/// Prints every bad line.
fn refuse(jobs: &Path, bad: Vec<BadLine>) -> Failure {
    const MOST: usize = 20;
    let file = jobs.display().to_string();
    for line in bad.iter().take(MOST) {
        error_line(&format!("{}:{}: {}", escape(&file), line.line, line.message));
    }
    let more = bad.len().saturating_sub(MOST);
    let rest = if more > 0 { format!(", of which {more} are not shown") } else { String::new() };
    let noun = if bad.len() == 1 { "line is" } else { "lines are" };
    Failure::usage(format!("{}: {} {noun} no job{rest}; nothing was started", escape(&file), bad.len()))
        .with_bad_lines(bad)
}

#[cfg(test)]
mod tests {
    use super::{FailureKind, worst};

    #[test]
    fn one_kind_stands_for_many() {
        assert_eq!(worst([].into_iter()), None);
        assert_eq!(
            worst([FailureKind::Refused, FailureKind::Network, FailureKind::Usage].into_iter()),
            Some(FailureKind::Network)
        );
        assert_eq!(
            worst([FailureKind::Question, FailureKind::Different, FailureKind::Refused].into_iter()),
            Some(FailureKind::Different)
        );
        assert_eq!(
            worst([FailureKind::Question, FailureKind::NoTarget].into_iter()),
            Some(FailureKind::NoTarget)
        );
        assert_eq!(worst([FailureKind::Io, FailureKind::Bug].into_iter()), Some(FailureKind::Bug));
    }
}
