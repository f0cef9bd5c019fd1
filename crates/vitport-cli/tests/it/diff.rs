//! Tests `vitport diff`: through mappings, by name, and what it says of checkpoints that are only partly loaded.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Map, Value, json};

use crate::support::{example, vitport};

/// A tensor of a file: dtype, shape, float32 values.
#[derive(Clone)]
struct Floats {
    shape: Vec<u64>,
    values: Vec<f32>,
}

fn read(file: &Path) -> BTreeMap<String, Floats> {
    let bytes = fs::read(file).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: Map<String, Value> = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    let data = &bytes[8 + length..];
    let tensor = |(name, entry): (String, Value)| {
        let place = |index: usize| entry["data_offsets"][index].as_u64().unwrap() as usize;
        let number = |four: &[u8]| f32::from_le_bytes(four.try_into().unwrap());
        let values = data[place(0)..place(1)].chunks(4).map(number).collect();
        let shape = serde_json::from_value(entry["shape"].clone()).unwrap();
        (name, Floats { shape, values })
    };
    header.into_iter().filter(|(name, _)| name != "__metadata__").map(tensor).collect()
}

fn write(file: &Path, tensors: &BTreeMap<String, Floats>) {
    let (mut header, mut data) = (Map::new(), Vec::new());
    header.insert("__metadata__".to_owned(), json!({ "format": "pt" }));
    for (name, Floats { shape, values }) in tensors {
        let begin = data.len();
        data.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        let entry = json!({ "dtype": "F32", "shape": shape, "data_offsets": [begin, data.len()] });
        header.insert(name.clone(), entry);
    }
    let header = serde_json::to_string(&header).unwrap();
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    fs::write(file, bytes).unwrap();
}

/// Values that have nothing to do with others, from -1 to 1.
fn noise(values: &mut [f32]) {
    let mut state = 88_172_645_463_325_252_u64;
    for value in values {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        *value = (state >> 40) as f32 / (1 << 23) as f32 - 1.0;
    }
}

fn is_of_block(name: &str, is_wanted: impl Fn(u64) -> bool) -> bool {
    let number = |stem: &str| name.strip_prefix(stem)?.split('.').next()?.parse().ok();
    ["blocks.", "vit.encoder.layer."].iter().find_map(|stem| number(stem)).is_some_and(is_wanted)
}

/// Compares and returns the exit code, the text and the document.
fn diff(folder: &Path, a: &str, b: &str) -> (i32, String, Value) {
    let output = vitport(&["diff", a, b], folder);
    let document = vitport(&["diff", a, b, "--json"], folder);
    assert_eq!(output.status, document.status);
    let text = String::from_utf8(output.stdout).unwrap();
    let code = output.status.code().unwrap();
    assert!(code < 2, "{}", String::from_utf8_lossy(&output.stderr));
    (code, text, serde_json::from_slice(&document.stdout).unwrap())
}

/// A folder with `twin.safetensors`, a bare file of timm's, and `folder`, which a conversion made of it.
fn converted() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let twin = example("vit_small_twin");
    fs::copy(twin.join("model.safetensors"), folder.path().join("twin.safetensors")).unwrap();
    let convert = ["convert", twin.to_str().unwrap(), "-o", "folder", "--no-verify", "-q"];
    assert!(vitport(&convert, folder.path()).status.success());
    folder
}

