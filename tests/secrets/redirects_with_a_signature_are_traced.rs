//! reqwest follows redirects below the middleware: a signature that went to another origin is a warning.

use reqwest::Url;
use tower_outbound_auth::{
    AuthLayer, Credentials,
    signing::{SignRules, TimestampHmac},
    token::{AccessToken, source_fn},
};

use crate::support::{ORIGIN, chain::End, secrets::Ears};

#[tokio::test(start_paused = true)]
async fn s4_a_signed_request_that_another_origin_answered_is_a_warning() {
    let (ears, _guard) = Ears::of_this_thread();
    let end = End::new(|arrived, _| {
        let mut response = http::Response::new(String::new());
        if arrived.url.path().starts_with("/away") {
            response.extensions_mut().insert(Url::parse("https://files.example.net:8443/secret/path").unwrap());
        } else if arrived.url.path() == "/near" {
            response.extensions_mut().insert(Url::parse("https://api.example.com:443/far").unwrap());
        }
        Box::pin(async { response })
    });
    let source = source_fn(|_| async { AccessToken::new("token", None) });
    let signer = TimestampHmac::sha256(Credentials::new("id", "secret"));
    let rules = SignRules::paths(["/away", "/near", "/here"]).unwrap();
    let auth = AuthLayer::builder(source).origin(ORIGIN).sign(rules, signer).build().unwrap();
    let client = end.client(auth);
    for quiet in ["/here", "/near", "/away-without-a-signature"] {
        client.get(format!("{ORIGIN}{quiet}")).send().await.unwrap();
        assert!(!ears.heard().contains("WARN"), "{quiet}: {}", ears.heard());
    }
    client.get(format!("{ORIGIN}/away")).send().await.unwrap();
    let heard = ears.heard();
    let warning = heard.lines().find(|line| line.contains("WARN")).unwrap();
    assert!(warning.contains("a signed request was answered by another origin"), "{warning}");
    assert!(warning.contains("https://files.example.net:8443"), "{warning}");
    assert!(!heard.contains("secret/path"), "{heard}");
}
