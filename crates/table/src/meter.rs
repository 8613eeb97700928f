//! How far a verb has come, for whoever waits for it.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts of a running verb, raised by it and read by others at any time.
#[derive(Debug, Default)]
pub struct Meter {
    /// Files that are looked at.
    pub files_total: AtomicU64,
    /// Those that there is something to do with.
    pub files_to_do: AtomicU64,
    /// Those that are done.
    pub files_done: AtomicU64,
    /// Bytes of the files that there is something to do with.
    pub bytes_to_do: AtomicU64,
    /// Bytes that are done.
    pub bytes_done: AtomicU64,
    /// Rows that are done.
    pub rows_done: AtomicU64,
}

impl Meter {
    /// Raises a count.
    pub fn add(count: &AtomicU64, by: u64) {
        count.fetch_add(by, Ordering::Relaxed);
    }

    /// What a count says now.
    pub fn get(count: &AtomicU64) -> u64 {
        count.load(Ordering::Relaxed)
    }
}
