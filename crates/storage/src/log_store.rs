//! The log: the folder `_delta_log` and the one race in it.

use std::sync::Arc;

use bytes::Bytes;
use floe_table_format::path::commit_name;
use floe_table_format::segment::LastCheckpointHint;
use floe_table_format::{FormatError, LogEntry, TimestampMs, Version};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectMeta, PutPayload};

use crate::access::Access;
use crate::data_store::LOG_DIRECTORY;
use crate::env::Env;
use crate::error::{PutFailure, Result, StorageError, classify_put};
use crate::location::Location;
use crate::ratified::{Instead, RatifiedCommits};

#[cfg(test)]
mod tests;

/// The largest log file that is read into memory, in bytes.
pub const LOG_FILE_BYTES_MAX: u64 = 4 << 30;

/// The folder of sidecars, below `_delta_log`.
pub const SIDECAR_FOLDER: &str = "_sidecars";

/// Log files read at the same time.
const READS_IN_FLIGHT: usize = 16;

/// Who has the version after a put-if-absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum PutOutcome {
    /// This call wrote it.
    Written,
    /// It exists. Usually another writer's; but where an answer got lost on the way it may be this writer's own, which
    /// only a look at the commit's token tells.
    Taken,
}

/// Lists, reads and appends to a table's log. Names are relative to `_delta_log`.
#[derive(Debug, Clone)]
pub struct LogStore {
    access: Access,
    /// What a catalog says of the log; none for a log that speaks for itself.
    ratified: Option<Arc<RatifiedCommits>>,
}

impl LogStore {
    /// The log at a location. Nothing is read yet.
    pub fn new(location: Location, env: Env) -> Self {
        LogStore { access: Access::new(location, env), ratified: None }
    }

    /// The log as a catalog says that it is: commits that were not published yet are read as if they were, and what goes beyond the
    /// newest version that it names is not there.
    pub fn with_ratified_commits(mut self, ratified: RatifiedCommits) -> Self {
        self.ratified = Some(Arc::new(ratified));
        self
    }

    /// What a catalog says of the log.
    pub fn ratified_commits(&self) -> Option<&RatifiedCommits> {
        self.ratified.as_deref()
    }

    /// The table's location.
    pub fn location(&self) -> &Location {
        &self.access.location
    }

    /// The environment that deadlines are measured in.
    pub fn env(&self) -> &Env {
        &self.access.env
    }

    pub(crate) fn access(&self) -> &Access {
        &self.access
    }

    pub(crate) fn path(&self, name: &str) -> Result<Path> {
        self.location().absolute(&format!("{LOG_DIRECTORY}/{name}"))
    }

    /// Whether there is anything in the log folder.
    ///
    /// # Errors
    /// The failures of the store; a refused listing is an error and never an empty log.
    pub async fn exists(&self) -> Result<bool> {
        Ok(self.listing(None)?.try_next().await?.is_some())
    }

    /// The log files of version `from` and later, sorted by name: commits, checkpoints, checksums and what others left
    /// there. The hint and subfolders are not listed. One listing; an empty one means there is no such file.
    ///
    /// # Errors
    /// The failures of the store.
    pub async fn list(&self, from: Version) -> Result<Vec<LogEntry>> {
        let mut entries: Vec<LogEntry> = self.listing(Some(from))?.try_collect().await?;
        // Stores may list in any order and repeat an entry across pages.
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        entries.dedup_by(|a, b| a.name == b.name);
        Ok(match &self.ratified {
            Some(ratified) => ratified.completed(entries, from),
            None => entries,
        })
    }

