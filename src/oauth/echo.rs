//! Whether a text that a server wrote repeats a credential.

use base64::{Engine, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

use super::encode::encoded;

/// What no text may hold that is shown or logged: the beginnings of the secret, in each form it may be sent in.
pub(super) struct EchoFilter {
    /// In lower case: a text in other letters is still an echo.
    needles: Vec<Zeroizing<String>>,
    secret: Zeroizing<String>,
}

impl EchoFilter {
    /// `others` are values that may be credentials too.
    pub(super) fn new<'a>(id: &str, secret: &str, others: impl Iterator<Item = &'a str>) -> Self {
        let mut filter = Self { needles: Vec::new(), secret: Zeroizing::new(secret.to_owned()) };
        let start = start(secret);
        if !start.is_empty() {
            filter.push(start);
            filter.push(&base64_start(id, start));
            filter.push(&base64_start(&encoded(id), &encoded(start)));
        }
        others.for_each(|other| filter.add(other));
        filter
    }

    /// Looks for this text too, unless it is so short that any text may hold it.
    pub(super) fn add(&mut self, needle: &str) {
        if needle.len() >= MIN_LENGTH {
            self.push(needle);
        }
    }

    /// As it is, and form-encoded.
    fn push(&mut self, needle: &str) {
        let encoded = encoded(needle);
        self.needles.push(lower_case(needle));
        if encoded.as_str() != needle {
            let mut with_percents = Zeroizing::new(String::with_capacity(3 * encoded.len()));
            encoded.chars().for_each(|c| if c == '+' { with_percents.push_str("%20") } else { with_percents.push(c) });
            self.needles.extend([lower_case(&with_percents), lower_case(&encoded)]);
        }
    }

    pub(super) fn is_clean(&self, text: &str) -> bool {
        let text = lower_case(text);
        !self.needles.iter().any(|needle| text.contains(needle.as_str()))
    }

    /// The same for a text that a program reads: only the whole secret or the whole token is held against it.
    pub(super) fn is_usable(&self, text: &str, token: &str) -> bool {
        let holds = |secret: &str| secret.len() >= MIN_LENGTH && text.contains(secret);
        !holds(&self.secret) && !holds(token)
    }
}

fn lower_case(text: &str) -> Zeroizing<String> {
    Zeroizing::new(text.to_ascii_lowercase())
}

/// As much of a secret as gives it away; a shorter one as a whole.
fn start(secret: &str) -> &str {
    let end = secret.char_indices().nth(MIN_LENGTH).map_or(secret.len(), |(end, _)| end);
    secret.get(..end).unwrap_or_default()
}

/// What the Base64 of `id:secret` begins with, whatever follows.
fn base64_start(id: &str, secret_start: &str) -> Zeroizing<String> {
    let pair = Zeroizing::new(format!("{id}:{secret_start}"));
    let mut text = Zeroizing::new(STANDARD.encode(pair.as_bytes()));
    text.truncate(pair.len() * 8 / 6);
    text
}

/// In characters.
const MIN_LENGTH: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(secret: &str) -> EchoFilter {
        EchoFilter::new("id/1", secret, ["p4ssword", "tiny"].into_iter())
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
            &STANDARD.encode(format!("id/1:{secret}")),
            &STANDARD.encode("id%2F1:p%40ss+w%C3%B6rd+123"),
            "p4ssword",
        ] {
            assert!(!filter(secret).is_clean(&format!("no client has {echo}!")), "{echo}");
        }
        for text in ["", "p@ss", "ss w\u{f6}rd 123", "the client id/1 is unknown", &STANDARD.encode("id/1:"), "tiny"] {
            assert!(filter(secret).is_clean(text), "{text}");
        }
    }

    #[test]
    fn o5_a_text_for_programs_may_begin_like_the_secret() {
        let filter = filter("reports-0123456789");
        assert!(filter.is_usable("reports:read reports-0", "eyJhbGciOi"));
        assert!(
            !filter.is_usable("read reports-0123456789", "eyJhbGciOi") && !filter.is_usable("eyJhbGciOi", "eyJhbGciOi")
        );
        assert!(filter.is_usable("read", "ea"));
    }

    #[test]
    fn o5_a_short_secret_is_found_as_a_whole_and_an_empty_one_nowhere() {
        assert!(!filter("key").is_clean("the key is wrong") && filter("key").is_clean("the kex is wrong"));
        assert!(filter("").is_clean("anything: aWQvMTo="));
    }
}
