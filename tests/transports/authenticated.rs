//! Whatever carries the requests, the client is authenticated: one token, and a rejected request arrives whole with the next.

use std::{fmt::Debug, time::Duration};

use bytes::Bytes;
use http::{Request, Response, Version, header::HOST};
use http_body::Body;
use http_body_util::BodyExt;
use tokio::time::timeout;
use tower::{Service, ServiceExt};
use tower_outbound_auth::BoxError;

use crate::support::server::{NAME, Server};

pub(crate) type TestResult = Result<(), BoxError>;

/// What every transport has to get through: two requests, and after a revocation a third with more than one window holds.
///
/// A target without an authority gets the `Host` header that its client does not add.
pub(crate) async fn is_authenticated<S, B, RB>(client: S, target: &str, server: &Server, version: Version) -> TestResult
where
    S: Service<Request<B>, Response = Response<RB>, Error = BoxError> + Clone,
    B: From<Bytes>,
    RB: Body<Error: Into<BoxError>, Data: Debug>,
{
    let (small, large) = (Bytes::from_static(b"small"), large());
    for body in [&small, &small, &large] {
        if *body == large {
            assert_eq!(server.issuer.requests(), 1, "one token serves until it is revoked");
            server.issuer.revoke();
        }
        let request = Request::post(target);
        let request = if target.starts_with('/') { request.header(HOST, NAME) } else { request };
        let exchange = async {
            let response = client.clone().oneshot(request.body(B::from(body.clone()))?).await?;
            assert_eq!(response.status(), 200);
            response.into_body().collect().await.map_err(Into::into)
        };
        let echo = timeout(A_MINUTE, exchange).await??.to_bytes();
        assert!(echo == *body, "{} of {} bytes came back", echo.len(), body.len());
    }
    assert_eq!(server.issuer.requests(), 2, "one more token after the revocation");
    server.saw(&[(true, &small), (true, &small), (false, &large), (true, &large)], version);
    Ok(())
}

/// No piece of it is like the piece before.
pub(crate) fn large() -> Bytes {
    (0..=250).cycle().take(300_000).collect()
}

pub(crate) const A_MINUTE: Duration = Duration::from_secs(60);
