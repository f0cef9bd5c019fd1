//! Shows a class and its probability: a name, per cent, a bar.

use vitport::verify::Guess;
use vitport_checkpoint::escape;

/// Returns a class's name, cut where it gets longer than `most` letters.
pub fn name(guess: &Guess, most: usize) -> String {
    let label = escape(&guess.label).to_string();
    match label.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", label.get(..end).unwrap_or(&label)),
        None => label,
    }
}

/// Returns a probability in per cent.
pub fn percent(guess: &Guess) -> String {
    format!("{:.1} %", guess.probability * 100.0)
}

/// Returns a probability as a bar of up to `cells` cells, drawn in eighths.
pub fn bar(guess: &Guess, cells: usize) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (guess.probability.clamp(0.0, 1.0) * cells as f64 * 8.0).round() as usize;
    let rest = EIGHTHS.get(eighths % 8).copied().unwrap_or("");
    format!("{}{rest}", "█".repeat(eighths / 8))
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
        assert_eq!(bar(&guess(1.0), 16), "█".repeat(16));
        assert_eq!(bar(&guess(0.5), 16), "█".repeat(8));
        assert_eq!(bar(&guess(1.0 / 128.0), 16), "▏");
        assert_eq!(bar(&guess(f64::NAN), 16), "");
    }

    #[test]
    fn labels_cannot_talk_to_the_terminal() {
        assert!(!name(&guess(0.1), 28).contains('\u{1b}'));
    }
}
