//! A response that ends after half of its body.

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

use super::connection::ConnectionControl;

/// Closes the connection after half of the response's body.
pub(super) async fn cut_off(response: Response, control: &Arc<ConnectionControl>) -> Response {
    let (mut head, body) = response.into_parts();
    let whole = to_bytes(body, usize::MAX).await.unwrap_or_default();
    head.headers.insert(CONTENT_LENGTH, HeaderValue::from(whole.len()));
    let half = HalfBody { half: Some(whole.slice(..whole.len() / 2)), close_at: 0, control: Arc::clone(control) };
    Response::from_parts(head, Body::new(half))
}

struct HalfBody {
    half: Option<Bytes>,
    close_at: u64,
    control: Arc<ConnectionControl>,
}

impl HttpBody for HalfBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(half) = self.half.take() {
            self.close_at = self.control.written() + half.len() as u64;
            return Poll::Ready(Some(Ok(Frame::data(half))));
        }
        self.control.close_at(self.close_at);
        // No wake-up is needed: once the half is written, the connection is dropped, and this body with it.
        Poll::Pending
    }
}
