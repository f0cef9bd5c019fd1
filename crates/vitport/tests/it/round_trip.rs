//! A property of every mapping: of networks of random sizes, what it makes is made into the source again, element by element, and its
//! config says the facts that it was made of. Elements are numbered, not computed, so that a wrong place is a wrong number.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use vitport::facts::{Fact, Facts};
use vitport::frameworks::target;
use vitport::mapping::{Mapping, Sources, layouts, mappings};
use vitport::model::Prepared;
use vitport::nn::Network;
use vitport::plan::{Part, Plan};
use vitport::state_dict::StateDict;
use vitport_checkpoint::{Dtype, Tensor};

use crate::mapping_lint::fixtures;

/// Elements of tensors by name: the number of the tensor, and that of the element; 0 is one that no tensor has.
type Values = BTreeMap<String, Vec<u64>>;

/// How a fixture's sizes are changed.
#[derive(Debug, Clone)]
struct Sizes {
    /// Multiplies all widths.
    wider: u64,
    /// Is added to depths, entry by entry.
    deeper: Vec<u64>,
    classes: u64,
}

fn sizes() -> impl Strategy<Value = Sizes> {
    let deeper = prop::collection::vec(0_u64..3, 8);
    (1_u64..4, deeper, 1_u64..9).prop_map(|(wider, deeper, classes)| Sizes { wider, deeper, classes })
}

/// Widths, which grow alike so that they keep their ratios.
const WIDTHS: [&str; 7] = ["embed_dim", "mlp_dim", "dims", "num_chs", "channels", "group_size", "head_width"];
const DEPTHS: [&str; 3] = ["depth", "depths", "layers"];

impl Sizes {
    /// Returns a fixture's facts with other sizes. EfficientNet's class rounds widths, and stays as wide as it is.
    fn of(&self, facts: &Facts, mapping: &Mapping) -> Facts {
        let wider = if mapping.from() == "timm/efficientnet" { 1 } else { self.wider };
        let times = |value: &Value| json!(value.as_u64().unwrap() * wider);
        let mut changed = facts.clone();
        for fact in facts.iter() {
            let value = match &fact.value {
                Value::Number(_) | Value::Array(_) if WIDTHS.contains(&fact.name) => match &fact.value {
                    Value::Array(list) => list.iter().map(times).collect(),
                    number => times(number),
                },
                Value::Array(list) if DEPTHS.contains(&fact.name) => list
                    .iter()
                    .zip(&self.deeper)
                    .map(|(depth, more)| depth.as_u64().unwrap() + more)
                    .collect(),
                Value::Number(depth) if DEPTHS.contains(&fact.name) => {
                    json!(depth.as_u64().unwrap() + self.deeper[0])
                }
                Value::Number(classes) if fact.name == "num_classes" && classes.as_u64() > Some(0) => {
                    json!(self.classes)
                }
                _ => continue,
            };
            changed.set(Fact { value, ..fact.clone() });
        }
        changed
    }
}

fn tensors(network: &Network) -> Sources {
    let entries = network.parameters().iter().map(|parameter| {
        let shape: Vec<u64> = parameter.shape().iter().map(|&size| size as u64).collect();
        let name = parameter.name().to_owned();
        (name.clone(), Tensor::contiguous(name.as_str(), Dtype::F32, shape, 0, 0))
    });
    Sources::of_state_dict(&StateDict::from_entries(entries))
}

fn of_plan(plan: &Plan) -> Sources {
    let entry = |target: &vitport::plan::Target| {
        let name = target.name.to_string();
        (name.clone(), Tensor::contiguous(name.as_str(), target.dtype, target.shape.to_vec(), 0, 0))
    };
    Sources::of_state_dict(&StateDict::from_entries(plan.targets.iter().map(entry)))
}

/// The elements of a view, in the view's order.
fn elements(view: &Tensor, values: &Values, first: u64, count: u64) -> Vec<u64> {
    let stored = &values[&*view.name];
    let element = |mut number: u64| {
        let mut place = view.offset;
        for (size, stride) in view.shape.iter().zip(&view.strides).rev() {
            place += number % size * stride;
            number /= size;
        }
        stored[place as usize]
    };
    (first..first + count).map(element).collect()
}

fn made(plan: &Plan, values: &Values) -> Values {
    let of_part = |part: &Part| match part {
        Part::Slice { tensor, first, elements: count } => elements(tensor, values, *first, *count),
        part => vec![0; part.elements() as usize],
    };
    let targets = plan.targets.iter();
    targets.map(|target| (target.name.to_string(), target.parts.iter().flat_map(of_part).collect())).collect()
}

/// Gives each element the number of its tensor, and its own.
fn numbered(source: &Sources) -> Values {
    let all = |number: u64, elements: u64| (0..elements).map(move |element| number * 1_000_000 + element);
    let tensors = (1..).zip(source.iter());
    tensors
        .map(|(number, tensor)| (tensor.name.to_string(), all(number, tensor.elements()).collect()))
        .collect()
}

