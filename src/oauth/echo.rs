//! Whether a text that a server wrote repeats a credential.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{Mutex, MutexGuard, PoisonError},
};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use memchr::memmem;
use zeroize::Zeroizing;

use super::encode::encoded;

/// What no text may hold that is shown or logged: the beginnings of the secret, in each form it may be sent in.
pub(super) struct EchoFilter<'a> {
    /// In lower case: a text in other letters is still an echo.
    needles: Vec<Needle>,
    past: &'a Past,
    secret: Zeroizing<String>,
}

type Needle = Zeroizing<Vec<u8>>;

impl<'a> EchoFilter<'a> {
    /// `others` are values that may be credentials too.
    pub(super) fn new<'b>(past: &'a Past, id: &str, secret: &str, others: impl Iterator<Item = &'b str>) -> Self {
        let secret = Zeroizing::new(secret.to_owned());
        let mut filter = Self { needles: needles(id, &secret), past, secret };
        others.for_each(|other| filter.add(other));
        filter
    }

    /// Looks for this text too, unless it is so short that any text may hold it.
    pub(super) fn add(&mut self, needle: &str) {
        if needle.len() >= MIN_LENGTH {
            self.needles.push(lower_case(needle.as_bytes()));
            self.needles.extend(coded(needle));
        }
    }

    pub(super) fn is_clean(&self, text: &str) -> bool {
        let holds = |text: &Needle| {
            self.needles.iter().any(|needle| memmem::find(text, needle).is_some()) || self.past.is_in(text)
        };
        // As it is, and as what a form or a URL says by it.
        ![lower_case(text.as_bytes()), decoded(text, b'+'), decoded(text, b' ')].iter().any(holds)
    }

    /// The same for a code, which is told by itself: it may not even be the beginning of the secret.
    pub(super) fn is_clean_code(&self, code: &str) -> bool {
        let start = self.secret.as_bytes().get(..code.len());
        !start.is_some_and(|start| start.eq_ignore_ascii_case(code.as_bytes())) && self.is_clean(code)
    }

    /// The same for a text that a program reads: only the whole secret or the whole token is held against it.
    pub(super) fn is_usable(&self, text: &str, token: &str) -> bool {
        let holds = |secret: &str| secret.len() >= MIN_LENGTH && text.contains(secret);
        !holds(&self.secret) && !holds(token)
    }
}

/// Earlier secrets and tokens of a grant, which its server may quote as well. Only a keyed hash of what is looked for is
/// kept, since the secrets themselves are to be wiped.
#[derive(Default)]
pub(super) struct Past {
    key: RandomState,
    prints: Mutex<Vec<Print>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Print {
    length: usize,
    hash: u64,
}

impl Past {
    pub(super) fn note_secret(&self, id: &str, secret: &str) {
        self.note(&needles(id, secret));
    }

    pub(super) fn note_token(&self, token: &str) {
        let start = start(token, TOKEN_LENGTH);
        if start.len() >= MIN_LENGTH {
            self.note(&[lower_case(start.as_bytes())]);
        }
    }

    fn note(&self, needles: &[Needle]) {
        let new: Vec<_> = needles.iter().map(|needle| self.print(needle)).collect();
        let mut prints = self.prints();
        prints.retain(|print| !new.contains(print));
        prints.extend(new);
        let too_many = prints.len().saturating_sub(MAX_PRINTS);
        prints.drain(..too_many);
    }

    fn is_in(&self, text: &[u8]) -> bool {
        let prints = self.prints().clone();
        let mut lengths: Vec<_> = prints.iter().map(|print| print.length).collect();
        lengths.sort_unstable();
        lengths.dedup();
        let mut windows = lengths.into_iter().flat_map(|length| text.windows(length));
        windows.any(|window| prints.contains(&self.print(window)))
    }

    fn print(&self, text: &[u8]) -> Print {
        Print { length: text.len(), hash: self.key.hash_one(text) }
    }

    fn prints(&self) -> MutexGuard<'_, Vec<Print>> {
        self.prints.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What to look for, so that no text tells the secret.
fn needles(id: &str, secret: &str) -> Vec<Needle> {
    let start = start(secret, MIN_LENGTH);
    if start.is_empty() {
        return Vec::new();
    }
    let mut needles = vec![lower_case(start.as_bytes()), base64_start(id, start)];
    needles.push(base64_start(&encoded(id), &encoded(start)));
    if start.len() >= MIN_LENGTH {
        needles.extend(coded(start));
        needles.extend(coded(&encoded(start)));
    }
    needles
}

/// A text in hex, and in Base64 wherever it stands in what is encoded, without the ends that its neighbors share.
fn coded(text: &str) -> Vec<Needle> {
    let mut all = vec![Zeroizing::new(hex::encode(text).into_bytes())];
    for offset in 0..3 {
        let mut padded = Zeroizing::new(Vec::with_capacity(offset + text.len()));
        padded.resize(offset, 0);
        padded.extend_from_slice(text.as_bytes());
        let (first, last) = ((offset * 8).div_ceil(6), padded.len() * 8 / 6);
        for alphabet in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
            let whole = Zeroizing::new(alphabet.encode(&*padded));
            let needle = lower_case(whole.as_bytes().get(first..last).unwrap_or_default());
            if !all.contains(&needle) {
                all.push(needle);
            }
        }
    }
    all
}

fn lower_case(text: &[u8]) -> Needle {
    Zeroizing::new(text.to_ascii_lowercase())
}

/// The same of what a percent-encoded text stands for; a plus sign may stand for a blank.
fn decoded(text: &str, plus: u8) -> Needle {
    let mut decoded = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let mut byte = [0];
        let escape = after.split_at_checked(2).filter(|_| *first == b'%');
        if let Some((_, after)) = escape.filter(|(digits, _)| hex::decode_to_slice(digits, &mut byte).is_ok()) {
            decoded.extend_from_slice(&byte);
            rest = after;
        } else {
            decoded.push(if *first == b'+' { plus } else { *first });
            rest = after;
        }
    }
    decoded.make_ascii_lowercase();
    decoded
}

