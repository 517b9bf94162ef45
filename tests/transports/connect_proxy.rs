//! A forward proxy that makes tunnels by `CONNECT`, passes other requests on, knows one server, and remembers what it was
//! asked.
#![expect(clippy::unwrap_used, reason = "a counterpart in a test may panic")]

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{self, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tower_outbound_auth::BoxError;

use crate::support::authority::Tls;

#[derive(Clone)]
pub(crate) struct ConnectProxy {
    /// Where each tunnel ends, whatever the name.
    server: SocketAddr,
    tls: Option<Tls>,
    /// What it answers; a tunnel only if that is 200.
    answer: &'static str,
    asked: Arc<Mutex<Vec<String>>>,
}

impl ConnectProxy {
    pub(crate) fn to(server: SocketAddr) -> Self {
        Self { server, tls: None, answer: "200 Connection established", asked: Arc::default() }
    }

    pub(crate) fn with_tls(self, tls: Tls) -> Self {
        Self { tls: Some(tls), ..self }
    }

    pub(crate) fn answering(self, answer: &'static str) -> Self {
        Self { answer, ..self }
    }

    /// The heads of requests so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    /// Listens until the test's runtime ends.
    pub(crate) async fn listen(&self) -> io::Result<SocketAddr> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (proxy, address) = (self.clone(), listener.local_addr()?);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(proxy.clone().serve(stream));
            }
        });
        Ok(address)
    }

    async fn serve(self, stream: TcpStream) -> Result<(), BoxError> {
        match &self.tls {
            None => self.tunnel(stream).await,
            Some(tls) => {
                let stream = tls.accept(stream).await?;
                let (_, session) = stream.get_ref();
                let shown = session.peer_certificates().is_some() || session.alpn_protocol() == Some(b"h2");
                if shown { Err("a certificate, or HTTP/2".into()) } else { self.tunnel(stream).await }
            }
        }
    }

    async fn tunnel(&self, mut client: impl AsyncRead + AsyncWrite + Unpin) -> Result<(), BoxError> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(client.read_u8().await?);
        }
        self.asked.lock().unwrap().push(String::from_utf8(head.clone())?);
        let (is_tunnel, is_allowed) = (head.starts_with(b"CONNECT "), self.answer.starts_with("200"));
        if is_tunnel || !is_allowed {
            let length = if is_tunnel { "" } else { "content-length: 0\r\n" };
            client.write_all(format!("HTTP/1.1 {}\r\n{length}\r\n", self.answer).as_bytes()).await?;
        }
        if is_allowed {
            let mut server = TcpStream::connect(self.server).await?;
            if !is_tunnel {
                server.write_all(&head).await?;
            }
            io::copy_bidirectional(&mut client, &mut server).await?;
        }
        Ok(())
    }
}
