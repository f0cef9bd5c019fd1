//! Tests being offline: what lies in the cache is used, everything else is one clear line; and what happens when the Hub is
//! away without anybody having said so.

use std::fs;

use vitport::hub::{HubConfig, HubError, HubErrorClass, Reach, RepoId, fetch_model};

use super::server::{COMMIT, Hub};

fn id(name: &str) -> RepoId {
    RepoId::parse(name).unwrap()
}

fn cached() -> (Hub, tempfile::TempDir, HubConfig) {
    let hub = Hub::with("org/name", &[("config.json", b"{}"), ("model.safetensors", b"weights")]);
    let cache = tempfile::tempdir().unwrap();
    let config = hub.config(&cache);
    fetch_model(&config, &id("org/name"), &()).unwrap();
    hub.seen();
    (hub, cache, config)
}

#[test]
fn after_online_no_request_is_made() {
    let (hub, _cache, config) = cached();
    let offline = HubConfig { offline: true, ..config };
    for name in ["org/name", &format!("org/name@{COMMIT}")] {
        let snapshot = fetch_model(&offline, &id(name), &()).unwrap();
        assert_eq!((snapshot.reach, snapshot.commit.as_str()), (Reach::Cache, COMMIT));
        assert_eq!(fs::read(&snapshot.weights[0]).unwrap(), b"weights");
    }
    assert_eq!(hub.lines(), Vec::<String>::new());
}

#[test]
fn what_is_not_cached_is_said() {
    let (hub, cache, config) = cached();
    let offline = HubConfig { offline: true, ..config };
    for name in ["org/other", "org/name@v2", "org/name:other.pth"] {
        let error = fetch_model(&offline, &id(name), &()).unwrap_err();
        assert!(matches!(error, HubError::NotCached { .. }), "{error}");
        assert_eq!(error.class(), HubErrorClass::Transfer);
        let text = error.to_string();
        assert!(text.contains(&cache.path().display().to_string()) && text.contains("offline"), "{text}");
    }
    assert_eq!(hub.lines(), Vec::<String>::new());
}

#[test]
fn an_incomplete_set_of_shards_is_not_a_model() {
    let index = br#"{"weight_map": {"a": "m-1.safetensors", "b": "m-2.safetensors"}}"#;
    let hub = Hub::with(
        "o/n",
        &[("model.safetensors.index.json", index), ("m-1.safetensors", b"1"), ("m-2.safetensors", b"2")],
    );
    let cache = tempfile::tempdir().unwrap();
    let config = hub.config(&cache);
    let snapshot = fetch_model(&config, &id("o/n"), &()).unwrap();
    fs::remove_file(snapshot.folder.join("m-2.safetensors")).unwrap();
    let error = fetch_model(&HubConfig { offline: true, ..config }, &id("o/n"), &()).unwrap_err();
    assert!(error.to_string().contains("m-2.safetensors"), "{error}");
}

#[test]
fn a_hub_that_is_away_leaves_the_cache() {
    let (_hub, _cache, config) = cached();
    // Port 9 of loopback: nobody listens.
    let away = HubConfig { endpoint: "http://127.0.0.1:9".into(), ..config };
    let snapshot = fetch_model(&away, &id("org/name"), &()).unwrap();
    assert!(
        matches!(&snapshot.reach, Reach::Unreachable { why } if why.contains("127.0.0.1:9")),
        "{:?}",
        snapshot.reach
    );
    assert_eq!(fs::read(&snapshot.weights[0]).unwrap(), b"weights");
    let error = fetch_model(&away, &id("org/other"), &()).unwrap_err();
    assert!(matches!(error, HubError::Unreachable { tries: 2, .. }), "{error:?}");
}

#[test]
fn a_hub_that_says_no_is_believed() {
    let (hub, _cache, config) = cached();
    hub.edit("org/name", |repository| repository.private = Some("hf_other".into()));
    let error = fetch_model(&config, &id("org/name"), &()).unwrap_err();
    assert!(matches!(error, HubError::NotFoundOrPrivate { .. }), "{error}");
}
