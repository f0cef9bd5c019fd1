//! Tests what the Hub refuses: missing, private and gated repositories, and tokens it does not know.

use vitport::hub::{HubConfig, HubError, HubErrorClass, RepoId, Token, fetch_model};

use super::server::{Hub, id, tree};

fn refused(hub: &Hub, name: &str, token: Option<&str>) -> HubError {
    let cache = tempfile::tempdir().unwrap();
    let config = HubConfig { token: token.and_then(Token::new), ..hub.config(&cache) };
    let error = fetch_model(&config, &RepoId::parse(name).unwrap(), &()).unwrap_err();
    assert_eq!(error.class(), HubErrorClass::Transfer);
    let text = error.to_string();
    assert!(text.contains(name) || matches!(error, HubError::TokenRefused { .. }), "{text}");
    assert!(!text.contains('\n'), "{text}");
    assert!(!tree(cache.path()).iter().any(|path| !path.starts_with(".locks")), "something is left");
    error
}

#[test]
fn missing_and_private_look_alike_and_it_is_said() {
    let hub = Hub::with("org/private", &[("model.safetensors", b"weights")]);
    hub.edit("org/private", |repository| repository.private = Some("hf_owner".into()));
    for name in ["org/missing", "org/private"] {
        let error = refused(&hub, name, None);
        assert!(
            matches!(error, HubError::NotFoundOrPrivate { status: 401, token_sent: false, .. }),
            "{error:?}"
        );
        assert!(error.to_string().contains("set HF_TOKEN"), "{error}");
        let error = refused(&hub, name, Some("hf_stranger"));
        assert!(
            matches!(error, HubError::NotFoundOrPrivate { status: 404, token_sent: true, .. }),
            "{error:?}"
        );
    }
}

#[test]
fn a_403_without_a_reason() {
    let hub = Hub::start();
    hub.status("GET", "/api/", 1, 403, &[]);
    assert!(matches!(refused(&hub, "org/name", None), HubError::NotFoundOrPrivate { status: 403, .. }));
}

#[test]
fn a_gated_repository_says_where_to_ask() {
    let hub = Hub::with("org/gated", &[("config.json", b"{}"), ("model.safetensors", b"weights")]);
    hub.edit("org/gated", |repository| repository.gated = true);
    for token in [None, Some("hf_stranger")] {
        let error = refused(&hub, "org/gated", token);
        assert!(matches!(error, HubError::Gated { .. }), "{error:?}");
        assert!(error.to_string().contains(&format!("{}/org/gated", hub.endpoint)), "{error}");
    }
}

#[test]
fn a_token_that_the_hub_does_not_know() {
    let hub = Hub::start();
    hub.status("GET", "/api/", 1, 401, &[("X-Error-Message", "Invalid credentials in Authorization header")]);
    assert!(matches!(refused(&hub, "org/name", Some("hf_old")), HubError::TokenRefused { .. }));
}

#[test]
fn an_endpoint_that_is_none() {
    let cache = tempfile::tempdir().unwrap();
    for endpoint in [
        "",
        "huggingface.co",
        "ftp://huggingface.co",
        "https://",
        "https://me:secret@huggingface.co",
        "http://h:port",
    ] {
        let config = HubConfig { endpoint: endpoint.into(), ..HubConfig::new(cache.path()) };
        let error = fetch_model(&config, &id(), &()).unwrap_err();
        assert!(matches!(error, HubError::BadAddress { .. }), "{endpoint}: {error:?}");
        assert_eq!(error.class(), HubErrorClass::Usage);
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}

#[test]
fn an_endpoint_may_end_in_slashes_or_have_a_path() {
    let hub = Hub::with("org/name", &[("config.json", b"{}"), ("model.safetensors", b"weights")]);
    let cache = tempfile::tempdir().unwrap();
    let config = HubConfig { endpoint: format!("{}//", hub.endpoint), ..hub.config(&cache) };
    fetch_model(&config, &id(), &()).unwrap();
    hub.seen();
    let config = HubConfig { endpoint: format!("{}/mirror/hf", hub.endpoint), ..hub.config(&cache) };
    let _ = fetch_model(&config, &RepoId::parse("org/other").unwrap(), &());
    assert_eq!(hub.lines()[0], "GET /mirror/hf/api/models/org/other/revision/main");
}
