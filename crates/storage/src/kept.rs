//! Things read that never change, kept in memory for the next time.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard};

/// Values kept up to a weight; those used lately stay.
///
/// There are two generations. A value that is new, or was used again, is in the young one. When that holds half of the
/// weight it becomes the old one, and what was old and not used since is dropped.
///
/// ```
/// use floe_storage::Kept;
///
/// let footers = Kept::new(1000);
/// footers.insert("a.parquet", 7, 100);
/// assert_eq!(footers.get("a.parquet"), Some(7));
/// assert_eq!(footers.get("b.parquet"), None);
/// ```
#[derive(Debug)]
pub struct Kept<K, V> {
    weight_max: u64,
    generations: Mutex<Generations<K, V>>,
}

#[derive(Debug)]
struct Generations<K, V> {
    young: HashMap<K, (V, u64)>,
    young_weight: u64,
    old: HashMap<K, (V, u64)>,
}

impl<K: Eq + Hash, V: Clone> Kept<K, V> {
    /// Keeps values up to this weight, in whatever unit [`Kept::insert`] weighs them.
    pub fn new(weight_max: u64) -> Self {
        let generations = Generations { young: HashMap::new(), young_weight: 0, old: HashMap::new() };
        Kept { weight_max, generations: Mutex::new(generations) }
    }

    fn generations(&self) -> MutexGuard<'_, Generations<K, V>> {
        self.generations.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The value, if it is still kept.
    pub fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let mut generations = self.generations();
        if let Some((value, _)) = generations.young.get(key) {
            return Some(value.clone());
        }
        let (key, (value, weight)) = generations.old.remove_entry(key)?;
        generations.add(key, value.clone(), weight, self.weight_max);
        Some(value)
    }

    /// Keeps a value. One that weighs more than half of what may be kept is kept alone.
    pub fn insert(&self, key: K, value: V, weight: u64) {
        let mut generations = self.generations();
        generations.add(key, value, weight, self.weight_max);
        if weight > self.weight_max / 2 {
            generations.old.clear();
        }
    }

    /// Drops everything.
    pub fn clear(&self) {
        let mut generations = self.generations();
        generations.young.clear();
        generations.old.clear();
        generations.young_weight = 0;
    }
}

impl<K: Eq + Hash, V> Generations<K, V> {
    fn add(&mut self, key: K, value: V, weight: u64, weight_max: u64) {
        if self.young_weight + weight > weight_max / 2 {
            self.old = std::mem::take(&mut self.young);
            self.young_weight = 0;
        }
        self.young_weight += weight;
        if let Some((_, replaced)) = self.young.insert(key, (value, weight)) {
            self.young_weight -= replaced;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_the_weight_is_bounded() {
        let kept = Kept::new(20);
        for n in 0..1000u64 {
            kept.insert(n, n, 1);
            assert_eq!(kept.get(&0), Some(0), "used every time");
            let generations = kept.generations();
            let held = generations.young.len() + generations.old.len();
            assert!(held <= 20, "{held} values");
        }
        assert_eq!(kept.get(&999), Some(999));
        assert_eq!(kept.get(&500), None);
        kept.clear();
        assert_eq!(kept.get(&999), None);
    }

    #[test]
    fn a_value_put_again_weighs_once_and_one_too_heavy_is_kept_alone() {
        let kept = Kept::new(10);
        kept.insert("light", 1, 1);
        kept.insert("heavy", 2, 60);
        assert_eq!((kept.get("heavy"), kept.get("light")), (Some(2), None));
        for round in 0..100 {
            kept.insert("a", round, 3);
        }
        kept.insert("b", 0, 2);
        assert_eq!((kept.get("a"), kept.get("b")), (Some(99), Some(0)));
    }
}
