//! Checks what must hold of every built-in layout: over its fixtures every rule is used, and every name that it gives is its
//! definition's.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors, serialize_to_file};
use vitport::frameworks::SOURCES;
use vitport::mapping::{Bindings, Sources, layouts};
use vitport::model::Prepared;
use vitport::options::FactOptions;
use vitport::pipeline::{Request, plan};
use vitport::source::Source;
use vitport_checkpoint::Limits;

use super::{path, request};

/// Lists files in the names of each layout, and how they are identified.
fn layout_fixtures(folder: &Path) -> Vec<(PathBuf, Request)> {
    let data = |name: &str| path(&format!("crates/vitport/tests/data/vit/{name}"));
    // DeiT-III's own files are timm's but for two names.
    let bytes = std::fs::read(data("timm_deit3.safetensors")).unwrap();
    let timm = SafeTensors::deserialize(&bytes).unwrap();
    let own_name = |name: &str| name.replace("ls1.gamma", "gamma_1").replace("ls2.gamma", "gamma_2");
    let deit3 = folder.join("deit3.safetensors");
    serialize_to_file(timm.iter().map(|(name, view)| (own_name(name), view)), None, &deit3).unwrap();
    let of_field = |name: &str| (field(name), request(&[3], [32, 32], false));
    let named_layers = |name: &str| {
        let name = name.replace("mlp.0.", "mlp.linear_1.").replace("mlp.3.", "mlp.linear_2.");
        name.replace("heads.head.", "heads.")
    };
    let torchvision = renamed("torchvision_heads_head.pth", named_layers, &[], folder);
    let pretrained: [(&str, &[usize]); 3] = [
        ("embeddings.mask_token", &[1, 1, 48]),
        ("pooler.dense.weight", &[48, 48]),
        ("pooler.dense.bias", &[48]),
    ];
    let transformers = renamed("hf_in_lightning.ckpt", str::to_owned, &pretrained, folder);
    let of_torchvision = |name: &str| {
        let Request { facts, .. } = request(&[], [64, 64], false);
        let facts = FactOptions { num_heads: None, ..facts };
        let file = path(&format!("crates/vitport/tests/data/torchvision/{name}"));
        (file, Request { facts, ..Request::default() })
    };
    let eva = |name: &str| path(&format!("crates/vitport/tests/data/eva/{name}"));
    vec![
        (eva("dinov3_of_meta.pth"), request(&[3], [20, 20], true)),
        (eva("gated_of_meta.pth"), request(&[5], [20, 20], true)),
        (meta_convnext("plain", folder), of_torchvision("").1),
        (meta_convnext("v2", folder), of_torchvision("").1),
        of_torchvision("regnet_y.pth"),
        of_torchvision("convnext.pth"),
        of_torchvision("swin.pth"),
        of_torchvision("swin_v2.pth"),
        (microsoft_swin("swin", folder), of_torchvision("").1),
        (deit3, request(&[2], [16, 12], false)),
        (data("jax_classifier.npz"), request(&[2], [16, 16], false)),
        (data("jax_pre_logits.npz"), request(&[2], [16, 16], true)),
        of_field("dinov2_235_teacher_checkpoint.pth"),
        of_field("jeonsworld_checkpoint.bin"),
        of_field("mmpretrain_epoch_100.pth"),
        of_field("torchvision_heads_head.pth"),
        (torchvision, request(&[3], [32, 32], false)),
        of_field("hf_in_lightning.ckpt"),
        (transformers, request(&[3], [32, 32], true)),
        (microsoft_swin("swinv2", folder), of_torchvision("").1),
    ]
}

