//! A response body that follows a script, frame by frame, and counts what is read of it.

use std::{
    collections::VecDeque,
    io::IoSlice,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll},
};

use bytes::{Buf, Bytes};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use crate::input::Input;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Step {
    Data(Vec<Bytes>),
    Trailers(HeaderMap),
    Fails(usize),
    /// Pending; the task is woken at once.
    Later,
    /// Pending for ever; the task is not woken.
    Stalls,
    /// This frame again and again.
    Forever(Vec<Bytes>),
}

#[derive(Debug, PartialEq)]
pub(crate) struct Broken(pub(crate) usize);

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the connection broke")
    }
}

impl std::error::Error for Broken {}

/// What was read of a body.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    polls: AtomicUsize,
    bytes: AtomicUsize,
    /// How many bytes were read before the last frame.
    before_last: AtomicUsize,
}

impl Tally {
    pub(crate) fn polls(&self) -> usize {
        self.0.polls.load(Relaxed)
    }

    pub(crate) fn bytes_before_the_last_frame(&self) -> usize {
        self.0.before_last.load(Relaxed)
    }

    fn count(&self, data: &Pieces) {
        let before = self.0.bytes.fetch_add(data.remaining(), Relaxed);
        self.0.before_last.store(before, Relaxed);
    }
}

pub(crate) struct Scripted {
    steps: VecDeque<Step>,
    hint: SizeHint,
    tally: Tally,
}

impl Scripted {
    pub(crate) fn new(steps: impl IntoIterator<Item = Step>, hint: SizeHint) -> (Self, Tally) {
        let tally = Tally::default();
        (Self { steps: steps.into_iter().collect(), hint, tally: tally.clone() }, tally)
    }
}

impl Body for Scripted {
    type Data = Pieces;
    type Error = Broken;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Pieces>, Broken>>> {
        let polls = self.tally.0.polls.fetch_add(1, Relaxed);
        assert!(polls < MOST_POLLS, "polled without end");
        let Some(step) = self.steps.pop_front() else {
            return Poll::Ready(None);
        };
        match &step {
            Step::Stalls | Step::Forever(_) => self.steps.push_front(step.clone()),
            _ => {}
        }
        match step {
            Step::Data(pieces) | Step::Forever(pieces) => {
                let data = Pieces(pieces.into());
                self.tally.count(&data);
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            Step::Trailers(trailers) => Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
            Step::Fails(which) => Poll::Ready(Some(Err(Broken(which)))),
            Step::Later => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Step::Stalls => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.steps.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        self.hint
    }
}

/// The data of a frame, in one piece or in several.
#[derive(Debug)]
pub(crate) struct Pieces(VecDeque<Bytes>);

impl Buf for Pieces {
    fn remaining(&self) -> usize {
        self.0.iter().map(Bytes::len).sum()
    }

    fn chunk(&self) -> &[u8] {
        self.0.iter().find(|piece| !piece.is_empty()).map_or(&[], |piece| piece)
    }

    fn advance(&mut self, mut count: usize) {
        while let Some(piece) = self.0.front_mut() {
            let step = count.min(piece.len());
            piece.advance(step);
            count -= step;
            if !piece.is_empty() {
                break;
            }
            self.0.pop_front();
        }
        assert_eq!(count, 0, "more was taken than there was");
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let full = self.0.iter().filter(|piece| !piece.is_empty());
        slices.iter_mut().zip(full).map(|(slice, piece)| *slice = IoSlice::new(piece)).count()
    }
}

/// Far more than a reader has a reason for.
const MOST_POLLS: usize = 300_000;

/// Splits a body into frames, with other steps between them.
pub(crate) fn cut(input: &mut Input<'_>, body: &[u8]) -> Vec<Step> {
    let mut rest = Bytes::copy_from_slice(body);
    let mut steps = Vec::new();
    loop {
        match input.below(24) {
            1 => steps.push(Step::Later),
            2 => steps.push(Step::Data(Vec::new())),
            3 => steps.push(Step::Fails(steps.len())),
            4 => steps.push(Step::Trailers(trailers(input))),
            5 if input.one_in(16) => steps.push(Step::Stalls),
            6 => {
                let pieces = (0..=input.below(15)).map(|_| next(input, &mut rest)).collect();
                steps.push(Step::Data(pieces));
            }
            7..18 => steps.push(Step::Data(vec![next(input, &mut rest)])),
            _ if rest.is_empty() && input.is_empty() => return steps,
            _ if rest.is_empty() => return with_an_end(input, steps),
            _ => steps.push(Step::Data(vec![std::mem::take(&mut rest)])),
        }
    }
}

/// Returns the bytes that a script sends.
pub(crate) fn data(steps: &[Step]) -> Vec<u8> {
    let pieces = steps.iter().filter_map(|step| if let Step::Data(pieces) = step { Some(pieces) } else { None });
    pieces.flatten().flatten().copied().collect()
}

fn next(input: &mut Input<'_>, rest: &mut Bytes) -> Bytes {
    let length = input.pick(&[1, 0, 2, 7, 40, 1000, 4096, 30_000, usize::MAX]);
    rest.split_to(length.min(rest.len()))
}

fn trailers(input: &mut Input<'_>) -> HeaderMap {
    let value = http::HeaderValue::from_bytes(input.bytes(4)).unwrap_or(http::HeaderValue::from_static("x"));
    [(http::HeaderName::from_static("x-trailer"), value)].into_iter().collect()
}

/// Most scripts just end; some repeat a frame for ever, or have very many frames.
fn with_an_end(input: &mut Input<'_>, mut steps: Vec<Step>) -> Vec<Step> {
    match input.below(200) {
        1 => steps.push(Step::Forever(Vec::new())),
        2 => steps.push(Step::Forever(vec![Bytes::from_static(&[b' '; 999])])),
        3..8 => steps.extend((0..input.pick(&[1, 250, 253, 256, 257])).map(|_| Step::Data(Vec::new()))),
        _ => {}
    }
    steps
}
