//! The token source as an HTTP/1.1 server on loopback, in its own thread.

use std::{
    convert::Infallible,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    thread,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::{net::TcpListener, runtime::Builder, sync::oneshot};
use tower_outbound_auth::BoxError;

use crate::world::{Issued, Issuer};

/// Server that ends when it is dropped.
pub(crate) struct Endpoint {
    address: SocketAddr,
    _stop: oneshot::Sender<()>,
}

impl Endpoint {
    pub(crate) fn start(issuer: Arc<Issuer>) -> Result<Self, BoxError> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let (address, (stop, stopped)) = (listener.local_addr()?, oneshot::channel());
        let runtime = Builder::new_current_thread().enable_all().build()?;
        thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = stopped => {}
                    () = serve(listener, issuer) => {}
                }
            });
        });
        Ok(Self { address, _stop: stop })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

async fn serve(listener: std::net::TcpListener, issuer: Arc<Issuer>) {
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    while let Ok((connection, _)) = listener.accept().await {
        let issuer = Arc::clone(&issuer);
        tokio::spawn(async move {
            let _ = connection.set_nodelay(true);
            let service = service_fn(|request| respond(request, &issuer));
            let _ = http1::Builder::new().serve_connection(TokioIo::new(connection), service).await;
        });
    }
}

async fn respond(request: Request<Incoming>, issuer: &Issuer) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    let _ = request.into_body().collect().await;
    Ok(response(issuer.issue().await, if path == EXEC { exec_credential } else { token_response }))
}

/// Returns a 200 with JSON, or a 503 without a token.
pub(crate) fn response(issued: Option<Issued>, json: fn(&Issued) -> String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    match issued {
        Some(issued) => *response.body_mut() = json(&issued).into(),
        None => *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE,
    }
    response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    response
}

/// Token response (RFC 6749, section 5.1).
pub(crate) fn token_response(issued: &Issued) -> String {
    json!({ "access_token": issued.token, "token_type": "Bearer", "expires_in": issued.seconds }).to_string()
}

/// The output of a Kubernetes credential plugin.
fn exec_credential(issued: &Issued) -> String {
    let end = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(i64::try_from(issued.seconds).unwrap_or(0));
    json!({
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": { "token": issued.token, "expirationTimestamp": end.to_string() },
    })
    .to_string()
}

/// Runs this program as a credential plugin: prints the endpoint's response.
pub(crate) fn plugin(address: &str) -> Result<(), BoxError> {
    let mut connection = TcpStream::connect(address)?;
    write!(connection, "GET {EXEC} HTTP/1.0\r\n\r\n")?;
    let mut response = String::new();
    connection.read_to_string(&mut response)?;
    match response.split_once("\r\n\r\n") {
        Some((head, body)) if head.contains(" 200 ") => {
            println!("{body}");
            Ok(())
        }
        _ => Err("no token".into()),
    }
}

pub(crate) const EXEC: &str = "/exec";
pub(crate) const TOKEN: &str = "/token";
