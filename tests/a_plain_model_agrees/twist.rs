//! A promise broken on purpose, to see that the comparison notices.

/// One promise that the model does not keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Twist {
    /// S7: the caller waits on.
    IgnoreMaxWait,
    /// S8: a caller that is dropped takes the flight along.
    FlightDiesWithCaller,
    /// T4: nobody sees to a successor before the token has ended.
    NoEarlyRefresh,
    /// T4: a token does not outlive a failed refresh.
    FailureDropsToken,
    /// T5: it is used to its very end.
    NoMargin,
    /// T8: the next caller asks again at once.
    IgnoreCoolDown,
    /// T8: the server's wish does not lengthen the cool-down.
    IgnoreRetryAfter,
    /// T8: `refresh` is refused in a cool-down.
    RefreshHeedsCoolDown,
    /// T9: a refusal is tried again.
    RefusalIsTransient,
    /// T10: nothing is kept warm.
    StaysCold,
    /// T14: a rotation changes nothing.
    IgnoreGeneration,
    /// R2: the current token is retired, whichever was rejected.
    RetireBlindly,
    /// R4: a second rejection is healed too.
    ReplayTwice,
    /// R5: renewals that do not heal follow at once.
    NoSpacing,
    /// R5: one caller's trouble spaces renewals by more than 10 s.
    LongSpacing,
    /// R5: a minute without a rejection does not end the spacing.
    NeverQuiet,
    /// R5: a renewal that heals does not.
    NothingHeals,
    /// R5: any accepted request does.
    AnyAcceptedHeals,
    /// R6: a rejection in a cool-down retires the token.
    RetireInCoolDown,
    /// R7: a renewal that is rejected before it has proved itself is renewed again.
    NoYouth,
    /// R11: the very same token is sent again.
    SameTokenHeals,
}

impl Twist {
    pub(crate) const ALL: [Self; 21] = [
        Self::IgnoreMaxWait,
        Self::FlightDiesWithCaller,
        Self::NoEarlyRefresh,
        Self::FailureDropsToken,
        Self::NoMargin,
        Self::IgnoreCoolDown,
        Self::IgnoreRetryAfter,
        Self::RefreshHeedsCoolDown,
        Self::RefusalIsTransient,
        Self::StaysCold,
        Self::IgnoreGeneration,
        Self::RetireBlindly,
        Self::ReplayTwice,
        Self::NoSpacing,
        Self::LongSpacing,
        Self::NeverQuiet,
        Self::NothingHeals,
        Self::AnyAcceptedHeals,
        Self::RetireInCoolDown,
        Self::NoYouth,
        Self::SameTokenHeals,
    ];
}
