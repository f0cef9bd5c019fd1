//! Makes a declared definition of timm's what the steps call: each question is answered from its tables.

use serde_json::{Map, Value};

use super::super::source::{Described, WrittenConfig};
use super::super::{Definition, Identity, Inquiry, SourceDefinition};
use super::TimmDefinition;
use super::registry::{Architecture, Tag};
use crate::facts::{Evidence, Fact, FactError, Facts, Origin};
use crate::finding::Head;
use crate::mapping::Sources;
use crate::nn::{ForwardError, Network};
use crate::resampling::Resampled;

impl Definition for TimmDefinition {
    fn id(&self) -> &'static str {
        self.id
    }

    fn build(&self, config: &Map<String, Value>) -> Result<Network, ForwardError> {
        (self.build)(config)
    }
}

impl SourceDefinition for TimmDefinition {
    fn description(&self) -> &'static str {
        self.description
    }

    fn fact_names(&self) -> Vec<&'static str> {
        let of_shapes = self.structure.signs.iter().map(|(fact, _)| *fact);
        self.fields().map(|field| field.fact).chain(of_shapes).collect()
    }

    fn anchors(&self) -> &'static [&'static [&'static str]] {
        self.structure.recognised_by
    }

    fn registered(&self, architecture: &Architecture, tag: &Tag) -> Option<Facts> {
        self.modules.contains(&architecture.module).then(|| self.facts_of(architecture, tag))
    }

    fn heads(&self) -> &'static [Head] {
        self.heads
    }

    fn usual_facts(&self) -> Vec<Fact> {
        let origin = || Origin::Definition(self.by_definition);
        let usual = self.fields().filter_map(|field| Some((field.fact, field.otherwise?)));
        usual.map(|(fact, value)| Fact::new(fact, value, origin())).collect()
    }

    fn completed(&self, facts: Facts) -> Facts {
        let origin = || Origin::Definition(self.by_definition);
        let all = self.usual.iter().map(|(fact, usual)| (*fact, self.usually(fact, *usual, &facts)));
        let all: Vec<_> = all.map(|(fact, value)| Fact::new(fact, value, origin())).collect();
        let mut completed = facts;
        for usual in all.into_iter().chain(self.usual_facts()) {
            if completed.get(usual.name).is_none() {
                completed.set(usual);
            }
        }
        completed
    }

    fn recognises(&self, tensors: &Sources) -> bool {
        self.structure.recognises(tensors)
    }

    fn read(&self, inquiry: &Inquiry<'_>, evidence: &mut Evidence) -> Result<(), FactError> {
        self.structure.read(inquiry, self.family, evidence)
    }

    fn gather(&self, inquiry: &Inquiry<'_>, evidence: &mut Evidence) -> Result<Identity, FactError> {
        self.gather_statements(inquiry, evidence)
    }

    fn resampled(&self, tensors: &Sources, facts: &Facts, to: [u64; 2]) -> Result<Resampled, FactError> {
        self.resampled_to(tensors, facts, to)
    }

    fn write_config(&self, described: &Described<'_>) -> Option<Result<WrittenConfig, FactError>> {
        Some(self.write(described))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{DEFINITIONS, layers, registry};
    use super::*;
    use crate::facts::is_same;

    /// The registry has these of the modules themselves, and not of what a constructor was given.
    #[test]
    fn what_holds_for_an_architecture_is_what_its_modules_are() {
        let mut compared = [0; 4];
        let all = DEFINITIONS.iter().flat_map(|definition| {
            let all = definition.modules.iter().flat_map(|module| registry::architectures_of(module));
            all.map(move |architecture| (definition, architecture))
        });
        for (definition, architecture) in all {
            let name = architecture.name;
            let facts = definition.facts_of(architecture, registry::tags_of(name).next().unwrap());
            let mut check = |number: usize, fact: &str, is_it: &dyn Fn(&Value) -> bool| {
                if let Some(ours) = facts.value(fact) {
                    assert!(is_it(ours), "{name}: {fact} {ours}");
                    compared[number] += 1;
                }
            };
            if let Some(acts) = architecture.get("acts").and_then(Value::as_array) {
                let acts: Vec<&str> =
                    acts.iter().filter_map(Value::as_str).filter_map(layers::activation_name).collect();
                // Next to GELU, ReLU is that of an MLP that computes relative positions.
                let is_it = |ours: &str| acts.contains(&ours) && (ours == "gelu" || !acts.contains(&"gelu"));
                check(0, "act_layer", &|ours| ours.as_str().is_some_and(is_it));
            }
            if let Some(eps) = architecture.get("norm_eps").filter(|eps| eps.is_number()) {
                check(1, "norm_eps", &|ours| is_same(eps, ours));
            }
            if let Some(pooling) = architecture.text("global_pool") {
                check(2, "global_pool", &|ours| ours == pooling);
            }
            if let Some(stem) = architecture.text("stem") {
                check(3, "pad_type", &|ours| (ours == "same") == stem.starts_with("Conv2dSame"));
            }
        }
        assert_eq!(compared, [540, 548, 549, 115]);
    }
}
