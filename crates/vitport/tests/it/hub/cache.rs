//! Checks that the cache's layout is that of Python's huggingface_hub, and what lies in it is not fetched again.

use std::fs;

use vitport::hub::{Reach, fetch_model};

use super::server::{self, COMMIT, Hub, git_sha1, id, sha256, tree, weights};

const NEXT: &str = "89abcdef0123456789abcdef0123456789abcdef";

#[test]
fn blobs_refs_and_relative_links() {
    let model = weights(1000);
    let hub = Hub::with("org/name", &[("config.json", b"{}"), ("sub/model.pth", &model)]);
    let cache = tempfile::tempdir().unwrap();
    fetch_model(&hub.config(&cache), &id(), &()).unwrap();
    let (config, weights) = (git_sha1(b"{}"), sha256(&model));
    let mut expected = vec![
        format!(".locks/models--org--name/{config}.lock"),
        format!(".locks/models--org--name/{weights}.lock"),
        format!("models--org--name/.no_exist/{COMMIT}/README.md"),
        format!("models--org--name/blobs/{config}"),
        format!("models--org--name/blobs/{weights}"),
        "models--org--name/refs/main".to_owned(),
        format!("models--org--name/snapshots/{COMMIT}/config.json -> ../../blobs/{config}"),
        format!("models--org--name/snapshots/{COMMIT}/sub/model.pth -> ../../../blobs/{weights}"),
    ];
    expected.sort();
    assert_eq!(tree(cache.path()), expected);
    assert_eq!(fs::read_to_string(cache.path().join("models--org--name/refs/main")).unwrap(), COMMIT);
}

#[test]
fn nothing_is_fetched_twice() {
    let hub = Hub::with("org/name", &[("config.json", b"{}"), ("model.safetensors", b"weights")]);
    let cache = tempfile::tempdir().unwrap();
    let config = hub.config(&cache);
    let id = id();
    let first = fetch_model(&config, &id, &()).unwrap();
    hub.seen();
    let log = server::Log::default();
    assert_eq!(fetch_model(&config, &id, &log).unwrap(), first);
    assert_eq!(hub.lines(), ["GET /api/models/org/name/revision/main"]);
    assert_eq!(log.0.lock().unwrap().len(), 2, "two files from the cache: {:?}", log.0.lock().unwrap());

    let by_commit = fetch_model(&config, &id.at(COMMIT).unwrap(), &()).unwrap();
    assert_eq!((by_commit.folder, by_commit.reach), (first.folder, Reach::Cache));
    assert_eq!(hub.lines(), Vec::<String>::new());
}

#[test]
fn a_new_commit_costs_only_what_changed() {
    let hub = Hub::with("org/name", &[("config.json", b"{}"), ("model.safetensors", b"weights")]);
    let cache = tempfile::tempdir().unwrap();
    let config = hub.config(&cache);
    let id = id();
    let first = fetch_model(&config, &id, &()).unwrap();
    hub.publish("org/name", NEXT, &[("config.json", b"{\"new\": 1}"), ("model.safetensors", b"weights")]);
    hub.seen();
    let second = fetch_model(&config, &id, &()).unwrap();
    let gets: Vec<String> = hub.lines().into_iter().filter(|line| line.starts_with("GET /org")).collect();
    assert_eq!(gets, [format!("GET /org/name/resolve/{NEXT}/config.json")]);
    assert_eq!(fs::read(second.folder.join("model.safetensors")).unwrap(), b"weights");
    assert_eq!(fs::read(first.folder.join("config.json")).unwrap(), b"{}", "the old snapshot is as it was");
    assert_eq!(fs::read_to_string(cache.path().join("models--org--name/refs/main")).unwrap(), NEXT);
}

#[test]
fn what_python_cached_is_used_as_it_lies() {
    let hub = Hub::with("org/name", &[("config.json", b"{}"), ("model.safetensors", b"weights")]);
    let cache = tempfile::tempdir().unwrap();
    let repo = cache.path().join("models--org--name");
    let snapshot = repo.join("snapshots").join(COMMIT);
    fs::create_dir_all(repo.join("blobs")).unwrap();
    fs::create_dir_all(&snapshot).unwrap();
    fs::create_dir_all(repo.join("refs")).unwrap();
    // As huggingface_hub writes it: no newline after the commit.
    fs::write(repo.join("refs/main"), COMMIT).unwrap();
    fs::write(repo.join("blobs").join(git_sha1(b"{}")), b"{}").unwrap();
    fs::write(repo.join("blobs").join(sha256(b"weights")), b"weights").unwrap();
    std::os::unix::fs::symlink(format!("../../blobs/{}", git_sha1(b"{}")), snapshot.join("config.json"))
        .unwrap();
    fetch_model(&hub.config(&cache), &id(), &()).unwrap();
    // The blob of the weights was there without its link.
    assert_eq!(
        hub.lines(),
        [
            "GET /api/models/org/name/revision/main".to_owned(),
            format!("HEAD /org/name/resolve/{COMMIT}/model.safetensors")
        ]
    );
    assert_eq!(fs::read(snapshot.join("model.safetensors")).unwrap(), b"weights");
}

#[test]
fn a_blob_of_the_wrong_size_and_a_dangling_link_are_mended() {
    let hub = Hub::with("org/name", &[("model.safetensors", b"weights")]);
    let cache = tempfile::tempdir().unwrap();
    let repo = cache.path().join("models--org--name");
    let snapshot = repo.join("snapshots").join(COMMIT);
    fs::create_dir_all(repo.join("blobs")).unwrap();
    fs::create_dir_all(&snapshot).unwrap();
    fs::write(repo.join("blobs").join(sha256(b"weights")), b"wei").unwrap();
    std::os::unix::fs::symlink("../../blobs/gone", snapshot.join("model.safetensors")).unwrap();
    let found = fetch_model(&hub.config(&cache), &id(), &()).unwrap();
    assert_eq!(fs::read(&found.weights[0]).unwrap(), b"weights");
}
