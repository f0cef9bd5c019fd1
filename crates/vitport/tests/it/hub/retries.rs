//! Failures that pass by themselves, how long is waited, and when it is given up.

use std::time::Duration;

use vitport::hub::{HubConfig, HubError, HubErrorClass, Retries, fetch_model};

use super::server::{self, Fault, Hub, Log, id};

fn hub() -> Hub {
    Hub::with("org/name", &[("config.json", b"{}"), ("model.safetensors", b"weights")])
}

#[test]
fn server_errors_pass() {
    for status in [500, 502, 503, 504, 408, 429] {
        let hub = hub();
        for (method, part) in [("GET", "/api/"), ("HEAD", "config.json"), ("GET", "/storage/")] {
            hub.status(method, part, 2, status, &[]);
        }
        let cache = tempfile::tempdir().unwrap();
        let log = Log::default();
        fetch_model(&hub.config(&cache), &id(), &log).unwrap_or_else(|error| panic!("{status}: {error}"));
        let retries = log.0.lock().unwrap().iter().filter(|event| event.starts_with("Retrying")).count();
        assert_eq!(retries, 6, "{status}");
    }
}

#[test]
fn a_server_that_stays_broken_is_given_up() {
    let hub = hub();
    hub.status("GET", "/api/", 99, 503, &[]);
    let cache = tempfile::tempdir().unwrap();
    let error = fetch_model(&hub.config(&cache), &id(), &()).unwrap_err();
    assert!(matches!(error, HubError::Status { status: 503, tries: 3, .. }), "{error:?}");
    assert_eq!(error.class(), HubErrorClass::Transfer);
    assert_eq!(hub.seen().len(), 3);
}

#[test]
fn where_nobody_is_there_little_is_tried() {
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let cache = tempfile::tempdir().unwrap();
    let mut config = hub().config(&cache);
    config.endpoint = format!("http://127.0.0.1:{port}");
    config.retries.tries = 9;
    let error = fetch_model(&config, &id(), &()).unwrap_err();
    assert!(matches!(error, HubError::Unreachable { tries: 2, .. }), "{error:?}");
    // RFC 6761 reserves the domain, so that no resolver knows it.
    config.endpoint = "http://hub.invalid".to_owned();
    let error = fetch_model(&config, &id(), &()).unwrap_err();
    assert!(
        matches!(&error, HubError::Unreachable { tries: 2, why, .. } if why == "the host name is not known"),
        "{error:?}"
    );
}

#[test]
fn a_card_that_cannot_be_had_does_not_keep_a_model_waiting() {
    let hub = hub();
    hub.edit("org/name", |repository| {
        repository
            .files
            .insert("README.md".into(), server::Served { bytes: b"#".to_vec(), ..Default::default() });
    });
    hub.status("HEAD", "README.md", 99, 500, &[]);
    let cache = tempfile::tempdir().unwrap();
    let snapshot = fetch_model(&hub.config(&cache), &id(), &()).unwrap();
    assert!(!snapshot.folder.join("README.md").exists());
    assert_eq!(hub.seen().iter().filter(|seen| seen.path.contains("README")).count(), 1);
}

#[test]
fn other_refusals_are_final() {
    let hub = hub();
    hub.status("GET", "/api/", 99, 410, &[]);
    let cache = tempfile::tempdir().unwrap();
    let error = fetch_model(&hub.config(&cache), &id(), &()).unwrap_err();
    assert!(matches!(error, HubError::Status { status: 410, .. }), "{error:?}");
    assert_eq!(hub.seen().len(), 1);
}

#[test]
fn the_pause_is_the_one_the_server_asks_for() {
    for header in [("Retry-After", "1"), ("RateLimit", "\"api\";r=0;t=1")] {
        let hub = hub();
        hub.status("GET", "/api/", 1, 429, &[header]);
        let cache = tempfile::tempdir().unwrap();
        let log = Log::default();
        fetch_model(&hub.config(&cache), &id(), &log).unwrap();
        let log = log.0.lock().unwrap();
        assert!(
            log.iter().any(|event| event.starts_with("Retrying") && event.contains("pause: 1s")),
            "{log:?}"
        );
    }
}

#[test]
fn a_pause_beyond_patience_is_not_waited_for() {
    let hub = hub();
    hub.status("GET", "/api/", 1, 429, &[("Retry-After", "3600")]);
    let cache = tempfile::tempdir().unwrap();
    let error = fetch_model(&hub.config(&cache), &id(), &()).unwrap_err();
    assert!(matches!(error, HubError::RateLimited { wait_seconds: Some(3600), tries: 1, .. }), "{error:?}");
    assert!(error.to_string().contains("3600 s"), "{error}");
}

