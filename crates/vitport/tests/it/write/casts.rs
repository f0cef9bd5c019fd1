//! Casts give the bits that torch and numpy give, scaled rows are rounded once, and what cannot be cast is refused.

use serde_json::Value;
use vitport::folder::layout::FileLayout;
use vitport::folder::{FolderError, FolderErrorClass};
use vitport::plan::{Part, Plan, Target};
use vitport_checkpoint::Dtype;

use super::source::{Source, bytes_of, singles, target, written};

/// The bits of a golden case's elements as little-endian bytes.
fn bytes(dtype: Dtype, bits: &Value) -> Vec<u8> {
    let width = usize::try_from(dtype.size()).unwrap();
    bits.as_array()
        .unwrap()
        .iter()
        .flat_map(|bits| bits.as_u64().unwrap().to_le_bytes()[..width].to_vec())
        .collect()
}

#[test]
fn every_cast_gives_the_bits_of_torch_and_numpy() {
    let golden: Value = serde_json::from_str(include_str!("../../data/write/casts.json")).unwrap();
    let cases = golden.as_array().unwrap();
    assert!(cases.len() > 15);
    for case in cases {
        let dtype = |key: &str| Dtype::from_name(case[key].as_str().unwrap()).unwrap();
        let (from, to) = (dtype("from"), dtype("to"));
        let stored = bytes(from, &case["source"]);
        let count = stored.len() as u64 / from.size();
        let source = Source::new(&[("w", from, &[count], stored)]);
        let folder = tempfile::tempdir().unwrap();
        let read = written(&source, vec![target("w", to, &[count], vec![source.whole("w")])], folder.path())
            .unwrap();
        assert_eq!(read["w"], bytes(to, &case["target"]), "{} to {}", from.name(), to.name());
    }
}

#[test]
fn a_large_tensor_is_cast_like_a_small_one() {
    let count = 400_003;
    let values = singles(count, 5);
    let source = Source::new(&[("w", Dtype::F32, &[400_003], bytes_of(&values))]);
    let tensor = source.tensor("w");
    let part = |first, elements| Part::Slice { tensor: tensor.clone().into(), first, elements };
    let parts = vec![part(1, 400_002), part(0, 1)];
    let folder = tempfile::tempdir().unwrap();
    let read = written(&source, vec![target("w", Dtype::F16, &[400_003], parts)], folder.path()).unwrap();
    let expected: Vec<u8> = values[1..]
        .iter()
        .chain(&values[..1])
        .flat_map(|&single| half::f16::from_f32(single).to_le_bytes())
        .collect();
    assert!(read["w"] == expected);
}

#[test]
fn rows_are_scaled_in_float64_and_rounded_once() {
    let (rows, columns) = (123_usize, 3001_usize);
    let (weights, factors) = (singles(rows * columns, 6), singles(rows, 7));
    let shape = [123_u64, 3001];
    let source = Source::new(&[
        ("w", Dtype::F32, &shape, bytes_of(&weights)),
        ("bias", Dtype::F32, &shape[..1], bytes_of(&factors)),
        ("gamma", Dtype::F32, &shape[..1], bytes_of(&factors)),
    ]);
    let scaled = |name| Part::ScaledRows {
        tensor: source.tensor(name).into(),
        factors: source.tensor("gamma").into(),
    };
    let targets = vec![
        target("w", Dtype::F32, &shape, vec![scaled("w")]),
        target("bias", Dtype::F32, &shape[..1], vec![scaled("bias")]),
        target("w.f64", Dtype::F64, &shape, vec![scaled("w")]),
        target("w.bf16", Dtype::BF16, &shape, vec![scaled("w")]),
    ];
    let folder = tempfile::tempdir().unwrap();
    let read = written(&source, targets, folder.path()).unwrap();
    let products: Vec<f64> = weights
        .chunks(columns)
        .zip(&factors)
        .flat_map(|(row, &factor)| row.iter().map(move |&weight| f64::from(weight) * f64::from(factor)))
        .collect();
    assert!(
        read["w"] == products.iter().flat_map(|&product| (product as f32).to_le_bytes()).collect::<Vec<_>>()
    );
    assert!(read["w.f64"] == products.iter().flat_map(|product| product.to_le_bytes()).collect::<Vec<_>>());
    let squares: Vec<f32> =
        factors.iter().map(|&factor| (f64::from(factor) * f64::from(factor)) as f32).collect();
    assert_eq!(read["bias"], bytes_of(&squares));
    for (found, product) in read["w.bf16"].as_chunks().0.iter().zip(&products) {
        let found = f64::from(half::bf16::from_le_bytes(*found).to_f32());
        assert!((found - product).abs() <= product.abs() / 256.0, "{found} for {product}");
    }
}

