//! Guarantees: every promise of the crate, by number.
//!
//! The tests carry these numbers in their names: `r5_…` tests R5. Times and counts are defaults; all of them can be set.
//! *Authorized* means that the layer adds its headers: the token, a signature if configured, and static headers. *In scope*
//! means that a request goes to a configured origin (S3).
//!
//! Each promise can be checked from outside. This is T1, with a hundred callers that find no token:
//!
//! ```
//! use std::{sync::Arc, sync::atomic::{AtomicU32, Ordering::SeqCst}};
//!
//! use http::{Request, Response};
//! use tokio::task::JoinSet;
//! use tower::{BoxError, ServiceBuilder, ServiceExt, service_fn};
//! use tower_outbound_auth::{AuthLayer, token::{AccessToken, source_fn}};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! let token_requests = Arc::new(AtomicU32::new(0));
//! let counter = Arc::clone(&token_requests);
//! let source = source_fn(move |_| {
//!     counter.fetch_add(1, SeqCst);
//!     async { AccessToken::new("abc", None) }
//! });
//! let api = service_fn(|_: Request<String>| async { Ok::<_, BoxError>(Response::new(String::new())) });
//! let auth = AuthLayer::builder(source).origin("https://api.example.com").build()?;
//! let client = ServiceBuilder::new().layer(auth).service(api);
//!
//! let mut calls = JoinSet::new();
//! for _ in 0..100 {
//!     calls.spawn(client.clone().oneshot(Request::get("https://api.example.com/").body(String::new())?));
//! }
//! assert!(calls.join_all().await.iter().all(Result::is_ok));
//! assert_eq!(token_requests.load(SeqCst), 1);
//! # Ok(()) }
//! ```
//!
//! # Sending a request
//!
//! ## S1: The warm path is cheap
//!
//! With a usable token, a call loads the current token once, inserts headers and calls the inner service. It takes no lock,
//! creates no `Box`, and with `NoReplay` allocates nothing but the memory that inserted headers need. With `CloneBody` the
//! copy for a replay is the only addition.
//!
//! ## S2: Headers are replaced and sensitive
//!
//! `Authorization: Bearer <token>` is built once for each token and marked sensitive. Headers are replaced, never appended.
//!
//! ## S3: Credentials go to configured origins only
//!
//! Scheme, host and port must all be equal. Default ports are filled in, hosts are compared case-insensitively, and a host with a
//! trailing dot is another host. The scheme must be `https`, or `http` with a loopback host, or `http` after
//! `allow_insecure_http`.
//!
//! Any other request passes unchanged: no token, no signature, no static header, no token fetch and no handling of a 401. So does
//! a `TRACE` request, whose response repeats its headers (RFC 9110, section 9.3.8), a request whose URI has userinfo, and one
//! whose `Host` names another authority than its URI. If its origin differs from a configured one only in the scheme, the port,
//! a leading `www.` or a final dot, a DEBUG event names both once, and a 401 response has an
//! [`OtherOrigin`](crate::rejection::OtherOrigin) in its extensions. `TRACK` is taken for
//! `TRACE`, and case does not matter.
//!
//! Headers that the layer writes are taken out of the request's `Connection` header, which would have a proxy remove them (RFC
//! 9110, section 7.6.1).
//!
//! A request whose URI has no host fails with `Config`, unless `allow_relative_uri` says that the inner service is bound to one
//! origin. Then its `Host` header, if it has one, must name a configured origin, and its path must not begin with `//` or `/\`.
//!
//! ## S4: The origin is checked on every call
//!
//! A redirect layer outside of `AuthLayer` cannot carry credentials to another origin. One inside can; see
//! [`stack_order`](super::stack_order).
//!
//! ## S5: A caller's own `Authorization` is kept
//!
//! Such a request passes unchanged, unless `overwrite_authorization` is set.
//!
//! ## S6: Single requests can opt out
//!
//! A request with `NoAuth` in its extensions passes unchanged. `Sign::Always` and `Sign::Never` override the sign rules for one
//! request.
//!
//! ## S7: The wait for a token is limited
//!
//! A request waits for a token at most `max_wait`, then fails with `Timeout`. The token fetch continues. In a tokio runtime
//! without timers, and outside of a runtime, the request fails with `Config`; so does a token fetch without timers.
//!
//! ## S8: A response future can be dropped at any point
//!
//! Dropping it leaks nothing, cancels no token fetch, blocks no other request, and never makes a later request fail.
//!
//! ## S9: The Tower contract holds
//!
//! Every send, the replay included, uses an inner service that `poll_ready` made ready. A request that waits, for a token or for
//! its second readiness, holds no permit of the inner service. One limited client can therefore serve calls and token requests.
//!
//! # Tokens
//!
//! ## T1: Many callers, one token request
//!
//! Any number of callers without a usable token cause one token request, however often the layer was cloned.
//!
//! ## T2: A token fetch outlives its callers
//!
//! It is a task with a deadline of 30 s. A panic in the token source is a failed fetch (T8). If the runtime of a fetch ends, the
//! requests that wait for it fail with `Aborted`; a request of another runtime that is still alive starts over instead, once. The
//! next caller starts a new fetch without backoff, but an early refresh that was aborted is not started again within 1 s. Nothing
//! gets stuck, and a runtime for each call does not cost a token for each call.
//!
//! ## T3: All waiting requests share the result
//!
//! They share the error as well as the token.
//!
//! ## T4: Tokens are refreshed ahead of their expiry
//!
//! From 75 % of the lifetime on the next request starts a fetch and continues with the old token. The point has a jitter of 5 %,
//! drawn once for each layer. A failed early fetch is not visible to callers while the old token lives.
//!
//! ## T5: Expired tokens are not used
//!
//! A token is not used within its expiry margin, 30 s but at most 10 % of the lifetime, nor after its expiry, except as T6 says.
//!
//! ## T6: Short-lived tokens work
//!
//! A token of 2 s is used for most of its 2 s. However short the lifetime, fetches are at least 1 s apart, except after a failed
//! fetch, a rejection or `refresh()`. In between the newest token is used, and the API's 401 decides.
//!
//! ## T7: Any `expires_in` is handled
//!
//! It may be an integer, a float or a decimal string. If it is absent, null, unreadable, zero or negative, `default_lifetime`
//! applies, and a trace event mentions a value that was there. Absurd values are clamped to ten years. No `Duration` causes a
//! panic.
//!
//! ## T8: A failed fetch is followed by a backoff
//!
//! It starts at 1 s and doubles up to 60 s; each one is drawn between half and the whole. A longer `Retry-After` is obeyed, up to
//! 1 h; one of more than a day is ignored as a mistake. A permanent refusal starts at 10 s and doubles up to 5 min. Meanwhile,
//! callers without a usable token get the same error at once, with `retry_after()`. `refresh()` and `rotate` end a backoff.
//!
//! ## T9: Transient failures are tried again
//!
//! One fetch makes up to 3 attempts, with jitter and within its deadline. Permanent failures are not tried again.
//!
//! ## T10: An idle layer does nothing
//!
//! `keep_warm` fetches the first token and refreshes without traffic, until it is dropped.
//!
//! ## T11: Building needs no runtime
//!
//! The layer works from several runtimes, one after the other.
//!
//! ## T12: Dropping the last handle ends everything
//!
//! Only a token fetch that is under way may still run to its end.
//!
//! ## T13: Both tokio's clock and the wall clock count
//!
//! A token has expired when either clock says so. `tokio::time::pause` and `advance` therefore work in your tests without a
//! setting, and a machine that was suspended, or a function that was frozen, sends no expired token. A step of the wall clock
//! causes at most one extra fetch. Signatures use the wall clock, corrected by the offset that was learnt (R8).
//!
//! ## T14: A rotated secret leaves no gap
//!
//! After `rotate` the next request starts a fetch with the new secret and continues with the old token. If that fetch fails, the
//! old token stays in use while it lives. A signature is made with the secret that obtained the token beside it.
//!
//! A changed secret file counts as a rotation. It is looked at before each fetch and, while the layer is in use, at most once a
//! minute, off the requests' path.
//!
//! If the authorization server does not know a secret that is less than a minute old (`invalid_client`), the token is requested
//! once more with the secret before, in the same attempt.
//!
//! # A rejected request
//!
//! ## R1: A 401 and a challenge reject the token
//!
//! A response rejects the token
//!
//! - if its status is 401, unless its `Bearer` challenges name `insufficient_scope` or `invalid_request` and none names anything
//!   else;
//! - if a `Bearer` challenge names `invalid_token`, at any 4xx status;
//! - if `reject_when` says so;
//! - or if an inner layer left a `Rejection` in its extensions.
//!
//! Codes are compared case-insensitively. `accept_when` overrules status and challenges, but not the last two.
//!
//! ## R2: Only the rejected token is retired
//!
//! The token that the request carried is retired only if it is still the current one.
//!
//! ## R3: A newer token is used at once
//!
//! If a newer token is there already, the request is replayed with it, without a fetch.
//!
//! ## R4: A request is replayed once
//!
//! A request is replayed once, with the new token, a new timestamp and a new signature. A second rejection goes to the caller.
//!
//! ## R5: Renewals are limited
//!
//! Each token counts its rejections in a row; an accepted request sets the count to zero. [`rejections`](super::rejections)
//! explains the rule and has more figures.
//!
//! - *First in a row.* A fetch begins, and the token stays in use for other requests. The rejected request waits and is replayed
//!   with the new token. If no fetch may begin (budget, backoff), it is replayed at once with the same token.
//! - *Second in a row.* The token is retired, and new requests wait for its successor. If no fetch may begin, the token stays in
//!   use, and the response goes to its caller, marked `Throttled` (budget) or `FetchFailed` (backoff). A WARN event reports once
//!   that tokens are rejected as fast as they are renewed.
//! - *Budget.* A fetch that a rejection causes takes one of 4 units; lost units return, one every 10 s. Units in the budget and
//!   units out never exceed 4 together. A unit is given back when the fetch fails, and one second after the new token was first
//!   accepted, unless the first replay with it was rejected, a request sent after the rejection was accepted with the old token,
//!   or the rejected request could not be replayed. A new token that is renewed before any request was accepted with it has lost
//!   its unit, and so has a fetch whose runtime ended.
//! - *Retired tokens.* If the fetch of its successor fails, a retired token is used again while it lives. Requests that waited
//!   for the successor may continue with it.
//!
//! As a consequence:
//!
//! - 20 callers, every 16th response a 401: at least 80 % of the throughput, at most 10 token requests in 20 s.
//! - Token endpoint down for 5 minutes, every tenth response of the API a 401: eight of nine calls are served.
//! - An API that rejects everything: at most 10 token requests in the first minute and 6 in each further one. Calls are served
//!   within 10 s of its recovery.
//! - One misbehaving caller: at most 4 token requests, and one more every 10 s. No other caller fails.
//! - Seven revocations in 13 s, or one a second for a minute: every call is served if its body can be replayed.
//! - A token that half of the API's nodes refuse: one renewal.
//! - Two processes of 20 calls a second, and a server that keeps one token per client: 90 % of the calls are served.
//! - No layer makes more than 250 token requests a minute because of rejections.
//! - Callers that give up change none of this.
//!
//! ## R6: A failed fetch returns the API's response
//!
//! The caller gets it as it came, body and all, marked `FetchFailed`.
//!
//! ## R7: A body that cannot be replayed is sent once
//!
//! If there is no complete copy of the body, the token is renewed (R5) and the response goes to the caller, marked
//! `BodyNotReplayable`.
//!
//! ## R8: The server's clock is learnt
//!
//! After `Rejection::ClockSkew` the offset is learnt from the response's `Date`, and the request is signed and replayed once,
//! without a fetch.
//!
//! - Only an origin in scope teaches the clock, over `https` or loopback, and only a response without an `Age` header. Offsets
//!   are kept per origin.
//! - The offset is `Date` minus the midpoint of send and receive. It is ignored under 2 s and over 24 h. A step of more than 5
//!   minutes counts only if the next response agrees within 30 s.
//! - Nothing is learnt from, or replayed for, a request without an authority. Nothing is replayed that would be signed as before.
//! - A 401 to a signed request teaches the clock as well if its `Date` is more than 30 s from the timestamp.
//! - The token endpoint's `Date` counts only if it is of the request's own origin, and until the API has sent its own.
//!
//! ## R9: The rejected response is discarded first
//!
//! Before the replay the body of the rejected response is read and discarded, up to 64 KiB and 100 ms. Token requests never share
//! a connection with a rejected body that waits for them: a grant with an `HttpsClient` has its own connections.
//!
//! ## R10: The first body is not waited for
//!
//! The replay does not wait until the first request's body has been sent.
//!
//! ## R11: The same token is not sent again
//!
//! If a fetch returns the token that was rejected, there is no replay. The response is marked `SameToken`.
//!
//! ## R12: `invalidate` retires the current token
//!
//! `TokenHandle::invalidate` retires the token if it is still the current one, whatever the budget.
//!
//! # The token request
//!
//! ## O1: The token request has a fixed form
//!
//! `POST`, with `Accept: application/json`, `Accept-Encoding: identity`, `User-Agent: tower-outbound-auth/<version>` unless
//! another one is set, and `Content-Type: application/x-www-form-urlencoded` unless `json_body` is set. The body begins with
//! `grant_type`. Credentials are sent by exactly one method; with `param`, the client id alone may be in the body as well. An
//! assertion is made for each attempt, by the authorization server's clock as far as it is known. If the server refuses the
//! client and its `Date` is more than 30 s from the time of the assertion, the token is requested once more, with that time.
//!
//! ## O2: Encrypted, and without redirects
//!
//! `https` only, or `http` to a loopback host, or `http` after `allow_insecure_http`. Redirects are never followed. The same holds
//! for the token endpoint in a discovery document, and for the document itself, but for redirects within its origin.
//!
//! ## O3: The token response is read with limits
//!
//! At most 64 KiB are read. `access_token` must be a valid header value of at most 16 KiB. `token_type` must be absent, or
//! `Bearer` in any case and with any white space around it, or a type that you accept; a value that is not a string counts as
//! absent. A 200 with a non-empty `error` is an error. Each member is judged by itself: the token is used in spite of a
//! byte-order mark, a member given twice (the last one counts), a `scope` that is a list, or a malformed member that is not
//! needed.
//!
//! ## O4: A bad response does not stop refreshes
//!
//! A response without a usable token never stops later refreshes.
//!
//! ## O5: Refusals and outages are told apart
//!
//! `Denied` is a code of RFC 6749, section 5.2, or a 401 without a code. Any other 4xx, such as a proxy's 404, a firewall's 403 or
//! a 421, is `Unavailable`; so are the codes `temporarily_unavailable`, `server_error` and `slow_down` at any status. A refusal
//! keeps `error` if it is `[a-z_]{1,32}`. It keeps `error_description`, scrubbed, for its accessor and the trace event only, and
//! drops everything else. Neither is kept if it repeats the beginning of a client secret, the current one or an earlier one, or of
//! an access token: as it is, percent-encoded, in Base64 or in hex. An error of the HTTP client does not show the query of the
//! token URL.
//!
//! ## O6: Secrets are wiped
//!
//! Secrets, assertions, the request's body, parameters, the bytes of the token response, the state of the HMAC and the
//! signatures of `TimestampHmac` are overwritten when they are dropped.
//!
//! # Many tokens
//!
//! For [`keyed`](crate::keyed), where each key has an entry with its own layer. All other guarantees hold for each entry.
//!
//! ## K1: A request carries only what belongs to its key
//!
//! Token, signature, static headers and origins are those of the entry that the request's key selects, also in a replay.
//!
//! ## K2: No key, no request
//!
//! A request without a key fails with `Config` and is not sent. A request with `NoAuth` needs no key.
//!
//! ## K3: Entries are limited, and a key has one
//!
//! At most 1,000 keys have an entry; the least recently used one is evicted first, and one that is idle for an hour. An entry
//! that a request, a handle or a token fetch uses stays the one of its key when it is evicted, so a key never has two token
//! fetches at a time. If `make` fails or panics, its caller alone notices, and nothing is kept. If `make` is slow, requests of
//! other keys do not wait.
//!
//! ## K4: A backoff survives eviction
//!
//! Evicted entries whose backoff runs are kept, at most as many as the capacity, or 1,000 if that is more.
//!
//! ## K5: A removed key gets no token
//!
//! Requests called after `remove` do not use the removed entry, nor one that `make` had begun to make. Requests on their way
//! finish. When the last one has, and a token fetch under way has ended, the secrets are wiped.
//!
//! ## K6: No key is shown
//!
//! Keys are in no `Debug`, error, trace event or metric.
//!
//! # A fleet
//!
//! ## F1: One process fetches
//!
//! While the store works, any number of processes without a fresh token cause one token request, and the others take the token
//! that it brought. A process that finds a fresh token pays one round trip.
//!
//! ## F2: One process leads, and a lease ends by itself
//!
//! A lease ends by itself: within 5 s of its holder's end another process leads. Only the holder publishes, so an older token
//! never replaces a newer one. A process waits for another one's fetch for 10 s at most. A failed fetch hands the lease on at
//! once. A token from the store has the life that is left, by the store's count.
//!
//! ## F3: A rejected token is retired for all
//!
//! It is removed only if it is still the stored one, and cannot be published again for 30 s. A newer one is taken without a token
//! request.
//!
//! ## F4: A store that fails fails no request
//!
//! It costs at most 250 ms once per pause of 2 s, doubling to 15 s; the process fetches for itself. It is used again within 20
//! s of its recovery.
//!
//! ## F5: Tokens in the store are sealed
//!
//! A stored token can be read and created only with the key. An entry that was not sealed for this fleet, or was changed, is
//! not used.
//!
//! ## F6: Only equals share
//!
//! Two sources that differ in anything that tells their tokens apart never share an entry.
//!
//! ## F7: A rotation costs at most two token requests
//!
//! A rotation of the client secret, or of the sealing key, costs the whole fleet two token requests at most.
//!
//! # Never
//!
//! - A secret, token, assertion or signature in any `Debug`, `Display`, trace event or panic message.
//! - A request sent without its credential because obtaining one failed, or with that of another key.
//! - `unwrap`, `expect`, `panic!` or indexing that can panic in library code; `unsafe`.
//! - A lock, or a guard of the current token, held across an await. Foreign code (waker, error, body, callback) run or dropped
//!   under a lock.
//! - A response held back by logging: state changes first, then the trace. No trace while a thread unwinds, and no panic of a
//!   subscriber gets further than the trace.
//! - A signature with an empty or refused key, or with another key than the one that `build` checked.
//!
//! Next: [`cost`](super::cost).
