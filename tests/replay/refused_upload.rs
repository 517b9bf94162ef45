//! An upload that comes in over time, and an API that refuses its first sending in one way or another.

use std::{
    ops::ControlFlow,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, header::AUTHORIZATION};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use tokio::{
    task::JoinHandle,
    time::{Sleep, sleep},
};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_outbound_auth::{BoxError, replay::ReplayBody};

use crate::support::{Issuer, ORIGIN, answer};

/// Ten frames of ten bytes, 10 ms apart, and trailers.
pub(crate) struct Upload {
    pub(crate) number: usize,
    pub(crate) breaks_at: usize,
    pub(crate) next: Pin<Box<Sleep>>,
}

impl Upload {
    pub(crate) fn new() -> Self {
        Self { number: 0, breaks_at: usize::MAX, next: Box::pin(sleep(PACE)) }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        ready!(self.next.as_mut().poll(cx));
        self.next = Box::pin(sleep(PACE));
        self.number += 1;
        Poll::Ready(match self.number {
            number if number == self.breaks_at => Some(Err("the disk is gone".into())),
            number @ 1..=10 => Some(Ok(Frame::data(Bytes::from(format!("frame {number:<4}"))))),
            11 => Some(Ok(Frame::trailers(trailers()))),
            _ => None,
        })
    }
}

pub(crate) fn trailers() -> HeaderMap {
    HeaderMap::from_iter([(http::HeaderName::from_static("x-sum"), http::HeaderValue::from_static("55"))])
}

pub(crate) fn all() -> String {
    (1..=10).map(|number| format!("frame {number:<4}")).collect::<Vec<_>>().concat()
}

pub(crate) type Streamed = ReplayBody<Upload>;

pub(crate) type Answered = Result<Response<Full<Bytes>>, BoxError>;

/// What a sending came to: the bytes, the trailers, and the error that ended it.
pub(crate) type Received = (String, Option<HeaderMap>, Option<String>);

/// What the API does with the body of a request whose token it refuses.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Refusal {
    /// Answers once it has read so many frames, then holds on to the body and reads no more.
    Stalls(usize),
    /// The same, but lets go of the body.
    Drops(usize),
    /// Answers once it has read so many, and reads on all the same.
    ReadsOn(usize),
}

/// An API that refuses `token-1`, and takes 30 ms until it begins to read a body.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) refusal: Refusal,
    pub(crate) tokens: Arc<Mutex<Vec<String>>>,
    pub(crate) held: Arc<Mutex<Vec<Streamed>>>,
    pub(crate) reading: Arc<Mutex<Option<JoinHandle<Received>>>>,
    pub(crate) second: Arc<Mutex<Option<Received>>>,
}

impl Api {
    pub(crate) fn new(refusal: Refusal) -> Self {
        Self { refusal, tokens: Arc::default(), held: Arc::default(), reading: Arc::default(), second: Arc::default() }
    }

    pub(crate) fn service(
        &self,
    ) -> impl Service<Request<Streamed>, Response = Response<Full<Bytes>>, Error = BoxError, Future: Send> + Clone + use<>
    {
        let api = self.clone();
        service_fn(move |request| api.clone().answer(request))
    }

    pub(crate) async fn answer(self, request: Request<Streamed>) -> Answered {
        let token = request.headers().get(AUTHORIZATION).unwrap().to_str().unwrap().to_owned();
        self.tokens.lock().unwrap().push(token.clone());
        sleep(Duration::from_millis(30)).await;
        let mut body = request.into_body();
        if token != "Bearer token-1" {
            *self.second.lock().unwrap() = Some(receive(body, String::new()).await);
            return Ok(answer(StatusCode::OK));
        }
        let (Refusal::Stalls(frames) | Refusal::Drops(frames) | Refusal::ReadsOn(frames)) = self.refusal;
        let mut text = String::new();
        for _ in 0..frames {
            if read(&mut body, &mut text).await.is_break() {
                break;
            }
        }
        match self.refusal {
            Refusal::Stalls(_) => self.held.lock().unwrap().push(body),
            Refusal::Drops(_) => {}
            Refusal::ReadsOn(_) => *self.reading.lock().unwrap() = Some(tokio::spawn(receive(body, text))),
        }
        Ok(answer(StatusCode::UNAUTHORIZED))
    }

    /// What the first sending, on which the API read on, came to.
    pub(crate) async fn first(&self) -> Received {
        let reading = self.reading.lock().unwrap().take().unwrap();
        reading.await.unwrap()
    }

    pub(crate) fn second(&self) -> Option<Received> {
        self.second.lock().unwrap().clone()
    }

    pub(crate) fn tokens(&self) -> usize {
        self.tokens.lock().unwrap().len()
    }
}

pub(crate) type Last = (Option<HeaderMap>, Option<String>);

pub(crate) async fn read(body: &mut Streamed, text: &mut String) -> ControlFlow<Last> {
    match body.frame().await {
        Some(Ok(frame)) => match frame.into_data() {
            Ok(data) => text.push_str(std::str::from_utf8(&data).unwrap()),
            Err(frame) => return ControlFlow::Break((frame.into_trailers().ok(), None)),
        },
        Some(Err(error)) => return ControlFlow::Break((None, Some(error.to_string()))),
        None => return ControlFlow::Break((None, None)),
    }
    ControlFlow::Continue(())
}

pub(crate) async fn receive(mut body: Streamed, mut text: String) -> Received {
    loop {
        if let ControlFlow::Break((trailers, error)) = read(&mut body, &mut text).await {
            return (text, trailers, error);
        }
    }
}

pub(crate) fn whole() -> Received {
    (all(), Some(trailers()), None)
}

pub(crate) fn put(body: Streamed) -> Request<Streamed> {
    Request::put(format!("{ORIGIN}/upload")).body(body).unwrap()
}

/// One upload with this limit, which the API refuses in this way.
pub(crate) async fn upload(refusal: Refusal, limit: usize, issuer: &Issuer) -> (Api, Response<Full<Bytes>>) {
    let api = Api::new(refusal);
    let response = issuer.layer().layer(api.service()).oneshot(put(ReplayBody::new(Upload::new(), limit))).await;
    (api, response.unwrap())
}

pub(crate) const PACE: Duration = Duration::from_millis(10);

/// More than the upload.
pub(crate) const AMPLE: usize = 1_000;
