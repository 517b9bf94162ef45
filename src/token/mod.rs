//! The life of a token: what it is, where it comes from, who waits for it, and when it is replaced.

mod access;
mod acquisition;
mod flight;
mod gate;
mod handle;
mod issued;
mod keep_warm;
mod refresher;
mod schedule;
mod source;
mod spacing;
mod status;
mod store;
mod sync;

pub use self::{
    access::AccessToken,
    handle::TokenHandle,
    keep_warm::KeepWarm,
    schedule::RefreshPolicy,
    source::{FetchRequest, TokenSource},
    status::{TokenState, TokenStatus},
};
pub(crate) use self::{
    acquisition::Acquisition,
    issued::Issued,
    refresher::Refresher,
    store::{Course, Replayed},
};
