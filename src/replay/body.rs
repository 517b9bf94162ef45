//! `ReplayBody`: a stream that can be sent again.

use std::{
    fmt, mem,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};

use super::recording::{Cursor, Id, Recording, Rest, Step};
use crate::error::BoxError;

/// Body that records a stream while it is sent, so that it can be sent again.
///
/// A stream can be read once. `ReplayBody` keeps the frames that are read from it, trailers included, up to a limit. A copy
/// returns these frames first, then reads on where the first sending stopped. [`CloneBody`](super::CloneBody), the default
/// policy of a layer, makes such a copy and replays the request as long as the copy is [complete](Self::is_complete).
///
/// The first sending always gets all of the body. Once the limit is exceeded, or the stream has failed, no further frame is
/// kept and no copy is complete; a rejected response then goes to the caller, marked
/// [`BodyNotReplayable`](crate::rejection::NotReplayed::BodyNotReplayable).
///
/// Frames share their bytes with the log, without a copy. Data of a type other than [`Bytes`] is copied once. `ReplayBody`
/// is `Unpin` whatever the stream is, and `Send` and `Sync` if the stream is `Send`. It is not `Clone`, since a copy may not
/// be possible: see [`try_clone`](Self::try_clone).
///
/// # Example
///
/// An upload of unknown length, which is replayed if it is rejected before more than 1 MiB has been sent:
///
/// ```
/// use bytes::Bytes;
/// use http::{Request, Response};
/// use http_body::Body;
/// use tower::{BoxError, Service, ServiceExt};
/// use tower_outbound_auth::{Auth, replay::ReplayBody};
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
/// # Choosing a limit
///
/// The limit is in bytes of data and trailers, for each request under way. Before the response arrives, a client sends as
/// much as the buffers on the way to the server take, usually some hundred KiB; but some servers read an upload to its end
/// before they respond. A safe limit is the size of the largest upload that must be replayed. With 0, only a body that has
/// returned no data yet can be replayed; with [`usize::MAX`] there is no limit.
///
/// Frames after the first 1,024 count 64 bytes more each, so that a stream of empty frames reaches the limit too. A frame
/// that is a slice of a larger buffer keeps all of that buffer in memory.
///
/// # When two copies are read at the same time
///
/// A server may reject a request before it has read all of it; the first sending then continues while the replay is sent.
/// The copy that started last reads the stream, and earlier copies follow it through the log. An earlier copy that needs a
/// frame that is no longer kept fails: the request that it belongs to has been answered already. If the later copy is
/// dropped, an earlier one reads on.
pub struct ReplayBody<B> {
    recording: Arc<Mutex<Recording<B>>>,
    cursor: Cursor,
    /// It has ended or failed.
    is_done: bool,
}

impl<B: Body> ReplayBody<B> {
    /// Wraps a body and keeps at most `limit` bytes of it.
    pub fn new(body: B, limit: usize) -> Self {
        Self::from_start(Arc::new(Mutex::new(Recording::new(body, limit))), 0)
    }

    /// Returns a copy that starts at the beginning of the body.
    ///
    /// Layers do this with [`CloneBody`](super::CloneBody); use it in a retry policy.
    ///
    /// `None` if the limit is exceeded or the body has failed. The copy may become incomplete later: check
    /// [`is_complete`](Self::is_complete) before it is sent.
    pub fn try_clone(&self) -> Option<Self> {
        let id = update(&self.recording, Recording::add)?;
        Some(Self::from_start(Arc::clone(&self.recording), id))
    }

    /// Returns whether this copy still has all of the body.
    ///
    /// Ask before the copy is read. Do not send a copy for which this is `false`: reading it returns an error, so that
    /// a server does not take a part for the whole.
    pub fn is_complete(&self) -> bool {
        lock(&self.recording).is_complete(self.cursor.id)
    }

    /// The same; and a copy that is complete stays so from now on.
    pub(super) fn reserve(&self) -> bool {
        lock(&self.recording).reserve(self.cursor.id)
    }

