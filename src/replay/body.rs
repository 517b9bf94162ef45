//! A body that keeps what was sent of it, so that a stream can be sent a second time.

use std::{
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};

use crate::{
    error::BoxError,
    replay::recording::{Id, Left, Place, Recording, Step},
};

/// Keeps what is sent of a body, up to a limit, so that a stream can be sent again.
///
/// A stream is there once. This one keeps each frame that is read from it, trailers included, and a copy gives them again
/// before it reads on where the first sending stopped. Bytes are shared, not copied; data other than [`Bytes`] becomes
/// `Bytes` with one copy. With [`CloneBody`](crate::CloneBody), the default of a layer, a rejected request is sent again
/// as long as all that was sent of it is kept.
///
/// The first sending gets all of the body, whatever the limit. Once that is passed, nothing is kept any more, and no copy
/// is [whole](Self::is_complete): the answer to the rejected request is its caller's, marked
/// [`BodyNotReplayable`](crate::NotReplayed::BodyNotReplayable). The same goes for a stream that has failed.
///
/// It is not `Clone`, as a copy may turn out incomplete; [`try_clone`](Self::try_clone) makes one. `Unpin` whatever the
/// stream is, `Send` and `Sync` if the stream is `Send`.
///
/// # Example
///
/// An upload whose length nobody knows, sent again if its token is rejected before more than 1 MiB of it has gone:
///
/// ```
/// use bytes::Bytes;
/// use http::{Request, Response};
/// use http_body::Body;
/// use tower::{BoxError, Service, ServiceExt};
/// use tower_outbound_auth::{Auth, ReplayBody};
///
/// async fn upload<S, B, RB>(client: Auth<S>, stream: B) -> Result<Response<RB>, BoxError>
/// where
///     S: Service<Request<ReplayBody<B>>, Response = Response<RB>, Error: Into<BoxError>> + Clone,
///     B: Body<Data = Bytes>,
///     RB: Body,
/// {
///     let body = ReplayBody::new(stream, 1 << 20);
///     client.oneshot(Request::put("https://api.example.com/reports/7").body(body)?).await
/// }
/// ```
///
/// # When two copies are read at once
///
/// A server may reject a request that it has not read to its end, and the first sending then goes on beside the second.
/// Nobody waits for it: the copy that began last reads the stream, and an earlier one follows it through what is kept. If
/// that ends, the earlier one fails, and with it the sending of a request that has been answered. Should the later copy
/// be dropped, the earlier one reads on.
///
/// # A note on choosing a limit
///
/// It is in bytes of data and trailers, for each body that is on its way. What is sent before a server says 401 is what
/// the buffers between here and there take, some hundred KiB; but a server may read an upload to its end first. So the
/// size of the largest upload that is to be sent again is a good limit; with 0 only what has given no data yet is sent
/// again. Frames beyond the first 1,024 count 64 bytes more each, or a stream of empty ones would grow for ever. A frame
/// that is a slice of a larger buffer holds that buffer.
pub struct ReplayBody<B> {
    recording: Arc<Mutex<Recording<B>>>,
    place: Place,
    /// It came to its end, or failed.
    is_done: bool,
}

type Next<D = Bytes, E = BoxError> = Option<Result<Frame<D>, E>>;

impl<B: Body> ReplayBody<B> {
    /// Wraps the body, to keep as much of it as the limit allows, in bytes.
    pub fn new(body: B, limit: usize) -> Self {
        Self::at_the_beginning(Arc::new(Mutex::new(Recording::new(body, limit))), 0)
    }

    /// A copy that begins at the beginning; for a retry policy of one's own.
    ///
    /// `None` once the limit is passed, or when the body has failed. A copy that was made in time may still turn out
    /// incomplete: ask [`is_complete`](Self::is_complete) before it is sent.
    pub fn try_clone(&self) -> Option<Self> {
        let id = lock(&self.recording).add()?;
        Some(Self::at_the_beginning(Arc::clone(&self.recording), id))
    }

    /// Whether this copy, which has not been read yet, will give all of the body.
    ///
    /// False once the limit was passed, or the body failed: it must not be sent. To read such a copy gives an error, so
    /// that a server cannot take a part for the whole.
    pub fn is_complete(&self) -> bool {
        lock(&self.recording).is_complete(self.place.id)
    }

