//! The difference over the depth of the network, drawn: relative difference on a logarithmic axis, and as an area below a
//! line what rounding explains.
//!
//! Zero has no place on a logarithmic axis. It gets a row of its own below the axis, apart from it; what cannot be compared
//! at all gets one above. Positions across are percentages and positions down are pixels, so the drawing is as wide as its
//! page while its letters keep their size.

use super::super::{Comparison, Report};
use super::markup::Markup;
use super::numbers;

/// Height of the logarithmic part, in pixels.
const HEIGHT: f64 = 260.0;

/// From the logarithmic part to the middle of the rows above and below it.
const GAP: f64 = 26.0;

/// Room for the places' names, which stand aslant below.
const NAMES: f64 = 112.0;

/// Decades shown at most, counted from the largest; what is smaller lies on the lowest line.
const DECADES: i32 = 12;

/// Pixels that a slanted name needs beside the next, and the width of the drawing on the narrowest screen and on others.
const NAME_STEP: usize = 13;
const NARROW: usize = 250;
const WIDE: usize = 560;

/// Where relative differences lie, down the page.
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

    fn floor(&self) -> f64 {
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

/// One of the curves.
struct Series<'a> {
    places: &'a [Comparison],
    class: &'static str,
    marker: &'static str,
    what: String,
}

const CIRCLE: &str = "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0Z";
const DIAMOND: &str = "M-5 0L0-5L5 0L0 5Z";
const CROSS: &str = "M-5-5L5 5M-5 5L5-5";

/// The drawing with its key.
pub fn plot(page: &mut Markup, report: &Report) {
    if report.layers.is_empty() {
        return;
    }
    let axis = Axis::new(report);
    let taken_over = report.taken_over();
    let measured = Series {
        places: &report.layers,
        class: if taken_over.is_some() { "deviating" } else { "judged" },
        marker: CIRCLE,
        what: "source against target".to_owned(),
    };
    let without = taken_over.as_ref().map(|what| Series {
        places: report.judged(),
        class: "judged",
        marker: DIAMOND,
        what: format!("without {what}"),
    });
    page.element("figure", &[("class", "plot")], |figure| {
        let height = format!("{:.0}", axis.floor() + NAMES);
        let attributes = [
            ("role", "img"),
            ("aria-labelledby", "plot-title plot-desc"),
            ("width", "100%"),
            ("height", height.as_str()),
        ];
        figure.element("svg", &attributes, |svg| {
            svg.words("title", &[("id", "plot-title")], "Relative difference over the depth of the network");
            svg.words("desc", &[("id", "plot-desc")], &description(report));
            draw_tolerance(svg, &axis, report.judged());
            draw_axis(svg, &axis);
            draw_names(svg, &axis, &report.layers);
            draw_series(svg, &axis, &measured);
            if let Some(without) = &without {
                draw_series(svg, &axis, without);
            }
        });
        figure.element("figcaption", &[], |caption| {
            caption.element("ul", &[("class", "key")], |key| {
                key_entry(key, measured.class, measured.marker, &measured.what);
                if let Some(without) = &without {
                    key_entry(key, without.class, without.marker, &without.what);
                }
                if report.judged().iter().any(|place| !place.agrees) {
                    key_entry(key, "wrong", CROSS, "more than rounding explains");
                }
                key_entry(key, "rounding", "M-8-6H8V6H-8Z", "what rounding explains");
            });
        });
    });
}

fn description(report: &Report) -> String {
    let places = report.judged();
    let outside = places.iter().filter(|place| !place.agrees).count();
    let zero = places.iter().filter(|place| place.difference.relative == 0.0).count();
    let apart = report.taken_over().map_or_else(String::new, |what| format!(", {what} apart"));
    format!(
        "{} from the embeddings to the output on a logarithmic axis{apart}: {zero} without any difference, {outside} with \
         more than rounding explains. The table below has the numbers.",
        numbers::counted(places.len(), "place")
    )
}

fn key_entry(key: &mut Markup, class: &str, marker: &str, what: &str) {
    key.element("li", &[], |entry| {
        let attributes =
            [("width", "18"), ("height", "14"), ("viewBox", "-9 -7 18 14"), ("aria-hidden", "true")];
        entry.element("svg", &attributes, |svg| svg.shape("path", &[("class", class), ("d", marker)]));
        entry.text(what);
    });
}

/// Middle of a place across, in per cent.
fn across(place: f64, places: usize) -> String {
    format!("{:.2}%", 100.0 * (place + 0.5) / places.max(1) as f64)
}

