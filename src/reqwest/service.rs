//! `ReqwestService`: reqwest's client as a Tower service of `http::Request`.

use std::{
    any::Any,
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use ::reqwest::{Client, Error, Request};
use bytes::Bytes;
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::response::into_http;
use crate::error::BoxError;

/// Tower service of `http::Request` that sends by a [`reqwest::Client`](Client).
///
/// For a Tower stack around reqwest, and as the [`transport`](crate::oauth::ClientCredentialsGrantBuilder::transport) of
/// token requests, when they need reqwest's proxies or certificates. Give the transport a separate client, without
/// redirects. It is always ready.
///
/// The extensions of a request are kept, so an `http::Request` that was made from a `reqwest::Request` keeps its timeout. The
/// extensions of a response have its URL, so `reqwest::Response::from(response)` has it, too. A body is sent as a stream,
/// unless it is empty or a `reqwest::Body`; reqwest does not send a stream a second time when it is redirected with a 307
/// or 308.
///
/// # Errors
///
/// Those of reqwest; one with `is_builder()` for a URI without scheme or host.
///
/// # Example
///
/// ```no_run
/// use http::Request;
/// use reqwest::redirect::Policy;
/// use tower::{ServiceBuilder, ServiceExt};
/// use tower_outbound_auth::{
///     AuthLayer, BoxError, Credentials,
///     oauth::ClientCredentialsGrant,
///     reqwest::{ReqwestService, redirect_policy},
/// };
///
/// # async fn orders(credentials: Credentials) -> Result<(), BoxError> {
/// let transport = reqwest::Client::builder().redirect(Policy::none()).build()?;
/// let grant = ClientCredentialsGrant::builder("https://login.example.com/oauth/token", credentials)
///     .transport(ReqwestService::new(transport))
///     .build()?;
/// let auth = AuthLayer::builder(grant).origin("https://api.example.com").build()?;
///
/// let client = reqwest::Client::builder().redirect(redirect_policy()).build()?;
/// let client = ServiceBuilder::new().layer(auth).service(ReqwestService::new(client));
/// let response = client.oneshot(Request::get("https://api.example.com/orders").body(String::new())?).await?;
/// println!("{}: {}", response.status(), reqwest::Response::from(response).text().await?);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct ReqwestService {
    client: Client,
}

impl ReqwestService {
    /// Wraps a client. Clones share its connections.
    pub fn new(client: Client) -> Self {
        Self { client }
    }
}

impl<B> Service<http::Request<B>> for ReqwestService
where
    B: Body + Send + Sync + 'static,
    B::Data: Into<Bytes>,
    B::Error: Into<BoxError>,
{
    type Response = http::Response<::reqwest::Body>;
    type Error = Error;
    type Future = ReqwestFuture;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> ReqwestFuture {
        let state = match Request::try_from(request.map(into_reqwest)) {
            Ok(request) => State::Sending { response: self.client.call(request) },
            Err(error) => State::Failed { error: Some(error) },
        };
        ReqwestFuture { state }
    }
}

pin_project! {
    /// Response future of a [`ReqwestService`].
    pub struct ReqwestFuture {
        #[pin]
        state: State,
    }
}

pin_project! {
    #[project = StateProj]
    enum State {
        Sending { #[pin] response: <Client as Service<Request>>::Future },
        Failed { error: Option<Error> },
    }
}

impl Future for ReqwestFuture {
    type Output = Result<http::Response<::reqwest::Body>, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Sending { response } => response.poll(cx).map_ok(into_http),
            // `None` only if polled after completion.
            StateProj::Failed { error } => error.take().map_or(Poll::Pending, |error| Poll::Ready(Err(error))),
        }
    }
}

impl fmt::Debug for ReqwestFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReqwestFuture").finish_non_exhaustive()
    }
}

/// A body that reqwest can send again, where that is possible.
fn into_reqwest<B>(body: B) -> ::reqwest::Body
where
    B: Body + Send + Sync + 'static,
    B::Data: Into<Bytes>,
    B::Error: Into<BoxError>,
{
    let mut body = Some(body);
    let as_it_is = (&mut body as &mut dyn Any).downcast_mut::<Option<::reqwest::Body>>().and_then(Option::take);
    match (as_it_is, body) {
        (Some(body), _) => body,
        (None, Some(body)) if !body.is_end_stream() => ::reqwest::Body::wrap(body),
        (None, _) => ::reqwest::Body::default(),
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;

    use super::*;

    #[test]
    fn reqwest_can_send_a_body_again_if_it_is_empty_or_one_of_its_own_in_memory() {
        let is_in_memory = |body: ::reqwest::Body| body.as_bytes().is_some();
        assert!(is_in_memory(into_reqwest(Full::<Bytes>::default())));
        assert!(is_in_memory(into_reqwest(::reqwest::Body::from("text"))));
        assert!(!is_in_memory(into_reqwest(Full::<Bytes>::from("text"))));
    }
}
