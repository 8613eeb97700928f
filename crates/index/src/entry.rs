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

/// What has a hash, sorted, by hash first. `high` is its upper half.
///
/// Hashes are spread evenly, so they are dealt into many small buckets by their first bits, and the buckets are sorted one by
/// one, each in the cache, by the upper half alone; equal ones, which are hardly ever there, are put in order afterwards.
/// Hashes that are not spread evenly only make it slower.
pub fn sorted_by_hash<T: Ord + Copy>(items: impl Iterator<Item = T> + Clone, high: impl Fn(&T) -> u64) -> Vec<T> {
    const BUCKET_ITEMS: usize = 64;
    const BITS_MAX: u32 = 14;
    let count = items.clone().count();
    let bits = (count / BUCKET_ITEMS).checked_ilog2().unwrap_or(0).min(BITS_MAX);
    let Some(first) = items.clone().next().filter(|_| bits > 0) else {
        let mut few: Vec<T> = items.collect();
        few.sort_unstable();
        return few;
    };
    let bucket_of = |item: &T| (high(item) >> (64 - bits)) as usize;
    let mut next = vec![0usize; (1 << bits) + 1];
    items.clone().for_each(|item| next[bucket_of(&item) + 1] += 1);
    for bucket in 1..next.len() {
        next[bucket] += next[bucket - 1];
    }
    let mut sorted = vec![first; count];
    items.for_each(|item| {
        let place = &mut next[bucket_of(&item)];
        sorted[*place] = item;
        *place += 1;
    });
    // Each bucket has moved on to where the next one began.
    let mut start = 0;
    for end in &next[..1 << bits] {
        sorted[start..*end].sort_unstable_by_key(&high);
        start = *end;
    }
    settle_equal(&mut sorted, high);
    sorted
}

/// As [`sorted_by_hash`], for items that lie in order already more often than not.
pub fn sort_by_hash<T: Ord + Copy>(items: &mut Vec<T>, high: impl Fn(&T) -> u64) {
    if !items.is_sorted() {
        *items = sorted_by_hash(items.iter().copied(), high);
    }
}

/// As [`sort_by_hash`], for a few ascending lists one behind the other, which are merged.
pub fn merge_by_hash<T: Ord>(items: &mut [T], high: impl Fn(&T) -> u64) {
    items.sort_by_key(&high);
    settle_equal(items, high);
}

/// Puts items with equal upper halves in order.
fn settle_equal<T: Ord>(items: &mut [T], high: impl Fn(&T) -> u64) {
    let mut start = 0;
    for at in 1..=items.len() {
        if at < items.len() && high(&items[at]) == high(&items[start]) {
            continue;
        }
        if at - start > 1 {
            items[start..at].sort_unstable();
        }
        start = at;
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

    /// The slice in smaller ones, in order, so that its `entries` come to about `per_part` each.
    pub fn parts(self, entries: u64, per_part: u64) -> impl Iterator<Item = Slice> {
        let width = u128::from(self.last - self.first) + 1;
        let count = entries.div_ceil(per_part.max(1)).clamp(1, 1 << 20).min(u64::try_from(width).unwrap_or(u64::MAX));
        let bound = move |number: u64| self.first + (u128::from(number) * width / u128::from(count)) as u64;
        (0..count).map(move |number| Slice {
            first: bound(number),
            last: if number + 1 == count { self.last } else { bound(number + 1) - 1 },
        })
    }

    /// Whether the hash belongs to it.
    pub fn contains(&self, hash: &KeyHash) -> bool {
        (self.first..=self.last).contains(&hash.high)
    }
}

/// The space of hashes in slices, so that `entries` of them come to about `per_slice` each.
pub fn slices(entries: u64, per_slice: u64) -> impl Iterator<Item = Slice> {
    Slice::ALL.parts(entries, per_slice)
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
            let mut parts = items.clone();
            parts.chunks_mut(3_000).for_each(<[KeyHash]>::sort);
            merge_by_hash(&mut parts, |hash| hash.high);
            assert_eq!(parts, expected);
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

        #[test]
        fn parts_make_up_their_slice(ends in any::<[u64; 2]>(), narrow in 0u64..5, entries in 0u64..100, per_part in 0u64..9) {
            for slice in [
                Slice { first: ends[0].min(ends[1]), last: ends[0].max(ends[1]) },
                Slice { first: ends[0], last: ends[0].saturating_add(narrow) },
            ] {
                let parts: Vec<Slice> = slice.parts(entries, per_part).collect();
                prop_assert_eq!((parts[0].first, parts[parts.len() - 1].last), (slice.first, slice.last));
                prop_assert!(parts.iter().all(|part| part.first <= part.last));
                prop_assert!(parts.windows(2).all(|pair| pair[0].last.checked_add(1) == Some(pair[1].first)));
            }
        }
    }
}
