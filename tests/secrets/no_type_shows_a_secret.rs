//! No public type shows a secret in its `Debug`, and no error of a setting repeats one.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::{Poll, ready},
    time::Duration,
};

use http::{HeaderName, HeaderValue, StatusCode, header::AUTHORIZATION};
use tower::{Layer, Service, ServiceExt};
use tower_outbound_auth::{
    Auth, Credentials, NoAuth,
    oauth::{ClientAuth, ClientCredentialsGrant},
    replay::{CloneBody, EmptyBody, NoReplay, ReplayBody},
    secrecy::SecretString,
    signing::{Sign, SignRules, SignatureHeaders, SigningContext, TimestampHmac, signer_fn},
    token::{AccessToken, FetchRequest, RefreshPolicy, source_fn},
};

use crate::{
    no_secret_is_shown::Panicking,
    support::{
        Body, get,
        planted::{api, credentials, dressed, source, token_number},
        secrets::{Ears, HEADER, SECRET, TOKEN},
    },
};

const NAME: HeaderName = HeaderName::from_static("x-own");

#[tokio::test(start_paused = true)]
async fn no_public_type_shows_a_secret() {
    let (ears, _guard) = Ears::of_this_thread();
    let token = AccessToken::new(TOKEN, Some(Duration::from_secs(60))).unwrap();
    let token = token.with_scope("read").with_response_field(HEADER, SECRET);
    let mut signature = SignatureHeaders::new();
    signature.insert(NAME, HeaderValue::from_static(TOKEN));
    let closure = signer_fn(|_: &SigningContext<'_>| Ok(SignatureHeaders::new()));
    let layer = dressed(source(token_number).build().unwrap()).build().unwrap();
    let held = SecretString::from(SECRET);
    let function = source_fn(move |_| {
        let held = held.clone();
        async move { AccessToken::new(held, None) }
    });
    ears.tell(&(&token, FetchRequest::new().with_rejected(token.clone()), token.expires_in(), token.scope()));
    ears.tell(&(credentials(), Credentials::without_secret("id"), TimestampHmac::sha256(credentials())));
    ears.tell(&(signature, closure, function));
    ears.tell(&(dressed(Panicking), dressed(Panicking).replay(NoReplay).build().unwrap()));
    ears.tell(&(&layer, layer.handle(), layer.handle().status(), layer.handle().keep_warm()));
    ears.tell(&(RefreshPolicy::default(), Sign::Always, NoAuth, CloneBody, NoReplay, EmptyBody, SignRules::all()));
    ears.tell(&ReplayBody::new(Body::from(SECRET), 100));
    credentials().rotate(SecretString::from(SECRET));
    ears.tell_error(&Credentials::from_env("NO_SUCH_ID", "NO_SUCH_SECRET").unwrap_err());
    ears.tell_error(&AccessToken::new(format!("{TOKEN}\n"), None).unwrap_err());
    ears.tell_error(&AccessToken::new(TOKEN.repeat(1_000), None).unwrap_err());
    ears.tell_error(&dressed(Panicking).header(AUTHORIZATION, HeaderValue::from_static(HEADER)).build().unwrap_err());
    ears.check();
}

#[tokio::test(start_paused = true)]
async fn no_grant_and_no_error_of_its_build_shows_a_secret() {
    let (ears, _guard) = Ears::of_this_thread();
    for method in [ClientAuth::Body, ClientAuth::Basic, ClientAuth::BasicUnencoded, ClientAuth::Certificate] {
        let own = source(token_number).header(NAME, HeaderValue::from_static(HEADER));
        let builder = own.client_auth(method).json_body();
        ears.tell(&(&builder, method));
        ears.tell(&builder.build().unwrap());
    }
    ears.tell_error(&source(token_number).param("client_secret", SECRET).build().unwrap_err());
    ears.tell_error(&source(token_number).param("a", SECRET).param("a", SECRET).build().unwrap_err());
    let authorization = source(token_number).header(AUTHORIZATION, HeaderValue::from_static(HEADER));
    ears.tell_error(&authorization.client_auth(ClientAuth::Basic).build().unwrap_err());
    ears.check();
}

#[cfg(feature = "paynet")]
#[tokio::test(start_paused = true)]
async fn no_type_of_paynet_shows_a_secret() {
    use http::{Request, Response};
    use tower::service_fn;
    use tower_outbound_auth::{
        BoxError,
        paynet::{Environment, PayNetLayer, RejectionLayer, grant, sign_rules},
    };

    use crate::support::ORIGIN;

    let (ears, _guard) = Ears::of_this_thread();
    let environment = Environment::non_production();
    ears.tell(&(&environment, grant(&environment, credentials()), sign_rules(), RejectionLayer));
    let inner = service_fn(|_: Request<Body>| async { Ok::<_, BoxError>(Response::new(Body::default())) });
    ears.tell(&RejectionLayer.layer(inner));
    let layer = PayNetLayer::from(dressed(source(token_number).build().unwrap()).build().unwrap());
    ears.tell(&(&layer, layer.layer(inner)));
    let url = format!("https://user:{}@host.example", &SECRET[9..24]);
    ears.tell_error(&Environment::custom(&url, ORIGIN).unwrap_err());
    ears.tell_error(&Environment::custom(ORIGIN, &url).unwrap_err());
    ears.check();
}

#[tokio::test(start_paused = true)]
async fn a_password_in_an_origin_or_a_token_url_is_not_shown() {
    let (ears, _guard) = Ears::of_this_thread();
    let url = format!("https://user:{}@host.example", &SECRET[9..24]);
    let builder = dressed(Panicking).origin(&url);
    ears.tell(&builder);
    ears.tell_error(&builder.build().unwrap_err());
    let source = ClientCredentialsGrant::builder(&url, credentials());
    ears.tell(&source);
    ears.tell_error(&source.build().unwrap_err());
    ears.check();
}

#[tokio::test(start_paused = true)]
async fn a_response_future_shows_its_state_only() {
    let (ears, _guard) = Ears::of_this_thread();
    let layer = dressed(source(token_number).build().unwrap()).build().unwrap();
    let mut service: Auth<_> = layer.layer(api(&[200, 401]).1);
    for _ in 0..2 {
        let mut response = pin!(service.call(get("/a")));
        let answered = poll_fn(|cx| {
            ears.tell(&response);
            let answer = ready!(response.as_mut().poll(cx));
            ears.tell(&response);
            Poll::Ready(answer)
        });
        assert_eq!(answered.await.unwrap().status(), StatusCode::OK);
        poll_fn(|cx| service.poll_ready(cx)).await.unwrap();
    }
    let mut failed =
        pin!(dressed(Panicking).max_wait(Duration::ZERO).build().unwrap().layer(api(&[]).1).oneshot(get("/a")));
    ears.tell_error(failed.as_mut().await.unwrap_err().as_ref());
    ears.check();
}
