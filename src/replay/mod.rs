//! Replay policies: whether and how a request's body can be sent a second time.
//!
//! When the API rejects a request's token, the layer obtains a new token and replays the request, once. Replaying a request
//! needs a second copy of its body, and that copy must be made before the first is sent. A [`Replay`] policy makes it.
//!
//! | body | policy | cost per request |
//! |---|---|---|
//! | cheap to clone: `Full<Bytes>`, `Empty<Bytes>`, `String` | [`CloneBody`], the default | one clone |
//! | a stream | [`CloneBody`], the stream in a [`ReplayBody`] | the frames sent so far, up to a limit |
//! | not `Clone`, and most requests have none | [`EmptyBody`] | none |
//! | any | [`NoReplay`]: rejected requests are not replayed | none |
//!
//! # Example
//!
//! A policy that clones small bodies only:
//!
//! ```
//! use bytes::Bytes;
//! use http_body::Body;
//! use http_body_util::Full;
//! use tower_outbound_auth::replay::Replay;
//!
//! #[derive(Clone)]
//! struct UpTo(u64);
//!
//! impl Replay<Full<Bytes>> for UpTo {
//!     fn clone_body(&self, body: &Full<Bytes>) -> Option<Full<Bytes>> {
//!         (body.size_hint().upper()? <= self.0).then(|| body.clone())
//!     }
//! }
//!
//! assert!(UpTo(5).clone_body(&Full::from("short")).is_some());
//! assert!(UpTo(5).clone_body(&Full::from("longer")).is_none());
//! ```
//!
//! # When a request cannot be replayed
//!
//! The token is renewed for the requests that follow. The rejected response goes to the caller, with
//! [`NotReplayed::BodyNotReplayable`](crate::rejection::NotReplayed::BodyNotReplayable) in its extensions.

mod body;
mod frame_log;
mod recording;

use http_body::Body;

pub use self::body::ReplayBody;

/// Policy that copies a request's body for a possible replay.
///
/// The policy is set on a layer's builder. [`CloneBody`], [`EmptyBody`] and [`NoReplay`] cover most bodies; the
/// [module documentation](self) compares them and has an example of a custom policy.
///
/// For one request the methods are called in this order: [`clone_body`](Self::clone_body) before the request is sent;
/// [`is_complete`](Self::is_complete) when it was rejected; [`reserve`](Self::reserve) when a token for the replay is there;
/// and `is_complete` again just before the copy is sent.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot replay a request with the body `{B}`",
    label = "this needs another replay policy, or another body",
    note = "`.replay(NoReplay)`, called before `build`, accepts any body, and replays no request",
    note = "`.replay(EmptyBody)` accepts a body type that is `Default`, and replays requests whose body is empty",
    note = "`ReplayBody::new(body, limit)` makes a stream replayable with `CloneBody`, up to that many bytes",
    note = "the default policy, `CloneBody`, accepts bodies that are `Clone`: `Full<Bytes>`, `Empty<Bytes>`, `String`"
)]
pub trait Replay<B>: Clone + Send + Sync + 'static {
    /// Clones the body for a replay; `None` if it cannot be replayed.
    ///
    /// Called for every authenticated request, before it is sent.
    fn clone_body(&self, body: &B) -> Option<B>;

    /// Returns whether the copy still has all of the body.
    ///
    /// An incomplete copy is never sent. Override this for a body that is recorded while the first request is sent, and
    /// that can outgrow its limit. Default: always `true`.
    fn is_complete(&self, copy: &B) -> bool {
        let _ = copy;
        true
    }

    /// Returns whether the copy is complete, and keeps it so.
    ///
    /// A copy that was reserved stays complete until it is sent or dropped.
    ///
    /// Called before the rejected response is given up: from then on, the caller gets the response to the replay or an
    /// error. Override this if the first request may still be reading its body. Default: [`is_complete`](Self::is_complete).
    fn reserve(&self, copy: &B) -> bool {
        self.is_complete(copy)
    }
}

/// [`Replay`] policy that clones the body. The default.
///
/// Works with bodies that are `Clone`, which should be cheap, and with [`ReplayBody`], which is not `Clone`.
#[derive(Clone, Copy, Debug, Default)]
pub struct CloneBody;

#[diagnostic::do_not_recommend]
impl<B: Clone> Replay<B> for CloneBody {
    fn clone_body(&self, body: &B) -> Option<B> {
        Some(body.clone())
    }
}

impl<B: Body> Replay<ReplayBody<B>> for CloneBody {
    fn clone_body(&self, body: &ReplayBody<B>) -> Option<ReplayBody<B>> {
        body.try_clone()
    }

    fn is_complete(&self, copy: &ReplayBody<B>) -> bool {
        copy.is_complete()
    }

    fn reserve(&self, copy: &ReplayBody<B>) -> bool {
        copy.reserve()
    }
}

/// [`Replay`] policy that replays requests whose body is empty.
///
/// For body types that are not `Clone`, when most requests have no body, as a `GET` has none. A body counts as empty if
/// [`Body::is_end_stream`] says so before it is sent; the replay is sent with `B::default()`.
///
/// # Example
///
/// ```
/// use bytes::Bytes;
/// use http_body_util::Full;
/// use tower_outbound_auth::replay::{EmptyBody, Replay};
///
/// assert!(EmptyBody.clone_body(&Full::<Bytes>::default()).is_some());
/// assert!(EmptyBody.clone_body(&Full::<Bytes>::from("an order")).is_none());
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct EmptyBody;

#[diagnostic::do_not_recommend]
impl<B: Body + Default> Replay<B> for EmptyBody {
    fn clone_body(&self, body: &B) -> Option<B> {
        body.is_end_stream().then(B::default)
    }
}

/// [`Replay`] policy that never replays.
///
/// Works with any body and adds the least overhead. A rejection still renews the token for the requests that follow; its
/// response goes to the caller.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoReplay;

impl<B> Replay<B> for NoReplay {
    fn clone_body(&self, _body: &B) -> Option<B> {
        None
    }
}
