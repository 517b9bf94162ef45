//! A server that checks signatures with Python's `hmac` takes this crate's, whatever the secret, its age and the clocks.
//!
//! Each test takes Python 3, so they are left out unless asked for: `cargo test --test signing -- --ignored`.
//! Asked for without it they fail.
#![expect(clippy::expect_used, clippy::disallowed_methods, reason = "a counterpart may panic, and takes real time")]

mod server;

use std::time::Duration;

use http::StatusCode;
use serde_json::json;
use server::{Server, TYPES, User};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};
use tower_outbound_auth::{AuthError, BoxError, ErrorKind};

type TestResult = Result<(), BoxError>;

#[tokio::test]
#[ignore = "takes Python: tests/vendor/run.py runs it"]
async fn every_secret_signs_as_pythons_hmac_does() -> TestResult {
    // A key longer than a block of SHA-256, which has 64 bytes, is hashed first (RFC 2104).
    let lengths = [1, 63, 64, 65, 300].map(|length| "k".repeat(length));
    let secrets = ["secret_abcdefghijklmnop", "s&c+r%t=\u{e9}", "\u{79d8}\u{5bc6} key", "%41+\" '\\$", "U2VjcmV0Cg=="];
    let mut server = Server::knowing("none yet");
    for (secret, users) in secrets.into_iter().chain(lengths.iter().map(String::as_str)).zip(1..) {
        server.set(&json!({ "secrets": [secret] }));
        let user = User::of(&server, secret)?;
        user.types().await?;
        for path in ["/v1/reports/download", "/v2/reports/query"] {
            assert_eq!(user.post(path, &json!({ "query": "\u{e9}" })).await?.0, StatusCode::OK, "{path}");
        }
        assert_eq!(user.get("/v1/merchants").await?.0, StatusCode::OK, "and no signature where none belongs");
        let seen = server.seen();
        assert_eq!(
            (seen.token_requests, seen.accepted_with(secret), seen.accepted_with("none")),
            (users, 3, users),
            "{secret}"
        );
        assert!(seen.refused.is_empty(), "{seen:?}");
    }
    Ok(())
}

