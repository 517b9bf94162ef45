//! The cut-off answer: a head that promises a body, half of that body, and the end of the connection.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{
    body::{Body, HttpBody, to_bytes},
    response::Response,
};
use bytes::Bytes;
use http::{HeaderValue, header::CONTENT_LENGTH};
use http_body::Frame;

use super::connection::Line;

/// Makes an answer end, and its connection with it, after half of the body.
pub(super) async fn cut_off(response: Response, line: &Arc<Line>) -> Response {
    let (mut head, body) = response.into_parts();
    let whole = to_bytes(body, usize::MAX).await.unwrap_or_default();
    head.headers.insert(CONTENT_LENGTH, HeaderValue::from(whole.len()));
    let half = HalfBody { half: Some(whole.slice(..whole.len() / 2)), end_at: 0, line: Arc::clone(line) };
    Response::from_parts(head, Body::new(half))
}

struct HalfBody {
    half: Option<Bytes>,
    end_at: u64,
    line: Arc<Line>,
}

impl HttpBody for HalfBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(half) = self.half.take() {
            self.end_at = self.line.written() + half.len() as u64;
            return Poll::Ready(Some(Ok(Frame::data(half))));
        }
        self.line.end_at(self.end_at);
        // Nothing wakes this body again: once the half is written, the connection goes, and the body with it.
        Poll::Pending
    }
}
