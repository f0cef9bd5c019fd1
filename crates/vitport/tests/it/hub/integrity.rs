//! Tests bytes, sizes, etags and names that are not what they should be: refused, with nothing of them kept.

use vitport::hub::{HubError, fetch_model};

use super::server::{Fault, Hub, id, tree};

fn hub() -> Hub {
    Hub::with("org/name", &[("config.json", b"{}"), ("model.safetensors", b"weights")])
}

/// The error, after looking that no blob, partial file, link or ref is left of the file that caused it.
fn refused(hub: &Hub, kept: &str) -> HubError {
    let cache = tempfile::tempdir().unwrap();
    let error = fetch_model(&hub.config(&cache), &id(), &()).unwrap_err();
    let left = tree(cache.path());
    let expected = left.iter().all(|path| {
        path.starts_with(".locks") || (!kept.is_empty() && path.contains(kept)) || path.contains("blobs/")
    });
    assert!(
        expected
            && !left.iter().any(|path| path.contains("incomplete")
                || path.contains("refs/")
                || path.contains("model.safetensors")),
        "{left:?}"
    );
    let blobs = left.iter().filter(|path| path.contains("blobs/") && !path.contains("->")).count();
    assert_eq!(blobs, usize::from(!kept.is_empty()), "{left:?}");
    error
}

#[test]
fn garbage_of_the_right_length() {
    let hub = hub();
    hub.fault("GET", "/storage/", 9, Fault::Garbage);
    let error = refused(&hub, "config.json");
    assert!(
        matches!(&error, HubError::WrongDigest { file, algorithm: "sha256", .. } if file == "model.safetensors"),
        "{error:?}"
    );

    let hub = self::hub();
    hub.fault("GET", "config.json", 9, Fault::Garbage);
    let error = refused(&hub, "");
    assert!(matches!(&error, HubError::WrongDigest { algorithm: "git sha1", .. }), "{error:?}");
}

#[test]
fn an_etag_of_other_bytes() {
    let hub = hub();
    hub.edit_file("org/name", "model.safetensors", |file| file.etag = Some("0".repeat(64)));
    assert!(matches!(refused(&hub, "config.json"), HubError::WrongDigest { .. }));
}

#[test]
fn a_size_that_is_not_sent() {
    for (announced, message) in [(6, "should have 6 bytes"), (8, "should have 8 bytes")] {
        let hub = hub();
        hub.edit_file("org/name", "model.safetensors", |file| file.size = Some(announced));
        let error = refused(&hub, "config.json");
        assert!(matches!(error, HubError::WrongSize { found: 7, .. }), "{error:?}");
        assert!(error.to_string().contains(message), "{error}");
    }
}

#[test]
fn an_etag_that_would_lead_out_of_the_cache() {
    for etag in ["../../../evil", "/etc/evil", "..", ".hidden", "a b"] {
        let hub = hub();
        hub.edit_file("org/name", "model.safetensors", |file| file.etag = Some(etag.into()));
        let error = refused(&hub, "config.json");
        assert!(matches!(error, HubError::BadAnswer { .. }), "{etag}: {error:?}");
    }
}

#[test]
fn a_commit_that_would_lead_out_of_the_cache() {
    let hub = hub();
    hub.edit("org/name", |repository| {
        repository.revisions.insert("main".into(), "../../evil".into());
    });
    assert!(matches!(refused(&hub, ""), HubError::BadAnswer { .. }));
}

#[test]
fn listed_names_that_lead_away_do_not_exist() {
    let hub =
        Hub::with("org/name", &[("../../evil.pth", b"x"), ("/etc/evil.pth", b"x"), ("a\u{1b}[2J.pth", b"x")]);
    assert!(matches!(refused(&hub, ""), HubError::NoWeights { .. }));
}

#[test]
fn an_opaque_etag_is_a_name_and_no_proof() {
    let hub = hub();
    hub.edit_file("org/name", "model.safetensors", |file| file.etag = Some("v1-opaque".into()));
    let cache = tempfile::tempdir().unwrap();
    fetch_model(&hub.config(&cache), &id(), &()).unwrap();
    assert!(cache.path().join("models--org--name/blobs/v1-opaque").is_file());
}

#[test]
fn pages_that_are_no_hub() {
    for body in [&b"<html>sign in to the wireless network</html>"[..], b"{\"sha\": 3}", b"[]", b""] {
        let hub = hub();
        hub.page("/api/models/org/name/revision/main", 200, &[], body);
        let error = refused(&hub, "");
        assert!(matches!(error, HubError::BadAnswer { .. }), "{error:?}");
    }
}
