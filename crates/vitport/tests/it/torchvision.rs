//! Tests torchvision's registry, and its networks under their own names: what transformers' definition computes of the folder
//! compared with what torchvision computed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, TensorView, serialize_to_file};
use vitport::catalogue;
use vitport::facts::Origin;
use vitport::frameworks::torchvision::registry;
use vitport::model::Prepared;
use vitport::options::FactOptions;
use vitport::pipeline::{ConvertError, Request, WriteOptions, plan, verify, write};
use vitport::source::Source;
use vitport::verify::TestImage;
use vitport_checkpoint::Limits;

use crate::assumptions::write_weights;
use crate::convnext::{compare, read};
use crate::verify::assert_same_but_for_crops;

/// The networks, how many places are compared, and torchvision's name of one like it.
const NETWORKS: [(&str, usize, &str); 5] = [
    ("regnet_y", 9, "torchvision/regnet_y_400mf.IMAGENET1K_V1"),
    ("regnet_x", 9, "torchvision/regnet_x_400mf"),
    ("convnext", 12, "torchvision/convnext_base"),
    ("swin", 10, "torchvision/swin_s"),
    ("swin_v2", 7, "torchvision/swin_v2_s"),
];

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/torchvision").join(name)
}

fn planned(path: &Path, facts: FactOptions) -> Result<Prepared, ConvertError> {
    let source = Source::open(path, None, &Limits::default()).unwrap();
    plan(source, &Request { facts, ..Request::default() })
}

#[test]
fn a_folder_computes_what_torchvision_does() {
    for (name, places, like) in NETWORKS {
        let like = Some(like.to_owned());
        let facts = FactOptions { like, image_size: Some([64, 64]), ..FactOptions::default() };
        let prepared =
            planned(&data(&format!("{name}.pth")), facts).unwrap_or_else(|error| panic!("{name}: {error}"));
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("folder");
        let options = WriteOptions { max_shard_size: 5 << 30, force: false, fsync: false, exact_code: false };
        write(&prepared, &folder, options, &|_| ()).unwrap().staging.publish().unwrap();
        let mut weights = read(&folder.join("model.safetensors"));
        let is_whole = |name: &str| name.ends_with("num_batches_tracked") || name.ends_with("index");
        weights.retain(|name, _| !is_whole(name));
        let expected = read(&data(&format!("{name}.expected.safetensors")));
        assert_eq!(compare(&prepared.model.target_network, &weights, &expected), places, "{name}");
        let report = verify(&prepared, &folder, &TestImage::built_in().unwrap()).unwrap();
        assert_same_but_for_crops(name, &report);
    }
}

#[test]
fn the_registry_holds_all_of_torchvision_and_says_what_each_becomes() {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let models: Vec<_> = catalogue::models().filter(|model| model.name.starts_with("torchvision/")).collect();
    assert_eq!(models.len(), 115);
    for model in &models {
        let class = model.becomes.class().unwrap_or("nothing");
        *counts.entry(class.to_owned()).or_default() += 1;
        assert_eq!(model.becomes.class().is_none(), model.becomes.why_not().is_some(), "{}", model.name);
    }
    let pinned = [
        ("ConvNextForImageClassification", 4),
        ("RegNetForImageClassification", 34),
        ("ResNetForImageClassification", 8),
        ("SwinForImageClassification", 3),
        ("Swinv2ForImageClassification", 3),
        ("ViTForImageClassification", 10),
        ("nothing", 53),
    ];
    assert_eq!(counts, pinned.map(|(class, count)| (class.to_owned(), count)).into());
}

#[test]
fn every_crop_is_of_the_resized_edge_that_torchvision_has() {
    let resized = |tag: &str| {
        let weights = registry::weights().find(|weights| weights.full_name() == tag).unwrap();
        (weights.input_size[1] as f64 / weights.crop_pct).floor() as u64
    };
    assert_eq!(resized("torchvision/resnet50.IMAGENET1K_V1"), 256);
    assert_eq!(resized("torchvision/resnet50.IMAGENET1K_V2"), 232);
    assert_eq!(resized("torchvision/vit_h_14.IMAGENET1K_SWAG_E2E_V1"), 518);
    assert_eq!(resized("torchvision/convnext_base.IMAGENET1K_V1"), 232);
}

/// Writes a ResNet-18 under a name, and plans its conversion.
fn resnet18(name: &str, arch: Option<&str>) -> Result<Prepared, ConvertError> {
    let resnet = registry::weights().find(|weights| weights.architecture == "torchvision/resnet18").unwrap();
    let (definition, facts) = resnet.facts().unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join(name);
    write_weights(&file, definition, &facts.to_config());
    planned(&file, FactOptions { arch: arch.map(str::to_owned), ..FactOptions::default() })
}

