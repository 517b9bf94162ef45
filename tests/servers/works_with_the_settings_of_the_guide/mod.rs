//! Servers differ, and each works with the setting that the guide names for it, and not without.

mod habits;
mod page;
mod reads_bodies;
mod server;
mod user;

use std::{error::Error, time::Duration};

use habits::{AWKWARD, GRANTS, HEADERS, LOGINS, METHODS, REFUSALS, REJECTIONS, REQUESTS, WRONG};
use server::{GREETING, Habits, Login, Said, Server, USUAL, said};
use tokio::time;
use tower_outbound_auth::{AuthError, BoxError, ErrorKind, oauth::ClientAuth};
use user::{Setting, User};

use crate::support::secrets::{SECRET, forms};

#[tokio::test]
async fn o1_each_server_knows_the_client_by_the_method_that_the_guide_names() {
    let mut rows = Vec::new();
    for &(login, server, known) in LOGINS {
        let mut row = vec![server.to_owned(), known.to_owned()];
        for method in METHODS {
            let server = Server::start(Habits { login, client: AWKWARD, ..USUAL }).await;
            row.push(match User::new(&server, AWKWARD, Setting::ClientAuth(method)).call().await {
                Ok(answer) => greeted(&answer),
                Err(error) => match help(refused(&error)) {
                    Some(help) => format!("refused; {help}"),
                    None => "refused".to_owned(),
                },
            });
        }
        assert_eq!(row.iter().filter(|cell| *cell == WORKS).count(), 1, "one method for each server: {row:?}");
        rows.push(row);
    }
    page::assert_has(&page::table(&["the server", "such as", "`Body`", "`Basic`", "`BasicUnencoded`"], rows));
}

#[tokio::test]
async fn o1_an_id_and_a_secret_without_special_characters_are_the_same_by_either_basic() {
    let plain = ("client-1.a_b*c", "Secret-1.a_b*c");
    for login in [Login::DecodedBasic, Login::RawBasic] {
        for method in [ClientAuth::Basic, ClientAuth::BasicUnencoded] {
            let server = Server::start(Habits { login, client: plain, ..USUAL }).await;
            assert_eq!(User::new(&server, plain, Setting::ClientAuth(method)).call().await.unwrap().0, 200);
            let error = refusal((plain.0, "Wrong-1.a_b*c"), method, USUAL.refusal).await;
            assert_eq!(help(&error), None, "neither would help");
        }
    }
}

#[tokio::test]
async fn o5_a_refusal_names_the_other_basic_where_that_may_help() {
    for &(answer, may_help) in REFUSALS {
        let asks_for_basic = !answer.challenges.is_empty();
        for (method, other) in [
            (ClientAuth::Basic, Some("if id and secret are right, try ClientAuth::BasicUnencoded or Body")),
            (ClientAuth::BasicUnencoded, Some("if id and secret are right, try ClientAuth::Basic or Body")),
            (ClientAuth::Body, Some(TRY_BASIC).filter(|_| asks_for_basic)),
        ] {
            for client in [("client", SECRET), ("client+1", "plain"), ("client 1", "plain")] {
                let error = refusal(client, method, answer).await;
                assert_eq!(help(&error).as_deref(), other.filter(|_| may_help), "{method:?} {client:?} {answer:?}");
            }
        }
    }
}

