//! The only file that writes request headers: which requests get credentials, and which headers these are.

use std::fmt;

use http::{
    Extensions, HeaderMap, HeaderName, HeaderValue, Request,
    header::{AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING},
};

use crate::{
    error::AuthError,
    origin::{Coverage, Scope, Target, near::OtherOrigin},
    server_clocks::SignedBy,
    signing::{Sign, SignRules, Signer, SigningContext},
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
        for (name, _) in &self.headers {
            if *name == self.token_header {
                return Err(AuthError::config(format!("header(\"{name}\"): this header carries the token; remove it")));
            }
            if [HOST, CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION].contains(name) {
                return Err(AuthError::config(format!(
                    "header(\"{name}\"): the HTTP client sets this header; remove it"
                )));
            }
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
            put(request.headers_mut(), name.clone(), value.clone())?;
        }
        Ok(Authorized::Signed(target.clock.map(|origin| SignedBy { origin, offset })))
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

const TOO_MANY_HEADERS: &str = "the request already has the maximum number of headers; send fewer";

fn has<T: Send + Sync + 'static>(extensions: &Extensions) -> bool {
    extensions.get::<T>().is_some()
}
