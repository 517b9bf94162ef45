//! Which setting a server needs that does not keep to the RFCs, or keeps to them in its own way.
//!
//! Most of what servers disagree about is understood as it comes, and needs no setting. What the tables say is measured: a
//! test runs a server with each of these habits, on a socket, and sees both that the setting helps and what happens without
//! it. The servers named are those whose pages or maintainers say so; they may have changed since.
//!
//! # Client authentication
//!
//! RFC 6749 wants id and secret form-encoded before they go into `Authorization: Basic`. Not every server undoes that, and
//! one has changed its mind. In the form there is one encoding only, so try [`ClientAuth::Body`](crate::ClientAuth) first, the
//! default. Three servers, each of which takes one method alone, and a client whose secret has `+`, `&` and `%` in it:
//!
//! | the server | such as | `Body` | `Basic` | `BasicUnencoded` |
//! |---|---|---|---|---|
//! | reads the form | [LinkedIn], [PayNet] | works | refused; if id and secret are right, try ClientAuth::BasicUnencoded or Body | refused; if id and secret are right, try ClientAuth::Basic or Body |
//! | decodes what `Basic` brings | [Keycloak 20][keycloak-20], [PingAM], [Spring] | refused | works | refused; if id and secret are right, try ClientAuth::Basic or Body |
//! | takes it as it is | [Keycloak 16][keycloak-16], [oauth2-server-php], [Spring Security OAuth] | refused | refused; if id and secret are right, try ClientAuth::BasicUnencoded or Body | works |
//!
//! The whole error is `the authorization server refused the token request (401): invalid_client; if id and secret are ..`. It
//! ends so only where the two kinds of Basic differ: an id and a secret of letters, digits and `*-._` are the same in both.
//!
//! # A wrong secret
//!
//! It is [`Denied`](crate::ErrorKind::Denied) however the server puts it, and not tried again until a pause has passed, of 5
//! to 10 s at first, growing to 5 minutes:
//!
//! | a wrong secret is told by | such as | the error |
//! |---|---|---|
//! | 400, `invalid_client` | [RFC 6749][refusals] | the authorization server refused the token request (400): invalid_client |
//! | 401, `invalid_client`, a challenge | [RFC 6749][refusals] | the authorization server refused the token request (401): invalid_client |
//! | 401, `invalid_client`, no challenge | [Spring][spring-401] | the authorization server refused the token request (401): invalid_client |
//! | 401, `unauthorized_client` | [Keycloak][keycloak-16] | the authorization server refused the token request (401): unauthorized_client |
//! | 401, no body | - | the authorization server refused the token request (401) |
//! | 403, no body | - | the authorization server refused the token request (403) |
//! | 200, `invalid_client` | - | the authorization server answered 200 with an error: invalid_client |
//!
//! # Grants
//!
//! | the grant has | such as | setting | the token, without a setting |
//! |---|---|---|---|
//! | `"Bearer"`, a number | [RFC 6749][grants] | none | used for an hour |
//! | `"bearer"` | [Taboola] | none | used for an hour |
//! | no `token_type` | [LinkedIn] | none | used for an hour |
//! | `"BearerToken"` | [Apigee] | [a layer of one's own](#grants) | refused: the token response's token_type is not Bearer |
//! | `expires_in` in quotes | [Azure AD 1.0], [LinkedIn] | none | used for an hour |
//! | `expires_in` with a fraction | [Reddit] | none | used for an hour |
//! | no `expires_in` | [Salesforce] | `default_lifetime` | used for less than 20 minutes |
//!
//! Without `expires_in` a token is held for five minutes;
//! [`default_lifetime`](crate::RefreshPolicy::default_lifetime) says what the server's pages say instead. One that ends
//! earlier than that is found out by the API's 401.
//!
//! A `token_type` that is not `Bearer` may be a token that has to be sent in another way, so it is refused. Where you know
//! that it is a bearer token, mend the grant on its way:
//!
//! ```
#![doc = include_str!("../../tests/servers/works_with_the_settings_of_the_guide/mends_grants.rs")]
//! # use tower::{ServiceBuilder, service_fn};
//! # use tower_outbound_auth::{AuthError, ClientCredentials, Credentials};
//! # fn source(credentials: Credentials) -> Result<ClientCredentials, AuthError> {
//! # let http = service_fn(|_: http::Request<Full<Bytes>>| async { Ok::<_, BoxError>(Response::new(Full::<Bytes>::default())) });
//!
//! let transport = ServiceBuilder::new().and_then(mend).service(http);
//! let source = ClientCredentials::builder("https://login.example.com/token", credentials).transport(transport).build()?;
//! # Ok(source) }
//! ```
//!
//! # Revoked tokens
//!
//! | a revoked token is told by | such as | setting | without a setting |
//! |---|---|---|---|
//! | 401, no challenge | [Auth0 for Spring] | none | healed |
//! | 401, `Bearer` | [RFC 6750][challenges] | none | healed |
//! | 401, `bearer error="invalid_token"` | [RFC 6750][challenges] | none | healed |
//! | 401, three challenges | - | none | healed |
//! | 401, three challenges in one header | [Microsoft] | none | healed |
//! | 401, `Bearer` with a code of its own | - | `reject_when` | the 401 is the caller's |
//! | 403, no challenge | [AWS API Gateway] | `reject_when` | the 403 is the caller's |
//! | 400, a message | [PayNet] | `paynet::RejectionLayer` | the 400 is the caller's |
//! | 400, a code in JSON | [Facebook] | [a layer of one's own](#rejections-in-a-body) | the 400 is the caller's |
//! | 200, an error in JSON | [Slack] | [a layer of one's own](#rejections-in-a-body) | the 200 is the caller's |
//!
//! - **401** always rejects the token, unless a `Bearer` challenge names another error than `invalid_token`. If that error
//!   means the token all the same, [`reject_when`](crate::AuthLayerBuilder::reject_when) says so.
//! - **403** mostly means that the client may not do this, and a new token would not help. `reject_when` with
//!   `StatusCode::FORBIDDEN` then costs up to one token request in 10 s: look at a header as well, where the API sends one.
//! - **A body** is nothing that `reject_when` sees: it takes a layer below that reads it.
//!
//! # Rejections in a body
//!
//! [`paynet::RejectionLayer`](crate::paynet::RejectionLayer) is such a layer. For another API, write a function for Tower's
//! `and_then` that leaves a [`Rejection`](crate::Rejection) with the answer:
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
//! It reads all that is JSON into memory, so it is for an API whose answers are small; any other answer streams on. Put
//! decompression below it.
//!
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
