//! A call whose first answer is a 401, cut off while it is replayed: in that answer, in the token exchange, when sent again.

use std::time::Duration;

use http::StatusCode;
use tower_outbound_auth::{AuthLayer, BoxError, client::HttpsClient, rejection::NotReplayed, token::RefreshPolicy};

use crate::{
    TestResult,
    calls_are_cut_off::first_exchange,
    check, each,
    proxy::{Fault, Kind, Proxy, Side},
    server::{self, Framing, REVOKED},
    step,
    user::{Answer, OK, User, is_of_transport, source},
};

#[tokio::test]
async fn r4_a_second_sending_that_is_cut_off_at_any_byte_is_the_last() -> TestResult {
    let server = server::listen().await?;
    let transport = HttpsClient::builder().pool_idle_timeout(A_MINUTE).build()?;
    // The 401 is as long as the answer that a call gets without a token to refuse.
    let [request, answer] = refused_exchange(&transport).await?;
    let of =
        |side, first| (first..first + 2_048).step_by(3 * step()).map(move |at| Fault { side, at, kind: Kind::Reset });
    each(of(Side::Request, request).chain(of(Side::Answer, answer)), |fault| {
        let transport = transport.clone();
        async move {
            let proxy = Proxy::before(server, &[Some(fault)]).await?;
            let user = User::new(&proxy, &transport)?;
            let error = user.call(REVOKED).await.err().ok_or("an answer all the same")?;
            check(is_of_transport(&error), &error)?;
            check(proxy.count("Bearer token-1") == 1 && proxy.count("Bearer token-2") <= 1, "more sendings")?;
            check(proxy.connections() == 1 && user.issuer.requests() == 2, proxy.connections())
        }
    })
    .await
}

#[tokio::test]
async fn r9_a_401_that_is_cut_off_in_its_head_is_none_and_in_its_body_is_replayed_all_the_same() -> TestResult {
    let server = server::listen().await?;
    let transport = HttpsClient::builder().pool_idle_timeout(A_MINUTE).build()?;
    let [_, answer] = refused_exchange(&transport).await?;
    let head = answer - server::SIZE;
    let faults =
        (0..answer).step_by(3 * step()).flat_map(|at| KINDS.map(|kind| Fault { side: Side::Answer, at, kind }));
    each(faults, |fault| {
        let transport = transport.clone();
        async move {
            let proxy = Proxy::before(server, &[Some(fault)]).await?;
            let user = User::new(&proxy, &transport)?;
            let called = user.call(REVOKED).await;
            let sent = [proxy.count("Bearer token-1"), proxy.count("Bearer token-2")];
            // A client need not look at an answer that was reset.
            if fault.at < head || (fault.kind == Kind::Reset && called.is_err()) {
                let error = called.err().ok_or("an answer all the same")?;
                check(is_of_transport(&error) && user.issuer.requests() == 1 && sent == [1, 0], &error)
            } else {
                check(called? == OK && user.issuer.requests() == 2 && sent == [1, 1], sent)
            }
        }
    })
    .await
}

#[tokio::test]
async fn r6_a_401_whose_token_exchange_is_cut_off_at_any_byte_is_the_callers() -> TestResult {
    let server = server::listen().await?;
    let api = HttpsClient::builder().pool_idle_timeout(Duration::ZERO).build()?;
    let of = |side| (0..2_048).step_by(13 * step()).flat_map(move |at| KINDS.map(|kind| Fault { side, at, kind }));
    each(of(Side::Request).chain(of(Side::Answer)), |fault| {
        let api = api.clone();
        async move {
            let (proxy, tokens) =
                (Proxy::before(server, &[]).await?, Proxy::before(server, &[None, Some(fault)]).await?);
            let source = source(&tokens, Framing::Length).build()?;
            let policy = RefreshPolicy::default().attempts(1);
            let layer = AuthLayer::builder(source).origin(&proxy.origin()).refresh(policy).build()?;
            let refused = Answer { status: StatusCode::UNAUTHORIZED, not_replayed: Some(NotReplayed::FetchFailed) };
            let answer = User::of(&proxy, &api, &layer).call(server::NEVER).await?;
            check(answer == refused, answer)?;
            check(proxy.count("Bearer ttt") == 1 && tokens.connections() == 2, tokens.connections())
        }
    })
    .await
}

/// How many bytes of the request and of the answer the first half of a replayed call takes.
async fn refused_exchange(transport: &HttpsClient) -> Result<[usize; 2], BoxError> {
    let [request, answer] = first_exchange(transport, REVOKED).await?;
    // Both tokens are of one length, and the answer to the second is a 200, with another reason.
    let longer = "401 Unauthorized".len() - "200 OK".len();
    Ok([request / 2, (answer - longer) / 2 + longer])
}

const KINDS: [Kind; 2] = [Kind::Reset, Kind::Close];
const A_MINUTE: Duration = Duration::from_secs(60);
