//! Tests that a folder is judged by what transformers does when it opens it. Each case is a conversion changed in one place
//! and tried in transformers 4.57.6 and 5.23.0; the suite in `tests/interop` makes them by the hundred.

use std::path::Path;

use serde_json::{Map, Value, json};
use vitport::options::FactOptions;
use vitport::pipeline::{Request, WriteOptions, plan, verify, write};
use vitport::source::Source;
use vitport::verify::{TestImage, Verdict};
use vitport_checkpoint::Limits;

const CONFIG: &str = "config.json";
const PROCESSOR: &str = "preprocessor_config.json";
const INDEX: &str = "model.safetensors.index.json";

/// Changes a folder.
type Change = Box<dyn Fn(&Path)>;

fn edit(file: &'static str, edit: impl Fn(&mut Map<String, Value>) + 'static) -> Change {
    Box::new(move |folder| {
        let path = folder.join(file);
        let mut document: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        edit(document.as_object_mut().unwrap());
        std::fs::write(path, document.to_string()).unwrap();
    })
}

fn set(file: &'static str, key: &'static str, value: Value) -> Change {
    edit(file, move |document| {
        document.insert(key.to_owned(), value.clone());
    })
}

fn remove(file: &'static str, key: &'static str) -> Change {
    edit(file, move |document| {
        document.remove(key);
    })
}

fn rename(from: &'static str, to: &'static str) -> Change {
    Box::new(move |folder| std::fs::rename(folder.join(from), folder.join(to)).unwrap())
}

fn put(name: &'static str, text: impl Into<Vec<u8>>) -> Change {
    let text = text.into();
    Box::new(move |folder| std::fs::write(folder.join(name), &text).unwrap())
}

/// Puts a file of the reader's tests in place of the weights.
fn weights_of_reader(name: &'static str) -> Change {
    Box::new(move |folder| {
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../vitport-checkpoint/tests/data");
        std::fs::remove_file(folder.join("model.safetensors")).unwrap();
        std::fs::copy(data.join(name), folder.join("pytorch_model.bin")).unwrap();
    })
}

/// Puts two pickles that an index names as safetensors in place of the weights.
fn pickles_named_safetensors() -> Change {
    Box::new(move |folder| {
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../vitport-checkpoint/tests/data");
        std::fs::remove_file(folder.join("model.safetensors")).unwrap();
        std::fs::copy(data.join("small.pth"), folder.join("a.safetensors")).unwrap();
        let small =
            vitport_checkpoint::Checkpoint::open(&data.join("small.pth"), &Limits::default()).unwrap();
        let names = small.tensors().iter().map(|tensor| (tensor.name.to_string(), json!("a.safetensors")));
        let index = json!({ "metadata": {}, "weight_map": Map::from_iter(names) });
        std::fs::write(folder.join("pytorch_model.bin.index.json"), index.to_string()).unwrap();
    })
}

/// Writes the metadata of the weights anew.
fn metadata(metadata: Value) -> Change {
    Box::new(move |folder| {
        let path = folder.join("model.safetensors");
        let bytes = std::fs::read(&path).unwrap();
        let start = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let mut header: Value = serde_json::from_slice(&bytes[8..start]).unwrap();
        match &metadata {
            Value::Null => drop(header.as_object_mut().unwrap().remove("__metadata__")),
            metadata => header["__metadata__"] = metadata.clone(),
        }
        let mut text = header.to_string().into_bytes();
        text.resize(text.len().next_multiple_of(8), b' ');
        let length = (text.len() as u64).to_le_bytes();
        std::fs::write(path, [&length[..], &text, &bytes[start..]].concat()).unwrap();
    })
}

/// A change, and a part of the sentence that says what transformers does; none where it does the same as before.
struct Case {
    name: &'static str,
    change: Change,
    sentence: Option<&'static str>,
}

fn found(name: &'static str, change: Change, sentence: &'static str) -> Case {
    Case { name, change, sentence: Some(sentence) }
}

fn harmless(name: &'static str, change: Change) -> Case {
    Case { name, change, sentence: None }
}

/// Converts `source` and verifies it with each change.
fn check(source: &str, facts: FactOptions, max_shard_size: u64, cases: Vec<Case>) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(source);
    let opened = Source::open(&source, None, &Limits::default()).unwrap();
    let prepared = plan(opened, &Request { facts, ..Request::default() }).unwrap();
    let (temporary, image) = (tempfile::tempdir().unwrap(), TestImage::built_in().unwrap());
    for (number, Case { name, change, sentence }) in cases.into_iter().enumerate() {
        let folder = temporary.path().join(number.to_string());
        let options = WriteOptions { max_shard_size, force: false, fsync: false, exact_code: false };
        write(&prepared, &folder, options, &|_| ()).unwrap().staging.publish().unwrap();
        change(&folder);
        let report = verify(&prepared, &folder, &image).unwrap();
        let reasons = &report.reasons;
        match sentence {
            None => assert_ne!(report.verdict, Verdict::Different, "{name}: {reasons:?}"),
            Some(part) => {
                assert_eq!(report.verdict, Verdict::Different, "{name}");
                assert!(reasons.iter().any(|reason| reason.contains(part)), "{name}: {reasons:?}");
            }
        }
    }
}

