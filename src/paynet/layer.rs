//! `PayNetLayer`: authentication and PayNet's rejections in one layer.

use std::fmt;

use tower_layer::Layer;

#[cfg(feature = "client")]
use super::{Environment, grant, sign_rules};
use super::{RejectionLayer, Rejections};
#[cfg(feature = "client")]
use crate::{credentials::Credentials, error::AuthError, layer::AuthLayerBuilder, signing::TimestampHmac};
use crate::{layer::AuthLayer, replay::CloneBody, service::Auth, token::TokenHandle};

/// Layer that authenticates requests to PayNet and recognizes PayNet's rejections.
///
/// It is an [`AuthLayer`] with a [`RejectionLayer`] inside. [`layer`](super::layer()) creates one with the default settings;
/// for other settings convert an [`AuthLayer`].
///
/// # Example
///
/// A static `X-Fiid` header, which the GraphQL endpoint requires:
///
/// ```
/// # #[cfg(feature = "client")] {
/// use http::HeaderValue;
/// use tower_outbound_auth::{
///     AuthError, Credentials,
///     paynet::{self, Environment, PayNetLayer, X_FIID},
/// };
///
/// fn layer(credentials: Credentials, fiid: HeaderValue) -> Result<PayNetLayer, AuthError> {
///     let auth = paynet::auth(&Environment::production(), credentials)?.header(X_FIID, fiid).build()?;
///     Ok(PayNetLayer::from(auth))
/// }
///
/// let fiid = HeaderValue::from_static("FIID0001");
/// assert!(layer(Credentials::new("my-client", "my-secret"), fiid).is_ok());
/// # }
/// ```
///
/// # Order of layers
///
/// The messages are in the body, so put a layer that decompresses bodies inside. Put timeouts outside: a response that
/// may be a rejection is returned only when its body has been read.
#[derive(Clone)]
pub struct PayNetLayer<R = CloneBody> {
    auth: AuthLayer<R>,
}

/// Creates a layer with everything that PayNet needs.
///
/// It adds the bearer token to requests to the environment's API origin, signs those on the [documented
/// paths](super::sign_rules), and recognizes PayNet's rejections. Building it sends nothing.
///
/// # Errors
///
/// [`Config`](crate::ErrorKind::Config) if the client id or the client secret is empty or contains a control character.
///
/// # Example
///
/// ```
/// use tower_outbound_auth::{Credentials, paynet};
///
/// let credentials = Credentials::new("my-client", "my-secret");
/// let paynet = paynet::layer(&paynet::Environment::non_production(), credentials)?;
/// let token = paynet.handle();
/// # drop(token);
/// # Ok::<(), tower_outbound_auth::AuthError>(())
/// ```
#[cfg(feature = "client")]
pub fn layer(env: &Environment, credentials: Credentials) -> Result<PayNetLayer, AuthError> {
    Ok(PayNetLayer::from(auth(env, credentials)?.build()?))
}

/// Returns a builder for an [`AuthLayer`] with PayNet's settings.
///
/// Origin, token request and signature are set, as in [`layer`](super::layer()). Use it to change a setting. Convert
/// the built layer into a [`PayNetLayer`], which has an example, or put a [`RejectionLayer`] inside of it.
///
/// # Errors
///
/// [`Config`](crate::ErrorKind::Config) if the client id or the client secret is empty or contains a control character.
#[cfg(feature = "client")]
pub fn auth(env: &Environment, credentials: Credentials) -> Result<AuthLayerBuilder, AuthError> {
    let grant = grant(env, credentials.clone()).build()?;
    let signer = TimestampHmac::sha256(credentials);
    Ok(AuthLayer::builder(grant).origin(env.api_origin()).sign(sign_rules(), signer))
}

impl<R> PayNetLayer<R> {
    /// Returns a handle to inspect, await, refresh or invalidate the token.
    pub fn handle(&self) -> TokenHandle {
        self.auth.handle()
    }
}

impl<R> From<AuthLayer<R>> for PayNetLayer<R> {
    fn from(auth: AuthLayer<R>) -> Self {
        Self { auth }
    }
}

impl<S, R: Clone> Layer<S> for PayNetLayer<R> {
    type Service = Auth<Rejections<S>, R>;

    fn layer(&self, inner: S) -> Self::Service {
        self.auth.layer(RejectionLayer.layer(inner))
    }
}

impl<R> fmt::Debug for PayNetLayer<R>
where
    AuthLayer<R>: fmt::Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PayNetLayer").field("auth", &self.auth).finish()
    }
}
