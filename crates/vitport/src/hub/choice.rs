//! Decides which files of a repository make the model: `config.json`, and the first that exists of `model.safetensors`, its
//! sharded form, `pytorch_model.bin`, its sharded form, and the only checkpoint that the repository holds. Safetensors come
//! before pickles, because they cannot hold anything else.

use serde::Deserialize;

use super::error::HubError;
use super::name::check_path;

/// Names the file with the model's structure.
pub(super) const CONFIG: &str = "config.json";

/// Lists the names that transformers and timm save under, best first; `true` for an index of shards.
const USUAL: [(&str, bool); 4] = [
    ("model.safetensors", false),
    ("model.safetensors.index.json", true),
    ("pytorch_model.bin", false),
    ("pytorch_model.bin.index.json", true),
];

/// Lists what a checkpoint's name may end in.
const ENDINGS: [&str; 5] = [".safetensors", ".pth", ".pt", ".bin", ".npz"];

/// Lists what transformers' `Trainer` saves next to a model: pickles, but no models.
const NOT_WEIGHTS: [&str; 6] =
    ["training_args.bin", "optimizer.pt", "optimizer.bin", "scheduler.pt", "scaler.pt", "rng_state.pth"];

/// Limits the bytes of an index. One of 10,000 tensors has about 1 MB.
pub(super) const LONGEST_INDEX: u64 = 32 << 20;

/// Gives more shards than any model has.
const MOST_SHARDS: usize = 10_000;

/// Says where the weights are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WeightFiles {
    /// Gives the file, or the index of the shards.
    pub(super) file: String,
    /// Says whether `file` is an index.
    pub(super) sharded: bool,
    /// Says whether a folder holding `file` explains itself, so that nobody need say which file is meant.
    pub(super) usual: bool,
}

/// Picks the weights.
///
/// `exists` says whether a path is in the repository; `listing` is everything in it, where that is known.
pub(super) fn choose(
    repo: &str,
    revision: &str,
    picked: Option<&str>,
    listing: Option<&[String]>,
    mut exists: impl FnMut(&str) -> Result<bool, HubError>,
) -> Result<WeightFiles, HubError> {
    let repo = || repo.to_owned();
    let revision = || revision.to_owned();
    if let Some(file) = picked {
        if !exists(file)? {
            return Err(HubError::UnknownFile { repo: repo(), revision: revision(), file: file.to_owned() });
        }
        return Ok(WeightFiles {
            file: file.to_owned(),
            sharded: file.ends_with(".index.json"),
            usual: false,
        });
    }
    for (file, sharded) in USUAL {
        if exists(file)? {
            return Ok(WeightFiles { file: file.to_owned(), sharded, usual: true });
        }
    }
    let others: Vec<String> =
        listing.unwrap_or_default().iter().filter(|path| may_be_weights(path)).cloned().collect();
    match others.as_slice() {
        [] => Err(HubError::NoWeights { repo: repo(), revision: revision() }),
        [only] => Ok(WeightFiles { file: only.clone(), sharded: false, usual: false }),
        _ => Err(HubError::SeveralWeights { repo: repo(), files: others }),
    }
}

fn may_be_weights(path: &str) -> bool {
    let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
    let lower = name.to_ascii_lowercase();
    ENDINGS.iter().any(|ending| lower.ends_with(ending))
        && !NOT_WEIGHTS.contains(&name)
        && !(name.starts_with("rng_state_") && name.ends_with(".pth"))
}

/// Holds the part of an index file that says where tensors are.
#[derive(Deserialize)]
struct Index {
    weight_map: serde_json::Map<String, serde_json::Value>,
}

/// Returns the shards that an index names, each once, as paths in the repository: relative to the index, and never out of the
/// folder it lies in.
pub(super) fn shards(repo: &str, index: &str, text: &[u8]) -> Result<Vec<String>, HubError> {
    let bad = |why: String| HubError::BadIndex { repo: repo.to_owned(), file: index.to_owned(), why };
    let parsed: Index =
        serde_json::from_slice(text).map_err(|_| bad("it is not JSON with a weight_map".to_owned()))?;
    let folder = index.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
    let mut files = std::collections::BTreeSet::new();
    for shard in parsed.weight_map.values() {
        let shard = shard
            .as_str()
            .ok_or_else(|| bad("its weight_map holds something else than file names".to_owned()))?;
        check_path(shard)
            .map_err(|why| bad(format!("a shard is called '{}', and {why}", super::shown::shown(shard))))?;
        files.insert(format!("{folder}{shard}"));
        if files.len() > MOST_SHARDS {
            return Err(bad(format!("it names more than {MOST_SHARDS} shards")));
        }
    }
    if files.is_empty() {
        return Err(bad("it names no shards".to_owned()));
    }
    Ok(files.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::{WeightFiles, choose, shards};
    use crate::hub::HubError;

    fn pick(files: &[&str], picked: Option<&str>) -> Result<WeightFiles, HubError> {
        let listing: Vec<String> = files.iter().map(|file| (*file).to_owned()).collect();
        choose("o/n", "main", picked, Some(&listing), |path| Ok(listing.iter().any(|file| file == path)))
    }

    #[test]
    fn safetensors_come_before_pickles_and_whole_files_before_shards() {
        let mut files = vec![
            "model.safetensors",
            "model.safetensors.index.json",
            "pytorch_model.bin",
            "pytorch_model.bin.index.json",
            "other.pth",
        ];
        while files.len() > 1 {
            assert_eq!(pick(&files, None).unwrap().file, files[0]);
            files.remove(0);
        }
        assert_eq!(
            pick(&["README.md", "w/CvT-13.pth", "training_args.bin", "rng_state_0.pth"], None).unwrap().file,
            "w/CvT-13.pth"
        );
    }

    #[test]
    fn several_or_no_checkpoints_are_named() {
        assert!(
            matches!(pick(&["a.pth", "b/c.pt"], None), Err(HubError::SeveralWeights { files, .. }) if files == ["a.pth", "b/c.pt"])
        );
        assert!(matches!(pick(&["README.md"], None), Err(HubError::NoWeights { .. })));
        assert_eq!(pick(&["a.pth", "b/c.pt"], Some("b/c.pt")).unwrap().file, "b/c.pt");
        assert!(matches!(pick(&["a.pth"], Some("b.pth")), Err(HubError::UnknownFile { .. })));
    }

    #[test]
    fn an_index_names_each_shard_once_and_stays_in_its_folder() {
        let index = br#"{"weight_map": {"a": "m-1.bin", "b": "m-2.bin", "c": "m-1.bin"}}"#;
        assert_eq!(shards("o/n", "sub/x.index.json", index).unwrap(), ["sub/m-1.bin", "sub/m-2.bin"]);
        for wrong in ["../m.bin", "/etc/passwd", "a//b", "..", "a\\\\..\\\\b", "", "a/./b", "c:/x"] {
            let index = format!(r#"{{"weight_map": {{"a": "{wrong}"}}}}"#);
            assert!(
                matches!(shards("o/n", "i.json", index.as_bytes()), Err(HubError::BadIndex { .. })),
                "{wrong}"
            );
        }
        for wrong in
            ["", "[]", "{}", r#"{"weight_map": {}}"#, r#"{"weight_map": {"a": 1}}"#, r#"{"weight_map": []}"#]
        {
            assert!(
                matches!(shards("o/n", "i.json", wrong.as_bytes()), Err(HubError::BadIndex { .. })),
                "{wrong}"
            );
        }
    }
}
