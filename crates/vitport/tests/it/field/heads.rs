//! The classifier of every family where people's own code puts it: in a list, or next to the network.

use std::path::{Path, PathBuf};

use safetensors::serialize_to_file;
use safetensors::tensor::TensorView;
use vitport::options::FactOptions;
use vitport::pipeline::{ConvertError, Request, WriteOptions, plan, write};
use vitport::source::Source;
use vitport_checkpoint::{Dtype, Limits};

use crate::convnext::{Tensors, read};

/// The networks of `tests/data` (of ViT the table has files), what of torchvision's registry they are like, and the name of their classifier.
const NETWORKS: [(&str, Option<&str>, &str); 12] = [
    ("beit/plain", None, "head"),
    ("convnext/plain", None, "head.fc"),
    ("convnext/v2", None, "head.fc"),
    ("efficientnet/same", None, "classifier"),
    ("eva/eva01", None, "head"),
    ("residual/regnet_y", None, "head.fc"),
    ("residual/resnet_bottleneck", None, "fc"),
    ("swin/plain", None, "head.fc"),
    ("swinv2/plain", None, "head.fc"),
    ("torchvision/regnet_y.pth", Some("torchvision/regnet_y_400mf.IMAGENET1K_V1"), "fc"),
    ("torchvision/swin.pth", Some("torchvision/swin_s"), "head"),
    ("torchvision/swin_v2.pth", Some("torchvision/swin_v2_s"), "head"),
];

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// Writes the tensors of a source under other names, next to the config if it has one.
fn renamed(from: &Path, to: &Path, name: impl Fn(&str) -> String) {
    let checkpoint = Source::open(from, None, &Limits::default()).unwrap().checkpoint;
    std::fs::create_dir_all(to).unwrap();
    if from.is_dir() {
        std::fs::copy(from.join("config.json"), to.join("config.json")).unwrap();
    }
    let tensors: Vec<(String, safetensors::Dtype, Vec<usize>, Vec<u8>)> = checkpoint
        .tensors()
        .iter()
        .map(|tensor| {
            let mut bytes = vec![0; tensor.bytes() as usize];
            checkpoint.read(tensor, 0, &mut bytes).unwrap();
            let dtype = match tensor.dtype {
                Dtype::F32 => safetensors::Dtype::F32,
                Dtype::I64 => safetensors::Dtype::I64,
                other => panic!("{other:?}"),
            };
            (name(&tensor.name), dtype, tensor.shape.iter().map(|&size| size as usize).collect(), bytes)
        })
        .collect();
    let views = tensors
        .iter()
        .map(|(name, dtype, shape, bytes)| (name, TensorView::new(*dtype, shape.clone(), bytes).unwrap()));
    serialize_to_file(views, None, &to.join("model.safetensors")).unwrap();
}

/// Converts a source and returns what the folder holds.
fn converted(source: &Path, like: Option<&str>) -> Result<Tensors, ConvertError> {
    let facts = match like {
        Some(like) => {
            FactOptions { like: Some(like.to_owned()), image_size: Some([64, 64]), ..FactOptions::default() }
        }
        None => FactOptions::default(),
    };
    let source = Source::open(source, None, &Limits::default()).unwrap();
    let prepared = plan(source, &Request { facts, ..Request::default() })?;
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("folder");
    let options = WriteOptions { max_shard_size: 5 << 30, force: false, fsync: false, exact_code: false };
    write(&prepared, &folder, options, &|_| ()).unwrap().staging.publish().unwrap();
    Ok(read(&folder.join("model.safetensors")))
}

#[test]
fn the_classifier_of_every_family_is_found_where_people_put_it() {
    for (name, like, head) in NETWORKS {
        let source = data(name);
        let expected = converted(&source, like).unwrap();
        let scratch = tempfile::tempdir().unwrap();
        // A torchvision file says nothing of itself, so what is in it is a file of its own.
        let file_of = |folder: &Path| match like {
            Some(_) => folder.join("model.safetensors"),
            None => folder.to_owned(),
        };
        let within = |own: &str, list: &str| match own.strip_prefix(&format!("{head}.")) {
            Some(parameter) => format!("{list}.{parameter}"),
            None => own.to_owned(),
        };
        let in_a_list = scratch.path().join("list");
        renamed(&source, &in_a_list, |own| within(own, &format!("{head}.1")));
        let found = converted(&file_of(&in_a_list), like);
        assert!(found.unwrap_or_else(|error| panic!("{name}: {error}")) == expected, "{name}: in a list");

        let outside = scratch.path().join("outside");
        renamed(&source, &outside, |own| match within(own, "own") {
            same if same == own => format!("backbone.{own}"),
            moved => moved,
        });
        let found = converted(&file_of(&outside), like);
        assert!(found.unwrap_or_else(|error| panic!("{name}: {error}")) == expected, "{name}: outside");

        let two_layers = scratch.path().join("two");
        renamed(&source, &two_layers, |own| match own.strip_suffix("bias") {
            Some(layer) if layer.strip_suffix('.') == Some(head) => format!("{head}.1.bias"),
            _ => within(own, &format!("{head}.0")),
        });
        let error = converted(&file_of(&two_layers), like).err().unwrap_or_else(|| panic!("{name}"));
        assert!(error.to_string().contains("head is several layers"), "{name}: {error}");
    }
}
