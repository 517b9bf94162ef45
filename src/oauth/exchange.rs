//! One HTTP exchange over any client service, behind one type.

#[cfg(feature = "client")]
use std::any::Any;
use std::{
    error::Error,
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
};

use bytes::{Buf, Bytes};
use http::{Request, Response, Uri, response::Parts};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use tower_service::Service;
use zeroize::Zeroizing;

#[cfg(feature = "client")]
use super::diagnose::Diagnosis;
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
        let (mut service, server) = (self.0.clone(), request.uri().clone());
        Box::pin(async move {
            let exchange = async {
                poll_fn(|cx| service.poll_ready(cx)).await.map_err(Into::into)?;
                let (head, body) = service.call(request).await.map_err(Into::into)?.into_parts();
                Ok(TokenResponse { head, body: read(body).await? })
            };
            exchange.await.map_err(|error| unavailable(&server, error))
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

/// An error of the transport. An `AuthError` in it stays what it is, and a cause too unless it tells the URL's query.
fn unavailable(server: &Uri, error: BoxError) -> AuthError {
    if let Some(found) = AuthError::find(error.as_ref()) {
        return match (server.query(), found.source()) {
            (Some(query), Some(cause)) if tells(cause, query) => found.clone().with_source(Redacted::of(cause, query)),
            _ => found.clone(),
        };
    }
    let origin = Origin::of(server).map_or_else(String::new, |server| format!(" at {server}"));
    let Diagnosis { is_reached, reason } = Diagnosis::of(&*error);
    let reason = reason.map_or_else(String::new, |reason| format!(": {reason}"));
    let message = if is_reached {
        format!("the token request to the authorization server{origin} failed{reason}")
    } else {
        format!("the authorization server{origin} cannot be reached{reason}")
    };
    let unavailable = AuthError::new(ErrorKind::Unavailable, message);
    match server.query() {
        Some(query) if tells(&*error, query) => unavailable.with_source(Redacted::of(&*error, query)),
        _ => unavailable.with_source(error),
    }
}

/// What an error and its causes say, without the queries of URLs, in which some servers want a key. Its `Debug` is dropped, since
/// it may show a URL in any form.
#[derive(Debug)]
struct Redacted {
    text: String,
    source: Option<Box<Self>>,
}

impl Redacted {
    fn of(error: &(dyn Error + 'static), query: &str) -> Self {
        let text = error.to_string();
        let text = match text.split_once('?') {
            Some((before, _)) if !repeats(before, query) => format!("{before}?[redacted]"),
            None if !repeats(&text, query) => text,
            _ => "[redacted]".to_owned(),
        };
        Self { text, source: error.source().map(|cause| Box::new(Self::of(cause, query))) }
    }
}

/// Whether anything of this query can be read in what the error or a cause of it says.
fn tells(error: &(dyn Error + 'static), query: &str) -> bool {
    let text = format!("{error} {error:?}");
    // A URL may be written in another way than it was given.
    text.contains('?') || repeats(&text, query) || error.source().is_some_and(|cause| tells(cause, query))
}

fn repeats(text: &str, query: &str) -> bool {
    let is_in = |part: &str| part.len() >= MIN_KEY && text.contains(part);
    query.split(['&', '=']).any(is_in) || form_urlencoded::parse(query.as_bytes()).any(|(_, value)| is_in(&value))
}

impl fmt::Display for Redacted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for Redacted {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self.source.as_deref()?)
    }
}

/// Nothing is known of the errors of an unknown client.
#[cfg(not(feature = "client"))]
struct Diagnosis {
    is_reached: bool,
    reason: Option<String>,
}

#[cfg(not(feature = "client"))]
impl Diagnosis {
    fn of(_error: &(dyn std::error::Error + 'static)) -> Self {
        Self { is_reached: false, reason: None }
    }
}

const MAX_BODY: usize = 64 * 1024;
/// In bytes. A shorter value may stand anywhere by chance.
const MIN_KEY: usize = 4;
