//! Which client authentication: a secret, a certificate or an assertion.
//!
//! The authorization server decides which methods it accepts from your client; choose the first of this table that it offers.
//! With [`ClientCredentialsGrant::discover`], a method that the server does not list fails with the list of those that it
//! does.
//!
//! | what you have | method (RFC 8414 name) | setting |
//! |---|---|---|
//! | a platform that gives each workload a token: Kubernetes, SPIFFE, a cloud | `private_key_jwt` or a federated credential, `spiffe_jwt` | [`client_assertion`] with [`AssertionFile`] |
//! | a private key whose public key the server knows | `private_key_jwt` | [`client_assertion`] with `PrivateKeyJwt` (feature `jwt`) |
//! | a key in a device or a key management service | `private_key_jwt` | [`client_assertion`] with an [`AssertionSource`] that you implement |
//! | a certificate | `tls_client_auth`, `self_signed_tls_client_auth` | [`ClientAuth::Certificate`] and [`HttpsClientBuilder::identity`](crate::client::HttpsClientBuilder::identity) |
//! | a secret | `client_secret_post`, `client_secret_basic` | [`ClientAuth::Body`], [`ClientAuth::Basic`]; the [page of providers](super::providers) says which |
//!
//! A secret is sent with every token request, and anyone who reads it there can use it until it is rotated. An assertion is
//! valid for one server and one minute, and the key stays with you. Banks that follow FAPI 2.0 accept an assertion or a
//! certificate only.
//!
//! # By provider
//!
//! According to the providers' documentation in November 2026:
//!
//! | provider | methods | for an assertion |
//! |---|---|---|
//! | [Auth0] | secret, `private_key_jwt`, certificate | RS256 or PS256; `Audience::Issuer` or `Custom`, with the final slash; at most 5 minutes |
//! | banks with [FAPI 2.0] | `private_key_jwt`, certificate | PS256, ES256 or EdDSA; `Audience::Issuer` |
//! | [Keycloak] | secret, `private_key_jwt`, certificate, tokens of Kubernetes and SPIFFE | any algorithm; `Audience::Issuer`; one audience only |
//! | [Microsoft Entra] | secret, `private_key_jwt` | PS256; `Audience::TokenEndpoint`; `certificate_thumbprint` |
//! | Microsoft Entra, [workload identity] | federated credential | [`AssertionFile`]; the client id is that of the application |
//! | [Okta] | secret, `private_key_jwt` | RS256 or ES256; `Audience::TokenEndpoint`; `key_id` |
//! | PayNet, AWS Cognito | secret | - |
//! | servers that know [SPIFFE][spiffe-draft] | `spiffe_jwt` | [`AssertionFile`] and [`with_type`](crate::oauth::AssertionFile::with_type) |
//!
//! # A token in a file
//!
//! ```
//! use std::path::Path;
//!
//! use tower_outbound_auth::{
//!     AuthLayer, BoxError, Credentials,
//!     oauth::{AssertionFile, ClientCredentialsGrant},
//! };
//!
//! // `file` is, for example, /var/run/secrets/tokens/login.
//! fn workload(token_url: &str, client_id: &str, file: &Path) -> Result<AuthLayer, BoxError> {
//!     let grant = ClientCredentialsGrant::builder(token_url, Credentials::without_secret(client_id))
//!         .client_assertion(AssertionFile::new(file))
//!         .scope("api://orders/.default");
//! #   let grant = grant.transport(tower::service_fn(authorization_server));
//!     Ok(AuthLayer::builder(grant.build()?).origin("https://api.example.com").build()?)
//! }
//! # use bytes::Bytes;
//! # use http::{Request, Response};
//! # use http_body_util::{BodyExt, Full};
//! # // Issues a token that is named after the assertion.
//! # async fn authorization_server(request: Request<Full<Bytes>>) -> Result<Response<String>, BoxError> {
//! #     let form = request.into_body().collect().await?.to_bytes();
//! #     let form: std::collections::HashMap<_, _> = form_urlencoded::parse(&form).collect();
//! #     assert!(!form.contains_key("client_secret"));
//! #     let token = format!(r#"{{ "access_token": "token-for-{}", "expires_in": 3600 }}"#, form["client_assertion"]);
//! #     Ok(Response::new(token))
//! # }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! #     let file = std::env::temp_dir().join(format!("assertion-{}", std::process::id()));
//! #     let handle = workload("https://login.example.com/token", "orders", &file)?.handle();
//! #     for assertion in ["first", "second"] {
//! #         std::fs::write(&file, assertion)?;
//! #         let token = handle.refresh().await?;
//! #         assert_eq!(token.expose_secret(), format!("token-for-{assertion}"));
//! #     }
//! #     std::fs::remove_file(&file)?;
//! #     Ok(())
//! # }
//! ```
//!
//! The file is read at every token request, so nothing has to be restarted when the platform replaces it. The example
//! `workload_identity` replaces it under load.
//!
//! # A private key
//!
//! ```
//! # #[cfg(all(feature = "client", feature = "jwt"))] {
//! use tower_outbound_auth::{
//!     AuthError, Credentials,
//!     oauth::{Algorithm, Audience, ClientCredentialsGrant, PrivateKeyJwt},
//! };
//!
//! fn bank(pem: &[u8]) -> Result<ClientCredentialsGrant, AuthError> {
//!     let key = PrivateKeyJwt::from_pem(Algorithm::Ps256, Audience::Issuer, pem)?.key_id("2026-11");
//!     ClientCredentialsGrant::discover("https://login.bank.example", Credentials::without_secret("my-client"))
//!         .client_assertion(key)
//!         .build()
//! }
//! # }
//! ```
//!
//! Create a key and its public key like this, and register the latter:
//!
//! ```text
//! openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out key.pem
//! openssl pkey -in key.pem -pubout -out public.pem
//! ```
//!
//! The most common reason for `invalid_client` is the audience: servers disagree about it, see `Audience`. The second is a
//! clock. Assertions are made with the authorization server's time as far as it is known. After a refusal whose `Date` is more
//! than 30 s from it, the layer tries once more with that time.
//!
//! # A secret in files
//!
//! [`Credentials::from_files`](crate::Credentials::from_files) reads id and secret from files, as Kubernetes, Docker and
//! systemd provide them. A changed secret counts as a rotation, without a restart: the file is looked at before each token
//! fetch, and once a minute while requests are sent.
//!
//! ```no_run
//! # use tower_outbound_auth::{AuthError, Credentials};
//! let credentials = Credentials::from_files("/run/secrets/client-id", "/run/secrets/client-secret")?;
//! # Ok::<(), AuthError>(())
//! ```
//!
//! # While a secret is rotated
//!
//! Servers and secret stores change at different times. If the server refuses a secret that is less than a minute old, the
//! token is requested once more with the secret before; the signature of a request is made with the secret that obtained its
//! token. No call fails in either order, as long as the server accepts one of the two.
//!
//! Next: [`providers`](super::providers).
//!
//! [`AssertionFile`]: crate::oauth::AssertionFile
//! [`AssertionSource`]: crate::oauth::AssertionSource
//! [`client_assertion`]: crate::oauth::ClientCredentialsGrantBuilder::client_assertion
//! [`ClientAuth::Basic`]: crate::oauth::ClientAuth::Basic
//! [`ClientAuth::Body`]: crate::oauth::ClientAuth::Body
//! [`ClientAuth::Certificate`]: crate::oauth::ClientAuth::Certificate
//! [`ClientCredentialsGrant::discover`]: crate::oauth::ClientCredentialsGrant::discover
//! [Auth0]: https://auth0.com/docs/get-started/authentication-and-authorization-flow/authenticate-with-private-key-jwt
//! [FAPI 2.0]: https://openid.net/specs/fapi-security-profile-2_0-final.html
//! [Keycloak]: https://github.com/keycloak/keycloak/issues/38819
//! [Microsoft Entra]: https://learn.microsoft.com/entra/identity-platform/certificate-credentials
//! [Okta]: https://developer.okta.com/docs/guides/build-self-signed-jwt/-/main/
//! [spiffe-draft]: https://datatracker.ietf.org/doc/draft-ietf-oauth-spiffe-client-auth/
//! [workload identity]: https://learn.microsoft.com/entra/workload-id/workload-identity-federation
