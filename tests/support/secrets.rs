//! Listens to all that is told, and looks for planted secrets in it, whatever form they have.
#![allow(dead_code, reason = "not every set of features uses all of it")]
#![allow(clippy::unwrap_used, reason = "a counterpart in a test may panic")]

use std::{
    error::Error,
    fmt::Debug,
    io,
    sync::{Arc, LazyLock, Mutex, MutexGuard, Once, PoisonError},
};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use tracing_subscriber::{
    filter::LevelFilter,
    fmt::{MakeWriter, format::FmtSpan},
    util::SubscriberInitExt,
};

pub(crate) const SECRET: &str = "s3cr&t+pl4nted%key/0123456789abcdef=\u{e9}";
pub(crate) const TOKEN: &str = "t0ken-pl4nted.abc+DEF/_~ghi";
pub(crate) const HEADER: &str = "h3ader-pl4nted-0123456789";

/// All that is told, by hand or in a trace.
#[derive(Clone, Default)]
pub(crate) struct Ears(Arc<Mutex<Heard>>);

#[derive(Default)]
struct Heard {
    text: Vec<u8>,
    secrets: Vec<String>,
}

impl Ears {
    /// Hears what every thread traces that has no ears of its own.
    pub(crate) fn of_all_threads() -> Self {
        static EVERYTHING: LazyLock<Ears> = LazyLock::new(Ears::default);
        static LISTENING: Once = Once::new();
        // A thread with ears of its own may have set the logger, which is an error then; the subscriber is set all the same.
        LISTENING.call_once(|| drop(EVERYTHING.subscriber().try_init()));
        EVERYTHING.clone()
    }

    /// Hears what this thread traces while the guard lives.
    pub(crate) fn of_this_thread() -> (Self, impl Sized) {
        let ears = Self::default();
        let guard = ears.subscriber().set_default();
        (ears, guard)
    }

    fn subscriber(&self) -> impl SubscriberInitExt + use<> {
        let builder = tracing_subscriber::fmt().with_max_level(LevelFilter::TRACE).with_span_events(FmtSpan::FULL);
        builder.with_ansi(false).without_time().with_writer(self.clone()).finish()
    }

    pub(crate) fn tell(&self, what: &impl Debug) {
        self.hear(format!("{what:?}\n{what:#?}\n").as_bytes());
    }

    pub(crate) fn tell_error(&self, error: &(dyn Error + 'static)) {
        let mut next = Some(error);
        while let Some(error) = next {
            self.hear(format!("{error}\n{error:#}\n{error:?}\n{error:#?}\n").as_bytes());
            next = error.source();
        }
    }

    /// One more secret that must not be shown.
    pub(crate) fn learn(&self, secret: &str) {
        self.heard_so_far().secrets.push(secret.to_owned());
    }

    pub(crate) fn heard(&self) -> String {
        String::from_utf8_lossy(&self.heard_so_far().text).into_owned()
    }

    pub(crate) fn forget(&self) {
        self.heard_so_far().text.clear();
    }

    /// Fails if anything that was told has a secret in it.
    pub(crate) fn check(&self) {
        let (heard, learnt) = (self.heard(), self.heard_so_far().secrets.clone());
        assert!(!heard.is_empty());
        let planted = [SECRET, TOKEN, HEADER].into_iter().map(str::to_owned);
        for form in planted.chain(learnt).flat_map(|secret| forms(&secret)) {
            let told = heard.contains(&form).then(|| heard.lines().find(|line| line.contains(&form)));
            assert!(told.is_none(), "{form:?} is told in {told:?}");
        }
    }

    fn hear(&self, what: &[u8]) {
        self.heard_so_far().text.extend_from_slice(what);
    }

    fn heard_so_far(&self) -> MutexGuard<'_, Heard> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl io::Write for Ears {
    fn write(&mut self, what: &[u8]) -> io::Result<usize> {
        self.hear(what);
        Ok(what.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Ears {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// The secret, or a telling part of it, in the forms that it may be found in.
pub(crate) fn forms(secret: &str) -> Vec<String> {
    let encoded: String = form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    let hex = hex::encode(secret);
    let percent = secret.bytes().map(|byte| format!("%{byte:02X}")).collect::<Vec<_>>().concat();
    let numbers = format!("{:?}", secret.as_bytes()).trim_matches(['[', ']']).to_owned();
    let chars: Vec<char> = secret.chars().collect();
    let mut forms: Vec<String> = chars.windows(PART).map(|part| part.iter().collect()).collect();
    forms.extend([encoded.to_lowercase(), hex.to_uppercase(), hex, percent.to_lowercase(), percent, numbers]);
    for text in [secret, &encoded] {
        forms.extend((0..3).flat_map(|offset| base64_at(text, offset)));
    }
    forms.push(encoded);
    forms
}

/// Base64 of a text that begins this many bytes after a multiple of three, without the ends that its neighbors share.
fn base64_at(text: &str, offset: usize) -> [String; 2] {
    let padded = [vec![0; offset], text.as_bytes().to_vec()].concat();
    let (first, last) = ((offset * 8).div_ceil(6), padded.len() * 8 / 6);
    [STANDARD_NO_PAD.encode(&padded), URL_SAFE_NO_PAD.encode(&padded)]
        .map(|whole| whole.get(first..last).unwrap().to_owned())
}

/// So many characters in a row are too many to tell.
const PART: usize = 12;
