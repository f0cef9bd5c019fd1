//! Verification itself: what is run on what, in which order, and what the verdict follows from.

use std::path::Path;
use std::time::Instant;

use serde_json::Value;

use super::VerifyError;
use super::difference::{Arithmetic, F32_ROUNDOFF};
use super::effects;
use super::facts;
use super::hash::Hashing;
use super::layers::{Compare, Keep};
use super::magnitude::shown_difference;
use super::pixels::{self, PreparedPixels};
use super::probabilities::{Guess, Probabilities, top};
use super::progress::{Counted, VerifyStep};
use super::report::{
    CastReport, Comparison, KnownDeviation, NamedDeviation, Report, SCHEMA, SourceReport, TensorCounts,
    Timings, Verdict,
};
use super::rounded::RoundedWeights;
use super::tensors;
use super::test_image::TestImage;
use super::warnings::warnings;
use super::weights::SourceWeights;
use crate::folder::reader::Folder;
use crate::image::Pixels;
use crate::mapping::{Deviation, Sources};
use crate::model::{Model, Prepared};
use crate::nn::{Network, Outputs, Weights};
use crate::plan::Target;
use crate::state_dict::StateDict;

/// Runs both networks and compares everything. `hashing` is of the source's files, and may be on its way already. `progress` is told
/// what is being done.
///
/// # Errors
/// [`VerifyError`] if a file cannot be read, the source's network cannot be run, or the source's transform cannot prepare
/// the image. Disagreement is not an error but a verdict, and so is a folder whose network or image processor cannot be run.
pub fn compare(
    prepared: &Prepared,
    folder_path: &Path,
    image: &TestImage,
    hashing: Hashing,
    progress: &(dyn Fn(VerifyStep) + Sync),
) -> Result<Report, VerifyError> {
    let start = Instant::now();
    progress(VerifyStep::Hashing);
    let folder =
        Folder::open(folder_path, &prepared.limits).map_err(|error| match error.is_about_contents() {
            true => VerifyError::NotVerified(error),
            false => VerifyError::Folder(error),
        })?;
    // Bytes and pixels are compared while the hashes come to their end; the networks then have the processor for
    // themselves, so that what is timed is a forward pass.
    let pixels = pixels::prepare(prepared, &folder, image)?;
    let weights = tensors::compare(&prepared.plan, &prepared.source.checkpoint, &folder.checkpoint)?;
    let files = hashing.finish()?;
    let mut compared = Compared::run(prepared, &folder, pixels, weights, progress)?;
    // The networks read their weights from the files once more.
    prepared.source.checkpoint.check_unchanged().map_err(crate::folder::FolderError::from)?;
    folder.checkpoint.check_unchanged().map_err(crate::folder::FolderError::from)?;
    compared.timings.total_ms = milliseconds(start);
    Ok(compared.report(prepared, &folder, image, files))
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

/// Holds what was measured.
struct Compared {
    pixels: Vec<pixels::Compared>,
    layers: Vec<Comparison>,
    deviation: Option<KnownDeviation>,
    cast: Option<CastReport>,
    source: Outputs,
    /// Says what the folder's network says; none if it cannot be run.
    target: Option<Outputs>,
    /// Says why it cannot.
    obstacle: Option<String>,
    facts: Vec<facts::FactCheck>,
    /// Says what to do where the folder seems to be for images of another size.
    advice: Option<String>,
    /// Says what transformers would not open, or otherwise.
    loading: Vec<String>,
    weights: tensors::WeightsComparison,
    warnings: Vec<String>,
    timings: Timings,
}

impl Compared {
    fn run(
        prepared: &Prepared,
        folder: &Folder,
        prepared_pixels: PreparedPixels,
        weights: tensors::WeightsComparison,
        progress: &(dyn Fn(VerifyStep) + Sync),
    ) -> Result<Self, VerifyError> {
        let model = &prepared.model;
        let places = model.mapping.places(&model.facts).map_err(VerifyError::Mapping)?;
        let checkpoint = &prepared.source.checkpoint;
        let source_weights = SourceWeights::new(checkpoint, &model.tensors);
        let mut timings = Timings::default();
        let named_tensors =
            folder.checkpoint.tensors().iter().map(|tensor| (tensor.name.clone(), tensor.clone()));
        let folder_tensors = Sources::of_state_dict(&StateDict::from_entries(named_tensors));
        let target_weights = SourceWeights::new(&folder.checkpoint, &folder_tensors);
        let start = Instant::now();
        let target = match &prepared_pixels.target {
            Err(why) => Err(why.clone()),
            Ok(pixels) => target_network(prepared, folder).and_then(|network| {
                let mut kept = Keep::new(&places);
                let is_place = |name: &str| places.iter().any(|place| place.target == name);
                let tell = |layer| progress(VerifyStep::Target { layer, layers: places.len() });
                let mut counted = Counted::new(&mut kept, &is_place, &tell);
                let outputs = network.forward(pixels, &target_weights, &mut counted);
                outputs
                    .map(|outputs| kept.finish(outputs))
                    .map_err(|error| format!("the folder's network: {error}"))
            }),
        };
        timings.target_forward_ms = milliseconds(start);

        let arithmetic = arithmetic(prepared, places.len());
        let compared_outputs = model.mapping.outputs(&model.facts);
        let is_place = |name: &str| places.iter().any(|place| place.source == name);
        let mut run_source = |network: &Network,
                              weights: &dyn Weights,
                              pixels: &Pixels,
                              step: fn(usize, usize) -> VerifyStep| {
            let mut compare = target.as_ref().ok().map(|target| Compare::new(&places, target, arithmetic));
            let tell = |layer| progress(step(layer, places.len()));
            let start = Instant::now();
            let outputs = match &mut compare {
                Some(compare) => {
                    network.forward(pixels, weights, &mut Counted::new(compare, &is_place, &tell))
                }
                None => network.forward(pixels, weights, &mut Counted::new(&mut (), &is_place, &tell)),
            };
            timings.source_forward_ms = milliseconds(start);
            let outputs = outputs.map_err(|error| VerifyError::Forward { side: "source", error })?;
            let compared =
                compare.map_or_else(Vec::new, |compare| compare.finish(&compared_outputs, &outputs));
            Ok::<_, VerifyError>((outputs, compared))
        };
        // What is known to differ is applied to the source, one run with all of it; the source itself runs last, so that
        // what is timed is the source.
        let deviations: Vec<&Deviation> =
            model.mapping.deviations().iter().filter(|known| known.applies(&model.facts)).collect();
        let removed = effects::holds_exact_code(prepared, folder);
        let mut known: Vec<NamedDeviation> = deviations.iter().map(|known| named(known, removed)).collect();
        let as_target = deviating(model, &deviations)?;
        let as_cropped = prepared_pixels.as_cropped.as_ref();
        let deviates_in_outputs = !known.is_empty() || as_cropped.is_some();
        known.extend(prepared_pixels.deviation());
        let rounded = RoundedWeights::new(checkpoint, &model.tensors, &prepared.plan);
        let without_it = match (&rounded, deviates_in_outputs) {
            _ if target.is_err() => None,
            (None, false) => None,
            (rounded, _) => {
                let weights = rounded.as_ref().map_or(&source_weights as &dyn Weights, |rounded| rounded);
                let network = as_target.as_ref().unwrap_or(&model.network);
                let pixels = as_cropped.unwrap_or(&prepared_pixels.source);
                let step = |layer, layers| VerifyStep::Reference { layer, layers };
                Some(run_source(network, weights, pixels, step)?.1)
            }
        };
        let (source, layers) =
            run_source(&model.network, &source_weights, &prepared_pixels.source, |layer, layers| {
                VerifyStep::Source { layer, layers }
            })?;

        let cast = without_it.clone().filter(|_| rounded.is_some()).map(|without_it| CastReport {
            dtype: prepared.torch_dtype().to_owned(),
            measured: layers.clone(),
            without_it,
        });
        // A crop that is rounded otherwise on one of the other images alone does nothing to this one's outputs.
        let deviation = (target.is_ok() && !known.is_empty()).then(|| {
            let without_it = without_it.unwrap_or_else(|| layers.clone());
            KnownDeviation::new(known, layers.clone(), without_it)
        });
        let obstacle = target.as_ref().err().cloned();
        let facts = facts::compare(prepared, folder);
        let (loading, of_one_version) = effects::loading(prepared, folder);
        Ok(Self {
            pixels: prepared_pixels.comparisons,
            layers,
            deviation,
            cast,
            source,
            target: target.ok().map(|target| target.outputs),
            obstacle,
            advice: facts::may_be_resampled(prepared, &facts, folder),
            facts,
            loading,
            weights,
            warnings: warnings(prepared)?.into_iter().chain(of_one_version).collect(),
            timings,
        })
    }

    /// Returns one sentence for everything that does not agree, as far as it can be compared.
    fn differences(&self) -> Vec<String> {
        let mut reasons = Vec::from_iter(self.obstacle.clone());
        reasons.extend(self.loading.iter().cloned());
        let weights = &self.weights;
        for mismatch in weights.different.iter().take(3) {
            reasons.push(format!("the tensor {}: {}", mismatch.name, mismatch.what));
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
                .map(|name| format!("the folder has a tensor {name} that the source does not have")),
        );
        for fact in self.facts.iter().filter(|fact| fact.counts && !fact.agrees) {
            reasons
                .push(format!("{}: {} in the source, {} in the folder", fact.name, fact.source, fact.target));
        }
        reasons.extend(self.advice.clone());
        let is_wrong = |place: &&Comparison| !place.agrees && place.difference.not_finite.is_none();
        for pixels in self.pixels.iter().map(|pixels| &pixels.judged).filter(is_wrong) {
            reasons.push(match pixels.difference.relative.is_finite() {
                true => format!(
                    "the image processor's pixels differ from the source's by up to {} ({})",
                    shown_difference(pixels.difference.largest),
                    pixels.place
                ),
                false => format!(
                    "the image processor's pixels cannot be compared with the source's: other sizes, or no numbers ({})",
                    pixels.place
                ),
            });
        }
        if let Some(first) = self.judged().iter().find(is_wrong) {
            reasons.push(match first.difference.relative.is_finite() {
                true => format!(
                    "the networks differ from {} on: there by {} of the numbers' size, expected from rounding {}",
                    first.place,
                    shown_difference(first.difference.relative),
                    shown_difference(first.tolerance)
                ),
                false => format!("the networks differ from {} on: there are other numbers, or none", first.place),
            });
        }
        reasons
    }

    /// Returns one sentence for everything that cannot be compared, because it is not finite.
    fn not_finite(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        if let Some(first) = self.weights.not_finite.first() {
            let more = match self.weights.not_finite.len() {
                1 => String::new(),
                count => format!(", and so in {} more tensors", count - 1),
            };
            let is_same = self.weights.different.iter().all(|different| different.name != first.name);
            let bits = if is_same { " (its bits are the same on both sides)" } else { "" };
            reasons.push(format!(
                "the tensor {} cannot be computed with: {}{bits}{more}",
                first.name, first.what
            ));
        }
        let pixels = self.pixels.iter().map(|pixels| &pixels.judged).find_map(not_finite);
        let outputs = self.layers.iter().find_map(not_finite);
        let outputs = outputs.or_else(|| self.judged().iter().find_map(not_finite));
        reasons.extend(pixels.map(|(place, what)| format!("pixels are not finite ({place}): {what}")));
        reasons.extend(outputs.map(|(place, what)| {
            format!("numbers are not finite from {place} on: {what}, which equals nothing")
        }));
        reasons
    }

    /// Returns the comparisons that the verdict follows from.
    fn judged(&self) -> &[Comparison] {
        match (&self.deviation, &self.cast) {
            (Some(deviation), _) => &deviation.without_it,
            (None, Some(cast)) => &cast.without_it,
            (None, None) => &self.layers,
        }
    }

    fn report(
        self,
        prepared: &Prepared,
        folder: &Folder,
        image: &TestImage,
        files: Vec<super::HashedFile>,
    ) -> Report {
        let model = &prepared.model;
        let (mut reasons, not_finite) = (self.differences(), self.not_finite());
        let verdict = match (reasons.is_empty(), not_finite.is_empty(), &self.deviation) {
            (false, ..) => Verdict::Different,
            (true, false, _) => Verdict::NotComparable,
            (true, true, Some(_)) => Verdict::SameWithKnownDeviation,
            (true, true, None) => Verdict::Same,
        };
        reasons.extend(not_finite);
        let basis = model.basis();
        let deviations = self.deviation.as_ref().map_or(&[][..], |known| &known.each);
        let mut headline = verdict.headline(deviations, &basis);
        if let Some(resampled) = prepared.plan.resampled.as_ref().filter(|_| reasons.is_empty()) {
            headline = format!("{headline}; {}", resampled.sentence());
        }
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
            run: None,
            written: None,
            verdict,
            headline,
            basis,
            known_facts: model.facts.clone(),
            reasons,
            warnings: self.warnings,
            unread_arguments: model.unread_arguments.clone(),
            model: model.name.clone(),
            source: SourceReport {
                path: prepared.source.path.display().to_string(),
                provenance: prepared.source.provenance.clone(),
                files,
                root: prepared.source.checkpoint.root().path.clone(),
                prefix: model.state_dict.prefix().to_owned(),
                dangerous_call: prepared.source.checkpoint.evidence().dangerous_call.clone(),
            },
            folder: folder.path.display().to_string(),
            source_network: format!(
                "{}, by its own definition, from the source file",
                model.definition.description()
            ),
            target_network: format!(
                "{}, by the folder's config.json",
                class.unwrap_or("transformers' class")
            ),
            target: model.target_class(),
            other_targets: model.other_targets().cloned().collect(),
            image: image.report.clone(),
            raw_pixels: self.pixels.iter().map(|pixels| pixels.raw.clone()).collect(),
            pixels: self.pixels.into_iter().map(|pixels| pixels.judged).collect(),
            layers: self.layers,
            largest_at,
            starts_at,
            source_top5: match model.labels {
                Some(_) => guesses(&self.source, label_of_source),
                None => Vec::new(),
            },
            target_top5: self.target.as_ref().map_or_else(Vec::new, |target| {
                guesses(target, |class| label_of_folder(&folder.config, class))
            }),
            known_deviation: self.deviation,
            cast: self.cast,
            facts: self.facts,
            weights: self.weights,
            tensor_counts: tensor_counts(prepared),
            timings: self.timings,
        }
    }
}

