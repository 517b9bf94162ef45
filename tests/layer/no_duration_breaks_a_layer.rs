//! Whatever durations and fractions a user sets, a layer is refused with a reason, or it works.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    time::Duration,
};

use http::StatusCode;
use proptest::prelude::*;
use tokio::{runtime::Builder, time::advance};
use tower::{BoxError, Layer, ServiceExt, service_fn};
use tower_outbound_auth::{
    AuthError, AuthLayer, ErrorKind,
    token::{AccessToken, FetchRequest, RefreshPolicy, TokenSource, TokenState},
};

use crate::support::{Issuer, ORIGIN, answer, get};

const EXTREMES: [Duration; 6] = [
    Duration::ZERO,
    Duration::from_nanos(1),
    Duration::from_millis(1),
    Duration::from_secs(10 * 366 * 86_400),
    Duration::from_secs(u64::MAX),
    Duration::MAX,
];

/// Answers at once, and panics when it is asked too often.
#[derive(Clone, Debug)]
struct Prompt {
    asked: Arc<AtomicU32>,
    lifetime: Option<Duration>,
    fails: Option<ErrorKind>,
}

impl Prompt {
    fn new(lifetime: Option<Duration>, fails: Option<ErrorKind>) -> Self {
        Self { asked: Arc::default(), lifetime, fails }
    }
}

impl TokenSource for Prompt {
    fn fetch(
        &self,
        _request: FetchRequest,
    ) -> Pin<Box<dyn Future<Output = Result<AccessToken, AuthError>> + Send + '_>> {
        Box::pin(async {
            assert!(self.asked.fetch_add(1, SeqCst) < 100, "asked for a token again and again");
            self.fails.map_or_else(
                || AccessToken::new("abc", self.lifetime),
                |kind| Err(AuthError::new(kind, "no token today")),
            )
        })
    }
}

fn build(source: &Prompt, policy: RefreshPolicy, max_wait: Option<Duration>) -> Result<AuthLayer, AuthError> {
    let builder = AuthLayer::builder(source.clone()).origin(ORIGIN).refresh(policy);
    max_wait.into_iter().fold(builder, tower_outbound_auth::AuthLayerBuilder::max_wait).build()
}

/// Requests at all times of a token's life, each of which has to get a token; or its error, if the source has none.
async fn use_for_long(layer: AuthLayer, source: &Prompt) {
    let client = layer.clone().layer(service_fn(|_| async { Ok::<_, BoxError>(answer(StatusCode::OK)) }));
    for pause in [Duration::ZERO, Duration::from_millis(1), Duration::from_secs(3000), Duration::from_secs(1 << 29)] {
        advance(pause).await;
        let served = client.clone().oneshot(get("/a")).await;
        match (source.fails, served) {
            (None, served) => assert_eq!(served.unwrap().status(), StatusCode::OK),
            (Some(kind), served) => assert_eq!(AuthError::find(&*served.unwrap_err()).unwrap().kind(), kind),
        }
        assert_eq!(layer.handle().refresh().await.is_ok(), source.fails.is_none());
        let status = layer.handle().status();
        assert_eq!(status.state == TokenState::Missing, source.fails.is_some());
    }
}

fn run<F: Future>(future: F) -> F::Output {
    Builder::new_current_thread().enable_all().start_paused(true).build().unwrap().block_on(future)
}

fn durations() -> impl Strategy<Value = Duration> {
    prop_oneof![
        prop::sample::select(EXTREMES.to_vec()),
        (any::<u64>(), 0..1_000_000_000_u32).prop_map(|(seconds, nanos)| Duration::new(seconds, nanos)),
        (0..10_000_u64).prop_map(Duration::from_millis),
    ]
}

prop_compose! {
    fn policies()(
        fractions in (fractions(), fractions()),
        margin in durations(),
        default_lifetime in durations(),
        deadline in durations(),
        attempts in prop_oneof![0..5_u32, Just(u32::MAX)],
        backoffs in ((durations(), durations()), (durations(), durations())),
        budget in (any::<u32>(), durations()),
    ) -> (f64, f64, u32, RefreshPolicy) {
        let (refresh_at, jitter) = fractions;
        let policy = RefreshPolicy::default().refresh_at(refresh_at).jitter(jitter).expiry_margin(margin);
        let policy = policy.default_lifetime(default_lifetime).deadline(deadline).attempts(attempts);
        let (failure, refusal) = backoffs;
        let policy = policy.failure_backoff(failure.0, failure.1).refusal_backoff(refusal.0, refusal.1);
        (refresh_at, jitter, attempts, policy.renewal_budget(budget.0, budget.1))
    }
}

