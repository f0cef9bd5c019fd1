//! Parses the addresses the client talks to. Only `http` and `https` exist here; an address knows its origin, which alone
//! decides whether the token may travel with a request, and it can be shown without the parts that hold secrets (user
//! information and the query of a signed link).

use super::error::HubError;
use super::shown::shown;

/// Holds an absolute `http` or `https` address, split where this module needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    secure: bool,
    host: String,
    port: u16,
    /// Gives the path and query, beginning with `/`.
    target: String,
}

impl Address {
    /// Reads an absolute address. User information (`user:password@`) is refused: it would be a second,
    /// hidden way to hand over a secret.
    pub(super) fn parse(text: &str) -> Result<Self, HubError> {
        let refuse = |why: &str| HubError::BadAddress { address: shown_address(text), why: why.to_owned() };
        let (scheme, rest) =
            text.split_once("://").ok_or_else(|| refuse("it does not begin with https://"))?;
        let secure = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return Err(refuse("only http and https are spoken")),
        };
        let rest = rest.split_once('#').map_or(rest, |(before, _)| before);
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at_checked(end).unwrap_or((rest, ""));
        if authority.contains('@') {
            return Err(refuse("it holds a user name or password; hand the token over in HF_TOKEN instead"));
        }
        if authority.is_empty() || !text.is_ascii() || text.chars().any(|c| c.is_control() || c == ' ') {
            return Err(refuse("it is not an address"));
        }
        let (host, port) = split_port(authority, if secure { 443 } else { 80 })
            .ok_or_else(|| refuse("its port is not a number"))?;
        if host.is_empty() {
            return Err(refuse("it names no host"));
        }
        let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
        Ok(Self { secure, host: host.to_ascii_lowercase(), port, target })
    }

    /// Returns the address that `location`, a `Location` header received from here, points to.
    pub(super) fn join(&self, location: &str) -> Result<Self, HubError> {
        let mut next = self.clone();
        if location
            .split_once("://")
            .is_some_and(|(scheme, _)| scheme.chars().all(|c| c.is_ascii_alphanumeric()))
        {
            return Self::parse(location);
        }
        if let Some(rest) = location.strip_prefix("//") {
            let scheme = if self.secure { "https" } else { "http" };
            return Self::parse(&format!("{scheme}://{rest}"));
        }
        let location = location.split_once('#').map_or(location, |(before, _)| before);
        let path = self.target.split_once('?').map_or(self.target.as_str(), |(path, _)| path);
        next.target = if location.starts_with('/') {
            location.to_owned()
        } else if location.starts_with('?') {
            format!("{path}{location}")
        } else {
            let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
            format!("{folder}/{location}")
        };
        Self::parse(&next.text())
    }

    /// Returns the same origin, another path.
    pub(super) fn with_path(&self, path: &str) -> Self {
        let base = self.target.split_once('?').map_or(self.target.as_str(), |(path, _)| path);
        Self { target: format!("{}{path}", base.trim_end_matches('/')), ..self.clone() }
    }

    /// Says whether both addresses have the same scheme, host and port.
    pub(super) fn same_origin(&self, other: &Self) -> bool {
        self.secure == other.secure && self.host == other.host && self.port == other.port
    }

    pub(super) fn is_secure(&self) -> bool {
        self.secure
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Returns the whole address, query included: for the wire, never for a message.
    pub(super) fn text(&self) -> String {
        format!("{}{}", self.origin(), self.target)
    }

    /// Returns scheme, host, and port where it is not the scheme's own.
    pub(super) fn origin(&self) -> String {
        let (scheme, usual) = if self.secure { ("https", 443) } else { ("http", 80) };
        if self.port == usual {
            format!("{scheme}://{}", self.host)
        } else {
            format!("{scheme}://{}:{}", self.host, self.port)
        }
    }
}

/// Splits `host:port`, where a host may be an IPv6 address in brackets.
fn split_port(authority: &str, usual: u16) -> Option<(&str, u16)> {
    let after_brackets = authority.rfind(']').map_or(0, |at| at.saturating_add(1));
    let (_, tail) = authority.split_at_checked(after_brackets)?;
    match tail.rfind(':') {
        None => Some((authority, usual)),
        Some(at) => {
            let (host, port) = authority.split_at_checked(after_brackets.checked_add(at)?)?;
            let port = port.strip_prefix(':')?;
            if port.is_empty() { Some((host, usual)) } else { Some((host, port.parse().ok()?)) }
        }
    }
}

/// Returns an address as a message or a report may show it: without user information, query and fragment.
pub fn shown_address(text: &str) -> String {
    let end = text.find(['?', '#']).unwrap_or(text.len());
    let text = text.split_at_checked(end).map_or(text, |(before, _)| before);
    let text = match text.split_once("://") {
        Some((scheme, rest)) => {
            let end = rest.find('/').unwrap_or(rest.len());
            let (authority, path) = rest.split_at_checked(end).unwrap_or((rest, ""));
            let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
            format!("{scheme}://{host}{path}")
        }
        None => text.rsplit_once('@').map_or(text, |(_, host)| host).to_owned(),
    };
    shown(&text)
}

/// Percent-encodes everything but unreserved characters and those in `keep`
/// (RFC 3986, section 2.3; what Python's `urllib.parse.quote` does).
pub(super) fn quoted(text: &str, keep: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        let c = char::from(byte);
        if byte.is_ascii_alphanumeric() || "-._~".contains(c) || (byte.is_ascii() && keep.contains(c)) {
            out.push(c);
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{Address, quoted, shown_address};

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    #[test]
    fn origins_compare_scheme_host_and_port() {
        let hub = address("https://Hub.example/base");
        assert!(hub.same_origin(&address("https://hub.example:443/x?y")));
        for other in [
            "http://hub.example/",
            "https://hub.example:444/",
            "https://hub.example.evil/",
            "https://cdn.hub.example/",
        ] {
            assert!(!hub.same_origin(&address(other)), "{other}");
        }
        assert_eq!(address("http://[::1]:81/a").port(), 81);
        assert_eq!(address("http://[::1]/a").port(), 80);
    }

    #[test]
    fn a_location_is_resolved_against_where_it_came_from() {
        let here = address("https://hub.example/a/b?c=d");
        for (location, expected) in [
            ("/x", "https://hub.example/x"),
            ("y?z=1", "https://hub.example/a/y?z=1"),
            ("y?u=http://h", "https://hub.example/a/y?u=http://h"),
            ("?q", "https://hub.example/a/b?q"),
            ("//cdn.example/f", "https://cdn.example/f"),
            ("http://cdn.example", "http://cdn.example/"),
            ("/x?to=https://elsewhere/#f", "https://hub.example/x?to=https://elsewhere/"),
        ] {
            assert_eq!(here.join(location).unwrap().text(), expected, "{location}");
        }
        assert!(here.join("file:///etc/passwd").is_err());
        assert!(here.join("ftp://x/").is_err());
    }

    #[test]
    fn secrets_are_neither_accepted_nor_shown() {
        let error = Address::parse("https://me:hf_secret@hub.example/").unwrap_err().to_string();
        assert!(!error.contains("hf_secret"), "{error}");
        assert_eq!(shown_address("https://u:p@h/x?signature=s#f"), "https://h/x");
        assert_eq!(shown_address("u:p@h"), "h");
    }

    #[test]
    fn quoting_is_pythons() {
        assert_eq!(quoted("refs/pr/1", ""), "refs%2Fpr%2F1");
        assert_eq!(quoted("a b/ü~.pth", "/"), "a%20b/%C3%BC~.pth");
    }
}
