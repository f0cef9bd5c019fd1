//! Tests redirects: to the storage on another host, to a repository's new name, in circles, and to where no client should
//! follow.

use vitport::hub::{HubError, fetch_model};

use super::server::{COMMIT, Hub, id, weights};

#[test]
fn the_storage_may_be_another_host() {
    let model = weights(5000);
    let files: [(&str, &[u8]); 1] = [("model.safetensors", &model)];
    let (hub, storage) = (Hub::with("org/name", &files), Hub::with("org/name", &files));
    hub.storage_at(&storage.endpoint);
    let cache = tempfile::tempdir().unwrap();
    let snapshot = fetch_model(&hub.config(&cache), &id(), &()).unwrap();
    assert_eq!(std::fs::read(&snapshot.weights[0]).unwrap(), model);
    let lines = storage.lines();
    assert_eq!(lines.len(), 1, "no HEAD is wasted on the storage: {lines:?}");
    assert!(lines[0].starts_with("GET /storage/"));
}

#[test]
fn a_renamed_repository_is_followed() {
    let hub = Hub::with("new/name", &[("config.json", b"{}"), ("model.safetensors", b"weights")]);
    hub.page(
        "/api/models/org/name/revision/main",
        307,
        &[("Location", "/api/models/new/name/revision/main")],
        b"",
    );
    for file in ["config.json", "model.safetensors"] {
        let (from, to) =
            (format!("/org/name/resolve/{COMMIT}/{file}"), format!("/new/name/resolve/{COMMIT}/{file}"));
        hub.page(&from, 307, &[("Location", &to)], b"moved");
    }
    let cache = tempfile::tempdir().unwrap();
    let snapshot = fetch_model(&hub.config(&cache), &id(), &()).unwrap();
    assert_eq!(std::fs::read(&snapshot.weights[0]).unwrap(), b"weights");
    assert_eq!(std::fs::read(snapshot.config.unwrap()).unwrap(), b"{}");
}

#[test]
fn a_circle_ends() {
    let hub = Hub::with("org/name", &[("model.safetensors", b"weights")]);
    hub.page(
        "/api/models/org/name/revision/main",
        302,
        &[("Location", "/api/models/org/name/revision/main")],
        b"",
    );
    let cache = tempfile::tempdir().unwrap();
    let error = fetch_model(&hub.config(&cache), &id(), &()).unwrap_err();
    assert!(matches!(error, HubError::Redirect { .. }), "{error:?}");
    assert_eq!(hub.seen().len(), 11);

    let hub = Hub::with("org/name", &[("model.safetensors", b"weights")]);
    let path = format!("/org/name/resolve/{COMMIT}/model.safetensors");
    hub.page(&path, 302, &[("Location", &path)], b"");
    assert!(matches!(fetch_model(&hub.config(&cache), &id(), &()).unwrap_err(), HubError::Redirect { .. }));
}

#[test]
fn only_http_is_followed() {
    for location in
        ["file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://x", "https://user:secret@127.0.0.1/", "http://"]
    {
        let hub = Hub::with("org/name", &[("model.safetensors", b"weights")]);
        hub.page("/api/models/org/name/revision/main", 302, &[("Location", location)], b"");
        let cache = tempfile::tempdir().unwrap();
        let error = fetch_model(&hub.config(&cache), &id(), &()).unwrap_err();
        assert!(matches!(error, HubError::Redirect { .. }), "{location}: {error:?}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}
