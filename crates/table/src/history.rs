//! What happened to a table, and which version was current when.

use std::sync::Arc;

use floe_table_format::history::resolve_timestamp;
use floe_table_format::segment::choose;
use floe_table_format::{Action, CommitInfo, FormatError, LogEntry, TimestampMs, Version, VersionSpec, path::LogFile};
use futures::{FutureExt, Stream, StreamExt, TryStreamExt};

use crate::error::{OnTable, Result};
use crate::load::{self, read_commit};
use crate::snapshot::Snapshot;
use crate::table::Table;

/// One commit as the history tells it.
#[derive(Debug, Clone, PartialEq)]
pub struct HistoryEntry {
    /// The version it made.
    pub version: Version,
    /// When: the in-commit timestamp where the table has them, else the time of the log file.
    pub timestamp: TimestampMs,
    /// What the writer told of itself and its work.
    pub info: CommitInfo,
}

impl Table {
    /// The table at a version or a point in time.
    ///
    /// # Errors
    /// `VersionNotFound` or `TimestampOutOfRange` inside [`crate::TableError::Format`], or whatever reading the log meets.
    pub async fn at(&self, spec: VersionSpec) -> Result<Arc<Snapshot>> {
        let version = match spec {
            VersionSpec::Latest => return self.snapshot().await,
            VersionSpec::Version(version) => version,
            VersionSpec::Timestamp(at) => version_at(self, at).await?,
        };
        if let Some(known) = self.known().filter(|k| k.state.version == version) {
            return Ok(self.snapshot_of(known.state));
        }
        let state = load::at(self, Some(version)).await?;
        Ok(self.snapshot_of(state))
    }

    /// The newest commits first, at most `limit` of them.
    ///
    /// # Errors
    /// Whatever listing the log and reading its commits meet.
    pub async fn history(&self, limit: Option<usize>) -> Result<Vec<HistoryEntry>> {
        let listing = self.log_store().list(Version::ZERO).await.on(self.uri())?;
        self.commits_of(&listing, limit)?.map_ok(|(entry, _)| entry).try_collect().await
    }

    /// The newest commits of a listing of the log with what they did, at most `limit` of them. Those that were cleaned up
    /// since it was made are left out.
    pub(crate) fn commits_of(
        &self,
        listing: &[LogEntry],
        limit: Option<usize>,
    ) -> Result<impl Stream<Item = Result<(HistoryEntry, Vec<Action>)>> + Send + use<>> {
        let mut commits = commit_times(listing);
        if commits.is_empty() && earliest_version(listing).is_none() {
            return Err(FormatError::NotATable).on(self.uri());
        }
        commits.reverse();
        commits.truncate(limit.unwrap_or(usize::MAX));
        let table = self.clone();
        let entries = futures::stream::iter(commits).map(move |(version, modified)| {
            let table = table.clone();
            async move { table.history_entry(version, modified).await }.boxed()
        });
        Ok(entries.buffered(16).try_filter_map(|entry| std::future::ready(Ok(entry))))
    }

    /// None where the commit was cleaned up since it was listed.
    async fn history_entry(
        &self,
        version: Version,
        modified: TimestampMs,
    ) -> Result<Option<(HistoryEntry, Vec<Action>)>> {
        let Some(actions) = read_commit(self, version).await? else { return Ok(None) };
        let info = actions.iter().find_map(|action| match action {
            Action::CommitInfo(info) => Some(info.clone()),
            _ => None,
        });
        let info = info.unwrap_or_default();
        let timestamp = info.in_commit_timestamp.map_or(modified, TimestampMs);
        Ok(Some((HistoryEntry { version, timestamp, info }, actions)))
    }

    /// When a version was committed.
    ///
    /// # Errors
    /// Whatever listing the log and reading its commits meet.
    pub async fn version_timestamp(&self, version: Version) -> Result<Option<TimestampMs>> {
        if let Some(Some(time)) = in_commit_timestamp(self, version).await? {
            return Ok(Some(time));
        }
        let listing = self.log_store().list(version).await.on(self.uri())?;
        Ok(commit_times(&listing).into_iter().find(|(v, _)| *v == version).map(|(_, time)| time))
    }
}

