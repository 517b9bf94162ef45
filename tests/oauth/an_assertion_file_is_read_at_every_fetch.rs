//! `AssertionFile`: read again each time, and every state that a file can be in.

use std::{fs, path::Path, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use tower_outbound_auth::{
    AuthError, Credentials, ErrorKind,
    oauth::{AssertionFile, ClientCredentialsGrant},
    token::{FetchRequest, TokenSource},
};

use crate::support::{
    keys::Folder,
    token_server::{Asked, GOOD, TOKEN_URL, endpoint, fetch, reply},
};

fn grant(source: AssertionFile) -> (Asked, ClientCredentialsGrant) {
    let (asked, transport) = endpoint(|_| Ok(reply(200, &[], GOOD)));
    let builder = ClientCredentialsGrant::builder(TOKEN_URL, Credentials::without_secret("id"));
    (asked, builder.client_assertion(source).transport(transport).build().unwrap())
}

fn sent(asked: &Asked) -> Vec<String> {
    let fields = |body| url::form_urlencoded::parse(body).into_owned();
    let assertion = |body| fields(body).find(|(name, _)| name == "client_assertion").map(|(_, value)| value);
    asked.lock().unwrap().iter().map(|request| assertion(request.body()).unwrap()).collect()
}

fn jwt(claims: &str) -> String {
    format!("{}.{}.c2ln", URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256"}"#), URL_SAFE_NO_PAD.encode(claims))
}

async fn error_of(path: impl AsRef<Path>) -> AuthError {
    let (asked, grant) = grant(AssertionFile::new(&path));
    let error = fetch(&grant).await.unwrap_err();
    assert!(asked.lock().unwrap().is_empty(), "nothing is sent");
    assert!(error.to_string().contains(&*path.as_ref().to_string_lossy()), "{error} names the file");
    error
}

#[tokio::test]
async fn the_file_is_read_at_every_fetch_and_trimmed() {
    let folder = Folder::new();
    let path = folder.write("token", "\n first.a.b\r\n\n");
    let (asked, grant) = grant(AssertionFile::new(&path).with_type("urn:x:jwt-spiffe"));
    fetch(&grant).await.unwrap();
    folder.write("token", "second.a.b");
    fetch(&grant).await.unwrap();
    assert_eq!(sent(&asked), ["first.a.b", "second.a.b"]);
    let body = asked.lock().unwrap()[0].body().clone();
    assert!(String::from_utf8_lossy(&body).contains("client_assertion_type=urn%3Ax%3Ajwt-spiffe"));
}

#[cfg(unix)]
#[tokio::test]
async fn the_links_that_kubernetes_swaps_are_followed() {
    use std::os::unix::fs::symlink;

    let folder = Folder::new();
    let point_to = |version: &str| {
        fs::create_dir_all(folder.path(version)).unwrap();
        fs::write(folder.path(version).join("token"), version).unwrap();
        symlink(version, folder.path("..data.new")).unwrap();
        fs::rename(folder.path("..data.new"), folder.path("..data")).unwrap();
    };
    point_to("..v1");
    symlink("..data/token", folder.path("token")).unwrap();
    let (asked, grant) = grant(AssertionFile::new(folder.path("token")));
    fetch(&grant).await.unwrap();
    point_to("..v2");
    fs::remove_dir_all(folder.path("..v1")).unwrap();
    fetch(&grant).await.unwrap();
    assert_eq!(sent(&asked), ["..v1", "..v2"]);
}

#[tokio::test]
async fn a_file_that_is_late_is_a_transient_error_that_names_file_and_age() {
    let folder = Folder::new();
    let error = error_of(folder.path("token")).await;
    assert!(error.kind() == ErrorKind::Unavailable && error.is_transient(), "{error:?}");
    assert!(error.to_string().contains("does not exist"), "{error}");

    for (text, why) in [("", "is empty"), (" \n", "is empty"), (&jwt(r#"{"exp":1700000000}"#), "has expired")] {
        let path = folder.write("token", text);
        let long_ago = std::time::SystemTime::now() - Duration::from_secs(65 * 60);
        fs::File::options().write(true).open(&path).unwrap().set_modified(long_ago).unwrap();
        let error = error_of(&path).await;
        assert!(error.kind() == ErrorKind::Unavailable && error.is_transient(), "{error:?}");
        assert!(error.to_string().contains(why) && error.to_string().contains("written 65 min ago"), "{error}");
    }
}

#[tokio::test]
async fn a_file_that_only_a_person_can_mend_is_a_config_error() {
    let folder = Folder::new();
    for (text, why) in [
        (vec![b'x'; 64 * 1024 + 1], "longer than 64 KiB"),
        (vec![0xff, 0xfe], "not text"),
        (b"two lines\nof text".to_vec(), "more than one word or line"),
        (b"a\0b".to_vec(), "more than one word or line"),
    ] {
        let error = error_of(folder.write("token", text)).await;
        assert!(error.kind() == ErrorKind::Config && error.to_string().contains(why), "{error:?}");
    }
    let error = error_of(folder.root()).await;
    assert!(error.kind() == ErrorKind::Config && error.to_string().contains("is a directory"), "{error:?}");
    let (asked, grant) = grant(AssertionFile::new(folder.write("token", vec![b'x'; 64 * 1024])));
    fetch(&grant).await.unwrap();
    assert_eq!(sent(&asked)[0].len(), 64 * 1024, "64 KiB are not too many");
}

#[tokio::test]
async fn a_jwt_expires_by_its_own_exp_and_anything_else_does_not() {
    let (folder, request) = (Folder::new(), FetchRequest::new());
    let now = request.now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    for (text, is_good) in [
        (jwt(&format!(r#"{{"exp":{now}}}"#)), false),
        (jwt(&format!(r#"{{"exp":{}}}"#, now + 1)), true),
        (jwt(&format!(r#"{{"exp":{}.5}}"#, now - 1)), false),
        (jwt(&format!(r#"{{"exp":"{}"}}"#, now - 1)), false),
        (jwt(r#"{"exp":-1}"#), false),
        (jwt(r#"{"exp":1e300}"#), true),
        (jwt(r#"{"exp":"soon"}"#), true),
        (jwt("{}"), true),
        (jwt("no JSON"), true),
        ("opaque".to_owned(), true),
        ("a.!.c".to_owned(), true),
    ] {
        let (_, grant) = grant(AssertionFile::new(folder.write("token", &text)));
        assert_eq!(grant.fetch(request.clone()).await.is_ok(), is_good, "{text}");
    }
}

#[test]
fn the_path_is_shown() {
    let shown = format!("{:?}", AssertionFile::new("/var/run/token").with_type("urn:x"));
    assert!(shown.contains("/var/run/token") && shown.contains("urn:x"), "{shown}");
}
