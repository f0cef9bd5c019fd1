//! Writes a report as one self-contained page, for a person who believes no converter: the verdict, then everything it follows
//! from, then what it cannot show.
//!
//! The page has no script and fetches nothing, and says so to the browser, which holds it to that (Content-Security-Policy).
//! Its markup stands in the templates next to this file, which are checked when they are compiled; here is what they show.

pub(crate) mod escape;
pub(crate) mod numbers;
mod plot;
mod sight;

use askama::Template;

use self::plot::{CROSS, Plot};
use self::sight::{GuessRow, ShownImage, guess_rows};
use super::{CastReport, Comparison, Report, TestImage, Verdict};
use crate::resampling::Resampled;

const CSS: &str = include_str!("page/page.css");
/// Puts the cells of a table below each other.
pub(super) const STACKED: &str = include_str!("page/stacked.css");

/// Gives the rows of a list that a stranger's file decides the length of; the JSON report has all.
const MOST_ROWS: usize = 100;

/// Returns the page.
pub fn html(report: &Report, image: &TestImage) -> String {
    let page = Page { report, shown: ShownImage::new(image), plot: Plot::new(report) };
    // Writing to a string does not fail.
    page.render().unwrap_or_default()
}

#[derive(Template)]
#[template(path = "page.html")]
struct Page<'a> {
    report: &'a Report,
    shown: Option<ShownImage>,
    plot: Option<Plot>,
}

