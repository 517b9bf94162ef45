//! For a token server that calls its bearer tokens by another name: to be copied into an application.

use bytes::Bytes;
use http::Response;
use http_body::Body;
use http_body_util::{BodyExt, Full};
use tower_outbound_auth::BoxError;

/// Gives the token the type that it has, whatever the server calls it.
pub(crate) async fn mend<B>(response: Response<B>) -> Result<Response<Full<Bytes>>, BoxError>
where
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    let (head, body) = response.into_parts();
    let grant = body.collect().await.map_err(Into::into)?.to_bytes();
    let grant = String::from_utf8_lossy(&grant).replace(r#""BearerToken""#, r#""Bearer""#);
    Ok(Response::from_parts(head, Full::from(grant)))
}
