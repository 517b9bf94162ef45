//! The only file that writes request headers: who gets credentials, and which.

use std::{fmt, time::SystemTime};

use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Request, header::AUTHORIZATION};

use crate::{
    error::AuthError,
    origin::{Admission, Scope},
    signing::{NoAuth, Sign, SignRules, Signer, SigningContext},
    token::Issued,
};

/// What becomes of an `Authorization` header that the caller has set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overwrite {
    /// It stays, and the request goes out untouched: the caller logs in on its own, and a 401 is the caller's. The
    /// default, since nobody sets that header by chance.
    #[default]
    Keep,
    /// The layer's token takes its place.
    Replace,
}

/// What one layer writes into requests, and into which.
#[derive(Default)]
pub(crate) struct Stamp {
    pub(crate) scope: Scope,
    pub(crate) overwrite: Overwrite,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) signing: Option<(SignRules, Box<dyn Signer>)>,
}

impl Stamp {
    pub(crate) fn check(&self) -> Result<(), AuthError> {
        if self.headers.iter().any(|(name, _)| name == AUTHORIZATION) {
            return Err(AuthError::config("header() cannot set authorization, which carries the token"));
        }
        self.scope.check()
    }

    /// Whether this request gets credentials.
    #[inline]
    pub(crate) fn admit<B>(&self, request: &Request<B>) -> Admission {
        if has::<NoAuth>(request.extensions()) {
            return Admission::Refused;
        }
        let admission = self.scope.admit(request.uri());
        let kept = self.overwrite == Overwrite::Keep
            && admission != Admission::Refused
            && request.headers().contains_key(AUTHORIZATION);
        if kept { Admission::Refused } else { admission }
    }

    /// Writes the credentials. Whatever had their names before is replaced.
    #[inline]
    pub(crate) fn write<B>(
        &self,
        request: &mut Request<B>,
        issued: &Issued,
        now: impl FnOnce() -> SystemTime,
    ) -> Result<(), AuthError> {
        let headers = request.headers_mut();
        for (name, value) in &self.headers {
            put(headers, name.clone(), value.clone())?;
        }
        put(headers, AUTHORIZATION, issued.header())?;
        let Some((rules, signer)) = &self.signing else {
            return Ok(());
        };
        let wanted = match request.extensions().get::<Sign>() {
            Some(Sign::Always) => true,
            Some(Sign::Never) => false,
            None => rules.apply(request.method(), request.uri()),
        };
        if wanted {
            let context = SigningContext::new(request.method(), request.uri(), request.headers(), &issued.token, now());
            let signature = signer.sign(&context)?;
            for (name, value) in signature.iter() {
                put(request.headers_mut(), name.clone(), value.clone())?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stamp")
            .field("scope", &self.scope)
            .field("overwrite", &self.overwrite)
            .field("headers", &self.headers.iter().map(|(name, _)| name).collect::<Vec<_>>())
            .field("sign", &self.signing.as_ref().map(|(rules, _)| rules))
            .finish()
    }
}

/// A `HeaderMap` has room for 24,576 names, and panics at one more unless it is asked to try.
#[inline]
fn put(headers: &mut HeaderMap, name: HeaderName, value: HeaderValue) -> Result<(), AuthError> {
    match headers.try_insert(name, value) {
        Ok(_replaced) => Ok(()),
        Err(_) => Err(AuthError::config("the request has too many headers for another one")),
    }
}

fn has<T: Send + Sync + 'static>(extensions: &Extensions) -> bool {
    extensions.get::<T>().is_some()
}
