//! cf-gears-toolkit-auth: its two layers, with a token that a task renews.

use std::time::Duration;

use toolkit_auth::{
    BearerAuthAutoRefreshLayer, BearerAuthLayer, ClientAuthMethod, OAuthClientConfig, SecretString, TokenProvider,
};
use toolkit_http::{HttpClientConfig, HttpError};
use tower::Layer;
use tower_outbound_auth::BoxError;

use crate::{
    api::{Api, Client},
    endpoint::TOKEN,
    world::World,
};

pub(crate) fn plain(world: &World) -> Result<impl Client + use<>, BoxError> {
    Ok(BearerAuthLayer::new(provider(world)?).layer(Api::<HttpError>::of(world)))
}

pub(crate) fn auto_refresh(world: &World) -> Result<impl Client + use<>, BoxError> {
    Ok(BearerAuthAutoRefreshLayer::new(provider(world)?).layer(Api::<HttpError>::of(world)))
}

fn provider(world: &World) -> Result<TokenProvider, BoxError> {
    let mut config = OAuthClientConfig {
        token_endpoint: Some(world.url(TOKEN).parse()?),
        client_id: "id".to_owned(),
        client_secret: SecretString::new("secret"),
        auth_method: ClientAuthMethod::Form,
        // The only preset that allows plain HTTP.
        http_config: Some(HttpClientConfig::for_testing()),
        ..OAuthClientConfig::default()
    };
    if let Some(margin) = world.margin {
        // It counts in whole seconds, so less would be zero.
        config.refresh_offset = margin.max(Duration::from_secs(1));
        config.jitter_max = Duration::ZERO;
        config.min_refresh_period = Duration::from_millis(100);
    }
    Ok(TokenProvider::new(config)?)
}