/// A bare RegNet may be timm's or torchvision's.
#[test]
fn a_question_names_torchvisions_weights_too() {
    let name = "torchvision/regnet_y_400mf";
    let regnet = registry::weights().find(|weights| weights.architecture == name).unwrap();
    let (definition, facts) = regnet.facts().unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("mine.safetensors");
    write_weights(&file, definition, &facts.to_config());
    let size = FactOptions { image_size: Some([224, 224]), ..FactOptions::default() };
    let said = planned(&file, size).err().unwrap().to_string();
    assert!(
        said.contains("regnety_004.") && said.contains("torchvision/regnet_y_400mf.IMAGENET1K_V"),
        "{said}"
    );
}

#[test]
fn names_are_torchvisions() {
    let published = "torchvision/resnet18.IMAGENET1K_V1";
    for (file, arch) in [
        ("resnet18-f37072fd.safetensors", None),
        ("mine.safetensors", Some(published)),
        ("mine.safetensors", Some("torchvision/resnet18")),
    ] {
        let model = resnet18(file, arch).unwrap_or_else(|error| panic!("{file} {arch:?}: {error}")).model;
        assert_eq!(model.name, arch.unwrap_or(published));
        let fact = |name: &str| model.facts.get(name).unwrap().clone();
        assert_eq!(fact("interpolation").value, "bilinear");
        assert_eq!(fact("img_size").value, serde_json::json!([224, 224]));
        let origin = fact("crop_pct").origin.to_string();
        assert!(origin.contains("torchvision's registry: resnet18.IMAGENET1K_V1"), "{origin}");
        assert!(model.labels.as_ref().unwrap().value[0].starts_with("tench"));
    }
    let said = |arch: &str| resnet18("mine.safetensors", Some(arch)).err().unwrap().to_string();
    let other = said("torchvision/resnet34");
    assert!(other.contains("blocks by stage"), "{other}");
    let family = said("torchvision/vit_b_16");
    assert!(family.contains("family `vision_transformer`"), "{family}");
    let vgg = said("torchvision/vgg11");
    assert!(vgg.contains("torchvision's VGG") && vgg.contains("no class"), "{vgg}");
    let near = said("torchvision/resnet17");
    assert!(near.contains("did you mean torchvision/resnet18"), "{near}");
}

/// The names are torchvision's own, of networks that no mapping holds.
#[test]
fn weights_of_no_family_are_refused_by_the_files_name() {
    let scratch = tempfile::tempdir().unwrap();
    let said = |name: &str| {
        let file = scratch.path().join(format!("{name}.safetensors"));
        let weight = TensorView::new(Dtype::F32, vec![2], &[0; 8]).unwrap();
        serialize_to_file([("features.0.0.weight", weight)], None, &file).unwrap();
        planned(&file, FactOptions::default()).err().unwrap().to_string()
    };
    let padded = said("efficientnet_b0_rwightman-7f5810bc");
    assert!(
        padded.contains("4.3 standard deviations") && padded.contains("(detected by the file's name)"),
        "{padded}"
    );
    let dense = said("densenet121-a639ec97");
    assert!(
        dense.contains("torchvision's DenseNet") && dense.contains("no class in transformers"),
        "{dense}"
    );
    assert!(said("mine").contains("fit no family"));
}

/// Windows are no weights, and the tables and indices that lie next to these show them.
#[test]
fn windows_are_read_off_the_buffers_of_a_swin() {
    let like = |name: &str| Some(format!("torchvision/{name}"));
    for (file, like, edge) in [("swin.pth", like("swin_s"), 4), ("swin_v2.pth", like("swin_v2_s"), 8)] {
        let facts = FactOptions { like, image_size: Some([64; 2]), ..FactOptions::default() };
        let model = planned(&data(file), facts).unwrap().model;
        let fact = model.facts.get("window_size").unwrap();
        assert!(fact.value == edge && matches!(fact.origin, Origin::Weights(_)), "{file}: {fact:?}");
    }
}

#[test]
fn a_swin_v2_whose_windows_are_larger_than_a_map_is_refused() {
    let like = Some("torchvision/swin_v2_s".to_owned());
    let of = |edge| FactOptions { like: like.clone(), image_size: Some([edge; 2]), ..FactOptions::default() };
    let refused = planned(&data("swin_v2.pth"), of(32)).err().expect("a refusal").to_string();
    assert!(refused.contains("some stage's map is smaller than a window"), "{refused}");
    assert!(planned(&data("swin_v2.pth"), of(64)).is_ok());
}
