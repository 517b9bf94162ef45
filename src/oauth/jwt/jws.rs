//! The compact form of a JWS (RFC 7515, section 7.1), and the claims of an assertion (RFC 7523, section 3).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::rand::{SecureRandom, SystemRandom};
use secrecy::SecretString;
use serde::Serialize;
use zeroize::Zeroizing;

use super::key::Key;
use crate::error::{AuthError, ErrorKind};

#[derive(Serialize)]
pub(super) struct Header<'a> {
    pub(super) alg: &'static str,
    pub(super) typ: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) kid: Option<&'a str>,
    #[serde(rename = "x5t#S256", skip_serializing_if = "Option::is_none")]
    pub(super) thumbprint: Option<&'a str>,
}

#[derive(Serialize)]
pub(super) struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    jti: String,
    iat: u64,
    exp: u64,
}

impl<'a> Claims<'a> {
    pub(super) fn new(id: &'a str, aud: &'a str, now: SystemTime, lifetime: Duration) -> Result<Self, AuthError> {
        let mut jti = [0; 16];
        SystemRandom::new().fill(&mut jti).map_err(|_| failed("the system has no random numbers"))?;
        let iat = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let exp = iat.saturating_add(lifetime.as_secs().clamp(1, MAX_LIFETIME));
        Ok(Self { iss: id, sub: id, aud, jti: URL_SAFE_NO_PAD.encode(jti), iat, exp })
    }
}

/// What is signed: header and claims (RFC 7515, section 5.1), in memory that is wiped.
pub(super) fn signing_input(header: &Header<'_>, claims: &Claims<'_>) -> Result<Zeroizing<String>, AuthError> {
    let json = |value: serde_json::Result<String>| value.map_err(|error| failed("no JSON").with_source(error));
    let (header, claims) = (json(serde_json::to_string(header))?, json(serde_json::to_string(claims))?);
    let room = [header.len(), claims.len()].map(|length| length.div_ceil(3) * 4 + 1);
    let mut input = Zeroizing::new(String::with_capacity(room.iter().sum()));
    URL_SAFE_NO_PAD.encode_string(header, &mut input);
    input.push('.');
    URL_SAFE_NO_PAD.encode_string(claims, &mut input);
    Ok(input)
}

/// The whole assertion.
pub(super) fn sign(key: &Key, input: &str) -> Result<SecretString, AuthError> {
    let signature = key.sign(input.as_bytes()).ok_or_else(|| failed("the key cannot sign"))?;
    let room = input.len() + 1 + signature.len().div_ceil(3) * 4;
    let mut assertion = Zeroizing::new(String::with_capacity(room));
    assertion.push_str(input);
    assertion.push('.');
    URL_SAFE_NO_PAD.encode_string(signature.as_slice(), &mut assertion);
    Ok(SecretString::from(assertion.as_str()))
}

fn failed(why: &str) -> AuthError {
    AuthError::new(ErrorKind::Signing, format!("PrivateKeyJwt: {why}"))
}

/// A day, in seconds.
const MAX_LIFETIME: u64 = 86_400;
