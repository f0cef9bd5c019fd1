//! Tests timm's registry: that it is whole, that its rows agree with one another, and that names find them.

use std::collections::{BTreeMap, HashSet};

use vitport::frameworks::timm::registry::{self, Architecture, Exactness, Tag};
use vitport::labels::LabelSet;

/// timm's modules that define the plain ViTs.
const MODULES: [&str; 2] = ["vision_transformer", "deit"];

/// The class that the mappings make of a tag.
fn class_of_timm(tag: &Tag) -> Option<String> {
    tag.becomes().class().map(str::to_owned)
}

fn of_vit(tag: &&Tag) -> bool {
    MODULES.contains(&tag.module)
}

fn size(row: &Architecture, field: &str) -> usize {
    row.size(field).unwrap_or_else(|| panic!("{}: {field}", row.name))
}

#[test]
fn the_registry_holds_all_of_timm() {
    assert_eq!(registry::timm_version(), "1.0.31");
    assert_eq!(registry::architectures().count(), 1371);
    assert_eq!(registry::tags().filter(|tag| tag.has_weights).count(), 1826);
    let vits: Vec<&Tag> = registry::tags().filter(of_vit).collect();
    assert_eq!(vits.len(), 354);
    assert_eq!(vits.iter().filter(|tag| tag.has_weights).count(), 333);
    assert_eq!(MODULES.into_iter().flat_map(registry::architectures_of).count(), 179);
}

#[test]
fn what_converts_is_what_was_measured_to_be_exact() {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for tag in registry::tags().filter(|tag| tag.has_weights) {
        let Some(class) = class_of_timm(tag) else { continue };
        // ConvNextModel's pooled output is the whole of a headless ConvNeXt; the registry names the authors' own class.
        if class != "ConvNextModel" {
            let mut targets = tag.target.iter().flat_map(|target| target.split('/'));
            assert!(targets.any(|target| target == class), "{}: {class}", tag.full_name());
        }
        assert_ne!(tag.exactness, Exactness::None, "{}", tag.full_name());
        *counts.entry(class).or_default() += 1;
    }
    let pinned = [
        ("Aimv2VisionModel", 14),
        ("BeitForImageClassification", 36),
        ("BeitModel", 2),
        ("CLIPVisionModel", 29),
        ("CLIPVisionModelWithProjection", 58),
        ("ConvNextForImageClassification", 50),
        ("ConvNextModel", 7),
        ("ConvNextV2ForImageClassification", 18),
        ("ConvNextV2Model", 8),
        ("DINOv3ViTModel", 21),
        ("DeiTForImageClassificationWithTeacher", 4),
        ("Dinov2Model", 1),
        ("Dinov2WithRegistersForImageClassification", 3),
        ("Dinov2WithRegistersModel", 8),
        ("EfficientNetForImageClassification", 40),
        ("IJepaForImageClassification", 4),
        ("IJepaModel", 47),
        ("InternVLVisionModel", 2),
        ("RadioModel", 21),
        ("RegNetForImageClassification", 58),
        ("RegNetModel", 3),
        ("ResNetForImageClassification", 47),
        ("ResNetModel", 1),
        ("SiglipVisionModel", 27),
        ("SwinForImageClassification", 16),
        ("Swinv2ForImageClassification", 12),
        ("ViTForImageClassification", 72),
        ("ViTModel", 16),
    ];
    assert_eq!(counts, pinned.map(|(class, count)| (class.to_owned(), count)).into());
    let left_out: Vec<String> = registry::tags()
        .filter(|tag| tag.has_weights && tag.exactness == Exactness::Exact && class_of_timm(tag).is_none())
        .filter(|tag| tag.target.as_deref().is_some_and(|class| class.starts_with("ViT")))
        .map(|tag| tag.full_name())
        .collect();
    assert!(left_out.is_empty(), "{left_out:?}");
}

/// ConvNeXt's have six with another epsilon than the class's, which become it only where it is asked for (tests/it/convnext.rs names them).
#[test]
fn each_family_converts_as_many_tags_as_were_measured() {
    let pinned: [(&[&str], usize, usize); 10] = [
        (&MODULES, 318, 333),
        (&["beit"], 13, 13),
        (&["eva"], 27, 83),
        (&["vision_transformer_relpos"], 7, 9),
        (&["convnext"], 83, 101),
        (&["resnet"], 48, 150),
        (&["regnet"], 61, 65),
        (&["efficientnet"], 40, 119),
        (&["swin_transformer"], 16, 19),
        (&["swin_transformer_v2"], 12, 12),
    ];
    for (modules, converted, all) in pinned {
        let tags = || registry::tags().filter(|tag| tag.has_weights && modules.contains(&tag.module));
        let found = tags().filter(|tag| class_of_timm(tag).is_some()).count();
        assert_eq!((found, tags().count()), (converted, all), "{modules:?}");
    }
    let converted = registry::tags().filter(|tag| tag.has_weights && class_of_timm(tag).is_some());
    assert_eq!(converted.count(), pinned.iter().map(|(_, converted, _)| converted).sum::<usize>());
}