/// The error of writing one tensor of these float32 values into `to`.
fn refusal(values: &[f32], to: Dtype) -> FolderError {
    let count = values.len() as u64;
    let source = Source::new(&[("w", Dtype::F32, &[count], bytes_of(values))]);
    let folder = tempfile::tempdir().unwrap();
    written(&source, vec![target("head.weight", to, &[count], vec![source.whole("w")])], folder.path())
        .unwrap_err()
}

#[test]
fn a_value_beyond_the_target_dtype_is_named() {
    let mut values = vec![0.5; 300_000];
    values[299_000] = -70_000.0;
    let error = refusal(&values, Dtype::F16);
    assert_eq!(error.class(), FolderErrorClass::Usage);
    assert_eq!(
        error.to_string(),
        "tensor `head.weight` holds -7e4, which is beyond float16 and would become infinite; use --dtype bf16 or f32"
    );
    let message = refusal(&[f32::MAX], Dtype::BF16).to_string();
    assert!(message.contains("beyond bfloat16") && message.ends_with("use --dtype f32"), "{message}");
}

#[test]
fn integers_are_never_cast() {
    for (from, to) in [
        (Dtype::I64, Dtype::F32),
        (Dtype::Bool, Dtype::U8),
        (Dtype::F32, Dtype::I32),
        (Dtype::C64, Dtype::F32),
        (Dtype::F32, Dtype::F8E4M3),
    ] {
        let source = Source::new(&[("w", from, &[2], vec![0; usize::try_from(2 * from.size()).unwrap()])]);
        let plan = Plan { targets: vec![target("w", to, &[2], vec![source.whole("w")])], ..Plan::default() };
        let error = FileLayout::new(&plan, u64::MAX).unwrap_err();
        assert!(matches!(error, FolderError::NotCastable { .. }), "{error}");
        assert_eq!(error.class(), FolderErrorClass::Usage);
    }
}

#[test]
fn a_plan_that_contradicts_itself_is_a_bug_and_named() {
    let source = Source::new(&[("w", Dtype::F32, &[2, 3], bytes_of(&singles(6, 8)))]);
    let w = source.tensor("w");
    let slice = |first, elements| Part::Slice { tensor: w.clone().into(), first, elements };
    let one = |parts| target("w", Dtype::F32, &[2, 3], parts);
    let inconsistent: [(&str, Vec<Target>); 6] = [
        ("too few elements", vec![one(vec![slice(0, 5)])]),
        ("beyond the source", vec![one(vec![slice(1, 6)])]),
        ("overflow", vec![one(vec![slice(u64::MAX, 6)])]),
        (
            "factors do not fit",
            vec![one(vec![Part::ScaledRows { tensor: w.clone().into(), factors: w.clone().into() }])],
        ),
        ("twice the same name", vec![one(vec![slice(0, 6)]), one(vec![slice(0, 6)])]),
        ("impossible shape", vec![target("w", Dtype::F32, &[u64::MAX, 3], vec![slice(0, 6)])]),
    ];
    for (what, targets) in inconsistent {
        let error = FileLayout::new(&Plan { targets, ..Plan::default() }, u64::MAX).unwrap_err();
        assert_eq!(error.class(), FolderErrorClass::Bug, "{what}: {error}");
        assert!(error.to_string().contains("tensor `w`"), "{what}: {error}");
    }
}
