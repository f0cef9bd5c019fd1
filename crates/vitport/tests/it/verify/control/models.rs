//! Lists the models that faults are planted in, one or more of each family: the two examples, and tiny networks that other tests
//! compare with their frameworks (tests/data).

use std::path::{Path, PathBuf};

use vitport::image::{CropMode, Filter};
use vitport::options::FactOptions;
use vitport::pipeline::Request;
use vitport::preprocessing::{IMAGENET_MEAN, IMAGENET_STD};

use super::fault::Fault;
use super::original::Script;
use super::{
    convnext_faults, cvt_faults, efficientnet_faults, encoder_faults, residual_faults, swin_faults,
    vit_faults,
};

/// Describes a source, what has to be said of it, and what the table calls it.
pub struct Model {
    pub name: &'static str,
    pub source: PathBuf,
    pub request: Request,
    /// Returns the faults that only this family can have.
    pub faults: fn() -> Vec<Fault>,
    /// Gives the original script that converted this family, if there was one.
    pub script: Option<Script>,
}

impl Model {
    fn new(name: &'static str, source: &str, faults: fn() -> Vec<Fault>) -> Self {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(source);
        Self { name, source, request: Request::default(), faults, script: None }
    }

    fn vit(name: &'static str, source: &str, facts: FactOptions) -> Self {
        let request = Request { facts, ..Request::default() };
        Self { request, script: Some(Script::Vit), ..Self::new(name, source, vit_faults::list) }
    }
}

/// What a bare file of a tiny network does not say.
fn stated(heads: u64) -> FactOptions {
    FactOptions {
        num_heads: Some(vec![heads]),
        mean: Some(IMAGENET_MEAN),
        std: Some(IMAGENET_STD),
        crop_pct: Some(0.875),
        interpolation: Some(Filter::Bicubic),
        ..FactOptions::default()
    }
}

pub fn all() -> Vec<Model> {
    let oblong = FactOptions {
        image_size: Some([16, 12]),
        crop_mode: Some(CropMode::Squash),
        crop_pct: Some(1.0),
        ..stated(2)
    };
    let cvt =
        FactOptions { num_heads: Some(vec![1, 2, 4]), image_size: Some([64, 64]), ..FactOptions::default() };
    let cvt = Request { facts: cvt, ..Request::default() };
    // Without a word it becomes a class that both versions have.
    let tipsv2 = FactOptions { target: Some("Tipsv2VisionModel".to_owned()), ..FactOptions::default() };
    let tipsv2 = Request { facts: tipsv2, ..Request::default() };
    let scaled =
        FactOptions { target: Some("ConvNextForImageClassification".to_owned()), ..FactOptions::default() };
    let scaled = Request { facts: scaled, ..Request::default() };
    let (data, examples) = ("tests/data", "../../examples");
    let (convnext, residual, encoders) =
        (format!("{data}/convnext"), format!("{data}/residual"), format!("{data}/timm_encoders"));
    let encoder =
        |name, folder: &str| Model::new(name, &format!("{encoders}/{folder}"), encoder_faults::list);
    vec![
        Model::vit("ViT", &format!("{examples}/vit_small_twin"), FactOptions::default()),
        Model::vit("ViT, layer scale, no_embed_class", &format!("{data}/vit/timm_deit3.safetensors"), oblong),
        Model::vit(
            "ViT, layer scale, no head",
            &format!("{data}/vit/timm_dinov2_base.safetensors"),
            stated(2),
        ),
        Model::vit("ViT, no qkv bias", &format!("{data}/vit/timm_no_qkv_bias.safetensors"), stated(4)),
        Model {
            request: cvt,
            script: Some(Script::Cvt),
            ..Model::new("CvT", &format!("{examples}/cvt_tiny/tiny.pth"), cvt_faults::list)
        },
        Model::new("CLIP", &format!("{data}/clip/tower"), encoder_faults::clip),
        Model::new("BEiT", &format!("{data}/beit/plain"), encoder_faults::beit),
        Model::new("ViT with relative positions", &format!("{data}/relpos/patches"), encoder_faults::relpos),
        encoder("SigLIP", "siglip"),
        encoder("I-JEPA", "ijepa"),
        encoder("AIMv2", "aimv2"),
        encoder("InternViT", "intern"),
        Model { request: tipsv2, ..encoder("TIPSv2", "tipsv2") },
        encoder("RADIO", "radio"),
        Model::new("ConvNeXt", &format!("{convnext}/plain"), convnext_faults::first),
        Model {
            request: scaled,
            ..Model::new("ConvNeXt, scaled", &format!("{convnext}/scaled"), convnext_faults::scaled)
        },
        Model::new("ConvNeXt V2", &format!("{convnext}/v2"), convnext_faults::second),
        Model::new("ResNet", &format!("{residual}/resnet_bottleneck"), residual_faults::resnet),
        Model::new("RegNet", &format!("{residual}/regnet_y"), residual_faults::regnet),
        Model::new("Swin", &format!("{data}/swin/plain"), swin_faults::list),
        Model::new("EfficientNet", &format!("{data}/efficientnet/same"), efficientnet_faults::list),
        Model::new("DINOv3", &format!("{data}/eva/dinov3"), encoder_faults::dinov3),
        Model::new("DINOv3 ConvNeXt", &format!("{convnext}/dinov3"), convnext_faults::dinov3),
        Model::new("SwinV2", &format!("{data}/swinv2/plain"), swin_faults::second),
    ]
}