    fn from_start(recording: Arc<Mutex<Recording<B>>>, id: Id) -> Self {
        let cursor = Cursor { id, has_started: false, frames: 0, bytes: 0 };
        Self { recording, cursor, is_done: false }
    }
}

type PollFrame = Poll<Option<Result<Frame<Bytes>, BoxError>>>;

impl<B> ReplayBody<B>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    /// Polls the source, without the lock. If it panics, or ends, it is not given back.
    fn poll_source(&mut self, mut source: Pin<Box<B>>, cx: &mut Context<'_>) -> PollFrame {
        let id = self.cursor.id;
        let failing = FailOnDrop { recording: &self.recording, id };
        let frame = match source.as_mut().poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => Some(frame.map_data(|mut data| data.copy_to_bytes(data.remaining()))),
            Poll::Ready(Some(Err(error))) => {
                drop(failing);
                return self.fail(error.into());
            }
            Poll::Ready(None) => {
                mem::forget(failing);
                update(&self.recording, |recording| recording.end(id));
                return self.end();
            }
            Poll::Pending => None,
        };
        let (rest, waker) = (Rest::of(&*source), frame.is_none().then(|| cx.waker().clone()));
        mem::forget(failing);
        update(&self.recording, |recording| {
            recording.give_back(source, rest);
            match &frame {
                Some(frame) => recording.record(id, frame),
                None => recording.pause(id, waker),
            }
        });
        frame.map_or(Poll::Pending, |frame| self.return_frame(frame))
    }

    fn return_frame(&mut self, frame: Frame<Bytes>) -> PollFrame {
        self.cursor.frames += 1;
        self.cursor.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
        Poll::Ready(Some(Ok(frame)))
    }

    fn end(&mut self) -> PollFrame {
        self.is_done = true;
        Poll::Ready(None)
    }

    fn fail(&mut self, error: BoxError) -> PollFrame {
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

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> PollFrame {
        let this = self.get_mut();
        if this.is_done {
            return Poll::Ready(None);
        }
        // Cloned here, since a waker's code may run when it is cloned.
        let mut waker = Some(cx.waker().clone());
        let step = update(&this.recording, |recording| recording.step(this.cursor, &mut waker));
        this.cursor.has_started = true;
        match step {
            Step::Frame(frame) => this.return_frame(frame),
            Step::Poll(source) => this.poll_source(source, cx),
            Step::Wait => Poll::Pending,
            Step::End => this.end(),
            Step::Fail(reason) => this.fail(reason.into()),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.is_done || lock(&self.recording).is_end_stream(self.cursor)
    }

    fn size_hint(&self) -> SizeHint {
        if self.is_done { SizeHint::with_exact(0) } else { lock(&self.recording).size_hint(self.cursor) }
    }
}

impl<B> Drop for ReplayBody<B> {
    fn drop(&mut self) {
        update(&self.recording, |recording| recording.remove(self.cursor.id));
    }
}

impl<B> fmt::Debug for ReplayBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplayBody").finish_non_exhaustive()
    }
}

/// Marks the source as failed, for all copies, unless it is forgotten.
struct FailOnDrop<'a, B> {
    recording: &'a Mutex<Recording<B>>,
    id: Id,
}

impl<B> Drop for FailOnDrop<'_, B> {
    fn drop(&mut self) {
        update(self.recording, |recording| recording.fail(self.id));
    }
}

/// Changes the recording, then does what was deferred until the lock is released.
fn update<B, T>(recording: &Mutex<Recording<B>>, change: impl FnOnce(&mut Recording<B>) -> T) -> T {
    let mut locked = lock(recording);
    let result = change(&mut locked);
    let deferred = locked.take_deferred();
    drop(locked);
    deferred.run();
    result
}

fn lock<B>(recording: &Mutex<Recording<B>>) -> MutexGuard<'_, Recording<B>> {
    recording.lock().unwrap_or_else(PoisonError::into_inner)
}
