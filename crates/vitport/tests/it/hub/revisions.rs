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
