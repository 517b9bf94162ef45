//! Metrics, as a Prometheus server reads them: every series with its labels, and whenever the recorder was installed.
#![cfg(feature = "metrics")]
#![expect(clippy::unwrap_used, reason = "a helper of a test may panic")]
#![expect(clippy::disallowed_methods, reason = "time is paused, and the expiry is a time of the wall clock")]

mod dashboard_and_alerts_use_these_metrics;
#[path = "../support/mod.rs"]
mod support;

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use http::{Request, Response, StatusCode, header::DATE};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::time::{advance, sleep, timeout};
use tower::{BoxError, Layer, Service, ServiceExt, service_fn};
use tower_outbound_auth::{
    AuthError, AuthLayer, Credentials, ErrorKind,
    fleet::{MemoryStore, SharedTokenSource},
    rejection::Rejection,
    replay::NoReplay,
    signing::{SignRules, TimestampHmac},
    token::{FetchRequest, RefreshPolicy, TokenSource},
};

use crate::dashboard_and_alerts_use_these_metrics::Metrics;
use crate::support::{Body, Issuer, answer, api, get};

type TestResult = Result<(), BoxError>;

/// The page that a Prometheus server gets, and what was on it the last time.
struct Page {
    exporter: PrometheusHandle,
    last: BTreeMap<String, f64>,
}

impl Page {
    fn series(&self) -> BTreeMap<String, f64> {
        let page = self.exporter.render();
        let lines = page.lines().filter(|line| line.starts_with("outbound_auth_") && !line.contains("quantile="));
        let series = lines.filter_map(|line| line.rsplit_once(' '));
        series.map(|(name, value)| (name.to_owned(), value.parse().unwrap())).collect()
    }

    /// What has been counted since the last look: each series, and how often if more than once.
    fn counted(&mut self) -> Vec<String> {
        let now = self.series();
        let counters = now.iter().filter(|(name, _)| name.contains("_total") || name.contains("_count"));
        let risen = counters.filter_map(|(name, value)| {
            let by = value - self.last.get(name).unwrap_or(&0.0);
            let name = name.trim_start_matches("outbound_auth_");
            (by > 0.5).then(|| if by < 1.5 { name.to_owned() } else { format!("{name} {by}") })
        });
        let risen = risen.collect();
        self.last = now;
        risen
    }
}

/// What the tests call.
trait Client: Service<Request<Body>, Response = Response<Body>, Error = BoxError> + Clone {}
impl<S: Service<Request<Body>, Response = Response<Body>, Error = BoxError> + Clone> Client for S {}

async fn call<S: Client>(client: &S) -> Result<u16, BoxError> {
    Ok(client.clone().oneshot(get("/a")).await?.status().as_u16())
}

/// The answers of an API that does not look at tokens.
fn answering(
    statuses: &Arc<AtomicU16>,
    date: Option<SystemTime>,
) -> impl Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send> + Clone {
    let statuses = Arc::clone(statuses);
    service_fn(move |_: Request<Body>| {
        let status = statuses.swap(200, Relaxed);
        let mut response = answer(status.try_into().unwrap());
        if let Some(date) = date {
            response.headers_mut().insert(DATE, httpdate::fmt_http_date(date).parse().unwrap());
        }
        async { Ok(response) }
    })
}

const NAMES: [(&str, &str); 7] = [
    ("outbound_auth_fleet_total", "counter"),
    ("outbound_auth_rejections_total", "counter"),
    ("outbound_auth_replays_total", "counter"),
    ("outbound_auth_token_expiry_timestamp_seconds", "gauge"),
    ("outbound_auth_token_fetch_duration_seconds", "summary"),
    ("outbound_auth_token_fetches_total", "counter"),
    ("outbound_auth_token_wait_duration_seconds", "summary"),
];

