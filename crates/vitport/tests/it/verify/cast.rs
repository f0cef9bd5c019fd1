//! Checks that a cast is judged by its own rounding: the source run on its weights as the cast leaves them agrees with the
//! folder as closely as without a cast, so that a fault too small to be distinguished from rounding to bfloat16 is still seen.

use std::path::Path;

use vitport::image::Filter;
use vitport::options::FactOptions;
use vitport::pipeline::Request;
use vitport::pipeline::verify;
use vitport::preprocessing::{IMAGENET_MEAN, IMAGENET_STD};
use vitport::verify::{Report, TestImage, Verdict};
use vitport_checkpoint::Dtype;

use super::convert::{Converted, convert};

/// The tiny ViT with layer scale, which is folded before it is rounded.
fn cast_to(dtype: Dtype) -> Converted {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/vit/timm_dinov2_base.safetensors");
    let facts = FactOptions {
        num_heads: Some(vec![2]),
        mean: Some(IMAGENET_MEAN),
        std: Some(IMAGENET_STD),
        crop_pct: Some(0.9),
        interpolation: Some(Filter::Bicubic),
        ..FactOptions::default()
    };
    convert(&source, &Request { facts, dtype: Some(dtype), ..Request::default() })
}

fn verified(converted: &Converted) -> Report {
    verify(&converted.prepared, &converted.folder, &TestImage::built_in().unwrap()).unwrap()
}

#[test]
fn a_cast_is_measured_and_then_taken_away() {
    for (dtype, name) in [(Dtype::F16, "float16"), (Dtype::BF16, "bfloat16")] {
        let report = verified(&cast_to(dtype));
        assert_eq!(report.verdict, Verdict::Same, "{:?}", report.reasons);
        let cast = report.cast.as_ref().unwrap();
        assert_eq!((cast.dtype.as_str(), &cast.measured), (name, &report.layers));
        let (moved, left) = (cast.measured.last().unwrap(), cast.without_it.last().unwrap());
        assert!(moved.difference.relative > 100.0 * moved.tolerance, "{moved:?}");
        assert!(left.difference.relative < left.tolerance, "{left:?}");
        assert_eq!(report.judged(), cast.without_it);
    }
    assert!(verified(&cast_to(Dtype::F32)).cast.is_none());
}

/// Of registers and their positions the sum is rounded, and of the other tokens' positions each.
#[test]
fn a_sum_that_is_rounded_is_taken_away_with_the_rest() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/timm_encoders/registers_gap");
    for dtype in [Dtype::F16, Dtype::BF16] {
        let report = verified(&convert(&source, &Request { dtype: Some(dtype), ..Request::default() }));
        // The crop of its images is rounded otherwise, which no weight has to do with.
        assert_eq!(report.verdict, Verdict::SameWithKnownDeviation, "{:?}", report.reasons);
        let left = &report.cast.as_ref().unwrap().without_it;
        assert!(left.iter().all(|place| place.difference.relative < place.tolerance), "{left:?}");
    }
}

#[test]
fn a_fault_that_is_smaller_than_the_rounding_is_seen() {
    let converted = cast_to(Dtype::BF16);
    let config = converted.folder.join("config.json");
    let text = std::fs::read_to_string(&config).unwrap();
    assert!(text.contains("1e-06"), "{text}");
    std::fs::write(&config, text.replace("1e-06", "1e-04")).unwrap();
    let report = verified(&converted);
    let cast = report.cast.as_ref().unwrap();
    let moved = cast.measured.iter().map(|place| place.difference.relative).fold(0.0, f64::max);
    let wrong = cast.without_it.iter().find(|place| !place.agrees).expect("the outputs show it");
    assert!(wrong.difference.relative < moved, "{wrong:?} of {moved}");
}
