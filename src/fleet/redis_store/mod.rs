//! A store on Redis or Valkey.

mod address;
mod link;
mod pool;
mod script;
mod servers;
mod tls;

use std::{fmt, sync::Arc, time::Duration};

use self::{
    address::{Access, Server, nodes, server},
    script::{Script, TokenValue, read_lookup},
    servers::{Servers, Topology},
};
use super::store::{Lookup, SealedToken, StoreFuture, TokenStore, millis};
use crate::error::{AuthError, BoxError};

/// [`TokenStore`] on Redis 6.2 and later, or on Valkey.
///
/// The server is stand-alone, watched by Sentinels, or a Cluster.
///
/// Connections are opened when they are needed and closed after some seconds without use. Each step is one `EVAL`.
///
/// # URLs
///
/// `redis://[user:password@]host[:port][/database]`, `rediss://` with TLS, or `unix:///path`; `valkey://` and `valkeys://` mean
/// the same. Write special characters of a password percent-encoded. Certificates are checked against Mozilla's roots, or your
/// [own](Self::root_certificates).
///
/// # Rights
///
/// Give the program a user that may run five commands on the prefix and nothing else, in a Cluster on every node:
///
/// ```text
/// ACL SETUSER reports on >password resetkeys ~outbound-auth:* resetchannels -@all +get +set +del +pttl +eval
/// ```
///
/// # Which data it keeps
///
/// For each entry up to three strings, `outbound-auth:{<name>}:token`, `:lease` and `:retired`, all of which expire. The braces
/// keep them on one node of a Cluster. With a `maxmemory-policy` that evicts, a lost entry costs a token request.
///
/// # Example
///
/// ```
/// use tower_outbound_auth::{AuthError, fleet::RedisStore};
///
/// # fn stores(ca: &[u8]) -> Result<(), AuthError> {
/// let alone = RedisStore::connect("redis://127.0.0.1:6379")?;
/// let with_tls = RedisStore::connect("rediss://reports:password@redis.internal")?.root_certificates(ca)?;
/// let watched = RedisStore::sentinel(["redis://10.0.0.1:26379", "redis://10.0.0.2:26379"], "mymaster")?;
/// let cluster = RedisStore::cluster(["redis://10.0.0.1:6379", "redis://10.0.0.2:6379"])?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct RedisStore {
    servers: Arc<Servers>,
    prefix: Arc<str>,
}

impl RedisStore {
    /// Creates a store on one server, without connecting.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) if the URL cannot be read.
    pub fn connect(url: &str) -> Result<Self, AuthError> {
        let (server, access) = server("connect", url)?;
        Self::over(Topology::One(server), access, None)
    }

    /// Creates a store on the master that these Sentinels watch, without connecting.
    ///
    /// `urls` are those of the Sentinels, with user and password if they require them. `master` is the name of the
    /// master; or a URL with the name as its host, for user, password, database or TLS of the master:
    /// `rediss://reports:password@mymaster`. After a failover the new master is asked for.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) if there is no URL, or one cannot be read, or the name is empty.
    pub fn sentinel<U: AsRef<str>>(urls: impl IntoIterator<Item = U>, master: &str) -> Result<Self, AuthError> {
        let sentinels = nodes("sentinel", urls)?;
        let (master, access) = if master.contains("://") {
            server("sentinel", master)?
        } else {
            (Server::named(master), Access::default())
        };
        if master.host().is_empty() {
            return Err(AuthError::config("`sentinel`: the name of the master is empty"));
        }
        Self::over(Topology::Sentinel { sentinels, master }, access, None)
    }

    /// Creates a store on a Cluster, without connecting.
    ///
    /// `urls` are some of its nodes: one that can be reached is enough. User, password and TLS of the first are used for all
    /// nodes. Entries move with their slots.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) if there is no URL, or one cannot be read or names a database.
    pub fn cluster<U: AsRef<str>>(urls: impl IntoIterator<Item = U>) -> Result<Self, AuthError> {
        let nodes = nodes("cluster", urls)?;
        if nodes.iter().any(|(_, access)| access.database != 0) {
            return Err(AuthError::config("`cluster`: a Cluster has no databases; leave the number out of the URL"));
        }
        let access = nodes.first().map(|(_, access)| access.clone()).unwrap_or_default();
        let nodes = nodes.into_iter().map(|(server, _)| server).collect();
        Self::over(Topology::Cluster(nodes), access, None)
    }