/// The newest version whose commit is not later than `at`.
///
/// In-commit timestamps count from the version that enabled them on; before it, and without them, the store's file times
/// do, made monotonic.
pub(crate) async fn version_at(table: &Table, at: TimestampMs) -> Result<Version> {
    let uri = table.uri();
    let newest = table.snapshot().await?;
    let listing = table.log_store().list(Version::ZERO).await.on(uri)?;
    let earliest = earliest_version(&listing).ok_or(FormatError::NotATable).on(uri)?;
    let mut commits: Vec<(Version, TimestampMs)> =
        commit_times(&listing).into_iter().filter(|(v, _)| *v >= earliest).collect();
    let properties = &newest.state().properties;
    if properties.enable_in_commit_timestamps {
        let since = properties.in_commit_timestamp_enablement_version.unwrap_or(Version::ZERO);
        let (stamped, unstamped): (Vec<_>, Vec<_>) = commits.iter().copied().partition(|(v, _)| *v >= since);
        let began = match properties.in_commit_timestamp_enablement_timestamp {
            Some(began) => Some(began),
            None => match stamped.first() {
                Some((version, _)) => in_commit_timestamp(table, *version).await?.flatten(),
                None => None,
            },
        };
        if unstamped.is_empty() || began.is_some_and(|began| at >= began) {
            return stamped_version_at(table, &stamped, at).await;
        }
        // A copied log can have file times far beyond the first in-commit timestamp; the past stays in the past.
        commits = unstamped
            .into_iter()
            .map(|(v, time)| (v, began.map_or(time, |began| time.min(began.minus_ms(1)))))
            .collect();
        commits.extend(stamped.first().zip(began).map(|((v, _), began)| (*v, began)));
    }
    resolve_timestamp(&commits, at).on(uri)
}

/// In-commit timestamps rise with the version, so a few commits read are enough.
async fn stamped_version_at(table: &Table, commits: &[(Version, TimestampMs)], at: TimestampMs) -> Result<Version> {
    let uri = table.uri();
    let last = commits.len().checked_sub(1).ok_or(FormatError::NotATable).on(uri)?;
    let (earliest, latest) =
        (required_stamp(table, commits[0].0).await?, required_stamp(table, commits[last].0).await?);
    if at < earliest || at > latest {
        return Err(FormatError::TimestampOutOfRange { requested: at, earliest, latest }).on(uri);
    }
    let (mut low, mut high) = (0, last);
    while low < high {
        let middle = high - (high - low) / 2;
        if required_stamp(table, commits[middle].0).await? <= at { low = middle } else { high = middle - 1 }
    }
    Ok(commits[low].0)
}

async fn required_stamp(table: &Table, version: Version) -> Result<TimestampMs> {
    let missing = || FormatError::corrupt_log(Some(version), "_delta_log", "the commit has no in-commit timestamp");
    in_commit_timestamp(table, version).await?.flatten().ok_or_else(missing).on(table.uri())
}

async fn in_commit_timestamp(table: &Table, version: Version) -> Result<Option<Option<TimestampMs>>> {
    let Some(actions) = read_commit(table, version).await? else { return Ok(None) };
    Ok(Some(actions.iter().find_map(|action| match action {
        Action::CommitInfo(info) => info.in_commit_timestamp.map(TimestampMs),
        _ => None,
    })))
}

/// The oldest version that the log can rebuild.
fn earliest_version(listing: &[LogEntry]) -> Option<Version> {
    match choose(listing, Some(Version::ZERO), &[]) {
        Ok(_) => Some(Version::ZERO),
        Err(FormatError::VersionNotFound { earliest, .. }) => Some(earliest),
        Err(_) => None,
    }
}

/// Versions with the times of their files, ascending.
fn commit_times(listing: &[LogEntry]) -> Vec<(Version, TimestampMs)> {
    let mut commits: Vec<_> = listing
        .iter()
        .filter_map(|entry| match LogFile::parse(&entry.name) {
            LogFile::Commit(version) => Some((version, entry.modified)),
            _ => None,
        })
        .collect();
    commits.sort();
    commits
}
