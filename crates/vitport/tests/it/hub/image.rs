//! Fetches an image from an address.

use std::io::Read;

use vitport::hub::{HubConfig, HubError, HubErrorClass, fetch_url};

use super::server::{self, Fault, Hub};

#[test]
fn its_bytes_arrive_in_a_file_without_a_name() {
    let hub = Hub::start();
    hub.page("/images/cat.png?size=1", 200, &[], b"an image");
    hub.page("/old.png", 301, &[("Location", "images/cat.png?size=1")], b"");
    hub.fault("GET", "/images", 1, Fault::Cut(3));
    let folder = tempfile::tempdir().unwrap();
    let mut file =
        fetch_url(&hub.config(&folder), &format!("{}/old.png", hub.endpoint), folder.path(), 8, &()).unwrap();
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, b"an image");
    assert_eq!(server::tree(folder.path()), Vec::<String>::new());
}

#[test]
fn one_that_is_too_large_or_missing_is_refused() {
    let hub = Hub::start();
    hub.page("/cat.png", 200, &[], b"an image");
    let folder = tempfile::tempdir().unwrap();
    let fetch = |path: &str, limit| {
        fetch_url(&hub.config(&folder), &format!("{}{path}", hub.endpoint), folder.path(), limit, &())
            .unwrap_err()
    };
    let error = fetch("/cat.png", 7);
    assert!(matches!(error, HubError::TooLarge { limit: 7, .. }), "{error:?}");
    assert_eq!(error.class(), HubErrorClass::Refused);
    let error = fetch("/dog.png?key=secret", 100);
    assert!(matches!(error, HubError::Status { status: 404, .. }), "{error:?}");
    assert!(error.to_string().contains("/dog.png") && !error.to_string().contains("secret"), "{error}");
    assert_eq!(server::tree(folder.path()), Vec::<String>::new());
}

#[test]
fn offline_and_other_schemes() {
    let folder = tempfile::tempdir().unwrap();
    let config = HubConfig { offline: true, ..HubConfig::new(folder.path()) };
    let error = fetch_url(&config, "http://127.0.0.1:9/cat.png", folder.path(), 9, &()).unwrap_err();
    assert!(matches!(error, HubError::OfflineAddress { .. }), "{error:?}");
    let config = HubConfig { offline: false, ..config };
    for address in ["file:///etc/passwd", "data:image/png;base64,AAAA", "cat.png"] {
        assert!(
            matches!(
                fetch_url(&config, address, folder.path(), 9, &()).unwrap_err(),
                HubError::BadAddress { .. }
            ),
            "{address}"
        );
    }
}
