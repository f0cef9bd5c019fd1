//! Tests what a verdict says that it rests on: for each source and its options, exactly which facts are assumed.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use vitport::facts::Basis;
use vitport::frameworks::timm::registry;
use vitport::frameworks::{FRAMEWORKS, SOURCES};
use vitport::image::{CropMode, Filter};
use vitport::labels::{LabelChoice, LabelSet};
use vitport::options::FactOptions;
use vitport::pipeline::{Request, plan};
use vitport::source::Source;
use vitport_checkpoint::Limits;

/// The facts of a preprocessing.
const PREPROCESSING: [&str; 5] = ["mean", "std", "interpolation", "crop_pct", "crop_mode"];
/// What Microsoft's experiment files and its definition say of every CvT.
const CVT: [&str; 8] = [
    "patch_stride",
    "patch_padding",
    "stride_kv",
    "padding_kv",
    "stride_q",
    "padding_q",
    "act_layer",
    "norm_eps",
];
const TAG: &str = "vit_tiny_patch16_224.augreg_in21k_ft_in1k";

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

fn example(name: &str) -> PathBuf {
    crate::example::path(name)
}

/// Copies a folder's weights away from its config.
fn bare(folder: &Path, to: &Path) -> PathBuf {
    fs::copy(folder.join("model.safetensors"), to).unwrap();
    to.to_owned()
}

fn basis(path: &Path, facts: FactOptions) -> Basis {
    let source = Source::open(path, None, &Limits::default()).unwrap();
    let prepared = plan(source, &Request { facts, ..Request::default() });
    prepared.unwrap_or_else(|error| panic!("{}: {error}", path.display())).model.basis()
}

/// What is assumed, sorted: the facts' names.
fn assumed(basis: &Basis) -> Vec<&'static str> {
    let mut names: Vec<&str> = basis.assumptions.iter().map(|assumption| assumption.fact).collect();
    names.sort_unstable();
    names
}

