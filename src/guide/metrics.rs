//! Metrics: what can be counted, and what is worth an alert.
//!
//! With feature `metrics`, the crate records through the `metrics` facade. Install any recorder, before or after the first
//! request; without one, nothing is recorded. A request that finds a token records nothing.
//!
//! | name | kind | labels |
//! |---|---|---|
//! | `outbound_auth_token_fetches_total` | counter | `trigger`: missing, stale, rotated, rejected, forced, keep_warm; `outcome`: ok, config, denied, malformed, signing, timeout, unavailable, aborted |
//! | `outbound_auth_token_fetch_duration_seconds` | histogram | `outcome` |
//! | `outbound_auth_token_wait_duration_seconds` | histogram | none: how long a request waited for a token, whatever came of it |
//! | `outbound_auth_rejections_total` | counter | `kind`: token, clock_skew; `action`: replayed, not_learnt, or a [`NotReplayed`] in snake case |
//! | `outbound_auth_replays_total` | counter | `outcome`: accepted, rejected, error |
//! | `outbound_auth_token_expiry_timestamp_seconds` | gauge | `layer`: the name given with [`name`]; a layer without one does not set it |
//! | `outbound_auth_fleet_total` | counter | `event`: hit, led, followed, degraded, retired; see [`fleet`](crate::fleet) |
//!
//! Labels come from these sets alone: never a key, a path, a host or an error's text. One fetch counts once, with all of its
//! attempts. The expiry is the unix time at which the token of the last fetch ends. A request that does not wait is not in the
//! second histogram.
//!
//! # The page of a Prometheus server
//!
//! ```
//! # #[cfg(feature = "metrics")] {
//! use metrics_exporter_prometheus::PrometheusBuilder;
//! use tower_outbound_auth::{AuthLayer, BoxError, token::{AccessToken, source_fn}};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn run() -> Result<(), BoxError> {
//! let recorder = PrometheusBuilder::new().build_recorder();
//! let page = recorder.handle();
//! metrics::set_global_recorder(recorder)?;
//!
//! let source = source_fn(|_| async { AccessToken::new("abc", None) });
//! let auth = AuthLayer::builder(source).origin("https://api.example.com").build()?;
//! auth.handle().token().await?;
//! assert!(page.render().contains(r#"outbound_auth_token_fetches_total{trigger="missing",outcome="ok"} 1"#));
//! # Ok(()) }
//! # run().unwrap();
//! # }
//! ```
//!
//! # What is worth an alert
//!
//! - Fetches fail while the token lives: `outcome` other than `ok`. Requests are still served; you have until the expiry.
//! - The expiry is near: less than a tenth of the usual lifetime is left, and no fetch succeeds.
//! - `action="throttled"` or `"rejected_again"` rises: the API rejects tokens as fast as they are renewed. The API may reject
//!   this client, or another process may obtain tokens that end this one's; see [`fleet`](super::fleet).
//!
//! Next: [`guarantees`](super::guarantees).
//!
//! [`NotReplayed`]: crate::rejection::NotReplayed
//! [`name`]: crate::AuthLayerBuilder::name
