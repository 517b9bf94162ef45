//! The only file that writes request headers: which requests get credentials, and which headers these are.

use std::fmt;

use http::{
    Extensions, HeaderMap, HeaderName, HeaderValue, Request,
    header::{AUTHORIZATION, CONNECTION},
};

use crate::{
    error::{AuthError, ErrorKind},
    origin::{Coverage, Scope, Target, near::OtherOrigin},
    server_clocks::SignedBy,
    signing::{Sign, SignRules, SignatureHeaders, Signer, SigningContext},
    time::RequestTime,
    token::{CachedToken, Fetcher},
};

/// Request extension: the layer adds no credential to this request.
///
/// No token is fetched for it, and its response is returned as it is, a 401 included.
///
/// # Example
///
/// ```
/// use tower_outbound_auth::NoAuth;
///
/// let request = http::Request::get("https://api.example.com/health").extension(NoAuth).body(())?;
/// # Ok::<(), http::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct NoAuth;

/// Writes the credentials of one layer into requests.
pub(crate) struct Authorizer {
    pub(crate) scope: Scope,
    pub(crate) overwrite: bool,
    pub(crate) token_header: HeaderName,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) signing: Option<(SignRules, Box<dyn Signer>)>,
}

/// What became of a request that was to be authorized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Authorized {
    /// It keeps the caller's own credentials, and got none of ours.
    KeptOwn,
    Bearer,
    /// Signed by this clock, if the response may teach it.
    Signed(Option<SignedBy>),
}

impl Default for Authorizer {
    fn default() -> Self {
        Self {
            scope: Scope::default(),
            overwrite: false,
            token_header: AUTHORIZATION,
            headers: Vec::new(),
            signing: None,
        }
    }
}

impl Authorizer {
    pub(crate) fn check(&self) -> Result<(), AuthError> {
        if is_of_client(&self.token_header) {
            let name = &self.token_header;
            return Err(AuthError::config(format!("token_header(\"{name}\"): {OF_CLIENT}; use another name")));
        }
        for (number, (name, _)) in self.headers.iter().enumerate() {
            let why = if *name == self.token_header {
                "this header carries the token"
            } else if is_of_client(name) {
                OF_CLIENT
            } else if self.headers.iter().take(number).any(|(other, _)| other == name) {
                "this header is set twice, and a request carries one"
            } else {
                continue;
            };
            return Err(AuthError::config(format!("header(\"{name}\"): {why}; remove it")));
        }
        if let Some((_, signer)) = &self.signing {
            signer.check()?;
        }
        self.scope.check()
    }

    /// Whether this request is to get credentials, as far as its destination tells.
    #[inline]
    pub(crate) fn covers<B>(&self, request: &Request<B>) -> Coverage {
        if has::<NoAuth>(request.extensions()) { Coverage::Exempt } else { self.scope.covers(request) }
    }

    /// Whether the request passes untouched, since it has credentials of the caller's.
    pub(crate) fn keeps_own<B>(&self, request: &Request<B>) -> bool {
        !self.overwrite && request.headers().contains_key(&self.token_header)
    }

    /// Whether a request that is not covered was perhaps meant to be.
    #[inline]
    pub(crate) fn other_origin<B>(&self, request: &Request<B>) -> Option<OtherOrigin> {
        if !self.scope.may_be_near(request.uri()) {
            return None;
        }
        OtherOrigin::of(request.uri(), &self.scope).filter(|_| !self.keeps_own(request))
    }

    /// Writes the credentials. Other headers of their names are replaced.
    #[inline]
    pub(crate) fn authorize<B>(
        &self,
        request: &mut Request<B>,
        token: &CachedToken,
        target: Target,
        fetcher: &Fetcher,
        now: RequestTime,
    ) -> Result<Authorized, AuthError> {
        let headers = request.headers_mut();
        if self.overwrite {
            put(headers, self.token_header.clone(), token.header())?;
        } else if !put_first(headers, &self.token_header, token.header())? {
            return Ok(Authorized::KeptOwn);
        }
        for (name, value) in &self.headers {
            put(headers, name.clone(), value.clone())?;
        }
        if target.has_connection {
            self.keep_end_to_end(headers, &SignatureHeaders::new());
        }
        let Some((rules, signer)) = &self.signing else {
            return Ok(Authorized::Bearer);
        };
        if !is_to_be_signed(rules, request) {
            return Ok(Authorized::Bearer);
        }
        let offset = fetcher.clocks.offset_of(target.clock);
        let now = offset.apply(fetcher.cache.clock.wall(now));
        let context = SigningContext::new(request.method(), request.uri(), request.headers(), &token.token, now);
        let signature = signer.sign(&context)?;
        for (name, value) in signature.iter() {
            if *name == self.token_header || is_of_client(name) {
                return Err(not_for_a_signer(name));
            }
            put(request.headers_mut(), name.clone(), value.clone())?;
        }
        if target.has_connection {
            self.keep_end_to_end(request.headers_mut(), &signature);
        }
        Ok(Authorized::Signed(target.clock.map(|origin| SignedBy { origin, offset })))
    }

