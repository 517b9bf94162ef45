//! One HTTP exchange over any client service, behind one type.

#[cfg(feature = "client")]
use std::any::Any;
use std::{
    future::{Future, poll_fn},
    pin::Pin,
};

use bytes::{Buf, Bytes};
use http::{Request, Response, response::Parts};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use tower_service::Service;
use zeroize::Zeroizing;

#[cfg(feature = "client")]
use super::diagnose::reason;
#[cfg(feature = "client")]
use crate::client::HttpsClient;
use crate::{
    error::{AuthError, BoxError, ErrorKind},
    origin::Origin,
};

/// A response with its body; without it if that was too long.
pub(super) struct TokenResponse {
    pub(super) head: Parts,
    pub(super) body: Option<Zeroizing<Vec<u8>>>,
}

pub(super) type Exchanging<'a> = Pin<Box<dyn Future<Output = Result<TokenResponse, AuthError>> + Send + 'a>>;

/// Sends a request and reads the response.
pub(super) trait Exchange: Send + Sync {
    fn exchange(&self, request: Request<Full<Bytes>>) -> Exchanging<'_>;
}

struct ServiceExchange<S>(S);

/// Exchanges over this service. An [`HttpsClient`] gives its settings, and no connection.
pub(super) fn over<S, B>(service: S) -> Box<dyn Exchange>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone + Send + Sync + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    #[cfg(feature = "client")]
    if let Some(client) = (&service as &dyn Any).downcast_ref::<HttpsClient>() {
        return Box::new(ServiceExchange(client.without_pool()));
    }
    Box::new(ServiceExchange(service))
}

impl<S, B> Exchange for ServiceExchange<S>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone + Send + Sync + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    fn exchange(&self, request: Request<Full<Bytes>>) -> Exchanging<'_> {
        let (mut service, server) = (self.0.clone(), Origin::of(request.uri()));
        Box::pin(async move {
            let exchange = async {
                poll_fn(|cx| service.poll_ready(cx)).await.map_err(Into::into)?;
                let (head, body) = service.call(request).await.map_err(Into::into)?.into_parts();
                Ok(TokenResponse { head, body: read(body).await? })
            };
            exchange.await.map_err(|error| unavailable(server.as_ref(), error))
        })
    }
}

/// Reads into memory that is wiped, and that is large enough never to be moved.
async fn read<B>(body: B) -> Result<Option<Zeroizing<Vec<u8>>>, BoxError>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    let mut body = std::pin::pin!(body);
    let mut whole = Zeroizing::new(Vec::with_capacity(MAX_BODY));
    // An empty frame counts too, or a body of nothing else would never end.
    for _ in 0..MAX_BODY {
        let Some(frame) = body.frame().await else {
            return Ok(Some(whole));
        };
        let Ok(mut data) = frame.map_err(Into::into)?.into_data() else {
            continue;
        };
        while data.has_remaining() {
            let chunk = data.chunk();
            let read = chunk.len();
            if whole.len() + read > MAX_BODY {
                return Ok(None);
            }
            whole.extend_from_slice(chunk);
            data.advance(read);
        }
    }
    Ok(None)
}

/// An error of the transport. An `AuthError` in it stays what it is.
fn unavailable(server: Option<&Origin>, error: BoxError) -> AuthError {
    if let Some(found) = AuthError::find(error.as_ref()) {
        return found.clone();
    }
    let server = server.map_or_else(String::new, |server| format!(" at {server}"));
    let reason = reason(&*error).map_or_else(String::new, |reason| format!(": {reason}"));
    let message = format!("the authorization server{server} cannot be reached{reason}");
    AuthError::new(ErrorKind::Unavailable, message).with_source(error)
}

#[cfg(not(feature = "client"))]
fn reason(_error: &(dyn std::error::Error + 'static)) -> Option<&'static str> {
    None
}

/// The default `User-Agent`.
pub(super) const PRODUCT: &str = concat!("tower-outbound-auth/", env!("CARGO_PKG_VERSION"));
const MAX_BODY: usize = 64 * 1024;
