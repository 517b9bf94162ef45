//! As often written by hand: a token in an `RwLock`, fetched by a caller that finds none, and a header made for each request.

use std::{
    fmt,
    time::{Duration, Instant},
};

use http::{Extensions, HeaderValue, header::AUTHORIZATION};
use reqwest::{Request, Response};
use reqwest_middleware::{Error, Middleware, Next};
use tokio::sync::RwLock;

use crate::BoxError;

/// The token, and how to get one.
pub struct Cache {
    client: reqwest::Client,
    token_url: String,
    id: String,
    secret: String,
    token: RwLock<Option<(String, Instant)>>,
}

#[derive(serde::Deserialize)]
struct Issued {
    access_token: String,
    expires_in: u64,
}

impl Cache {
    pub fn new(token_url: &str, id: &str, secret: &str) -> Self {
        let (token_url, id, secret) = (token_url.to_owned(), id.to_owned(), secret.to_owned());
        Self { client: reqwest::Client::new(), token_url, id, secret, token: RwLock::new(None) }
    }

    /// With this token, which never ends.
    pub fn filled(token: &str) -> Self {
        let end = Instant::now() + Duration::from_secs(1 << 20);
        Self { token: RwLock::new(Some((token.to_owned(), end))), ..Self::new("", "", "") }
    }

    pub async fn token(&self) -> Result<String, BoxError> {
        if let Some((token, end)) = &*self.token.read().await
            && Instant::now() + MARGIN < *end
        {
            return Ok(token.clone());
        }
        let mut kept = self.token.write().await;
        if let Some((token, end)) = &*kept
            && Instant::now() + MARGIN < *end
        {
            return Ok(token.clone());
        }
        let form = [("grant_type", "client_credentials"), ("client_id", &self.id), ("client_secret", &self.secret)];
        let response = self.client.post(&self.token_url).form(&form).send().await?.error_for_status()?;
        let Issued { access_token, expires_in } = response.json().await?;
        *kept = Some((access_token.clone(), Instant::now() + Duration::from_secs(expires_in)));
        Ok(access_token)
    }
}

const MARGIN: Duration = Duration::from_secs(30);

pub struct ReadWriteLock(pub Cache);

#[async_trait::async_trait]
impl Middleware for ReadWriteLock {
    async fn handle(
        &self,
        mut request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> Result<Response, Error> {
        let token = self.0.token().await.map_err(|error| Error::middleware(std::io::Error::other(error)))?;
        let mut value = HeaderValue::try_from(format!("Bearer {token}"))
            .map_err(|error| Error::middleware(std::io::Error::other(error)))?;
        value.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, value);
        next.run(request, extensions).await
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").finish_non_exhaustive()
    }
}

/// The same cache as the source that `reqwest-auth` asks for.
#[async_trait::async_trait]
impl token_source::TokenSource for Cache {
    async fn token(&self) -> Result<String, BoxError> {
        Ok(format!("Bearer {}", Self::token(self).await?))
    }
}
