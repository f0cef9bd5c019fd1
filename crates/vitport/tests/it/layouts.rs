//! Composes every layout with every mapping that it can reach: a fixture of timm's under the layout's names becomes the same folder, bit
//! by bit, as under timm's own.

use std::collections::BTreeSet;
use std::path::Path;

use safetensors::tensor::TensorView;
use safetensors::{SafeTensors, serialize_to_file};
use vitport::facts::FactError;
use vitport::folder::layout::DEFAULT_SHARD_SIZE;
use vitport::model::Prepared;
use vitport::pipeline::{ConvertError, Request, WriteOptions, plan, verify, write};
use vitport::source::Source;
use vitport::verify::{TestImage, Verdict};
use vitport_checkpoint::Limits;

use crate::mapping_lint;

/// A tensor: its name, its shape and its bytes.
type Tensor = (String, Vec<usize>, Vec<u8>);

/// A layout, and what it makes of a tensor under timm's name; nothing where it has no name for it.
type Layout = (&'static str, fn(&Tensor) -> Option<Vec<Tensor>>);

const LAYOUTS: [Layout; 6] = [
    ("deit3", |tensor| {
        let name = tensor.0.replace("ls1.gamma", "gamma_1").replace("ls2.gamma", "gamma_2");
        Some(vec![(name, tensor.1.clone(), tensor.2.clone())])
    }),
    ("dinov2", |tensor| {
        // DINOv2's gated MLPs have other names.
        if tensor.0.contains(".mlp.fc1_") {
            return None;
        }
        let chunked = |name: &str| -> Option<String> {
            let (block, rest) = name.strip_prefix("blocks.")?.split_once('.')?;
            Some(format!("blocks.{}.{block}.{rest}", block.parse::<usize>().unwrap() / 2))
        };
        Some(vec![(chunked(&tensor.0).unwrap_or(tensor.0.clone()), tensor.1.clone(), tensor.2.clone())])
    }),
    ("torchvision", |tensor| {
        let pairs = [
            ("cls_token", "class_token"),
            ("pos_embed", "encoder.pos_embedding"),
            ("patch_embed.proj.", "conv_proj."),
            ("norm.", "encoder.ln."),
            ("head.", "heads.head."),
            ("blocks.", "encoder.layers.encoder_layer_"),
        ];
        let inner = [
            (".norm1.", ".ln_1."),
            (".norm2.", ".ln_2."),
            (".attn.qkv.", ".self_attention.in_proj_"),
            (".attn.proj.", ".self_attention.out_proj."),
            (".mlp.fc1.", ".mlp.0."),
            (".mlp.fc2.", ".mlp.3."),
        ];
        renamed(tensor, &pairs, &inner)
    }),
    ("mmpretrain", |tensor| {
        let pairs = [
            ("cls_token", "cls_token"),
            ("pos_embed", "pos_embed"),
            ("patch_embed.proj.", "patch_embed.projection."),
            ("norm.", "ln1."),
            ("head.", "head."),
            ("blocks.", "layers."),
        ];
        let inner = [
            (".norm1.", ".ln1."),
            (".norm2.", ".ln2."),
            (".attn.qkv.", ".attn.qkv."),
            (".attn.proj.", ".attn.proj."),
            (".mlp.fc1.", ".ffn.layers.0.0."),
            (".mlp.fc2.", ".ffn.layers.1."),
        ];
        renamed(tensor, &pairs, &inner)
    }),
    ("jeonsworld", |tensor| {
        let pairs = [
            ("cls_token", "transformer.embeddings.cls_token"),
            ("pos_embed", "transformer.embeddings.position_embeddings"),
            ("patch_embed.proj.", "transformer.embeddings.patch_embeddings."),
            ("norm.", "transformer.encoder.encoder_norm."),
            ("head.", "head."),
            ("blocks.", "transformer.encoder.layer."),
        ];
        let inner = [
            (".norm1.", ".attention_norm."),
            (".norm2.", ".ffn_norm."),
            (".attn.qkv.", ".attn.QKV."),
            (".attn.proj.", ".attn.out."),
            (".mlp.fc1.", ".ffn.fc1."),
            (".mlp.fc2.", ".ffn.fc2."),
        ];
        split(renamed(tensor, &pairs, &inner)?, "QKV", ["query", "key", "value"])
    }),
    ("transformers", |tensor| {
        let pairs = [
            ("cls_token", "embeddings.cls_token"),
            ("pos_embed", "embeddings.position_embeddings"),
            ("patch_embed.proj.", "embeddings.patch_embeddings.projection."),
            ("norm.", "layernorm."),
            ("head.", "head."),
            ("blocks.", "encoder.layer."),
        ];
        let inner = [
            (".norm1.", ".layernorm_before."),
            (".norm2.", ".layernorm_after."),
            (".attn.qkv.", ".attention.attention.QKV."),
            (".attn.proj.", ".attention.output.dense."),
            (".mlp.fc1.", ".intermediate.dense."),
            (".mlp.fc2.", ".output.dense."),
        ];
        split(renamed(tensor, &pairs, &inner)?, "QKV", ["query", "key", "value"])
    }),
];

/// Renames the beginning of a name, and of a block's the part behind its number.
fn renamed(tensor: &Tensor, pairs: &[(&str, &str)], inner: &[(&str, &str)]) -> Option<Vec<Tensor>> {
    let name = pairs.iter().find_map(|(from, to)| Some(format!("{to}{}", tensor.0.strip_prefix(from)?)))?;
    let name = match tensor.0.starts_with("blocks.") {
        false => name,
        true => {
            inner.iter().find(|(from, _)| name.contains(from)).map(|(from, to)| name.replacen(from, to, 1))?
        }
    };
    Some(vec![(name, tensor.1.clone(), tensor.2.clone())])
}

/// Splits the rows of a tensor whose name has `part` in it into three.
fn split(tensors: Vec<Tensor>, part: &str, names: [&str; 3]) -> Option<Vec<Tensor>> {
    let [(name, shape, bytes)] = tensors.as_slice() else { return None };
    if !name.contains(part) {
        return Some(tensors);
    }
    let shape: Vec<usize> = std::iter::once(shape[0] / 3).chain(shape[1..].iter().copied()).collect();
    let thirds = bytes.chunks(bytes.len() / 3);
    Some(
        names
            .iter()
            .zip(thirds)
            .map(|(own, third)| (name.replace(part, own), shape.clone(), third.to_vec()))
            .collect(),
    )
}

/// Writes the fixture `from` under a layout's names; nothing where the layout has no name for one of its tensors.
fn write_in(layout: fn(&Tensor) -> Option<Vec<Tensor>>, from: &Path, to: &Path) -> Option<()> {
    let weights = if from.is_dir() { from.join("model.safetensors") } else { from.to_owned() };
    let bytes = std::fs::read(weights).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut all = Vec::new();
    for (name, view) in file.iter() {
        all.extend(layout(&(name.to_owned(), view.shape().to_vec(), view.data().to_vec()))?);
    }
    let views = all.iter().map(|(name, shape, data)| {
        (name, TensorView::new(safetensors::Dtype::F32, shape.clone(), data).unwrap())
    });
    serialize_to_file(views, None, &to.join("model.safetensors")).unwrap();
    if from.is_dir() {
        std::fs::copy(from.join("config.json"), to.join("config.json")).unwrap();
    }
    Some(())
}

/// Plans a conversion; nothing for a network that lacks what every network of its layout has.
fn prepared(path: &Path, request: &Request) -> Option<Prepared> {
    match plan(Source::open(path, None, &Limits::default()).unwrap(), request) {
        Ok(prepared) => Some(prepared),
        Err(ConvertError::Facts(FactError::Misshapen { family: "network of this layout", .. })) => None,
        Err(error) => panic!("{}: {error}", path.display()),
    }
}

fn written(prepared: &Prepared, out: &Path) -> Vec<u8> {
    let options =
        WriteOptions { max_shard_size: DEFAULT_SHARD_SIZE, force: false, fsync: false, exact_code: false };
    write(prepared, out, options, &|_| ()).unwrap().staging.publish().unwrap();
    std::fs::read(out.join("model.safetensors")).unwrap()
}

/// The tensors of a file, in the order of their names.
fn sorted(file: &[u8]) -> Vec<(String, Vec<u8>)> {
    let file = SafeTensors::deserialize(file).unwrap();
    let mut all: Vec<_> = file.iter().map(|(name, view)| (name.to_owned(), view.data().to_vec())).collect();
    all.sort();
    all
}

#[test]
fn every_layout_gives_every_mapping_that_it_reaches_the_same_tensors() {
    let mut reached = BTreeSet::new();
    for (name, request) in mapping_lint::list() {
        let fixture = mapping_lint::path(&name);
        let is_timm = !name.ends_with(".npz");
        // That every fixture has a plan is what mapping_lint tests.
        let source = Source::open(&fixture, None, &Limits::default()).unwrap();
        let Ok(direct) = plan(source, &request) else { continue };
        if direct.model.definition.id() != "timm/vision_transformer" || !is_timm {
            continue;
        }
        let has = |name: &str| direct.model.state_dict.has(name);
        for (layout, rename) in LAYOUTS {
            // DeiT-III's files are told from timm's by their scales, and from BEiT's by a bias.
            if layout == "deit3" && !(has("blocks.0.ls1.gamma") && has("blocks.0.attn.qkv.bias")) {
                continue;
            }
            let scratch = tempfile::tempdir().unwrap();
            if write_in(rename, &fixture, scratch.path()).is_none() {
                continue;
            }
            let source = if fixture.is_dir() {
                scratch.path().to_owned()
            } else {
                scratch.path().join("model.safetensors")
            };
            let Some(composed) = prepared(&source, &request) else { continue };
            let mapping = composed.model.mapping.file().to_owned();
            assert_eq!(mapping, direct.model.mapping.file(), "{layout} {name}");
            let out = |which: &str| scratch.path().join(which);
            let (one, other) = (written(&direct, &out("direct")), written(&composed, &out("composed")));
            assert!(sorted(&one) == sorted(&other), "{layout} {name}: the tensors differ");
            let report = verify(&composed, &out("composed"), &TestImage::built_in().unwrap()).unwrap();
            assert!(report.verdict != Verdict::Different, "{layout} {name}: {:?}", report.reasons);
            reached.insert(format!("{layout} {mapping}"));
        }
    }
    let expected = [
        "deit3 timm_dinov2.toml",
        "deit3 timm_dinov2_registers.toml",
        "deit3 timm_internvl.toml",
        "deit3 timm_radio.toml",
        "deit3 timm_register_map.toml",
        "deit3 timm_registers_features.toml",
        "deit3 timm_registers_gap.toml",
        "deit3 timm_tipsv2.toml",
        "deit3 timm_vit.toml",
        "deit3 timm_vit_beit.toml",
        "dinov2 timm_clip.toml",
        "dinov2 timm_clip_features.toml",
        "dinov2 timm_deit.toml",
        "dinov2 timm_dinov2.toml",
        "dinov2 timm_dinov2_registers.toml",
        "dinov2 timm_ijepa.toml",
        "dinov2 timm_internvl.toml",
        "dinov2 timm_radio.toml",
        "dinov2 timm_register_map.toml",
        "dinov2 timm_registers_features.toml",
        "dinov2 timm_registers_gap.toml",
        "dinov2 timm_siglip.toml",
        "dinov2 timm_siglip_classifier.toml",
        "dinov2 timm_siglip_gap.toml",
        "dinov2 timm_tipsv2.toml",
        "dinov2 timm_vit.toml",
        "dinov2 timm_vit_beit.toml",
        "jeonsworld timm_dinov2.toml",
        "jeonsworld timm_vit.toml",
        "mmpretrain timm_dinov2.toml",
        "mmpretrain timm_vit.toml",
        "torchvision timm_dinov2.toml",
        "torchvision timm_vit.toml",
        "transformers timm_dinov2.toml",
        "transformers timm_vit.toml",
    ];
    let reached: Vec<&str> = reached.iter().map(String::as_str).collect();
    assert_eq!(reached, expected);
}