fn pixels(value: f64) -> String {
    format!("{value:.1}")
}

fn line(svg: &mut Markup, class: &str, from: (&str, f64), to: (&str, f64)) {
    let (y1, y2) = (pixels(from.1), pixels(to.1));
    svg.shape("line", &[("class", class), ("x1", from.0), ("y1", &y1), ("x2", to.0), ("y2", &y2)]);
}

fn draw_axis(svg: &mut Markup, axis: &Axis) {
    let mut row = |name: &str, y: f64, class: &str| {
        line(svg, class, ("0", y), ("100%", y));
        let y = pixels(y);
        svg.words("text", &[("class", "tick"), ("x", "-8"), ("y", &y), ("dy", "0.35em")], name);
    };
    let step = if axis.highest - axis.lowest > 8 { 2 } else { 1 };
    for exponent in (axis.lowest..=axis.highest).rev().step_by(step) {
        row(&numbers::power_of_ten(exponent), axis.down(10.0_f64.powi(exponent)), "grid");
    }
    row("0", axis.zero(), "zero");
    if axis.has_incomparable {
        row("∞", axis.top - GAP, "zero");
    }
}

fn draw_names(svg: &mut Markup, axis: &Axis, places: &[Comparison]) {
    let shown_of = |width: usize| (places.len() * NAME_STEP).div_ceil(width).max(1);
    let (every_narrow, every_wide) = (shown_of(NARROW), shown_of(WIDE));
    let y = pixels(axis.floor() + 8.0);
    for (index, place) in places.iter().enumerate() {
        let from_the_end = places.len() - 1 - index;
        if !from_the_end.is_multiple_of(every_wide) {
            continue;
        }
        let class = if from_the_end.is_multiple_of(every_narrow) { "name" } else { "name where-wide" };
        let x = across(index as f64, places.len());
        svg.element("svg", &[("x", &x), ("y", &y), ("overflow", "visible")], |at| {
            let attributes = [("class", class), ("transform", "rotate(-55)"), ("dy", "0.5em")];
            at.words("text", &attributes, &place.place);
        });
    }
}

fn draw_tolerance(svg: &mut Markup, axis: &Axis, places: &[Comparison]) {
    let width = format!("{:.3}%", 100.0 / places.len().max(1) as f64);
    for (index, place) in places.iter().enumerate() {
        let (left, right) =
            (across(index as f64 - 0.5, places.len()), across(index as f64 + 0.5, places.len()));
        let y = axis.down(place.tolerance);
        let (from, height) = (pixels(y), pixels(axis.floor() - y));
        svg.shape(
            "rect",
            &[("class", "rounding"), ("x", &left), ("y", &from), ("width", &width), ("height", &height)],
        );
        line(svg, "tolerance", (&left, y), (&right, y));
    }
    if let Some(first) = places.first() {
        let y = pixels(axis.down(first.tolerance) + 16.0);
        svg.words("text", &[("class", "remark"), ("x", "6"), ("y", &y)], "what rounding explains");
    }
}

fn draw_series(svg: &mut Markup, axis: &Axis, series: &Series<'_>) {
    let is_on_axis =
        |place: &Comparison| place.difference.relative > 0.0 && place.difference.relative.is_finite();
    let count = series.places.len();
    let next = series.places.iter().skip(1);
    for (index, (one, other)) in series.places.iter().zip(next).enumerate() {
        if is_on_axis(one) && is_on_axis(other) {
            let (from, to) = (across(index as f64, count), across((index + 1) as f64, count));
            let class = format!("curve {}", series.class);
            let (down, further) = (axis.down(one.difference.relative), axis.down(other.difference.relative));
            line(svg, &class, (&from, down), (&to, further));
        }
    }
    let is_judged = series.class == "judged";
    for (index, place) in series.places.iter().enumerate() {
        let (x, y) = (across(index as f64, count), pixels(axis.down(place.difference.relative)));
        let (class, marker) =
            if is_judged && !place.agrees { ("wrong", CROSS) } else { (series.class, series.marker) };
        svg.element("svg", &[("x", &x), ("y", &y), ("overflow", "visible")], |at| {
            at.element("path", &[("class", class), ("d", marker)], |path| {
                let (relative, tolerance) = (place.difference.relative, place.tolerance);
                let told = format!(
                    "{}, {}: {}; rounding explains {}",
                    place.place,
                    series.what,
                    numbers::difference(relative),
                    numbers::difference(tolerance)
                );
                path.words("title", &[], &told);
            });
        });
    }
}
