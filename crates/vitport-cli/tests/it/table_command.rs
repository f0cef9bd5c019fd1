//! Tests the table of docs/reading.md, the rows that only the command can show: prefixes and roots that are found, said and
//! overridden, and what a refusal looks like.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::support::vitport;

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/vit_small_twin");
const FILES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../vitport-checkpoint/tests/data");

/// The example with `prefix` before every name of its weights.
fn prefixed(folder: &Path, prefix: &str) -> PathBuf {
    let file = std::fs::read(Path::new(EXAMPLE).join("model.safetensors")).unwrap();
    let (length, rest) = file.split_first_chunk::<8>().unwrap();
    let (header, data) = rest.split_at(usize::try_from(u64::from_le_bytes(*length)).unwrap());
    let entries: Map<String, Value> = serde_json::from_slice(header).unwrap();
    let name = |name: String| if name == "__metadata__" { name } else { format!("{prefix}{name}") };
    let renamed: Map<String, Value> = entries.into_iter().map(|(key, entry)| (name(key), entry)).collect();
    let header = serde_json::to_vec(&renamed).unwrap();
    let model = folder.join(prefix);
    std::fs::create_dir(&model).unwrap();
    let file = [&(header.len() as u64).to_le_bytes()[..], &header, data].concat();
    std::fs::write(model.join("model.safetensors"), file).unwrap();
    std::fs::copy(Path::new(EXAMPLE).join("config.json"), model.join("config.json")).unwrap();
    model
}

#[test]
fn prefixes_module_orig_mod_model_backbone_encoder() {
    let folder = tempfile::tempdir().unwrap();
    let weights = |out: &str| std::fs::read(folder.path().join(out).join("model.safetensors")).unwrap();
    vitport(&["convert", EXAMPLE, "-o", "plain", "--no-verify", "-q"], folder.path());
    let prefixes =
        ["module.", "_orig_mod.", "model.", "backbone.", "encoder.", "module._orig_mod.", "model.encoder."];
    for prefix in prefixes {
        let model = prefixed(folder.path(), prefix);
        let model = model.to_str().unwrap();
        let plan = vitport(&["plan", model], folder.path());
        let said = format!("under the prefix `{prefix}`");
        assert!(String::from_utf8_lossy(&plan.stdout).contains(&said), "{plan:?}");
        let converted =
            vitport(&["convert", model, "-o", "out", "--no-verify", "--force", "-q"], folder.path());
        assert!(converted.status.success(), "{prefix}: {converted:?}");
        assert_eq!(weights("out"), weights("plain"), "{prefix}");
    }
}

#[test]
fn nested_roots_are_said_and_overridden() {
    let folder = tempfile::tempdir().unwrap();
    let file = format!("{FILES}/ema.pth");
    let shown = vitport(&["inspect", &file, "--summary"], folder.path());
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("state_dict_ema: 2 tensors, taken by convert"), "{shown}");
    let of = |key: &str| vitport(&["inspect", &file, "--key", key, "--json", "--hash"], folder.path()).stdout;
    assert_ne!(of("state_dict"), of("state_dict_ema"));
    let document: Value = serde_json::from_slice(&of("state_dict")).unwrap();
    let names = document["tensors"].as_array().unwrap();
    assert_eq!(names.iter().map(|row| row["name"].clone()).collect::<Vec<_>>(), ["weight", "bias"]);
}

#[test]
fn a_refusal_is_one_line_with_its_code_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let make = |name: &str, bytes: &[u8]| {
        std::fs::write(folder.path().join(name), bytes).unwrap();
        name.to_owned()
    };
    let small = std::fs::read(format!("{FILES}/small.pth")).unwrap();
    let mut flipped = small.clone();
    let at = flipped.windows(8).position(|window| window == b"data.pkl").unwrap() + 200;
    flipped[at] ^= 1;
    let files = [
        make("empty.pth", b""),
        make("text.pth", b"hello"),
        make("cut.pth", &small[..small.len() / 2]),
        make("flipped.pth", &flipped),
        make("marks.pkl", &[&b"\x80\x02"[..], &[b'('; 10_000_000], b"."].concat()),
        make("long.safetensors", &[&u64::MAX.to_le_bytes()[..], b"{}"].concat()),
        make("x.index.json", br#"{"weight_map": {"w": "../../etc/passwd"}}"#),
        make("\u{1b}[31m.pth", b"\x89HDF\r\n\x1a\n"),
        format!("{FILES}/sparse.pth"),
        format!("{FILES}/gan.pth"),
    ];
    let before = std::fs::read_dir(folder.path()).unwrap().count();
    for file in &files {
        for command in [vec!["plan", file], vec!["convert", file, "-o", "out"], vec!["diff", file, file]] {
            let output = vitport(&command, folder.path());
            let stderr = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(3), "{command:?}: {stderr}");
            assert_eq!(stderr.lines().count(), 1, "{command:?}: {stderr}");
            assert!(stderr.starts_with("error: ") && stderr.contains("; "), "says what to do: {stderr}");
            assert!(!stderr.trim_end().chars().any(char::is_control), "{stderr:?}");
            assert!(output.stdout.is_empty(), "{command:?}");
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), before, "{command:?}");
        }
    }
}
