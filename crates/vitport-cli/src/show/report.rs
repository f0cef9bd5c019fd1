//! Shows a report on the terminal: a few lines that a person believes. Each can be understood alone: what was compared with
//! what, how far it is apart, and how far apart it may be.

use vitport::pipeline::of_the_way_back;
use vitport::verify::{Comparison, Guess, Report, Verdict, shown_difference};
use vitport_checkpoint::escape;

use super::guess::{bar, name, percent};
use super::prepared::{INDENT, lines_of};
use crate::failure::Failure;
use crate::output::Printer;
use crate::terminal::style::{GREEN, RED, YELLOW};
use crate::terminal::table::{Align, Table, bytes};
use crate::terminal::width;
use crate::terminal::wrap::{columns, wrap};

/// Prints it.
pub fn say_report(report: &Report, output: &Printer) -> Result<(), Failure> {
    say(report, None, output)
}

/// Prints the report of a way back, whose source is the network of a framework that was written.
pub fn say_report_of_the_way_back(report: &Report, framework: &str, output: &Printer) -> Result<(), Failure> {
    say(report, Some(framework), output)
}

fn say(report: &Report, framework: Option<&str>, output: &Printer) -> Result<(), Failure> {
    let (style, sign) = match report.verdict {
        Verdict::Same if report.is_unconditional() => (GREEN, "✓"),
        Verdict::Same => (YELLOW, "✓"),
        Verdict::SameWithKnownDeviation => (YELLOW, "≈"),
        Verdict::NotComparable | Verdict::Different => (RED, "✗"),
    };
    let columns = columns();
    // Scripts look for the headline in what is no terminal, so it stays on one line there.
    let across = width().map_or(usize::MAX, |_| columns);
    let headline = wrap(sign, &escape(&report.headline).to_string(), 2, across);
    output.say(format!("{style}{headline}{style:#}"))?;
    for reason in &report.reasons {
        output.say(wrap("  ·", &escape(reason).to_string(), 4, columns))?;
    }
    say_warnings(&report.warnings, output)?;
    for line in lines_of(&report.basis) {
        output.say(line)?;
    }
    for (part, text) in parts(report) {
        let text = framework.map_or_else(|| text.clone(), |framework| of_the_way_back(&text, framework));
        output.say(wrap(&format!("  {part}"), &escape(&text).to_string(), INDENT, columns))?;
    }
    if !report.source_top5.is_empty() {
        output.say("")?;
        output.say(top5(report, framework).text())?;
    }
    Ok(())
}

/// Prints what is unusual about the source.
pub fn say_warnings(warnings: &[String], output: &Printer) -> Result<(), Failure> {
    for warning in warnings {
        output.say(wrap("  warning", &escape(warning).to_string(), INDENT, columns()))?;
    }
    Ok(())
}

/// Returns each part of the comparison, and what it showed.
fn parts(report: &Report) -> Vec<(&'static str, String)> {
    let image = &report.image;
    let mut parts = vec![(
        "run on",
        format!(
            "{} ({}×{}), through the source's network and through the folder's",
            match image.name.as_str() {
                "built-in image" => "the built-in image",
                name => name,
            },
            image.width,
            image.height
        ),
    )];
    parts.extend(class(report).map(|text| ("class", text)));
    if let Some(resampled) = &report.tensor_counts.resampled {
        parts.push(("size", resampled.explanation()));
    }
    parts.extend(outputs(report).map(|text| ("outputs", text)));
    if let (Verdict::Different, Some(place)) = (report.verdict, &report.starts_at) {
        parts.push(("", format!("they differ from {place} on")));
    }
    if let Some(deviation) = &report.known_deviation {
        for known in &deviation.each {
            let remedy = match known.removed {
                true => "Removed with trust_remote_code=True by the code in the folder; here the class is compared without it".to_owned(),
                false => format!("Remedy: {}", known.remedy),
            };
            parts.push(("known", format!("{}: {}. {remedy}.", known.name, known.what)));
        }
        parts.extend(match deviation.shows_in_outputs() {
            true => {
                effect(&deviation.measured, &deviation.without_it, "the source computing as the folder does")
            }
            false => Some(("", "The outputs of this image do not show it.".to_owned())),
        });
    }
    if let Some(cast) = &report.cast {
        parts.push(("cast", format!("The weights are rounded to {}.", cast.dtype)));
        if report.known_deviation.is_none() {
            parts.extend(effect(
                &cast.measured,
                &cast.without_it,
                "the source's weights rounded in the same way",
            ));
        }
    }
    let weights = &report.weights;
    let wanted = weights.same + weights.different.len() + weights.missing.len();
    let size = bytes(weights.bytes);
    let extra = match weights.extra.len() {
        0 => String::new(),
        extra => format!("; {extra} more should not be there"),
    };
    parts.push((
        "weights",
        format!("{} of {wanted} tensors are {} ({size}){extra}", weights.same, report.tensors_are()),
    ));
    let (agree, facts) = report.agreeing_facts();
    let without_effect = report.facts.iter().filter(|fact| !fact.agrees && !fact.counts).count();
    let rest = match without_effect {
        0 => String::new(),
        1 => "; 1 more differs, without effect on what is computed".to_owned(),
        count => format!("; {count} more differ, without effect on what is computed"),
    };
    let processor = if report.has_processor() { ", image processor" } else { "" };
    parts.push((
        "settings",
        format!("{agree} of {facts} agree with the source's: sizes, epsilons, labels{processor}{rest}"),
    ));
    parts.extend(pixels(report).map(|text| ("pixels", text)));
    parts
}

