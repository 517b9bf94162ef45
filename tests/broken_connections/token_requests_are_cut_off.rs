//! The token exchange, cut off at each of its first 2,048 bytes on either side.

use std::time::Duration;

use tower_outbound_auth::{
    AuthLayer, ErrorKind,
    token::{FetchRequest, RefreshPolicy, TokenSource},
};

use crate::{
    TestResult, check, each,
    proxy::{Fault, Kind, Proxy, Side},
    server::{self, Framing},
    step,
    user::source,
};

#[tokio::test]
async fn t9_a_token_exchange_that_is_cut_off_at_any_byte_fails_as_unavailable_and_is_sent_once() -> TestResult {
    let server = server::listen().await?;
    each(faults(step()), |(framing, fault)| async move {
        let proxy = Proxy::before(server, &[Some(fault)]).await?;
        let cut = source(&proxy, framing).build()?.fetch(FetchRequest::new()).await;
        let error = cut.err().ok_or("a token all the same")?;
        // Without a length such an answer cannot be told from a short one; but half of an object is no token.
        let short = framing == Framing::Close && fault.kind == Kind::Close && fault.side == Side::Answer;
        let as_expected = match error.kind() {
            ErrorKind::Unavailable => error.is_transient(),
            ErrorKind::Malformed => short,
            _ => false,
        };
        check(as_expected, &error)?;
        check(proxy.connections() == 1 && proxy.count("POST ") <= 1, proxy.connections())
    })
    .await
}

#[tokio::test]
async fn t9_a_fetch_that_is_cut_off_once_sends_the_secret_once_more_and_no_caller_notices() -> TestResult {
    let server = server::listen().await?;
    each(faults(23), |(framing, fault)| async move {
        let proxy = Proxy::before(server, &[Some(fault)]).await?;
        let layer = AuthLayer::builder(source(&proxy, framing).build()?).any_origin().build()?;
        let token = layer.handle().token().await;
        let tries = proxy.connections();
        match token {
            Ok(_) => check(tries == 2 && proxy.count("POST ") <= 2, tries),
            // Without a length: see above.
            Err(error) => check(error.kind() == ErrorKind::Malformed && tries == 1, &error),
        }
    })
    .await
}

#[tokio::test]
async fn t9_a_fetch_that_is_cut_off_each_time_ends_with_its_third_try() -> TestResult {
    let server = server::listen().await?;
    let faults = faults(97).filter(|(framing, _)| *framing == Framing::Length);
    each(faults, |(framing, fault)| async move {
        let proxy = Proxy::before(server, &[Some(fault); 9]).await?;
        let rest = Duration::from_secs(600);
        let policy = RefreshPolicy::default().failure_backoff(rest, rest);
        let layer = AuthLayer::builder(source(&proxy, framing).build()?).any_origin().refresh(policy).build()?;
        for _ in 0..2 {
            let error = layer.handle().token().await.err().ok_or("a token all the same")?;
            check(error.kind() == ErrorKind::Unavailable && error.retry_after().is_some(), &error)?;
        }
        check(proxy.connections() == 3 && proxy.count("POST ") <= 3, proxy.connections())
    })
    .await
}

/// Each side of each kind of answer, by a reset and by a silent end: at every so many bytes.
fn faults(step: usize) -> impl Iterator<Item = (Framing, Fault)> {
    use Framing::{Chunked, Close, Length};
    let ways = [
        (Length, Side::Request, Kind::Reset),
        (Length, Side::Request, Kind::Close),
        (Length, Side::Answer, Kind::Reset),
        (Length, Side::Answer, Kind::Close),
        (Chunked, Side::Answer, Kind::Reset),
        (Chunked, Side::Answer, Kind::Close),
        (Close, Side::Answer, Kind::Reset),
        (Close, Side::Answer, Kind::Close),
    ];
    let at = move |(framing, side, kind)| {
        // All of the usual, and some of the rest.
        let step = if framing == Length && kind == Kind::Reset { step } else { step * 7 };
        (0..2_048).step_by(step).map(move |at| (framing, Fault { side, at, kind }))
    };
    ways.into_iter().flat_map(at)
}
