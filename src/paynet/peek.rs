//! `PeekedBody`: a body of which the beginning may have been read, handed on whole.

use std::{
    collections::VecDeque,
    fmt,
    io::IoSlice,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Buf;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

pin_project! {
    /// Response body of a [`RejectionLayer`](super::RejectionLayer)'s service.
    ///
    /// It returns the same frames, trailers and errors as the body that it wraps, whether the layer has read it or not.
    pub struct PeekedBody<B>
    where
        B: Body,
    {
        #[pin]
        state: State<B>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<B>
    where
        B: Body,
    {
        Unread { #[pin] body: B },
        ReadAhead { peek: Peek<B> },
    }
}

type Next<B> = Option<Result<Frame<<B as Body>::Data>, <B as Body>::Error>>;

/// The beginning of a body, which has been read, and the rest of it.
pub(super) struct Peek<B: Body> {
    frames: VecDeque<Frame<B::Data>>,
    /// The data of the frames.
    text: Vec<u8>,
    error: Option<B::Error>,
    /// `None` once it has ended.
    rest: Option<Pin<Box<B>>>,
}

impl<B: Body> PeekedBody<B> {
    pub(super) fn unread(body: B) -> Self {
        Self { state: State::Unread { body } }
    }
}

impl<B: Body> Peek<B> {
    pub(super) fn new(body: B) -> Self {
        Self { frames: VecDeque::new(), text: Vec::new(), error: None, rest: Some(Box::pin(body)) }
    }

    /// Reads on until the body has ended or failed, or is too long or in too many pieces.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let Some(rest) = &mut self.rest {
            match ready!(rest.as_mut().poll_frame(cx)) {
                Some(Ok(frame)) => {
                    let was_copied = frame.data_ref().is_none_or(|data| append(&mut self.text, data));
                    self.frames.push_back(frame);
                    if !was_copied || !is_small(&self.text) || self.frames.len() > MAX_FRAMES {
                        break;
                    }
                }
                Some(Err(error)) => {
                    self.error = Some(error);
                    break;
                }
                None => self.rest = None,
            }
        }
        Poll::Ready(())
    }

    /// The data of the body, if all of it was read.
    pub(super) fn whole_text(&self) -> Option<&[u8]> {
        (self.rest.is_none() && is_small(&self.text)).then_some(&self.text)
    }

    pub(super) fn into_body(mut self) -> PeekedBody<B> {
        self.text = Vec::new();
        PeekedBody { state: State::ReadAhead { peek: self } }
    }

    fn next_frame(&mut self, cx: &mut Context<'_>) -> Poll<Next<B>> {
        if let Some(frame) = self.frames.pop_front() {
            return Poll::Ready(Some(Ok(frame)));
        }
        if let Some(error) = self.error.take() {
            return Poll::Ready(Some(Err(error)));
        }
        match &mut self.rest {
            Some(rest) => rest.as_mut().poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn size_hint(&self) -> SizeHint {
        let read = self.frames.iter().filter_map(Frame::data_ref).map(|data| data.remaining() as u64).sum::<u64>();
        let rest = self.rest.as_ref().map_or(SizeHint::with_exact(0), Body::size_hint);
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(read));
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(read));
        }
        hint
    }

    fn is_end_stream(&self) -> bool {
        self.frames.is_empty() && self.error.is_none() && self.rest.as_ref().is_none_or(Body::is_end_stream)
    }
}

impl<B: Body> Body for PeekedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Next<B>> {
        match self.project().state.project() {
            StateProj::Unread { body } => body.poll_frame(cx),
            StateProj::ReadAhead { peek } => peek.next_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.state {
            State::Unread { body } => body.is_end_stream(),
            State::ReadAhead { peek } => peek.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.state {
            State::Unread { body } => body.size_hint(),
            State::ReadAhead { peek } => peek.size_hint(),
        }
    }
}

impl<B: Body> fmt::Debug for PeekedBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeekedBody").finish_non_exhaustive()
    }
}

/// Copies the data without consuming it; returns whether all of it was copied.
fn append(text: &mut Vec<u8>, data: &impl Buf) -> bool {
    let (before, mut slices) = (text.len(), [IoSlice::new(&[]); MAX_SLICES]);
    let filled = data.chunks_vectored(&mut slices);
    for slice in slices.iter().take(filled) {
        text.extend_from_slice(slice);
    }
    text.len() - before == data.remaining()
}

fn is_small(text: &[u8]) -> bool {
    text.len() as u64 <= MAX_BODY_BYTES
}

/// The messages are in bodies of some hundred bytes.
pub(super) const MAX_BODY_BYTES: u64 = 4096;
/// Limits the memory for a small body in many frames, which may be empty.
const MAX_FRAMES: usize = 256;
/// Slices of one frame. HTTP clients return frames of one slice; a frame in more than this is not copied.
const MAX_SLICES: usize = 16;
