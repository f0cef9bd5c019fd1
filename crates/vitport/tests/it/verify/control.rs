//! Tests the verification itself: faults planted one at a time in untouched folders, each of which verification must call
//! different.
//!
//! For each fault the test also asks whether running the networks would have shown it without the comparison of bytes and
//! facts, and what the original scripts' check would have said. `--nocapture` prints the table of docs/verification.md.

mod common_faults;
mod convnext_faults;
mod cvt_faults;
mod efficientnet_faults;
mod encoder_faults;
mod fault;
pub(super) mod folder;
mod models;
mod original;
mod residual_faults;
mod stray_faults;
mod swin_faults;
pub(super) mod tensors;
mod vit_faults;
mod weight_faults;

use std::collections::BTreeSet;
use std::path::Path;

use fault::{Fault, Forward, Kind};
use folder::FolderFiles;
use models::Model;
use rayon::prelude::*;
use vitport::pipeline::verify;
use vitport::verify::{Report, TestImage, Verdict, VerifyError};

use super::convert::{Converted, convert};

/// Pins how many faults have a place in each model.
const PLANTED: [(&str, usize); 24] = [
    ("ViT", 103),
    ("ViT, layer scale, no_embed_class", 104),
    ("ViT, layer scale, no head", 99),
    ("ViT, no qkv bias", 100),
    ("CvT", 95),
    ("CLIP", 81),
    ("BEiT", 95),
    ("ViT with relative positions", 99),
    ("SigLIP", 67),
    ("I-JEPA", 67),
    ("AIMv2", 65),
    ("InternViT", 66),
    ("TIPSv2", 64),
    ("RADIO", 65),
    ("ConvNeXt", 97),
    ("ConvNeXt, scaled", 81),
    ("ConvNeXt V2", 75),
    ("ResNet", 85),
    ("RegNet", 76),
    ("Swin", 86),
    ("EfficientNet", 93),
    ("DINOv3", 93),
    ("DINOv3 ConvNeXt", 73),
    ("SwinV2", 89),
];

/// Pins the table of docs/verification.md: where faults lie, how many kinds of them and how many faults there are, and how many of
/// those in a ViT or a CvT the original check accepts.
const TABLE: [(&str, usize, usize, usize); 7] = [
    ("weights that outputs show", 136, 570, 52),
    ("weights that outputs do not show", 8, 83, 19),
    ("weights that cannot be run", 1, 24, 0),
    ("config.json, shown by outputs", 48, 148, 19),
    ("config.json, not shown", 23, 366, 83),
    ("config.json that cannot be run", 57, 238, 10),
    ("the image processor", 28, 589, 120),
];

/// Holds what verification said of one fault.
struct Finding {
    name: &'static str,
    row: String,
    is_killed: bool,
    /// Says whether outputs or pixels alone show the fault.
    is_shown: bool,
    /// Says whether the folder's network can be run.
    is_run: bool,
    /// Says whether the original check accepts it.
    is_accepted: bool,
    forward: Forward,
    kind: Kind,
}

impl Finding {
    /// Returns where the fault lies, as the table has it.
    fn place(&self) -> &'static str {
        match (self.kind, self.is_run, self.is_shown) {
            (Kind::Processor, ..) => "the image processor",
            (Kind::Weights, false, _) => "weights that cannot be run",
            (Kind::Weights, _, true) => "weights that outputs show",
            (Kind::Weights, ..) => "weights that outputs do not show",
            (Kind::Config | Kind::Labels, false, _) => "config.json that cannot be run",
            (Kind::Config | Kind::Labels, _, true) => "config.json, shown by outputs",
            (Kind::Config | Kind::Labels, ..) => "config.json, not shown",
        }
    }
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

fn faults(model: &Model) -> Vec<Fault> {
    let common = weight_faults::list().into_iter().chain(common_faults::list()).chain(stray_faults::list());
    (model.faults)().into_iter().chain(common).collect()
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

    let (files, all) = (read(), faults(model));
    let fitting: Vec<Fault> = all.into_iter().filter(|fault| (fault.fits)(&files)).collect();
    let numbered = fitting.par_iter().enumerate();
    numbered.map(|(number, fault)| plant(model, &converted, read(), number, fault, image)).collect()
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
    let check = |script| original::check(&converted.prepared, &folder, &image.decoded, script);
    let (original, largest) =
        model.script.map(check).map_or(("–", None), |original| (original.verdict, original.largest));
    let largest = largest.map_or_else(|| "–".to_owned(), |largest| format!("{largest:.1e}"));
    let is_shown =
        seen.iter().any(|part| ["cannot be read", "cannot be run", "pixels", "outputs"].contains(part));
    Finding {
        name: fault.name,
        row: format!(
            "| {} | {} | {} | {} | {largest} |",
            fault.name,
            model.name,
            if seen.is_empty() { "NOTHING".to_owned() } else { seen.join(", ") },
            original,
        ),
        is_killed: is_killed(&verified),
        is_shown,
        is_run: !seen.iter().any(|part| ["cannot be read", "cannot be run"].contains(part)),
        is_accepted: original.starts_with("let through"),
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
        stray_faults::harmless().into_par_iter().enumerate().for_each(|(number, (name, change))| {
            let mut files = FolderFiles::read(&converted.folder, &weights_file(&model.source));
            change(&mut files);
            let folder = converted.place(&format!("harmless {number}"));
            files.write(&folder);
            let report = verify(&converted.prepared, &folder, &image).unwrap();
            assert_eq!(report.verdict, untouched.verdict, "{}, {name}: {:?}", model.name, report.reasons);
        });
    }
}

#[test]
fn every_planted_fault_is_found() {
    let image = TestImage::built_in().unwrap();
    let by_model: Vec<(&str, Vec<Finding>)> =
        models::all().iter().map(|model| (model.name, plant_all(model, &image))).collect();
    let counts: Vec<(&str, usize)> = by_model.iter().map(|(name, all)| (*name, all.len())).collect();
    println!("{counts:?}");
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
    let table = TABLE.map(|(place, ..)| {
        let there = || findings.iter().filter(|finding| finding.place() == place);
        let kinds: BTreeSet<&str> = there().map(|finding| finding.name).collect();
        (place, kinds.len(), there().count(), there().filter(|finding| finding.is_accepted).count())
    });
    table.iter().for_each(|row| println!("{row:?}"));
    let kinds: BTreeSet<&str> = findings.iter().map(|finding| finding.name).collect();
    println!("{} kinds of faults", kinds.len());
    for (finding, why) in findings.iter().filter_map(|finding| match finding.forward {
        Forward::CannotShow(why) | Forward::MayShow(why) if !finding.is_shown => Some((finding, why)),
        _ => None,
    }) {
        println!("outputs and pixels do not show: {} ({why})", finding.row);
    }

    let overlooked = rows(&|finding| finding.forward == Forward::Shows && !finding.is_shown);
    let shown_after_all =
        rows(&|finding| matches!(finding.forward, Forward::CannotShow(_)) && finding.is_shown);
    assert!(survivors.is_empty(), "not found: {survivors:#?}");
    assert!(overlooked.is_empty(), "outputs and pixels should show: {overlooked:#?}");
    assert_eq!(table, TABLE, "the table of docs/verification.md");
    assert_eq!(counts, PLANTED, "a fault that fits its model no longer, or a new one");
    assert!(shown_after_all.is_empty(), "said to be invisible and are not: {shown_after_all:#?}");
}
