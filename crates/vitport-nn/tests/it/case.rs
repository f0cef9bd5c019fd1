//! Reads a row of the table and its tensors.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use safetensors::SafeTensors;
use serde_json::{Map, Value};
use vitport_nn::{Matrix, MemoryWeights};

/// Tensors by name, each with its shape.
type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// Describes a row of the table.
#[derive(Clone)]
pub struct Case {
    pub name: String,
    /// Says what the module is made with.
    pub parameters: Map<String, Value>,
    wrong: Vec<Map<String, Value>>,
    tensors: Arc<Tensors>,
}

fn read(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Reads the table.
pub fn cases() -> Vec<Case> {
    let file = read("modules.safetensors");
    let goldens = SafeTensors::deserialize(&file).unwrap();
    let rows: Vec<Map<String, Value>> = serde_json::from_slice(&read("cases.json")).unwrap();
    assert!(!rows.is_empty());
    let case = |mut row: Map<String, Value>| {
        let name = serde_json::from_value(row.remove("name").unwrap()).unwrap();
        let wrong = serde_json::from_value(row.remove("wrong").unwrap()).unwrap();
        let mut tensors = Tensors::new();
        for (full, view) in goldens.iter() {
            if let Some(rest) = full.strip_prefix(&format!("{name}/")) {
                let values = bytemuck::pod_collect_to_vec(view.data());
                tensors.insert(rest.to_owned(), (view.shape().to_vec(), values));
            }
        }
        Case { name, parameters: row, wrong, tensors: Arc::new(tensors) }
    };
    rows.into_iter().map(case).collect()
}

impl Case {
    /// Returns which module it is.
    pub fn kind(&self) -> String {
        self.parameters["module"].as_str().unwrap().to_owned()
    }

    pub fn is_elementwise(&self) -> bool {
        self.kind() == "activation"
    }

    pub fn is_attention(&self) -> bool {
        self.kind().ends_with("attention")
    }

    /// Returns whether it is several layers, one after another.
    pub fn is_block(&self) -> bool {
        self.kind().ends_with("block")
    }

    /// Returns the case once with each of the wrong parameters. `swap` is not a parameter, but exchanges two tensors; `roll`
    /// moves the rows of one on.
    pub fn with_wrong_parameters(&self) -> Vec<(String, Self)> {
        let changed = |change: &Map<String, Value>| {
            let mut case = self.clone();
            for (key, value) in change {
                match key.as_str() {
                    "swap" => case.swap(value[0].as_str().unwrap(), value[1].as_str().unwrap()),
                    "roll" => case.roll(value[0].as_str().unwrap(), value[1].as_u64().unwrap() as usize),
                    _ => assert_ne!(case.parameters.insert(key.clone(), value.clone()).as_ref(), Some(value)),
                }
            }
            (serde_json::to_string(change).unwrap(), case)
        };
        self.wrong.iter().map(changed).collect()
    }

    fn full(&self, name: &str) -> String {
        let weight = format!("weights/{name}");
        if self.tensors.contains_key(&weight) { weight } else { format!("in/{name}") }
    }

    fn swap(&mut self, one: &str, other: &str) {
        let (one, other) = (self.full(one), self.full(other));
        let tensors = Arc::make_mut(&mut self.tensors);
        let (first, second) = (tensors[&one].clone(), tensors[&other].clone());
        tensors.extend([(one, second), (other, first)]);
    }

    fn roll(&mut self, name: &str, rows: usize) {
        let name = self.full(name);
        let (shape, values) = Arc::make_mut(&mut self.tensors).get_mut(&name).unwrap();
        values.rotate_left(rows * shape[1]);
    }

    /// Returns all its weights.
    pub fn weights(&self) -> MemoryWeights {
        let mut weights = MemoryWeights::new();
        for (name, (shape, values)) in self.tensors.iter() {
            if let Some(name) = name.strip_prefix("weights/") {
                weights.insert(name, shape, values.clone()).unwrap();
            }
        }
        weights
    }

    /// Returns the values of an input.
    pub fn values(&self, name: &str) -> &[f32] {
        &self.tensors[&format!("in/{name}")].1
    }

    /// Returns an input as rows.
    pub fn matrix(&self, name: &str) -> Matrix {
        self.rows(&format!("in/{name}"))
    }

    /// Returns what PyTorch made of it.
    pub fn expected(&self) -> Matrix {
        self.rows("out")
    }

    fn rows(&self, name: &str) -> Matrix {
        let (shape, values) = &self.tensors[name];
        Matrix::from_values(shape[0], shape[1..].iter().product(), values.clone()).unwrap()
    }
}
