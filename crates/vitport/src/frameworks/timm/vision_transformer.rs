//! timm's `VisionTransformer` (timm/models/vision_transformer.py, 1.0.31): a class token, learned positions, pre-norm blocks
//! with fused qkv and optional layer scale, a final norm, token pooling and an optional head. With `pre_norm` it is the
//! image tower of a CLIP.

mod modules;
mod structure;

use serde::Deserialize;

use super::super::build;
use super::TimmDefinition;
use super::field::{Field, Kind, Literal};
use super::layers::activation;
use crate::nn::{
    Context, Conv2d, Forward, ForwardError, Grid, Heads, LayerNorm, LayerScale, Linear, Matrix, Mlp, Outputs,
    Parameter, Pixels, Qkv, Scope, SelfAttention, Window, outputs_of_head, prepend,
};

/// Declares the definition.
pub const DEFINITION: TimmDefinition = TimmDefinition {
    id: "timm/vision_transformer",
    description: "timm's ViT",
    modules: &["vision_transformer", "deit"],
    family: structure::FAMILY,
    structure: structure::STRUCTURE,
    saved_modules: modules::MODULES,
    fields: &[
        Field::plain("embed_dim", Kind::Number).shown("channels"),
        Field::plain("depth", Kind::Number).shown("blocks"),
        Field::plain("mlp_dim", Kind::Number)
            .config_key("mlp_ratio", Kind::RatioOf("embed_dim"))
            .shown("channels in its MLP"),
        Field::plain("patch_size", Kind::Pair).shown("pixels in a patch"),
        Field::plain("no_embed_class", Kind::Flag).shown("positions without the class token"),
        Field::plain("qkv_bias", Kind::Flag).shown("biases of queries, keys and values"),
        Field::plain("layer_scale", Kind::Flag)
            .config_key("init_values", Kind::IsNumber)
            .shown("layer scale"),
        Field::plain("class_token", Kind::Flag).shown("a class token"),
        Field::plain("reg_tokens", Kind::Number).shown("register tokens").otherwise(Literal::Number(0)),
        Field::of_registry("dist_token", "dist_token", Kind::Flag)
            .shown("a distillation token")
            .otherwise(Literal::NO),
        Field::plain("pre_norm", Kind::Flag).shown("a norm before the first block").otherwise(Literal::NO),
        Field::plain("num_heads", Kind::Number),
        Field::plain("act_layer", Kind::Activation),
        Field::plain("norm_eps", Kind::Real).config_key("norm_layer", Kind::NormEps(1e-6)),
        Field::plain("global_pool", Kind::Text),
        Field::of_registry("block", "block_fn", Kind::Text).otherwise(Literal::Text("Block")),
        Field::of_registry("attn", "attn_layer", Kind::Text).otherwise(Literal::Text("Attention")),
        Field::of_registry("gated_mlp", "mlp_layer", Kind::OtherThan("Mlp")).otherwise(Literal::NO),
        Field::of_registry("resnet_stem", "embed_layer", Kind::OtherThan("PatchEmbed"))
            .otherwise(Literal::NO),
        Field::of_registry("attn_pool", "attn_pool", Kind::IsSome).otherwise(Literal::NO),
        Field::plain("fc_norm", Kind::Flag).otherwise(Literal::NO),
        Field::of_registry("patch_norm", "patch_norm", Kind::Flag)
            .config_key("embed_norm_layer", Kind::IsSome)
            .otherwise(Literal::NO),
        Field::plain("qk_norm", Kind::Flag).otherwise(Literal::NO),
        Field::named("scale_norm", "scale_attn_norm", Kind::Flag).otherwise(Literal::NO),
        Field::argument("scale_norm", "scale_mlp_norm", Kind::Flag),
        Field::of_registry("norm", "norm", Kind::Text).otherwise(Literal::Text("LayerNorm")),
        Field::of_registry("block_norm", "block_norm", Kind::Text).otherwise(Literal::Text("LayerNorm")),
        Field::of_registry("patch_bias", "patch_bias", Kind::Flag).otherwise(Literal::YES),
        Field::plain("proj_bias", Kind::Flag).otherwise(Literal::YES),
        Field::of_registry("mlp_bias", "mlp_bias", Kind::Flag).otherwise(Literal::YES),
        Field::plain("pos_embed", Kind::Flag).config_key("pos_embed", Kind::Word("learn", &["", "none"])),
        Field::plain("final_norm", Kind::Flag),
        Field::argument("in_chans", "in_chans", Kind::Number),
        Field::argument("num_classes", "num_classes", Kind::Number),
        Field::argument("img_size", "img_size", Kind::Pair),
    ],
    usual: &[
        ("norm_eps", Literal::Real(1e-6)),
        ("act_layer", Literal::Text("gelu")),
        ("global_pool", Literal::Text("token")),
    ],
    // CLIPs come with an epsilon of 1e-5, and with GELU or QuickGELU.
    left_open: &[("norm_eps", "pre_norm"), ("act_layer", "pre_norm")],
    by_definition: "timm's VisionTransformer where nothing else is said",
    build: |config| build("timm's VisionTransformer", config, Vit::new),
};

