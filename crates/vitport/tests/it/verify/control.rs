//! Tests the verification itself: faults planted one at a time in untouched folders, each of which verification must call
//! different.
//!
//! For each fault the test also asks whether running the networks would have shown it without the comparison of bytes and
//! facts, and what the original scripts' check would have said. `--nocapture` prints the table of docs/verification.md.

mod common_faults;
mod cvt_faults;
mod fault;
mod folder;
mod models;
mod original;
mod stray_faults;
mod tensors;
mod vit_faults;

use std::path::Path;

use fault::{Fault, Forward, Kind};
use folder::FolderFiles;
use models::Model;
use vitport::pipeline::verify;
use vitport::verify::{Report, TestImage, Verdict, VerifyError};

use super::convert::{Converted, convert};

/// How many faults have a place in each model.
const PLANTED: [(&str, usize); 5] = [
    ("ViT", 101),
    ("ViT, layer scale, no_embed_class", 102),
    ("ViT, layer scale, no head", 97),
    ("ViT, no qkv bias", 98),
    ("CvT", 88),
];

/// What verification said of one fault.
struct Finding {
    row: String,
    is_killed: bool,
    /// Whether outputs or pixels alone show the fault.
    is_shown: bool,
    forward: Forward,
    kind: Kind,
}

/// The parts of verification that saw a fault.
fn seen_by(verified: &Result<Report, VerifyError>) -> Vec<&'static str> {
    let report = match verified {
        Ok(report) => report,
        Err(_) => return vec!["cannot be read"],
    };
    let judged = report.judged();
    let parts = [
        ("cannot be run", report.layers.is_empty()),
        ("loading", report.reasons.iter().any(|reason| is_of_loading(reason))),
        ("weights", !report.weights.agree()),
        ("facts", report.facts.iter().any(|fact| fact.counts && !fact.agrees)),
        ("pixels", report.pixels.iter().any(|place| !place.agrees)),
        ("outputs", judged.iter().any(|place| !place.agrees)),
    ];
    parts.into_iter().filter_map(|(part, sees)| sees.then_some(part)).collect()
}

fn is_of_loading(reason: &str) -> bool {
    reason.starts_with("not verified")
        || reason.starts_with("the metadata of")
        || reason.contains("transformers 4")
        || reason.contains("transformers 5")
}

fn is_killed(verified: &Result<Report, VerifyError>) -> bool {
    verified
        .as_ref()
        .map_or(true, |report| matches!(report.verdict, Verdict::Different | Verdict::NotComparable))
}

fn faults(is_cvt: bool) -> Vec<Fault> {
    let (weights, config, processor) = match is_cvt {
        true => (cvt_faults::weights(), cvt_faults::config(), cvt_faults::processor()),
        false => (vit_faults::weights(), vit_faults::config(), vit_faults::processor()),
    };
    let common = common_faults::list().into_iter().chain(stray_faults::list());
    weights.into_iter().chain(config).chain(common).chain(processor).collect()
}

fn weights_file(source: &Path) -> std::path::PathBuf {
    if source.is_dir() { source.join("model.safetensors") } else { source.to_owned() }
}

/// Plants every fault that a model has a place for.
fn plant_all(model: &Model, image: &TestImage) -> Vec<Finding> {
    let converted = convert(&model.source, &model.request);
    let untouched = verify(&converted.prepared, &converted.folder, image).unwrap();
    let is_same = matches!(untouched.verdict, Verdict::Same | Verdict::SameWithKnownDeviation);
    assert!(is_same, "{}: {:?}", model.name, untouched.reasons);
    let read = || FolderFiles::read(&converted.folder, &weights_file(&model.source));
    let rewritten = converted.place("rewritten");
    read().write(&rewritten);
    let rewritten = verify(&converted.prepared, &rewritten, image).unwrap();
    assert_eq!(rewritten.verdict, untouched.verdict, "rewriting alone must not be a fault");

    let (files, all) = (read(), faults(model.is_cvt));
    let fitting = all.into_iter().filter(|fault| (fault.fits)(&files)).enumerate();
    fitting.map(|(number, fault)| plant(model, &converted, read(), number, &fault, image)).collect()
}

