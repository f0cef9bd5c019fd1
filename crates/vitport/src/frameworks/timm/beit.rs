//! timm's `Beit` (timm/models/beit.py, 1.0.31; Bao et al. 2021, arXiv:2106.08254): a ViT whose attention knows the distances of
//! patches by learned biases, with layer scale, no biases of keys, and the mean over patches before the last norm.

mod modules;
mod structure;

use serde::Deserialize;

use super::super::build;
use super::TimmDefinition;
use super::field::{Field, Kind, Literal};
use super::layers::activation;
use crate::nn::{
    Context, Conv2d, Forward, ForwardError, Grid, Heads, LayerNorm, LayerScale, Linear, Matrix, Mlp, Outputs,
    Parameter, Pixels, PositionBias, Positions, Qkv, RelativePositionBias, Scope, SelfAttention, Window,
    mean_of_rows, outputs_of_head, prepend, token, without_leading,
};

/// Declares the definition.
pub const DEFINITION: TimmDefinition = TimmDefinition {
    id: "timm/beit",
    description: "timm's BEiT",
    modules: &["beit"],
    family: structure::FAMILY,
    structure: structure::STRUCTURE,
    saved_modules: &[modules::MODULES],
    fields: &[
        Field::plain("embed_dim", Kind::Number).shown("channels"),
        Field::plain("depth", Kind::Number).shown("blocks"),
        Field::plain("num_heads", Kind::Number).shown("heads"),
        Field::plain("mlp_dim", Kind::Number)
            .config_key("mlp_ratio", Kind::RatioOf("embed_dim"))
            .shown("channels in its MLP"),
        Field::plain("patch_size", Kind::Pair).shown("pixels in a patch"),
        Field::plain("qkv_bias", Kind::Flag).shown("biases of queries and values"),
        Field::plain("layer_scale", Kind::Flag)
            .config_key("init_values", Kind::IsNumber)
            .shown("layer scale"),
        Field::plain("use_abs_pos_emb", Kind::Flag).shown("position embeddings"),
        Field::plain("use_rel_pos_bias", Kind::Flag).shown("relative position biases in its blocks"),
        Field::plain("use_shared_rel_pos_bias", Kind::Flag)
            .shown("relative position biases that blocks share"),
        Field::plain("swiglu_mlp", Kind::Flag).part("gated MLPs"),
        Field::plain("scale_mlp", Kind::Flag).part("norms in its MLPs"),
        Field::plain("fc_norm", Kind::Flag)
            .config_key("use_fc_norm", Kind::Flag)
            .shown("its last norm after pooling"),
        Field::plain("final_norm", Kind::Flag),
        Field::plain("act_layer", Kind::Activation),
        Field::plain("norm_eps", Kind::Real).config_key("norm_layer", Kind::NormEps(1e-6)),
        Field::plain("global_pool", Kind::Text),
        Field::argument("in_chans", "in_chans", Kind::Number),
        Field::argument("num_classes", "num_classes", Kind::Number),
        Field::argument("img_size", "img_size", Kind::Pair),
    ],
    usual_instead: &[],
    usual: &[
        ("norm_eps", Literal::Real(1e-6)),
        ("act_layer", Literal::Text("gelu")),
        ("global_pool", Literal::Text("avg")),
    ],
    left_open: &[],
    by_definition: "timm's BEiT where nothing else is said",
    build: |config| build("timm's BEiT", config, Beit::new),
};

