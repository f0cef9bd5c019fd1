//! Runs `vitport convert FOLDER --to timm`: from a transformers folder to a folder of another framework.

use std::path::{Path, PathBuf};

use indicatif::ProgressBar;
use serde_json::{Value, json};
use vitport::folder::publish::check;
use vitport::pipeline::{BackRequest, ConvertBackRequest, ConvertedBack, Request, convert_back, plan_back};
use vitport::verify::page;
use vitport_checkpoint::escape;

use crate::arguments::{ConvertArguments, Destination};
use crate::failure::Failure;
use crate::output::Printer;
use crate::progress;
use crate::report_file::model_files;
use crate::show::report::say_report_of_the_way_back;
use crate::terminal::style::{BOLD, GREEN};
use crate::terminal::table::bytes;
use crate::verification;

/// Converts.
pub fn run(arguments: ConvertArguments, framework: Destination, output: &Printer) -> Result<(), Failure> {
    let Some(folder) = arguments.source.given().map(PathBuf::from) else {
        return Err(Failure::usage("--to converts a transformers folder, and none is given; give SOURCE"));
    };
    let out = arguments.out.clone().unwrap_or_else(|| default_out(&folder, framework));
    let mut read = verification::named_files(folder.as_os_str(), &arguments.facts, &arguments.verification);
    read.extend(model_files(&folder));
    check(&out, &read, arguments.force)?;
    let report_file = verification::report_file(&arguments.verification, &read, Some(&out))?;
    if report_file.as_ref().is_some_and(|file| file.is_inside()) {
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
        },
        &|bytes| bar.inc(bytes),
        &|report| {
            let Some(image) = &image else { return Ok(()) };
            output.page(|| page::html(report, image));
            report_file.as_ref().map_or(Ok(()), |file| file.write(report, image, None))
        },
    );
    ProgressBar::finish_and_clear(&bar);
    show(&converted?, output)
}

fn default_out(folder: &Path, framework: Destination) -> PathBuf {
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let name = absolute.file_name().unwrap_or_default().to_string_lossy();
    format!("{name}-{}", framework.name()).into()
}

fn show(converted: &ConvertedBack, output: &Printer) -> Result<(), Failure> {
    let prepared = &converted.prepared;
    let architecture = prepared.config.get("architecture").and_then(Value::as_str).unwrap_or_default();
    let out = converted.out.display().to_string();
    if converted.is_published {
        output.say(format!("{BOLD}{}{BOLD:#} → timm's {architecture}", prepared.class))?;
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
        output.say(format!("  timm.create_model(\"local-dir:{}\", pretrained=True)", escape(&out)))?;
    }
    if let Some(report) = &converted.report {
        say_report_of_the_way_back(report, prepared.definition.maker(), output)?;
    }
    let document = output.is_json().then(|| {
        json!({
            "class": prepared.class,
            "architecture": architecture,
            "out": out,
            "published": converted.is_published,
            "config": prepared.config,
            "facts": prepared.facts,
            "left_out": prepared.left_out,
            "zeroed": prepared.zeroed().collect::<Vec<_>>(),
            "headline": converted.report.as_ref().map(|report| &report.headline),
            "files": converted.files.iter().map(|(name, size)| json!({ "name": name, "bytes": size })).collect::<Vec<_>>(),
            "report": converted.report,
        })
    });
    match (converted.accepted.clone().map_err(Failure::from), document) {
        (Ok(()), Some(document)) => output.document(&document),
        (Ok(()), None) => Ok(()),
        (Err(failure), document) => Err(failure.with_document(document.unwrap_or_default())),
    }
}
