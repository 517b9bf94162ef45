//! The sections of PEM text (RFC 7468), decoded into memory that is wiped.

use std::str;

use base64::{Engine, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

use super::fault;
use crate::error::AuthError;

pub(super) type Der = Zeroizing<Vec<u8>>;

pub(super) enum PrivateKey {
    Pkcs8(Der),
    Pkcs1(Der),
}

/// The first private key in the text.
pub(super) fn private_key(text: &[u8]) -> Result<PrivateKey, AuthError> {
    let mut found = Vec::new();
    for section in Sections(text) {
        let section = section?;
        match section.label {
            "PRIVATE KEY" => return section.der().map(PrivateKey::Pkcs8),
            // OpenSSL writes the second for a key that is marked for RSASSA-PSS.
            "RSA PRIVATE KEY" | "RSA-PSS PRIVATE KEY" => return section.der().map(PrivateKey::Pkcs1),
            "EC PRIVATE KEY" if !section.is_encrypted() => return Err(fault::sec1()),
            "ENCRYPTED PRIVATE KEY" | "EC PRIVATE KEY" => return Err(fault::encrypted()),
            "OPENSSH PRIVATE KEY" => return Err(fault::openssh()),
            other => found.push(other),
        }
    }
    Err(fault::no_key(found.first().copied()))
}

/// The first certificate in the text.
pub(super) fn certificate(text: &[u8]) -> Result<Der, AuthError> {
    for section in Sections(text) {
        let section = section?;
        if section.label == "CERTIFICATE" {
            return section.der();
        }
    }
    Err(fault::no_certificate())
}

/// The first public key in the text.
#[cfg(feature = "sandbox")]
pub(super) fn public_key(text: &[u8]) -> Result<Der, AuthError> {
    let section = Sections(text).find(|section| section.as_ref().is_ok_and(|section| section.label == "PUBLIC KEY"));
    section.unwrap_or_else(|| Err(fault::no_key(Some("no public key"))))?.der()
}

/// The text between one BEGIN and its END.
struct Section<'a> {
    label: &'a str,
    body: &'a str,
}

impl Section<'_> {
    /// OpenSSL's older form says so in a header (RFC 1421).
    fn is_encrypted(&self) -> bool {
        self.body.contains("ENCRYPTED")
    }

    fn der(&self) -> Result<Der, AuthError> {
        if self.is_encrypted() {
            return Err(fault::encrypted());
        }
        let mut base64 = Zeroizing::new(String::with_capacity(self.body.len()));
        base64.extend(self.body.chars().filter(|c| !c.is_ascii_whitespace()));
        let mut der = Zeroizing::new(Vec::with_capacity(base64.len()));
        match STANDARD.decode_vec(base64.as_bytes(), &mut der) {
            Ok(()) if !der.is_empty() => Ok(der),
            _ => Err(fault::broken("a section is not base64, or empty")),
        }
    }
}

/// The sections of a text. What stands between them is skipped.
struct Sections<'a>(&'a [u8]);

impl<'a> Iterator for Sections<'a> {
    type Item = Result<Section<'a>, AuthError>;

    fn next(&mut self) -> Option<Self::Item> {
        let section = match self.cut() {
            Ok(section) => section.map(Ok),
            Err(why) => Some(Err(fault::broken(why))),
        };
        if !matches!(section, Some(Ok(_))) {
            self.0 = &[];
        }
        section
    }
}

impl<'a> Sections<'a> {
    fn cut(&mut self) -> Result<Option<Section<'a>>, &'static str> {
        let Some(start) = find(self.0, BEGIN) else {
            return Ok(None);
        };
        let rest = self.0.get(start + BEGIN.len()..).unwrap_or_default();
        let is_label = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || b" -".contains(byte);
        let end = find(rest, DASHES).filter(|end| rest.get(..*end).is_some_and(|label| label.iter().all(is_label)));
        let end = end.ok_or("a BEGIN line does not end with its dashes; are the line ends lost?")?;
        let (label, rest) = rest.split_at_checked(end).unwrap_or_default();
        let body = rest.get(DASHES.len()..).unwrap_or_default();
        let end = find(body, END).ok_or("a section has no end; is it cut off?")?;
        let (body, rest) = body.split_at_checked(end).unwrap_or_default();
        self.0 = rest;
        let text = |bytes| str::from_utf8(bytes).map_err(|_| "a section is not text");
        Ok(Some(Section { label: text(label)?, body: text(body)? }))
    }
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    memchr::memmem::find(text, wanted)
}

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";
const DASHES: &[u8] = b"-----";
