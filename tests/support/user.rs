//! Client that calls a sandbox through the whole stack, over sockets.
#![allow(dead_code, reason = "each test file uses some of it")]
#![expect(clippy::disallowed_methods, reason = "real sockets need real time")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{self, Client},
    rt::TokioExecutor,
};
use tokio::{sync::Semaphore, task::JoinSet, time::timeout};
use tower::{Layer, ServiceExt, util::BoxCloneSyncService};
use tower_outbound_auth::{
    Auth, AuthError, AuthLayer, AuthLayerBuilder, BoxError, paynet, rejection::NotReplayed, sandbox::Sandbox,
    signing::TimestampHmac, token::TokenHandle,
};

pub(crate) type TestResult = Result<(), BoxError>;
pub(crate) type Http = BoxCloneSyncService<Request<Full<Bytes>>, Response<Incoming>, legacy::Error>;

/// Client that calls a sandbox through the whole stack.
#[derive(Clone)]
pub(crate) struct User {
    pub(crate) sandbox: Arc<Sandbox>,
    pub(crate) client: Auth<paynet::Rejections<Http>>,
    pub(crate) handle: TokenHandle,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

/// What came back to the caller.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) not_replayed: Option<NotReplayed>,
    pub(crate) body: Bytes,
}

impl User {
    pub(crate) fn over(protocol: Protocol, sandbox: Sandbox) -> Result<Self, AuthError> {
        let layer = paynet::auth(&sandbox.environment(), sandbox.credentials())?.build()?;
        Ok(Self::new(protocol, &Arc::new(sandbox), &layer))
    }

    /// One who waits half a second for an answer of the token endpoint.
    pub(crate) fn impatient(
        sandbox: Sandbox,
        set: impl FnOnce(AuthLayerBuilder) -> AuthLayerBuilder,
    ) -> Result<Self, AuthError> {
        Self::with(Protocol::Http1, sandbox, Duration::from_millis(500), set)
    }

    pub(crate) fn with(
        protocol: Protocol,
        sandbox: Sandbox,
        wait: Duration,
        set: impl FnOnce(AuthLayerBuilder) -> AuthLayerBuilder,
    ) -> Result<Self, AuthError> {
        let (environment, credentials) = (sandbox.environment(), sandbox.credentials());
        let source = paynet::grant(&environment, credentials.clone()).timeout(wait).build()?;
        let auth = AuthLayer::builder(source)
            .origin(environment.api_origin())
            .sign(paynet::sign_rules(), TimestampHmac::sha256(credentials));
        Ok(Self::new(protocol, &Arc::new(sandbox), &set(auth).build()?))
    }

    pub(crate) fn new(protocol: Protocol, sandbox: &Arc<Sandbox>, layer: &AuthLayer) -> Self {
        let client = layer.layer(paynet::RejectionLayer.layer(narrow(protocol)));
        Self { sandbox: Arc::clone(sandbox), client, handle: layer.handle() }
    }

    /// One call for the report types; any answer but 200 is an error.
    pub(crate) async fn types(&self) -> TestResult {
        let answer = self.send(Request::get(self.url("/v1/reports/types")).body(Full::default())?).await?;
        if answer.status == 200 { Ok(()) } else { Err(format!("{answer:?}").into()) }
    }

    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Result<Answer, BoxError> {
        let exchange = async {
            let (head, body) = self.client.clone().oneshot(request).await?.into_parts();
            let not_replayed = head.extensions.get().copied();
            Ok(Answer {
                status: head.status,
                headers: head.headers,
                not_replayed,
                body: body.collect().await?.to_bytes(),
            })
        };
        // Longer than any call takes: a call that hangs becomes one that fails.
        timeout(Duration::from_secs(30), exchange).await?
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.sandbox.environment().api_origin())
    }

    /// So many callers at once, each with so many calls in a row. All tokens are revoked before the call of that number.
    pub(crate) async fn load(&self, callers: u64, calls: u64, revoke_before: Option<u64>) -> TestResult {
        let number = Arc::new(AtomicU64::new(0));
        let mut tasks = JoinSet::new();
        for _ in 0..callers {
            let (user, number) = (self.clone(), Arc::clone(&number));
            tasks.spawn(async move {
                for _ in 0..calls {
                    if revoke_before == Some(number.fetch_add(1, SeqCst)) {
                        user.sandbox.revoke_tokens();
                    }
                    user.types().await?;
                }
                TestResult::Ok(())
            });
        }
        while let Some(end) = tasks.join_next().await {
            end??;
        }
        Ok(())
    }

    /// What so many callers at once fail with.
    pub(crate) async fn failures(&self, callers: u64) -> Result<Vec<AuthError>, BoxError> {
        let mut tasks = JoinSet::new();
        for _ in 0..callers {
            let user = self.clone();
            tasks.spawn(async move { user.types().await });
        }
        let mut errors = Vec::new();
        while let Some(end) = tasks.join_next().await {
            let error = end?.err().ok_or("a call that should have failed")?;
            errors.push(AuthError::find(error.as_ref()).ok_or("another error")?.clone());
        }
        Ok(errors)
    }
}

/// hyper-util's client with at most 100 requests on their way, so that a test gets by with the usual 1,024 open files.
pub(crate) fn narrow(protocol: Protocol) -> Http {
    let client = Client::builder(TokioExecutor::new()).http2_only(protocol == Protocol::Http2).build_http();
    let permits = Arc::new(Semaphore::new(100));
    BoxCloneSyncService::new(tower::service_fn(move |request| {
        let (client, permits) = (client.clone(), Arc::clone(&permits));
        async move {
            let _permit = permits.acquire().await.ok();
            client.request(request).await
        }
    }))
}
