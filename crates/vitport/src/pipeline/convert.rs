//! A whole conversion: write a folder that nobody sees yet, verify it, and publish it only if it is the same model.

use std::path::{Path, PathBuf};

use super::error::ConvertError;
use super::verify::{Acceptance, NotAccepted};
use super::write::{WriteOptions, Written, write};
use crate::card::{self, Card};
use crate::folder::publish::Staging;
use crate::model::Prepared;
use crate::verify::{Hashing, Report, Run, TestImage, VerifyError, VerifyStep, compare, warnings};

/// Says what is asked of a conversion.
#[derive(Debug, Clone, Copy)]
pub struct ConvertRequest<'a> {
    /// Says where the folder is to appear; a folder of the model's name in the current one if none.
    pub out: Option<&'a Path>,
    /// Says how it is written.
    pub write: WriteOptions,
    /// Gives the image on which both networks are compared; none to publish without verifying.
    pub image: Option<&'a TestImage>,
    /// Says which verdicts are accepted.
    pub acceptance: Acceptance<'a>,
    /// Says whether the folder is published even if its verdict is not accepted.
    pub keep_anyway: bool,
    /// Says whether a model card is added.
    pub card: bool,
    /// Says when and how the report is made.
    pub run: Option<&'a Run>,
}

/// Says what happens on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// Tells that so many bytes of tensors were written since the last such event; from several threads.
    Written(u64),
    /// Tells that all is written, and what verification is doing.
    Verifying(VerifyStep),
    /// Tells that both networks have run.
    Verified,
}

/// Says what is done with a report, and with the folder if it is going to be published.
pub type Judged<'a, E> = dyn Fn(&Report, Option<&Staging>) -> Result<(), E> + 'a;

/// Says what the caller does on the way.
pub struct Hooks<'a, E> {
    /// Is called for each [`Event`].
    pub event: &'a (dyn Fn(Event) + Sync),
    /// Is called with the report, and with the folder if it is going to be published, before the model card is added.
    pub judged: &'a Judged<'a, E>,
    /// Is called when nothing is left to do but the last step, which an error prevents.
    pub before_publishing: &'a dyn Fn(&Staged<'_>) -> Result<(), E>,
}

impl<E> Hooks<'_, E> {
    /// Returns hooks that do nothing.
    pub fn none() -> Self {
        Self { event: &|_| {}, judged: &|_, _| Ok(()), before_publishing: &|_| Ok(()) }
    }
}

/// Describes a folder that is written and judged, and about to take its name.
pub struct Staged<'a> {
    /// Says where it is until then.
    pub folder: &'a Path,
    /// Lists the names of its files.
    pub names: Vec<String>,
    /// Lists the local files that it was made from; none for what was fetched, which its name and commit identify.
    pub inputs: Vec<PathBuf>,
    /// Says whether the verdict is accepted.
    pub accepted: &'a Result<(), NotAccepted>,
}

/// Says what a conversion came to.
pub struct Converted {
    /// Says what was converted.
    pub prepared: Prepared,
    /// Gives the folder, as an absolute path.
    pub out: PathBuf,
    /// Lists names and sizes in bytes of its files.
    pub files: Vec<(String, u64)>,
    /// Says what verifying found, if the folder was verified.
    pub report: Option<Report>,
    /// Lists what is unusual about the source, a sentence each; the report has the same.
    pub warnings: Vec<String>,
    /// Says whether the verdict is accepted.
    pub accepted: Result<(), NotAccepted>,
    /// Says whether the folder is there.
    pub is_published: bool,
    /// Says whether a model card that was there before was kept in place of the new one.
    pub kept_card: bool,
    /// Says what is left of a folder that was replaced and could not be removed.
    pub left_behind: Option<PathBuf>,
}

/// Converts. A folder whose networks disagree is not published, unless that is asked for: this is the one place where that is
/// decided.
///
/// # Errors
/// Returns what kept a step from being taken, and what a hook returns. Networks that disagree are not an error but
/// [`Converted::accepted`].
pub fn convert<E: From<ConvertError> + From<VerifyError>>(
    prepared: Prepared,
    request: ConvertRequest<'_>,
    hooks: &Hooks<'_, E>,
) -> Result<Converted, E> {
    let named = PathBuf::from(prepared.model.name.replace(['/', '\\'], "_"));
    let out = request.out.unwrap_or(&named);
    // The source is hashed while the folder is written, so that its bytes come from the disk once.
    let hashing = request.image.map(|_| Hashing::start(&prepared.source.checkpoint)).transpose()?;
    let mut written = write(&prepared, out, request.write, &|bytes| (hooks.event)(Event::Written(bytes)))?;
    let out = written.staging.out().to_owned();
    let report = match request.image.zip(hashing) {
        None => None,
        Some((image, hashing)) => {
            let report = compare(&prepared, written.staging.path(), image, hashing, &|step| {
                (hooks.event)(Event::Verifying(step));
            });
            (hooks.event)(Event::Verified);
            Some(Report { folder: out.display().to_string(), run: request.run.cloned(), ..report? })
        }
    };
    let warnings = match &report {
        Some(report) => report.warnings.clone(),
        None => warnings(&prepared)?,
    };
    let accepted = report.as_ref().map_or(Ok(()), |report| request.acceptance.of(report));
    let is_published = is_to_be_published(&accepted, request.keep_anyway);
    if let Some(report) = &report {
        (hooks.judged)(report, is_published.then_some(&written.staging))?;
    }
    if request.card {
        let card = Card {
            prepared: &prepared,
            report: report.as_ref(),
            warnings: &warnings,
            exact_code: request.write.exact_code,
        };
        written.add(card::FILE_NAME, card.text().as_bytes()).map_err(ConvertError::from)?;
    }
    let Written { staging, mut files } = written;
    let (mut kept_card, mut left_behind) = (false, None);
    if is_published {
        (hooks.before_publishing)(&Staged {
            folder: staging.path(),
            names: files.iter().map(|(name, _)| name.clone()).collect(),
            inputs: inputs(&prepared),
            accepted: &accepted,
        })?;
        let published = staging.publish().map_err(ConvertError::from)?;
        if published.kept.iter().any(|name| name == card::FILE_NAME) {
            files.retain(|(name, _)| name != card::FILE_NAME);
            kept_card = request.card;
        }
        left_behind = published.left_behind;
    }
    Ok(Converted { prepared, out, files, report, warnings, accepted, is_published, kept_card, left_behind })
}

/// Decides whether a folder is published: only if its verdict is accepted, unless it is to be kept anyway.
pub(super) fn is_to_be_published(accepted: &Result<(), NotAccepted>, keep_anyway: bool) -> bool {
    accepted.is_ok() || keep_anyway
}

/// Returns the local files that decide what a conversion makes: the weights, and the config next to them.
fn inputs(prepared: &Prepared) -> Vec<PathBuf> {
    let source = &prepared.source;
    if source.provenance.is_some() {
        return Vec::new();
    }
    let config = source.config.as_ref().map(|config| config.path.clone());
    source.checkpoint.files().iter().map(|file| file.path.clone()).chain(config).collect()
}
