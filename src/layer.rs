//! `AuthLayer` and its builder: checked settings in, a working layer out.

use std::{fmt, sync::Arc, time::Duration};

use http::{HeaderName, HeaderValue, response};
use tower_layer::Layer;

use crate::{
    authorize::Authorizer,
    error::AuthError,
    origin::Origin,
    rejection::{Classifier, Rejection},
    replay::CloneBody,
    service::Auth,
    settings::Settings,
    signing::{SignRules, Signer},
    telemetry::ToldOrigins,
    token::{Fetcher, RefreshPolicy, TokenHandle, TokenSource, UNNAMED},
};

/// Layer that adds an access token to the requests for the configured origins.
///
/// Clones, and all services made from them, share one token. Building a layer needs no runtime; nothing is fetched until a
/// request needs a token.
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
///     let grant = ClientCredentialsGrant::builder("https://login.example.com/oauth/token", credentials).build()?;
///     AuthLayer::builder(grant).origin("https://api.example.com").build()
/// }
/// ```
#[derive(Clone)]
pub struct AuthLayer<R = CloneBody> /* a layer is no service: `auth.layer(client)` makes one */ {
    settings: Arc<Settings>,
    policy: R,
}

impl AuthLayer {
    /// Starts building a layer that gets its tokens from this source.
    pub fn builder(source: impl TokenSource) -> AuthLayerBuilder {
        AuthLayerBuilder {
            source: Box::new(source),
            origins: Vec::new(),
            scheme: BEARER.to_owned(),
            authorizer: Authorizer::default(),
            classifier: Classifier::default(),
            refresh: RefreshPolicy::default(),
            max_wait: None,
            name: UNNAMED,
            policy: CloneBody,
        }
    }
}

impl<R> AuthLayer<R> {
    /// Returns a handle to inspect, await, refresh or invalidate the token.
    pub fn handle(&self) -> TokenHandle {
        TokenHandle::new(&self.settings.fetcher)
    }

    pub(crate) fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }

    pub(crate) fn policy(&self) -> &R {
        &self.policy
    }
}

impl<S, R: Clone> Layer<S> for AuthLayer<R> {
    type Service = Auth<S, R>;

    fn layer(&self, inner: S) -> Self::Service {
        Auth::new(inner, Arc::clone(&self.settings), self.policy.clone())
    }
}

impl<R> fmt::Debug for AuthLayer<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthLayer").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// Builder for [`AuthLayer`].
///
/// # Example
///
/// ```
/// use std::time::Duration;
/// use tower_outbound_auth::{
///     AuthError, AuthLayer,
///     replay::NoReplay,
///     token::{AccessToken, RefreshPolicy, source_fn},
/// };
///
/// let source = source_fn(|_| async { AccessToken::new("made-by-hand", None) });
/// let layer = AuthLayer::builder(source)
///     .origin("https://api.example.com")
///     .origin("https://files.example.com")
///     .max_wait(Duration::from_secs(5))
///     .refresh(RefreshPolicy::default().deadline(Duration::from_secs(10)))
///     .replay(NoReplay)
///     .build()?;
/// # let _ = layer;
/// # Ok::<(), AuthError>(())
/// ```
#[must_use = "a builder does nothing until `build`"]
pub struct AuthLayerBuilder<R = CloneBody> /* no layer yet: `.build()?` makes it one */ {
    source: Box<dyn TokenSource>,
    origins: Vec<String>,
    scheme: String,
    authorizer: Authorizer,
    classifier: Classifier,
    refresh: RefreshPolicy,
    max_wait: Option<Duration>,
    name: &'static str,
    policy: R,
}

impl<R> AuthLayerBuilder<R> {
    /// Adds a server that may receive the token, as `https://host[:port]`.
    ///
    /// Repeatable; at least one is needed, unless [`any_origin`](Self::any_origin) is set.
    ///
    /// Scheme, host and port of a request must equal it; any other request passes untouched. `http` is allowed on a
    /// loopback host.
    pub fn origin(mut self, origin: &str) -> Self {
        self.origins.push(origin.to_owned());
        self
    }

