//! A report on the terminal: a few lines that a person believes.

use vitport::verify::{Comparison, Guess, Report, Verdict};
use vitport_checkpoint::escape;

use crate::failure::Failure;
use crate::output::{BOLD, DIM, GREEN, Output, RED, YELLOW};
use crate::table::{Align, Table, bytes};

/// Prints it.
pub fn say_report(report: &Report, output: &Output) -> Result<(), Failure> {
    let style = match report.verdict {
        Verdict::Same => GREEN,
        Verdict::SameWithKnownDeviation => YELLOW,
        Verdict::Different => RED,
    };
    let picture = &report.picture;
    output.say(format!(
        "{style}{}{style:#}  {DIM}on {} ({}×{}){DIM:#}",
        report.verdict.text(),
        escape(&picture.name),
        picture.width,
        picture.height
    ))?;
    for reason in &report.reasons {
        output.say(format!("  {RED}·{RED:#} {}", escape(reason)))?;
    }
    let mut lines = Table::new([("", Align::Left), ("", Align::Left)]);
    if let Some(line) = largest(report) {
        lines.row(["  networks".to_owned(), line]);
    }
    if let Some(place) = &report.starts_at {
        lines.row(["  it starts at".to_owned(), place.clone()]);
    }
    if let Some(deviation) = &report.known_deviation {
        lines.row(["  known".to_owned(), deviation.what.clone()]);
        let end = |list: &[Comparison]| list.last().map_or(0.0, |place| place.difference.largest);
        let size = deviation.measured.last().map_or(0.0, |place| place.difference.size);
        lines.row([
            String::new(),
            format!(
                "logits move by up to {:.4} (their size is {size:.2}); without it they differ by {:.1e}",
                end(&deviation.measured),
                end(&deviation.without_it)
            ),
        ]);
    }
    let weights = &report.weights;
    let tensors = weights.same + weights.different.len();
    lines.row([
        "  weights".to_owned(),
        format!("{} of {tensors} tensors are the same bit by bit ({})", weights.same, bytes(weights.bytes)),
    ]);
    let agree = report.facts.iter().filter(|fact| fact.agrees || !fact.counts).count();
    let pixels = report.pixels.iter().map(|pixels| pixels.difference.largest).fold(0.0, f64::max);
    lines.row([
        "  facts".to_owned(),
        format!("{agree} of {} agree; pixels differ by at most {pixels:.1e}", report.facts.len()),
    ]);
    output.say(lines)?;
    if !report.source_top5.is_empty() {
        output.say("")?;
        output.say(top5(report))?;
    }
    Ok(())
}

fn largest(report: &Report) -> Option<String> {
    let judged = report.judged();
    let place = judged.iter().max_by(|a, b| a.difference.relative.total_cmp(&b.difference.relative))?;
    let suffix = report.taken_over().map_or_else(String::new, |what| format!(", {what} apart"));
    if place.difference.relative == 0.0 {
        return Some(format!("no number differs in {} places that were compared{suffix}", judged.len()));
    }
    Some(format!(
        "largest difference {:.1e} of its size, at {} (rounding explains {:.1e}){suffix}",
        place.difference.relative, place.place, place.tolerance
    ))
}

/// Both sides' most probable classes, side by side, as bars.
fn top5(report: &Report) -> Table {
    let mut table = Table::new([
        ("source", Align::Left),
        ("", Align::Right),
        ("", Align::Left),
        ("target", Align::Left),
        ("", Align::Right),
        ("", Align::Left),
    ]);
    for (source, target) in report.source_top5.iter().zip(&report.target_top5) {
        table.row([name(source), percent(source), bar(source), name(target), percent(target), bar(target)]);
    }
    table
}

/// A class's name, cut where it gets long.
pub fn name(guess: &Guess) -> String {
    let label = escape(&guess.label).to_string();
    match label.char_indices().nth(28) {
        Some((end, _)) => format!("{}…", label.get(..end).unwrap_or(&label)),
        None => label,
    }
}

/// A probability in per cent.
pub fn percent(guess: &Guess) -> String {
    format!("{:.1} %", guess.probability * 100.0)
}

/// A probability as a bar of up to 16 cells, drawn in eighths.
pub fn bar(guess: &Guess) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (guess.probability.clamp(0.0, 1.0) * 16.0 * 8.0).round() as usize;
    let rest = EIGHTHS.get(eighths % 8).copied().unwrap_or("");
    format!("{BOLD}{}{rest}{BOLD:#}", "█".repeat(eighths / 8))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guess(probability: f64) -> Guess {
        Guess {
            class: 0,
            label: "a\u{1b}[31m very long label that goes on and on and on".to_owned(),
            probability,
        }
    }

    #[test]
    fn bars_are_drawn_in_eighths() {
        assert!(bar(&guess(1.0)).contains(&"█".repeat(16)));
        assert!(bar(&guess(0.5)).contains(&"█".repeat(8)));
        assert!(bar(&guess(1.0 / 128.0)).contains('▏'));
    }

    #[test]
    fn labels_cannot_talk_to_the_terminal() {
        assert!(!name(&guess(0.1)).contains('\u{1b}'));
    }
}
