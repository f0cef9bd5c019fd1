//! Weighing itself: what is run on what, in which order, and what the verdict follows from.

use std::path::Path;
use std::time::Instant;

use serde_json::Value;

use super::VerifyError;
use super::difference::{Arithmetic, Difference, roundoff};
use super::facts;
use super::hash::hash_files;
use super::picture::Picture;
use super::report::{
    Accounts, Comparison, Guess, KnownDeviation, Report, SCHEMA, SourceReport, Timings, Verdict, top5,
};
use super::tensors;
use super::weights::CheckpointWeights;
use crate::convert::Prepared;
use crate::families::SourceNetwork;
use crate::folder::reader::Folder;
use crate::image::{CropRounding, ImageProcessor, Picture as Pixmap, Pixels};
use crate::nn::{Matrix, Observer, Output, Stage};
use crate::state_dict::StateDict;

/// Runs both networks and compares everything.
///
/// # Errors
/// [`VerifyError`] if a file cannot be read, a network cannot be run, or the picture cannot be prepared. Disagreement is no
/// error but a verdict.
pub fn weigh(prepared: &Prepared, folder_path: &Path, picture: &Picture) -> Result<Report, VerifyError> {
    let start = Instant::now();
    let folder = Folder::open(folder_path, &vitport_checkpoint::Limits::default())?;
    let model = &prepared.model;
    if !model.family.runs(&folder.config) {
        let reason = format!("its config.json is not one of {}", model.family.description());
        return Err(VerifyError::NotRunnable { folder: folder_path.display().to_string(), reason });
    }
    let hashing = prepared.source.checkpoint.files().to_vec();
    let (files, weighed) = std::thread::scope(|scope| {
        let hashes = scope.spawn(move || hash_files(&hashing));
        let weighed = Weighed::run(prepared, &folder, picture);
        (hashes.join(), weighed)
    });
    let files = match files {
        Ok(files) => files?,
        Err(panic) => std::panic::resume_unwind(panic),
    };
    let mut weighed = weighed?;
    weighed.timings.total_ms = milliseconds(start);
    Ok(weighed.report(prepared, &folder, picture, files))
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

/// What was measured.
struct Weighed {
    pixels: Vec<Comparison>,
    layers: Vec<Comparison>,
    deviation: Option<KnownDeviation>,
    source: Output,
    target: Output,
    facts: Vec<facts::FactCheck>,
    weights: tensors::Weights,
    timings: Timings,
}

impl Weighed {
    fn run(prepared: &Prepared, folder: &Folder, picture: &Picture) -> Result<Self, VerifyError> {
        let model = &prepared.model;
        let mut arithmetic = arithmetic(prepared);
        let (prepared_pixels, pixels) = compare_pixels(prepared, folder, "picture", &picture.pixmap)?;
        let mut pixels = vec![pixels];
        for (place, other) in picture.variations() {
            pixels.push(compare_pixels(prepared, folder, place, &other)?.1);
        }

        let source_weights = CheckpointWeights::new(&prepared.source.checkpoint, &model.state_dict);
        let mut timings = Timings::default();
        let mut run_source = |network: &dyn SourceNetwork, pixels: &Pixels| {
            let mut stages: Vec<(Stage, Matrix)> = Vec::new();
            let start = Instant::now();
            let output = network.run(&source_weights, pixels, &mut stages);
            timings.source_forward_ms = milliseconds(start);
            output
                .map(|output| Side { stages, output })
                .map_err(|error| VerifyError::Forward { side: "source", error })
        };
        // What is known to differ is taken over from the target's side, one run with all of it; the source itself runs
        // last, so that what is timed is the source.
        let deviation = model.network.deviation();
        let mut known: Vec<&'static str> = deviation.iter().map(|deviation| deviation.what).collect();
        let as_target =
            deviation.as_ref().map_or(model.network.as_ref(), |known| known.as_target_computes.as_ref());
        let as_cropped = prepared_pixels.as_cropped.as_ref();
        known.extend(as_cropped.map(|_| CROP_DEVIATION));
        let reference = match known.is_empty() {
            true => None,
            false => Some(run_source(as_target, as_cropped.unwrap_or(&prepared_pixels.source))?),
        };
        let source = run_source(model.network.as_ref(), &prepared_pixels.source)?;

        let places = source.stages.len().max(1) as f64;
        arithmetic.products = weight_matrices(prepared) / places;
        arithmetic.tensors = prepared.plan.targets.len() as f64 / places;
        let named = folder.checkpoint.tensors().iter().map(|tensor| (tensor.name.clone(), tensor.clone()));
        let state_dict = StateDict::from_entries(named);
        let target_weights = CheckpointWeights::new(&folder.checkpoint, &state_dict);
        let mut against = Against { sides: vec![&source], comparisons: vec![Vec::new()], arithmetic };
        if let Some(reference) = &reference {
            against.sides.push(reference);
            against.comparisons.push(Vec::new());
        }
        let start = Instant::now();
        let target =
            model.family.run_target(&folder.config, &target_weights, &prepared_pixels.target, &mut against);
        timings.target_forward_ms = milliseconds(start);
        let target = match target {
            Ok(target) => target,
            Err(error) => return Err(VerifyError::Forward { side: "target", error }),
        };
        let mut comparisons = against.finish(&target).into_iter();
        let layers = comparisons.next().unwrap_or_default();
        let deviation = comparisons.next().map(|without_it| KnownDeviation {
            what: known.join("; and "),
            measured: layers.clone(),
            without_it,
        });
        let weights = tensors::compare(&prepared.plan, &prepared.source.checkpoint, &folder.checkpoint)?;
        Ok(Self {
            pixels,
            layers,
            deviation,
            source: source.output,
            target,
            facts: facts::compare(prepared, folder),
            weights,
            timings,
        })
    }

    /// One sentence for everything that does not agree.
    fn reasons(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        let weights = &self.weights;
        for odd in weights.different.iter().take(3) {
            reasons.push(format!("the tensor {}: {}", odd.name, odd.what));
        }
        if weights.different.len() > 3 {
            reasons.push(format!("{} more tensors differ", weights.different.len() - 3));
        }
        reasons
            .extend(weights.missing.iter().take(3).map(|name| format!("the folder lacks the tensor {name}")));
        reasons.extend(
            weights
                .extra
                .iter()
                .take(3)
                .map(|name| format!("the folder has a tensor {name} that the source has not")),
        );
        for fact in self.facts.iter().filter(|fact| fact.counts && !fact.agrees) {
            reasons.push(format!(
                "{} is {} by the source and {} by the folder",
                fact.name, fact.source, fact.target
            ));
        }
        for pixels in self.pixels.iter().filter(|pixels| !pixels.agrees) {
            reasons.push(format!(
                "the image processor's pixels differ from the source's by up to {:.2e} ({})",
                pixels.difference.largest, pixels.place
            ));
        }
        let judged = self.deviation.as_ref().map_or(&self.layers, |deviation| &deviation.without_it);
        if let Some(first) = judged.iter().find(|place| !place.agrees) {
            reasons.push(format!(
                "the networks differ from `{}` on: {:.2e} of its size, where rounding explains {:.2e}",
                first.place, first.difference.relative, first.tolerance
            ));
        }
        reasons
    }

    fn report(
        self,
        prepared: &Prepared,
        folder: &Folder,
        picture: &Picture,
        files: Vec<super::HashedFile>,
    ) -> Report {
        let model = &prepared.model;
        let reasons = self.reasons();
        let verdict = match (reasons.is_empty(), &self.deviation) {
            (false, _) => Verdict::Different,
            (true, Some(_)) => Verdict::SameWithKnownDeviation,
            (true, None) => Verdict::Same,
        };
        let largest =
            self.layers.iter().max_by(|a, b| a.difference.relative.total_cmp(&b.difference.relative));
        let largest_at = largest.map(|place| place.place.clone());
        let starts_at = self.layers.iter().find(|place| !place.agrees).map(|place| place.place.clone());
        let class = folder.config.get("architectures").and_then(|list| list.get(0)).and_then(Value::as_str);
        let label_of_source = |class: usize| {
            let labels = model.labels.as_ref().and_then(|labels| labels.value.get(class));
            labels.cloned().unwrap_or_else(|| format!("LABEL_{class}"))
        };
        Report {
            schema: SCHEMA,
            vitport: env!("CARGO_PKG_VERSION"),
            verdict,
            reasons,
            model: model.name.clone(),
            source: SourceReport {
                path: prepared.source.path.display().to_string(),
                provenance: prepared.source.provenance.clone(),
                files,
                root: prepared.source.checkpoint.root().path.clone(),
                prefix: model.state_dict.prefix().to_owned(),
            },
            folder: folder.path.display().to_string(),
            source_network: format!(
                "{}, by its own definition, from the source file",
                model.family.description()
            ),
            target_network: format!(
                "{}, by the folder's config.json",
                class.unwrap_or("transformers' class")
            ),
            picture: picture.report.clone(),
            pixels: self.pixels,
            layers: self.layers,
            largest_at,
            starts_at,
            source_top5: guesses(&self.source, label_of_source),
            target_top5: guesses(&self.target, |class| label_of_folder(&folder.config, class)),
            known_deviation: self.deviation,
            facts: self.facts,
            weights: self.weights,
            accounts: accounts(prepared),
            timings: self.timings,
        }
    }
}

fn guesses(output: &Output, label: impl Fn(usize) -> String) -> Vec<Guess> {
    output.logits.as_deref().map_or_else(Vec::new, |logits| top5(logits, label))
}

/// A class's name as the folder has it.
pub(crate) fn label_of_folder(config: &Value, class: usize) -> String {
    let label = config.get("id2label").and_then(|map| map.get(class.to_string())).and_then(Value::as_str);
    label.map_or_else(|| format!("LABEL_{class}"), str::to_owned)
}

/// What went in and what came out.
pub fn accounts(prepared: &Prepared) -> Accounts {
    let plan = &prepared.plan;
    let count = |name: &str| plan.targets.iter().filter(|target| target.operation.name() == name).count();
    Accounts {
        source_tensors: prepared.model.state_dict.len(),
        source_bytes: prepared.model.state_dict.iter().map(|(_, tensor)| tensor.bytes()).sum(),
        target_tensors: plan.targets.len(),
        target_bytes: plan.bytes(),
        folded: count("fold"),
        padded: count("pad"),
        filled: count("fill"),
        dropped: plan.dropped.clone(),
        reversible: plan.is_reversible(),
        rules: prepared.rules.file().to_owned(),
    }
}

/// The longest sum of the network and the worst rounding that a weight went through on the way.
fn arithmetic(prepared: &Prepared) -> Arithmetic {
    let longest_sum = prepared.plan.targets.iter().filter_map(|target| {
        let [_, rest @ ..] = target.shape.as_slice() else { return None };
        usize::try_from(rest.iter().product::<u64>()).ok()
    });
    let rounded = |target: &crate::plan::Target| {
        let is_cast = target.parts.iter().any(|part| match part {
            crate::plan::Part::Slice { tensor, .. } => roundoff(tensor.dtype) < roundoff(target.dtype),
            crate::plan::Part::ScaledRows { .. } => true,
            _ => false,
        });
        if is_cast { roundoff(target.dtype) } else { 0.0 }
    };
    Arithmetic {
        longest_sum: longest_sum.max().unwrap_or(1),
        weight_roundoff: prepared.plan.targets.iter().map(rounded).fold(0.0, f64::max),
        products: 1.0,
        tensors: 1.0,
    }
}

/// Tensors of two or more axes that something is multiplied with.
fn weight_matrices(prepared: &Prepared) -> f64 {
    let is_matrix = |target: &&crate::plan::Target| target.shape.iter().filter(|&&dim| dim > 1).count() >= 2;
    prepared.plan.targets.iter().filter(is_matrix).count() as f64
}

/// What is known to differ in preprocessing.
const CROP_DEVIATION: &str = "timm and torchvision round half a pixel to even when they crop, transformers' PIL backend rounds down, so on this picture its crop lies one pixel off (version 5's default backend crops as timm does)";

/// A picture prepared on both sides.
struct PreparedPixels {
    source: Pixels,
    target: Pixels,
    /// The source's with the crop rounded as on the target's side, where that is the only difference.
    as_cropped: Option<Pixels>,
}

/// Prepares a picture as the source does and as the folder's processor does, and compares.
fn compare_pixels(
    prepared: &Prepared,
    folder: &Folder,
    place: &str,
    pixmap: &Pixmap,
) -> Result<(PreparedPixels, Comparison), VerifyError> {
    let network = &prepared.model.network;
    let Some(Value::Object(processor)) = &folder.processor else {
        return Err(VerifyError::NotRunnable {
            folder: folder.path.display().to_string(),
            reason: "it has no preprocessor_config.json".to_owned(),
        });
    };
    let fallback = prepared.model.family.default_processor();
    let target = ImageProcessor::from_json(processor, Some(fallback))?.apply(pixmap)?;
    let source = network.pixels(pixmap, CropRounding::HalfToEven)?;
    let own = pixel_comparison(place, &source, &target);
    if own.agrees {
        return Ok((PreparedPixels { source, target, as_cropped: None }, own));
    }
    let cropped = network.pixels(pixmap, CropRounding::Down)?;
    let known = pixel_comparison(&format!("{place}, the crop's rounding apart"), &cropped, &target);
    match known.agrees {
        true => Ok((PreparedPixels { source, target, as_cropped: Some(cropped) }, known)),
        false => Ok((PreparedPixels { source, target, as_cropped: None }, own)),
    }
}

/// Pixels go through three float32 operations on both sides (scale, subtract, divide), each rounding once; four units in
/// the last place of the largest value are more than they can differ by.
fn pixel_comparison(place: &str, source: &Pixels, target: &Pixels) -> Comparison {
    let mut difference = Difference::between(source.values(), target.values());
    if source.shape() != target.shape() {
        difference.relative = f64::INFINITY;
    }
    let largest = source.values().iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    let tolerance = match difference.size > 0.0 {
        true => 4.0 * f64::from(f32::EPSILON) * f64::from(largest) / difference.size,
        false => 0.0,
    };
    let agrees = difference.relative <= tolerance;
    Comparison { place: place.to_owned(), difference, tolerance, agrees }
}

/// One run of a source network.
struct Side {
    stages: Vec<(Stage, Matrix)>,
    output: Output,
}

/// Compares the target's stages with those of one or two source runs while it runs, so that they need not be kept.
struct Against<'a> {
    sides: Vec<&'a Side>,
    comparisons: Vec<Vec<Comparison>>,
    arithmetic: Arithmetic,
}

