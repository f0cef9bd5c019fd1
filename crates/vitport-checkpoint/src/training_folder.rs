//! Folders that training programs write: torch.distributed.checkpoint's, DeepSpeed's, Hugging Face Trainer's.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Fault, Reason, refuse};
use crate::escape::escape;
use crate::regular::read_regular;

/// Limits the bytes that DeepSpeed's `latest` may have, which is the name of a folder.
const MAX_LATEST: u64 = 4096;

/// Returns the one file of such a folder that holds the weights; none if it is another folder.
///
/// # Errors
/// Names a folder whose weights lie in parts, with the public program that puts them together.
pub(crate) fn weight_file(folder: &Path) -> Result<Option<PathBuf>, Fault> {
    if names(folder).iter().any(|name| name.ends_with(".distcp")) {
        let shown = escape(&folder.display().to_string()).to_string();
        return refuse(
            Reason::InParts,
            format!(
                "the folder is a checkpoint of torch.distributed.checkpoint, whose tensors lie in parts; put them together \
                 with `python -m torch.distributed.checkpoint.format_utils dcp_to_torch {shown} OUT.pth`"
            ),
        );
    }
    let latest = read_regular(&folder.join("latest"), MAX_LATEST).ok();
    let latest = latest.and_then(|text| String::from_utf8(text).ok()).map(|text| text.trim().to_owned());
    // A name and no path, so that the file is in this folder.
    let latest = latest.filter(|name| !name.is_empty() && !name.contains(['/', '\\']) && name != "..");
    let places =
        [Some(folder.to_path_buf()), latest.map(|name| folder.join(name)), Some(folder.join("checkpoint"))];
    for place in places.into_iter().flatten() {
        let names = names(&place);
        if names.iter().any(|name| name.starts_with("zero_pp_rank_") && name.ends_with("model_states.pt")) {
            return refuse(
                Reason::InParts,
                "the folder is a checkpoint of DeepSpeed's ZeRO stage 3, whose weights lie in parts; put them together with its \
                 `python zero_to_fp32.py DIR OUT`",
            );
        }
        let mut states =
            names.iter().filter(|name| name.starts_with("mp_rank_") && name.ends_with("model_states.pt"));
        match (states.next(), states.next()) {
            (Some(only), None) => return Ok(Some(place.join(only))),
            (Some(_), Some(_)) => {
                return refuse(
                    Reason::InParts,
                    "the folder is a checkpoint of DeepSpeed whose weights are split over several ranks; put them together with \
                     its `python zero_to_fp32.py DIR OUT`",
                );
            }
            _ => {}
        }
    }
    Ok(None)
}

/// Names the checkpoints that Hugging Face's Trainer wrote into a folder, `checkpoint-500` and so on, the last one first; none if
/// there is none.
pub(crate) fn checkpoints(folder: &Path) -> Vec<String> {
    let step = |name: &str| name.strip_prefix("checkpoint-")?.parse::<u64>().ok();
    let mut found: Vec<(u64, String)> = names(folder)
        .into_iter()
        .filter_map(|name| Some((step(&name)?, name)))
        .filter(|(_, name)| folder.join(name).is_dir())
        .collect();
    found.sort_unstable_by(|one, other| other.cmp(one));
    found.into_iter().map(|(_, name)| name).collect()
}

/// Returns the names in a folder, in order; none if it cannot be listed.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort_unstable();
    names
}
