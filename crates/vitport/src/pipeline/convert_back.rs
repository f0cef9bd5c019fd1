//! The way back as a whole: write the other framework's folder where nobody sees it, verify it, and publish it only if a conversion
//! makes the transformers folder of it.

use std::path::{Path, PathBuf};

use serde_json::Value;
use vitport_checkpoint::Limits;

use super::back::{PreparedBack, refused};
use super::convert::is_to_be_published;
use super::error::ConvertError;
use super::plan::{Request, plan};
use super::unheld::deviating;
use super::verify::{Acceptance, NotAccepted, of_the_way_back, verify};
use crate::facts::{Fact, FactError, is_same};
use crate::folder::layout::FileLayout;
use crate::folder::publish::{Options, Staging};
use crate::folder::written::MADE_BY;
use crate::folder::{gather, json, npz};
use crate::image::PROCESSOR_KEYS;
use crate::mapping::WeightFormat;
use crate::model::Model;
use crate::options::FactOptions;
use crate::source::Source;
use crate::verify::{Report, Run, TestImage, VerifyError};

/// Says how the other framework's folder is written and judged.
#[derive(Debug, Clone, Copy)]
pub struct ConvertBackRequest<'a> {
    /// Says where it is to appear.
    pub out: &'a Path,
    /// Says whether an existing model folder is replaced.
    pub force: bool,
    /// Says whether the files are on the disk before the folder gets its name.
    pub fsync: bool,
    /// Gives the image on which both networks are compared; none to publish without verifying.
    pub image: Option<&'a TestImage>,
    /// Says which verdicts are accepted.
    pub acceptance: Acceptance<'a>,
    /// Says whether the folder is published even if its verdict is not accepted.
    pub keep_anyway: bool,
    /// Says when and how the report is made.
    pub run: Option<&'a Run>,
}

/// Says what the way back came to.
pub struct ConvertedBack {
    /// Says what was converted.
    pub prepared: PreparedBack,
    /// Gives the folder, as an absolute path.
    pub out: PathBuf,
    /// Lists names and sizes in bytes of its files.
    pub files: Vec<(String, u64)>,
    /// Says what verifying found, if the folder was verified: its source is what was written, its folder the transformers folder.
    pub report: Option<Report>,
    /// Says whether the verdict is accepted.
    pub accepted: Result<(), NotAccepted>,
    /// Says whether the folder is there.
    pub is_published: bool,
}

/// Writes, verifies and publishes. `progress` is called from several threads with the number of bytes written since its last call,
/// `judge` with the report before anything is published.
///
/// # Errors
/// Returns what kept a step from being taken, and what `judge` returns. Networks that disagree are not an error but
/// [`ConvertedBack::accepted`].
pub fn convert_back<E: From<ConvertError> + From<VerifyError>>(
    prepared: PreparedBack,
    request: ConvertBackRequest<'_>,
    progress: &(dyn Fn(u64) + Sync),
    judge: &dyn Fn(&Report) -> Result<(), E>,
) -> Result<ConvertedBack, E> {
    let (staging, files) = write(&prepared, request, progress)?;
    let report = match request.image {
        None => None,
        Some(image) => {
            Some(Report { run: request.run.cloned(), ..compare::<E>(&prepared, &staging, image)? })
        }
    };
    let framework = prepared.maker();
    let accepted = report
        .as_ref()
        .map_or(Ok(()), |report| request.acceptance.of(report))
        .map_err(|refusal| refusal.of_the_way_back(framework));
    if let Some(report) = &report {
        judge(report)?;
    }
    let out = staging.out().to_owned();
    let is_published = is_to_be_published(&accepted, request.keep_anyway);
    if is_published {
        staging.publish().map_err(ConvertError::from)?;
    }
    Ok(ConvertedBack { prepared, out, files, report, accepted, is_published })
}

