//! What comes out when there is no token, and what is worth another try.
//!
//! # Errors
//!
//! A call fails with a [`BoxError`](crate::BoxError). [`AuthError::find`](crate::AuthError::find) looks for this crate's
//! error in it, through other layers' errors too; without one, it is the inner service's error or another layer's.
//!
//! | kind | what happened | another try |
//! |---|---|---|
//! | [`Config`](crate::ErrorKind::Config) | the settings are wrong | never helps |
//! | [`Denied`](crate::ErrorKind::Denied) | the authorization server refused | after somebody has changed something |
//! | [`Malformed`](crate::ErrorKind::Malformed) | it gave an answer that is no token | after somebody has changed something |
//! | [`Signing`](crate::ErrorKind::Signing) | the signer failed | after somebody has changed something |
//! | [`Timeout`](crate::ErrorKind::Timeout) | a [limit](super::timeouts) passed | may help |
//! | [`Unavailable`](crate::ErrorKind::Unavailable) | the server is down, or busy | may help, after `retry_after()` |
//! | [`Aborted`](crate::ErrorKind::Aborted) | the task that fetched the token panicked, or its runtime ended | helps: it starts anew |
//!
//! [`is_transient`](crate::AuthError::is_transient) tells the last three from the rest. After a failed flight the layer
//! leaves the token endpoint alone for a while, and gives the same error to every call until then;
//! [`retry_after`](crate::AuthError::retry_after) says for how long.
//!
//! A rejection that could not be healed is no error: the API's response reaches the caller, marked with
//! [`NotReplayed`](crate::NotReplayed).
//!
//! ```
//! use http::Response;
//! use tower_outbound_auth::{AuthError, BoxError, ErrorKind, NotReplayed};
//!
//! fn explain<B>(result: &Result<Response<B>, BoxError>) -> String {
//!     match result {
//!         Ok(response) => match response.extensions().get::<NotReplayed>() {
//!             Some(reason) => format!("{}, not healed: {reason:?}", response.status()),
//!             None => response.status().to_string(),
//!         },
//!         Err(error) => match AuthError::find(error.as_ref()) {
//!             Some(error) if error.is_transient() => format!("no token, try again in {:?}", error.retry_after()),
//!             Some(error) => format!("no token: {error}"),
//!             None => format!("no answer: {error}"),
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
//! Within this layer a token request is tried three times, and a rejected request is sent again once. All other retries are
//! the business of a layer outside, where each try is [signed for its own time](super::stack_order). Done without care they
//! multiply each other, ask a dead server again and again, or order the same thing twice. This policy for Tower's `Retry`
//! can be copied, from `examples/retry_timeout/policy.rs`:
//!
//! ```
#![doc = include_str!("../../examples/retry_timeout/policy.rs")]
//! # use bytes::Bytes;
//! # use http_body_util::Full;
//! # use tower::{ServiceBuilder, ServiceExt, service_fn};
//! # use tower_outbound_auth::{AuthLayer, Clock, Credentials, oauth::ClientCredentialsGrant};
//! #
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), BoxError> {
//! # let login = service_fn(|_: Request<Full<Bytes>>| async {
//! #     let token = r#"{ "access_token": "abc", "token_type": "Bearer", "expires_in": 3600 }"#;
//! #     Ok::<_, BoxError>(Response::new(Full::<Bytes>::from(token)))
//! # });
//! # let is_busy = std::sync::atomic::AtomicBool::new(true);
//! # let is_busy = Arc::new(is_busy);
//! # let http = service_fn(move |_: Request<Full<Bytes>>| {
//! #     let mut response = Response::new(Full::<Bytes>::default());
//! #     if is_busy.swap(false, std::sync::atomic::Ordering::SeqCst) {
//! #         *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
//! #     }
//! #     async { Ok::<_, BoxError>(response) }
//! # });
//! # let credentials = Credentials::new("my-client", "my-secret");
//! # let source = ClientCredentialsGrant::builder("https://login.example.com/token", credentials).transport(login).build()?;
//! # let auth = AuthLayer::builder(source).origin("https://api.example.com").clock(Clock::Tokio).build()?;
//!
//! let client = ServiceBuilder::new()
//!     .timeout(Duration::from_secs(30))
//!     .retry(Patient::new(3, TpsBudget::default()))
//!     .layer(auth)
//!     .service(http);
//!
//! let request = Request::get("https://api.example.com/greeting").body(Full::default())?;
//! assert_eq!(client.oneshot(request).await?.status(), 200); // though it was 503 at first
//! # Ok(()) }
//! ```
//!
//! What may leave at the most with its three retries, measured by a test:
//!
//! | when | requests to the API | token requests |
//! |---|---|---|
//! | the API is busy | 4 a call | 1 |
//! | the API rejects every token | 2 a call, not retried | 2, then [spaced](crate::NotReplayed::TooSoon) |
//! | the API may answer anything | 8 a call | 5 |
//! | the token endpoint is down | none | 12 for calls that come together, however many |
//! | the secret is wrong | none | 1 |
//! | the API is busy, budget of 1 a second | 1 a call, and 10 in ten seconds for all together | 1 |
//!
//! # Why the crate has no policy of its own
//!
//! What the layer knows of a retry is in two methods, `is_transient` and `retry_after`. The rest is yours: which requests
//! may be carried out twice, how long your callers wait, how much more load your API can bear. A policy here would have to
//! guess all that, or take a setting for each, and would bring in the whole of `tower`, where the crate needs its two traits.
