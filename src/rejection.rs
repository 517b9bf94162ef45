//! Whether a response rejects the credentials of its request, and which of them.

use std::{fmt, sync::Arc};

use http::{HeaderMap, Response, StatusCode, header::WWW_AUTHENTICATE, response::Parts};

pub use crate::origin::near::OtherOrigin;

/// What a response rejects.
///
/// [`AuthLayerBuilder::reject_when`](crate::AuthLayerBuilder::reject_when) returns one, and so may a service inside the
/// layer, by leaving one in the extensions of its response, as
/// [`paynet::RejectionLayer`](crate::paynet::RejectionLayer) does.
///
/// # Example
///
/// An API that answers an expired token with `419`:
///
/// ```
/// use tower_outbound_auth::{AuthLayerBuilder, rejection::Rejection};
///
/// fn rejections(builder: AuthLayerBuilder) -> AuthLayerBuilder {
///     builder.reject_when(|response| (response.status == 419).then_some(Rejection::Token))
/// }
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rejection {
    /// The token. It is renewed, and the request is replayed.
    Token,
    /// The timestamp of the signature. The server's clock is read from the response's `Date` header, and the request is
    /// signed again and replayed, without a token request.
    ClockSkew,
}

/// Response extension: why a rejected request has no accepted replay.
///
/// The response that carries it is the API's own, body and all. The [guide](crate::guide::rejections) tells what to do
/// about each reason.
///
/// # Example
///
/// ```
/// use tower_outbound_auth::rejection::NotReplayed;
///
/// fn explain<B>(response: &http::Response<B>) {
///     if let Some(reason) = response.extensions().get::<NotReplayed>() {
///         eprintln!("{}: {reason}", response.status());
///     }
/// }
/// # explain(&http::Response::new(()));
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NotReplayed {
    /// The body cannot be sent again, or was not kept completely. The token is renewed for the requests that follow.
    BodyNotReplayable,
    /// The token is valid but lacks a scope (`insufficient_scope`, RFC 6750, section 3.1). A new token would lack it too.
    InsufficientScope,
    /// No new token could be obtained. [`TokenStatus::last_error`](crate::token::TokenStatus::last_error) tells why.
    FetchFailed,
    /// The request was replayed, and rejected again.
    RejectedAgain,
    /// The authorization server issued the rejected token once more.
    SameToken,
    /// Tokens are rejected as fast as they are renewed, and the renewal budget is used up. See
    /// [`RefreshPolicy::renewal_budget`](crate::token::RefreshPolicy::renewal_budget).
    Throttled,
}

impl fmt::Display for NotReplayed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BodyNotReplayable => "the request's body cannot be sent again",
            Self::InsufficientScope => "the token lacks a scope that the request needs",
            Self::FetchFailed => "no new token could be obtained",
            Self::RejectedAgain => "the request was replayed and rejected again",
            Self::SameToken => "the authorization server issued the rejected token once more",
            Self::Throttled => "tokens are rejected as fast as they are renewed",
        })
    }
}

/// What a response says about the credentials of its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Accepted,
    /// Nothing: the server failed before or after it looked at them.
    Unknown,
    InsufficientScope,
    Rejected(Rejection),
}

type RejectWhen = dyn Fn(&Parts) -> Option<Rejection> + Send + Sync;
type AcceptWhen = dyn Fn(&Parts) -> bool + Send + Sync;

/// The rules of one layer (guarantee R1).
#[derive(Clone, Default)]
pub(crate) struct Classifier {
    pub(crate) reject_when: Option<Arc<RejectWhen>>,
    pub(crate) accept_when: Option<Arc<AcceptWhen>>,
}

impl Classifier {
    /// Whether the response accepts the credentials at first sight, as most do.
    #[inline]
    pub(crate) fn is_accepted<B>(&self, response: &Response<B>) -> bool {
        self.reject_when.is_none()
            && response.extensions().get::<Rejection>().is_none()
            && by_status(response.status(), response.headers()) == Verdict::Accepted
    }

    pub(crate) fn classify<B>(&self, response: Response<B>) -> (Response<B>, Verdict) {
        if let Some(rejection) = response.extensions().get::<Rejection>().copied() {
            return (response, Verdict::Rejected(rejection));
        }
        let (parts, body) = response.into_parts();
        let verdict = self.verdict(&parts);
        (Response::from_parts(parts, body), verdict)
    }

    fn verdict(&self, response: &Parts) -> Verdict {
        if let Some(rejection) = self.reject_when.as_ref().and_then(|reject_when| reject_when(response)) {
            return Verdict::Rejected(rejection);
        }
        match by_status(response.status, &response.headers) {
            Verdict::Accepted => Verdict::Accepted,
            _ if self.accept_when.as_ref().is_some_and(|accept_when| accept_when(response)) => Verdict::Accepted,
            verdict => verdict,
        }
    }
}

impl fmt::Debug for Classifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Classifier")
            .field("reject_when", &self.reject_when.is_some())
            .field("accept_when", &self.accept_when.is_some())
            .finish()
    }
}

#[inline]
fn by_status(status: StatusCode, headers: &HeaderMap) -> Verdict {
    if !status.is_client_error() {
        return if status.is_server_error() { Verdict::Unknown } else { Verdict::Accepted };
    }
    let by_status_alone = match status {
        StatusCode::UNAUTHORIZED => Verdict::Rejected(Rejection::Token),
        StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS => Verdict::Unknown,
        _ => Verdict::Accepted,
    };
    if headers.contains_key(WWW_AUTHENTICATE) { by_challenges(headers, by_status_alone) } else { by_status_alone }
}

