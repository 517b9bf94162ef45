//! Cost: instructions, allocations and memory, and how they grow.
//!
//! # A request that finds a token
//!
//! With a usable token, a call checks the origin, reads the time, loads the token from an `ArcSwap`, inserts headers that were
//! built in advance, and calls the inner service. It takes no lock, creates no task, timer or `Box`, and allocates nothing but
//! the memory that inserted headers need.
//!
//! These are the most instructions that a call may take, from handing over the request to dropping the response, counted by
//! callgrind. The request already has eight headers, the token has 800 bytes, and the inner service does nothing:
//!
#![doc = include_str!("../../benches/budgets.md")]
//!
//! `tests/all.sh` fails if a call takes more. Beyond the inner service, a call pays for
//!
//! | part | work | why |
//! |---|---|---|
//! | scope | compares scheme, host and port with the origins | a token must not leave them |
//! | `Authorization` | looks for a header of the caller | it is kept by default |
//! | time | reads tokio's clock and the wall clock | a token must not be used after its end |
//! | token | loads a pointer, increments a reference count | others may replace it at any time |
//! | headers | inserts the prebuilt token header and static headers | |
//! | signature | inserts two headers, which are made once a second | only with [`sign`](crate::AuthLayerBuilder::sign) |
//! | replay | copies head and body into a `Box` | only with [`CloneBody`](crate::replay::CloneBody), the default |
//! | response | looks at the status, and for a [`Rejection`](crate::rejection::Rejection) | to notice a rejection |
//! | error | converts the inner service's error into a [`BoxError`](crate::BoxError) | one error type for both |
//!
//! Count the allocations of your own stack like this, with the crate `allocation-counter`. The request has room for one more
//! header, and its token was fetched before:
//!
//! ```
//! use std::{convert::Infallible, future::{Future, ready}, pin::pin, task::{Context, Waker}, time::Duration};
//!
//! use allocation_counter::measure;
//! use http::{Request, Response, header::ACCEPT};
//! use tower::{Layer, Service, service_fn};
//! use tower_outbound_auth::{AuthLayer, BoxError, replay::NoReplay, token::{AccessToken, source_fn}};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! let source = source_fn(|_| async { AccessToken::new("abc", Some(Duration::from_secs(3600))) });
//! let auth = AuthLayer::builder(source).origin("https://api.example.com").replay(NoReplay).build()?;
//! auth.handle().token().await?;
//!
//! let mut client = auth.layer(service_fn(|_| ready(Ok::<_, Infallible>(Response::new(String::new())))));
//! let request = Request::get("https://api.example.com/orders").header(ACCEPT, "*/*").body(String::new())?;
//! let counted = measure(|| {
//!     let response = pin!(client.call(request)).poll(&mut Context::from_waker(Waker::noop()));
//!     assert!(response.is_ready());
//! });
//! assert_eq!(counted.count_total, 0);
//! # Ok(()) }
//! ```
//!
//! Choose [`NoReplay`](crate::replay::NoReplay) or [`EmptyBody`](crate::replay::EmptyBody) if the copy shows in your profile.
//! It is the largest item.
//!
//! Through [`AuthMiddleware`](crate::reqwest::AuthMiddleware) it pays 1 to 2 µs and 11 allocations more, five more with
//! `CloneBody`: for the translation of reqwest's types, and for futures in boxes, as reqwest's middlewares have them.
//!
//! # Other requests
//!
//! | a request that | pays in addition |
//! |---|---|
//! | starts a refresh, after 75 % of the token's lifetime | a lock and the start of a task; it continues with the old token |
//! | waits for a token | a `Box` with the request, and its place among the waiters: at most 512 bytes beyond its own size |
//! | is rejected | a second send, and reading the first response's body, up to 64 KiB or 100 ms |
//!
//! # How the cost grows
//!
//! | with more | grows | how |
//! |---|---|---|
//! | headers in a request | the copy with `CloneBody`; nothing with `NoReplay` | linearly |
//! | bytes in a token | nothing: its header is built once and shared | |
//! | waiting requests | memory for each, and the time to wake them | linearly |
//! | layers in a process | memory for each; an idle layer runs nothing | linearly |
//! | keys of a [`KeyedAuthLayer`](crate::keyed::KeyedAuthLayer) | memory for each; the entries that a look-up reads spread over the processor's caches | linearly |
//! | origins | one comparison each, until one matches | linearly |
//! | sign rules | next to nothing: a radix tree finds the path | |
//!
//! Over HTTP/2 the bytes of the header cost more than the layer. HPACK does not index a header that is marked sensitive, so a
//! token of 800 bytes is sent in full each time. That is as true for a static header.
//!
//! The folder `benches/` of the repository has the measurements, beside those of other crates.
//!
//! Next: [`security`](super::security).
