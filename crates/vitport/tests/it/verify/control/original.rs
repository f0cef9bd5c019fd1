//! Says what the original scripts would have said of a folder. Both load with `load_state_dict(strict=True)`. The ViT script
//! then gives both networks the same pixels and asks `torch.allclose` with an absolute tolerance of 1e-3 on the logits, 1e-1 on
//! the features of a model without head; the CvT script asks nothing.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;
use std::sync::Mutex;

use vitport::folder::reader::Folder;
use vitport::image::{CropRounding, RgbImage};
use vitport::mapping::Sources;
use vitport::model::Prepared;
use vitport::nn::{ForwardError, Outputs, Weights};
use vitport::state_dict::StateDict;
use vitport::verify::SourceWeights;
use vitport_checkpoint::Limits;

/// torch.allclose's default relative tolerance.
const RTOL: f32 = 1e-5;

/// Names a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Script {
    Vit,
    Cvt,
}

/// Says what the scripts see.
pub struct Original {
    pub verdict: &'static str,
    /// Gives the largest difference of logits, or of features without head, on the same pixels.
    pub largest: Option<f32>,
}

/// Weights that remember what they were asked for.
struct Recorded<'a> {
    weights: SourceWeights<'a>,
    asked: Mutex<BTreeSet<String>>,
}

impl Weights for Recorded<'_> {
    fn part<'a>(
        &'a self,
        name: &str,
        shape: &[usize],
        elements: Range<usize>,
        temporary: &'a mut Vec<f32>,
    ) -> Result<&'a [f32], ForwardError> {
        self.asked.lock().unwrap().insert(name.to_owned());
        self.weights.part(name, shape, elements, temporary)
    }

    fn contains(&self, name: &str) -> bool {
        self.weights.contains(name)
    }
}

/// Repeats a script's check of a folder.
pub fn check(prepared: &Prepared, folder: &Path, image: &RgbImage, script: Script) -> Original {
    let model = &prepared.model;
    let folder = Folder::open(folder, &Limits::default()).unwrap();
    let named = folder.checkpoint.tensors().iter().map(|tensor| (tensor.name.clone(), tensor.clone()));
    let tensors = Sources::of_state_dict(&StateDict::from_entries(named));
    let weights = Recorded {
        weights: SourceWeights::new(&folder.checkpoint, &tensors),
        asked: Mutex::new(BTreeSet::new()),
    };
    let pixels = model.transform.apply(image, CropRounding::HalfToEven).unwrap();
    let network = model.target.build(folder.config.as_object().unwrap());
    let Ok(target) = network.and_then(|network| network.forward(&pixels, &weights, &mut ())) else {
        return Original { verdict: "caught (does not load)", largest: None };
    };
    let asked = weights.asked.into_inner().unwrap();
    let is_left_over = |name: &str| !asked.contains(name) && !name.ends_with("num_batches_tracked");
    if tensors.iter().any(|tensor| is_left_over(&tensor.name)) {
        return Original { verdict: "caught (does not load)", largest: None };
    }
    let source = SourceWeights::new(&prepared.source.checkpoint, &model.tensors);
    let source = model.network.forward(&pixels, &source, &mut ()).unwrap();
    let (source, target, atol) = match (outputs(&source), outputs(&target)) {
        ((source, true), (target, true)) => (source, target, 1e-3),
        ((source, _), (target, _)) => (source, target, 1e-1),
    };
    assert_eq!(source.len(), target.len());
    let largest = source.iter().zip(target).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    let is_close = source.iter().zip(target).all(|(a, b)| (a - b).abs() <= atol + RTOL * b.abs());
    let verdict = match (script, is_close) {
        (Script::Cvt, _) => "let through (compares nothing)",
        (Script::Vit, true) => "let through",
        (Script::Vit, false) => "caught",
    };
    Original { verdict, largest: Some(largest) }
}

/// Logits, or the features that a head would read; whether it is the logits.
fn outputs(outputs: &Outputs) -> (&[f32], bool) {
    if let Some(logits) = outputs.values("logits") {
        return (logits, true);
    }
    let features = ["pooler_output", "pre_logits", "last_hidden_state[0]", "features", "cls_token_value"];
    (features.into_iter().find_map(|name| outputs.values(name)).unwrap(), false)
}
