//! For an API that reports a rejected token in the body. Copy it into your application and adapt it.

use bytes::Bytes;
use http::{Response, header::CONTENT_TYPE};
use http_body::Body;
use http_body_util::{BodyExt, Either, Full};
use serde_json::Value;
use tower_outbound_auth::{BoxError, rejection::Rejection};

/// Leaves a `Rejection` in a response whose JSON says that the token is not valid. Other responses pass unread.
pub(crate) async fn read_json<B>(response: Response<B>) -> Result<Response<Either<Full<Bytes>, B>>, BoxError>
where
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    let (mut head, body) = response.into_parts();
    let is_json = head.headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    if !is_json {
        return Ok(Response::from_parts(head, Either::Right(body)));
    }
    let body = body.collect().await.map_err(Into::into)?.to_bytes();
    let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
    if answer["error"] == "token_revoked" || answer["error"]["code"] == 190 {
        head.extensions.insert(Rejection::Token);
    }
    Ok(Response::from_parts(head, Either::Left(Full::new(body))))
}
