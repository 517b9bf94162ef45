//! A handle gets, refreshes, invalidates and inspects the token of a layer without a request.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::time::{Instant, advance, sleep};
use tower::{Layer, ServiceExt};
use tower_outbound_auth::{
    AuthError, AuthLayer, ErrorKind,
    token::{AccessToken, FetchRequest, RefreshPolicy, TokenHandle, TokenSource, TokenState},
};

use crate::support::{Issuer, ORIGIN, api, get};

async fn text(handle: &TokenHandle) -> String {
    handle.token().await.unwrap().expose_secret().to_owned()
}

#[tokio::test(start_paused = true)]
async fn token_gives_the_token_that_requests_carry() {
    let issuer = Issuer::new();
    let (seen, api) = api(&issuer, Duration::ZERO);
    let layer = issuer.layer();
    let token = text(&layer.handle()).await;
    layer.layer(api).oneshot(get("/a")).await.unwrap();
    assert_eq!(seen.tokens(), [token]);
    assert_eq!(issuer.requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn refresh_brings_a_new_token_though_the_old_one_is_good() {
    let issuer = Issuer::new();
    let handle = issuer.layer().handle();
    assert_eq!(text(&handle).await, "token-1");
    let forced = handle.refresh();
    let meanwhile = async {
        sleep(Duration::from_millis(10)).await;
        text(&handle).await
    };
    let (forced, meanwhile) = tokio::join!(forced, meanwhile);
    assert_eq!(forced.unwrap().expose_secret(), "token-2");
    assert_eq!(meanwhile, "token-1", "the old one stays in use until then");
    assert_eq!(text(&handle).await, "token-2");
}

#[tokio::test(start_paused = true)]
async fn refresh_joins_the_fetch_that_is_under_way() {
    let issuer = Issuer::new();
    let handle = issuer.layer().handle();
    let (first, second, third) = tokio::join!(handle.token(), handle.refresh(), handle.refresh());
    for token in [first, second, third] {
        assert_eq!(token.unwrap().expose_secret(), "token-1");
    }
    assert_eq!(issuer.requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_failed_refresh_takes_nothing_away() {
    let issuer = Issuer::new();
    let handle = issuer.layer().handle();
    text(&handle).await;
    issuer.set(|settings| settings.failure = Some(AuthError::new(ErrorKind::Denied, "locked")));
    assert_eq!(handle.refresh().await.unwrap_err().kind(), ErrorKind::Denied);
    assert_eq!(handle.status().state, TokenState::Fresh);
    assert_eq!(text(&handle).await, "token-1");
    sleep(Duration::from_secs(60)).await;
    assert_eq!(text(&handle).await, "token-1");
    assert_eq!(issuer.requests(), 2, "a young token is not refreshed because a forced refresh failed");
}

#[tokio::test(start_paused = true)]
async fn r12_invalidate_retires_the_current_token_and_starts_nothing() {
    let issuer = Issuer::new();
    let handle = issuer.layer().handle();
    let token = handle.token().await.unwrap();
    handle.invalidate(&token);
    assert_eq!((handle.status().state, handle.status().expires_in), (TokenState::Missing, None));
    sleep(Duration::from_secs(10)).await;
    assert_eq!(issuer.requests(), 1);
    let begin = Instant::now();
    assert_eq!(text(&handle).await, "token-2");
    assert_eq!(begin.elapsed(), Duration::from_millis(50), "the next caller waits for the fetch that it starts");
}

#[tokio::test(start_paused = true)]
async fn r12_invalidate_leaves_a_newer_token_alone() {
    let issuer = Issuer::new();
    let handle = issuer.layer().handle();
    let old = handle.token().await.unwrap();
    handle.invalidate(&old);
    handle.token().await.unwrap();
    for _ in 0..5 {
        handle.invalidate(&old);
        handle.invalidate(&AccessToken::new("never-seen", None).unwrap());
        assert_eq!(text(&handle).await, "token-2");
    }
    assert_eq!(issuer.requests(), 2);
}

/// Notes which token it must not return again, each time.
#[derive(Clone)]
struct Listening {
    issuer: Issuer,
    rejected: Arc<Mutex<Vec<Option<String>>>>,
}

impl TokenSource for Listening {
    fn fetch(
        &self,
        request: FetchRequest,
    ) -> Pin<Box<dyn Future<Output = Result<AccessToken, AuthError>> + Send + '_>> {
        let rejected = request.rejected().map(|token| token.expose_secret().to_owned());
        self.rejected.lock().unwrap().push(rejected);
        self.issuer.fetch(request)
    }
}

#[tokio::test(start_paused = true)]
async fn the_source_is_told_which_token_it_must_not_return_again() {
    let source = Listening { issuer: Issuer::new(), rejected: Arc::default() };
    let layer = AuthLayer::builder(source.clone()).origin(ORIGIN).build().unwrap();
    let handle = layer.handle();
    handle.token().await.unwrap();
    handle.refresh().await.unwrap();
    handle.invalidate(&handle.token().await.unwrap());
    source.issuer.set(|settings| settings.failure = Some(AuthError::new(ErrorKind::Malformed, "no token")));
    handle.token().await.unwrap_err();
    source.issuer.set(|settings| settings.failure = None);
    handle.refresh().await.unwrap();
    handle.refresh().await.unwrap();
    let told = [None, Some("token-1"), Some("token-2"), Some("token-2"), Some("token-4")];
    assert_eq!(*source.rejected.lock().unwrap(), told.map(|token| token.map(str::to_owned)));
}

/// Rounded up, since the wall clock runs on while tokio's is paused.
fn whole_seconds(left: Option<Duration>) -> u64 {
    u64::try_from(left.unwrap().as_millis().div_ceil(1_000)).unwrap()
}

#[tokio::test(start_paused = true)]
async fn status_tells_the_age_of_the_token() {
    let issuer = Issuer::new();
    let policy = RefreshPolicy::default().jitter(0.0);
    let handle = issuer.builder().refresh(policy).build().unwrap().handle();
    assert_eq!((handle.status().state, handle.status().expires_in), (TokenState::Missing, None));
    handle.token().await.unwrap();
    let mut age = 0;
    for (next, state) in [
        (0, TokenState::Fresh),
        (2699, TokenState::Fresh),
        (2700, TokenState::Stale),
        (3569, TokenState::Stale),
        (3570, TokenState::Expired),
        (3600, TokenState::Expired),
        (9999, TokenState::Expired),
    ] {
        advance(Duration::from_secs(next - age)).await;
        age = next;
        let status = handle.status();
        assert_eq!(status.state, state, "after {age} s");
        assert_eq!(whole_seconds(status.expires_in), 3600_u64.saturating_sub(age), "after {age} s");
    }
    assert_eq!(issuer.requests(), 1, "to look changes nothing");
}

#[tokio::test(start_paused = true)]
async fn status_counts_tokens_and_failed_fetches() {
    let issuer = Issuer::new();
    let handle = issuer.layer().handle();
    let counts = || (handle.status().issued, handle.status().failures);
    assert_eq!(counts(), (0, 0));
    issuer.set(|settings| settings.failure = Some(AuthError::new(ErrorKind::Unavailable, "down")));
    for failures in 1..=4 {
        handle.refresh().await.unwrap_err();
        handle.token().await.unwrap_err();
        assert_eq!(counts(), (0, failures), "three attempts are one fetch, and a backoff is no fetch");
    }
    assert_eq!(handle.status().last_error.unwrap().to_string(), "down");
    issuer.set(|settings| settings.failure = None);
    for issued in 1..=4 {
        handle.refresh().await.unwrap();
        assert_eq!(counts(), (issued, 4));
    }
    assert!(handle.status().last_error.is_none(), "the last fetch brought a token");
}

#[tokio::test(start_paused = true)]
async fn a_token_in_hand_knows_how_long_it_still_lives() {
    let issuer = Issuer::new();
    let handle = issuer.layer().handle();
    let (token, copy) = (handle.token().await.unwrap(), handle.token().await.unwrap().clone());
    assert_eq!(whole_seconds(token.expires_in()), 3600);
    advance(Duration::from_secs(600)).await;
    assert_eq!(whole_seconds(token.expires_in()), 3000);
    handle.refresh().await.unwrap();
    advance(Duration::from_secs(600)).await;
    assert!(copy.expires_in().unwrap() < Duration::from_secs(2400));
    advance(Duration::from_secs(1 << 30)).await;
    assert_eq!(copy.expires_in(), Some(Duration::ZERO));
}
