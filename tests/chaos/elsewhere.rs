//! A server that is none of the layers' business: answers everything, and counts the credentials that it should not get.

use std::{
    convert::Infallible,
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{net::TcpListener, task::JoinSet};

use crate::watch::carries_credentials;

#[derive(Debug)]
pub(crate) struct Elsewhere {
    pub(crate) origin: String,
    seen: Arc<Seen>,
    _tasks: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Seen {
    requests: AtomicU64,
    credentials: AtomicU64,
}

impl Elsewhere {
    pub(crate) async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let origin = format!("http://{}", listener.local_addr()?);
        let seen = Arc::new(Seen::default());
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, Arc::clone(&seen)));
        Ok(Self { origin, seen, _tasks: tasks })
    }

    pub(crate) fn requests(&self) -> u64 {
        self.seen.requests.load(SeqCst)
    }

    pub(crate) fn credentials(&self) -> u64 {
        self.seen.credentials.load(SeqCst)
    }
}

async fn serve(listener: TcpListener, seen: Arc<Seen>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let seen = Arc::clone(&seen);
        let answer = service_fn(move |request: Request<Incoming>| {
            seen.requests.fetch_add(1, SeqCst);
            seen.credentials.fetch_add(u64::from(carries_credentials(request.headers())), SeqCst);
            async { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"{}")))) }
        });
        connections.spawn(async move {
            let builder = auto::Builder::new(TokioExecutor::new());
            // An error is the client's affair: it went away.
            drop(builder.serve_connection(TokioIo::new(stream), answer).await);
        });
        while connections.try_join_next().is_some() {}
    }
}
