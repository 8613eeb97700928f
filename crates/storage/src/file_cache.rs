//! Files of a store across a network, kept on a local disk.
//!
//! Made for files that never change under their name and prove their own content, as the runs of the record index do: what
//! lies here is never trusted more than an answer of the store. A file is read from the store piece by piece until the
//! pieces have cost as much as the whole file would have; then the whole file is fetched, once, and read from the disk from
//! there on, by every process of this machine. So a file that is asked once costs at most twice what it must, and one that
//! is asked for ever costs no requests.
//!
//! Every failure here only makes reading slower.

use std::collections::HashMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload, WriteMultipart};

use crate::local::LocalStore;

#[cfg(test)]
mod tests;

/// What a request costs, in bytes that could be transferred for it: 20 ms at 50 MB/s.
const BYTES_A_REQUEST: u64 = 1 << 20;
/// Pieces that lie closer together are read in one request, by object stores' own rule.
const GAP_MAX: u64 = 1 << 20;
/// How much one request of a whole file asks for.
const PART_BYTES: u64 = 8 << 20;
/// Parts of a file that are fetched at the same time.
const PARTS_IN_FLIGHT: usize = 4;
/// A file counts for at most this part of the folder: a single one should not displace all others.
const SHARE_OF_A_FILE: u64 = 4;

/// A folder of files that were fetched whole. Several processes may share it. Cheap to clone.
#[derive(Clone)]
pub struct FileCache {
    store: Arc<dyn ObjectStore>,
    folder: Path,
    bytes_max: u64,
    files: Arc<Mutex<HashMap<Path, Known>>>,
}

/// What this process knows of a file.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Known {
    /// It is in the folder.
    Here,
    /// It is not, and what reading pieces of it has cost so far.
    Spent(u64),
}

impl FileCache {
    /// A cache in a folder of this machine, which is made when it is first needed.
    pub fn on_disk(folder: PathBuf, bytes_max: u64) -> Option<Self> {
        let folder = Path::from_absolute_path(std::path::absolute(folder).ok()?).ok()?;
        Some(FileCache::in_store(Arc::new(LocalStore::new()), folder, bytes_max))
    }

    /// A cache below a folder of another store.
    pub fn in_store(store: Arc<dyn ObjectStore>, folder: Path, bytes_max: u64) -> Self {
        FileCache { store, folder, bytes_max, files: Arc::default() }
    }

    /// The name that a file of a place has here.
    ///
    /// The place is part of it: what somebody else wrote elsewhere under the same name is another file.
    pub(crate) fn path_of(&self, uri: &str, relative: &str) -> Path {
        let mut state = DefaultHasher::new();
        (uri, relative).hash(&mut state);
        let name: String =
            relative.rsplit('/').next().unwrap_or_default().chars().filter(char::is_ascii_graphic).collect();
        self.folder.clone().join(format!("{:016x}", state.finish())).join(name)
    }

    /// Whether a file of this size is here, or is worth being fetched now that reading without it costs so many bytes more.
    pub(crate) async fn wants(&self, path: &Path, size: u64, cost: u64) -> Wanted {
        let spent = match self.files().get(path) {
            Some(Known::Here) => return Wanted::Here,
            Some(Known::Spent(spent)) => Some(*spent),
            None => None,
        };
        // Another process may have fetched it, once.
        if spent.is_none() && self.store.head(path).await.is_ok_and(|meta| meta.size == size) {
            self.files().insert(path.clone(), Known::Here);
            return Wanted::Here;
        }
        let spent = spent.unwrap_or(0).saturating_add(cost);
        self.files().insert(path.clone(), Known::Spent(spent));
        let whole = size.saturating_add(size.div_ceil(PART_BYTES) * BYTES_A_REQUEST);
        if spent >= whole && size <= self.bytes_max / SHARE_OF_A_FILE { Wanted::Whole } else { Wanted::Pieces }
    }

