//! Reads the body of a rejected response to its end, if that is near, so that its connection can be used again.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Buf;
use http_body::Body;
use pin_project_lite::pin_project;
use tokio::time::Sleep;

use crate::time;

pin_project! {
    /// Ready when the body has ended, failed, grown over 64 KiB or taken over 100 ms: to be dropped then.
    pub(crate) struct Discard<B> {
        #[pin]
        body: B,
        left: usize,
        limit: Option<Pin<Box<Sleep>>>,
    }
}

impl<B: Body> Discard<B> {
    pub(crate) fn new(body: B) -> Self {
        Self { body, left: MOST, limit: None }
    }
}

impl<B: Body> Future for Discard<B> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        while let Poll::Ready(frame) = this.body.as_mut().poll_frame(cx) {
            let Some(Ok(frame)) = frame else {
                return Poll::Ready(());
            };
            // An empty frame counts too, or a body of nothing else would never end.
            let read = frame.data_ref().map_or(0, Buf::remaining).max(1);
            match this.left.checked_sub(read) {
                Some(left) => *this.left = left,
                None => return Poll::Ready(()),
            }
        }
        if this.limit.is_none() {
            *this.limit = time::sleep(LONGEST).map(Box::pin);
        }
        match this.limit {
            Some(limit) => limit.as_mut().poll(cx),
            None => Poll::Ready(()),
        }
    }
}

/// What an error page may have at the most; a new connection is cheaper than more.
const MOST: usize = 64 * 1024;
const LONGEST: Duration = Duration::from_millis(100);
