//! The sandbox counts right, shows no secret, speaks both versions of HTTP, and leaves nothing behind.

use std::{io::ErrorKind, time::Duration};

use http::{Method, StatusCode, header};
use tokio::{io::AsyncReadExt, net::TcpStream, runtime::Handle};
use tower_outbound_auth::{
    paynet::{X_FIID, X_SIGNATURE, X_TIMESTAMP, signature},
    sandbox::{FIID, Fault, FaultKind, Sandbox, Stats},
};

use crate::user::{FORM, Protocol, TestResult, User, now, passed_since, request, set, since_1970, with};

#[tokio::test]
async fn a_credential_that_goes_astray_is_counted() -> TestResult {
    let user = User::of(Sandbox::start().await?);
    let token = user.token().await?;
    user.sandbox.revoke_tokens();
    let (downloads, token_url) = (user.sandbox.download_origin(), user.sandbox.environment().token_url().to_owned());
    let file = format!("{downloads}/files/x");
    let leaks = [
        with(&file, header::AUTHORIZATION, &format!("Bearer {token}")),
        with(&file, X_TIMESTAMP, "1700000000"),
        with(&file, X_SIGNATURE, "00"),
        with(&file, X_FIID, FIID),
        request(Method::GET, &format!("{downloads}/files/{token}"), ""),
        request(Method::GET, &format!("{file}?key=secret%5Fabcdefghijklmnop"), ""),
        request(Method::GET, &format!("{}/nowhere?access_token={token}", user.sandbox.environment().api_origin()), ""),
        request(Method::POST, &format!("{token_url}?client_secret=secret_abcdefghijklmnop"), ""),
        with(&token_url, header::AUTHORIZATION, "bearer some"),
        with(&token_url, X_SIGNATURE, "00"),
    ];
    for (index, leak) in leaks.into_iter().enumerate() {
        user.send(leak).await?;
        assert_eq!(user.sandbox.stats().credentials_leaked, index as u64 + 1, "leak {index}");
    }
    for harmless in [request(Method::GET, &file, ""), user.token_request(FORM), user.types(&token)] {
        user.send(harmless).await?;
    }
    assert_eq!(user.sandbox.stats().credentials_leaked, 10);
    Ok(())
}

#[tokio::test]
async fn each_client_is_checked_against_its_own_secret_and_counted() -> TestResult {
    let sandbox = Sandbox::builder().client("acme", "secret-of-acme").client("acme", "not looked at").start().await?;
    let user = User::of(sandbox);
    let of_acme = "grant_type=client_credentials&client_id=acme&client_secret=";
    for (secret, status) in [("secret-of-acme", 200), ("not+looked+at", 401), ("secret_abcdefghijklmnop", 401)] {
        let answer = user.send(user.token_request(&format!("{of_acme}{secret}"))).await?;
        assert_eq!(answer.status, status, "{secret}");
    }
    let first = user.token().await?;
    let acme = user.send(user.token_request(&format!("{of_acme}secret-of-acme"))).await?.text("access_token");
    // Signed with the first client's secret.
    for (token, status) in [(&*first, 200), (&*acme, 400), ("unknown", 400)] {
        assert_eq!(user.send(user.types(token)).await?.status, status, "{token}");
    }
    let counted = |id| user.sandbox.client_stats(id).map(|stats| (stats.tokens, stats.accepted, stats.rejected));
    assert_eq!(counted("acme"), Some((2, 0, 1)));
    assert_eq!(counted("client_123456789"), Some((1, 1, 0)));
    assert_eq!(counted("nobody"), None);
    let stats = user.sandbox.stats();
    assert_eq!((stats.accepted, stats.rejected), (1, 2));
    Ok(())
}

#[tokio::test]
async fn http_2_with_prior_knowledge_works_on_both_origins() -> TestResult {
    let user = User::over(Protocol::Http2, Sandbox::start().await?);
    let answer = user.client.request(user.token_request(FORM)).await?;
    assert_eq!((answer.status(), answer.version()), (StatusCode::OK, http::Version::HTTP_2));
    let answer = user.client.request(request(Method::GET, user.sandbox.download_origin(), "")).await?;
    assert_eq!((answer.status(), answer.version()), (StatusCode::NOT_FOUND, http::Version::HTTP_2));
    assert_eq!(user.sandbox.stats().connections, 2);
    Ok(())
}

#[tokio::test]
async fn nothing_is_left_of_a_dropped_sandbox() -> TestResult {
    let tasks_before = Handle::current().metrics().num_alive_tasks();
    let user = User::over(Protocol::Http2, Sandbox::start().await?);
    let (origin, downloads) = (user.address(), user.sandbox.download_origin().trim_start_matches("http://").to_owned());
    user.sandbox.inject(Fault::token(FaultKind::Latency(Duration::from_secs(3600))));
    let mut idle = TcpStream::connect(&origin).await?;
    let waiting = tokio::spawn(user.client.request(user.token_request(FORM)));
    while user.sandbox.stats().token_requests == 0 {
        tokio::task::yield_now().await;
    }
    let User { sandbox, client } = user;
    drop(sandbox);

    assert!(waiting.await?.is_err(), "an answer from a dropped sandbox");
    assert_eq!(idle.read(&mut [0]).await?, 0, "the idle connection is still open");
    for address in [origin, downloads] {
        assert_eq!(TcpStream::connect(&address).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    }
    drop(client);
    let started = since_1970();
    while Handle::current().metrics().num_alive_tasks() > tasks_before {
        assert!(passed_since(started) < Duration::from_secs(20), "tasks are left");
        tokio::task::yield_now().await;
    }
    Ok(())
}

#[tokio::test]
async fn a_rotation_reaches_the_server_and_spares_issued_tokens() -> TestResult {
    let user = User::of(Sandbox::start().await?);
    let token = user.token().await?;
    user.sandbox.credentials().rotate("new_secret");
    assert_eq!(user.send(user.token_request(FORM)).await?.text("error"), "invalid_client");
    let new_form = FORM.replace("secret_abcdefghijklmnop", "new_secret");
    assert_eq!(user.send(user.token_request(&new_form)).await?.status, 200);
    assert_eq!(user.send(user.types(&token)).await?.text("message"), "Invalid signature");
    let mut request = user.types(&token);
    let timestamp = now().to_string();
    set(&mut request, X_SIGNATURE, &signature(&timestamp, "new_secret"));
    set(&mut request, X_TIMESTAMP, &timestamp);
    assert_eq!(user.send(request).await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn debug_output_holds_no_secret() -> TestResult {
    let builder = Sandbox::builder().credentials("my_client", "planted");
    assert!(!format!("{builder:?}").contains("planted"));
    let user = User::of(builder.start().await?);
    let token = user
        .send(user.token_request("grant_type=client_credentials&client_id=my_client&client_secret=planted"))
        .await?
        .text("access_token");
    let debug = format!("{:?}", user.sandbox);
    assert!(debug.contains("my_client") && !debug.contains("planted") && !debug.contains(&token), "{debug}");
    Ok(())
}

#[test]
fn public_types_can_be_shared_between_threads() {
    fn shared<T: Send + Sync + std::fmt::Debug>() {}
    shared::<Sandbox>();
    shared::<tower_outbound_auth::sandbox::SandboxBuilder>();
    shared::<Fault>();
    shared::<Stats>();
}
