//! Entries, sets of hashes, and ranges of the space of hashes.

use crate::hash::KeyHash;

/// Where a row of a key lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entry {
    /// The hash of the row's key.
    pub hash: KeyHash,
    /// The file, as an index into a list that belongs to the entry's run.
    pub file: u32,
    /// The row, counted from 0 over all rows of the file.
    pub row: u32,
}

/// Hashes to look for: sorted, each once, found again in a few steps.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeySet {
    hashes: Vec<KeyHash>,
    /// Where the hashes with each value of their first bits begin.
    starts: Vec<u32>,
    shift: u32,
}

impl KeySet {
    /// The set of these hashes; rows without a key are left out.
    pub fn new(mut hashes: Vec<KeyHash>) -> Self {
        hashes.retain(|hash| *hash != KeyHash::NONE);
        hashes.sort_unstable();
        hashes.dedup();
        KeySet::of_sorted(hashes)
    }

    fn of_sorted(hashes: Vec<KeyHash>) -> Self {
        // About one hash a bucket, so that a look-up is one or two comparisons.
        let bits = usize::BITS - hashes.len().leading_zeros();
        let bits = bits.clamp(1, 24);
        let shift = 64 - bits;
        let mut starts = vec![0u32; (1 << bits) + 1];
        for hash in &hashes {
            starts[(hash.high >> shift) as usize + 1] += 1;
        }
        for bucket in 1..starts.len() {
            starts[bucket] += starts[bucket - 1];
        }
        KeySet { hashes, starts, shift }
    }

    /// The hashes, ascending.
    pub fn hashes(&self) -> &[KeyHash] {
        &self.hashes
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// Where the hash stands among [`hashes`](Self::hashes); none if it is not in the set.
    pub fn position(&self, hash: &KeyHash) -> Option<usize> {
        if self.hashes.is_empty() {
            return None;
        }
        let bucket = (hash.high >> self.shift) as usize;
        let (start, end) = (self.starts[bucket] as usize, self.starts[bucket + 1] as usize);
        match end - start {
            0 => None,
            1 => (self.hashes[start] == *hash).then_some(start),
            _ => self.hashes[start..end].binary_search(hash).ok().map(|at| start + at),
        }
    }

    /// Whether the hash is in the set.
    pub fn contains(&self, hash: &KeyHash) -> bool {
        self.position(hash).is_some()
    }
}

/// A part of the space of hashes: those whose upper half lies between two bounds.
///
/// Hashes are spread evenly, so equal parts hold about equally many. What is too much to hold at once is handled slice by
/// slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice {
    /// The smallest upper half.
    pub first: u64,
    /// The largest upper half.
    pub last: u64,
}

impl Slice {
    /// All hashes.
    pub const ALL: Slice = Slice { first: 0, last: u64::MAX };

    /// Whether the hash belongs to it.
    pub fn contains(&self, hash: &KeyHash) -> bool {
        (self.first..=self.last).contains(&hash.high)
    }
}

/// The space of hashes in slices, so that `entries` of them come to about `per_slice` each.
pub fn slices(entries: u64, per_slice: u64) -> impl Iterator<Item = Slice> {
    let count = entries.div_ceil(per_slice.max(1)).clamp(1, 1 << 20);
    let bound = move |number: u64| ((u128::from(number) << 64) / u128::from(count)) as u64;
    (0..count).map(move |number| Slice {
        first: bound(number),
        last: if number + 1 == count { u64::MAX } else { bound(number + 1) - 1 },
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hashes() -> impl Strategy<Value = Vec<KeyHash>> {
        // Few different upper halves as well, so that buckets fill.
        let high = prop_oneof![any::<u64>(), 0u64..4, Just(u64::MAX)];
        proptest::collection::vec((high, 0u64..6).prop_map(|(high, low)| KeyHash { high, low }), 0..200)
    }

    proptest! {
        #[test]
        fn a_set_holds_what_it_was_made_of(all in hashes(), others in hashes()) {
            let set = KeySet::new(all.clone());
            for hash in all.iter().chain(&others) {
                prop_assert_eq!(set.contains(hash), all.contains(hash) && *hash != KeyHash::NONE);
            }
            prop_assert!(set.hashes().windows(2).all(|pair| pair[0] < pair[1]));
        }

        #[test]
        fn slices_part_the_space(entries in 0u64..1000, per_slice in 0u64..50, found in hashes()) {
            let all: Vec<Slice> = slices(entries, per_slice).collect();
            prop_assert_eq!(all[0].first, 0);
            prop_assert_eq!(all[all.len() - 1].last, u64::MAX);
            for hash in &found {
                prop_assert_eq!(all.iter().filter(|slice| slice.contains(hash)).count(), 1);
            }
        }
    }
}