#[tokio::test]
#[ignore = "takes Python: tests/vendor/run.py runs it"]
async fn a_wrong_secret_gets_no_token_and_signs_nothing() -> TestResult {
    let mut server = Server::knowing("right");
    let error = User::of(&server, "wrong")?.types().await.unwrap_err();
    let error = AuthError::find(error.as_ref()).ok_or("another error")?;
    assert_eq!((error.kind(), error.oauth_error()), (ErrorKind::Denied, Some("invalid_client")));
    let seen = server.seen();
    assert_eq!((seen.token_requests, seen.refused_as("invalid_client"), seen.refused.len()), (1, 1, 1), "{seen:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes Python: tests/vendor/run.py runs it"]
async fn t14_a_rotation_under_load_fails_no_call_and_no_call_after_it_has_the_old_secret() -> TestResult {
    let mut server = Server::knowing("old");
    let user = User::of(&server, "old")?;
    user.types().await?;
    server.set(&json!({ "secrets": ["old", "new"] }));
    let load = tokio::spawn(load(user.clone(), 8, 50));
    while server.seen().accepted_with("old") < 100 {
        sleep(Duration::from_millis(1)).await;
    }
    user.credentials.rotate("new");
    load.await??;

    let rotated = server.set(&json!({ "secrets": ["new"] }));
    assert_eq!(rotated.accepted.values().sum::<u64>(), 401);
    assert!(rotated.accepted_with("new") > 0, "{rotated:?}");
    self::load(user, 8, 10).await?;
    let seen = server.seen();
    assert_eq!(seen.accepted_with("new"), rotated.accepted_with("new") + 80);
    assert_eq!((seen.token_requests, seen.refused.len()), (2, 0), "one more token, with the new secret: {seen:?}");
    Ok(())
}

#[tokio::test]
#[ignore = "takes Python: tests/vendor/run.py runs it"]
async fn a_secret_changed_at_the_server_alone_is_refused_until_it_is_rotated_here() -> TestResult {
    let mut server = Server::knowing("old");
    let user = User::of(&server, "old")?;
    user.types().await?;
    server.set(&json!({ "secrets": ["new"] }));
    for calls in 1..=2 {
        let refused = user.get(TYPES).await?;
        assert_eq!(refused, (StatusCode::BAD_REQUEST, json!({ "message": "Invalid signature" })));
        let seen = server.seen();
        assert_eq!(
            (seen.refused_as("Invalid signature"), seen.token_requests),
            (calls, 1),
            "nothing that a new token would change"
        );
    }
    user.credentials.rotate("new");
    let (refused, _) = user.get(TYPES).await?;
    assert_eq!(refused, StatusCode::BAD_REQUEST, "t14: the old token goes with the old secret");
    let second = async {
        while user.handle.status().issued < 2 {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(20), second).await?;
    user.types().await?;
    let seen = server.seen();
    assert_eq!((seen.accepted_with("old"), seen.accepted_with("new"), seen.token_requests), (1, 1, 2));
    assert_eq!(seen.refused.values().sum::<u64>(), 3);
    Ok(())
}

#[tokio::test]
#[ignore = "takes Python: tests/vendor/run.py runs it"]
async fn r8_a_clock_minutes_off_is_learnt_with_the_token_before_anything_is_signed() -> TestResult {
    let mut server = Server::knowing("secret");
    for (offset, users) in [240, -240].into_iter().zip(1..) {
        server.set(&json!({ "offset": offset }));
        User::of(&server, "secret")?.types().await?;
        let seen = server.seen();
        let counts = (seen.token_requests, seen.accepted_with("secret"), seen.refused.len());
        assert_eq!(counts, (users, users, 0), "{seen:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes Python: tests/vendor/run.py runs it"]
async fn r8_a_clock_that_jumps_is_learnt_from_a_refusal_without_a_token_request() -> TestResult {
    let mut server = Server::knowing("secret");
    let user = User::of(&server, "secret")?;
    user.types().await?;
    let mut refused = 0;
    for offset in [240, 0, -240] {
        server.set(&json!({ "offset": offset }));
        load(user.clone(), 8, 5).await?;
        let seen = server.seen();
        let now = seen.refused_as(STALE);
        assert!((1..=8).contains(&(now - refused)), "each caller's first call at most: {seen:?}");
        assert_eq!((seen.token_requests, seen.refused.len()), (1, 1), "{seen:?}");
        refused = now;
    }
    assert_eq!(server.seen().accepted_with("secret"), 1 + 3 * 40);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes Python: tests/vendor/run.py runs it"]
async fn r4_a_call_whose_token_was_revoked_is_replayed_with_a_signature_that_fits() -> TestResult {
    let mut server = Server::knowing("secret");
    let user = User::of(&server, "secret")?;
    user.types().await?;
    server.set(&json!({ "revoke": true }));
    load(user, 8, 5).await?;
    let seen = server.seen();
    assert_eq!((seen.token_requests, seen.accepted_with("secret")), (2, 41));
    assert!((1..=8).contains(&seen.refused_as(FORBIDDEN)) && seen.refused.len() == 1, "{seen:?}");
    Ok(())
}

/// So many callers at once, each with so many calls in a row, all of which have to be let in.
async fn load(user: User, callers: u64, calls: u64) -> TestResult {
    let mut tasks = JoinSet::new();
    for _ in 0..callers {
        let user = user.clone();
        tasks.spawn(async move {
            for _ in 0..calls {
                user.types().await?;
            }
            TestResult::Ok(())
        });
    }
    while let Some(end) = tasks.join_next().await {
        end??;
    }
    Ok(())
}

const STALE: &str = "Timestamp not within valid range";
const FORBIDDEN: &str = "Access to this resource is forbidden";