fn sorted<const N: usize>(parts: [&[&'static str]; N]) -> Vec<&'static str> {
    let mut names = parts.concat();
    names.sort_unstable();
    names
}

/// All of the preprocessing but the crop's mode.
fn preprocessed() -> FactOptions {
    FactOptions {
        mean: Some([0.4; 3]),
        std: Some([0.5; 3]),
        crop_pct: Some(1.0),
        interpolation: Some(Filter::Bicubic),
        ..FactOptions::default()
    }
}

fn heads(heads: &[u64], more: FactOptions) -> FactOptions {
    FactOptions { num_heads: Some(heads.to_vec()), ..more }
}

/// Writes weights of these sizes, all zero, of which the disk holds nothing.
pub fn write_weights(path: &Path, definition: &str, config: &Map<String, Value>) {
    let definition = SOURCES.into_iter().find(|known| known.id() == definition).unwrap();
    let network = definition.build(config).unwrap();
    let (mut header, mut end) = (Map::new(), 0);
    for tensor in network.parameters() {
        let (dtype, size) = match tensor.name().ends_with("num_batches_tracked") {
            true => ("I64", 8),
            false => ("F32", 4),
        };
        let begin = end;
        end += size * tensor.shape().iter().product::<usize>();
        let entry = json!({ "dtype": dtype, "shape": tensor.shape(), "data_offsets": [begin, end] });
        header.insert(tensor.name().to_owned(), entry);
    }
    let header = Value::Object(header).to_string();
    let mut file = fs::File::create(path).unwrap();
    file.write_all(&(header.len() as u64).to_le_bytes()).unwrap();
    file.write_all(header.as_bytes()).unwrap();
    file.set_len((8 + header.len() + end) as u64).unwrap();
}

/// Writes weights of one of timm's tags.
fn write_tag(path: &Path, tag: &str) {
    let (definition, facts) = registry::find(tag).unwrap().tag.facts().unwrap();
    write_weights(path, definition, &facts.to_config());
}

/// Writes weights of the sizes of Microsoft's CvT-13.
fn write_cvt(path: &Path) {
    let config = json!({
        "image_size": [224, 224], "in_chans": 3, "num_classes": 1000, "act_layer": "quick_gelu",
        "patch_size": [7, 3, 3], "patch_stride": [4, 2, 2], "patch_padding": [2, 1, 1],
        "embed_dim": [64, 192, 384], "num_heads": [1, 3, 6], "depth": [1, 2, 10], "mlp_dim": [256, 768, 1536],
        "qkv_bias": [true, true, true], "cls_token": [false, false, true], "kernel_qkv": [3, 3, 3],
        "padding_kv": [1, 1, 1], "stride_kv": [2, 2, 2], "padding_q": [1, 1, 1], "stride_q": [1, 1, 1],
    });
    write_weights(path, "microsoft/cvt", config.as_object().unwrap());
}

#[test]
fn a_complete_hub_folder_has_none() {
    for folder in [
        example("vit_small_twin"),
        data("clip/tower"),
        data("convnext/plain"),
        data("convnext/conv_mlp_base"),
    ] {
        let basis = basis(&folder, FactOptions::default());
        assert_eq!(basis.assumptions, [], "{}", folder.display());
        assert!(
            basis.from_source > 10 && basis.from_registry > 0 && basis.condition().is_none(),
            "{basis:?}"
        );
    }
    // A config that names the tag says with it that the classes are ImageNet's.
    let scratch = tempfile::tempdir().unwrap();
    write_tag(&scratch.path().join("model.safetensors"), TAG);
    let config = |tag: &str| {
        let (architecture, _) = TAG.split_once('.').unwrap();
        let config = json!({ "architecture": architecture, "pretrained_cfg": { "tag": tag } });
        fs::write(scratch.path().join("config.json"), config.to_string()).unwrap();
    };
    config("augreg_in21k_ft_in1k");
    assert_eq!(basis(scratch.path(), FactOptions::default()).assumptions, []);
    config("of_my_own");
    assert_eq!(assumed(&basis(scratch.path(), FactOptions::default())), ["labels"]);
    fs::write(scratch.path().join("README.md"), "---\ndatasets:\n- ILSVRC/imagenet-1k\n---\n").unwrap();
    assert_eq!(basis(scratch.path(), FactOptions::default()).assumptions, []);
}

#[test]
fn a_bare_file_has_what_nothing_in_it_says() {
    let usual: &[&str] = &["act_layer", "global_pool", "norm_eps"];
    // Other images may have as many positions as a square, and other blocks the same tensors.
    let form: &[&str] = &["img_size", "block"];
    let scratch = tempfile::tempdir().unwrap();
    let cvt = FactOptions { image_size: Some([64, 64]), ..heads(&[1, 2, 4], FactOptions::default()) };
    let wrong_cvt = FactOptions { num_heads: Some(vec![2, 4, 8]), ..cvt.clone() };
    let jax = FactOptions { image_size: Some([16, 16]), ..preprocessed() };
    let convnext = FactOptions { image_size: Some([64, 64]), ..preprocessed() };
    let rows: [(PathBuf, FactOptions, usize, Vec<&str>); 6] = [
        (
            bare(&example("vit_small_twin"), &scratch.path().join("vit.safetensors")),
            heads(&[3], preprocessed()),
            11,
            sorted([&["num_heads"], form, usual, &PREPROCESSING]),
        ),
        (
            example("cvt_tiny/tiny.pth"),
            cvt.clone(),
            15,
            sorted([&CVT, &["num_heads", "image_size"], &PREPROCESSING]),
        ),
        (
            example("cvt_tiny/tiny.pth"),
            wrong_cvt,
            15,
            sorted([&CVT, &["num_heads", "image_size"], &PREPROCESSING]),
        ),
        (
            data("cvt/microsoft_train.pth"),
            cvt,
            15,
            sorted([&CVT, &["num_heads", "image_size"], &PREPROCESSING]),
        ),
        (data("vit/jax_classifier.npz"), jax, 10, sorted([form, usual, &PREPROCESSING])),
        (
            bare(&data("convnext/plain"), &scratch.path().join("convnext.safetensors")),
            convnext,
            10,
            sorted([&["img_size", "output_stride"], usual, &PREPROCESSING]),
        ),
    ];
    for (path, options, count, names) in rows {
        let basis = basis(&path, options);
        assert_eq!(assumed(&basis), names, "{}", path.display());
        assert_eq!((basis.assumptions.len(), basis.from_registry), (count, 0), "{}", path.display());
        assert_eq!(basis.condition().unwrap(), format!("if the {count} assumptions hold"));
    }
}

#[test]
fn a_name_is_one_assumption_and_the_registry_hangs_on_it() {
    let scratch = tempfile::tempdir().unwrap();
    let (named, nameless) =
        (scratch.path().join(format!("{TAG}.safetensors")), scratch.path().join("mine.safetensors"));
    write_tag(&named, TAG);
    write_tag(&nameless, TAG);
    let arch = |arch: &str| FactOptions { arch: Some(arch.to_owned()), ..FactOptions::default() };
    for (path, options, origin) in [
        (&named, FactOptions::default(), format!("the file's name: {TAG}")),
        (&nameless, arch(TAG), "--arch".to_owned()),
    ] {
        let basis = basis(path, options);
        let [assumption] = basis.assumptions.as_slice() else { panic!("{basis:?}") };
        assert_eq!((assumption.fact, assumption.value.as_str()), ("architecture", TAG));
        assert_eq!((&assumption.origin, basis.from_registry), (&origin, 0));
        let mut follow: Vec<&str> = assumption.follows.iter().map(|known| known.fact).collect();
        follow.sort_unstable();
        let network: &[&str] = &["num_heads", "act_layer", "norm_eps", "global_pool", "labels"];
        for fact in [network, &PREPROCESSING].concat() {
            assert!(follow.contains(&fact), "{fact}: {follow:?}");
        }
    }
    // Without its tag the architecture says nothing of the classes.
    let (architecture, _) = TAG.split_once('.').unwrap();
    assert_eq!(assumed(&basis(&nameless, arch(architecture))), ["architecture", "labels"]);
    // What all tags that fit have is assumed fact by fact.
    let all = basis(&nameless, FactOptions { crop_mode: Some(CropMode::Center), ..preprocessed() });
    let names: &[&str] =
        &["num_heads", "img_size", "block", "act_layer", "norm_eps", "global_pool", "labels"];
    assert_eq!(assumed(&all), sorted([names, &PREPROCESSING]));
}

#[test]
fn a_bare_clip_is_asked_about_and_never_assumed() {
    let options = FactOptions { layer_norm_eps: Some(1e-5), ..heads(&[4], preprocessed()) };
    let scratch = tempfile::tempdir().unwrap();
    let tower = bare(&data("clip/tower"), &scratch.path().join("tower.safetensors"));
    let tower = Source::open(&tower, None, &Limits::default()).unwrap();
    let asked = plan(tower, &Request { facts: options, ..Request::default() }).err().unwrap().to_string();
    assert!(asked.contains("act_layer cannot be inferred from the weights"), "{asked}");
    let (file, tag) = (scratch.path().join("mine.safetensors"), "vit_base_patch32_clip_quickgelu_224.openai");
    write_tag(&file, tag);
    let named = basis(&file, FactOptions { arch: Some(tag.to_owned()), ..FactOptions::default() });
    assert_eq!(assumed(&named), ["architecture"]);
}

#[test]
fn sizes_of_a_published_cvt_are_one_assumption() {
    let scratch = tempfile::tempdir().unwrap();
    let named = scratch.path().join("CvT-13-224x224-IN-1k.safetensors");
    let nameless = scratch.path().join("mine.safetensors");
    write_cvt(&named);
    write_cvt(&nameless);
    let sized = FactOptions { image_size: Some([224, 224]), ..FactOptions::default() };
    let arch = FactOptions { arch: Some("cvt-13".to_owned()), ..sized.clone() };
    for (path, options, origin) in [
        (&named, FactOptions::default(), "the file's name: CvT-13-224x224-IN-1k"),
        (&nameless, sized.clone(), "Microsoft's experiment files: these widths and depths"),
        (&nameless, arch, "--arch"),
    ] {
        let basis = basis(path, options);
        assert_eq!(assumed(&basis), ["architecture", "image_size", "labels"]);
        let architecture = basis.assumptions.iter().find(|known| known.fact == "architecture").unwrap();
        assert_eq!((architecture.origin.as_str(), architecture.follows.len()), (origin, 14));
    }
    let other_heads = basis(&nameless, heads(&[1, 3, 12], sized));
    let heads = other_heads.assumptions.iter().find(|known| known.fact == "num_heads").unwrap();
    assert_eq!((heads.value.as_str(), heads.origin.as_str()), ("1,3,12", "--num-heads"));
}

#[test]
fn an_option_is_an_assumption_unless_it_repeats_the_source_or_asks_for_less() {
    let twin = example("vit_small_twin");
    let says = |options: FactOptions| {
        let basis = basis(&twin, options);
        let said = |known: &vitport::facts::Assumption| {
            let overrides = known.overrides.as_ref().map(|known| known.value.clone());
            (known.fact, known.value.clone(), overrides)
        };
        basis.assumptions.iter().map(said).collect::<Vec<_>>()
    };
    let none = FactOptions::default;
    let unchanged = FactOptions {
        num_heads: Some(vec![3]),
        mean: Some([0.5; 3]),
        std: Some([0.5; 3]),
        arch: Some("vit_tiny_patch16_224".to_owned()),
        ..none()
    };
    assert_eq!(says(FactOptions { arch: None, ..unchanged }), []);
    assert_eq!(says(FactOptions { without_head: true, ..none() }), []);
    assert_eq!(
        says(FactOptions { mean: Some([0.4; 3]), ..none() }),
        [("mean", "[0.4, 0.4, 0.4]".to_owned(), Some("[0.5, 0.5, 0.5]".to_owned()))]
    );
    // Of the registry's: the folder names its architecture.
    assert_eq!(
        says(FactOptions { layer_norm_eps: Some(1e-5), ..none() }),
        [("norm_eps", "1e-5".to_owned(), Some("1e-6".to_owned()))]
    );
    assert_eq!(says(FactOptions { layer_norm_eps: Some(1e-6), ..none() }).len(), 1);
    let labels = says(FactOptions { labels: Some(LabelChoice::None), ..none() });
    assert_eq!(labels.len(), 1);
    assert!(labels[0].2.as_ref().unwrap().starts_with("10 names from \"tench"), "{labels:?}");
    // Placeholders for classes that nothing names claim nothing; words do.
    let cvt = example("cvt_tiny/tiny.pth");
    let options = FactOptions { image_size: Some([64, 64]), ..heads(&[1, 2, 4], none()) };
    assert!(
        !assumed(&basis(&cvt, FactOptions { labels: Some(LabelChoice::None), ..options }))
            .contains(&"labels")
    );
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("mine.safetensors");
    write_tag(&file, TAG);
    let words = FactOptions {
        labels: Some(LabelChoice::Set(LabelSet::Imagenet1k)),
        arch: Some("vit_tiny_patch16_224".to_owned()),
        ..none()
    };
    let basis = basis(&file, words);
    let labels = basis.assumptions.iter().find(|known| known.fact == "labels").unwrap();
    assert_eq!(labels.origin, "--labels");
}

#[test]
fn published_models_are_found_by_repository_and_by_file() {
    let released = |name: &str| FRAMEWORKS.into_iter().find_map(|framework| framework.released_as(name));
    assert!(released("jx_vit_base_p16_224-80ecf9dd.pth").unwrap().license.is_some());
    assert!(released("my_vit-80ecf9dd.pth").is_none());
    let published = |name: &str| FRAMEWORKS.into_iter().find_map(|framework| framework.published_in(name));
    assert_eq!(published(&format!("timm/{TAG}")).unwrap().datasets, ["imagenet-1k", "imagenet-21k"]);
    assert!(published("someone/own").is_none());
}
