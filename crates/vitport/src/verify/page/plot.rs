//! Draws the difference over the depth of the network: relative difference on a logarithmic axis, and as an area below a
//! line what rounding explains.
//!
//! Zero has no place on a logarithmic axis. It gets a row of its own below the axis, apart from it; what cannot be compared
//! at all gets one above. Positions across are percentages and positions down are pixels, so the drawing is as wide as its
//! page while its letters keep their size.

use super::super::{Comparison, Report};
use super::numbers;

/// Gives the height of the logarithmic part, in pixels.
const HEIGHT: f64 = 260.0;

/// Gives the pixels from the logarithmic part to the middle of the rows above and below it.
const GAP: f64 = 26.0;

/// Gives the space for the places' names, which stand aslant below.
const NAMES: f64 = 112.0;

/// Limits the decades that are shown, counted from the largest; what is smaller lies on the lowest line.
const DECADES: i32 = 12;

/// Gives the pixels that a slanted name needs next to the next, and the width of the drawing on the narrowest screen and on
/// others.
const NAME_STEP: usize = 13;
const NARROW: usize = 250;
const WIDE: usize = 560;

/// Says where relative differences lie, down the page.
struct Axis {
    lowest: i32,
    highest: i32,
    top: f64,
    has_incomparable: bool,
}

impl Axis {
    fn new(report: &Report) -> Self {
        let all = report.layers.iter().chain(report.judged());
        let mut lowest = i32::MAX;
        let mut highest = i32::MIN;
        let mut has_incomparable = false;
        for value in all.flat_map(|place| [place.difference.relative, place.tolerance]) {
            has_incomparable |= !value.is_finite();
            if value > 0.0 && value.is_finite() {
                let exponent = value.log10();
                lowest = lowest.min(exponent.floor() as i32);
                highest = highest.max(exponent.ceil() as i32);
            }
        }
        if lowest > highest {
            (lowest, highest) = (-8, -4);
        }
        let lowest = lowest.min(highest - 3).max(highest - DECADES);
        let top = if has_incomparable { 2.0 * GAP } else { 12.0 };
        Self { lowest, highest, top, has_incomparable }
    }

    fn bottom(&self) -> f64 {
        self.top + HEIGHT
    }

    fn zero(&self) -> f64 {
        self.bottom() + GAP
    }

    fn base(&self) -> f64 {
        self.zero() + GAP / 2.0
    }

    fn down(&self, relative: f64) -> f64 {
        if relative == 0.0 {
            return self.zero();
        }
        if !relative.is_finite() {
            return self.top - GAP;
        }
        let decades = f64::from(self.highest - self.lowest);
        let share = (f64::from(self.highest) - relative.abs().log10()) / decades;
        self.top + HEIGHT * share.clamp(0.0, 1.0)
    }
}

/// Draws a line from one point to another.
pub struct PlotLine {
    pub x1: String,
    pub y1: String,
    pub x2: String,
    pub y2: String,
}

impl PlotLine {
    fn new(from: (f64, f64), to: (f64, f64), places: usize) -> Self {
        let (x1, x2) = (across(from.0, places), across(to.0, places));
        Self { x1, y1: pixels(from.1), x2, y2: pixels(to.1) }
    }
}

/// Describes a row of the grid.
pub struct GridRow {
    pub name: String,
    pub class: &'static str,
    pub line: PlotLine,
}

/// Shows what rounding explains at a place: its upper edge, and the area below it.
pub struct ToleranceStep {
    pub edge: PlotLine,
    pub width: String,
    pub height: String,
}

/// Holds a place's name.
pub struct Name {
    pub x: String,
    pub y: String,
    pub class: &'static str,
    pub text: String,
}

/// Draws one of the curves.
pub struct Curve {
    pub class: &'static str,
    pub marker: &'static str,
    pub what: String,
    pub lines: Vec<PlotLine>,
    pub points: Vec<Point>,
}

/// Places a curve's point at a place.
pub struct Point {
    pub x: String,
    pub y: String,
    pub class: &'static str,
    pub marker: &'static str,
    pub title: String,
}

/// Draws the marker of what rounding does not explain.
pub const CROSS: &str = "M-5-5L5 5M-5 5L5-5";
const CIRCLE: &str = "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0Z";
const DIAMOND: &str = "M-5 0L0-5L5 0L0 5Z";

/// Holds the drawing with its key, as text that a template puts in its place.
pub struct Plot {
    pub height: String,
    pub description: String,
    pub tolerance: Vec<ToleranceStep>,
    /// Gives the distance of the remark on the tolerance from the top, if there is one.
    pub remark: Option<String>,
    pub rows: Vec<GridRow>,
    pub names: Vec<Name>,
    pub curves: Vec<Curve>,
    /// Says whether a point lies above what rounding explains.
    pub has_wrong: bool,
}