/// Writes weights and config into a temporary folder, and lists its files.
fn write(
    prepared: &PreparedBack,
    request: ConvertBackRequest<'_>,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<(Staging, Vec<(String, u64)>), ConvertError> {
    let checkpoint = &prepared.folder.checkpoint;
    // timm reads one file.
    let layout = FileLayout::new(&prepared.plan, u64::MAX)?;
    let protected: Vec<PathBuf> = checkpoint.files().iter().map(|file| file.path.clone()).collect();
    let options = Options { force: request.force, fsync: request.fsync };
    let staging = Staging::begin(request.out, &protected, options)?;
    gather::write_weights(checkpoint, &layout, staging.path(), staging.syncing(), progress)?;
    let mut files: Vec<_> = layout.files.iter().map(|file| (file.name.clone(), file.bytes())).collect();
    let is_npz = prepared.layout.is_some_and(|layout| layout.container() == WeightFormat::Npz);
    if let Some(file) = layout.files.first().filter(|_| is_npz) {
        let bytes = npz::take_place_of(file, staging.path(), staging.syncing())?;
        files = vec![(npz::ARCHIVE_NAME.to_owned(), bytes)];
    }
    let (key, maker) = MADE_BY;
    let mut config = prepared.config.clone();
    config.insert(key.to_owned(), Value::from(maker));
    let text = json::document(&Value::Object(config));
    staging.write("config.json", text.as_bytes())?;
    files.push(("config.json".to_owned(), text.len() as u64));
    Ok((staging, files))
}

/// Identifies what was written as any source is, and verifies that the transformers folder is what a conversion makes of it.
fn compare<E: From<ConvertError> + From<VerifyError>>(
    prepared: &PreparedBack,
    staging: &Staging,
    image: &TestImage,
) -> Result<Report, E> {
    let limits = Limits::default();
    let source = Source::open(staging.path(), None, &limits).map_err(ConvertError::from)?;
    let facts = FactOptions {
        target: Some(prepared.class.clone()),
        without_processor: prepared.without_processor,
        ..FactOptions::default()
    };
    let request = Request { facts, limits, ..Request::default() };
    let mut forward = plan(source, &request).map_err(|error| unlike_itself(error, prepared))?;
    forward.is_way_back = true;
    forward.source.path = staging.out().to_owned();
    forward.model.processor = own_processor(prepared);
    forward.plan.unread.clone_from(&prepared.left_out);
    // Of an architecture that the config names the registry says the rest.
    if !prepared.config.contains_key("architecture") {
        known_of_folder(&mut forward.model, prepared);
    }
    forward.model = deviating(forward.model, prepared)?;
    let mut report = verify(&forward, &prepared.folder.path, image)?;
    report.written = Some(prepared.maker().to_owned());
    let of_mapping = report.known_deviation.iter_mut().flat_map(|known| &mut known.each);
    for known in
        of_mapping.filter(|known| prepared.mapping.deviations().iter().any(|it| it.name() == known.name))
    {
        known.remedy = format!(
            "it comes from the folder, and {}'s code has no option that removes it",
            prepared.maker()
        );
    }
    for reason in &mut report.reasons {
        *reason = of_the_way_back(reason, prepared.maker());
    }
    Ok(report)
}

/// Returns the refusal of a network whose files are read as those of another one; other errors, and refusals, as they are.
fn unlike_itself(error: ConvertError, prepared: &PreparedBack) -> ConvertError {
    let ConvertError::Facts(error) = error else { return error };
    if matches!(error, FactError::NoTarget { .. }) {
        return error.into();
    }
    let network = prepared.definition.description();
    let why = format!("vitport would read the files of this {network} as another network's: {error}");
    refused(&prepared.class, why, None).into()
}

/// Gives facts that are only taken to be so in a file alone, and that are those of the folder, the folder's origin.
fn known_of_folder(model: &mut Model, prepared: &PreparedBack) {
    let assumed: Vec<Fact> = model.facts.iter().filter(|fact| fact.origin.is_assumption()).cloned().collect();
    for fact in assumed {
        let of_folder = prepared.facts.get(fact.name).filter(|known| is_same(&known.value, &fact.value));
        if let Some(known) = of_folder.filter(|known| !known.origin.is_assumption()) {
            model.facts.set(Fact { origin: known.origin.clone(), ..fact });
        }
    }
}

/// Returns the folder's own image processor as the one that it should have, as far as it can be run here: that it gives the pixels of
/// what was written is compared. Other keys of it stay to be verified.
fn own_processor(prepared: &PreparedBack) -> Option<Value> {
    let own = prepared.folder.processor.as_ref().filter(|_| !prepared.without_processor)?.as_object()?;
    let is_run = |(key, _): &(&String, &Value)| PROCESSOR_KEYS.contains(&key.as_str());
    Some(own.iter().filter(is_run).map(|(key, value)| (key.clone(), value.clone())).collect())
}
