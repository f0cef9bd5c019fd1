//! Holds what the client has to know before it talks to anybody: where the Hub and the cache are, who asks, and how patient to
//! be. The library reads no environment variable; whoever calls it fills this in.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Gives the Hub that everybody means when none is named.
pub const DEFAULT_ENDPOINT: &str = "https://huggingface.co";

/// Says how to reach the Hub. [`HubConfig::new`] holds the defaults of Python's `huggingface_hub`.
#[derive(Clone, Debug)]
pub struct HubConfig {
    /// Says where the Hub is, such as `https://huggingface.co`; a trailing slash does not matter.
    pub endpoint: String,
    /// Names the cache folder shared with `huggingface_hub` (its `HF_HUB_CACHE`).
    pub cache_dir: PathBuf,
    /// Holds the user's access token, sent to `endpoint` and to nobody else.
    pub token: Option<Token>,
    /// Says whether only what lies in the cache may be used.
    pub offline: bool,
    /// Gives the proxies to go through.
    pub proxies: Proxies,
    /// Names a PEM file of certificate authorities that replaces the built-in ones (Mozilla's).
    pub ca_bundle: Option<PathBuf>,
    /// Says how long to wait for a connection and for the head of an answer.
    pub answer_timeout: Duration,
    /// Says how long a transfer may stand still before it counts as cut.
    pub read_timeout: Duration,
    /// Says how long a small file (a config, a card, an index, a listing) may take, all tries together.
    pub small_file_timeout: Duration,
    /// Says how many bytes a second a large file has to bring at least, counted over [`HubConfig::slowest_window`].
    pub slowest_rate: u64,
    /// Says how long a large file may come more slowly than that before the transfer counts as cut.
    pub slowest_window: Duration,
    /// Says how often and how patiently to try again.
    pub retries: Retries,
    /// Gives the `User-Agent` header.
    pub user_agent: String,
}

impl HubConfig {
    /// Returns the settings for the public Hub, no token, and the given cache folder.
    pub fn new(cache_dir: impl Into<PathBuf>) -> Self {
        Self {
            endpoint: DEFAULT_ENDPOINT.to_owned(),
            cache_dir: cache_dir.into(),
            token: None,
            offline: false,
            proxies: Proxies::default(),
            ca_bundle: None,
            answer_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(10),
            small_file_timeout: Duration::from_secs(60),
            slowest_rate: 1 << 10,
            slowest_window: Duration::from_secs(30),
            retries: Retries::default(),
            user_agent: concat!("vitport/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

/// Says how a request that failed for a passing reason is repeated.
#[derive(Clone, Copy, Debug)]
pub struct Retries {
    /// Says how often a request is made at most before it counts as failed; at least 1.
    pub tries: u32,
    /// Counts the tries where nobody has answered yet and the connection is refused, or the host has no address.
    pub tries_if_absent: u32,
    /// Gives the pause after the first failure; each further pause is twice the one before it, less a random part of up to a
    /// quarter.
    pub first_pause: Duration,
    /// Limits the pauses of our own choosing.
    pub longest_pause: Duration,
    /// Gives the longest pause that a server may ask for (`Retry-After`) and be waited for.
    pub longest_retry_after: Duration,
}

impl Default for Retries {
    fn default() -> Self {
        Self {
            tries: 5,
            tries_if_absent: 2,
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(8),
            // The Hub counts requests in windows of five minutes.
            longest_retry_after: Duration::from_secs(300),
        }
    }
}

/// Holds an access token. It can be sent to the Hub and compared; it is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// Makes a token from a variable or a file, without the white space around it; `None` if nothing is left.
    pub fn new(text: &str) -> Option<Self> {
        let text: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
        let text = text.trim();
        (!text.is_empty()).then(|| Self(text.to_owned()))
    }

    /// Returns the token itself, for the `Authorization` header.
    pub(super) fn secret(&self) -> &str {
        &self.0
    }

    /// Returns `text` without the token, should it hold it in whatever case (hosts are compared and shown in lower case).
    pub(super) fn redact(&self, text: &str) -> String {
        let (low, secret) = (text.to_ascii_lowercase(), self.0.to_ascii_lowercase());
        let mut kept = String::with_capacity(text.len());
        let mut end = 0;
        for (at, found) in low.match_indices(&secret) {
            kept.push_str(text.get(end..at).unwrap_or_default());
            kept.push_str("***");
            end = at.saturating_add(found.len());
        }
        kept.push_str(text.get(end..).unwrap_or_default());
        kept
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(***)")
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Lists the proxies to go through, as the usual environment variables name them (`http://user:password@host:port`).
#[derive(Clone, Default)]
pub struct Proxies {
    /// Gives the proxy for `http://` addresses.
    pub http: Option<String>,
    /// Gives the proxy for `https://` addresses.
    pub https: Option<String>,
    /// Lists hosts to reach directly, separated by commas: `example.org` also means its subdomains, `*` every host.
    pub no_proxy: Option<String>,
}

impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |proxy: &Option<String>| proxy.as_deref().map(super::address::shown_address);
        f.debug_struct("Proxies")
            .field("http", &shown(&self.http))
            .field("https", &shown(&self.https))
            .field("no_proxy", &self.no_proxy)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::{HubConfig, Proxies, Token};

    #[test]
    fn neither_token_nor_proxy_password_is_shown() {
        let mut config = HubConfig::new("/cache");
        config.token = Token::new(" hf_secret\n");
        config.proxies = Proxies { https: Some("http://me:pass@proxy:3128".into()), ..Proxies::default() };
        let shown = format!("{config:?} {config:#?} {}", config.token.clone().unwrap());
        assert!(!shown.contains("hf_secret") && !shown.contains("pass@"), "{shown}");
        assert!(shown.contains("proxy:3128"), "{shown}");
        assert_eq!(config.token.unwrap().secret(), "hf_secret");
    }

    #[test]
    fn a_token_is_cut_out_of_text_in_any_case() {
        let token = Token::new("hf_Ab").unwrap();
        for (text, expected) in
            [("x", "x"), ("http://HF_AB.x/hf_ab", "http://***.x/***"), ("éhf_Abé", "é***é")]
        {
            assert_eq!(token.redact(text), expected);
        }
    }

    #[test]
    fn an_empty_token_is_none() {
        assert_eq!(Token::new(" \r\n"), None);
    }
}