#[test]
fn exactness_and_target_agree() {
    let mut counts = [0; 4];
    for tag in registry::tags() {
        let has_target = matches!(tag.exactness, Exactness::Exact | Exactness::Features);
        assert_eq!(tag.target.is_some(), has_target, "{}", tag.full_name());
        if tag.has_weights {
            counts[tag.exactness as usize] += 1;
        }
    }
    assert_eq!(counts, [605, 276, 933, 12], "exact, features, none, not examined");
}

#[test]
fn every_tag_has_its_architecture_and_every_architecture_its_default_tag_first() {
    let names: HashSet<&str> = registry::architectures().map(|row| row.name).collect();
    assert_eq!(names.len(), registry::architectures().count());
    let full: HashSet<String> = registry::tags().map(Tag::full_name).collect();
    assert_eq!(full.len(), registry::tags().count());
    for tag in registry::tags() {
        let row = registry::architecture(tag.architecture).unwrap();
        assert_eq!(row.module, tag.module);
    }
    for row in registry::architectures() {
        assert_eq!(
            registry::tags_of(row.name).next().map(|tag| tag.tag),
            Some(row.default_tag),
            "{}",
            row.name
        );
    }
}

#[test]
fn preprocessing_is_possible() {
    for tag in registry::tags() {
        let name = tag.full_name();
        assert_eq!(tag.input_size[0], 3, "{name}");
        for pct in [Some(tag.crop_pct), tag.test_crop_pct].into_iter().flatten() {
            // Above 1 (VOLO) the resized image is smaller than the crop and padded.
            assert!(pct > 0.5 && pct < 1.2, "{name}");
        }
        assert!(["center", "squash", "border"].contains(&tag.crop_mode.as_str()), "{name}");
        assert!(tag.std.iter().all(|std| *std > 0.1), "{name}");
        assert!(tag.parameters > 100_000, "{name}");
        assert!(!tag.has_weights || tag.hub_id.is_some() || tag.url.is_some(), "{name}");
    }
}

#[test]
fn every_architecture_says_what_a_definition_needs() {
    for row in registry::architectures() {
        for field in ["num_features", "acts"] {
            assert!(row.get(field).is_some(), "{}: {field}", row.name);
        }
    }
}

#[test]
fn the_sizes_of_vits_are_possible() {
    for tag in registry::tags().filter(of_vit) {
        let name = tag.full_name();
        let row = registry::architecture(tag.architecture).unwrap();
        let [height, width] = row.pair("img_size").unwrap();
        assert_eq!(tag.input_size, [3, height, width], "{name}");
        assert!(size(row, "embed_dim").is_multiple_of(size(row, "num_heads")), "{name}");
        assert!(size(row, "depth") > 0 && size(row, "mlp_dim") > 0, "{name}");
    }
}

#[test]
fn plain_vits_are_counted_to_the_parameter() {
    let is_plain = |tag: &&Tag| {
        let has_token = registry::architecture(tag.architecture).unwrap().flag("class_token");
        has_token && of_vit(tag) && class_of_timm(tag).is_some_and(|class| class.starts_with("ViT"))
    };
    for tag in registry::tags().filter(is_plain) {
        let row = registry::architecture(tag.architecture).unwrap();
        let width = size(row, "embed_dim");
        let [[height, image_width], patch] = ["img_size", "patch_size"].map(|field| row.pair(field).unwrap());
        let patches = (height / patch[0]) * (image_width / patch[1]);
        let positions = patches + usize::from(!row.flag("no_embed_class"));
        let embedding = 3 * patch[0] * patch[1] * width + width + width + positions * width;
        let attention = 4 * width * width + width + if row.flag("qkv_bias") { 3 * width } else { 0 };
        let mlp = 2 * width * size(row, "mlp_dim") + size(row, "mlp_dim") + width;
        let scales = if row.flag("layer_scale") { 2 * width } else { 0 };
        let block = attention + mlp + scales + 4 * width;
        let head = tag.num_classes * (width + 1);
        let counted = embedding + size(row, "depth") * block + 2 * width + head;
        assert_eq!(counted as u64, tag.parameters, "{}", tag.full_name());
    }
}

#[test]
fn rows_say_what_timm_says() {
    // Figures published with the models.
    let tiny = registry::find("vit_tiny_patch16_224.augreg_in21k").unwrap();
    assert_eq!(["embed_dim", "depth", "num_heads"].map(|field| size(tiny.architecture, field)), [192, 12, 3]);
    assert_eq!(tiny.tag.mean, [0.5, 0.5, 0.5]);
    assert_eq!(tiny.tag.crop_pct, 0.9);
    assert_eq!(LabelSet::by_class_count(tiny.tag.num_classes), Some(LabelSet::Imagenet21kGoog));
    let dino = registry::find("vit_base_patch16_224.dino").unwrap();
    assert_eq!((dino.tag.num_classes, dino.tag.parameters), (0, 85_798_656));
    assert_eq!(dino.tag.target.as_deref(), Some("ViTModel"));
    let deit = registry::find("deit3_small_patch16_224").unwrap();
    assert!(deit.architecture.flag("layer_scale") && deit.architecture.flag("no_embed_class"));
    let clip = registry::find("vit_large_patch14_clip_224.openai").unwrap();
    assert!(clip.architecture.flag("pre_norm") && !clip.architecture.flag("patch_bias"));
    assert_eq!(clip.architecture.number("norm_eps"), Some(1e-5));
    assert_eq!(clip.tag.hub_id.as_deref(), Some("timm/vit_large_patch14_clip_224.openai"));
    let parallel = registry::find("vit_small_patch16_18x2_224").unwrap();
    assert_eq!(parallel.architecture.text("block_fn"), Some("ParallelThingsBlock"));
    assert_eq!(parallel.tag.exactness, Exactness::None);
    assert!(!parallel.tag.has_weights);
}

