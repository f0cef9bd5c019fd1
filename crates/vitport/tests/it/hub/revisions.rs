//! Branches, tags, commits and pull requests.

use std::fs;

use vitport::hub::{HubConfig, HubError, HubErrorClass, RepoId, fetch_model};

use super::server::{self, COMMIT, Hub, id};

const TAGGED: &str = "89abcdef0123456789abcdef0123456789abcdef";

fn hub() -> Hub {
    let hub = Hub::with("org/name", &[("model.safetensors", b"weights")]);
    hub.edit("org/name", |repository| {
        for revision in ["v1.0", "refs/pr/3", "feature/x"] {
            repository.revisions.insert(revision.into(), TAGGED.into());
        }
    });
    hub
}

#[test]
fn a_revision_leads_to_its_commit_and_is_remembered() {
    let hub = hub();
    let cache = tempfile::tempdir().unwrap();
    let config = hub.config(&cache);
    for revision in ["v1.0", "refs/pr/3", "feature/x"] {
        let id = RepoId::parse(&format!("org/name@{revision}")).unwrap();
        let snapshot = fetch_model(&config, &id, &()).unwrap();
        assert_eq!((snapshot.commit.as_str(), snapshot.revision.as_str()), (TAGGED, revision));
        let place = cache.path().join("models--org--name/refs").join(revision);
        assert_eq!(fs::read_to_string(place).unwrap(), TAGGED);
        let offline = HubConfig { offline: true, ..config.clone() };
        assert_eq!(fetch_model(&offline, &id, &()).unwrap().commit, TAGGED);
    }
    // A slash in a revision travels as %2F, or it would end the revision in the path.
    assert!(hub.lines().contains(&"GET /api/models/org/name/revision/refs%2Fpr%2F3".to_owned()));
}

#[test]
fn a_commit_is_no_ref() {
    let hub = hub();
    let cache = tempfile::tempdir().unwrap();
    let id = id().at(COMMIT).unwrap();
    let snapshot = fetch_model(&hub.config(&cache), &id, &()).unwrap();
    assert_eq!(snapshot.commit, COMMIT);
    assert!(!cache.path().join("models--org--name/refs").exists());
}

#[test]
fn an_unknown_revision_is_named() {
    let hub = hub();
    let cache = tempfile::tempdir().unwrap();
    let error = fetch_model(&hub.config(&cache), &RepoId::parse("org/name@v9").unwrap(), &()).unwrap_err();
    assert!(matches!(&error, HubError::UnknownRevision { revision, .. } if revision == "v9"), "{error}");
    assert_eq!(error.class(), HubErrorClass::Transfer);
    assert_eq!(server::tree(cache.path()), Vec::<String>::new());
}

#[test]
fn a_revision_and_one_below_its_name_live_side_by_side() {
    let hub = hub();
    hub.edit("org/name", |repository| {
        for (revision, commit) in [("a", COMMIT), ("a/b", TAGGED), ("c/d", COMMIT), ("c", TAGGED)] {
            repository.revisions.insert(revision.into(), commit.into());
        }
    });
    let cache = tempfile::tempdir().unwrap();
    let config = hub.config(&cache);
    let offline = HubConfig { offline: true, ..config.clone() };
    let revisions = [("a", COMMIT), ("a/b", TAGGED), ("c/d", COMMIT), ("c", TAGGED)];
    for config in [&config, &config, &offline] {
        for (revision, commit) in revisions {
            let id = RepoId::parse(&format!("org/name@{revision}")).unwrap();
            assert_eq!(fetch_model(config, &id, &()).unwrap().commit, commit, "{revision}");
        }
    }
    let refs = cache.path().join("models--org--name/refs");
    assert_eq!(server::tree(&refs), ["a", "c/d"]);
}

#[test]
fn pipes_in_the_cache_are_no_files() {
    let hub = hub();
    let cache = tempfile::tempdir().unwrap();
    let digest = server::sha256(b"weights");
    let repository = cache.path().join("models--org--name");
    let lock = format!(".locks/models--org--name/{digest}.lock");
    for place in [repository.join("blobs").join(format!("{digest}.incomplete")), cache.path().join(lock)] {
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        let _ = fs::remove_file(&place);
        assert!(std::process::Command::new("mkfifo").arg(&place).status().unwrap().success());
        let error = fetch_model(&hub.config(&cache), &id(), &()).unwrap_err();
        assert!(error.to_string().contains("not a regular file"), "{error}");
        fs::remove_file(&place).unwrap();
    }
    fs::create_dir_all(repository.join("refs")).unwrap();
    assert!(
        std::process::Command::new("mkfifo").arg(repository.join("refs/main")).status().unwrap().success()
    );
    let offline = HubConfig { offline: true, ..hub.config(&cache) };
    assert!(fetch_model(&offline, &id(), &()).is_err());
}
