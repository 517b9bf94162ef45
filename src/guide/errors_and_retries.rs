//! Errors and retries: the errors of a call, and when another try helps.
//!
//! # Errors
//!
//! A call fails with a [`BoxError`]. [`AuthError::find`] finds an [`AuthError`] anywhere in its source chain, also below the
//! errors of other layers. Any other error comes from the inner service or from another layer.
//!
//! | [`ErrorKind`] | what happened | does another try help? |
//! |---|---|---|
//! | [`Config`] | a setting is wrong, or a request does not fit the settings | no |
//! | [`Denied`] | the authorization server refused the client | only after a change of the client's id, secret or rights |
//! | [`Malformed`] | its response holds no usable token | only after a change at the server |
//! | [`Signing`] | the signer failed | only after a change |
//! | [`Timeout`] | one of the [limits](super::timeouts) passed | perhaps |
//! | [`Unavailable`] | the server is down, busy, or hidden behind something else that answered | perhaps, after `retry_after()` |
//! | [`Aborted`] | the runtime of the token fetch ended, or the token source panicked | yes, after `retry_after()` if there is one |
//!
//! [`is_transient`] is true for the last three. After a failed fetch the layer leaves the token endpoint alone for a while:
//! calls that need a token get the same error at once, and [`retry_after`] says for how long. For a refusal, [`oauth_error`]
//! returns the server's error code and [`oauth_error_description`] its explanation.
//!
//! A rejected response is not an error. The caller receives it as it came from the API, with the reason why there was no
//! successful replay, a [`NotReplayed`], in its extensions; see [`rejections`](super::rejections).
//!
//! ```
//! use http::Response;
//! use tower_outbound_auth::{AuthError, BoxError, ErrorKind, rejection::NotReplayed};
//!
//! fn explain<B>(result: &Result<Response<B>, BoxError>) -> String {
//!     match result {
//!         Ok(response) => match response.extensions().get::<NotReplayed>() {
//!             Some(reason) => format!("{}: {reason}", response.status()),
//!             None => response.status().to_string(),
//!         },
//!         Err(error) => match AuthError::find(error.as_ref()) {
//!             Some(error) if error.is_transient() => format!("no token, try again in {:?}", error.retry_after()),
//!             Some(error) => format!("no token: {error}"),
//!             None => format!("no response: {error}"),
//!         },
//!     }
//! }
//!
//! let locked = AuthError::new(ErrorKind::Denied, "the client is locked");
//! assert_eq!(explain::<()>(&Err(locked.into())), "no token: the client is locked");
//! ```
//!
//! # Retries
//!
//! The layer makes up to three attempts for each token fetch and replays a rejected request once. Leave every other retry to a
//! layer outside, where each attempt gets [its own signature](super::stack_order). A careless retry policy multiplies
//! requests, keeps asking a server that is down, or places an order twice. This one for Tower's `Retry` avoids that; copy it
//! from `examples/retry_timeout/policy.rs` and adapt it:
//!
//! ```
#![doc = include_str!("../../examples/retry_timeout/policy.rs")]
//! # use bytes::Bytes;
//! # use http_body_util::Full;
//! # use tower::{ServiceBuilder, ServiceExt, service_fn};
//! # use tower_outbound_auth::{AuthLayer, token::{AccessToken, source_fn}};
//! #
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), BoxError> {
//! # let source = source_fn(|_| async { AccessToken::new("abc", Some(Duration::from_secs(3600))) });
//! # let is_busy = std::sync::atomic::AtomicBool::new(true);
//! # let is_busy = Arc::new(is_busy);
//! # let http = service_fn(move |_: Request<Full<Bytes>>| {
//! #     let mut response = Response::new(Full::<Bytes>::default());
//! #     if is_busy.swap(false, std::sync::atomic::Ordering::SeqCst) {
//! #         *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
//! #     }
//! #     async { Ok::<_, BoxError>(response) }
//! # });
//! # let auth = AuthLayer::builder(source).origin("https://api.example.com").build()?;
//!
//! let client = ServiceBuilder::new()
//!     .timeout(Duration::from_secs(30))
//!     .retry(Patient::new(3, TpsBudget::default()))
//!     .layer(auth)
//!     .service(http);
//!
//! let request = Request::get("https://api.example.com/greeting").body(Full::default())?;
//! assert_eq!(client.oneshot(request).await?.status(), 200); // the first response was a 503
//! # Ok(()) }
//! ```
//!
//! The most that this policy sends with three retries, as measured by a test:
//!
//! | situation | requests to the API | token requests |
//! |---|---|---|
//! | the API is busy | 4 for each call | 1 |
//! | the API rejects every token | 2 for each call, not retried | 2, then [throttled](super::rejections#the-renewal-budget) |
//! | the API answers anything at all | 8 for each call | 5 |
//! | the token endpoint is down | none | 12 for all calls that start together |
//! | the client secret is wrong | none | 1 |
//! | the API is busy, with a retry budget of 1 a second | 1 for each call, plus 10 in ten seconds for all together | 1 |
//!
//! # Why the crate has no retry policy
//!
//! [`is_transient`] and [`retry_after`] tell all that the layer knows. The rest depends on your application: which requests may
//! be carried out twice, how long callers wait, and how much load the API can take. A policy in this crate would have to guess
//! that or offer a setting for each.
//!
//! # If your code panics, blocks or calls the layer
//!
//! The layer holds no lock while it calls your code. Such code may call the layer's services and handles; it should not block the
//! thread that runs it.
//!
//! | your code | runs in | if it panics |
//! |---|---|---|
//! | [`TokenSource::fetch`] | the task of the token fetch | the fetch fails with [`Aborted`], and a backoff follows |
//! | [`TokenSource::generation`], signer, sign rules, replay policy, `reject_when`, `accept_when` | the task that polls the call | that call panics; no other call notices |
//! | the waker of a task that waits for a token | the task of the token fetch | all other waiting tasks are woken |
//!
//! - A source that awaits its layer's token waits for itself, until the [deadline](crate::token::RefreshPolicy::deadline) fails
//!   the fetch.
//! - A `Buffer` outside of the layer polls calls in its worker. A panic there ends the buffer, and all its later requests fail; other
//!   services of the same layer go on.
//!
//! Next: [`stack_order`](super::stack_order).
//!
//! [`Aborted`]: crate::ErrorKind::Aborted
//! [`AuthError`]: crate::AuthError
//! [`AuthError::find`]: crate::AuthError::find
//! [`BoxError`]: crate::BoxError
//! [`Config`]: crate::ErrorKind::Config
//! [`Denied`]: crate::ErrorKind::Denied
//! [`ErrorKind`]: crate::ErrorKind
//! [`is_transient`]: crate::AuthError::is_transient
//! [`Malformed`]: crate::ErrorKind::Malformed
//! [`NotReplayed`]: crate::rejection::NotReplayed
//! [`oauth_error`]: crate::AuthError::oauth_error
//! [`oauth_error_description`]: crate::AuthError::oauth_error_description
//! [`retry_after`]: crate::AuthError::retry_after
//! [`Signing`]: crate::ErrorKind::Signing
//! [`Timeout`]: crate::ErrorKind::Timeout
//! [`TokenSource::fetch`]: crate::token::TokenSource::fetch
//! [`TokenSource::generation`]: crate::token::TokenSource::generation
//! [`Unavailable`]: crate::ErrorKind::Unavailable
