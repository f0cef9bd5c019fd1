//! What verification found, as data: the document of `--report x.json` (docs/report.md), and what the terminal and the page show.

use schemars::JsonSchema;
use serde::Serialize;

use super::difference::Difference;
use super::facts::FactCheck;
use super::probabilities::Guess;
use super::tensors::WeightsComparison;
use crate::facts::{Basis, Facts};
use crate::mapping::TargetClass;
use crate::plan::Dropped;
use crate::resampling::Resampled;
use crate::source::Provenance;

/// Names the document's schema and its version, which is raised when a field is removed or changes its meaning.
pub const SCHEMA: &str = "vitport/report/2";

/// Says what it comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Says that weights, facts, pixels and outputs agree.
    Same,
    /// Says that weights and facts agree; outputs or pixels differ in a way that is known, and agree without it.
    SameWithKnownDeviation,
    /// Says that what can be compared agrees, but some numbers are not finite.
    NotComparable,
    /// Says that something does not agree.
    Different,
}

impl Verdict {
    /// Says it with the names of known deviations, and with the condition under which a model is the same.
    pub(super) fn headline(self, deviations: &[NamedDeviation], basis: &Basis) -> String {
        let same = match (self, deviations) {
            (Verdict::NotComparable, _) => return "not comparable".to_owned(),
            (Verdict::Different, _) => return "different".to_owned(),
            (Verdict::Same, _) => "same".to_owned(),
            (Verdict::SameWithKnownDeviation, deviations) => {
                let plural = if deviations.len() == 1 { "" } else { "s" };
                let names = deviations.iter().map(|known| known.name.as_str()).collect::<Vec<_>>();
                format!("same weights, known deviation{plural} {}", names.join(" and "))
            }
        };
        match basis.condition() {
            Some(condition) => format!("{same}, {condition}"),
            None => same,
        }
    }
}

/// Describes a comparison at one place of the networks.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Comparison {
    /// Names the place: `embeddings`, `layer 3`, `logits`, ….
    pub place: String,
    /// Says how far apart the two sides are.
    #[serde(flatten)]
    pub difference: Difference,
    /// Says what rounding alone explains, relative like [`Difference::relative`].
    pub tolerance: f64,
    /// Says whether the difference is within it.
    pub agrees: bool,
}

impl Comparison {
    /// Compares two lists of numbers, sums of terms of the size `terms` (0 if it is not known); `tolerance` is computed from
    /// their size and how many they are.
    pub(super) fn between(
        place: String,
        source: &[f32],
        target: &[f32],
        terms: f64,
        tolerance: impl FnOnce(&Difference) -> f64,
    ) -> Self {
        let difference = Difference::between(source, target, terms);
        let tolerance = tolerance(&difference);
        let agrees = difference.relative.is_finite() && difference.relative <= tolerance;
        Self { place, difference, tolerance, agrees }
    }
}

/// Holds what is known to differ, by its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct NamedDeviation {
    /// Gives its name, as `--allow` takes it: `cvt-gelu`.
    pub name: String,
    /// Gives one sentence.
    pub what: String,
    /// Says what removes it.
    pub remedy: String,
    /// Says whether code in the folder removes it, for whoever opens the folder with `trust_remote_code=True`.
    pub removed: bool,
}

/// Describes a difference between the two frameworks' definitions that no config can remove, and the proof that it is the only
/// one; or several such.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct KnownDeviation {
    /// Gives its name; those of several with commas between them.
    pub name: String,
    /// Gives one sentence; those of several joined by `; and `.
    pub what: String,
    /// Says what removes it; of several joined by `; and `.
    pub remedy: String,
    /// Lists each of them.
    pub each: Vec<NamedDeviation>,
    /// Says how far apart the outputs are because of it, on this image.
    pub measured: Vec<Comparison>,
    /// Compares the same places with the source run as the target computes: what is left is rounding.
    pub without_it: Vec<Comparison>,
}

