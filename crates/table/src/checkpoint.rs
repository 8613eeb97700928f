//! What follows a commit, and can be left out without harm: checksum, checkpoint, hint, clean-up.
//!
//! Each is written whole or not at all, and the hint last: an interrupted checkpoint is an orphan that nobody reads.

use std::sync::Arc;

use bytes::Bytes;
use floe_storage::checkpoint_file;
use floe_table_format::checkpoint::{SIDECAR_ACTIONS, checkpoint_batches, checkpoint_schema, last_checkpoint};
use floe_table_format::checksum::VersionChecksum;
use floe_table_format::feature;
use floe_table_format::path::{LogFile, checksum_name};
use floe_table_format::plan::cleanup::plan_log_cleanup;
use floe_table_format::segment::LastCheckpointHint;
use floe_table_format::{TableState, Version};

use crate::error::{OnTable, Result};
use crate::table::Table;

/// On a store across a network a checksum is written for every so many versions: it would be one in four requests of a
/// small commit. Versions with a checkpoint, which readers hold it against, always have theirs.
const CHECKSUM_INTERVAL_REMOTE: u64 = 10;

mod manifest;

/// Rows of one row group of a checkpoint: small enough that a reader can take several in parallel.
const ROWS_PER_BATCH: usize = 64 * 1024;

impl Table {
    /// Writes a checkpoint of the newest version, so that opening the table reads one file instead of many; of the kind
    /// that `delta.checkpointPolicy` asks for.
    ///
    /// # Errors
    /// A feature of the table that this build cannot write; whatever reading the log or writing the checkpoint meets. The table is as readable as before.
    pub async fn checkpoint(&self) -> Result<Version> {
        let snapshot = self.snapshot().await?;
        check_writable(self, snapshot.state())?;
        write_checkpoint(self, snapshot.state()).await?;
        Ok(snapshot.version())
    }

    /// Deletes log files that no version inside the log's retention needs; gives their names, oldest first.
    ///
    /// # Errors
    /// A feature of the table that this build cannot write; whatever listing and deleting meet. An interrupted clean-up leaves a readable log.
    pub async fn clean_up_log(&self) -> Result<Vec<String>> {
        let snapshot = self.snapshot().await?;
        check_writable(self, snapshot.state())?;
        clean_up(self, snapshot.state()).await
    }
}

/// Refuses a table that declares a feature we cannot write: a checkpoint might lack what the feature adds to the log.
fn check_writable(table: &Table, state: &TableState) -> Result<()> {
    feature::check_writable(&state.protocol, &state.metadata, &state.schema).on(table.uri())
}

/// Writes a checkpoint and the checksum of a version of our own, when they are due. Failures are passed over: the commit
/// stands, and the next one tries again.
pub(crate) async fn after_commit(table: &Table, state: &Arc<TableState>, token: &str) {
    let interval = state.properties.checkpoint_interval.max(1);
    let due = state.version.get() > 0 && state.version.get().is_multiple_of(interval);
    if due || !table.location().kind.is_remote() || state.version.get().is_multiple_of(CHECKSUM_INTERVAL_REMOTE) {
        let checksum = VersionChecksum::from_state(state, Some(token));
        let _ = table.log_store().write_new(&checksum_name(state.version), Bytes::from(checksum.to_json())).await;
    }
    // An old log is only cleaned behind a new checkpoint.
    if due && write_checkpoint(table, state).await.is_ok() && state.properties.enable_expired_log_cleanup {
        let _ = clean_up(table, state).await;
    }
}

pub(crate) async fn write_checkpoint(table: &Table, state: &Arc<TableState>) -> Result<()> {
    let (uri, log) = (table.uri(), table.log_store());
    if state.properties.wants_v2_checkpoints() {
        return manifest::write(table, state, SIDECAR_ACTIONS).await;
    }
    let schema = checkpoint_schema(state).on(uri)?;
    let batches = checkpoint_batches(state, table.env().now(), ROWS_PER_BATCH).on(uri)?;
    let (bytes, rows) = checkpoint_file::write_checkpoint(log, state.version, schema, batches).await.on(uri)?;
    let hint = last_checkpoint(state, rows, bytes);
    log.write(LastCheckpointHint::NAME, Bytes::from(hint.to_json())).await.on(uri)?;
    Ok(())
}

async fn clean_up(table: &Table, state: &Arc<TableState>) -> Result<Vec<String>> {
    clean_up_beyond(table, state, state.properties.log_retention_ms).await
}

/// Deletes log files that no version needs which is younger than so many milliseconds, and then the sidecars that only the
/// checkpoints among them had.
pub(crate) async fn clean_up_beyond(table: &Table, state: &TableState, retention_ms: i64) -> Result<Vec<String>> {
    state.properties.check().on(table.uri())?;
    let listing = table.log_store().list(Version::ZERO).await.on(table.uri())?;
    let horizon = table.env().now().minus_ms(retention_ms);
    let doomed = plan_log_cleanup(&listing, horizon, state.properties.checkpoint_protection_before);
    let mut deleted = Vec::with_capacity(doomed.len());
    for name in doomed {
        // One after the other and oldest first: stopped anywhere, what remains is a whole log from some checkpoint on.
        table.log_store().delete(&name).await.on(table.uri())?;
        deleted.push(name);
    }
    // Sidecars without a checkpoint come from those that went. What a crash left is found with them, some time.
    if deleted.iter().any(|name| LogFile::parse(name).is_checkpoint()) {
        deleted.extend(manifest::clean_up_sidecars(table).await?);
    }
    Ok(deleted)
}
