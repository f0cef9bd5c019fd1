//! PyTorch's own modules (torch.nn), and what their attributes are to a network in evaluation.

use serde_json::json;

use super::super::literal::Literal;
use super::calls::{Call, Given};
use super::table::{Class, Read, Says};

const ZERO: Says = Says::Is(&[Literal::Pair(0, 0)]);
const ONE: Says = Says::Is(&[Literal::Pair(1, 1)]);
const YES: Says = Says::Is(&[Literal::YES]);

/// Hands on what it gets.
pub const IDENTITY: Class = Class::new(&["torch.nn.modules.linear.Identity"], &[]);

/// Is the identity in evaluation.
pub const DROPOUT: Class =
    Class::new(&["torch.nn.modules.dropout.Dropout"], &[("p", Says::Nothing), ("inplace", Says::Nothing)]);

/// Runs its modules one after another, or only holds them.
pub const SEQUENTIAL: Class = Class::new(&["torch.nn.modules.container.Sequential"], &[]);

/// Holds modules.
pub const MODULE_LIST: Class = Class::new(&["torch.nn.modules.container.ModuleList"], &[]);

/// Computes with the weights that it has, whatever its attributes say of their shapes.
pub const LINEAR: Class = Class::new(
    &["torch.nn.modules.linear.Linear"],
    &[("in_features", Says::Nothing), ("out_features", Says::Nothing)],
);

/// Is a convolution. A place where it has another stride, padding or number of groups says so.
pub const CONV: Class = Class::new(
    &["torch.nn.modules.conv.Conv2d"],
    &[
        ("in_channels", Says::Nothing),
        ("out_channels", Says::Nothing),
        ("kernel_size", Says::Nothing),
        ("stride", ONE),
        ("padding", ZERO),
        ("dilation", ONE),
        ("groups", Says::Is(&[Literal::Number(1)])),
        ("padding_mode", Says::Is(&[Literal::Text("zeros")])),
        ("transposed", Says::Is(&[Literal::NO])),
        ("output_padding", ZERO),
        // What `padding_mode` reads unless it is "zeros".
        ("_reversed_padding_repeated_twice", Says::Nothing),
    ],
)
.calls(&[
    Call::new("_convolution", "stride", Given::Argument(3)),
    Call::new("_convolution", "padding", Given::Argument(4)),
    Call::new("_convolution", "dilation", Given::Argument(5)),
    Call::new("_convolution", "transposed", Given::Argument(6)),
    Call::new("_convolution", "groups", Given::Argument(8)),
]);

/// Says what the attributes of a layer norm are where its epsilon is the fact `norm_eps`.
pub const NORM_EPS: &[(&str, Says)] = &[
    ("normalized_shape", Says::Nothing),
    ("eps", Says::Fact("norm_eps", Read::Real)),
    ("elementwise_affine", YES),
];

/// Gives the epsilon of a layer norm that was traced.
pub const NORM_CALLS: &[Call] = &[Call::new("layer_norm", "eps", Given::Optional(4, Literal::Real(1e-5)))];

/// Is a layer norm.
pub const LAYER_NORM: Class =
    Class::new(&["torch.nn.modules.normalization.LayerNorm"], NORM_EPS).calls(NORM_CALLS);

/// Is a batch norm with the epsilon that PyTorch gives it. Momentum matters in training only.
pub const BATCH_NORM: Class = Class::new(
    &["torch.nn.modules.batchnorm.BatchNorm2d", "torch.nn.modules.batchnorm.SyncBatchNorm"],
    &[
        ("num_features", Says::Nothing),
        ("eps", Says::Is(&[Literal::Real(1e-5)])),
        ("momentum", Says::Nothing),
        ("affine", YES),
        ("track_running_stats", YES),
        ("process_group", Says::Nothing),
    ],
);

/// Is a pooling of the largest value. A place where it stands says its window.
pub const MAX_POOL: Class = Class::new(
    &["torch.nn.modules.pooling.MaxPool2d"],
    &[("dilation", Says::Is(&[Literal::Number(1)])), ("return_indices", Says::Is(&[Literal::NO]))],
);

/// Is GELU, exactly or by tanh. Before PyTorch 1.12 it had no attribute and was exact.
pub const GELU: Class = Class::new(
    &["torch.nn.modules.activation.GELU"],
    &[(
        "approximate",
        Says::Tells(
            "act_layer",
            &[
                (Literal::Text("none"), Literal::Text("gelu")),
                (Literal::Text("tanh"), Literal::Text("gelu_tanh")),
            ],
        ),
    )],
)
.means("act_layer", Literal::Text("gelu"))
.calls(&[Call::new("gelu", "approximate", Given::Keyword("approximate", Literal::Text("none")))]);

/// Is GELU, exactly, where a network has no other activation.
pub const EXACT_GELU: Class =
    Class::new(&["torch.nn.modules.activation.GELU"], &[("approximate", Says::Is(&[Literal::Text("none")]))]);

/// Makes weights of the last axis.
pub const SOFTMAX: Class =
    Class::new(&["torch.nn.modules.activation.Softmax"], &[("dim", Says::Follows(|_| Some(json!(-1))))]);

/// Is ReLU.
pub const RELU: Class = Class::new(&["torch.nn.modules.activation.ReLU"], &[("inplace", Says::Nothing)])
    .means("act_layer", Literal::Text("relu"));

/// Is ReLU in a part of a network that has no other activation, whatever the rest has.
pub const FIXED_RELU: Class =
    Class::new(&["torch.nn.modules.activation.ReLU"], &[("inplace", Says::Nothing)]);

/// Is ReLU that gives 6 at the most.
pub const RELU6: Class = Class::new(
    &["torch.nn.modules.activation.ReLU6"],
    &[
        ("inplace", Says::Nothing),
        ("min_val", Says::Is(&[Literal::Real(0.0)])),
        ("max_val", Says::Is(&[Literal::Real(6.0)])),
    ],
)
.means("act_layer", Literal::Text("relu6"));

/// Is the logistic function.
pub const SIGMOID: Class = Class::new(&["torch.nn.modules.activation.Sigmoid"], &[]);

/// Is SiLU.
pub const SILU: Class = Class::new(&["torch.nn.modules.activation.SiLU"], &[("inplace", Says::Nothing)])
    .means("act_layer", Literal::Text("silu"));

/// Is QuickGELU, of whatever framework: PyTorch has none.
pub const QUICK_GELU: Class = Class::new(&["*.QuickGELU"], &[("inplace", Says::Nothing)])
    .means("act_layer", Literal::Text("quick_gelu"));

/// Makes one axis of all but the first.
pub const FLATTEN: Class = Class::new(
    &["torch.nn.modules.flatten.Flatten"],
    &[("start_dim", Says::Is(&[Literal::Number(1)])), ("end_dim", Says::Follows(|_| Some(json!(-1))))],
);
