//! Leads from arguments to the pipeline's conversion, and back to what is shown; `convert` runs one, `batch` many.

use std::sync::OnceLock;

use indicatif::ProgressBar;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use vitport::facts::{Basis, Facts};
use vitport::folder::layout::DEFAULT_SHARD_SIZE;
use vitport::folder::publish::check;
use vitport::pipeline::WriteOptions;
use vitport::pipeline::{self, ConvertRequest, Converted, Event, Hooks, Staged};
use vitport::verify::{Report, TensorCounts, page, tensor_counts};
use vitport_checkpoint::escape;

use crate::arguments::ConvertArguments;
use crate::document::Document;
use crate::failure::Failure;
use crate::output::Printer;
use crate::progress;
use crate::request::request;
use crate::show::prepared::facts;
use crate::source::{open, with_adapter};
use crate::verification::{self, files_of};

/// Converts. Results are for the caller to show; only remarks on the way are printed here. `before_publishing` is called when
/// nothing is left to do but the last step, and can prevent it.
///
/// # Errors
/// Whatever kept a step from being taken. Networks that disagree are not an error but [`Converted::accepted`].
pub fn convert(
    arguments: ConvertArguments,
    output: &Printer,
    before_publishing: &dyn Fn(&Staged<'_>) -> Result<(), Failure>,
) -> Result<Converted, Failure> {
    let text = arguments.source.text();
    let mut read = verification::named_files(text, &arguments.facts, &arguments.verification);
    // What would be overwritten is refused before anything is opened or fetched.
    if let Some(out) = &arguments.out {
        check(out, &read, arguments.force)?;
    }
    verification::output_files(&arguments.verification, &read, arguments.out.as_deref())?;
    let adapter = arguments.facts.adapter.clone();
    let request = request(arguments.facts)?;
    let acceptance = verification::acceptance(&arguments.verification, &request)?;
    let source = open(text, &arguments.hub, request.root.as_deref(), &request.limits, output)?;
    let source = with_adapter(source, adapter.as_deref(), &request.limits, output)?;
    let prepared = pipeline::plan(source, &request)?;
    if output.is_verbose() {
        output.say(facts(&prepared.model.facts))?;
        output.say("")?;
    }
    let image = match arguments.no_verify {
        true => None,
        false => Some(verification::image(&arguments.verification, &arguments.hub, output)?),
    };
    let out = arguments.out.unwrap_or_else(|| prepared.model.name.replace(['/', '\\'], "_").into());
    read.extend(files_of(&prepared));
    check(&out, &read, arguments.force)?;
    let files = verification::output_files(&arguments.verification, &read, Some(&out))?;
    let bar = progress::bytes(prepared.plan.bytes(), "writing", output);
    let spinner = OnceLock::new();
    let event = |event: Event| match event {
        Event::Written(bytes) => bar.inc(bytes),
        Event::Verifying(step) => {
            bar.finish_and_clear();
            let what = step.to_string();
            spinner.get_or_init(|| progress::spinner(&what, output)).set_message(what);
        }
        _ => spinner.get().into_iter().for_each(ProgressBar::finish_and_clear),
    };
    let run = output.run();
    let request = ConvertRequest {
        out: Some(&out),
        write: WriteOptions {
            max_shard_size: arguments.max_shard_size.unwrap_or(DEFAULT_SHARD_SIZE),
            force: arguments.force,
            fsync: !arguments.no_fsync,
            exact_code: arguments.with_exact_code,
        },
        image: image.as_ref(),
        acceptance,
        keep_anyway: arguments.keep_anyway,
        card: !arguments.no_card,
        run: Some(&run),
    };
    let converted = pipeline::convert::<Failure>(
        prepared,
        request,
        &Hooks {
            event: &event,
            judged: &|report, staging| {
                let Some(image) = &image else { return Ok(()) };
                output.page(|| page::html(report, image));
                files.report.as_ref().map_or(Ok(()), |file| file.write_report(report, image, staging))
            },
            before_publishing,
        },
    );
    bar.finish_and_clear();
    spinner.get().into_iter().for_each(ProgressBar::finish_and_clear);
    let converted = converted?;
    if let Some(report) = converted.report.as_ref().filter(|_| converted.is_published) {
        files.attest(&converted.prepared, report, &converted.out)?;
    }
    if converted.kept_card && output.shows_progress() {
        output.note("the README.md that was there is kept; --force replaces it by a model card");
    }
    if let Some(old) = &converted.left_behind {
        output.note(&format!(
            "the replaced folder could not be removed altogether; it is now {}",
            escape(&old.display().to_string())
        ));
    }
    if !converted.is_published && files.report.is_some_and(|file| file.is_inside()) {
        output
            .note("the report was to lie in OUT, which is not published; give it a place outside to keep it");
    }
    Ok(converted)
}

/// Returns the transformers class of the folder.
pub fn class(converted: &Converted) -> &str {
    let class = converted.prepared.model.config.get("architectures").and_then(|list| list.get(0));
    class.and_then(Value::as_str).unwrap_or("transformers")
}

/// Describes what came of `vitport convert`; the report of it, if the networks were run, is under `report`.
#[derive(Serialize, JsonSchema)]
pub struct ConvertDocument<'a> {
    /// Gives the model's name.
    model: &'a str,
    /// Gives the folder, as an absolute path.
    out: String,
    /// Says whether the folder is there.
    published: bool,
    /// Names the class of transformers that opens it.
    class: Option<&'a str>,
    /// Lists what is known of the model.
    facts: &'a Facts,
    #[serde(flatten)]
    basis: Basis,
    /// Gives the verdict in words; null if the networks were not run.
    headline: Option<&'a str>,
    /// Lists the files of the folder.
    files: Vec<FileDocument<'a>>,
    /// Holds what was found when both networks ran; null if they were not run.
    report: Option<&'a Report>,
    /// Says what is unusual about the source, a sentence each.
    warnings: &'a [String],
    /// Counts the tensors that went in and that came out.
    tensor_counts: TensorCounts,
}

impl Document for ConvertDocument<'_> {
    const SCHEMA: &'static str = "vitport/convert/2";
}

/// Describes a file of a folder.
#[derive(Serialize, JsonSchema)]
pub struct FileDocument<'a> {
    /// Gives its name.
    name: &'a str,
    /// Gives its length.
    bytes: u64,
}

impl<'a> FileDocument<'a> {
    /// Describes the files of a folder by their names and sizes.
    pub fn all(files: &'a [(String, u64)]) -> Vec<Self> {
        files.iter().map(|(name, bytes)| Self { name, bytes: *bytes }).collect()
    }
}

/// Returns the document of `--json`.
pub fn document(converted: &Converted) -> ConvertDocument<'_> {
    let prepared = &converted.prepared;
    let architectures = prepared.model.config.get("architectures");
    ConvertDocument {
        model: &prepared.model.name,
        out: converted.out.display().to_string(),
        published: converted.is_published,
        class: architectures.and_then(|list| list.get(0)).and_then(Value::as_str),
        facts: &prepared.model.facts,
        basis: prepared.model.basis(),
        headline: converted.report.as_ref().map(|report| report.headline.as_str()),
        files: FileDocument::all(&converted.files),
        report: converted.report.as_ref(),
        warnings: &converted.warnings,
        tensor_counts: tensor_counts(prepared),
    }
}
