//! An HTTP/2 server that takes one request at a time on a connection (`SETTINGS_MAX_CONCURRENT_STREAMS` of 1).

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tokio::{task::JoinSet, time::timeout};
use tower::{Layer, Service, ServiceExt};
use tower_outbound_auth::{
    Auth, AuthLayer, BoxError, Credentials, ErrorKind,
    oauth::ClientCredentialsGrant,
    rejection::NotReplayed,
    token::{RefreshPolicy, TokenHandle},
};

use crate::{
    authenticated::{A_MINUTE, TestResult},
    support::server::Server,
};

type Http = Client<hyper_util::client::legacy::connect::HttpConnector, Full<Bytes>>;

/// One connection for calls and for token requests.
struct User {
    client: Auth<Http>,
    handle: TokenHandle,
    url: String,
}

impl User {
    async fn new(server: &Server) -> Result<Self, BoxError> {
        let origin = format!("http://{}", server.listen().await?);
        let http: Http = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
        let credentials = Credentials::new("client", "secret");
        let grant = ClientCredentialsGrant::builder(&format!("{origin}/token"), credentials).transport(http.clone());
        let layer = AuthLayer::builder(grant.timeout(Duration::from_secs(2)).build()?)
            .origin(&origin)
            .refresh(RefreshPolicy::default().attempts(1))
            .build()?;
        Ok(Self { handle: layer.handle(), client: layer.layer(http), url: format!("{origin}/reports") })
    }

    /// So many calls at once; the statuses of the responses, and why a request was not replayed.
    async fn calls(&self, number: usize) -> Result<Vec<(StatusCode, Option<NotReplayed>)>, BoxError> {
        let mut calls: JoinSet<_> = (0..number).map(|_| call(self.client.clone(), self.url.clone())).collect();
        let mut ended = Vec::new();
        while let Some(end) = timeout(A_MINUTE, calls.join_next()).await? {
            ended.push(end??);
        }
        Ok(ended)
    }
}

async fn call<S, RB>(client: S, url: String) -> Result<(StatusCode, Option<NotReplayed>), BoxError>
where
    S: Service<Request<Full<Bytes>>, Response = http::Response<RB>, Error = BoxError>,
    RB: http_body::Body<Error: Into<BoxError>>,
{
    let response = client.oneshot(Request::get(url).body(Full::default())?).await?;
    let (status, reason) = (response.status(), response.extensions().get().copied());
    response.into_body().collect().await.map_err(Into::into)?;
    Ok((status, reason))
}

#[tokio::test]
async fn r9_calls_and_token_requests_take_turns_on_one_stream() -> TestResult {
    let server = Server::new().with_streams(1).with_refusals_of(1_000);
    let user = User::new(&server).await?;
    for tokens in 1..=3 {
        assert_eq!(user.calls(20).await?, [(StatusCode::OK, None); 20]);
        assert_eq!((server.issuer.requests(), server.connections()), (tokens, 1));
        server.issuer.revoke();
    }
    Ok(())
}

/// The token request waits for the stream that the rejected response takes, which waits for the token. The docs of
/// `transport` say so; it ends by the grant's timeout, as the caller's own 401.
#[tokio::test]
async fn r6_a_long_rejection_on_the_only_stream_holds_up_the_token_request_until_its_timeout() -> TestResult {
    let server = Server::new().with_streams(1).with_refusals_of(LONG);
    let user = User::new(&server).await?;
    assert_eq!(user.calls(20).await?, [(StatusCode::OK, None); 20]);
    server.issuer.revoke();
    let failed = (StatusCode::UNAUTHORIZED, Some(NotReplayed::FetchFailed));
    assert!(user.calls(5).await?.contains(&failed));
    let error = user.handle.status().last_error.ok_or("no error")?;
    assert_eq!(error.kind(), ErrorKind::Timeout);
    user.handle.refresh().await?;
    assert_eq!(user.calls(20).await?, [(StatusCode::OK, None); 20], "no stream is lost");
    assert_eq!(server.connections(), 1);
    Ok(())
}

#[cfg(feature = "client")]
#[tokio::test]
async fn r9_long_rejections_on_the_only_stream_do_not_hold_up_the_token_request_of_an_https_client() -> TestResult {
    use crate::{
        over_the_ready_made_transport::{authenticated, trusting},
        support::authority::{Authority, H2_AND_H1},
    };
    let (server, authority) = (Server::new().with_streams(1).with_refusals_of(LONG), Authority::new()?);
    let origin = authority.listen(server.clone(), H2_AND_H1, Some(b"h2".to_vec())).await?;
    let https = trusting(&authority).build()?;
    let client = authenticated(&origin, &https)?.layer(https);
    // Until it has read the limit, a client sends more, which the server refuses.
    let mut calls: JoinSet<_> = (0..20).map(|_| call(client.clone(), format!("{origin}/reports"))).collect();
    let mut accepted = 0;
    while let Some(end) = timeout(A_MINUTE, calls.join_next()).await? {
        match end? {
            Ok(ended) => accepted += usize::from(ended == (StatusCode::OK, None)),
            Err(error) => assert_eq!(reason(error.as_ref()), Some(h2::Reason::REFUSED_STREAM), "{error:?}"),
        }
    }
    assert!(accepted > 0 && server.hosts().len() == accepted, "{accepted} of {} were served", server.hosts().len());
    for tokens in 1..=3 {
        let mut calls: JoinSet<_> = (0..20).map(|_| call(client.clone(), format!("{origin}/reports"))).collect();
        while let Some(end) = timeout(A_MINUTE, calls.join_next()).await? {
            assert_eq!(end??, (StatusCode::OK, None));
        }
        assert_eq!(server.issuer.requests(), tokens);
        server.issuer.revoke();
    }
    Ok(())
}

#[cfg(feature = "client")]
fn reason(error: &(dyn std::error::Error + 'static)) -> Option<h2::Reason> {
    let mut causes = std::iter::successors(Some(error), |error| (*error).source());
    causes.find_map(|error| error.downcast_ref::<h2::Error>())?.reason()
}

/// More than hyper's client takes without being read.
const LONG: usize = 3_000_000;
