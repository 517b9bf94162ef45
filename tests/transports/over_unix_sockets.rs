//! Unix sockets: through a pool with a connector of the user's, and as one connection.

use std::{env, fs, io, path::PathBuf, process};

use bytes::Bytes;
use http::{Uri, Version};
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioIo},
};
use tokio::net::{UnixListener, UnixStream};
use tower::{Layer, buffer::Buffer, service_fn};

use crate::{
    authenticated::{TestResult, is_authenticated},
    over_a_hyper_connection::Connection,
    support::server::{NAME, Server},
};

/// The host in the URI is a name only, but it has to be an origin of the layer.
#[tokio::test]
async fn over_a_pool_that_connects_to_a_path() -> TestResult {
    let (server, folder) = (Server::new(), Folder::new("pool")?);
    let path = folder.listen(server.clone())?;
    let connector = service_fn(move |_: Uri| {
        let path = path.clone();
        Box::pin(async { UnixStream::connect(path).await.map(TokioIo::new) })
    });
    let http = Client::builder(TokioExecutor::new()).build::<_, Full<Bytes>>(connector);
    let client = server.layer("http://localhost")?.layer(http);
    is_authenticated(client, "http://localhost/upload", &server, Version::HTTP_11).await?;
    assert!(server.hosts().iter().all(|host| host.as_deref() == Some(NAME)));
    Ok(())
}

#[tokio::test]
async fn over_one_connection_to_a_path() -> TestResult {
    let (server, folder) = (Server::new(), Folder::new("connection")?);
    let stream = UnixStream::connect(folder.listen(server.clone())?).await?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let layer = server.builder("http://localhost").allow_relative_uri().build()?;
    let client = layer.layer(Buffer::new(Connection(sender), 16));
    is_authenticated(client, "/upload", &server, Version::HTTP_11).await
}

/// A folder for one socket, which goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> io::Result<Self> {
        let path = env::temp_dir().join(format!("outbound-auth-{name}-{}", process::id()));
        // One of a run that was killed, by a process of the same number.
        drop(fs::remove_dir_all(&path));
        fs::create_dir(&path)?;
        Ok(Self(path))
    }

    fn listen(&self, server: Server) -> io::Result<PathBuf> {
        let path = self.0.join("socket");
        let listener = UnixListener::bind(&path)?;
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(server.clone().serve(stream));
            }
        });
        Ok(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
