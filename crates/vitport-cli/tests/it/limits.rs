//! Checks that what a file declares costs no memory and no disk before it is compared with a limit.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::support::{example, names, vitport};

/// Runs the command with at most so many kilobytes of address space.
fn within(kilobytes: u64, arguments: &[&str], folder: &Path) -> Output {
    let limited = format!("ulimit -v {kilobytes}; exec \"$0\" \"$@\"");
    let mut command = Command::new("sh");
    command.args(["-c", &limited, env!("CARGO_BIN_EXE_vitport")]).args(arguments);
    // Each thread and each of the allocator's arenas reserves addresses that nobody uses.
    command.envs([("MALLOC_ARENA_MAX", "1"), ("RAYON_NUM_THREADS", "2")]);
    command.current_dir(folder).output().unwrap()
}

fn refused(output: &Output, says: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    assert!(stderr.lines().count() == 1 && stderr.contains(says), "{stderr}");
}

/// Writes a folder of the small ViT whose head has so many classes.
fn expanded(place: &Path, classes: u64) {
    let source = example("vit_small_twin");
    let config = fs::read_to_string(source.join("config.json")).unwrap();
    let mut config: serde_json::Value = serde_json::from_str(&config).unwrap();
    config["num_classes"] = classes.into();
    config["model_args"]["num_classes"] = classes.into();
    for key in ["label_names", "label_descriptions"] {
        config.as_object_mut().unwrap().remove(key);
    }
    fs::write(place.join("config.json"), config.to_string()).unwrap();
    let weights = fs::read(source.join("model.safetensors")).unwrap();
    fs::write(place.join("model.safetensors"), with_head(&weights, classes)).unwrap();
}

/// The same weights with a head of zeros.
fn with_head(weights: &[u8], classes: u64) -> Vec<u8> {
    let length = u64::from_le_bytes(weights[..8].try_into().unwrap()) as usize;
    let mut header: serde_json::Value = serde_json::from_slice(&weights[8..8 + length]).unwrap();
    let mut data = weights[8 + length..].to_vec();
    let width = header["head.weight"]["shape"][1].as_u64().unwrap();
    // The old head's bytes stay where they are, under other names, since a file has no gaps.
    for (name, shape) in [("head.weight", vec![classes, width]), ("head.bias", vec![classes])] {
        let begin = data.len() as u64;
        let bytes = shape.iter().product::<u64>() * 4;
        data.resize((begin + bytes) as usize, 0);
        let old = &header[name]["data_offsets"];
        header[format!("old.{name}")] = serde_json::json!({
            "dtype": "F32",
            "shape": [(old[1].as_u64().unwrap() - old[0].as_u64().unwrap()) / 4],
            "data_offsets": old,
        });
        header[name] =
            serde_json::json!({ "dtype": "F32", "shape": shape, "data_offsets": [begin, begin + bytes] });
    }
    let mut text = header.to_string().into_bytes();
    text.resize(text.len().next_multiple_of(8), b' ');
    [&(text.len() as u64).to_le_bytes()[..], &text, &data].concat()
}

#[test]
fn a_head_of_many_classes_is_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    expanded(folder.path(), 250_001);
    let before = names(folder.path());
    for command in ["plan", "convert"] {
        refused(&vitport(&[command, "."], folder.path()), "the head has 250001 classes, more than 250000");
    }
    assert_eq!(names(folder.path()), before);
}

#[test]
fn declared_classes_cost_no_memory() {
    let folder = tempfile::tempdir().unwrap();
    let source = example("vit_small_twin");
    fs::copy(source.join("model.safetensors"), folder.path().join("model.safetensors")).unwrap();
    let config = fs::read_to_string(source.join("config.json")).unwrap();
    let mut config: serde_json::Value = serde_json::from_str(&config).unwrap();
    config["num_classes"] = 100_000_000_u64.into();
    config["model_args"]["num_classes"] = 100_000_000_u64.into();
    config["label_names"] = serde_json::json!({ "99999999": "last" });
    fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    let output = within(600_000, &["plan", "."], folder.path());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(matches!(output.status.code(), Some(3 | 4)), "{stderr}");
}

#[test]
fn a_long_config_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let source = example("vit_small_twin");
    fs::copy(source.join("model.safetensors"), folder.path().join("model.safetensors")).unwrap();
    let config = fs::read_to_string(source.join("config.json")).unwrap();
    let config = config.trim_end().strip_suffix('}').unwrap();
    for (more, says) in [
        (format!(", \"x\": \"{}\"}}", "x".repeat(16 << 20)), "more than 16777216 bytes"),
        (format!(", \"x\": [{}]}}", vec!["0"; 1_000_002].join(",")), "more than 1000000 values"),
    ] {
        fs::write(folder.path().join("config.json"), format!("{config}{more}")).unwrap();
        refused(&within(600_000, &["plan", "."], folder.path()), says);
    }
}

#[test]
fn more_shards_than_a_process_may_open_are_read() {
    const SHARDS: usize = 2_000;
    let folder = tempfile::tempdir().unwrap();
    let name = |shard: usize| format!("model-{shard:05}-of-{SHARDS:05}.safetensors");
    let mut map = serde_json::Map::new();
    for shard in 1..=SHARDS {
        let tensor = format!("t{shard}");
        let header = serde_json::json!({ &tensor: { "dtype": "F32", "shape": [2], "data_offsets": [0, 8] } });
        let header = header.to_string();
        let length = (header.len() as u64).to_le_bytes();
        let bytes = [&length[..], header.as_bytes(), &(shard as u64).to_le_bytes()].concat();
        fs::write(folder.path().join(name(shard)), bytes).unwrap();
        map.insert(tensor, name(shard).into());
    }
    let index = serde_json::json!({ "metadata": {}, "weight_map": map });
    fs::write(folder.path().join("model.safetensors.index.json"), index.to_string()).unwrap();
    for files in [1024, 180] {
        for arguments in [&["inspect", "--hash", ".", "--json"][..], &["diff", ".", "."]] {
            let limited = format!("ulimit -n {files}; exec \"$0\" \"$@\"");
            let mut command = Command::new("sh");
            command.args(["-c", &limited, env!("CARGO_BIN_EXE_vitport")]).args(arguments);
            let output = command.current_dir(folder.path()).output().unwrap();
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{files} {arguments:?}: {stderr}");
        }
    }
}
