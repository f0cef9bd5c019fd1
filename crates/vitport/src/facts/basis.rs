//! What a verdict rests on. Both networks are built from the same facts, so a fact that is wrong makes two networks that are
//! wrong alike, and no comparison of them shows it. So every fact that the source does not say is named.

use schemars::JsonSchema;
use serde::Serialize;

use super::fact::{Fact, Facts, Origin};

/// Names the fact on which everything hangs that a framework's registry has of a model.
const ARCHITECTURE: &str = "architecture";

/// Names a fact that no network depends on.
const LICENSE: &str = "license";

/// Says how much of what is known of a model the source says itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Basis {
    /// Counts the facts that the weights and the source's own files say.
    #[serde(rename = "facts_from_source")]
    pub from_source: usize,
    /// Counts the facts that a framework's registry has of the architecture that the source itself names.
    #[serde(rename = "facts_from_registry")]
    pub from_registry: usize,
    /// Lists what is taken to be so.
    pub assumptions: Vec<Assumption>,
}

/// Describes a fact that the source does not say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Assumption {
    /// Names it: `num_heads`.
    pub fact: &'static str,
    /// Gives its value as people read it: `3,6,8`.
    pub value: String,
    /// Says where it came from: `--num-heads`.
    pub origin: String,
    /// Lists what a framework's registry has of it, for an architecture: right if it is, and not counted.
    pub follows: Vec<Following>,
    /// Gives what the source says instead, if an option overrides it.
    pub overrides: Option<Overridden>,
}

/// Describes a fact that follows from an assumption.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Following {
    /// Names it.
    pub fact: &'static str,
    /// Gives its value as people read it.
    pub value: String,
}

/// Describes what a source says and an option overrides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Overridden {
    /// Gives the value as people read it.
    pub value: String,
    /// Says where it came from.
    pub origin: String,
}

impl Basis {
    /// Returns what the facts rest on.
    pub fn of(facts: &Facts) -> Self {
        let named = facts.get(ARCHITECTURE);
        let is_guess = named.is_some_and(|named| named.origin.is_assumption());
        let of_network = || facts.iter().filter(|fact| fact.name != LICENSE);
        let of_registry = || of_network().filter(|fact| matches!(fact.origin, Origin::Registry(_)));
        let is_own = |fact: &&Fact| {
            let origin = &fact.origin;
            let is_request = matches!(origin, Origin::Request(_));
            origin.is_statement() && !origin.is_assumption() && !is_request
        };
        let assumption = |fact: &Fact| Assumption {
            fact: fact.name,
            value: fact.shown(),
            origin: fact.origin.to_string(),
            follows: match fact.name {
                ARCHITECTURE => of_registry().map(Following::of).collect(),
                _ => Vec::new(),
            },
            overrides: fact
                .overrides
                .as_ref()
                .map(|known| Overridden { value: fact.show(&known.value), origin: known.origin.to_string() }),
        };
        let is_assumed = |fact: &&Fact| fact.origin.is_assumption() || fact.overrides.is_some();
        Self {
            from_source: of_network().filter(is_own).count(),
            from_registry: if is_guess { 0 } else { of_registry().count() },
            assumptions: of_network().filter(is_assumed).map(assumption).collect(),
        }
    }

    /// Returns the condition under which a verdict holds: `if the 2 assumptions hold`; none if nothing is assumed.
    pub fn condition(&self) -> Option<String> {
        match self.assumptions.len() {
            0 => None,
            1 => Some("if the assumption holds".to_owned()),
            count => Some(format!("if the {count} assumptions hold")),
        }
    }

    /// Returns how many facts come from where: `22 facts read from the source's files, 6 from the registry …, nothing assumed`.
    pub fn summary(&self) -> String {
        let facts = |count: usize| match count {
            1 => "1 fact".to_owned(),
            count => format!("{count} facts"),
        };
        let registry = match self.from_registry {
            0 => String::new(),
            count => {
                format!(", {count} from the registry for the architecture named there")
            }
        };
        let assumed = match self.assumptions.len() {
            0 => "nothing assumed".to_owned(),
            1 => "1 assumption".to_owned(),
            count => format!("{count} assumptions"),
        };
        format!("{} read from the source's files{registry}, {assumed}", facts(self.from_source))
    }

