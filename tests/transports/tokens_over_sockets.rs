//! What is promised holds over real connections: under load, through revocations, and when the network fails.

use std::{future::Future, sync::Arc, time::Duration};

use http::StatusCode;
use tokio::{
    runtime::{Builder, Runtime},
    time::{Instant, sleep, timeout},
};
use tower_outbound_auth::{
    BoxError, ErrorKind, paynet,
    sandbox::{Fault, FaultKind, Sandbox},
    token::RefreshPolicy,
};

use crate::support::user::{Protocol, TestResult, User};

#[tokio::test(flavor = "multi_thread")]
async fn t1_a_thousand_cold_callers_cost_one_token_request() -> TestResult {
    for protocol in PROTOCOLS {
        let user = User::over(protocol, Sandbox::start().await?)?;
        // Long enough for all of them to arrive; should some come later, they find the token.
        user.sandbox.inject(Fault::token(FaultKind::Latency(Duration::from_millis(500))));
        user.load(1_000, 1, None).await?;
        let stats = user.sandbox.stats();
        assert_eq!((stats.token_requests, stats.accepted, stats.rejected), (1, 1_000, 0), "{protocol:?}");
        assert_eq!(stats.credentials_leaked, 0);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn t9_a_token_endpoint_that_stumbles_once_is_asked_again_and_no_caller_notices() -> TestResult {
    let answer = |number| StatusCode::from_u16(number).map(FaultKind::Status);
    let again = FaultKind::RetryAfter(StatusCode::TOO_MANY_REQUESTS, Duration::from_secs(1));
    let troubles = [
        FaultKind::Reset,
        FaultKind::CutOff,
        FaultKind::Latency(HOUR),
        answer(408)?,
        answer(425)?,
        answer(429)?,
        answer(500)?,
        answer(503)?,
        again,
    ];
    for trouble in troubles {
        let user = User::impatient(Sandbox::start().await?, |auth| auth)?;
        user.sandbox.inject(Fault::token(trouble.clone()));
        user.load(20, 1, None).await?;
        let stats = user.sandbox.stats();
        assert_eq!((stats.token_requests, stats.rejected), (2, 0), "{trouble:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn t9_t3_a_token_endpoint_that_keeps_failing_gives_every_caller_the_error_of_its_kind() -> TestResult {
    let answer = |number| StatusCode::from_u16(number).map(FaultKind::Status);
    let in_an_hour = FaultKind::RetryAfter(StatusCode::TOO_MANY_REQUESTS, HOUR);
    let cases = [
        (FaultKind::Reset, ErrorKind::Unavailable, 3),
        (FaultKind::CutOff, ErrorKind::Unavailable, 3),
        (FaultKind::Latency(HOUR), ErrorKind::Timeout, 3),
        (answer(503)?, ErrorKind::Unavailable, 3),
        (answer(400)?, ErrorKind::Unavailable, 3),
        (answer(401)?, ErrorKind::Denied, 1),
        (answer(302)?, ErrorKind::Malformed, 1),
        (FaultKind::Malformed, ErrorKind::Malformed, 1),
        (in_an_hour, ErrorKind::Unavailable, 1),
    ];
    for (trouble, kind, tries) in cases {
        let policy = RefreshPolicy::default().failure_backoff(LONG, LONG).refusal_backoff(LONG, LONG);
        let user = User::impatient(Sandbox::start().await?, |auth| auth.refresh(policy))?;
        user.sandbox.inject(Fault::token(trouble.clone()).times(tries));
        for error in user.failures(20).await? {
            assert_eq!(error.kind(), kind, "{trouble:?}");
            assert!(error.retry_after() > Some(Duration::from_secs(60)), "{trouble:?}: {:?}", error.retry_after());
        }
        // T8: a later caller gets the error at once. Nothing went out without a token.
        user.failures(1).await?;
        let stats = user.sandbox.stats();
        assert_eq!((stats.token_requests, stats.api_requests), (tries.into(), 0), "{trouble:?}");
        // O4: and it is not for ever.
        user.handle.refresh().await?;
        user.types().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn t8_a_caller_that_comes_back_when_it_is_told_to_is_served() -> TestResult {
    let policy =
        RefreshPolicy::default().attempts(1).failure_backoff(Duration::from_millis(5), Duration::from_millis(5));
    for _ in 0..150 {
        let user = User::impatient(Sandbox::start().await?, |auth| auth.refresh(policy.clone()))?;
        user.sandbox.inject(Fault::token(FaultKind::Status(StatusCode::SERVICE_UNAVAILABLE)));
        let error = user.failures(1).await?.remove(0);
        sleep(error.retry_after().ok_or("no word on when to come back")?).await;
        user.types().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn t2_a_silent_token_endpoint_costs_no_more_than_the_deadline() -> TestResult {
    let policy = RefreshPolicy::default().deadline(Duration::from_millis(300));
    let user = User::with(Protocol::Http1, Sandbox::start().await?, HOUR, |auth| auth.refresh(policy))?;
    user.sandbox.inject(Fault::token(FaultKind::Latency(HOUR)));
    let errors = user.failures(20).await?;
    assert!(errors.iter().all(|error| error.kind() == ErrorKind::Timeout), "{errors:?}");
    assert_eq!(user.sandbox.stats().token_requests, 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn s7_a_caller_that_will_not_wait_fails_and_its_token_comes_all_the_same() -> TestResult {
    let user = User::with(Protocol::Http1, Sandbox::start().await?, HOUR, |auth| auth.max_wait(Duration::ZERO))?;
    user.sandbox.inject(Fault::token(FaultKind::Latency(Duration::from_secs(1))));
    for error in user.failures(5).await? {
        assert_eq!(error.kind(), ErrorKind::Timeout);
    }
    user.handle.token().await?;
    user.types().await?;
    assert_eq!(user.sandbox.stats().token_requests, 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn t4_an_outage_of_the_token_endpoint_is_not_noticed_while_the_token_lives() -> TestResult {
    // The token is old after some milliseconds, and lives for an hour.
    let policy = RefreshPolicy::default().refresh_at(1e-6).jitter(0.0);
    let user = User::impatient(Sandbox::start().await?, |auth| auth.refresh(policy))?;
    user.types().await?;
    user.sandbox.inject(Fault::token(FaultKind::Status(StatusCode::SERVICE_UNAVAILABLE)).times(3));
    let failed = async {
        while user.handle.status().failures == 0 {
            user.load(10, 5, None).await?;
        }
        TestResult::Ok(())
    };
    within_a_minute(failed).await??;
    assert_eq!(user.handle.status().last_error.map(|error| error.kind()), Some(ErrorKind::Unavailable));
    let renewed = async {
        while user.handle.status().issued < 2 {
            user.load(10, 5, None).await?;
        }
        TestResult::Ok(())
    };
    within_a_minute(renewed).await??;
    assert_eq!(user.sandbox.stats().rejected, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn t6_a_token_of_two_seconds_is_used_for_most_of_them() -> TestResult {
    let sandbox = Sandbox::builder().token_lifetime(Duration::from_secs(2)).start().await?;
    let user = User::over(Protocol::Http1, sandbox)?;
    let end = Instant::now() + Duration::from_secs(6);
    while Instant::now() < end {
        user.load(8, 4, None).await?;
        // Leaves the machine some air: a request that is sent in time must also arrive in time.
        sleep(Duration::from_millis(5)).await;
    }
    let stats = user.sandbox.stats();
    assert_eq!((stats.rejected, stats.api_requests), (0, stats.accepted));
    assert!((3..=5).contains(&stats.token_requests), "{stats:?}");
    Ok(())
}

#[test]
fn t11_one_layer_serves_several_runtimes_one_after_the_other() -> TestResult {
    let servers = Runtime::new()?;
    let sandbox = Arc::new(servers.block_on(Sandbox::start())?);
    let layer = paynet::auth(&sandbox.environment(), sandbox.credentials())?.build()?;
    for round in 1..=3 {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(User::new(Protocol::Http1, &sandbox, &layer).types())?;
        assert_eq!(layer.handle().status().issued, round);
        sandbox.revoke_tokens();
    }

    // T2: a runtime that ends in the middle of a fetch leaves nothing stuck.
    sandbox.inject(Fault::token(FaultKind::Latency(HOUR)));
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let call =
        async { timeout(Duration::from_millis(200), User::new(Protocol::Http1, &sandbox, &layer).types()).await };
    assert!(runtime.block_on(call).is_err(), "an answer without a token");
    drop(runtime);
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(User::new(Protocol::Http1, &sandbox, &layer).types())
}

/// The future's output, or an error in place of a test that hangs.
pub(crate) async fn within_a_minute<F: Future>(future: F) -> Result<F::Output, BoxError> {
    Ok(timeout(Duration::from_secs(60), future).await?)
}

pub(crate) const PROTOCOLS: [Protocol; 2] = [Protocol::Http1, Protocol::Http2];
const LONG: Duration = Duration::from_secs(600);
const HOUR: Duration = Duration::from_secs(3600);
