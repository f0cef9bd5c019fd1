//! Makes one request and its answer: who is asked, through which proxy, with which headers, and where redirects may lead. The
//! token goes to the Hub's own origin and nowhere else, whatever a server says.

use std::cell::Cell;
use std::io::{self, Read};
use std::time::Duration;

use ureq::http::header::{ACCEPT_ENCODING, AUTHORIZATION, LOCATION, RANGE, RETRY_AFTER};
use ureq::http::{HeaderMap, HeaderValue, Method, Request, Response};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body, Proxy};
use vitport_checkpoint::read_regular;

use super::address::Address;
use super::config::HubConfig;
use super::error::HubError;
use super::pace::{Pace, is_over};
use super::retry::{Fault, is_passing, rate_limit_reset, retry_after};

/// Limits the bytes that a file of certificates may have; Mozilla's has 200,000.
const MOST_CERTIFICATE_BYTES: u64 = 16 << 20;

/// Gives more redirects than any Hub needs: one for a renamed repository, one or two to the storage.
const MOST_REDIRECTS: u32 = 10;

/// Speaks to the Hub, and to where it sends us.
pub(super) struct Client<'a> {
    config: &'a HubConfig,
    endpoint: Address,
    authorization: Option<HeaderValue>,
    direct: Agent,
    http_proxy: Option<Agent>,
    https_proxy: Option<Agent>,
    /// Says whether anybody has answered yet.
    is_reached: Cell<bool>,
}

/// Holds the head of an answer, and a body to be read.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Body,
    /// Says who gave it, after redirects.
    pub(super) address: Address,
}

impl Answer {
    /// Returns a header that is text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Returns a header that is a number.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.header(name)?.trim().parse().ok()
    }

    /// Says where a redirect leads, if this is one.
    pub(super) fn redirect(&self) -> Option<&str> {
        matches!(self.status, 301 | 302 | 303 | 307 | 308).then(|| self.header(LOCATION.as_str())).flatten()
    }
}

impl<'a> Client<'a> {
    /// Makes a client for the Hub of `config`.
    ///
    /// # Errors
    /// [`HubError::BadAddress`] or [`HubError::BadSetting`] if the configuration cannot be used.
    pub(super) fn new(config: &'a HubConfig) -> Result<Self, HubError> {
        let endpoint = Address::parse(config.endpoint.trim_end_matches('/'))?;
        let roots = match &config.ca_bundle {
            None => RootCerts::WebPki,
            Some(path) => {
                let text = read_regular(path, MOST_CERTIFICATE_BYTES)
                    .map_err(|source| HubError::disk("read the certificates in", path, source))?;
                let certificates: Vec<Certificate<'static>> = parse_pem(&text)
                    .filter_map(|item| match item {
                        Ok(PemItem::Certificate(certificate)) => Some(certificate),
                        _ => None,
                    })
                    .collect();
                if certificates.is_empty() {
                    return Err(HubError::BadSetting {
                        what: "the certificate file".to_owned(),
                        why: format!("{} holds no PEM certificate", path.display()),
                    });
                }
                RootCerts::new_with_certs(&certificates)
            }
        };
        let tls = TlsConfig::builder().root_certs(roots).build();
        let agent = |proxy: Option<Proxy>| -> Agent {
            Agent::config_builder()
                .http_status_as_error(false)
                .max_redirects(0)
                .max_redirects_will_error(false)
                .proxy(proxy)
                .tls_config(tls.clone())
                .user_agent(config.user_agent.as_str())
                .timeout_connect(Some(config.answer_timeout))
                .timeout_recv_response(Some(config.answer_timeout.max(config.read_timeout)))
                .timeout_per_read(Some(config.read_timeout))
                .build()
                .new_agent()
        };
        let through = |proxy: &Option<String>, name: &str| -> Result<Option<Agent>, HubError> {
            let Some(text) = proxy.as_deref().filter(|text| !text.is_empty()) else { return Ok(None) };
            let why = "it is not http://[user:password@]host:port".to_owned();
            let proxy = Proxy::new(text)
                .map_err(|_| HubError::BadSetting { what: format!("the {name} proxy"), why })?;
            Ok(Some(agent(Some(proxy))))
        };
        let authorization = config.token.as_ref().map(|token| {
            let mut value = HeaderValue::from_str(&format!("Bearer {}", token.secret())).map_err(|_| {
                HubError::BadSetting {
                    what: "the token".to_owned(),
                    why: "it holds characters that no token has".to_owned(),
                }
            })?;
            value.set_sensitive(true);
            Ok(value)
        });
        Ok(Self {
            config,
            endpoint,
            authorization: authorization.transpose()?,
            http_proxy: through(&config.proxies.http, "http")?,
            https_proxy: through(&config.proxies.https, "https")?,
            direct: agent(None),
            is_reached: Cell::new(false),
        })
    }

