//! A call of the API, cut off at each of its first 2,048 bytes on either side, on a connection that was used before.

use std::{thread, time::Duration};

use tokio::runtime::{Builder, Runtime};
use tower_outbound_auth::{BoxError, client::HttpsClient, token::TokenState};

use crate::{
    TestResult, check, each,
    proxy::{Fault, Kind, Proxy, Side},
    server,
    user::{OK, User, is_of_transport},
};

#[tokio::test]
async fn a_call_that_is_cut_off_at_any_byte_fails_with_the_transports_error_and_is_sent_once() -> TestResult {
    let server = server::listen().await?;
    let transport = HttpsClient::builder().pool_idle_timeout(A_MINUTE).build()?;
    let first = first_exchange(&transport, "/one").await?;
    each(every_cut(first), |fault| {
        let transport = transport.clone();
        async move {
            let proxy = Proxy::before(server, &[Some(fault)]).await?;
            let user = User::new(&proxy, &transport)?;
            check(user.call("/one").await? == OK, "the first call")?;
            let error = user.call("/two").await.err().ok_or("an answer all the same")?;
            check(is_of_transport(&error), &error)?;
            check(proxy.count("POST /two") <= 1 && proxy.connections() == 1, proxy.count("POST /two"))?;
            // A connection that breaks says nothing of the token.
            check(user.issuer.requests() == 1 && user.state() == TokenState::Fresh, user.issuer.requests())?;
            if fault.at % 8 == 0 {
                check(user.call("/three").await? == OK && proxy.connections() == 2, "the third call")?;
            }
            Ok(())
        }
    })
    .await
}

/// The client's only thread looks away while the server closes, so that it writes into a connection that is gone. It cannot
/// know how far that came, so it must not write it again.
#[test]
fn a_call_on_a_connection_that_was_closed_unnoticed_is_sent_once() -> TestResult {
    let (servers, client) = (Runtime::new()?, Builder::new_current_thread().enable_all().build()?);
    let transport = HttpsClient::builder().pool_idle_timeout(A_MINUTE).build()?;
    let mut failed = 0;
    for _ in 0..20 {
        let proxy = servers.block_on(async { Proxy::before(server::listen().await?, &[]).await })?;
        client.block_on(async {
            let user = User::new(&proxy, &transport)?;
            check(user.call(server::LAST).await? == OK, "the first call")?;
            // Its connection gets back to the others.
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            thread::sleep(2 * server::LINGERS);
            match user.call("/two").await {
                Ok(answer) => check(answer == OK, answer)?,
                Err(error) => {
                    check(is_of_transport(&error), &error)?;
                    failed += 1;
                }
            }
            check(proxy.count("POST /two") <= 1, proxy.count("POST /two"))
        })?;
    }
    check(failed > 0, "the client noticed each time")
}

/// A reset at each byte after a first exchange, and a silent end at some.
fn every_cut(first: [usize; 2]) -> impl Iterator<Item = Fault> {
    let of = |side, first, kind, step| {
        (first..first + 2_048).step_by(step * crate::step()).map(move |at| Fault { side, at, kind })
    };
    let [request, answer] = first;
    let resets = of(Side::Request, request, Kind::Reset, 1).chain(of(Side::Answer, answer, Kind::Reset, 1));
    resets.chain(of(Side::Request, request, Kind::Close, 7)).chain(of(Side::Answer, answer, Kind::Close, 7))
}

/// How many bytes of a request and of an answer a first call takes.
pub(crate) async fn first_exchange(transport: &HttpsClient, path: &str) -> Result<[usize; 2], BoxError> {
    let proxy = Proxy::before(server::listen().await?, &[]).await?;
    User::new(&proxy, transport)?.call(path).await?;
    Ok([proxy.bytes(Side::Request), proxy.bytes(Side::Answer)])
}

const A_MINUTE: Duration = Duration::from_secs(60);
