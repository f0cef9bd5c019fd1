//! The two networks whose forward passes are timed, by this benchmark and by `examples/forward.rs`.

use vitport::families::cvt::forward_transformers::CvtConfig;
use vitport::families::vit::forward_timm::VisionTransformer;
use vitport::nn::Activation;

/// timm's `vit_base_patch16_224`.
pub fn vit_b() -> VisionTransformer {
    VisionTransformer {
        image_size: (224, 224),
        patch_size: (16, 16),
        channels: 3,
        dim: 768,
        depth: 12,
        heads: 12,
        mlp_hidden: 3072,
        norm_eps: 1e-6,
        qkv_bias: true,
        layer_scale: None,
        no_embed_class: false,
        activation: Activation::Gelu,
        classes: 1000,
    }
}

/// `microsoft/cvt-13`, whose sizes are transformers' defaults.
pub fn cvt_13() -> CvtConfig {
    CvtConfig {
        architectures: Some(vec!["CvtForImageClassification".to_owned()]),
        num_labels: Some(1000),
        ..CvtConfig::default()
    }
}
