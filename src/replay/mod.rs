//! Whether, and as what, a request's body can be sent a second time.

mod body;
mod recording;

use http_body::Body;

pub use self::body::ReplayBody;

/// Decides whether a rejected request can be sent again.
///
/// A request that the API rejects is sent again once with a new token. That takes a second body, which has to be put aside
/// before the first is sent. [`AuthLayer::replay`](crate::AuthLayer::replay) changes the policy of a layer; the three
/// below serve most bodies.
///
/// # Example
///
/// Small bodies only, by a policy of one's own:
///
/// ```
/// use bytes::Bytes;
/// use http_body::Body;
/// use http_body_util::Full;
/// use tower_outbound_auth::Replay;
///
/// #[derive(Clone)]
/// struct UpTo(u64);
///
/// impl Replay<Full<Bytes>> for UpTo {
///     fn clone_body(&self, body: &Full<Bytes>) -> Option<Full<Bytes>> {
///         (body.size_hint().upper()? <= self.0).then(|| body.clone())
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot send a request with the body `{B}` a second time",
    label = "this needs another replay policy, or another body",
    note = "`.replay(NoReplay)` on the layer takes any body, and sends no request again",
    note = "`.replay(EmptyBody)` takes a body type that is `Default`, and sends requests again whose body is empty",
    note = "`ReplayBody::new(body, limit)` makes a stream one that `CloneBody` can send again, up to that many bytes",
    note = "the default policy, `CloneBody`, takes bodies that are `Clone`: `Full<Bytes>`, `Empty<Bytes>`, `String`"
)]
pub trait Replay<B>: Clone + Send + Sync + 'static {
    /// The body of a possible second request, made before the first is sent; `None` if this one can be sent only once.
    fn clone_body(&self, body: &B) -> Option<B>;

    /// Asked before the second request is sent: is what was kept all of the body?
    ///
    /// For a body that is recorded while the first request is sent, as [`ReplayBody`] is, and may outgrow its limit. One
    /// that is no longer whole is never sent.
    fn is_complete(&self, kept: &B) -> bool {
        let _ = kept;
        true
    }

    /// Asked when the first answer is about to be given up: is it whole, and does it stay so until it is sent or dropped?
    ///
    /// For a body that the first request may still be reading. The default says what [`is_complete`](Self::is_complete) does.
    fn reserve(&self, kept: &B) -> bool {
        self.is_complete(kept)
    }
}

/// Clones the body: for `Full`, `Empty`, `String`, `Bytes` and whatever else is cheap to clone. The default.
///
/// It serves a stream too, in a [`ReplayBody`], which is copied instead while it is whole.
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

    fn is_complete(&self, kept: &ReplayBody<B>) -> bool {
        kept.is_complete()
    }

    fn reserve(&self, kept: &ReplayBody<B>) -> bool {
        kept.reserve()
    }
}

/// Sends requests without a body again: for body types that are not `Clone`, where most requests are `GET`.
#[derive(Clone, Copy, Debug, Default)]
pub struct EmptyBody;

#[diagnostic::do_not_recommend]
impl<B: Body + Default> Replay<B> for EmptyBody {
    fn clone_body(&self, body: &B) -> Option<B> {
        body.is_end_stream().then(B::default)
    }
}

/// Sends nothing again: for any body, and for the cheapest request.
///
/// A rejected request still renews the token, for the requests after it; its response goes to the caller. Whether the
/// renewal helped, only a request that is sent again could tell: so a token that is rejected within ten seconds of such a
/// renewal counts as one that did not help, and the next renewal waits a second or more.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoReplay;

impl<B> Replay<B> for NoReplay {
    fn clone_body(&self, _body: &B) -> Option<B> {
        None
    }
}