impl Plot {
    /// Draws a report; `None` where no place was compared.
    pub fn new(report: &Report) -> Option<Self> {
        if report.layers.is_empty() {
            return None;
        }
        let axis = Axis::new(report);
        let judged = report.judged();
        let applied = report.applied();
        let class = if applied.is_some() { "deviating" } else { "judged" };
        let measured = curve(&axis, &report.layers, class, CIRCLE, "source compared with target".to_owned());
        let without = applied.map(|what| curve(&axis, judged, "judged", DIAMOND, format!("without {what}")));
        Some(Self {
            height: format!("{:.0}", axis.base() + NAMES),
            description: description(report),
            tolerance: tolerance(&axis, judged),
            remark: judged.first().map(|first| pixels(axis.down(first.tolerance) + 16.0)),
            rows: rows(&axis),
            names: names(&axis, &report.layers),
            curves: [measured].into_iter().chain(without).collect(),
            has_wrong: judged.iter().any(|place| !place.agrees),
        })
    }
}

fn description(report: &Report) -> String {
    let places = report.judged();
    let outside = places.iter().filter(|place| !place.agrees).count();
    let zero = places.iter().filter(|place| place.difference.relative == 0.0).count();
    let apart = report.applied().map_or_else(String::new, |what| format!(", apart from {what}"));
    format!(
        "{} from the input to the output on a logarithmic axis{apart}: {zero} without any difference, {outside} with more \
         than rounding explains. The table below has the numbers.",
        numbers::counted(places.len(), "place")
    )
}

/// Returns the middle of a place across, in per cent.
fn across(place: f64, places: usize) -> String {
    format!("{:.2}%", 100.0 * (place + 0.5) / places.max(1) as f64)
}

fn pixels(value: f64) -> String {
    format!("{value:.1}")
}

fn rows(axis: &Axis) -> Vec<GridRow> {
    let row = |name: String, y: f64, class: &'static str| {
        let (x1, x2) = ("0".to_owned(), "100%".to_owned());
        GridRow { name, class, line: PlotLine { x1, y1: pixels(y), x2, y2: pixels(y) } }
    };
    let step = if axis.highest - axis.lowest > 8 { 2 } else { 1 };
    let powers = (axis.lowest..=axis.highest).rev().step_by(step);
    let powers = powers
        .map(|exponent| row(numbers::power_of_ten(exponent), axis.down(10.0_f64.powi(exponent)), "grid"));
    let zero = row("0".to_owned(), axis.zero(), "zero");
    let infinity = axis.has_incomparable.then(|| row("∞".to_owned(), axis.top - GAP, "zero"));
    powers.chain([zero]).chain(infinity).collect()
}

/// Returns the names that there is space for, counted from the last.
fn names(axis: &Axis, places: &[Comparison]) -> Vec<Name> {
    let every = |width: usize| (places.len() * NAME_STEP).div_ceil(width).max(1);
    let name = |(index, place): (usize, &Comparison)| {
        let from_the_end = places.len() - 1 - index;
        let is_narrow = from_the_end.is_multiple_of(every(NARROW));
        from_the_end.is_multiple_of(every(WIDE)).then(|| Name {
            x: across(index as f64, places.len()),
            y: pixels(axis.base() + 8.0),
            class: if is_narrow { "name" } else { "name where-wide" },
            text: place.place.clone(),
        })
    };
    places.iter().enumerate().filter_map(name).collect()
}

fn tolerance(axis: &Axis, places: &[Comparison]) -> Vec<ToleranceStep> {
    let step = |(index, place): (usize, &Comparison)| {
        let (index, y) = (index as f64, axis.down(place.tolerance));
        ToleranceStep {
            edge: PlotLine::new((index - 0.5, y), (index + 0.5, y), places.len()),
            width: format!("{:.3}%", 100.0 / places.len().max(1) as f64),
            height: pixels(axis.base() - y),
        }
    };
    places.iter().enumerate().map(step).collect()
}

fn curve(
    axis: &Axis,
    places: &[Comparison],
    class: &'static str,
    marker: &'static str,
    what: String,
) -> Curve {
    let relative = |place: &Comparison| place.difference.relative;
    let is_on_axis = |place: &Comparison| relative(place) > 0.0 && relative(place).is_finite();
    let pairs = places.iter().zip(places.iter().skip(1)).enumerate();
    let lines = pairs.filter(|(_, (one, other))| is_on_axis(one) && is_on_axis(other)).map(
        |(index, (one, other))| {
            let from = (index as f64, axis.down(relative(one)));
            PlotLine::new(from, ((index + 1) as f64, axis.down(relative(other))), places.len())
        },
    );
    let point = |(index, place): (usize, &Comparison)| {
        let is_wrong = class == "judged" && !place.agrees;
        let (class, marker) = if is_wrong { ("wrong", CROSS) } else { (class, marker) };
        let (difference, explained) =
            (numbers::difference(relative(place)), numbers::difference(place.tolerance));
        Point {
            x: across(index as f64, places.len()),
            y: pixels(axis.down(relative(place))),
            class,
            marker,
            title: format!("{}, {what}: {difference}; rounding explains {explained}", place.place),
        }
    };
    let (lines, points) = (lines.collect(), places.iter().enumerate().map(point).collect());
    Curve { class, marker, what, lines, points }
}
