//! The one way a version is read: list, choose a segment, read it in parallel, replay.
//!
//! Time travel is a version handed in; nothing downstream knows. From an older state the same path reads only the
//! commits that are newer.

use std::sync::Arc;

use bytes::Bytes;
use floe_storage::StorageError;
use floe_storage::checkpoint_file::{read_checkpoint, sidecar_name};
use floe_table_format::checkpoint::read_columns;
use floe_table_format::checksum::VersionChecksum;
use floe_table_format::feature::{Feature, has_feature};
use floe_table_format::path::{LogFile, commit_name};
use floe_table_format::replay::Replay;
use floe_table_format::segment::{CheckpointKind, CommitFile, choose};
use floe_table_format::{Action, FormatError, LogEntry, LogSegment, TableState, TimestampMs, Version, parse_commit};
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, TryStreamExt};

use crate::error::{OnTable, Result};
use crate::table::Table;

/// Files of the log read at the same time.
const READS_IN_FLIGHT: usize = 16;

/// The state at a version, or at the newest one.
pub(crate) async fn at(table: &Table, target: Option<Version>) -> Result<Arc<TableState>> {
    let uri = table.uri();
    let hint = table.0.log.read_hint().await.on(uri)?;
    // The hint only shortens the listing: whatever it says, the listing decides.
    let from = hint.map(|h| h.version).filter(|v| target.is_none_or(|t| *v <= t)).unwrap_or(Version::ZERO);
    let mut listing = table.0.log.list(from).await.on(uri)?;
    let mut excluded: Vec<Version> = Vec::new();
    let mut listed_from = from;
    let mut refusal: Option<FormatError> = None;
    loop {
        let segment = match choose(&listing, target, &excluded) {
            Ok(segment) if listed_from == Version::ZERO || segment.checkpoint.is_some() => segment,
            Ok(_) | Err(_) if listed_from != Version::ZERO => {
                // A stale or false hint, or a checkpoint that had to be put aside: look at the whole log.
                listed_from = Version::ZERO;
                listing = table.0.log.list(Version::ZERO).await.on(uri)?;
                continue;
            }
            Ok(segment) => segment,
            // The log without the broken checkpoint is not enough: the checkpoint is what has to be repaired.
            Err(error) => return Err(refusal.unwrap_or(error)).on(uri),
        };
        match read_segment(table, &segment).await {
            Ok(state) => {
                let state = if target.is_none() { catch_up(table, state).await? } else { state };
                state.check_readable_given(table.given_features()).on(uri)?;
                check_ratified(table, target, &state)?;
                let state = with_commit_timestamp(table, state).await?;
                verify(table, &segment, &state).await?;
                return Ok(Arc::new(state));
            }
            // Compacted commits repeat what the commits say. Where they say it wrongly, the commits may do.
            Err(error)
                if matches!(error.format_error(), Some(FormatError::CorruptLog { .. }))
                    && segment.commits.iter().any(|commit| commit.from != commit.to) =>
            {
                let compacted =
                    |entry: &LogEntry| matches!(LogFile::parse(&entry.name), LogFile::CompactedCommits { .. });
                listing.retain(|entry| !compacted(entry));
            }
            Err(error) => match (error.format_error(), segment.checkpoint) {
                (Some(broken @ FormatError::CorruptCheckpoint { .. }), Some(checkpoint)) => {
                    refusal.get_or_insert(broken.clone());
                    excluded.push(checkpoint.version);
                }
                _ => return Err(error),
            },
        }
    }
}

/// Refuses the newest state of a log that is not what the catalog said of it.
fn check_ratified(table: &Table, target: Option<Version>, state: &TableState) -> Result<()> {
    let Some(ratified) = table.0.log.ratified_commits().filter(|_| target.is_none()) else { return Ok(()) };
    if !has_feature(&state.protocol, &Feature::CatalogManaged) {
        return Err(table.refuse("read it as its catalog says", "no catalog manages it: its log speaks for itself"));
    }
    if state.version != ratified.newest() {
        let what = format!(
            "the catalog ends at version {}; the log and the commits it gave end at {}",
            ratified.newest(),
            state.version
        );
        return Err(table.refuse("read it as its catalog says", what));
    }
    Ok(())
}

/// The state after the commits that follow `base`; none if there are none yet. One request where nothing is new.
pub(crate) async fn newer(table: &Table, base: &Arc<TableState>) -> Result<Option<Arc<TableState>>> {
    let commits = commits_after(table, base.version).await?;
    if commits.is_empty() {
        return Ok(None);
    }
    let state = base.apply(&commits).on(table.uri())?;
    state.check_readable_given(table.given_features()).on(table.uri())?;
    Ok(Some(Arc::new(state)))
}

/// Whether the log still holds the commit of a version.
pub(crate) async fn is_there(table: &Table, version: Version) -> Result<bool> {
    let listing = table.0.log.list(version).await.on(table.uri())?;
    Ok(listing.iter().any(|entry| entry.name == commit_name(version)))
}

