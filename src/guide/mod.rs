//! The guide: one page for each question.
//!
//! Read the first five pages before you build a client; read the others when their question comes up.
//!
//! | page | answers |
//! |---|---|
//! | [`transports`] | How do I use the layer with `HttpsClient`, hyper, reqwest, tonic, a proxy or a Unix socket? |
//! | [`client_authentication`] | With a secret, a certificate or an assertion: how does my client authenticate? |
//! | [`clients`] | Where does the layer go in reqwest, tonic, kube, octocrab, a generated client? First programs to copy. |
//! | [`stack_order`] | Which layers belong outside of `AuthLayer`, and which inside? |
//! | [`replay_policies`] | Which request bodies can be replayed, and under which policy? |
//! | [`timeouts`] | Who waits for a token, and for how long? |
//! | [`errors_and_retries`] | Which errors can a call return, and which are worth a retry? |
//! | [`rejections`] | What happens when the API rejects a token? |
//! | [`providers`] | Which setting does a provider's server need? |
//! | [`many_tokens`] | How do I serve many tenants, scopes or audiences with one client? |
//! | [`fleet`] | How do many processes share one token, and when should they? |
//! | [`testing`] | How do I test code that uses the layer: without a server, in an outage, without waiting? |
//! | [`metrics`] | What can be counted, and what is worth an alert? |
//! | [`cost`] | What does a request pay, and what grows with what? |
//! | [`guarantees`] | What exactly does the crate promise? The numbers in the tests' names are explained here. |
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
//!    response.
//!
//! This module exists in the documentation only, not in a build of the crate. Its examples run as tests.

// A new page is a file here, a row above and a line below.
pub mod client_authentication;
pub mod clients;
pub mod cost;
pub mod errors_and_retries;
pub mod fleet;
pub mod guarantees;
pub mod many_tokens;
pub mod metrics;
pub mod providers;
pub mod rejections;
pub mod replay_policies;
pub mod stack_order;
pub mod testing;
pub mod timeouts;
pub mod transports;
