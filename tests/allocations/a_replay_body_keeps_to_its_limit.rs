//! What is kept takes its limit of memory at most, and none once that is passed.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use allocation_counter::measure;
use bytes::Bytes;
use http_body::{Body, Frame};
use tower_outbound_auth::replay::ReplayBody;

/// So many frames, each made when it is asked for.
struct Fresh {
    left: usize,
    size: usize,
}

impl Body for Fresh {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(left) = self.left.checked_sub(1) else { return Poll::Ready(None) };
        self.left = left;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from(vec![b'x'; self.size])))))
    }
}

fn read<B: Body<Error: Into<tower_outbound_auth::BoxError>>>(body: &mut ReplayBody<B>) -> Option<Bytes> {
    match Pin::new(body).poll_frame(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(frame) => frame?.unwrap().into_data().ok(),
        Poll::Pending => None,
    }
}

/// The most that was held at one time while the first sending of so many frames goes, and what is held in the end.
fn held(frames: usize, size: usize) -> (u64, i64) {
    let mut first = ReplayBody::new(Fresh { left: frames, size }, LIMIT);
    let copy = first.try_clone();
    let memory = measure(|| while read(&mut first).is_some() {});
    drop(copy);
    (memory.bytes_max, memory.bytes_current)
}

#[test]
fn no_more_is_held_than_the_limit_and_one_frame() {
    for size in [100, 1_000, FRAME, 64_000] {
        for frames in [LIMIT / size, LIMIT / size + 1, 10 * LIMIT / size] {
            let (most, _) = held(frames, size);
            let kept = frames.min(1024 + LIMIT / (size + 64));
            assert!(most <= (LIMIT + size + PLACE * kept) as u64, "{most} for {frames} frames of {size}");
        }
    }
    // Without end, and without data.
    let (most, _) = held(100_000, 0);
    assert!(most <= 2 * LIMIT as u64, "{most}");
}

#[test]
fn what_was_kept_goes_as_soon_as_the_limit_is_passed() {
    let (most, in_the_end) = held(LIMIT / FRAME, FRAME);
    assert!(most >= LIMIT as u64 && in_the_end >= i64::try_from(LIMIT).unwrap(), "it is all kept: {in_the_end}");
    let mut first = ReplayBody::new(Fresh { left: usize::MAX, size: FRAME }, LIMIT);
    let _copy = first.try_clone().unwrap();
    let kept = measure(|| (0..LIMIT / FRAME).for_each(|_| drop(read(&mut first))));
    let passing = measure(|| drop(read(&mut first)));
    assert!(passing.bytes_current + kept.bytes_current <= 0, "{} are left", passing.bytes_current + kept.bytes_current);
    let beyond = measure(|| (0..100).for_each(|_| drop(read(&mut first))));
    assert!((beyond.bytes_current, beyond.bytes_max) <= (0, 2 * FRAME as u64));
}

const LIMIT: usize = 1 << 20;
const FRAME: usize = 4096;
/// Of a frame, in a vector that doubles, and what a buffer takes besides its bytes.
const PLACE: usize = 160;
