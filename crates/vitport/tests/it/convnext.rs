//! Tests timm's ConvNeXt and transformers': both definitions compared with what the frameworks computed, the conversion of
//! whole folders, and what is refused.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize_to_file};
use serde_json::{Map, Value, json};
use vitport::catalogue;
use vitport::frameworks::{SOURCES, target};
use vitport::image::Pixels;
use vitport::model::Prepared;
use vitport::nn::{Matrix, MemoryWeights, Network};
use vitport::options::FactOptions;
use vitport::pipeline::verify;
use vitport::pipeline::{Request, WriteOptions, plan, write};
use vitport::source::Source;
use vitport::verify::TestImage;
use vitport_checkpoint::Limits;

use crate::verify::assert_same_but_for_crops;

/// The networks, with the target's definition and class, and how many places are compared.
const NETWORKS: [(&str, &str, &str, usize); 8] = [
    ("plain", "transformers/convnext", "ConvNextForImageClassification", 14),
    ("conv_mlp_base", "transformers/convnext", "ConvNextModel", 11),
    ("scaled", "transformers/convnext", "ConvNextForImageClassification", 13),
    ("scaled_conv_mlp", "transformers/convnext", "ConvNextForImageClassification", 12),
    ("dinov3", "transformers/dinov3_convnext", "DINOv3ConvNextModel", 12),
    ("dinov3_conv_mlp", "transformers/dinov3_convnext", "DINOv3ConvNextModel", 11),
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
        // Numbers of batches and indices are int64, whose bytes are read as two numbers.
        let is_whole = name.ends_with("num_batches_tracked") || name.ends_with("relative_position_index");
        let dtype = if is_whole { Dtype::I64 } else { Dtype::F32 };
        (name.as_str(), TensorView::new(dtype, (*shape).clone(), bytes).unwrap())
    });
    serialize_to_file(views, Some([("format".to_owned(), "pt".to_owned())].into()), path).unwrap();
}

