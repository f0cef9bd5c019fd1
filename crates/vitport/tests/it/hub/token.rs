//! Tests the token: sent to the Hub's own origin, and seen nowhere else, whatever the servers do.

use vitport::hub::{HubConfig, Proxies, RepoId, Token, fetch_model, fetch_url};

use super::server::{Fault, Hub, Log, id, tree};

const SECRET: &str = "hf_TheSecretThatNobodySees";

fn with_token(config: HubConfig) -> HubConfig {
    HubConfig { token: Token::new(SECRET), ..config }
}

#[test]
fn it_opens_a_private_repository() {
    let hub = Hub::with("org/private", &[("config.json", b"{}"), ("model.safetensors", b"weights")]);
    hub.edit("org/private", |repository| repository.private = Some(SECRET.into()));
    let cache = tempfile::tempdir().unwrap();
    let id = RepoId::parse("org/private").unwrap();
    let error = fetch_model(&hub.config(&cache), &id, &()).unwrap_err();
    assert!(error.to_string().contains("HF_TOKEN"), "{error}");
    fetch_model(&with_token(hub.config(&cache)), &id, &()).unwrap();
    for seen in hub.seen().into_iter().skip(1) {
        assert_eq!(seen.headers.get("authorization"), Some(&format!("Bearer {SECRET}")), "{}", seen.path);
    }
    for path in tree(cache.path()) {
        let bytes = std::fs::read(cache.path().join(path.split(" -> ").next().unwrap())).unwrap();
        assert!(!String::from_utf8_lossy(&bytes).contains(SECRET), "{path}");
    }
}

#[test]
fn another_origin_never_gets_it() {
    let files: [(&str, &[u8]); 1] = [("model.safetensors", b"weights")];
    let (hub, storage) = (Hub::with("org/name", &files), Hub::with("org/name", &files));
    hub.storage_at(&storage.endpoint);
    let cache = tempfile::tempdir().unwrap();
    fetch_model(&with_token(hub.config(&cache)), &id(), &()).unwrap();
    let seen = storage.seen();
    assert!(
        !seen.is_empty() && seen.iter().all(|seen| !seen.headers.contains_key("authorization")),
        "{seen:?}"
    );
    assert!(hub.seen().iter().all(|seen| seen.headers.contains_key("authorization")));
}

#[test]
fn another_name_of_the_same_host_is_another_origin() {
    let hub = Hub::with("org/name", &[("model.safetensors", b"weights")]);
    hub.storage_at(&hub.endpoint.replace("127.0.0.1", "localhost"));
    let cache = tempfile::tempdir().unwrap();
    fetch_model(&with_token(hub.config(&cache)), &id(), &()).unwrap();
    let stored: Vec<_> = hub.seen().into_iter().filter(|seen| seen.path.starts_with("/storage/")).collect();
    assert!(!stored.is_empty() && stored.iter().all(|seen| !seen.headers.contains_key("authorization")));
}

#[test]
fn a_image_on_another_origin_does_not_get_it() {
    let (hub, elsewhere) = (Hub::start(), Hub::start());
    elsewhere.page("/cat.png", 200, &[], b"png");
    hub.page("/cat.png", 200, &[], b"png");
    let folder = tempfile::tempdir().unwrap();
    let config = with_token(hub.config(&folder));
    for server in [&hub, &elsewhere] {
        fetch_url(&config, &format!("{}/cat.png", server.endpoint), folder.path(), 100, &()).unwrap();
    }
    assert!(hub.seen()[0].headers.contains_key("authorization"));
    assert!(!elsewhere.seen()[0].headers.contains_key("authorization"));
}

#[test]
fn no_message_holds_it_whatever_the_server_echoes() {
    let echoes = [
        (400, vec![], format!("bad token {SECRET}")),
        (
            401,
            vec![("X-Error-Message".to_owned(), "Invalid credentials in Authorization header".to_owned())],
            SECRET.to_owned(),
        ),
        (401, vec![("X-Error-Message".to_owned(), SECRET.to_owned())], SECRET.to_owned()),
        (403, vec![("X-Error-Code".to_owned(), "GatedRepo".to_owned())], SECRET.to_owned()),
        (404, vec![("X-Error-Code".to_owned(), SECRET.to_owned())], SECRET.to_owned()),
        (429, vec![("Retry-After".to_owned(), SECRET.to_owned())], SECRET.to_owned()),
        (500, vec![], SECRET.to_owned()),
        (200, vec![], SECRET.to_owned()),
        (200, vec![], format!("{{\"sha\": \"../{SECRET}\"}}")),
        (
            302,
            vec![("Location".to_owned(), format!("http://{SECRET}.invalid/{SECRET}?t={SECRET}"))],
            String::new(),
        ),
        (302, vec![("Location".to_owned(), format!("ftp://{SECRET}"))], String::new()),
        (302, vec![("Location".to_owned(), format!("/{SECRET}"))], String::new()),
    ];
    for (status, headers, body) in echoes {
        let hub = Hub::with("org/name", &[("model.safetensors", b"weights")]);
        hub.fault("GET", "", 99, Fault::Answer(status, headers, body));
        let cache = tempfile::tempdir().unwrap();
        let log = Log::default();
        let error = fetch_model(&with_token(hub.config(&cache)), &id(), &log).unwrap_err();
        let all = format!("{error} {error:?} {:?}", log.0.lock().unwrap()).to_lowercase();
        assert!(!all.contains(&SECRET.to_lowercase()), "{status}: {all}");
        assert!(!error.to_string().contains('\n'), "{error}");
    }
}

#[test]
fn a_configuration_does_not_show_it() {
    let mut config = with_token(HubConfig::new("/cache"));
    config.proxies = Proxies { http: Some(format!("http://me:{SECRET}@127.0.0.1:9")), ..Proxies::default() };
    assert!(!format!("{config:?}").contains(SECRET));
    // A token that cannot be a header is refused without being shown.
    let cache = tempfile::tempdir().unwrap();
    let config = HubConfig { token: Token::new("hf_\u{1}bad"), ..HubConfig::new(cache.path()) };
    let error = fetch_model(&config, &id(), &()).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("bad"), "{error}");
}
