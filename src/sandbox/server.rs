//! The accept loop, and HTTP/1.1 or HTTP/2 on each connection.

use std::{
    future::{Future, poll_fn},
    io,
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Duration,
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
    connection::{ConnectionControl, Socket},
    exchange::Exchange,
};
use crate::time;

/// Accepts connections until it is dropped, which closes them.
pub(super) async fn run(listener: TcpListener, exchange: Exchange) {
    let mut connections = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                exchange.count_connection();
                connections.spawn(serve(stream, exchange.clone()));
            }
            // The client has gone away already.
            Err(error) if GONE.contains(&error.kind()) => task::yield_now().await,
            // No file descriptor is left, which passes.
            Err(_) => match time::sleep(PAUSE) {
                Some(pause) => pause.await,
                None => task::yield_now().await,
            },
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(stream: TcpStream, exchange: Exchange) {
    // It only makes responses faster, so an error does not matter.
    let _ = stream.set_nodelay(true);
    let control = Arc::new(ConnectionControl::default());
    let socket = TokioIo::new(Socket::new(stream, Arc::clone(&control)));
    let service = TowerToHyperService::new(exchange.on(Arc::clone(&control)));
    let builder = auto::Builder::new(TokioExecutor::new());
    let mut connection = pin!(builder.serve_connection(socket, service));
    let mut closed = pin!(control.closed());
    poll_fn(|cx| match closed.as_mut().poll(cx) {
        Poll::Ready(()) => Poll::Ready(()),
        // An error means that the client has gone away, or does not speak HTTP.
        Poll::Pending => connection.as_mut().poll(cx).map(drop),
    })
    .await;
}

const GONE: [io::ErrorKind; 2] = [io::ErrorKind::ConnectionAborted, io::ErrorKind::ConnectionReset];
/// Before it looks again whether it can accept a connection.
const PAUSE: Duration = Duration::from_millis(50);