/// Writes a Swin or SwinV2 with windows of 4 tokens under Microsoft's names, with the buffers that its files have.
fn microsoft_swin(family: &str, folder: &Path) -> PathBuf {
    let bytes =
        std::fs::read(path(&format!("crates/vitport/tests/data/{family}/plain/model.safetensors"))).unwrap();
    let timm = SafeTensors::deserialize(&bytes).unwrap();
    let own_name = |name: &str| {
        let name = name.replace("layers.1.downsample", "layers.0.downsample").replace("head.fc.", "head.");
        name.replace("layers.2.downsample", "layers.1.downsample")
    };
    let view = |shape: Vec<usize>, bytes| TensorView::new(Dtype::F32, shape, bytes).unwrap();
    let zeros = vec![0; 4 * 256];
    let names = ["attn.relative_position_index", "attn_mask", "attn.relative_coords_table"];
    let buffers = names.into_iter().filter_map(|name| {
        let shape = match (name, family) {
            ("attn.relative_coords_table", "swin") => return None,
            ("attn.relative_coords_table", _) => vec![1, 7, 7, 2],
            _ => vec![16, 16],
        };
        let bytes = &zeros[..4 * shape.iter().product::<usize>()];
        Some((format!("layers.0.blocks.1.{name}"), view(shape, bytes)))
    });
    let folder = folder.join(format!("microsoft_{family}"));
    std::fs::create_dir(&folder).unwrap();
    let tensors = timm.iter().map(|(name, view)| (own_name(name), view)).chain(buffers);
    serialize_to_file(tensors, None, &folder.join("model.safetensors")).unwrap();
    // It says for which windows the biases of a SwinV2 were made.
    let config = path(&format!("crates/vitport/tests/data/{family}/plain/config.json"));
    std::fs::copy(config, folder.join("config.json")).unwrap();
    folder
}

/// Writes a ConvNeXt under Meta's names, with the last norm twice, as DINOv3's files have it.
fn meta_convnext(name: &str, folder: &Path) -> PathBuf {
    let bytes =
        std::fs::read(path(&format!("crates/vitport/tests/data/convnext/{name}/model.safetensors"))).unwrap();
    let timm = SafeTensors::deserialize(&bytes).unwrap();
    let swaps = [
        ("stem.", "downsample_layers.0."),
        (".blocks.", "."),
        ("conv_dw", "dwconv"),
        ("mlp.fc", "pwconv"),
        ("mlp.grn.weight", "grn.gamma"),
        ("mlp.grn.bias", "grn.beta"),
        ("head.norm.", "norm."),
        ("head.fc.", "head."),
    ];
    let own_name = |name: &str| {
        let name = swaps.iter().fold(name.to_owned(), |name, (timm, own)| name.replace(timm, own));
        match name.split_once(".downsample.") {
            Some((stage, rest)) => format!("{}.{rest}", stage.replace("stages", "downsample_layers")),
            None => name,
        }
    };
    let mut tensors: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
    for (name, view) in timm.iter() {
        let name = own_name(name);
        let shape = match name.contains(".grn.") {
            true => vec![1, 1, 1, view.shape()[0]],
            false => view.shape().to_vec(),
        };
        if let Some(part) = name.strip_prefix("norm.") {
            tensors.push((format!("norms.3.{part}"), shape.clone(), view.data().to_vec()));
        }
        tensors.push((name, shape, view.data().to_vec()));
    }
    let views = tensors.iter().map(|(name, shape, bytes)| {
        (name.as_str(), TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap())
    });
    let file = folder.join(format!("meta_{name}.safetensors"));
    serialize_to_file(views, None, &file).unwrap();
    file
}

fn field(name: &str) -> PathBuf {
    path(&format!("crates/vitport/tests/data/field/{name}"))
}

/// Writes the network of a file of the field under changed names and with more tensors, all of zeros.
fn renamed(name: &str, change: impl Fn(&str) -> String, more: &[(&str, &[usize])], folder: &Path) -> PathBuf {
    let source = Source::open(&field(name), None, &Limits::default()).unwrap();
    let prepared = plan(source, &request(&[3], [32, 32], false)).unwrap();
    let in_file = prepared.model.state_dict.iter().map(|(name, tensor)| {
        let shape: Vec<_> = tensor.shape.iter().map(|&size| usize::try_from(size).unwrap()).collect();
        (change(name), shape)
    });
    let more = more.iter().map(|(name, shape)| ((*name).to_owned(), shape.to_vec()));
    let shapes: Vec<_> = in_file.chain(more).collect();
    let zeros = vec![0; 4 * shapes.iter().map(|(_, shape)| shape.iter().product()).max().unwrap_or(0)];
    let views = shapes.iter().map(|(name, shape)| {
        let bytes = &zeros[..4 * shape.iter().product::<usize>()];
        (name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap())
    });
    let file = folder.join(name).with_extension("safetensors");
    serialize_to_file(views, None, &file).unwrap();
    file
}

