//! Every file of the folder: what it becomes, bit for bit, or why it is refused.

use std::collections::BTreeSet;

use serde_json::json;
use vitport::facts::FactError;
use vitport::pipeline::ConvertError;

use super::run::{self, Failed, compare, truths, written};

/// A file and options, the class that it becomes, and parts of reasons for what is left out of it.
type Row = (&'static str, &'static str, &'static [&'static str]);

const CLASSIFIER: &str = "ViTForImageClassification";
const FEATURES: &str = "ViTModel";

/// Every row of `truths.json`. `--usual` is added to each that does not say of itself what it needs.
const CONVERTED: [Row; 50] = [
    ("../modules/torchsave_module.pt", CLASSIFIER, &[]),
    ("../modules/module_quickgelu_eps1e-3.pt", CLASSIFIER, &[]),
    ("timm_train_model_best.pth.tar", CLASSIFIER, &["another network", "training run"]),
    ("timm_train_model_best.pth.tar --key state_dict", CLASSIFIER, &["another network", "training run"]),
    ("dinov2_235_flat.pth", FEATURES, &["masked patches", "another network", "projection head"]),
    (
        "dinov2_235_flat.pth --key student",
        FEATURES,
        &["masked patches", "another network", "projection head"],
    ),
    ("dinov2_235_flat_nohead.pth", FEATURES, &["masked patches", "another network"]),
    ("dinov2_teacher_nochunk.pth", FEATURES, &["masked patches", "projection head"]),
    ("dinov2_235_teacher_checkpoint.pth", FEATURES, &["masked patches", "projection head"]),
    (
        "dinov2_235_model_final.rank_0.pth",
        FEATURES,
        &["masked patches", "another network", "projection head", "loss"],
    ),
    ("dino_rgb_checkpoint.pth", FEATURES, &["another network", "projection head", "loss"]),
    ("mocov3_vit-s-300ep.pth.tar", FEATURES, &["another network", "predictor", "projection head"]),
    (
        "mocov3_vit-s-300ep.pth.tar --key module.momentum_encoder",
        FEATURES,
        &["another network", "predictor", "projection head"],
    ),
    ("lightning_criterion.ckpt", CLASSIFIER, &["training run", "loss"]),
    ("lightning_criterion_metric.ckpt", CLASSIFIER, &["training run", "loss", "metric"]),
    ("headseq.pth", CLASSIFIER, &[]),
    ("headmlp.pth --no-head", FEATURES, &["without its classification head"]),
    ("torchvision_heads_head.pth", CLASSIFIER, &[]),
    ("torchvision_heads_pretrained_vit_feature_extractor.pth", CLASSIFIER, &[]),
    ("deepspeed.ckpt", CLASSIFIER, &[]),
    ("ema_pytorch.pt", CLASSIFIER, &["another network", "counter"]),
    ("ema_pytorch.pt --key online_model", CLASSIFIER, &["another network", "counter"]),
    ("swa_averaged.pth", CLASSIFIER, &["counter"]),
    ("deit_train_checkpoint.pth", CLASSIFIER, &["another network", "training run"]),
    ("deit_train_checkpoint.pth --key model", CLASSIFIER, &["another network", "training run"]),
    ("mae_pretrain_checkpoint-799.pth", FEATURES, &["masked patches", "decoder"]),
    ("npz_in21k_zero_head.npz", CLASSIFIER, &[]),
    (
        "npz_in21k_zero_head_prelogits.npz --no-head",
        FEATURES,
        &["without its classification head", "asked for without"],
    ),
    ("gray.pth", CLASSIFIER, &[]),
    ("gray_hub", CLASSIFIER, &[]),
    ("rect_rgb.pth", CLASSIFIER, &[]),
    ("transreid_nosie.pth", FEATURES, &["next to the network"]),
    ("openclip_trunk_epoch_32.pt", FEATURES, &["text tower", "projection into the space"]),
    ("msn_vits16_800ep.pth.tar", FEATURES, &["prototypes", "projection head"]),
    ("mmpretrain_epoch_100.pth", CLASSIFIER, &[]),
    ("hf_in_lightning.ckpt", CLASSIFIER, &[]),
    ("jeonsworld_checkpoint.bin", CLASSIFIER, &[]),
    ("peft_full.pth --lora-alpha 8", CLASSIFIER, &[]),
    ("wrapper_fc.pth", CLASSIFIER, &["training run"]),
    ("vissl_vit.torch", CLASSIFIER, &["training run"]),
    ("lightly_dino.ckpt", FEATURES, &["another network", "projection head"]),
    ("distcp_ckpt_99", FEATURES, &[]),
    // No weights of these are in truths.json.
    ("timm_train_real_tiny_mean.pth.tar", CLASSIFIER, &[]),
    ("cvt_training_checkpoint.pth", "CvtForImageClassification", &[]),
    ("headseq.pth --no-head", FEATURES, &["without its classification head"]),
    ("wrapper_fc.pth --no-head", FEATURES, &["training run", "next to the network"]),
    ("vissl_vit.torch --no-head", FEATURES, &["training run", "next to the network"]),
    ("npz_in21k_zero_head.npz --no-head", FEATURES, &["without its classification head"]),
    ("gray.pth --no-processor", CLASSIFIER, &[]),
    ("mae_finetune_checkpoint-best.pth", "BeitForImageClassification", &["keys' bias", "training run"]),
];

