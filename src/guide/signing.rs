//! Signing: signatures next to the token, and what happens if a clock is wrong.
//!
//! Some APIs want a signature beside the access token. [`sign`] takes two things: [`SignRules`], which select the requests,
//! and a [`Signer`], which makes the headers. The signature is made last, just before the request is sent. A replayed request
//! is signed again, with the new token and the current time.
//!
//! # PayNet's signature
//!
//! [`TimestampHmac`] sends the time and its HMAC-SHA256, with the client secret as the key:
//!
//! | header | value |
//! |---|---|
//! | `X-Timestamp` | the unix time in seconds, in decimal |
//! | `X-Signature` | HMAC-SHA256 of the text of `X-Timestamp`, in lower-case hex |
//!
//! [`paynet::layer`] sets it for the paths that PayNet documents. Here the sandbox verifies it:
//!
//! ```
//! # #[cfg(all(feature = "client", feature = "sandbox"))] {
//! use http::Request;
//! use tower::{BoxError, ServiceBuilder, ServiceExt};
//! use tower_outbound_auth::{client::HttpsClient, paynet, sandbox::Sandbox, signing::Sign};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn run() -> Result<(), BoxError> {
//! let sandbox = Sandbox::start().await?;
//! let paynet = paynet::layer(&sandbox.environment(), sandbox.credentials())?;
//! let client = ServiceBuilder::new().layer(paynet).service(HttpsClient::new()?);
//!
//! let url = format!("{}/v1/reports/types", sandbox.environment().api_origin());
//! let signed = Request::get(&url).body(String::new())?;
//! assert_eq!(client.clone().oneshot(signed).await?.status(), 200);
//!
//! // An extension overrides the rules for one request. This one gets the token, but no signature.
//! let unsigned = Request::get(&url).extension(Sign::Never).body(String::new())?;
//! assert_eq!(client.oneshot(unsigned).await?.status(), 400);
//! # Ok(()) }
//! # run().unwrap();
//! # }
//! ```
//!
//! This signature covers the time and nothing else. Anyone who has seen its two headers can use them for any request until the
//! server's time window closes, so keep them as secret as the token. The layer does: it marks them sensitive, sends them to
//! configured origins only, and shows them nowhere.
//!
//! # Which requests are signed
//!
//! | rules | select |
//! |---|---|
//! | [`SignRules::all`] | every request that gets the token |
//! | [`SignRules::paths`] | those whose path matches a pattern: `/v1/orders/{id}` one segment, `/v1/{*rest}` all that follows |
//! | [`SignRules::matching`] | those for which a function of method and URI returns `true` |
//! | [`only`] | of these, the ones with the given methods |
//! | [`Sign::Always`] and [`Sign::Never`] in a request's extensions | that request, or not |
//!
//! A request without the token is never signed: one to another origin, one with `NoAuth`, or one with an `Authorization` header
//! of its caller.
//!
//! # Your own signer
//!
//! This API wants an HMAC over the time, the method, the path and a digest of the body. A signer sees the head of the
//! request and no body, so a layer outside of `AuthLayer` adds the digest as a header:
//!
//! ```
//! use std::time::UNIX_EPOCH;
//!
//! use hmac::{Hmac, KeyInit, Mac};
//! use http::{HeaderName, HeaderValue, Request, Response};
//! use sha2::{Digest, Sha256};
//! use tower::{BoxError, ServiceBuilder, ServiceExt, service_fn};
//! use tower_outbound_auth::{
//!     AuthError, AuthLayer, ErrorKind,
//!     secrecy::{ExposeSecret, SecretString},
//!     signing::{SignRules, SignatureHeaders, Signer, SigningContext},
//! };
//! # use tower_outbound_auth::token::{AccessToken, source_fn};
//!
//! struct PartnerSigner {
//!     key: SecretString,
//! }
//!
//! impl Signer for PartnerSigner {
//!     fn sign(&self, context: &SigningContext<'_>) -> Result<SignatureHeaders, AuthError> {
//!         let failed = |why: &'static str| AuthError::new(ErrorKind::Signing, why);
//!         // The server's clock, as far as it is known. Do not use `SystemTime::now()`.
//!         let now = context.now().duration_since(UNIX_EPOCH).map_err(|_| failed("the clock is before 1970"))?;
//!         let digest = context.headers().get("x-digest").ok_or_else(|| failed("the request has no x-digest header"))?;
//!
//!         let mut mac = Hmac::<Sha256>::new_from_slice(self.key.expose_secret().as_bytes())
//!             .map_err(|_| failed("the key does not fit HMAC"))?;
//!         mac.update(format!("{}\n{}\n{}\n", now.as_secs(), context.method(), context.uri().path()).as_bytes());
//!         mac.update(digest.as_bytes());
//!         let signature = HeaderValue::try_from(hex::encode(mac.finalize().into_bytes()))
//!             .map_err(|error| failed("the signature is not a header value").with_source(error))?;
//!
//!         let mut headers = SignatureHeaders::new();
//!         headers.insert(HeaderName::from_static("x-date"), HeaderValue::from(now.as_secs()));
//!         headers.insert(HeaderName::from_static("x-mac"), signature);
//!         Ok(headers)
//!     }
//! }
//!
//! fn add_digest(mut request: Request<String>) -> Result<Request<String>, BoxError> {
//!     let digest = hex::encode(Sha256::digest(request.body()));
//!     request.headers_mut().insert("x-digest", digest.parse()?);
//!     Ok(request)
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! # let source = source_fn(|_| async { AccessToken::new("abc", None) });
//! # let http = service_fn(|request: Request<String>| async move {
//! #     let header = |name: &str| request.headers()[name].to_str().unwrap();
//! #     let signed = format!("{}\nPOST\n/payments\n{}", header("x-date"), header("x-digest"));
//! #     let mut mac = Hmac::<Sha256>::new_from_slice(b"a key of the partner").unwrap();
//! #     mac.update(signed.as_bytes());
//! #     assert_eq!(header("x-mac"), hex::encode(mac.finalize().into_bytes()));
//! #     Ok::<_, BoxError>(Response::new(String::new()))
//! # });
//! let signer = PartnerSigner { key: "a key of the partner".into() };
//! let auth = AuthLayer::builder(source).origin("https://api.example.com").sign(SignRules::all(), signer).build()?;
//! let client = ServiceBuilder::new().filter(add_digest).layer(auth).service(http);
//!
//! let request = Request::post("https://api.example.com/payments").body(r#"{ "amount": 100 }"#.to_owned())?;
//! assert_eq!(client.oneshot(request).await?.status(), 200);
//! # Ok(()) }
//! ```
//!
//! - Implement [`check`] if a wrong key can be recognized: the layer then refuses it when it is built.
//! - A signer runs on the task that sends the request, so it must not block. For a key in a remote service, keep a derived key
//!   in memory.
//! - If a signer fails, the request fails with its error. No request is sent unsigned.
//! - The context has [the token](crate::signing::SigningContext::token), for a signature that covers it.
//! - In a test of your signer, create the context with [`SigningContext::new`](crate::signing::SigningContext::new).
//!
//! # If a clock is wrong
//!
//! A server rejects a signature whose time is too far from its own. The layer corrects that without a token fetch: it learns the
//! server's clock from the `Date` header of the rejection, signs the request again and replays it. In this example the clocks
//! differ by four minutes, and the server accepts a difference of one:
//!
//! ```
//! # #[cfg(all(feature = "client", feature = "sandbox"))] {
//! use std::time::Duration;
//!
//! use http::Request;
//! use tower::{BoxError, ServiceBuilder, ServiceExt};
//! use tower_outbound_auth::{client::HttpsClient, paynet, sandbox::Sandbox};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn run() -> Result<(), BoxError> {
//! let sandbox = Sandbox::builder().timestamp_window(Duration::from_secs(60)).start().await?;
//! let paynet = paynet::layer(&sandbox.environment(), sandbox.credentials())?;
//! let client = ServiceBuilder::new().layer(paynet).service(HttpsClient::new()?);
//! let url = format!("{}/v1/reports/types", sandbox.environment().api_origin());
//! let call = || async { client.clone().oneshot(Request::get(&url).body(String::new())?).await };
//!
//! assert_eq!(call().await?.status(), 200);
//! sandbox.set_clock_offset(240);
//! for _ in 0..10 {
//!     assert_eq!(call().await?.status(), 200);
//! }
//! let stats = sandbox.stats();
//! assert_eq!(stats.rejected, 1); // the next ones are signed with the server's time
//! assert_eq!(stats.token_requests, 1);
//! # Ok(()) }
//! # run().unwrap();
//! # }
//! ```
//!
//! | rule | value |
//! |---|---|
//! | which responses teach the clock | of an origin in scope, over `https` or from this machine, without an `Age` header |
//! | differences that are ignored | under 2 s, and over 24 h |
//! | a step of more than 5 minutes | counts only if the next response agrees within 30 s |
//! | a 401 to a signed request | teaches the clock as well, if its `Date` is more than 30 s from the signature's time |
//!
//! The layer has to know which response means "wrong time". [`paynet::layer`] knows PayNet's. For another API, add a rule with
//! [`reject_when`]:
//!
//! ```
//! use tower_outbound_auth::{AuthLayer, rejection::Rejection, token::{AccessToken, source_fn}};
//!
//! let source = source_fn(|_| async { AccessToken::new("abc", None) });
//! let auth = AuthLayer::builder(source)
//!     .origin("https://api.example.com")
//!     .reject_when(|head| (head.headers.get("x-error")? == "clock-skew").then_some(Rejection::ClockSkew))
//!     .build();
//! assert!(auth.is_ok());
//! ```
//!
//! # While a secret is rotated
//!
//! [`TimestampHmac`] signs a request with the secret that obtained its token, so the server can check both against one secret.
//! After [`rotate`](crate::Credentials::rotate) that is the old secret until a token was obtained with the new one.
//!
//! Next: [`many_tokens`](super::many_tokens).
//!
//! [`check`]: crate::signing::Signer::check
//! [`only`]: crate::signing::SignRules::only
//! [`paynet::layer`]: crate::paynet::layer()
//! [`reject_when`]: crate::AuthLayerBuilder::reject_when
//! [`sign`]: crate::AuthLayerBuilder::sign
//! [`Sign::Always`]: crate::signing::Sign::Always
//! [`Sign::Never`]: crate::signing::Sign::Never
//! [`Signer`]: crate::signing::Signer
//! [`SignRules`]: crate::signing::SignRules
//! [`SignRules::all`]: crate::signing::SignRules::all
//! [`SignRules::matching`]: crate::signing::SignRules::matching
//! [`SignRules::paths`]: crate::signing::SignRules::paths
//! [`TimestampHmac`]: crate::signing::TimestampHmac
