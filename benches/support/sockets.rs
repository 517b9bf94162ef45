//! An API and its token endpoint on this machine, in their own thread, and a client for them.

use std::{io, net::SocketAddr, thread, time::Duration};

use bytes::Bytes;
use http::{Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{net::TcpListener, runtime::Builder, time::sleep};
use tower::{Service, ServiceExt};
use tower_outbound_auth::BoxError;

pub(crate) type Client = legacy::Client<HttpConnector, Full<Bytes>>;

/// Starts the servers, which run until the program ends.
pub(crate) fn serve() -> io::Result<SocketAddr> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    thread::spawn(move || runtime.block_on(accept(listener)));
    Ok(address)
}

async fn accept(listener: std::net::TcpListener) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(async move {
            let server = auto::Builder::new(TokioExecutor::new());
            drop(server.serve_connection(TokioIo::new(stream), service_fn(respond)).await);
        });
    }
}

#[expect(clippy::disallowed_methods, reason = "the endpoint is slow in real time")]
async fn respond(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, BoxError> {
    if request.uri().path() != "/token" {
        return Ok(Response::new(Full::from(RESPONSE)));
    }
    request.into_body().collect().await?;
    sleep(LATENCY).await;
    let token = format!(r#"{{"access_token":"{}","token_type":"Bearer","expires_in":3600}}"#, "t".repeat(800));
    Ok(Response::new(Full::from(token)))
}

pub(crate) fn client(http2: bool) -> Client {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    legacy::Client::builder(TokioExecutor::new()).http2_only(http2).build(connector)
}

/// Sends a request and reads the whole response.
pub(crate) async fn exchange<S, B, E>(client: S, uri: Uri) -> Result<(), BoxError>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>, Error = E>,
    B: http_body::Body<Error: Into<BoxError>>,
    E: Into<BoxError>,
{
    let mut request = Request::new(Full::from(REQUEST));
    *request.uri_mut() = uri;
    *request.method_mut() = http::Method::POST;
    let response = client.oneshot(request).await.map_err(Into::into)?;
    let status = response.status();
    response.into_body().collect().await.map_err(Into::into)?;
    if status == StatusCode::OK { Ok(()) } else { Err(format!("the server answered {status}").into()) }
}

const LATENCY: Duration = Duration::from_millis(50);
const REQUEST: &str = r#"{"from":"2026-11-01","to":"2026-11-27","type":"settlement"}"#;
const RESPONSE: &str = r#"{"id":"0a1b2c3d","state":"done","pages":[1,2,3]}"#;
