//! transformers' `CLIPVisionModelWithProjection` and `CLIPVisionModel` (models/clip/modeling_clip.py, 4.57.6 and 5.23.0),
//! names as they lie on disk.

use serde::Deserialize;

use super::super::build;
use super::encoder::{self, EncoderConfig};
use super::{Task, TwoClasses, exported_defaults};
use crate::nn::{
    Context, EncoderBlock, Forward, ForwardError, LayerNorm, Linear, Matrix, Outputs, Parameter, PatchEmbed,
    Pixels, Positions, Scope, outputs_of_head, prepend,
};

/// Declares the definition.
pub const DEFINITION: TwoClasses = TwoClasses {
    id: "transformers/clip_vision_model",
    classes: ["CLIPVisionModelWithProjection", "CLIPVisionModel"],
    tasks: [
        Task::Features {
            loader: "CLIPVisionModelWithProjection",
            output: "image_embeds",
            remark: Some("`image_embeds` is the embedding that CLIP compares with those of texts."),
        },
        Task::POOLED,
    ],
    stage_lists: &[],
    defaults: |_| exported_defaults(include_str!("../../../data/transformers/clip_vision_model.v4.json")),
    ignored_keys: &["attention_dropout"],
    build: |config, has_projection| {
        build("CLIPVisionConfig", config, |root, config| {
            CLIPVisionTransformer::new(root, config, has_projection)
        })
    },
};

/// Holds the keys of `config.json` that the forward pass depends on.
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct CLIPVisionConfig {
    #[serde(flatten)]
    encoder: EncoderConfig,
    intermediate_size: usize,
    projection_dim: usize,
}

/// Stands for `CLIPVisionTransformer`, and the projection after it.
struct CLIPVisionTransformer {
    class_embedding: Parameter,
    patch_embedding: PatchEmbed,
    position_embedding: Parameter,
    pre_layernorm: LayerNorm,
    layers: Vec<EncoderBlock>,
    post_layernorm: LayerNorm,
    visual_projection: Option<Linear>,
}

impl CLIPVisionTransformer {
    fn new(root: &Scope, config: &CLIPVisionConfig, has_projection: bool) -> Result<Self, ForwardError> {
        let EncoderConfig { hidden_size: width, num_hidden_layers: depth, .. } = config.encoder;
        config.encoder.heads()?;
        config.encoder.edges()?;
        let scope = root.pp("vision_model");
        let embeddings = scope.pp("embeddings");
        let patches = config.encoder.patches(&embeddings.pp("patch_embedding"), false)?;
        let positions = patches.count().saturating_add(1);
        Ok(Self {
            class_embedding: embeddings.parameter("class_embedding", &[width])?,
            patch_embedding: patches,
            position_embedding: embeddings.parameter("position_embedding.weight", &[positions, width])?,
            // transformers spells it so.
            pre_layernorm: config.encoder.norm(&scope, "pre_layrnorm")?,
            layers: scope.list("encoder.layers", depth, |scope, _| layer(scope, config))?,
            post_layernorm: config.encoder.norm(&scope, "post_layernorm")?,
            visual_projection: has_projection
                .then(|| Linear::new(&root.pp("visual_projection"), width, config.projection_dim, false))
                .transpose()?,
        })
    }
}

/// Builds `CLIPEncoderLayer`.
fn layer(scope: &Scope, config: &CLIPVisionConfig) -> Result<EncoderBlock, ForwardError> {
    let names = ["q_proj", "k_proj", "v_proj", "out_proj"];
    let attention = config.encoder.attention(&scope.pp("self_attn"), names, [true; 2])?;
    let mlp = config.encoder.mlp(scope, ["mlp.fc1", "mlp.fc2"], config.intermediate_size)?;
    config.encoder.block(scope, ["layer_norm1", "layer_norm2"], attention, mlp, [None, None])
}

impl Forward for CLIPVisionTransformer {
    fn forward(&self, pixels: &Pixels, cx: &mut Context<'_>) -> Result<Outputs, ForwardError> {
        let patches = self.patch_embedding.forward(pixels, cx)?;
        let mut embeddings = prepend(&self.class_embedding.read(cx.weights())?, patches, cx)?;
        embeddings.add_values(&self.position_embedding.read(cx.weights())?)?;
        let mut hidden_states = self.pre_layernorm.forward(&embeddings, cx)?;
        cx.recycle(embeddings);
        cx.trace("pre_layrnorm", &hidden_states);
        encoder::run(&self.layers, "encoder.layers", Positions::Embedded, &mut hidden_states, cx)?;
        let token = hidden_states.row(0).unwrap_or_default().to_vec();
        let token = Matrix::from_values(1, hidden_states.columns(), token)?;
        let pooled = self.post_layernorm.forward(&token, cx)?;
        outputs_of_head(["pooler_output", "image_embeds"], &pooled, self.visual_projection.as_ref(), cx)
    }
}
