//! Clocks that are wrong: the API's by five minutes, the token endpoint's by ten the other way.

use std::time::Duration;

use tower_outbound_auth::sandbox::{Fault, FaultKind, Sandbox};

use crate::support::user::{Protocol, TestResult, User};

/// The token endpoint's clock is a guess, good until the API has told its own.
#[tokio::test(flavor = "multi_thread")]
async fn r8_two_servers_whose_clocks_differ_cost_one_more_request_once() -> TestResult {
    for direction in [1, -1] {
        let user = user(direction).await?;
        for tokens in 1..=4 {
            for _ in 0..5 {
                user.types().await?;
            }
            let stats = user.sandbox.stats();
            assert_eq!((stats.token_requests, stats.accepted), (tokens, 5 * tokens));
            assert_eq!(stats.api_requests - stats.accepted, 1, "{stats:?}");
            user.handle.refresh().await?;
        }
    }
    Ok(())
}

async fn user(direction: i64) -> Result<User, tower_outbound_auth::BoxError> {
    let sandbox = Sandbox::builder().timestamp_window(Duration::from_secs(60)).start().await?;
    sandbox.set_clock_offset(direction * 300);
    sandbox.inject(Fault::token(FaultKind::WrongClock(direction * -900)).times(1_000));
    Ok(User::over(Protocol::Http1, sandbox)?)
}
