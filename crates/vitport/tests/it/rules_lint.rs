//! What must hold of every built-in rule file: over its fixtures every rule is used, every source tensor is mapped or dropped
//! by name, every target is made once and is the target network's own; and carried there and back a fixture is the same
//! bit by bit, unless the plan says that it folds.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use vitport::convert::{Prepared, Request, WriteOptions, prepare, write};
use vitport::families;
use vitport::folder::layout::DEFAULT_SHARD_SIZE;
use vitport::identify::Hints;
use vitport::plan::Operation;
use vitport::rules::{Problem, Rules, inverse};
use vitport::source::Source;
use vitport_checkpoint::{Checkpoint, Limits};

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").join(name)
}

fn request(heads: &[u64], size: [u64; 2], without_head: bool) -> Request {
    let hints = Hints {
        num_heads: Some(heads.to_vec()),
        image_size: Some(size),
        mean: Some([0.5; 3]),
        std: Some([0.5; 3]),
        crop_pct: Some(1.0),
        crop_mode: (size[0] != size[1]).then_some(vitport::image::CropMode::Squash),
        interpolation: Some(vitport::image::Filter::Bicubic),
        without_head,
        ..Hints::default()
    };
    Request { hints, ..Request::default() }
}

/// Every fixture of every family, prepared.
fn fixtures() -> Vec<(String, Prepared)> {
    let data = "crates/vitport/tests/data";
    let list = [
        ("examples/vit_small_twin".to_owned(), Request::default()),
        (format!("{data}/vit/timm_plain.safetensors"), request(&[2], [16, 16], false)),
        (format!("{data}/vit/timm_plain.safetensors"), request(&[2], [16, 16], true)),
        (format!("{data}/vit/timm_deit3.safetensors"), request(&[2], [16, 12], false)),
        (format!("{data}/vit/timm_dinov2_base.safetensors"), request(&[2], [16, 16], false)),
        (format!("{data}/vit/timm_no_qkv_bias.safetensors"), request(&[4], [16, 16], false)),
        (format!("{data}/vit/jax_classifier.npz"), request(&[2], [16, 16], false)),
        (format!("{data}/vit/jax_oblong.npz"), request(&[3], [16, 24], false)),
        (format!("{data}/vit/jax_base.npz"), request(&[2], [16, 16], false)),
        (format!("{data}/vit/jax_pre_logits.npz"), request(&[2], [16, 16], true)),
        ("examples/cvt_tiny/tiny.pth".to_owned(), request(&[1, 2, 4], [64, 64], false)),
    ];
    list.into_iter()
        .map(|(name, request)| {
            let source = Source::open(&path(&name), None, &Limits::default()).unwrap();
            let prepared = prepare(source, &request).unwrap_or_else(|error| panic!("{name}: {error}"));
            (name, prepared)
        })
        .collect()
}

#[test]
fn every_rule_of_every_family_is_used_by_a_fixture() {
    // DINOv2's own files hold a mask token; timm's, which are the fixtures, do not.
    let only_elsewhere = BTreeSet::from(["[drop] mask_token".to_owned()]);
    let fixtures = fixtures();
    for file in families::ALL.iter().flat_map(|family| family.rules()) {
        let mut live = BTreeSet::new();
        let mut all = BTreeSet::new();
        for (_, prepared) in fixtures.iter().filter(|(_, prepared)| prepared.rules.file() == file.name) {
            let (used, rules) =
                prepared.rules.live_and_all(&prepared.model.state_dict, &prepared.model.bindings);
            live.extend(used);
            all.extend(rules);
        }
        assert!(!all.is_empty(), "{} has no fixture", file.name);
        let dead: Vec<_> = all.difference(&live).filter(|rule| !only_elsewhere.contains(*rule)).collect();
        assert!(dead.is_empty(), "{}: no fixture uses {dead:?}", file.name);
    }
}

#[test]
fn every_source_tensor_is_mapped_or_dropped_and_every_target_is_made_once() {
    for (name, prepared) in fixtures() {
        let mut used: BTreeSet<&str> =
            prepared.plan.dropped.iter().map(|dropped| dropped.name.as_str()).collect();
        let mut made = BTreeSet::new();
        for target in &prepared.plan.targets {
            assert!(made.insert(target.name.to_string()), "{name}: {} is made twice", target.name);
            for part in &target.parts {
                match part {
                    vitport::plan::Part::Slice { tensor, .. } => {
                        used.insert(&tensor.name);
                    }
                    vitport::plan::Part::ScaledRows { tensor, factors } => {
                        used.extend([&*tensor.name, &*factors.name]);
                    }
                    _ => {}
                }
            }
        }
        let source: BTreeSet<&str> = prepared.model.state_dict.iter().map(|(_, t)| &*t.name).collect();
        assert_eq!(used, source, "{name}");
        let mut expected = BTreeSet::new();
        prepared.model.expected.for_each(|name, _| {
            expected.insert(name.to_owned());
        });
        assert_eq!(made, expected, "{name}");
    }
}

