//! Tests timm's ConvNeXt and transformers': both definitions compared with what the frameworks computed, the conversion of
//! whole folders, what is refused, and faults that verifying must find.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize_to_file};
use serde_json::{Map, Value, json};
use vitport::catalogue;
use vitport::frameworks::{SOURCES, target};
use vitport::image::Pixels;
use vitport::model::Prepared;
use vitport::nn::{Matrix, MemoryWeights, Network};
use vitport::pipeline::verify;
use vitport::pipeline::{Request, WriteOptions, plan, write};
use vitport::source::Source;
use vitport::verify::{Report, TestImage, Verdict, VerifyError};
use vitport_checkpoint::Limits;

/// The networks, with the target's definition and class, and how many places are compared.
const NETWORKS: [(&str, &str, &str, usize); 4] = [
    ("plain", "transformers/convnext", "ConvNextForImageClassification", 14),
    ("conv_mlp_base", "transformers/convnext", "ConvNextModel", 11),
    ("v2", "transformers/convnextv2", "ConvNextV2ForImageClassification", 13),
    ("v2_conv_mlp_base", "transformers/convnextv2", "ConvNextV2Model", 11),
];

/// Float32 tensors by name: shape and values.
pub type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/convnext").join(name)
}

pub fn read(path: &Path) -> Tensors {
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let entry = |(name, view): (String, TensorView<'_>)| {
        let values = view.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()));
        (name, (view.shape().to_vec(), values.collect()))
    };
    file.tensors().into_iter().map(entry).collect()
}

pub fn save(tensors: &Tensors, path: &Path) {
    let bytes = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    let all: Vec<_> = tensors.iter().map(|(name, (shape, values))| (name, shape, bytes(values))).collect();
    let views = all.iter().map(|(name, shape, bytes)| {
        // Numbers of batches are int64, whose bytes are read as two numbers.
        let dtype = if name.ends_with("num_batches_tracked") { Dtype::I64 } else { Dtype::F32 };
        (name.as_str(), TensorView::new(dtype, (*shape).clone(), bytes).unwrap())
    });
    serialize_to_file(views, Some([("format".to_owned(), "pt".to_owned())].into()), path).unwrap();
}

