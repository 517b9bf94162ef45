//! A token server is asked just as RFC 6749 says, by one method, in one place, and again whatever it answered.

use std::time::Duration;

use bytes::Bytes;
use http::{
    HeaderName, Request, StatusCode,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, LOCATION},
};
use http_body_util::Full;
use serde_json::{Value, json};
use tower::{Layer, ServiceExt, service_fn};
use tower_outbound_auth::{
    AuthLayer, BoxError, Credentials, ErrorKind,
    oauth::{ClientAuth, ClientCredentialsGrant, ClientCredentialsGrantBuilder},
    token::TokenSource,
};

use crate::support::{
    ORIGIN, Seen, answer, get,
    token_server::{GOOD, TOKEN_URL, builder, endpoint, fetch, is_malformed, read, reply},
};

/// The request that these settings lead to.
async fn request(builder: ClientCredentialsGrantBuilder) -> Request<Bytes> {
    let (asked, transport) = endpoint(|_| Ok(reply(200, &[], GOOD)));
    fetch(&builder.transport(transport).build().unwrap()).await.unwrap();
    let mut asked = asked.lock().unwrap();
    assert_eq!(asked.len(), 1);
    asked.remove(0)
}

fn header<'a>(request: &'a Request<Bytes>, name: &HeaderName) -> &'a str {
    request.headers()[name].to_str().unwrap()
}

