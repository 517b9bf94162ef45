//! `PrivateKeyJwt`: the assertions that it makes, and what it says of keys that it cannot use.

mod others_verify_it;

use std::{
    collections::HashSet,
    time::{Duration, UNIX_EPOCH},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tower_outbound_auth::{
    AuthError, Credentials, ErrorKind,
    oauth::{Algorithm, AssertionRequest, AssertionSource, Audience, ClientCredentialsGrant, PrivateKeyJwt},
};

use crate::support::{
    keys::{key, names},
    token_server::{GOOD, TOKEN_URL, endpoint, fetch, reply},
};

const ALGORITHMS: [(Algorithm, &str, &str); 5] = [
    (Algorithm::Ps256, "PS256", "rsa2048"),
    (Algorithm::Rs256, "RS256", "rsa2048_pkcs1"),
    (Algorithm::Es256, "ES256", "p256"),
    (Algorithm::Es384, "ES384", "p384"),
    (Algorithm::EdDsa, "EdDSA", "ed25519"),
];
const NOW: u64 = 1_700_000_000;

fn request() -> AssertionRequest<'static> {
    AssertionRequest::new("id", TOKEN_URL, UNIX_EPOCH + Duration::from_millis(NOW * 1_000 + 999))
}

fn signer() -> PrivateKeyJwt {
    PrivateKeyJwt::from_pem(Algorithm::Es256, Audience::TokenEndpoint, key("p256")).unwrap()
}

/// Header and claims.
async fn parts(source: &PrivateKeyJwt, request: AssertionRequest<'_>) -> (Value, Value) {
    let assertion = source.assertion(request).await.unwrap();
    let mut parts = assertion.expose_secret().split('.');
    let json = |part| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
    let [header, claims, _signature] = [(); 3].map(|()| parts.next().unwrap());
    assert_eq!(parts.next(), None);
    (json(header), json(claims))
}

fn refusal(algorithm: Algorithm, pem: impl AsRef<[u8]>) -> AuthError {
    let error = PrivateKeyJwt::from_pem(algorithm, Audience::Issuer, pem).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Config);
    error
}

