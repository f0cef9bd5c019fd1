//! Modules that timm's networks share, by the names of their classes in all versions of timm (`timm.models.layers` before 0.9,
//! `timm.layers` since), and what their attributes are in evaluation. `data/timm/saved_modules.tsv` lists those of five versions.

use super::super::saved_modules::torch::{
    CONV, DROPOUT, GELU, IDENTITY, LAYER_NORM, LINEAR, NORM_CALLS, QUICK_GELU, RELU, RELU6, SEQUENTIAL, SILU,
};
use super::super::saved_modules::{Class, Read, Says};
use super::field::Literal;

/// Lists attributes that every network has: `feature_info` and numbers of channels are for those who build on it, the others
/// are how it was made and is trained. A classifier is what its own weights show, whatever `num_classes` is. `saved_module.rs`
/// reads `pretrained_cfg`, which was `default_cfg` before 0.6.
pub(super) const OF_EVERY_NETWORK: &[(&str, Says)] = &[
    ("num_classes", Says::Nothing),
    ("in_chans", Says::Nothing),
    ("num_features", Says::Nothing),
    ("head_hidden_size", Says::Nothing),
    ("feature_info", Says::Nothing),
    ("drop_rate", Says::Nothing),
    ("grad_checkpointing", Says::Nothing),
    ("weight_init_mode", Says::Nothing),
    ("fix_init", Says::Nothing),
    ("pretrained_model_args", Says::Nothing),
    ("pretrained_cfg", Says::Nothing),
    ("default_cfg", Says::Nothing),
    ("_model_args", Says::Nothing),
    ("_traits", Says::Nothing),
];

/// Drops whole branches in training.
const DROP_PATH: Class = Class::new(
    &["timm.layers.drop.DropPath", "timm.models.layers.drop.DropPath"],
    &[("drop_prob", Says::Nothing), ("scale_by_keep", Says::Nothing)],
);

/// Drops patches in training.
const PATCH_DROPOUT: Class = Class::new(
    &["timm.layers.patch_dropout.PatchDropout", "timm.models.layers.patch_dropout.PatchDropout"],
    &[
        ("prob", Says::Nothing),
        ("num_prefix_tokens", Says::Nothing),
        ("ordered", Says::Nothing),
        ("return_indices", Says::Is(&[Literal::NO])),
    ],
);

/// Lists what hands on what it gets, in evaluation.
pub(super) const NOTHING: &[&Class] = &[&IDENTITY, &DROPOUT, &DROP_PATH, &PATCH_DROPOUT];

/// Lists what attributes of a layer norm are. `_fast_norm` chooses between two ways to compute the same.
pub(super) const TIMM_NORM: &[(&str, Says)] = &[
    ("normalized_shape", Says::Nothing),
    ("eps", Says::Fact("norm_eps", Read::Real)),
    ("elementwise_affine", Says::Is(&[Literal::YES])),
    ("_fast_norm", Says::Nothing),
];

/// Is a layer norm over the last axis, or over the channels of a map (`2d`).
pub(super) const TIMM_LAYER_NORM: Class = Class::new(
    &[
        "timm.layers.norm.LayerNorm",
        "timm.layers.norm.LayerNorm2d",
        "timm.layers.norm.LayerNormFp32",
        "timm.layers.norm.LayerNorm2dFp32",
        "timm.models.layers.norm.LayerNorm",
        "timm.models.layers.norm.LayerNorm2d",
        "timm.models.convnext.LayerNorm2d",
    ],
    TIMM_NORM,
)
.calls(NORM_CALLS);

/// Lists layer norms, or nothing in the place of one.
pub(super) const NORMS: &[&Class] = &[&LAYER_NORM, &TIMM_LAYER_NORM, &IDENTITY];

const TIMM_GELU: Class =
    Class::new(&["timm.layers.activations.GELU", "timm.models.layers.activations.GELU"], &[])
        .means("act_layer", Literal::Text("gelu"));