fn fractions() -> impl Strategy<Value = f64> {
    prop_oneof![3 => 0.0..1.0, 1 => any::<f64>(), 1 => Just(f64::NAN), 1 => Just(0.0), 1 => Just(f64::MIN_POSITIVE)]
}

fn sources() -> impl Strategy<Value = Prompt> {
    let fails = prop_oneof![4 => Just(None), 1 => Just(Some(ErrorKind::Denied)), 1 => Just(Some(ErrorKind::Malformed))];
    (prop::option::of(durations()), fails).prop_map(|(lifetime, fails)| Prompt::new(lifetime, fails))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

    #[test]
    fn t7_a_layer_is_refused_or_serves_requests(
        (refresh_at, jitter, attempts, policy) in policies(),
        source in sources(),
        max_wait in prop::option::of(durations().prop_filter("so long that a fetch can begin", |wait| !wait.is_zero())),
    ) {
        let sound = refresh_at > 0.0 && refresh_at < 1.0 && (0.0..1.0).contains(&jitter) && attempts > 0;
        match run(async { build(&source, policy, max_wait) }) {
            Ok(layer) => {
                prop_assert!(sound);
                run(use_for_long(layer, &source));
            }
            Err(error) => {
                prop_assert!(!sound);
                prop_assert_eq!(error.kind(), ErrorKind::Config);
            }
        }
    }
}

#[test]
fn t7_every_setting_takes_every_extreme() {
    let default = RefreshPolicy::default;
    for (lifetime, extreme) in EXTREMES.iter().flat_map(|extreme| [(None, *extreme), (Some(*extreme), *extreme)]) {
        let policies = [
            default().expiry_margin(extreme),
            default().default_lifetime(extreme),
            default().deadline(extreme),
            default().failure_backoff(extreme, extreme),
            default().failure_backoff(extreme, Duration::ZERO),
            default().failure_backoff(Duration::ZERO, extreme),
            default().refusal_backoff(extreme, extreme),
            default().refusal_backoff(extreme, Duration::ZERO),
            default().refusal_backoff(Duration::ZERO, extreme),
            default().renewal_budget(0, extreme),
            default().renewal_budget(u32::MAX, extreme),
        ];
        for policy in policies {
            for fails in [None, Some(ErrorKind::Denied)] {
                let source = Prompt::new(lifetime, fails);
                run(use_for_long(build(&source, policy.clone(), None).unwrap(), &source));
            }
        }
    }
}

#[test]
fn t7_a_fraction_out_of_range_is_refused_with_a_reason() {
    let source = Prompt::new(None, None);
    for fraction in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.1, 0.0, -0.0, 1.0, 1.5] {
        let error = build(&source, RefreshPolicy::default().refresh_at(fraction), None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("refresh_at"), "{error}");
    }
    for fraction in [f64::NAN, f64::INFINITY, -0.1, 1.0] {
        let error = build(&source, RefreshPolicy::default().jitter(fraction), None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("jitter"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn t7_a_token_without_a_lifetime_gets_the_one_that_was_set() {
    for (policy, usable) in
        [(RefreshPolicy::default(), 270), (RefreshPolicy::default().default_lifetime(Duration::from_secs(1000)), 970)]
    {
        let issuer = Issuer::new();
        issuer.set(|settings| (settings.lifetime, settings.latency) = (None, Duration::ZERO));
        let handle = issuer.builder().refresh(policy).build().unwrap().handle();
        assert_eq!(handle.token().await.unwrap().expires_in(), None, "the server set none");
        assert_eq!(handle.status().expires_in, None);
        advance(Duration::from_secs(usable - 1)).await;
        assert_eq!(handle.status().state, TokenState::Stale);
        advance(Duration::from_secs(1)).await;
        assert_eq!(handle.status().state, TokenState::Expired);
    }
}

#[tokio::test(start_paused = true)]
async fn t7_what_is_over_ten_years_counts_as_ten_years() {
    let ten_years = Duration::from_secs(10 * 365 * 86_400);
    let eternal = Prompt::new(Some(Duration::MAX), None);
    let handle = build(&eternal, RefreshPolicy::default(), None).unwrap().handle();
    let expires_in = handle.token().await.unwrap().expires_in().unwrap();
    assert!(expires_in <= ten_years && ten_years <= expires_in + Duration::from_secs(1), "{expires_in:?}");
    advance(ten_years).await;
    assert_eq!(handle.status().state, TokenState::Expired);

    let failing = Prompt::new(None, Some(ErrorKind::Unavailable));
    let policy = RefreshPolicy::default().attempts(1).failure_backoff(Duration::MAX, Duration::MAX);
    let handle = build(&failing, policy, None).unwrap().handle();
    let wait = handle.token().await.unwrap_err().retry_after().unwrap();
    assert!(ten_years / 2 <= wait && wait <= ten_years, "{wait:?}");
}
