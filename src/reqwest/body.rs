//! `RequestBody`: a whole request of reqwest, as the body of a request of `http`.

use std::{fmt, mem};

use ::reqwest::{Body, Request};
use http::{HeaderMap, Uri};

use crate::{
    error::AuthError,
    replay::{CloneBody, EmptyBody, Replay},
};

/// Request body of an [`AuthMiddleware`](super::AuthMiddleware), for replay policies.
///
/// [`CloneBody`] replays requests without a body and those whose body is in memory, as `json`, `form` and `body` make it. A
/// stream is sent once: if its request is rejected, the token is renewed, and the response goes to the caller marked
/// [`BodyNotReplayable`](crate::rejection::NotReplayed::BodyNotReplayable).
///
/// # Example
///
/// A policy that replays small requests only:
///
/// ```
/// use tower_outbound_auth::{replay::Replay, reqwest::RequestBody};
///
/// #[derive(Clone)]
/// struct UpTo(usize);
///
/// impl Replay<RequestBody> for UpTo {
///     fn clone_body(&self, body: &RequestBody) -> Option<RequestBody> {
///         (body.as_bytes()?.len() <= self.0).then(|| body.try_clone())?
///     }
/// }
/// ```
pub struct RequestBody {
    /// Without its headers, which are in the request around it.
    request: Request,
}

impl RequestBody {
    /// Returns the bytes of the body; `None` for a stream.
    ///
    /// The slice is empty if the request has no body.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        self.request.body().map_or(Some(&[]), Body::as_bytes)
    }

    /// Returns a copy that shares the bytes. `None` for a stream.
    pub fn try_clone(&self) -> Option<Self> {
        let request = self.request.try_clone()?;
        Some(Self { request })
    }

    /// Wraps a request, for a layer to see.
    pub(super) fn wrap(mut request: Request) -> Result<http::Request<Self>, reqwest_middleware::Error> {
        let Ok(uri) = Uri::try_from(request.url().as_str()) else {
            return Err(not_a_uri(request));
        };
        let (method, version) = (request.method().clone(), request.version());
        let headers = mem::take(request.headers_mut());
        let mut wrapped = http::Request::new(Self { request });
        *wrapped.method_mut() = method;
        *wrapped.uri_mut() = uri;
        *wrapped.version_mut() = version;
        *wrapped.headers_mut() = headers;
        Ok(wrapped)
    }

    /// Returns the request, with these headers.
    pub(super) fn unwrap_with(self, headers: HeaderMap) -> Request {
        let mut request = self.request;
        *request.headers_mut() = headers;
        request
    }
}

/// reqwest's own error for a URL that is too long or otherwise no URI.
fn not_a_uri(request: Request) -> reqwest_middleware::Error {
    match http::Request::<Body>::try_from(request) {
        Err(error) => error.into(),
        Ok(_) => reqwest_middleware::Error::middleware(AuthError::config("the request's URL is not a URI; change it")),
    }
}

#[diagnostic::do_not_recommend]
impl Replay<RequestBody> for CloneBody {
    fn clone_body(&self, body: &RequestBody) -> Option<RequestBody> {
        body.try_clone()
    }
}

#[diagnostic::do_not_recommend]
impl Replay<RequestBody> for EmptyBody {
    fn clone_body(&self, body: &RequestBody) -> Option<RequestBody> {
        body.as_bytes()?.is_empty().then(|| body.try_clone())?
    }
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestBody").field("len", &self.as_bytes().map(<[u8]>::len)).finish_non_exhaustive()
    }
}
