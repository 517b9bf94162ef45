//! Does this response reject the request's credentials, which of them, and may that be healed?

use std::{fmt, sync::Arc};

use http::{HeaderMap, Response, StatusCode, header::WWW_AUTHENTICATE, response::Parts};

/// What a response rejects.
///
/// A service below the layer may leave one in the extensions of a response, as
/// [`paynet::RejectionLayer`](crate::paynet::RejectionLayer) does for an API that says no in its own way.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// The token: a new one may help.
    Token,
    /// The timestamp: a signature by the server's clock may help.
    ClockSkew,
}

/// Response extension: why a rejected request was not sent again.
///
/// # Example
///
/// ```
/// use tower_outbound_auth::NotReplayed;
///
/// fn explain<B>(response: &http::Response<B>) {
///     if let Some(reason) = response.extensions().get::<NotReplayed>() {
///         eprintln!("{} was not healed: {reason:?}", response.status());
///     }
/// }
/// # explain(&http::Response::new(()));
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotReplayed {
    /// The body cannot be sent twice, or what was kept of it is not all. The token is renewed all the same.
    BodyNotReplayable,
    /// The token is good but not for this (RFC 6750, section 3.1, `insufficient_scope`): a new one would not help.
    InsufficientScope,
    /// No new token could be had; [`TokenStatus::last_error`](crate::TokenStatus::last_error) says why.
    RefreshFailed,
    /// It was sent again, and rejected again.
    RejectedAgain,
    /// The authorization server gave out the very token that was rejected.
    SameToken,
    /// Renewing the token did not help the last time, and that was moments ago.
    TooSoon,
}

/// What a response says of the credentials that its request carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    Accepted,
    /// Nothing: the server failed before or after it looked at them.
    Unknown,
    InsufficientScope,
    Rejected(Rejection),
}

type RejectWhen = dyn Fn(&Parts) -> Option<Rejection> + Send + Sync;

/// The rules of one layer.
#[derive(Clone, Default)]
pub(crate) struct Judge {
    reject_when: Option<Arc<RejectWhen>>,
}

impl Judge {
    pub(crate) fn with(reject_when: impl Fn(&Parts) -> Option<Rejection> + Send + Sync + 'static) -> Self {
        Self { reject_when: Some(Arc::new(reject_when)) }
    }

    /// Whether the response says nothing but that the token is good; most do, and need no further look.
    #[inline]
    pub(crate) fn accepts<B>(&self, response: &Response<B>) -> bool {
        self.reject_when.is_none()
            && response.extensions().get::<Rejection>().is_none()
            && by_status(response.status(), response.headers()) == Judgement::Accepted
    }

    pub(crate) fn judge<B>(&self, response: Response<B>) -> (Response<B>, Judgement) {
        if let Some(rejection) = response.extensions().get::<Rejection>().copied() {
            return (response, Judgement::Rejected(rejection));
        }
        let Some(reject_when) = &self.reject_when else {
            let judgement = by_status(response.status(), response.headers());
            return (response, judgement);
        };
        let (parts, body) = response.into_parts();
        let judgement = match reject_when(&parts) {
            Some(rejection) => Judgement::Rejected(rejection),
            None => by_status(parts.status, &parts.headers),
        };
        (Response::from_parts(parts, body), judgement)
    }
}

impl fmt::Debug for Judge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Judge").field("reject_when", &self.reject_when.is_some()).finish()
    }
}

#[inline]
fn by_status(status: StatusCode, headers: &HeaderMap) -> Judgement {
    match status {
        StatusCode::UNAUTHORIZED => by_challenges(headers, Judgement::Rejected(Rejection::Token)),
        StatusCode::FORBIDDEN => by_challenges(headers, Judgement::Unknown),
        StatusCode::TOO_MANY_REQUESTS => Judgement::Unknown,
        _ if status.is_server_error() => Judgement::Unknown,
        _ => Judgement::Accepted,
    }
}

/// What the `Bearer` challenges say (RFC 6750, section 3), or else what the status alone does.
#[cold]
fn by_challenges(headers: &HeaderMap, otherwise: Judgement) -> Judgement {
    let errors: Vec<String> = headers.get_all(WWW_AUTHENTICATE).iter().flat_map(bearer_errors).collect();
    let names = |error: &str| errors.iter().any(|named| named == error);
    if errors.is_empty() || names("invalid_token") {
        otherwise
    } else if names("insufficient_scope") {
        Judgement::InsufficientScope
    } else {
        Judgement::Unknown
    }
}