    /// Sends the token to every server that a request names, over `https`.
    ///
    /// Use only if every request URL is under your control: a URL from a response or from a user carries the token to
    /// wherever it points.
    pub fn any_origin(mut self) -> Self {
        self.authorizer.scope.any_origin = true;
        self
    }

    /// Allows plain `http` beyond loopback hosts.
    ///
    /// Everyone on the network path can then read and use the token. The server's clock is not learnt from such responses.
    pub fn allow_insecure_http(mut self) -> Self {
        self.authorizer.scope.insecure_http = true;
        self
    }

    /// Allows requests whose URI has no host, for a service bound to one server.
    ///
    /// Default: they fail with [`Config`](crate::ErrorKind::Config), since the layer cannot know where they go. Use
    /// only if the inner service sends all requests to one of the configured origins. A `Host` header must name one,
    /// and the path must not begin with two slashes.
    pub fn allow_relative_uri(mut self) -> Self {
        self.authorizer.scope.relative_uri = true;
        self
    }

    /// Signs the requests that the rules name. A second call replaces the first.
    ///
    /// # Example
    ///
    /// ```
    /// use tower_outbound_auth::{
    ///     AuthError, AuthLayerBuilder, Credentials,
    ///     signing::{SignRules, TimestampHmac},
    /// };
    ///
    /// fn signed(builder: AuthLayerBuilder, credentials: Credentials) -> Result<AuthLayerBuilder, AuthError> {
    ///     Ok(builder.sign(SignRules::paths(["/v1/payments/{*rest}"])?, TimestampHmac::sha256(credentials)))
    /// }
    /// ```
    pub fn sign(mut self, rules: SignRules, signer: impl Signer) -> Self {
        self.authorizer.signing = Some((rules, Box::new(signer)));
        self
    }

    /// Adds a static header to authorized requests, such as PayNet's `X-Fiid`.
    ///
    /// Repeatable, once for each name. The value is marked sensitive. Default: none.
    ///
    /// Headers that the HTTP client sets (`Host`, `Content-Length`, `Transfer-Encoding`, `Connection` and the like) are refused
    /// by [`build`](Self::build), and so is the header of the token.
    pub fn header(mut self, name: HeaderName, mut value: HeaderValue) -> Self {
        value.set_sensitive(true);
        self.authorizer.headers.push((name, value));
        self
    }

    /// Replaces an `Authorization` header that the caller has set.
    ///
    /// Default: it is kept, and the request passes untouched, since the caller authenticates it.
    pub fn overwrite_authorization(mut self) -> Self {
        self.authorizer.overwrite = true;
        self
    }

    /// Sets the header that carries the token, and the scheme before the token.
    ///
    /// Default: `authorization` and `Bearer` (RFC 6750, section 2.1). An empty scheme sends the bare token.
    ///
    /// # Example
    ///
    /// ```
    /// use http::{HeaderName, header::AUTHORIZATION};
    /// use tower_outbound_auth::AuthLayerBuilder;
    ///
    /// // Authorization: Token abc
    /// fn token_scheme(builder: AuthLayerBuilder) -> AuthLayerBuilder {
    ///     builder.token_header(AUTHORIZATION, "Token")
    /// }
    /// // X-Access-Token: abc
    /// fn own_header(builder: AuthLayerBuilder) -> AuthLayerBuilder {
    ///     builder.token_header(HeaderName::from_static("x-access-token"), "")
    /// }
    /// ```
    pub fn token_header(mut self, name: HeaderName, scheme: &str) -> Self {
        self.authorizer.token_header = name;
        scheme.clone_into(&mut self.scheme);
        self
    }

    /// Treats responses other than 401 as rejections.
    ///
    /// The function is called with the head of each response to an authorized request. For a message in the body, use a
    /// layer inside this one that leaves a [`Rejection`] in the extensions of the response. If the function returns
    /// `None`, the status and the challenges decide; a 200 then counts as accepted. Default: no such function. A second
    /// call replaces the first.
    pub fn reject_when(mut self, f: impl Fn(&response::Parts) -> Option<Rejection> + Send + Sync + 'static) -> Self {
        self.classifier.reject_when = Some(Arc::new(f));
        self
    }

