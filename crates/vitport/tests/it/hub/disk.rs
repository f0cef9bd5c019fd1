//! Tests a disk that is full, and a cache that cannot be written.

use std::fs;

use vitport::hub::{HubError, HubErrorClass, fetch_model};

use super::server::{self, Hub, id, sha256};

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_said_to_be_one() {
    let hub = Hub::with("org/name", &[("model.safetensors", b"weights")]);
    let cache = tempfile::tempdir().unwrap();
    let blobs = cache.path().join("models--org--name/blobs");
    fs::create_dir_all(&blobs).unwrap();
    // Writing to this device always fails with "no space left".
    std::os::unix::fs::symlink("/dev/full", blobs.join(format!("{}.incomplete", sha256(b"weights"))))
        .unwrap();
    let error = fetch_model(&hub.config(&cache), &id(), &()).unwrap_err();
    assert!(matches!(&error, HubError::DiskFull { file, .. } if file == "model.safetensors"), "{error:?}");
    assert_eq!(error.class(), HubErrorClass::Transfer);
}

#[test]
#[cfg(target_os = "linux")]
fn more_than_the_disk_can_hold_is_refused_before_it_is_begun() {
    let hub = Hub::with("org/name", &[("model.safetensors", b"weights")]);
    hub.edit_file("org/name", "model.safetensors", |file| file.size = Some(usize::MAX / 4));
    let cache = tempfile::tempdir().unwrap();
    let error = fetch_model(&hub.config(&cache), &id(), &()).unwrap_err();
    assert!(matches!(error, HubError::DiskFull { needed: Some(_), .. }), "{error:?}");
    assert_eq!(hub.gets("/storage/"), 0);
    assert!(
        !server::tree(cache.path()).iter().any(|path| path.contains("incomplete")),
        "an empty partial file is left"
    );
}

#[test]
fn a_cache_that_is_no_folder() {
    let hub = Hub::with("org/name", &[("model.safetensors", b"weights")]);
    let file = tempfile::NamedTempFile::new().unwrap();
    let cache = tempfile::tempdir().unwrap();
    let mut config = hub.config(&cache);
    config.cache_dir = file.path().join("hub");
    let error = fetch_model(&config, &id(), &()).unwrap_err();
    assert!(matches!(error, HubError::Disk { .. }), "{error:?}");
    assert!(error.to_string().contains(&file.path().display().to_string()), "{error}");
}
