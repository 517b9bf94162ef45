//! One TCP connection: counts what was written to it, and ends or resets it when a fault asks for that.

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

/// The hold that an exchange has on its connection.
#[derive(Default)]
pub(super) struct Line {
    progress: Mutex<Progress>,
    over: Notify,
}

#[derive(Default)]
struct Progress {
    written: u64,
    end_at: Option<u64>,
    reset: bool,
}

impl Line {
    /// Ends the connection with a TCP reset.
    pub(super) fn reset(&self) {
        self.progress().reset = true;
        self.over.notify_one();
    }

    /// Ends the connection once this many bytes have been written to it.
    pub(super) fn end_at(&self, written: u64) {
        let mut progress = self.progress();
        progress.end_at = Some(written);
        self.notify_if_over(&progress);
    }

    /// How many bytes have been written so far.
    pub(super) fn written(&self) -> u64 {
        self.progress().written
    }

    /// Resolves when the connection is to be dropped.
    pub(super) async fn over(&self) {
        self.over.notified().await;
    }

    fn wrote(&self, bytes: usize) {
        let mut progress = self.progress();
        progress.written += bytes as u64;
        self.notify_if_over(&progress);
    }

    fn notify_if_over(&self, progress: &Progress) {
        if progress.end_at.is_some_and(|end| end <= progress.written) {
            self.over.notify_one();
        }
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The stream of a connection, watched by its [`Line`].
pub(super) struct Socket {
    stream: TcpStream,
    line: Arc<Line>,
}

impl Socket {
    pub(super) fn new(stream: TcpStream, line: Arc<Line>) -> Self {
        Self { stream, line }
    }

    fn stream(&mut self) -> Pin<&mut TcpStream> {
        Pin::new(&mut self.stream)
    }

    fn count(&self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = result {
            self.line.wrote(bytes);
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
        if self.line.progress().reset {
            // Without it the peer would see an orderly end; that is all that is lost if the system refuses.
            let _ = self.stream.set_zero_linger();
        }
    }
}
