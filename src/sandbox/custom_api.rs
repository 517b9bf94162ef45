//! `CustomApi`: an API that a test brings, behind the check of the token.

use std::{fmt, sync::Arc};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::State,
    response::Response,
};
use bytes::Bytes;
use http::{Request, Uri};

use super::{
    api::{ApiError, authenticate},
    state::ServerState,
};

/// The function that answers the requests with a valid token.
#[derive(Clone)]
pub(super) struct CustomApi {
    handler: Arc<dyn Fn(Request<Bytes>) -> http::Response<Bytes> + Send + Sync>,
}

impl CustomApi {
    pub(super) fn new<B>(handler: impl Fn(Request<Bytes>) -> http::Response<B> + Send + Sync + 'static) -> Self
    where
        B: Into<Bytes>,
    {
        Self { handler: Arc::new(move |request| handler(request).map(Into::into)) }
    }
}

impl fmt::Debug for CustomApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CustomApi").finish_non_exhaustive()
    }
}

pub(super) fn router(api: CustomApi) -> Router<Arc<ServerState>> {
    Router::new().fallback(move |State(shared): State<Arc<ServerState>>, request: Request<Body>| async move {
        authenticate(&shared, request.headers(), |_| Ok(()))?;
        let (mut head, body) = request.into_parts();
        // The same over HTTP/1.1, where a request names a path, as over HTTP/2 and without a socket, where it names an origin.
        head.uri = head.uri.path_and_query().cloned().map(Uri::from).unwrap_or_default();
        // The body is in memory already, so this is no error.
        let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
        Ok::<Response, ApiError>((api.handler)(Request::from_parts(head, body)).map(Body::from))
    })
}
