//! A mistake that people make with this crate does not compile, and what the compiler says tells them what to do.
//!
//! Each file of `tests/mistakes/` is one mistake. It begins with `//! says: ..` lines, which must occur in what the
//! compiler says, whichever compiler it is. All that it says stands in the `.stderr` file beside it, and is compared where
//! the compiler is the one of [`BLESSED`]. To bless what another version says, write it there and set `TRYBUILD=overwrite`.

mod support;
#[path = "mistakes_are_explained/ways_out.rs"]
mod ways_out;

use std::{
    env, fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::Command,
};

use trybuild::TestCases;

/// The compiler that the `.stderr` files are from.
const BLESSED: &str = "rustc 1.95.0 ";

/// Where the mistakes are, and whether they are mistakes with these features.
const FOLDERS: &[(&str, bool)] = &[
    ("tests/mistakes", true),
    ("tests/mistakes/without_client", !cfg!(feature = "client")),
    ("tests/mistakes/without_sandbox", !cfg!(feature = "sandbox")),
];

/// Names the folder of the copies, which are compiled in a process of their own.
const COPIES: &str = "MISTAKES_COPIED_TO";

/// The folders of this set of features.
fn folders() -> impl Iterator<Item = &'static str> {
    FOLDERS.iter().filter(|(_, here)| *here).map(|(folder, _)| *folder)
}

fn mistakes(folder: impl AsRef<Path>) -> io::Result<Vec<PathBuf>> {
    let paths: Vec<_> = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    Ok(paths.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect())
}

/// The promises of a mistake that are missing in the `.stderr` file beside it.
fn unsaid(mistake: &Path) -> io::Result<Vec<String>> {
    let (text, said) = (fs::read_to_string(mistake)?, fs::read_to_string(mistake.with_extension("stderr"))?);
    let promises: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("//! says: ")).collect();
    let missing = promises.iter().filter(|promise| !said.contains(**promise));
    let mut found: Vec<_> = missing.map(|promise| format!("{}: no {promise:?}", mistake.display())).collect();
    found.extend(promises.is_empty().then(|| format!("{}: promises nothing", mistake.display())));
    Ok(found)
}

fn all_unsaid(folders: impl Iterator<Item = PathBuf>) -> io::Result<String> {
    let mut found = Vec::new();
    for folder in folders {
        for mistake in mistakes(folder)? {
            found.extend(unsaid(&mistake)?);
        }
    }
    Ok(found.join("\n"))
}

fn compiler() -> io::Result<String> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    Ok(String::from_utf8_lossy(&Command::new(rustc).arg("--version").output()?.stdout).trim().to_owned())
}

/// Has copies of the mistakes compiled by a compiler of which nothing was blessed, and gives what it leaves unsaid.
fn unsaid_by_another_compiler() -> io::Result<String> {
    let copies = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mistakes");
    if copies.exists() {
        fs::remove_dir_all(&copies)?;
    }
    for folder in folders() {
        fs::create_dir_all(copies.join(folder))?;
        for mistake in mistakes(folder)? {
            fs::copy(&mistake, copies.join(&mistake))?;
        }
    }
    let compiled = Command::new(env::current_exe()?)
        .args(["--exact", "--ignored", "copies_of_the_mistakes_do_not_compile"])
        .envs([("TRYBUILD", "overwrite".as_ref()), (COPIES, copies.as_os_str())])
        .output()?;
    if !compiled.status.success() {
        return Ok(String::from_utf8_lossy(&compiled.stderr).into_owned());
    }
    all_unsaid(folders().map(|folder| copies.join(folder)))
}

#[test]
fn a_mistake_is_explained() -> io::Result<()> {
    let compiler = compiler()?;
    // Past the test harness, which shows nothing of a test that passes.
    let mut out = io::stderr();
    if compiler.starts_with(BLESSED) {
        writeln!(out, "{compiler}: what it says is compared with the .stderr files")?;
        let cases = TestCases::new();
        folders().for_each(|folder| cases.compile_fail(format!("{folder}/*.rs")));
        drop(cases);
    } else {
        writeln!(out, "{compiler}: not the {BLESSED}of the .stderr files, so only this crate's words are looked for")?;
        let unsaid = unsaid_by_another_compiler()?;
        assert!(unsaid.is_empty(), "\n{unsaid}");
    }
    let unsaid = all_unsaid(FOLDERS.iter().map(|(folder, _)| folder.into()))?;
    assert!(unsaid.is_empty(), "\n{unsaid}");
    Ok(())
}

#[test]
#[ignore = "for a process of its own, with the copies' folder in its environment"]
fn copies_of_the_mistakes_do_not_compile() {
    let copies = env::var_os(COPIES).map(PathBuf::from).unwrap_or_default();
    let cases = TestCases::new();
    folders().for_each(|folder| cases.compile_fail(copies.join(folder).join("*.rs")));
}
