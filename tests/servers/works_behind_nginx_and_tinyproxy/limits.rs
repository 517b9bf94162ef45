//! nginx that lets only so many requests through (`limit_req`), and answers others with 429 and a page of HTML.

use std::net::SocketAddr;

use tower_outbound_auth::{BoxError, ErrorKind};

use super::{
    TestResult,
    backend::Backend,
    nginx::Nginx,
    user::{User, trusting},
};

#[tokio::test]
#[ignore = "takes nginx"]
async fn t9_a_token_request_over_the_limit_is_sent_again_and_no_more_often_than_a_fetch_tries() -> TestResult {
    let backend = Backend::default();
    let address = backend.start(None).await?;
    // Each of these has its layer, and the limit is one for all.
    let nginx = limited("/token", "ten_a_second", address)?;
    let origin = format!("https://localhost:{}", nginx.http1);
    let [one, other] = [User::new(trusting(&nginx.root), &origin)?, User::new(trusting(&nginx.root), &origin)?];
    let (one, other) = tokio::join!(one.call(), other.call());
    assert_eq!((one?.status, other?.status, backend.seen().token_requests), (200, 200, 2));
    let answered = nginx.answered("/token");
    assert!(answered.contains(&"429".to_owned()) && answered.len() <= 4, "{answered:?}");

    let nginx = limited("/token", "one_a_minute", address)?;
    let origin = format!("https://localhost:{}", nginx.http2);
    let [one, other] = [User::new(trusting(&nginx.root), &origin)?, User::new(trusting(&nginx.root), &origin)?];
    assert_eq!(one.call().await?.status, 200);
    for _ in 0..2 {
        let error = other.failure().await?;
        assert!(error.kind() == ErrorKind::Unavailable && error.is_transient(), "{error:?}");
        assert!(error.to_string().ends_with("(429)") && error.retry_after().is_some(), "{error}");
    }
    assert_eq!(nginx.answered("/token"), ["200", "429", "429", "429"]);
    assert_eq!(one.call().await?.status, 200, "a client with a token does not notice");
    Ok(())
}

#[tokio::test]
#[ignore = "takes nginx"]
async fn a_call_over_the_limit_is_the_callers_and_neither_renews_the_token_nor_is_sent_again() -> TestResult {
    let backend = Backend::default();
    let address = backend.start(None).await?;
    let nginx = limited("/api", "one_a_minute", address)?;
    let user = User::new(trusting(&nginx.root), &format!("https://localhost:{}", nginx.http2))?;
    assert_eq!(user.call().await?.status, 200);
    for _ in 0..5 {
        let answer = user.call().await?;
        assert_eq!((answer.status, answer.not_replayed), (429, None));
        assert!(answer.body.starts_with("<html>"), "{}", answer.body);
    }
    assert_eq!(nginx.answered("/api"), ["200", "429", "429", "429", "429", "429"]);
    assert_eq!((backend.seen().token_requests, backend.seen().calls), (1, 1));
    Ok(())
}

fn limited(path: &str, zone: &str, backend: SocketAddr) -> Result<Nginx, BoxError> {
    Nginx::before(backend, &format!("location = {path} {{ limit_req zone={zone}; proxy_pass http://{backend}; }}"))
}
