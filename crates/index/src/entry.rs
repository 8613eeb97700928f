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
        sort_by_hash(&mut hashes, |hash| hash.high);
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

/// Sorts what has a hash, by hash first. `high` is its upper half.
///
/// Hashes are spread evenly, so they are dealt into many small buckets by their first bits, in place, and the buckets are
/// sorted one by one, each in the cache. Hashes that are not spread evenly only make it slower.
pub fn sort_by_hash<T: Ord>(items: &mut [T], high: impl Fn(&T) -> u64) {
    const BUCKET_ITEMS: usize = 256;
    const BITS_MAX: u32 = 14;
    if items.is_sorted() {
        return;
    }
    let bits = (items.len() / BUCKET_ITEMS).checked_ilog2().unwrap_or(0).min(BITS_MAX);
    if bits == 0 {
        return items.sort_unstable();
    }
    let bucket_of = |item: &T| (high(item) >> (64 - bits)) as usize;
    let mut ends = vec![0usize; 1 << bits];
    for item in items.iter() {
        ends[bucket_of(item)] += 1;
    }
    let mut next = Vec::with_capacity(ends.len());
    let mut sum = 0;
    for end in &mut ends {
        next.push(sum);
        sum += *end;
        *end = sum;
    }
    for bucket in 0..ends.len() {
        while next[bucket] < ends[bucket] {
            let at = next[bucket];
            let home = bucket_of(&items[at]);
            if home != bucket {
                items.swap(at, next[home]);
            }
            next[home] += 1;
        }
    }
    let mut start = 0;
    for end in ends {
        items[start..end].sort_unstable();
        start = end;
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

    #[test]
    fn many_are_sorted_whether_spread_evenly_or_not() {
        let spread = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let shapes: [fn(u64, u64) -> u64; 4] =
            [|_, spread| spread, |_, spread| spread >> 40, |n, _| n % 3, |_, spread| spread | 0xffff << 48];
        for shape in shapes {
            let mut items: Vec<KeyHash> =
                (0..20_000u64).map(|n| KeyHash { high: shape(n, spread(n)), low: spread(n ^ 77) % 50 }).collect();
            let mut expected = items.clone();
            expected.sort();
            sort_by_hash(&mut items, |hash| hash.high);
            assert_eq!(items, expected);
        }
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