/// One test, since a process has one recorder.
#[tokio::test(start_paused = true)]
async fn a_prometheus_server_reads_what_has_happened() -> TestResult {
    let issuer = Issuer::new();
    let policy = RefreshPolicy::default().attempts(1).jitter(0.0).renewal_budget(1, Duration::from_secs(10));
    let layer = issuer.builder().refresh(policy).name("reports").build()?;
    let (_, api) = api(&issuer, Duration::ZERO);
    let client = layer.layer(api.clone());
    // Before there is a recorder.
    assert_eq!(call(&issuer.layer().layer(api)).await?, 200);

    let recorder = PrometheusBuilder::new().build_recorder();
    let mut page = Page { exporter: recorder.handle(), last: BTreeMap::new() };
    metrics::set_global_recorder(recorder).unwrap();
    a_first_token(&client, &mut page).await?;
    refreshes(&issuer, &layer, &client, &mut page).await?;
    rejections(&issuer, &client, &mut page).await?;
    failures(&issuer, &layer, &mut page).await;
    skews_and_other_ends(&issuer, &mut page).await?;
    waits_and_replays_that_come_to_nothing(&mut page).await?;
    a_fleet(&issuer, &mut page).await?;

    let text = page.exporter.render();
    for (name, kind) in NAMES {
        assert!(
            text.contains(&format!("# TYPE {name} {kind}\n")) && text.contains(&format!("# HELP {name} ")),
            "{name}"
        );
    }
    let unknown = page.series().into_keys().filter(|series| !NAMES.iter().any(|(name, _)| series.starts_with(name)));
    assert_eq!(unknown.collect::<Vec<_>>(), [""; 0]);
    let not_in_the_guide = page.series().into_keys().flat_map(|series| Metrics::of_the_guide().faults(&series));
    assert_eq!(not_in_the_guide.collect::<Vec<_>>(), [""; 0]);
    Ok(())
}

async fn a_first_token<S: Client>(client: &S, page: &mut Page) -> TestResult {
    assert_eq!(call(client).await?, 200);
    let cold = [
        r#"token_fetch_duration_seconds_count{outcome="ok"}"#,
        r#"token_fetches_total{trigger="missing",outcome="ok"}"#,
        "token_wait_duration_seconds_count",
    ];
    assert_eq!(page.counted(), cold);
    for _ in 0..100 {
        assert_eq!(call(client).await?, 200);
    }
    assert!(page.counted().is_empty(), "a request that finds a token counts nothing");
    Ok(())
}