    /// Sets what the names of all keys begin with.
    ///
    /// Default: `outbound-auth:`. Use it if a user has the right to other keys only. Without braces.
    pub fn key_prefix(mut self, prefix: &str) -> Self {
        self.prefix = Arc::from(prefix);
        self
    }

    /// Trusts these certification authorities, in PEM text, and no others.
    ///
    /// Default: Mozilla's roots.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) if there is no certificate in the text, or one that cannot be read; or if no URL
    /// begins with `rediss://`, since it would have no effect.
    pub fn root_certificates(self, pem: impl AsRef<[u8]>) -> Result<Self, AuthError> {
        let (topology, access) = self.servers.settings();
        if !topology.uses_tls() {
            return Err(AuthError::config("`root_certificates`: the URL has no TLS; use rediss://"));
        }
        let roots = tls::roots(pem.as_ref())?;
        Ok(Self { prefix: self.prefix, ..Self::over(topology, access, Some(roots))? })
    }

    fn over(topology: Topology, access: Access, roots: Option<rustls::RootCertStore>) -> Result<Self, AuthError> {
        let tls = topology.uses_tls().then(|| tls::config(roots)).transpose()?;
        Ok(Self { servers: Arc::new(Servers::new(topology, access, tls)), prefix: Arc::from("outbound-auth:") })
    }

    /// Runs a script on the keys of one entry.
    async fn run(&self, script: Script, key: &str, arguments: &[&[u8]]) -> Result<redis::Value, BoxError> {
        self.servers.run(key, &script.command(&self.prefix, key, arguments)).await
    }

    async fn ask(&self, script: Script, key: &str, arguments: &[&[u8]]) -> Result<bool, BoxError> {
        match self.run(script, key, arguments).await? {
            redis::Value::Int(answer) => Ok(answer == 1),
            _ => Err("the server's answer is not a number".into()),
        }
    }
}

impl TokenStore for RedisStore {
    fn read_or_lease<'a>(&'a self, key: &'a str, owner: &'a str, lease: Duration) -> StoreFuture<'a, Lookup> {
        Box::pin(async move {
            let lease = millis(lease).to_string();
            read_lookup(self.run(Script::Read, key, &[owner.as_bytes(), lease.as_bytes()]).await?)
        })
    }

    fn renew<'a>(&'a self, key: &'a str, owner: &'a str, lease: Duration) -> StoreFuture<'a, bool> {
        Box::pin(async move {
            let lease = millis(lease).to_string();
            self.ask(Script::Renew, key, &[owner.as_bytes(), lease.as_bytes()]).await
        })
    }

    fn publish<'a>(&'a self, key: &'a str, owner: &'a str, token: &'a SealedToken) -> StoreFuture<'a, bool> {
        Box::pin(async move {
            let (value, lasts) = (TokenValue::of(token).encode(), millis(token.expires_in()).to_string());
            let arguments = [owner.as_bytes(), &value, lasts.as_bytes(), token.fingerprint().as_bytes()];
            self.ask(Script::Publish, key, &arguments).await
        })
    }

    fn retire<'a>(&'a self, key: &'a str, fingerprint: &'a str, tombstone: Duration) -> StoreFuture<'a, bool> {
        Box::pin(async move {
            let lasts = millis(tombstone).to_string();
            self.ask(Script::Retire, key, &[fingerprint.as_bytes(), lasts.as_bytes()]).await
        })
    }

    fn release<'a>(&'a self, key: &'a str, owner: &'a str) -> StoreFuture<'a, ()> {
        Box::pin(async move { self.ask(Script::Release, key, &[owner.as_bytes()]).await.map(|_| ()) })
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { servers, prefix } = self;
        f.debug_struct("RedisStore").field("servers", servers.topology()).field("key_prefix", prefix).finish()
    }
}