    /// Returns a watch over the tries of one transfer.
    pub(super) fn pace(&self, is_small: bool) -> Pace {
        Pace::new(self.config, is_small)
    }

    pub(super) fn endpoint(&self) -> &Address {
        &self.endpoint
    }

    /// Returns the Hub as messages name it.
    pub(super) fn hub(&self) -> String {
        self.endpoint.origin()
    }

    pub(super) fn has_token(&self) -> bool {
        self.authorization.is_some()
    }

    /// Returns a host as messages may name it: a server could send us to one that is called like the token.
    pub(super) fn shown_host(&self, address: &Address) -> String {
        let origin = super::shown::shown(&address.origin());
        self.config.token.as_ref().map_or(origin.clone(), |token| token.redact(&origin))
    }

    /// Makes one request, with no redirect followed. Answers that may pass (429, 5xx …) are faults.
    ///
    /// `what` names what is asked for, in messages; `from` asks for the bytes from there on.
    pub(super) fn ask(
        &self,
        method: &Method,
        address: &Address,
        what: &str,
        from: u64,
    ) -> Result<Answer, Fault> {
        let host = self.shown_host(address);
        let bad = |why: &str| HubError::BadAnswer {
            host: host.clone(),
            what: what.to_owned(),
            why: why.to_owned(),
        };
        let mut request = Request::builder()
            .method(method)
            .uri(address.text())
            // A compressed body would have another size than the file.
            .header(ACCEPT_ENCODING, "identity");
        if from > 0 {
            request = request.header(RANGE, format!("bytes={from}-"));
        }
        if let Some(authorization) =
            self.authorization.as_ref().filter(|_| address.same_origin(&self.endpoint))
        {
            request = request.header(AUTHORIZATION, authorization);
        }
        let request = request.body(()).map_err(|_| bad("it leads to an invalid address"))?;
        let response = self.agent(address).run(request).map_err(|error| self.unreachable(address, &error))?;
        self.is_reached.set(true);
        let answer = Answer::from_response(response, address.clone());
        if is_passing(answer.status) {
            return Err(self.overloaded(&answer, what, host));
        }
        if answer
            .header("content-encoding")
            .is_some_and(|encoding| !encoding.eq_ignore_ascii_case("identity"))
        {
            return Err(bad("it compresses what it was asked to send as it is").into());
        }
        Ok(answer)
    }

    /// Sends a GET that follows redirects to wherever they lead, except from https to http.
    pub(super) fn get(&self, address: &Address, what: &str, from: u64) -> Result<Answer, Fault> {
        let mut address = address.clone();
        for _ in 0..=MOST_REDIRECTS {
            let answer = self.ask(&Method::GET, &address, what, from)?;
            match answer.redirect() {
                Some(location) => address = self.next(&address, location, what)?,
                None => return Ok(answer),
            }
        }
        Err(self.redirect_fault(what, "more than 10 redirects").into())
    }

