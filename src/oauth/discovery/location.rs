//! Where a discovery document is, and the request that reads it.

use bytes::Bytes;
use http::{
    HeaderValue, Request, StatusCode, Uri,
    header::{ACCEPT, ACCEPT_ENCODING, LOCATION, USER_AGENT},
    uri::{Authority, Scheme},
};
use http_body_util::Full;
use zeroize::Zeroizing;

use crate::{
    error::{AuthError, ErrorKind},
    oauth::exchange::{Exchange, TokenResponse},
    origin::Origin,
    product::PRODUCT,
    time::{self, Moment},
};

/// The URL of a document.
pub(super) struct Location(Uri);

impl Location {
    pub(super) fn path(&self) -> &str {
        self.0.path()
    }
}

/// The two places: the well-known part between host and path (RFC 8414, section 3), and after the path (OpenID Connect
/// Discovery 1.0, section 4).
pub(super) fn of(issuer: &str) -> Result<[Location; 2], AuthError> {
    let malformed = || AuthError::config("discover: not a URL; use one like \"https://host\"");
    let base: Uri = issuer.parse().map_err(|_| malformed())?;
    let path = base.path().strip_suffix('/').unwrap_or(base.path());
    let at = |path: String| at(&base, path).map(Location).ok_or_else(malformed);
    Ok([at(format!("{OAUTH}{path}"))?, at(format!("{path}{OPENID}"))?])
}

/// Reads one document; `None` if it does not exist. Redirects are followed within the origin only.
pub(super) async fn read(
    exchange: &dyn Exchange,
    location: &Location,
    origin: &Origin,
) -> Result<Option<Zeroizing<Vec<u8>>>, AuthError> {
    let mut uri = location.0.clone();
    for _ in 0..=MAX_REDIRECTS {
        let TokenResponse { head, body } = exchange.exchange(request(uri.clone())).await?;
        let number = head.status.as_u16();
        if head.status.is_redirection() {
            let target = head.headers.get(LOCATION).and_then(|target| target.to_str().ok());
            uri = target.and_then(|target| follow(&uri, target, origin)).ok_or_else(|| {
                malformed(format!("is redirected ({number}) away from {origin}, and such redirects are not followed"))
            })?;
            continue;
        }
        if is_busy(head.status) {
            let retry_after = time::retry_after(&head.headers, Moment::now().wall);
            let message =
                format!("the authorization server at {origin} cannot serve its discovery document ({number})");
            return Err(AuthError::new(ErrorKind::Unavailable, message).with_retry_after(retry_after));
        }
        if !head.status.is_success() {
            return Ok(None);
        }
        let body = body.ok_or_else(|| malformed("is longer than 64 KiB"))?;
        // Some servers answer with a page for people, whatever they are asked for.
        let is_json = body.iter().find(|byte| !byte.is_ascii_whitespace()).is_some_and(|byte| *byte != b'<');
        return Ok(is_json.then_some(body));
    }
    Err(malformed(format!("is behind more than {MAX_REDIRECTS} redirects")))
}

fn request(uri: Uri) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::default());
    *request.uri_mut() = uri;
    let headers = request.headers_mut();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers.insert(USER_AGENT, HeaderValue::from_static(PRODUCT));
    request
}

/// The URI that a redirect leads to, if that is of the same origin: an absolute one, or an absolute path.
fn follow(from: &Uri, target: &str, origin: &Origin) -> Option<Uri> {
    let is_path = target.starts_with('/') && !target.starts_with("//");
    let uri = if is_path { at(from, target.to_owned())? } else { target.parse().ok()? };
    let has_user = uri.authority().is_some_and(|authority| authority.as_str().contains('@'));
    let found = Origin::of(&uri).filter(|_| !has_user)?;
    (found.to_string() == origin.to_string()).then_some(uri)
}

fn at(base: &Uri, path: String) -> Option<Uri> {
    let (scheme, authority): (&Scheme, &Authority) = (base.scheme()?, base.authority()?);
    Uri::builder().scheme(scheme.clone()).authority(authority.clone()).path_and_query(path).build().ok()
}

fn is_busy(status: StatusCode) -> bool {
    status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429)
}

fn malformed(why: impl std::fmt::Display) -> AuthError {
    AuthError::new(ErrorKind::Malformed, format!("the discovery document {why}"))
}

const OAUTH: &str = "/.well-known/oauth-authorization-server";
const OPENID: &str = "/.well-known/openid-configuration";
const MAX_REDIRECTS: usize = 3;
