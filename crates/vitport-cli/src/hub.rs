//! Leads from a name to files in the cache: which repository a text means, and fetching it with something to look at meanwhile.

use std::cell::RefCell;
use std::fs::File;

use indicatif::ProgressBar;
use vitport::frameworks::timm::registry::{self, Tag};
use vitport::frameworks::torchvision;
use vitport::hub::{FetchEvent, HubConfig, Progress, Reach, RepoId, Snapshot, fetch_model, fetch_url};
use vitport_checkpoint::escape;

use crate::arguments::{HubOptions, is_address};
use crate::environment::{hides_bars, hub_config};
use crate::failure::{Failure, FailureKind};
use crate::output::Printer;
use crate::progress;
use crate::terminal::message::note_line;
use crate::watch::Watch;

/// Limits the bytes that an image from an address may have.
const MOST_IMAGE_BYTES: u64 = 256 << 20;

/// Lists how files of weights end; a text that ends so and names no file is a path that is not there, and no repository.
const EXTENSIONS: [&str; 8] = [".pth", ".pt", ".bin", ".ckpt", ".tar", ".npz", ".safetensors", ".json"];

/// Returns the repository that a text means; `None` if it reads like a path.
///
/// # Errors
/// An unknown name (exit code 4), a known one that nothing can be made of (7), or no name at all (2).
pub fn repository(text: &str) -> Result<Option<RepoId>, Failure> {
    if RepoId::is_explicit(text) || is_address(text) {
        let id = RepoId::parse(text)?;
        if let Some(found) = id.repo().strip_prefix("timm/").and_then(registry::find) {
            has_target(found.tag)?;
        }
        return Ok(Some(id));
    }
    let (name, revision) = text.split_once('@').map_or((text, None), |(name, at)| (name, Some(at)));
    if let Some(found) = registry::find(name) {
        has_target(found.tag)?;
        let Some(repository) = found.tag.hub_id.as_deref().filter(|_| found.tag.has_weights) else {
            let name = found.tag.full_name();
            return Err(Failure::new(
                FailureKind::Question,
                format!("timm publishes no weights for {name}; give the file that holds them"),
            ));
        };
        let id = RepoId::parse(&format!("hf-hub:{repository}"))?;
        return Ok(Some(match revision {
            Some(revision) => id.at(revision)?,
            None => id,
        }));
    }
    if name.starts_with("torchvision/") && EXTENSIONS.iter().all(|extension| !name.ends_with(extension)) {
        return Err(of_torchvision(name));
    }
    let starts_like_a_path = ['.', '/', '~', '\\'].iter().any(|&start| text.starts_with(start));
    // A file of a repository, as the message about several of them writes it.
    if let Some((place, _)) = name.split_once(':')
        && place.split('/').count() == 2
        && !starts_like_a_path
    {
        return Ok(Some(RepoId::parse(text)?));
    }
    let is_path = starts_like_a_path
        || EXTENSIONS.iter().any(|extension| name.to_ascii_lowercase().ends_with(extension));
    if is_path {
        return Ok(None);
    }
    match name.split('/').count() {
        1 => unknown(name).map_or(Ok(None), Err),
        2 => match unknown(name).filter(|_| name.starts_with("timm/")) {
            Some(failure) => Err(failure),
            None => Ok(Some(RepoId::parse(text)?)),
        },
        _ => Ok(None),
    }
}

/// Says what to do with weights of torchvision's, which are on a server of PyTorch's and not on the Hub.
fn of_torchvision(name: &str) -> Failure {
    let Some(found) = torchvision::registry::find(name) else {
        let near = torchvision::registry::suggest(name);
        let hint = if near.is_empty() {
            "`vitport models torchvision/` lists them".to_owned()
        } else {
            format!("did you mean {}?", near.join(", "))
        };
        let said = "torchvision has no architecture or weights of that name";
        return Failure::new(FailureKind::UnknownArchitecture, format!("{}: {said}; {hint}", escape(name)));
    };
    if let Err(failure) = has_target(found.tag) {
        return failure;
    }
    let (full, url) = (found.tag.full_name(), found.tag.url.as_deref().unwrap_or_default());
    Failure::new(
        FailureKind::Question,
        format!(
            "torchvision publishes {full} at {url}, not on the Hub; download that file and give it, with --arch {full} if it has another name then"
        ),
    )
}