    /// Sends HEAD requests, following redirects for as long as `enough` of the answer is not known and they stay with the Hub.
    /// `enough` sees every answer on the way.
    pub(super) fn head(
        &self,
        address: &Address,
        what: &str,
        mut enough: impl FnMut(&Answer) -> bool,
    ) -> Result<Answer, Fault> {
        let mut address = address.clone();
        for _ in 0..=MOST_REDIRECTS {
            let answer = self.ask(&Method::HEAD, &address, what, 0)?;
            let done = enough(&answer);
            let Some(location) = answer.redirect().filter(|_| !done) else { return Ok(answer) };
            let next = self.next(&address, location, what)?;
            if !next.same_origin(&self.endpoint) {
                return Ok(answer);
            }
            address = next;
        }
        Err(self.redirect_fault(what, "more than 10 redirects").into())
    }

    fn next(&self, here: &Address, location: &str, what: &str) -> Result<Address, HubError> {
        let next =
            here.join(location).map_err(|_| self.redirect_fault(what, "one leads to no http address"))?;
        if here.is_secure() && !next.is_secure() {
            return Err(self.redirect_fault(what, "one leads from https to http"));
        }
        Ok(next)
    }

    fn redirect_fault(&self, what: &str, why: &str) -> HubError {
        HubError::Redirect { host: self.hub(), what: what.to_owned(), why: why.to_owned() }
    }

    /// Returns the agent for an address: through a proxy, or not.
    fn agent(&self, address: &Address) -> &Agent {
        let proxied = if address.is_secure() { &self.https_proxy } else { &self.http_proxy };
        let direct = self.config.proxies.no_proxy.as_deref().is_some_and(|list| bypasses(list, address));
        proxied.as_ref().filter(|_| !direct).unwrap_or(&self.direct)
    }

    fn unreachable(&self, address: &Address, error: &ureq::Error) -> Fault {
        let host = self.shown_host(address);
        let why = network_words(error);
        let why = self.config.token.as_ref().map_or(why.clone(), |token| token.redact(&why));
        let error_for_user = HubError::Unreachable { host, why: why.clone(), tries: 1 };
        if is_lasting(error) {
            return Fault::Final(error_for_user);
        }
        let absent = is_absent(error) && !self.is_reached.get();
        Fault::Passing { why, retry_after: None, progressed: false, absent, error: Box::new(error_for_user) }
    }

    fn overloaded(&self, answer: &Answer, what: &str, host: String) -> Fault {
        let status = answer.status;
        let pause = answer
            .header("ratelimit")
            .and_then(rate_limit_reset)
            .or_else(|| answer.header(RETRY_AFTER.as_str()).and_then(retry_after));
        let error = if status == 429 {
            HubError::RateLimited { host, wait_seconds: pause.map(|pause| pause.as_secs()), tries: 1 }
        } else {
            HubError::Status { host, what: what.to_owned(), status, tries: 1 }
        };
        Fault::Passing {
            why: format!("status {status}"),
            retry_after: pause,
            progressed: false,
            absent: false,
            error: Box::new(error),
        }
    }
}

impl Answer {
    fn from_response(response: Response<Body>, address: Address) -> Self {
        let (head, body) = response.into_parts();
        Self { status: head.status.as_u16(), headers: head.headers, body, address }
    }

    /// Reads the whole body, which may not be longer than `limit` bytes; `None` if it is.
    pub(super) fn read_all(self, limit: u64, pace: &mut Pace) -> io::Result<Option<Vec<u8>>> {
        let mut bytes = Vec::new();
        let mut reader = self.body.into_reader().take(limit.saturating_add(1));
        let mut block = vec![0; 16 << 10];
        loop {
            let count = match reader.read(&mut block) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            bytes.extend_from_slice(block.get(..count).unwrap_or_default());
            pace.received(count)?;
        }
        Ok((u64::try_from(bytes.len()).is_ok_and(|length| length <= limit)).then_some(bytes))
    }
}

/// Says what a transport error means to the user.
pub(super) fn network_words(error: &ureq::Error) -> String {
    match error {
        ureq::Error::HostNotFound => "the host name is not known".to_owned(),
        ureq::Error::Timeout(_) => "no answer in time".to_owned(),
        ureq::Error::Io(error) => io_words(error),
        ureq::Error::ConnectionFailed => "the connection failed".to_owned(),
        ureq::Error::ConnectProxyFailed(_) => "the proxy refuses to connect".to_owned(),
        ureq::Error::Rustls(error) => format!("TLS: {}", super::shown::shown(&error.to_string())),
        other => super::shown::shown(&other.to_string()),
    }
}

