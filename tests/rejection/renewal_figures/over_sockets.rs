//! R5: two of the figures over real connections, in a tenth of the time. A machine may be slow, so that only counts are
//! asserted.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{Relaxed, SeqCst},
        },
    },
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{net::TcpListener, task::JoinSet, time::sleep};
use tower::{Layer, ServiceExt};
use tower_outbound_auth::{Auth, AuthLayer, BoxError, Credentials, oauth::ClientCredentialsGrant};

use super::world::millis;

type Http = Client<HttpConnector, Full<Bytes>>;

/// A token endpoint and an API on one port.
#[derive(Default)]
struct Server {
    /// Rejects each answer whose number is a multiple of this, if it is not 0.
    rejects_each: AtomicU64,
    is_down: AtomicBool,
    token_requests: AtomicU64,
    token_requests_under_way: AtomicU64,
    answers: AtomicU64,
    /// API requests that arrived while a token request was under way.
    meanwhile: AtomicU64,
}

impl Server {
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, BoxError> {
        let path = request.uri().path().to_owned();
        request.into_body().collect().await?;
        Ok(if path == "/token" { self.token().await? } else { self.api().await? })
    }

    async fn token(&self) -> http::Result<Response<Full<Bytes>>> {
        let number = self.token_requests.fetch_add(1, SeqCst) + 1;
        self.token_requests_under_way.fetch_add(1, SeqCst);
        sleep(millis(100)).await;
        self.token_requests_under_way.fetch_sub(1, SeqCst);
        if self.is_down.load(SeqCst) {
            return Response::builder().status(StatusCode::SERVICE_UNAVAILABLE).body(Full::default());
        }
        let token = format!(r#"{{"access_token":"token-{number}","token_type":"Bearer","expires_in":3600}}"#);
        Response::builder().body(Full::from(token))
    }

    async fn api(&self) -> http::Result<Response<Full<Bytes>>> {
        self.meanwhile.fetch_add(u64::from(self.token_requests_under_way.load(SeqCst) > 0), SeqCst);
        sleep(millis(20)).await;
        let nth = self.rejects_each.load(Relaxed);
        let rejects = nth > 0 && (self.answers.fetch_add(1, SeqCst) + 1).is_multiple_of(nth);
        let status = if rejects { StatusCode::UNAUTHORIZED } else { StatusCode::OK };
        Response::builder().status(status).body(Full::from("here you are"))
    }

    async fn listen(self: Arc<Self>) -> io::Result<SocketAddr> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = Arc::clone(&self);
                let answer = service_fn(move |request| Arc::clone(&server).answer(request));
                tokio::spawn(async move {
                    let builder = auto::Builder::new(TokioExecutor::new());
                    // An error is of the client: a call that fails is counted there.
                    drop(builder.serve_connection(TokioIo::new(stream), answer).await);
                });
            }
        });
        Ok(address)
    }
}

/// A server, and a client that holds its first token.
async fn start() -> Result<(Arc<Server>, Auth<Http>, String), BoxError> {
    let server = Arc::new(Server::default());
    let origin = format!("http://{}", Arc::clone(&server).listen().await?);
    let http: Http = Client::builder(TokioExecutor::new()).build_http();
    let grant = ClientCredentialsGrant::builder(&format!("{origin}/token"), Credentials::new("id", "secret"));
    let layer = AuthLayer::builder(grant.transport(http.clone()).build()?).origin(&origin).build()?;
    layer.handle().token().await?;
    Ok((server, layer.layer(http), origin))
}

/// So many callers with so many calls each: how many were served.
async fn load(client: &Auth<Http>, origin: &str, callers: usize, calls: usize) -> Result<usize, BoxError> {
    let mut tasks = JoinSet::new();
    for _ in 0..callers {
        let (client, url) = (client.clone(), format!("{origin}/reports"));
        tasks.spawn(async move {
            let mut served = 0;
            for _ in 0..calls {
                let response = client.clone().oneshot(Request::get(&url).body(Full::default())?).await?;
                served += usize::from(response.status() == StatusCode::OK);
                response.into_body().collect().await?;
            }
            Ok::<_, BoxError>(served)
        });
    }
    let mut served = 0;
    while let Some(caller) = tasks.join_next().await {
        served += caller??;
    }
    Ok(served)
}

#[tokio::test]
async fn r5_over_sockets_each_16th_rejection_leaves_the_others_their_token() -> Result<(), BoxError> {
    let (server, client, origin) = start().await?;
    server.rejects_each.store(16, Relaxed);
    let good = load(&client, &origin, 20, 100).await?;
    let (requests, meanwhile) = (server.token_requests.load(SeqCst), server.meanwhile.load(SeqCst));
    assert!(good * 5 >= 2_000 * 4, "{good} of 2000 served");
    assert!((2..=10).contains(&requests), "{requests} token requests");
    assert!(meanwhile > 20, "only {meanwhile} requests were sent while the token was renewed");
    Ok(())
}

#[tokio::test]
async fn r5_over_sockets_eight_of_nine_are_served_while_the_token_endpoint_is_down() -> Result<(), BoxError> {
    let (server, client, origin) = start().await?;
    server.is_down.store(true, SeqCst);
    server.rejects_each.store(10, Relaxed);
    let good = load(&client, &origin, 10, 90).await?;
    assert!(good * 9 >= 900 * 8, "{good} of 900 served");
    assert!(server.token_requests.load(SeqCst) > 1, "a renewal was tried");
    Ok(())
}
