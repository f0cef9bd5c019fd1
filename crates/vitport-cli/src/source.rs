//! Leads from what the user typed to an open source or image: a path as it is, a name or an address by way of the Hub.

use std::ffi::OsStr;
use std::path::Path;

use vitport::source::Source;
use vitport::verify::TestImage;
use vitport_checkpoint::{Checkpoint, Limits, escape};

use crate::arguments::{HubOptions, is_address};
use crate::failure::Failure;
use crate::output::Printer;
use crate::terminal::message::note_line;
use crate::terminal::style::RED;

/// Opens a path or, where there is no such path, a name. `root` picks the nested part that holds the weights.
///
/// # Errors
/// A refusal of the file, an unknown name, or what the network does.
pub fn open(
    text: &OsStr,
    hub: &HubOptions,
    root: Option<&str>,
    limits: &Limits,
    output: &Printer,
) -> Result<Source, Failure> {
    let path = Path::new(text);
    if !path.exists()
        && let Some(source) = open_by_name(text, hub, root, limits, output)?
    {
        note_card(&source, output);
        return Ok(source);
    }
    if hub.revision.is_some() {
        return Err(Failure::usage(
            "--revision is for a name on the Hub, and SOURCE reads like a path; leave one of them out",
        ));
    }
    let source = Source::open(path, root, limits)?;
    say_danger(&source.checkpoint, output)?;
    note_passed_over(&source, output);
    note_card(&source, output);
    Ok(source)
}

/// Returns a source with the adapter that is to be added to it, if one is given.
///
/// # Errors
/// A refusal of the adapter's file.
pub fn with_adapter(
    source: Source,
    adapter: Option<&Path>,
    limits: &Limits,
    output: &Printer,
) -> Result<Source, Failure> {
    let Some(path) = adapter else { return Ok(source) };
    let source = source.with_adapter(path, limits)?;
    source.adapter.iter().try_for_each(|adapter| say_danger(&adapter.checkpoint, output))?;
    Ok(source)
}

/// Says what in the folder is not a file, so that nobody thinks that it was read.
fn note_passed_over(source: &Source, output: &Printer) {
    const SHOWN: usize = 8;
    if source.passed_over.is_empty() || !output.shows_progress() {
        return;
    }
    let shown =
        source.passed_over.iter().take(SHOWN).map(|(name, what)| format!("{} is {what}", escape(name)));
    let more = match source.passed_over.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    let shown = shown.collect::<Vec<_>>().join(", ");
    note_line(&format!(
        "not everything in the source's folder is a file, and what is not one is passed over: {shown}{more}"
    ));
}

/// Says that a card cannot be read, and so no licence is known.
fn note_card(source: &Source, output: &Printer) {
    let why = source.card.as_ref().and_then(|card| card.unreadable.as_deref());
    if let Some(why) = why.filter(|_| output.shows_progress()) {
        note_line(&format!(
            "the metadata of the source's README.md cannot be read ({}); no licence is taken from it or from elsewhere",
            escape(why)
        ));
    }
}

/// Says what a pickle would have run whose tensors are taken all the same.
///
/// # Errors
/// As [`Printer::print`].
pub fn say_danger(checkpoint: &Checkpoint, output: &Printer) -> Result<(), Failure> {
    match &checkpoint.evidence().dangerous_call {
        Some(call) => output.say(format!(
            "  {RED}dangerous{RED:#}: loading this file in Python would run {}; only its tensors are taken \
             (--allow-dangerous-pickle)",
            escape(call)
        )),
        None => Ok(()),
    }
}

/// Opens a name; none if the text is not one.
#[cfg(feature = "hub")]
fn open_by_name(
    text: &OsStr,
    hub: &HubOptions,
    root: Option<&str>,
    limits: &Limits,
    output: &Printer,
) -> Result<Option<Source>, Failure> {
    let Some(id) = text.to_str().map(crate::hub::repository).transpose()?.flatten() else {
        return Ok(None);
    };
    let snapshot = crate::hub::fetch(id, hub, output)?;
    let source = Source::open(snapshot.source(), root, limits)?;
    say_danger(&source.checkpoint, output)?;
    let provenance =
        vitport::source::Provenance { repository: snapshot.repo.clone(), commit: snapshot.commit.clone() };
    let card = match snapshot.card_failed {
        Some(why) => Some(vitport::front_matter::FrontMatter::unreadable(why)),
        None => vitport::front_matter::FrontMatter::next_to(&snapshot.folder),
    };
    Ok(Some(Source { card, provenance: Some(provenance), ..source }))
}

/// Names a name that this build cannot fetch.
#[cfg(not(feature = "hub"))]
fn open_by_name(
    text: &OsStr,
    _: &HubOptions,
    _: Option<&str>,
    _: &Limits,
    _: &Printer,
) -> Result<Option<Source>, Failure> {
    let text = text.to_string_lossy();
    match text.starts_with("hf-hub:") || vitport::frameworks::timm::registry::find(&text).is_some() {
        true => Err(Failure::usage(format!(
            "{}: this vitport was built without the Hub; download the repository and give its folder",
            escape(&text)
        ))),
        false => Ok(None),
    }
}

/// Opens an image by its path or its address.
///
/// # Errors
/// If it cannot be fetched, read or decoded.
pub fn open_image(text: &OsStr, hub: &HubOptions, output: &Printer) -> Result<TestImage, Failure> {
    let address = text.to_str().filter(|text| is_address(text));
    match address {
        Some(url) => open_address(url, hub, output),
        None => Ok(TestImage::open(Path::new(text))?),
    }
}

#[cfg(feature = "hub")]
fn open_address(url: &str, hub: &HubOptions, output: &Printer) -> Result<TestImage, Failure> {
    crate::hub::with_image(url, hub, output, |file| {
        Ok(TestImage::read(file, vitport::hub::shown_address(url).to_string())?)
    })
}

#[cfg(not(feature = "hub"))]
fn open_address(_: &str, _: &HubOptions, _: &Printer) -> Result<TestImage, Failure> {
    Err(Failure::usage("this vitport was built without a network; download the image and give its path"))
}
