//! Says what transformers does when it opens a folder, as read from its own code: which weight file it takes, which keys its
//! config and image processor classes obey, which values they refuse.
//!
//! This is the one place where that is written down. Each rule names the lines that it was read from, in transformers 4.57.6
//! (`v4`) and 5.23.0 (`v5`). Names, types and defaults are not typed but exported ([`names`]). Nothing here knows a family.
//!
//! Every function returns *findings*: sentences on what a version would not open, or would open otherwise than the source is,
//! or on a key whose effect is not known (`not verified`). A folder with a finding is not the same model.

pub mod config;
pub mod names;
pub mod processor;
mod sizes;
mod types;
pub mod weights;

use serde_json::Value;

/// Lists the versions of transformers that are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// Stands for 4.57.6.
    V4,
    /// Stands for 5.23.0.
    V5,
}

impl Version {
    /// Lists both.
    pub const ALL: [Self; 2] = [Self::V4, Self::V5];

    /// Returns its name in a sentence.
    pub fn name(self) -> &'static str {
        match self {
            Self::V4 => "transformers 4",
            Self::V5 => "transformers 5",
        }
    }
}

/// Makes one sentence of what several versions say: what all of them say is said once, what one says is said of that one.
fn of_versions(said: [Option<String>; 2]) -> Vec<String> {
    match said {
        [Some(four), Some(five)] if four == five => vec![format!("{four} (transformers 4 and 5)")],
        said => {
            let each = Version::ALL.into_iter().zip(said);
            each.filter_map(|(version, said)| Some(format!("{} ({})", said?, version.name()))).collect()
        }
    }
}

/// Returns the finding on a key of which nothing is known but that transformers knows its name.
fn not_verified(place: &str, key: &str, value: &Value) -> String {
    let key = vitport_checkpoint::escape(key);
    format!(
        "not verified: key {key} of {place} is {}, and what transformers makes of that is not known",
        shown(value)
    )
}

/// Returns a value as it is shown, cut where it is long.
fn shown(value: &Value) -> String {
    const LONGEST: usize = 80;
    let text = vitport_checkpoint::escape(&value.to_string()).to_string();
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}
