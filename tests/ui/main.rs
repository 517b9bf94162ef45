//! A wrong use of this crate does not compile, and what the compiler says tells the user what to do.
//!
//! Each file of `any_features/` and the `without_` folders is one wrong use. It begins with `//! says: ..`
//! lines, which must occur in what the compiler says, whichever compiler it is. All that it says stands in the `.stderr`
//! file beside it, and is compared where the compiler is the one of [`BLESSED`]. To bless what another version says, write
//! it there and set `TRYBUILD=overwrite`.

#[path = "../support/mod.rs"]
mod support;
mod the_advice_compiles;

use std::{
    env, fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::Command,
};

use trybuild::TestCases;

/// The compiler that the `.stderr` files are from.
const BLESSED: &str = "rustc 1.95.0 ";

/// Where the wrong uses are, and whether they are wrong with these features.
const FOLDERS: &[(&str, bool)] = &[
    ("tests/ui/any_features", true),
    ("tests/ui/without_client", !cfg!(feature = "client")),
    ("tests/ui/with_reqwest", cfg!(feature = "reqwest")),
    ("tests/ui/without_reqwest", !cfg!(feature = "reqwest")),
    ("tests/ui/without_paynet", !cfg!(feature = "paynet")),
    ("tests/ui/without_sandbox", !cfg!(feature = "sandbox")),
];

/// Names the folder of the copies, which are compiled in a process of their own.
const COPIES: &str = "WRONG_USES_COPIED_TO";

/// The folders of this set of features.
fn folders() -> impl Iterator<Item = &'static str> {
    FOLDERS.iter().filter(|(_, here)| *here).map(|(folder, _)| *folder)
}

fn wrong_uses(folder: impl AsRef<Path>) -> io::Result<Vec<PathBuf>> {
    let paths: Vec<_> = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    Ok(paths.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect())
}

/// The promises of a wrong use that are missing in the `.stderr` file beside it.
fn unsaid(wrong_use: &Path) -> io::Result<Vec<String>> {
    let (text, said) = (fs::read_to_string(wrong_use)?, fs::read_to_string(wrong_use.with_extension("stderr"))?);
    let promises: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("//! says: ")).collect();
    let missing = promises.iter().filter(|promise| !said.contains(**promise));
    let mut found: Vec<_> = missing.map(|promise| format!("{}: no {promise:?}", wrong_use.display())).collect();
    found.extend(promises.is_empty().then(|| format!("{}: promises nothing", wrong_use.display())));
    Ok(found)
}

fn all_unsaid(folders: impl Iterator<Item = PathBuf>) -> io::Result<String> {
    let mut found = Vec::new();
    for folder in folders {
        for wrong_use in wrong_uses(folder)? {
            found.extend(unsaid(&wrong_use)?);
        }
    }
    Ok(found.join("\n"))
}

fn compiler() -> io::Result<String> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    Ok(String::from_utf8_lossy(&Command::new(rustc).arg("--version").output()?.stdout).trim().to_owned())
}

/// Has copies of the wrong uses compiled by a compiler of which nothing was blessed, and gives what it leaves unsaid.
fn unsaid_by_another_compiler() -> io::Result<String> {
    let copies = Path::new(env!("CARGO_TARGET_TMPDIR")).join("ui");
    if copies.exists() {
        fs::remove_dir_all(&copies)?;
    }
    for folder in folders() {
        fs::create_dir_all(copies.join(folder))?;
        for wrong_use in wrong_uses(folder)? {
            fs::copy(&wrong_use, copies.join(&wrong_use))?;
        }
    }
    let compiled = Command::new(env::current_exe()?)
        .args(["--exact", "--ignored", "the_copies_do_not_compile"])
        .envs([("TRYBUILD", "overwrite".as_ref()), (COPIES, copies.as_os_str())])
        .output()?;
    if !compiled.status.success() {
        return Ok(String::from_utf8_lossy(&compiled.stderr).into_owned());
    }
    all_unsaid(folders().map(|folder| copies.join(folder)))
}

#[test]
fn a_wrong_use_is_explained() -> io::Result<()> {
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
fn the_copies_do_not_compile() {
    let copies = env::var_os(COPIES).map(PathBuf::from).unwrap_or_default();
    let cases = TestCases::new();
    folders().for_each(|folder| cases.compile_fail(copies.join(folder).join("*.rs")));
}