fn names(document: &Value, key: &str) -> Vec<String> {
    document[key].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_conversion_is_its_source_in_either_order() {
    let folder = converted();
    for (a, b) in [("twin.safetensors", "folder"), ("folder", "twin.safetensors")] {
        let (code, text, document) = diff(folder.path(), a, b);
        assert_eq!((code, text.trim()), (0, "56 tensors are the same, 0 differ, through timm_vit.toml"));
        assert_eq!(document["through"], json!({ "by": "mapping", "file": "timm_vit.toml" }));
        assert_eq!((names(&document, "equal").len(), &document["differences"]), (56, &json!([])));
    }
}

#[test]
fn a_cvt_is_its_source_though_its_weights_say_neither_heads_nor_size() {
    let folder = tempfile::tempdir().unwrap();
    let source = example("cvt_tiny/tiny.pth");
    let source = source.to_str().unwrap();
    let options = ["--num-heads", "1,2,4", "--image-size", "64", "-o", "cvt", "--no-verify", "-q"];
    assert!(vitport(&[&["convert", source][..], &options].concat(), folder.path()).status.success());
    let (code, text, _) = diff(folder.path(), source, "cvt");
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("0 differ, through microsoft_cvt.toml"), "{text}");
    // Another network is another one, and no mapping is forced on it.
    let (code, text, _) = diff(folder.path(), example("vit_small_twin").to_str().unwrap(), "cvt");
    assert!(code == 1 && text.contains("no tensor has the same name on both sides"), "{text}");
}

#[test]
fn how_far_values_are_apart_is_counted() {
    let folder = converted();
    let mut tensors = read(&folder.path().join("twin.safetensors"));
    let bias = tensors.get_mut("blocks.1.attn.qkv.bias").unwrap();
    let before: Vec<f64> = bias.values[48..96].iter().copied().map(f64::from).collect();
    // The third of the keys' biases.
    bias.values[50] += 0.5;
    bias.values[55] -= 0.25;
    let after: Vec<f64> = bias.values[48..96].iter().copied().map(f64::from).collect();
    write(&folder.path().join("changed.safetensors"), &tensors);
    let (code, text, document) = diff(folder.path(), "folder", "changed.safetensors");
    assert_eq!((code, document["differences"].as_array().unwrap().len()), (1, 1), "{text}");
    let row = &document["differences"][0];
    assert_eq!(row["name"], "vit.encoder.layer.1.attention.attention.key.bias");
    assert_eq!(row["difference"], "other values");
    assert_eq!(row["b"]["made_of"], json!(["blocks.1.attn.qkv.bias"]));
    let values = &row["values"];
    assert_eq!(
        (&values["elements"], &values["differing"], &values["first"]),
        (&json!(48), &json!(2), &json!([2]))
    );
    let size = |list: &[f64]| list.iter().map(|value| value * value).sum::<f64>().sqrt();
    let product: f64 = before.iter().zip(&after).map(|(a, b)| a * b).sum();
    let near = |key: &str, wanted: f64| {
        assert!((values[key].as_f64().unwrap() - wanted).abs() < 1e-6, "{key}: {values} {wanted}");
    };
    near("max_abs", 0.5);
    near("relative", 0.5 / (size(&before) / 48.0_f64.sqrt()));
    near("cosine", product / (size(&before) * size(&after)));
    assert!(text.starts_with("55 tensors are the same, 1 differ, through timm_vit.toml"), "{text}");
}