    /// The sidecars of V2 checkpoints: the Parquet files in `_delta_log/_sidecars`, sorted by name, without the folder.
    ///
    /// # Errors
    /// The failures of the store.
    pub async fn list_sidecars(&self) -> Result<Vec<LogEntry>> {
        let folder = self.path(SIDECAR_FOLDER)?;
        let listing = self.access.each_within("list", &folder, self.location().store.list(Some(&folder)));
        let found: Vec<Result<ObjectMeta>> = listing.collect().await;
        let mut entries = Vec::with_capacity(found.len());
        for entry in found {
            match entry {
                Ok(meta) => entries.extend(sidecar_entry(&folder, &meta)),
                Err(StorageError::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        entries.dedup_by(|a, b| a.name == b.name);
        Ok(entries)
    }

    fn listing(&self, from: Option<Version>) -> Result<BoxStream<'static, Result<LogEntry>>> {
        let location = self.location().clone();
        let folder = location.absolute(LOG_DIRECTORY)?;
        let listing = match from {
            // The name without its ending sorts just before all names of that version.
            Some(from) => location.store.list_with_offset(Some(&folder), &self.path(&format!("{:020}", from.get()))?),
            None => location.store.list(Some(&folder)),
        };
        let entries = self.access.each_within("list", &folder.clone(), listing).filter_map(move |entry| {
            let found = match entry {
                Ok(meta) => log_name(&folder, &meta.location).map(|name| {
                    Ok(LogEntry { name, size: meta.size, modified: TimestampMs(meta.last_modified.timestamp_millis()) })
                }),
                // A local folder that is not there; object stores list nothing.
                Err(StorageError::NotFound { .. }) => None,
                Err(error) => Some(Err(error)),
            };
            futures::future::ready(found)
        });
        Ok(entries.boxed())
    }

    /// The bytes of a log file, checked to be as many as the store announced.
    ///
    /// # Errors
    /// [`StorageError::NotFound`]; `CorruptLog` for a body that ends early even when asked twice; `LimitExceeded` beyond
    /// [`LOG_FILE_BYTES_MAX`]; the failures of the store.
    pub async fn read(&self, name: &str) -> Result<Bytes> {
        match self.ratified.as_ref().map_or(Instead::InPlace, |ratified| ratified.instead_of(name)) {
            Instead::InPlace => {}
            Instead::Nowhere => return Err(Instead::not_found(name)),
            Instead::Here(bytes) => return Ok(bytes.clone()),
            Instead::File(staged) => match self.fetch(&staged).await {
                // Once it was published, it may be gone from where it was staged.
                Err(StorageError::NotFound { .. }) => {}
                done => return done,
            },
        }
        self.fetch(name).await
    }

    async fn fetch(&self, name: &str) -> Result<Bytes> {
        let path = self.path(name)?;
        self.access.get(&path, LOG_FILE_BYTES_MAX).await.map_err(|error| match error {
            StorageError::CorruptDataFile { path, what } => FormatError::corrupt_log(None, path, what).into(),
            other => other,
        })
    }

    /// Log files with their bytes, in the order of `names`, at most 16 under way at a time.
    pub fn read_many(&self, names: Vec<String>) -> BoxStream<'static, Result<(String, Bytes)>> {
        let log = self.clone();
        futures::stream::iter(names)
            .map(move |name| {
                let log = log.clone();
                async move {
                    let bytes = log.read(&name).await?;
                    Ok((name, bytes))
                }
            })
            .buffered(READS_IN_FLIGHT)
            .boxed()
    }

    /// The hint at the newest checkpoint; none if there is none or it is not readable, for it is only a hint.
    ///
    /// # Errors
    /// The failures of the store.
    pub async fn read_hint(&self) -> Result<Option<LastCheckpointHint>> {
        match self.read(LastCheckpointHint::NAME).await {
            Ok(bytes) => Ok(LastCheckpointHint::parse(&bytes)),
            Err(StorageError::NotFound { .. } | StorageError::Format(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Creates the commit file of `version`, unless it exists.
    ///
    /// The bytes appear whole or not at all, and on a local disk they are durable when this returns. It is one request:
    /// settling an unknown outcome is up to the caller, who can read the version back and compare the commit's token.
    ///
    /// # Errors
    /// [`StorageError::UnknownOutcome`] if the file may or may not be there now;
    /// [`StorageError::StoreLacksConditionalPut`] if the store refuses the condition. After any other error nothing was
    /// written.
    pub async fn put_if_absent(&self, version: Version, bytes: Bytes) -> Result<PutOutcome> {
        let path = self.path(&commit_name(version))?;
        let unknown = |what: String| StorageError::UnknownOutcome { version, what };
        let error = match self.access.create(&path, PutPayload::from_bytes(bytes)).await {
            Some(Ok(())) => return Ok(PutOutcome::Written),
            Some(Err(error)) => error,
            None => return Err(unknown("the store did not answer in time".into())),
        };
        match classify_put(&error) {
            PutFailure::Taken => Ok(PutOutcome::Taken),
            PutFailure::NotApplied => Err(self.location().error("write", path.as_ref(), &error)),
            PutFailure::Unknown => Err(unknown(self.location().redact(&error))),
            PutFailure::ConditionRefused => Err(StorageError::StoreLacksConditionalPut {
                uri: self.location().uri.clone(),
                why: self.location().redact(&error),
            }),
        }
    }

    /// Writes a log file that is no commit, replacing what is there: a checksum, the hint.
    ///
    /// # Errors
    /// The failures of the store.
    pub async fn write(&self, name: &str, bytes: Bytes) -> Result<()> {
        let path = self.path(name)?;
        self.access.put(&path, PutPayload::from_bytes(bytes)).await
    }

    /// Writes a log file that is no commit, unless it exists. An unknown outcome is an error here: such files can be
    /// written again.
    ///
    /// # Errors
    /// The failures of the store.
    pub async fn write_new(&self, name: &str, bytes: Bytes) -> Result<PutOutcome> {
        let path = self.path(name)?;
        match self.access.create(&path, PutPayload::from_bytes(bytes)).await {
            Some(Ok(())) => Ok(PutOutcome::Written),
            Some(Err(error)) if classify_put(&error) == PutFailure::Taken => Ok(PutOutcome::Taken),
            Some(Err(error)) => Err(self.location().error("write", path.as_ref(), &error)),
            None => Err(StorageError::Timeout {
                operation: "write",
                path: path.to_string(),
                after: crate::access::REQUEST_DEADLINE,
            }),
        }
    }

    /// Deletes a log file. One that is not there counts as deleted.
    ///
    /// # Errors
    /// The failures of the store.
    pub async fn delete(&self, name: &str) -> Result<()> {
        let path = self.path(name)?;
        self.access.delete(&path).await
    }
}

/// A sidecar; none for what lies deeper, is hidden, or is no Parquet file.
fn sidecar_entry(folder: &Path, meta: &ObjectMeta) -> Option<LogEntry> {
    let name = meta.location.as_ref().strip_prefix(folder.as_ref())?.strip_prefix('/')?;
    let plain = !name.contains('/') && !name.starts_with('.') && name.ends_with(".parquet");
    let modified = TimestampMs(meta.last_modified.timestamp_millis());
    plain.then(|| LogEntry { name: name.to_owned(), size: meta.size, modified })
}

/// The name of a file that lies directly in the log folder; none for deeper ones and for the hint.
fn log_name(folder: &Path, path: &Path) -> Option<String> {
    let name = path.as_ref().strip_prefix(folder.as_ref())?.strip_prefix('/')?;
    (!name.contains('/') && name != LastCheckpointHint::NAME).then(|| name.to_owned())
}