/// Returns a deviation as the report has it.
fn named(known: &Deviation, removed: bool) -> NamedDeviation {
    NamedDeviation {
        name: known.name().to_owned(),
        what: known.what().to_owned(),
        remedy: known.remedy().to_owned(),
        removed,
    }
}

/// Builds the source's network with the values that make it compute as the target does; none without deviations.
fn deviating(model: &Model, deviations: &[&Deviation]) -> Result<Option<Network>, VerifyError> {
    if deviations.is_empty() {
        return Ok(None);
    }
    let facts = deviations.iter().fold(model.facts.clone(), |facts, known| known.replaced(&facts));
    let network = model.definition.build(&facts.to_config());
    network.map(Some).map_err(|error| VerifyError::Forward { side: "source", error })
}

/// Builds the network of a folder, by its own config, if it is the class that the source becomes.
fn target_network(prepared: &Prepared, folder: &Folder) -> Result<Network, String> {
    let (model, config) = (&prepared.model, folder.config.as_object().cloned().unwrap_or_default());
    let model_type = config.get("model_type").unwrap_or(&Value::Null);
    if model_type.as_str() != Some(model.target.model_type()) {
        return Err(format!(
            "the folder's config.json says model_type {model_type}, which is not what {} becomes",
            model.definition.description()
        ));
    }
    model.target.build(&config).map_err(|error| format!("the folder's network: {error}"))
}

