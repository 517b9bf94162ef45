//! Tenants with an authorization server and an API in memory, which mark and count what belongs to whom.

use std::{
    collections::HashMap,
    future::{Future, ready},
    sync::{Arc, Mutex},
    time::Duration,
};

use http::{HeaderName, HeaderValue, Request, StatusCode, header::AUTHORIZATION};
use tower::{Layer, ServiceExt};
use tower_outbound_auth::{
    AuthError, AuthLayer, AuthLayerBuilder, BoxError,
    keyed::{KeyedAuthLayer, KeyedAuthLayerBuilder},
    signing::{SignRules, SignatureHeaders, SigningContext, signer_fn},
    token::{AccessToken, source_fn},
};

use crate::support::{Answering, Api, Body, ORIGIN, Seen, answer, get};

pub(crate) const STATIC: HeaderName = HeaderName::from_static("x-tenant");
pub(crate) const SIGNATURE: HeaderName = HeaderName::from_static("x-signature");

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Tenant(pub(crate) u32);

/// What happened so far, and what is to fail.
#[derive(Clone, Default)]
pub(crate) struct Tenants {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    made: HashMap<u32, u32>,
    fetched: HashMap<u32, u32>,
    failure: Option<AuthError>,
    latency: Duration,
}

impl Tenants {
    /// Token requests fail with this from now on, or do not.
    pub(crate) fn fail(&self, failure: Option<AuthError>) {
        self.state.lock().unwrap().failure = failure;
    }

    /// Token requests take so long from now on.
    pub(crate) fn slow_down(&self, latency: Duration) {
        self.state.lock().unwrap().latency = latency;
    }

    /// How often an entry was made for a tenant.
    pub(crate) fn made(&self, tenant: u32) -> u32 {
        self.state.lock().unwrap().made.get(&tenant).copied().unwrap_or(0)
    }

    /// How many token requests were made for a tenant.
    pub(crate) fn fetched(&self, tenant: u32) -> u32 {
        self.state.lock().unwrap().fetched.get(&tenant).copied().unwrap_or(0)
    }

    pub(crate) fn all_fetched(&self) -> u32 {
        self.state.lock().unwrap().fetched.values().sum()
    }

    /// What a tenant's layer is made of; its tokens are `token-<tenant>-<number>`.
    pub(crate) fn layer(&self, tenant: Tenant) -> AuthLayerBuilder {
        *self.state.lock().unwrap().made.entry(tenant.0).or_default() += 1;
        let state = Arc::clone(&self.state);
        let source = source_fn(move |_| {
            let state = Arc::clone(&state);
            async move {
                let latency = {
                    let mut state = state.lock().unwrap();
                    *state.fetched.entry(tenant.0).or_default() += 1;
                    state.latency
                };
                tokio::time::sleep(latency).await;
                let state = state.lock().unwrap();
                match &state.failure {
                    Some(error) => Err(error.clone()),
                    None => AccessToken::new(format!("token-{}-{}", tenant.0, state.fetched[&tenant.0]), None),
                }
            }
        });
        let signer = signer_fn(move |context: &SigningContext<'_>| {
            let mut headers = SignatureHeaders::new();
            let text = format!("signature-{}-{}", tenant.0, context.token().expose_secret());
            headers.insert(SIGNATURE, HeaderValue::try_from(text).unwrap());
            Ok(headers)
        });
        let builder = AuthLayer::builder(source).origin(ORIGIN).sign(SignRules::all(), signer);
        builder.header(STATIC, HeaderValue::from(tenant.0))
    }

    pub(crate) fn keyed(&self) -> KeyedAuthLayerBuilder<Tenant> {
        let tenants = self.clone();
        KeyedAuthLayer::builder(move |tenant: &Tenant| tenants.layer(*tenant).build())
    }
}

/// An API that takes every request, keeps it, and says what token it had.
pub(crate) fn api() -> (Seen, Api<impl Fn(Request<Body>) -> Answering + Clone + use<>>) {
    let seen = Seen::default();
    let log = seen.clone();
    let answer = move |request: Request<Body>| -> Answering {
        log.push(&request);
        let mut response = answer(StatusCode::OK);
        for name in [AUTHORIZATION, STATIC, SIGNATURE] {
            response.headers_mut().extend(request.headers().get(&name).map(|value| (name, value.clone())));
        }
        Box::pin(ready(Ok(response)))
    };
    (seen, Api { answer })
}

pub(crate) fn request(tenant: u32) -> Request<Body> {
    let mut request = get("/");
    request.extensions_mut().insert(Tenant(tenant));
    request
}

/// Sends a tenant's request, and checks that all its credentials are the tenant's; the token.
pub(crate) fn send<F>(
    keyed: &KeyedAuthLayer<Tenant>,
    (_, api): &(Seen, Api<F>),
    tenant: u32,
) -> impl Future<Output = Result<String, BoxError>> + use<F>
where
    F: Fn(Request<Body>) -> Answering + Clone,
{
    let client = keyed.layer(api.clone());
    async move {
        let response = client.oneshot(request(tenant)).await?;
        let token = response.headers()[AUTHORIZATION].to_str().unwrap().strip_prefix("Bearer ").unwrap();
        assert!(token.starts_with(&format!("token-{tenant}-")), "{token} for tenant {tenant}");
        assert_eq!(response.headers()[STATIC], tenant.to_string());
        assert_eq!(response.headers()[SIGNATURE], format!("signature-{tenant}-{token}"));
        Ok(token.to_owned())
    }
}
