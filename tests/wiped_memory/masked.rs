//! Text that is in this process only while it is revealed, and the search for it in all of the process's memory.

use std::{
    fs::{self, File},
    ops::Range,
    os::unix::fs::FileExt,
    sync::{LazyLock, Mutex},
};

use bytes::Bytes;
use tower_outbound_auth::secrecy::SecretString;
use zeroize::Zeroizing;

/// Text that is in this process only when it is revealed.
pub(crate) struct Masked<const N: usize>([u8; N]);

impl<const N: usize> Masked<N> {
    /// Evaluated by the compiler: the text itself does not get into the program.
    pub(crate) const fn new(text: &[u8; N]) -> Self {
        let (mut masked, mut at) = (*text, 0);
        while at < N {
            masked[at] ^= MASK;
            at += 1;
        }
        Self(masked)
    }

    /// The text, in memory that is wiped and was never moved.
    pub(crate) fn reveal(&self) -> SecretString {
        self.reveal_after("")
    }

    /// The same behind so much padding that memory of its size is not soon used again, which would hide a copy.
    pub(crate) fn reveal_long(&self) -> SecretString {
        self.reveal_after(PADDING)
    }

    fn reveal_after(&self, padding: &str) -> SecretString {
        let mut text = String::with_capacity(padding.len() + N);
        text.push_str(padding);
        text.extend(self.0.iter().map(|byte| char::from(byte ^ MASK)));
        SecretString::from(text)
    }

    /// The same, between something else.
    pub(crate) fn between(&self, before: &str, padding: &str, after: &str) -> Bytes {
        let mut text = Zeroizing::new(Vec::with_capacity(before.len() + padding.len() + N + after.len()));
        text.extend_from_slice(before.as_bytes());
        text.extend_from_slice(padding.as_bytes());
        text.extend(self.0.iter().map(|byte| byte ^ MASK));
        text.extend_from_slice(after.as_bytes());
        Bytes::from_owner(text)
    }

    /// How often its last part is in memory that this process writes to. The first part is not looked for: an allocator
    /// writes its own notes over the beginning of what it gets back.
    pub(crate) fn copies(&self) -> usize {
        let pattern = &self.0[N - PART..];
        let memory = File::open("/proc/self/mem").unwrap();
        let mut chunk = CHUNK.lock().unwrap();
        let own = chunk.as_ptr().addr() / PAGE * PAGE..(chunk.as_ptr().addr() + chunk.len()).next_multiple_of(PAGE);
        let mut found = 0;
        for region in writable() {
            // What is in the chunk are copies that the search itself has made.
            for part in [region.start..region.end.min(own.start), region.start.max(own.end)..region.end] {
                let overlap = PART - 1;
                for start in part.clone().step_by(chunk.len() - overlap) {
                    let length = chunk.len().min(part.end - start);
                    // Some regions are not for reading, and some go away meanwhile.
                    let read = memory.read_at(&mut chunk[..length], start as u64).unwrap_or(0);
                    found += count(&chunk[..read], pattern);
                }
            }
        }
        chunk.fill(0);
        found
    }
}

fn count(memory: &[u8], pattern: &[u8]) -> usize {
    let first = pattern[0] ^ MASK;
    let candidates = memory.windows(pattern.len()).filter(|window| window[0] == first);
    candidates.filter(|window| window.iter().zip(pattern).all(|(byte, masked)| byte ^ MASK == *masked)).count()
}

fn writable() -> Vec<Range<usize>> {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let regions = maps.lines().filter(|line| line.split(' ').nth(1).is_some_and(|rights| rights.starts_with("rw")));
    let address = |text: &str| usize::from_str_radix(text, 16).unwrap();
    regions
        .filter_map(|line| line.split(' ').next()?.split_once('-'))
        .map(|(start, end)| address(start)..address(end))
        .collect()
}

/// What memory is read into. Never freed, and so large that it shares no page with anything else.
static CHUNK: LazyLock<Mutex<Vec<u8>>> = LazyLock::new(|| Mutex::new(vec![0; 1 << 20]));
const MASK: u8 = 0xa5;
const PART: usize = 24;
const PAGE: usize = 4096;
/// A multiple of three long, so that Base64 of what follows does not change.
pub(crate) const PADDING: &str = match str::from_utf8(&[b'x'; 699]) {
    Ok(padding) => padding,
    Err(_) => "",
};
