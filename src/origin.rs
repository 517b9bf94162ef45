//! Scheme, host and port: who may see a credential.

use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
};

use http::{
    Uri,
    uri::{Authority, Scheme},
};

use crate::error::AuthError;

/// Scheme, host and port of a server (RFC 6454, section 4).
#[derive(Clone)]
pub(crate) struct Origin {
    https: bool,
    host: String,
    port: u16,
    /// Host and port as a URI usually has them: without the port that goes without saying.
    usual: String,
    /// Whether a secret may go there without a word from the user: over TLS, or not out of this machine.
    trusted: bool,
}

impl Origin {
    /// Reads `https://host[:port]` or `http://host[:port]`, and nothing else.
    pub(crate) fn parse(text: &str) -> Result<Self, AuthError> {
        let (url, origin) = Self::of_url(text)?;
        let authority = url.authority().map_or("", Authority::as_str);
        match text.split_once("://") {
            Some((_, rest)) if rest.len() == authority.len() => Ok(origin),
            _ => Err(AuthError::config("an origin ends with its host or port: no path, no query, no final slash")),
        }
    }

    /// Reads a URL that secrets may be sent to, and its origin.
    pub(crate) fn of_url(text: &str) -> Result<(Uri, Self), AuthError> {
        let refuse = |why: &str| AuthError::config(format!("a URL must look like \"https://host\": {why}"));
        let url: Uri = text.parse().map_err(|_| refuse("this one cannot be read"))?;
        if url.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(refuse("no user name and no password"));
        }
        let origin = Self::of(&url).ok_or_else(|| refuse("with scheme http or https, and a port below 65536"))?;
        Ok((url, origin))
    }

    /// The origin of an absolute `http` or `https` URI.
    pub(crate) fn of(uri: &Uri) -> Option<Self> {
        let https = is_https(uri)?;
        let authority = uri.authority()?;
        let port = port(authority, https)?;
        let host = authority.host().to_ascii_lowercase();
        let usual = if port == default_port(https) { host.clone() } else { format!("{host}:{port}") };
        let trusted = https || is_loopback(&host);
        (!host.is_empty()).then_some(Self { https, host, port, usual, trusted })
    }

    pub(crate) fn is_trusted(&self) -> bool {
        self.trusted
    }

    #[inline]
    fn admits(&self, https: bool, authority: &Authority) -> bool {
        self.https == https && (authority.as_str() == self.usual || self.admits_unusual(authority))
    }

    /// For a URI in capital letters, or one that names a user, or the port though it need not.
    fn admits_unusual(&self, authority: &Authority) -> bool {
        let text = authority.as_str();
        text.eq_ignore_ascii_case(&self.usual)
            || memchr::memchr2(b':', b'@', text.as_bytes()).is_some()
                && authority.host().eq_ignore_ascii_case(&self.host)
                && port(authority, self.https) == Some(self.port)
    }
}

/// For the ready-made transport.
#[cfg(feature = "client")]
impl Origin {
    pub(crate) fn is_this_machine(&self) -> bool {
        is_loopback(&self.host)
    }

    pub(crate) fn is_https(&self) -> bool {
        self.https
    }

    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn host_and_port(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.https { "https" } else { "http" }, self.usual)
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The origins that may see the credentials of one layer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scope {
    pub(crate) origins: Vec<Origin>,
    pub(crate) any_origin: bool,
    pub(crate) insecure_http: bool,
}

/// Whether a request may carry credentials, and what its answer may be trusted with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    Refused,
    /// In scope, but over a connection that anybody may have written to, or one that the URI does not tell about.
    Admitted,
    /// In scope over TLS or on this machine: the clock may be learnt from the answer.
    Trusted,
}

impl Scope {
    pub(crate) fn check(&self) -> Result<(), AuthError> {
        if self.origins.is_empty() && !self.any_origin {
            return Err(AuthError::config("no origin may see the token: name one with origin(\"https://host\")"));
        }
        match self.origins.iter().find(|origin| !origin.is_trusted()) {
            Some(origin) if !self.insecure_http => Err(AuthError::config(format!(
                "{origin} would carry the token in the clear: use https, or allow_insecure_http() where that is meant"
            ))),
            _ => Ok(()),
        }
    }

    #[inline]
    pub(crate) fn admit(&self, uri: &Uri) -> Admission {
        let Some(authority) = uri.authority() else {
            return Admission::Admitted;
        };
        let Some(https) = is_https(uri) else {
            return Admission::Refused;
        };
        let trusted = if self.any_origin {
            https || is_loopback(authority.host())
        } else {
            match self.origins.iter().find(|origin| origin.admits(https, authority)) {
                Some(origin) => origin.trusted,
                None => return Admission::Refused,
            }
        };
        match (trusted, self.insecure_http) {
            (true, _) => Admission::Trusted,
            (false, true) => Admission::Admitted,
            (false, false) => Admission::Refused,
        }
    }
}

#[inline]
fn is_https(uri: &Uri) -> Option<bool> {
    match uri.scheme().map(Scheme::as_str) {
        Some("https") => Some(true),
        Some("http") => Some(false),
        _ => None,
    }
}

/// The port that a client would connect to; `None` where the text after the host is no port at all.
#[inline]
fn port(authority: &Authority, https: bool) -> Option<u16> {
    let host_and_port = authority.as_str().rsplit('@').next()?;
    match host_and_port.get(authority.host().len()..)? {
        "" | ":" => Some(default_port(https)),
        // `parse` alone would let a sign pass.
        port => port.strip_prefix(':').filter(|port| port.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok(),
    }
}

const fn default_port(https: bool) -> u16 {
    if https { 443 } else { 80 }
}

/// 127.0.0.0/8, `[::1]` and `localhost`, which do not leave this machine.
fn is_loopback(host: &str) -> bool {
    match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => address.parse().is_ok_and(|address: Ipv6Addr| address.is_loopback()),
        None => {
            host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(|address: Ipv4Addr| address.is_loopback())
        }
    }
}
