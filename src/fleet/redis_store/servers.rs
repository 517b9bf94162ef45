//! Which server has an entry: the only one, the master of some Sentinels, or a node of a Cluster.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use redis::{Cmd, ErrorKind, RedisError, ServerErrorKind, Value};
use rustls::ClientConfig;

use super::{
    address::{Access, Server},
    link::Link,
    pool::Pool,
};
use crate::error::BoxError;

/// Servers and the connections to them.
pub(super) struct Servers {
    topology: Topology,
    access: Access,
    tls: Option<Arc<ClientConfig>>,
    pool: Pool,
    /// Where a key was found last. Taken out during a command and put back after it, so that a failure forgets it.
    found: Mutex<HashMap<String, Server>>,
    /// The node that is asked first. Changes before each try, so that one that never answers is passed over.
    first: AtomicUsize,
}

#[derive(Clone)]
pub(super) enum Topology {
    One(Server),
    Sentinel { sentinels: Vec<(Server, Access)>, master: Server },
    Cluster(Vec<Server>),
}

impl Topology {
    pub(super) fn uses_tls(&self) -> bool {
        match self {
            Self::One(server) => server.tls,
            Self::Sentinel { sentinels, master } => master.tls || sentinels.iter().any(|(server, _)| server.tls),
            Self::Cluster(nodes) => nodes.iter().any(|server| server.tls),
        }
    }
}

impl Topology {
    fn nodes(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Sentinel { sentinels, .. } => sentinels.len(),
            Self::Cluster(nodes) => nodes.len(),
        }
    }
}

impl Servers {
    pub(super) fn new(topology: Topology, access: Access, tls: Option<Arc<ClientConfig>>) -> Self {
        let (found, first) = (Mutex::default(), AtomicUsize::new(0));
        Self { topology, access, tls, pool: Pool::default(), found, first }
    }

    pub(super) fn topology(&self) -> &Topology {
        &self.topology
    }

    pub(super) fn settings(&self) -> (Topology, Access) {
        (self.topology.clone(), self.access.clone())
    }

    /// Runs a command where its key is.
    pub(super) async fn run(&self, key: &str, command: &Cmd) -> Result<Value, BoxError> {
        let known = self.found().remove(key);
        let (server, value) = self.run_at(known, command).await.map_err(|error| described(&error))?;
        let mut found = self.found();
        if found.len() < MAX_FOUND {
            found.insert(key.to_owned(), server);
        }
        Ok(value)
    }

    async fn run_at(&self, known: Option<Server>, command: &Cmd) -> Result<(Server, Value), RedisError> {
        let (mut server, mut link) = match known {
            Some(server) => {
                let link = self.link(&server).await?;
                (server, link)
            }
            None => self.find().await?,
        };
        let mut redirects = 0..MAX_REDIRECTS;
        loop {
            let error = match link.command(command).await {
                Ok(value) => {
                    self.pool.put(&server, link);
                    return Ok((server, value));
                }
                Err(error) => error,
            };
            let (next, asks) = self.redirect(&error, &server).filter(|_| redirects.next().is_some()).ok_or(error)?;
            self.pool.put(&server, link);
            link = self.link(&next).await?;
            server = next;
            if asks {
                link.command(&redis::cmd("ASKING")).await?;
            }
        }
    }

    /// A server to ask, and a connection to it: over the first node that works.
    async fn find(&self) -> Result<(Server, Link), RedisError> {
        let mut failure = None;
        for _ in 0..self.topology.nodes() {
            let node = self.first.fetch_add(1, Relaxed);
            match self.find_over(node).await {
                Ok(found) => {
                    self.first.store(node, Relaxed);
                    return Ok(found);
                }
                Err(error) => failure = Some(error),
            }
        }
        Err(failure.unwrap_or_else(no_server))
    }

    async fn find_over(&self, node: usize) -> Result<(Server, Link), RedisError> {
        let server = match &self.topology {
            Topology::One(server) => server.clone(),
            Topology::Cluster(nodes) => turn(nodes, node)?.clone(),
            Topology::Sentinel { sentinels, master } => self.master(turn(sentinels, node)?, master).await?,
        };
        let link = self.link(&server).await?;
        Ok((server, link))
    }

    /// Asks a Sentinel where the master is.
    async fn master(&self, (sentinel, access): &(Server, Access), master: &Server) -> Result<Server, RedisError> {
        let mut link = Link::open(sentinel, access, self.tls.as_ref()).await?;
        let question = redis::cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(master.host()).take();
        let answer = link.command(&question).await?;
        let text = |value: &Value| match value {
            Value::BulkString(bytes) => String::from_utf8(bytes.clone()).ok(),
            _ => None,
        };
        let found = match &answer {
            Value::Array(parts) => match parts.as_slice() {
                [host, port] => text(host).zip(text(port).and_then(|port| port.parse().ok())),
                _ => None,
            },
            _ => None,
        };
        let (host, port) = found.ok_or((ErrorKind::Client, "the Sentinel does not know the master"))?;
        Ok(master.at(&host, port))
    }

    async fn link(&self, server: &Server) -> Result<Link, RedisError> {
        match self.pool.take(server) {
            Some(link) => Ok(link),
            None => Link::open(server, &self.access, self.tls.as_ref()).await,
        }
    }

    /// Where a node of a Cluster says that the key is, and whether it is only on its way there.
    fn redirect(&self, error: &RedisError, from: &Server) -> Option<(Server, bool)> {
        if !matches!(self.topology, Topology::Cluster(_)) {
            return None;
        }
        let (place, _) = error.redirect_node()?;
        let (host, port) = place.rsplit_once(':')?;
        // A node that does not know its own name leaves it out.
        let host = if host.is_empty() { from.host() } else { host };
        Some((from.at(host, port.parse().ok()?), error.kind() == ErrorKind::Server(ServerErrorKind::Ask)))
    }

    fn found(&self) -> MutexGuard<'_, HashMap<String, Server>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(server) => server.fmt(f),
            Self::Sentinel { sentinels, master } => {
                let sentinels: Vec<_> = sentinels.iter().map(|(server, _)| server).collect();
                f.debug_struct("Sentinel").field("sentinels", &sentinels).field("master", &master.host()).finish()
            }
            Self::Cluster(nodes) => f.debug_tuple("Cluster").field(nodes).finish(),
        }
    }
}

/// One of the nodes after the other.
fn turn<N>(nodes: &[N], number: usize) -> Result<&N, RedisError> {
    number.checked_rem(nodes.len()).and_then(|at| nodes.get(at)).ok_or_else(no_server)
}

fn no_server() -> RedisError {
    (ErrorKind::Client, "no server").into()
}

/// An error without anything that the server wrote but its code: the rest may repeat what was sent to it.
fn described(error: &RedisError) -> BoxError {
    let code = error
        .code()
        .filter(|code| (1..=32).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_uppercase()));
    match code {
        Some(code) => format!("the Redis server answered {code}").into(),
        None if error.is_io_error() => {
            let reason =
                if error.is_connection_refusal() { "the connection was refused" } else { "the connection failed" };
            format!("the Redis server cannot be reached: {reason}").into()
        }
        None => format!("the Redis server gave an unusable answer: {}", error.category()).into(),
    }
}

const MAX_REDIRECTS: u32 = 4;
const MAX_FOUND: usize = 10_000;
