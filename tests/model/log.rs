//! What is compared: everything that can be seen of a layer from outside, and when.

use std::{collections::BTreeMap, fmt, time::Duration};

use tower_outbound_auth::{ErrorKind, rejection::NotReplayed, token::TokenState};

/// Something that was seen, and the millisecond of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry {
    pub(crate) at: u64,
    pub(crate) what: Seen,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Seen {
    /// The token endpoint was asked, because this token was rejected.
    TokenRequest { rejected: Option<u64> },
    /// The API got a request of the call that was made in this step, with this token.
    Sent { step: usize, token: u64 },
    /// The call of this step ended like this.
    Ended { step: usize, how: String },
    /// `status()` just before this step.
    Status { step: usize, says: String },
}

/// What the layer drew at random: the model is told, checks that it was allowed, and goes on with it.
#[derive(Debug, Default)]
pub(crate) struct Draws {
    /// The moments of the token requests: those after a pause within a fetch, and the first after a backoff.
    pub(crate) asked: Vec<u64>,
    /// `retry_after()` of the errors that callers got, by step.
    pub(crate) retry_after: BTreeMap<usize, Duration>,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>9} ms  ", self.at)?;
        match &self.what {
            Seen::TokenRequest { rejected } => write!(f, "a token request, rejected {rejected:?}"),
            Seen::Sent { step, token } => write!(f, "the call of step {step} sends token {token}"),
            Seen::Ended { step, how } => write!(f, "the call of step {step} ends: {how}"),
            Seen::Status { step, says } => write!(f, "before step {step}: {says}"),
        }
    }
}

/// How a request ended that was answered.
pub(crate) fn outcome(status: u16, mark: Option<NotReplayed>) -> String {
    mark.map_or(format!("{status}"), |mark| format!("{status} {mark:?}"))
}

pub(crate) fn status(
    state: TokenState,
    expires_in: Option<Duration>,
    issued: u64,
    failures: u64,
    last_error: Option<ErrorKind>,
) -> String {
    format!("{state:?}, ends in {expires_in:?}, {issued} issued, {failures} failures, the last {last_error:?}")
}

/// Both logs up to the first difference; `None` if there is none.
pub(crate) fn difference(layer: &[Entry], model: &[Entry]) -> Option<String> {
    let agreed = layer.iter().zip(model).take_while(|(layer, model)| layer == model).count();
    if agreed == layer.len().max(model.len()) {
        return None;
    }
    let tell = |log: &[Entry]| log.get(agreed).map_or("nothing more".to_owned(), Entry::to_string);
    let mut lines: Vec<String> = layer.iter().take(agreed).map(Entry::to_string).collect();
    lines.push(format!("the layer: {}", tell(layer)));
    lines.push(format!("the model: {}", tell(model)));
    Some(lines.join("\n"))
}
