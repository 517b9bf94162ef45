//! The ready-made transport through a forward proxy: tunnels for tokens and for the API, and what the proxy gets to see.

use std::{
    error::Error,
    future::Future,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{Request, Uri, Version};
use http_body_util::Full;
use tokio::net::TcpListener;
use tower::{Layer, ServiceExt};
use tower_outbound_auth::{
    AuthError, AuthLayer, Credentials, ErrorKind,
    client::HttpsClient,
    oauth::ClientCredentialsGrant,
    token::{FetchRequest, TokenSource},
};

use crate::{
    authenticated::{A_MINUTE, TestResult, is_authenticated},
    connect_proxy::ConnectProxy,
    over_the_ready_made_transport::{authenticated, refused, source, trusting},
    support::{
        authority::{Authority, BANK, H2_AND_H1},
        server::{NAME, Server},
    },
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
            .pool_idle_timeout(A_MINUTE)
            .build()?;
        let origin = format!("https://{BANK}");
        is_authenticated::<_, Full<Bytes>, _>(
            authenticated(&origin, &transport)?.layer(transport),
            &origin,
            &server,
            version,
        )
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
async fn plain_http_is_told_to_the_proxy_with_its_whole_uri_and_needs_no_tunnel() -> TestResult {
    let (server, authority) = (Server::new(), Authority::new()?);
    for is_over_tls in [false, true] {
        let proxy = ConnectProxy::to(server.listen().await?);
        let proxy = if is_over_tls {
            proxy.with_tls(authority.acceptor(H2_AND_H1, Authority::no_client_auth())?)
        } else {
            proxy
        };
        let (address, scheme) = (proxy.listen().await?, if is_over_tls { "https" } else { "http" });
        let transport = trusting(&authority)
            .proxy(&format!("{scheme}://{NAME}:{}", address.port()))
            .proxy_credentials("Aladdin", "open sesame")
            .build()?;
        for authority in ["login.bank.example", "login.bank.example:8080"] {
            let url = format!("http://{authority}/token?a=b");
            let source =
                ClientCredentialsGrant::builder(&url, Credentials::new("client", "secret")).allow_insecure_http();
            source.transport(transport.clone()).build()?.fetch(FetchRequest::new()).await?;
            let head = proxy.asked().pop().unwrap_or_default();
            assert!(head.starts_with(&format!("POST {url} HTTP/1.1\r\n")), "{head}");
            assert!(head.contains(&format!("host: {authority}\r\n")), "{head}");
            assert_eq!(
                head.matches("proxy-authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n").count(),
                1,
                "{head}"
            );
        }
        assert_eq!(proxy.asked().len(), 2);
    }
    Ok(())
}

#[tokio::test]
async fn calls_over_plain_http_go_through_the_proxy_on_one_connection() -> TestResult {
    let server = Server::new();
    let proxy = ConnectProxy::to(server.listen().await?);
    let transport =
        HttpsClient::builder().proxy(&format!("http://{}", proxy.listen().await?)).pool_idle_timeout(A_MINUTE);
    let (transport, origin) = (transport.build()?, "http://api.bank.example:8080");
    let source = ClientCredentialsGrant::builder(&format!("{origin}/token"), Credentials::new("client", "secret"));
    let source = source.allow_insecure_http().transport(transport.clone()).build()?;
    let layer = AuthLayer::builder(source).origin(origin).allow_insecure_http().build()?;
    is_authenticated::<_, Full<Bytes>, _>(layer.layer(transport), origin, &server, Version::HTTP_11).await?;
    let asked = proxy.asked();
    assert_eq!(asked.iter().filter(|head| head.starts_with(&format!("POST {origin}/ HTTP/1.1\r\n"))).count(), 1);
    assert!(asked.iter().all(|head| head.starts_with("POST http://")), "{asked:?}");
    Ok(())
}

#[tokio::test]
async fn a_proxy_is_told_its_credentials_and_the_servers_are_not() -> TestResult {
    let (server, authority) = (Server::new(), Authority::new()?);
    let address = authority.acceptor(H2_AND_H1, Authority::no_client_auth())?.serve(server.clone(), None).await?;
    let here = ConnectProxy::to(server.listen().await?);
    let (proxy, here_url) = (ConnectProxy::to(address), format!("http://{}", here.listen().await?));
    let url = format!("http://{}", proxy.listen().await?);
    let client = trusting(&authority).proxy(&url).proxy_credentials("Aladdin", "open sesame").build()?;
    for direct in [format!("https://{BANK}"), here_url] {
        let request = Request::get(format!("{direct}/a")).body(Full::<Bytes>::default())?;
        client.clone().oneshot(request).await?;
    }
    // One is in a tunnel, the other goes to this machine, where no proxy is asked.
    assert!(proxy.asked()[0].starts_with("CONNECT") && proxy.asked().len() == 1);
    assert!(!here.asked()[0].to_lowercase().contains("proxy-authorization"), "{:?}", here.asked());
    assert!(server.headers().iter().all(|headers| !headers.contains_key("proxy-authorization")));
    Ok(())
}

#[tokio::test]
async fn a_proxy_that_refuses_plain_http_for_want_of_credentials_is_told_apart() -> TestResult {
    let proxy = ConnectProxy::to(([127, 0, 0, 1], 1).into()).answering("407 Proxy Authentication Required");
    let transport = HttpsClient::builder().proxy(&format!("http://{}", proxy.listen().await?)).build()?;
    let source =
        ClientCredentialsGrant::builder("http://login.bank.example/token", Credentials::new("client", "secret"));
    let error =
        source.allow_insecure_http().transport(transport).build()?.fetch(FetchRequest::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("set `proxy_credentials`"), "{error}");
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
        let expected = format!(
            "the authorization server at https://login.bank.example cannot be reached: no connection through the proxy at {url}"
        );
        let advice =
            if answer.starts_with("407") { ", which asks for credentials: set `proxy_credentials`" } else { "" };
        assert_eq!(error.to_string(), format!("{expected}{advice}"));
        let mut causes = std::iter::successors(error.source(), |error| (*error).source()).map(ToString::to_string);
        assert!(causes.any(|cause| cause.contains(reason)), "{answer}: {error:?}");
        assert!(!proxy.asked().is_empty());
    }
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
    let transport = HttpsClient::builder().proxy(&format!("http://{closed}")).build()?;
    let error = refused("https://login.bank.example", &transport).await?;
    assert!(error.to_string().contains(&format!("through the proxy at http://{closed}")), "{error}");
    Ok(())
}

#[tokio::test]
async fn hosts_in_no_proxy_are_reached_without_the_proxy() -> TestResult {
    let (server, authority) = (Server::new(), Authority::new()?);
    let address = authority.acceptor(H2_AND_H1, Authority::no_client_auth())?.serve(server.clone(), None).await?;
    for (list, is_proxied) in
        [("", true), ("bank.example:8443, 10.0.0.0/8", true), (".bank.example", false), ("*", false)]
    {
        let proxy = ConnectProxy::to(address);
        let url = format!("http://{}", proxy.listen().await?);
        let client = trusting(&authority).proxy(&url).no_proxy(list).build()?;
        let fetched = source(&format!("https://{BANK}"), &client)?.fetch(FetchRequest::new()).await;
        assert_eq!((fetched.is_ok(), proxy.asked().len()), (is_proxied, usize::from(is_proxied)), "{list}");
        let told = fetched.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(!told.contains("proxy"), "{told}");
    }
    Ok(())
}

/// What `parse` takes for a port, or what TCP would take for none: the connection would be made past the proxy, or to
/// another port.
#[tokio::test]
async fn a_port_that_is_none_goes_neither_through_the_proxy_nor_past_it() -> TestResult {
    let server = TcpListener::bind("127.0.0.1:0").await?;
    let port = server.local_addr()?.port();
    let proxy = ConnectProxy::to(server.local_addr()?);
    let url = format!("http://{}", proxy.listen().await?);
    let by_proxy = HttpsClient::builder().proxy(&url).build()?;
    let clients = [by_proxy.clone(), HttpsClient::builder().proxy(&url).no_proxy("*").build()?, HttpsClient::new()?];
    // This machine, though `HttpsClient` does not know it by this name, and by one that it knows.
    for host in ["127.0.0.1.nip.invalid", "localhost", "127.0.0.1", "user@localhost"] {
        for scheme in ["http", "https"] {
            for port in [format!("+{port}"), format!("%2B{port}"), "-1".to_owned(), "65536".to_owned(), "x".to_owned()]
            {
                let Ok(uri) = format!("{scheme}://{host}:{port}/").parse::<Uri>() else { continue };
                for client in &clients {
                    let request = Request::get(uri.clone()).body(Full::<Bytes>::default())?;
                    let error = client.clone().oneshot(request).await.err().ok_or("a connection")?;
                    let error = AuthError::find(&*error).ok_or_else(|| format!("{uri}: another error: {error:?}"))?;
                    assert_eq!(error.kind(), ErrorKind::Config, "{uri}");
                    assert!(error.to_string().contains("names no server"), "{error}");
                }
            }
        }
    }
    assert!(proxy.asked().is_empty() && server.accept().now_or_never().is_none());
    // And one that is one.
    let request = Request::get(format!("http://server.example:{port}/")).body(Full::<Bytes>::default())?;
    let call = tokio::spawn(by_proxy.oneshot(request));
    drop(server.accept().await?);
    assert!(call.await?.is_err() && proxy.asked().len() == 1);
    Ok(())
}

/// Whether a future is ready at once.
trait NowOrNever: Future + Sized {
    fn now_or_never(self) -> Option<Self::Output> {
        match std::pin::pin!(self).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }
}

impl<F: Future> NowOrNever for F {}
