//! timm's `Beit` (timm/models/beit.py, 1.0.31; Bao et al. 2021, arXiv:2106.08254): a ViT whose attention knows the distances of
//! patches by learned biases, with layer scale, no biases of keys, and the mean over patches before the last norm.

mod modules;
mod structure;

use serde::Deserialize;

pub(super) use self::structure::{distances_of, square_of_distances};
use super::super::build;
use super::TimmDefinition;
use super::field::{Field, Kind, Literal};
use super::layers::{activation, classifier, heads};
use super::resampling::OtherSizes;
use crate::finding::Head;
use crate::nn::{
    BiasedBlocks, Context, EncoderBlock, FeedForward, Forward, ForwardError, LayerNorm, LayerScale, Linear,
    Matrix, Mlp, Norm, Outputs, Parameter, PatchEmbed, Pixels, PositionTable, Qkv, RelativePositionBias,
    Scope, SelfAttention, mean_of_rows, outputs_of_head, prepend, token, without_leading,
};

/// Declares the definition.
pub const DEFINITION: TimmDefinition = TimmDefinition {
    id: "timm/beit",
    description: "timm's BEiT",
    modules: &["beit"],
    family: structure::FAMILY,
    structure: structure::STRUCTURE,
    heads: &[Head::new("head", "fc_norm.weight"), Head::new("head", "norm.weight")],
    saved_modules: &[modules::MODULES],
    other_sizes: OtherSizes::Tables,
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
            .shown("its last norm after pooling")
            .decided_by("global_pool"),
        Field::of_registry("final_norm", "final_norm", Kind::Flag),
        Field::of_registry("act_layer", "act_layer", Kind::Activation),
        Field::plain("norm_eps", Kind::Real).config_key("norm_layer", Kind::NormEps(1e-6)).of_class(),
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

struct Beit {
    patch_embed: PatchEmbed,
    cls_token: Parameter,
    pos_embed: Option<Parameter>,
    blocks: BiasedBlocks,
    norm: LayerNorm,
    head: Option<Linear>,
    /// Says whether the norm stands after the pooling.
    fc_norm: bool,
    takes_mean: bool,
}

impl Beit {
    fn new(scope: &Scope, config: &Config) -> Result<Self, ForwardError> {
        let Config { embed_dim: dim, img_size: [height, width], num_heads, .. } = *config;
        heads(dim, num_heads)?;
        let (proj, input) = (scope.pp("patch_embed.proj"), [config.in_chans, height, width]);
        let patch_embed = PatchEmbed::new(&proj, input, config.patch_size.into(), dim, true)?;
        let positions = patch_embed.count().saturating_add(1);
        let table = |scope: &Scope, is_there: bool| {
            let learned = || RelativePositionBias::new(scope, patch_embed.grid(), num_heads);
            is_there.then(|| learned().map(PositionTable::Learned)).transpose()
        };
        let blocks = scope.list("blocks", config.depth, |scope, _| {
            Ok((block(scope, config)?, table(&scope.pp("attn"), config.use_rel_pos_bias)?))
        })?;
        let norm = if config.fc_norm { "fc_norm" } else { "norm" };
        Ok(Self {
            cls_token: scope.parameter("cls_token", &[1, 1, dim])?,
            pos_embed: config
                .use_abs_pos_emb
                .then(|| scope.parameter("pos_embed", &[1, positions, dim]))
                .transpose()?,
            blocks: BiasedBlocks {
                blocks,
                shared: table(&scope.pp("rel_pos_bias"), config.use_shared_rel_pos_bias)?,
            },
            norm: LayerNorm::new(&scope.pp(norm), dim, config.norm_eps)?,
            head: classifier(scope, "head", dim, config.num_classes)?,
            fc_norm: config.fc_norm,
            takes_mean: config.global_pool == "avg",
            patch_embed,
        })
    }

    /// Computes `forward_head` without the last layer, and the norm before it.
    fn pool(&self, mut tokens: Matrix, cx: &mut Context<'_>) -> Result<Matrix, ForwardError> {
        if !self.fc_norm {
            tokens = self.norm.forward(&tokens, cx)?;
            cx.trace("norm", &tokens);
        }
        let pooled = if self.takes_mean {
            let mean = mean_of_rows(&without_leading(&tokens, 1)?);
            Matrix::from_values(1, mean.len(), mean)?
        } else {
            token(&tokens, 0)?
        };
        if self.fc_norm { self.norm.forward(&pooled, cx) } else { Ok(pooled) }
    }
}

/// Builds `Block` without its table.
fn block(scope: &Scope, config: &Config) -> Result<EncoderBlock, ForwardError> {
    let Config { embed_dim: dim, mlp_dim, .. } = *config;
    let norm = |name: &str| LayerNorm::new(&scope.pp(name), dim, config.norm_eps).map(Norm::Layer);
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
    let mlp = Mlp::with_biases(Linear::new, scope, ["mlp.fc1", "mlp.fc2"], sizes, activation)?;
    Ok(EncoderBlock {
        norm1: norm("norm1")?,
        attention: SelfAttention::new(qkv, heads(dim, config.num_heads)?, proj),
        scale1: scale("gamma_1")?,
        norm2: norm("norm2")?,
        mlp: FeedForward::Plain(mlp),
        scale2: scale("gamma_2")?,
    })
}

impl Forward for Beit {
    fn forward(&self, pixels: &Pixels, cx: &mut Context<'_>) -> Result<Outputs, ForwardError> {
        let patches = self.patch_embed.forward(pixels, cx)?;
        let mut tokens = prepend(&self.cls_token.read(cx.weights())?, patches, cx)?;
        if let Some(positions) = &self.pos_embed {
            tokens.add_values(&positions.read(cx.weights())?)?;
        }
        cx.trace("pos_drop", &tokens);
        self.blocks.forward(&mut tokens, |index| format!("blocks.{index}"), cx)?;
        let pooled = self.pool(tokens, cx)?;
        outputs_of_head(["pre_logits", "logits"], &pooled, self.head.as_ref(), cx)
    }
}
