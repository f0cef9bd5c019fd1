//! The modules of a timm `EfficientNet` that was saved whole. They say how convolutions are padded and how large the epsilon of norms
//! is, which no weight shows.

use serde_json::{Value, json};

use super::super::super::saved_modules::torch::{CONV, FLATTEN, IDENTITY, SEQUENTIAL, SIGMOID};
use super::super::super::saved_modules::{At, Class, Read, Role, Says};
use super::super::classes::{
    ACTIVATIONS, AVERAGE, CLASSIFIER, CLASSIFIER_PARTS, NOTHING, OF_A_BATCH_NORM, OF_EVERY_NETWORK, POOL,
    TIMM_BATCH_NORM, TIMM_SIGMOID,
};
use super::super::field::Literal;
use super::SAME;

const EFFICIENTNET: Class =
    Class::new(&["timm.models.efficientnet.EfficientNet"], &[("stage_ends", Says::Nothing)]);

/// Pads as TensorFlow does. Where the stride is 1, a convolution of PyTorch's with padding of its own computes the same.
const SAME_CONV: Class = Class::new(
    &["timm.layers.conv2d_same.Conv2dSame", "timm.models.layers.conv2d_same.Conv2dSame"],
    CONV.says,
)
.means("pad_type", Literal::Text(SAME));
/// Pads alike on both sides.
const ALIKE_CONV: Class = Class::new(CONV.names, CONV.says).means("pad_type", Literal::Text(""));

/// Is the norm before timm 0.6, whose activation stands next to it.
const TORCH_BATCH_NORM: Class = Class::new(&["torch.nn.modules.batchnorm.BatchNorm2d"], OF_A_BATCH_NORM);
const NORMS: &[&Class] = &[&TIMM_BATCH_NORM, &TORCH_BATCH_NORM];

/// Lists what a block says of itself. `has_residual` is the name before timm 0.6.
const OF_A_BLOCK: &[(&str, Says)] = &[
    ("has_skip", Says::Follows(adds)),
    ("has_residual", Says::Follows(adds)),
    ("has_pw_act", Says::Is(&[Literal::NO])),
    ("conv_s2d", Says::Is(&[Literal::Null])),
    ("bn_s2d", Says::Is(&[Literal::Null])),
    ("drop_path_rate", Says::Nothing),
];
const BLOCK: Class = Class::new(
    &[
        "timm.models._efficientnet_blocks.DepthwiseSeparableConv",
        "timm.models._efficientnet_blocks.InvertedResidual",
        "timm.models.efficientnet_blocks.DepthwiseSeparableConv",
        "timm.models.efficientnet_blocks.InvertedResidual",
    ],
    OF_A_BLOCK,
);
const EXCITE: Class = Class::new(
    &["timm.models._efficientnet_blocks.SqueezeExcite", "timm.models.efficientnet_blocks.SqueezeExcite"],
    &[],
);

const STRIDE_OF_TWO: (&str, Says) = ("stride", Says::Is(&[Literal::Pair(2, 2)]));
/// Is the stride of a stage: that of its first block.
const STRIDE_OF_STAGE: (&str, Says) = ("stride", Says::Each("strides", Read::Edge));
/// Has a kernel for each channel.
const DEPTHWISE: (&str, Says) = ("groups", Says::Follows(|at| at.number("in_channels").map(Value::from)));
const HALF_A_KERNEL: (&str, Says) = ("padding", Says::Follows(half_a_kernel));

/// Returns the padding of one of PyTorch's convolutions. None has a stride in a network that pads as TensorFlow does.
fn half_a_kernel(at: &At<'_>) -> Option<Value> {
    let pads_same = at.modules.pair("conv_stem", "padding")? == [0, 0];
    let is_alike = at.pair("stride")? == [1, 1] || !pads_same;
    is_alike.then_some(json!(at.pair("kernel_size")?.map(|edge| edge / 2)))
}

/// Returns whether a block adds its input: where neither the size nor the channels change.
fn adds(at: &At<'_>) -> Option<Value> {
    let [stage, block] = *at.numbers else { return None };
    let first = at.modules.pair(&format!("blocks.{stage}.0.conv_dw"), "stride")?;
    let changes = first != [1, 1] || at.of_stage("in_chs")? != at.of_stage("out_chs")?;
    Some(json!(block > 0 || !changes))
}

/// Lists them.
pub(super) const MODULES: &[Role] = &[
    Role::new(&[""], &[&EFFICIENTNET]).says(OF_EVERY_NETWORK),
    Role::new(&["conv_stem"], &[&SAME_CONV]).says(&[STRIDE_OF_TWO]),
    Role::new(&["conv_stem"], &[&ALIKE_CONV])
        .says(&[STRIDE_OF_TWO, ("padding", Says::Is(&[Literal::Pair(1, 1)]))]),
    Role::new(&["blocks", "blocks.*"], &[&SEQUENTIAL]),
    Role::new(&["blocks.*.*"], &[&BLOCK]),
    Role::new(&["blocks.*.0.conv_dw"], &[&SAME_CONV]).says(&[STRIDE_OF_STAGE, DEPTHWISE]),
    Role::new(&["blocks.*.0.conv_dw"], &[&CONV]).says(&[STRIDE_OF_STAGE, HALF_A_KERNEL, DEPTHWISE]),
    Role::new(&["blocks.*.*.conv_dw"], &[&CONV]).says(&[HALF_A_KERNEL, DEPTHWISE]),
    Role::new(
        &["conv_head", "blocks.*.*.{conv_pw,conv_pwl}", "blocks.*.*.se.{conv_reduce,conv_expand}"],
        &[&CONV],
    ),
    Role::new(&["bn1", "bn2", "blocks.*.*.{bn1,bn2,bn3}"], NORMS),
    Role::new(
        &["{bn1,bn2}.act", "act1", "act2", "blocks.*.*.{bn1,bn2}.act", "blocks.*.*.{act1,act2}"],
        ACTIVATIONS,
    ),
    Role::new(&["blocks.*.*.se.act1"], ACTIVATIONS),
    Role::new(&["blocks.*.*.se"], &[&EXCITE, &IDENTITY]),
    Role::new(&["blocks.*.*.se.gate"], &[&SIGMOID, &TIMM_SIGMOID]),
    Role::new(&["global_pool"], &[&POOL]),
    Role::new(&["global_pool.pool"], &[&AVERAGE, &IDENTITY]),
    Role::new(&["global_pool.flatten"], &[&FLATTEN, &IDENTITY]),
    Role::new(&["classifier"], CLASSIFIER),
    Role::new(&["classifier.*"], CLASSIFIER_PARTS),
    // The last norm of a block has no activation, which is the second one where nothing expands.
    Role::new(&["blocks.*.*.{bn2,bn3}.act", "blocks.*.*.act2", "blocks.*.*.aa"], &[&IDENTITY]),
    Role::new(&["{bn1,bn2}.drop", "blocks.*.*.{bn1,bn2,bn3}.drop", "blocks.*.*.drop_path"], NOTHING),
];