async fn refreshes<S: Client>(issuer: &Issuer, layer: &AuthLayer, client: &S, page: &mut Page) -> TestResult {
    advance(Duration::from_secs(2_800)).await;
    assert_eq!(call(client).await?, 200);
    sleep(Duration::from_secs(1)).await;
    layer.handle().refresh().await?;
    let forced_after_stale = [
        r#"token_fetch_duration_seconds_count{outcome="ok"} 2"#,
        r#"token_fetches_total{trigger="forced",outcome="ok"}"#,
        r#"token_fetches_total{trigger="stale",outcome="ok"}"#,
    ];
    assert_eq!(page.counted(), forced_after_stale);
    issuer.rotate();
    assert_eq!(call(client).await?, 200);
    sleep(Duration::from_secs(1)).await;
    let rotated = [
        r#"token_fetch_duration_seconds_count{outcome="ok"}"#,
        r#"token_fetches_total{trigger="rotated",outcome="ok"}"#,
    ];
    assert_eq!(page.counted(), rotated);

    let series = page.series();
    let expiry = series.get(r#"outbound_auth_token_expiry_timestamp_seconds{layer="reports"}"#).unwrap();
    let left = expiry - SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs_f64();
    assert!((3_590.0..=3_600.0).contains(&left), "{left}");
    Ok(())
}

async fn rejections<S: Client>(issuer: &Issuer, client: &S, page: &mut Page) -> TestResult {
    issuer.revoke();
    assert_eq!(call(client).await?, 200);
    let renewed = [
        r#"rejections_total{kind="token",action="replayed"}"#,
        r#"replays_total{outcome="accepted"}"#,
        r#"token_fetch_duration_seconds_count{outcome="ok"}"#,
        r#"token_fetches_total{trigger="rejected",outcome="ok"}"#,
        "token_wait_duration_seconds_count",
    ];
    assert_eq!(page.counted(), renewed);
    issuer.revoke();
    assert_eq!(call(client).await?, 401, "the budget is used up, so the same token is sent again");
    let throttled = [
        r#"rejections_total{kind="token",action="rejected_again"}"#,
        r#"rejections_total{kind="token",action="replayed"}"#,
        r#"replays_total{outcome="rejected"}"#,
    ];
    assert_eq!(page.counted(), throttled);
    assert_eq!(call(client).await?, 401);
    assert_eq!(page.counted(), [r#"rejections_total{kind="token",action="throttled"}"#]);
    Ok(())
}

async fn failures(issuer: &Issuer, layer: &AuthLayer, page: &mut Page) {
    for (kind, outcome) in [
        (ErrorKind::Unavailable, "unavailable"),
        (ErrorKind::Denied, "denied"),
        (ErrorKind::Malformed, "malformed"),
        (ErrorKind::Config, "config"),
    ] {
        issuer.set(|settings| settings.failure = Some(AuthError::new(kind, "down")));
        let error = layer.handle().refresh().await.unwrap_err();
        assert_eq!((error.kind(), &*kind.to_string()), (kind, outcome));
        let failed = [
            format!(r#"token_fetch_duration_seconds_count{{outcome="{outcome}"}}"#),
            format!(r#"token_fetches_total{{trigger="forced",outcome="{outcome}"}}"#),
        ];
        assert_eq!(page.counted(), failed);
    }
    issuer.set(|settings| settings.failure = None);
}

async fn skews_and_other_ends(issuer: &Issuer, page: &mut Page) -> TestResult {
    let skew = |response: &http::response::Parts| (response.status == 409).then_some(Rejection::ClockSkew);
    let signed = |issuer: &Issuer| {
        let signer = TimestampHmac::sha256(Credentials::new("id", "secret"));
        issuer.builder().sign(SignRules::all(), signer).reject_when(skew)
    };
    let statuses = Arc::new(AtomicU16::new(200));
    let a_minute_on = SystemTime::now() + Duration::from_secs(60);
    let told = signed(issuer).build()?.layer(answering(&statuses, Some(a_minute_on)).map_err(BoxError::from));
    let untold = signed(issuer).build()?.layer(answering(&statuses, None).map_err(BoxError::from));
    let once: AuthLayer<NoReplay> = issuer.builder().replay(NoReplay).build()?;
    let once = once.layer(answering(&statuses, None).map_err(BoxError::from));
    for client in [call(&told).await?, call(&untold).await?, call(&once).await?] {
        assert_eq!(client, 200);
    }
    page.counted();

    assert_eq!(call_after(&statuses, 409, &told).await?, 200);
    let learnt = [r#"rejections_total{kind="clock_skew",action="replayed"}"#, r#"replays_total{outcome="accepted"}"#];
    assert_eq!(page.counted(), learnt);
    assert_eq!(call_after(&statuses, 409, &untold).await?, 409);
    assert_eq!(page.counted(), [r#"rejections_total{kind="clock_skew",action="not_learnt"}"#]);
    assert_eq!(call_after(&statuses, 401, &once).await?, 401);
    assert_eq!(page.counted().first().unwrap(), r#"rejections_total{kind="token",action="body_not_replayable"}"#);
    Ok(())
}

async fn call_after<S: Client>(statuses: &Arc<AtomicU16>, status: u16, client: &S) -> Result<u16, BoxError> {
    statuses.store(status, Relaxed);
    call(client).await
}

async fn waits_and_replays_that_come_to_nothing(page: &mut Page) -> TestResult {
    let issuer = Issuer::new();
    let layer = issuer.layer();
    let (_, api) = api(&issuer, Duration::ZERO);
    let mut waiting = Box::pin(layer.layer(api).oneshot(get("/a")));
    assert!(timeout(Duration::from_millis(10), &mut waiting).await.is_err());
    drop(waiting);
    assert_eq!(page.counted(), ["token_wait_duration_seconds_count"], "and the fetch goes on");
    layer.handle().token().await?;
    page.counted();

    let sent = Arc::new(AtomicU16::new(0));
    let broken = service_fn(move |_: Request<Body>| {
        let is_first = sent.fetch_add(1, Relaxed) == 0;
        async move { if is_first { Ok(answer(StatusCode::UNAUTHORIZED)) } else { Err(BoxError::from("cut off")) } }
    });
    layer.layer(broken).oneshot(get("/a")).await.unwrap_err();
    let counted = page.counted();
    assert!(counted.contains(&r#"replays_total{outcome="error"}"#.to_owned()), "{counted:?}");
    Ok(())
}

async fn a_fleet(issuer: &Issuer, page: &mut Page) -> TestResult {
    let store = MemoryStore::new();
    for _ in 0..2 {
        let source = SharedTokenSource::builder(issuer.clone(), store.clone()).sealing_key("key", None).identity("a");
        source.build()?.fetch(FetchRequest::new()).await?;
    }
    assert_eq!(page.counted(), [r#"fleet_total{event="hit"}"#, r#"fleet_total{event="led"}"#]);
    Ok(())
}