impl KnownDeviation {
    /// Makes one of all that is known to differ.
    pub(super) fn new(
        each: Vec<NamedDeviation>,
        measured: Vec<Comparison>,
        without_it: Vec<Comparison>,
    ) -> Self {
        let joined =
            |part: fn(&NamedDeviation) -> &str, by: &str| each.iter().map(part).collect::<Vec<_>>().join(by);
        Self {
            name: joined(|known| &known.name, ","),
            what: joined(|known| &known.what, "; and "),
            remedy: joined(|known| &known.remedy, "; and "),
            each,
            measured,
            without_it,
        }
    }

    /// Returns whether the outputs of this image show it: a crop may be rounded otherwise on another image only.
    pub fn shows_in_outputs(&self) -> bool {
        self.measured != self.without_it
    }
}

/// Holds what a cast to a half precision does to the outputs, and the proof that it is all that differs.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct CastReport {
    /// Says what the weights were cast to, in PyTorch's words: `float16` or `bfloat16`.
    pub dtype: String,
    /// Says how far apart the outputs are because of it, on this image.
    pub measured: Vec<Comparison>,
    /// Compares the same places with the source's weights rounded in the same way, and every known deviation applied.
    pub without_it: Vec<Comparison>,
}

/// Describes the image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ImageReport {
    /// Gives its path, or that it is the built-in one.
    pub name: String,
    /// Gives the pixels across.
    pub width: usize,
    /// Gives the pixels down.
    pub height: usize,
    /// Gives the sha256 of its file.
    pub sha256: String,
}

/// Says where the source came from.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct SourceReport {
    /// Gives the path as given.
    pub path: String,
    /// Gives the repository and commit, when it was fetched.
    pub provenance: Option<Provenance>,
    /// Lists the files with their sizes and sha256.
    pub files: Vec<HashedFile>,
    /// Gives the nested part of the checkpoint that holds the weights; empty for the whole.
    pub root: String,
    /// Gives the wrapper prefix that was taken off.
    pub prefix: String,
    /// Says what loading the file in Python would run, where that was allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dangerous_call: Option<String>,
}

/// Describes a file and its hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct HashedFile {
    /// Gives its name.
    pub name: String,
    /// Gives its length.
    pub bytes: u64,
    /// Gives its sha256, hexadecimal.
    pub sha256: String,
}

/// Holds what went in and what came out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TensorCounts {
    /// Counts the tensors of the source's network.
    pub source_tensors: usize,
    /// Counts their bytes.
    pub source_bytes: u64,
    /// Counts the tensors written.
    pub target_tensors: usize,
    /// Counts their bytes.
    pub target_bytes: u64,
    /// Counts the tensors that adapters were added to before anything else.
    pub merged: usize,
    /// Says which tensors were resampled for images of another size before anything else; null where that was not asked for.
    pub resampled: Option<Resampled>,
    /// Counts the tensors into which a factor was multiplied.
    pub folded: usize,
    /// Counts the tensors that hold the values of an MLP, computed anew.
    pub tabulated: usize,
    /// Counts the tensors that were given rows of zeros.
    pub padded: usize,
    /// Counts the tensors that no source holds.
    pub filled: usize,
    /// Counts the tensors that are written in another dtype than the source's.
    pub cast: usize,
    /// Gives PyTorch's name of the dtype that most of the bytes written have.
    pub dtype: String,
    /// Lists the tensors left out, with the reason.
    pub dropped: Vec<Dropped>,
    /// Says whether the source's tensors can be recovered bit for bit.
    pub reversible: bool,
    /// Names the mapping.
    pub mapping: String,
}

/// Says when a report was made, and by which command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Run {
    /// Gives the time, as RFC 3339 has it: `2026-01-31T12:00:00Z`.
    pub date: String,
    /// Gives the command line, as a shell takes it; null for a call from a program.
    pub command: Option<String>,
}

/// Gives wall-clock milliseconds on the machine that ran it; they vary between machines and runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, JsonSchema)]
pub struct Timings {
    /// Gives the time of the source network's forward pass, reading its weights included.
    pub source_forward_ms: f64,
    /// Gives the target network's.
    pub target_forward_ms: f64,
    /// Gives the time that all of verification took.
    pub total_ms: f64,
}

