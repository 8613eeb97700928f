//! Everything of a table that is not its log.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use floe_table_format::TimestampMs;
use floe_table_format::plan::vacuum::ListedFile;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{ObjectMeta, PutPayload};
use parquet::file::metadata::ParquetMetaData;

use crate::access::Access;
use crate::env::Env;
use crate::error::{Result, StorageError};
use crate::file_cache::{self, Wanted};
use crate::kept::Kept;
use crate::location::Location;
use crate::upload::Upload;

/// The folder of the log below the table's root.
pub(crate) const LOG_DIRECTORY: &str = "_delta_log";

/// Reads and writes files below a table's root.
///
/// Paths are relative to that root and decoded: as [`floe_table_format::path`] gives them, not as the log spells them.
/// A path that would leave the root is refused.
#[derive(Debug, Clone)]
pub struct DataStore {
    access: Access,
    footers: Arc<Kept<String, Footer>>,
}

/// What is known of a Parquet file, which never changes: its size, its footer, the places of its pages.
#[derive(Debug, Clone)]
pub(crate) struct Footer {
    pub(crate) size: u64,
    pub(crate) metadata: Arc<ParquetMetaData>,
}

/// Bytes of footers kept for reading single rows.
const FOOTER_BYTES_MAX: u64 = 32 << 20;

impl DataStore {
    /// The files at a location.
    pub fn new(location: Location, env: Env) -> Self {
        DataStore { access: Access::new(location, env), footers: Arc::new(Kept::new(FOOTER_BYTES_MAX)) }
    }

    /// Where the files are.
    pub fn location(&self) -> &Location {
        &self.access.location
    }

    /// The environment that deadlines are measured in.
    pub fn env(&self) -> &Env {
        &self.access.env
    }

    /// Footers of files that single rows were read from, with the places of their pages.
    pub(crate) fn footers(&self) -> &Kept<String, Footer> {
        &self.footers
    }

    pub(crate) fn access(&self) -> &Access {
        &self.access
    }

    /// Writes a file, replacing what is there. On a local disk it is durable when this returns.
    ///
    /// # Errors
    /// [`StorageError::InvalidLocation`] for a path that leaves the root, and the failures of the store.
    pub async fn put(&self, relative: &str, bytes: Bytes) -> Result<()> {
        let path = self.location().absolute(relative)?;
        self.access.put(&path, PutPayload::from_bytes(bytes)).await
    }

    /// Reads a whole file.
    ///
    /// # Errors
    /// [`StorageError::NotFound`], [`StorageError::CorruptDataFile`] for a body that ends early, and the failures of the
    /// store.
    pub async fn get(&self, relative: &str) -> Result<Bytes> {
        let path = self.location().readable(relative)?;
        self.access.get(&path, u64::MAX).await
    }

    /// Reads the bytes `range` of a file; exactly those or an error.
    ///
    /// # Errors
    /// As [`DataStore::get`].
    pub async fn get_range(&self, relative: &str, range: Range<u64>) -> Result<Bytes> {
        let path = self.location().readable(relative)?;
        self.access.get_range(&path, range).await
    }

    /// Reads several ranges of a file, in order; neighbouring ones in one request. Exactly those bytes or an error.
    ///
    /// # Errors
    /// As [`DataStore::get`].
    pub async fn get_ranges(&self, relative: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let path = self.location().readable(relative)?;
        self.access.get_ranges(&path, ranges).await
    }

    /// Reads several ranges of a file of `size` bytes that never changes, as [`DataStore::get_ranges`], by way of the
    /// location's [`FileCache`](crate::FileCache) where it has one. What the cache gives is to be checked by the caller,
    /// who calls [`DataStore::forget_kept`] and reads the file itself where it proves wrong.
    ///
    /// # Errors
    /// As [`DataStore::get`].
    pub async fn get_ranges_kept(&self, relative: &str, size: u64, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let Some(cache) = &self.location().cache else {
            return self.get_ranges(relative, ranges).await;
        };
        let kept = match self.keep(relative, size, file_cache::cost(ranges)).await {
            true => cache.read(&cache.path_of(&self.location().uri, relative), ranges).await,
            false => None,
        };
        match kept {
            Some(parts) => Ok(parts),
            None => self.get_ranges(relative, ranges).await,
        }
    }

    /// Whether [`DataStore::get_ranges_kept`] reads this file of `size` bytes without a request. `cost` is what the caller
    /// pays now if it does not, in bytes that could be read for it: once that adds up to the cost of fetching the file
    /// whole, it is fetched. Always `false` where the location has no cache.
    pub async fn keep(&self, relative: &str, size: u64, cost: u64) -> bool {
        let Some(cache) = &self.location().cache else { return false };
        let kept = cache.path_of(&self.location().uri, relative);
        match cache.wants(&kept, size, cost).await {
            Wanted::Here => true,
            Wanted::Whole => cache.take_in(&kept, size, |range| self.get_range(relative, range)).await,
            Wanted::Pieces => false,
        }
    }

