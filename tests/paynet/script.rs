//! A body that follows a script, and the layer that reads it ahead.

use std::{
    collections::VecDeque,
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf, Bytes};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use tower::{Layer, ServiceExt};
use tower_outbound_auth::{
    paynet::{PeekedBody, RejectionLayer},
    rejection::Rejection,
};

/// Data in several pieces, of which one can be looked at.
#[derive(Clone)]
pub(crate) struct Pieces(pub(crate) VecDeque<Bytes>);

impl Buf for Pieces {
    fn remaining(&self) -> usize {
        self.0.iter().map(Bytes::len).sum()
    }

    fn chunk(&self) -> &[u8] {
        self.0.front().map_or(&[], |piece| piece)
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
    }
}

pub(crate) async fn through_layer<B: Body>(status: u16, body: B) -> Response<PeekedBody<B>> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    passed_on(response).await
}

/// The response as it comes out of the layer.
pub(crate) async fn passed_on<B: Body>(response: Response<B>) -> Response<PeekedBody<B>> {
    let mut response = Some(response);
    let answer =
        tower::service_fn(move |_: Request<()>| std::future::ready(Ok::<_, Infallible>(response.take().unwrap())));
    RejectionLayer.layer(answer).oneshot(Request::new(())).await.unwrap()
}

/// A body that follows a script.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    pub(crate) steps: VecDeque<Step>,
    /// Whether it knows its length, as with `Content-Length`.
    pub(crate) exact: bool,
    /// The rejection that a layer finds in it, if it may read it.
    pub(crate) reports: Option<Rejection>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Step {
    Data(Bytes),
    Trailers,
    Error,
    Pending,
}

impl Script {
    pub(crate) fn new(frames: &[&[u8]], exact: bool) -> Self {
        let steps =
            frames.iter().flat_map(|frame| [Step::Pending, Step::Data(Bytes::copy_from_slice(frame))]).collect();
        Self { steps, exact, reports: None }
    }

    pub(crate) fn text(&self) -> Vec<u8> {
        self.steps.iter().flat_map(|step| step.data().to_vec()).collect()
    }
}

impl Step {
    pub(crate) fn data(&self) -> &[u8] {
        if let Self::Data(data) = self { data } else { &[] }
    }
}

impl Body for Script {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        Poll::Ready(match self.steps.pop_front() {
            None => None,
            Some(Step::Data(data)) => Some(Ok(Frame::data(data))),
            Some(Step::Trailers) => Some(Ok(Frame::trailers(HeaderMap::new()))),
            Some(Step::Error) => Some(Err("the connection broke")),
            Some(Step::Pending) => {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.steps.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        if self.exact { SizeHint::with_exact(self.text().len() as u64) } else { SizeHint::default() }
    }
}

pub(crate) const MESSAGES: [(&str, Rejection); 2] = [
    ("Access to this resource is forbidden", Rejection::Token),
    ("Timestamp not within valid range", Rejection::ClockSkew),
];