const GELU_TANH: Class =
    Class::new(&["timm.layers.activations.GELUTanh", "timm.models.layers.activations.GELUTanh"], &[])
        .means("act_layer", Literal::Text("gelu_tanh"));

const SWISH: Class = Class::new(
    &["timm.layers.activations.Swish", "timm.models.layers.activations.Swish"],
    &[("inplace", Says::Nothing)],
)
.means("act_layer", Literal::Text("silu"));

/// Lists the activations that can be run. Of one that cannot, the class is refused.
pub(super) const ACTIVATIONS: &[&Class] =
    &[&GELU, &TIMM_GELU, &GELU_TANH, &QUICK_GELU, &RELU, &RELU6, &SILU, &SWISH];

/// Is two linear layers, or two 1×1 convolutions, with an activation between them.
pub(super) const MLP: Class = Class::new(
    &[
        "timm.layers.mlp.Mlp",
        "timm.layers.mlp.ConvMlp",
        "timm.models.layers.mlp.Mlp",
        "timm.models.layers.mlp.ConvMlp",
        "timm.models.vision_transformer.Mlp",
    ],
    &[],
);

/// Has a layer of its own for the gate.
pub(super) const SWIGLU: Class =
    Class::new(&["timm.layers.mlp.SwiGLU", "timm.models.layers.mlp.SwiGLU"], &[]);

/// Lists what the two layers of an MLP can be.
pub(super) const MLP_LAYERS: &[&Class] = &[&LINEAR, &CONV];

/// Lists what a classifier can be: a linear layer, alone or after dropout.
pub(super) const CLASSIFIER: &[&Class] = &[&LINEAR, &IDENTITY, &SEQUENTIAL];

/// Lists what a classifier that is a sequence can be made of.
pub(super) const CLASSIFIER_PARTS: &[&Class] = &[&LINEAR, &IDENTITY, &DROPOUT];

/// Multiplies each channel by a number. `init_values` is what it began with.
pub(super) const LAYER_SCALE: Class = Class::new(
    &[
        "timm.layers.layer_scale.LayerScale",
        "timm.models.vision_transformer.LayerScale",
        "timm.models.vision_transformer_relpos.LayerScale",
    ],
    &[("init_values", Says::Nothing), ("inplace", Says::Nothing)],
);

/// Pools, norms and classifies. Its weights show what its attributes say.
pub(super) const HEAD: Class = Class::new(
    &["timm.layers.classifier.NormMlpClassifierHead"],
    &[
        ("in_features", Says::Nothing),
        ("hidden_size", Says::Nothing),
        ("num_features", Says::Nothing),
        ("use_conv", Says::Nothing),
    ],
);

/// Lists what attributes of a batch norm are where its epsilon is the fact `norm_eps`.
pub(super) const OF_A_BATCH_NORM: &[(&str, Says)] = &[
    ("num_features", Says::Nothing),
    ("eps", Says::Fact("norm_eps", Read::Real)),
    ("momentum", Says::Nothing),
    ("affine", Says::Is(&[Literal::YES])),
    ("track_running_stats", Says::Is(&[Literal::YES])),
];

/// Is a batch norm with an activation after it, which is a module of its own in it.
pub(super) const TIMM_BATCH_NORM: Class = Class::new(
    &["timm.layers.norm_act.BatchNormAct2d", "timm.models.layers.norm_act.BatchNormAct2d"],
    OF_A_BATCH_NORM,
);

/// Is a convolution with a batch norm after it; anti-aliasing, which it may have, is not one.
pub(super) const CONV_NORM: Class = Class::new(
    &[
        "timm.layers.conv_bn_act.ConvNormAct",
        "timm.models.layers.conv_bn_act.ConvBnAct",
        "timm.models.layers.conv_bn_act.ConvNormAct",
    ],
    &[("aa", Says::Is(&[Literal::Null]))],
);

