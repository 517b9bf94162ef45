//! Whether, and as what, a request's body can be sent a second time.

use http_body::Body;

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
///     fn replay(&self, body: &Full<Bytes>) -> Option<Full<Bytes>> {
///         (body.size_hint().upper()? <= self.0).then(|| body.clone())
///     }
/// }
/// ```
pub trait Replay<B>: Clone + Send + Sync + 'static {
    /// The body of a possible second request, made before the first is sent; `None` if this one can be sent only once.
    fn replay(&self, body: &B) -> Option<B>;

    /// Asked before the second request is sent: is what was kept all of the body?
    ///
    /// For a body that is recorded while the first request is sent, and may outgrow its limit. One that is no longer
    /// whole is never sent.
    fn is_whole(&self, kept: &B) -> bool {
        let _ = kept;
        true
    }
}

/// Clones the body: for `Full`, `Empty`, `String`, `Bytes` and whatever else is cheap to clone. The default.
#[derive(Clone, Copy, Debug, Default)]
pub struct CloneBody;

impl<B: Clone> Replay<B> for CloneBody {
    fn replay(&self, body: &B) -> Option<B> {
        Some(body.clone())
    }
}

/// Sends requests without a body again: for body types that are not `Clone`, where most requests are `GET`.
#[derive(Clone, Copy, Debug, Default)]
pub struct EmptyBody;

impl<B: Body + Default> Replay<B> for EmptyBody {
    fn replay(&self, body: &B) -> Option<B> {
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
    fn replay(&self, _body: &B) -> Option<B> {
        None
    }
}