/// Checks one network, and returns whether it comes back.
fn comes_back(name: &str, prepared: &Prepared, sizes: &Sizes) -> bool {
    let (mapping, definition) = (&prepared.model.mapping, prepared.model.definition);
    let facts = sizes.of(&prepared.model.facts, mapping);
    let case = format!("{name} through {}, {sizes:?}", mapping.file());
    let network = definition.build(&facts.to_config()).unwrap_or_else(|error| panic!("{case}: {error}"));
    let source = tensors(&network);
    let bindings = mapping.bindings(&facts).unwrap();
    let config = mapping.target_config(&facts).unwrap_or_else(|error| panic!("{case}: {error}"));
    let mut whole = config.clone();
    whole.insert("num_labels".to_owned(), json!(facts.number("num_classes").unwrap_or(0)));
    let target =
        target(mapping.to()).unwrap().build(&whole).unwrap_or_else(|error| panic!("{case}: {error}"));
    let plan = mapping
        .plan(&source, &bindings, None, &target)
        .unwrap_or_else(|problems| panic!("{case}: {problems}"));
    let values = numbered(&source);
    let inverse = mapping.inverse(&source, &bindings, &of_plan(&plan));
    if !plan.is_reversible() {
        assert!(inverse.is_err(), "{case}: what cannot be undone was undone");
        return false;
    }
    let back = inverse.unwrap_or_else(|problems| panic!("{case}: {problems}"));
    let again = made(&back, &made(&plan, &values));
    let dropped = |name: &str| plan.dropped.iter().any(|dropped| dropped.name == name);
    for (tensor, value) in &values {
        assert!(dropped(tensor) || again.get(tensor) == Some(value), "{case}: {tensor} does not come back");
    }
    // The config says what it was made of.
    let has = |ending: &str| plan.targets.iter().any(|target| target.name.ends_with(ending));
    let known = mapping.facts_of_config(&config, |key| key != "model_type", has).unwrap();
    for (fact, value) in known {
        // Several sources may have one config: its [back] decides which is made.
        let is_decided = mapping.text().contains(&format!("\n{fact} = "));
        // Around a width that the class has not there are zeros, which stay.
        let is_widened = fact == "mlp_dim" && plan.targets.iter().any(|target| target.operation == "widen");
        let Some(wanted) = facts.value(&fact).filter(|_| !is_decided && !is_widened) else { continue };
        let alike = match (wanted.as_f64(), value.as_f64()) {
            (Some(a), Some(b)) => a == b,
            _ => *wanted == value,
        };
        assert!(alike, "{case}: {fact} is {value} by the config and was {wanted}");
    }
    true
}

/// Checks one network under the names of every layout that is written, and returns the layouts from which it comes back.
fn come_back(name: &str, prepared: &Prepared, sizes: &Sizes) -> Vec<&'static str> {
    let (mapping, definition) = (&prepared.model.mapping, prepared.model.definition);
    let facts = sizes.of(&prepared.model.facts, mapping);
    let source = tensors(&definition.build(&facts.to_config()).unwrap());
    let own = numbered(&source);
    let mut returned = Vec::new();
    for layout in layouts().iter().filter(|layout| layout.is_written() && layout.to() == definition.id()) {
        let case = format!("{name} in {}, {sizes:?}", layout.file());
        let written = match (layout.plan_written(&source, &facts), layout.refused_network(&facts)) {
            (Ok(written), _) => written,
            // The framework has no such network.
            (Err(_), Some(_)) => continue,
            (Err(problems), None) => panic!("{case}: {problems}"),
        };
        let in_file = made(&written, &own);
        if !layout.anchors().is_empty() {
            let laid_out = of_plan(&written);
            assert!(layout.is_layout_of(&laid_out), "{case}: it is not known again");
            let again = layout.lay_out(&laid_out).unwrap_or_else(|problems| panic!("{case}: {problems}"));
            assert!(made(&again, &in_file) == own, "{case}: it does not come back");
        } else {
            assert!(in_file == own, "{case}: it has other names");
        }
        let python = layout.python(&facts, None).unwrap_or_else(|| panic!("{case}: nothing makes it"));
        assert!(python.ends_with(')') && !python.contains(['{', '}']), "{case}: {python}");
        returned.push(layout.file());
    }
    returned
}

#[test]
fn networks_of_any_size_come_back_through_every_mapping() {
    let mut returned: BTreeMap<String, usize> = BTreeMap::new();
    for (name, prepared) in fixtures() {
        let count = std::cell::Cell::new(0);
        let by_layout = std::cell::RefCell::new(Vec::new());
        // A runner stops for good when it has had its cases.
        TestRunner::new(Config { cases: 8, failure_persistence: None, ..Config::default() })
            .run(&sizes(), |sizes| {
                count.set(count.get() + usize::from(comes_back(&name, &prepared, &sizes)));
                by_layout.borrow_mut().extend(come_back(&name, &prepared, &sizes));
                Ok(())
            })
            .unwrap();
        *returned.entry(prepared.model.mapping.file().to_owned()).or_default() += count.get();
        for layout in by_layout.into_inner() {
            *returned.entry(layout.to_owned()).or_default() += 1;
        }
    }
    // These add two tensors up, part the rows of one, scale some, or compute a table, whatever the sizes.
    let lossy = [
        "timm_convnext_scaled.toml",
        "timm_relpos_features.toml",
        "timm_register_map.toml",
        "timm_radio.toml",
        "timm_registers_features.toml",
        "timm_registers_gap.toml",
    ];
    for layout in layouts().iter().filter(|layout| layout.is_written()) {
        assert!(returned.contains_key(layout.file()), "{}", layout.file());
    }
    for mapping in mappings() {
        let comes_back = returned[mapping.file()] > 0;
        assert_eq!(comes_back, !lossy.contains(&mapping.file()), "{}", mapping.file());
    }
}
