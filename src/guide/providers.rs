//! Providers: which setting each peculiarity of a server needs.
//!
//! Servers disagree about OAuth 2.0. The layer understands most variants without a setting. This page shows them, and names the
//! setting for each of the others. A test runs a server with each habit and checks that the setting helps and that it is needed.
//! The servers named here have the habit according to their documentation or issue trackers, and may have changed since.
//!
//! # Client authentication
//!
//! RFC 6749 requires client id and secret to be form-encoded before they go into `Authorization: Basic`. Some servers do not
//! decode them, and one has changed its behavior. The form body has only one encoding, so try [`ClientAuth::Body`], the
//! default, first. Here are three servers that each accept one method only, and a client whose secret contains `+`, `&` and
//! `%`:
//!
//! | the server | such as | `Body` | `Basic` | `BasicUnencoded` |
//! |---|---|---|---|---|
//! | reads the form | [LinkedIn], [PayNet] | works | refused; if id and secret are right, try ClientAuth::BasicUnencoded or Body | refused; if id and secret are right, try ClientAuth::Basic or Body |
//! | decodes `Basic` | [Keycloak 20][keycloak-20], [PingAM], [Spring] | refused; the server asks for Basic: if id and secret are right, try ClientAuth::Basic | works | refused; if id and secret are right, try ClientAuth::Basic or Body |
//! | does not decode `Basic` | [Keycloak 16][keycloak-16], [oauth2-server-php], [Spring Security OAuth] | refused; the server asks for Basic: if id and secret are right, try ClientAuth::Basic | refused; if id and secret are right, try ClientAuth::BasicUnencoded or Body | works |
//!
//! The table shows the end of the error message. The hint at `Basic` is given where the refusal has a `Basic` challenge, as RFC
//! 6749 wants it. The hint at the other kind of `Basic` is given only if both kinds differ for your client: an id and a secret
//! of letters, digits and `*-._` look the same in both. If id or secret begins or ends with a quotation mark, the message says
//! that instead: it was perhaps copied with the quotation marks around it.
//!
//! # A wrong secret
//!
//! However the server reports it, a wrong secret becomes the error [`Denied`]. The layer then waits 5 to 10 s before it asks
//! again, and up to 5 minutes if the server keeps refusing:
//!
//! | response to a wrong secret | such as | the error |
//! |---|---|---|
//! | 400, `invalid_client` | [RFC 6749][refusals] | the authorization server refused the token request (400): invalid_client |
//! | 401, `invalid_client`, a challenge | [RFC 6749][refusals] | the authorization server refused the token request (401): invalid_client; the server asks for Basic: if id and secret are right, try ClientAuth::Basic |
//! | 401, `invalid_client`, no challenge | [Spring][spring-401] | the authorization server refused the token request (401): invalid_client |
//! | 401, `unauthorized_client` | [Keycloak][keycloak-16] | the authorization server refused the token request (401): unauthorized_client |
//! | 401, no body | - | the authorization server refused the token request (401) |
//! | 200, `invalid_client` | - | the authorization server answered 200 with an error: invalid_client |
//!
//! A 403 or 404 without an error code more likely comes from a firewall or a proxy in between. It is [`Unavailable`], and
//! tried again. So is a code that is not of RFC 6749, section 5.2, such as `access_denied` or the `invalid_target` of RFC
//! 8707: something may still be being set up, and another try costs at most one fetch a minute.
//!
//! A new secret may reach some authorization servers later than others. Where that is known, shorten the pause after a refusal:
//! with this policy, a call is served at most 20 s after the server has learnt the secret.
//!
//! ```
//! use std::time::Duration;
//! use tower_outbound_auth::token::RefreshPolicy;
//!
//! let policy = RefreshPolicy::default().refusal_backoff(Duration::from_secs(2), Duration::from_secs(20));
//! # drop(policy);
//! ```
//!
//! # Token requests
//!
//! Each of these servers refuses the usual token request:
//!
//! | the server wants | such as | setting |
//! |---|---|---|
//! | another `grant_type` | [Zoom] | `grant_type` |
//! | an additional parameter | [Zoom] | `param` |
//! | `scope` | [Entra] | `scope` |
//! | `audience` | [Auth0] | `audience` |
//! | `resource` | [Azure AD 1.0], [RFC 8707] | `resource` |
//! | a JSON body | - | `json_body` |
//! | id and secret in headers | - | `header`, for each |
//! | `client_id` beside `Basic` | - | `client_auth` and `param` |
//! | a `User-Agent` that it knows | - | `header` |
//!
//! The settings are methods of [`ClientCredentialsGrantBuilder`]:
//!
//! ```
//! use http::{HeaderName, HeaderValue};
//! use tower_outbound_auth::{
//!     AuthError, Credentials,
//!     oauth::{ClientAuth, ClientCredentialsGrant},
//! };
//!
//! # #[cfg(feature = "client")]
//! fn grants(credentials: Credentials) -> Result<[ClientCredentialsGrant; 4], AuthError> {
//!     let builder = || ClientCredentialsGrant::builder("https://login.example.com/token", credentials.clone());
//!     let id = credentials.client_id();
//!     let secret = HeaderValue::from_static("s3cret");
//!     Ok([
//!         builder().grant_type("account_credentials").param("account_id", "17").build()?,
//!         builder().json_body().build()?,
//!         builder().client_auth(ClientAuth::Basic).param("client_id", id).build()?,
//!         builder().header(HeaderName::from_static("client-secret"), secret).build()?,
//!     ])
//! }
//! # #[cfg(feature = "client")]
//! # grants(Credentials::new("client", "s3cret")).unwrap();
//! ```
//!
//! With `header`, id and secret are in the body as well; a server that looks into its headers does not mind. A secret in a header
//! does not follow [`Credentials::rotate`].
//!
//! # Token responses
//!
//! | the token response has | such as | setting | the token, without a setting |
//! |---|---|---|---|
//! | `"Bearer"`, a number | [RFC 6749][grants] | none | used for an hour |
//! | `"bearer"` | [Taboola] | none | used for an hour |
//! | no `token_type` | [LinkedIn] | none | used for an hour |
//! | `"BearerToken"` | [Apigee] | `accept_token_type` | refused: the token_type of the token response is not Bearer (BearerToken); if such a token is sent like a bearer token, name it in `accept_token_type` |
//! | `expires_in` in quotes | [Azure AD 1.0], [LinkedIn] | none | used for an hour |
//! | `expires_in` with a fraction | [Reddit] | none | used for an hour |
//! | no `expires_in` | [Salesforce] | `default_lifetime` | used for less than 20 minutes |
//!
//! Without `expires_in`, a token counts as valid for five minutes. Set [`default_lifetime`] to the lifetime that the server's
//! documentation states. If the token expires earlier, the API's 401 tells the layer.
//!
//! A `token_type` other than `Bearer` may name a token that has to be sent in another way, so it is refused. If you know that it
//! is a bearer token, accept it:
//!
//! ```
//! use tower_outbound_auth::{AuthError, Credentials, oauth::ClientCredentialsGrant};
//!
//! # #[cfg(feature = "client")]
//! fn grant(credentials: Credentials) -> Result<ClientCredentialsGrant, AuthError> {
//!     ClientCredentialsGrant::builder("https://login.example.com/token", credentials)
//!         .accept_token_type("BearerToken")
//!         .build()
//! }
//! ```
//!
//! Members that are missing, of another type, or repeated are tolerated: a `scope` that is a list is joined by blanks, a
//! `token_type` that is not a string is ignored, and an `expires_in` that is not a positive number counts as missing, with an
//! event in the trace. Only `access_token` has to be valid. A body with a content coding that was not requested is refused.
//!
//! Further members of the response can be read from the token. Salesforce, for example, returns the URL of the API:
//!
//! ```
//! use tower_outbound_auth::{AuthError, token::TokenHandle};
//!
//! async fn instance(handle: &TokenHandle) -> Result<Option<String>, AuthError> {
//!     Ok(handle.token().await?.response_field("instance_url").map(str::to_owned))
//! }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), tower_outbound_auth::BoxError> {
//! # let server = tower::service_fn(|_: http::Request<http_body_util::Full<bytes::Bytes>>| async {
//! #     let token = r#"{ "access_token": "abc", "instance_url": "https://acme.example.com" }"#;
//! #     Ok::<_, AuthError>(http::Response::new(token.to_owned()))
//! # });
//! # let credentials = tower_outbound_auth::Credentials::new("my-client", "my-secret");
//! # let grant = tower_outbound_auth::oauth::ClientCredentialsGrant::builder("https://login.example.com/token", credentials);
//! # let auth = tower_outbound_auth::AuthLayer::builder(grant.transport(server).build()?).any_origin().build()?;
//! # assert_eq!(instance(&auth.handle()).await?.as_deref(), Some("https://acme.example.com"));
//! # Ok(()) }
//! ```
//!
//! # The token in a request
//!
//! | the API expects | such as | setting |
//! |---|---|---|
//! | `Authorization: Token abc` | [Django REST framework] | `token_header` |
//! | `Authorization: Zoho-oauthtoken abc` | [Zoho] | `token_header` |
//! | `Authorization: abc` | - | `token_header` |
//! | `X-Shopify-Access-Token: abc` | [Shopify] | `token_header` |
//! | `X-Access-Token: abc` | - | `token_header` |
//!
//! [`token_header`] takes the header's name and the scheme before the token, which may be empty:
//!
//! ```
//! use http::HeaderName;
//! use tower_outbound_auth::AuthLayerBuilder;
//!
//! fn shopify(builder: AuthLayerBuilder) -> AuthLayerBuilder {
//!     builder.token_header(HeaderName::from_static("x-shopify-access-token"), "")
//! }
//! ```
//!
//! # Revoked tokens
//!
//! | response to a revoked token | such as | setting | without a setting |
//! |---|---|---|---|
//! | 401, no challenge | [Auth0 for Spring] | none | renewed |
//! | 401, `Bearer` | [RFC 6750][challenges] | none | renewed |
//! | 401, `bearer error="invalid_token"` | [RFC 6750][challenges] | none | renewed |
//! | 401, three challenges | - | none | renewed |
//! | 401, three challenges in one header | [Microsoft] | none | renewed |
//! | 401, `bearer error="token_expired"` | - | none | renewed |
//! | 403, no challenge | [AWS API Gateway] | `reject_when` | the 403 is returned |
//! | 400, a message | [PayNet] | `paynet::RejectionLayer` | the 400 is returned |
//! | 400, a code in JSON | [Facebook] | [a layer that reads the body](#rejections-in-a-body) | the 400 is returned |
//! | 200, an error in JSON | [Slack] | [a layer that reads the body](#rejections-in-a-body) | the 200 is returned |
//!
//! - **401** rejects the token, unless its `Bearer` challenges name only `insufficient_scope` or `invalid_request`. For an API
//!   that answers 401 for other reasons as well, [`accept_when`] tells the layer which 401 is not about the token.
//! - **403** usually means that the client may not do this, and a new token would not help; with a challenge that names
//!   `invalid_token` it is a rejection nevertheless. If you set [`reject_when`] for `StatusCode::FORBIDDEN`, look at a header as
//!   well if the API sends one: every refused call would otherwise draw on the
//!   [renewal budget](super::rejections#the-renewal-budget).
//! - **A body** is not visible to `reject_when`. Add a layer that reads it.
//!
//! # Rejections in a body
//!
//! [`paynet::RejectionLayer`] is a layer that reads bodies. For another API, write a function for Tower's `and_then` that
//! leaves a [`Rejection`] in the extensions of the response:
//!
//! ```
#![doc = include_str!("../../tests/servers/works_with_the_settings_of_the_guide/reads_bodies.rs")]
//! # use tower::{ServiceBuilder, ServiceExt, service_fn};
//! # use tower_outbound_auth::AuthLayer;
//! # fn stack(auth: AuthLayer) {
//! # let http = service_fn(|_: http::Request<Full<Bytes>>| async { Ok::<_, BoxError>(Response::new(Full::<Bytes>::default())) });
//!
//! let client = ServiceBuilder::new().layer(auth).and_then(read_json).service(http);
//! # drop(client.oneshot(http::Request::new(Full::default())));
//! # }
//! ```
//!
//! This function reads every JSON response into memory, so use it for an API whose responses are small. Other responses stream
//! on. Put decompression below it.
//!
//! Next: [`rejections`](super::rejections).
//!
//! [`accept_when`]: crate::AuthLayerBuilder::accept_when
//! [`ClientCredentialsGrantBuilder`]: crate::oauth::ClientCredentialsGrantBuilder
//! [`Credentials::rotate`]: crate::Credentials::rotate
//! [`token_header`]: crate::AuthLayerBuilder::token_header
//! [`ClientAuth::Body`]: crate::oauth::ClientAuth::Body
//! [`default_lifetime`]: crate::token::RefreshPolicy::default_lifetime
//! [`Denied`]: crate::ErrorKind::Denied
//! [`paynet::RejectionLayer`]: crate::paynet::RejectionLayer
//! [`reject_when`]: crate::AuthLayerBuilder::reject_when
//! [`Rejection`]: crate::rejection::Rejection
//! [`Unavailable`]: crate::ErrorKind::Unavailable
//! [Apigee]: https://docs.apigee.com/api-platform/reference/policies/oauthv2-policy#non-rfc-compliant-behavior
//! [Auth0]: https://auth0.com/docs/get-started/authentication-and-authorization-flow/client-credentials-flow/call-your-api-using-the-client-credentials-flow
//! [Auth0 for Spring]: https://github.com/auth0/auth0-spring-security-api/issues/50
//! [AWS API Gateway]: https://aws.amazon.com/premiumsupport/knowledge-center/api-gateway-403-error-lambda-authorizer/
//! [Azure AD 1.0]: https://learn.microsoft.com/en-us/azure/active-directory/azuread-dev/v1-oauth2-client-creds-grant-flow
//! [challenges]: https://www.rfc-editor.org/rfc/rfc6750#section-3
//! [Django REST framework]: https://www.django-rest-framework.org/api-guide/authentication/#tokenauthentication
//! [Entra]: https://learn.microsoft.com/en-us/entra/identity-platform/v2-oauth2-client-creds-grant-flow
//! [Facebook]: https://developers.facebook.com/docs/facebook-login/access-tokens/debugging-and-error-handling
//! [grants]: https://www.rfc-editor.org/rfc/rfc6749#section-5.1
//! [keycloak-16]: https://github.com/keycloak/keycloak/issues/11908
//! [keycloak-20]: https://github.com/keycloak/keycloak/pull/14347
//! [LinkedIn]: https://learn.microsoft.com/en-us/linkedin/talent/job-postings/api/job-posting-module1-basics
//! [Microsoft]: https://github.com/AzureAD/azure-activedirectory-library-for-dotnet/issues/888
//! [oauth2-server-php]: https://github.com/bshaffer/oauth2-server-php/pull/979
//! [PayNet]: crate::paynet
//! [PingAM]: https://docs.pingidentity.com/pingam/8/am-oauth2/client-auth-header.html
//! [Reddit]: https://github.com/reddit-archive/reddit/pull/761
//! [refusals]: https://www.rfc-editor.org/rfc/rfc6749#section-5.2
//! [RFC 8707]: https://www.rfc-editor.org/rfc/rfc8707#section-2
//! [Salesforce]: https://help.salesforce.com/apex/HTViewHelpDoc?id=service.conversation_transcript_api_sample1.htm
//! [Shopify]: https://shopify.dev/docs/api/admin-rest
//! [Slack]: https://github.com/slackhq/slack-api-docs/blob/master/index_web.md
//! [Spring]: https://github.com/spring-attic/spring-authorization-server/issues/1814
//! [spring-401]: https://github.com/spring-projects/spring-security/issues/18285
//! [Spring Security OAuth]: https://github.com/spring-attic/spring-security-oauth/issues/1826
//! [Taboola]: https://developers.taboola.com/backstage-api/reference/client-credentials
//! [Zoho]: https://www.zoho.com/commerce/api/oauth-step-6.html
//! [Zoom]: https://developers.zoom.us/docs/internal-apps/s2s-oauth/