/// The commits after a version, in order, found by asking for the next one until there is none.
///
/// Asking beats listing: a store whose listings lag still answers for a name, and no answer costs one request. A batch
/// is fetched at a time, growing, so that a reader far behind is not one round trip a version behind.
pub(crate) async fn commits_after(table: &Table, version: Version) -> Result<Vec<(Version, Vec<Action>)>> {
    let uri = table.uri();
    let mut commits = Vec::new();
    let mut next = version.next().on(uri)?;
    let mut batch = 1u64;
    loop {
        let mut wanted = Vec::new();
        for offset in 0..batch {
            wanted.push(Version::new(next.get().saturating_add(offset)).on(uri)?);
        }
        let mut found = each(table, wanted, |table, version| async move { read_commit(&table, version).await }.boxed());
        while let Some(actions) = found.next().await {
            match actions? {
                // What was asked for beyond the first that is missing does not matter, nor whether it failed.
                None => return Ok(commits),
                Some(actions) => {
                    commits.push((next, actions));
                    next = next.next().on(uri)?;
                }
            }
        }
        batch = (batch * 4).min(64);
    }
}

/// The actions of one commit; none if the file is not there.
pub(crate) async fn read_commit(table: &Table, version: Version) -> Result<Option<Vec<Action>>> {
    let name = commit_name(version);
    match table.0.log.read(&name).await {
        Ok(bytes) => parse_commit(version, &format!("_delta_log/{name}"), &bytes).map(Some).on(table.uri()),
        Err(StorageError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error).on(table.uri()),
    }
}

/// The state that the files of a segment give.
pub(crate) async fn read_segment(table: &Table, segment: &LogSegment) -> Result<TableState> {
    let uri = table.uri();
    let mut replay = Replay::new();
    if let Some(checkpoint) = &segment.checkpoint {
        let mut sidecars = Vec::new();
        for file in &checkpoint.files {
            if checkpoint.kind == (CheckpointKind::Uuid { json: true }) {
                let bytes = table.0.log.read(&file.name).await.on(uri)?;
                let path = format!("_delta_log/{}", file.name);
                let actions = parse_commit(checkpoint.version, &path, &bytes)
                    .map_err(|e| FormatError::corrupt_checkpoint(&path, e.to_string()))
                    .on(uri)?;
                sidecars.extend(replay.add_checkpoint_actions(actions).on(uri)?);
            } else {
                let mut batches =
                    read_checkpoint(&table.0.log, &file.name, Some(file.size), Some(read_columns())).await.on(uri)?;
                while let Some(batch) = batches.next().await {
                    sidecars.extend(replay.add_checkpoint_batch(&batch.on(uri)?).on(uri)?);
                }
            }
        }
        let mut parts = each(table, sidecars, |table, sidecar| {
            async move {
                let name = sidecar_name(&sidecar).on(table.uri())?;
                let size = u64::try_from(sidecar.size_in_bytes).ok();
                let batches = read_checkpoint(&table.0.log, &name, size, Some(read_columns())).await.on(table.uri())?;
                batches.try_collect::<Vec<_>>().await.on(table.uri())
            }
            .boxed()
        });
        while let Some(batches) = parts.next().await {
            for batch in batches? {
                replay.add_checkpoint_batch(&batch).on(uri)?;
            }
        }
    }
    let mut commits = each(table, segment.commits.clone(), |table, commit| {
        async move { read_commit_file(&table, &commit).await }.boxed()
    });
    while let Some(commit) = commits.next().await {
        let (version, path, bytes) = commit?;
        replay.add_commit_bytes(version, &path, &bytes).on(uri)?;
    }
    drop(commits);
    replay.finish(segment.version).on(uri)
}

/// What `read` gives for each item, in order, several at a time.
fn each<I: Send + 'static, O: Send + 'static>(
    table: &Table,
    items: Vec<I>,
    read: fn(Table, I) -> BoxFuture<'static, Result<O>>,
) -> BoxStream<'static, Result<O>> {
    let table = table.clone();
    futures::stream::iter(items).map(move |item| read(table.clone(), item)).buffered(READS_IN_FLIGHT).boxed()
}

async fn read_commit_file(table: &Table, commit: &CommitFile) -> Result<(Version, String, Bytes)> {
    let LogEntry { name, .. } = &commit.entry;
    let bytes = table.0.log.read(name).await.on(table.uri())?;
    Ok((commit.to, format!("_delta_log/{name}"), bytes))
}

/// The commits a listing did not show yet: some stores list late.
async fn catch_up(table: &Table, state: TableState) -> Result<TableState> {
    let commits = commits_after(table, state.version).await?;
    if commits.is_empty() { Ok(state) } else { state.apply(&commits).on(table.uri()) }
}

/// The state with its in-commit timestamp, which a checkpoint of the version does not hold and the next commit needs.
async fn with_commit_timestamp(table: &Table, mut state: TableState) -> Result<TableState> {
    if state.commit_timestamp.is_none() && state.properties.enable_in_commit_timestamps {
        let actions = read_commit(table, state.version).await?.unwrap_or_default();
        state.commit_timestamp = actions.iter().find_map(|action| match action {
            Action::CommitInfo(info) => info.in_commit_timestamp.map(TimestampMs),
            _ => None,
        });
    }
    Ok(state)
}

/// Compares the state with the version checksum, where the log has one for exactly this version.
///
/// An unreadable checksum proves nothing and is passed over; a readable one that disagrees means files are missing or
/// doubled, and rows must not be served from that.
async fn verify(table: &Table, segment: &LogSegment, state: &TableState) -> Result<()> {
    let Some(entry) =
        segment.checksum.as_ref().filter(|_| segment.checkpoint.is_some() && segment.version == state.version)
    else {
        return Ok(());
    };
    let Ok(bytes) = table.0.log.read(&entry.name).await else { return Ok(()) };
    let Ok(checksum) = VersionChecksum::parse(&bytes) else { return Ok(()) };
    checksum.verify(state).on(table.uri())
}
