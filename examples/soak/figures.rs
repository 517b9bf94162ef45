//! What the process holds now: tasks, sockets, memory.

use std::fs;

use tokio::runtime::Handle;
use tower_outbound_auth::BoxError;

use crate::ALLOCATOR;

/// One value for each of [`FIGURES`].
pub(crate) type Measured = [u64; FIGURES.len()];

/// A figure that must not grow.
pub(crate) struct Figure {
    pub(crate) name: &'static str,
    /// By how much the last rounds may exceed the first: what varies at random.
    pub(crate) allowance: u64,
}

pub(crate) const FIGURES: [Figure; 6] = [
    Figure { name: "tasks alive", allowance: 0 },
    Figure { name: "file descriptors", allowance: 0 },
    Figure { name: "sockets among them", allowance: 0 },
    // A layer's last error may have a cause, and its client's pool may remember a closed connection.
    Figure { name: "live allocations", allowance: 16 },
    Figure { name: "bytes in them", allowance: 16 << 10 },
    // The allocator keeps freed memory, and takes more when a peak is higher than all before.
    Figure { name: "resident KiB", allowance: 8 << 10 },
];

pub(crate) fn measure() -> Result<Measured, BoxError> {
    let tasks = Handle::current().metrics().num_alive_tasks() as u64;
    let (descriptors, sockets) = open_files()?;
    let resident = resident_kib()?;
    let heap = ALLOCATOR.stats();
    let allocations = heap.allocations.saturating_sub(heap.deallocations) as u64;
    let bytes = heap.bytes_allocated.saturating_sub(heap.bytes_deallocated) as u64;
    Ok([tasks, descriptors, sockets, allocations, bytes, resident])
}

/// Returns the number of file descriptors, and how many of them are sockets.
fn open_files() -> Result<(u64, u64), BoxError> {
    let (mut descriptors, mut sockets) = (0, 0);
    for entry in fs::read_dir("/proc/self/fd")? {
        descriptors += 1;
        // Another thread may have closed it.
        let is_socket =
            fs::read_link(entry?.path()).is_ok_and(|target| target.to_string_lossy().starts_with("socket:"));
        sockets += u64::from(is_socket);
    }
    Ok((descriptors, sockets))
}

fn resident_kib() -> Result<u64, BoxError> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS in /proc/self/status")?;
    Ok(line.trim_end_matches("kB").trim().parse()?)
}
