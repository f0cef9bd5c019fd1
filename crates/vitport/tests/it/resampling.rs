//! Tests networks for images of another size: what is resampled and what that computes, compared with timm's own; what every report
//! says of it; and which sizes are refused.

use std::path::{Path, PathBuf};

use vitport::facts::FactError;
use vitport::model::Prepared;
use vitport::nn::Weights;
use vitport::options::FactOptions;
use vitport::pipeline::{
    self, Acceptance, ConvertError, ConvertRequest, Converted, Hooks, Request, WriteOptions, plan, verify,
};
use vitport::source::Source;
use vitport::verify::{SourceWeights, TestImage, Verdict, VerifyError, page};
use vitport_checkpoint::Limits;

use crate::golden::{self, compare, pixels, tensors};

/// What a conversion of the tests fails with.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Convert(#[from] ConvertError),
    #[error(transparent)]
    Verify(#[from] VerifyError),
}

/// A golden file's name, the folder of its network, its image's size, and how many hidden states and outputs the file holds.
const NETWORKS: [(&str, &str, [u64; 2], usize); 14] = [
    ("clip", "clip/tower", [48, 48], 3),
    ("siglip", "timm_encoders/siglip", [36, 36], 2),
    ("dinov2", "timm_encoders/dinov2", [24, 12], 2),
    ("dinov2_registers", "timm_encoders/dinov2_registers", [24, 24], 2),
    ("registers_gap", "timm_encoders/registers_gap", [12, 12], 3),
    ("tipsv2", "timm_encoders/tipsv2", [28, 28], 2),
    ("distilled", "timm_encoders/distilled", [12, 12], 3),
    ("radio", "timm_encoders/radio", [28, 28], 2),
    ("beit", "beit/plain", [40, 40], 3),
    ("beit_shared", "beit/shared", [15, 15], 2),
    ("eva01", "eva/eva01", [30, 30], 3),
    ("dinov3", "eva/dinov3", [30, 30], 2),
    ("swin", "swin/plain", [128, 128], 2),
    ("swinv2", "swinv2/plain", [128, 128], 2),
];

/// A ViT for images of 80×80 pixels.
const TWIN: &str = "../../../../examples/vit_small_twin";

fn open(path: &Path, resample_to: Option<[u64; 2]>) -> Result<Prepared, ConvertError> {
    let is_oblong = resample_to.is_some_and(|[height, width]| height != width);
    // No image processor crops to an image that is not square.
    let facts = FactOptions { resample_to, without_processor: is_oblong, ..FactOptions::default() };
    let source = Source::open(path, None, &Limits::default()).unwrap();
    plan(source, &Request { facts, ..Request::default() })
}

fn data(folder: &str) -> PathBuf {
    golden::path(folder)
}