/// Names the class, where it is not one that holds all of the source in both versions, or another could be chosen.
fn class(report: &Report) -> Option<String> {
    let target = report.target.as_ref()?;
    let mut text = format!("{} ({}, {})", target.class, target.level.name(), target.versions());
    if let Some(outside) = &target.outside {
        text.push_str(&format!(", without {}: {}", outside.what, outside.code));
    }
    let of_states = target.of_states();
    if let Some(states) = &of_states {
        text.push_str(&format!("; {states}"));
    }
    let others: Vec<&str> = report.other_targets.iter().map(|other| other.class.as_str()).collect();
    if !others.is_empty() {
        text.push_str(&format!("; --target could be {}", others.join(", ")));
    }
    let is_usual =
        target.outside.is_none() && of_states.is_none() && target.since.is_none() && others.is_empty();
    (!is_usual).then_some(text)
}

/// Describes hidden states and outputs, as far as the verdict follows from them.
fn outputs(report: &Report) -> Option<String> {
    let judged = report.judged();
    let place = judged.iter().max_by(|a, b| a.difference.relative.total_cmp(&b.difference.relative))?;
    let places = format!(
        "{} points, {} to {}",
        judged.len(),
        judged.first().map_or("", |place| place.place.as_str()),
        judged.last().map_or("", |place| place.place.as_str())
    );
    let apart = report.applied().map_or_else(String::new, |what| format!(" (apart from {what})"));
    let relative = place.difference.relative;
    Some(if relative == 0.0 {
        format!("identical at all {places}{apart}")
    } else if !relative.is_finite() {
        match judged.iter().find_map(|place| Some((place, place.difference.not_finite?))) {
            Some((place, what)) => {
                format!("{places}{apart}: not comparable from {} on, {}", place.place, what.text())
            }
            None => {
                format!("{places}{apart}: at {} there are other numbers to compare, or none", place.place)
            }
        }
    } else {
        format!(
            "{places}{apart}: max difference {}, relative to the numbers' size, at {}; expected from rounding {}",
            shown_difference(relative),
            place.place,
            shown_difference(place.tolerance)
        )
    })
}

/// Says what a known difference does to the last output, and what is left without it.
fn effect(measured: &[Comparison], without: &[Comparison], how: &str) -> Option<(&'static str, String)> {
    let (measured, without) = (measured.last()?, without.last()?);
    if measured.difference.not_finite.is_some() || without.difference.not_finite.is_some() {
        return None;
    }
    let left = match without.difference.largest {
        0.0 => "they are identical".to_owned(),
        largest => format!("they differ by {}", shown_difference(largest)),
    };
    let (place, moved, size) = (&measured.place, measured.difference.largest, measured.difference.size);
    Some((
        "",
        format!(
            "On this image it changes the {place} by up to {}, where their size (root mean square) is {size:.2}. With {how}, {left}.",
            shown_difference(moved)
        ),
    ))
}

/// Describes the pixels, and says which were compared with which.
fn pixels(report: &Report) -> Option<String> {
    let by_relative =
        |a: &&Comparison, b: &&Comparison| a.difference.relative.total_cmp(&b.difference.relative);
    let largest = report.pixels.iter().max_by(by_relative)?;
    let count = report.pixels.len();
    let rounded = report.rounded_crops();
    let raw = rounded.iter().map(|pixels| pixels.difference.largest).fold(0.0, f64::max);
    let apart = match rounded.len() {
        0 => String::new(),
        some => format!(
            " (with the source's crop rounded down as the folder's on {some} of them; as they are, these differ by up to {})",
            shown_difference(raw)
        ),
    };
    Some(match largest.difference.relative {
        0.0 => format!(
            "identical on {count} images, prepared by the source's transform and by the folder's processor{apart}"
        ),
        relative if relative.is_finite() => format!(
            "on {count} images, prepared by the source's transform and by the folder's processor{apart}: max difference {}, relative to their size {}; expected from rounding {}",
            shown_difference(largest.difference.largest),
            shown_difference(relative),
            shown_difference(largest.tolerance)
        ),
        _ if largest.difference.not_finite.is_some() => {
            format!("not comparable, some are not finite ({})", largest.place)
        }
        _ => format!(
            "the folder's processor gives other sizes than the source's transform ({})",
            largest.place
        ),
    })
}

/// Returns both sides' most probable classes as bars: under one name where both have the same order, otherwise side by side. On the way
/// back the source is what was written for `framework`.
fn top5(report: &Report, framework: Option<&str>) -> Table {
    let (source, target) = (&report.source_top5, &report.target_top5);
    let is_same = source.len() == target.len()
        && source.iter().zip(target).all(|(a, b)| (a.class, &a.label) == (b.class, &b.label));
    if is_same {
        let mut table = Table::new([
            ("  most probable classes", Align::Left),
            (framework.unwrap_or("source"), Align::Right),
            ("", Align::Left),
            ("folder", Align::Right),
            ("", Align::Left),
        ]);
        for (source, target) in source.iter().zip(target) {
            let label = format!("  {}", name(source, 28));
            table.row([label, percent(source), bar(source, 8), percent(target), bar(target, 8)]);
        }
        return table;
    }
    let by_source = format!("  by {}", framework.unwrap_or("the source"));
    let mut table = Table::new([
        (by_source.as_str(), Align::Left),
        ("", Align::Right),
        ("", Align::Left),
        ("by the folder", Align::Left),
        ("", Align::Right),
        ("", Align::Left),
    ]);
    for rank in 0..source.len().max(target.len()) {
        let side = |guesses: &[Guess]| match guesses.get(rank) {
            Some(guess) => [name(guess, 18), percent(guess), bar(guess, 8)],
            None => [const { String::new() }; 3],
        };
        let [label, share, length] = side(source);
        table.row([format!("  {label}"), share, length].into_iter().chain(side(target)));
    }
    table
}
