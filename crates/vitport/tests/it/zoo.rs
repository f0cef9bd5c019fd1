//! timm's table: that it is whole, that its rows agree with one another, and that names find them.

use std::collections::HashSet;

use vitport::labels::LabelSet;
use vitport::zoo::{self, Level};

#[test]
fn the_table_holds_all_of_timms_vits() {
    assert_eq!(zoo::timm_version(), "1.0.31");
    assert_eq!(zoo::architectures().count(), 179);
    assert_eq!(zoo::tags().count(), 354);
    assert_eq!(zoo::tags().filter(|tag| tag.has_weights).count(), 333);
    let vit = |tag: &&zoo::Tag| {
        let class = tag.target.as_deref();
        tag.has_weights
            && tag.level == Level::Logits
            && matches!(class, Some("ViTForImageClassification" | "ViTModel"))
    };
    assert_eq!(zoo::tags().filter(vit).count(), 85);
}

#[test]
fn every_tag_has_its_architecture_and_every_architecture_its_default_tag_first() {
    let names: HashSet<&str> = zoo::architectures().map(|row| row.name.as_str()).collect();
    assert_eq!(names.len(), 179);
    let full: HashSet<String> = zoo::tags().map(zoo::Tag::full_name).collect();
    assert_eq!(full.len(), 354);
    assert!(zoo::tags().all(|tag| names.contains(tag.architecture.as_str())));
    for row in zoo::architectures() {
        assert_eq!(
            zoo::tags_of(&row.name).next().map(|tag| &tag.tag),
            Some(&row.default_tag),
            "{}",
            row.name
        );
    }
}

#[test]
fn sizes_are_possible_and_targets_follow_the_head() {
    for tag in zoo::tags() {
        let name = tag.full_name();
        let row = zoo::architecture(&tag.architecture).unwrap();
        assert_eq!(tag.input_size, [3, row.img_size[0], row.img_size[1]], "{name}");
        assert!(row.embed_dim.is_multiple_of(row.heads) && row.depth > 0 && row.mlp_dim > 0, "{name}");
        assert!(tag.crop_pct > 0.5 && tag.crop_pct <= 1.0, "{name}");
        assert!(["center", "squash"].contains(&tag.crop_mode.as_str()), "{name}");
        assert!(tag.std.iter().all(|std| *std > 0.1), "{name}");
        assert_eq!(tag.target.is_none(), tag.level == Level::None, "{name}");
        match tag.target.as_deref() {
            Some("ViTForImageClassification") => assert!(tag.num_classes > 0, "{name}"),
            Some("ViTModel") if tag.level == Level::Logits => assert_eq!(tag.num_classes, 0, "{name}"),
            _ => {}
        }
    }
}

#[test]
fn plain_vits_are_counted_to_the_parameter() {
    for tag in zoo::tags() {
        let row = zoo::architecture(&tag.architecture).unwrap();
        let made_of = &row.structure;
        let vit = matches!(tag.target.as_deref(), Some("ViTForImageClassification" | "ViTModel"));
        if !vit || tag.level != Level::Logits {
            continue;
        }
        let width = row.embed_dim;
        let patches = (row.img_size[0] / row.patch_size[0]) * (row.img_size[1] / row.patch_size[1]);
        let positions = patches + usize::from(!made_of.no_embed_class);
        let embedding = 3 * row.patch_size[0] * row.patch_size[1] * width + width + width + positions * width;
        let attention = 4 * width * width + width + if made_of.qkv_bias { 3 * width } else { 0 };
        let mlp = 2 * width * row.mlp_dim + row.mlp_dim + width;
        let scales = if made_of.layer_scale { 2 * width } else { 0 };
        let block = attention + mlp + scales + 4 * width;
        let head = tag.num_classes * (width + 1) * usize::from(tag.num_classes > 0);
        let counted = embedding + row.depth * block + 2 * width + head;
        assert_eq!(counted as u64, tag.parameters, "{}", tag.full_name());
    }
}