/// As much of a secret as gives it away, in characters; a shorter one as a whole.
fn start(secret: &str, length: usize) -> &str {
    let end = secret.char_indices().nth(length).map_or(secret.len(), |(end, _)| end);
    secret.get(..end).unwrap_or_default()
}

/// What the Base64 of `id:secret` begins with, whatever follows.
fn base64_start(id: &str, secret_start: &str) -> Needle {
    let mut pair = Zeroizing::new(String::with_capacity(id.len() + 1 + secret_start.len()));
    pair.extend([id, ":", secret_start]);
    let text = Zeroizing::new(STANDARD.encode(pair.as_bytes()));
    lower_case(text.as_bytes().get(..pair.len() * 8 / 6).unwrap_or_default())
}

/// In characters.
const MIN_LENGTH: usize = 6;
/// Tokens of one server may begin alike.
const TOKEN_LENGTH: usize = 16;
/// Of some ten secrets.
const MAX_PRINTS: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    fn is_clean(secret: &str, text: &str) -> bool {
        EchoFilter::new(&Past::default(), "id/1", secret, ["p4ssword", "tiny"].into_iter()).is_clean(text)
    }

    #[test]
    fn o5_a_secret_is_found_in_every_form_that_it_is_sent_in() {
        let secret = "p@ss w\u{f6}rd 123";
        for echo in [
            secret,
            "P@SS W\u{f6}RD 123",
            "p@ss w",
            "p%40ss+w%C3%B6rd+123",
            "p%40ss+w%c3%b6",
            "p%40ss%20w",
            "p@ss%20w",
            "%70%40%73%73%20%77%C3%B6",
            &STANDARD.encode(format!("id/1:{secret}")),
            &STANDARD.encode("id%2F1:p%40ss+w%C3%B6rd+123"),
            &STANDARD.encode(secret),
            &STANDARD.encode(format!("x{secret}")),
            &URL_SAFE_NO_PAD.encode(format!("xy{secret}")),
            &hex::encode_upper(secret),
            "p4ssword",
            &STANDARD.encode("a p4ssword"),
        ] {
            assert!(!is_clean(secret, &format!("no client has {echo}!")), "{echo}");
        }
        for text in
            ["", "p@ss", "ss w\u{f6}rd 123", "the client id/1 is unknown", &STANDARD.encode("id/1:"), "tiny", "1 % 2"]
        {
            assert!(is_clean(secret, text), "{text}");
        }
    }

    #[test]
    fn o5_a_code_may_not_even_be_the_beginning_of_the_secret() {
        let (past, others) = (Past::default(), [].into_iter());
        let filter = EchoFilter::new(&past, "id", "hunter_two", others);
        for (code, is_clean) in
            [("hunt", false), ("hunter_two", false), ("no_hunter_two", false), ("hunters", false), ("two", true)]
        {
            assert_eq!(filter.is_clean_code(code), is_clean, "{code}");
        }
    }

    #[test]
    fn o5_what_was_sent_before_is_found_too_though_it_is_kept_nowhere() {
        let (past, others) = (Past::default(), || [].into_iter());
        past.note_secret("id/1", "first-secret");
        past.note_token("issued-token-0123456789");
        past.note_token("t");
        let filter = EchoFilter::new(&past, "id/1", "second-secret", others());
        let base64 = STANDARD.encode("id/1:first-secret");
        for echo in ["FIRST-secret", "first%2Dsecret", &base64, "issued-token-0123", "second-secret"] {
            assert!(!filter.is_clean(&format!("{echo}?")), "{echo}");
        }
        for text in ["firs", "the token", "issued-token", "third-secret"] {
            assert!(filter.is_clean(text), "{text}");
        }
        (0..1_000).for_each(|number| past.note_secret("id", &format!("{number}-secret")));
        assert!(past.prints().len() <= MAX_PRINTS && !filter.is_clean("999-secret"));
    }

    #[test]
    fn o5_a_text_for_programs_may_begin_like_the_secret() {
        let past = Past::default();
        let filter = EchoFilter::new(&past, "id/1", "reports-0123456789", [].into_iter());
        assert!(filter.is_usable("reports:read reports-0", "eyJhbGciOi"));
        assert!(
            !filter.is_usable("read reports-0123456789", "eyJhbGciOi") && !filter.is_usable("eyJhbGciOi", "eyJhbGciOi")
        );
        assert!(filter.is_usable("read", "ea"));
    }

    #[test]
    fn o5_a_short_secret_is_found_as_a_whole_and_an_empty_one_nowhere() {
        assert!(!is_clean("key", "the key is wrong") && is_clean("key", "the kex is wrong"));
        assert!(is_clean("", "anything: aWQvMTo="));
    }
}
