//! The words that metrics and traces have in common. They come from closed sets.
#![cfg_attr(
    not(any(feature = "metrics", feature = "tracing")),
    expect(dead_code, reason = "for metrics and traces alone")
)]

use crate::{
    error::ErrorKind,
    rejection::{NotReplayed, Rejection},
};

/// What became of a response that rejected the credentials of its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Replayed,
    /// Of a clock skew, where nothing was learnt.
    NotLearnt,
    NotReplayed(NotReplayed),
}

/// How a token fetch ended.
pub(crate) fn outcome(failure: Option<ErrorKind>) -> &'static str {
    failure.map_or("ok", ErrorKind::name)
}

pub(crate) fn rejection(rejection: Rejection) -> &'static str {
    match rejection {
        Rejection::Token => "token",
        Rejection::ClockSkew => "clock_skew",
    }
}

impl Action {
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Replayed => "replayed",
            Self::NotLearnt => "not_learnt",
            Self::NotReplayed(NotReplayed::BodyNotReplayable) => "body_not_replayable",
            Self::NotReplayed(NotReplayed::InsufficientScope) => "insufficient_scope",
            Self::NotReplayed(NotReplayed::FetchFailed) => "fetch_failed",
            Self::NotReplayed(NotReplayed::RejectedAgain) => "rejected_again",
            Self::NotReplayed(NotReplayed::SameToken) => "same_token",
            Self::NotReplayed(NotReplayed::Throttled) => "throttled",
        }
    }
}
