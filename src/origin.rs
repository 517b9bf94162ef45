//! Scheme, host and port: who may receive a credential.

pub(crate) mod near;

use std::{
    fmt,
    hash::{DefaultHasher, Hasher},
    net::{Ipv4Addr, Ipv6Addr},
    num::NonZero,
};

use http::{
    HeaderValue, Method, Request, Uri,
    header::{CONNECTION, HOST},
    uri::{Authority, Scheme},
};

use crate::{error::AuthError, server_clocks::OriginKey};

/// Scheme, host and port of a server (RFC 6454, section 4).
#[derive(Clone)]
pub(crate) struct Origin {
    https: bool,
    host: String,
    port: u16,
    /// Host and port as a URI usually has them: without the scheme's default port.
    usual: String,
    /// Whether secrets may go there by default: over TLS, or without leaving this machine.
    trusted: bool,
    key: OriginKey,
    /// The first letter of the host, a leading `www.` aside.
    initial: u8,
}

impl Origin {
    /// Reads `https://host[:port]` or `http://host[:port]`, and nothing else.
    pub(crate) fn parse(setting: &str, text: &str) -> Result<Self, AuthError> {
        let (url, origin) = Self::of_url(setting, text)?;
        let authority = url.authority().map_or("", Authority::as_str);
        match text.split_once("://") {
            Some((_, rest)) if rest.len() == authority.len() => Ok(origin),
            _ => {
                let shown = shown(text);
                Err(AuthError::config(format!(
                    "{setting}{shown}: an origin has no path and no query; use \"{origin}\""
                )))
            }
        }
    }

    /// Reads a URL that secrets may be sent to, and its origin. `setting` is the function that it was given to.
    pub(crate) fn of_url(setting: &str, text: &str) -> Result<(Uri, Self), AuthError> {
        let refuse = |why: &str| AuthError::config(format!("{setting}{}: {why}", shown(text)));
        let url: Uri = text.parse().map_err(|_| refuse("not a URL; use one like \"https://host\""))?;
        if url.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(refuse("a URL with a user name or a password; remove them"));
        }
        if url.authority().is_some_and(|authority| authority.as_str().contains('*')) {
            return Err(refuse("wildcards are not supported; name each host"));
        }
        let origin = Self::of(&url).ok_or_else(|| refuse("not a URL; use \"https://host\" with a port below 65536"))?;
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
        let key = key(https, &host, port);
        let initial = *near::bare(&host).as_bytes().first()?;
        Some(Self { https, host, port, usual, trusted, key, initial })
    }

    pub(crate) fn is_trusted(&self) -> bool {
        self.trusted
    }

    pub(crate) fn is_this_machine(&self) -> bool {
        is_loopback(&self.host)
    }

    pub(crate) fn is_https(&self) -> bool {
        self.https
    }

    /// Tells this origin from others, whose clocks may differ.
    pub(crate) fn key(&self) -> OriginKey {
        self.key
    }

    #[inline]
    fn is_of(&self, https: bool, authority: &Authority) -> bool {
        self.https == https && (authority.as_str() == self.usual || self.is_written_as(authority))
    }

    /// For an authority in capital letters, or with the port though it need not have one. One that names a user is
    /// another.
    fn is_written_as(&self, authority: &Authority) -> bool {
        let text = authority.as_str();
        text.eq_ignore_ascii_case(&self.usual)
            || memchr::memchr2(b':', b'@', text.as_bytes()).is_some()
                && !text.contains('@')
                && authority.host().eq_ignore_ascii_case(&self.host)
                && port(authority, self.https) == Some(self.port)
    }
}

/// For the ready-made client.
#[cfg(feature = "client")]
impl Origin {
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

/// The origins that may receive the credentials of one layer (guarantee S3).
#[derive(Clone, Debug, Default)]
pub(crate) struct Scope {
    pub(crate) origins: Vec<Origin>,
    pub(crate) any_origin: bool,
    pub(crate) insecure_http: bool,
    pub(crate) relative_uri: bool,
}

/// Whether a request may carry credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coverage {
    Covered(Target),
    /// Since the request says so.
    Exempt,
    NotCovered,
    /// Its URI names no server.
    Unknown,
}

/// Where a request in scope goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// Whose clock its response tells. `None` where anybody may have written the response, or nothing says who did.
    pub(crate) clock: Option<OriginKey>,
    /// Whether it has a `Connection` header, which may have a proxy remove others.
    pub(crate) has_connection: bool,
}

impl Scope {
    pub(crate) fn check(&self) -> Result<(), AuthError> {
        if self.origins.is_empty() && !self.any_origin {
            return Err(AuthError::config("no origin configured: call origin(\"https://host\")"));
        }
        match self.origins.iter().find(|origin| !origin.is_trusted()) {
            Some(origin) if !self.insecure_http => Err(AuthError::config(format!(
                "origin(\"{origin}\"): the token would be sent unencrypted; use https, or call allow_insecure_http()"
            ))),
            _ => Ok(()),
        }
    }

