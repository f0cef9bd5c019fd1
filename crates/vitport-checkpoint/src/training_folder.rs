//! Folders that training programs write: torch.distributed.checkpoint's, DeepSpeed's, Hugging Face Trainer's.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Fault, Reason, refuse};
use crate::regular::read_regular;
use crate::torch::distributed::{DESCRIPTION, PART};

/// Limits the bytes that DeepSpeed's `latest` may have, which is the name of a folder.
const MAX_LATEST: u64 = 4096;

/// Returns the one file of such a folder that holds the weights; none if it is another folder.
///
/// # Errors
/// Names a folder whose weights lie in parts, with the public program that puts them together.
pub(crate) fn weight_file(folder: &Path) -> Result<Option<PathBuf>, Fault> {
    if let Some(description) = distributed(folder)? {
        return Ok(Some(description));
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

/// Returns the `.metadata` of a folder of torch.distributed.checkpoint: of its own, or of the one in it that accelerate writes a model
/// of FSDP to (`pytorch_model_fsdp_0`).
fn distributed(folder: &Path) -> Result<Option<PathBuf>, Fault> {
    let has_parts = |folder: &Path| names(folder).iter().any(|name| name.ends_with(PART));
    let inside = folder.join("pytorch_model_fsdp_0");
    let place = [folder, &inside].into_iter().find(|place| has_parts(place));
    let Some(place) = place else { return Ok(None) };
    let description = place.join(DESCRIPTION);
    if !description.is_file() {
        return refuse(
            Reason::Truncated,
            "the folder holds parts of torch.distributed.checkpoint without the '.metadata' that is written last, so the save was \
             not finished, or the file was not copied",
        );
    }
    Ok(Some(description))
}

/// Returns the folder of torch.distributed.checkpoint that a file describes or is a part of.
pub(crate) fn folder_of(file: &Path) -> Option<&Path> {
    let name = file.file_name()?.to_str()?;
    let folder = file.parent()?;
    let is_described =
        || folder.join(DESCRIPTION).is_file() && names(folder).iter().any(|name| name.ends_with(PART));
    ((name == DESCRIPTION || name.ends_with(PART)) && is_described()).then_some(folder)
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
