//! One HTTP exchange over any client service, behind one type.

use std::{future::Future, pin::Pin};

use bytes::{Buf, Bytes};
use http::{Request, Response, response::Parts};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use tower_service::Service;
use zeroize::Zeroizing;

#[cfg(feature = "client")]
use super::diagnose::what_happened;
use crate::error::{AuthError, BoxError, ErrorKind};

/// An answer, read to its end; without its body if that was too long.
pub(crate) struct Answer {
    pub(crate) head: Parts,
    pub(crate) body: Option<Zeroizing<Vec<u8>>>,
}

pub(crate) type Exchanging<'a> = Pin<Box<dyn Future<Output = Result<Answer, AuthError>> + Send + 'a>>;

/// Any client service, as something that answers.
pub(crate) trait Exchange: Send + Sync {
    fn exchange(&self, request: Request<Full<Bytes>>) -> Exchanging<'_>;
}

pub(crate) struct Through<S>(pub(crate) S);

impl<S, B> Exchange for Through<S>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone + Send + Sync + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    fn exchange(&self, request: Request<Full<Bytes>>) -> Exchanging<'_> {
        let mut service = self.0.clone();
        Box::pin(async move {
            std::future::poll_fn(|cx| service.poll_ready(cx)).await.map_err(unavailable)?;
            let response = service.call(request).await.map_err(unavailable)?;
            let (head, body) = response.into_parts();
            Ok(Answer { head, body: read(body).await? })
        })
    }
}

/// Reads into memory that is wiped, and that is large enough never to be moved.
async fn read<B>(body: B) -> Result<Option<Zeroizing<Vec<u8>>>, AuthError>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    let mut body = std::pin::pin!(body);
    let mut whole = Zeroizing::new(Vec::with_capacity(LONGEST));
    // An empty frame counts too, or a body of nothing else would never end.
    for _ in 0..LONGEST {
        let Some(frame) = body.frame().await else {
            return Ok(Some(whole));
        };
        let Ok(mut data) = frame.map_err(unavailable)?.into_data() else {
            continue;
        };
        while data.has_remaining() {
            let chunk = data.chunk();
            let read = chunk.len();
            if whole.len() + read > LONGEST {
                return Ok(None);
            }
            whole.extend_from_slice(chunk);
            data.advance(read);
        }
    }
    Ok(None)
}

/// An error of the transport; one of ours keeps its kind.
fn unavailable(error: impl Into<BoxError>) -> AuthError {
    let error = error.into();
    match AuthError::find(error.as_ref()) {
        Some(found) => found.clone(),
        None => AuthError::new(ErrorKind::Unavailable, what_happened(&*error)).with_source(error),
    }
}

#[cfg(not(feature = "client"))]
fn what_happened(_error: &(dyn std::error::Error + 'static)) -> &'static str {
    "the authorization server cannot be reached"
}

const LONGEST: usize = 64 * 1024;
