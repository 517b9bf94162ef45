//! Some servers want a key in the query of the token URL: no error tells it, whatever HTTP client the request goes by.

use std::{error::Error, fmt, io, net::TcpListener};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tower::{BoxError, ServiceBuilder};
use tower_outbound_auth::{
    AuthError, Credentials, ErrorKind,
    oauth::{ClientCredentialsGrant, ClientCredentialsGrantBuilder},
};

use crate::support::token_server::{endpoint, fetch};

const KEYS: [&str; 4] = ["k3y-0123456789", "k3y'0123!\"<456>", "a k3y of words", "k3y(01)#23"];

fn builder(server: &str, key: &str) -> ClientCredentialsGrantBuilder {
    let query: String = form_urlencoded::Serializer::new(String::new()).append_pair("api_key", key).finish();
    ClientCredentialsGrant::builder(&format!("{server}/token?{query}"), Credentials::new("id", "secret"))
}

/// All that an error and its causes say.
fn all_of(error: &AuthError) -> String {
    let mut all = vec![format!("{error} {error:?} {error:#?}")];
    let mut next = error.source();
    while let Some(cause) = next {
        all.push(format!("{cause} {cause:?} {cause:#?}"));
        next = cause.source();
    }
    all.join(" ")
}

fn tells_no_key(error: &AuthError, key: &str) {
    let (all, form) = (all_of(error), form_urlencoded::byte_serialize(key.as_bytes()).collect::<String>());
    assert!(!all.contains("k3y") && !all.contains(key) && !all.contains(&form), "{all}");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

/// The client of the crate, whose errors do not tell a URL, is no danger; reqwest's do, in `Display` and in `Debug`.
#[tokio::test]
async fn by_reqwest_where_nobody_listens() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for key in KEYS {
        let client = ServiceBuilder::new()
            .map_response(Response::<reqwest::Body>::from)
            .filter(|request: Request<Full<Bytes>>| reqwest::Request::try_from(request.map(reqwest::Body::wrap)))
            .service(reqwest::Client::builder().no_proxy().build().unwrap());
        let grant = builder(&format!("http://127.0.0.1:{port}"), key).transport(client).build().unwrap();
        let error = fetch(&grant).await.unwrap_err();
        tells_no_key(&error, key);
        let all = all_of(&error);
        assert!(all.contains("error sending request for url (http://127.0.0.1"), "the rest is told: {all}");
        assert!(all.to_lowercase().contains("refused"), "the cause is told: {all}");
        assert!(!format!("{grant:?}").contains("k3y"));
    }
}

/// An error of another client, with its cause.
#[derive(Debug)]
#[expect(dead_code, reason = "`Debug` reads it")]
struct Failed {
    text: String,
    debug: String,
    cause: Option<BoxError>,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for Failed {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&**self.cause.as_ref()?)
    }
}

fn failed(text: &str, debug: &str, cause: Option<BoxError>) -> BoxError {
    Failed { text: text.to_owned(), debug: debug.to_owned(), cause }.into()
}

const SERVER: &str = "https://login.example.com";

async fn told(error: impl Fn() -> BoxError + Clone + Send + Sync + 'static) -> AuthError {
    let (_, transport) = endpoint(move |_| Err(error()));
    let error = fetch(&builder(SERVER, KEYS[0]).transport(transport).build().unwrap()).await.unwrap_err();
    tells_no_key(&error, KEYS[0]);
    error
}

#[tokio::test]
async fn wherever_among_the_causes_and_in_whatever_form_it_stands() {
    let reset = || BoxError::from(io::Error::new(io::ErrorKind::ConnectionReset, "cut off"));
    told(|| failed("POST https://login.example.com/token?api_key=k3y-0123456789 failed", "", None)).await;
    told(|| failed("failed", "query: Some(\"api_key=k3y-0123456789\")", None)).await;
    told(|| failed("the key k3y-0123456789 is unknown", "", None)).await;
    told(|| failed("the URL has a query: /token?API_KEY=K3Y-0123456789", "k3y-0123456789", None)).await;
    let nested =
        told(move || failed("gave up", "", Some(failed("(/token?api_key=k3y-0123456789)", "", Some(reset()))))).await;
    let all = all_of(&nested);
    assert!(all.contains("gave up") && all.contains("(/token?[redacted]") && all.contains("cut off"), "{all}");
    let ours = || AuthError::new(ErrorKind::Unavailable, "the gateway is away");
    let ours = told(move || ours().with_source(failed("at /token?api_key=k3y-0123456789", "", None)).into()).await;
    assert_eq!(ours.to_string(), "the gateway is away");
}

#[tokio::test]
async fn a_cause_that_does_not_tell_it_stays_what_it_is() {
    let error = told(|| io::Error::new(io::ErrorKind::ConnectionReset, "cut off").into()).await;
    assert_eq!(error.source().unwrap().downcast_ref::<io::Error>().unwrap().kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_url_without_a_query_has_nothing_to_hide() {
    let (_, transport) = endpoint(|_| Err(failed("what is https://login.example.com/token?", "", None)));
    let grant = ClientCredentialsGrant::builder("https://login.example.com/token", Credentials::new("id", "secret"));
    let error = fetch(&grant.transport(transport).build().unwrap()).await.unwrap_err();
    assert!(error.source().unwrap().is::<Failed>());
}
