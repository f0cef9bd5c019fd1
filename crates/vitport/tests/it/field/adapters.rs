//! Tests LoRA adapters of peft against what peft and torch make of them.

use std::path::Path;

use vitport::facts::FactError;
use vitport::options::FactOptions;
use vitport::pipeline::{ConvertError, Converted};
use vitport::source::Source;
use vitport_checkpoint::{Checkpoint, Limits};

use super::run::{self, Failed, compare, truths, written};

/// What a vitport of these files needs to be told.
const USUAL: &str = "--usual";

#[test]
fn adapters_are_added_in_float64_and_rounded_once() {
    for (name, expected) in truths("adapters") {
        let (converted, found) = written("adapters", &format!("{name}/weights.pth {USUAL}"));
        compare(&name, &found, &expected);
        let plan = &converted.prepared.plan;
        assert!(plan.merged > 0 && !plan.is_reversible(), "{name}");
        let fact = |fact: &str| converted.prepared.model.facts.get(fact).unwrap().shown();
        assert_eq!(fact("lora_alpha"), "5", "{name}");
        assert_eq!(fact("lora_scaling"), if name == "lora" { "alpha / rank" } else { "alpha / sqrt(rank)" });
        let report = converted.report.unwrap();
        assert!(!report.tensor_counts.reversible && report.tensor_counts.merged == plan.merged, "{name}");
    }
}

#[test]
fn layers_that_were_trained_whole_take_the_place_of_the_original_ones() {
    let (converted, _) = written("adapters", &format!("lora/weights.pth {USUAL}"));
    let dropped: Vec<&str> = converted.prepared.plan.dropped.iter().map(|part| &*part.name).collect();
    assert_eq!(
        dropped,
        ["base_model.model.head.original_module.weight", "base_model.model.head.original_module.bias"]
    );
}

#[test]
fn what_peft_computes_otherwise_is_refused_by_name() {
    let cases = [
        ("dora/weights.pth", "DoRA"),
        ("with_bias/weights.pth", "a bias of its own"),
        ("alpha_pattern/weights.pth", "an alpha for each layer"),
        ("loha/weights.pth", "LoHa"),
        ("two_adapters/weights.pth", "several adapters (default, other)"),
        ("alone", "without the weights"),
    ];
    let out = tempfile::tempdir().unwrap();
    for (name, part) in cases {
        let error = run::convert("adapters", &format!("{name} {USUAL}"), out.path()).err().unwrap();
        let is_refusal = matches!(error, Failed::Convert(ConvertError::Facts(FactError::NoTarget { .. })));
        assert!(is_refusal && error.to_string().contains(part), "{name}: {error}");
    }
}

#[test]
fn one_of_two_adapters_is_left_and_merged() {
    let (two, one) =
        (written("adapters", &format!("two_adapters/weights.pth {USUAL} --drop *.other.*")), USUAL);
    assert_eq!(two.0.prepared.plan.merged, 1);
    // The base network, where all adapters are left out.
    let (converted, bare) = written("adapters", &format!("two_adapters/weights.pth {one} --drop *.lora_*"));
    assert_eq!(converted.prepared.plan.merged, 0);
    let differing = bare.iter().filter(|(name, hash)| &two.1[*name] != *hash).count();
    assert_eq!(differing, 3, "query, key and value");
}

#[test]
fn alpha_is_asked_for_and_never_contradicts_the_config() {
    let error = |line: &str| match run::convert(
        line.split_once('/').unwrap().0,
        line.split_once('/').unwrap().1,
        "out".as_ref(),
    ) {
        Err(error) => error,
        Ok(_) => panic!("{line} is converted"),
    };
    let asked = error("field/peft_full.pth --usual");
    let Failed::Convert(ConvertError::Facts(FactError::Questions { open, .. })) = asked else {
        panic!("{asked}");
    };
    assert_eq!(open.iter().map(|question| question.option).collect::<Vec<_>>(), ["--lora-alpha"]);
    for line in
        ["adapters/lora/weights.pth --usual --lora-alpha 6", "field/headseq.pth --usual --lora-alpha 6"]
    {
        let error = error(line);
        let is_contradiction =
            matches!(error, Failed::Convert(ConvertError::Facts(FactError::Contradiction(_))));
        assert!(is_contradiction, "{line}: {error}");
    }
}

