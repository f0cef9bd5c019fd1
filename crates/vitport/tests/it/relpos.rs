//! Tests timm's ViTs with relative positions: their definition compared with what timm computed, the conversion of whole folders, the
//! tables that their MLPs become, and what is refused.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use vitport::catalogue;
use vitport::facts::FactError;
use vitport::model::Prepared;
use vitport::options::FactOptions;
use vitport::pipeline::{ConvertError, Request, WriteOptions, plan, verify, write};
use vitport::source::Source;
use vitport::verify::{TestImage, Verdict};
use vitport_checkpoint::{Dtype, Limits};

use crate::golden::{self, compare, pixels, tensors, weights};

/// Networks, with the classes that they become with a head and without, and how many places are compared.
const NETWORKS: [(&str, &str, &str, usize); 7] = [
    ("patches", "BeitForImageClassification", "BeitModel", 5),
    ("token", "BeitForImageClassification", "BeitModel", 6),
    ("shared", "BeitModel", "BeitModel", 6),
    ("shared_mean", "BeitForImageClassification", "BeitModel", 5),
    ("token_mean", "BeitModel", "BeitModel", 6),
    ("learned", "BeitModel", "BeitModel", 4),
    ("learned_shared", "BeitModel", "BeitModel", 5),
];

fn data(name: &str) -> PathBuf {
    golden::path(&format!("relpos/{name}"))
}

fn open(path: &Path, facts: FactOptions) -> Result<Prepared, ConvertError> {
    let source = Source::open(path, None, &Limits::default()).unwrap();
    plan(source, &Request { facts, ..Request::default() })
}

fn document(path: &Path) -> Map<String, Value> {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Writes a folder, which is there as long as the first of the pair.
fn converted(prepared: &Prepared) -> (tempfile::TempDir, PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("out");
    let options = WriteOptions { max_shard_size: u64::MAX, force: false, fsync: false, exact_code: false };
    write(prepared, &folder, options, &|_| {}).unwrap().staging.publish().unwrap();
    (parent, folder)
}

#[test]
fn timms_definition_computes_what_timm_does() {
    for (name, _, _, places) in NETWORKS {
        let prepared = open(&data(name), FactOptions::default()).unwrap();
        let expected = tensors(&format!("relpos/{name}.expected"));
        let weights = weights(&tensors(&format!("relpos/{name}/model")));
        let compared = compare(&expected, &prepared.model.network, &pixels(&expected), &weights);
        assert_eq!(compared, places, "{name}");
    }
}

#[test]
fn folders_are_the_same_model() {
    for (name, class, bare, _) in NETWORKS {
        for (without_head, class) in [(false, class), (true, bare)] {
            let prepared = open(&data(name), FactOptions { without_head, ..FactOptions::default() }).unwrap();
            let (_parent, folder) = converted(&prepared);
            let config = document(&folder.join("config.json"));
            assert_eq!(config["architectures"], json!([class]), "{name}");
            let report = verify(&prepared, &folder, &TestImage::built_in().unwrap()).unwrap();
            assert_eq!(report.verdict, Verdict::Same, "{name}: {:?}", report.reasons);
            let tables = report.tensor_counts.tabulated;
            let tensors_are = match tables {
                0 => "bit-identical to the source's".to_owned(),
                _ => format!(
                    "bit-identical to what the mapping makes of the source's ({tables} the values of an MLP)"
                ),
            };
            assert_eq!(
                (report.tensors_are(), tables == 0),
                (tensors_are, name.starts_with("learned")),
                "{name}"
            );
        }
    }
}

/// timm's own biases are in the hidden states; here it is the row of the class token that counts.
#[test]
fn patches_do_not_see_a_class_token_that_timm_does_not_have() {
    const TABLE: &str =
        "beit.encoder.layer.0.attention.attention.relative_position_bias.relative_position_bias_table";
    for (name, to_class_token) in [("patches", -1e9), ("token", 0.0)] {
        let prepared = open(&data(name), FactOptions::default()).unwrap();
        let (_parent, folder) = converted(&prepared);
        let bytes = std::fs::read(folder.join("model.safetensors")).unwrap();
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let table = file.tensor(TABLE).unwrap();
        assert_eq!(table.shape(), [7 * 7 + 3, 3]);
        let values: Vec<f32> =
            table.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
        let (distances, of_class_token) = values.split_at(7 * 7 * 3);
        assert_eq!(of_class_token, [[0.0; 3], [to_class_token; 3], [0.0; 3]].concat(), "{name}");
        assert!(distances.iter().all(|bias| *bias != 0.0 && bias.abs() < 10.0), "{name}");
    }
}

#[test]
fn every_tag_but_those_with_norms_after_their_branches_converts() {
    let models = catalogue::models().filter(|model| model.module == Some("vision_transformer_relpos"));
    let published: Vec<_> = models.filter(|model| model.published_at.is_some()).collect();
    let count = |class: Option<&str>| published.iter().filter(|model| model.becomes.class() == class).count();
    let counts = [Some("BeitForImageClassification"), Some("BeitModel"), None].map(count);
    assert_eq!((counts, published.len()), ([5, 2, 2], 9));
    let others = published.iter().filter(|model| model.becomes.class().is_none());
    assert!(others.into_iter().all(|model| model.name.contains("_rpn_")));
}

/// Opens a fixture with other `model_args`, or with another architecture under the key `architecture`.
fn changed(name: &str, changes: Value) -> Result<Prepared, ConvertError> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(data(name).join("model.safetensors"), folder.path().join("model.safetensors")).unwrap();
    let mut config = document(&data(name).join("config.json"));
    for (key, value) in changes.as_object().unwrap() {
        let place =
            if key == "architecture" { &mut config } else { config["model_args"].as_object_mut().unwrap() };
        place.insert(key.clone(), value.clone());
    }
    std::fs::write(folder.path().join("config.json"), Value::Object(config).to_string()).unwrap();
    open(folder.path(), FactOptions::default())
}

