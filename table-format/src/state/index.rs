//! Where a path lies in a chunk: an open-addressed hash table over rows.

use std::hash::Hasher;

use crate::path::DataPath;

/// A hash of a file's path. Of the path only: a look-up by path alone must find every entry of that path, whatever its
/// deletion vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PathHash(u32);

impl PathHash {
    pub(crate) fn of(path: &str) -> Self {
        // SipHash with fixed keys: the same everywhere, and not trivially flooded by crafted paths.
        let mut hasher = std::hash::DefaultHasher::new();
        hasher.write(DataPath::identity(path).as_bytes());
        PathHash(hasher.finish() as u32)
    }
}

/// Rows by path hash. Each slot packs `hash << 32 | row + 1`; zero is empty. At most three quarters full.
#[derive(Debug, Clone, Default)]
pub(crate) struct PathIndex {
    slots: Vec<u64>,
    used: usize,
}

impl PathIndex {
    pub(crate) fn with_capacity(rows: usize) -> Self {
        let capacity = (rows * 4 / 3 + 1).next_power_of_two().max(16);
        PathIndex { slots: vec![0; capacity], used: 0 }
    }

    /// Records a row. Rows of one hash are all kept.
    pub(crate) fn insert(&mut self, hash: PathHash, row: u32) {
        if (self.used + 1) * 4 > self.slots.len() * 3 {
            self.grow();
        }
        place(&mut self.slots, u64::from(hash.0) << 32 | (u64::from(row) + 1));
        self.used += 1;
    }

    /// Rows whose path has this hash; the caller compares the paths.
    pub(crate) fn candidates(&self, hash: PathHash) -> impl Iterator<Item = u32> + '_ {
        let mask = self.slots.len().wrapping_sub(1);
        let mut at = hash.0 as usize & mask;
        std::iter::from_fn(move || {
            loop {
                // An empty table has no slots; a filled one always has an empty slot to stop at.
                let slot = *self.slots.get(at)?;
                if slot == 0 {
                    return None;
                }
                at = (at + 1) & mask;
                if (slot >> 32) as u32 == hash.0 {
                    return Some((slot as u32) - 1);
                }
            }
        })
    }

    fn grow(&mut self) {
        let mut larger = vec![0; (self.slots.len() * 2).max(16)];
        for slot in self.slots.iter().filter(|slot| **slot != 0) {
            place(&mut larger, *slot);
        }
        self.slots = larger;
    }
}

fn place(slots: &mut [u64], entry: u64) {
    let mask = slots.len() - 1;
    let mut at = (entry >> 32) as usize & mask;
    while slots[at] != 0 {
        at = (at + 1) & mask;
    }
    slots[at] = entry;
}
