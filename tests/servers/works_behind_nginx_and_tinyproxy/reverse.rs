//! nginx that closes its connections after some requests, and whose backend is away for a while.

use std::{collections::HashSet, error::Error, iter, time::Duration};

use h2::Reason;
use http::Version;
use hyper_util::client::legacy;
use tokio::{task::JoinSet, time::sleep};
use tower_outbound_auth::{BoxError, ErrorKind, client::HttpsClient};

use super::{
    TestResult,
    backend::Backend,
    nginx::Nginx,
    user::{User, trusting},
};

#[tokio::test]
#[ignore = "takes nginx"]
async fn connections_that_end_after_three_requests_cost_no_call() -> TestResult {
    let backend = Backend::default();
    let nginx = Nginx::before(backend.start(None).await?, "keepalive_requests 3;")?;
    for (port, version) in [(nginx.http1, Version::HTTP_11), (nginx.http2, Version::HTTP_2)] {
        let before = backend.seen();
        let user = User::new(trusting(&nginx.root), &format!("https://localhost:{port}"))?;
        for number in 0..60 {
            if number % 20 == 10 {
                backend.revoke();
            }
            let answer = user.call().await?;
            assert_eq!((answer.status, answer.version, answer.body.as_str()), (200, version, "hello"));
        }
        let seen = backend.seen();
        // Three revocations, each of which one call ran into.
        assert_eq!((seen.token_requests - before.token_requests, seen.calls - before.calls), (4, 63), "{version:?}");
        let connections: HashSet<_> = seen.connections[before.calls..].iter().map(|(number, _)| number).collect();
        assert!(connections.len() >= 21, "{}", connections.len());
        assert!(seen.connections.iter().all(|(_, requests)| (1..=4).contains(requests)), "{:?}", seen.connections);
    }
    Ok(())
}

/// On HTTP/2 what nginx has not looked at when it ends a connection fails (GOAWAY): the client does not send it again by
/// itself. Nothing was done for it, and no token is renewed for it.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes nginx"]
async fn many_callers_on_connections_that_end_after_some_requests_may_fail_with_goaway() -> TestResult {
    let backend = Backend::default();
    let nginx = Nginx::before(backend.start(None).await?, "keepalive_requests 50;")?;
    for (port, protocol) in [(nginx.http1, "HTTP/1.1"), (nginx.http2, "HTTP/2")] {
        let before = backend.seen();
        let user = User::new(trusting(&nginx.root), &format!("https://localhost:{port}"))?;
        user.handle.token().await?;
        let mut tasks = JoinSet::new();
        for _ in 0..20 {
            tasks.spawn(fifty_calls(user.clone()));
        }
        let mut failed = 0;
        while let Some(failures) = tasks.join_next().await {
            failed += failures??;
        }
        println!("{protocol}: {failed} of 1000 calls failed");
        let seen = backend.seen();
        assert_eq!(seen.token_requests - before.token_requests, 1);
        // Of those that failed, some may have been processed.
        let processed = seen.calls - before.calls;
        assert!(
            (1_000 - failed..=1_000).contains(&processed),
            "{protocol}: {failed} failed, {processed} were processed"
        );
        assert!(failed == 0 || protocol == "HTTP/2", "{failed}");
    }
    Ok(())
}

/// As the guide tells it.
fn ended_with_goaway(error: &(dyn Error + 'static)) -> bool {
    let mut causes = iter::successors(Some(error), |error| (*error).source());
    let h2 = causes.find_map(|error| error.downcast_ref::<h2::Error>());
    h2.is_some_and(|error| error.is_go_away() && error.reason() == Some(Reason::NO_ERROR))
}

/// How many of them failed, each as the transport says.
async fn fifty_calls(user: User) -> Result<usize, BoxError> {
    let mut failed = 0;
    for _ in 0..50 {
        match user.call().await {
            Ok(answer) => assert_eq!(answer.status, 200),
            Err(error) => {
                assert!(error.is::<legacy::Error>() && ended_with_goaway(error.as_ref()), "{error:?}");
                failed += 1;
            }
        }
    }
    Ok(failed)
}

#[tokio::test]
#[ignore = "takes nginx"]
async fn t9_a_token_endpoint_whose_backend_is_away_is_unavailable_and_asked_again() -> TestResult {
    let backend = Backend::default();
    let address = backend.start(None).await?;
    let nginx = Nginx::before(address, "")?;
    let origin = format!("https://localhost:{}", nginx.http2);
    // It restarts while the fetch tries.
    backend.stop();
    let user = User::new(trusting(&nginx.root), &origin)?;
    let (answer, restarted) = tokio::join!(user.call(), async {
        while nginx.answered("/token").is_empty() {
            sleep(Duration::from_millis(1)).await;
        }
        backend.start(Some(address)).await
    });
    restarted?;
    assert_eq!((answer?.status, backend.seen().token_requests), (200, 1));
    assert_eq!(nginx.answered("/token"), ["502", "200"]);
    // It is away for longer than that, or does not answer.
    for (status, message) in [("502", "(502)"), ("504", "(504)")] {
        let before = nginx.answered("/token").len();
        if status == "502" {
            backend.stop();
        } else {
            backend.hang(true);
        }
        let user = User::new(trusting(&nginx.root), &origin)?;
        for _ in 0..2 {
            let error = user.failure().await?;
            assert!(error.kind() == ErrorKind::Unavailable && error.is_transient(), "{error:?}");
            assert!(error.to_string().ends_with(message), "{error}");
        }
        assert_eq!(nginx.answered("/token")[before..], [status; 3], "three tries, and a rest");
        if status == "502" {
            backend.start(Some(address)).await?;
        } else {
            backend.hang(false);
        }
        user.handle.refresh().await?;
        assert_eq!(user.call().await?.status, 200);
    }
    Ok(())
}

#[tokio::test]
#[ignore = "takes nginx"]
async fn a_502_or_504_of_the_api_is_the_callers_and_says_nothing_of_the_token() -> TestResult {
    let backend = Backend::default();
    let address = backend.start(None).await?;
    let nginx = Nginx::before(address, "")?;
    for port in [nginx.http1, nginx.http2] {
        let before = nginx.answered("/api").len();
        let user = User::new(trusting(&nginx.root), &format!("https://localhost:{port}"))?;
        user.handle.token().await?;
        backend.stop();
        let away = user.call().await?;
        backend.start(Some(address)).await?;
        backend.hang(true);
        let late = user.call().await?;
        backend.hang(false);
        for (answer, status) in [(away, 502), (late, 504)] {
            assert_eq!((answer.status, answer.not_replayed), (status, None));
            assert!(answer.body.starts_with("<html>"), "{}", answer.body);
        }
        assert_eq!((user.call().await?.status, user.handle.status().issued), (200, 1));
        assert_eq!(nginx.answered("/api")[before..], ["502", "504", "200"]);
    }
    Ok(())
}

#[tokio::test]
#[ignore = "takes nginx"]
async fn a_server_of_a_private_authority_gets_no_secret_from_who_does_not_know_it() -> TestResult {
    let backend = Backend::default();
    let nginx = Nginx::before(backend.start(None).await?, "")?;
    let user = User::new(HttpsClient::builder(), &format!("https://localhost:{}", nginx.http2))?;
    let error = user.failure().await?;
    assert!(error.to_string().contains("add it with `root_certificates`"), "{error}");
    assert_eq!(nginx.answered("/token").len(), 0);
    Ok(())
}