/// Holds what a network is made of, under the names of timm's arguments.
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Config {
    /// Gives the height and width of the image in pixels.
    img_size: [usize; 2],
    /// Gives the height and width of a patch in pixels.
    patch_size: [usize; 2],
    /// Gives the channels of the image.
    in_chans: usize,
    /// Gives the classes of the head; 0 for a network without one.
    num_classes: usize,
    /// Gives the width of a token.
    embed_dim: usize,
    /// Gives the number of blocks.
    depth: usize,
    /// Gives the attention heads.
    num_heads: usize,
    /// Gives the width of the hidden layer of a block's MLP.
    mlp_dim: usize,
    /// Says whether queries and values have biases; keys never do.
    qkv_bias: bool,
    /// Says whether each branch has a layer scale: `init_values` is not None.
    layer_scale: bool,
    /// Says whether positions are embedded in the tokens.
    use_abs_pos_emb: bool,
    /// Says whether each block has a table of relative position biases.
    use_rel_pos_bias: bool,
    /// Says whether there is a table that all blocks share.
    use_shared_rel_pos_bias: bool,
    /// Says whether the last norm stands after pooling, and not before it.
    fc_norm: bool,
    /// Is `avg` or `token`.
    global_pool: String,
    /// Gives timm's name of the MLP's activation.
    act_layer: String,
    /// Gives the epsilon of every layer normalisation.
    norm_eps: f64,
}

impl Config {
    /// Returns `patch_embed.grid_size`.
    fn grid(&self) -> (usize, usize) {
        let [height, width] = self.img_size;
        Window::patches(self.patch_size.into()).output_size(height, width).unwrap_or((0, 0))
    }

    fn table(&self, scope: &Scope, is_there: bool) -> Result<Option<RelativePositionBias>, ForwardError> {
        is_there.then(|| RelativePositionBias::new(scope, self.grid(), self.num_heads)).transpose()
    }
}

struct Beit {
    config: Config,
    patch_embed: Conv2d,
    cls_token: Parameter,
    pos_embed: Option<Parameter>,
    rel_pos_bias: Option<RelativePositionBias>,
    blocks: Vec<Block>,
    norm: LayerNorm,
    head: Option<Linear>,
}

impl Beit {
    fn new(scope: &Scope, config: &Config) -> Result<Self, ForwardError> {
        let Config { embed_dim: dim, norm_eps: eps, num_heads, .. } = *config;
        if num_heads == 0 || !dim.is_multiple_of(num_heads) {
            let detail = format!("embed_dim {dim} is not a multiple of num_heads {num_heads}");
            return Err(ForwardError::config(detail));
        }
        let window = Window::patches(config.patch_size.into());
        let (rows, columns) = config.grid();
        let positions = rows.saturating_mul(columns).saturating_add(1);
        let norm = if config.fc_norm { "fc_norm" } else { "norm" };
        Ok(Self {
            patch_embed: Conv2d::new(&scope.pp("patch_embed.proj"), config.in_chans, dim, window, true)?,
            cls_token: scope.parameter("cls_token", &[1, 1, dim])?,
            pos_embed: config
                .use_abs_pos_emb
                .then(|| scope.parameter("pos_embed", &[1, positions, dim]))
                .transpose()?,
            rel_pos_bias: config.table(&scope.pp("rel_pos_bias"), config.use_shared_rel_pos_bias)?,
            blocks: scope.list("blocks", config.depth, |scope, _| Block::new(scope, config))?,
            norm: LayerNorm::new(&scope.pp(norm), dim, eps)?,
            head: (config.num_classes > 0)
                .then(|| Linear::new(&scope.pp("head"), dim, config.num_classes, true))
                .transpose()?,
            config: config.clone(),
        })
    }

    /// Computes `forward_head` without the last layer, and the norm before it.
    fn pool(&self, mut tokens: Matrix, cx: &mut Context<'_>) -> Result<Matrix, ForwardError> {
        if !self.config.fc_norm {
            tokens = self.norm.forward(&tokens, cx)?;
            cx.trace("norm", &tokens);
        }
        let pooled = match self.config.global_pool.as_str() {
            "avg" => {
                let mean = mean_of_rows(&without_leading(&tokens, 1)?);
                Matrix::from_values(1, mean.len(), mean)?
            }
            _ => token(&tokens, 0)?,
        };
        if self.config.fc_norm { self.norm.forward(&pooled, cx) } else { Ok(pooled) }
    }
}

