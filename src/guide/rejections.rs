//! Rejections: what happens when the API rejects a token.
//!
//! A token may be revoked at any time, and an API may reject a good token by mistake. The layer cannot tell which has happened.
//! It renews the token, replays the request once, and limits how many renewals a misbehaving API can cause.
//!
//! # Which responses reject the token
//!
//! | response | rejects the token? |
//! |---|---|
//! | 401 | yes, unless its `Bearer` challenges name only `insufficient_scope` or `invalid_request` |
//! | any other 4xx with a `Bearer` challenge that names `invalid_token` | yes |
//! | one for which [`reject_when`] returns a [`Rejection`] | yes |
//! | one in whose extensions an inner layer left a [`Rejection`] | yes |
//! | one for which [`accept_when`] returns `true` | no, whatever its status and challenges; the two rows above still count |
//! | anything else | no |
//!
//! # What happens to the request
//!
#![doc = include_str!("rejection.svg")]
//!
//! The layer counts the rejections of each token *in a row*. One accepted request sets the count back to zero.
//!
//! - **The first rejection in a row** may be the fault of one node of the API, of one caller, or a revocation. The layer starts
//!   a token fetch. Other requests keep using the token. The rejected request waits and is replayed with the new token.
//! - **The second rejection in a row** makes a revocation likely. The layer retires the token: new requests wait for its
//!   successor instead of collecting more rejections. If the fetch fails, the retired token is used again while it lives.
//! - **If no fetch may begin**, because the renewal budget is used up or the last fetch failed a moment ago, the first rejection
//!   is replayed at once with the same token: if one node was at fault, the next one accepts it. For the second rejection the
//!   response goes to the caller, and the token stays in use.
//! - **If a newer token is there already**, the request is replayed with it at once. If a fetch is under way, the request waits
//!   for that one.
//!
//! Each request is replayed at most once, with a new timestamp and a new signature. The caller sees only the second response.
//! The layer reads and discards the body of the first one, up to 64 KiB or 100 ms, so that its connection can be used again.
//!
//! # Reading `NotReplayed`
//!
//! A rejection is not an error. If the layer could not turn it into a success, the caller gets the API's response, body and all,
//! with a [`NotReplayed`] in its extensions:
//!
//! ```
//! use http::{Request, Response, StatusCode};
//! use tower::{BoxError, ServiceBuilder, ServiceExt, service_fn};
//! use tower_outbound_auth::{AuthLayer, rejection::NotReplayed};
//! # use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
//! # use tower_outbound_auth::token::{AccessToken, source_fn};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! # let issued = AtomicU32::new(0);
//! # let source = source_fn(move |_| {
//! #     let number = issued.fetch_add(1, SeqCst);
//! #     async move { AccessToken::new(format!("token-{number}"), None) }
//! # });
//!
//! // This API has revoked the first token, and serves /orders only.
//! let api = service_fn(|request: Request<String>| async move {
//!     let mut response = Response::new(String::new());
//!     if request.headers()["authorization"] == "Bearer token-0" || request.uri().path() != "/orders" {
//!         *response.status_mut() = StatusCode::UNAUTHORIZED;
//!     }
//!     Ok::<_, BoxError>(response)
//! });
//! let auth = AuthLayer::builder(source).origin("https://api.example.com").build()?;
//! let client = ServiceBuilder::new().layer(auth).service(api);
//!
//! let orders = Request::get("https://api.example.com/orders").body(String::new())?;
//! let response = client.clone().oneshot(orders).await?;
//! assert_eq!(response.status(), 200); // renewed and replayed
//!
//! let admin = Request::get("https://api.example.com/admin").body(String::new())?;
//! let response = client.oneshot(admin).await?;
//! assert_eq!(response.status(), 401);
//! let reason = response.extensions().get::<NotReplayed>();
//! assert_eq!(reason, Some(&NotReplayed::RejectedAgain));
//! # Ok(()) }
//! ```
//!
//! | reason | what happened | what to do |
//! |---|---|---|
//! | [`BodyNotReplayable`] | there is no complete copy of the body; the token is renewed anyway | send the request again, or choose another [replay policy](super::replay_policies) |
//! | [`InsufficientScope`] | the token is valid, but not for this request (RFC 6750, section 3.1) | request more scope; a new token would not help |
//! | [`FetchFailed`] | no new token could be fetched, or the last fetch failed and its backoff has not passed | see `last_error` in [`TokenHandle::status`] |
//! | [`RejectedAgain`] | the replay was rejected, too | check that the API accepts tokens of this server and client |
//! | [`SameToken`] | the authorization server returned the token that was rejected | wait, or ask the server's operator: it caches tokens |
//! | [`Throttled`] | the renewal budget is used up | try later; see below |
//!
//! A 401 without a `NotReplayed` may be the answer to a request that carried no token at all. If the origin of that request is
//! not quite the configured one (`www.`, a final dot, another scheme or port), its extensions have an [`OtherOrigin`] that names
//! both. A DEBUG event names them too, once for each origin.
//!
//! # The renewal budget
//!
//! An API that rejects every token must not cause a token request for every call. A fetch that a rejection causes therefore
//! takes one unit of a budget of four. Fetches for other reasons, such as a token that expires, take none.
//!
//! A unit comes back
//!
//! - if the fetch fails;
//! - one second after the new token was first accepted, if the renewal helped. It did not help if the first replay with the new
//!   token was rejected, if a request sent after the rejection was accepted with the *old* token, or if the rejected request
//!   could not be replayed;
//! - otherwise by time: one lost unit every 10 seconds. Units in the budget and units out never exceed four together.
//!
//! A new token that is renewed before any request was accepted with it has lost its unit, and so has a fetch whose runtime
//! ended. Real revocations are therefore free in the end, and renewals that do not help are limited to four at once and one
//! every 10 seconds. [`RefreshPolicy::renewal_budget`] changes both figures. [`TokenHandle::refresh`] and
//! [`TokenHandle::invalidate`] ignore the budget.
//!
//! # What to expect
//!
//! Figures of a simulation of these rules with the default settings. The API answers within 20 ms, the token endpoint within
//! 100 ms, and all bodies can be replayed unless the row says otherwise:
//!
//! | situation | calls served | token requests |
//! |---|---|---|
//! | 20 callers for 20 s; every 100th response is a 401 | 19,677 of 19,677 | 6 |
//! | 20 callers for 20 s; every 16th response is a 401 | 18,575 of 18,647 | 6 |
//! | one caller a second is always rejected, beside 50 good calls a second, for 300 s | all 15,000 good calls | 34 |
//! | half of the API's nodes refuse the token from some moment on; 200 calls a second | 6,001 of 6,001 | 2 |
//! | seven revocations in 13 s; 200 calls a second | 8,000 of 8,000 | 8 |
//! | the same, with bodies that cannot be replayed | 6,163 of 8,000 | 7 |
//! | one revocation a second for a minute; 20 calls a second | 1,401 of 1,401 | 61 |
//! | the token endpoint is down for 5 minutes; one wrong 401 | 799 of 800 | 2 |
//! | the token endpoint is down for 5 minutes; every tenth response is a 401 | 788 of 800 | 13 |
//! | the API rejects everything | none | 9 in the first minute, then 6 a minute |
//! | the API knows a new token only 1.5 s after it was issued; 20 calls a second for 30 s | 558 of 600 | 5 |
//! | the server keeps one token per client; two processes of 20 calls a second, for 60 s | 2,245 of 2,401 | 419 |
//! | the same with five processes | 2,299 of 6,001 | 475 |
//!
//! When an API that rejected everything recovers, calls are served again within 10 seconds. No layer makes more than 250 token
//! requests a minute because of rejections.
//!
//! # The warning about rejected renewals
//!
//! With the feature `tracing`, the layer writes one event at level WARN when tokens are rejected as fast as they are renewed. It
//! means that renewing does not help. The usual causes:
//!
//! - **The server keeps one valid token per client.** Each token request of one process revokes the token of all others. The
//!   last two rows of the table show the effect. Let the processes [share one token](crate::guide::fleet), or give each its
//!   own client id.
//! - **The API does not accept these tokens at all:** wrong audience, wrong environment, an issuer it does not trust.
//! - **The API learns of new tokens late**, for example because its nodes copy them from each other.
//! - **A 401 means something else.** Tell the layer with [`accept_when`].
//!
//! # Rejected timestamps
//!
//! [`Rejection::ClockSkew`] says that the signature's timestamp was rejected, not the token. The layer then learns the server's
//! clock from the response's `Date` header, signs the request again and replays it, without a token fetch. It learns only from
//! an origin in scope over `https` or loopback, never from a cached response (one with `Age`), and it ignores differences under
//! 2 seconds and over 24 hours.
//!
//! Next: [`replay_policies`](super::replay_policies).
//!
//! [`accept_when`]: crate::AuthLayerBuilder::accept_when
//! [`BodyNotReplayable`]: crate::rejection::NotReplayed::BodyNotReplayable
//! [`FetchFailed`]: crate::rejection::NotReplayed::FetchFailed
//! [`InsufficientScope`]: crate::rejection::NotReplayed::InsufficientScope
//! [`NotReplayed`]: crate::rejection::NotReplayed
//! [`OtherOrigin`]: crate::rejection::OtherOrigin
//! [`RefreshPolicy::renewal_budget`]: crate::token::RefreshPolicy::renewal_budget
//! [`reject_when`]: crate::AuthLayerBuilder::reject_when
//! [`RejectedAgain`]: crate::rejection::NotReplayed::RejectedAgain
//! [`Rejection`]: crate::rejection::Rejection
//! [`Rejection::ClockSkew`]: crate::rejection::Rejection::ClockSkew
//! [`SameToken`]: crate::rejection::NotReplayed::SameToken
//! [`Throttled`]: crate::rejection::NotReplayed::Throttled
//! [`TokenHandle::invalidate`]: crate::token::TokenHandle::invalidate
//! [`TokenHandle::refresh`]: crate::token::TokenHandle::refresh
//! [`TokenHandle::status`]: crate::token::TokenHandle::status
