//! The members of a JSON object, each judged by itself: one that cannot be read does not cost the others.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use zeroize::Zeroizing;

/// The members as they stand in the body, escapes included; of two with one name the last.
pub(super) struct Members<'a>(BTreeMap<String, &'a RawValue>);

impl<'a> Members<'a> {
    /// Reads an object, with or without a byte-order mark; `None` if the text is something else.
    pub(super) fn parse(text: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text)).ok().map(Self)
    }

    /// The JSON text of a member; `None` where it is missing or `null`.
    pub(super) fn json(&self, name: &str) -> Option<&'a str> {
        self.0.get(name).map(|value| value.get()).filter(|json| *json != "null")
    }

    /// The text of a member that is a string.
    pub(super) fn string(&self, name: &str) -> Option<Zeroizing<String>> {
        string(self.json(name)?)
    }

    /// The members that are a string or a number: the string's text, and the number as it was sent.
    pub(super) fn scalars(&self) -> impl Iterator<Item = (&str, Zeroizing<String>)> {
        self.0.iter().filter_map(|(name, value)| Some((name.as_str(), scalar(value.get())?)))
    }
}

/// The text of a JSON string or number.
pub(super) fn scalar(json: &str) -> Option<Zeroizing<String>> {
    let is_number = json.starts_with(|first: char| first == '-' || first.is_ascii_digit());
    if is_number { Some(Zeroizing::new(json.to_owned())) } else { string(json) }
}

/// The texts of a list of JSON strings, with a blank between them.
pub(super) fn strings(json: &str) -> Option<Zeroizing<String>> {
    let mut joined = Zeroizing::new(String::with_capacity(json.len()));
    for (number, value) in serde_json::from_str::<Vec<&RawValue>>(json).ok()?.into_iter().enumerate() {
        if number > 0 {
            joined.push(' ');
        }
        joined.push_str(&string(value.get())?);
    }
    Some(joined)
}

/// The text of a JSON string, in memory that is wiped. Serde would put a text with escapes together in a buffer that is
/// not.
fn string(json: &str) -> Option<Zeroizing<String>> {
    let mut rest = json.strip_prefix('"')?.strip_suffix('"')?;
    // Never longer than with its escapes.
    let mut text = Zeroizing::new(String::with_capacity(rest.len()));
    while let Some((plain, _)) = rest.split_once('\\') {
        text.push_str(plain);
        rest = rest.get(plain.len()..)?;
        // One of a letter, one of four digits, or two of four digits for a character beyond 16 bits.
        let (escape, character) = [2, 6, 12].into_iter().find_map(|length| {
            let escape = rest.get(..length)?;
            Some((escape, serde_json::from_str::<char>(&format!("\"{escape}\"")).ok()?))
        })?;
        text.push(character);
        rest = rest.get(escape.len()..)?;
    }
    text.push_str(rest);
    Some(text)
}

/// Makes a body that is no JSON text for want of care readable, such as one with a message in Latin-1 or of several
/// lines: each byte too many becomes a DEL, which no token and no message may have.
pub(super) fn repair(body: &mut [u8]) {
    let mut start = 0;
    while let Err(error) = str::from_utf8(body.get(start..).unwrap_or_default()) {
        start += error.valid_up_to();
        if let Some(byte) = body.get_mut(start) {
            *byte = DEL;
        }
    }
    let (mut in_string, mut is_escaped) = (false, false);
    for byte in body {
        match *byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = in_string,
            b'"' => in_string = !in_string,
            ..b' ' if in_string => *byte = DEL,
            _ => {}
        }
    }
}

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";
const DEL: u8 = 0x7f;

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Members<'_> {
        Members::parse(json.as_bytes()).unwrap()
    }

    #[test]
    fn o3_a_string_is_read_whatever_escapes_it_has() {
        for (json, expected) in [
            (r#""""#, Some("")),
            (r#""plain""#, Some("plain")),
            (r#""a\/b\"c\\d\b\f\n\r\t""#, Some("a/b\"c\\d\u{8}\u{c}\n\r\t")),
            (r#""\u0041\u00e9\u20AC\ud83d\ude00-""#, Some("A\u{e9}\u{20ac}\u{1f600}-")),
            (r#""\\u0041\\""#, Some(r"\u0041\")),
            ("\"\u{e9}\u{1f600}\\/\u{e9}\"", Some("\u{e9}\u{1f600}/\u{e9}")),
            (r#""\ud83d""#, None),
            (r#""\ude00\ud83d""#, None),
            ("5", None),
            ("[\"a\"]", None),
        ] {
            let object = format!("{{\"x\":{json}}}");
            assert_eq!(parse(&object).string("x").as_deref().map(String::as_str), expected, "{json}");
        }
    }

    #[test]
    fn o3_a_string_agrees_with_serde_at_every_character() {
        for character in (0..=0x0010_ffff).step_by(97).filter_map(char::from_u32) {
            let text = format!("a{character}\"\\{character}");
            let plain = serde_json::to_string(&text).unwrap();
            let units: Vec<_> = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
            for json in [plain, format!("\"{}\"", units.concat())] {
                assert_eq!(string(&json).as_deref(), Some(&text), "{json}");
            }
        }
    }

    #[test]
    fn o6_a_string_never_outgrows_its_memory() {
        let plain = allocation_counter::measure(|| drop(string("\"xx\""))).count_total;
        let long = format!("\"{}\"", "x".repeat(5_000));
        assert_eq!(allocation_counter::measure(|| drop(string(&long))).count_total, plain);
    }

    #[test]
    fn o3_of_two_members_with_one_name_the_last_counts() {
        let members = parse(r#"{"a":1,"\u0061":"2","b":{"a":3},"a":"4"}"#);
        assert_eq!(members.string("a").as_deref().map(String::as_str), Some("4"));
    }

    #[test]
    fn o3_scalars_are_strings_and_numbers_as_they_were_sent() {
        let members = parse(r#"{"s":"x\ty","n":1.50e3,"m":-0,"t":true,"z":null,"l":[1],"o":{}}"#);
        let found: Vec<_> = members.scalars().map(|(name, value)| format!("{name}={}", *value)).collect();
        assert_eq!(found, ["m=-0", "n=1.50e3", "s=x\ty"]);
    }

    #[test]
    fn o3_only_an_object_has_members() {
        for text in ["", "[]", "\"a\"", "null", "{", "{}x", "{\"a\"}", "a=1"] {
            assert!(Members::parse(text.as_bytes()).is_none(), "{text}");
        }
        assert!(Members::parse(b"\xEF\xBB\xBF {}").is_some());
        assert_eq!(parse(r#"{"a":null}"#).json("a"), None);
    }

    #[test]
    fn o3_a_body_that_is_no_json_text_is_repaired_where_it_is_not() {
        for (body, expected) in [
            (&b"{\"a\":\"caf\xe9\"}"[..], "{\"a\":\"caf\u{7f}\"}"),
            (b"\xff\xfe\xe2\x82", "\u{7f}\u{7f}\u{7f}\u{7f}"),
            ("\u{e9}\u{20ac}".as_bytes(), "\u{e9}\u{20ac}"),
            (b"{\n\t\"a\\\"\n\\\\\": \"\r\t\"\n}", "{\n\t\"a\\\"\u{7f}\\\\\": \"\u{7f}\u{7f}\"\n}"),
            (b"", ""),
        ] {
            let mut body = body.to_vec();
            repair(&mut body);
            assert_eq!(str::from_utf8(&body), Ok(expected));
        }
    }
}
