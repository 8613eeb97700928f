//! V2 checkpoints: sidecars with the files, then the manifest that names them, then the hint.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use floe_storage::StorageError;
use floe_storage::checkpoint_file::{read_checkpoint, sidecar_name, write_log_parquet};
use floe_table_format::checkpoint::{last_v2_checkpoint, manifest, sidecar_batches, sidecar_schema, sidecars};
use floe_table_format::path::{LogFile, uuid_checkpoint_name};
use floe_table_format::plan::plan_sidecar_cleanup;
use floe_table_format::segment::LastCheckpointHint;
use floe_table_format::{Action, LogEntry, Sidecar, TableState, Version, parse_commit, write_commit};
use futures::StreamExt;

use super::ROWS_PER_BATCH;
use crate::error::{OnTable, Result};
use crate::table::Table;

#[cfg(test)]
mod tests;

/// Writes a V2 checkpoint with so many actions in a sidecar. Files are encoded batch by batch and never held as JSON: that
/// is only what grows with applications, domains and sidecars.
pub(super) async fn write(table: &Table, state: &Arc<TableState>, actions_per_sidecar: usize) -> Result<()> {
    let (uri, log, env) = (table.uri(), table.log_store(), table.env());
    let now = env.now();
    let schema = sidecar_schema(state).on(uri)?;
    let mut batches = sidecar_batches(state, now, ROWS_PER_BATCH, actions_per_sidecar).on(uri)?;
    let mut sidecars = Vec::new();
    let mut actions = 0;
    while let Some(sidecar) = batches.next_sidecar() {
        let path = format!("{}.parquet", env.uuid().as_hyphenated());
        let mut named = Sidecar { path, size_in_bytes: 0, modification_time: env.now().0, tags: None };
        let name = sidecar_name(&named).on(uri)?;
        let (bytes, rows) = write_log_parquet(log, &name, schema.clone(), sidecar).await.on(uri)?;
        named.size_in_bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        actions += rows;
        sidecars.push(named);
    }
    let lines = manifest(state, now, &sidecars);
    actions += lines.len() as u64;
    let name = uuid_checkpoint_name(state.version, env.uuid());
    let bytes = Bytes::from(write_commit(&lines));
    let size = bytes.len() as u64;
    log.write(&name, bytes).await.on(uri)?;
    let hint = last_v2_checkpoint(state, (&name, size, env.now()), sidecars, actions);
    log.write(LastCheckpointHint::NAME, Bytes::from(hint.to_json())).await.on(uri)
}

/// Deletes sidecars older than a day that no checkpoint names; gives their names, relative to the log.
///
/// Where a checkpoint cannot be read nobody knows which sidecars it needs, and all stay.
pub(super) async fn clean_up_sidecars(table: &Table) -> Result<Vec<String>> {
    let (uri, log) = (table.uri(), table.log_store());
    // Before the checkpoints are listed: one that appears in between is then among them.
    let listing = log.list_sidecars().await.on(uri)?;
    let now = table.env().now();
    if plan_sidecar_cleanup(&listing, &HashSet::new(), now).is_empty() {
        return Ok(Vec::new());
    }
    let mut referenced = HashSet::new();
    for entry in log.list(Version::ZERO).await.on(uri)? {
        match sidecars_of(table, &entry).await {
            Ok(named) => referenced.extend(named.into_iter().map(|sidecar| sidecar.path)),
            Err(error) if error.format_error().is_some() => return Ok(Vec::new()),
            Err(error) => return Err(error),
        }
    }
    let mut deleted = Vec::new();
    for name in plan_sidecar_cleanup(&listing, &referenced, now) {
        let sidecar = Sidecar { path: name, size_in_bytes: 0, modification_time: 0, tags: None };
        // One that no checkpoint could name is not ours to judge.
        let Ok(name) = sidecar_name(&sidecar) else { continue };
        log.delete(&name).await.on(uri)?;
        deleted.push(name);
    }
    Ok(deleted)
}

/// The sidecars that a file of the log names: a checkpoint of one file, whatever its name, may follow the V2 specification.
async fn sidecars_of(table: &Table, entry: &LogEntry) -> Result<Vec<Sidecar>> {
    let (uri, log) = (table.uri(), table.log_store());
    let named = match LogFile::parse(&entry.name) {
        // Never written to its end, and read by nobody.
        _ if entry.size == 0 => Vec::new(),
        LogFile::UuidCheckpoint { version, json: true, .. } => {
            let bytes = match log.read(&entry.name).await {
                Ok(bytes) => bytes,
                Err(StorageError::NotFound { .. }) => return Ok(Vec::new()),
                Err(error) => return Err(error).on(uri),
            };
            let actions = parse_commit(version, &entry.name, &bytes).on(uri)?;
            let named = actions.into_iter().filter_map(|action| match action {
                Action::Sidecar(sidecar) => Some(sidecar),
                _ => None,
            });
            named.collect()
        }
        LogFile::UuidCheckpoint { .. } | LogFile::ClassicCheckpoint(_) => {
            let mut batches = read_checkpoint(log, &entry.name, Some(entry.size), Some(&["sidecar"])).await.on(uri)?;
            let mut named = Vec::new();
            while let Some(batch) = batches.next().await {
                named.extend(sidecars(&batch.on(uri)?).on(uri)?);
            }
            named
        }
        _ => Vec::new(),
    };
    for sidecar in &named {
        sidecar_name(sidecar).on(uri)?;
    }
    Ok(named)
}
