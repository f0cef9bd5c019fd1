//! Tests LoRA adapters of peft against what peft and torch make of them.

use vitport::facts::FactError;
use vitport::pipeline::ConvertError;

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
        assert!(!report.accounts.reversible && report.accounts.merged == plan.merged, "{name}");
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
