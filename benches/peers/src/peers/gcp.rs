//! `gcp_auth` with a service account, whose key is generated here.

use std::sync::{Arc, OnceLock};

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rsa::{KeyPair, KeySize},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use gcp_auth::{CustomServiceAccount, TokenProvider};
use http::{Request, header::AUTHORIZATION};
use serde_json::json;
use tower::{Service, service_fn};
use tower_outbound_auth::BoxError;

use crate::{
    api::{Api, Body, Client, bearer},
    endpoint::TOKEN,
    world::World,
};

pub(crate) fn client(world: &World) -> Result<impl Client + use<>, BoxError> {
    let account = json!({
        "type": "service_account",
        "client_email": "somebody@example.com",
        "private_key": key()?,
        "token_uri": world.url(TOKEN),
    });
    let account = Arc::new(CustomServiceAccount::from_json(&account.to_string())?);
    let api = Api::<BoxError>::of(world);
    Ok(service_fn(move |mut request: Request<Body>| {
        let (account, mut api) = (Arc::clone(&account), api.clone());
        async move {
            let token = account.token(&["https://www.googleapis.com/auth/cloud-platform"]).await?;
            request.headers_mut().insert(AUTHORIZATION, bearer(token.as_str())?);
            api.call(request).await
        }
    }))
}

/// Returns an RSA key in PEM, the same for all clients.
fn key() -> Result<&'static str, BoxError> {
    static KEY: OnceLock<String> = OnceLock::new();
    if let Some(key) = KEY.get() {
        return Ok(key);
    }
    let pair = KeyPair::generate(KeySize::Rsa2048).map_err(|_| "no RSA key")?;
    let der: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| "no RSA key")?;
    let text = BASE64_STANDARD.encode(der.as_ref());
    Ok(KEY.get_or_init(|| format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n")))
}
