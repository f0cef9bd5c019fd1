//! Tests interrupted transfers: within one run, between runs, and with what another program left.

use std::fs;

use vitport::hub::{HubError, fetch_model};

use super::server::{Fault, Hub, Log, id, sha256, tree, weights};

#[test]
fn a_cut_stream_goes_on_where_it_ended() {
    let model = weights(500_000);
    let hub = Hub::with("org/name", &[("model.safetensors", &model)]);
    hub.fault("GET", "/storage/", 1, Fault::Cut(200_000));
    let cache = tempfile::tempdir().unwrap();
    let log = Log::default();
    let snapshot = fetch_model(&hub.config(&cache), &id(), &log).unwrap();
    assert_eq!(fs::read(&snapshot.weights[0]).unwrap(), model);
    let ranges: Vec<_> = hub
        .seen()
        .into_iter()
        .filter(|seen| seen.path.contains("/storage/"))
        .map(|seen| seen.headers.get("range").cloned())
        .collect();
    assert_eq!(ranges, [None, Some("bytes=200000-".to_owned())]);
    assert!(log.0.lock().unwrap().iter().any(|event| event.starts_with("Retrying")));
}

#[test]
fn a_large_file_may_be_cut_more_often_than_there_are_tries() {
    let model = weights(1_000_000);
    let hub = Hub::with("org/name", &[("model.safetensors", &model)]);
    hub.fault("GET", "/storage/", 9, Fault::Cut(100_000));
    let cache = tempfile::tempdir().unwrap();
    let snapshot = fetch_model(&hub.config(&cache), &id(), &()).unwrap();
    assert_eq!(fs::read(&snapshot.weights[0]).unwrap(), model);
}

#[test]
fn the_next_run_resumes_what_this_one_gave_up() {
    let model = weights(50_000);
    let hub = Hub::with("org/name", &[("model.safetensors", &model)]);
    hub.fault("GET", "/storage/", 3, Fault::Cut(10_000));
    let cache = tempfile::tempdir().unwrap();
    let config = hub.config(&cache);
    let error = fetch_model(&config, &id(), &()).unwrap_err();
    assert!(
        matches!(error, HubError::Cut { received: 30_000, expected: Some(50_000), tries: 3, .. }),
        "{error:?}"
    );
    let left: Vec<_> = tree(cache.path()).into_iter().filter(|path| !path.starts_with(".locks")).collect();
    assert_eq!(left, [format!("models--org--name/blobs/{}.incomplete", sha256(&model))]);

    hub.seen();
    let snapshot = fetch_model(&config, &id(), &()).unwrap();
    assert_eq!(fs::read(&snapshot.weights[0]).unwrap(), model);
    let seen = hub.seen();
    let range = seen.iter().find(|seen| seen.path.contains("/storage/")).unwrap().headers.get("range");
    assert_eq!(range.map(String::as_str), Some("bytes=30000-"));
    assert!(!tree(cache.path()).iter().any(|path| path.ends_with(".incomplete")));
}

#[test]
fn a_server_without_ranges_begins_again() {
    let model = weights(300_000);
    let hub = Hub::with("org/name", &[("model.safetensors", &model)]);
    hub.fault("GET", "/storage/", 1, Fault::Cut(100_000));
    hub.fault("GET", "/storage/", 1, Fault::IgnoreRange);
    let cache = tempfile::tempdir().unwrap();
    let snapshot = fetch_model(&hub.config(&cache), &id(), &()).unwrap();
    assert_eq!(fs::read(&snapshot.weights[0]).unwrap(), model);
}

#[test]
fn what_another_program_left_is_checked_before_it_is_believed() {
    let model = weights(40_000);
    // Right bytes, wrong bytes, too many bytes, and all of the bytes.
    for (left, gets) in
        [(model[..15_000].to_vec(), 1), (vec![7; 15_000], 2), (vec![7; 50_000], 1), (model.clone(), 0)]
    {
        let hub = Hub::with("org/name", &[("model.safetensors", &model)]);
        let cache = tempfile::tempdir().unwrap();
        let blobs = cache.path().join("models--org--name/blobs");
        fs::create_dir_all(&blobs).unwrap();
        fs::write(blobs.join(format!("{}.incomplete", sha256(&model))), &left).unwrap();
        let snapshot = fetch_model(&hub.config(&cache), &id(), &()).unwrap();
        assert_eq!(fs::read(&snapshot.weights[0]).unwrap(), model);
        assert_eq!(hub.gets("/storage/"), gets, "{} bytes were left", left.len());
    }
}
