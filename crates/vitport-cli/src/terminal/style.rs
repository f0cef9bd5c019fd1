//! Says what text looks like where it is coloured; `anstream` removes it where it is not.

use anstyle::{AnsiColor, Style};

/// Styles headings and names.
pub const BOLD: Style = Style::new().bold();
/// Styles what matters less.
pub const DIM: Style = Style::new().dimmed();
/// Styles what went well.
pub const GREEN: Style = AnsiColor::Green.on_default();
/// Styles what is known to differ.
pub const YELLOW: Style = AnsiColor::Yellow.on_default();
/// Styles what went wrong.
pub const RED: Style = AnsiColor::Red.on_default().bold();