#[tokio::test]
async fn o5_a_refusal_of_the_body_names_basic_where_the_server_asks_for_that() {
    let code = r#"{"error":"invalid_client"}"#;
    let (basic, others): (&[&[&str]], &[&[&str]]) = (
        &[
            &[r#"Basic realm="login""#],
            &["basic"],
            &["BASIC realm=x, charset=\"UTF-8\""],
            &[r#"Bearer realm="a", Basic realm="b""#],
            &["Negotiate", r#"Basic realm="b""#],
        ],
        &[&[], &["Bearer"], &[r#"Digest realm="Basic", nonce="x""#], &["Basics"], &["\"Basic"]],
    );
    for (all, expected) in [(basic, Some(TRY_BASIC)), (others, None)] {
        for challenges in all {
            for (status, body) in [(401, code), (401, ""), (401, "<html>"), (400, code), (403, "")] {
                let answer = said(status, challenges, body);
                for client in [("client", "plain"), AWKWARD] {
                    let error = refusal(client, ClientAuth::Body, answer).await;
                    assert_eq!(
                        help(&error).as_deref().filter(|help| help.contains("ClientAuth")),
                        expected,
                        "{answer:?}"
                    );
                }
            }
        }
    }
    let scope = said(400, &["Basic"], r#"{"error":"invalid_scope"}"#);
    assert_eq!(help(&refusal(("client", "plain"), ClientAuth::Body, scope).await), None, "it knows the client");
}

#[tokio::test]
async fn o1_each_token_request_is_understood_with_the_setting_that_the_guide_names() {
    let mut rows = Vec::new();
    for &(ref habits, wants, known, setting) in REQUESTS {
        let outcome = async |setting: Setting| {
            let server = Server::start(habits.clone()).await;
            let user = User::new(&server, USUAL.client, setting);
            match user.call().await {
                Ok(answer) => greeted(&answer),
                Err(error) => format!("refused: {}", refused(&error)),
            }
        };
        assert_eq!(outcome(setting).await, WORKS, "{wants}");
        assert_ne!(outcome(Setting::Nothing).await, WORKS, "{wants}: the setting changes nothing");
        if matches!(setting, Setting::ClientIdBesideBasic) {
            assert_ne!(outcome(Setting::ClientAuth(ClientAuth::Basic)).await, WORKS, "the parameter changes nothing");
        }
        rows.push([wants, known, setting.cell()].map(str::to_owned).to_vec());
    }
    page::assert_has(&page::table(&["the server wants", "such as", "setting"], rows));
}

#[tokio::test]
async fn s2_each_api_finds_the_token_with_the_setting_that_the_guide_names() {
    let mut rows = Vec::new();
    for &(name, scheme, expects, known, setting) in HEADERS {
        let outcome = async |setting: Setting| {
            let server = Server::start(Habits { token_header: (name, scheme), ..USUAL }).await;
            match User::new(&server, USUAL.client, setting).call().await.unwrap() {
                (401, _) => "the 401 is returned".to_owned(),
                answer => greeted(&answer),
            }
        };
        assert_eq!(outcome(setting).await, WORKS, "{expects}");
        assert_ne!(outcome(Setting::Nothing).await, WORKS, "{expects}: the setting changes nothing");
        rows.push([expects, known, setting.cell()].map(str::to_owned).to_vec());
    }
    page::assert_has(&page::table(&["the API expects", "such as", "setting"], rows));
}

#[tokio::test]
async fn o3_a_field_of_the_token_response_is_read_from_the_token() {
    let grant = r#"{"access_token":"TOKEN","token_type":"Bearer","instance_url":"https://eu7.example.com","id":17}"#;
    let server = Server::start(Habits { grant: said(200, &[], grant), ..USUAL }).await;
    let token = User::new(&server, USUAL.client, Setting::Nothing).handle.token().await.unwrap();
    assert_eq!(token.response_field("instance_url"), Some("https://eu7.example.com"));
    assert_eq!((token.response_field("id"), token.response_field("other")), (Some("17"), None));
}

#[tokio::test]
async fn o5_a_client_that_basic_unencoded_cannot_send_is_not_told_to_try_it() {
    assert_eq!(help(&refusal(("urn:client", SECRET), ClientAuth::Basic, USUAL.refusal).await), None);
}

#[tokio::test]
async fn o5_help_is_one_line_without_a_secret_and_leaves_the_code_alone() {
    for method in [ClientAuth::Basic, ClientAuth::BasicUnencoded] {
        let error = refusal(AWKWARD, method, USUAL.refusal).await;
        assert!(help(&error).is_some());
        assert_eq!((error.kind(), error.oauth_error()), (ErrorKind::Denied, Some("invalid_client")));
        assert!(error.source().is_none(), "nothing is told twice");
        let told = format!("{error}\n{error:?}");
        assert_eq!(told.lines().count(), 2);
        for form in forms(SECRET) {
            assert!(!told.contains(&form), "{form} is told with {method:?}");
        }
    }
}

#[tokio::test]
async fn o5_a_wrong_secret_is_a_refusal_however_it_is_told_and_is_not_sent_again() {
    let mut rows = Vec::new();
    for &(refusal, told, known) in WRONG {
        let server = Server::start(Habits { refusal, ..USUAL }).await;
        let user = User::new(&server, ("client", "wrong"), Setting::Nothing);
        let errors = [user.call().await.unwrap_err(), user.call().await.unwrap_err()];
        let [first, again] = errors.each_ref().map(refused);
        assert_eq!((first.kind(), again.kind(), server.token_requests()), (ErrorKind::Denied, ErrorKind::Denied, 1));
        rows.push([told, known, &first.to_string()].map(str::to_owned).to_vec());
    }
    page::assert_has(&page::table(&["response to a wrong secret", "such as", "the error"], rows));
}

#[tokio::test]
async fn o3_t7_every_grant_is_understood_with_the_setting_that_the_guide_names() {
    let mut rows = Vec::new();
    for &(grant, differs, known, setting) in GRANTS {
        assert_eq!(life(grant, setting).await, "used for an hour", "{grant}");
        let without = life(grant, Setting::Nothing).await;
        assert_eq!(
            without == "used for an hour",
            matches!(setting, Setting::Nothing),
            "{grant}: the setting changes nothing"
        );
        rows.push([differs, known, setting.cell(), without.as_str()].map(str::to_owned).to_vec());
    }
    page::assert_has(&page::table(
        &["the token response has", "such as", "setting", "the token, without a setting"],
        rows,
    ));
}

/// What becomes of a token of such a grant.
async fn life(grant: &'static str, setting: Setting) -> String {
    let server = Server::start(Habits { grant: said(200, &[], grant), ..USUAL }).await;
    let user = User::new(&server, USUAL.client, setting);
    if let Err(error) = user.call().await {
        return format!("refused: {}", refused(&error));
    }
    let mut requests = Vec::new();
    for minutes in [20, 41] {
        time::pause();
        time::advance(Duration::from_secs(minutes * 60)).await;
        time::resume();
        assert_eq!(greeted(&user.call().await.unwrap()), WORKS);
        requests.push(server.token_requests());
    }
    match requests[..] {
        [1, 2] => "used for an hour".to_owned(),
        [2, 3] => "used for less than 20 minutes".to_owned(),
        _ => format!("{requests:?}"),
    }
}

#[tokio::test]
async fn r1_every_revoked_token_is_replaced_with_the_setting_that_the_guide_names() {
    let mut rows = Vec::new();
    for &(rejection, told, known, setting) in REJECTIONS {
        assert_eq!(after_a_revocation(rejection, setting).await, "renewed", "{told}");
        let without = after_a_revocation(rejection, Setting::Nothing).await;
        assert_eq!(
            without == "renewed",
            matches!(setting, Setting::Nothing),
            "{told}: a setting that makes no difference"
        );
        rows.push([told, known, setting.cell(), without.as_str()].map(str::to_owned).to_vec());
    }
    page::assert_has(&page::table(&["response to a revoked token", "such as", "setting", "without a setting"], rows));
}

async fn after_a_revocation(rejection: Said, setting: Setting) -> String {
    let server = Server::start(Habits { rejection, ..USUAL }).await;
    let user = User::new(&server, USUAL.client, setting);
    for _ in 0..2 {
        assert_eq!(greeted(&user.call().await.unwrap()), WORKS);
    }
    assert_eq!(server.token_requests(), 1, "a good answer is taken for one");
    server.revoke();
    let answer = user.call().await.unwrap();
    match server.token_requests() {
        2 => {
            assert_eq!(greeted(&answer), WORKS);
            "renewed".to_owned()
        }
        requests => {
            assert_eq!((answer, requests), ((rejection.status, rejection.body.to_owned()), 1), "whole, and untouched");
            format!("the {} is returned", rejection.status)
        }
    }
}

const WORKS: &str = "works";
const TRY_BASIC: &str = "the server asks for Basic: if id and secret are right, try ClientAuth::Basic";

fn greeted((status, body): &(u16, String)) -> String {
    assert_eq!((*status, body.as_str()), (200, GREETING));
    WORKS.to_owned()
}

/// What a client that the server does not know is told.
async fn refusal(client: (&str, &str), method: ClientAuth, refusal: Said) -> AuthError {
    let server = Server::start(Habits { client: ("another", "nothing"), refusal, ..USUAL }).await;
    let error = User::new(&server, client, Setting::ClientAuth(method)).call().await.unwrap_err();
    refused(&error).clone()
}

fn refused(error: &BoxError) -> &AuthError {
    AuthError::find(error.as_ref()).unwrap()
}

/// The end of the line that says what to try.
fn help(error: &AuthError) -> Option<String> {
    error.to_string().split_once("; ").map(|(_, help)| help.to_owned())
}
