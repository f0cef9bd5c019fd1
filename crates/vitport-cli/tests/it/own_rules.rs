//! Tests tensors that no rule uses: the error names them and the way out, and the way out works.

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::support::{example, vitport};

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

/// The ViT example with further tensors, as `source` in `folder`.
fn example_with(extra: &[&str], folder: &Path) {
    let example = example("vit_small_twin");
    let source = folder.join("source");
    std::fs::create_dir(&source).unwrap();
    std::fs::copy(example.join("config.json"), source.join("config.json")).unwrap();
    let bytes = std::fs::read(example.join("model.safetensors")).unwrap();
    let (length, rest) = bytes.split_first_chunk::<8>().unwrap();
    let (header, data) = rest.split_at(u64::from_le_bytes(*length) as usize);
    let mut header: Map<String, Value> = serde_json::from_slice(header).unwrap();
    let mut data = data.to_vec();
    for name in extra {
        let offsets = [data.len(), data.len() + 8];
        header.insert((*name).to_owned(), json!({ "dtype": "F32", "shape": [2], "data_offsets": offsets }));
        data.extend([0; 8]);
    }
    let header = serde_json::to_vec(&header).unwrap();
    let whole = [&(header.len() as u64).to_le_bytes()[..], &header, &data].concat();
    std::fs::write(source.join("model.safetensors"), whole).unwrap();
}

#[test]
fn what_is_no_part_of_the_network_is_left_out_by_a_changed_rule_file() {
    let folder = tempfile::tempdir().unwrap();
    example_with(&["aux.weight"], folder.path());
    let refused = vitport(&["convert", "source", "-o", "out"], folder.path());
    let stderr = text(refused.stderr);
    assert_eq!(refused.status.code(), Some(4), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    for part in ["no rule uses aux.weight", "vitport plan --print-mapping", "--mapping"] {
        assert!(stderr.contains(part), "{stderr}");
    }

    let printed = vitport(&["plan", "source", "--print-mapping"], folder.path());
    assert!(printed.status.success(), "{}", text(printed.stderr));
    let rules = text(printed.stdout);
    assert!(rules.contains("\n[drop]\n"));
    let rules = rules.replace("\n[drop]\n", "\n[drop]\n\"aux.weight\" = \"only used in training\"\n");
    std::fs::write(folder.path().join("own.toml"), rules).unwrap();
    let own = vitport(&["convert", "source", "-o", "out", "--mapping", "own.toml"], folder.path());
    let stdout = text(own.stdout);
    assert!(own.status.success(), "{}", text(own.stderr));
    assert!(stdout.contains("aux.weight") && stdout.contains("only used in training"), "{stdout}");
    let again = vitport(&["plan", "source", "--rules", "own.toml", "--print-rules", "--json"], folder.path());
    let document: Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!(document["file"], "own.toml");
    assert!(document["text"].as_str().unwrap().contains("only used in training"));
}

#[test]
fn all_problems_are_in_the_document() {
    let folder = tempfile::tempdir().unwrap();
    let names = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta"];
    example_with(&names, folder.path());
    let output = vitport(&["plan", "source", "--json"], folder.path());
    assert_eq!(output.status.code(), Some(4));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(document["error"]["message"].as_str().unwrap().contains("and 2 more"));
    let problems = document["problems"].as_array().unwrap();
    let mut found: Vec<&str> = problems.iter().map(|problem| problem["names"][0].as_str().unwrap()).collect();
    found.sort_unstable();
    let mut wanted = names;
    wanted.sort_unstable();
    assert_eq!(found, wanted);
}
