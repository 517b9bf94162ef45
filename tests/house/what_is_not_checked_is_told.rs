//! `tests/all.sh` says what it could not check, and takes it for an error where that is asked for.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// A folder of commands that go before those of the machine.
struct Commands(PathBuf);

impl Commands {
    fn new(name: &str, cargo: &str) -> io::Result<Self> {
        use std::os::unix::fs::PermissionsExt;

        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&folder)?;
        let path = folder.join("cargo");
        fs::write(&path, format!("#!/bin/sh\n{cargo}\n"))?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
        Ok(Self(folder))
    }

    /// The steps with this in their names; `None` where there is no such script, or no Bash.
    fn run(&self, arguments: &[&str]) -> Option<Output> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/all.sh");
        let path = format!("{}:{}", self.0.display(), env::var("PATH").unwrap_or_default());
        let run = Command::new("bash").arg(&script).args(arguments).env("PATH", path).output();
        run.ok().filter(|_| script.exists())
    }
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn in_a_line_of_its_own_and_as_an_error_for_a_release() -> io::Result<()> {
    let without_database = Commands::new("no_database", "exit 1")?;
    for (arguments, ok) in
        [(&["advisories"][..], true), (&["--release", "advisories"], false), (&["--release", "docs, as"], false)]
    {
        let Some(output) = without_database.run(arguments) else { return Ok(()) };
        assert_eq!(output.status.success(), ok, "{arguments:?}: {output:?}");
        let summary = told(&output);
        let line = summary.lines().last().unwrap_or_default();
        if arguments.contains(&"advisories") {
            assert!(line.starts_with("1 NOT CHECKED: deny: advisories;"), "{summary}");
            assert_eq!(line.contains("an error"), !ok, "{summary}");
            assert!(summary.contains("0 passed, 0 failed"), "{summary}");
        } else {
            assert!(summary.contains("0 passed, 1 failed") && !summary.contains("NOT CHECKED"), "{summary}");
        }
    }
    Ok(())
}

#[test]
fn and_not_where_all_was_checked() -> io::Result<()> {
    let with_database = Commands::new("database", "exit 0")?;
    for arguments in [&["advisories"][..], &["--release", "advisories"]] {
        let Some(output) = with_database.run(arguments) else { return Ok(()) };
        let summary = told(&output);
        assert!(output.status.success() && summary.contains("1 passed, 0 failed"), "{summary}");
        assert!(!summary.contains("NOT CHECKED"), "{summary}");
    }
    Ok(())
}