#[tokio::test]
async fn o1_the_request_is_byte_for_byte_as_the_vectors_say() {
    let vectors: Value = serde_json::from_str(include_str!("../vectors/token_request.json")).unwrap();
    let cases = vectors["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 3);
    for case in cases {
        let text = |name: &str| case[name].as_str().unwrap();
        let builder = || {
            let credentials = Credentials::new(text("client_id"), text("client_secret"));
            ClientCredentialsGrant::builder(TOKEN_URL, credentials)
        };
        let by_body = request(builder()).await;
        assert_eq!((by_body.method().as_str(), by_body.uri().to_string()), ("POST", TOKEN_URL.to_owned()));
        assert_eq!(by_body.body(), text("body"));
        assert_eq!(header(&by_body, &ACCEPT), "application/json");
        assert_eq!(header(&by_body, &CONTENT_TYPE), "application/x-www-form-urlencoded");
        assert_eq!(by_body.headers().len(), 4, "no credentials in a second place");

        let by_header = request(builder().client_auth(ClientAuth::Basic)).await;
        assert_eq!(header(&by_header, &AUTHORIZATION), text("basic"));
        assert!(by_header.headers()[AUTHORIZATION].is_sensitive());
        assert_eq!(by_header.body(), "grant_type=client_credentials", "no credentials in a second place");
        assert_eq!(by_header.headers().len(), 5);
    }
}

#[tokio::test]
async fn o1_basic_without_encoding_sends_id_and_secret_as_they_are() {
    let credentials = Credentials::new("id/1", "p@ss:word ~*");
    let by_header =
        request(ClientCredentialsGrant::builder(TOKEN_URL, credentials).client_auth(ClientAuth::BasicUnencoded)).await;
    assert_eq!(header(&by_header, &AUTHORIZATION), "Basic aWQvMTpwQHNzOndvcmQgfio=");
    assert_eq!(by_header.body(), "grant_type=client_credentials");
}

#[tokio::test]
async fn o1_a_client_known_by_its_certificate_sends_its_id_alone() {
    for secret in ["", "s3cret", "not sent\n"] {
        let credentials = Credentials::new("id/1", secret);
        let request =
            request(ClientCredentialsGrant::builder(TOKEN_URL, credentials).client_auth(ClientAuth::Certificate)).await;
        assert_eq!(request.body(), "grant_type=client_credentials&client_id=id%2F1");
        assert_eq!(request.headers().len(), 4);
    }
}

#[tokio::test]
async fn o5_the_reason_of_a_refusal_is_kept_where_there_is_no_secret_that_it_could_repeat() {
    let (_, transport) = endpoint(|_| Ok(reply(401, &[], json!({ "error": "invalid_client" }).to_string())));
    let builder = ClientCredentialsGrant::builder(TOKEN_URL, Credentials::new("id", "")).transport(transport);
    let error = fetch(&builder.client_auth(ClientAuth::Certificate).build().unwrap()).await.unwrap_err();
    assert_eq!(error.oauth_error(), Some("invalid_client"));
}

#[tokio::test]
async fn o1_what_else_is_asked_for_follows_in_a_fixed_order() {
    let settings = |builder: ClientCredentialsGrantBuilder| {
        builder
            .resource("https://b.example/?q")
            .param("x y", "1&2")
            .scope("read")
            .resource("urn:c")
            .scope("a b")
            .audience("api")
    };
    let rest = "scope=read+a+b&audience=api&x+y=1%262&resource=https%3A%2F%2Fb.example%2F%3Fq&resource=urn%3Ac";
    let by_body = request(settings(builder())).await;
    let credentials = "grant_type=client_credentials&client_id=id&client_secret=key";
    assert_eq!(by_body.body(), &format!("{credentials}&{rest}"));
    let by_header = request(settings(builder()).client_auth(ClientAuth::Basic)).await;
    assert_eq!(by_header.body(), &format!("grant_type=client_credentials&{rest}"));
    assert_eq!(request(builder().audience("a").audience("b")).await.body(), &format!("{credentials}&audience=b"));
}

#[tokio::test]
async fn t14_a_rotated_secret_is_in_the_next_request() {
    let (asked, transport) = endpoint(|_| Ok(reply(200, &[], GOOD)));
    let credentials = Credentials::new("id", "first");
    let source = ClientCredentialsGrant::builder(TOKEN_URL, credentials.clone()).transport(transport).build().unwrap();
    let before = source.generation();
    fetch(&source).await.unwrap();
    credentials.rotate("second");
    assert!(source.generation() > before);
    fetch(&source).await.unwrap();
    credentials.rotate("third\n");
    assert_eq!(fetch(&source).await.unwrap_err().kind(), ErrorKind::Config, "never sent: it cannot be meant");
    let bodies: Vec<_> = asked.lock().unwrap().iter().map(|request| request.body().clone()).collect();
    let body = |secret| format!("grant_type=client_credentials&client_id=id&client_secret={secret}");
    assert_eq!(bodies, [body("first"), body("second")]);
}

#[tokio::test]
async fn o2_a_redirect_is_malformed_and_followed_nowhere() {
    for status in [300, 301, 302, 303, 304, 307, 308] {
        let read = read(status, &[(LOCATION, "https://evil.example/token")], GOOD).await;
        assert!(is_malformed(&read), "{status}: {read:?}");
        let told = read.unwrap_err().to_string();
        assert!(told.contains("redirects to https://evil.example (") && !told.contains("evil.example/"), "{told}");
    }
}

#[tokio::test]
async fn o2_a_redirect_is_told_with_its_target_as_far_as_that_may_be_shown() {
    for (location, told) in [
        ("https://evil.example:8443/token?code=pl4nted", "redirects to https://evil.example:8443 (302)"),
        ("HTTP://Evil.example", "redirects to http://evil.example (302)"),
        ("//evil.example/pl4nted", "redirects to https://evil.example (302)"),
        ("/pl4nted/token", "redirects (302) to another path of the same server"),
        ("pl4nted", "redirects (302) to another path of the same server"),
        ("?pl4nted=1", "redirects (302) to another path of the same server"),
        ("app://pl4nted", "redirects (302), "),
        ("https://", "redirects (302), "),
        ("mailto:pl4nted", "redirects (302), "),
        ("", "redirects (302), "),
    ] {
        let error = read(302, &[(LOCATION, location)], GOOD).await.unwrap_err().to_string();
        assert!(error.contains(told) && !error.contains("pl4nted"), "{location}: {error}");
    }
    assert!(read(302, &[], GOOD).await.unwrap_err().to_string().contains("redirects (302)"));
}

#[cfg(feature = "client")]
#[tokio::test]
async fn o2_the_built_in_transport_sends_nothing_to_where_a_redirect_points() {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };
    let (asked, other) =
        (TcpListener::bind("127.0.0.1:0").await.unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap());
    let (url, elsewhere) = (asked.local_addr().unwrap(), other.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (mut connection, _) = asked.accept().await.unwrap();
        let mut request = [0; 4096];
        let length = connection.read(&mut request).await.unwrap();
        let redirect = format!("HTTP/1.1 307 X\r\nlocation: http://{elsewhere}/\r\ncontent-length: 0\r\n\r\n");
        connection.write_all(redirect.as_bytes()).await.unwrap();
        String::from_utf8_lossy(&request[..length]).into_owned()
    });
    let credentials = Credentials::new("id", "key");
    let source = ClientCredentialsGrant::builder(&format!("http://{url}/token"), credentials).build().unwrap();
    assert!(is_malformed(&fetch(&source).await));
    assert!(server.await.unwrap().starts_with("POST /token HTTP/1.1\r\n"));
    let visit = std::future::poll_fn(|cx| std::task::Poll::Ready(other.poll_accept(cx).is_ready())).await;
    assert!(!visit, "the redirect was followed");
}

#[tokio::test(start_paused = true)]
async fn o4_an_answer_that_is_no_token_never_stops_later_refreshes() {
    let token = |number: usize| json!({ "access_token": format!("t{number}"), "expires_in": 100 }).to_string();
    let (asked, transport) =
        endpoint(move |number| Ok(reply(200, &[], if number % 3 == 1 { "{".to_owned() } else { token(number) })));
    let source = builder().transport(transport).build().unwrap();
    let seen = Seen::default();
    let log = seen.clone();
    let api = service_fn(move |request: Request<Full<Bytes>>| {
        log.push(&request);
        async { Ok::<_, BoxError>(answer(StatusCode::OK)) }
    });
    let client = AuthLayer::builder(source).origin(ORIGIN).build().unwrap().layer(api);
    for _ in 0..30 {
        client.clone().oneshot(get("/a")).await.unwrap();
        tokio::time::sleep(Duration::from_secs(10)).await;
    }
    assert_eq!(seen.count(), 30, "no request failed");
    assert!(asked.lock().unwrap().len() >= 5);
    assert!(
        seen.tokens().contains(&"t2".to_owned()) && seen.tokens().contains(&"t5".to_owned()),
        "{:?}",
        seen.tokens()
    );
}
