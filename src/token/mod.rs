//! The access token: what it is, where it comes from, and when it is renewed.
//!
//! - [`TokenSource`] fetches tokens; [`oauth::ClientCredentialsGrant`](crate::oauth::ClientCredentialsGrant) is the one
//!   for OAuth 2.0, [`source_fn`] makes one from a closure.
//! - [`RefreshPolicy`] sets when a token is refreshed, and how failures are limited.
//! - [`TokenHandle`] gives your code access to the token of a layer.

mod access;
mod acquire;
mod budget;
mod cache;
mod cached;
mod fetcher;
mod handle;
mod keep_warm;
mod policy;
mod report;
mod source;
mod status;
pub(crate) mod sync;
mod waiters;

pub use self::{
    access::AccessToken,
    handle::TokenHandle,
    keep_warm::KeepWarm,
    policy::RefreshPolicy,
    source::{FetchRequest, SourceFn, TokenSource, source_fn},
    status::{TokenState, TokenStatus},
};
pub(crate) use self::{
    acquire::{AcquireToken, TokenWait},
    budget::SentWith,
    cached::CachedToken,
    fetcher::{Fetcher, Renewal},
    report::UNNAMED,
    waiters::Waiter,
};
