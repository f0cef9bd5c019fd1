//! Says what each fuzz target does with its bytes. libFuzzer calls these, and so does the smoke run among the ordinary tests
//! (`crates/vitport/tests/it/fuzz_targets.rs`).

use std::sync::OnceLock;

use vitport::frameworks::Definition;
use vitport::frameworks::timm::vision_transformer::DEFINITION;
use vitport::image::{ImageProcessor, RgbImage};
use vitport::mapping::{Bindings, Mapping, Sources, mappings};
use vitport::nn::{Context, Forward, ForwardError, Network, Outputs, Pixels};
use vitport::options::FactOptions;
use vitport::pipeline::{self, Request};
use vitport::source::Source;
use vitport::state_dict::StateDict;
use vitport::verify::Classifier;
use vitport_checkpoint::{Dtype, Limits, Tensor, escape};

use super::{folder, open, open_path, tar, zip};

/// Holds a target's name and what it does with its bytes.
pub type Target = (&'static str, fn(&[u8]));

/// Lists every target.
pub const ALL: [Target; 16] = [
    ("pickle", pickle),
    ("script", script),
    ("zip", whole_zip),
    ("legacy", open),
    ("tar", members),
    ("npy", npy),
    ("npz", npz),
    ("safetensors", safetensors),
    ("index", index),
    ("mapping", mapping),
    ("adapters", adapters),
    ("module", module),
    ("training", training),
    ("distributed", distributed),
    ("config", config),
    ("image", image),
];

/// Fuzzes the pickle machine, the builders and the walk: the input is the pickle of a PyTorch zip that has four storages.
pub fn pickle(data: &[u8]) {
    let values = [7; 96];
    open(&zip(&[
        ("a/data.pkl", data),
        ("a/data/0", &values),
        ("a/data/1", &values[..16]),
        ("a/data/2", &values[..4]),
        ("a/data/3", &values[..8]),
    ]));
}

/// Fuzzes TorchScript: the input is the code, then a zero byte, then the pickle.
pub fn script(data: &[u8]) {
    let at = data.iter().position(|byte| *byte == 0).unwrap_or(data.len());
    let (code, pickle) = data.split_at(at);
    open(&zip(&[
        ("a/data.pkl", pickle.get(1..).unwrap_or_default()),
        ("a/data/0", &[7; 24]),
        ("a/data/1", &[7; 8]),
        ("a/code/__torch__/net.py", code),
        ("a/constants.pkl", b"\x80\x02)."),
    ]));
}

/// Fuzzes the zip container: the input is the whole file.
pub fn whole_zip(data: &[u8]) {
    if data.starts_with(b"PK") {
        open(data);
    }
}

/// Fuzzes PyTorch's tar: the input is the three members, each with two bytes of length before it.
pub fn members(data: &[u8]) {
    let mut parts = Parts(data);
    let (Some(storages), Some(tensors), Some(pickle)) = (parts.next(), parts.next(), parts.next()) else {
        return;
    };
    open(&tar(&[("storages", storages), ("tensors", tensors), ("pickle", pickle)]));
}

/// Fuzzes one array of an `.npz`: the input is the entry.
pub fn npy(data: &[u8]) {
    open(&zip(&[("w.npy", data)]));
}

/// Fuzzes an `.npz` and its mapping: the input is names and entries in turn, each with two bytes of length before it. It is
/// opened, and planned as the JAX release of a ViT.
pub fn npz(data: &[u8]) {
    let parts: Vec<&[u8]> = Parts(data).take(128).collect();
    let entries: Vec<(String, &[u8])> = parts
        .chunks_exact(2)
        .map(|pair| (String::from_utf8_lossy(pair[0]).chars().take(200).collect(), pair[1]))
        .collect();
    let entries: Vec<(&str, &[u8])> = entries.iter().map(|(name, data)| (name.as_str(), *data)).collect();
    let path = folder().join("input.npz");
    std::fs::write(&path, zip(&entries)).expect("a temporary file");
    open_path(&path);
    plan(&path);
}

/// Fuzzes safetensors: the input is the whole file, and then header and data without the header's length.
pub fn safetensors(data: &[u8]) {
    open(data);
    if let Some(end) = data.iter().rposition(|byte| *byte == b'}') {
        let mut file = (end as u64 + 1).to_le_bytes().to_vec();
        file.extend(data);
        open(&file);
    }
}

/// Fuzzes shard indices: the input is the JSON document, in a folder with two shards.
pub fn index(data: &[u8]) {
    let folder = folder();
    let header = br#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
    for name in ["1.safetensors", "2.safetensors"] {
        let path = folder.join(name);
        if !path.exists() {
            std::fs::write(path, one_file(header, 4)).expect("a temporary file");
        }
    }
    let index = folder.join("model.safetensors.index.json");
    std::fs::write(&index, data).expect("a temporary file");
    open_path(&index);
}

/// Fuzzes mapping files: the input is the TOML text, which is read, written out over a small state dict, and inverted.
pub fn mapping(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mapping = match Mapping::parse("fuzz.toml", text) {
        Ok(mapping) => mapping,
        Err(error) => return shown(&error.to_string()),
    };
    let dict = Sources::of_state_dict(&StateDict::from_entries(
        [("w", vec![4, 4]), ("b", vec![4]), ("blocks.0.w", vec![12, 4]), ("blocks.1.w", vec![12, 4])]
            .into_iter()
            .chain([("conv", vec![2, 2, 3, 4]), ("pos", vec![1, 5, 4]), ("n", vec![])])
            .map(|(name, shape)| {
                (name.to_owned(), Tensor::contiguous(name.to_owned(), Dtype::F32, shape, 0, 0))
            }),
    ));
    let mut bindings = Bindings::default();
    bindings.counts.extend([("layers", 2), ("width", 4), ("blocks.0", 1), ("blocks.1", 3)].map(named));
    bindings.flags.extend([("head", true), ("qkv_bias", false)].map(named));
    bindings.texts.extend([named(("base", "net.".to_owned()))]);
    match mapping.plan(&dict, &bindings, None, &two_tensors()) {
        Ok(plan) => {
            let written = plan.targets.iter().map(|target| {
                let tensor = Tensor::contiguous(&*target.name, target.dtype, target.shape.to_vec(), 0, 0);
                (target.name.to_string(), tensor)
            });
            let written = Sources::of_state_dict(&StateDict::from_entries(written));
            let _ = mapping.inverse(&dict, &bindings, &written);
        }
        Err(problems) => shown(&problems.to_string()),
    }
    let _ = mapping.live_and_all(&dict, &bindings);
}

/// A network that reads `net.w` and `net.b` and computes nothing.
fn two_tensors() -> Network {
    struct Nothing;
    impl Forward for Nothing {
        fn forward(&self, _: &Pixels, _: &mut Context<'_>) -> Result<Outputs, ForwardError> {
            Ok(Outputs::new())
        }
    }
    let built = Network::build(|scope| {
        scope.parameter("net.w", &[4, 4])?;
        scope.parameter("net.b", &[4])?;
        Ok(Nothing)
    });
    built.expect("two tensors are not too many")
}

/// Fuzzes adapters: the input is `adapter_config.json` and the safetensors file next to it, each with two bytes of length before it.
/// They are planned, and what is merged is read.
pub fn adapters(data: &[u8]) {
    let mut parts = Parts(data);
    let (Some(config), Some(weights)) = (parts.next(), parts.next()) else { return };
    let folder = root("adapters");
    std::fs::write(folder.join("adapter_config.json"), config).expect("a temporary file");
    std::fs::write(folder.join("model.safetensors"), weights).expect("a temporary file");
    plan(&folder);
}

/// Fuzzes what a network that was saved whole says of itself: the input is the pickle of a PyTorch zip with one storage, which is
/// planned.
pub fn module(data: &[u8]) {
    let storage = [0; 4096];
    let names = (0..64).map(|number| format!("a/data/{number}")).collect::<Vec<_>>();
    let storages = names.iter().map(|name| (name.as_str(), &storage[..]));
    let entries: Vec<(&str, &[u8])> = std::iter::once(("a/data.pkl", data)).chain(storages).collect();
    let path = super::folder().join("module.pt");
    std::fs::write(&path, zip(&entries)).expect("a temporary file");
    plan(&path);
}

/// Fuzzes folders of training programs: the input is names of files and their contents in turn, each with two bytes of length before
/// it. A name may lie in one folder of the folder.
pub fn training(data: &[u8]) {
    let folder = root("training");
    std::fs::remove_dir_all(&folder).expect("a temporary folder");
    let parts: Vec<&[u8]> = Parts(data).take(32).collect();
    for pair in parts.chunks_exact(2) {
        let name: String = String::from_utf8_lossy(pair[0]).chars().take(100).collect();
        let (inner, own) = name.split_once('/').unwrap_or((".", &name));
        if [inner, own].iter().any(|part| part.is_empty() || *part == ".." || part.contains(['/', '\0'])) {
            continue;
        }
        let folder = folder.join(inner);
        if std::fs::create_dir_all(&folder).is_ok() {
            // A name that is a folder already is no file.
            let _ = std::fs::write(folder.join(own), pair[1]);
        }
    }
    std::fs::create_dir_all(&folder).expect("a temporary folder");
    open_path(&folder);
    plan(&folder);
}

/// Fuzzes folders of torch.distributed.checkpoint: the input is `.metadata`, next to parts that hold what its seeds say.
pub fn distributed(data: &[u8]) {
    let folder = root("distributed");
    let part = folder.join("__0_0.distcp");
    if !part.exists() {
        let bytes =
            include_bytes!("../../crates/vitport-checkpoint/tests/data/distributed/alone/__0_0.distcp");
        std::fs::write(part, bytes).expect("a temporary file");
    }
    std::fs::write(folder.join(".metadata"), data).expect("a temporary file");
    open_path(&folder);
}

/// Returns a folder of its own among the temporary ones.
fn root(name: &str) -> std::path::PathBuf {
    let folder = super::folder().join(name);
    std::fs::create_dir_all(&folder).expect("a temporary folder");
    folder
}

/// Documents next to the weights: the first byte says which, the rest is the document. timm's `config.json` next to a tiny ViT
/// that is then planned; transformers' `config.json` and `preprocessor_config.json` in a folder that is then classified
/// with; and a file of labels.
pub fn config(data: &[u8]) {
    let Some((kind, document)) = data.split_first() else { return };
    let root = folder();
    match kind % 4 {
        0 => {
            let folder = root.join("timm");
            std::fs::create_dir_all(&folder).expect("a temporary folder");
            let weights = folder.join("model.safetensors");
            if !weights.exists() {
                std::fs::write(weights, tiny_vit()).expect("a temporary file");
            }
            std::fs::write(folder.join("config.json"), document).expect("a temporary file");
            plan(&folder);
        }
        1 => {
            let folder = root.join("transformers");
            std::fs::create_dir_all(&folder).expect("a temporary folder");
            let header = br#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
            std::fs::write(folder.join("model.safetensors"), one_file(header, 4)).expect("a temporary file");
            std::fs::write(folder.join("preprocessor_config.json"), b"{\"size\":{\"height\":4,\"width\":4}}")
                .expect("a temporary file");
            std::fs::write(folder.join("config.json"), document).expect("a temporary file");
            match Classifier::open(&folder, &Limits::default()) {
                Ok(classifier) => {
                    let _ = classifier.top(small_image(), 5);
                }
                Err(error) => shown(&error.to_string()),
            }
        }
        2 => {
            let Ok(serde_json::Value::Object(fields)) = serde_json::from_slice(document) else { return };
            // Images of millions of pixels are lawful and slow.
            let is_small = !document.windows(4).any(|four| four.iter().all(u8::is_ascii_digit));
            match ImageProcessor::from_json(&fields, Some("ViTImageProcessor")) {
                Ok(processor) if is_small && !document.contains(&b'e') && !document.contains(&b'E') => {
                    let _ = processor.apply(small_image());
                }
                Ok(_) => {}
                Err(error) => shown(&error.to_string()),
            }
        }
        _ => {
            if let Err(error) = vitport::labels::parse(document, "labels.txt") {
                shown(&error.to_string());
            }
        }
    }
}

/// Fuzzes JPEG, PNG and WebP: the input is the whole file.
pub fn image(data: &[u8]) {
    if let Err(error) = RgbImage::decode(data) {
        shown(&error.to_string());
    }
}

/// Plans a source without facts, and with some.
fn plan(path: &std::path::Path) {
    let facts = FactOptions {
        num_heads: Some(vec![2]),
        mean: Some([0.5; 3]),
        std: Some([0.5; 3]),
        crop_pct: Some(1.0),
        interpolation: vitport::image::Filter::from_name("bicubic"),
        ..FactOptions::default()
    };
    for facts in [FactOptions::default(), facts] {
        let source = match Source::open(path, None, &super::limits()) {
            Ok(source) => source,
            Err(error) => return shown(&error.to_string()),
        };
        match pipeline::plan(source, &Request { facts, ..Request::default() }) {
            Ok(prepared) => {
                let mapping = &prepared.model.mapping;
                assert!(mappings().iter().any(|known| known.file() == mapping.file()));
            }
            Err(error) => shown(&escape(&error.to_string()).to_string()),
        }
    }
}

/// What would be shown must be one line that steers nothing.
fn shown(text: &str) {
    assert!(!escape(text).to_string().chars().any(char::is_control), "{text:?}");
}

fn named<T>((name, value): (&str, T)) -> (String, T) {
    (name.to_owned(), value)
}

fn small_image() -> &'static RgbImage {
    static IMAGE: OnceLock<RgbImage> = OnceLock::new();
    IMAGE.get_or_init(|| RgbImage::new(5, 3, (0..45).collect()).expect("three bytes a pixel"))
}