/// The `error` of each `Bearer` challenge in one header; none if it cannot be read.
fn bearer_errors(header: &http::HeaderValue) -> Vec<String> {
    // Quotes may hold bytes beyond ASCII (RFC 9110, section 5.6.4), which are none of a code's.
    let ascii = |byte: &u8| if byte.is_ascii() { char::from(*byte) } else { '?' };
    let text: String = header.as_bytes().iter().map(ascii).collect();
    let Ok(challenges) = http_auth::parse_challenges(&text) else {
        return Vec::new();
    };
    let bearer = challenges.iter().filter(|challenge| challenge.scheme.eq_ignore_ascii_case("Bearer"));
    let params = bearer.flat_map(|challenge| &challenge.params);
    params.filter(|(name, _)| name.eq_ignore_ascii_case("error")).map(|(_, value)| value.to_unescaped()).collect()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn judged(status: u16, challenges: &[&'static str]) -> Judgement {
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        for challenge in challenges {
            response.headers_mut().append(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        Judge::default().judge(response).1
    }

    const TOKEN: Judgement = Judgement::Rejected(Rejection::Token);

    #[test]
    fn r1_a_401_rejects_the_token_whatever_else_it_offers() {
        assert_eq!(judged(401, &[]), TOKEN);
        assert_eq!(judged(401, &["Bearer"]), TOKEN);
        assert_eq!(judged(401, &[r#"Bearer realm="api""#]), TOKEN);
        assert_eq!(judged(401, &[r#"bearer error="invalid_token", error_description="it, \"ended\"""#]), TOKEN);
        assert_eq!(judged(401, &[r#"Basic realm="api", error="invalid_request""#]), TOKEN);
        assert_eq!(judged(401, &[r#"Bearer realm="a", Basic realm="b""#, "Negotiate"]), TOKEN);
    }

    #[test]
    fn r1_a_bearer_challenge_that_names_another_error_does_not_reject_the_token() {
        assert_eq!(judged(401, &[r#"Bearer error="insufficient_scope""#]), Judgement::InsufficientScope);
        assert_eq!(judged(401, &["BEARER error=insufficient_scope"]), Judgement::InsufficientScope);
        assert_eq!(judged(401, &[r#"Bearer error="invalid_request""#]), Judgement::Unknown);
        assert_eq!(judged(401, &[r#"Basic realm="x", Bearer scope="a", error="invalid_request""#]), Judgement::Unknown);
        assert_eq!(judged(403, &[r#"Bearer error="insufficient_scope""#]), Judgement::InsufficientScope);
    }

    #[test]
    fn r1_one_challenge_that_asks_for_a_new_token_is_enough() {
        let both = [r#"Bearer error="insufficient_scope""#, r#"Bearer error="invalid_token""#];
        assert_eq!(judged(401, &both), TOKEN);
    }

    #[test]
    fn r1_a_challenge_that_nobody_can_read_changes_nothing() {
        assert_eq!(judged(401, &["Bearer error=\"unterminated", "=,=,="]), TOKEN);
        assert_eq!(
            judged(401, &["\u{7f}\"", r#"Bearer error="insufficient_scope""#][1..]),
            Judgement::InsufficientScope
        );
    }

    #[test]
    fn other_answers_accept_the_token_or_say_nothing() {
        assert_eq!(judged(200, &[]), Judgement::Accepted);
        assert_eq!(judged(404, &[]), Judgement::Accepted);
        assert_eq!(judged(403, &[]), Judgement::Unknown);
        assert_eq!(judged(429, &[]), Judgement::Unknown);
        assert_eq!(judged(503, &[]), Judgement::Unknown);
    }

    #[test]
    fn r1_an_inner_layer_and_reject_when_may_say_so_too() {
        let judge = Judge::with(|parts| (parts.status == StatusCode::FORBIDDEN).then_some(Rejection::Token));
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::FORBIDDEN;
        assert_eq!(judge.judge(response).1, TOKEN);

        let mut response = Response::new(());
        response.extensions_mut().insert(Rejection::ClockSkew);
        assert_eq!(judge.judge(response).1, Judgement::Rejected(Rejection::ClockSkew));
    }
}
