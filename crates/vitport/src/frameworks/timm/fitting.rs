//! What timm's architectures that fit a source without a name have in common: where they agree it is assumed, and where they do
//! not it is asked.

use serde_json::Value;

use super::TimmDefinition;
use super::registry::{self, Architecture};
use crate::facts::{Evidence, Fact, Facts, Origin, Question};

impl TimmDefinition {
    /// Says what all architectures that fit a bare file have otherwise than usual.
    pub(super) fn unusual_of_all(&self, facts: &Facts, evidence: &mut Evidence) {
        let fitting = self.candidates(facts);
        for (fact, usual) in self.usual {
            let field = self.fields().find(|field| field.fact == *fact);
            let mut values = fitting.iter().map(|architecture| field?.of_architecture(architecture));
            if let (Some(Some(first)), false) = (values.next(), evidence.has(fact))
                && first != Value::from(self.usually(fact, *usual, facts))
                && values.all(|value| value.as_ref() == Some(&first))
            {
                let which =
                    fitting.iter().map(|architecture| architecture.name).collect::<Vec<_>>().join(", ");
                evidence.add(fact, first, registry::candidates(&which));
            }
        }
    }

    /// Says the number of attention heads of a bare file, if all architectures of this width and depth that fit have one;
    /// asks otherwise.
    pub(super) fn heads_of_all(&self, facts: &Facts, evidence: &mut Evidence) {
        let fitting = self.candidates(facts);
        let (width, depth) = (facts.number("embed_dim").unwrap_or(0), facts.number("depth").unwrap_or(0));
        let is_alike = |a: &&Architecture| {
            a.text("block_fn") == Some("Block")
                && a.flag("class_token") == (facts.flag("class_token") != Some(false))
                && a.text("attn_layer") == Some("Attention")
                && a.size("embed_dim").map(|size| size as u64) == Some(width)
                && a.size("depth").map(|size| size as u64) == Some(depth)
        };
        let (known, which) = match fitting.as_slice() {
            [] => {
                let all = self.modules.iter().flat_map(|module| registry::architectures_of(module));
                let which = "its class-token architectures of this width and depth".to_owned();
                (all.filter(is_alike).collect::<Vec<_>>(), which)
            }
            [only] => (fitting.clone(), only.name.to_owned()),
            several => (several.to_vec(), format!("the {} architectures that fit", several.len())),
        };
        let mut counts: Vec<u64> =
            known.iter().filter_map(|a| a.size("num_heads")).map(|heads| heads as u64).collect();
        counts.sort_unstable();
        counts.dedup();
        match counts.as_slice() {
            [heads] => evidence.add("num_heads", *heads, registry::candidates(&which)),
            _ => {
                let divisors =
                    (1..=64_u64).filter(|heads| width.is_multiple_of(*heads) && width / heads >= 8);
                let what = format!(
                    "the number of attention heads cannot be inferred from the weights, and timm has no {} of {width} channels and {depth} blocks",
                    self.family
                );
                let question = Question::new("num_heads", what, "--num-heads", "N");
                let question = question.with_candidates(divisors);
                evidence.ask(question.or("--arch NAME if it is one of timm's"));
            }
        }
    }

    /// Says what weights do not show of a bare file, if all architectures that fit agree on it; asks otherwise.
    pub(super) fn setting_of_all(&self, fact: &'static str, facts: &Facts, evidence: &mut Evidence) {
        let fitting = self.candidates(facts);
        let field = self.fields().find(|field| field.fact == fact);
        let values: Vec<Value> =
            fitting.iter().filter_map(|architecture| field?.of_architecture(architecture)).collect();
        match values.split_first() {
            Some((first, others)) if others.iter().all(|other| other == first) => {
                let which = format!("the {} architectures that fit", fitting.len());
                evidence.add(fact, first.clone(), registry::candidates(&which));
            }
            _ => {
                let shown =
                    |value: &Value| match Fact::new(fact, value.clone(), Origin::Definition("")).shown() {
                        empty if empty.is_empty() => "none".to_owned(),
                        shown => shown,
                    };
                let mut candidates: Vec<String> = values.iter().map(shown).collect();
                candidates.sort_unstable();
                candidates.dedup();
                let fit = match fitting.len() {
                    0 => "no architecture of timm's fits",
                    _ => "timm's architectures that fit do not agree",
                };
                let what = format!("{fact} cannot be inferred from the weights, and {fit}");
                let question = match fact {
                    "norm_eps" => {
                        Question::new(fact, what, "--layer-norm-eps", "EPS").with_candidates(candidates)
                    }
                    _ if candidates.is_empty() => Question::new(fact, what, "", ""),
                    _ => Question::new(fact, format!("{what} ({})", candidates.join(" or ")), "", ""),
                };
                let others = match fact {
                    "norm_eps" => "--arch NAME",
                    _ => "--arch NAME, or a config.json with it among model_args",
                };
                evidence.ask(question.or(others));
            }
        }
    }
}
