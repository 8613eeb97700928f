//! The linearizable core of the simulated store: every operation happens at one instant.

use std::collections::BTreeMap;
use std::sync::Mutex;

use bytes::Bytes;

use crate::executor::lock;

/// The objects of the world and everything that was ever written.
///
/// This is the truth. What a process sees of it goes through a [`FaultStore`](crate::store::FaultStore), which may lose,
/// delay, repeat or bend requests; nothing bends in here.
#[derive(Debug, Default)]
pub struct Disk(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    objects: BTreeMap<String, Object>,
    /// Every distinct content an object ever had, oldest first.
    archive: BTreeMap<String, Vec<Bytes>>,
    /// When an object was first written.
    first_written_us: BTreeMap<String, u64>,
    /// When an object was deleted, newest last.
    deletions: Vec<Deletion>,
    next_tag: u64,
}

/// An object as it is stored.
#[derive(Debug, Clone)]
pub struct Object {
    /// Its content.
    pub bytes: Bytes,
    /// Changes with every write.
    pub tag: u64,
    /// When it was last written, in microseconds since 1970, by the store's clock.
    pub modified_us: u64,
    /// When it first appeared under this name since it last was absent.
    pub created_us: u64,
}

#[derive(Debug, Clone)]
struct Deletion {
    path: String,
    object: Object,
    at_us: u64,
}

/// What a put did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// The object now has these bytes; its tag.
    Written(u64),
    /// There was an object, and the put was only to create one.
    Exists,
}

impl Disk {
    /// Writes an object; with `create`, only if there is none.
    pub fn put(&self, path: &str, bytes: Bytes, create: bool, now_us: u64) -> Applied {
        let mut state = lock(&self.0);
        let created_us = match state.objects.get(path) {
            Some(_) if create => return Applied::Exists,
            Some(known) => known.created_us,
            None => now_us,
        };
        state.next_tag += 1;
        let tag = state.next_tag;
        let contents = state.archive.entry(path.to_owned()).or_default();
        if contents.last() != Some(&bytes) {
            contents.push(bytes.clone());
        }
        state.first_written_us.entry(path.to_owned()).or_insert(now_us);
        state.objects.insert(path.to_owned(), Object { bytes, tag, modified_us: now_us, created_us });
        Applied::Written(tag)
    }

    /// The object, if it is there.
    pub fn get(&self, path: &str) -> Option<Object> {
        lock(&self.0).objects.get(path).cloned()
    }

    /// Deletes the object. False if it was not there.
    pub fn delete(&self, path: &str, now_us: u64) -> bool {
        let mut state = lock(&self.0);
        let Some(object) = state.objects.remove(path) else { return false };
        state.deletions.push(Deletion { path: path.to_owned(), object, at_us: now_us });
        true
    }

    /// The objects whose names begin with `prefix`, in order.
    pub fn list(&self, prefix: &str) -> Vec<(String, Object)> {
        let state = lock(&self.0);
        let from = state.objects.range(prefix.to_owned()..);
        from.take_while(|(path, _)| path.starts_with(prefix))
            .map(|(path, object)| (path.clone(), object.clone()))
            .collect()
    }

    /// As [`Disk::list`], as a listing that lags would show it: what appeared after `as_of_us` is missing, what was deleted
    /// after it is still there.
    pub fn list_as_of(&self, prefix: &str, as_of_us: u64) -> Vec<(String, Object)> {
        let mut listing: BTreeMap<String, Object> =
            self.list(prefix).into_iter().filter(|(_, object)| object.created_us <= as_of_us).collect();
        let state = lock(&self.0);
        for deletion in state.deletions.iter().rev().take_while(|d| d.at_us > as_of_us) {
            if deletion.path.starts_with(prefix) && deletion.object.created_us <= as_of_us {
                listing.entry(deletion.path.clone()).or_insert_with(|| deletion.object.clone());
            }
        }
        listing.into_iter().collect()
    }

    /// Every distinct content the object ever had, oldest first, deleted or not.
    pub fn contents_ever(&self, path: &str) -> Vec<Bytes> {
        lock(&self.0).archive.get(path).cloned().unwrap_or_default()
    }

    /// When the object was first written, in microseconds, deleted or not.
    pub fn first_written_us(&self, path: &str) -> Option<u64> {
        lock(&self.0).first_written_us.get(path).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn create_happens_once() {
        let disk = Disk::default();
        assert!(matches!(disk.put("a", Bytes::from_static(b"1"), true, 1), Applied::Written(_)));
        assert_eq!(disk.put("a", Bytes::from_static(b"2"), true, 2), Applied::Exists);
        assert_eq!(disk.get("a").map(|o| o.bytes), Some(Bytes::from_static(b"1")));
    }

    #[test]
    fn the_archive_keeps_what_is_gone() {
        let disk = Disk::default();
        disk.put("a", Bytes::from_static(b"1"), false, 1);
        disk.put("a", Bytes::from_static(b"2"), false, 2);
        assert!(disk.delete("a", 3));
        assert!(!disk.delete("a", 4));
        assert_eq!(disk.contents_ever("a"), [Bytes::from_static(b"1"), Bytes::from_static(b"2")]);
    }

    #[test]
    fn a_listing_may_lag() {
        let disk = Disk::default();
        disk.put("l/1", Bytes::new(), true, 1);
        disk.put("l/2", Bytes::new(), true, 10);
        disk.delete("l/1", 12);
        let names = |as_of| disk.list_as_of("l/", as_of).into_iter().map(|(p, _)| p).collect::<Vec<_>>();
        assert_eq!(names(5), ["l/1"]);
        assert_eq!(names(11), ["l/1", "l/2"]);
        assert_eq!(names(12), ["l/2"]);
    }
}
