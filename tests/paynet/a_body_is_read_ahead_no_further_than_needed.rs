//! No more of a body is read ahead, and nothing is sent earlier, than has to be.

use std::{
    convert::Infallible,
    future::{Future, Ready, ready},
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

use http::{Request, Response, header::CONTENT_LENGTH};
use http_body::Frame;
use http_body_util::BodyExt;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_outbound_auth::{paynet::RejectionLayer, rejection::Rejection};

use crate::script::{MESSAGES, Script, through_layer};

#[tokio::test]
async fn a_body_in_256_frames_is_read_and_one_in_more_is_not() {
    let message = MESSAGES[0].0.as_bytes();
    for (empty, found) in [(255, true), (256, false)] {
        let frames = [vec![message], vec![&b""[..]; empty]].concat();
        let response = through_layer(400, Script::new(&frames, false)).await;
        assert_eq!(response.extensions().get::<Rejection>().is_some(), found, "{empty} empty frames");
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), message);
    }
}

#[tokio::test]
async fn reading_ahead_ends_where_a_body_proves_to_be_no_small_one() {
    let long = Script::new(&[&[b'x'; 4097], b"later"], false);
    let mut body = through_layer(400, long).await.into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap().len(), 4097);
    let next = pin!(body.frame()).poll(&mut Context::from_waker(Waker::noop())).is_pending();
    assert!(next, "the second frame was not asked for before");
    assert_eq!(body.collect().await.unwrap().to_bytes(), "later");
}

#[test]
fn a_content_length_that_is_large_hands_the_head_on_at_once() {
    let length = |values: &'static [&'static str]| {
        let service = RejectionLayer.layer(service_fn(move |_: Request<()>| {
            let mut response = Response::builder().status(400);
            for value in values {
                response = response.header(CONTENT_LENGTH, *value);
            }
            ready(response.body(Unsized))
        }));
        let mut response = pin!(service.oneshot(Request::new(())));
        match response.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(response) => Some(response.unwrap().extensions().get::<Rejection>().copied()),
            Poll::Pending => None,
        }
    };
    for values in
        [&["1000000"][..], &["4097"], &["18446744073709551616"], &["999999999999999999999"], &["1000000, 1000000"]]
    {
        assert_eq!(length(values), Some(None), "{values:?}");
    }
    assert_eq!(length(&["10", "1000000"]), Some(None));
    for values in [&[][..], &["0"], &["4096"], &["10, 10"], &["x"], &[""], &["-1"]] {
        assert_eq!(length(values), None, "{values:?}: the body is waited for");
    }
}

/// A body without a size hint that never comes.
struct Unsized;

impl http_body::Body for Unsized {
    type Data = bytes::Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<bytes::Bytes>, Infallible>>> {
        Poll::Pending
    }
}

/// A service that is never ready.
struct Busy;

impl Service<Request<()>> for Busy {
    type Response = Response<Script>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Script>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Pending
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        ready(Ok(Response::new(Script::new(&[], true))))
    }
}

#[test]
fn s9_it_is_ready_only_when_the_service_under_it_is() {
    let mut service = RejectionLayer.layer(Busy);
    assert!(service.poll_ready(&mut Context::from_waker(Waker::noop())).is_pending());
}