    /// Drops a file from the location's cache.
    pub async fn forget_kept(&self, relative: &str) {
        if let Some(cache) = &self.location().cache {
            cache.remove(&cache.path_of(&self.location().uri, relative)).await;
        }
    }

    /// Reads the last `length` bytes of a file of `size` bytes, or all of a smaller one.
    ///
    /// # Errors
    /// As [`DataStore::get`].
    pub async fn get_tail(&self, relative: &str, size: u64, length: u64) -> Result<Bytes> {
        self.get_range(relative, size.saturating_sub(length)..size).await
    }

    /// Starts a file that is written front to back, however large: it appears whole when it is finished.
    ///
    /// # Errors
    /// [`StorageError::InvalidLocation`] for a path that leaves the root.
    pub fn upload(&self, relative: &str) -> Result<FileUpload> {
        let path = self.location().absolute(relative)?;
        Ok(FileUpload { upload: Upload::new(self.access.clone(), path) })
    }

    /// The files of a folder below the root, and of the folders in it, in no particular order.
    ///
    /// # Errors
    /// The failures of the store. A folder that is not there has no files.
    pub async fn list_folder(&self, relative: &str) -> Result<Vec<ListedFile>> {
        let location = self.location().clone();
        let folder = location.absolute(relative)?;
        let listing = self.access.each_within("list", &folder, location.store.list(Some(&folder)));
        let found: Vec<Result<ObjectMeta>> = listing.collect().await;
        let mut files = Vec::with_capacity(found.len());
        for entry in found {
            match entry {
                Ok(meta) => files.extend(location.relative(&meta.location).map(|path| listed(path, &meta))),
                Err(StorageError::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(files)
    }

    /// A file's size in bytes and when it was written.
    ///
    /// # Errors
    /// [`StorageError::NotFound`] and the failures of the store.
    pub async fn head(&self, relative: &str) -> Result<ListedFile> {
        let path = self.location().readable(relative)?;
        let meta = self.access.head(&path).await?;
        Ok(listed(relative.to_owned(), &meta))
    }

    /// Deletes files, up to 1000 a request where the store can; one result for each, in the same order. A file that is
    /// not there counts as deleted.
    pub async fn delete_many(&self, relative: Vec<String>) -> Vec<Result<()>> {
        let mut results: Vec<Result<()>> = Vec::with_capacity(relative.len());
        let mut paths = Vec::with_capacity(relative.len());
        let mut places = Vec::with_capacity(relative.len());
        for (place, relative) in relative.iter().enumerate() {
            match self.location().absolute(relative) {
                Ok(path) => {
                    // Replaced below; a store that answers for fewer files than asked has not deleted the rest.
                    results.push(Err(StorageError::Unavailable {
                        operation: "delete",
                        path: path.to_string(),
                        what: "the store did not answer for this file".into(),
                    }));
                    places.push(place);
                    paths.push(path);
                }
                Err(error) => results.push(Err(error)),
            }
        }
        let requests = futures::stream::iter(paths).map(Ok::<Path, object_store::Error>).boxed();
        let answers = self.location().store.delete_stream(requests);
        let mut answers = self.access.each_within("delete", &self.location().root, answers);
        let mut answered = 0;
        while let Some(answer) = answers.next().await {
            let Some(place) = places.get(answered) else { break };
            results[*place] = match answer {
                Ok(_) | Err(StorageError::NotFound { .. }) => Ok(()),
                Err(error) => Err(error),
            };
            answered += 1;
        }
        results
    }

    /// Every file below the root but those of the log, in no particular order. Memory is bounded by a page.
    pub fn list_all(&self) -> BoxStream<'static, Result<ListedFile>> {
        let location = self.location().clone();
        let listing = location.store.list(Some(&location.root));
        self.access
            .each_within("list", &location.root.clone(), listing)
            .filter_map(move |entry| {
                let found = match entry {
                    Ok(meta) => location
                        .relative(&meta.location)
                        .filter(|path| path.split('/').next() != Some(LOG_DIRECTORY))
                        .map(|path| Ok(listed(path, &meta))),
                    // A local folder that is not there; object stores list nothing.
                    Err(StorageError::NotFound { .. }) => None,
                    Err(error) => Some(Err(error)),
                };
                futures::future::ready(found)
            })
            .boxed()
    }
}

/// A file on its way into the store, front to back. Dropped before it is finished, it leaves nothing under its name.
#[derive(Debug)]
pub struct FileUpload {
    upload: Upload,
}

impl FileUpload {
    /// Takes in the next bytes. Waits while too much is on its way.
    ///
    /// # Errors
    /// The failures of the store; there is no file then.
    pub async fn push(&mut self, bytes: Bytes) -> Result<()> {
        self.upload.push(bytes).await
    }

    /// Completes the file and returns its size in bytes.
    ///
    /// # Errors
    /// The failures of the store; there is no file then.
    pub async fn finish(self) -> Result<u64> {
        self.upload.finish().await
    }
}

fn listed(path: String, meta: &ObjectMeta) -> ListedFile {
    ListedFile { path, size: meta.size, modified: TimestampMs(meta.last_modified.timestamp_millis()) }
}
