//! A TCP proxy with a fault for each connection, which remembers what came in on either side.

use std::{
    future::pending,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    io::{self, AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    task::{AbortHandle, JoinSet},
    time::sleep,
};

/// What befalls a connection in place of byte `at`, counted from 0 for each side.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Fault {
    pub(crate) side: Side,
    pub(crate) at: usize,
    pub(crate) kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Side {
    Request,
    Answer,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    /// TCP RST, to both ends.
    Reset,
    /// TCP FIN, to both ends.
    Close,
    /// Nothing more comes through on this side, and both ends believe in the connection.
    Stall,
    /// The server's end is gone, and the client's is not told.
    HalfOpen,
    /// One pause.
    Pause(Duration),
    /// A pause before each byte.
    Trickle(Duration),
}

/// When it is dropped, its connections are too.
pub(crate) struct Proxy {
    address: SocketAddr,
    task: AbortHandle,
    came: Arc<Mutex<Vec<[Vec<u8>; 2]>>>,
}

impl Proxy {
    /// The first connections get these faults, later ones none.
    pub(crate) async fn before(server: SocketAddr, faults: &[Option<Fault>]) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (address, faults) = (listener.local_addr()?, faults.to_vec());
        let came = Arc::<Mutex<Vec<[Vec<u8>; 2]>>>::default();
        let proxies = Arc::clone(&came);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            for number in 0.. {
                let (client, _) = listener.accept().await?;
                lock(&proxies).push(Default::default());
                let log = Log { came: Arc::clone(&proxies), number };
                connections.spawn(pass(client, server, faults.get(number).copied().flatten(), log));
            }
            io::Result::Ok(())
        });
        Ok(Self { address, task: task.abort_handle(), came })
    }

    pub(crate) fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn connections(&self) -> usize {
        lock(&self.came).len()
    }

    /// How many bytes came on all connections.
    pub(crate) fn bytes(&self, side: Side) -> usize {
        lock(&self.came).iter().map(|came| side.of(came).len()).sum()
    }

    /// How often clients sent this text, on whichever connection.
    pub(crate) fn count(&self, text: &str) -> usize {
        let of = |came| String::from_utf8_lossy(Side::Request.of(came)).matches(text).count();
        lock(&self.came).iter().map(of).sum()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Side {
    fn of(self, [request, answer]: &[Vec<u8>; 2]) -> &[u8] {
        match self {
            Self::Request => request,
            Self::Answer => answer,
        }
    }
}

/// What comes on one connection.
#[derive(Clone)]
struct Log {
    came: Arc<Mutex<Vec<[Vec<u8>; 2]>>>,
    number: usize,
}

impl Log {
    fn note(&self, side: Side, bytes: &[u8]) {
        if let Some([request, answer]) = lock(&self.came).get_mut(self.number) {
            if side == Side::Request { request } else { answer }.extend_from_slice(bytes);
        }
    }
}

/// One direction of a connection.
struct Pump<'a> {
    side: Side,
    from: ReadHalf<'a>,
    to: WriteHalf<'a>,
    fault: Option<Fault>,
    log: Log,
}

async fn pass(mut client: TcpStream, server: SocketAddr, fault: Option<Fault>, log: Log) -> io::Result<()> {
    let mut server = TcpStream::connect(server).await?;
    for socket in [&client, &server] {
        socket.set_nodelay(true)?;
        // Thousands of connections that wait for late packets would use up the ports of this machine.
        socket.set_zero_linger()?;
    }
    let ((from_client, to_client), (from_server, to_server)) = (client.split(), server.split());
    let pump = |side, from, to| {
        Pump { side, from, to, fault: fault.filter(|fault| fault.side == side), log: log.clone() }.run()
    };
    let (up, down) = (pump(Side::Request, from_client, to_server), pump(Side::Answer, from_server, to_client));
    let both = async { tokio::try_join!(up, down) };
    // What a pump cannot do itself, it leaves to this function by failing.
    let Err(_) = both.await else { return Ok(()) };
    match fault.map(|fault| fault.kind) {
        Some(Kind::Close) => {
            server.shutdown().await?;
            client.shutdown().await?;
            io::copy(&mut client, &mut io::sink()).await.map(drop)
        }
        Some(Kind::HalfOpen) => {
            drop(server);
            pending().await
        }
        _ => Ok(()),
    }
}

impl Pump<'_> {
    async fn run(mut self) -> io::Result<()> {
        let (mut passed, mut buffer) = (0, vec![0; 4096]);
        loop {
            let read = self.from.read(&mut buffer).await?;
            let bytes = buffer.get(..read).unwrap_or_default();
            if bytes.is_empty() {
                return self.to.shutdown().await;
            }
            self.log.note(self.side, bytes);
            let fault = self.fault.filter(|fault| fault.at < passed + read);
            let whole = fault.map_or(read, |fault| fault.at.saturating_sub(passed));
            let (before, after) = bytes.split_at(whole);
            self.to.write_all(before).await?;
            if let Some(fault) = fault {
                self.strike(fault.kind, after).await?;
            }
            passed += read;
        }
    }

    async fn strike(&mut self, kind: Kind, after: &[u8]) -> io::Result<()> {
        match kind {
            Kind::Reset | Kind::Close | Kind::HalfOpen => Err(io::ErrorKind::ConnectionAborted.into()),
            Kind::Stall => pending().await,
            Kind::Pause(pause) => {
                self.fault = None;
                sleep(pause).await;
                self.to.write_all(after).await
            }
            Kind::Trickle(pause) => {
                for byte in after {
                    sleep(pause).await;
                    self.to.write_u8(*byte).await?;
                }
                Ok(())
            }
        }
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