#[tokio::test]
async fn an_assertion_has_the_header_and_the_claims_of_rfc_7523() {
    for (algorithm, name, pem) in ALGORITHMS {
        let source = PrivateKeyJwt::from_pem(algorithm, Audience::TokenEndpoint, key(pem)).unwrap();
        let (header, mut claims) = parts(&source, request()).await;
        assert_eq!(header, json!({ "alg": name, "typ": "JWT" }));
        let id = claims["jti"].take();
        assert_eq!(id.as_str().unwrap().len(), 22, "128 bits");
        let expected = json!({ "iss": "id", "sub": "id", "aud": TOKEN_URL, "jti": null, "iat": NOW, "exp": NOW + 60 });
        assert_eq!(claims, expected);
        let assertion = source.assertion(request()).await.unwrap();
        assert_eq!(assertion.assertion_type(), "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
    }
}

#[tokio::test]
async fn every_setting_is_in_the_assertion() {
    let thumbprint = "x5t#S256";
    let source =
        signer().key_id("k \"1\"\n").token_type("client-authentication+jwt").lifetime(Duration::from_secs(300));
    let source = source.certificate_thumbprint(key("rsa2048_certificate")).unwrap();
    let (header, claims) = parts(&source, request()).await;
    let expected = json!({ "alg": "ES256", "typ": "client-authentication+jwt", "kid": "k \"1\"\n", thumbprint: header[thumbprint] });
    assert_eq!(header, expected);
    assert_eq!(header[thumbprint].as_str().unwrap().len(), 43, "SHA-256");
    assert_eq!(claims["exp"], NOW + 300);
}

#[tokio::test]
async fn the_audience_is_one_string_of_the_users_choice() {
    let of = |audience| PrivateKeyJwt::from_pem(Algorithm::EdDsa, audience, key("ed25519")).unwrap();
    let custom = of(Audience::Custom("https://tenant.example.com/".to_owned()));
    assert_eq!(parts(&custom, request()).await.1["aud"], "https://tenant.example.com/");
    let with_issuer = request().with_issuer("https://login.example.com");
    assert_eq!(parts(&of(Audience::Issuer), with_issuer).await.1["aud"], "https://login.example.com");
    let error = of(Audience::Issuer).assertion(request()).await.unwrap_err();
    assert!(
        error.kind() == ErrorKind::Config && error.to_string().contains("ClientCredentialsGrant::discover"),
        "{error}"
    );
    let nobody = AssertionRequest::new("", TOKEN_URL, UNIX_EPOCH);
    assert_eq!(signer().assertion(nobody).await.unwrap_err().kind(), ErrorKind::Config);
}

#[tokio::test]
async fn no_assertion_is_made_twice_and_no_lifetime_breaks_one() {
    let source = signer();
    let mut seen = HashSet::new();
    for _ in 0..200 {
        assert!(seen.insert(parts(&source, request()).await.1["jti"].to_string()));
    }
    for (lifetime, seconds) in [(Duration::ZERO, 1), (Duration::from_millis(1_900), 1), (Duration::MAX, 86_400)] {
        assert_eq!(parts(&signer().lifetime(lifetime), request()).await.1["exp"], NOW + seconds);
    }
    let before_1970 = AssertionRequest::new("id", TOKEN_URL, UNIX_EPOCH - Duration::from_secs(5));
    assert_eq!(parts(&source, before_1970).await.1["iat"], 0);
}

#[tokio::test]
async fn a_grant_sends_what_the_key_has_signed() {
    let (asked, transport) = endpoint(|_| Ok(reply(200, &[], GOOD)));
    let source = PrivateKeyJwt::from_pem(Algorithm::Ps256, Audience::TokenEndpoint, key("rsa4096")).unwrap();
    let builder = ClientCredentialsGrant::builder(TOKEN_URL, Credentials::without_secret("id"));
    fetch(&builder.client_assertion(source).transport(transport).build().unwrap()).await.unwrap();
    let body = asked.lock().unwrap()[0].body().clone();
    assert!(String::from_utf8_lossy(&body).contains("&client_assertion=eyJ"), "{body:?}");
}

/// What each key is told that cannot be used, or cannot be used with this algorithm.
#[test]
fn a_key_that_cannot_be_used_is_refused_with_the_command_that_helps() {
    let to_pkcs8 = "openssl pkcs8 -topk8 -nocrypt -in key.pem -out pkcs8.pem";
    let new_ec = "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out key.pem";
    for (name, algorithm, advice) in [
        ("p256_sec1", Algorithm::Es256, to_pkcs8),
        ("p256_sec1_encrypted", Algorithm::Es256, to_pkcs8),
        ("rsa2048_encrypted", Algorithm::Rs256, to_pkcs8),
        ("rsa2048_encrypted_pkcs1", Algorithm::Rs256, to_pkcs8),
        ("p256_without_public_key", Algorithm::Es256, "openssl ec -in key.pem | openssl pkcs8 -topk8 -nocrypt"),
        ("rsa_pss", Algorithm::Ps256, "openssl rsa -in key.pem -traditional -out rsa.pem"),
        ("rsa1024", Algorithm::Ps256, "1024 bits, too few; create one of 2048 to 4096 bits"),
        ("rsa2047", Algorithm::Rs256, "2047 bits, too few"),
        ("rsa4104", Algorithm::Rs256, "4104 bits, too many"),
        ("p521", Algorithm::Es384, "on the curve P-521"),
        ("secp256k1", Algorithm::Es256, "neither P-256 nor P-384"),
        ("p256_explicit_curve", Algorithm::Es256, new_ec),
        ("ed448", Algorithm::EdDsa, new_ec),
        ("x25519", Algorithm::EdDsa, new_ec),
        ("dsa", Algorithm::Rs256, new_ec),
        ("openssh", Algorithm::Es256, "ssh-keygen -p"),
        ("rsa2048_public", Algorithm::Rs256, "has a public key"),
        ("rsa2048_certificate", Algorithm::Rs256, "has a certificate and no private key"),
        ("rsa2048", Algorithm::EdDsa, "but with Ps256 or Rs256"),
        ("rsa2048_pkcs1", Algorithm::Es256, "but with Ps256 or Rs256"),
        ("p256", Algorithm::Es384, "but with Es256"),
        ("p384", Algorithm::Es256, "but with Es384"),
        ("p384", Algorithm::Ps256, "but with Es384"),
        ("ed25519", Algorithm::Es256, "but with EdDsa"),
    ] {
        let error = refusal(algorithm, key(name));
        assert!(error.to_string().contains(advice), "{name}: {error}");
    }
}

#[test]
fn a_key_can_be_used_with_the_algorithms_of_its_kind_alone() {
    for name in names() {
        let usable = ALGORITHMS
            .iter()
            .filter(|(algorithm, ..)| PrivateKeyJwt::from_pem(*algorithm, Audience::Issuer, key(name)).is_ok());
        let expected = match name {
            "rsa2048" | "rsa2048_pkcs1" | "rsa4096" => 2,
            "p256" | "p384" | "ed25519" => 1,
            _ => 0,
        };
        assert_eq!(usable.count(), expected, "{name}");
    }
}

#[test]
fn text_that_is_not_pem_is_told_of() {
    let good = key("p256");
    for (text, why) in [
        ("", "no private key in the text"),
        ("/run/secrets/key.pem", "not a path, not DER"),
        (&good.replace("-----BEGIN PRIVATE KEY-----", "-----BEGIN PRIVATE KEY\n"), "are the line ends lost?"),
        (&good.replace("END", "FIN"), "is it cut off?"),
        (&good.replace('M', "*"), "not base64"),
        ("-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----", "not base64, or empty"),
        ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----", "is damaged"),
        (
            &good.lines().filter(|line| line.len() == 64 || line.starts_with("---")).collect::<Vec<_>>().join("\n"),
            "is damaged",
        ),
    ] {
        let error = refusal(Algorithm::Es256, text);
        assert!(error.to_string().contains(why), "{text}: {error}");
    }
    let changed: Vec<_> = key("rsa2048")
        .lines()
        .enumerate()
        .map(|(at, line)| if at == 16 { "A".repeat(64) } else { line.into() })
        .collect();
    assert!(refusal(Algorithm::Rs256, changed.join("\n")).to_string().contains("is damaged"));
    PrivateKeyJwt::from_pem(Algorithm::Es256, Audience::Issuer, good.replace('\n', "")).unwrap();
    let around =
        format!("\u{feff}Bag Attributes\r\n{}\r\nmore\r\n{}", key("rsa2048_certificate"), good.replace('\n', "\r\n"));
    PrivateKeyJwt::from_pem(Algorithm::Es256, Audience::Issuer, around).unwrap();
    let error = signer().certificate_thumbprint(good).unwrap_err();
    assert!(error.kind() == ErrorKind::Config && error.to_string().contains("no certificate in the text"), "{error}");
}

#[test]
fn neither_a_source_nor_its_errors_show_the_key() {
    let shown = format!("{:?}", signer().key_id("k1"));
    assert!(shown.contains("Es256") && shown.contains("k1"), "{shown}");
    let lines = |pem: &'static str| pem.lines().filter(|line| line.len() > 20 && !line.starts_with("---"));
    let errors: Vec<_> = names()
        .flat_map(|name| ALGORITHMS.map(|(algorithm, ..)| (name, algorithm)))
        .filter_map(|(name, algorithm)| PrivateKeyJwt::from_pem(algorithm, Audience::Issuer, key(name)).err())
        .map(|error| format!("{error} {error:?}"))
        .collect();
    assert!(errors.len() > 50);
    for line in names().flat_map(|name| lines(key(name))) {
        assert!(!shown.contains(line) && !errors.iter().any(|error| error.contains(line)));
    }
}
