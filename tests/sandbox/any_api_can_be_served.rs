//! A function takes the place of PayNet's API, for users of any other.

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use tower_outbound_auth::sandbox::{Fault, FaultKind, RejectionStyle, Sandbox, SandboxBuilder};

use crate::user::{FORBIDDEN, FORM, Protocol, TestResult, User, passed_since, request, set, since_1970, twice};

#[tokio::test]
async fn a_valid_token_is_all_that_a_request_needs() -> TestResult {
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let user = User::over(protocol, echoing().start().await?);
        let token = user.token().await?;
        let answer = user.send(bearing(&user, &token)).await?;
        assert_eq!((answer.status, &answer.body[..]), (StatusCode::CREATED, &b"PUT /orders/7?by=id: a body"[..]));
        for token in ["unknown", ""] {
            let answer = user.send(bearing(&user, token)).await?;
            assert_eq!(answer.status, 401, "{token}");
            assert_eq!(answer.headers[header::WWW_AUTHENTICATE], r#"Bearer realm="sandbox", error="invalid_token""#);
        }
        let mut without = bearing(&user, &token);
        without.headers_mut().remove(header::AUTHORIZATION);
        assert_eq!(user.send(without).await?.status, 401);
        let mut repeated = bearing(&user, &token);
        twice(&mut repeated, header::AUTHORIZATION);
        assert_eq!(user.send(repeated).await?.status, 400);
        user.sandbox.revoke_tokens();
        assert_eq!(user.send(bearing(&user, &token)).await?.status, 401);
        let seen = user.sandbox.stats();
        assert_eq!((seen.token_requests, seen.api_requests, seen.accepted, seen.rejected), (1, 6, 1, 5));
        let of_client = user.sandbox.client_stats("client_123456789").unwrap();
        assert_eq!((of_client.accepted, of_client.rejected), (1, 1));
    }
    Ok(())
}

#[tokio::test]
async fn paynets_paths_are_this_apis_too_and_another_rejection_can_be_chosen() -> TestResult {
    let user = User::of(echoing().rejection(RejectionStyle::Documented400).start().await?);
    let answer = user.send(request(Method::GET, &url(&user, "/v1/reports/types"), "")).await?;
    assert_eq!((answer.status.as_u16(), &*answer.text("message")), (400, FORBIDDEN));
    let mut types = request(Method::GET, &url(&user, "/v1/reports/types"), "");
    set(&mut types, header::AUTHORIZATION, &format!("bearer {}", user.token().await?));
    assert_eq!(user.send(types).await?.body, "GET /v1/reports/types: ");
    assert_eq!(user.send(request(Method::GET, &url(&user, "/token"), "")).await?.status, 405);
    Ok(())
}

#[tokio::test]
async fn faults_hit_any_path_of_the_api() -> TestResult {
    let user = User::of(echoing().start().await?);
    let token = user.token().await?;
    user.sandbox.inject(Fault::api(FaultKind::Status(StatusCode::IM_A_TEAPOT)));
    assert_eq!(user.send(user.token_request(FORM)).await?.status, 200);
    assert_eq!(user.send(bearing(&user, &token)).await?.status, 418);
    assert_eq!(user.send(bearing(&user, &token)).await?.status, 201);
    Ok(())
}

