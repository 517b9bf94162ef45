//! What reqwest's users have for tokens beside this crate, each set up as its documentation says.

mod hand_written;

use std::sync::Arc;

use aliri::jwt::Audience;
use aliri_reqwest::AccessTokenMiddleware;
use aliri_tokens::{
    ClientId, ClientSecret, TokenLifetimeConfig, TokenWatcher,
    backoff::ErrorBackoffConfig,
    jitter::NullJitter,
    sources::{
        AsyncTokenSource,
        oauth2::{
            ClientCredentialsTokenSource,
            dto::{ClientCredentials, ClientCredentialsWithAudience},
        },
    },
};
pub use hand_written::{Cache, ReadWriteLock};
use reqwest_auth::AuthorizationHeaderMiddleware;
use token_source::TokenSource;

pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// `reqwest-auth` adds what its token source returns; the source is yours to write.
pub fn reqwest_auth(cache: Cache) -> AuthorizationHeaderMiddleware {
    AuthorizationHeaderMiddleware::from(Arc::new(cache) as Arc<dyn TokenSource>)
}

/// `aliri_reqwest` fetches the first token while it is built, and others from a task.
pub async fn aliri(token_url: &str, id: &str, secret: &str) -> Result<Aliri, BoxError> {
    let credentials = ClientCredentials {
        client_id: ClientId::from(id.to_owned()),
        client_secret: ClientSecret::from(secret.to_owned()),
    };
    let credentials = ClientCredentialsWithAudience {
        credentials: Arc::new(credentials),
        audience: Audience::from("api".to_owned()),
    };
    let source = ClientCredentialsTokenSource::new(
        reqwest_before::Client::new(),
        token_url.parse()?,
        credentials,
        TokenLifetimeConfig::default(),
    );
    aliri_from(source.using_form_data()).await
}

pub type Aliri = AccessTokenMiddleware<predicates::constant::BooleanPredicate>;

/// The predicate lets plain http pass, as the server is on this machine.
pub async fn aliri_from<S: AsyncTokenSource + 'static>(source: S) -> Result<Aliri, BoxError>
where
    S::Error: std::error::Error + Send + Sync + 'static,
{
    let watcher = TokenWatcher::spawn_from_token_source(source, NullJitter, ErrorBackoffConfig::default()).await?;
    Ok(AccessTokenMiddleware::new(watcher).with_predicate(predicates::constant::always()))
}
