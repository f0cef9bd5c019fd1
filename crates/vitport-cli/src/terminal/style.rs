//! What text looks like where it is coloured; `anstream` removes it where it is not.

use anstyle::{AnsiColor, Style};

/// Style of headings and names.
pub const BOLD: Style = Style::new().bold();
/// Style of what matters less.
pub const DIM: Style = Style::new().dimmed();
/// Style of what went well.
pub const GREEN: Style = AnsiColor::Green.on_default();
/// Style of what is known to differ.
pub const YELLOW: Style = AnsiColor::Yellow.on_default();
/// Style of what went wrong.
pub const RED: Style = AnsiColor::Red.on_default().bold();