    /// Pieces of a file that is here; none if it turns out not to be.
    pub(crate) async fn read(&self, path: &Path, pieces: &[Range<u64>]) -> Option<Vec<Bytes>> {
        let read = self.store.get_ranges(path, pieces).await.ok();
        let right = |(part, piece): (&Bytes, &Range<u64>)| part.len() as u64 == piece.end.saturating_sub(piece.start);
        match read {
            Some(parts) if parts.len() == pieces.len() && parts.iter().zip(pieces).all(right) => Some(parts),
            _ => {
                self.remove(path).await;
                None
            }
        }
    }

    /// Takes in a file of `size` bytes, of which `fetch` gives the parts. Whether it is here now.
    pub(crate) async fn take_in<F>(&self, path: &Path, size: u64, fetch: impl Fn(Range<u64>) -> F) -> bool
    where
        F: Future<Output = crate::error::Result<Bytes>>,
    {
        // Whatever comes of it, it is not tried again before the pieces have cost as much once more.
        self.files().insert(path.clone(), Known::Spent(0));
        if self.make_room(size).await.is_none() {
            return false;
        }
        let parts = (0..size.div_ceil(PART_BYTES)).map(|n| n * PART_BYTES..size.min((n + 1) * PART_BYTES));
        let mut parts = futures::stream::iter(parts).map(fetch).buffered(PARTS_IN_FLIGHT);
        if size <= PART_BYTES {
            let Some(Ok(bytes)) = parts.next().await else { return false };
            if self.store.put(path, PutPayload::from_bytes(bytes)).await.is_err() {
                return false;
            }
        } else {
            let Ok(upload) = self.store.put_multipart(path).await else { return false };
            let mut upload = WriteMultipart::new(upload);
            loop {
                match parts.try_next().await {
                    Ok(Some(bytes)) if upload.wait_for_capacity(PARTS_IN_FLIGHT).await.is_ok() => upload.put(bytes),
                    Ok(None) => break,
                    _ => {
                        let _ = upload.abort().await;
                        return false;
                    }
                }
            }
            if upload.finish().await.is_err() {
                return false;
            }
        }
        self.files().insert(path.clone(), Known::Here);
        true
    }

    /// Drops a file: it is gone from its store, or was found damaged here.
    pub(crate) async fn remove(&self, path: &Path) {
        self.files().insert(path.clone(), Known::Spent(0));
        let _ = self.store.delete(path).await;
    }

    /// Drops the files that came first until `size` bytes fit in; none if they cannot.
    async fn make_room(&self, size: u64) -> Option<()> {
        let mut held: Vec<_> =
            self.store.list(Some(&self.folder)).filter_map(|meta| async { meta.ok() }).collect().await;
        held.sort_by_key(|meta| (meta.last_modified, meta.location.clone()));
        let mut bytes: u64 = held.iter().map(|meta| meta.size).sum();
        for meta in held {
            if bytes.saturating_add(size) <= self.bytes_max {
                break;
            }
            self.remove(&meta.location).await;
            bytes -= meta.size;
        }
        (bytes.saturating_add(size) <= self.bytes_max).then_some(())
    }

    fn files(&self) -> MutexGuard<'_, HashMap<Path, Known>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a read is to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// The file is in the cache.
    Here,
    /// It should be fetched whole, and then read here.
    Whole,
    /// Only these pieces, from the store.
    Pieces,
}

/// What it costs to read these pieces from a store, in bytes.
pub(crate) fn cost(pieces: &[Range<u64>]) -> u64 {
    let mut pieces: Vec<_> = pieces.to_vec();
    pieces.sort_by_key(|piece| piece.start);
    let (mut cost, mut end) = (0u64, None::<u64>);
    for piece in pieces {
        let from = match end {
            Some(end) if piece.start <= end.saturating_add(GAP_MAX) => end,
            _ => {
                cost = cost.saturating_add(BYTES_A_REQUEST);
                piece.start
            }
        };
        cost = cost.saturating_add(piece.end.saturating_sub(from));
        end = Some(end.unwrap_or(0).max(piece.end));
    }
    cost
}

impl fmt::Debug for FileCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileCache")
            .field("folder", &self.folder)
            .field("bytes_max", &self.bytes_max)
            .finish_non_exhaustive()
    }
}
