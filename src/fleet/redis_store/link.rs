//! One connection: a command, then its answer.

use std::{io, sync::Arc};

use bytes::BytesMut;
use redis::{Cmd, ErrorKind, RedisError, Value};
use rustls::{ClientConfig, pki_types::ServerName};
use secrecy::ExposeSecret;
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

use super::address::{Access, Place, Server};

/// A connection that is authenticated, with its database selected.
///
/// It is used by one command at a time. One that was left in the middle of a command is dropped, and so closed.
pub(super) struct Link {
    stream: Box<dyn Duplex>,
}

trait Duplex: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin> Duplex for S {}

impl Link {
    pub(super) async fn open(
        server: &Server,
        access: &Access,
        tls: Option<&Arc<ClientConfig>>,
    ) -> Result<Self, RedisError> {
        let mut link = Self { stream: stream(server, tls).await? };
        if let Some(password) = &access.password {
            let mut auth = redis::cmd("AUTH");
            if let Some(user) = &access.user {
                auth.arg(user);
            }
            link.command(auth.arg(password.expose_secret())).await?;
        }
        if access.database != 0 {
            link.command(redis::cmd("SELECT").arg(access.database)).await?;
        }
        Ok(link)
    }

    /// Sends a command and reads one answer, of a limited length.
    pub(super) async fn command(&mut self, command: &Cmd) -> Result<Value, RedisError> {
        let packed = Zeroizing::new(command.get_packed_command());
        self.stream.write_all(&packed).await?;
        self.stream.flush().await?;
        let mut answer = BytesMut::with_capacity(CHUNK);
        loop {
            if self.stream.read_buf(&mut answer).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::ConnectionAborted).into());
            }
            match redis::parse_redis_value(&answer) {
                Err(error) if is_incomplete(&error) && answer.len() <= MAX_ANSWER => answer.reserve(CHUNK),
                Err(error) => return Err(error),
                Ok(value) => return value.extract_error(),
            }
        }
    }
}

async fn stream(server: &Server, tls: Option<&Arc<ClientConfig>>) -> io::Result<Box<dyn Duplex>> {
    match &server.place {
        Place::Tcp(host, port) => {
            let tcp = TcpStream::connect((host.as_str(), *port)).await?;
            tcp.set_nodelay(true)?;
            let Some(config) = tls.filter(|_| server.tls) else {
                return Ok(Box::new(tcp));
            };
            let name = ServerName::try_from(host.clone()).map_err(io::Error::other)?;
            Ok(Box::new(TlsConnector::from(Arc::clone(config)).connect(name, tcp).await?))
        }
        #[cfg(unix)]
        Place::Unix(path) => Ok(Box::new(UnixStream::connect(path).await?)),
        #[cfg(not(unix))]
        Place::Unix(_) => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// Whether the rest of an answer has not arrived yet.
fn is_incomplete(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Io
}

const CHUNK: usize = 4 * 1024;
/// Above the longest token that is stored.
const MAX_ANSWER: usize = 256 * 1024;