const ONE_FILE: u64 = 5 << 30;

#[test]
fn a_vit_folder_is_what_transformers_opens() {
    let large = format!("{{\"a\": \"{}\"}}", "x".repeat(33 << 20));
    let cases = vec![
        harmless("nothing", Box::new(|_| ())),
        harmless("a person's own key", set(CONFIG, "my_project", json!({ "a": [1, null] }))),
        harmless("eager attention", set(CONFIG, "attn_implementation", json!("eager"))),
        harmless("torch's attention", set(CONFIG, "attn_implementation", json!("sdpa"))),
        found("no number of labels", set(CONFIG, "num_labels", json!(null)), "which transformers 5 refuses"),
        harmless("another dropout", set(CONFIG, "hidden_dropout_prob", json!(0.5))),
        harmless("no metadata", metadata(Value::Null)),
        harmless(
            "the file that is taken anyway",
            set(CONFIG, "transformers_weights", json!("model.safetensors")),
        ),
        harmless("a size as a number", set(PROCESSOR, "size", json!(84))),
        harmless(
            "a nested processor that is the same",
            Box::new(|folder| {
                let nested: Value =
                    serde_json::from_slice(&std::fs::read(folder.join(PROCESSOR)).unwrap()).unwrap();
                std::fs::write(
                    folder.join("processor_config.json"),
                    json!({ "image_processor": nested }).to_string(),
                )
                .unwrap();
            }),
        ),
        found(
            "other weights",
            set(CONFIG, "transformers_weights", json!("other.safetensors")),
            "transformers load \"other.safetensors\"",
        ),
        found(
            "renamed attributes",
            set(CONFIG, "attribute_map", json!({ "hidden_act": "pooler_act" })),
            "not verified: key attribute_map",
        ),
        found("causal attention", set(CONFIG, "is_causal", json!(true)), "not verified: key is_causal"),
        found(
            "unknown attention",
            set(CONFIG, "attn_implementation", json!("bogus")),
            "not verified: key attn_implementation",
        ),
        found(
            "a property's name",
            set(CONFIG, "use_return_dict", json!(true)),
            "not verified: key use_return_dict",
        ),
        found("timm's config", set(CONFIG, "pretrained_cfg", json!({})), "as timm does"),
        found("a dropout of 2", set(CONFIG, "hidden_dropout_prob", json!(2.0)), "transformers refuses"),
        found(
            "a float for a number",
            set(CONFIG, "hidden_size", json!(48.0)),
            "transformers 5 refuses all but int",
        ),
        found(
            "a number for a float",
            set(CONFIG, "initializer_range", json!(1)),
            "transformers 5 refuses all but float",
        ),
        found(
            "a square",
            set(PROCESSOR, "use_square_size", json!(true)),
            "not verified: key use_square_size",
        ),
        found(
            "a square in version 5",
            edit(PROCESSOR, |document| {
                document.insert("size".to_owned(), json!(84));
                document.insert("default_to_square".to_owned(), json!(true));
            }),
            "(transformers 5)",
        ),
        found("a size too much", set(PROCESSOR, "size", json!({ "shortest_edge": 84, "foo": 1 })), "refused"),
        found("a step that is null", set(PROCESSOR, "do_normalize", json!(null)), "(transformers 4 and 5)"),
        found("a method's name", set(PROCESSOR, "resize", json!(1)), "not verified: key resize"),
        found(
            "a processor that is too large",
            put("processor_config.json", large),
            "not verified: processor_config.json",
        ),
        found(
            "a processor with NaN",
            put("processor_config.json", r#"{"image_processor": {"do_resize": NaN}}"#),
            "not verified: processor_config.json",
        ),
        found("metadata without format", metadata(json!({ "made_by": "hand" })), "has no \"format\""),
        found("TensorFlow's format", metadata(json!({ "format": "tf" })), "has the format \"tf\""),
        found("another name", rename("model.safetensors", "weights.safetensors"), "finds no weights"),
        found(
            "safetensors under a pickle's name",
            rename("model.safetensors", "pytorch_model.bin"),
            "does not unpickle",
        ),
        found("a nested pickle", weights_of_reader("ema.pth"), "where transformers does not look"),
        found("a pickled module", weights_of_reader("module.pt"), "which torch.load does not accept"),
        found("an old tar", weights_of_reader("old.tar"), "does not unpickle the weights"),
        found("compressed records", weights_of_reader("deflated.pth"), "its records are compressed"),
        found("records in no folder", weights_of_reader("no_folder.pth"), "its records lie in no folder"),
        found("bytes before the zip", weights_of_reader("padded.pth"), "the file begins with other bytes"),
        found("a newer pickle", weights_of_reader("protocol4.pth"), "pickled by protocol 4"),
        found("no map of code", set(CONFIG, "auto_map", json!(null)), "which the Auto classes fail on"),
        found("no map of a processor's code", set(PROCESSOR, "auto_map", json!(null)), "auto_map"),
        found("no pipelines", set(CONFIG, "custom_pipelines", json!(null)), "custom_pipelines"),
        found("a processor's property", set(PROCESSOR, "is_fast", json!(true)), "is_fast"),
        found("a pickle by another name", pickles_named_safetensors(), "as safetensors by its name"),
    ];
    check("../../examples/vit_small_twin", FactOptions::default(), ONE_FILE, cases);
}

#[test]
fn a_vit_that_squashes_converts_to_rgb() {
    let facts = FactOptions {
        crop_pct: Some(1.0),
        crop_mode: Some(vitport::image::CropMode::Squash),
        ..FactOptions::default()
    };
    let sentence = "do_convert_rgb is true by the source and null by the folder (transformers 4 and 5)";
    let cases = vec![found("no conversion to RGB", remove(PROCESSOR, "do_convert_rgb"), sentence)];
    check("../../examples/vit_small_twin", facts, ONE_FILE, cases);
}

#[test]
fn shards_are_those_that_the_index_lists() {
    let cases = vec![
        harmless("nothing", Box::new(|_| ())),
        harmless("further keys", set(INDEX, "note", json!("mine"))),
        found("no metadata", remove(INDEX, "metadata"), "has no object \"metadata\""),
        found(
            "a dtype in the metadata",
            set(INDEX, "metadata", json!({ "dtype": "float16" })),
            "not verified: key metadata.dtype",
        ),
        found(
            "a tensor that is not listed",
            edit(INDEX, |index| {
                index["weight_map"].as_object_mut().unwrap().remove("classifier.weight").unwrap();
            }),
            "which transformers 4 leaves at random",
        ),
    ];
    check("../../examples/vit_small_twin", FactOptions::default(), 200_000, cases);
}

#[test]
fn a_cvt_folder_is_what_transformers_opens() {
    let cvt =
        FactOptions { num_heads: Some(vec![1, 2, 4]), image_size: Some([64, 64]), ..FactOptions::default() };
    let cases = vec![
        harmless("nothing", Box::new(|_| ())),
        harmless("other dropouts", set(CONFIG, "drop_rate", json!([0.1, 0.2, 0.3]))),
        found(
            "a rate for one stage",
            set(CONFIG, "drop_rate", json!([0.0])),
            "drop_rate is [0.0], which transformers refuses",
        ),
        found(
            "a crop in version 5",
            edit(PROCESSOR, |document| {
                document.insert("do_center_crop".to_owned(), json!(true));
                document.insert("crop_size".to_owned(), json!({ "height": 48, "width": 48 }));
            }),
            "do_center_crop is null by the source and true by the folder (transformers 5)",
        ),
        harmless("an entry more than there are stages", set(CONFIG, "num_heads", json!([1, 2, 4, 4]))),
        found("an entry less", set(CONFIG, "num_heads", json!([1, 2])), "num_heads"),
        found(
            "a stage without the blocks that the class needs",
            set(CONFIG, "depth", json!([1, 1, 3])),
            "depth 1 of stage 1: transformers' CvT needs at least 2",
        ),
        found(
            "torch's attention",
            set(CONFIG, "attn_implementation", json!("sdpa")),
            "not verified: key attn_implementation",
        ),
        harmless(
            "a class that is not looked for",
            set(CONFIG, "image_processor_type", json!("ViTImageProcessor")),
        ),
        found(
            "a class that is looked for",
            Box::new(|folder| {
                set(CONFIG, "image_processor_type", json!("ViTImageProcessor"))(folder);
                remove(PROCESSOR, "image_processor_type")(folder);
            }),
            "the image processor is \"ViTImageProcessor\" by the folder",
        ),
    ];
    check("../../examples/cvt_tiny/tiny.pth", cvt, ONE_FILE, cases);
}

#[test]
fn an_image_processor_that_nothing_names_is_not_guessed() {
    let cases = vec![
        harmless("nothing", Box::new(|_| ())),
        found(
            "no class",
            remove(PROCESSOR, "image_processor_type"),
            "transformers has none for clip_vision_model",
        ),
    ];
    check("tests/data/clip/tower", FactOptions::default(), ONE_FILE, cases);
}
