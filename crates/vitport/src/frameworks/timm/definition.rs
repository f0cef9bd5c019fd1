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