/// Returns a sentence with a capital letter.
fn capital(sentence: &str) -> String {
    let mut letters = sentence.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// Describes one of the four results at a glance.
struct Tile {
    name: &'static str,
    agrees: bool,
    value: String,
    what: String,
}

impl Page<'_> {
    /// Returns the class of the heading, and its sign.
    fn verdict(&self) -> (&'static str, &'static str) {
        match self.report.verdict {
            Verdict::Same if self.report.is_unconditional() => ("same", "✓"),
            Verdict::Same => ("assumed", "✓"),
            Verdict::SameWithKnownDeviation => ("deviation", "≈"),
            Verdict::NotComparable | Verdict::Different => ("different", "✗"),
        }
    }

    fn title(&self) -> String {
        capital(&self.report.headline)
    }

    fn sentence(&self) -> String {
        let report = self.report;
        let asked = |cast: &CastReport| format!(", rounded to {} as asked,", cast.dtype);
        let rounded = report.cast.as_ref().map_or_else(String::new, asked);
        match report.verdict {
            Verdict::Same => format!(
                "Every weight{rounded} is what the mapping makes of the source's, the folder's config{} \
                 what is known of the source{}, and both networks, run on one image, differ by no more than rounding \
                 explains.{}",
                if report.has_processor() { " and image processor say" } else { " says" },
                match report.rounded_crops().is_empty() {
                    true => "",
                    false => " (apart from the rounding of crops)",
                },
                self.assumed()
            ),
            Verdict::SameWithKnownDeviation => format!(
                "Every weight{rounded} is what the mapping makes of the source's, and the folder's config says what is known of \
                 the source. {} Run with the source computing as the folder does there, both networks differ by no more than \
                 rounding explains.{}",
                self.known_in_words(),
                self.assumed()
            ),
            Verdict::Different => {
                format!(
                    "The folder is not the same model as its source, for {} named below.",
                    self.count_reasons()
                )
            }
            Verdict::NotComparable => format!(
                "Whether the folder is the same model as its source cannot be said, for {} named below: what is not finite \
                 equals nothing.",
                self.count_reasons()
            ),
        }
    }

    /// Says what was resampled, and what that means.
    fn resampled(&self, resampled: &Resampled) -> String {
        capital(&resampled.explanation())
    }

    /// Names what is known to differ.
    fn known_in_words(&self) -> String {
        let each = self.report.known_deviation.iter().flat_map(|known| &known.each);
        let names: Vec<&str> = each.map(|known| known.name.as_str()).collect();
        match names.as_slice() {
            [one] => format!("One thing is known to differ, {one}, explained below."),
            names => format!(
                "{} things are known to differ, {}, explained below.",
                names.len(),
                names.join(" and ")
            ),
        }
    }

    /// Returns the facts that are known, and how many are said by whom.
    fn known_facts_caption(&self) -> String {
        let facts = self.report.known_facts.iter().count();
        format!("{}, each with its origin", numbers::counted(facts, "fact"))
    }

    /// Counts the settings by what they are for.
    fn settings_caption(&self) -> String {
        let (_, counted) = self.report.agreeing_facts();
        let without = self.report.facts.len() - counted;
        let rest = match without {
            0 => String::new(),
            count => format!(", and {} without", numbers::count(count)),
        };
        format!(
            "{} with an effect on what transformers computes{rest}, by the source and by the folder",
            numbers::counted(counted, "setting")
        )
    }

    /// Says what assumptions mean for the verdict.
    fn assumed(&self) -> String {
        let assumptions = &self.report.basis.assumptions;
        let what = match assumptions.len() {
            0 => return String::new(),
            1 => "One fact is assumed and not said by the source".to_owned(),
            count => format!("{} facts are assumed and not said by the source", numbers::count(count)),
        };
        format!(" {what}; both networks were built with what is assumed.")
    }

    fn has_overrides(&self) -> bool {
        self.report.basis.assumptions.iter().any(|assumption| assumption.overrides.is_some())
    }

    fn has_followers(&self) -> bool {
        self.report.basis.assumptions.iter().any(|assumption| !assumption.follows.is_empty())
    }

    fn count_reasons(&self) -> String {
        match self.report.reasons.len() {
            1 => "the reason".to_owned(),
            count => format!("the {count} reasons"),
        }
    }

    /// Returns the heading above the reasons.
    fn why(&self) -> &'static str {
        match self.report.verdict {
            Verdict::NotComparable => "Why they cannot be compared",
            _ => "Why it is different",
        }
    }

    /// Returns whether no number differs anywhere, which a logarithmic axis cannot show.
    fn is_all_zero(&self) -> bool {
        let all = self.report.layers.iter().chain(self.report.judged());
        all.map(|place| place.difference.relative).all(|relative| relative == 0.0)
    }

    fn glance(&self) -> [Tile; 4] {
        let report = self.report;
        let weights = &report.weights;
        let tensors = weights.same + weights.different.len() + weights.missing.len() + weights.extra.len();
        let judged = report.judged();
        let largest = judged.iter().map(|place| place.difference.relative).fold(0.0, f64::max);
        let pixels = report.pixels.iter().map(|pixels| pixels.difference.largest).fold(0.0, f64::max);
        let (agree, facts) = report.agreeing_facts();
        let of = |some: usize, all: usize| format!("{} of {}", numbers::count(some), numbers::count(all));
        [
            Tile {
                name: "Weights",
                agrees: weights.agree(),
                value: of(weights.same, tensors),
                what: format!("tensors are {}", report.tensors_are()),
            },
            Tile {
                name: "Outputs",
                agrees: judged.iter().all(|place| place.agrees),
                value: numbers::difference(largest),
                what: self.outputs(),
            },
            Tile {
                name: "Settings",
                agrees: agree == facts,
                value: of(agree, facts),
                what: "settings with an effect are the source's".to_owned(),
            },
            Tile {
                name: "Pixels",
                agrees: report.pixels.iter().all(|pixels| pixels.agrees),
                value: numbers::difference(pixels),
                what: self.pixels(),
            },
        ]
    }

    /// Says which pixels were compared with which.
    fn pixels(&self) -> String {
        let rounded = match self.report.rounded_crops().len() {
            0 => String::new(),
            count => {
                let raw = self.report.raw_pixels.iter().map(|pixels| pixels.difference.largest);
                format!(
                    ", the source's crop rounded down as the folder's on {count} of them; as they are, they differ by up to {}",
                    numbers::difference(raw.fold(0.0, f64::max))
                )
            }
        };
        format!("largest difference of prepared pixels, on three images{rounded}")
    }

    /// Says where the outputs differ most.
    fn outputs(&self) -> String {
        let judged = self.report.judged();
        let apart = self.report.applied().map_or_else(String::new, |what| format!(", apart from {what}"));
        let by_relative =
            |a: &&Comparison, b: &&Comparison| a.difference.relative.total_cmp(&b.difference.relative);
        match judged.iter().max_by(by_relative) {
            None => "nothing was compared".to_owned(),
            Some(largest) if largest.difference.relative == 0.0 => {
                format!("no number differs in {}{apart}", numbers::counted(judged.len(), "place"))
            }
            Some(largest) => format!(
                "largest relative difference, at {}; rounding explains {}{apart}",
                largest.place,
                numbers::difference(largest.tolerance)
            ),
        }
    }

    /// Says what something does to the last output, and what is left without it.
    fn effect(&self, measured: &[Comparison], without: &[Comparison]) -> String {
        let (Some(measured), Some(without)) = (measured.last(), without.last()) else {
            return "The folder's network cannot be run, so its effect was not measured.".to_owned();
        };
        if [measured, without].iter().any(|place| place.difference.not_finite.is_some()) {
            return format!(
                "Some numbers of the {} are not finite, so its effect was not measured.",
                measured.place
            );
        }
        let is_all = self.report.judged().iter().all(|place| place.agrees);
        format!(
            "On this image it moves the {} by up to {}, where their size is {}. With the source run as the folder \
             computes, they differ by {}, expected from rounding {}{}.",
            measured.place,
            numbers::difference(measured.difference.largest),
            numbers::size(measured.difference.size),
            numbers::difference(without.difference.largest),
            numbers::difference(without.tolerance * without.difference.size),
            if is_all { ": no other difference shows on this image" } else { "" }
        )
    }

    fn top_fives(&self) -> [(&'static str, Vec<GuessRow>); 2] {
        let (source, target) = (&self.report.source_top5, &self.report.target_top5);
        [("Source", guess_rows(source, target)), ("Target", guess_rows(target, source))]
    }

    fn dropped_bytes(&self) -> u64 {
        self.report.tensor_counts.dropped.iter().fold(0, |sum, dropped| sum.saturating_add(dropped.bytes))
    }

    /// Returns the first tensors of each kind that are not what they should be, and what is wrong with each.
    fn mismatches(&self) -> Vec<(&str, &str)> {
        let weights = &self.report.weights;
        let different =
            weights.different.iter().map(|mismatch| (mismatch.name.as_str(), mismatch.what.as_str()));
        let missing = weights.missing.iter().map(|name| (name.as_str(), "the folder lacks it"));
        let extra =
            weights.extra.iter().map(|name| (name.as_str(), "the mapping does not make it from the source"));
        different.take(MOST_ROWS).chain(missing.take(MOST_ROWS)).chain(extra.take(MOST_ROWS)).collect()
    }
}