#[tokio::test]
async fn credentials_in_the_authorization_header_are_accepted_as_they_are_and_form_encoded() -> TestResult {
    let user = User::of(echoing().credentials("my client", "50%_of+this&that").start().await?);
    let grant = "grant_type=client_credentials&scope=any";
    let requests = [
        ("Basic bXkgY2xpZW50OjUwJV9vZit0aGlzJnRoYXQ=", grant, 200), // as they are
        ("basic bXkrY2xpZW50OjUwJTI1X29mJTJCdGhpcyUyNnRoYXQ=", grant, 200), // form-encoded
        ("Basic bXkgY2xpZW50OmFub3RoZXI=", grant, 401),
        ("Basic bXkgY2xpZW50", grant, 401),
        ("Basic !", grant, 401),
        ("Bearer bXkgY2xpZW50OjUwJV9vZit0aGlzJnRoYXQ=", grant, 401),
        ("Basic bXkgY2xpZW50OjUwJV9vZit0aGlzJnRoYXQ=", "grant_type=password", 400),
        ("Basic bXkgY2xpZW50OjUwJV9vZit0aGlzJnRoYXQ=", "scope=any", 400),
        ("Basic bXkgY2xpZW50OjUwJV9vZit0aGlzJnRoYXQ=", &format!("{FORM}&client_secret="), 400),
        ("Basic bXkgY2xpZW50OjUwJV9vZit0aGlzJnRoYXQ=", &format!("{grant}&client_secret=a"), 400),
    ];
    for (authorization, form, status) in requests {
        let mut request = user.token_request(form);
        set(&mut request, header::AUTHORIZATION, authorization);
        let answer = user.send(request).await?;
        assert_eq!(answer.status, status, "{authorization} with {form}");
        let challenge = answer.headers.get(header::WWW_AUTHENTICATE);
        assert_eq!(challenge, (status == 401).then_some(&HeaderValue::from_static(r#"Basic realm="sandbox""#)));
    }
    let mut repeated = user.token_request(grant);
    set(&mut repeated, header::AUTHORIZATION, "Basic bXkgY2xpZW50OjUwJV9vZit0aGlzJnRoYXQ=");
    twice(&mut repeated, header::AUTHORIZATION);
    assert_eq!(user.send(repeated).await?.status, 400);
    Ok(())
}

#[cfg(feature = "jwt")]
#[tokio::test]
async fn a_client_that_signs_assertions_cannot_use_its_secret_instead() -> TestResult {
    use tower_outbound_auth::oauth::Algorithm;

    let public = crate::keys::key("rsa2048_public");
    let user = User::of(echoing().assertion_key(Algorithm::Ps256, public)?.start().await?);
    let mut request = user.token_request("grant_type=client_credentials");
    set(&mut request, header::AUTHORIZATION, "Basic Y2xpZW50XzEyMzQ1Njc4OTpzZWNyZXRfYWJjZGVmZ2hpamtsbW5vcA==");
    assert_eq!(user.send(request).await?.status, 400);
    Ok(())
}

#[tokio::test]
async fn a_panic_of_the_function_ends_one_connection() -> TestResult {
    let api = |request: Request<Bytes>| {
        assert_ne!(request.uri().path(), "/panic", "the path of a test");
        Response::new("fine")
    };
    let user = User::of(Sandbox::builder().api(api).start().await?);
    let token = user.token().await?;
    for (path, is_answered) in [("/", true), ("/panic", false), ("/", true)] {
        let mut request = request(Method::GET, &url(&user, path), "");
        set(&mut request, header::AUTHORIZATION, &format!("Bearer {token}"));
        let started = since_1970();
        assert_eq!(user.send(request).await.is_ok(), is_answered, "{path}");
        assert!(passed_since(started).as_secs() < 20);
    }
    Ok(())
}

/// An API that tells what it was sent.
fn echoing() -> SandboxBuilder {
    Sandbox::builder().api(|request: Request<Bytes>| {
        let body = String::from_utf8_lossy(request.body());
        let mut response = Response::new(format!("{} {}: {body}", request.method(), request.uri()));
        *response.status_mut() = StatusCode::CREATED;
        response
    })
}

fn bearing(user: &User, token: &str) -> Request<Full<Bytes>> {
    let mut request = request(Method::PUT, &url(user, "/orders/7?by=id"), "a body");
    set(&mut request, header::AUTHORIZATION, &format!("Bearer {token}"));
    request
}

fn url(user: &User, path: &str) -> String {
    format!("{}{path}", user.sandbox.environment().api_origin())
}
