//! Runs `vitport convert FOLDER --to FRAMEWORK`: from a transformers folder to a folder of another framework.

use std::path::{Path, PathBuf};

use indicatif::ProgressBar;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};
use vitport::facts::Facts;
use vitport::folder::publish::check;
use vitport::pipeline::{BackRequest, ConvertBackRequest, ConvertedBack, Request, convert_back, plan_back};
use vitport::plan::Dropped;
use vitport::verify::{Report, page};
use vitport_checkpoint::escape;

use crate::arguments::{ConvertArguments, Destination};
use crate::conversion::FileDocument;
use crate::document::Document;
use crate::failure::Failure;
use crate::output::Printer;
use crate::output_file::model_files;
use crate::progress;
use crate::show::report::say_report_of_the_way_back;
use crate::terminal::style::{BOLD, GREEN};
use crate::terminal::table::bytes;
use crate::verification;

/// Converts.
pub fn run(arguments: ConvertArguments, framework: Destination, output: &Printer) -> Result<(), Failure> {
    let Some(folder) = arguments.source.given().map(PathBuf::from) else {
        return Err(Failure::usage("--to converts a transformers folder, and none is given; give SOURCE"));
    };
    if let Some(why) = without_effect(&arguments, framework) {
        return Err(Failure::usage(why));
    }
    let out = arguments.out.clone().unwrap_or_else(|| default_out(&folder, framework));
    let mut read = verification::named_files(folder.as_os_str(), &arguments.facts, &arguments.verification);
    read.extend(model_files(&folder));
    check(&out, &read, arguments.force)?;
    let files = verification::output_files(&arguments.verification, &read, Some(&out))?;
    if files.report.as_ref().is_some_and(|file| file.is_inside()) {
        return Err(Failure::usage("the report would lie in OUT; give --report another place"));
    }
    let acceptance = verification::acceptance(&arguments.verification, &Request::default())?;
    let request = BackRequest {
        framework: framework.name().to_owned(),
        without_processor: arguments.facts.no_processor,
        limits: arguments.facts.limits.limits(),
    };
    let prepared = plan_back(&folder, &request)?;
    let image = match arguments.no_verify {
        true => None,
        false => Some(verification::image(&arguments.verification, &arguments.hub, output)?),
    };
    let run = output.run();
    let bar = progress::bytes(prepared.plan.bytes(), "writing", output);
    let converted = convert_back::<Failure>(
        prepared,
        ConvertBackRequest {
            out: &out,
            force: arguments.force,
            fsync: !arguments.no_fsync,
            image: image.as_ref(),
            acceptance,
            keep_anyway: arguments.keep_anyway,
            run: Some(&run),
        },
        &|bytes| bar.inc(bytes),
        &|report| {
            let Some(image) = &image else { return Ok(()) };
            output.page(|| page::html(report, image));
            files.report.as_ref().map_or(Ok(()), |file| file.write_report(report, image, None))
        },
    );
    ProgressBar::finish_and_clear(&bar);
    let converted = converted?;
    if converted.is_published {
        files.attest_back(&converted)?;
    }
    show(&converted, output)
}

/// Returns why an option that is given would have no effect.
fn without_effect(arguments: &ConvertArguments, framework: Destination) -> Option<String> {
    let name = framework.name();
    if arguments.max_shard_size.is_some() {
        return Some(format!(
            "--max-shard-size has no effect with --to {name}: its weights are one file; leave it out"
        ));
    }
    arguments.with_exact_code.then(|| {
        format!("--with-exact-code adds code for transformers, and --to {name} writes no folder for it; leave it out")
    })
}

fn default_out(folder: &Path, framework: Destination) -> PathBuf {
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let name = absolute.file_name().unwrap_or_default().to_string_lossy();
    format!("{name}-{}", framework.name()).into()
}

fn show(converted: &ConvertedBack, output: &Printer) -> Result<(), Failure> {
    let prepared = &converted.prepared;
    let architecture = prepared.made();
    let out = converted.out.display().to_string();
    if converted.is_published {
        output.say(format!(
            "{BOLD}{}{BOLD:#} → {}'s {}",
            prepared.class,
            prepared.maker(),
            escape(architecture)
        ))?;
        let (made, size) = (prepared.plan.targets.len(), bytes(prepared.plan.bytes()));
        let read = prepared.folder.checkpoint.tensors().len();
        output.say(format!("  {read} tensors in, {made} out, {size}"))?;
        for lost in &prepared.left_out {
            output.say(format!("  left out {}: it {}", escape(&lost.name), lost.reason))?;
        }
        let zeroed: Vec<&str> = prepared.zeroed().collect();
        if let Some(first) = zeroed.first() {
            output.say(format!(
                "  {} tensors hold zeros for what a conversion left out or added up ({}, …): the network is another that computes the \
                 same",
                zeroed.len(),
                escape(first)
            ))?;
        }
        output.say(format!("{GREEN}wrote{GREEN:#} {}", escape(&out)))?;
        for line in prepared.lines_for(&out) {
            output.say(format!("  {}", escape(&line)))?;
        }
    }
    if let Some(report) = &converted.report {
        say_report_of_the_way_back(report, prepared.maker(), output)?;
    }
    let document = ConvertBackDocument {
        class: &prepared.class,
        architecture,
        out,
        published: converted.is_published,
        config: json!(prepared.config),
        facts: &prepared.facts,
        left_out: &prepared.left_out,
        zeroed: prepared.zeroed().collect(),
        headline: converted.report.as_ref().map(|report| report.headline.as_str()),
        files: FileDocument::all(&converted.files),
        report: converted.report.as_ref(),
    };
    match converted.accepted.clone().map_err(|why| verification::not_accepted(why, output)) {
        Err(failure) => Err(failure.with_document(&document)),
        Ok(()) if output.is_json() => output.document(&document),
        Ok(()) => Ok(()),
    }
}

/// Describes what came of `vitport convert --to FRAMEWORK`.
#[derive(Serialize, JsonSchema)]
pub struct ConvertBackDocument<'a> {
    /// Names the class of transformers that it was.
    class: &'a str,
    /// Names the other framework's architecture, or gives the Python that makes the network.
    architecture: &'a str,
    /// Gives the folder, as an absolute path.
    out: String,
    /// Says whether the folder is there.
    published: bool,
    /// Holds the `config.json` that was written.
    config: Value,
    /// Lists what is known of the model.
    facts: &'a Facts,
    /// Lists the folder's tensors that the other network has no place for.
    left_out: &'a [Dropped],
    /// Lists the other network's tensors that the folder does not have and that are written as zeros.
    zeroed: Vec<&'a str>,
    /// Gives the verdict in words; null if the networks were not run.
    headline: Option<&'a str>,
    /// Lists the files of the folder.
    files: Vec<FileDocument<'a>>,
    /// Holds what was found when both networks ran; null if they were not run.
    report: Option<&'a Report>,
}

impl Document for ConvertBackDocument<'_> {
    const SCHEMA: &'static str = "vitport/convert-back/2";
}
