//! Detects credentials where they must not be.

use axum::body::Body;
use http::{
    Request,
    header::{AUTHORIZATION, HeaderMap},
};
use secrecy::ExposeSecret;

use super::{
    state::{Listener, ServerState},
    token,
};
use crate::paynet::{X_FIID, X_SIGNATURE, X_TIMESTAMP};

/// Whether a request has a credential where it must not be.
pub(super) fn found(listener: Listener, shared: &ServerState, request: &Request<Body>) -> bool {
    let (uri, headers) = (request.uri(), request.headers());
    let in_query = uri.query().is_some_and(|query| has_credential(shared, query));
    let misplaced = match listener {
        Listener::Downloads => {
            [AUTHORIZATION, X_TIMESTAMP, X_SIGNATURE, X_FIID].iter().any(|name| headers.contains_key(name))
                || has_credential(shared, uri.path())
        }
        Listener::Api if uri.path() == token::PATH => headers.contains_key(X_SIGNATURE) || has_bearer(headers),
        Listener::Api => false,
    };
    in_query || misplaced
}

fn has_bearer(headers: &HeaderMap) -> bool {
    headers.get_all(AUTHORIZATION).iter().any(|value| {
        value.as_bytes().split(|byte| *byte == b' ').next().is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"bearer"))
    })
}

/// Whether a part of a URI contains a token or a client secret, as it is or percent-encoded.
fn has_credential(shared: &ServerState, text: &str) -> bool {
    let decoded: Vec<_> = form_urlencoded::parse(text.as_bytes()).collect();
    let has = |credential: &str| {
        !credential.is_empty()
            && (text.contains(credential)
                || decoded.iter().any(|(name, value)| name.contains(credential) || value.contains(credential)))
    };
    let mut secrets = shared.clients.iter().map(|client| client.credentials.secret());
    secrets.any(|secret| has(secret.expose_secret())) || shared.tokens.any(|token| has(token))
}