#[test]
fn every_rule_of_every_layout_is_used_and_every_name_is_the_definitions() {
    let folder = tempfile::tempdir().unwrap();
    let mut live: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (file, request) in layout_fixtures(folder.path()) {
        let source = Source::open(&file, None, &Limits::default()).unwrap();
        let prepared = plan(source, &request).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let in_file = Sources::of_state_dict(&prepared.model.state_dict);
        let layout = layouts().iter().find(|layout| layout.is_layout_of(&in_file)).unwrap();
        assert_eq!(layout.to(), prepared.model.definition.id());
        let (used, _) = layout.live_and_all(&in_file, &layout.layout_bindings(&in_file));
        live.entry(layout.file()).or_default().extend(used);
    }
    for layout in layouts() {
        let (_, all) = layout.live_and_all(&Sources::default(), &Bindings::default());
        let live = live.remove(layout.file()).unwrap_or_default();
        assert_eq!(live, all, "{}", layout.file());
    }
}

/// What a definition has no fact for is dropped without a word, and so would be a condition on it.
#[test]
fn every_fact_that_a_layout_tells_is_one_of_its_definition() {
    let mut told = 0;
    for layout in layouts() {
        let definition = SOURCES.iter().find(|definition| definition.id() == layout.to()).unwrap();
        let known = definition.fact_names();
        let file: toml::Table = toml::from_str(layout.text()).unwrap();
        let of_part = |part: &str| Some(file.get("detect")?.get(part)?.as_table()?.keys().cloned());
        for fact in ["facts", "usual"].into_iter().filter_map(of_part).flatten() {
            assert!(
                known.contains(&fact.as_str()),
                "{}: {fact} is no fact of {}",
                layout.file(),
                layout.to()
            );
            told += 1;
        }
    }
    assert!(told >= 10, "{told}");
}

/// The tensors of a file, and of what is written of its network, are parts of the same bytes.
#[test]
fn what_is_written_in_a_layout_is_its_file_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut written_again = BTreeSet::new();
    for (file, request) in layout_fixtures(folder.path()) {
        let source = Source::open(&file, None, &Limits::default()).unwrap();
        let prepared = plan(source, &request).unwrap();
        let in_file = Sources::of_state_dict(&prepared.model.state_dict);
        let layout = layouts().iter().find(|layout| layout.is_layout_of(&in_file)).unwrap();
        let (own, facts) = (&prepared.model.tensors, &prepared.model.facts);
        // Files that nobody writes: with older names, or a layer more.
        let is_variant = in_file.starting_with(&["heads.weight", "pre_logits/"]).is_some();
        if !layout.is_written() || is_variant {
            continue;
        }
        let written = layout
            .plan_written(own, facts)
            .unwrap_or_else(|problems| panic!("{}: {problems}", file.display()));
        let made: BTreeSet<&str> = written.targets.iter().map(|target| &*target.name).collect();
        for target in &written.targets {
            let Some((_, tensor)) = in_file.entry(&target.name) else {
                assert!(target.operation == "fill", "{}: {}", file.display(), target.name);
                continue;
            };
            let is_filled = ["fill", "split"].contains(&target.operation);
            assert!(is_filled || tensor.parts == target.parts, "{}: {}", file.display(), target.name);
            assert_eq!(*tensor.shape, *target.shape, "{}: {}", file.display(), target.name);
        }
        for tensor in in_file.iter().filter(|tensor| !made.contains(&*tensor.name)) {
            let is_dropped = prepared.plan.dropped.iter().any(|dropped| dropped.name == *tensor.name);
            assert!(is_dropped, "{}: {}", file.display(), tensor.name);
        }
        written_again.insert(layout.file());
    }
    let all: BTreeSet<&str> = layouts()
        .iter()
        .filter(|layout| layout.is_written() && !layout.anchors().is_empty())
        .map(|l| l.file())
        .collect();
    assert_eq!(written_again, all);
}

#[test]
fn the_folder_of_deit3s_own_file_is_that_of_timms() {
    let folder = tempfile::tempdir().unwrap();
    let (own, request) = layout_fixtures(folder.path()).remove(9);
    let timm = path("crates/vitport/tests/data/vit/timm_deit3.safetensors");
    let [own, timm] = [own, timm]
        .map(|file| plan(Source::open(&file, None, &Limits::default()).unwrap(), &request).unwrap());
    assert_eq!(own.model.config, timm.model.config);
    let rows = |prepared: &Prepared| -> Vec<_> {
        let targets = prepared.plan.targets.iter();
        let mut rows: Vec<_> = targets.map(|t| (t.name.clone(), t.shape.clone(), t.operation)).collect();
        rows.sort();
        rows
    };
    assert_eq!(rows(&own), rows(&timm));
    let shown = own.model.facts.get("layer_scale").unwrap().origin.to_string();
    assert_eq!(shown, "the weights: blocks.0.gamma_1");
}
