//! All steps of a conversion, one after the other; `convert` runs one, `batch` many.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use vitport::card::{self, Card};
use vitport::convert::{Prepared, WriteOptions, Written, prepare, write};
use vitport::verify::{Hashing, accounts};
use vitport_checkpoint::escape;

use crate::arguments::Convert;
use crate::failure::Failure;
use crate::output::Output;
use crate::progress;
use crate::request::request;
use crate::show::prepared::facts;
use crate::source::open;
use crate::terminal::message::note_line;
use crate::verification::{self, Verified, files_of, verify_folder};

/// What a conversion came to.
pub struct Converted {
    /// What was converted.
    pub prepared: Prepared,
    /// The folder, as an absolute path.
    pub out: PathBuf,
    /// Names and sizes in bytes of its files.
    pub files: Vec<(String, u64)>,
    /// What verifying found, if the folder was verified.
    pub verified: Option<Verified>,
    /// Whether the folder is there: it is not if the networks disagree.
    pub is_published: bool,
    /// Whether the verdict is one that is allowed.
    pub judged: Result<(), Failure>,
}

/// A folder that is written and judged, and about to take its name.
pub struct Staged<'a> {
    /// Where it is until then.
    pub folder: &'a Path,
    /// Its files.
    pub names: Vec<String>,
    /// Local files that it was made from; none for what was fetched, which its name and commit tell.
    pub inputs: Vec<PathBuf>,
    /// What the command will exit with.
    pub exit_code: u8,
}

/// All steps. Results are for the caller to show; only what is remarked on the way is said here. `before_publishing` is
/// called when nothing is left to do but the last step, and can prevent it.
///
/// # Errors
/// Whatever kept a step from being taken. Networks that disagree are no error but [`Converted::judged`].
pub fn convert(
    arguments: Convert,
    output: &Output,
    before_publishing: &dyn Fn(&Staged<'_>) -> Result<(), Failure>,
) -> Result<Converted, Failure> {
    let request = request(arguments.facts)?;
    let text = arguments.source.text();
    let source = open(text, &arguments.hub, request.root.as_deref(), &request.limits, output)?;
    let prepared = prepare(source, &request)?;
    let out = match arguments.out {
        Some(out) => out,
        None => PathBuf::from(prepared.model.name.replace(['/', '\\'], "_")),
    };
    if output.is_verbose() {
        output.say(facts(&prepared))?;
        output.say("")?;
    }
    let picture = match arguments.no_verify {
        true => None,
        false => Some(verification::picture(&arguments.verification, &arguments.hub, output)?),
    };
    let report_file = verification::report_file(&arguments.verification, files_of(&prepared), Some(&out))?;
    let bar = progress::bytes(prepared.plan.bytes(), "writing", output);
    let options = WriteOptions {
        max_shard_size: arguments.max_shard_size,
        force: arguments.force,
        fsync: !arguments.no_fsync,
        exact_code: arguments.with_exact_code,
    };
    let hashing = picture.as_ref().map(|_| Hashing::start(&prepared.source.checkpoint)).transpose()?;
    let mut written = write(&prepared, &out, options, &|count| bar.inc(count))?;
    bar.finish_and_clear();
    let mut verified = picture
        .zip(hashing)
        .map(|(picture, hashing)| verify_folder(&prepared, written.staging.path(), picture, hashing, output))
        .transpose()?;
    let out = written.staging.out().to_owned();
    if let Some(verified) = &mut verified {
        verified.report.folder = out.display().to_string();
    }
    let judged = verified
        .as_ref()
        .map_or(Ok(()), |verified| verification::judge(&arguments.verification, &verified.report));
    let is_published = judged.is_ok() || arguments.keep_anyway;
    if let Some(verified) = &verified {
        verified.write(report_file.as_ref(), is_published.then_some(&written.staging))?;
    }
    if !arguments.no_card {
        let report = verified.as_ref().map(|verified| &verified.report);
        let text = Card { prepared: &prepared, report, exact_code: arguments.with_exact_code }.text();
        written.add(card::FILE_NAME, text.as_bytes())?;
    }
    let Written { staging, mut files } = written;
    if is_published {
        before_publishing(&Staged {
            folder: staging.path(),
            names: files.iter().map(|(name, _)| name.clone()).collect(),
            inputs: inputs(&prepared),
            exit_code: judged.as_ref().map_or_else(|failure| failure.kind.exit_code(), |()| 0),
        })?;
        let published = staging.publish()?;
        if published.kept.iter().any(|name| name == card::FILE_NAME) {
            files.retain(|(name, _)| name != card::FILE_NAME);
            if output.shows_progress() && !arguments.no_card {
                note_line("the README.md that was there is kept; --force replaces it by a model card");
            }
        }
        if let Some(old) = &published.left_behind {
            note_line(&format!(
                "the replaced folder could not be removed altogether; it is now {}",
                escape(&old.display().to_string())
            ));
        }
    } else if report_file.is_some_and(|file| file.is_inside()) {
        note_line("the report was to lie in OUT, which is not published; give it a place outside to keep it");
    }
    Ok(Converted { prepared, out, files, verified, is_published, judged })
}

/// The local files that decide what a conversion makes: the weights, and the config beside them.
fn inputs(prepared: &Prepared) -> Vec<PathBuf> {
    let source = &prepared.source;
    if source.provenance.is_some() {
        return Vec::new();
    }
    let config = source.config.as_ref().map(|_| source.path.join("config.json"));
    source.checkpoint.files().iter().map(|file| file.path.clone()).chain(config).collect()
}

impl Converted {
    /// The transformers class of the folder.
    pub fn class(&self) -> &str {
        let class = self.prepared.model.config.get("architectures").and_then(|list| list.get(0));
        class.and_then(Value::as_str).unwrap_or("transformers")
    }

    /// The document of `--json`.
    pub fn document(&self) -> Value {
        let prepared = &self.prepared;
        json!({
            "model": prepared.model.name,
            "out": self.out.display().to_string(),
            "published": self.is_published,
            "class": prepared.model.config.get("architectures").and_then(|list| list.get(0)),
            "facts": prepared.model.facts,
            "files": self.files.iter().map(|(name, size)| json!({ "name": name, "bytes": size })).collect::<Vec<_>>(),
            "report": self.verified.as_ref().map(|verified| &verified.report),
            "accounts": accounts(prepared),
        })
    }
}
