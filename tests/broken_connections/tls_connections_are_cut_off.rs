//! The same over TLS, in both versions of HTTP: cut off anywhere from the first byte of the handshake to the last answer.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use tower::{Layer, ServiceExt};
use tower_outbound_auth::{
    Auth, AuthError, BoxError, Credentials, ErrorKind,
    client::HttpsClient,
    oauth::ClientCredentialsGrant,
    token::{FetchRequest, TokenSource},
};

use crate::{
    TestResult, check, each,
    proxy::{Fault, Kind, Proxy, Side},
    step,
    support::{
        authority::{Authority, H2_AND_H1},
        server::{NAME, Server},
    },
    user::is_of_transport,
};

/// A server, and a client that trusts it and reaches it through the proxy.
struct World {
    server: Server,
    proxy: Proxy,
    origin: String,
    transport: HttpsClient,
}

impl World {
    /// An authority for each, since a session that is resumed takes fewer bytes.
    async fn new(protocols: &[&[u8]], idle_timeout: Duration, fault: Option<Fault>) -> Result<Self, BoxError> {
        let (authority, server) = (Authority::new()?, Server::new());
        let transport =
            HttpsClient::builder().root_certificates(authority.pem()).pool_idle_timeout(idle_timeout).build()?;
        let tls = authority.acceptor(protocols, Authority::no_client_auth())?;
        let proxy = Proxy::before(tls.serve(server.clone(), None).await?, &[fault]).await?;
        let origin = proxy.origin().replace("http://127.0.0.1", &format!("https://{NAME}"));
        Ok(Self { server, proxy, origin, transport })
    }

    fn source(&self) -> Result<ClientCredentialsGrant, AuthError> {
        let (url, credentials) = (format!("{}/token", self.origin), Credentials::new("client", "secret"));
        ClientCredentialsGrant::builder(&url, credentials).transport(self.transport.clone()).build()
    }

    fn client(&self) -> Result<Auth<HttpsClient>, AuthError> {
        Ok(self.server.layer(&self.origin)?.layer(self.transport.clone()))
    }

    async fn call(&self, client: &Auth<HttpsClient>) -> TestResult {
        let request = Request::post(&self.origin).body(Full::new(Bytes::from_static(&[b'b'; 500])))?;
        let answer = client.clone().oneshot(request).await?;
        check(answer.status() == 200 && answer.into_body().collect().await?.to_bytes().len() == 500, "the answer")
    }

    fn bytes(&self) -> [usize; 2] {
        [Side::Request, Side::Answer].map(|side| self.proxy.bytes(side))
    }
}

#[tokio::test]
async fn t9_a_token_exchange_over_tls_that_is_cut_off_anywhere_fails_as_unavailable_and_is_sent_once() -> TestResult {
    for (protocols, late) in VERSIONS {
        let whole = World::new(protocols, Duration::ZERO, None).await?;
        whole.source()?.fetch(FetchRequest::new()).await?;
        let (faults, served) = (cuts([0, 0], whole.bytes()), &Arc::<AtomicUsize>::default());
        each(faults.iter().copied(), |fault| {
            let served = Arc::clone(served);
            async move {
                let world = World::new(protocols, Duration::ZERO, Some(fault)).await?;
                match world.source()?.fetch(FetchRequest::new()).await {
                    Ok(_) => drop(served.fetch_add(1, Relaxed)),
                    Err(error) => check(error.kind() == ErrorKind::Unavailable && error.is_transient(), &error)?,
                }
                check(world.server.issuer.requests() <= 1 && world.proxy.connections() == 1, world.proxy.connections())
            }
        })
        .await?;
        check(served.load(Relaxed) <= faults.len() * late / 100, served)?;
    }
    Ok(())
}

#[tokio::test]
async fn a_call_over_tls_that_is_cut_off_anywhere_fails_with_the_transports_error_and_is_sent_once() -> TestResult {
    for (protocols, late) in VERSIONS {
        let whole = World::new(protocols, A_MINUTE, None).await?;
        let client = whole.client()?;
        whole.call(&client).await?;
        let first = whole.bytes();
        whole.call(&client).await?;
        let (faults, served) = (cuts(first, whole.bytes()), &Arc::<AtomicUsize>::default());
        each(faults.iter().copied(), |fault| {
            let served = Arc::clone(served);
            async move {
                let world = World::new(protocols, A_MINUTE, Some(fault)).await?;
                let client = world.client()?;
                // What is cut off may be the end of the first exchange still.
                for calls in 1..=2 {
                    if let Err(error) = world.call(&client).await {
                        check(is_of_transport(&error) && world.proxy.connections() == 1, &error)?;
                        return check(world.server.hosts().len() <= calls, world.server.hosts());
                    }
                }
                served.fetch_add(1, Relaxed);
                Ok(())
            }
        })
        .await?;
        check(served.load(Relaxed) <= faults.len() * late / 100, served)?;
    }
    Ok(())
}

/// Resets, and some silent ends, from one byte of each side to another.
fn cuts(from: [usize; 2], to: [usize; 2]) -> Vec<Fault> {
    let of = |kind, step| {
        let sides = [Side::Request, Side::Answer].into_iter().zip(from.into_iter().zip(to));
        sides.flat_map(move |(side, (from, to))| (from..to).step_by(step).map(move |at| Fault { side, at, kind }))
    };
    of(Kind::Reset, 3 * step()).chain(of(Kind::Close, 10 * step())).collect()
}

const A_MINUTE: Duration = Duration::from_secs(60);
/// Each with how many in a hundred may be cut off too late: the bytes that two connections take differ by some, and HTTP/2
/// still acknowledges things when all answers have come.
const VERSIONS: [(&[&[u8]], usize); 2] = [(H2_AND_H1, 10), (&[b"http/1.1"], 3)];
