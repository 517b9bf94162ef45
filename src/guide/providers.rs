//! Servers that deviate: which setting each habit needs.
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
//! | decodes `Basic` | [Keycloak 20][keycloak-20], [PingAM], [Spring] | refused | works | refused; if id and secret are right, try ClientAuth::Basic or Body |
//! | does not decode `Basic` | [Keycloak 16][keycloak-16], [oauth2-server-php], [Spring Security OAuth] | refused | refused; if id and secret are right, try ClientAuth::BasicUnencoded or Body | works |
//!
//! The table shows the end of the error message. The message gives this hint only if both kinds of `Basic` differ for your
//! client: an id and a secret of letters, digits and `*-._` look the same in both.
//!
//! # A wrong secret
//!
//! However the server reports it, a wrong secret becomes the error [`Denied`]. The layer then waits 5 to 10 s before it asks
//! again, and up to 5 minutes if the server keeps refusing:
//!
//! | response to a wrong secret | such as | the error |
//! |---|---|---|
//! | 400, `invalid_client` | [RFC 6749][refusals] | the authorization server refused the token request (400): invalid_client |
//! | 401, `invalid_client`, a challenge | [RFC 6749][refusals] | the authorization server refused the token request (401): invalid_client |
//! | 401, `invalid_client`, no challenge | [Spring][spring-401] | the authorization server refused the token request (401): invalid_client |
//! | 401, `unauthorized_client` | [Keycloak][keycloak-16] | the authorization server refused the token request (401): unauthorized_client |
//! | 401, no body | - | the authorization server refused the token request (401) |
//! | 200, `invalid_client` | - | the authorization server answered 200 with an error: invalid_client |
//!
//! A 403 or 404 without an error code more likely comes from a firewall or a proxy in between. It is [`Unavailable`], and tried
//! again.
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
//! [`accept_when`]: crate::AuthLayerBuilder::accept_when
//! [`ClientAuth::Body`]: crate::oauth::ClientAuth::Body
//! [`default_lifetime`]: crate::token::RefreshPolicy::default_lifetime
//! [`Denied`]: crate::ErrorKind::Denied
//! [`paynet::RejectionLayer`]: crate::paynet::RejectionLayer
//! [`reject_when`]: crate::AuthLayerBuilder::reject_when
//! [`Rejection`]: crate::rejection::Rejection
//! [`Unavailable`]: crate::ErrorKind::Unavailable
//! [Apigee]: https://docs.apigee.com/api-platform/reference/policies/oauthv2-policy#non-rfc-compliant-behavior
//! [Auth0 for Spring]: https://github.com/auth0/auth0-spring-security-api/issues/50
//! [AWS API Gateway]: https://aws.amazon.com/premiumsupport/knowledge-center/api-gateway-403-error-lambda-authorizer/
//! [Azure AD 1.0]: https://learn.microsoft.com/en-us/azure/active-directory/azuread-dev/v1-oauth2-client-creds-grant-flow
//! [challenges]: https://www.rfc-editor.org/rfc/rfc6750#section-3
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
//! [Salesforce]: https://help.salesforce.com/apex/HTViewHelpDoc?id=service.conversation_transcript_api_sample1.htm
//! [Slack]: https://github.com/slackhq/slack-api-docs/blob/master/index_web.md
//! [Spring]: https://github.com/spring-attic/spring-authorization-server/issues/1814
//! [spring-401]: https://github.com/spring-projects/spring-security/issues/18285
//! [Spring Security OAuth]: https://github.com/spring-attic/spring-security-oauth/issues/1826
//! [Taboola]: https://developers.taboola.com/backstage-api/reference/client-credentials