/// What each file needs besides: nothing, where it says all of itself.
fn needed(line: &str) -> &'static str {
    match line.split([' ', '.']).next().unwrap_or_default() {
        "timm_train_real_tiny_mean" | "gray_hub" => "",
        _ if line.starts_with("../modules/") => "",
        _ if line == "timm_train_model_best.pth.tar" => "",
        "gray" => " --mean 0.5 --std 0.5 --usual",
        "rect_rgb" => " --usual --image-size 64x32 --crop-mode squash",
        "transreid_nosie" => " --usual --image-size 40x16 --crop-mode squash",
        "cvt_training_checkpoint" => " --usual --num-heads 1,2,4 --image-size 32x32",
        _ => " --usual",
    }
}

#[test]
fn every_file_becomes_what_is_right_bit_for_bit() {
    let truths = truths("field");
    let rows: BTreeSet<&str> = CONVERTED.iter().map(|(line, ..)| *line).collect();
    let untested: Vec<&String> = truths.keys().filter(|line| !rows.contains(&***line)).collect();
    assert!(untested.is_empty(), "{untested:?}");
    for (line, class, reasons) in CONVERTED {
        let (converted, found) = written("field", &format!("{line}{}", needed(line)));
        let model = &converted.prepared.model;
        assert_eq!(model.target_class().unwrap().class, class, "{line}");
        if let Some(expected) = truths.get(line) {
            compare(line, &found, expected);
        }
        let given: Vec<&str> = converted.prepared.plan.dropped.iter().map(|part| &*part.reason).collect();
        for reason in reasons {
            assert!(given.iter().any(|given| given.contains(reason)), "{line}: {reason} is not in {given:?}");
        }
        let unsaid = given.iter().find(|given| !reasons.iter().any(|reason| given.contains(reason)));
        assert_eq!(unsaid, None, "{line}");
    }
}

/// What is refused, and a part of why.
const REFUSED: [(&str, &str); 9] = [
    ("../modules/module_avgpool_nofc.pt", "the saved module: global_pool"),
    ("timm_train_gp_avg.pth.tar", "args.gp"),
    ("headmlp.pth", "head is several layers"),
    ("cvt_no_cls.pth", "stage2.cls_token"),
    ("npz_in21k_zero_head_prelogits.npz", "pre_logits"),
    ("../modules/torchsave_module.pt --num-heads 6", "num_heads is 3"),
    ("peft_full.pth --usual", "--lora-alpha"),
    ("rect_rgb.pth --usual", "64x32"),
    ("transreid_nosie.pth --usual", "40x16"),
];

#[test]
fn what_no_class_holds_is_refused_before_anything_is_asked() {
    let out = tempfile::tempdir().unwrap();
    for (line, part) in REFUSED {
        let error =
            run::convert("field", line, out.path()).err().unwrap_or_else(|| panic!("{line} is converted"));
        assert!(error.to_string().contains(part), "{line}: {error}");
        let is_question = matches!(&error, Failed::Convert(ConvertError::Facts(FactError::Questions { .. })));
        assert_eq!(is_question, line.ends_with("--usual"), "{line}: {error}");
        assert_eq!(std::fs::read_dir(out.path()).unwrap().count(), 0, "{line}");
    }
}

#[test]
fn every_file_of_the_folder_is_in_the_tables() {
    let named = |line: &'static str| line.split(' ').next().unwrap();
    let lines =
        CONVERTED.iter().map(|(line, ..)| named(line)).chain(REFUSED.iter().map(|(line, _)| named(line)));
    let known: BTreeSet<&str> = lines.collect();
    for entry in std::fs::read_dir(run::path("field", "")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let is_ours = ["README.md", "make.py", "truths.json", "__pycache__"].contains(&&*name);
        assert!(is_ours || known.contains(&*name), "{name}");
    }
}

#[test]
fn the_preprocessing_of_a_training_run_is_that_of_its_arguments() {
    let (converted, _) = written("field", "timm_train_real_tiny_mean.pth.tar");
    let processor = converted.prepared.model.processor.unwrap();
    assert_eq!(processor["image_mean"], json!([0.1, 0.2, 0.3]));
    assert_eq!(processor["image_std"], json!([0.4, 0.5, 0.6]));
    assert_eq!(processor["resample"], 2);
    assert_eq!(processor["size"], json!({ "shortest_edge": 235 }));
    assert_eq!(processor["crop_size"], json!({ "height": 224, "width": 224 }));
}

#[test]
fn a_module_says_its_activation_and_epsilon_itself() {
    let (converted, _) = written("field", "../modules/module_quickgelu_eps1e-3.pt");
    let config = converted.prepared.config();
    assert_eq!(
        (&config["hidden_act"], &config["layer_norm_eps"], &config["num_attention_heads"]),
        (&json!("quick_gelu"), &json!(1e-3), &json!(3))
    );
}