/// Says what a failed read or connection means to the user.
pub(super) fn io_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "the connection was refused".to_owned(),
        io::ErrorKind::ConnectionReset => "the connection was reset".to_owned(),
        io::ErrorKind::UnexpectedEof => "the connection ended too early".to_owned(),
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => "no byte in time".to_owned(),
        // What rustls finds wrong with the other side comes as this kind.
        io::ErrorKind::InvalidData => {
            format!("the server does not speak TLS as it should: {}", super::shown::shown(&error.to_string()))
        }
        _ if is_unknown_host(error) => "the host name is not known".to_owned(),
        _ => super::shown::shown(&error.to_string()),
    }
}

/// Returns whether another try would fail the same way.
fn is_lasting(error: &ureq::Error) -> bool {
    use ureq::Error::{
        BadUri, InvalidProxyUrl, LargeResponseHeader, RequireHttpsOnly, Rustls, Tls, TlsRequired,
    };
    matches!(
        error,
        BadUri(_)
            | InvalidProxyUrl
            | LargeResponseHeader(..)
            | RequireHttpsOnly(_)
            | Rustls(_)
            | Tls(_)
            | TlsRequired
    )
}

/// Returns whether the system's resolver has no address for a host. The standard library gives this failure no kind, only this
/// text (library/std/src/sys/net/connection/socket/unix.rs, `cvt_gai`).
fn is_unknown_host(error: &io::Error) -> bool {
    error.to_string().starts_with("failed to lookup address information")
}

/// Returns whether nobody is there: no address for the host, or nothing that listens at it.
fn is_absent(error: &ureq::Error) -> bool {
    match error {
        ureq::Error::HostNotFound | ureq::Error::ConnectionFailed => true,
        ureq::Error::Io(error) => error.kind() == io::ErrorKind::ConnectionRefused || is_unknown_host(error),
        _ => false,
    }
}

/// Returns whether `list` (as in `NO_PROXY`) holds the address: `*`, a host, a domain with or without its leading
/// dot, each with or without a port.
fn bypasses(list: &str, address: &Address) -> bool {
    list.split(',').map(|entry| entry.trim().to_ascii_lowercase()).filter(|entry| !entry.is_empty()).any(
        |entry| {
            let with_port =
                entry.rsplit_once(':').and_then(|(name, port)| Some((name, port.parse::<u16>().ok()?)));
            let (name, port) = with_port.map_or((entry.as_str(), None), |(name, port)| (name, Some(port)));
            let name = name.trim_start_matches("*.").trim_start_matches('.');
            let host = address.host();
            let inside =
                host.strip_suffix(name).is_some_and(|before| before.is_empty() || before.ends_with('.'));
            port.is_none_or(|port| port == address.port()) && (name == "*" || inside)
        },
    )
}

/// Returns the fault for a body that was cut short: one that may pass, unless its time is up.
pub(super) fn cut(error: &io::Error, progressed: bool, as_error: impl FnOnce(String) -> HubError) -> Fault {
    let why = io_words(error);
    let is_over = is_over(error);
    let error = Box::new(as_error(why.clone()));
    if is_over {
        return Fault::Final(*error);
    }
    Fault::Passing { error, why, retry_after: None::<Duration>, progressed, absent: false }
}

#[cfg(test)]
mod tests {
    use super::{Address, bypasses};

    #[test]
    fn no_proxy_means_hosts_and_their_subdomains() {
        let hub = Address::parse("https://cdn.hub.example:8443/x").unwrap();
        for list in
            ["*", "hub.example", ".hub.example", "*.hub.example", "a,CDN.hub.example", "hub.example:8443"]
        {
            assert!(bypasses(list, &hub), "{list}");
        }
        for list in ["", "ub.example", "hub.example:443", "example.org", "x.cdn.hub.example"] {
            assert!(!bypasses(list, &hub), "{list}");
        }
    }
}
