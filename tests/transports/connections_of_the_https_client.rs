//! Connections of an `HttpsClient`: its pool, and those that a grant has for itself.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, Version};
use http_body_util::{BodyExt, Full};
use tokio::{task::JoinSet, time::timeout};
use tower::{Layer, ServiceBuilder, ServiceExt};
use tower_outbound_auth::{
    AuthLayer, BoxError, Credentials,
    client::{HttpsClient, HttpsClientBuilder},
    oauth::ClientCredentialsGrant,
    token::{FetchRequest, RefreshPolicy, TokenSource},
};

use crate::{
    authenticated::{A_MINUTE, TestResult},
    over_the_ready_made_transport::{source, trusting},
    support::{
        authority::{Authority, H2_AND_H1},
        server::Server,
    },
};

/// Asks the API, and reads the response to its end.
async fn call(client: &HttpsClient, origin: &str) -> Result<Version, BoxError> {
    let request = Request::get(format!("{origin}/reports")).body(Full::<Bytes>::default())?;
    let response = client.clone().oneshot(request).await?;
    let version = response.version();
    response.into_body().collect().await?;
    Ok(version)
}

#[tokio::test]
async fn connections_are_pooled_unless_they_are_not_to_be() -> TestResult {
    for protocols in [H2_AND_H1, &H2_AND_H1[1..]] {
        for (settings, expected) in [
            ((|builder| builder) as fn(HttpsClientBuilder) -> HttpsClientBuilder, 1),
            (|builder| builder.pool_idle_timeout(Duration::MAX), 1),
            (|builder| builder.pool_idle_timeout(Duration::ZERO), 3),
        ] {
            let (server, authority) = (Server::new(), Authority::new()?);
            let origin = authority.listen(server.clone(), protocols, None).await?;
            let client = settings(trusting(&authority)).build()?;
            for _ in 0..3 {
                call(&client, &origin).await?;
            }
            assert_eq!(server.connections(), expected);
        }
    }
    Ok(())
}

#[tokio::test]
async fn r9_a_grant_shares_no_connection_with_the_client_it_was_given_and_keeps_none() -> TestResult {
    for protocols in [H2_AND_H1, &H2_AND_H1[1..]] {
        let (server, authority) = (Server::new(), Authority::new()?);
        let origin = authority.listen(server.clone(), protocols, None).await?;
        let client = trusting(&authority).build()?;
        let grant = source(&origin, &client)?;
        call(&client, &origin).await?;
        assert_eq!(server.connections(), 1);
        for expected in [2, 3] {
            grant.fetch(FetchRequest::new()).await?;
            assert_eq!(server.connections(), expected, "each token request opens its own");
        }
        call(&client, &origin).await?;
        assert_eq!(server.connections(), 3, "the client's own is still there");
    }
    Ok(())
}

/// More than the window of one HTTP/2 connection holds: over that connection, the token response would wait for the
/// rejected ones to be read, which wait for the token.
#[tokio::test(flavor = "multi_thread")]
async fn r9_a_hundred_long_rejections_on_one_connection_do_not_hold_up_the_token_request() -> TestResult {
    let (server, authority) = (Server::new().with_refusals_of(100_000), Authority::new()?);
    let origin = authority.listen(server.clone(), H2_AND_H1, Some(b"h2".to_vec())).await?;
    let client = trusting(&authority).build()?;
    let credentials = Credentials::new("client", "secret");
    let grant = ClientCredentialsGrant::builder(&format!("{origin}/token"), credentials);
    let grant = grant.transport(client.clone()).timeout(Duration::from_secs(5)).build()?;
    let policy = RefreshPolicy::default().attempts(1);
    let layer = AuthLayer::builder(grant).origin(&origin).refresh(policy).build()?;
    let client = layer.layer(client);
    let call = || {
        let request = Request::get(format!("{origin}/reports")).body(Full::<Bytes>::default());
        let client = client.clone();
        async move {
            let response = client.oneshot(request?).await?;
            Ok::<_, BoxError>((response.status(), response.into_body().collect().await?))
        }
    };
    call().await?;
    server.issuer.revoke();
    server.refuse_together(CALLS);
    let mut calls: JoinSet<_> = (0..CALLS).map(|_| call()).collect();
    while let Some(end) = timeout(A_MINUTE, calls.join_next()).await? {
        assert_eq!(end??.0, StatusCode::OK);
    }
    assert_eq!((server.issuer.requests(), server.connections()), (2, 1 + 2));
    Ok(())
}

#[tokio::test]
async fn r9_a_client_in_layers_is_used_as_it_is() -> TestResult {
    let (server, authority) = (Server::new(), Authority::new()?);
    let origin = authority.listen(server.clone(), H2_AND_H1, None).await?;
    let client = ServiceBuilder::new().map_err(|error: BoxError| error).service(trusting(&authority).build()?);
    let credentials = Credentials::new("client", "secret");
    let grant = ClientCredentialsGrant::builder(&format!("{origin}/token"), credentials).transport(client).build()?;
    for _ in 0..3 {
        grant.fetch(FetchRequest::new()).await?;
    }
    assert_eq!(server.connections(), 1);
    Ok(())
}

#[tokio::test]
async fn http_1_only_is_spoken_where_that_is_set() -> TestResult {
    let (server, authority) = (Server::new(), Authority::new()?);
    let origin = authority.listen(server.clone(), H2_AND_H1, None).await?;
    assert_eq!(call(&trusting(&authority).build()?, &origin).await?, Version::HTTP_2);
    assert_eq!(call(&trusting(&authority).http1_only().build()?, &origin).await?, Version::HTTP_11);
    Ok(())
}

#[tokio::test]
async fn a_client_without_settings_trusts_mozillas_roots_alone() -> TestResult {
    let (server, authority) = (Server::new(), Authority::new()?);
    let origin = authority.listen(server.clone(), H2_AND_H1, None).await?;
    let client = HttpsClient::new()?;
    let shown = format!("{client:?}");
    assert!(shown.contains("pool_idle_timeout: 90s") && shown.contains("https_proxy: None"), "{shown}");
    call(&client, &origin).await.unwrap_err();
    let error = source(&origin, &client)?.fetch(FetchRequest::new()).await.unwrap_err();
    let told = error.to_string();
    assert!(told.contains(&format!("the authorization server at {origin} cannot be reached: ")), "{told}");
    assert!(told.contains("`root_certificates` of `HttpsClientBuilder`"), "{told}");
    Ok(())
}

const CALLS: usize = 100;