#[test]
fn a_layer_that_was_not_loaded_is_a_line() {
    let folder = converted();
    let whole = read(&folder.path().join("twin.safetensors"));
    let mut without = whole.clone();
    without.retain(|name, _| !is_of_block(name, |block| block == 1));
    write(&folder.path().join("without.safetensors"), &without);
    let (code, text, document) = diff(folder.path(), "without.safetensors", "folder");
    assert_eq!((code, names(&document, "differences").len(), names(&document, "equal").len()), (1, 16, 40));
    assert!(document["differences"].as_array().unwrap().iter().all(|row| row["difference"] == "only in B"));
    assert!(text.contains("vit.encoder.layer.{0,2}  all 16 tensors equal"), "{text}");
    assert!(text.contains("vit.encoder.layer.1      none equal: 16 only in B"), "{text}");
    assert_eq!(text.trim().lines().count(), 6, "{text}");

    // The folder lacks them, and has random ones.
    let weights = folder.path().join("folder/model.safetensors");
    let mut tensors = read(&weights);
    let full = tensors.clone();
    tensors.retain(|name, _| !is_of_block(name, |layer| layer > 0));
    write(&weights, &tensors);
    let (code, text, _) = diff(folder.path(), "twin.safetensors", "folder");
    assert!(code == 1 && text.contains("vit.encoder.layer.{1..2}  none equal: 16 only in A"), "{text}");
    let mut tensors = full;
    for (name, tensor) in &mut tensors {
        if is_of_block(name, |layer| layer > 0) {
            noise(&mut tensor.values);
        }
    }
    write(&weights, &tensors);
    let (_, text, document) = diff(folder.path(), "twin.safetensors", "folder");
    assert!(text.contains("vit.encoder.layer.0       all 16 tensors equal"), "{text}");
    assert!(
        text.contains(
            "vit.encoder.layer.{1..2}  none equal: 16 with other values, and the matrices are unrelated"
        ),
        "{text}"
    );
    // 32 tensors are 16 rows.
    assert_eq!(names(&document, "differences").len(), 32);
    assert_eq!(text.lines().filter(|line| line.contains("  other values  2  ")).count(), 16, "{text}");
}

#[test]
fn dtypes_shapes_and_what_one_side_lacks_are_told_apart() {
    let folder = converted();
    let mut tensors = read(&folder.path().join("twin.safetensors"));
    let classes = tensors["head.bias"].values.len() as u64;
    tensors.get_mut("head.bias").unwrap().shape = vec![1, classes];
    let norm = tensors.remove("norm.weight").unwrap();
    tensors.insert("other.weight".to_owned(), norm);
    write(&folder.path().join("other.safetensors"), &tensors);
    let (code, text, document) = diff(folder.path(), "twin.safetensors", "other.safetensors");
    let found: BTreeMap<&str, &str> = document["differences"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["name"].as_str().unwrap(), row["difference"].as_str().unwrap()))
        .collect();
    let wanted = [("head.bias", "other shape"), ("norm.weight", "only in A"), ("other.weight", "only in B")];
    assert_eq!((code, found), (1, wanted.into()), "{text}");
    let half = [
        "convert",
        example("vit_small_twin").to_str().unwrap(),
        "-o",
        "half",
        "--dtype",
        "f16",
        "--no-verify",
    ]
    .map(str::to_owned);
    let half: Vec<&str> = half.iter().map(String::as_str).collect();
    assert!(vitport(&half, folder.path()).status.success());
    let (code, text, document) = diff(folder.path(), "twin.safetensors", "half");
    assert_eq!((code, names(&document, "differences").len()), (1, 56));
    assert!(text.contains("56 of another dtype") && text.contains("F32 [48] → F16 [48]"), "{text}");
}

#[test]
fn a_diff_fits_the_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let source = example("vit_small_twin").display().to_string();
    let convert = ["convert", &source, "-o", "half", "--dtype", "f16", "--no-verify", "-q"];
    assert!(vitport(&convert, folder.path()).status.success());
    let diff = |columns: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vitport"));
        let command = command.args(["diff", &source, "half"]).current_dir(folder.path());
        String::from_utf8(command.env("COLUMNS", columns).output().unwrap().stdout).unwrap()
    };
    let (narrow, wide) = (diff("70"), diff("300"));
    assert!(narrow.lines().all(|line| line.chars().count() <= 70), "{narrow}");
    let names = |text: &str| text.split_whitespace().filter(|word| word.starts_with("vit.")).count();
    assert_eq!(names(&narrow), names(&wide));
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (narrow, wide) = (words(&narrow), words(&wide));
    for said in
        ["blocks.{0..2}.attn.qkv.weight", "other dtype", "F32 [1, 26, 48] → F16 [1, 26, 48]", "1248 of 1248"]
    {
        assert!(narrow.contains(said) && wide.contains(said), "{said}: {narrow}");
    }
}