/// A copy of a fixture of adapters whose network and adapter are files of their own, as peft saves them: the network's under `weights`,
/// the adapter's names as in `names`.
fn apart(fixture: &str, names: impl Fn(&str) -> String) -> tempfile::TempDir {
    use safetensors::tensor::{TensorView, serialize_to_file};
    let folder = tempfile::tempdir().unwrap();
    let adapter = folder.path().join("adapter");
    std::fs::create_dir(&adapter).unwrap();
    let from = run::path("adapters", fixture);
    std::fs::copy(from.join("adapter_config.json"), adapter.join("adapter_config.json")).unwrap();
    let whole = Checkpoint::open(&from.join("weights.pth"), &Limits::default()).unwrap();
    let (mut network, mut own) = (Vec::new(), Vec::new());
    for tensor in whole.tensors() {
        let mut bytes = vec![0; tensor.bytes() as usize];
        whole.read(tensor, 0, &mut bytes).unwrap();
        let shape: Vec<usize> = tensor.shape.iter().map(|&size| size as usize).collect();
        let name = tensor.name.strip_prefix("base_model.model.").unwrap();
        match name.contains(".lora_") || name.contains(".modules_to_save.") {
            true => {
                let name = name.replace(".default", "").replace(".modules_to_save", "");
                own.push((names(&name), shape, bytes));
            }
            false => {
                let name = name.replace(".base_layer", "").replace(".original_module", "");
                network.push((name, shape, bytes));
            }
        }
    }
    for (tensors, path) in [
        (&network, folder.path().join("weights.safetensors")),
        (&own, adapter.join("adapter_model.safetensors")),
    ] {
        let views = tensors.iter().map(|(name, shape, bytes)| {
            (name, TensorView::new(safetensors::Dtype::F32, shape.clone(), bytes).unwrap())
        });
        serialize_to_file(views, None, &path).unwrap();
    }
    folder
}

/// Converts weights with an adapter.
fn with_adapter(
    weights: &Path,
    adapter: &Path,
    line: &str,
) -> Result<(Converted, tempfile::TempDir), Failed> {
    let out = tempfile::tempdir().unwrap();
    let (_, key, facts) = run::parse("adapters", line);
    let source = Source::open(weights, key.as_deref(), &Limits::default()).map_err(ConvertError::from)?;
    let source = source.with_adapter(adapter, &Limits::default()).map_err(ConvertError::from)?;
    let converted = run::convert_source(source, facts, &out.path().join("out"))?;
    Ok((converted, out))
}

#[test]
fn an_adapter_in_a_file_of_its_own_gives_the_same_weights() {
    let bare = |name: &str| format!("base_model.model.{name}");
    // The network stood inside of another module when the adapter was trained.
    let nested = |name: &str| format!("base_model.model.wrapper.backbone.{name}");
    for fixture in ["lora", "rslora"] {
        for names in [&bare as &dyn Fn(&str) -> String, &nested] {
            let folder = apart(fixture, names);
            let adapter = folder.path().join("adapter");
            for adapter in [adapter.clone(), adapter.join("adapter_model.safetensors")] {
                let weights = folder.path().join("weights.safetensors");
                let (converted, out) = with_adapter(&weights, &adapter, "x --usual")
                    .unwrap_or_else(|error| panic!("{fixture}: {error}"));
                compare(fixture, &run::hashes(&out.path().join("out")), &truths("adapters")[fixture]);
                assert!(!converted.prepared.plan.is_reversible());
                assert!(converted.prepared.model.facts.get("adapter").is_some());
            }
        }
    }
}

#[test]
fn an_adapter_that_is_not_of_these_weights_or_is_not_asked_for_is_refused_with_what_to_run() {
    let folder = apart("lora", |name| format!("base_model.model.{}", name.replace("blocks.0", "blocks.7")));
    let weights = folder.path().join("weights.safetensors");
    let refusal = |result: Result<(Converted, tempfile::TempDir), Failed>| match result {
        Ok(_) => panic!("it is converted"),
        Err(error) => error.to_string(),
    };
    let text = refusal(with_adapter(&weights, &folder.path().join("adapter"), "x --usual"));
    assert!(text.contains("an adapter of other weights") && text.contains("blocks.7"), "{text}");
    let text = refusal(with_adapter(&weights, &weights, "x --usual"));
    assert!(text.contains("it holds no LoRA"), "{text}");
    let text =
        refusal(with_adapter(&folder.path().join("adapter"), &folder.path().join("adapter"), "x --usual"));
    assert!(text.contains("has no weight that it is added to"), "{text}");
    // The command that is told is the one that works, also where a path needs quotes.
    let folder = apart("lora", |name| format!("base_model.model.{name}"));
    let spaced = folder.path().join("my adapter");
    std::fs::rename(folder.path().join("adapter"), &spaced).unwrap();
    let error = run::convert("adapters", "alone --usual", &folder.path().join("out")).err().unwrap();
    assert!(error.to_string().contains("run `vitport convert BASE --adapter "), "{error}");
    let source = Source::open(&spaced, None, &Limits::default()).unwrap();
    let text = run::convert_source(source, FactOptions::default(), &folder.path().join("out"))
        .err()
        .unwrap()
        .to_string();
    assert!(text.contains("--adapter '") && text.contains("my adapter'`"), "{text}");
    // A folder of both.
    std::fs::copy(folder.path().join("weights.safetensors"), spaced.join("model.safetensors")).unwrap();
    let source = Source::open(&spaced, None, &Limits::default()).unwrap();
    let text = run::convert_source(source, FactOptions::default(), &folder.path().join("out"))
        .err()
        .unwrap()
        .to_string();
    assert!(text.contains("model.safetensors' --adapter '"), "{text}");
    with_adapter(&spaced.join("model.safetensors"), &spaced, "x --usual").unwrap();
    with_adapter(&spaced, &spaced, "x --usual").unwrap();
}
