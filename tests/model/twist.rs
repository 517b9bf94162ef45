//! A guarantee broken on purpose, to see that the comparison notices.

/// One guarantee that the model does not keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Twist {
    /// S7: the caller waits on.
    IgnoreMaxWait,
    /// S8: a caller that is dropped takes the fetch along.
    FetchDiesWithCaller,
    /// T4: nobody refreshes before the token has expired.
    NoEarlyRefresh,
    /// T4: a token does not outlive a failed refresh.
    FailureDropsToken,
    /// T5: it is used to its very end.
    NoMargin,
    /// T6: a token may be unusable from the start.
    NoSecondOfUse,
    /// T6: it is refreshed as soon as it comes.
    StaleWithinASecond,
    /// T8: the next caller asks again at once.
    IgnoreBackoff,
    /// T8: the server's wish does not lengthen the backoff.
    IgnoreRetryAfter,
    /// T8: a refusal keeps back no longer than an outage.
    RefusalsBackOffLikeOthers,
    /// T8: `refresh` fails during a backoff.
    RefreshHeedsBackoff,
    /// T9: a refusal is tried again.
    RefusalIsTransient,
    /// T10: nothing is kept warm.
    StaysCold,
    /// T14: a rotation changes nothing.
    IgnoreGeneration,
    /// T14: the secret before a rotation is not tried.
    NoOverlap,
    /// R1: any answer accepts the token.
    UnknownAccepts,
    /// R2: the current token is renewed, whichever was rejected.
    RetireBlindly,
    /// R3: a rejected request is not replayed with a newer token.
    NewerTokenIsNotUsed,
    /// R4: a rejected replay is replayed.
    ReplayTwice,
    /// R5: one rejection retires a token.
    FirstRejectionRetires,
    /// R5: two do not.
    NothingRetires,
    /// R5: rejections count though somebody was accepted in between.
    AcceptanceResetsNothing,
    /// R5: a backoff does not keep a renewal back.
    RenewalIgnoresBackoff,
    /// R5: a retired token stays retired though no other came.
    RetiredForGood,
    /// R5: renewals cost nothing.
    NoBudget,
    /// R5: lost units are lost for good.
    NothingIsRegained,
    /// R5: units are regained beside those that are out.
    UnitsOutDoNotCount,
    /// R5: a fetch that fails costs a unit.
    FailureCostsAUnit,
    /// R5: no renewal gives its unit back.
    NothingHelps,
    /// R5: the unit comes back as soon as somebody is accepted.
    GivenBackAtOnce,
    /// R5: .. though the first replay was rejected.
    RejectedReplayHelps,
    /// R5: .. though the old token was accepted after its rejection.
    ContradictionHelps,
    /// R5: .. though the rejected request could not be replayed.
    UnreplayedHelps,
    /// R5: .. though nobody was accepted with the new token.
    UnacceptedHelps,
    /// R11: a request is replayed with the very same token.
    SameTokenIsReplayed,
    /// R12: an invalidated token is used again.
    InvalidatedIsUsed,
    /// A token source is not told which token was rejected.
    RejectedIsNotNamed,
}

impl Twist {
    pub(crate) const ALL: [Self; 37] = [
        Self::IgnoreMaxWait,
        Self::FetchDiesWithCaller,
        Self::NoEarlyRefresh,
        Self::FailureDropsToken,
        Self::NoMargin,
        Self::NoSecondOfUse,
        Self::StaleWithinASecond,
        Self::IgnoreBackoff,
        Self::IgnoreRetryAfter,
        Self::RefusalsBackOffLikeOthers,
        Self::RefreshHeedsBackoff,
        Self::RefusalIsTransient,
        Self::StaysCold,
        Self::IgnoreGeneration,
        Self::NoOverlap,
        Self::UnknownAccepts,
        Self::RetireBlindly,
        Self::NewerTokenIsNotUsed,
        Self::ReplayTwice,
        Self::FirstRejectionRetires,
        Self::NothingRetires,
        Self::AcceptanceResetsNothing,
        Self::RenewalIgnoresBackoff,
        Self::RetiredForGood,
        Self::NoBudget,
        Self::NothingIsRegained,
        Self::UnitsOutDoNotCount,
        Self::FailureCostsAUnit,
        Self::NothingHelps,
        Self::GivenBackAtOnce,
        Self::RejectedReplayHelps,
        Self::ContradictionHelps,
        Self::UnreplayedHelps,
        Self::UnacceptedHelps,
        Self::SameTokenIsReplayed,
        Self::InvalidatedIsUsed,
        Self::RejectedIsNotNamed,
    ];
}
