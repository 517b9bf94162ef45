//! The ready-made transport through a forward proxy: tunnels for tokens and for the API, and what the proxy gets to see.

use std::error::Error;

use bytes::Bytes;
use http::Version;
use http_body_util::Full;
use tower::Layer;
use tower_outbound_auth::{Credentials, FetchRequest, TokenSource, client::HttpsClient, oauth::ClientCredentialsGrant};

use crate::{
    A_MINUTE, TestResult,
    authority::{Authority, BANK, H2_AND_H1},
    connect_proxy::ConnectProxy,
    is_logged_in,
    ready_made::{logged_in, refused, source, trusting},
    server::{NAME, Server},
};

#[tokio::test]
async fn tokens_and_requests_go_through_a_tunnel() -> TestResult {
    for (offered, version) in [(H2_AND_H1, Version::HTTP_2), (&H2_AND_H1[1..], Version::HTTP_11)] {
        let (server, authority) = (Server::new(), Authority::new()?);
        let address = authority.acceptor(offered, authority.ours(false)?)?.serve(server.clone(), None).await?;
        let proxy = ConnectProxy::to(address);
        let identity = authority.identity(&["client"])?;
        let transport = trusting(&authority)
            .identity(identity.certificate_pem(), identity.key_pem())
            .proxy(&format!("http://{}/", proxy.listen().await?))
            .idle_timeout(A_MINUTE)
            .build()?;
        let origin = format!("https://{BANK}");
        is_logged_in::<_, Full<Bytes>, _>(logged_in(&origin, &transport)?.layer(transport), &origin, &server, version)
            .await?;
        let asked = proxy.asked();
        assert!(!asked.is_empty() && asked.len() == server.connections());
        for head in asked {
            assert_eq!(head, format!("CONNECT {BANK}:443 HTTP/1.1\r\nHost: {BANK}:443\r\n\r\n"));
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_proxy_over_tls_is_told_its_credentials_and_never_sees_the_client_certificate() -> TestResult {
    let (server, authority) = (Server::new(), Authority::new()?);
    let address = authority.acceptor(H2_AND_H1, authority.ours(false)?)?.serve(server.clone(), None).await?;
    // It would take a certificate of ours, and gives up if it gets one.
    let proxy = ConnectProxy::to(address).with_tls(authority.acceptor(H2_AND_H1, authority.ours(true)?)?);
    let identity = authority.identity(&["client"])?;
    let url = format!("https://{NAME}:{}", proxy.listen().await?.port());
    let transport = trusting(&authority)
        .identity(identity.certificate_pem(), identity.key_pem())
        .proxy(&url)
        .proxy_credentials("Aladdin", "open sesame")
        .build()?;
    source(&format!("https://{BANK}:8443"), &transport)?.fetch(FetchRequest::new()).await?;
    // The pair and its encoding are those of RFC 7617, section 2.
    let told = "Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n";
    let head = format!("CONNECT {BANK}:8443 HTTP/1.1\r\nHost: {BANK}:8443\r\n{told}\r\n");
    assert_eq!(proxy.asked(), [head]);
    let error = refused(&format!("https://{BANK}"), &HttpsClient::builder().proxy(&url).build()?).await?;
    assert!(error.to_string().ends_with(&format!("no connection through the proxy at {url}")), "{error}");
    Ok(())
}

#[tokio::test]
async fn this_machine_is_reached_without_the_proxy() -> TestResult {
    let (server, authority) = (Server::new(), Authority::new()?);
    let origin = authority.listen(server.clone(), H2_AND_H1, None).await?;
    let proxy = ConnectProxy::to(([127, 0, 0, 1], 1).into());
    let transport = trusting(&authority).proxy(&format!("http://{}", proxy.listen().await?)).build()?;
    source(&origin, &transport)?.fetch(FetchRequest::new()).await?;
    source(&format!("http://{}", server.listen().await?), &transport)?.fetch(FetchRequest::new()).await?;
    assert_eq!(proxy.asked(), [""; 0]);
    Ok(())
}

#[tokio::test]
async fn plain_http_goes_through_the_proxy_to_its_own_port() -> TestResult {
    let server = Server::new();
    let proxy = ConnectProxy::to(server.listen().await?);
    let transport = HttpsClient::builder().proxy(&format!("http://{}", proxy.listen().await?)).build()?;
    for url in ["http://login.bank.example/token", "http://login.bank.example:8080/token"] {
        let source = ClientCredentialsGrant::builder(url, Credentials::new("client", "secret")).allow_insecure_http();
        source.transport(transport.clone()).build()?.fetch(FetchRequest::new()).await?;
    }
    let lines: Vec<_> = proxy.asked().iter().filter_map(|head| head.lines().next().map(str::to_owned)).collect();
    assert_eq!(lines, ["CONNECT login.bank.example:80 HTTP/1.1", "CONNECT login.bank.example:8080 HTTP/1.1"]);
    Ok(())
}

#[tokio::test]
async fn a_proxy_that_makes_no_tunnel_is_named_with_the_reason() -> TestResult {
    for (answer, reason) in [
        ("407 Proxy Authentication Required", "proxy authorization required"),
        ("403 Forbidden", "unsuccessful"),
        ("502 Bad Gateway", "unsuccessful"),
        ("none", "unsuccessful"),
    ] {
        let proxy = ConnectProxy::to(([127, 0, 0, 1], 1).into()).answering(answer);
        let url = format!("http://{}", proxy.listen().await?);
        let error = refused("https://login.bank.example", &HttpsClient::builder().proxy(&url).build()?).await?;
        let expected = format!("the authorization server cannot be reached: no connection through the proxy at {url}");
        assert_eq!(error.to_string(), expected);
        let mut causes = std::iter::successors(error.source(), |error| (*error).source()).map(ToString::to_string);
        assert!(causes.any(|cause| cause.contains(reason)), "{answer}: {error:?}");
        assert!(!proxy.asked().is_empty());
    }
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
    let transport = HttpsClient::builder().proxy(&format!("http://{nobody}")).build()?;
    let error = refused("https://login.bank.example", &transport).await?;
    assert!(error.to_string().contains(&format!("through the proxy at http://{nobody}")), "{error}");
    Ok(())
}
