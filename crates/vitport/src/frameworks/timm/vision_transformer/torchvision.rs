//! The modules of a torchvision `VisionTransformer` that was saved whole, under torchvision's names.

use serde_json::Value;

use super::super::super::saved_modules::torch::{CONV, DROPOUT, LAYER_NORM, LINEAR, SEQUENTIAL};
use super::super::super::saved_modules::{Class, Read, Role, Says};
use super::super::classes::{ACTIVATIONS, CLASSIFIER};
use super::super::field::Literal;

const NULL: Says = Says::Is(&[Literal::Null]);

/// Classifies by the class token. `norm_layer` is the class of norms that it was made with; the norms themselves are read.
const VISION_TRANSFORMER: Class = Class::new(
    &["torchvision.models.vision_transformer.VisionTransformer"],
    &[
        ("image_size", Says::Fact("img_size", Read::Square)),
        ("patch_size", Says::Fact("patch_size", Read::Square)),
        ("hidden_dim", Says::Fact("embed_dim", Read::Number)),
        ("mlp_dim", Says::Nothing),
        ("seq_length", Says::Nothing),
        ("num_classes", Says::Nothing),
        ("representation_size", NULL),
        ("dropout", Says::Nothing),
        ("attention_dropout", Says::Nothing),
        ("norm_layer", Says::Nothing),
    ],
)
.means("global_pool", Literal::Text("token"));
const ENCODER: Class = Class::new(&["torchvision.models.vision_transformer.Encoder"], &[]);
const BLOCK: Class = Class::new(
    &["torchvision.models.vision_transformer.EncoderBlock"],
    &[("num_heads", Says::Fact("num_heads", Read::Number))],
)
.means("block", Literal::Text("Block"));
const MLP: Class = Class::new(&["torchvision.models.vision_transformer.MLPBlock"], &[]);

/// Has one weight for queries, keys and values, and batches first.
const ATTENTION: Class = Class::new(
    &["torch.nn.modules.activation.MultiheadAttention"],
    &[
        ("num_heads", Says::Fact("num_heads", Read::Number)),
        ("embed_dim", Says::Fact("embed_dim", Read::Number)),
        (
            "head_dim",
            Says::Follows(|at| {
                at.facts.number("embed_dim")?.checked_div(at.number("num_heads")?).map(Value::from)
            }),
        ),
        ("kdim", Says::Nothing),
        ("vdim", Says::Nothing),
        ("dropout", Says::Nothing),
        ("_qkv_same_embed_dim", Says::Is(&[Literal::YES])),
        ("batch_first", Says::Is(&[Literal::YES])),
        ("bias_k", NULL),
        ("bias_v", NULL),
        ("add_zero_attn", Says::Is(&[Literal::NO])),
    ],
);
/// Is a linear layer.
const OUT_PROJ: Class = Class {
    names: &[
        "torch.nn.modules.linear.NonDynamicallyQuantizableLinear",
        "torch.nn.modules.linear._LinearWithBias",
    ],
    ..LINEAR
};

/// Lists them.
pub(super) const MODULES: &[Role] = &[
    Role::new(&[""], &[&VISION_TRANSFORMER]),
    Role::new(&["conv_proj"], &[&CONV])
        .says(&[("stride", Says::Follows(|at| at.facts.value("patch_size").cloned()))]),
    Role::new(&["encoder"], &[&ENCODER]),
    Role::new(&["encoder.layers"], &[&SEQUENTIAL]),
    Role::new(&["encoder.layers.encoder_layer_*"], &[&BLOCK]),
    Role::new(&["encoder.layers.encoder_layer_*.{ln_1,ln_2}", "encoder.ln"], &[&LAYER_NORM]),
    Role::new(&["encoder.layers.encoder_layer_*.self_attention"], &[&ATTENTION]),
    Role::new(&["encoder.layers.encoder_layer_*.self_attention.out_proj"], &[&OUT_PROJ, &LINEAR]),
    Role::new(&["encoder.layers.encoder_layer_*.mlp"], &[&MLP]),
    Role::new(&["encoder.layers.encoder_layer_*.mlp.{0,3,linear_1,linear_2}"], &[&LINEAR]),
    Role::new(&["encoder.layers.encoder_layer_*.mlp.{1,act}"], ACTIVATIONS),
    Role::new(
        &[
            "encoder.dropout",
            "encoder.layers.encoder_layer_*.dropout",
            "encoder.layers.encoder_layer_*.mlp.{2,4,dropout_1,dropout_2}",
        ],
        &[&DROPOUT],
    ),
    Role::new(&["heads"], &[&SEQUENTIAL, &LINEAR]),
    Role::new(&["heads.head"], CLASSIFIER),
];
