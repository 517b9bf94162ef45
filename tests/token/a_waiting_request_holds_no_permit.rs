//! One limited client for calls and for token requests: what waits holds no permit of it.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use http::{Request, Response, StatusCode, header::AUTHORIZATION};
use tokio::{
    sync::Semaphore,
    time::{sleep, timeout},
};
use tower::{
    Layer, Service, ServiceExt,
    buffer::Buffer,
    limit::ConcurrencyLimit,
    load_shed::{LoadShed, error::Overloaded},
    service_fn,
};
use tower_outbound_auth::{AuthLayer, BoxError, Credentials, oauth::ClientCredentialsGrant};

use crate::support::{Body, ORIGIN, answer, get};

/// A token endpoint and an API, which takes the newest token alone.
#[derive(Clone)]
struct Servers {
    issued: Arc<AtomicU64>,
    /// The lowest number of a token that the API takes.
    takes_from: Arc<AtomicU64>,
    /// In seconds.
    lifetime: u64,
}

impl Servers {
    fn new(lifetime: u64) -> Self {
        Self { issued: Arc::default(), takes_from: Arc::default(), lifetime }
    }

    fn revoke(&self) {
        self.takes_from.store(self.issued.load(SeqCst) + 1, SeqCst);
    }

    fn service(
        &self,
    ) -> impl Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send>
    + Clone
    + Send
    + Sync
    + 'static {
        let servers = self.clone();
        service_fn(move |request| servers.clone().answer(request))
    }

    async fn answer(self, request: Request<Body>) -> Result<Response<Body>, Infallible> {
        sleep(Duration::from_millis(if request.uri().path() == "/slow" { 5_000 } else { 20 })).await;
        if request.uri().path() == "/token" {
            let (number, lifetime) = (self.issued.fetch_add(1, SeqCst) + 1, self.lifetime);
            let token = format!(r#"{{"access_token":"{number}","token_type":"Bearer","expires_in":{lifetime}}}"#);
            return Ok(Response::new(Body::from(token)));
        }
        let bearer = request.headers().get(AUTHORIZATION).unwrap().to_str().unwrap();
        let number: u64 = bearer.trim_start_matches("Bearer ").parse().unwrap();
        let taken = number >= self.takes_from.load(SeqCst);
        Ok(answer(if taken { StatusCode::OK } else { StatusCode::UNAUTHORIZED }))
    }
}

/// A layer whose token requests go by this client.
fn layer<S>(client: S) -> AuthLayer
where
    S: Service<Request<Body>, Response = Response<Body>, Future: Send, Error: Into<BoxError>>
        + Clone
        + Send
        + Sync
        + 'static,
{
    let grant = ClientCredentialsGrant::builder("https://login.example.com/token", Credentials::new("id", "secret"));
    AuthLayer::builder(grant.transport(client).build().unwrap()).origin(ORIGIN).build().unwrap()
}

/// So many calls at once, each of which has to be served.
async fn all_served<S>(client: &S, calls: usize, when: &str)
where
    S: Service<Request<Body>, Response = Response<Body>, Error = BoxError, Future: Send> + Clone + Send + 'static,
{
    let calls: Vec<_> = (0..calls).map(|_| tokio::spawn(client.clone().oneshot(get("/a")))).collect();
    for call in calls {
        let ended = timeout(Duration::from_secs(25), call).await;
        assert!(ended.is_ok(), "a call hangs, {when}");
        assert_eq!(ended.unwrap().unwrap().unwrap().status(), 200, "{when}");
    }
}

/// Cold, warm, revoked and expired, each time with as many calls as there are permits, and with more.
async fn lives<S>(servers: &Servers, limited: S)
where
    S: Service<Request<Body>, Response = Response<Body>, Future: Send, Error: Into<BoxError>>
        + Clone
        + Send
        + Sync
        + 'static,
{
    for calls in [1, 4, 20, 200] {
        let client = layer(limited.clone()).layer(limited.clone());
        all_served(&client, calls, "cold").await;
        all_served(&client, calls, "warm").await;
        servers.revoke();
        all_served(&client, calls, "after a revocation").await;
        sleep(Duration::from_secs(servers.lifetime + 1)).await;
        all_served(&client, calls, "after the token expired").await;
    }
}

