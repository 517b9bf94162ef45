//! Which requests may carry credentials.

use http::{
    HeaderValue, Method, Request, Uri,
    header::{CONNECTION, HOST},
    uri::Authority,
};

use super::{Origin, is_https, is_loopback, key, port};
use crate::{error::AuthError, server_clocks::OriginKey};

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
