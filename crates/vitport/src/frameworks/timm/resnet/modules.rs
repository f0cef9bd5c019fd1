//! The modules of a timm `ResNet` that was saved whole.

use serde_json::{Value, json};

use super::super::super::saved_modules::torch::{BATCH_NORM, CONV, FLATTEN, IDENTITY, MAX_POOL, SEQUENTIAL};
use super::super::super::saved_modules::{At, Class, Role, Says};
use super::super::classes::{
    ACTIVATIONS, AVERAGE, CLASSIFIER, CLASSIFIER_PARTS, NOTHING, OF_EVERY_NETWORK, POOL,
};
use super::super::field::Literal;

const RESNET: Class = Class::new(&["timm.models.resnet.ResNet"], &[]);
/// Says what the weights show, and how it was made.
const TORCHVISIONS: Class = Class::new(
    &["torchvision.models.resnet.ResNet"],
    &[
        ("inplanes", Says::Nothing),
        // The class of norms that it was made with; the norms themselves are read.
        ("_norm_layer", Says::Nothing),
        ("dilation", Says::Is(&[Literal::Number(1)])),
        ("groups", Says::Follows(|at| at.facts.value("cardinality").cloned())),
        ("base_width", Says::Follows(|at| at.facts.value("base_width").cloned())),
    ],
);

/// Lists what a block says of itself. Parts that it lacks are None.
const OF_A_BLOCK: &[(&str, Says)] = &[
    ("stride", Says::Follows(|at| Some(json!(stride(at))))),
    ("dilation", Says::Is(&[Literal::Number(1)])),
    ("se", ABSENT),
    ("aa", Says::Tells("anti_aliasing", &[(Literal::Null, Literal::NO)])),
    ("drop_block", ABSENT),
    ("drop_path", ABSENT),
    ("downsample", ABSENT),
];
const ABSENT: Says = Says::Is(&[Literal::Null]);
const BASIC: Class =
    Class::new(&["timm.models.resnet.BasicBlock", "torchvision.models.resnet.BasicBlock"], OF_A_BLOCK)
        .means(STRIDE.0, STRIDE.1);
const BOTTLENECK: Class =
    Class::new(&["timm.models.resnet.Bottleneck", "torchvision.models.resnet.Bottleneck"], OF_A_BLOCK)
        .means(STRIDE.0, STRIDE.1);
/// Says what strides of 2 in all stages but the first come to.
const STRIDE: (&str, Literal) = ("output_stride", Literal::Number(32));

/// Returns the stride of a block: 2 in the first of each stage but the first.
fn stride(at: &At<'_>) -> u64 {
    match at.numbers {
        [stage, rest @ ..] if *stage > 1 && rest.first().is_none_or(|block| *block == 0) => 2,
        _ => 1,
    }
}

/// Returns a pair of edges that is `value` in bottlenecks and `basic` in other blocks.
fn edges(at: &At<'_>, bottleneck: u64, basic: u64) -> Option<Value> {
    let edge = if at.facts.flag("bottleneck")? { bottleneck } else { basic };
    Some(json!([edge, edge]))
}

/// Lists them.
pub(super) const MODULES: &[Role] = &[
    Role::new(&[""], &[&RESNET, &TORCHVISIONS]).says(OF_EVERY_NETWORK),
    Role::new(&["conv1"], &[&CONV])
        .says(&[("stride", Says::Is(&[Literal::Pair(2, 2)])), ("padding", Says::Is(&[Literal::Pair(3, 3)]))]),
    Role::new(&["bn1", "layer*.*.{bn1,bn2,bn3}", "layer*.*.downsample.1"], &[&BATCH_NORM]),
    Role::new(&["act1", "layer*.*.{act1,act2,act3}", "relu", "layer*.*.relu"], ACTIVATIONS),
    Role::new(&["maxpool"], &[&MAX_POOL]).says(&[
        ("kernel_size", Says::Is(&[Literal::Number(3)])),
        ("stride", Says::Is(&[Literal::Number(2)])),
        ("padding", Says::Is(&[Literal::Number(1)])),
        ("ceil_mode", Says::Is(&[Literal::NO])),
    ]),
    Role::new(&["layer*", "layer*.*.downsample"], &[&SEQUENTIAL]),
    Role::new(&["layer*.*"], &[&BASIC, &BOTTLENECK]),
    Role::new(&["layer*.*.conv1"], &[&CONV]).says(&[
        ("stride", Says::Follows(|at| edges(at, 1, stride(at)))),
        ("padding", Says::Follows(|at| edges(at, 0, 1))),
    ]),
    Role::new(&["layer*.*.conv2"], &[&CONV]).says(&[
        ("stride", Says::Follows(|at| edges(at, stride(at), 1))),
        ("padding", Says::Is(&[Literal::Pair(1, 1)])),
        ("groups", Says::Follows(|at| at.facts.value("cardinality").cloned())),
    ]),
    Role::new(&["layer*.*.conv3"], &[&CONV]),
    Role::new(&["layer*.0.downsample.0"], &[&CONV])
        .says(&[("stride", Says::Follows(|at| edges(at, stride(at), stride(at))))]),
    Role::new(&["global_pool"], &[&POOL]),
    Role::new(&["global_pool.pool", "avgpool"], &[&AVERAGE, &IDENTITY]),
    Role::new(&["global_pool.flatten"], &[&FLATTEN, &IDENTITY]),
    Role::new(&["fc"], CLASSIFIER),
    Role::new(&["fc.*"], CLASSIFIER_PARTS),
    Role::new(&["layer*.*.{aa,drop_block,drop_path}"], NOTHING),
];
