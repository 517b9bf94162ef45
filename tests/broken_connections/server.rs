//! Token endpoint and API in one, with requests and answers of some more than 2 kB, byte for byte the same each time.

use std::{net::SocketAddr, time::Duration};

use memchr::memmem;
use tokio::{
    io::{self, AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::sleep,
};

/// How an answer's end is known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Framing {
    Length,
    Chunked,
    Close,
}

impl Framing {
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Length => "/length/token",
            Self::Chunked => "/chunked/token",
            Self::Close => "/close/token",
        }
    }
}

pub(crate) async fn listen() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    Ok(address)
}

async fn serve(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut received = Vec::new();
    loop {
        let head = loop {
            if let Some(head) = head(&received) {
                break head;
            }
            if stream.read_buf(&mut received).await? == 0 {
                return Ok(());
            }
        };
        let whole = head.len() + 4 + length(&head);
        while received.len() < whole {
            if stream.read_buf(&mut received).await? == 0 {
                return Ok(());
            }
        }
        received.drain(..whole);
        stream.write_all(answer(&head).as_bytes()).await?;
        if head.contains(LAST) {
            sleep(LINGERS).await;
        }
        if head.contains(Framing::Close.path()) || head.contains(LAST) {
            return stream.shutdown().await;
        }
    }
}

fn head(received: &[u8]) -> Option<String> {
    let end = memmem::find(received, b"\r\n\r\n")?;
    Some(String::from_utf8_lossy(received.get(..end)?).into_owned())
}

fn length(head: &str) -> usize {
    let line = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    line.and_then(|length| length.trim().parse().ok()).unwrap_or_default()
}

fn answer(head: &str) -> String {
    let token = format!(r#"{{"access_token":"{}","token_type":"Bearer","expires_in":3600}}"#, "t".repeat(SIZE));
    if head.contains(Framing::Close.path()) {
        format!("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{token}")
    } else if head.contains(Framing::Chunked.path()) {
        let (first, second) = token.split_at(token.len() / 2);
        let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{}{}0\r\n\r\n", chunk(first), chunk(second))
    } else if head.contains(Framing::Length.path()) {
        with_length("200 OK", &token)
    } else if head.contains(NEVER) || head.contains(REVOKED) && head.contains(FIRST_TOKEN) {
        with_length("401 Unauthorized", &"n".repeat(SIZE))
    } else {
        with_length("200 OK", &"y".repeat(SIZE))
    }
}

fn with_length(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// Of what stands in each message besides its head.
pub(crate) const SIZE: usize = 2_048;
/// A path at which the API refuses the first token.
pub(crate) const REVOKED: &str = "/revoked";
/// A path at which it refuses every token.
pub(crate) const NEVER: &str = "/never";
/// A path after which the API hangs up without a word, a little later.
pub(crate) const LAST: &str = "/last";
pub(crate) const LINGERS: Duration = Duration::from_millis(20);
const FIRST_TOKEN: &str = "Bearer token-1\r\n";