pub fn document(path: &Path) -> Map<String, Value> {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

pub fn open(path: &Path) -> Result<Prepared, String> {
    open_with(path, &Request::default())
}

pub fn open_with(path: &Path, request: &Request) -> Result<Prepared, String> {
    let source = Source::open(path, None, &Limits::default()).map_err(|error| error.to_string())?;
    plan(source, request).map_err(|error| error.to_string())
}

/// Opens a fixture; one whose weights are scaled becomes the class only where that is asked for.
fn open_fixture(path: &Path, class: &str) -> Result<Prepared, String> {
    let is_scaled = path.file_name().unwrap().to_string_lossy().starts_with("scaled");
    open_with(path, &if is_scaled { becoming(class) } else { Request::default() })
}

fn becoming(class: &str) -> Request {
    let facts = FactOptions { target: Some(class.to_owned()), ..FactOptions::default() };
    Request { facts, ..Request::default() }
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
    for (name, id, class, places) in NETWORKS {
        let prepared = open_fixture(&data(name), class).unwrap();
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
    _scratch: tempfile::TempDir,
}

pub fn convert(path: &Path) -> Converted {
    written(open(path).unwrap())
}

fn written(prepared: Prepared) -> Converted {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("untouched");
    let options = WriteOptions { max_shard_size: 5 << 30, force: false, fsync: false, exact_code: false };
    write(&prepared, &folder, options, &|_| ()).unwrap().staging.publish().unwrap();
    Converted { prepared, folder, _scratch: scratch }
}

/// Converts a fixture, and checks that the folder is what transformers saves of the same network, which lies next to it.
pub fn check_folder(fixture: &Path, class: &str) {
    let (name, saved) = (fixture.display(), |ending: &str| fixture.with_extension(ending));
    let converted = written(open_fixture(fixture, class).unwrap());
    let tensors = read(&converted.folder.join("model.safetensors"));
    assert!(tensors == read(&saved("transformers.safetensors")), "{name}");
    let config = document(&converted.folder.join("config.json"));
    assert_eq!(config["architectures"], json!([class]), "{name}");
    let theirs = document(&saved("transformers.json"));
    for (key, value) in config.iter().filter(|(key, _)| *key != "torch_dtype") {
        assert_eq!(theirs.get(key).unwrap_or(value), value, "{name}: {key}");
    }
    let report = verify(&converted.prepared, &converted.folder, &TestImage::built_in().unwrap()).unwrap();
    assert_same_but_for_crops(&name.to_string(), &report);
}

#[test]
fn a_folder_is_what_transformers_saves_and_the_same_model() {
    for (name, _, class, _) in NETWORKS {
        check_folder(&data(name), class);
    }
}

#[test]
fn every_tag_that_was_measured_to_be_exact_converts() {
    let models: Vec<_> = catalogue::models()
        .filter(|model| model.module == Some("convnext") && model.published_at.is_some())
        .collect();
    let count = |class: &str| models.iter().filter(|model| model.becomes.class() == Some(class)).count();
    assert_eq!((count("ConvNextForImageClassification"), count("ConvNextModel")), (50, 7));
    assert_eq!(count("ConvNextV2ForImageClassification"), 18);
    let refused = models.iter().filter(|model| model.becomes.class().is_none());
    let refused: Vec<&str> = refused
        .filter(|model| model.becomes.target() == Some("ConvNextForImageClassification"))
        .map(|model| model.name.split('.').next().unwrap())
        .collect();
    assert_eq!(refused, ["test_convnext3"]);
    let with_other_eps = models.iter().filter(|model| model.is_asked_for);
    let names: Vec<&str> = with_other_eps.map(|model| model.name.split('.').next().unwrap()).collect();
    let [xxlarge, small] = [["convnext_xxlarge"; 4].as_slice(), &["test_convnext", "test_convnext2"]];
    assert_eq!(names, [xxlarge, small].concat());
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
    assert_same_but_for_crops("v2_conv_mlp_base", &report);
}

/// Hidden states of a folder with scaled weights are as many times the source's as plan and report say, and nothing else is.
#[test]
fn another_epsilon_is_made_up_for_where_that_is_asked_for() {
    let class = "ConvNextForImageClassification";
    let said = open(&data("scaled")).err().expect("it is refused");
    let way =
        "with --target ConvNextForImageClassification one with layer scales is written with scaled weights";
    assert!(said.contains("an epsilon of 1e-5") && said.contains(way), "{said}");

    for (name, times) in [("scaled", 0.1_f64.sqrt()), ("scaled_conv_mlp", 0.1)] {
        let [source, target] = ["expected", "transformers.expected"]
            .map(|end| read(&data(&format!("{name}.{end}.safetensors"))));
        let prepared = open_fixture(&data(name), class).unwrap();
        let chosen = prepared.model.target_class().unwrap();
        assert!((chosen.states_times.unwrap() - times).abs() < 1e-12, "{name}");
        assert!(!prepared.plan.is_reversible(), "{name}");
        let places = prepared.model.mapping.places(&prepared.model.facts).unwrap();
        for place in &places {
            let factor = place.times.unwrap_or(1.0);
            assert_eq!(place.times.is_none(), place.name == "norm", "{name}: {}", place.name);
            let (source, target) = (&source[&place.source].1, &target[&place.target].1);
            let size = (target.iter().map(|value| value * value).sum::<f32>() / target.len() as f32).sqrt();
            let far = source.iter().zip(target).map(|(a, b)| (f64::from(*a) * factor - f64::from(*b)).abs());
            assert!(far.fold(0.0, f64::max) < 1e-5 * f64::from(size), "{name}: {}", place.name);
        }
    }

    // Without a head, a class that has any epsilon comes first, and the scaled one is still there.
    let without_head = |target: Option<&str>| {
        let facts =
            FactOptions { target: target.map(str::to_owned), without_head: true, ..FactOptions::default() };
        open_with(&data("scaled"), &Request { facts, ..Request::default() }).unwrap().model
    };
    let unasked = without_head(None);
    assert_eq!(unasked.target_class().unwrap().class, "DINOv3ConvNextModel");
    assert_eq!(unasked.targets.first(), unasked.target_class().as_ref());
    assert_eq!(
        unasked.other_targets().map(|other| other.class.as_str()).collect::<Vec<_>>(),
        ["ConvNextModel"]
    );
    let asked = without_head(Some("ConvNextModel"));
    assert_eq!(asked.mapping.file(), "timm_convnext_scaled.toml");

    // An ordinary ConvNeXt stays as it is.
    let plain = open_with(&data("plain"), &becoming(class)).unwrap().model;
    assert_eq!(
        (plain.mapping.file(), plain.target_class().unwrap().states_times),
        ("timm_convnext.toml", None)
    );
}

#[test]
fn scaled_weights_are_not_rounded_to_half_precision() {
    let half = |dtype: vitport_checkpoint::Dtype| {
        let request = Request { dtype: Some(dtype), ..becoming("ConvNextForImageClassification") };
        open_with(&data("scaled"), &request).err().expect("it is refused")
    };
    for (dtype, name) in [(vitport_checkpoint::Dtype::F16, "F16"), (vitport_checkpoint::Dtype::BF16, "BF16")]
    {
        let said = half(dtype);
        assert!(said.contains(&format!("would be rounded to {name} once more than the source's")), "{said}");
        assert_eq!(said.matches("give --dtype f32").count(), 1, "{said}");
    }
}

#[test]
fn what_no_factor_makes_up_for_is_refused_by_its_own_name() {
    let class = "ConvNextForImageClassification";
    let refusal = |change: fn(&mut Tensors, &mut Map<String, Value>)| {
        let scratch = tempfile::tempdir().unwrap();
        let mut tensors = read(&data("scaled").join("model.safetensors"));
        let mut config = document(&data("scaled").join("config.json"));
        change(&mut tensors, config["model_args"].as_object_mut().unwrap());
        save(&tensors, &scratch.path().join("model.safetensors"));
        std::fs::write(scratch.path().join("config.json"), Value::Object(config).to_string()).unwrap();
        open_with(scratch.path(), &becoming(class)).err().expect("it is refused")
    };
    let unscaled = refusal(|tensors, arguments| {
        tensors.retain(|name, _| !name.ends_with("gamma"));
        arguments.insert("ls_init_value".to_owned(), Value::Null);
    });
    assert!(unscaled.contains("a ConvNeXt without layer scale whose norms"), "{unscaled}");
    let zero = refusal(|_, arguments| drop(arguments.insert("norm_eps".to_owned(), json!(0.0))));
    assert!(zero.contains("no factor of weights"), "{zero}");
    let kernels = refusal(|tensors, _| {
        let kernel = (vec![24, 1, 5, 5], vec![0.0; 24 * 25]);
        tensors.insert("stages.2.blocks.0.conv_dw.weight".to_owned(), kernel.clone());
        tensors.insert("stages.2.blocks.1.conv_dw.weight".to_owned(), kernel);
    });
    assert!(kernels.contains("kernels of 7,7,5,7 pixels"), "{kernels}");
}
