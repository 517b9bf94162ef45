//! Runs the targets on stable Rust: the inputs in `corpus`, then random ones and mutations of the corpus.

#![forbid(unsafe_code)]
#![expect(clippy::disallowed_methods, reason = "it measures how long a run takes")]

use std::{
    env, fs, io,
    panic::{self, AssertUnwindSafe},
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use fastrand::Rng;
use outbound_auth_fuzz::{TARGETS, Target};

fn main() -> ExitCode {
    let Some(options) = Options::read() else {
        eprintln!("usage: [--inputs N] [--seed N] [--target NAME] [--file PATH]");
        return ExitCode::FAILURE;
    };
    let chosen = TARGETS.iter().filter(|(name, _)| options.target.as_ref().is_none_or(|target| target == name));
    let failed = chosen.filter(|target| !options.run(target)).count();
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

struct Options {
    inputs: u64,
    seed: u64,
    target: Option<String>,
    /// Only this input.
    file: Option<PathBuf>,
}

impl Options {
    fn read() -> Option<Self> {
        let mut options = Self { inputs: 20_000, seed: fastrand::u64(..), target: None, file: None };
        let mut arguments = env::args().skip(1);
        while let Some(name) = arguments.next() {
            let value = arguments.next()?;
            match name.as_str() {
                "--inputs" => options.inputs = value.parse().ok()?,
                "--seed" => options.seed = value.parse().ok()?,
                "--target" if TARGETS.iter().any(|(name, _)| *name == value) => options.target = Some(value),
                "--file" => options.file = Some(value.into()),
                _ => return None,
            }
        }
        Some(options)
    }

    /// Runs a target. Returns false if an input failed, which is then saved in `artifacts`.
    fn run(&self, target: &Target) -> bool {
        let (name, run) = *target;
        let begin = Instant::now();
        let corpus = self.corpus(name).unwrap_or_else(|error| panic!("the corpus of {name} cannot be read: {error}"));
        let mut rng = Rng::with_seed(self.seed);
        let random = if self.file.is_some() { 0 } else { self.inputs };
        let inputs = corpus.iter().cloned().chain((0..random).map(|_| mutated(&mut rng, &corpus)));
        let failed = inputs.filter(|input| !holds(run, input)).map(|input| keep(name, &smaller(run, input))).next();
        let verdict = failed.as_ref().map_or("ok".to_owned(), |path| format!("FAILED: {}", path.display()));
        let (corpus, took, seed) = (corpus.len(), begin.elapsed().as_secs_f32(), self.seed);
        println!("{name:17} corpus {corpus}, random {random} of seed {seed}, {took:.1} s: {verdict}");
        failed.is_none()
    }

    fn corpus(&self, target: &str) -> io::Result<Vec<Vec<u8>>> {
        if let Some(file) = &self.file {
            return Ok(vec![fs::read(file)?]);
        }
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
        let mut files = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
        files.sort();
        files.iter().map(fs::read).collect()
    }
}

/// Returns whether the target runs this input without a panic, and in time.
fn holds(run: fn(&[u8]), input: &[u8]) -> bool {
    let begin = Instant::now();
    let outcome = panic::catch_unwind(AssertUnwindSafe(|| run(input)));
    let took = begin.elapsed();
    if took > LONGEST {
        eprintln!("an input of {} bytes took {took:?}", input.len());
    }
    outcome.is_ok() && took <= LONGEST
}

/// Returns random bytes, or an input of the corpus with some changes.
fn mutated(rng: &mut Rng, corpus: &[Vec<u8>]) -> Vec<u8> {
    let known = rng.choice(corpus).filter(|_| rng.bool());
    let Some(known) = known else {
        let most = 1 << rng.usize(1..10);
        let length = rng.usize(..most);
        return (0..length).map(|_| random_byte(rng)).collect();
    };
    let mut input = known.clone();
    for _ in 0..rng.usize(1..6) {
        let at = rng.usize(..=input.len());
        match rng.u8(..5) {
            0 => input.truncate(at),
            1 => input.insert(at, random_byte(rng)),
            2 => drop(input.drain(at..input.len().min(at + rng.usize(..9)))),
            3 => input.splice(at.., rng.choice(corpus).into_iter().flatten().skip(at).copied()).for_each(drop),
            _ => input.get_mut(at).into_iter().for_each(|byte| *byte ^= 1 << rng.u8(..8)),
        }
    }
    input
}

/// Small values are more frequent: they select the first choices.
fn random_byte(rng: &mut Rng) -> u8 {
    if rng.bool() { rng.u8(..) } else { rng.u8(..32) }
}

/// Removes the parts without which the input still fails.
fn smaller(run: fn(&[u8]), mut input: Vec<u8>) -> Vec<u8> {
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let mut size = input.len();
    while size > 0 {
        let mut at = 0;
        while at < input.len() {
            let mut shorter = input.clone();
            shorter.drain(at..input.len().min(at + size));
            if holds(run, &shorter) { at += size } else { input = shorter }
        }
        size /= 2;
    }
    panic::set_hook(hook);
    input
}

fn keep(target: &str, input: &[u8]) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("artifacts").join(target);
    let sum = input
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3));
    let path = folder.join(format!("failed-{sum:016x}"));
    fs::create_dir_all(&folder).and_then(|()| fs::write(&path, input)).unwrap_or_else(|error| {
        panic!("{} cannot be written: {error}", path.display());
    });
    path
}

/// Generous: a longer run is a hang.
const LONGEST: Duration = Duration::from_secs(10);
