//! `SandboxService`: the server as a Tower service, without sockets.

use std::{
    fmt,
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
};

use axum::{
    body::{Body, HttpBody},
    response::Response,
};
use bytes::{Bytes, BytesMut};
use http::{Request, Uri};
use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt, combinators::BoxBody};
use tower_service::Service;

use super::{
    Sandbox,
    connection::ConnectionControl,
    exchange::Exchange,
    state::{Listener, ServerState},
};
use crate::error::BoxError;

/// Tower service that serves the requests of a [`Sandbox`] without sockets.
///
/// Returned by [`Sandbox::service`]. Use it as the
/// [`transport`](crate::oauth::ClientCredentialsGrantBuilder::transport) of a grant and as the inner service of a layer. A test
/// without sockets can run on tokio's paused clock, where waiting takes no time.
///
/// The checks, faults and counters are those of the server, except that no
/// [connection](super::Stats::connections) is counted. [`FaultKind::Reset`](super::FaultKind::Reset) is an error of the call,
/// and [`FaultKind::CutOff`](super::FaultKind::CutOff) an error of the response's body. Response and error have the
/// types of `HttpsClient` (feature `client`), so code for that client takes this service too.
///
/// # Errors
///
/// An [`io::Error`](std::io::Error) if a fault resets the connection, or if the origin of the URI is neither
/// [`api_origin`](crate::paynet::Environment::api_origin) nor [`download_origin`](Sandbox::download_origin). A URI without
/// an origin goes to the API.
///
/// # Example
///
/// See [`Sandbox::service`].
#[derive(Clone)]
pub struct SandboxService {
    shared: Arc<ServerState>,
    api: Exchange,
    downloads: Exchange,
}

impl Sandbox {
    /// Returns a Tower service that serves the same without sockets.
    ///
    /// It keeps working after the sandbox was dropped.
    ///
    /// # Example
    ///
    /// An outage of the token endpoint, on tokio's paused clock:
    ///
    /// ```
    /// use bytes::Bytes;
    /// use http::{Request, Response, StatusCode};
    /// use http_body_util::Full;
    /// use tower::{BoxError, ServiceBuilder, ServiceExt};
    /// use tower_outbound_auth::{
    ///     AuthError, AuthLayer,
    ///     oauth::ClientCredentialsGrant,
    ///     sandbox::{Fault, FaultKind, Sandbox},
    /// };
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), BoxError> {
    /// let sandbox = Sandbox::builder().api(|_| Response::new("hello")).start().await?;
    /// let environment = sandbox.environment();
    /// let grant = ClientCredentialsGrant::builder(environment.token_url(), sandbox.credentials())
    ///     .transport(sandbox.service())
    ///     .build()?;
    /// let auth = AuthLayer::builder(grant).origin(environment.api_origin()).build()?;
    /// let client = ServiceBuilder::new().layer(auth).service(sandbox.service());
    /// let greeting = || Request::get(format!("{}/greeting", environment.api_origin())).body(Full::<Bytes>::default());
    ///
    /// sandbox.inject(Fault::token(FaultKind::Status(StatusCode::SERVICE_UNAVAILABLE)).times(3));
    /// let error = client.clone().oneshot(greeting()?).await.err().ok_or("a token in an outage")?;
    /// assert!(AuthError::find(&*error).is_some_and(AuthError::is_transient));
    /// assert_eq!(sandbox.stats().token_requests, 3);
    ///
    /// tokio::time::sleep(std::time::Duration::from_secs(2)).await; // the backoff, which takes no time here
    /// assert_eq!(client.oneshot(greeting()?).await?.status(), 200);
    /// # Ok(()) }
    /// ```
    pub fn service(&self) -> SandboxService {
        let shared = Arc::clone(&self.shared);
        let (api, downloads) = (Exchange::new(Listener::Api, &shared), Exchange::new(Listener::Downloads, &shared));
        SandboxService { shared, api, downloads }
    }
}

impl SandboxService {
    fn exchange(&self, uri: &Uri) -> Result<Exchange, io::Error> {
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Ok(self.api.clone());
        };
        let ServerState { origin, download_origin, .. } = &*self.shared;
        let asked = format!("{scheme}://{authority}");
        if asked == *origin {
            Ok(self.api.clone())
        } else if asked == *download_origin {
            Ok(self.downloads.clone())
        } else {
            let text = format!("the sandbox serves {origin} and {download_origin}, not the origin of this request");
            Err(io::Error::new(io::ErrorKind::ConnectionRefused, text))
        }
    }
}

impl<B> Service<Request<B>> for SandboxService
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = http::Response<BoxBody<Bytes, BoxError>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let exchange = self.exchange(request.uri());
        Box::pin(async move {
            let control = Arc::new(ConnectionControl::default());
            let response = respond(exchange?.on(Arc::clone(&control)), request, &control).await?;
            let (head, body) = response.into_parts();
            Ok(http::Response::from_parts(head, received(body, &control).await.boxed()))
        })
    }
}

impl fmt::Debug for SandboxService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SandboxService")
            .field("api_origin", &self.shared.origin)
            .field("download_origin", &self.shared.download_origin)
            .finish_non_exhaustive()
    }
}

/// The response, unless a fault resets the connection.
async fn respond<B>(
    mut exchange: Exchange,
    request: Request<B>,
    control: &ConnectionControl,
) -> Result<Response, io::Error>
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let mut response = pin!(exchange.call(request));
    let mut closed = pin!(control.closed());
    poll_fn(|cx| match closed.as_mut().poll(cx) {
        Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
        Poll::Pending => response.as_mut().poll(cx).map(|Ok(response)| Ok(response)),
    })
    .await
}

/// What a client reads of a body, which is in memory already.
async fn received(body: Body, control: &ConnectionControl) -> ReceivedBody {
    let (mut body, mut data) = (pin!(body), BytesMut::new());
    loop {
        let frame = poll_fn(|cx| match body.as_mut().poll_frame(cx) {
            Poll::Pending if control.is_closing() => Poll::Ready(None),
            frame => frame,
        });
        match frame.await.and_then(Result::ok).and_then(|frame| frame.into_data().ok()) {
            Some(bytes) => data.extend_from_slice(&bytes),
            None => return ReceivedBody { data: data.freeze(), cut_off: control.is_closing() },
        }
    }
}

struct ReceivedBody {
    data: Bytes,
    cut_off: bool,
}

impl HttpBody for ReceivedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if !self.data.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.data)))));
        }
        let end = std::mem::take(&mut self.cut_off).then(|| {
            let text = "the connection was closed before the end of the body";
            Err(io::Error::new(io::ErrorKind::UnexpectedEof, text).into())
        });
        Poll::Ready(end)
    }

    fn is_end_stream(&self) -> bool {
        self.data.is_empty() && !self.cut_off
    }

    fn size_hint(&self) -> SizeHint {
        if self.cut_off { SizeHint::default() } else { SizeHint::with_exact(self.data.len() as u64) }
    }
}