/// A safetensors file of zeros.
fn one_file(header: &[u8], data: usize) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes()[..], header, &vec![0; data]].concat()
}

/// timm's ViT with one block of four channels, for images of 4 × 4, with two classes: a safetensors file of zeros.
fn tiny_vit() -> Vec<u8> {
    let config = serde_json::json!({
        "img_size": [4, 4],
        "patch_size": [2, 2],
        "in_chans": 3,
        "num_classes": 2,
        "embed_dim": 4,
        "depth": 1,
        "num_heads": 1,
        "mlp_dim": 8,
        "qkv_bias": true,
        "layer_scale": false,
        "no_embed_class": false,
        "pre_norm": false,
        "act_layer": "gelu",
        "norm_eps": 1e-6,
    });
    let network = DEFINITION.build(config.as_object().expect("an object")).expect("a ViT");
    let mut header = serde_json::Map::new();
    let mut at = 0;
    for tensor in network.parameters() {
        let end = at + 4 * tensor.shape().iter().product::<usize>();
        let entry = serde_json::json!({ "dtype": "F32", "shape": tensor.shape(), "data_offsets": [at, end] });
        header.insert(tensor.name().to_owned(), entry);
        at = end;
    }
    one_file(serde_json::Value::Object(header).to_string().as_bytes(), at)
}

/// Parts with two bytes of length before each.
struct Parts<'a>(&'a [u8]);

impl<'a> Iterator for Parts<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (length, tail) = self.0.split_first_chunk::<2>()?;
        let length = usize::from(u16::from_le_bytes(*length)).min(tail.len());
        let (part, tail) = tail.split_at(length);
        self.0 = tail;
        Some(part)
    }
}