/// What the `Bearer` challenges say (RFC 6750, section 3), or else the status alone.
#[cold]
fn by_challenges(headers: &HeaderMap, by_status_alone: Verdict) -> Verdict {
    let errors: Vec<String> = headers.get_all(WWW_AUTHENTICATE).iter().flat_map(bearer_errors).collect();
    let any = |code: &str| errors.iter().any(|error| error.eq_ignore_ascii_case(code));
    let is_about_the_request = |error: &String| REQUEST_ERRORS.iter().any(|code| error.eq_ignore_ascii_case(code));
    if any("invalid_token") {
        Verdict::Rejected(Rejection::Token)
    } else if errors.is_empty() || !errors.iter().all(is_about_the_request) {
        by_status_alone
    } else if any("insufficient_scope") {
        Verdict::InsufficientScope
    } else {
        Verdict::Unknown
    }
}

/// Codes by which a 401 does not reject the token (RFC 6750, section 3.1).
const REQUEST_ERRORS: [&str; 2] = ["insufficient_scope", "invalid_request"];

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

    fn judged(status: u16, challenges: &[&'static str]) -> Verdict {
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        for challenge in challenges {
            response.headers_mut().append(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        Classifier::default().classify(response).1
    }

    const TOKEN: Verdict = Verdict::Rejected(Rejection::Token);

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
        assert_eq!(judged(401, &[r#"Bearer error="insufficient_scope""#]), Verdict::InsufficientScope);
        assert_eq!(judged(401, &["BEARER error=insufficient_scope"]), Verdict::InsufficientScope);
        assert_eq!(judged(401, &[r#"Bearer error="invalid_request""#]), Verdict::Unknown);
        assert_eq!(judged(401, &[r#"Basic realm="x", Bearer scope="a", error="invalid_request""#]), Verdict::Unknown);
        assert_eq!(judged(401, &[r#"Bearer error="Insufficient_Scope""#]), Verdict::InsufficientScope);
        assert_eq!(judged(403, &[r#"Bearer error="insufficient_scope""#]), Verdict::InsufficientScope);
    }

    #[test]
    fn r1_one_challenge_that_asks_for_a_new_token_is_enough() {
        let both = [r#"Bearer error="insufficient_scope""#, r#"Bearer error="invalid_token""#];
        assert_eq!(judged(401, &both), TOKEN);
    }

    #[test]
    fn r1_a_challenge_that_nobody_can_read_changes_nothing() {
        assert_eq!(judged(401, &["Bearer error=\"unterminated", "=,=,="]), TOKEN);
        assert_eq!(judged(401, &["\u{7f}\"", r#"Bearer error="insufficient_scope""#][1..]), Verdict::InsufficientScope);
    }

    #[test]
    fn other_answers_accept_the_token_or_say_nothing() {
        assert_eq!(judged(200, &[]), Verdict::Accepted);
        assert_eq!(judged(404, &[]), Verdict::Accepted);
        assert_eq!(judged(403, &[]), Verdict::Unknown);
        assert_eq!(judged(429, &[]), Verdict::Unknown);
        assert_eq!(judged(503, &[]), Verdict::Unknown);
    }

    #[test]
    fn r1_invalid_token_rejects_at_any_client_error_and_without_regard_to_case() {
        for status in [400, 403, 404, 429] {
            assert_eq!(judged(status, &[r#"Bearer error="INVALID_TOKEN""#]), TOKEN, "{status}");
        }
        assert_eq!(judged(503, &[r#"Bearer error="invalid_token""#]), Verdict::Unknown);
        assert_eq!(judged(403, &[r#"Bearer error="expired_token""#]), Verdict::Unknown);
    }

    #[test]
    fn r1_a_401_with_a_code_that_no_rfc_has_rejects_the_token() {
        for challenge in [r#"Bearer error="expired_token""#, r#"Bearer error="invalid_grant""#] {
            assert_eq!(judged(401, &[challenge]), TOKEN, "{challenge}");
            assert_eq!(judged(401, &[challenge, r#"Bearer error="invalid_request""#]), TOKEN, "{challenge}");
        }
    }

    fn response(status: StatusCode) -> Response<()> {
        let mut response = Response::new(());
        *response.status_mut() = status;
        response
    }

    #[test]
    fn r1_an_inner_layer_and_reject_when_may_reject_too() {
        let classifier = Classifier {
            reject_when: Some(Arc::new(|parts| (parts.status == 403).then_some(Rejection::Token))),
            accept_when: None,
        };
        assert_eq!(classifier.classify(response(StatusCode::FORBIDDEN)).1, TOKEN);

        let mut response = response(StatusCode::OK);
        response.extensions_mut().insert(Rejection::ClockSkew);
        assert!(!Classifier::default().is_accepted(&response));
        assert_eq!(Classifier::default().classify(response).1, Verdict::Rejected(Rejection::ClockSkew));
    }

    #[test]
    fn r1_accept_when_overrules_status_and_challenges_and_nothing_else() {
        let accept_when: Option<Arc<AcceptWhen>> = Some(Arc::new(|_| true));
        let accepts = Classifier { reject_when: None, accept_when: accept_when.clone() };
        assert_eq!(accepts.classify(response(StatusCode::UNAUTHORIZED)).1, Verdict::Accepted);
        assert_eq!(accepts.classify(response(StatusCode::SERVICE_UNAVAILABLE)).1, Verdict::Accepted);

        let rejects = Classifier { reject_when: Some(Arc::new(|_| Some(Rejection::Token))), accept_when };
        assert_eq!(rejects.classify(response(StatusCode::OK)).1, TOKEN);
        let mut marked = response(StatusCode::UNAUTHORIZED);
        marked.extensions_mut().insert(Rejection::Token);
        assert_eq!(accepts.classify(marked).1, TOKEN);
    }
}