#[test]
fn a_slow_server_counts_as_cut() {
    let hub = hub();
    hub.fault("GET", "/storage/", 1, Fault::Stall(3, Duration::from_secs(20)));
    let cache = tempfile::tempdir().unwrap();
    let config = HubConfig { read_timeout: Duration::from_millis(200), ..hub.config(&cache) };
    let snapshot = fetch_model(&config, &id(), &()).unwrap();
    assert_eq!(std::fs::read(&snapshot.weights[0]).unwrap(), b"weights");
}

#[test]
fn no_server_at_all() {
    let cache = tempfile::tempdir().unwrap();
    let pause = Duration::from_millis(1);
    let retries = Retries { tries: 2, first_pause: pause, longest_pause: pause, ..Retries::default() };
    for endpoint in ["http://127.0.0.1:9", "http://name.invalid"] {
        let config = HubConfig { endpoint: endpoint.into(), retries, ..HubConfig::new(cache.path()) };
        let error = fetch_model(&config, &id(), &()).unwrap_err();
        assert!(matches!(error, HubError::Unreachable { tries: 2, .. }), "{error:?}");
        assert!(error.to_string().contains("HF_ENDPOINT"), "{error}");
    }
}

#[test]
fn a_server_that_begins_anew_each_time_is_given_up() {
    let bytes = server::weights(1 << 20);
    let hub = Hub::with("org/name", &[("model.safetensors", &bytes)]);
    // More arrives each time than the time before, and nobody gets any further.
    for length in 1..90 {
        hub.fault("GET", "/storage/", 1, Fault::Restart((300 << 10) + length * 1_000));
    }
    let cache = tempfile::tempdir().unwrap();
    let error = fetch_model(&hub.config(&cache), &id(), &()).unwrap_err();
    assert!(matches!(error, HubError::Cut { tries: 3, .. }), "{error:?}");
    assert_eq!(hub.gets("/storage/"), 3);
    // Where it goes on from where it stopped, it is tried for as long as that gets it further.
    let hub = Hub::with("org/name", &[("model.safetensors", &bytes)]);
    hub.fault("GET", "/storage/", 7, Fault::Cut(100 << 10));
    let cache = tempfile::tempdir().unwrap();
    fetch_model(&hub.config(&cache), &id(), &()).unwrap();
    assert_eq!(hub.gets("/storage/"), 8);
}

#[test]
fn a_byte_now_and_then_is_not_waited_for() {
    for (method, part, is_small) in
        [("GET", "/api/", true), ("GET", "config.json", true), ("GET", "/storage/", false)]
    {
        let hub = hub();
        hub.edit_file("org/name", "config.json", |served| served.bytes = vec![b' '; 4096]);
        hub.edit_file("org/name", "model.safetensors", |served| served.bytes = server::weights(4096));
        hub.fault(method, part, 99, Fault::Drip(Duration::from_millis(20)));
        let cache = tempfile::tempdir().unwrap();
        let config = HubConfig {
            small_file_timeout: Duration::from_millis(600),
            slowest_window: Duration::from_millis(300),
            ..hub.config(&cache)
        };
        let start = std::time::Instant::now();
        let error = fetch_model(&config, &id(), &()).unwrap_err();
        assert!(start.elapsed() < Duration::from_secs(10), "{part}: {:?}", start.elapsed());
        assert_eq!(error.class(), HubErrorClass::Transfer, "{error}");
        let said = if is_small { "has not arrived" } else { "bytes in" };
        assert!(error.to_string().contains(said), "{part}: {error}");
    }
}

#[test]
fn small_files_stop_at_their_readers_limits() {
    for (file, limit) in
        [("config.json", 16 << 20), ("README.md", 1 << 20), ("model.safetensors.index.json", 32 << 20)]
    {
        for announced in [None, Some(10)] {
            let hub = Hub::with("org/name", &[("config.json", b"{}"), (file, &vec![b' '; limit + 1])]);
            if file != "model.safetensors.index.json" {
                hub.edit("org/name", |repository| {
                    let weights =
                        server::Served { bytes: b"weights".to_vec(), lfs: true, ..Default::default() };
                    repository.files.insert("model.safetensors".into(), weights);
                });
            }
            hub.edit_file("org/name", file, |served| served.size = announced);
            let cache = tempfile::tempdir().unwrap();
            let fetched = fetch_model(&hub.config(&cache), &id(), &());
            match file {
                // A model is worth having without its card, whose licence is then not known.
                "README.md" => assert!(fetched.unwrap().card_failed.is_some()),
                _ => assert!(fetched.is_err(), "{file}"),
            }
            let blobs = server::tree(cache.path());
            assert!(!blobs.iter().any(|path| path.ends_with(".incomplete")), "{blobs:?}");
            if announced.is_none() {
                assert_eq!(hub.gets(file), 0, "{file}: its size was known");
            }
        }
    }
}
