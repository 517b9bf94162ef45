//! The guide: one page for each question, in the order in which the questions come up.
//!
//! Read the first steps before you build a client, and the other pages when you need them. Each page ends with a link to the
//! next one.
//!
//! # First steps
//!
//! | page | answers |
//! |---|---|
//! | [`getting_started`] | What does a first program look like, and what happens when it runs? |
//! | [`clients`] | Where does the layer go in reqwest, tonic, kube, octocrab, a generated client? First programs to copy. |
//! | [`transports`] | What do `HttpsClient`, hyper, tonic, a proxy or a Unix socket need? |
//! | [`client_authentication`] | With a secret, a certificate or an assertion: how does my client authenticate? |
//! | [`providers`] | Which setting does a provider's server need? |
//!
//! # When something fails
//!
//! | page | answers |
//! |---|---|
//! | [`rejections`] | What happens when the API rejects a token? |
//! | [`replay_policies`] | Which request bodies can be replayed, and under which policy? |
//! | [`timeouts`] | Which requests wait for a token, and for how long? |
//! | [`errors_and_retries`] | Which errors can a call return, and which are worth a retry? |
//! | [`stack_order`] | Which layers belong outside of `AuthLayer`, and which inside? |
//!
//! # More than one bearer token
//!
//! | page | answers |
//! |---|---|
//! | [`signing`] | How do I sign requests, and what if a clock is wrong? |
//! | [`many_tokens`] | How do I serve many tenants, scopes or audiences with one client? |
//! | [`fleet`] | How do many processes share one token, and when should they? |
//!
//! # In production
//!
//! | page | answers |
//! |---|---|
//! | [`testing`] | How do I test code that uses the layer: without a server, in an outage, without waiting? |
//! | [`operating`] | What can be counted, what is worth an alert, when is a process ready, and how does it end? |
//!
//! # Reference
//!
//! | page | answers |
//! |---|---|
//! | [`guarantees`] | What exactly does the crate promise? The numbers in the tests' names are explained here. |
//! | [`cost`] | How much does a request cost, and how does it grow? |
//! | [`security`] | Which attacks does the crate defend against, and what is left to you? |
//!
//! # The way of a request
//!
#![doc = include_str!("request.svg")]
//!
//! 1. The layer compares the request's scheme, host and port with the configured origins. A request to any other place
//!    passes unchanged.
//! 2. It reads the current token from memory. Without a usable token the request waits for a token fetch, which runs in its
//!    own task and serves all requests that wait. A token that is stale, but still valid, is used while its successor is
//!    fetched.
//! 3. It writes the headers: the token, a signature if [`sign`](crate::AuthLayerBuilder::sign) is set, and static headers.
//! 4. The inner service sends the request.
//! 5. If the response rejects the token, the token is renewed and the request is replayed once. The caller sees the second
//!    response. [`rejections`] has a diagram of the replay.
//!
//! # The life of a token
//!
#![doc = include_str!("lifetime.svg")]
//!
//! A refresh is started by a request, so an idle layer does nothing. [`timeouts`] explains when a request waits.
//!
//! This module exists in the documentation only, not in a build of the crate. Its examples run as tests.

// A new page is a file here, a row above, a line below, and a link at the end of the page before it.
pub mod client_authentication;
pub mod clients;
pub mod cost;
pub mod errors_and_retries;
pub mod fleet;
pub mod getting_started;
pub mod guarantees;
pub mod many_tokens;
pub mod operating;
pub mod providers;
pub mod rejections;
pub mod replay_policies;
pub mod security;
pub mod signing;
pub mod stack_order;
pub mod testing;
pub mod timeouts;
pub mod transports;