    /// Returns the assumptions in words, those of one origin together: `num_heads 3,6,8 (--num-heads)`.
    pub fn assumed(&self) -> Vec<String> {
        let mut groups: Vec<(&str, Vec<String>)> = Vec::new();
        let mut alone = Vec::new();
        for assumption in &self.assumptions {
            if assumption.overrides.is_some() || !assumption.follows.is_empty() {
                alone.push(assumption.sentence());
                continue;
            }
            let shown = format!("{} {}", assumption.fact, assumption.value);
            match groups.iter_mut().find(|(origin, _)| *origin == assumption.origin) {
                Some((_, group)) => group.push(shown),
                None => groups.push((&assumption.origin, vec![shown])),
            }
        }
        let groups = groups.into_iter().map(|(origin, group)| format!("{} ({origin})", group.join(", ")));
        alone.into_iter().chain(groups).collect()
    }
}

impl Assumption {
    /// Returns it in words, with what it overrides and what follows from it.
    pub fn sentence(&self) -> String {
        let Self { fact, value, origin, follows, overrides } = self;
        let overrides = overrides
            .as_ref()
            .map_or_else(String::new, |known| format!("; overrides {} from {}", known.value, known.origin));
        let follows = match follows.as_slice() {
            [] => String::new(),
            follows => {
                let each = follows.iter().map(|known| format!("{} {}", known.fact, known.value));
                format!(", and with it {}", each.collect::<Vec<_>>().join(", "))
            }
        };
        format!("{fact} {value} ({origin}{overrides}){follows}")
    }
}

impl Following {
    fn of(fact: &Fact) -> Self {
        Self { fact: fact.name, value: fact.shown() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Sourced;
    use serde_json::json;

    fn facts(architecture: Origin) -> Facts {
        Facts::from_iter([
            Fact::new("depth", 3, Origin::Weights("blocks".to_owned())),
            Fact::new("num_heads", 3, Origin::Registry("a registry: small".to_owned())),
            Fact::new("head", false, Origin::Request("--no-head")),
            Fact::new("labels", "2 names", Origin::Placeholder("no names are known")),
            Fact::new("architecture", "small", architecture),
            Fact::new("license", "mit", Origin::Card("license")),
        ])
    }

    #[test]
    fn what_the_source_names_is_no_assumption() {
        let basis = Basis::of(&facts(Origin::Config("architecture".to_owned())));
        assert_eq!((basis.from_source, basis.from_registry, basis.condition()), (2, 1, None));
        assert!(basis.summary().ends_with("nothing assumed"), "{}", basis.summary());
    }

    #[test]
    fn what_follows_from_an_assumed_architecture_is_not_counted_again() {
        let basis = Basis::of(&facts(Origin::Option("--arch")));
        assert_eq!((basis.from_source, basis.from_registry), (1, 0));
        assert_eq!(basis.condition().as_deref(), Some("if the assumption holds"));
        assert_eq!(basis.assumed(), ["architecture small (--arch), and with it num_heads 3"]);
    }

    #[test]
    fn assumptions_of_one_origin_stand_together() {
        let definition = || Origin::Definition("a definition");
        let known = |value: f64| Sourced::new(json!(value), Origin::Config("pretrained_cfg".to_owned()));
        let facts = Facts::from_iter([
            Fact::new("num_heads", json!([3, 6, 8]), Origin::Option("--num-heads")),
            Fact::new("norm_eps", 1e-6, definition()),
            Fact::by_option("crop_pct", Some(json!(1.0)), "--crop-pct", known(0.9)),
            Fact::by_option("mean", Some(json!(0.5)), "--mean", known(0.5)),
            Fact::new("act_layer", "gelu", definition()),
        ]);
        let basis = Basis::of(&facts);
        assert_eq!(basis.from_source, 1, "an option that repeats the source");
        assert_eq!(basis.condition().as_deref(), Some("if the 4 assumptions hold"));
        assert_eq!(
            basis.assumed(),
            [
                "crop_pct 1.0 (--crop-pct; overrides 0.9 from config.json: pretrained_cfg)",
                "num_heads 3,6,8 (--num-heads)",
                "norm_eps 1e-6, act_layer gelu (a definition)",
            ]
        );
    }
}
