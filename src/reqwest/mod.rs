//! reqwest: a middleware for its clients, and its client as a Tower service.
//!
//! [`AuthMiddleware`] authenticates the requests of a client of the `reqwest-middleware` crate, which has reqwest's interface:
//! `client.get(url).json(&order).send().await`. [`ReqwestService`] is a [`reqwest::Client`] as a service of
//! `http::Request`, for a Tower stack and for token requests.
//!
//! # Example
//!
//! ```no_run
//! use reqwest_middleware::{ClientBuilder, ClientWithMiddleware};
//! use tower_outbound_auth::{
//!     AuthLayer, BoxError, Credentials,
//!     oauth::ClientCredentialsGrant,
//!     reqwest::{AuthMiddleware, redirect_policy},
//! };
//!
//! # #[cfg(feature = "client")]
//! fn client() -> Result<ClientWithMiddleware, BoxError> {
//!     let credentials = Credentials::from_env("CLIENT_ID", "CLIENT_SECRET")?;
//!     let grant = ClientCredentialsGrant::builder("https://login.example.com/oauth/token", credentials).build()?;
//!     let auth = AuthLayer::builder(grant).origin("https://api.example.com").build()?;
//!
//!     let client = reqwest::Client::builder().redirect(redirect_policy()).no_proxy().build()?;
//!     Ok(ClientBuilder::new(client).with(AuthMiddleware::from(auth)).build())
//! }
//!
//! # async fn call(client: ClientWithMiddleware) -> Result<(), BoxError> {
//! let order = serde_json::json!({ "article": 7 });
//! let response = client.post("https://api.example.com/orders").json(&order).send().await?;
//! println!("{}: {}", response.status(), response.json::<serde_json::Value>().await?);
//! # Ok(()) }
//! ```
//!
//! Import the items, not this module: `use tower_outbound_auth::reqwest;` hides the crate of that name.
//!
//! # Redirects
//!
//! reqwest follows redirects below all middlewares. When the host changes, it removes `Authorization`, but no signature, no
//! header of [`AuthLayerBuilder::header`](crate::AuthLayerBuilder::header), and no token in a
//! [header of another name](crate::AuthLayerBuilder::token_header). Give [`redirect_policy`] to the client, as above. Without
//! it, such a response emits an event at level WARN.
//!
//! # Order of middlewares
//!
//! A middleware added before `AuthMiddleware` sees a call; one added after it sees each send. Add a retry middleware
//! before: each attempt then takes the current token and gets its own signature. Add a middleware that changes the URL
//! before it, too: the origin is checked here.
//!
//! # If rustc says
//!
//! | message | reason, and what to write |
//! |---|---|
//! | ``the trait bound `AuthLayer: reqwest_middleware::Middleware` is not satisfied`` | a layer is not a middleware: `.with(AuthMiddleware::from(auth))` |
//! | ``the trait bound `AuthMiddleware: From<AuthLayerBuilder>` is not satisfied`` | the layer is not built yet: `.build()?` |
//! | ``the trait bound `AuthMiddleware: From<Result<AuthLayer, AuthError>>` is not satisfied`` | `build` can fail: `.build()?` |
//! | `` `P` cannot replay a request with the body `RequestBody` `` | implement [`Replay<RequestBody>`](crate::replay::Replay) for your policy, or use `CloneBody` |
//! | ``the trait bound `Client: Service<http::Request<..>>` is not satisfied`` | [`ReqwestService::new(client)`](ReqwestService::new) does |
//! | no method named `json` found for `reqwest_middleware::RequestBuilder` | feature `json` of `reqwest-middleware`; reqwest's own is not enough |
//! | mismatched types with two versions of `reqwest` | this crate works with reqwest 0.13 and reqwest-middleware 0.5: `cargo tree --duplicates` |
//! | ``cannot find `Client` in `reqwest` `` | `use tower_outbound_auth::reqwest` hides the crate: import the items |
//!
//! # WebAssembly
//!
//! Not supported: token fetches are tasks of a Tokio runtime with timers, which a browser does not have. A build for `wasm32`
//! with this feature fails and says so.

mod body;
mod call;
mod middleware;
mod response;
mod service;

use ::reqwest::redirect::Policy;

pub use self::{
    body::RequestBody,
    middleware::AuthMiddleware,
    service::{ReqwestFuture, ReqwestService},
};
use crate::error::AuthError;

#[cfg(target_arch = "wasm32")]
compile_error!(
    "tower-outbound-auth: feature `reqwest` is not supported on wasm32: token fetches need a Tokio runtime with timers; \
     authenticate on a server"
);

/// Finds the [`AuthError`] in an error of a client with an [`AuthMiddleware`].
///
/// `None` for any other error, such as one of reqwest, which stays a `reqwest_middleware::Error::Reqwest`. A retry middleware
/// wraps both in its own error; this function looks inside.
///
/// # Example
///
/// ```
/// use tower_outbound_auth::{AuthError, reqwest::auth_error};
///
/// fn is_worth_a_retry(error: &reqwest_middleware::Error) -> bool {
///     auth_error(error).map_or(error.is_timeout() || error.is_connect(), AuthError::is_transient)
/// }
/// # let denied = AuthError::new(tower_outbound_auth::ErrorKind::Denied, "no such client");
/// # assert!(!is_worth_a_retry(&reqwest_middleware::Error::middleware(denied)));
/// ```
pub fn auth_error(error: &reqwest_middleware::Error) -> Option<&AuthError> {
    match error {
        reqwest_middleware::Error::Middleware(error) => error.chain().find_map(AuthError::find),
        reqwest_middleware::Error::Reqwest(error) => AuthError::find(error),
    }
}

/// Redirect policy that follows redirects within one origin.
///
/// It follows at most ten redirects; the eleventh is an error, as with reqwest's default policy. It stops at the first
/// redirect to another scheme, host or port: the caller gets the 3xx response, and may request its `Location` with a new
/// request, whose origin is checked as any other.
///
/// # Example
///
/// ```
/// let client = reqwest::Client::builder().redirect(tower_outbound_auth::reqwest::redirect_policy()).no_proxy().build()?;
/// # drop(client);
/// # Ok::<(), reqwest::Error>(())
/// ```
pub fn redirect_policy() -> Policy {
    Policy::custom(|attempt| {
        let origin = attempt.url().origin();
        if attempt.previous().iter().all(|previous| previous.origin() == origin) {
            Policy::limited(MAX_REDIRECTS).redirect(attempt)
        } else {
            attempt.stop()
        }
    })
}

/// As many as reqwest follows by default.
const MAX_REDIRECTS: usize = 10;