/// What a network is made of, under the names of timm's arguments.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Config {
    /// Height and width of the image in pixels.
    pub img_size: [usize; 2],
    /// Height and width of a patch in pixels.
    pub patch_size: [usize; 2],
    /// Channels of the image.
    pub in_chans: usize,
    /// Classes of the head; 0 for a network without one.
    pub num_classes: usize,
    /// Width of a token.
    pub embed_dim: usize,
    /// Number of blocks.
    pub depth: usize,
    /// Attention heads.
    pub num_heads: usize,
    /// Width of the hidden layer of a block's MLP: `embed_dim` × `mlp_ratio`, rounded down.
    pub mlp_dim: usize,
    /// Whether `attn.qkv` has a bias.
    pub qkv_bias: bool,
    /// Whether each branch has a layer scale: `init_values` is not None.
    pub layer_scale: bool,
    /// Whether positions are added to the patches only, before the class token is put in front.
    pub no_embed_class: bool,
    /// Whether a norm stands before the first block, and the patch embedding has no bias (CLIP).
    pub pre_norm: bool,
    /// timm's name of the MLP's activation.
    pub act_layer: String,
    /// Epsilon of every layer normalisation.
    pub norm_eps: f64,
}

struct Vit {
    config: Config,
    patch_embed: Conv2d,
    cls_token: Parameter,
    pos_embed: Parameter,
    norm_pre: Option<LayerNorm>,
    blocks: Vec<Block>,
    norm: LayerNorm,
    head: Option<Linear>,
}

impl Vit {
    fn new(scope: &Scope, config: &Config) -> Result<Self, ForwardError> {
        let Config { embed_dim: dim, norm_eps: eps, num_heads, .. } = *config;
        if num_heads == 0 || !dim.is_multiple_of(num_heads) {
            let detail = format!("embed_dim {dim} is not a multiple of num_heads {num_heads}");
            return Err(ForwardError::config(detail));
        }
        let [height, width] = config.img_size;
        let window = Window::patches(config.patch_size.into());
        let (rows, columns) = window.output_size(height, width).unwrap_or((0, 0));
        let positions = rows.saturating_mul(columns).saturating_add(usize::from(!config.no_embed_class));
        Ok(Self {
            cls_token: scope.parameter("cls_token", &[1, 1, dim])?,
            pos_embed: scope.parameter("pos_embed", &[1, positions, dim])?,
            patch_embed: Conv2d::new(
                &scope.pp("patch_embed.proj"),
                config.in_chans,
                dim,
                window,
                !config.pre_norm,
            )?,
            norm_pre: config.pre_norm.then(|| LayerNorm::new(&scope.pp("norm_pre"), dim, eps)).transpose()?,
            blocks: scope.list("blocks", config.depth, |scope, _| Block::new(scope, config))?,
            norm: LayerNorm::new(&scope.pp("norm"), dim, eps)?,
            head: (config.num_classes > 0)
                .then(|| Linear::new(&scope.pp("head"), dim, config.num_classes, true))
                .transpose()?,
            config: config.clone(),
        })
    }