/// Holds everything that verification found.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Report {
    /// Names the schema and its version.
    #[schemars(extend("const" = SCHEMA))]
    pub schema: &'static str,
    /// Gives vitport's version.
    pub vitport: &'static str,
    /// Says when and how it was made; null where whoever made it did not say.
    pub run: Option<Run>,
    /// Names the framework whose network was written of the folder, on the way back: then that network is what the rest calls the source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub written: Option<String>,
    /// Says what it comes to.
    pub verdict: Verdict,
    /// Gives the same in words, with the deviations by name and the condition under which it holds.
    pub headline: String,
    /// Says how much of what is known of the source it says itself, and what is assumed.
    #[serde(flatten)]
    pub basis: Basis,
    /// Lists what is known of the source, each fact with its origin.
    pub known_facts: Facts,
    /// Says why it is different or not comparable, one sentence each; empty otherwise.
    pub reasons: Vec<String>,
    /// Says what is unusual about the source, a sentence each, whatever the verdict is.
    pub warnings: Vec<String>,
    /// Lists the training arguments in the source that were not read, by their paths.
    pub unread_arguments: Vec<String>,
    /// Gives the model's name.
    pub model: String,
    /// Gives the source.
    pub source: SourceReport,
    /// Gives the folder.
    pub folder: String,
    /// Says what was run on the source's side.
    pub source_network: String,
    /// Says what was run on the target's side.
    pub target_network: String,
    /// Gives the class that the source becomes: how much of it that computes, in which versions of transformers, and what is
    /// outside.
    pub target: Option<TargetClass>,
    /// Lists the other classes that could hold the source, the best first.
    pub other_targets: Vec<TargetClass>,
    /// Describes the image.
    pub image: ImageReport,
    /// Compares both ways of preprocessing with each other, on the image and two others made from it. Where the crop's rounding
    /// is all that differs, the source's crop is rounded as the folder's.
    pub pixels: Vec<Comparison>,
    /// Compares the same images with the source's crop as it is.
    pub raw_pixels: Vec<Comparison>,
    /// Lists the hidden states, pooled output and logits, in the order of the network.
    pub layers: Vec<Comparison>,
    /// Gives the place with the largest relative difference.
    pub largest_at: Option<String>,
    /// Gives the first place whose difference is more than rounding explains.
    pub starts_at: Option<String>,
    /// Lists the source's five most probable classes.
    pub source_top5: Vec<Guess>,
    /// Lists the target's.
    pub target_top5: Vec<Guess>,
    /// Gives a difference that is known.
    pub known_deviation: Option<KnownDeviation>,
    /// Gives a cast that was asked for.
    pub cast: Option<CastReport>,
    /// Says what no output shows.
    pub facts: Vec<FactCheck>,
    /// Gives the weights, bit by bit.
    pub weights: WeightsComparison,
    /// Counts the tensors that went in and that came out.
    pub tensor_counts: TensorCounts,
    /// Says how long it took.
    pub timings: Timings,
}

impl Report {
    /// Returns the comparisons that the verdict follows from: those without a known deviation and without a cast, where there are
    /// any.
    pub fn judged(&self) -> &[Comparison] {
        match (&self.known_deviation, &self.cast) {
            (Some(deviation), _) => &deviation.without_it,
            (None, Some(cast)) => &cast.without_it,
            (None, None) => &self.layers,
        }
    }

    /// Returns whether a verdict that both are the same holds as it stands: nothing is assumed, and no weight resampled.
    pub fn is_unconditional(&self) -> bool {
        let resampled = self.tensor_counts.resampled.as_ref();
        self.basis.assumptions.is_empty() && !resampled.is_some_and(Resampled::changes_weights)
    }

