//! The parameters of a token request as a form, as JSON and as Basic credentials (RFC 6749, sections 2.3.1 and 4.4.2).

use bytes::Bytes;
use http::HeaderValue;
use serde::{Serialize, Serializer};
use zeroize::Zeroizing;

use crate::{basic, error::AuthError};

/// `application/x-www-form-urlencoded`, in memory that is wiped and was never moved.
pub(super) fn form<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)> + Clone) -> Bytes {
    let longest = pairs.clone().map(|(name, value)| 3 * (name.len() + value.len()) + 2).sum();
    let mut form = Zeroizing::new(String::with_capacity(longest));
    for (name, value) in pairs {
        if !form.is_empty() {
            form.push('&');
        }
        form.extend(form_urlencoded::byte_serialize(name.as_bytes()));
        form.push('=');
        form.extend(form_urlencoded::byte_serialize(value.as_bytes()));
    }
    Bytes::from_owner(form)
}

/// The same as a JSON object, in memory of the same kind. Values with one name become a list.
pub(super) fn json<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Result<Bytes, AuthError> {
    #[derive(Serialize)]
    #[serde(untagged)]
    enum Value<'a> {
        One(&'a str),
        Many(&'a [&'a str]),
    }
    let (mut members, mut longest) = (Vec::<(&str, Vec<&str>)>::new(), 2);
    for (name, value) in pairs {
        longest += 6 * (name.len() + value.len()) + 8;
        match members.iter_mut().find(|(other, _)| *other == name) {
            Some((_, values)) => values.push(value),
            None => members.push((name, vec![value])),
        }
    }
    let members = members.iter().map(|(name, values)| match values.as_slice() {
        [value] => (name, Value::One(value)),
        values => (name, Value::Many(values)),
    });
    let mut object = Zeroizing::new(Vec::with_capacity(longest));
    serde_json::Serializer::new(&mut *object)
        .collect_map(members)
        .map_err(|error| AuthError::config("the parameters make no JSON object").with_source(error))?;
    Ok(Bytes::from_owner(object))
}

/// The value of an `Authorization: Basic` header, id and secret form-encoded first (RFC 6749, section 2.3.1).
pub(super) fn basic(id: &str, secret: &str) -> Result<HeaderValue, AuthError> {
    basic::header(&encoded(id), &encoded(secret))
}

/// One text form-encoded, in memory of the same kind.
pub(super) fn encoded(text: &str) -> Zeroizing<String> {
    let mut encoded = Zeroizing::new(String::with_capacity(3 * text.len()));
    encoded.extend(form_urlencoded::byte_serialize(text.as_bytes()));
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often memory was asked for. Text that outgrows its memory is moved, and leaves a copy that is not wiped.
    fn allocations<T>(write: impl FnOnce() -> T) -> u64 {
        allocation_counter::measure(|| drop(write())).count_total
    }

    /// Names and values that are empty, plain, or longer once they are encoded.
    fn pairs() -> [(String, String); 6] {
        let long = |text: &str| text.repeat(100);
        [("", ""), ("", "%\u{1}"), ("%\u{1}", ""), ("a", "x"), ("\u{1}", "x"), ("x", "\u{1}")]
            .map(|(name, value)| (long(name), long(value)))
    }

    #[test]
    fn o6_a_form_never_outgrows_its_memory() {
        let of = |pairs: &[(&str, &str)]| allocations(|| form(pairs.iter().copied()));
        let usual = of(&[("a", "b")]);
        for (name, value) in pairs() {
            assert_eq!(of(&[(name.as_str(), value.as_str()); 10]), usual, "{name}={value}");
        }
    }

    #[test]
    fn o6_a_json_object_never_outgrows_its_memory() {
        // The list of members grows, which holds references only.
        let of = |name: &str, value: &str| allocations(|| json([(name, value), ("x", value)].into_iter()));
        let usual = of("a", "b");
        for (name, value) in pairs() {
            assert_eq!(of(&format!("{name}y"), &value), usual, "{name}={value}");
        }
    }

    #[test]
    fn o6_one_text_never_outgrows_its_memory() {
        let usual = allocations(|| encoded("a"));
        for (_, value) in pairs().iter().filter(|(_, value)| !value.is_empty()) {
            assert_eq!(allocations(|| encoded(value)), usual, "{value}");
        }
    }

    #[test]
    fn a_json_object_has_a_list_where_a_name_comes_twice() {
        let pairs = [("grant_type", "a\"b"), ("resource", "u:1"), ("x", ""), ("resource", "u:2")];
        let object = json(pairs.into_iter()).unwrap();
        assert_eq!(object, r#"{"grant_type":"a\"b","resource":["u:1","u:2"],"x":""}"#);
    }
}