pub fn document(path: &Path) -> Map<String, Value> {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

pub fn open(path: &Path) -> Result<Prepared, String> {
    let source = Source::open(path, None, &Limits::default()).map_err(|error| error.to_string())?;
    plan(source, &Request::default()).map_err(|error| error.to_string())
}

/// Runs a network and compares every hidden state and output with the expected ones; returns how many there are.
pub fn compare(network: &Network, weights: &Tensors, expected: &Tensors) -> usize {
    let mut memory = MemoryWeights::new();
    for (name, (shape, values)) in weights {
        memory.insert(name, shape, values.clone()).unwrap();
    }
    let (shape, values) = &expected["pixels"];
    let pixels = Pixels::new(shape[1], shape[2], values.clone()).unwrap();
    let mut places: Vec<(String, Matrix)> = Vec::new();
    let outputs = network.forward(&pixels, &memory, &mut places).unwrap();
    let mut found: BTreeMap<String, Vec<f32>> =
        places.into_iter().map(|(name, hidden)| (name, hidden.into_values())).collect();
    found.extend(outputs.iter().map(|output| (output.name.to_owned(), output.values.clone())));
    for (name, (_, wanted)) in expected.iter().filter(|(name, _)| *name != "pixels") {
        let found = found.remove(name).unwrap_or_else(|| panic!("{name} is not computed"));
        assert_eq!(found.len(), wanted.len(), "{name}");
        let size = (wanted.iter().map(|value| value * value).sum::<f32>() / wanted.len() as f32).sqrt();
        let worst = found.iter().zip(wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 1e-5 * size, "{name} is off by {:e}", worst / size);
    }
    assert!(found.is_empty(), "not expected: {:?}", found.keys());
    expected.len() - 1
}

#[test]
fn both_definitions_compute_what_the_frameworks_do() {
    for (name, id, _, places) in NETWORKS {
        let prepared = open(&data(name)).unwrap();
        let weights = read(&data(name).join("model.safetensors"));
        let expected = read(&data(&format!("{name}.expected.safetensors")));
        assert_eq!(compare(&prepared.model.network, &weights, &expected), places, "{name}");

        let config = document(&data(&format!("{name}.transformers.json")));
        let network = target(id).unwrap().build(&config).unwrap();
        let weights = read(&data(&format!("{name}.transformers.safetensors")));
        let expected = read(&data(&format!("{name}.transformers.expected.safetensors")));
        assert_eq!(compare(&network, &weights, &expected), places, "{name}");
    }
}

/// A converted folder.
pub struct Converted {
    pub prepared: Prepared,
    pub folder: PathBuf,
    pub scratch: tempfile::TempDir,
}

pub fn convert(path: &Path) -> Converted {
    let prepared = open(path).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("untouched");
    let options = WriteOptions { max_shard_size: 5 << 30, force: false, fsync: false, exact_code: false };
    write(&prepared, &folder, options, &|_| ()).unwrap().staging.publish().unwrap();
    Converted { prepared, folder, scratch }
}

#[test]
fn a_folder_is_what_transformers_saves_and_the_same_model() {
    for (name, _, class, _) in NETWORKS {
        let converted = convert(&data(name));
        let tensors = read(&converted.folder.join("model.safetensors"));
        assert_eq!(tensors, read(&data(&format!("{name}.transformers.safetensors"))), "{name}");
        let config = document(&converted.folder.join("config.json"));
        assert_eq!(config["architectures"], json!([class]));
        let theirs = document(&data(&format!("{name}.transformers.json")));
        for (key, value) in config.iter().filter(|(key, _)| *key != "torch_dtype") {
            assert_eq!(theirs.get(key).unwrap_or(value), value, "{name}: {key}");
        }
        let report = verify(&converted.prepared, &converted.folder, &TestImage::built_in().unwrap()).unwrap();
        assert_eq!(report.verdict, Verdict::Same, "{:?}", report.reasons);
    }
}

#[test]
fn every_tag_that_was_measured_to_be_exact_converts() {
    let models: Vec<_> = catalogue::models()
        .filter(|model| model.module == Some("convnext") && model.published_at.is_some())
        .collect();
    let count = |class: &str| models.iter().filter(|model| model.becomes.class() == Some(class)).count();
    assert_eq!((count("ConvNextForImageClassification"), count("ConvNextModel")), (44, 7));
    assert_eq!(count("ConvNextV2ForImageClassification"), 18);
    let refused = models.iter().filter(|model| model.becomes.class().is_none());
    let refused: Vec<&str> = refused
        .filter(|model| model.becomes.target() == Some("ConvNextForImageClassification"))
        .map(|model| model.name.split('.').next().unwrap())
        .collect();
    let other_eps = |name: &&str| name.starts_with("test_convnext") || *name == "convnext_xxlarge";
    assert!(refused.len() == 7 && refused.iter().all(other_eps), "{refused:?}");
}

/// A hub folder of the fixture with other tensors and arguments.
fn refusal(change: impl FnOnce(&mut Tensors, &mut Map<String, Value>)) -> String {
    let scratch = tempfile::tempdir().unwrap();
    let mut tensors = read(&data("plain").join("model.safetensors"));
    let mut config = document(&data("plain").join("config.json"));
    change(&mut tensors, config["model_args"].as_object_mut().unwrap());
    save(&tensors, &scratch.path().join("model.safetensors"));
    std::fs::write(scratch.path().join("config.json"), Value::Object(config).to_string()).unwrap();
    open(scratch.path()).err().expect("it is refused")
}

#[test]
fn each_refusal_names_its_structure_and_what_shows_it() {
    type Change = fn(&mut Tensors, &mut Map<String, Value>);
    let cases: [(Change, [&str; 2]); 13] = [
        (
            |t, _| drop(t.insert("stages.0.blocks.0.mlp.grn.weight".to_owned(), (vec![1], vec![1.0]))),
            ["a ConvNeXt V2", "mlp.grn.weight"],
        ),
        (
            |t, _| t.retain(|name, _| !name.ends_with("norm.bias")),
            ["another norm than LayerNorm", "the absence of stages.0.blocks.0.norm.bias"],
        ),
        (
            |_, a| drop(a.insert("norm_layer".to_owned(), json!("rmsnorm"))),
            ["rmsnorm", "model_args.norm_layer"],
        ),
        (
            |t, _| drop(t.insert("stem.2.weight".to_owned(), (vec![1], vec![1.0]))),
            ["an overlapping stem", "stem.2.weight"],
        ),
        (
            |t, _| drop(t.insert("norm_pre.weight".to_owned(), (vec![1], vec![1.0]))),
            ["its last norm before pooling", "norm_pre.weight"],
        ),
        (
            |t, _| drop(t.insert("head.pre_logits.fc.weight".to_owned(), (vec![1], vec![1.0]))),
            ["a hidden layer in its head", "head.pre_logits.fc.weight"],
        ),
        (
            |t, _| t.retain(|name, _| !name.ends_with("conv_dw.bias")),
            ["whose convolutions have no biases", "conv_dw.bias"],
        ),
        (
            |t, _| drop(t.insert("stem.0.weight".to_owned(), (vec![16, 3, 8, 8], vec![0.0; 3072]))),
            ["patches of 8x8 pixels", "stem.0.weight"],
        ),
        (
            |_, a| drop(a.insert("output_stride".to_owned(), json!(16))),
            ["an output stride of 16", "model_args.output_stride"],
        ),
        (|t, _| t.retain(|name, _| !name.starts_with("stages.3.")), ["other than four stages", "at stage 3"]),
        (
            |t, _| {
                let kernel = (vec![48, 1, 5, 5], vec![0.0; 48 * 25]);
                t.insert("stages.2.blocks.0.conv_dw.weight".to_owned(), kernel);
            },
            ["kernels of 7,7,5,7 pixels", "conv_dw.weight"],
        ),
        (
            |_, a| drop(a.insert("norm_eps".to_owned(), json!(1e-5))),
            ["an epsilon of 1e-5", "model_args.norm_eps"],
        ),
        (|_, a| drop(a.insert("global_pool".to_owned(), json!("max"))), ["global_pool `max`", "global_pool"]),
    ];
    for (change, words) in cases {
        let said = refusal(change);
        assert!(words.iter().all(|word| said.contains(word)), "{words:?}: {said}");
    }
}

/// A bare file that only an architecture of another epsilon and activation fits is not taken for the usual ConvNeXt.
#[test]
fn a_bare_file_is_what_all_architectures_that_fit_are() {
    let config = json!({
        "img_size": [160, 160], "patch_size": [4, 4], "in_chans": 3, "num_classes": 1000, "depths": [1, 2, 4, 2],
        "dims": [24, 32, 48, 64], "kernel_sizes": [7, 7, 7, 7], "layer_scale": true, "conv_mlp": false,
        "use_grn": false, "head_norm": true, "act_layer": "gelu_tanh", "norm_eps": 1e-5
    });
    let definition = SOURCES.into_iter().find(|definition| definition.id() == "timm/convnext").unwrap();
    let network = definition.build(config.as_object().unwrap()).unwrap();
    let zeros = |shape: &[usize]| (shape.to_vec(), vec![0.0; shape.iter().product()]);
    let tensors = network.parameters().iter().map(|tensor| (tensor.name().to_owned(), zeros(tensor.shape())));
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("nameless.safetensors");
    save(&tensors.collect(), &file);
    let said = open(&file).err().expect("it is refused");
    assert!(said.contains("an epsilon of 1e-5") && said.contains("all of test_convnext"), "{said}");
}

/// What can be changed in a folder.
pub struct Files {
    pub weights: Tensors,
    pub config: Map<String, Value>,
    pub processor: Map<String, Value>,
}

impl Files {
    pub fn edit(&mut self, name: &str, change: impl FnOnce(&mut Vec<f32>)) {
        let found: Vec<String> = self.weights.keys().filter(|full| full.ends_with(name)).cloned().collect();
        let [full] = found.as_slice() else { panic!("{name} stands for {found:?}") };
        let (_, values) = self.weights.get_mut(full).unwrap();
        let before = values.clone();
        change(values);
        assert_ne!(*values, before, "{full} is not changed");
    }

    /// Exchanges what two names have in all tensors that have the first in theirs.
    pub fn swap(&mut self, one: &str, other: &str) {
        let names: Vec<String> = self.weights.keys().filter(|name| name.contains(one)).cloned().collect();
        assert!(!names.is_empty(), "{one}");
        for name in names {
            let opposite = name.replace(one, other);
            let (a, b) = (self.weights[&name].clone(), self.weights[&opposite].clone());
            assert_eq!(a.0, b.0, "{name} and {opposite}");
            self.weights.insert(name, b);
            self.weights.insert(opposite, a);
        }
    }
}

/// Whether outputs or pixels must show a fault, or cannot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outputs {
    Show,
    CannotShow,
}
pub use Outputs::{CannotShow, Show};

