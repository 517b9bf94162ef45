//! Id and secret, with what a copy brings along: invisible characters are refused, quotation marks are suspected.

use serde_json::json;
use tower_outbound_auth::{
    AuthError, Credentials, ErrorKind,
    oauth::{ClientAuth, ClientCredentialsGrant, ClientCredentialsGrantBuilder},
};

use crate::support::token_server::{GOOD, TOKEN_URL, endpoint, fetch, reply};

fn grant(id: &str, secret: &str) -> ClientCredentialsGrantBuilder {
    let credentials = Credentials::new(id, secret.to_owned());
    ClientCredentialsGrant::builder(TOKEN_URL, credentials).transport(endpoint(|_| Ok(reply(200, &[], GOOD))).1)
}

/// What `build` says of it as an id, and as a secret.
fn refusals(text: &str) -> [Option<String>; 2] {
    [grant(text, "key"), grant("id", text)].map(|grant| {
        let error = grant.build().err()?;
        assert_eq!(error.kind(), ErrorKind::Config);
        Some(error.to_string())
    })
}

#[test]
fn an_invisible_character_is_refused_wherever_it_stands() {
    let blanks = "\u{a0}\u{1680}\u{2000}\u{2003}\u{200a}\u{2028}\u{202f}\u{205f}\u{3000}";
    let formats =
        "\u{ad}\u{34f}\u{61c}\u{180e}\u{200b}\u{200c}\u{200d}\u{200e}\u{202a}\u{202e}\u{2060}\u{2063}\u{206f}\u{feff}";
    let fillers = "\u{115f}\u{2800}\u{3164}\u{fe0f}\u{ffa0}\u{fffa}\u{e0001}\u{e0020}\u{e0100}";
    for character in [blanks, formats, fillers].concat().chars() {
        for text in [format!("{character}key-5"), format!("key-5{character}"), format!("key{character}-5")] {
            for refusal in refusals(&text) {
                let refusal = refusal.unwrap_or_else(|| panic!("U+{:04X} is accepted", u32::from(character)));
                assert!(refusal.contains("holds an invisible character"), "{refusal}");
                assert!(!refusal.contains("key-5") && !refusal.contains(character), "{refusal}");
            }
        }
    }
}

#[test]
fn a_blank_at_an_end_is_refused_and_one_within_is_not() {
    for text in [" key", "key ", "  key  ", " "] {
        for refusal in refusals(text) {
            assert!(refusal.unwrap().ends_with("begins or ends with a blank; remove it"), "{text:?}");
        }
    }
    for text in ["\tkey", "key\n", "key\r\n", "\u{85}"] {
        assert!(refusals(text).iter().all(Option::is_some), "{text:?}");
    }
    for text in [
        "a key",
        "caf\u{e9}",
        "\u{5bc6}\u{94a5}",
        "p\u{30fc}\u{d55c}",
        "\"key\"",
        "k'ey",
        "~!@#$%^&*()_+`-={}|[]\\:\";'<>?,./",
    ] {
        assert_eq!(refusals(text), [None, None], "{text:?}");
    }
}

#[tokio::test]
async fn a_secret_that_was_rotated_to_is_held_to_the_same() {
    let (asked, transport) = endpoint(|_| Ok(reply(200, &[], GOOD)));
    let credentials = Credentials::new("id", "key");
    let source = ClientCredentialsGrant::builder(TOKEN_URL, credentials.clone()).transport(transport).build().unwrap();
    credentials.rotate("\u{feff}key");
    assert_eq!(fetch(&source).await.unwrap_err().kind(), ErrorKind::Config);
    assert_eq!(asked.lock().unwrap().len(), 0, "it is not sent");
}

/// What becomes of these credentials at a server that knows others.
async fn refused(id: &str, secret: &str, method: ClientAuth, status: u16, code: &str) -> AuthError {
    let body = json!({ "error": code }).to_string();
    let (_, transport) = endpoint(move |_| Ok(reply(status, &[], body.clone())));
    let builder = ClientCredentialsGrant::builder(TOKEN_URL, Credentials::new(id, secret.to_owned()));
    fetch(&builder.client_auth(method).transport(transport).build().unwrap()).await.unwrap_err()
}

#[tokio::test]
async fn o5_a_refusal_names_quotation_marks_that_were_perhaps_copied() {
    for (id, secret, told) in [
        ("id", "\"pl4nted\"", Some("the client secret begins or ends with a quotation mark")),
        ("id", "'pl4nted'", Some("the client secret begins or ends with a quotation mark")),
        ("id", "pl4nted\"", Some("the client secret begins or ends with a quotation mark")),
        ("id", "`pl4nted", Some("the client secret begins or ends with a quotation mark")),
        ("id", "\u{201c}pl4nted\u{201d}", Some("the client secret begins or ends with a quotation mark")),
        ("\"id\"", "pl4nted", Some("the client id begins or ends with a quotation mark")),
        ("id", "pl\"4nted", None),
        ("id", "pl4nted", None),
    ] {
        for (method, status, code) in [
            (ClientAuth::Body, 401, "invalid_client"),
            (ClientAuth::Body, 400, "invalid_client"),
            (ClientAuth::BasicUnencoded, 400, "unauthorized_client"),
        ] {
            let error = refused(id, secret, method, status, code).await;
            let (text, hint) = (error.to_string(), told.unwrap_or("quotation"));
            assert_eq!(text.contains(hint), told.is_some(), "{id} {secret}: {text}");
            assert!(!format!("{error:?}{text}").contains("pl4nted"), "{text}");
            assert_eq!((error.kind(), error.oauth_error()), (ErrorKind::Denied, Some(code)));
        }
        let other = refused(id, secret, ClientAuth::Body, 400, "invalid_scope").await.to_string();
        assert!(!other.contains("quotation"), "{other}");
    }
}