    /// Returns what the source was run with as the target computes, before judging, in words; none if it was run as it is.
    pub fn applied(&self) -> Option<String> {
        let known = self.known_deviation.as_ref().filter(|known| known.shows_in_outputs());
        let deviation = known.map(|known| match known.each.len() {
            1 => "the known deviation".to_owned(),
            _ => "the known deviations".to_owned(),
        });
        let cast = self.cast.as_ref().map(|cast| format!("the rounding to {}", cast.dtype));
        match (deviation, cast) {
            (Some(deviation), Some(cast)) => Some(format!("{deviation} and {cast}")),
            (deviation, cast) => deviation.or(cast),
        }
    }

    /// Returns whether logits were compared.
    pub fn has_logits(&self) -> bool {
        self.layers.iter().any(|place| place.place == "logits")
    }

    /// Says what the folder's tensors are that agree: the source's bit by bit, or what casting or multiplying makes of them.
    pub fn tensors_are(&self) -> String {
        let TensorCounts { cast, folded, merged, resampled, tabulated, dtype, .. } = &self.tensor_counts;
        let mut adapted = match merged {
            0 => String::new(),
            merged => format!(" with adapters added to {merged} of them"),
        };
        let resampled = resampled.as_ref().map_or(0, |resampled| resampled.tensors.len());
        if resampled > 0 {
            let and = if adapted.is_empty() { " with" } else { " and" };
            adapted.push_str(&format!("{and} {resampled} of them resampled"));
        }
        let computed = [(folded, "with a factor multiplied in"), (tabulated, "the values of an MLP")];
        let computed = computed.into_iter().filter(|(count, _)| **count > 0);
        let computed: Vec<String> = computed.map(|(count, how)| format!("{count} {how}")).collect();
        let source = match computed.is_empty() {
            true => format!("the source's{adapted}"),
            false => format!("what the mapping makes of the source's{adapted} ({})", computed.join(", ")),
        };
        match *cast {
            0 => format!("bit-identical to {source}"),
            cast if cast < self.weights.same => {
                format!("{source}, {cast} of them cast to {dtype}, the others bit-identical")
            }
            _ => format!("{source}, cast to {dtype}"),
        }
    }

    /// Returns the images on which the source's crop was rounded as the folder's before pixels were compared, with their
    /// pixels as they are.
    pub fn rounded_crops(&self) -> Vec<&Comparison> {
        let pairs = self.pixels.iter().zip(&self.raw_pixels);
        pairs.filter(|(judged, raw)| judged.place != raw.place).map(|(_, raw)| raw).collect()
    }

    /// Returns whether images are prepared by an image processor of the folder: with `--no-processor` there is none.
    pub fn has_processor(&self) -> bool {
        !self.pixels.is_empty()
    }

    /// Returns how many facts agree, of how many, among those that have an effect on what transformers computes.
    pub fn agreeing_facts(&self) -> (usize, usize) {
        let agree = self.facts.iter().filter(|fact| fact.counts && fact.agrees).count();
        (agree, self.facts.iter().filter(|fact| fact.counts).count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::{Fact, Origin};

    #[test]
    fn a_headline_says_under_which_condition_it_holds() {
        let heads = |origin| {
            let fact = Fact::new("num_heads", 3, origin);
            Basis::of(&Facts::from_iter([fact]))
        };
        let known = |name: &str| NamedDeviation {
            name: name.to_owned(),
            what: String::new(),
            remedy: String::new(),
            removed: false,
        };
        let (certain, assumed) =
            (heads(Origin::Attribute("num_heads".to_owned())), heads(Origin::Option("--num-heads")));
        let (one, two) = ([known("cvt-gelu")], [known("cvt-gelu"), known("crop-rounding")]);
        let deviating = Verdict::SameWithKnownDeviation;
        assert_eq!(Verdict::Same.headline(&[], &certain), "same");
        assert_eq!(Verdict::Same.headline(&[], &assumed), "same, if the assumption holds");
        assert_eq!(deviating.headline(&one, &certain), "same weights, known deviation cvt-gelu");
        assert_eq!(
            deviating.headline(&two, &assumed),
            "same weights, known deviations cvt-gelu and crop-rounding, if the assumption holds"
        );
        assert_eq!(Verdict::Different.headline(&one, &assumed), "different");
    }
}
