//! Checks that untouched folders raise no alarm: networks with random weights over twenty seeds, in every dtype and cast, with
//! few and many classes, each on several images. A tolerance that is too tight for what rounding does shows here.

mod networks;

use std::path::Path;

use networks::{Random, StateDict, cvt, vit};
use rayon::prelude::*;
use safetensors::tensor::Dtype as Stored;
use vitport::image::Filter;
use vitport::labels::LabelChoice;
use vitport::options::FactOptions;
use vitport::pipeline::Request;
use vitport::pipeline::verify;
use vitport::preprocessing::{IMAGENET_MEAN, IMAGENET_STD};
use vitport::verify::{Report, TestImage, Verdict};
use vitport_checkpoint::Dtype;

use super::convert::convert;

const SEEDS: std::ops::Range<u64> = 0..20;

/// A network, what it is stored in and what it is cast to.
struct Case {
    name: &'static str,
    dict: fn(u64) -> StateDict,
    stored: Stored,
    cast: Option<Dtype>,
    is_cvt: bool,
}

fn case(name: &'static str, dict: fn(u64) -> StateDict, stored: Stored, cast: Option<Dtype>) -> Case {
    Case { name, dict, stored, cast, is_cvt: false }
}

fn cases() -> Vec<Case> {
    use Stored::{BF16, F16, F32};
    let (to_f16, to_bf16, to_f32) = (Some(Dtype::F16), Some(Dtype::BF16), Some(Dtype::F32));
    let plain: fn(u64) -> StateDict = |seed| vit(seed, 10, false);
    let folded: fn(u64) -> StateDict = |seed| vit(seed, 10, true);
    let mut cases = vec![
        case("f32", plain, F32, None),
        case("f32 cast to f16", plain, F32, to_f16),
        case("f32 cast to bf16", plain, F32, to_bf16),
        case("f16", plain, F16, None),
        case("bf16", plain, BF16, None),
        case("f16 cast to f32", plain, F16, to_f32),
        case("bf16 cast to f16", plain, BF16, to_f16),
        case("layer scale", folded, F32, None),
        case("layer scale, f16", folded, F16, None),
        case("layer scale cast to bf16", folded, F32, to_bf16),
        case("no head", |seed| vit(seed, 0, false), F32, None),
        case("no head cast to f16", |seed| vit(seed, 0, true), F32, to_f16),
        case("one class", |seed| vit(seed, 1, false), F32, None),
        case("one class cast to f16", |seed| vit(seed, 1, false), F32, to_f16),
        case("one class cast to bf16", |seed| vit(seed, 1, false), F32, to_bf16),
        case("two classes", |seed| vit(seed, 2, false), F32, None),
        case("two classes cast to f16", |seed| vit(seed, 2, false), F32, to_f16),
        case("two classes cast to bf16", |seed| vit(seed, 2, false), F32, to_bf16),
        case("three classes cast to f16", |seed| vit(seed, 3, false), F32, to_f16),
        case("three classes, layer scale, cast to bf16", |seed| vit(seed, 3, true), F32, to_bf16),
    ];
    for (name, dict, cast) in [
        ("CvT", (|seed| cvt(seed, 10)) as fn(u64) -> StateDict, None),
        ("CvT cast to f16", |seed| cvt(seed, 10), to_f16),
        ("CvT cast to bf16", |seed| cvt(seed, 10), to_bf16),
        ("CvT, two classes, cast to f16", |seed| cvt(seed, 2), to_f16),
    ] {
        cases.push(Case { name, dict, stored: F32, cast, is_cvt: true });
    }
    cases
}

/// The built-in image, and painted ones: noise, a gradient, one flat colour.
fn images(temporary: &Path) -> Vec<TestImage> {
    let mut random = Random::new(7);
    let mut paint = |name: &str, width: u32, height: u32, pixel: &mut dyn FnMut(u32, u32, f64) -> [u8; 3]| {
        let path = temporary.join(name);
        image::RgbImage::from_fn(width, height, |x, y| image::Rgb(pixel(x, y, random.uniform())))
            .save(&path)
            .unwrap();
        TestImage::open(&path).unwrap()
    };
    vec![
        TestImage::built_in().unwrap(),
        paint("noise.png", 48, 40, &mut |x, _, noise| {
            [(255.0 * noise) as u8, (x * 5) as u8, (128.0 * noise) as u8]
        }),
        paint("gradient.png", 64, 64, &mut |x, y, _| [(x * 4) as u8, (y * 4) as u8, 100]),
        paint("flat.png", 40, 40, &mut |_, _, _| [90, 130, 60]),
    ]
}

fn request(case: &Case) -> Request {
    let facts = FactOptions {
        num_heads: Some(if case.is_cvt { vec![1, 2, 4] } else { vec![3] }),
        image_size: Some([32, 32]),
        mean: Some(IMAGENET_MEAN),
        std: Some(IMAGENET_STD),
        crop_pct: Some(0.875),
        interpolation: Some(Filter::Bicubic),
        labels: Some(LabelChoice::None),
        ..FactOptions::default()
    };
    Request { facts, dtype: case.cast, ..Request::default() }
}

/// How near each report comes to an alarm: the largest difference over what rounding explains.
fn strain(report: &Report) -> (f64, String) {
    let judged = report.judged();
    let strain =
        judged.iter().map(|place| (place.difference.relative / place.tolerance, place.place.clone()));
    strain.max_by(|a, b| a.0.total_cmp(&b.0)).unwrap()
}

#[test]
fn untouched_folders_raise_no_alarm() {
    let temporary = tempfile::tempdir().unwrap();
    let images = images(temporary.path());
    let runs: Vec<(usize, u64)> =
        (0..cases().len()).flat_map(|case| SEEDS.map(move |seed| (case, seed))).collect();
    let reports: Vec<(usize, u64, Report)> = runs
        .par_iter()
        .flat_map_iter(|&(number, seed)| {
            let case = &cases()[number];
            let path = temporary.path().join(format!("{number} {seed}.safetensors"));
            (case.dict)(seed).write(&path, case.stored);
            let converted = convert(&path, &request(case));
            let verified =
                images.iter().map(|image| verify(&converted.prepared, &converted.folder, image).unwrap());
            verified.map(|report| (number, seed, report)).collect::<Vec<_>>()
        })
        .collect();
    println!("| network | largest difference over what rounding explains | where |");
    for (number, case) in cases().iter().enumerate() {
        let strains = reports.iter().filter(|(of, ..)| *of == number).map(|(.., report)| strain(report));
        let (largest, place) = strains.max_by(|a, b| a.0.total_cmp(&b.0)).unwrap();
        println!("| {} | {largest:.2} | {place} |", case.name);
    }
    let alarms: Vec<String> = reports
        .iter()
        .filter(|(.., report)| matches!(report.verdict, Verdict::Different | Verdict::NotComparable))
        .map(|(number, seed, report)| {
            format!("{}, seed {seed}, {}: {:?}", cases()[*number].name, report.image.name, report.reasons)
        })
        .collect();
    assert_eq!(reports.len(), cases().len() * SEEDS.count() * images.len());
    assert!(alarms.is_empty(), "{} alarms: {alarms:#?}", alarms.len());
}