pub type Fault = (&'static str, Outputs, fn(&mut Files));

/// Rows and columns of square kernels exchanged.
pub fn transpose_kernels(values: &mut [f32], side: usize) {
    for kernel in values.chunks_exact_mut(side * side) {
        let transposed: Vec<f32> = (0..side * side).map(|i| kernel[i % side * side + i / side]).collect();
        kernel.copy_from_slice(&transposed);
    }
}

fn faults() -> Vec<Fault> {
    vec![
        ("two blocks exchanged", Show, |f| f.swap("stages.2.layers.0.", "stages.2.layers.1.")),
        ("two blocks' scales exchanged", Show, |f| {
            f.swap("stages.2.layers.0.layer_scale", "stages.2.layers.2.layer_scale");
        }),
        ("two blocks' kernels exchanged", Show, |f| {
            f.swap("stages.0.layers.0.dwconv.weight", "stages.0.layers.1.dwconv.weight");
        }),
        ("rows and columns of depth-wise kernels exchanged", Show, |f| {
            f.edit("stages.1.layers.0.dwconv.weight", |v| transpose_kernels(v, 7));
        }),
        ("rows and columns of the stem's kernels exchanged", Show, |f| {
            f.edit("patch_embeddings.weight", |v| transpose_kernels(v, 4));
        }),
        ("rows and columns of a downsampling exchanged", Show, |f| {
            f.edit("stages.2.downsampling_layer.1.weight", |v| transpose_kernels(v, 2));
        }),
        ("red and blue of the stem exchanged", Show, |f| {
            f.edit("patch_embeddings.weight", |v| {
                for kernel in v.chunks_exact_mut(48) {
                    let (red, rest) = kernel.split_at_mut(16);
                    red.swap_with_slice(&mut rest[16..]);
                }
            });
        }),
        ("a layer scale of ones", Show, |f| {
            f.edit("stages.3.layers.0.layer_scale_parameter", |v| v.fill(1.0))
        }),
        ("a layer scale of the initial value", Show, |f| {
            f.edit("stages.0.layers.1.layer_scale_parameter", |v| v.fill(1e-6));
        }),
        ("a layer scale rolled by one", Show, |f| {
            f.edit("stages.1.layers.0.layer_scale_parameter", |v| v.rotate_right(1));
        }),
        ("depth-wise kernels rolled by one channel", Show, |f| {
            f.edit("stages.2.layers.1.dwconv.weight", |v| v.rotate_right(49));
        }),
        ("a depth-wise bias zeroed", Show, |f| f.edit("stages.2.layers.1.dwconv.bias", |v| v.fill(0.0))),
        ("an MLP's bias zeroed", Show, |f| f.edit("stages.3.layers.0.pwconv1.bias", |v| v.fill(0.0))),
        ("the stem's norm of ones", Show, |f| f.edit("embeddings.layernorm.weight", |v| v.fill(1.0))),
        ("a block's norm of ones", Show, |f| f.edit("stages.1.layers.0.layernorm.weight", |v| v.fill(1.0))),
        ("a downsampling's norm without bias", Show, |f| {
            f.edit("stages.3.downsampling_layer.0.bias", |v| v.fill(0.0));
        }),
        ("the last norm of ones", Show, |f| f.edit("convnext.layernorm.weight", |v| v.fill(1.0))),
        ("classifier rows rolled by one", Show, |f| {
            f.edit("classifier.weight", |v| v.rotate_right(64));
            f.edit("classifier.bias", |v| v.rotate_right(1));
        }),
        ("classifier bias zeroed", Show, |f| f.edit("classifier.bias", |v| v.fill(0.0))),
        ("one element of an MLP moved", Show, |f| {
            f.edit("stages.2.layers.1.pwconv2.weight", |v| v[100] += 0.1)
        }),
        ("lowest bit of one weight flipped", CannotShow, |f| {
            f.edit("stages.2.layers.1.pwconv1.weight", |v| v[100] = f32::from_bits(v[100].to_bits() ^ 1));
        }),
        ("a tensor missing", Show, |f| {
            f.weights.remove("convnext.encoder.stages.0.layers.1.layer_scale_parameter").unwrap();
        }),
        ("a tensor too many", CannotShow, |f| {
            let extra = (vec![16], vec![0.0; 16]);
            f.weights.insert("convnext.encoder.stages.0.downsampling_layer.0.weight".to_owned(), extra);
        }),
        ("no layer scale in the config", Show, |f| f.config["layer_scale_init_value"] = json!(0.0)),
        ("the default epsilon of the last norm", CannotShow, |f| drop(f.config.remove("layer_norm_eps"))),
        ("an epsilon of 1e-3", Show, |f| f.config["layer_norm_eps"] = json!(1e-3)),
        ("another activation", Show, |f| f.config["hidden_act"] = json!("relu")),
        ("GELU by tanh", Show, |f| f.config["hidden_act"] = json!("gelu_new")),
        ("a block fewer", Show, |f| f.config["depths"] = json!([2, 1, 2, 1])),
        ("a block more", Show, |f| f.config["depths"] = json!([2, 1, 4, 1])),
        ("depths left out", Show, |f| drop(f.config.remove("depths"))),
        ("a stage fewer", Show, |f| f.config["num_stages"] = json!(3)),
        ("a stage more", Show, |f| f.config["num_stages"] = json!(5)),
        ("another patch", Show, |f| f.config["patch_size"] = json!(2)),
        ("other widths", Show, |f| f.config["hidden_sizes"] = json!([16, 32, 64, 64])),
        ("one channel", Show, |f| f.config["num_channels"] = json!(1)),
        ("ConvNeXt V2", Show, |f| f.config["model_type"] = json!("convnextv2")),
        ("a model without its head", Show, |f| f.config["architectures"] = json!(["ConvNextModel"])),
        ("another crop", Show, |f| f.processor["size"] = json!({ "shortest_edge": 72 })),
        ("another mean", Show, |f| f.processor["image_mean"] = json!([0.5, 0.5, 0.5])),
        ("bilinear", Show, |f| f.processor["resample"] = json!(2)),
        ("ConvNextImageProcessor, which adds the crop's margin itself", Show, |f| {
            f.processor["image_processor_type"] = json!("ConvNextImageProcessor");
        }),
    ]
}

/// Whether outputs or pixels alone show it.
pub fn is_shown(verified: &Result<Report, VerifyError>) -> bool {
    verified.as_ref().map_or(true, |report| {
        report.layers.is_empty()
            || report.pixels.iter().any(|place| !place.agrees)
            || report.judged().iter().any(|place| !place.agrees)
    })
}

#[test]
fn every_planted_fault_is_found() {
    let all = faults();
    assert_eq!(all.len(), 42);
    find(&data("plain"), all);
    let all = faults_of_v2();
    assert_eq!(all.len(), 10);
    find(&data("v2"), all);
}

/// A file of a masked autoencoder lacks the last norm, and timm runs one of ones and zeros.
#[test]
fn a_norm_that_the_file_lacks_is_written_as_timm_runs_it() {
    let scratch = tempfile::tempdir().unwrap();
    let source = scratch.path().join("fcmae");
    std::fs::create_dir(&source).unwrap();
    let mut tensors = read(&data("v2_conv_mlp_base").join("model.safetensors"));
    tensors.retain(|name, _| !name.starts_with("head.norm"));
    save(&tensors, &source.join("model.safetensors"));
    std::fs::copy(data("v2_conv_mlp_base").join("config.json"), source.join("config.json")).unwrap();
    let converted = convert(&source);
    let tensors = read(&converted.folder.join("model.safetensors"));
    assert_eq!(tensors["layernorm.weight"], (vec![20], vec![1.0; 20]));
    assert_eq!(tensors["layernorm.bias"], (vec![20], vec![0.0; 20]));
    let report = verify(&converted.prepared, &converted.folder, &TestImage::built_in().unwrap()).unwrap();
    assert_eq!(report.verdict, Verdict::Same, "{:?}", report.reasons);
}

fn faults_of_v2() -> Vec<Fault> {
    vec![
        ("a global response norm zeroed", Show, |f| f.edit("stages.1.layers.0.grn.weight", |v| v.fill(0.0))),
        ("the bias of one zeroed", Show, |f| f.edit("stages.2.layers.1.grn.bias", |v| v.fill(0.0))),
        ("one rolled by one", Show, |f| f.edit("stages.0.layers.0.grn.weight", |v| v.rotate_right(1))),
        ("two blocks' norms exchanged", Show, |f| {
            f.swap("stages.2.layers.0.grn.", "stages.2.layers.1.grn.");
        }),
        ("weights and biases of one exchanged", Show, |f| {
            f.swap("stages.3.layers.0.grn.weight", "stages.3.layers.0.grn.bias");
        }),
        ("the first version", Show, |f| f.config["model_type"] = json!("convnext")),
        ("another activation", Show, |f| f.config["hidden_act"] = json!("relu")),
        ("the default epsilon of the last norm", CannotShow, |f| drop(f.config.remove("layer_norm_eps"))),
        ("a block more", Show, |f| f.config["depths"] = json!([1, 2, 3, 1])),
        ("a model without its head", Show, |f| f.config["architectures"] = json!(["ConvNextV2Model"])),
    ]
}

/// Plants each fault in the folder that is made of a network, and checks that it is found, and shown by outputs if it must.
pub fn find(path: &Path, all: Vec<Fault>) {
    let (converted, image) = (convert(path), TestImage::built_in().unwrap());
    let (mut survivors, mut unexpected) = (Vec::new(), Vec::new());
    for (number, (name, outputs, plant)) in all.into_iter().enumerate() {
        let mut files = Files {
            weights: read(&converted.folder.join("model.safetensors")),
            config: document(&converted.folder.join("config.json")),
            processor: document(&converted.folder.join("preprocessor_config.json")),
        };
        plant(&mut files);
        let folder = converted.scratch.path().join(format!("fault {number}"));
        std::fs::create_dir(&folder).unwrap();
        save(&files.weights, &folder.join("model.safetensors"));
        std::fs::write(folder.join("config.json"), Value::Object(files.config).to_string()).unwrap();
        let processor = Value::Object(files.processor).to_string();
        std::fs::write(folder.join("preprocessor_config.json"), processor).unwrap();
        let verified = verify(&converted.prepared, &folder, &image);
        if verified.as_ref().is_ok_and(|report| report.verdict != Verdict::Different) {
            survivors.push(name);
        }
        if is_shown(&verified) != (outputs == Show) {
            unexpected.push(name);
        }
    }
    assert!(survivors.is_empty(), "not found: {survivors:#?}");
    assert!(unexpected.is_empty(), "shown by outputs and pixels against what is said: {unexpected:#?}");
}
