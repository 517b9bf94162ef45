//! An API that a test brings, behind the check of the token.

use std::sync::Arc;

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::State,
    response::Response,
};
use http::{Request, Uri};

use super::{
    api::{ApiError, authenticate},
    handler::Handler,
    state::ServerState,
};

pub(super) fn router(handler: Handler) -> Router<Arc<ServerState>> {
    Router::new().fallback(move |State(shared): State<Arc<ServerState>>, request: Request<Body>| async move {
        authenticate(&shared, request.headers(), |_| Ok(()))?;
        let (mut head, body) = request.into_parts();
        // The same over HTTP/1.1, where a request names a path, as over HTTP/2 and without a socket, where it names an origin.
        head.uri = head.uri.path_and_query().cloned().map(Uri::from).unwrap_or_default();
        // The body is in memory already, so this is no error.
        let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
        Ok::<Response, ApiError>(handler.call(Request::from_parts(head, body)).map(Body::from))
    })
}