/// Returns what is not finite at a place, and its name.
fn not_finite(place: &Comparison) -> Option<(&str, String)> {
    place.difference.not_finite.map(|what| (place.place.as_str(), what.text()))
}

/// Returns the most probable classes; none where there are no logits, or some of them are not finite and so give no
/// probabilities.
fn guesses(outputs: &Outputs, label: impl Fn(usize) -> String) -> Vec<Guess> {
    outputs
        .values("logits")
        .filter(|logits| logits.iter().all(|logit| logit.is_finite()))
        .map_or_else(Vec::new, |logits| top(5, logits, Probabilities::of(None, logits.len()), label))
}

/// Returns a class's name as the folder has it.
pub(crate) fn label_of_folder(config: &Value, class: usize) -> String {
    let label = config.get("id2label").and_then(|map| map.get(class.to_string())).and_then(Value::as_str);
    label.map_or_else(|| format!("LABEL_{class}"), str::to_owned)
}

/// Returns what went in and what came out.
pub fn tensor_counts(prepared: &Prepared) -> TensorCounts {
    let plan = &prepared.plan;
    let count = |name: &str| plan.targets.iter().filter(|target| target.operation == name).count();
    TensorCounts {
        source_tensors: prepared.model.state_dict.len(),
        source_bytes: prepared.model.state_dict.iter().map(|(_, tensor)| tensor.bytes()).sum(),
        target_tensors: plan.targets.len(),
        target_bytes: plan.bytes(),
        merged: plan.merged,
        resampled: plan.resampled.clone(),
        folded: count("fold").saturating_add(count("scale")),
        tabulated: count("tabulate"),
        padded: count("pad"),
        filled: count("fill"),
        cast: plan.targets.iter().filter(|target| target.is_cast()).count(),
        dtype: prepared.torch_dtype().to_owned(),
        dropped: plan.dropped.clone(),
        reversible: plan.is_reversible(),
        mapping: prepared.model.mapping.file().to_owned(),
    }
}

/// Returns what the tolerance is made of: the longest sum of the target network, its products and tensors from one place to the
/// next, and the rounding of folded factors, which the source multiplies with one after another.
fn arithmetic(prepared: &Prepared, places: usize) -> Arithmetic {
    let network = &prepared.model.target_network;
    let places = places.max(1) as f64;
    Arithmetic {
        longest_sum: network.longest_sum(),
        weight_roundoff: if prepared.plan.targets.iter().any(Target::is_folded) { F32_ROUNDOFF } else { 0.0 },
        products: network.products() as f64 / places,
        tensors: network.parameters().len() as f64 / places,
    }
}