/// Says what a name that is close to one of timm's could mean; `None` if it is close to nothing.
fn unknown(name: &str) -> Option<Failure> {
    let near = registry::suggest(name);
    (!near.is_empty()).then(|| {
        let said = "there is neither such a file nor a model of that name in timm; did you mean";
        Failure::new(
            FailureKind::UnknownArchitecture,
            format!("{}: {said} {}?", escape(name), near.join(", ")),
        )
    })
}

/// Refuses what no class holds before it is fetched.
fn has_target(tag: &'static Tag) -> Result<(), Failure> {
    let Some(why) = tag.becomes().why_not() else { return Ok(()) };
    let note = tag.note.as_deref().map_or(String::new(), |note| format!(" ({})", escape(note)));
    let name = tag.full_name();
    Err(Failure::new(
        FailureKind::NoTarget,
        format!("{name} has no target: {why}{note}; `vitport models` lists those that have one"),
    ))
}

/// Brings a repository into the cache.
///
/// # Errors
/// What the Hub, the network or the disk does (exit code 6), or what the repository holds (3).
pub fn fetch(id: RepoId, hub: &HubOptions, output: &Printer) -> Result<Snapshot, Failure> {
    let id = match &hub.revision {
        Some(revision) => id.at(revision)?,
        None => id,
    };
    let shown = Shown::new(output);
    let snapshot = fetch_model(&settings(hub)?, &id, &shown);
    shown.clear();
    let snapshot = snapshot?;
    if let (Reach::Unreachable { why }, true) = (&snapshot.reach, output.shows_progress()) {
        note_line(&format!("{why}; what lies in the cache is used"));
    }
    Ok(snapshot)
}

/// Fetches an image into a temporary file without a name, and hands it to `open`.
///
/// # Errors
/// As [`fetch`], and what `open` returns.
pub fn with_image<T>(
    url: &str,
    hub: &HubOptions,
    output: &Printer,
    open: impl FnOnce(File) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let shown = Shown::new(output);
    let file = fetch_url(&settings(hub)?, url, &std::env::temp_dir(), MOST_IMAGE_BYTES, &shown);
    shown.clear();
    open(file?)
}

fn settings(hub: &HubOptions) -> Result<HubConfig, Failure> {
    let config = hub_config()?;
    Ok(HubConfig { offline: config.offline || hub.offline, ..config })
}

/// Shows the client's events as a bar, one file at a time.
struct Shown<'a> {
    output: &'a Printer,
    bar: RefCell<ProgressBar>,
}

impl<'a> Shown<'a> {
    fn new(output: &'a Printer) -> Self {
        Self { output, bar: RefCell::new(ProgressBar::hidden()) }
    }

    fn clear(&self) {
        self.bar.borrow().finish_and_clear();
    }

    fn show(&self, bar: ProgressBar) {
        self.clear();
        self.bar.replace(bar);
    }
}

impl Progress for Shown<'_> {
    fn event(&self, event: FetchEvent<'_>) {
        if self.output.watch().is_some_and(Watch::is_stopped) {
            // The client waits for bytes and asks nobody whether it is to go on; unwinding lets go of its locks and files.
            std::panic::resume_unwind(Box::new("stopped"));
        }
        match event {
            FetchEvent::Started { file, size, resumed_from } if !hides_bars() => {
                let file = escape(file).to_string();
                let bar = match size {
                    Some(size) => progress::bytes(size, &file, self.output),
                    None => progress::spinner(&file, self.output),
                };
                bar.set_position(resumed_from);
                self.show(bar);
            }
            FetchEvent::Received { bytes } => self.bar.borrow().inc(bytes),
            FetchEvent::Restarted { .. } => self.bar.borrow().set_position(0),
            FetchEvent::Finished { .. } => self.clear(),
            FetchEvent::Retrying { why, pause, failed_try, tries } if self.output.shows_progress() => {
                self.clear();
                note_line(&format!(
                    "{}; try {failed_try} of {tries} failed, the next follows in {} s",
                    escape(why),
                    pause.as_secs().max(1)
                ));
            }
            FetchEvent::WaitingForLock { file } if self.output.shows_progress() => {
                note_line(&format!("another process is fetching {}; waiting for it", escape(file)));
            }
            _ => {}
        }
    }
}
