//! Tests the way back to other frameworks' names: the tensors of the file that a folder was made of, bit for bit, and verified.

use std::collections::BTreeMap;
use std::path::Path;

use vitport::options::FactOptions;
use vitport::pipeline::{
    Acceptance, BackRequest, ConvertBackRequest, ConvertError, Request, WriteOptions, convert_back, plan,
    plan_back, ways_back, write,
};
use vitport::source::Source;
use vitport::verify::{CROP_ROUNDING, TestImage, Verdict, VerifyError};
use vitport_checkpoint::{Checkpoint, Limits};

use crate::mapping_lint::{path, request};

#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Convert(#[from] ConvertError),
    #[error(transparent)]
    Verify(#[from] VerifyError),
}

/// The bytes of a file's tensors.
fn tensors(file: &Path) -> BTreeMap<String, Vec<u8>> {
    let checkpoint = Checkpoint::open(file, &Limits::default()).unwrap();
    let bytes = |tensor: &vitport_checkpoint::Tensor| {
        let mut bytes = vec![0; usize::try_from(tensor.bytes()).unwrap()];
        checkpoint.read(tensor, 0, &mut bytes).unwrap();
        (tensor.name.to_string(), bytes)
    };
    checkpoint.tensors().iter().map(|tensor| bytes(tensor)).collect()
}

fn written(source: &Path, request: &Request, out: &Path) {
    let prepared = plan(Source::open(source, None, &Limits::default()).unwrap(), request)
        .unwrap_or_else(|error| panic!("{}: {error}", source.display()));
    let options = WriteOptions { max_shard_size: 5 << 30, force: false, fsync: false, exact_code: false };
    write(&prepared, out, options, &|_| ()).unwrap().staging.publish().unwrap();
}

#[test]
fn the_tensors_of_other_frameworks_files_come_back() {
    let torchvision = |name: &str| {
        let facts = FactOptions {
            like: Some(format!("torchvision/{name}")),
            image_size: Some([64, 64]),
            ..FactOptions::default()
        };
        Request { facts, ..Request::default() }
    };
    // Microsoft's code prepares images in one way only.
    let cvt =
        FactOptions { num_heads: Some(vec![1, 2, 4]), image_size: Some([64, 64]), ..FactOptions::default() };
    let cvt = Request { facts: cvt, ..Request::default() };
    let data = "crates/vitport/tests/data";
    let cases = [
        (format!("{data}/torchvision/regnet_y.pth"), torchvision("regnet_y_400mf"), "torchvision", "same"),
        (format!("{data}/torchvision/regnet_x.pth"), torchvision("regnet_x_400mf"), "torchvision", "same"),
        (format!("{data}/torchvision/convnext.pth"), torchvision("convnext_base"), "torchvision", "same"),
        (format!("{data}/torchvision/swin.pth"), torchvision("swin_s"), "torchvision", "same"),
        (format!("{data}/torchvision/swin_v2.pth"), torchvision("swin_v2_s"), "torchvision", "same"),
        ("examples/cvt_tiny/tiny.pth".to_owned(), cvt, "microsoft", "cvt-gelu"),
        (format!("{data}/vit/jax_classifier.npz"), request(&[2], [16, 16], false), "jax", "jax-gelu"),
        (format!("{data}/vit/jax_oblong.npz"), request(&[3], [16, 24], false), "jax", "jax-gelu"),
    ];
    let image = TestImage::built_in().unwrap();
    for (source, request, framework, outcome) in cases {
        let scratch = tempfile::tempdir().unwrap();
        let (folder, out) = (scratch.path().join("folder"), scratch.path().join("out"));
        let source = path(&source);
        written(&source, &request, &folder);
        let back = BackRequest { framework: framework.to_owned(), ..BackRequest::default() };
        let prepared =
            plan_back(&folder, &back).unwrap_or_else(|error| panic!("{}: {error}", source.display()));
        let lines: Vec<String> = prepared.lines_for("OUT").collect();
        assert!(lines.iter().any(|line| line.contains("OUT/model.")), "{lines:?}");
        let request = ConvertBackRequest {
            out: &out,
            force: false,
            fsync: false,
            image: Some(&image),
            acceptance: Acceptance::default(),
            keep_anyway: false,
            run: None,
        };
        let converted = convert_back::<Failed>(prepared, request, &|_| (), &|_| Ok(())).unwrap();
        let report = converted.report.unwrap();
        let deviations: Vec<&str> =
            report.known_deviation.iter().flat_map(|known| &known.each).map(|known| &*known.name).collect();
        // Crops are rounded otherwise by transformers, on this way as on the other.
        let is_named = |name: &&str| *name == outcome || *name == CROP_ROUNDING;
        assert!(deviations.iter().all(is_named), "{}: {deviations:?}", source.display());
        assert!(outcome == "same" || deviations.contains(&outcome), "{}: {deviations:?}", source.display());
        let expected = if deviations.is_empty() { Verdict::Same } else { Verdict::SameWithKnownDeviation };
        assert_eq!(report.verdict, expected, "{}: {:?}", source.display(), report.reasons);
        let [(file, size), ..] = converted.files.as_slice() else { panic!("no files") };
        assert_eq!(std::fs::metadata(out.join(file)).unwrap().len(), *size);
        let (wanted, found) = (tensors(&source), tensors(&out.join(file)));
        for (name, bytes) in &found {
            // Keys' biases, which torchvision sets to 0.
            let is_zeroed = source.ends_with("swin_v2.pth") && name.ends_with("qkv.bias");
            assert!(is_zeroed || wanted.get(name) == Some(bytes), "{}: {name}", source.display());
        }
        let made_anew = |name: &&String| name.ends_with("relative_coords_table");
        let left: Vec<_> = wanted.keys().filter(|name| !found.contains_key(*name)).collect();
        assert!(left.iter().all(made_anew), "{}: {left:?}", source.display());
    }
}

#[test]
fn a_class_goes_back_where_a_framework_has_such_a_network() {
    for (model_type, frameworks) in [
        ("vit", &["timm", "torchvision", "jax"][..]),
        ("resnet", &["timm", "torchvision"]),
        ("swin", &["timm", "torchvision", "microsoft"]),
        ("convnext", &["timm", "torchvision", "meta"]),
        ("convnextv2", &["timm", "meta"]),
        ("cvt", &["microsoft"]),
        ("beit", &["timm"]),
        ("clip_vision_model", &["timm"]),
        ("unknown", &[]),
    ] {
        assert_eq!(ways_back(model_type), frameworks, "{model_type}");
    }
}
