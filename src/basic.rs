//! Credentials of HTTP Basic authentication (RFC 7617), in memory that is wiped.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::HeaderValue;
use zeroize::Zeroizing;

use crate::error::AuthError;

/// Returns the value of an `Authorization` or `Proxy-Authorization` header, marked sensitive.
pub(crate) fn header(user: &str, password: &str) -> Result<HeaderValue, AuthError> {
    let mut pair = Zeroizing::new(String::with_capacity(user.len() + 1 + password.len()));
    pair.extend([user, ":", password]);
    // With the final length from the start: text that outgrows its memory is moved, and leaves a copy.
    let mut header = Zeroizing::new(String::with_capacity(SCHEME.len() + pair.len().div_ceil(3) * 4));
    header.push_str(SCHEME);
    STANDARD.encode_string(pair.as_bytes(), &mut header);
    let mut header = HeaderValue::from_maybe_shared(Bytes::from_owner(header))
        .map_err(|error| AuthError::config("user name and password make no header value").with_source(error))?;
    header.set_sensitive(true);
    Ok(header)
}

const SCHEME: &str = "Basic ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn o6_basic_credentials_never_outgrow_their_memory() {
        let allocations =
            |user: &str, password: &str| allocation_counter::measure(|| drop(header(user, password))).count_total;
        let (usual, long) = (allocations("a", "b"), "x".repeat(100));
        for (user, password) in [("", ""), ("a", long.as_str()), (&long, ""), (&long, &long)] {
            assert_eq!(allocations(user, password), usual, "{user}:{password}");
        }
    }

    #[test]
    fn the_header_is_that_of_the_rfc_and_sensitive() {
        let header = header("Aladdin", "open sesame").unwrap();
        assert_eq!(header, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert!(header.is_sensitive());
    }
}
