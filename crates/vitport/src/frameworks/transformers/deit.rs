//! transformers' `DeiTForImageClassificationWithTeacher` and `DeiTModel` (models/deit/modeling_deit.py, 4.57.6 and 5.23.0): a ViT
//! with a second token, which was trained to answer as a teacher did. Its layers are copied from ViT's.

use serde_json::{Map, Value};

use super::super::build;
use super::encoder;
use super::vit::{Pooler, ViTConfig, layers};
use super::{Task, TwoClasses, exported_defaults};
use crate::nn::{
    Context, EncoderBlock, Forward, ForwardError, LayerNorm, Linear, Outputs, Parameter, PatchEmbed, Pixels,
    Positions, Scope, prepend, token,
};

/// Declares the definition.
pub const DEFINITION: TwoClasses = TwoClasses {
    id: "transformers/deit",
    classes: ["DeiTForImageClassificationWithTeacher", "DeiTModel"],
    tasks: [Task::Classification, Task::MEAN_OF_TWO_TOKENS],
    stage_lists: &[],
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
    embeddings: DeiTEmbeddings,
    layers: Vec<EncoderBlock>,
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
    patches: PatchEmbed,
}

impl DeiTModel {
    fn new(root: &Scope, config: &ViTConfig, has_classifiers: bool) -> Result<Self, ForwardError> {
        let width = config.encoder.hidden_size;
        let scope = if has_classifiers { root.pp("deit") } else { root.clone() };
        let embeddings = scope.pp("embeddings");
        let patches = config.encoder.patches(&embeddings.pp("patch_embeddings.projection"), true)?;
        let positions = patches.count().saturating_add(2);
        let classifier = |name: &str| Linear::new(&root.pp(name), width, config.labels.count(), true);
        Ok(Self {
            embeddings: DeiTEmbeddings {
                cls_token: embeddings.parameter("cls_token", &[1, 1, width])?,
                distillation_token: embeddings.parameter("distillation_token", &[1, 1, width])?,
                position_embeddings: embeddings.parameter("position_embeddings", &[1, positions, width])?,
                patches,
            },
            layers: layers(&scope, config)?,
            layernorm: config.encoder.norm(&scope, "layernorm")?,
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
        let patches = self.embeddings.patches.forward(pixels, cx)?;
        let tokens = [&self.embeddings.cls_token, &self.embeddings.distillation_token];
        let [cls_token, distillation_token] = tokens.map(|token| token.read(cx.weights()));
        let mut hidden_states = prepend(&[cls_token?, distillation_token?].concat(), patches, cx)?;
        hidden_states.add_values(&self.embeddings.position_embeddings.read(cx.weights())?)?;
        cx.trace("embeddings", &hidden_states);
        encoder::run(&self.layers, "encoder.layer", Positions::Embedded, &mut hidden_states, cx)?;
        let sequence = self.layernorm.forward(&hidden_states, cx)?;
        cx.trace("layernorm", &sequence);
        let (cls_token, distillation_token) = (token(&sequence, 0)?, token(&sequence, 1)?);
        let half = |one: &[f32], other: &[f32]| -> Vec<f32> {
            one.iter().zip(other).map(|(one, other)| (one + other) / 2.0).collect()
        };
        let mut outputs = Outputs::new();
        outputs.push("last_hidden_state[0]", cls_token.values());
        outputs.push("last_hidden_state[1]", distillation_token.values());
        match &self.head {
            Head::Classifiers([of_class, of_teacher]) => {
                let cls_logits = of_class.forward(&cls_token, cx)?.into_values();
                let distillation_logits = of_teacher.forward(&distillation_token, cx)?.into_values();
                let logits = half(&cls_logits, &distillation_logits);
                outputs.push("cls_logits", cls_logits);
                outputs.push("distillation_logits", distillation_logits);
                outputs.push("logits", logits);
            }
            Head::Pooler(pooler) => {
                // No output of the class, but a line of Python makes it of one.
                let mean = half(cls_token.values(), distillation_token.values());
                outputs.push("last_hidden_state[:, :2].mean(1)", mean);
                outputs.push("pooler_output", pooler.forward(&cls_token, cx)?);
            }
        }
        Ok(outputs)
    }
}
