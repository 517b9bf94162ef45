//! One TCP connection, which a fault can close or reset.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::Notify,
};

/// What a request can do to the connection that it came on.
#[derive(Default)]
pub(super) struct ConnectionControl {
    progress: Mutex<Progress>,
    closed: Notify,
}

#[derive(Default)]
struct Progress {
    written: u64,
    close_at: Option<u64>,
    reset: bool,
}

impl ConnectionControl {
    /// Closes the connection with a TCP reset.
    pub(super) fn reset(&self) {
        self.progress().reset = true;
        self.closed.notify_one();
    }

    /// Closes the connection once this many bytes have been written to it.
    pub(super) fn close_at(&self, written: u64) {
        let mut progress = self.progress();
        progress.close_at = Some(written);
        self.notify_if_due(&progress);
    }

    /// Whether the connection is to be closed after what was written to it.
    pub(super) fn is_closing(&self) -> bool {
        self.progress().close_at.is_some()
    }

    /// How many bytes have been written.
    pub(super) fn written(&self) -> u64 {
        self.progress().written
    }

    /// Resolves when the connection is to be dropped.
    pub(super) async fn closed(&self) {
        self.closed.notified().await;
    }

    fn wrote(&self, bytes: usize) {
        let mut progress = self.progress();
        progress.written += bytes as u64;
        self.notify_if_due(&progress);
    }

    fn notify_if_due(&self, progress: &Progress) {
        if progress.close_at.is_some_and(|end| end <= progress.written) {
            self.closed.notify_one();
        }
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The stream of a connection, controlled by its [`ConnectionControl`].
pub(super) struct Socket {
    stream: TcpStream,
    control: Arc<ConnectionControl>,
}

impl Socket {
    pub(super) fn new(stream: TcpStream, control: Arc<ConnectionControl>) -> Self {
        Self { stream, control }
    }

    fn stream(&mut self) -> Pin<&mut TcpStream> {
        Pin::new(&mut self.stream)
    }

    fn count(&self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = result {
            self.control.wrote(bytes);
        }
        result
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_read(cx, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = self.stream().poll_write(cx, bytes);
        self.count(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = self.stream().poll_write_vectored(cx, slices);
        self.count(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_shutdown(cx)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.control.progress().reset {
            // If the system refuses, the peer sees an orderly close instead.
            let _ = self.stream.set_zero_linger();
        }
    }
}
