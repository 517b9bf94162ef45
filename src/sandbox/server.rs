//! Listening: accepts connections and serves HTTP/1.1 or HTTP/2 on each, whichever the client speaks.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
    task::Poll,
};

use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::{self, JoinSet},
};

use super::{
    connection::{Line, Socket},
    exchange::Exchange,
};

/// Accepts for ever. The connections live in this future, and end when it is dropped.
pub(super) async fn run(listener: TcpListener, exchange: Exchange) {
    let mut connections = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                exchange.count_connection();
                connections.spawn(serve(stream, exchange.clone()));
            }
            // A client that is gone already, or no file descriptor left: neither is the end of the server.
            Err(_) => task::yield_now().await,
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(stream: TcpStream, exchange: Exchange) {
    // Only makes answers faster, so nothing is lost where the system refuses.
    let _ = stream.set_nodelay(true);
    let line = Arc::new(Line::default());
    let socket = TokioIo::new(Socket::new(stream, Arc::clone(&line)));
    let service = TowerToHyperService::new(exchange.on(Arc::clone(&line)));
    let builder = auto::Builder::new(TokioExecutor::new());
    let mut connection = pin!(builder.serve_connection(socket, service));
    let mut over = pin!(line.over());
    poll_fn(|cx| match over.as_mut().poll(cx) {
        Poll::Ready(()) => Poll::Ready(()),
        // An error is the client's affair: it went away, or does not speak HTTP.
        Poll::Pending => connection.as_mut().poll(cx).map(drop),
    })
    .await;
}
