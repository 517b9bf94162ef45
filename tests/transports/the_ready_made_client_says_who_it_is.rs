//! O1: what the ready-made client sends besides what it was told to, as the bytes on a socket.

use bytes::Bytes;
use http::{HeaderValue, Request, header::USER_AGENT};
use http_body_util::Full;
use tower::ServiceExt;
use tower_outbound_auth::{
    BoxError, Credentials,
    client::HttpsClient,
    oauth::{ClientCredentialsGrant, ClientCredentialsGrantBuilder},
    token::{FetchRequest, TokenSource},
};

use crate::{authenticated::TestResult, raw_server::RawServer};

const TOKEN: &str = "HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n{\"access_token\":\"t\"}";

/// The head of the token request, in lower case.
async fn asked(
    change: impl FnOnce(ClientCredentialsGrantBuilder) -> ClientCredentialsGrantBuilder,
) -> Result<String, BoxError> {
    let server = RawServer::answering(TOKEN).await?;
    let builder = ClientCredentialsGrant::builder(&format!("{}/token", server.url()), Credentials::new("id", "key"));
    change(builder).build()?.fetch(FetchRequest::new()).await?;
    Ok(server.heads().remove(0).to_lowercase())
}

#[tokio::test]
async fn o1_a_token_request_says_who_sends_it_and_that_it_wants_no_coding() -> TestResult {
    let (version, client) = (env!("CARGO_PKG_VERSION"), HttpsClient::new()?);
    for head in [asked(|builder| builder).await?, asked(|builder| builder.transport(client)).await?] {
        for line in [
            &format!("user-agent: tower-outbound-auth/{version}"),
            "accept-encoding: identity",
            "accept: application/json",
        ] {
            assert_eq!(head.lines().filter(|found| *found == line).count(), 1, "{head}");
        }
    }
    let head = asked(|builder| builder.header(USER_AGENT, HeaderValue::from_static("reports/2.1"))).await?;
    assert!(head.contains("\r\nuser-agent: reports/2.1\r\n") && head.matches("user-agent").count() == 1, "{head}");
    Ok(())
}

#[tokio::test]
async fn a_call_says_who_sends_it_unless_it_says_so_itself() -> TestResult {
    for (own, expected) in
        [(None, format!("tower-outbound-auth/{}", env!("CARGO_PKG_VERSION"))), (Some("mine/1"), "mine/1".to_owned())]
    {
        let server = RawServer::answering(TOKEN).await?;
        let mut request = Request::get(server.url()).body(Full::<Bytes>::default())?;
        request.headers_mut().extend(own.map(|own| (USER_AGENT, HeaderValue::from_static(own))));
        HttpsClient::new()?.oneshot(request).await?;
        let head = server.heads().remove(0).to_lowercase();
        assert!(
            head.contains(&format!("\r\nuser-agent: {expected}\r\n")) && head.matches("user-agent").count() == 1,
            "{head}"
        );
    }
    Ok(())
}
