//! Lists the models that faults are planted in: the two examples, and three of the tiny networks that the golden tests of the
//! forward passes use (tests/data/vit).

use std::path::{Path, PathBuf};

use vitport::image::{CropMode, Filter};
use vitport::options::FactOptions;
use vitport::pipeline::Request;
use vitport::preprocessing::{IMAGENET_MEAN, IMAGENET_STD};

/// Describes a source, what has to be said of it, and what the table calls it.
pub struct Model {
    pub name: &'static str,
    pub source: PathBuf,
    pub request: Request,
    pub is_cvt: bool,
}

impl Model {
    fn new(name: &'static str, source: &str, facts: FactOptions) -> Self {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(source);
        Self { name, source, request: Request { facts, ..Request::default() }, is_cvt: name == "CvT" }
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
    vec![
        Model::new("ViT", "../../examples/vit_small_twin", FactOptions::default()),
        Model::new("ViT, layer scale, no_embed_class", "tests/data/vit/timm_deit3.safetensors", oblong),
        Model::new("ViT, layer scale, no head", "tests/data/vit/timm_dinov2_base.safetensors", stated(2)),
        Model::new("ViT, no qkv bias", "tests/data/vit/timm_no_qkv_bias.safetensors", stated(4)),
        Model::new("CvT", "../../examples/cvt_tiny/tiny.pth", cvt),
    ]
}
