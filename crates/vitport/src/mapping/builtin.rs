//! The built-in mappings and layouts: the files of `mappings/`, one line each.

use std::sync::LazyLock;

use super::language::Mapping;

/// Names and texts of the mappings.
const MAPPINGS: [(&str, &str); 34] = [
    ("timm_vit.toml", include_str!("../../mappings/timm_vit.toml")),
    ("timm_clip.toml", include_str!("../../mappings/timm_clip.toml")),
    ("timm_clip_features.toml", include_str!("../../mappings/timm_clip_features.toml")),
    ("timm_siglip.toml", include_str!("../../mappings/timm_siglip.toml")),
    ("timm_ijepa.toml", include_str!("../../mappings/timm_ijepa.toml")),
    ("timm_siglip_gap.toml", include_str!("../../mappings/timm_siglip_gap.toml")),
    ("timm_siglip_classifier.toml", include_str!("../../mappings/timm_siglip_classifier.toml")),
    ("timm_aimv2.toml", include_str!("../../mappings/timm_aimv2.toml")),
    ("timm_internvl.toml", include_str!("../../mappings/timm_internvl.toml")),
    ("timm_tipsv2.toml", include_str!("../../mappings/timm_tipsv2.toml")),
    ("timm_radio.toml", include_str!("../../mappings/timm_radio.toml")),
    ("timm_vit_beit.toml", include_str!("../../mappings/timm_vit_beit.toml")),
    ("timm_deit.toml", include_str!("../../mappings/timm_deit.toml")),
    ("timm_dinov2.toml", include_str!("../../mappings/timm_dinov2.toml")),
    ("timm_dinov2_registers.toml", include_str!("../../mappings/timm_dinov2_registers.toml")),
    ("timm_registers_gap.toml", include_str!("../../mappings/timm_registers_gap.toml")),
    ("timm_registers_features.toml", include_str!("../../mappings/timm_registers_features.toml")),
    ("timm_register_map.toml", include_str!("../../mappings/timm_register_map.toml")),
    ("timm_beit.toml", include_str!("../../mappings/timm_beit.toml")),
    ("timm_dinov3.toml", include_str!("../../mappings/timm_dinov3.toml")),
    ("timm_eva_beit.toml", include_str!("../../mappings/timm_eva_beit.toml")),
    ("timm_relpos.toml", include_str!("../../mappings/timm_relpos.toml")),
    ("timm_relpos_features.toml", include_str!("../../mappings/timm_relpos_features.toml")),
    ("timm_eva_vit.toml", include_str!("../../mappings/timm_eva_vit.toml")),
    ("timm_convnext_scaled.toml", include_str!("../../mappings/timm_convnext_scaled.toml")),
    ("timm_convnext.toml", include_str!("../../mappings/timm_convnext.toml")),
    ("timm_dinov3_convnext.toml", include_str!("../../mappings/timm_dinov3_convnext.toml")),
    ("timm_convnextv2.toml", include_str!("../../mappings/timm_convnextv2.toml")),
    ("timm_resnet.toml", include_str!("../../mappings/timm_resnet.toml")),
    ("timm_regnet.toml", include_str!("../../mappings/timm_regnet.toml")),
    ("timm_swin.toml", include_str!("../../mappings/timm_swin.toml")),
    ("timm_swinv2.toml", include_str!("../../mappings/timm_swinv2.toml")),
    ("timm_efficientnet.toml", include_str!("../../mappings/timm_efficientnet.toml")),
    ("microsoft_cvt.toml", include_str!("../../mappings/microsoft_cvt.toml")),
];

/// Names and texts of the layouts, in the order in which they are tried.
const LAYOUTS: [(&str, &str); 16] = [
    ("layouts/jax_vit.toml", include_str!("../../mappings/layouts/jax_vit.toml")),
    ("layouts/deit3_vit.toml", include_str!("../../mappings/layouts/deit3_vit.toml")),
    ("layouts/dinov2_chunks.toml", include_str!("../../mappings/layouts/dinov2_chunks.toml")),
    ("layouts/meta_dinov3.toml", include_str!("../../mappings/layouts/meta_dinov3.toml")),
    ("layouts/meta_convnext.toml", include_str!("../../mappings/layouts/meta_convnext.toml")),
    ("layouts/torchvision_vit.toml", include_str!("../../mappings/layouts/torchvision_vit.toml")),
    ("layouts/torchvision_resnet.toml", include_str!("../../mappings/layouts/torchvision_resnet.toml")),
    ("layouts/torchvision_regnet.toml", include_str!("../../mappings/layouts/torchvision_regnet.toml")),
    ("layouts/torchvision_convnext.toml", include_str!("../../mappings/layouts/torchvision_convnext.toml")),
    ("layouts/torchvision_swin.toml", include_str!("../../mappings/layouts/torchvision_swin.toml")),
    ("layouts/torchvision_swinv2.toml", include_str!("../../mappings/layouts/torchvision_swinv2.toml")),
    ("layouts/microsoft_swin.toml", include_str!("../../mappings/layouts/microsoft_swin.toml")),
    ("layouts/microsoft_swinv2.toml", include_str!("../../mappings/layouts/microsoft_swinv2.toml")),
    ("layouts/jeonsworld_vit.toml", include_str!("../../mappings/layouts/jeonsworld_vit.toml")),
    ("layouts/mmpretrain_vit.toml", include_str!("../../mappings/layouts/mmpretrain_vit.toml")),
    ("layouts/transformers_vit.toml", include_str!("../../mappings/layouts/transformers_vit.toml")),
];

static PARSED_MAPPINGS: LazyLock<Vec<Mapping>> = LazyLock::new(|| parse(&MAPPINGS));
static PARSED_LAYOUTS: LazyLock<Vec<Mapping>> = LazyLock::new(|| parse(&LAYOUTS));

/// Parses built-in files. One that cannot be parsed is left out; a test sees to it that there is none.
fn parse(files: &[(&str, &str)]) -> Vec<Mapping> {
    files.iter().filter_map(|(name, text)| Mapping::parse(name, text).ok()).collect()
}

/// Returns the built-in mappings.
pub fn mappings() -> &'static [Mapping] {
    &PARSED_MAPPINGS
}

/// Returns the built-in layouts, in the order in which they are tried.
pub fn layouts() -> &'static [Mapping] {
    &PARSED_LAYOUTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_file_can_be_parsed() {
        for (name, text) in MAPPINGS.iter().chain(&LAYOUTS) {
            Mapping::parse(name, text).unwrap();
        }
    }
}
