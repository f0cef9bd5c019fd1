//! Runs two fetches of one file at once: the second waits for the first, as huggingface_hub would.

use std::fs::{self, File};
use std::sync::Arc;
use std::thread;

use vitport::hub::{FetchEvent, Progress, fetch_model};

use super::server::{COMMIT, Hub, Log, id, sha256, weights};

#[test]
fn one_transfer_serves_all() {
    let model = weights(2_000_000);
    let hub = Hub::with("org/name", &[("model.safetensors", &model)]);
    let cache = Arc::new(tempfile::tempdir().unwrap());
    let fetchers: Vec<_> = (0..8)
        .map(|_| {
            let (hub, cache) = (hub.clone(), Arc::clone(&cache));
            thread::spawn(move || {
                let snapshot = fetch_model(&hub.config(&cache), &id(), &()).unwrap();
                fs::read(&snapshot.weights[0]).unwrap()
            })
        })
        .collect();
    for fetcher in fetchers {
        assert_eq!(fetcher.join().unwrap(), model);
    }
    assert_eq!(hub.gets("/storage/"), 1);
}

/// Lets go of the lock as soon as somebody waits for it.
struct Release(std::sync::Mutex<Option<File>>, Log);

impl Progress for Release {
    fn event(&self, event: FetchEvent<'_>) {
        self.1.event(event);
        if matches!(event, FetchEvent::WaitingForLock { .. }) {
            self.0.lock().unwrap().take();
        }
    }
}

#[test]
fn a_lock_held_by_another_program_is_waited_for() {
    let hub = Hub::with("org/name", &[("model.safetensors", b"weights")]);
    let cache = tempfile::tempdir().unwrap();
    let locks = cache.path().join(".locks/models--org--name");
    fs::create_dir_all(&locks).unwrap();
    let lock = File::create(locks.join(format!("{}.lock", sha256(b"weights")))).unwrap();
    lock.lock().unwrap();
    let release = Release(std::sync::Mutex::new(Some(lock)), Log::default());
    let snapshot = fetch_model(&hub.config(&cache), &id(), &release).unwrap();
    assert_eq!(snapshot.commit, COMMIT);
    assert!(release.1.0.lock().unwrap().iter().any(|event| event.starts_with("WaitingForLock")));
}