#[test]
fn tensors_are_resampled_as_timm_does() {
    let mut all = 0;
    for (name, folder, size, _) in NETWORKS {
        let prepared = open(&data(folder), Some(size)).unwrap();
        let resampled = prepared.model.resampled.clone().unwrap();
        let named: Vec<&str> = resampled.tensors.iter().map(|tensor| tensor.name.as_str()).collect();
        let path = format!("resampling/{name}.weights");
        let expected = match data(&format!("{path}.safetensors")).exists() {
            true => tensors(&path),
            false => golden::Tensors::new(),
        };
        assert_eq!(named.len(), expected.len(), "{name}");
        let weights = SourceWeights::new(&prepared.source.checkpoint, &prepared.model.tensors);
        for tensor in named {
            let (shape, wanted) = &expected[tensor];
            let mut scratch = Vec::new();
            let found = weights.part(tensor, shape, 0..wanted.len(), &mut scratch).unwrap();
            let apart = found.iter().zip(wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            let largest = wanted.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
            assert!(apart <= 1e-6 * largest.max(1.0), "{name}: {tensor} is off by {apart:e} of {largest}");
            all += 1;
        }
        assert_eq!(prepared.plan.is_reversible(), expected.is_empty(), "{name}");
    }
    assert_eq!(all, 13);
}

#[test]
fn the_network_for_another_size_computes_what_timms_does() {
    for (name, folder, size, places) in NETWORKS {
        let prepared = open(&data(folder), Some(size)).unwrap();
        let expected = tensors(&format!("resampling/{name}.expected"));
        let weights = SourceWeights::new(&prepared.source.checkpoint, &prepared.model.tensors);
        let compared = compare(&expected, &prepared.model.network, &pixels(&expected), &weights);
        assert_eq!(compared, places, "{name}");
    }
}

fn convert(prepared: Prepared, out: &Path) -> Converted {
    let image = TestImage::built_in().unwrap();
    let request = ConvertRequest {
        out: Some(out),
        write: WriteOptions { max_shard_size: u64::MAX, force: false, fsync: false, exact_code: false },
        image: Some(&image),
        acceptance: Acceptance::default(),
        keep_anyway: false,
        card: true,
        run: None,
    };
    pipeline::convert::<Failed>(prepared, request, &Hooks::none()).unwrap()
}

#[test]
fn a_resampled_folder_is_the_same_and_everything_says_that_it_is_resampled() {
    const SENTENCE: &str = "position embeddings resampled from 5×5 to 8×8 as timm does";
    let parent = tempfile::tempdir().unwrap();
    let (path, out) = (data(TWIN), parent.path().join("out"));
    let converted = convert(open(&path, Some([128, 128])).unwrap(), &out);
    let report = converted.report.unwrap();
    assert!(converted.is_published && report.verdict == Verdict::Same, "{:?}", report.reasons);
    assert_eq!(report.headline, format!("same; {SENTENCE}"));
    assert!(!report.is_unconditional() && !report.tensor_counts.reversible);
    assert_eq!(
        report.tensors_are(),
        "bit-identical to the source's with 1 of them resampled",
        "{}",
        report.tensors_are()
    );
    let html = page::html(&report, &TestImage::built_in().unwrap());
    let card = std::fs::read_to_string(out.join("README.md")).unwrap();
    for (text, capital) in [(&html, "Position embeddings resampled from 5×5 to 8×8"), (&card, SENTENCE)] {
        assert!(text.contains(SENTENCE) && text.contains(capital), "{text}");
        assert!(text.contains("for images of 128×128 in place of 80×80 pixels"), "{text}");
    }
    assert!(html.contains("<header class=\"assumed\">") && card.contains("cannot be recovered bit for bit"));
    let config: serde_json::Value =
        serde_json::from_slice(&std::fs::read(out.join("config.json")).unwrap()).unwrap();
    assert_eq!(config["image_size"], 128);
    let facts = &converted.prepared.model.facts;
    assert_eq!(facts.get("img_size").unwrap().known_from(), "--resample-to");
    assert_eq!(facts.get("original_img_size").unwrap().shown(), "80x80");

    let image = TestImage::built_in().unwrap();
    let again = verify(&open(&path, Some([128, 128])).unwrap(), &out, &image).unwrap();
    assert_eq!((again.verdict, again.headline), (Verdict::Same, report.headline));
    let without = verify(&open(&path, None).unwrap(), &out, &image).unwrap();
    assert_eq!((without.verdict, without.headline.as_str()), (Verdict::Different, "different"));
    // A folder that holds other positions than resampling makes is found out.
    let other = verify(&open(&path, Some([96, 96])).unwrap(), &out, &image).unwrap();
    assert_eq!(other.verdict, Verdict::Different);
}

#[test]
fn all_of_them_convert() {
    for (name, folder, size, _) in NETWORKS {
        let parent = tempfile::tempdir().unwrap();
        let converted = convert(open(&data(folder), Some(size)).unwrap(), &parent.path().join("out"));
        let report = converted.report.unwrap();
        assert!(converted.is_published, "{name}: {:?}", report.reasons);
        let says = if ["dinov3", "swin", "swinv2"].contains(&name) {
            format!("; for images of {}×{} in place of ", size[0], size[1])
        } else {
            " as timm does".to_owned()
        };
        assert!(report.headline.contains(&says), "{name}: {}", report.headline);
    }
}

#[test]
fn a_layout_is_read_before_it_is_resampled() {
    let facts =
        FactOptions { resample_to: Some([32, 32]), without_processor: true, ..FactOptions::default() };
    let source = Source::open(&data("vit/jax_classifier.npz"), None, &Limits::default()).unwrap();
    let prepared = plan(source, &Request { facts, ..Request::default() }).unwrap();
    let resampled = prepared.model.resampled.clone().unwrap();
    let parent = tempfile::tempdir().unwrap();
    let converted = convert(prepared, &parent.path().join("out"));
    assert!(converted.is_published, "{:?}", converted.report.unwrap().reasons);
    assert_ne!(resampled.from_patches, resampled.to_patches);
}

#[test]
fn the_size_that_it_has_changes_nothing() {
    let path = data(TWIN);
    let (same, plain) = (open(&path, Some([80, 80])).unwrap(), open(&path, None).unwrap());
    assert!(same.model.resampled.is_none() && same.plan.is_reversible());
    assert_eq!((same.plan, same.model.facts), (plain.plan, plain.model.facts));
}

#[test]
fn sizes_that_timm_does_not_take_are_refused() {
    for (folder, size, says) in [
        ("timm_encoders/siglip", [25, 25], "its patches are 4×4 pixels, which do not divide that"),
        ("timm_encoders/siglip", [2048, 2048], "such an image has 262144 patches, and 65536 is the most"),
        ("beit/plain", [40, 20], "for square images only"),
        ("convnext/plain", [96, 96], "a ConvNeXt has no position embeddings"),
        ("residual/resnet_bottleneck", [96, 96], "--image-size says which images it gets"),
        ("residual/regnet_y", [96, 96], "timm's class takes no image size"),
        ("efficientnet/same", [96, 96], "an EfficientNet has no position embeddings"),
    ] {
        let error = open(&data(folder), Some(size)).err().unwrap();
        assert!(matches!(error, ConvertError::Facts(FactError::Contradiction(_))), "{folder}: {error}");
        let (error, [height, width]) = (error.to_string(), size);
        let option = format!("--resample-to {height}x{width} does not fit the file: ");
        assert!(error.starts_with(&option) && error.contains(says), "{folder}: {error}");
    }
    let facts = FactOptions {
        num_heads: Some(vec![1, 2, 4]),
        image_size: Some([64, 64]),
        resample_to: Some([96, 96]),
        ..FactOptions::default()
    };
    let cvt = golden::path("../../../../examples/cvt_tiny/tiny.pth");
    let source = Source::open(&cvt, None, &Limits::default()).unwrap();
    let error = plan(source, &Request { facts, ..Request::default() }).err().unwrap().to_string();
    assert!(error.contains("Microsoft's CvT has no position embeddings"), "{error}");
    // What the class of transformers cannot hold at that size stays a refusal of the mapping.
    let error = open(&data("swin/plain"), Some([96, 96])).err().unwrap();
    assert!(matches!(error, ConvertError::Facts(FactError::NoTarget { .. })), "{error}");
}

#[test]
fn a_size_that_no_class_holds_is_refused_for_the_size() {
    let error = open(&data("timm_encoders/dinov2_registers"), Some([24, 12])).err().unwrap().to_string();
    assert!(error.contains("a DINOv2 with registers for images of 24x12 pixels"), "{error}");
}
