//! What is wrong with a certificate, a key or a proxy is told where the transport is built, and no text of a key with it.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a helper of a test may panic")]

use std::{error::Error, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use proptest::prelude::*;
use rcgen::{CertificateParams, CertifiedIssuer, KeyPair, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, SignatureAlgorithm};
use tower_outbound_auth::{
    AuthError, Credentials, ErrorKind,
    client::{HttpsClient, HttpsClientBuilder},
    oauth::{ClientAuth, ClientCredentialsGrant},
};

/// RFC 7468, section 2.
fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// A certificate and the DER of its key, PKCS #8.
fn identity_with(algorithm: &'static SignatureAlgorithm) -> (String, Vec<u8>) {
    let key = KeyPair::generate_for(algorithm).unwrap();
    let der = key.serialize_der();
    let certificate = CertifiedIssuer::self_signed(CertificateParams::default(), key).unwrap();
    (pem("CERTIFICATE", certificate.der()), der)
}

fn identity() -> (String, String) {
    let (certificate, key) = identity_with(&rcgen::PKCS_ECDSA_P256_SHA256);
    (certificate, pem("PRIVATE KEY", &key))
}

/// Holds the error to what every error of a build promises, and to the advice that it gives.
fn refused(builder: HttpsClientBuilder, advice: &str, secrets: &[&str]) {
    let shown = format!("{builder:?}");
    let Err(error) = builder.build() else {
        panic!("built, though it should be refused: {advice}");
    };
    let told = format!("{shown} {error} {error:?} {:?}", error.source().map(ToString::to_string));
    assert_eq!(error.kind(), ErrorKind::Config, "{told}");
    assert!(error.to_string().contains(advice) && !error.to_string().contains('\n'), "{error} should say: {advice}");
    // Any line of a key is enough to know it by; the parser quotes bytes as numbers.
    let lines = secrets.iter().flat_map(|secret| secret.lines());
    for secret in lines.filter(|line| !line.starts_with("-----B") && !line.starts_with("-----E") && !line.is_empty()) {
        let bytes = format!("{:?}", secret.as_bytes());
        let bytes = bytes.trim_matches(['[', ']']);
        assert!(!told.contains(secret) && !told.contains(bytes), "{told}");
    }
}

#[test]
fn every_usual_kind_of_key_is_taken() {
    for algorithm in [&rcgen::PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384, &PKCS_ED25519] {
        let (certificate, key) = identity_with(algorithm);
        HttpsClient::builder().identity(&certificate, pem("PRIVATE KEY", &key)).build().unwrap();
    }
    // SEC 1 stands within PKCS #8, behind 29 bytes for P-256, and OpenSSL writes the curve before it.
    let (certificate, key) = identity_with(&rcgen::PKCS_ECDSA_P256_SHA256);
    let sec1 = pem("EC PRIVATE KEY", &key[29..]);
    let parameters = pem("EC PARAMETERS", &[6, 8, 42, 134, 72, 206, 61, 3, 1, 7]);
    HttpsClient::builder().identity(certificate, format!("{parameters}{sec1}")).build().unwrap();
}

#[test]
fn all_that_stands_around_the_sections_is_passed_over() {
    let (certificate, key) = identity();
    let text = format!("subject=/CN=a client\r\n{key}\r\n# and\n\n{certificate}trailing").replace('\n', "\r\n");
    let transport = HttpsClient::builder().root_certificates(&text).identity(&text, &text).build().unwrap();
    let shown = format!("{transport:?}");
    assert!(shown.contains("roots: 1, identity: true, https_proxy: None,"), "{shown}");
}

#[test]
fn text_without_a_certificate_is_refused() {
    let (certificate, key) = identity();
    for text in ["", "/etc/bank/ca.pem", "-----BEGIN X509 CRL-----\nAA==\n-----END X509 CRL-----\n", key.as_str()] {
        let advice = "no certificate in the text; pass PEM text";
        refused(HttpsClient::builder().root_certificates(text), &format!("`root_certificates`: {advice}"), &[&key]);
        refused(HttpsClient::builder().identity(text, &key), &format!("`identity`: {advice}"), &[&key]);
    }
    let der = STANDARD.decode(certificate.lines().filter(|line| !line.starts_with('-')).collect::<String>()).unwrap();
    refused(HttpsClient::builder().root_certificates(der), "not a path, not DER", &[]);
}

#[test]
fn a_broken_certificate_is_refused_and_so_is_a_broken_key() {
    let (certificate, key) = identity();
    for (break_it, advice) in [
        ((|text| text.replace("-----END", "")) as fn(&str) -> String, "a section has no end; is it cut off"),
        (|text| text.replace('\n', ""), "are its line ends lost?"),
        (|text| text.replacen('\n', "", 1), "a BEGIN line does not end with its dashes"),
        (|text| text.replace('M', "*"), "a section is not base64"),
    ] {
        refused(HttpsClient::builder().root_certificates(break_it(&certificate)), advice, &[]);
        refused(HttpsClient::builder().identity(break_it(&certificate), &key), advice, &[&key]);
        refused(HttpsClient::builder().identity(&certificate, break_it(&key)), advice, &[&key]);
    }
    for der in [&b"no certificate"[..], b""] {
        let broken = format!("{certificate}{}", pem("CERTIFICATE", der));
        refused(HttpsClient::builder().root_certificates(&broken), "a certificate cannot be read", &[]);
        refused(HttpsClient::builder().identity(&broken, &key), "a certificate cannot be read", &[&key]);
    }
}

#[test]
fn a_key_that_is_none_is_refused() {
    let (certificate, key) = identity();
    for text in ["", "/etc/bank/client.key", certificate.as_str()] {
        refused(HttpsClient::builder().identity(&certificate, text), "no private key in the text", &[&key]);
    }
    let unknown = pem("PRIVATE KEY", b"a key of an unknown kind");
    refused(HttpsClient::builder().identity(&certificate, &unknown), "of an unsupported kind; use RSA", &[&unknown]);
    let encrypted = pem("ENCRYPTED PRIVATE KEY", b"a key that cannot be read");
    let older = key.replacen('\n', "\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\n", 1);
    for text in [encrypted, older] {
        refused(HttpsClient::builder().identity(&certificate, &text), "is encrypted; decrypt it first", &[&text]);
    }
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let ((certificate, key), (other, other_key)) = (identity(), identity());
    for chain in [other.clone(), format!("{other}{certificate}")] {
        let advice = "the private key does not belong to the first certificate; put the client's own certificate first";
        refused(HttpsClient::builder().identity(chain, &key), advice, &[&key, &other_key]);
    }
    HttpsClient::builder().identity(format!("{certificate}{other}"), &key).build().unwrap();
    // The last one counts.
    HttpsClient::builder().identity(&certificate, &key).identity(other, other_key).build().unwrap();
}

#[test]
fn a_proxy_that_is_none_is_refused() {
    for url in [
        "",
        "proxy.example.com",
        "proxy.example.com:3128",
        "socks5://proxy.example.com:1080",
        "http://user:pl4nted-s3cret@proxy.example.com:3128",
        "http://pl4nted-s3cret@proxy.example.com",
        "http://proxy.example.com/pl4nted-s3cret",
        "http://proxy.example.com?pl4nted-s3cret",
        "http://proxy.example.com:65536",
        "http://proxy.example.com//",
    ] {
        let advice = "`proxy`: the URL must be \"http://host:port\" or \"https://host:port\"";
        refused(HttpsClient::builder().proxy(url), advice, &["pl4nted-s3cret"]);
    }
    for url in
        ["http://proxy.example.com", "https://proxy.example.com:8443/", "http://[::1]:3128", "http://10.0.0.1:80"]
    {
        HttpsClient::builder().proxy(url).proxy_credentials("", "").build().unwrap();
    }
}

#[test]
fn an_entry_of_no_proxy_that_names_no_host_is_refused() {
    for entry in ["http://a.example", "10.0.0.0/33", "a.example:x"] {
        let builder = HttpsClient::builder().no_proxy(&format!("b.example,{entry}"));
        refused(builder.clone(), "`no_proxy`", &[]);
        refused(builder, entry, &[]);
    }
}

#[test]
fn proxy_credentials_that_cannot_be_sent_are_refused() {
    let secret = "pl4nted-s3cret";
    let proxied = || HttpsClient::builder().proxy("http://proxy.example.com:3128");
    refused(HttpsClient::builder().proxy_credentials("user", secret), "is set without a proxy", &[secret]);
    refused(proxied().proxy_credentials("us:er", secret), "a user name with a colon", &[secret]);
    refused(proxied().proxy_credentials("user\r\n", secret), "a control character cannot be sent", &[secret]);
    refused(
        proxied().proxy_credentials("user", format!("{secret}\n")),
        "a control character cannot be sent",
        &[secret],
    );
    let built = proxied().proxy_credentials("user", format!("{secret}:\u{e9}"));
    let shown = format!("{built:?} {:?}", built.clone().build().unwrap());
    assert!(shown.contains("proxy_user: Some(\"user\")") && !shown.contains(secret), "{shown}");
    assert!(shown.contains("https_proxy: Some(\"http://proxy.example.com:3128\")"), "{shown}");
}

#[test]
fn a_connection_is_kept_for_a_day_at_most() {
    for (asked, kept) in [(Duration::from_millis(1), "1ms"), (Duration::MAX, "86400s")] {
        let shown = format!("{:?}", HttpsClient::builder().pool_idle_timeout(asked).build().unwrap());
        assert!(shown.contains(&format!("pool_idle_timeout: {kept},")), "{shown}");
    }
}

#[test]
fn of_several_errors_the_first_is_reported() {
    let builder = HttpsClient::builder().root_certificates("").proxy("").identity("", "");
    assert!(format!("{builder:?}").contains("mistake: Some("));
    refused(builder, "`root_certificates`: no certificate", &[]);
}

#[test]
fn a_client_that_is_known_by_its_certificate_needs_a_transport_that_has_one() {
    let built = |transport: Option<HttpsClient>| {
        let credentials = Credentials::new("client", "");
        let builder = ClientCredentialsGrant::builder("https://login.example.com/token", credentials);
        let builder = builder.client_auth(ClientAuth::Certificate);
        match transport {
            Some(transport) => builder.transport(transport).build(),
            None => builder.build(),
        }
    };
    let error: AuthError = built(None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("an `HttpsClient` with `identity`"), "{error}");
    let (certificate, key) = identity();
    built(Some(HttpsClient::builder().identity(certificate, key).build().unwrap())).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_a_builder_panic(text in "\\PC{0,24}", raw in any::<Vec<u8>>(), cut in 0..300_usize) {
        let (certificate, key) = identity();
        let (cut_certificate, cut_key) = (&certificate.as_bytes()[cut..], &key.as_bytes()[..cut.min(key.len())]);
        for text in [text.as_bytes(), &raw, pem("CERTIFICATE", &raw).as_bytes(), cut_certificate, cut_key] {
            let built = [
                HttpsClient::builder().root_certificates(text),
                HttpsClient::builder().identity(text, text),
                HttpsClient::builder().identity(&certificate, text),
                HttpsClient::builder().proxy(&String::from_utf8_lossy(text)),
                HttpsClient::builder().proxy("http://a").proxy_credentials(String::from_utf8_lossy(text), "a"),
            ];
            for built in built.map(HttpsClientBuilder::build) {
                prop_assert!(built.err().is_none_or(|error| error.kind() == ErrorKind::Config));
            }
        }
    }
}
