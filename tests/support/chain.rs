//! The end of a chain of reqwest middlewares: answers in the place of reqwest, on paused time.
#![allow(dead_code, reason = "each test file uses some of it")]
#![allow(clippy::unwrap_used, reason = "a counterpart in a test may panic")]

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use http::{Extensions, HeaderMap};
use reqwest::{Request, Response, ResponseBuilderExt, Url};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware, Middleware, Next, Result};
use tower_outbound_auth::reqwest::AuthMiddleware;

/// What arrived at the end of the chain.
#[derive(Clone, Debug)]
pub(crate) struct Arrived {
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    /// `None` for a stream.
    pub(crate) body: Option<Vec<u8>>,
    pub(crate) timeout: Option<Duration>,
}

type AnswerFn = dyn Fn(&Arrived, &mut Extensions) -> Answer + Send + Sync;
type Answer = Pin<Box<dyn Future<Output = http::Response<String>> + Send>>;

#[derive(Clone)]
pub(crate) struct End {
    answer: Arc<AnswerFn>,
    arrived: Arc<Mutex<Vec<Arrived>>>,
}

impl End {
    pub(crate) fn new(answer: impl Fn(&Arrived, &mut Extensions) -> Answer + Send + Sync + 'static) -> Self {
        Self { answer: Arc::new(answer), arrived: Arc::default() }
    }

    pub(crate) fn arrived(&self) -> Vec<Arrived> {
        self.arrived.lock().unwrap().clone()
    }

    pub(crate) fn header(&self, name: &str) -> Vec<Option<String>> {
        let value = |arrived: Arrived| arrived.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        self.arrived().into_iter().map(value).collect()
    }

    pub(crate) fn client(&self, auth: impl Into<AuthMiddleware>) -> ClientWithMiddleware {
        ClientBuilder::new(plain()).with(auth.into()).with(self.clone()).build()
    }
}

#[async_trait::async_trait]
impl Middleware for End {
    async fn handle(&self, request: Request, extensions: &mut Extensions, _: Next<'_>) -> Result<Response> {
        let body = request.body().map_or(Some(&[][..]), |body| body.as_bytes()).map(<[u8]>::to_vec);
        let (url, headers, timeout) = (request.url().clone(), request.headers().clone(), request.timeout().copied());
        let arrived = Arrived { url: url.clone(), headers, body, timeout };
        self.arrived.lock().unwrap().push(arrived.clone());
        let mut response = (self.answer)(&arrived, extensions).await;
        let url = response.extensions_mut().remove::<Url>().unwrap_or(url);
        let marked = http::Response::builder().url(url).body(()).unwrap().into_parts().0.extensions;
        response.extensions_mut().extend(marked);
        Ok(response.into())
    }
}

/// Without a proxy from the environment.
pub(crate) fn plain() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap()
}

pub(crate) fn ready(status: u16, body: &str) -> Answer {
    let response = http::Response::builder().status(status).body(body.to_owned()).unwrap();
    Box::pin(std::future::ready(response))
}