fn plant(
    model: &Model,
    converted: &Converted,
    mut files: FolderFiles,
    number: usize,
    fault: &Fault,
    image: &TestImage,
) -> Finding {
    (fault.plant)(&mut files);
    let folder = converted.place(&format!("fault {number}"));
    files.write(&folder);
    let verified = verify(&converted.prepared, &folder, image);
    let seen = seen_by(&verified);
    let original = original::check(&converted.prepared, &folder, &image.decoded, model.is_cvt);
    let largest = original.largest.map_or_else(|| "–".to_owned(), |largest| format!("{largest:.1e}"));
    let is_shown =
        seen.iter().any(|part| ["cannot be read", "cannot be run", "pixels", "outputs"].contains(part));
    Finding {
        row: format!(
            "| {} | {} | {} | {} | {largest} |",
            fault.name,
            model.name,
            if seen.is_empty() { "NOTHING".to_owned() } else { seen.join(", ") },
            original.verdict,
        ),
        is_killed: is_killed(&verified),
        is_shown,
        forward: fault.forward,
        kind: fault.kind,
    }
}

#[test]
fn what_changes_nothing_raises_no_alarm() {
    let image = TestImage::built_in().unwrap();
    for model in models::all() {
        let converted = convert(&model.source, &model.request);
        let untouched = verify(&converted.prepared, &converted.folder, &image).unwrap();
        for (number, (name, change)) in stray_faults::harmless().into_iter().enumerate() {
            let mut files = FolderFiles::read(&converted.folder, &weights_file(&model.source));
            change(&mut files);
            let folder = converted.place(&format!("harmless {number}"));
            files.write(&folder);
            let report = verify(&converted.prepared, &folder, &image).unwrap();
            assert_eq!(report.verdict, untouched.verdict, "{}, {name}: {:?}", model.name, report.reasons);
        }
    }
}

#[test]
fn every_planted_fault_is_found() {
    let image = TestImage::built_in().unwrap();
    let by_model: Vec<(String, Vec<Finding>)> =
        models::all().iter().map(|model| (model.name.to_string(), plant_all(model, &image))).collect();
    let counts: Vec<(&str, usize)> =
        by_model.iter().map(|(name, findings)| (name.as_str(), findings.len())).collect();
    assert_eq!(counts, PLANTED, "a fault that fits its model no longer, or a new one");
    let findings: Vec<Finding> = by_model.into_iter().flat_map(|(_, findings)| findings).collect();
    println!("| fault | model | vitport: what sees it | original script | max. difference, same pixels |");
    println!("|---|---|---|---|---|");
    findings.iter().for_each(|finding| println!("{}", finding.row));

    let rows = |are: &dyn Fn(&&Finding) -> bool| -> Vec<&str> {
        findings.iter().filter(are).map(|finding| finding.row.as_str()).collect()
    };
    let survivors = rows(&|finding| !finding.is_killed);
    let (planted, killed) = (findings.len(), findings.len() - survivors.len());
    println!("planted {planted} faults, killed {killed}");
    let in_weights = rows(&|finding| finding.kind == Kind::Weights);
    let by_outputs = rows(&|finding| finding.kind == Kind::Weights && finding.is_shown);
    println!("{} faults in weights, of which outputs alone show {}", in_weights.len(), by_outputs.len());
    let let_through = rows(&|finding| finding.row.contains("let through"));
    println!("the original scripts' checks let {} through", let_through.len());
    for (finding, why) in findings.iter().filter_map(|finding| match finding.forward {
        Forward::CannotShow(why) | Forward::MayShow(why) if !finding.is_shown => Some((finding, why)),
        _ => None,
    }) {
        println!("outputs and pixels do not show: {} ({why})", finding.row);
    }

    assert!(survivors.is_empty(), "not found: {survivors:#?}");
    let overlooked = rows(&|finding| finding.forward == Forward::Shows && !finding.is_shown);
    assert!(overlooked.is_empty(), "outputs and pixels should show: {overlooked:#?}");
    let shown_after_all =
        rows(&|finding| matches!(finding.forward, Forward::CannotShow(_)) && finding.is_shown);
    assert!(shown_after_all.is_empty(), "said to be invisible and are not: {shown_after_all:#?}");
}