#[test]
fn rows_say_what_timm_says() {
    // Figures published with the models.
    let tiny = zoo::find("vit_tiny_patch16_224.augreg_in21k").unwrap();
    assert_eq!((tiny.architecture.embed_dim, tiny.architecture.depth, tiny.architecture.heads), (192, 12, 3));
    assert_eq!(tiny.tag.mean, [0.5, 0.5, 0.5]);
    assert_eq!(tiny.tag.crop_pct, 0.9);
    assert_eq!(LabelSet::by_class_count(tiny.tag.num_classes), Some(LabelSet::Imagenet21kGoog));
    let dino = zoo::find("vit_base_patch16_224.dino").unwrap();
    assert_eq!((dino.tag.num_classes, dino.tag.parameters), (0, 85_798_656));
    assert_eq!(dino.tag.target.as_deref(), Some("ViTModel"));
    let deit = zoo::find("deit3_small_patch16_224").unwrap();
    assert!(deit.architecture.structure.layer_scale && deit.architecture.structure.no_embed_class);
    let clip = zoo::find("vit_large_patch14_clip_224.openai").unwrap();
    assert!(clip.architecture.structure.norm_pre && !clip.architecture.structure.patch_bias);
    assert_eq!(clip.architecture.structure.eps, Some(1e-5));
    assert_eq!(clip.tag.hub_id.as_deref(), Some("timm/vit_large_patch14_clip_224.openai"));
    let parallel = zoo::find("vit_small_patch16_18x2_224").unwrap();
    assert_eq!(parallel.architecture.structure.block, "ParallelThingsBlock");
    assert_eq!(parallel.tag.level, Level::None);
    assert!(!parallel.tag.has_weights);
}

#[test]
fn a_bare_name_is_the_default_tag() {
    let found = zoo::find("vit_base_patch16_224").unwrap();
    assert!(found.default_tag && !found.renamed);
    assert_eq!(found.tag.tag, "augreg2_in21k_ft_in1k");
    let named = zoo::find("timm/vit_base_patch16_224.mae").unwrap();
    assert!(!named.default_tag);
    assert_eq!(named.tag.tag, "mae");
}

#[test]
fn retired_names_lead_to_their_successors() {
    let found = zoo::find("vit_base_patch16_224_in21k").unwrap();
    assert!(found.renamed && !found.default_tag);
    assert_eq!(found.tag.full_name(), "vit_base_patch16_224.augreg_in21k");
}

#[test]
fn unknown_names_find_nothing() {
    for name in
        ["", ".", "timm/", "vit_base_patch16_224.", "vit_base_patch16_224.nope", "resnet50", "vit_base"]
    {
        assert_eq!(zoo::find(name), None, "{name}");
    }
}

#[test]
fn the_nearest_names_are_offered() {
    assert_eq!(zoo::suggest("vit_base_patch16_242")[0], "vit_base_patch16_224");
    assert_eq!(zoo::suggest("vit_tiny_patch16_224.augreg_in22k")[0], "vit_tiny_patch16_224.augreg_in21k");
    let tags = zoo::suggest("vit_tiny_patch16_224.nope");
    assert!(tags.len() == 2 && tags.iter().all(|name| name.starts_with("vit_tiny_patch16_224.")), "{tags:?}");
    assert!(zoo::suggest("efficientformerv2").is_empty());
    assert!(zoo::suggest("").is_empty());
    assert!(zoo::suggest(&"x".repeat(100_000)).len() <= 5);
}

#[test]
fn other_families_are_known_by_name() {
    assert_eq!(zoo::other_family("resnet50"), Some("resnet"));
    assert_eq!(zoo::other_family("timm/eva02_base_patch14_224.mim_in22k"), Some("eva"));
    assert_eq!(zoo::other_family("vit_base_r50_s16_224"), Some("vision_transformer_hybrid"));
    assert_eq!(zoo::other_family("vit_base_patch16_224"), None);
    assert_eq!(zoo::other_family("cvt_13"), None);
}