/// timm looks for `mlp` at the beginning of the name, and for `swin` in it.
#[test]
fn relative_positions_are_known_by_the_beginning_of_their_name() {
    for (name, kind) in [("patches", "mlp-cr"), ("shared", "mlp"), ("learned", "rel")] {
        let prepared = changed(name, json!({ "rel_pos_type": kind }));
        assert!(prepared.is_ok(), "{kind}: {}", prepared.err().unwrap());
    }
    for (name, kind) in [("patches", "mlp_swin"), ("patches", "bias"), ("learned", "mlp")] {
        let said = changed(name, json!({ "rel_pos_type": kind })).err().expect(kind).to_string();
        assert!(said.contains("rel_pos_type"), "{kind}: {said}");
    }
}

#[test]
fn each_refusal_names_its_structure() {
    for (name, change, words) in [
        (
            "shared",
            json!({ "architecture": "vit_relpos_small_patch16_rpn_224" }),
            "norms stand after its branches",
        ),
        ("patches", json!({ "qk_norm": true }), "normalised queries and keys"),
        ("patches", json!({ "global_pool": "token" }), "global_pool `token` and its last norm after it"),
        ("shared", json!({ "global_pool": "max" }), "global_pool `max` and its last norm before it"),
        ("patches", json!({ "act_layer": { "name": "torch.nn.modules.activation.SiLU" } }), "silu"),
    ] {
        let said = changed(name, change).err().expect(words);
        assert!(matches!(said, ConvertError::Facts(FactError::NoTarget { .. })), "{words}: {said}");
        assert!(said.to_string().contains(words), "{words}: {said}");
    }
    for (change, words) in [
        (json!({ "rel_pos_type": "bias" }), "rel_pos_type"),
        (json!({ "shared_rel_pos": true }), "shared_rel_pos"),
    ] {
        let said = changed("patches", change).err().expect(words);
        assert!(matches!(said, ConvertError::Facts(FactError::Contradiction(_))), "{words}: {said}");
        assert!(said.to_string().contains(words), "{words}: {said}");
    }
}

/// Weights without layer scale are also those of blocks whose norms stand after their branches, and those of an MLP of positions go with
/// images of every size.
#[test]
fn a_bare_file_is_asked_for_what_its_weights_do_not_show() {
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("mine.safetensors");
    std::fs::copy(data("shared").join("model.safetensors"), &file).unwrap();
    let said = open(&file, FactOptions::default()).err().unwrap().to_string();
    assert!(said.contains("block cannot be inferred from the weights"), "{said}");
    assert!(said.contains("size of the image cannot be inferred"), "{said}");
}

/// The MLP is not rounded, and so a rounded table could not be compared with it.
#[test]
fn tables_are_not_rounded_to_half_precision() {
    for dtype in [Dtype::F16, Dtype::BF16] {
        let source = Source::open(&data("patches"), None, &Limits::default()).unwrap();
        let said = plan(source, &Request { dtype: Some(dtype), ..Request::default() }).err().unwrap();
        assert!(said.to_string().contains("give --dtype f32"), "{said}");
    }
}
