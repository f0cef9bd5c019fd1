//! Tests which files of a repository are fetched, and that their bytes arrive.

use vitport::hub::{HubError, HubErrorClass, Reach, RepoId, Snapshot, fetch_model};

use super::server::{COMMIT, Hub, weights};

const INDEX: &[u8] = br#"{"metadata": {"total_size": 9}, "weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors", "c": "model-1.safetensors"}}"#;

fn fetch(hub: &Hub, cache: &tempfile::TempDir, name: &str) -> Result<Snapshot, HubError> {
    fetch_model(&hub.config(cache), &RepoId::parse(name).unwrap(), &())
}

fn names(snapshot: &Snapshot) -> Vec<String> {
    snapshot.weights.iter().map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect()
}

#[test]
fn config_card_and_safetensors_and_nothing_else() {
    let model = weights(300_000);
    let hub = Hub::with(
        "timm/vit_tiny.x",
        &[
            ("config.json", b"{}"),
            ("model.safetensors", &model),
            ("pytorch_model.bin", b"pickle"),
            ("README.md", b"#"),
        ],
    );
    let cache = tempfile::tempdir().unwrap();
    let snapshot = fetch(&hub, &cache, "timm/vit_tiny.x").unwrap();
    assert_eq!(snapshot.source(), snapshot.folder);
    assert_eq!(std::fs::read(snapshot.folder.join("model.safetensors")).unwrap(), model);
    assert_eq!(std::fs::read(snapshot.config.as_ref().unwrap()).unwrap(), b"{}");
    assert_eq!(
        (snapshot.commit.as_str(), snapshot.revision.as_str(), snapshot.repo.as_str()),
        (COMMIT, "main", "timm/vit_tiny.x")
    );
    assert_eq!(snapshot.reach, Reach::Hub);
    assert!(!hub.lines().iter().any(|line| line.contains("pytorch_model")));
    assert_eq!(std::fs::read(snapshot.folder.join("README.md")).unwrap(), b"#");
    assert!(!snapshot.folder.join("pytorch_model.bin").exists());
}

#[test]
fn every_shard_of_an_index_once() {
    let hub = Hub::with(
        "o/sharded",
        &[
            ("config.json", b"{}"),
            ("model.safetensors.index.json", INDEX),
            ("model-1.safetensors", b"one"),
            ("model-2.safetensors", b"two"),
            ("model-3.safetensors", b"not in the index"),
        ],
    );
    let cache = tempfile::tempdir().unwrap();
    let snapshot = fetch(&hub, &cache, "o/sharded").unwrap();
    assert_eq!(names(&snapshot), ["model-1.safetensors", "model-2.safetensors"]);
    assert_eq!(snapshot.source(), snapshot.folder);
    assert_eq!(hub.gets("/resolve/"), 4);
}

#[test]
fn an_index_that_names_a_missing_shard_or_leads_away_is_refused() {
    let hub = Hub::with("o/n", &[("model.safetensors.index.json", INDEX), ("model-1.safetensors", b"one")]);
    let cache = tempfile::tempdir().unwrap();
    let error = fetch(&hub, &cache, "o/n").unwrap_err();
    assert!(matches!(&error, HubError::UnknownFile { file, .. } if file == "model-2.safetensors"), "{error}");

    let evil = br#"{"weight_map": {"a": "../../../../../../tmp/evil.safetensors"}}"#;
    let hub = Hub::with("o/n", &[("model.safetensors.index.json", evil)]);
    let cache = tempfile::tempdir().unwrap();
    let error = fetch(&hub, &cache, "o/n").unwrap_err();
    assert!(matches!(error, HubError::BadIndex { .. }), "{error}");
    assert_eq!(error.class(), HubErrorClass::Refused);
    assert!(!hub.lines().iter().any(|line| line.contains("evil")));
}

#[test]
fn pickles_where_there_is_nothing_better() {
    let hub = Hub::with("o/n", &[("config.json", b"{}"), ("pytorch_model.bin", b"pickle")]);
    let cache = tempfile::tempdir().unwrap();
    let snapshot = fetch(&hub, &cache, "o/n").unwrap();
    assert_eq!(names(&snapshot), ["pytorch_model.bin"]);
    assert_eq!(snapshot.source(), snapshot.folder);
}

#[test]
fn the_only_checkpoint_of_a_repository_without_config() {
    let hub = Hub::with(
        "o/cvt",
        &[("README.md", b"#"), ("weights/CvT-13 224.pth", b"pickle"), ("training_args.bin", b"x")],
    );
    let cache = tempfile::tempdir().unwrap();
    let snapshot = fetch(&hub, &cache, "o/cvt").unwrap();
    assert_eq!(snapshot.source(), snapshot.folder.join("weights/CvT-13 224.pth"));
    assert_eq!(snapshot.config, None);
    assert_eq!(std::fs::read(snapshot.source()).unwrap(), b"pickle");
}

#[test]
fn several_checkpoints_are_named_and_one_can_be_picked() {
    let hub = Hub::with("o/cvt", &[("a.pth", b"a"), ("b/c.pth", b"c")]);
    let cache = tempfile::tempdir().unwrap();
    let error = fetch(&hub, &cache, "o/cvt").unwrap_err();
    assert!(
        error.to_string().contains("a.pth, b/c.pth") && error.to_string().contains("o/cvt:a.pth"),
        "{error}"
    );
    assert_eq!(error.class(), HubErrorClass::Usage);
    for name in ["o/cvt/b/c.pth", "o/cvt:b/c.pth", "hf-hub:o/cvt@main:b/c.pth"] {
        let snapshot = fetch(&hub, &cache, name).unwrap();
        assert_eq!(snapshot.source(), snapshot.folder.join("b/c.pth"));
    }
    assert!(matches!(fetch(&hub, &cache, "o/cvt:d.pth").unwrap_err(), HubError::UnknownFile { .. }));
}

#[test]
fn a_repository_without_checkpoints_is_said_to_be_one() {
    let hub = Hub::with("o/data", &[("README.md", b"#"), ("config.json", b"{}")]);
    let cache = tempfile::tempdir().unwrap();
    let error = fetch(&hub, &cache, "o/data").unwrap_err();
    assert!(matches!(error, HubError::NoWeights { .. }), "{error}");
}

#[test]
fn a_mirror_that_serves_files_alone_is_enough() {
    let hub = Hub::with("o/n", &[("config.json", b"{}"), ("pytorch_model.bin", b"pickle")]);
    hub.edit("o/n", |repository| repository.no_info = true);
    let cache = tempfile::tempdir().unwrap();
    let snapshot = fetch(&hub, &cache, "o/n").unwrap();
    assert_eq!((names(&snapshot), snapshot.commit.as_str()), (vec!["pytorch_model.bin".to_owned()], COMMIT));
    assert!(snapshot.config.is_some());
    assert!(matches!(fetch(&hub, &cache, "o/other").unwrap_err(), HubError::NotFoundOrPrivate { .. }));
}

#[test]
fn an_empty_file_is_a_file() {
    let hub = Hub::with("o/n", &[("config.json", b""), ("model.safetensors", b"")]);
    let cache = tempfile::tempdir().unwrap();
    let snapshot = fetch(&hub, &cache, "o/n").unwrap();
    assert_eq!(std::fs::read(snapshot.folder.join("model.safetensors")).unwrap(), b"");
}
