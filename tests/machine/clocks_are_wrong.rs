//! Clocks that are wrong: the API's by minutes, the token endpoint's by as many the other way.

use std::time::Duration;

use http::Request;
use http_body_util::Full;
use tower_outbound_auth::sandbox::{Fault, FaultKind, Sandbox};

use crate::support::user::{Protocol, TestResult, User};

/// The token endpoint's clock is a guess, good until the API has told its own.
#[tokio::test(flavor = "multi_thread")]
async fn r8_two_servers_whose_clocks_differ_cost_one_more_request_once() -> TestResult {
    for direction in [1, -1] {
        let user = user(direction * 2 * MINUTE, direction * -4 * MINUTE).await?;
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

#[tokio::test(flavor = "multi_thread")]
async fn r8_a_clock_that_is_twenty_minutes_off_costs_one_call_until_a_second_response_agrees() -> TestResult {
    for direction in [1, -1] {
        let user = user(direction * 20 * MINUTE, direction * -20 * MINUTE).await?;
        let types = Request::get(user.url("/v1/reports/types")).body(Full::default())?;
        let first = user.send(types).await?;
        assert_eq!((first.status.as_u16(), first.not_replayed), (400, None));
        for _ in 0..5 {
            user.types().await?;
        }
        let stats = user.sandbox.stats();
        assert_eq!((stats.token_requests, stats.accepted, stats.api_requests), (1, 5, 7));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn r8_a_token_endpoint_that_agrees_is_the_second_opinion() -> TestResult {
    for direction in [1, -1] {
        let user = user(direction * 20 * MINUTE, 0).await?;
        for _ in 0..5 {
            user.types().await?;
        }
        let stats = user.sandbox.stats();
        assert_eq!((stats.token_requests, stats.accepted, stats.api_requests), (1, 5, 6));
    }
    Ok(())
}

/// A jump of the client's clock looks the same.
#[tokio::test(flavor = "multi_thread")]
async fn r8_each_jump_of_a_clock_by_minutes_costs_one_more_request() -> TestResult {
    let user = user(0, 0).await?;
    user.types().await?;
    for (jumps, minutes) in [4, 0, -4, 0, 4, 0].into_iter().enumerate() {
        user.sandbox.set_clock_offset(minutes * MINUTE);
        for _ in 0..3 {
            user.types().await?;
        }
        let stats = user.sandbox.stats();
        assert_eq!((stats.token_requests, stats.api_requests - stats.accepted), (1, jumps as u64 + 1), "{minutes}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn r8_each_jump_of_a_clock_by_twenty_minutes_costs_one_call() -> TestResult {
    let user = user(0, 0).await?;
    user.types().await?;
    for minutes in [20, 0, -20, 0] {
        user.sandbox.set_clock_offset(minutes * MINUTE);
        let mut failed = 0;
        for _ in 0..4 {
            failed += usize::from(user.types().await.is_err());
        }
        assert_eq!((failed, user.sandbox.stats().token_requests), (1, 1), "{minutes}");
    }
    Ok(())
}

/// Calls an API whose clock is off by so many seconds; the token endpoint's is off by so many more.
async fn user(api: i64, token_endpoint: i64) -> Result<User, tower_outbound_auth::BoxError> {
    let sandbox = Sandbox::builder().timestamp_window(Duration::from_secs(60)).start().await?;
    sandbox.set_clock_offset(api);
    sandbox.inject(Fault::token(FaultKind::WrongClock(token_endpoint)).times(1_000));
    Ok(User::over(Protocol::Http1, sandbox)?)
}

const MINUTE: i64 = 60;