/// Where in its storage the element of a view lies, counted in elements.
fn place_in(view: &vitport_checkpoint::Tensor, mut number: u64) -> u64 {
    let mut place = view.offset;
    for (size, stride) in view.shape.iter().zip(&view.strides).rev() {
        place += number % size * stride;
        number /= size;
    }
    place
}

#[test]
fn there_and_back_is_the_same_bit_by_bit() {
    let mut reversed = 0;
    for (name, prepared) in fixtures() {
        let folds = prepared.plan.targets.iter().any(|target| target.operation == Operation::Fold);
        let ways = match inverse(&prepared.plan) {
            Ok(ways) => ways,
            Err(error) => {
                assert!(folds, "{name}: {error}");
                continue;
            }
        };
        assert!(!folds, "{name}");
        let folder = tempfile::tempdir().unwrap();
        let options = WriteOptions {
            max_shard_size: DEFAULT_SHARD_SIZE,
            force: false,
            fsync: false,
            exact_code: false,
        };
        let written = write(&prepared, &folder.path().join("out"), options, &|_| {}).unwrap();
        let target =
            Checkpoint::open(&written.staging.path().join("model.safetensors"), &Limits::default()).unwrap();
        let dropped: BTreeSet<&str> =
            prepared.plan.dropped.iter().map(|dropped| dropped.name.as_str()).collect();
        for (_, tensor) in prepared.model.state_dict.iter().filter(|(_, t)| !dropped.contains(&*t.name)) {
            let size = tensor.dtype.size();
            let mut original = vec![0; tensor.bytes() as usize];
            prepared.source.checkpoint.read(tensor, 0, &mut original).unwrap();
            let mut back = vec![0xee; original.len()];
            for run in &ways[&*tensor.name] {
                let mut values = vec![0; (run.elements * size) as usize];
                target.read(target.tensor(&run.target).unwrap(), run.target_first, &mut values).unwrap();
                for (step, value) in (run.source_first..).zip(values.chunks_exact(size as usize)) {
                    let element = match &run.view {
                        Some(view) => place_in(view, step) - tensor.offset,
                        None => step,
                    };
                    back[(element * size) as usize..][..size as usize].copy_from_slice(value);
                }
            }
            assert!(original == back, "{name}: {} does not come back", tensor.name);
        }
        reversed += 1;
    }
    assert!(reversed >= 4);
}

#[test]
fn a_rule_that_is_missing_or_too_many_is_reported_with_all_its_tensors() {
    let source = Source::open(&path("examples/vit_small_twin"), None, &Limits::default()).unwrap();
    let prepared = prepare(source, &Request::default()).unwrap();
    let (model, text) = (&prepared.model, families::ALL[0].rules()[0].text);
    let problems_of = |text: &str| {
        let rules = Rules::parse("test.toml", text).unwrap();
        rules.plan(&model.state_dict, &model.bindings, None, &model.expected).unwrap_err().list
    };
    let without_norm2: String =
        text.lines().filter(|line| !line.contains("norm2")).map(|l| format!("{l}\n")).collect();
    let problems = problems_of(&without_norm2);
    let grouped: BTreeMap<_, _> = problems
        .iter()
        .filter_map(|problem| match problem {
            Problem::Unmapped { group, names, nearest } => {
                Some((group.as_str(), (names.len(), nearest.clone())))
            }
            _ => None,
        })
        .collect();
    assert_eq!(grouped.len(), 2, "{problems:?}");
    let (count, nearest) = &grouped["blocks.{n}.norm2.weight"];
    assert_eq!(*count, 3);
    assert!(nearest.as_deref().unwrap().contains("norm1"), "{nearest:?}");

    let renamed = text.replace("{base}layernorm.{p}", "{base}final_norm.{p}");
    let problems = problems_of(&renamed);
    assert!(
        problems
            .iter()
            .any(|p| matches!(p, Problem::NotInTarget { group, .. } if group == "vit.final_norm.weight"))
    );
    assert!(
        problems
            .iter()
            .any(|p| matches!(p, Problem::NotMade { group, .. } if group == "vit.layernorm.weight"))
    );

    let doubled = text.replace("\"cls_token\" =", "\"norm.weight\" = \"twice\"\n\"cls_token\" =");
    assert!(
        problems_of(&doubled)
            .iter()
            .any(|p| matches!(p, Problem::NotInTarget { group, .. } if group == "twice"))
    );
    let line = vitport::rules::Problems { list: problems_of(&without_norm2) }.to_string();
    assert!(!line.contains('\n') && line.contains("nearest rule"), "{line}");
}
