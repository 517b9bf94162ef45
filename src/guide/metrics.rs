//! Metrics and traces: what can be counted, what is written, and what is worth an alert.
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
//! # What is worth an alert
//!
//! - Fetches fail while the token lives: `outcome` other than `ok`. Requests are still served; you have until the expiry.
//! - The expiry is near: less than a tenth of the usual lifetime is left, and no fetch succeeds.
//! - `action="throttled"` or `"rejected_again"` rises: the API rejects tokens as fast as they are renewed. The API may reject
//!   this client, or another process may obtain tokens that end this one's; see [`fleet`](super::fleet).
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
//! # Traces in OpenTelemetry
//!
//! Add the layer of `tracing-opentelemetry` (0.34, with `opentelemetry` and `opentelemetry_sdk` 0.33) to the subscriber, and
//! allow it DEBUG for this crate:
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
//! [`AuthError`]: crate::AuthError
//! [`ErrorKind`]: crate::ErrorKind
//! [`keep_warm`]: crate::token::TokenHandle::keep_warm
//! [`refresh`]: crate::token::TokenHandle::refresh
//! [`token`]: crate::token::TokenHandle::token
//! [`NotReplayed`]: crate::rejection::NotReplayed
//! [`name`]: crate::AuthLayerBuilder::name