impl Observer for Against<'_> {
    fn observe(&mut self, stage: Stage, hidden: &Matrix) {
        for (side, comparisons) in self.sides.iter().zip(&mut self.comparisons) {
            let place = comparisons.len();
            let matching = side.stages.get(place).filter(|(theirs, _)| *theirs == stage);
            let values = matching.map_or(&[][..], |(_, matrix)| matrix.values());
            comparisons.push(compare(stage.to_string(), values, hidden.values(), place + 1, self.arithmetic));
        }
    }
}

impl Against<'_> {
    /// Adds what comes out at the end, and stages that only the source has.
    fn finish(mut self, target: &Output) -> Vec<Vec<Comparison>> {
        for (side, comparisons) in self.sides.iter().zip(&mut self.comparisons) {
            let seen = comparisons.len();
            for (stage, matrix) in side.stages.iter().skip(seen) {
                comparisons.push(compare(stage.to_string(), matrix.values(), &[], seen + 1, self.arithmetic));
            }
            let layers = comparisons.len() + 1;
            let ends = [
                ("pooled", Some(&side.output.pooled), Some(&target.pooled)),
                (
                    "pooler output",
                    target.pooler_output.as_ref().map(|_| &side.output.pooled),
                    target.pooler_output.as_ref(),
                ),
                ("logits", side.output.logits.as_ref(), target.logits.as_ref()),
            ];
            for (place, source, target) in ends {
                if source.is_none() && target.is_none() {
                    continue;
                }
                let values = |side: Option<&'_ Vec<f32>>| side.cloned().unwrap_or_default();
                let (source, target) = (values(source), values(target));
                comparisons.push(compare(place.to_owned(), &source, &target, layers, self.arithmetic));
            }
        }
        self.comparisons
    }
}

fn compare(
    place: String,
    source: &[f32],
    target: &[f32],
    layers: usize,
    arithmetic: Arithmetic,
) -> Comparison {
    let difference = Difference::between(source, target);
    let tolerance = arithmetic.tolerance(layers, difference.count);
    Comparison { place, difference, tolerance, agrees: difference.relative <= tolerance }
}
