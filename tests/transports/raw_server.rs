//! A server that answers every connection with the same bytes, whatever it was sent.
#![expect(clippy::unwrap_used, reason = "a counterpart in a test may panic")]

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::timeout,
};

pub(crate) struct RawServer {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl RawServer {
    /// Reads once, writes these bytes, and closes the connection. Runs until the test's runtime ends.
    pub(crate) async fn answering(bytes: &'static (impl AsRef<[u8]> + Sync + ?Sized)) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (address, heads) = (listener.local_addr()?, Arc::<Mutex<Vec<String>>>::default());
        let log = Arc::clone(&heads);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let log = Arc::clone(&log);
                tokio::spawn(async move {
                    let mut request = vec![0; 64 * 1024];
                    let length = stream.read(&mut request).await.unwrap_or(0);
                    log.lock()
                        .unwrap()
                        .push(String::from_utf8_lossy(request.get(..length).unwrap_or_default()).into_owned());
                    let _ = stream.write_all(bytes.as_ref()).await;
                    let _ = stream.shutdown().await;
                    // What is not read before the end would reset the connection.
                    let _ = timeout(Duration::from_secs(5), stream.read(&mut request)).await;
                });
            }
        });
        Ok(Self { address, heads })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// What was read of each connection.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}
