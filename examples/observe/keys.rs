//! The keys, for people and for the script alike.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Revoke,
    /// Stops the authorization server, and starts it again.
    StopServer,
    Rotate,
    Quit,
}

impl Key {
    pub(crate) const ALL: [(char, Self, &'static str); 4] = [
        ('r', Self::Revoke, "revoke the token"),
        ('s', Self::StopServer, "stop or start the authorization server"),
        ('t', Self::Rotate, "rotate the client secret"),
        ('q', Self::Quit, "quit"),
    ];

    pub(crate) fn of(pressed: char) -> Option<Self> {
        Self::ALL.iter().find(|(letter, _, _)| *letter == pressed).map(|(_, key, _)| *key)
    }
}
