//! R4, R7 and R10 for uploads over real sockets, to a server that refuses them while they are under way.

use std::{
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{
    Request, Response, StatusCode, Version,
    header::{AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HeaderName},
};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{
    net::TcpListener,
    sync::mpsc,
    time::{sleep, timeout},
};
use tower::{Layer, ServiceExt};
use tower_outbound_auth::{AuthLayer, BoxError, rejection::NotReplayed, replay::ReplayBody};

use crate::support::Issuer;

/// An upload whose frames the test hands in as they come.
struct Frames(mpsc::Receiver<Bytes>);

impl Body for Frames {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.0.poll_recv(cx).map(|frame| frame.map(|data| Ok(Frame::data(data))))
    }
}

/// A server that reads so many bytes of an upload with a wrong token, answers 401 and reads no further. It keeps an HTTP/1
/// connection open, which is of no more use; of HTTP/2, the stream ends. It tells of each such answer.
#[derive(Clone)]
struct Server {
    issuer: Issuer,
    reads: usize,
    is_short: bool,
    held: Arc<Mutex<Vec<Incoming>>>,
    refused: mpsc::UnboundedSender<()>,
}

impl Server {
    async fn start(
        issuer: &Issuer,
        reads: usize,
        is_short: bool,
    ) -> Result<(SocketAddr, mpsc::UnboundedReceiver<()>), BoxError> {
        let (refused, told) = mpsc::unbounded_channel();
        let server = Self { issuer: issuer.clone(), reads, is_short, held: Arc::default(), refused };
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = server.clone();
                let service = service_fn(move |request| server.clone().answer(request));
                tokio::spawn(async move {
                    auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await
                });
            }
        });
        Ok((address, told))
    }

    async fn answer(self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, BoxError> {
        let token = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let (version, length) = (request.version(), request.headers().get(CONTENT_LENGTH).cloned());
        let mut body = request.into_body();
        if token.is_some_and(|token| self.issuer.knows(&token)) {
            let mut echo = Response::new(Full::new(body.collect().await?.to_bytes()));
            echo.headers_mut().extend(length.map(|length| (UPLOAD_LENGTH, length)));
            return Ok(echo);
        }
        let mut read = 0;
        while read < self.reads {
            let frame = body.frame().await.ok_or("a short upload")??;
            read += frame.data_ref().map_or(0, Bytes::len);
        }
        let mut refusal = Response::builder().status(StatusCode::UNAUTHORIZED);
        if version == Version::HTTP_11 {
            self.held.lock().unwrap().push(body);
            // A client that has sent all of a short upload would take the connection for a free one.
            refusal = if self.is_short { refusal.header(CONNECTION, "close") } else { refusal };
        }
        self.refused.send(())?;
        Ok(refusal.body(Full::default())?)
    }
}

/// Sends this upload, the last part of which comes only once the first sending has been refused.
async fn upload(parts: [Bytes; 2], limit: usize, http2: bool, reads: usize) -> Result<Outcome, BoxError> {
    let issuer = Issuer::new();
    issuer.set(|settings| settings.latency = Duration::ZERO);
    let (address, mut refused) = Server::start(&issuer, reads, parts.concat().len() < MIB).await?;
    let layer = AuthLayer::builder(issuer.clone()).origin(&format!("http://{address}")).build()?;
    layer.handle().token().await?;
    issuer.revoke();
    let (frames, body) = mpsc::channel(1);
    let [early, late] = parts;
    let producer = tokio::spawn(async move {
        for part in early.chunks(FRAME) {
            frames.send(early.slice_ref(part)).await?;
        }
        refused.recv().await;
        for part in late.chunks(FRAME) {
            frames.send(late.slice_ref(part)).await?;
        }
        Ok::<_, BoxError>(())
    });
    let client = Client::builder(TokioExecutor::new()).http2_only(http2).build_http();
    let request = Request::put(format!("http://{address}/upload")).body(ReplayBody::new(Frames(body), limit))?;
    let response = timeout(Duration::from_secs(60), layer.layer(client).oneshot(request)).await??;
    let (status, mark) = (response.status(), response.extensions().get().copied());
    let echo = timeout(Duration::from_secs(60), response.into_body().collect()).await??.to_bytes();
    // Where the request is not replayed, the renewal is not waited for.
    timeout(Duration::from_secs(60), async {
        while issuer.requests() < 2 {
            sleep(Duration::from_millis(1)).await;
        }
    })
    .await?;
    producer.abort();
    Ok(Outcome { status, mark, echo, tokens: issuer.requests() })
}

struct Outcome {
    status: StatusCode,
    mark: Option<NotReplayed>,
    echo: Bytes,
    tokens: u64,
}

/// Bytes of which no two neighboring frames are alike.
fn bytes(length: usize) -> Bytes {
    (0_u32..).flat_map(u32::to_be_bytes).take(length).collect()
}

const UPLOAD_LENGTH: HeaderName = HeaderName::from_static("x-upload-length");
const FRAME: usize = 10_000;
const MIB: usize = 1 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn r10_an_upload_that_is_refused_while_it_comes_in_arrives_whole_the_second_time() -> Result<(), BoxError> {
    for http2 in [false, true] {
        // More than the buffers between here and there hold, so that the first sending stalls; and one that is not
        // there yet.
        for (early, late) in [(20 * MIB, 20 * MIB), (3 * FRAME, 5 * FRAME), (FRAME, 0), (0, FRAME)] {
            let all = bytes(early + late);
            let parts = [all.slice(..early), all.slice(early..)];
            let outcome = upload(parts, 64 * MIB, http2, early.min(FRAME / 2)).await?;
            assert_eq!((outcome.status, outcome.tokens), (StatusCode::OK, 2), "{early}, {late}, {http2}");
            assert!(outcome.echo == all, "{} bytes of {} arrived: {http2}", outcome.echo.len(), all.len());
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn r7_an_upload_beyond_its_limit_is_refused_to_its_caller_and_the_token_renewed() -> Result<(), BoxError> {
    for http2 in [false, true] {
        let all = bytes(2 * MIB);
        let outcome = upload([all.slice(..MIB), all.slice(MIB..)], MIB / 2, http2, MIB - FRAME).await?;
        assert_eq!(outcome.status, StatusCode::UNAUTHORIZED);
        assert_eq!((outcome.mark, outcome.tokens), (Some(NotReplayed::BodyNotReplayable), 2), "{http2}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn r4_a_body_that_knows_its_length_is_replayed_with_it() -> Result<(), BoxError> {
    for http2 in [false, true] {
        let issuer = Issuer::new();
        let (address, _refused) = Server::start(&issuer, 0, true).await?;
        let layer = AuthLayer::builder(issuer.clone()).origin(&format!("http://{address}")).build()?;
        layer.handle().token().await?;
        issuer.revoke();
        let client = Client::builder(TokioExecutor::new()).http2_only(http2).build_http();
        let body = ReplayBody::new(Full::new(bytes(100)), 100);
        let request = Request::put(format!("http://{address}/upload")).body(body)?;
        let response = timeout(Duration::from_secs(60), layer.layer(client).oneshot(request)).await??;
        assert_eq!(response.headers().get(UPLOAD_LENGTH).ok_or("no length")?, "100", "{http2}");
        assert_eq!(response.into_body().collect().await?.to_bytes(), bytes(100));
    }
    Ok(())
}
