//! Programs of others verify the assertions, and convert the keys.
//!
//! These tests take Python with PyJWT and cryptography (`PYTHON` names it), OpenSSL and ssh-keygen; `tests/all.sh` installs
//! them. `cargo test --features jwt --test oauth -- --ignored verify`.

use std::{
    env, fs,
    io::Write,
    process::{Command, Stdio},
};

use serde_json::json;
use tower_outbound_auth::oauth::{Algorithm, AssertionSource, Audience, PrivateKeyJwt};

use super::{ALGORITHMS, request};
use crate::support::{
    keys::{Folder, key},
    token_server::TOKEN_URL,
};

#[tokio::test]
#[ignore = "takes Python with PyJWT: tests/all.sh runs it"]
async fn pyjwt_verifies_assertions_of_every_algorithm() {
    let mut lines = String::new();
    let others = [(Algorithm::Rs256, "RS256", "rsa2048"), (Algorithm::Ps256, "PS256", "rsa4096")];
    for (algorithm, name, pem) in ALGORITHMS.into_iter().chain(others) {
        let source = PrivateKeyJwt::from_pem(algorithm, Audience::TokenEndpoint, key(pem)).unwrap().key_id(pem);
        let source = source.certificate_thumbprint(key("rsa2048_certificate")).unwrap();
        for _ in 0..10 {
            let assertion = source.assertion(request()).await.unwrap();
            let line = json!({ "assertion": assertion.expose_secret(), "algorithm": name, "key": key(pem), "kid": pem,
                "audience": TOKEN_URL, "client": "id", "certificate": key("rsa2048_certificate") });
            lines.extend([line.to_string(), "\n".to_owned()]);
        }
    }
    let python = env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/jwt/verify.py");
    let mut child = Command::new(python).arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.success(), String::from_utf8_lossy(&output.stdout).trim()), (true, "70 verified"));
}

/// Runs what each error says, and uses the key that comes of it.
#[test]
#[ignore = "takes OpenSSL and ssh-keygen: tests/all.sh runs it"]
fn the_command_in_an_error_makes_a_key_that_openssl_verifies_and_this_crate_uses() {
    for (name, algorithm) in [
        ("p256_sec1", Algorithm::Es256),
        ("p256_without_public_key", Algorithm::Es256),
        ("p256_explicit_curve", Algorithm::Es256),
        ("p521", Algorithm::Es256),
        ("openssh", Algorithm::Es256),
        ("rsa_pss", Algorithm::Ps256),
        ("rsa1024", Algorithm::Rs256),
        ("rsa2048_encrypted", Algorithm::Rs256),
        ("rsa2048_encrypted_pkcs1", Algorithm::Rs256),
        ("p256_sec1_encrypted", Algorithm::Es256),
    ] {
        let error = PrivateKeyJwt::from_pem(algorithm, Audience::Issuer, key(name)).unwrap_err().to_string();
        let folder = Folder::new();
        let made = ["key.pem", "key"].map(|file| folder.write(file, key(name)));
        #[cfg(unix)]
        for file in &made {
            use std::os::unix::fs::PermissionsExt;
            fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
        }
        let (_, command) = error.rsplit_once(": ").unwrap();
        // The only thing that a person has to type.
        let command = command.replace("pkcs8 -topk8", "pkcs8 -topk8 -passin pass:secret");
        let run = Command::new("bash").args(["-c", &command]).current_dir(folder.root()).output().unwrap();
        assert!(run.status.success(), "{name}: {command}: {}", String::from_utf8_lossy(&run.stderr));
        let out = command.rsplit_once(' ').unwrap().1;
        let pem = fs::read(folder.path(out)).unwrap();
        PrivateKeyJwt::from_pem(algorithm, Audience::Issuer, pem).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}