#[test]
fn a_bare_name_is_the_default_tag() {
    let found = registry::find("vit_base_patch16_224").unwrap();
    assert!(found.default_tag && !found.renamed);
    assert_eq!(found.tag.tag, "augreg2_in21k_ft_in1k");
    let named = registry::find("timm/vit_base_patch16_224.mae").unwrap();
    assert!(!named.default_tag);
    assert_eq!(named.tag.tag, "mae");
}

#[test]
fn retired_names_lead_to_their_successors() {
    let found = registry::find("vit_base_patch16_224_in21k").unwrap();
    assert!(found.renamed && !found.default_tag);
    assert_eq!(found.tag.full_name(), "vit_base_patch16_224.augreg_in21k");
}

#[test]
fn unknown_names_find_nothing() {
    for name in
        ["", ".", "timm/", "vit_base_patch16_224.", "vit_base_patch16_224.nope", "resnet51", "vit_base"]
    {
        assert_eq!(registry::find(name), None, "{name}");
    }
}

#[test]
fn the_nearest_names_are_offered() {
    assert_eq!(registry::suggest("vit_base_patch16_242")[0], "vit_base_patch16_224");
    assert_eq!(
        registry::suggest("vit_tiny_patch16_224.augreg_in22k")[0],
        "vit_tiny_patch16_224.augreg_in21k"
    );
    let tags = registry::suggest("vit_tiny_patch16_224.nope");
    assert!(tags.len() == 2 && tags.iter().all(|name| name.starts_with("vit_tiny_patch16_224.")), "{tags:?}");
    assert_eq!(registry::suggest("resnet51")[0], "resnet50");
    assert!(registry::suggest("nothing-like-it").is_empty());
    assert!(registry::suggest("").is_empty());
    assert!(registry::suggest(&"x".repeat(100_000)).len() <= 5);
}

#[test]
fn the_module_is_known_by_the_architecture_whatever_the_tag() {
    assert_eq!(registry::module_of("resnet50"), Some("resnet"));
    assert_eq!(registry::module_of("timm/eva02_base_patch14_224.mim_in22k"), Some("eva"));
    assert_eq!(registry::module_of("vit_base_r50_s16_224.nope"), Some("vision_transformer_hybrid"));
    assert_eq!(registry::module_of("vit_base_patch16_224"), Some("vision_transformer"));
    assert_eq!(registry::module_of("cvt_13"), None);
}

#[test]
fn stages_and_their_sizes_are_fields() {
    let tiny = registry::find("convnext_tiny.fb_in1k").unwrap().architecture;
    assert_eq!(tiny.class, "ConvNeXt");
    assert_eq!(tiny.sizes("depths"), Some(vec![3, 3, 9, 3]));
    assert_eq!(tiny.sizes("dims"), Some(vec![96, 192, 384, 768]));
    assert_eq!((tiny.size("kernel_sizes"), tiny.number("norm_eps")), (Some(7), Some(1e-6)));
    assert!(!tiny.flag("use_grn") && !tiny.flag("conv_mlp") && tiny.number("ls_init_value") > Some(0.0));
    let swin = registry::find("swin_tiny_patch4_window7_224").unwrap().architecture;
    assert_eq!(swin.sizes("num_heads"), Some(vec![3, 6, 12, 24]));
    assert_eq!((swin.size("window_size"), swin.pair("patch_size")), (Some(7), Some([4, 4])));
    let resnet = registry::find("resnet50d").unwrap().architecture;
    assert_eq!(resnet.sizes("layers"), Some(vec![3, 4, 6, 3]));
    assert_eq!((resnet.text("stem_type"), resnet.text("act_layer")), (Some("deep"), Some("ReLU")));
    let regnet = registry::find("regnety_040").unwrap().architecture;
    assert_eq!(regnet.sizes("num_chs"), Some(vec![32, 128, 192, 512, 1088]));
    assert_eq!(regnet.sizes("depths"), Some(vec![2, 6, 12, 2]));
    let efficient = registry::find("tf_efficientnet_b0").unwrap().architecture;
    assert_eq!(efficient.get("block_args").unwrap()[0][0], "ds_c16_s1_k3_se0.25");
    assert_eq!((efficient.number("norm_eps"), efficient.text("pad_type")), (Some(1e-3), Some("same")));
}