    /// The same, and a copy that is whole stays so from now on.
    pub(super) fn reserve(&self) -> bool {
        lock(&self.recording).reserve(self.place.id)
    }

    fn at_the_beginning(recording: Arc<Mutex<Recording<B>>>, id: Id) -> Self {
        Self { recording, place: Place { id, has_begun: false, frames: 0, bytes: 0 }, is_done: false }
    }
}

impl<B> ReplayBody<B>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    fn read(&mut self, source: Pin<Box<B>>, cx: &mut Context<'_>) -> Poll<Next> {
        let id = self.place.id;
        let mut lent = Lent { recording: &self.recording, id, source: Some(source) };
        match lent.poll(cx) {
            Poll::Pending => {
                lent.give_back(|recording| recording.pause(id, cx.waker()));
                Poll::Pending
            }
            Poll::Ready(Some(Ok(frame))) => {
                let frame = frame.map_data(|mut data| data.copy_to_bytes(data.remaining()));
                lent.give_back(|recording| recording.record(id, &frame));
                self.hand_on(frame)
            }
            Poll::Ready(Some(Err(error))) => {
                drop(lent);
                self.fail(error.into())
            }
            Poll::Ready(None) => {
                lent.end();
                self.end()
            }
        }
    }

    fn hand_on(&mut self, frame: Frame<Bytes>) -> Poll<Next> {
        self.place.frames += 1;
        self.place.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
        Poll::Ready(Some(Ok(frame)))
    }

    fn end(&mut self) -> Poll<Next> {
        self.is_done = true;
        Poll::Ready(None)
    }

    fn fail(&mut self, error: BoxError) -> Poll<Next> {
        self.is_done = true;
        Poll::Ready(Some(Err(error)))
    }
}

impl<B> Body for ReplayBody<B>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Next> {
        let this = self.get_mut();
        if this.is_done {
            return Poll::Ready(None);
        }
        let (step, left) = lock(&this.recording).step(this.place, cx.waker());
        left.settle();
        this.place.has_begun = true;
        match step {
            Step::HandOn(frame) => this.hand_on(frame),
            Step::Read(source) => this.read(source, cx),
            Step::Wait => Poll::Pending,
            Step::End => this.end(),
            Step::Fail(reason) => this.fail(reason.into()),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.is_done || lock(&self.recording).is_end_stream(self.place)
    }

    fn size_hint(&self) -> SizeHint {
        if self.is_done { SizeHint::with_exact(0) } else { lock(&self.recording).size_hint(self.place) }
    }
}

impl<B> Drop for ReplayBody<B> {
    fn drop(&mut self) {
        let left = lock(&self.recording).remove(self.place.id);
        left.settle();
    }
}

impl<B> fmt::Debug for ReplayBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplayBody").finish_non_exhaustive()
    }
}

/// The source while it is read, which happens without the lock. Not given back, by a panic for one, it has failed.
struct Lent<'a, B> {
    recording: &'a Mutex<Recording<B>>,
    id: Id,
    source: Option<Pin<Box<B>>>,
}

impl<B: Body> Lent<'_, B> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Next<B::Data, B::Error>> {
        match &mut self.source {
            Some(source) => source.as_mut().poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn give_back(mut self, note: impl FnOnce(&mut Recording<B>) -> Left) {
        let hints = self.source.as_ref().map(|source| (source.size_hint(), source.is_end_stream()));
        if let (Some((hint, is_over)), Some(source)) = (hints, self.source.take()) {
            let mut recording = lock(self.recording);
            recording.give_back(source, hint, is_over);
            let left = note(&mut recording);
            drop(recording);
            left.settle();
        }
    }

    fn end(mut self) {
        let source = self.source.take();
        let left = lock(self.recording).end(self.id);
        left.settle();
        drop(source);
    }
}

impl<B> Drop for Lent<'_, B> {
    fn drop(&mut self) {
        if self.source.is_some() {
            let left = lock(self.recording).fail(self.id);
            left.settle();
        }
    }
}

fn lock<B>(recording: &Mutex<Recording<B>>) -> MutexGuard<'_, Recording<B>> {
    recording.lock().unwrap_or_else(PoisonError::into_inner)
}