#[tokio::test(start_paused = true)]
async fn s9_four_calls_through_one_limit_of_four_leave_the_token_request_a_permit() {
    for permits in [4, 1] {
        let servers = Servers::new(60);
        lives(&servers, ConcurrencyLimit::new(servers.service(), permits)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn s9_four_calls_through_one_buffer_of_four_leave_the_token_request_a_place() {
    for bound in [4, 1] {
        let servers = Servers::new(60);
        lives(&servers, Buffer::new(servers.service(), bound)).await;
        let limited = ConcurrencyLimit::new(servers.service(), bound);
        lives(&servers, Buffer::new(limited, bound)).await;
    }
}

/// What waits for the token has left the buffer.
#[tokio::test(start_paused = true)]
async fn s9_more_calls_than_a_buffer_outside_holds_are_served_by_one_token_at_a_cold_start() {
    for bound in [1, 4] {
        let servers = Servers::new(60);
        let inner = Buffer::new(ConcurrencyLimit::new(servers.service(), bound), bound);
        let client = Buffer::new(layer(inner.clone()).layer(inner), bound);
        all_served(&client, 200, "cold").await;
        assert_eq!(servers.issued.load(SeqCst), 1);
        servers.revoke();
        all_served(&client, 200, "after a revocation").await;
        assert_eq!(servers.issued.load(SeqCst), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn s9_calls_that_a_full_buffer_sheds_at_a_cold_start_fail_as_such_and_harm_no_other() {
    for bound in [1, 4] {
        let servers = Servers::new(60);
        let inner = servers.service();
        let client = LoadShed::new(Buffer::new(layer(inner.clone()).layer(inner), bound));
        let calls: Vec<_> = (0..50).map(|_| tokio::spawn(client.clone().oneshot(get("/a")))).collect();
        // Those that wait for the token have left the buffer to others.
        sleep(Duration::from_millis(10)).await;
        assert_eq!(servers.issued.load(SeqCst), 0);
        all_served(&client, 1, "while others wait").await;
        let (mut served, mut shed) = (0, 0);
        for call in calls {
            match timeout(Duration::from_secs(25), call).await.expect("a call hangs").unwrap() {
                Ok(response) => served += usize::from(response.status() == 200),
                Err(error) => shed += usize::from(error.is::<Overloaded>()),
            }
        }
        assert!(served >= bound && shed > 0 && served + shed == 50, "{served} served, {shed} shed");
        all_served(&client, 1, "later").await;
        assert_eq!(servers.issued.load(SeqCst), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn s9_calls_that_are_dropped_while_they_wait_leave_all_permits_free() {
    for revoked in [false, true] {
        let servers = Servers::new(60);
        let permits = Arc::new(Semaphore::new(4));
        let limited = ConcurrencyLimit::with_semaphore(servers.service(), Arc::clone(&permits));
        let layer = layer(limited.clone());
        let client = layer.layer(limited);
        if revoked {
            layer.handle().token().await.unwrap();
            servers.revoke();
        }
        // At each moment of a call: cold or rejected, while it waits for the token, and while it is replayed.
        for millis in 0..70 {
            let calls: Vec<_> = (0..4).map(|_| tokio::spawn(client.clone().oneshot(get("/a")))).collect();
            sleep(Duration::from_millis(millis)).await;
            for call in calls {
                call.abort();
            }
            sleep(Duration::from_millis(100)).await;
            assert_eq!(permits.available_permits(), 4, "dropped after {millis} ms, revoked: {revoked}");
            if revoked {
                servers.revoke();
            }
        }
        sleep(Duration::from_secs(60)).await;
        all_served(&client, 4, "after all that").await;
    }
}

/// The client is kept, as by a caller that sends one request after the other, and with it what it had made ready.
#[tokio::test(start_paused = true)]
async fn s9_a_client_that_is_kept_while_its_call_waits_holds_no_permit() {
    let servers = Servers::new(60);
    let limited = ConcurrencyLimit::new(servers.service(), 1);
    let mut client = layer(limited.clone()).layer(limited);
    for case in ["cold", "warm", "after a revocation"] {
        let call = client.ready().await.unwrap().call(get("/a"));
        let response = timeout(Duration::from_secs(25), call).await;
        assert!(response.is_ok(), "it hangs, {case}");
        assert_eq!(response.unwrap().unwrap().status(), 200, "{case}");
        if case == "warm" {
            servers.revoke();
        }
    }
}

/// The token expires while a rejected request waits for its second turn: it must not wait for the next with the permit.
#[tokio::test(start_paused = true)]
async fn s9_a_second_turn_that_comes_too_late_for_its_token_gives_the_permit_to_the_token_request() {
    let servers = Servers::new(2);
    let limited = ConcurrencyLimit::new(servers.service(), 1);
    let layer = layer(limited.clone());
    let client = layer.layer(limited.clone());
    layer.handle().token().await.unwrap();
    servers.revoke();
    let rejected = tokio::spawn(client.clone().oneshot(get("/a")));
    sleep(Duration::from_millis(10)).await;
    // They come between: the token request, then a call of 5 s, then the replay.
    let token_request = sleep(Duration::from_millis(20));
    token_request.await;
    let slow = Request::get("https://other.example.com/slow").header(AUTHORIZATION, "Bearer 99").body(Body::default());
    let slow = tokio::spawn(limited.oneshot(slow.unwrap()));
    let response = timeout(Duration::from_secs(25), rejected).await.expect("the replay hangs").unwrap().unwrap();
    assert_eq!(response.status(), 200);
    assert!(slow.is_finished(), "it came after the slow call");
    assert_eq!(servers.issued.load(SeqCst), 3, "the renewed token expired meanwhile");
}
