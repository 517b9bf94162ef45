//! The sandbox serves without sockets as it does over them, on a paused clock too.
#![expect(clippy::disallowed_methods, reason = "the tests sleep on paused time")]

use std::{io, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use tokio::time::{Instant, advance, sleep};
use tower::{ServiceBuilder, ServiceExt};
use tower_outbound_auth::{
    AuthLayer, BoxError,
    paynet::{self, PayNetLayer},
    sandbox::{Fault, FaultKind, Sandbox, SandboxService},
    signing::TimestampHmac,
};

use crate::user::{DOWNLOAD, FORM, ORDER, TestResult, User, request, set};

#[tokio::test]
async fn the_same_requests_get_the_same_responses() -> TestResult {
    let user = User::of(Sandbox::start().await?);
    let service = user.sandbox.service();
    let (api, token) = (user.sandbox.environment().api_origin().to_owned(), user.token().await?);
    let requests = [
        user.types(&token),
        user.types("unknown"),
        user.signed(&token, Method::POST, DOWNLOAD, "no JSON"),
        user.token_request("grant_type=password"),
        request(Method::GET, &format!("{api}/nowhere"), ""),
        request(Method::GET, &format!("{api}/token"), ""),
        request(Method::GET, &format!("{}/files/x", user.sandbox.download_origin()), ""),
        request(Method::POST, &format!("{api}/v1/reports/types"), &"a".repeat(2 << 20)),
    ];
    for request in requests {
        let before = user.sandbox.stats();
        let by_socket = user.send(request.clone()).await?;
        let between = user.sandbox.stats();
        let called = call(&service, request.clone()).await?;
        assert_eq!((called.0, &called.2), (by_socket.status, &by_socket.body), "{}", request.uri());
        let told = |headers: &HeaderMap| {
            [header::CONTENT_TYPE, header::WWW_AUTHENTICATE].map(|name| headers.get(name).cloned())
        };
        assert_eq!(told(&called.1), told(&by_socket.headers));
        assert!(called.1.contains_key(header::DATE));
        let after = user.sandbox.stats();
        assert_eq!(after.api_requests - between.api_requests, between.api_requests - before.api_requests);
        assert_eq!(after.token_requests - between.token_requests, between.token_requests - before.token_requests);
        assert_eq!(after.connections, between.connections);
    }
    Ok(())
}

#[tokio::test]
async fn a_uri_names_one_of_the_two_origins_or_none() -> TestResult {
    let sandbox = Sandbox::builder().api(|request| Response::new(request.uri().to_string())).start().await?;
    let user = User::of(sandbox);
    let (service, token) = (user.sandbox.service(), user.token().await?);
    let bearing = |uri: &str| {
        let mut request = request(Method::GET, uri, "");
        set(&mut request, header::AUTHORIZATION, &format!("Bearer {token}"));
        request
    };
    let api = user.sandbox.environment().api_origin().to_owned();
    for uri in [format!("{api}/orders?id=7"), "/orders?id=7".to_owned()] {
        assert_eq!(call(&service, bearing(&uri)).await?.2, "/orders?id=7");
    }
    for elsewhere in ["http://api.example.com/orders", &api.replace("http:", "https:"), "http://user@127.0.0.1/"] {
        let error = call(&service, bearing(elsewhere)).await.unwrap_err();
        assert_eq!(error.downcast_ref::<io::Error>().map(io::Error::kind), Some(io::ErrorKind::ConnectionRefused));
        let text = error.to_string();
        assert!(text.contains(&api) && text.contains(user.sandbox.download_origin()), "{text}");
        assert!(!text.contains("api.example.com") && !text.contains("user@"), "{text}");
    }
    assert_eq!(user.sandbox.stats().api_requests, 2);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn each_fault_is_there_and_waits_take_no_time() -> TestResult {
    let user = User::of(Sandbox::start().await?);
    let service = user.sandbox.service();
    let request = || user.token_request(FORM);
    let kinds = [
        FaultKind::Status(StatusCode::IM_A_TEAPOT),
        FaultKind::Latency(Duration::from_secs(3600)),
        FaultKind::Reset,
        FaultKind::CutOff,
    ];
    for kind in kinds {
        user.sandbox.inject(Fault::token(kind));
    }

    assert_eq!(call(&service, request()).await?.0, 418);
    let start = Instant::now();
    assert_eq!(call(&service, request()).await?.0, 200);
    assert_eq!(start.elapsed().as_secs(), 3600);
    let reset = call(&service, request()).await.unwrap_err();
    assert_eq!(reset.downcast_ref::<io::Error>().map(io::Error::kind), Some(io::ErrorKind::ConnectionReset));

    let (head, mut body) = service.clone().oneshot(request()).await?.into_parts();
    let length: usize = head.headers[header::CONTENT_LENGTH].to_str()?.parse()?;
    assert!(!body.is_end_stream() && body.size_hint().exact().is_none());
    let half = body.frame().await.ok_or("no body")??.into_data().map_err(|_| "no data")?;
    assert_eq!(half.len(), length / 2);
    let error = body.frame().await.ok_or("an orderly end")?.unwrap_err();
    assert_eq!(error.downcast_ref::<io::Error>().map(io::Error::kind), Some(io::ErrorKind::UnexpectedEof));
    assert!(body.frame().await.is_none());

    let body = service.clone().oneshot(request()).await?.into_body();
    assert_eq!(body.size_hint().exact(), Some(body.collect().await?.to_bytes().len() as u64));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_token_expires_by_tokios_clock() -> TestResult {
    let user = User::of(Sandbox::builder().token_lifetime(Duration::from_secs(60)).start().await?);
    let service = user.sandbox.service();
    let token: serde_json::Value = serde_json::from_slice(&call(&service, user.token_request(FORM)).await?.2)?;
    let token = token["access_token"].as_str().ok_or("no token")?;
    advance(Duration::from_secs(59)).await;
    assert_eq!(call(&service, user.types(token)).await?.0, 200);
    advance(Duration::from_secs(1)).await;
    assert_eq!(call(&service, user.types(token)).await?.0, 400);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn paynets_layer_renews_a_revoked_token_and_signs_again() -> TestResult {
    let sandbox = Sandbox::start().await?;
    let environment = sandbox.environment();
    let grant = paynet::grant(&environment, sandbox.credentials()).transport(sandbox.service()).build()?;
    let auth = AuthLayer::builder(grant)
        .origin(environment.api_origin())
        .sign(paynet::sign_rules(), TimestampHmac::sha256(sandbox.credentials()))
        .build()?;
    let client = ServiceBuilder::new().layer(PayNetLayer::from(auth)).service(sandbox.service());
    let order = || {
        let mut request = request(Method::POST, &format!("{}{DOWNLOAD}", environment.api_origin()), ORDER);
        set(&mut request, header::CONTENT_TYPE, "application/json");
        request
    };
    assert_eq!(client.clone().oneshot(order()).await?.status(), 200);
    sandbox.revoke_tokens();
    let answer = client.clone().oneshot(order()).await?.into_body().collect().await?.to_bytes();
    let answer: serde_json::Value = serde_json::from_slice(&answer)?;
    let file = answer["data"]["url"].as_str().ok_or("no URL")?;
    assert_eq!(client.oneshot(request(Method::GET, file, "")).await?.status(), 200);
    sleep(Duration::from_secs(3600)).await;
    let seen = sandbox.stats();
    assert_eq!((seen.token_requests, seen.accepted, seen.rejected, seen.downloads), (2, 2, 1, 1));
    assert_eq!((seen.credentials_leaked, seen.connections), (0, 0));
    Ok(())
}

#[tokio::test]
async fn the_service_outlives_its_sandbox_and_shows_no_secret() -> TestResult {
    let user = User::of(Sandbox::builder().credentials("my_client", "planted").start().await?);
    let service = user.sandbox.service();
    let form = "grant_type=client_credentials&client_id=my_client&client_secret=planted";
    let request = user.token_request(form);
    drop(user);
    let (status, _, body) = call(&service, request).await?;
    assert_eq!(status, 200);
    let token: serde_json::Value = serde_json::from_slice(&body)?;
    let debug = format!("{service:?}");
    assert!(debug.contains("http://127.0.0.1:"), "{debug}");
    assert!(
        !debug.contains("planted") && !debug.contains(token["access_token"].as_str().ok_or("no token")?),
        "{debug}"
    );
    Ok(())
}

async fn call(
    service: &SandboxService,
    request: Request<Full<Bytes>>,
) -> Result<(StatusCode, HeaderMap, Bytes), BoxError> {
    let (head, body) = service.clone().oneshot(request).await?.into_parts();
    Ok((head.status, head.headers, body.collect().await?.to_bytes()))
}