    #[inline]
    pub(crate) fn covers<B>(&self, request: &Request<B>) -> Coverage {
        let Some(authority) = request.uri().authority() else {
            return Coverage::Unknown;
        };
        let Some(target) = self.target_at(request.uri(), authority) else {
            return Coverage::NotCovered;
        };
        match goes_there_alone(request, authority) {
            Some(has_connection) => Coverage::Covered(Target { has_connection, ..target }),
            None => Coverage::NotCovered,
        }
    }

    #[inline]
    fn target_at(&self, uri: &Uri, authority: &Authority) -> Option<Target> {
        let https = is_https(uri)?;
        if self.any_origin {
            return self.any_target(https, authority);
        }
        let origin = self.origins.iter().find(|origin| origin.is_of(https, authority))?;
        let clock = origin.trusted.then_some(origin.key);
        (origin.trusted || self.insecure_http).then_some(Target { clock, has_connection: false })
    }

    #[inline(never)]
    fn any_target(&self, https: bool, authority: &Authority) -> Option<Target> {
        if authority.as_str().contains('@') {
            return None;
        }
        let trusted = https || is_loopback(authority.host());
        let clock = port(authority, https).filter(|_| trusted).map(|port| key(https, authority.host(), port));
        (trusted || self.insecure_http).then_some(Target { clock, has_connection: false })
    }

    /// The inner service chooses the server; all that the request tells must fit to the one that is configured.
    #[cold]
    pub(crate) fn relative_target<B>(&self, request: &Request<B>) -> Result<Option<Target>, AuthError> {
        let refuse = |why: &str| Err(AuthError::config(format!("a request whose URI has no host {why}")));
        if is_echo(request.method()) || *request.method() == Method::CONNECT {
            return Ok(None);
        }
        if !self.relative_uri {
            return refuse(
                "is not sent: use an absolute URI, or call allow_relative_uri() if the inner service is bound to one origin",
            );
        }
        let path = request.uri().path().as_bytes();
        if path.starts_with(b"//") || path.starts_with(br"/\") {
            return refuse("has a path that begins with two slashes, which could be read as a host: remove one");
        }
        let is_configured =
            |host: &HeaderValue| self.any_origin || self.origins.iter().any(|origin| names(host, origin));
        if !request.headers().get_all(HOST).iter().all(is_configured) {
            return refuse("has a Host header that names none of the configured origins: add it with origin()");
        }
        Ok(Some(Target { clock: None, has_connection: request.headers().contains_key(CONNECTION) }))
    }
}

/// `Some` if the credentials reach this server and stay there, with whether there is a `Connection` header.
///
/// The response to `TRACE` repeats them. `Host`, where there is one, must name what the URI does: servers prefer it, or
/// route by it (RFC 9112, section 3.2). Out of line, for the requests that never come here.
#[inline(never)]
fn goes_there_alone<B>(request: &Request<B>, authority: &Authority) -> Option<bool> {
    let headers = request.headers();
    // Walking through some ten names takes less than looking for one.
    let is_plain = !headers.keys().any(|name| name == HOST || name == CONNECTION);
    if *request.method() == Method::GET && is_plain {
        return Some(false);
    }
    let is_same = |host| is_same_host(host, request.uri(), authority);
    let goes_there = !is_echo(request.method()) && headers.get_all(HOST).iter().all(is_same);
    goes_there.then(|| headers.contains_key(CONNECTION))
}

/// Whether the response repeats the request's headers: `TRACE` (RFC 9110, section 9.3.8), or `TRACK`, as some servers call
/// it, and some take either in any case.
fn is_echo(method: &Method) -> bool {
    ["TRACE", "TRACK"].iter().any(|echo| method.as_str().eq_ignore_ascii_case(echo))
}

fn is_same_host(host: &HeaderValue, uri: &Uri, authority: &Authority) -> bool {
    let is_same = host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes());
    is_same || Origin::of(uri).is_some_and(|origin| names(host, &origin))
}

fn names(host: &HeaderValue, origin: &Origin) -> bool {
    Authority::try_from(host.as_bytes()).is_ok_and(|host| origin.is_written_as(&host))
}

/// A setting's value for an error message, unless a secret may be in it.
fn shown(text: &str) -> String {
    if text.contains(['@', '?', '#']) { "()".to_owned() } else { format!("({text:?})") }
}

/// The same for every spelling of an origin, and different for two origins but by a rare chance.
fn key(https: bool, host: &str, port: u16) -> OriginKey {
    let mut hasher = DefaultHasher::new();
    hasher.write_u8(https.into());
    hasher.write_u16(port);
    host.bytes().for_each(|byte| hasher.write_u8(byte.to_ascii_lowercase()));
    let [.., a, b, c, d] = hasher.finish().to_be_bytes();
    OriginKey(NonZero::new(u32::from_be_bytes([a, b, c, d])).unwrap_or(NonZero::<u32>::MAX))
}

#[inline]
fn is_https(uri: &Uri) -> Option<bool> {
    let scheme = uri.scheme()?;
    if *scheme == Scheme::HTTPS { Some(true) } else { (*scheme == Scheme::HTTP).then_some(false) }
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
