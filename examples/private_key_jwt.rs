//! A client without a secret: it signs an assertion with its private key for every token request (`private_key_jwt`).
//!
//! ```text
//! cargo run --example private_key_jwt --features sandbox,jwt
//! ```
//!
//! The sandbox takes the place of your authorization server and API, and a new key that of your key file.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use rcgen::PublicKeyData;
use tower::{ServiceBuilder, ServiceExt};
use tower_outbound_auth::{
    AuthLayer, BoxError, Credentials,
    client::HttpsClient,
    oauth::{Algorithm, Audience, ClientCredentialsGrant, PrivateKeyJwt},
    paynet,
    sandbox::Sandbox,
    signing::TimestampHmac,
};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    // In your program: std::fs::read("/run/secrets/client-key.pem")?
    let key = rcgen::KeyPair::generate()?;
    let (private_key, public_key) =
        (pem("PRIVATE KEY", key.serialized_der()), pem("PUBLIC KEY", &key.subject_public_key_info()));
    let sandbox = Sandbox::builder().assertion_key(Algorithm::Es256, public_key)?.start().await?;
    let server = sandbox.environment();

    let assertions = PrivateKeyJwt::from_pem(Algorithm::Es256, Audience::TokenEndpoint, private_key)?.key_id("2026-11");
    let client = Credentials::without_secret(sandbox.credentials().client_id());
    let grant = ClientCredentialsGrant::builder(server.token_url(), client).client_assertion(assertions).build()?;
    let auth = AuthLayer::builder(grant)
        .origin(server.api_origin())
        // This API wants each request signed, too.
        .sign(paynet::sign_rules(), TimestampHmac::sha256(sandbox.credentials()))
        .build()?;
    let client = ServiceBuilder::new().layer(auth).layer(paynet::RejectionLayer).service(HttpsClient::new()?);

    for round in 1..=3 {
        let request =
            Request::get(format!("{}/v1/reports/types", server.api_origin())).body(Full::<Bytes>::default())?;
        let response = client.clone().oneshot(request).await?;
        let status = response.status();
        println!("{round}. {status}, {} bytes", response.into_body().collect().await?.to_bytes().len());
        if status != 200 {
            return Err("the call failed".into());
        }
        // The next call needs a new token, and so a new assertion.
        sandbox.revoke_tokens();
    }
    println!("{} token requests, each with a new assertion", sandbox.stats().token_requests);
    Ok(())
}

/// PEM text, as OpenSSL writes it.
fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}
