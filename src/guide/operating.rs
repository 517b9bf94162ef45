//! Operating it: metrics, alerts, a dashboard, traces, readiness, and an orderly end.
//!
//! The example `observe` is a service with all of this. It calls a sandbox, and keys revoke the token, stop the authorization
//! server and rotate the secret, so that you can see what each looks like before you are paged for it:
//!
//! ```sh
//! cargo run --example observe --features metrics,sandbox
//! ```
//!
//! # Metrics
//!
//! With feature `metrics`, the crate records through the `metrics` facade. Install any recorder, before or after the first
//! request; without one, nothing is recorded. A request that finds a token records nothing.
//!
//! | name | kind | labels | counts |
//! |---|---|---|---|
//! | `outbound_auth_token_fetches_total` | counter | `trigger`: missing, stale, rotated, rejected, forced, keep_warm; `outcome`: ok, config, denied, malformed, signing, timeout, unavailable, aborted | token fetches, each with all of its attempts |
//! | `outbound_auth_token_fetch_duration_seconds` | histogram | `outcome`: ok, config, denied, malformed, signing, timeout, unavailable, aborted | how long a fetch took, all attempts together |
//! | `outbound_auth_token_wait_duration_seconds` | histogram | | how long a request waited for a token, whatever came of it; a request that does not wait is not counted |
//! | `outbound_auth_rejections_total` | counter | `kind`: token, clock_skew; `action`: replayed, not_learnt, body_not_replayable, fetch_failed, insufficient_scope, rejected_again, same_token, throttled | responses that rejected the credentials of their request; what came of it, not_learnt of a clock, otherwise a [`NotReplayed`] |
//! | `outbound_auth_replays_total` | counter | `outcome`: accepted, rejected, error | requests that were sent again |
//! | `outbound_auth_token_expiry_timestamp_seconds` | gauge | `layer`: any | unix time at which the token of the last fetch expires; `layer` is the name given with [`name`], and a layer without one does not set it |
//! | `outbound_auth_fleet_total` | counter | `event`: hit, led, followed, degraded, retired | looks into the store of a [`fleet`](crate::fleet), and tokens retired there |
//!
//! Labels come from these sets alone: never a key, a path, a host or an error's text. Give each layer of a process a name of its
//! own.
//!
//! For Prometheus, give the two histograms buckets. Without them the exporter renders summaries, which cannot be added up over
//! instances, and the dashboard's quantiles stay empty:
//!
//! ```
//! # use std::time::Duration;
//! use axum::{Router, routing::get};
//! use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
//! # use tower::ServiceExt;
//! use tower_outbound_auth::BoxError;
//! # use tower_outbound_auth::{AuthLayer, token::{AccessToken, source_fn}};
//!
//! fn metrics_page() -> Result<Router, BoxError> {
//!     let buckets = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0];
//!     let ours = Matcher::Prefix("outbound_auth_".to_owned());
//!     let recorder = PrometheusBuilder::new().set_buckets_for_metric(ours, &buckets)?.build_recorder();
//!     let exporter = recorder.handle();
//!     metrics::set_global_recorder(recorder)?;
//!     Ok(Router::new().route("/metrics", get(async move || exporter.render())))
//! }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! # let page = metrics_page()?;
//! # let source = source_fn(|_| async { AccessToken::new("abc", Some(Duration::from_secs(3600))) });
//! # AuthLayer::builder(source).origin("https://api.example.com").name("reports").build()?.handle().token().await?;
//! # let request = http::Request::get("/metrics").body(axum::body::Body::empty())?;
//! # let text = axum::body::to_bytes(page.oneshot(request).await?.into_body(), usize::MAX).await?;
//! # let text = String::from_utf8_lossy(&text);
//! # let expected = [
//! #     r#"outbound_auth_token_fetches_total{trigger="missing",outcome="ok"} 1"#,
//! #     r#"outbound_auth_token_fetch_duration_seconds_bucket{outcome="ok",le="30"} 1"#,
//! #     r#"outbound_auth_token_expiry_timestamp_seconds{layer="reports"} "#,
//! # ];
//! # assert!(!cfg!(feature = "metrics") || expected.iter().all(|series| text.contains(series)), "{text}");
//! # Ok(()) }
//! ```
//!
//! # Alerts
//!
//! `examples/observe/alerts.yml` has three rules for Prometheus, and `alerts_test.yml` beside it the tests that `promtool` runs.
//!
//! | rule | fires when | what it means for requests |
//! |---|---|---|
//! | `OutboundAuthTokenFetchesFail` | token fetches have failed for six minutes | they are served while the token lives; there is time to act |
//! | `OutboundAuthTokenExpiryNear` | they fail, and the token has less than ten minutes left | they fail soon, or do already |
//! | `OutboundAuthRenewalsThrottled` | for five minutes, requests were rejected after the [renewal budget](super::rejections#the-renewal-budget) was used up | they fail, although the authorization server issues tokens |
//!
//! - **An idle client fires nothing.** Tokens are fetched when a request needs one. A client without requests lets its token
//!   expire, and the next request fetches another. An expiry that is near or past is therefore no alert by itself: the second
//!   rule asks for fetches that fail at the same time, and those need requests, or [`keep_warm`].
//! - **One event fires nothing.** `for` is as long as the range of the query or longer, so what happened once has left the range
//!   before. A fetch already makes three attempts before it fails.
//! - **Six minutes**: the longest backoff of the default policy is five minutes, and a fetch takes at most 30 s, so that a server
//!   that stays down is counted at least once in each range. If you set a longer [`refusal_backoff`] or [`deadline`], lengthen
//!   the range and `for`.
//! - **Ten minutes**: a token of an hour is refreshed when a quarter of an hour is left. If the server is down from then on, the
//!   first rule fires when nine minutes are left, and the second when four are. A token that lives for less than 24 minutes has
//!   expired before the first rule fires, and the second one fires 16 minutes after the last fetch that succeeded.
//! - **Two minutes, for five**: a budget of four renewals is whole again after 40 s. Someone who revokes a few tokens in a row
//!   is not in the range any more; an API that rejects whatever it gets is.
//! - A process that never had a token has no expiry, and its requests fail from the start. The first rule fires, and so should
//!   your own alert on failed requests.
//! - The counter of fetches has no label for the layer. If a process has several layers and one of them fails, the second rule
//!   may also name an idle one.
//! - Prometheus does not see the first event of a series as an increase, since there was nothing before it.
//!
//! ```yaml
#![doc = include_str!("../../examples/observe/alerts.yml")]
//! ```
//!
//! # Dashboard
//!
//! Import `examples/observe/dashboard.json` into Grafana and choose your Prometheus as the data source. Its panels show all
//! seven series, and each one says what is normal. It needs the labels `job` and `instance`, which Prometheus adds.
//!
//! Look at "Time until the token expires" first: the line of a client with requests turns well above zero, again and again. A line
//! that falls through zero is a client that is idle, or one whose fetches fail; the panel beside it tells which.
//!
//! # Traces
//!
//! With feature `tracing`, which is on by default, the crate emits the following through the `tracing` facade. At INFO, which
//! most programs log, that is a warning for each backoff and one event for each rejection; while all goes well it is nothing.
//! A request that finds a token emits nothing at any level.
//!
//! | span or event | level | fields | when |
//! |---|---|---|---|
//! | span `token_fetch` | DEBUG | `layer`, `trigger`, `attempt`, `outcome`, `error.type`, `next_refresh_ms`, `fleet`, `fleet_reason` | a token fetch, with all of its attempts |
//! | "token request failed, will try again" | DEBUG | `attempt`, `error.type`, `error`, `pause_ms` | within a fetch, before its next attempt |
//! | "token obtained" | DEBUG | `next_refresh_ms` | the end of a fetch |
//! | "token fetch failed" | WARN | `layer`, `trigger`, `error.type`, `error`, `description`, `backoff_ms` | a fetch has failed and a backoff begins; what fails during the backoff emits nothing |
//! | "token fetch aborted" | DEBUG | `error.type`, `error` | the runtime of a fetch has ended or has no timers; no backoff follows |
//! | "token lifetime unusable, default assumed" | DEBUG | | `expires_in` was there and is no positive number |
//! | "response rejected" | INFO, DEBUG | `layer`, `kind`, `action`, `http.response.status_code` | a response rejected its request's credentials, and what becomes of it is known; DEBUG if `action` is throttled or fetch_failed, since a warning tells the cause once |
//! | "tokens are rejected as fast as they are renewed" | WARN | `layer` | the [renewal budget](super::rejections#the-renewal-budget) is used up, once |
//! | "request sent without credentials" | DEBUG | `layer`, `requested`, `configured` | a request's origin is not quite the configured one: once for each origin and layer, for at most 64 origins |
//! | "shared token" | DEBUG | `event`, `reason` | what came of a look into the store of a [fleet](super::fleet) |
//! | "token not published" | DEBUG | `reason` | a token was fetched for a fleet, and only this process has it |
//! | "token store failed" | WARN | `reason`, `error`, `pause_ms` | a store is left alone for some seconds |
//! | "client secret file cannot be used" | WARN | `error` | it was looked at; the last secret stays in use |
//! | "discovery document cannot be read" | WARN | `error.type`, `error` | it was read again; the last one stays in use |
//! | "a signed request was answered by another origin" | WARN | `origin` | reqwest has followed a redirect with a signature or static header |
//! | "keep_warm()" | WARN | | it was called outside of a tokio runtime, or in one without timers |
//!
//! - `trigger`, `outcome`, `kind`, `action` and `event` have the values of the labels above. `error.type` is the
//!   [`ErrorKind`] in snake case, and absent where nothing failed. "response rejected" appears as often as
//!   `outbound_auth_rejections_total` counts.
//! - `layer` is the [`name`] of the layer, or `default`.
//! - `error` is the text of the [`AuthError`]; `description` is what the authorization server said about it, if it repeats no
//!   credential. A duration ends in `_ms` and is in milliseconds.
//! - `attempt` counts from 1; of the span it is the last one.
//! - `error.type` and `http.response.status_code` are as in OpenTelemetry's semantic conventions.
//! - No header, no body, no path, no key of a tenant and no secret is in any of them.
//!
//! The span is a root, because a fetch outlives the request that started it and serves others. It *follows from* the span
//! that was current where that request, [`refresh`] or [`token`] started the fetch. Requests that join a fetch are not linked
//! to it: they did not cause it, and there may be thousands. A fetch of [`keep_warm`] follows from nothing.
//!
//! To see fetches, allow DEBUG for this crate alone:
//!
//! ```
//! use std::time::Duration;
//! use tower_outbound_auth::{
//!     AuthLayer,
//!     token::{AccessToken, source_fn},
//! };
//! use tracing_subscriber::{EnvFilter, fmt::format::FmtSpan};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let filter = EnvFilter::new("info,tower_outbound_auth=debug");
//! // A line with all fields of a span when it is closed.
//! tracing_subscriber::fmt().json().with_env_filter(filter).with_span_events(FmtSpan::CLOSE).init();
//!
//! let source = source_fn(|_| async { AccessToken::new("made-by-hand", Some(Duration::from_secs(600))) });
//! let auth = AuthLayer::builder(source).origin("https://api.example.com").name("reports").build()?;
//! auth.handle().token().await?;
//! # Ok(()) }
//! ```
//!
//! # Readiness
//!
//! A process is ready if it can get a token. [`TokenHandle::token`] answers that: at once with a usable token, otherwise with
//! the outcome of a fetch, and during a backoff with the last error. A probe therefore adds no load to a server that is down,
//! and fetches no more tokens than [`keep_warm`] would.
//!
//! ```
//! use std::time::Duration;
//!
//! use axum::{Router, extract::State, http::StatusCode, routing::get};
//! use tokio::time::timeout;
//! use tower_outbound_auth::token::TokenHandle;
//!
//! async fn ready(State(token): State<TokenHandle>) -> (StatusCode, String) {
//!     // Less than the timeout of the probe.
//!     match timeout(Duration::from_millis(500), token.token()).await {
//!         Ok(Ok(_)) => (StatusCode::OK, "ready".to_owned()),
//!         Ok(Err(error)) => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
//!         Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "no token yet".to_owned()),
//!     }
//! }
//! # use std::sync::{Arc, atomic::{AtomicBool, Ordering::SeqCst}};
//! # use tower::ServiceExt;
//! # use tower_outbound_auth::{AuthError, AuthLayer, BoxError, ErrorKind, token::{AccessToken, source_fn}};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), BoxError> {
//! # let is_down = Arc::new(AtomicBool::new(false));
//! # let server = Arc::clone(&is_down);
//! # let source = source_fn(move |_| {
//! #     let server = Arc::clone(&server);
//! #     async move {
//! #         if server.load(SeqCst) { return Err(AuthError::new(ErrorKind::Unavailable, "the server is down")); }
//! #         AccessToken::new("abc", Some(Duration::from_secs(3600)))
//! #     }
//! # });
//! # let auth = AuthLayer::builder(source).origin("https://api.example.com").build()?;
//! let routes = Router::new().route("/ready", get(ready)).with_state(auth.handle());
//! # let probe = async || -> Result<u16, BoxError> {
//! #     let request = http::Request::get("/ready").body(axum::body::Body::empty())?;
//! #     Ok(routes.clone().oneshot(request).await?.status().as_u16())
//! # };
//! # assert_eq!(probe().await?, 200);
//! # is_down.store(true, SeqCst);
//! # tokio::time::advance(Duration::from_secs(3000)).await; // stale, and no fetch succeeds
//! # assert_eq!(probe().await?, 200);
//! # tokio::time::advance(Duration::from_secs(600)).await; // expired
//! # assert_eq!(probe().await?, 503);
//! # is_down.store(false, SeqCst);
//! # tokio::time::advance(Duration::from_secs(60)).await; // the backoff has passed
//! # assert_eq!(probe().await?, 200);
//! # Ok(()) }
//! ```
//!
//! The state of the authorization server is no part of it. While the token lives, requests are served, so `/ready` stays at 200
//! although fetches fail. A probe that asked the server would take all processes out of the load balancer at once, for an outage
//! that no caller has noticed yet. Leave the token out of a liveness probe altogether: a restart cannot bring the server back,
//! and it throws away a token that is still valid.
//!
//! # Graceful shutdown
//!
//! Stop taking requests, let the calls under way end, and drop what [`keep_warm`] returned. In this order: the last call may
//! still need a token.
//!
//! ```
//! use std::{future::Future, io};
//!
//! use axum::Router;
//! use tokio::net::TcpListener;
//! use tower_outbound_auth::token::TokenHandle;
//!
//! async fn serve(
//!     listener: TcpListener,
//!     routes: Router,
//!     token: TokenHandle,
//!     shutdown: impl Future<Output = ()> + Send + 'static, // SIGTERM
//! ) -> io::Result<()> {
//!     let warm = token.keep_warm();
//!     axum::serve(listener, routes).with_graceful_shutdown(shutdown).await?;
//!     drop(warm);
//!     Ok(())
//! }
//! # use std::time::Duration;
//! # use tower_outbound_auth::{AuthLayer, BoxError, token::{AccessToken, source_fn}};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! # let source = source_fn(|_| async { AccessToken::new("abc", Some(Duration::from_secs(3600))) });
//! # let auth = AuthLayer::builder(source).origin("https://api.example.com").build()?;
//! # let listener = TcpListener::bind("127.0.0.1:0").await?;
//! # let address = listener.local_addr()?;
//! # let arrived = std::sync::Arc::new(tokio::sync::Notify::new());
//! # let (called, may_end) = (arrived.clone(), std::sync::Arc::new(tokio::sync::Notify::new()));
//! # let end = may_end.clone();
//! # let slow = async move || { called.notify_one(); end.notified().await; "done" };
//! # let routes = Router::new().route("/", axum::routing::get(slow));
//! # let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
//! # let mut server = tokio::spawn(serve(listener, routes, auth.handle(), async { _ = stopped.await }));
//! # let client = reqwest::Client::builder().no_proxy().build()?;
//! # let call = tokio::spawn(client.get(format!("http://{address}/")).send());
//! # arrived.notified().await;
//! # _ = stop.send(());
//! # assert!(tokio::time::timeout(Duration::from_millis(20), &mut server).await.is_err(), "a call is under way");
//! # may_end.notify_one();
//! # assert_eq!(call.await??.text().await?, "done");
//! # drop(client);
//! # tokio::time::timeout(Duration::from_secs(30), server).await???;
//! # assert!(tokio::net::TcpStream::connect(address).await.is_err());
//! # Ok(()) }
//! ```
//!
//! Bound the wait by a timeout shorter than the time between SIGTERM and SIGKILL, 30 s in Kubernetes. Nothing else has to be
//! closed: when the last handle, layer and client are dropped, nothing of the crate remains running but a token fetch under way,
//! which ends with the runtime. The token is not revoked; it expires.
//!
//! # OpenTelemetry
//!
//! There are two ways for the [metrics](#metrics):
//!
//! - Keep the page for Prometheus, and have the OpenTelemetry Collector scrape it with its `prometheus` receiver. Names, labels and
//!   buckets stay as they are, and so do the dashboard and the alerts.
//! - Push them over OTLP. A recorder hands the facade's metrics to a `Meter`: for example `metrics-exporter-otel` 0.3, which needs
//!   0.31 of `opentelemetry`, `opentelemetry_sdk` and `opentelemetry-otlp`. Names, labels, descriptions and units arrive unchanged.
//!   Set the bounds of the histograms: OpenTelemetry's default bounds are made for milliseconds.
//!
//! ```rust,ignore
//! // `provider` is your `SdkMeterProvider`, with a `PeriodicReader` around the exporter of opentelemetry-otlp.
//! let recorder = OpenTelemetryRecorder::new(provider.meter("reports"));
//! for name in ["outbound_auth_token_fetch_duration_seconds", "outbound_auth_token_wait_duration_seconds"] {
//!     recorder.set_histogram_bounds(&KeyName::from(name), vec![0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0]);
//! }
//! metrics::set_global_recorder(recorder)?;
//! ```
//!
//! For the [traces](#traces), add the layer of `tracing-opentelemetry` (0.34, with `opentelemetry` and `opentelemetry_sdk` 0.33)
//! to the subscriber, and allow it DEBUG for this crate:
//!
//! ```rust,ignore
//! let targets = Targets::new().with_default(Level::INFO).with_target("tower_outbound_auth", Level::DEBUG);
//! let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("reports")).with_filter(targets);
//! tracing_subscriber::registry().with(layer).init();
//! ```
//!
//! Each token fetch is then a separate trace, whose span has a link to the span that it follows from, if the layer sees
//! that one too. An event becomes an event of the span that it is in: "response rejected" of the request's span, "token fetch
//! failed" of the fetch's. The status of the span stays unset, because no event is at ERROR; look for `error.type`. A sampler
//! decides about a fetch apart from the request that started it.
//!
//! Next: [`guarantees`](super::guarantees).
//!
//! [`AuthError`]: crate::AuthError
//! [`ErrorKind`]: crate::ErrorKind
//! [`NotReplayed`]: crate::rejection::NotReplayed
//! [`TokenHandle::token`]: crate::token::TokenHandle::token
//! [`deadline`]: crate::token::RefreshPolicy::deadline
//! [`keep_warm`]: crate::token::TokenHandle::keep_warm
//! [`name`]: crate::AuthLayerBuilder::name
//! [`refresh`]: crate::token::TokenHandle::refresh
//! [`token`]: crate::token::TokenHandle::token
//! [`refusal_backoff`]: crate::token::RefreshPolicy::refusal_backoff
