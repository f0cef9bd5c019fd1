//! transformers' `DeiTForImageClassificationWithTeacher` and `DeiTModel` (models/deit/modeling_deit.py, 4.57.6 and 5.23.0): a ViT
//! with a second token, which was trained to answer as a teacher did. Its layers are copied from ViT's.

use serde_json::{Map, Value};

use super::super::build;
use super::vit::{Pooler, ViTConfig, ViTLayer};
use super::{Task, TwoClasses, exported_defaults};
use crate::nn::{
    Context, Conv2d, Forward, ForwardError, Grid, LayerNorm, Linear, Outputs, Parameter, Pixels, Scope,
    Window, prepend, token,
};

/// Declares the definition.
pub const DEFINITION: TwoClasses = TwoClasses {
    id: "transformers/deit",
    classes: ["DeiTForImageClassificationWithTeacher", "DeiTModel"],
    tasks: [Task::Classification, Task::POOLED],
    defaults,
    ignored_keys: &[],
    build: |config, has_classifiers| {
        build("DeiTConfig", config, |root, config| DeiTModel::new(root, config, has_classifiers))
    },
};

fn defaults(config: &Map<String, Value>) -> Map<String, Value> {
    let mut defaults = exported_defaults(include_str!("../../../data/transformers/deit.v4.json"));
    // `pooler_output_size if pooler_output_size else hidden_size` (configuration_deit.py).
    if let Some(width) = config.get("hidden_size") {
        defaults.insert("pooler_output_size".to_owned(), width.clone());
    }
    defaults
}

struct DeiTModel {
    input: [usize; 3],
    embeddings: DeiTEmbeddings,
    layers: Vec<ViTLayer>,
    layernorm: LayerNorm,
    head: Head,
}

/// Holds what stands after the last norm.
enum Head {
    /// Stands for `cls_classifier` and `distillation_classifier` of DeiTForImageClassificationWithTeacher.
    Classifiers([Linear; 2]),
    /// Stands for `DeiTPooler` of DeiTModel.
    Pooler(Pooler),
}

/// Stands for `DeiTEmbeddings`.
struct DeiTEmbeddings {
    cls_token: Parameter,
    distillation_token: Parameter,
    position_embeddings: Parameter,
    projection: Conv2d,
}

impl DeiTModel {
    fn new(root: &Scope, config: &ViTConfig, has_classifiers: bool) -> Result<Self, ForwardError> {
        config.check()?;
        let (width, channels) = (config.hidden_size, config.num_channels);
        let scope = if has_classifiers { root.pp("deit") } else { root.clone() };
        let embeddings = scope.pp("embeddings");
        let window = Window::patches(config.patch_size.sides());
        let (height, wide) = config.image_size.sides();
        let (rows, columns) = window.output_size(height, wide).unwrap_or((0, 0));
        let positions = rows.saturating_mul(columns).saturating_add(2);
        let projection = embeddings.pp("patch_embeddings.projection");
        let classifier = |name: &str| Linear::new(&root.pp(name), width, config.labels.count(), true);
        Ok(Self {
            input: [channels, height, wide],
            embeddings: DeiTEmbeddings {
                cls_token: embeddings.parameter("cls_token", &[1, 1, width])?,
                distillation_token: embeddings.parameter("distillation_token", &[1, 1, width])?,
                position_embeddings: embeddings.parameter("position_embeddings", &[1, positions, width])?,
                projection: Conv2d::new(&projection, channels, width, window, true)?,
            },
            layers: scope
                .list("encoder.layer", config.num_hidden_layers, |scope, _| ViTLayer::new(scope, config))?,
            layernorm: LayerNorm::new(&scope.pp("layernorm"), width, config.layer_norm_eps)?,
            head: if has_classifiers {
                Head::Classifiers([classifier("cls_classifier")?, classifier("distillation_classifier")?])
            } else {
                Head::Pooler(Pooler::new(&scope, config)?)
            },
        })
    }
}

impl Forward for DeiTModel {
    fn forward(&self, pixels: &Pixels, cx: &mut Context<'_>) -> Result<Outputs, ForwardError> {
        let grid = Grid::of_pixels(pixels.values(), pixels.shape(), self.input)?;
        let patches = self.embeddings.projection.forward(grid, cx)?.tokens;
        let tokens = [&self.embeddings.cls_token, &self.embeddings.distillation_token];
        let [cls_token, distillation_token] = tokens.map(|token| token.read(cx.weights()));
        let mut hidden_states = prepend(&[cls_token?, distillation_token?].concat(), patches, cx)?;
        hidden_states.add_values(&self.embeddings.position_embeddings.read(cx.weights())?)?;
        cx.trace("embeddings", &hidden_states);
        for (index, layer) in self.layers.iter().enumerate() {
            layer.forward(&mut hidden_states, cx)?;
            cx.trace(&format!("encoder.layer.{index}"), &hidden_states);
        }
        let sequence = self.layernorm.forward(&hidden_states, cx)?;
        cx.trace("layernorm", &sequence);
        let (cls_token, distillation_token) = (token(&sequence, 0)?, token(&sequence, 1)?);
        let mut outputs = Outputs::new();
        outputs.push("last_hidden_state[0]", cls_token.values());
        outputs.push("last_hidden_state[1]", distillation_token.values());
        match &self.head {
            Head::Classifiers([of_class, of_teacher]) => {
                let cls_logits = of_class.forward(&cls_token, cx)?.into_values();
                let distillation_logits = of_teacher.forward(&distillation_token, cx)?.into_values();
                let pairs = cls_logits.iter().zip(&distillation_logits);
                let logits: Vec<f32> = pairs.map(|(one, other)| (one + other) / 2.0).collect();
                outputs.push("cls_logits", cls_logits);
                outputs.push("distillation_logits", distillation_logits);
                outputs.push("logits", logits);
            }
            Head::Pooler(pooler) => outputs.push("pooler_output", pooler.forward(&cls_token, cx)?),
        }
        Ok(outputs)
    }
}
