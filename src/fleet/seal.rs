//! What is stored of a token, and its encryption.

use std::{str, time::Duration};

use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use hkdf::Hkdf;
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

use super::store::SealedToken;
use crate::{time::Moment, token::AccessToken, wiped_stack::with_wiped_stack};

/// The entry of one fleet under one key: its name in the store, and what seals it.
pub(super) struct Entry {
    name: String,
    cipher: XChaCha20Poly1305,
}

/// What is sealed.
pub(super) struct Content {
    pub(super) token: AccessToken,
    /// The whole lifetime, from which it was published on.
    pub(super) lifetime: Duration,
    /// Tells the secret that obtained it from others.
    pub(super) epoch: Epoch,
}

pub(super) type Epoch = [u8; 16];

impl Entry {
    pub(super) fn new(key: &str, identity: &[u8; 32]) -> Option<Self> {
        let cipher = XChaCha20Poly1305::new_from_slice(&*derived::<32>(key, "sealing")?).ok()?;
        let key_id = derived::<32>(key, "entry name")?;
        let name =
            Sha256::new().chain_update(DOMAIN).chain_update("entry").chain_update(identity).chain_update(*key_id);
        Some(Self { name: hex::encode(name.finalize()), cipher })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// `None` if there is no randomness to be had, or the token is too long for a store.
    pub(super) fn seal(&self, content: &Content, expires_in: Duration, fresh_for: Duration) -> Option<SealedToken> {
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce).ok()?;
        let text = content.encode();
        let payload = Payload { msg: &text, aad: &self.associated_data() };
        let encrypted = self.cipher.encrypt(&XNonce::from(nonce), payload).ok()?;
        let sealed = [&[FORMAT][..], &nonce, &encrypted].concat();
        (sealed.len() <= MAX_SEALED).then(|| SealedToken::new(sealed, content.fingerprint(), expires_in, fresh_for))
    }

    /// `None` if it was not sealed for this entry, in this format, with the fingerprint that stands beside it.
    pub(super) fn open(&self, stored: &SealedToken) -> Option<Content> {
        let sealed = stored.sealed();
        let (format, sealed) = sealed.split_first().filter(|_| sealed.len() <= MAX_SEALED)?;
        let (nonce, encrypted) = sealed.split_first_chunk::<NONCE>()?;
        if *format != FORMAT {
            return None;
        }
        let payload = Payload { msg: encrypted, aad: &self.associated_data() };
        let text = Zeroizing::new(self.cipher.decrypt(&XNonce::from(*nonce), payload).ok()?);
        let content = Content::decode(&text, stored.expires_in())?;
        (content.fingerprint() == stored.fingerprint()).then_some(content)
    }

    fn associated_data(&self) -> Vec<u8> {
        [DOMAIN, &[FORMAT], self.name.as_bytes()].concat()
    }
}

impl Content {
    pub(super) fn new(token: AccessToken, epoch: Epoch) -> Self {
        let lifetime = token.lifetime().unwrap_or(DEFAULT_LIFETIME);
        Self { token, lifetime, epoch }
    }

    pub(super) fn fingerprint(&self) -> String {
        fingerprint(self.token.expose_secret())
    }

    /// The life that is left of the token.
    pub(super) fn expires_in(&self) -> Duration {
        let age = || Moment::now().since(self.token.created());
        self.token.expires_in().unwrap_or_else(|| self.lifetime.saturating_sub(age()))
    }

    /// Counted from the moment at which the store was asked.
    pub(super) fn read_at(self, asked: Moment) -> Self {
        Self { token: self.token.created_at(asked), ..self }
    }

    fn encode(&self) -> Zeroizing<Vec<u8>> {
        let (token, scope) = (self.token.expose_secret(), self.token.scope());
        let fields = || self.token.response_fields().flat_map(|(name, value)| [name, value]);
        let texts = || [token, scope.unwrap_or_default()].into_iter().chain(fields());
        let len: usize = texts().map(|text| LEN + text.len()).sum();
        // Large enough never to be moved, so that no copy stays behind.
        let mut out = Zeroizing::new(Vec::with_capacity(8 + self.epoch.len() + 1 + len));
        out.extend(u64::try_from(self.lifetime.as_millis()).unwrap_or(u64::MAX).to_be_bytes());
        out.extend(self.epoch);
        out.push(u8::from(scope.is_some()));
        for text in texts() {
            out.extend(u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
            out.extend(text.as_bytes());
        }
        out
    }

    /// The token lives for what the store says is left, but not for longer than its whole lifetime.
    fn decode(text: &[u8], expires_in: Duration) -> Option<Self> {
        let (lifetime, text) = text.split_first_chunk()?;
        let (epoch, text) = text.split_first_chunk()?;
        let (has_scope, mut text) = text.split_first()?;
        let lifetime = Duration::from_millis(u64::from_be_bytes(*lifetime));
        let (token, scope) = (next(&mut text)?, next(&mut text)?);
        let mut token = AccessToken::new(token, Some(expires_in.min(lifetime))).ok()?;
        if *has_scope == 1 {
            token = token.with_scope(scope);
        }
        while !text.is_empty() {
            token = token.with_response_field(next(&mut text)?, next(&mut text)?);
        }
        Some(Self { token, lifetime, epoch: *epoch })
    }
}

/// The next text, which has its length before it.
fn next<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    let (len, after) = rest.split_first_chunk::<LEN>()?;
    let (text, after) = after.split_at_checked(usize::try_from(u32::from_be_bytes(*len)).ok()?)?;
    *rest = after;
    str::from_utf8(text).ok()
}

/// By what a token is retired. It holds for every key, and tells nothing of a token that cannot be guessed.
pub(super) fn fingerprint(token: &str) -> String {
    with_wiped_stack(|| {
        hex::encode(Sha256::new().chain_update(DOMAIN).chain_update("fingerprint").chain_update(token).finalize())
    })
}

/// Key material for one purpose (RFC 5869).
pub(super) fn derived<const N: usize>(key: &str, purpose: &str) -> Option<Zeroizing<[u8; N]>> {
    let mut out = Zeroizing::new([0; N]);
    with_wiped_stack(|| {
        let (mut extracted, hkdf) = Hkdf::<Sha256>::extract(Some(DOMAIN), key.as_bytes());
        extracted.as_mut_slice().zeroize();
        hkdf.expand(purpose.as_bytes(), &mut *out).ok()
    })?;
    Some(out)
}

/// A random name for the holder of a lease.
pub(super) fn random_owner() -> Option<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).ok()?;
    Some(hex::encode(bytes))
}

/// Keeps these digests apart from those of other programs.
const DOMAIN: &[u8] = b"tower-outbound-auth fleet\0";
/// Changes with the layout of what is sealed.
const FORMAT: u8 = 1;
const NONCE: usize = 24;
const MAX_SEALED: usize = 128 * 1024;
/// The bytes of a length.
const LEN: usize = 4;
/// Of a token whose server stated none.
const DEFAULT_LIFETIME: Duration = Duration::from_secs(300);
