//! `Credentials::from_env` reads two variables, and names the one that is wrong.

use std::{env, ffi::OsStr, process::Command};

use tower_outbound_auth::Credentials;

use crate::bad_settings_are_refused_at_build::{SECRET, TOKEN_URL, refused, source_of};

const ROLE: &str = "AUTH_TEST_CHILD";

const ID: &str = "AUTH_TEST_CLIENT_ID";

const KEY: &str = "AUTH_TEST_CLIENT_SECRET";

const CHILD: &str = "credentials_come_from_the_environment::child_reads_credentials_from_its_environment";

#[test]
fn a_variable_that_is_not_set_is_named() {
    let absent = ["AUTH_TEST_NO_SUCH_ID", "AUTH_TEST_NO_SUCH_SECRET"];
    refused(Credentials::from_env(absent[0], absent[1]), "AUTH_TEST_NO_SUCH_ID is not set");
    refused(Credentials::from_env("PATH", absent[1]), "AUTH_TEST_NO_SUCH_SECRET is not set");
    for name in ["", "A=B", "A\0B"] {
        refused(Credentials::from_env(name, KEY), "is not set");
    }
}

#[test]
fn credentials_come_from_the_environment_or_the_trouble_with_it_is_named() {
    assert!(child("id", SECRET).contains("read: id"));
    assert!(child("", SECRET).contains(&format!("{ID} is empty")));
    assert!(child("id", "").contains(&format!("{KEY} is empty")));
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt;
        assert!(child("id", OsStr::from_bytes(b"pl4nted-s3cret\xff")).contains(&format!("{KEY} is not valid Unicode")));
    }
}

/// Not a test of its own: what the test above runs in a process with an environment of its own.
#[test]
fn child_reads_credentials_from_its_environment() {
    if env::var_os(ROLE).is_none() {
        return;
    }
    match Credentials::from_env(ID, KEY) {
        Ok(credentials) => {
            let source = source_of(TOKEN_URL, credentials.clone()).build().unwrap();
            println!("read: {} {credentials:?} {source:?}", credentials.client_id());
        }
        Err(error) => println!("refused: {error} {error:?}"),
    }
}

/// What the child says.
fn child(id: impl AsRef<OsStr>, secret: impl AsRef<OsStr>) -> String {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", CHILD, "--nocapture"]).env(ROLE, "1").env(ID, id).env(KEY, secret);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && !said.contains(SECRET), "{said}");
    said
}
