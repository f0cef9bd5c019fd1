//! Proxies and certificates.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use vitport::hub::{HubConfig, HubError, HubErrorClass, Proxies, fetch_model};

use super::server::{Hub, id};

/// A proxy that understands CONNECT, and the request lines it saw.
fn proxy() -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let log = Arc::clone(&log);
            thread::spawn(move || {
                let mut head = Vec::new();
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") && client.read(&mut byte).unwrap_or(0) == 1 {
                    head.push(byte[0]);
                }
                let head = String::from_utf8_lossy(&head).into_owned();
                let line = head.lines().next().unwrap_or_default().to_owned();
                let Some(target) = line.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next())
                else {
                    return;
                };
                let mut server = TcpStream::connect(target).unwrap();
                log.lock().unwrap().push(head);
                client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
                let (mut up, mut down) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                thread::spawn(move || std::io::copy(&mut up, &mut down));
                let _ = std::io::copy(&mut server, &mut client);
                let _ = client.shutdown(std::net::Shutdown::Both);
            });
        }
    });
    (address, seen)
}

#[test]
fn requests_go_through_the_proxy_unless_configured_otherwise() {
    let hub = Hub::with("org/name", &[("config.json", b"{}"), ("model.safetensors", b"weights")]);
    let id = id();
    for (no_proxy, through) in
        [(None, true), (Some("example.org"), true), (Some("127.0.0.1"), false), (Some("*"), false)]
    {
        let (address, seen) = proxy();
        let cache = tempfile::tempdir().unwrap();
        let proxies = Proxies {
            http: Some(format!("http://me:pw@{address}")),
            no_proxy: no_proxy.map(str::to_owned),
            ..Proxies::default()
        };
        fetch_model(&HubConfig { proxies, ..hub.config(&cache) }, &id, &()).unwrap();
        let seen = seen.lock().unwrap();
        assert_eq!(!seen.is_empty(), through, "{no_proxy:?}");
        // "me:pw" in base64.
        assert!(
            seen.iter().all(|head| head.to_lowercase().contains("proxy-authorization: basic bwu6chc=")),
            "{seen:?}"
        );
    }
}

#[test]
fn settings_that_cannot_be_used_are_named() {
    let cache = tempfile::tempdir().unwrap();
    let id = id();
    let base = HubConfig { endpoint: "http://127.0.0.1:9".into(), ..HubConfig::new(cache.path()) };
    let proxies = Proxies { https: Some("gopher://me:secret@x".into()), ..Proxies::default() };
    let error = fetch_model(&HubConfig { proxies, ..base.clone() }, &id, &()).unwrap_err();
    assert!(
        matches!(error, HubError::BadSetting { .. }) && !error.to_string().contains("secret"),
        "{error:?}"
    );
    assert_eq!(error.class(), HubErrorClass::Usage);

    let empty = tempfile::NamedTempFile::new().unwrap();
    let error = fetch_model(&HubConfig { ca_bundle: Some(empty.path().into()), ..base.clone() }, &id, &())
        .unwrap_err();
    assert!(matches!(error, HubError::BadSetting { .. }), "{error:?}");
    let error = fetch_model(&HubConfig { ca_bundle: Some(cache.path().join("none.pem")), ..base }, &id, &())
        .unwrap_err();
    assert!(matches!(error, HubError::Disk { .. }), "{error:?}");
}
