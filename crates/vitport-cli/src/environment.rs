//! Reads what the environment says of the Hub: its address, the cache, the token, proxies. The variables and their precedence
//! are those of Python's `huggingface_hub` (huggingface_hub/constants.py), so that both clients share one cache and one login.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use vitport::hub::{HubConfig, Proxies, Token};

use crate::failure::Failure;

/// Reads the client's settings from the environment.
///
/// # Errors
/// A usage failure if there is no place for the cache.
pub fn hub_config() -> Result<HubConfig, Failure> {
    let mut config = HubConfig::new(cache_folder()?);
    if let Some(endpoint) = text("HF_ENDPOINT") {
        config.endpoint = endpoint.trim_end_matches('/').to_owned();
    }
    config.token = token();
    config.offline = is_on("HF_HUB_OFFLINE") || is_on("TRANSFORMERS_OFFLINE");
    config.proxies = Proxies {
        http: first(&["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"]),
        https: first(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]),
        no_proxy: first(&["no_proxy", "NO_PROXY"]),
    };
    config.ca_bundle = first(&["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"]).map(PathBuf::from);
    if let Some(patience) = seconds("HF_HUB_ETAG_TIMEOUT") {
        config.answer_timeout = patience;
    }
    if let Some(patience) = seconds("HF_HUB_DOWNLOAD_TIMEOUT") {
        config.read_timeout = patience;
    }
    Ok(config)
}

/// Returns `HF_HUB_CACHE`, or `hub` in `HF_HOME`, or that in the user's cache folder.
fn cache_folder() -> Result<PathBuf, Failure> {
    if let Some(folder) = first(&["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"]) {
        return Ok(PathBuf::from(folder));
    }
    home().map(|home| home.join("hub")).ok_or_else(|| {
        Failure::usage(
            "there is no home folder for what is fetched from the Hub; set HF_HUB_CACHE to a folder",
        )
    })
}

/// Returns `HF_HOME`, or `huggingface` in the user's cache folder.
fn home() -> Option<PathBuf> {
    if let Some(folder) = text("HF_HOME") {
        return Some(PathBuf::from(folder));
    }
    let caches = text("XDG_CACHE_HOME").map(PathBuf::from);
    let caches = caches.or_else(|| text("HOME").map(|home| Path::new(&home).join(".cache")))?;
    Some(caches.join("huggingface"))
}

/// Reads `HF_TOKEN`, or the file that a login leaves; none where `HF_HUB_DISABLE_IMPLICIT_TOKEN` is set.
fn token() -> Option<Token> {
    if is_on("HF_HUB_DISABLE_IMPLICIT_TOKEN") {
        return None;
    }
    if let Some(token) = first(&["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"]) {
        return Token::new(&token);
    }
    let file = text("HF_TOKEN_PATH").map(PathBuf::from).or_else(|| home().map(|home| home.join("token")))?;
    Token::new(&fs::read_to_string(file).ok()?)
}

/// Returns whether bars over what is fetched are unwanted (`HF_HUB_DISABLE_PROGRESS_BARS`).
pub fn hides_bars() -> bool {
    is_on("HF_HUB_DISABLE_PROGRESS_BARS")
}

fn text(variable: &str) -> Option<String> {
    env::var(variable).ok().filter(|value| !value.trim().is_empty())
}

fn first(variables: &[&str]) -> Option<String> {
    variables.iter().find_map(|variable| text(variable))
}

fn is_on(variable: &str) -> bool {
    text(variable)
        .is_some_and(|value| ["1", "ON", "YES", "TRUE"].contains(&value.trim().to_uppercase().as_str()))
}

fn seconds(variable: &str) -> Option<Duration> {
    let seconds = text(variable)?.trim().parse::<u64>().ok()?;
    (seconds > 0).then(|| Duration::from_secs(seconds))
}
