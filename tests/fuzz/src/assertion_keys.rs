//! `PrivateKeyJwt`: whatever PEM text a user passes, there is a key that signs or an error that helps, and no error repeats
//! the text.

use std::{collections::BTreeMap, sync::LazyLock, time::UNIX_EPOCH};

use tower_outbound_auth::{
    ErrorKind,
    oauth::{Algorithm, AssertionRequest, AssertionSource, Audience, PrivateKeyJwt},
};

use crate::{
    drive::{Limits, drive},
    input::Input,
};

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let (algorithm, usable) = input.pick(&ALGORITHMS);
    if input.below(4) == 0 {
        check(algorithm, input.some_bytes(), None);
        return;
    }
    let names: Vec<_> = KEYS.keys().collect();
    let name = names[input.below(names.len())];
    let mut text = harmless(&mut input, &KEYS[name]);
    let changes = input.pick(&[0, 0, 1, 2, 5]);
    for _ in 0..changes {
        change(&mut input, &mut text);
    }
    check(algorithm, &text, (changes == 0).then_some(usable.contains(&name.as_str())));
}

/// `expected` is whether the key can be used, where that is known.
fn check(algorithm: Algorithm, text: &[u8], expected: Option<bool>) {
    let read = PrivateKeyJwt::from_pem(algorithm, Audience::TokenEndpoint, text);
    let shown = String::from_utf8_lossy(text);
    assert!(expected.is_none_or(|expected| expected == read.is_ok()), "{algorithm:?}, {read:?}: {shown}");
    // The certificate, of any text.
    let told = match read {
        Ok(source) => {
            assert!(shown.contains("PRIVATE KEY-----"), "{shown}");
            let request = AssertionRequest::new("fuzz", "https://login.example.com/token", UNIX_EPOCH);
            let assertion = drive(LIMITS, source.assertion(request)).expect("a key that was read signs");
            assert_eq!(assertion.expose_secret().split('.').count(), 3);
            match source.certificate_thumbprint(text) {
                Ok(source) => format!("{source:?}"),
                Err(error) => format!("{error:?}"),
            }
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Config);
            let line = error.to_string();
            assert!(line.len() < 250 && !line.contains('\n'), "{line}");
            format!("{error:?}")
        }
    };
    let is_key = |line: &&str| {
        line.len() >= 16 && line.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte))
    };
    for line in shown.lines().filter(is_key) {
        assert!(!told.contains(line), "told: {told}");
    }
}

/// The same key, as other programs may write it.
fn harmless(input: &mut Input<'_>, pem: &str) -> Vec<u8> {
    let pem = match input.below(5) {
        1 => pem.replace('\n', "\r\n"),
        2 => format!("Bag Attributes\n    friendlyName: key\n{pem}\n\n"),
        3 => format!("{}{pem}", KEYS["rsa2048_certificate"]),
        4 => pem.trim_end().to_owned(),
        _ => pem.to_owned(),
    };
    pem.into_bytes()
}

fn change(input: &mut Input<'_>, text: &mut Vec<u8>) {
    let at = input.below(65_536) % (text.len() + 1);
    match input.below(5) {
        0 => text.truncate(at),
        1 => text.splice(at..at, input.bytes(3).iter().copied()).for_each(drop),
        2 => drop(text.drain(at..text.len().min(at + 1 + input.below(80)))),
        3 => text.get_mut(at).into_iter().for_each(|byte| *byte = input.pick(b"-A=\n B\xff0")),
        _ => text.extend_from_slice(KEYS["p384"].as_bytes()),
    }
}

static KEYS: LazyLock<BTreeMap<String, String>> =
    LazyLock::new(|| serde_json::from_str(include_str!("../../vectors/keys.json")).expect("JSON"));

/// An algorithm, and the keys that it can be used with.
const ALGORITHMS: [(Algorithm, &[&str]); 5] = [
    (Algorithm::Es256, &["p256"]),
    (Algorithm::EdDsa, &["ed25519"]),
    (Algorithm::Es384, &["p384"]),
    (Algorithm::Rs256, &["rsa2048", "rsa2048_pkcs1", "rsa4096"]),
    (Algorithm::Ps256, &["rsa2048", "rsa2048_pkcs1", "rsa4096"]),
];
const LIMITS: Limits = Limits { polls: 1_000, bytes: 256 * 1024 };