impl Forward for Beit {
    fn forward(&self, pixels: &Pixels, cx: &mut Context<'_>) -> Result<Outputs, ForwardError> {
        let [height, width] = self.config.img_size;
        let grid = Grid::of_pixels(pixels.values(), pixels.shape(), [self.config.in_chans, height, width])?;
        let patches = self.patch_embed.forward(grid, cx)?.tokens;
        let mut tokens = prepend(&self.cls_token.read(cx.weights())?, patches, cx)?;
        if let Some(positions) = &self.pos_embed {
            tokens.add_values(&positions.read(cx.weights())?)?;
        }
        cx.trace("pos_drop", &tokens);
        let shared = self.rel_pos_bias.as_ref().map(|table| table.read(cx)).transpose()?;
        for (index, block) in self.blocks.iter().enumerate() {
            block.forward(&mut tokens, shared.as_ref(), cx)?;
            cx.trace(&format!("blocks.{index}"), &tokens);
        }
        let pooled = self.pool(tokens, cx)?;
        outputs_of_head(["pre_logits", "logits"], &pooled, self.head.as_ref(), cx)
    }
}

/// Computes x + gamma_1 · attn(norm1(x)), then x + gamma_2 · mlp(norm2(x)).
struct Block {
    norm1: LayerNorm,
    attn: SelfAttention,
    table: Option<RelativePositionBias>,
    gamma_1: Option<LayerScale>,
    norm2: LayerNorm,
    mlp: Mlp,
    gamma_2: Option<LayerScale>,
}

impl Block {
    fn new(scope: &Scope, config: &Config) -> Result<Self, ForwardError> {
        let Config { embed_dim: dim, mlp_dim, norm_eps: eps, .. } = *config;
        let scale = |name: &str| config.layer_scale.then(|| LayerScale::new(scope, name, dim)).transpose();
        let attn = scope.pp("attn");
        let layer = Linear::new(&attn.pp("qkv"), dim, dim.saturating_mul(3), false)?;
        let qkv = match config.qkv_bias {
            false => Qkv::Fused(layer),
            true => Qkv::FusedWithBiases {
                layer,
                query_bias: attn.parameter("q_bias", &[dim])?,
                value_bias: attn.parameter("v_bias", &[dim])?,
            },
        };
        let proj = Linear::new(&attn.pp("proj"), dim, dim, true)?;
        let (sizes, activation) = ([dim, mlp_dim, dim], activation(&config.act_layer)?);
        Ok(Self {
            norm1: LayerNorm::new(&scope.pp("norm1"), dim, eps)?,
            attn: SelfAttention::new(qkv, Heads::of_width(config.num_heads, dim), proj),
            table: config.table(&attn, config.use_rel_pos_bias)?,
            gamma_1: scale("gamma_1")?,
            norm2: LayerNorm::new(&scope.pp("norm2"), dim, eps)?,
            mlp: Mlp::with_biases(Linear::new, scope, ["mlp.fc1", "mlp.fc2"], sizes, activation)?,
            gamma_2: scale("gamma_2")?,
        })
    }

    fn forward(
        &self,
        tokens: &mut Matrix,
        shared: Option<&PositionBias>,
        cx: &mut Context<'_>,
    ) -> Result<(), ForwardError> {
        let own = self.table.as_ref().map(|table| table.read(cx)).transpose()?;
        let bias = PositionBias::sum(own, shared);
        let positions = bias.as_ref().map_or(Positions::Embedded, Positions::Biased);
        let normalized = self.norm1.forward(tokens, cx)?;
        let branch = self.attn.forward_at(&normalized, positions, cx)?;
        cx.recycle(normalized);
        LayerScale::add(self.gamma_1.as_ref(), tokens, branch, cx)?;
        let normalized = self.norm2.forward(tokens, cx)?;
        let branch = self.mlp.forward(&normalized, cx)?;
        cx.recycle(normalized);
        LayerScale::add(self.gamma_2.as_ref(), tokens, branch, cx)
    }
}
