//! Which network is taken of files as people have them.

use std::path::PathBuf;

use vitport::options::FactOptions;
use vitport::pipeline::{ConvertError, Request, plan};
use vitport::source::Source;
use vitport_checkpoint::Limits;

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/field").join(name)
}

fn planned(name: &str, key: Option<&str>) -> Result<vitport::model::Prepared, ConvertError> {
    let facts = FactOptions {
        num_heads: Some(vec![3]),
        mean: Some([0.5; 3]),
        std: Some([0.5; 3]),
        crop_pct: Some(1.0),
        interpolation: Some(vitport::image::Filter::Bicubic),
        ..FactOptions::default()
    };
    plan(
        Source::open(&path(name), key, &Limits::default()).unwrap(),
        &Request { facts, ..Request::default() },
    )
}

#[test]
fn the_network_is_found_by_structure() {
    let cases = [
        ("dinov2_235_flat.pth", None, "teacher.backbone."),
        ("dinov2_235_flat.pth", Some("student"), "student.backbone."),
        ("dinov2_235_flat.pth", Some("model/student.backbone."), "student.backbone."),
        ("mocov3_vit-s-300ep.pth.tar", None, "module.base_encoder."),
        ("mocov3_vit-s-300ep.pth.tar", Some("module.momentum_encoder"), "module.momentum_encoder."),
        ("ema_pytorch.pt", None, "ema_model."),
        ("swa_averaged.pth", None, "module."),
        ("openclip_trunk_epoch_32.pt", None, "module.visual.trunk."),
        ("headseq.pth", None, ""),
        ("torchvision_heads_head.pth", None, ""),
        ("jeonsworld_checkpoint.bin", None, ""),
        ("mmpretrain_epoch_100.pth", None, "backbone."),
        ("hf_in_lightning.ckpt", None, "vit.vit."),
    ];
    for (name, key, prefix) in cases {
        let prepared = planned(name, key).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(prepared.model.state_dict.prefix(), prefix, "{name} {key:?}");
    }
}