    /// Takes what was written out of `Connection`, since a proxy removes what that names (RFC 9110, section 7.6.1).
    #[cold]
    fn keep_end_to_end(&self, headers: &mut HeaderMap, signature: &SignatureHeaders) {
        let written = self.headers.iter().chain(signature.iter()).map(|(name, _)| name);
        let written: Vec<&HeaderName> = written.chain([&self.token_header]).collect();
        let is_written = |named: &[u8]| written.iter().any(|name| named.eq_ignore_ascii_case(name.as_str().as_bytes()));
        let values = headers.get_all(CONNECTION).iter();
        let named: Vec<&[u8]> = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b',')).collect();
        let kept: Vec<&[u8]> = named.iter().map(|name| name.trim_ascii()).filter(|name| !is_written(name)).collect();
        if kept.len() == named.len() {
            return;
        }
        let kept = HeaderValue::from_bytes(&kept.join(&b", "[..])).ok().filter(|kept| !kept.is_empty());
        headers.remove(CONNECTION);
        if let Some(kept) = kept {
            // There was room for it before.
            let _ = headers.try_insert(CONNECTION, kept);
        }
    }
}

impl fmt::Debug for Authorizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorizer")
            .field("scope", &self.scope)
            .field("overwrite_authorization", &self.overwrite)
            .field("token_header", &self.token_header)
            .field("headers", &self.headers.iter().map(|(name, _)| name).collect::<Vec<_>>())
            .field("sign", &self.signing.as_ref().map(|(rules, _)| rules))
            .finish()
    }
}

#[inline]
fn is_to_be_signed<B>(rules: &SignRules, request: &Request<B>) -> bool {
    match request.extensions().get::<Sign>() {
        Some(Sign::Always) => true,
        Some(Sign::Never) => false,
        None => rules.apply(request.method(), request.uri()),
    }
}

/// Adds the header if there is none of its name, with one search for both; says whether it did.
#[inline]
fn put_first(headers: &mut HeaderMap, name: &HeaderName, value: HeaderValue) -> Result<bool, AuthError> {
    match headers.try_append(name, value) {
        Ok(false) => Ok(true),
        Ok(true) => {
            take_back_last(headers, name);
            Ok(false)
        }
        Err(_) => Err(AuthError::config(TOO_MANY_HEADERS)),
    }
}

#[cold]
fn take_back_last(headers: &mut HeaderMap, name: &HeaderName) {
    let mut own: Vec<HeaderValue> = headers.get_all(name).iter().cloned().collect();
    own.pop();
    headers.remove(name);
    for value in own {
        // There was room for it before.
        let _ = headers.try_append(name, value);
    }
}

/// A `HeaderMap` has room for 24,576 names, and panics at one more unless it is asked to try.
#[inline]
fn put(headers: &mut HeaderMap, name: HeaderName, value: HeaderValue) -> Result<(), AuthError> {
    match headers.try_insert(name, value) {
        Ok(_replaced) => Ok(()),
        Err(_) => Err(AuthError::config(TOO_MANY_HEADERS)),
    }
}

/// Whether the header belongs to the HTTP client or to one connection.
#[inline]
fn is_of_client(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "host"
            | "content-length"
            | "transfer-encoding"
            | "connection"
            | "upgrade"
            | "trailer"
            | "keep-alive"
            | "proxy-connection"
    )
}

#[cold]
fn not_for_a_signer(name: &HeaderName) -> AuthError {
    let message = format!("the signer wrote the header {name}, which carries the token or belongs to the HTTP client");
    AuthError::new(ErrorKind::Signing, message)
}

const OF_CLIENT: &str = "the HTTP client sets this header";
const TOO_MANY_HEADERS: &str = "the request already has the maximum number of headers; send fewer";

fn has<T: Send + Sync + 'static>(extensions: &Extensions) -> bool {
    extensions.get::<T>().is_some()
}