    /// Treats responses as accepted although their status or challenges reject.
    ///
    /// Use it for a 401 that is about the data of the request and not about the token: nothing is then renewed or
    /// replayed. It does not overrule [`reject_when`](Self::reject_when), nor a [`Rejection`] of an inner layer.
    ///
    /// # Example
    ///
    /// ```
    /// use tower_outbound_auth::AuthLayerBuilder;
    ///
    /// fn wrong_pin(builder: AuthLayerBuilder) -> AuthLayerBuilder {
    ///     builder.accept_when(|response| response.headers.contains_key("x-pin-error"))
    /// }
    /// ```
    pub fn accept_when(mut self, f: impl Fn(&response::Parts) -> bool + Send + Sync + 'static) -> Self {
        self.classifier.accept_when = Some(Arc::new(f));
        self
    }

    /// Names the layer in spans and metrics.
    ///
    /// Default: `default`. Give each layer a name if a program has several. The metric of a token's expiry exists for
    /// named layers only.
    pub fn name(mut self, name: &'static str) -> Self {
        self.name = name;
        self
    }

    /// Sets when the token is refreshed, and how failures are limited.
    ///
    /// Default: [`RefreshPolicy::default`].
    pub fn refresh(mut self, policy: RefreshPolicy) -> Self {
        self.refresh = policy;
        self
    }

    /// Sets how long one request may wait for a token, all of its waits together.
    ///
    /// After that it fails with [`Timeout`](crate::ErrorKind::Timeout), and the fetch goes on for later requests.
    ///
    /// Default: none; the wait is bounded by [`RefreshPolicy::deadline`]. Zero never waits: without a token a request
    /// fails at once, having started the fetch.
    pub fn max_wait(mut self, wait: Duration) -> Self {
        self.max_wait = Some(wait);
        self
    }

    /// Sets how the body of a request is copied for a replay.
    ///
    /// Default: [`CloneBody`], for bodies that can be cloned, and streams in a
    /// [`ReplayBody`](crate::replay::ReplayBody). The module [`replay`](crate::replay) has the others.
    pub fn replay<R2>(self, policy: R2) -> AuthLayerBuilder<R2> {
        let Self { source, origins, scheme, authorizer, classifier, refresh, max_wait, name, policy: _ } = self;
        AuthLayerBuilder { source, origins, scheme, authorizer, classifier, refresh, max_wait, name, policy }
    }

    /// Checks the settings and builds the layer.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config), with what to change: no origin, an origin that is not
    /// `https://host[:port]` or would receive the token unencrypted, a fraction out of range, a static header that is
    /// set twice, carries the token or belongs to the HTTP client, a token scheme of more than one word, a signing key
    /// that is empty or contains a line end.
    pub fn build(mut self) -> Result<AuthLayer<R>, AuthError> {
        let origins = self.origins.iter().map(|origin| Origin::parse("origin", origin));
        self.authorizer.scope.origins = origins.collect::<Result<_, _>>()?;
        self.authorizer.check()?;
        self.refresh.check()?;
        let scheme = scheme_prefix(&self.scheme)?;
        let fetcher = Arc::new(Fetcher::new(self.source, self.refresh, scheme, self.name));
        let Self { authorizer, classifier, max_wait, policy, .. } = self;
        let settings = Settings { authorizer, classifier, fetcher, max_wait, told_origins: ToldOrigins::default() };
        Ok(AuthLayer { settings: Arc::new(settings), policy })
    }
}

impl<R> fmt::Debug for AuthLayerBuilder<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthLayerBuilder")
            .field("name", &self.name)
            .field("origins", &self.origins.len())
            .field("authorizer", &self.authorizer)
            .field("classifier", &self.classifier)
            .field("refresh", &self.refresh)
            .field("max_wait", &self.max_wait)
            .finish_non_exhaustive()
    }
}

/// What precedes the token in its header; `None` for `Bearer`. A scheme is a token (RFC 9110, section 11.1).
fn scheme_prefix(scheme: &str) -> Result<Option<String>, AuthError> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    match scheme {
        BEARER => Ok(None),
        "" => Ok(Some(String::new())),
        _ if scheme.bytes().all(is_token) => Ok(Some(format!("{scheme} "))),
        _ => Err(AuthError::config(format!("token_header(.., {scheme:?}): not a scheme; use one word, as \"Token\""))),
    }
}

const BEARER: &str = "Bearer";
