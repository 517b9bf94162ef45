//! A client each callback of which can be told to misbehave.

use std::{
    future::{Future, ready},
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Wake, Waker},
};

use http::{Request, Response, StatusCode, header::AUTHORIZATION};
use tower::{Layer, ServiceExt, service_fn, util::BoxCloneSyncService};
use tower_outbound_auth::{
    AuthError, AuthLayer, AuthLayerBuilder, BoxError,
    replay::Replay,
    signing::{SignRules, SignatureHeaders, signer_fn},
    token::{AccessToken, FetchRequest, TokenHandle, TokenSource},
};

use crate::support::{Body, Issuer, ORIGIN, answer, get};

/// Where a user's function is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// `TokenSource::fetch`, before it returns its future.
    Source,
    /// In that future.
    Fetching,
    Generation,
    Signer,
    /// `SignRules::matching`.
    Rules,
    CloneBody,
    IsComplete,
    Reserve,
    RejectWhen,
    AcceptWhen,
    Waker,
    WakerDropped,
    /// Of the tracing subscriber, as the others below.
    NewSpan,
    Record,
    Enter,
    Event,
}

/// What three requests run into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scene {
    /// No token.
    Cold,
    /// A good token.
    Warm,
    /// A good token, from before a rotation of the secret.
    Rotated,
    /// A token that was revoked.
    Rejected,
}

type Deed = Arc<dyn Fn() + Send + Sync>;

/// What a callback is to do instead of nothing.
#[derive(Clone, Default)]
pub(super) struct Hooks(Arc<Mutex<Option<(Place, usize, Deed)>>>);

impl Hooks {
    /// Plans this for the time that the place is reached after it was reached so many times.
    pub(super) fn plan(&self, place: Place, after: usize, deed: impl Fn() + Send + Sync + 'static) {
        *self.0.lock().unwrap() = Some((place, after, Arc::new(deed)));
    }

    pub(super) fn is_done(&self) -> bool {
        self.0.lock().unwrap().is_none()
    }

    fn reach(&self, reached: Place) {
        let due = {
            let mut plan = self.0.lock().unwrap();
            plan.take_if(|(place, after, _)| {
                let is_here = *place == reached;
                let is_due = is_here && *after == 0;
                *after -= usize::from(is_here && !is_due);
                is_due
            })
        };
        if let Some((_, _, deed)) = due {
            deed();
        }
    }
}

#[derive(Clone)]
pub(super) struct World {
    pub(super) hooks: Hooks,
    pub(super) issuer: Issuer,
    pub(super) handle: TokenHandle,
    client: Client,
}

pub(super) type Client = BoxCloneSyncService<Request<Body>, Response<Body>, BoxError>;

impl World {
    pub(super) fn new() -> Self {
        Self::with(|builder| builder)
    }

    pub(super) fn with(change: impl FnOnce(AuthLayerBuilder) -> AuthLayerBuilder) -> Self {
        let (hooks, issuer) = (Hooks::default(), Issuer::new());
        let [signer, rules, reject, accept] = [(); 4].map(|()| hooks.clone());
        let source = Source { hooks: hooks.clone(), issuer: issuer.clone() };
        let layer = change(AuthLayer::builder(source))
            .origin(ORIGIN)
            .sign(
                SignRules::matching(move |_, _| {
                    rules.reach(Place::Rules);
                    true
                }),
                signer_fn(move |_| {
                    signer.reach(Place::Signer);
                    Ok(SignatureHeaders::new())
                }),
            )
            .reject_when(move |_| {
                reject.reach(Place::RejectWhen);
                None
            })
            .accept_when(move |_| {
                accept.reach(Place::AcceptWhen);
                false
            })
            .replay(Policy(hooks.clone()))
            .build()
            .unwrap();
        let api = issuer.clone();
        // Without timers, which would call wakers as well.
        let api = service_fn(move |request: Request<Body>| {
            let known = api.knows(request.headers()[AUTHORIZATION].to_str().unwrap());
            ready(Ok::<_, BoxError>(answer(if known { StatusCode::OK } else { StatusCode::UNAUTHORIZED })))
        });
        let handle = layer.handle();
        Self { hooks, issuer, handle, client: BoxCloneSyncService::new(layer.layer(api)) }
    }

    /// Sets a scene for the requests that follow.
    pub(super) async fn set(&self, scene: Scene) {
        if scene != Scene::Cold {
            assert_eq!(self.call().await.unwrap(), 200);
        }
        match scene {
            Scene::Cold | Scene::Warm => {}
            Scene::Rotated => self.issuer.rotate(),
            Scene::Rejected => self.issuer.revoke(),
        }
    }

    pub(super) fn client(&self) -> Client {
        self.client.clone()
    }

    /// The status of one call's response.
    pub(super) fn call(&self) -> impl Future<Output = Result<u16, BoxError>> + Send + use<> {
        let call = Watched { future: Box::pin(self.client.clone().oneshot(get("/a"))), hooks: self.hooks.clone() };
        async move { Ok(call.await?.status().as_u16()) }
    }
}

struct Source {
    hooks: Hooks,
    issuer: Issuer,
}

impl TokenSource for Source {
    fn fetch(
        &self,
        request: FetchRequest,
    ) -> Pin<Box<dyn Future<Output = Result<AccessToken, AuthError>> + Send + '_>> {
        self.hooks.reach(Place::Source);
        Box::pin(async move {
            self.hooks.reach(Place::Fetching);
            self.issuer.fetch(request).await
        })
    }

    fn generation(&self) -> u64 {
        self.hooks.reach(Place::Generation);
        self.issuer.generation()
    }
}

#[derive(Clone)]
struct Policy(Hooks);

impl Replay<Body> for Policy {
    fn clone_body(&self, body: &Body) -> Option<Body> {
        self.0.reach(Place::CloneBody);
        Some(body.clone())
    }

    fn is_complete(&self, _copy: &Body) -> bool {
        self.0.reach(Place::IsComplete);
        true
    }

    fn reserve(&self, _copy: &Body) -> bool {
        self.0.reach(Place::Reserve);
        true
    }
}

/// Polled with a waker that calls the hooks.
struct Watched<F> {
    future: Pin<Box<F>>,
    hooks: Hooks,
}

impl<F: Future> Future for Watched<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let waker = Waker::from(Arc::new(Watch { waker: cx.waker().clone(), hooks: self.hooks.clone() }));
        self.future.as_mut().poll(&mut Context::from_waker(&waker))
    }
}

struct Watch {
    waker: Waker,
    hooks: Hooks,
}

impl Wake for Watch {
    fn wake(self: Arc<Self>) {
        self.waker.wake_by_ref();
        self.hooks.reach(Place::Waker);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.hooks.reach(Place::WakerDropped);
    }
}

/// The tracing subscriber.
pub(super) struct Listener(pub(super) Hooks);

impl tracing::Subscriber for Listener {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target().starts_with("tower_outbound_auth")
    }

    fn new_span(&self, _span: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        self.0.reach(Place::NewSpan);
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _span: &tracing::span::Id, _values: &tracing::span::Record<'_>) {
        self.0.reach(Place::Record);
    }

    fn record_follows_from(&self, _span: &tracing::span::Id, _follows: &tracing::span::Id) {}

    fn event(&self, _event: &tracing::Event<'_>) {
        self.0.reach(Place::Event);
    }

    fn enter(&self, _span: &tracing::span::Id) {
        self.0.reach(Place::Enter);
    }

    fn exit(&self, _span: &tracing::span::Id) {}
}