/// Multiplies channels by what two convolutions make of their means.
pub(super) const SQUEEZE_EXCITE: Class = Class::new(
    &["timm.layers.squeeze_excite.SEModule", "timm.models.layers.squeeze_excite.SEModule"],
    &[("add_maxpool", Says::Is(&[Literal::NO]))],
);

/// Is the logistic function.
pub(super) const TIMM_SIGMOID: Class = Class::new(
    &["timm.layers.activations.Sigmoid", "timm.models.layers.activations.Sigmoid"],
    &[("inplace", Says::Nothing)],
);

/// Pools and classifies. Its weights show what its attributes say.
pub(super) const POOLED_HEAD: Class = Class::new(
    &["timm.layers.classifier.ClassifierHead", "timm.models.layers.classifier.ClassifierHead"],
    &[
        ("in_features", Says::Nothing),
        ("num_features", Says::Nothing),
        ("use_conv", Says::Is(&[Literal::NO])),
        ("input_fmt", Says::Is(&[Literal::Text("NCHW")])),
        ("drop_rate", Says::Nothing),
    ],
);

/// Pools over positions.
pub(super) const POOL: Class = Class::new(
    &[
        "timm.layers.adaptive_avgmax_pool.SelectAdaptivePool2d",
        "timm.models.layers.adaptive_avgmax_pool.SelectAdaptivePool2d",
    ],
    &[("pool_type", Says::Fact("global_pool", Read::Text))],
);
/// Averages over positions.
pub(super) const AVERAGE: Class = Class::new(
    &["torch.nn.modules.pooling.AdaptiveAvgPool2d"],
    &[("output_size", Says::Is(&[Literal::Number(1), Literal::Pair(1, 1)]))],
)
.means("global_pool", Literal::Text("avg"));

/// Averages over the positions of a map with channels last, and lays what comes out in a row.
pub(super) const FAST_AVERAGE: Class = Class::new(
    &[
        "timm.layers.adaptive_avgmax_pool.FastAdaptiveAvgPool",
        "timm.models.layers.adaptive_avgmax_pool.FastAdaptiveAvgPool",
    ],
    &[("flatten", Says::Is(&[Literal::YES])), ("dim", Says::Is(&[Literal::Pair(1, 2)]))],
)
.means("global_pool", Literal::Text("avg"));

/// Averages over positions in a row.
pub(super) const SEQUENCE_AVERAGE: Class = Class::new(
    &["torch.nn.modules.pooling.AdaptiveAvgPool1d"],
    &[("output_size", Says::Is(&[Literal::Number(1)]))],
)
.means("global_pool", Literal::Text("avg"));

#[cfg(test)]
mod tests {
    use super::super::DEFINITIONS;

    #[test]
    fn every_attribute_of_every_version_is_declared() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/data/timm/saved_modules.tsv");
        let table = std::fs::read_to_string(path).unwrap();
        let mut undeclared = Vec::new();
        for line in table.lines() {
            let [definition, path, class, attribute] = line.split('\t').collect::<Vec<_>>()[..] else {
                panic!("{line}");
            };
            let definition = DEFINITIONS.iter().find(|known| known.id == definition).unwrap();
            let is_declared = |number: &str| {
                let path = path.replace('*', number);
                let mut roles = definition.saved_modules.iter().copied().flatten();
                let known = roles.find_map(|role| {
                    role.place(&path)?;
                    Some((role, role.classes.iter().find(|own| own.is_called(class))?))
                });
                known.is_some_and(|(role, own)| {
                    let mut says = role.says.iter().chain(own.says);
                    attribute == "training" || says.any(|(name, _)| *name == attribute)
                })
            };
            if !is_declared("0") && !is_declared("1") {
                undeclared.push(line);
            }
        }
        assert_eq!(undeclared, [""; 0]);
        assert!(table.lines().count() > 300);
    }
}