    /// `patch_embed` and `_pos_embed`.
    fn embed(&self, pixels: &Pixels, cx: &mut Context<'_>) -> Result<Matrix, ForwardError> {
        let [height, width] = self.config.img_size;
        let grid = Grid::of_pixels(pixels.values(), pixels.shape(), [self.config.in_chans, height, width])?;
        let mut patches = self.patch_embed.forward(grid, cx)?.tokens;
        let positions = self.pos_embed.read(cx.weights())?;
        let class_token = self.cls_token.read(cx.weights())?;
        if self.config.no_embed_class {
            patches.add_values(&positions)?;
            return prepend(&class_token, patches, cx);
        }
        let mut tokens = prepend(&class_token, patches, cx)?;
        tokens.add_values(&positions)?;
        Ok(tokens)
    }
}

impl Forward for Vit {
    fn forward(&self, pixels: &Pixels, cx: &mut Context<'_>) -> Result<Outputs, ForwardError> {
        let mut tokens = self.embed(pixels, cx)?;
        if let Some(norm_pre) = &self.norm_pre {
            tokens = norm_pre.forward(&tokens, cx)?;
        }
        cx.trace("norm_pre", &tokens);
        for (index, block) in self.blocks.iter().enumerate() {
            block.forward(&mut tokens, cx)?;
            cx.trace(&format!("blocks.{index}"), &tokens);
        }
        let tokens = self.norm.forward(&tokens, cx)?;
        cx.trace("norm", &tokens);
        let pooled = Matrix::from_values(1, tokens.columns(), tokens.row(0).unwrap_or_default().to_vec())?;
        outputs_of_head(["pre_logits", "logits"], &pooled, self.head.as_ref(), cx)
    }
}

/// x + ls1(attn(norm1(x))), then x + ls2(mlp(norm2(x))).
struct Block {
    norm1: LayerNorm,
    attn: SelfAttention,
    ls1: Option<LayerScale>,
    norm2: LayerNorm,
    mlp: Mlp,
    ls2: Option<LayerScale>,
}

impl Block {
    fn new(scope: &Scope, config: &Config) -> Result<Self, ForwardError> {
        let Config { embed_dim: dim, mlp_dim, num_heads, norm_eps: eps, .. } = *config;
        let scale = |name: &str| {
            config.layer_scale.then(|| LayerScale::new(&scope.pp(name), "gamma", dim)).transpose()
        };
        let attn = scope.pp("attn");
        let (sizes, activation) = ([dim, mlp_dim, dim], activation(&config.act_layer)?);
        let qkv = Linear::new(&attn.pp("qkv"), dim, dim.saturating_mul(3), config.qkv_bias)?;
        let heads = Heads::of_width(num_heads, dim);
        Ok(Self {
            norm1: LayerNorm::new(&scope.pp("norm1"), dim, eps)?,
            attn: SelfAttention::new(Qkv::Fused(qkv), heads, Linear::new(&attn.pp("proj"), dim, dim, true)?),
            ls1: scale("ls1")?,
            norm2: LayerNorm::new(&scope.pp("norm2"), dim, eps)?,
            mlp: Mlp::with_biases(Linear::new, scope, ["mlp.fc1", "mlp.fc2"], sizes, activation)?,
            ls2: scale("ls2")?,
        })
    }

    fn forward(&self, tokens: &mut Matrix, cx: &mut Context<'_>) -> Result<(), ForwardError> {
        let normalized = self.norm1.forward(tokens, cx)?;
        let branch = self.attn.forward(&normalized, cx)?;
        cx.recycle(normalized);
        LayerScale::add(self.ls1.as_ref(), tokens, branch, cx)?;
        let normalized = self.norm2.forward(tokens, cx)?;
        let branch = self.mlp.forward(&normalized, cx)?;
        cx.recycle(normalized);
        LayerScale::add(self.ls2.as_ref(), tokens, branch, cx)
    }
}
