//! `AuthLayer` and its builder: checked settings in, a working layer out.

use std::{fmt, sync::Arc, time::Duration};

use http::{HeaderName, HeaderValue, response};
use tower_layer::Layer;

use crate::{
    clock::{Clock, Timepiece},
    error::AuthError,
    origin::Origin,
    rejection::{Judge, Rejection},
    replay::CloneBody,
    service::Auth,
    settings::{Settings, Shared},
    sign_rules::SignRules,
    signing::Signer,
    stamp::{Overwrite, Stamp},
    token::{RefreshPolicy, Refresher, TokenHandle, TokenSource},
};

/// Logs an HTTP client in: wraps its service, and puts a token on the requests that go to the right place.
///
/// Clones, and all services made from them, share one token. Nothing runs until a request needs a token, and no runtime
/// is needed before that.
///
/// # Example
///
/// ```
/// use tower::ServiceBuilder;
/// use tower_outbound_auth::{AuthError, AuthLayer, Credentials, oauth::ClientCredentialsGrant};
///
/// # #[cfg(feature = "client")]
/// fn layer() -> Result<AuthLayer, AuthError> {
///     let credentials = Credentials::from_env("CLIENT_ID", "CLIENT_SECRET")?;
///     let source = ClientCredentialsGrant::builder("https://login.example.com/oauth/token", credentials).build()?;
///     AuthLayer::builder(source).origin("https://api.example.com").build()
/// }
/// ```
#[derive(Clone, Debug)]
pub struct AuthLayer<R = CloneBody> /* a layer is no service: `auth.layer(client)` makes one */ {
    settings: Arc<Shared>,
    policy: R,
}

impl AuthLayer {
    /// Starts a layer that gets its tokens from this source.
    pub fn builder(source: impl TokenSource) -> AuthLayerBuilder {
        AuthLayerBuilder {
            source: Box::new(source),
            origins: Vec::new(),
            stamp: Stamp::default(),
            judge: Judge::default(),
            refresh: RefreshPolicy::default(),
            max_wait: None,
            clock: Clock::default(),
        }
    }
}

impl<R> AuthLayer<R> {
    /// The token of this layer, to be looked at, waited for, forced or rejected from beside it.
    pub fn handle(&self) -> TokenHandle {
        TokenHandle::new(&self.settings.refresher)
    }

    /// Changes how a rejected request is sent again, which takes a second body; see [`Replay`](crate::Replay).
    ///
    /// The default, [`CloneBody`], serves bodies that can be cloned, and streams in a [`ReplayBody`](crate::ReplayBody).
    pub fn replay<R2>(self, policy: R2) -> AuthLayer<R2> {
        AuthLayer { settings: self.settings, policy }
    }
}

impl<S, R: Clone> Layer<S> for AuthLayer<R> {
    type Service = Auth<S, R>;

    fn layer(&self, inner: S) -> Self::Service {
        Auth::new(inner, Arc::clone(&self.settings), self.policy.clone())
    }
}

/// Settings of an [`AuthLayer`] to be.
#[must_use = "a builder does nothing until `build`"]
pub struct AuthLayerBuilder /* no layer yet: `.build()?` makes it one */ {
    source: Box<dyn TokenSource>,
    origins: Vec<String>,
    stamp: Stamp,
    judge: Judge,
    refresh: RefreshPolicy,
    max_wait: Option<Duration>,
    clock: Clock,
}

impl AuthLayerBuilder {
    /// A server that may see the token: `https://host[:port]`, nothing after it. Repeatable; at least one is needed.
    ///
    /// Scheme, host and port of a request must all equal it. Any other request goes out untouched. A request whose URI
    /// has no authority counts as in scope: its service is bound to one server already.
    pub fn origin(mut self, origin: &str) -> Self {
        self.origins.push(origin.to_owned());
        self
    }

    /// Lets every server see the token that a request names over `https`.
    ///
    /// Dangerous: a URL from an answer, or from a user, then carries the token to wherever it points. For a client whose
    /// requests all go to servers of one's own.
    pub fn any_origin(mut self) -> Self {
        self.stamp.scope.any_origin = true;
        self
    }

    /// Allows plain `http` beyond this machine. On loopback it always is.
    ///
    /// Whoever is on the way can then read the token and use it. The server's clock is not learnt from such answers.
    pub fn allow_insecure_http(mut self) -> Self {
        self.stamp.scope.insecure_http = true;
        self
    }

    /// Signs the requests that the rules name. A second call replaces the first.
    pub fn sign(mut self, rules: SignRules, signer: impl Signer) -> Self {
        self.stamp.signing = Some((rules, Box::new(signer)));
        self
    }

    /// When the token is refreshed, and how a failing authorization server is treated.
    pub fn refresh(mut self, policy: RefreshPolicy) -> Self {
        self.refresh = policy;
        self
    }

    /// How long one request may wait for a token, all of its waits together; then it fails with
    /// [`Timeout`](crate::ErrorKind::Timeout) and the flight goes on.
    ///
    /// Default: no limit of its own, since the flight has one, and a timeout layer outside of this one works too. Zero
    /// never waits: without a token a request fails at once, having started the flight for the next.
    pub fn max_wait(mut self, wait: Duration) -> Self {
        self.max_wait = Some(wait);
        self
    }

    /// What becomes of an `Authorization` header that the caller has set. Default: [`Overwrite::Keep`].
    pub fn overwrite(mut self, yes: Overwrite) -> Self {
        self.stamp.overwrite = yes;
        self
    }

    /// For an API that says no in its own way: which responses reject the token, besides 401.
    ///
    /// It sees the head of each response to a request that carried the token. For a message in the body, put a layer
    /// under this one that leaves a [`Rejection`] in the extensions of the response.
    ///
    /// What it does not reject is judged by its status alone: an API that says everything with 200, as gRPC does, counts
    /// as accepting the token with every other answer.
    pub fn reject_when(mut self, f: impl Fn(&response::Parts) -> Option<Rejection> + Send + Sync + 'static) -> Self {
        self.judge = Judge::with(f);
        self
    }

    /// Which clock to read. Default: [`Clock::Coarse`]; [`Clock::Tokio`] is for tests that pause time.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// A static header for the requests that carry the token, as PayNet's `X-Fiid`. Repeatable; marked sensitive.
    pub fn header(mut self, name: HeaderName, mut value: HeaderValue) -> Self {
        value.set_sensitive(true);
        self.stamp.headers.push((name, value));
        self
    }

    /// Checks the settings and makes the layer.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config), with what to change: no origin, an origin that is none or that would carry
    /// the token in the clear, a fraction out of range, a static `authorization` header.
    pub fn build(mut self) -> Result<AuthLayer, AuthError> {
        self.stamp.scope.origins = self.origins.iter().map(|origin| Origin::parse(origin)).collect::<Result<_, _>>()?;
        self.stamp.check()?;
        self.refresh.check()?;
        let refresher = Refresher::new(self.source, self.refresh, Timepiece::new(self.clock));
        let settings =
            Settings { stamp: self.stamp, judge: self.judge, refresher: Arc::new(refresher), max_wait: self.max_wait };
        Ok(AuthLayer { settings: Arc::new(Shared::new(settings)), policy: CloneBody })
    }
}

impl fmt::Debug for AuthLayerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthLayerBuilder")
            .field("stamp", &self.stamp)
            .field("judge", &self.judge)
            .field("refresh", &self.refresh)
            .field("max_wait", &self.max_wait)
            .field("clock", &self.clock)
            .finish_non_exhaustive()
    }
}
