//! What follows a commit, and can be left out without harm: checksum, checkpoint, hint, clean-up.
//!
//! Each is written whole or not at all, and the hint last: an interrupted checkpoint is an orphan that nobody reads.

use std::sync::Arc;

use bytes::Bytes;
use floe_storage::checkpoint_file;
use floe_table_format::checkpoint::{checkpoint_batches, checkpoint_schema, last_checkpoint};
use floe_table_format::checksum::VersionChecksum;
use floe_table_format::path::checksum_name;
use floe_table_format::plan::cleanup::plan_log_cleanup;
use floe_table_format::segment::LastCheckpointHint;
use floe_table_format::{TableState, Version};

use crate::error::{OnTable, Result};
use crate::table::Table;

/// Rows of one row group of a checkpoint: small enough that a reader can take several in parallel.
const ROWS_PER_BATCH: usize = 64 * 1024;

impl Table {
    /// Writes a checkpoint of the newest version, so that opening the table reads one file instead of many.
    ///
    /// # Errors
    /// Whatever reading the log or writing the checkpoint meets; the table is as readable as before.
    pub async fn checkpoint(&self) -> Result<Version> {
        let snapshot = self.snapshot().await?;
        write_checkpoint(self, snapshot.state()).await?;
        Ok(snapshot.version())
    }

    /// Deletes log files that no version inside the log's retention needs; gives their names, oldest first.
    ///
    /// # Errors
    /// Whatever listing and deleting meet. An interrupted clean-up leaves a readable log.
    pub async fn clean_up_log(&self) -> Result<Vec<String>> {
        let snapshot = self.snapshot().await?;
        clean_up(self, snapshot.state()).await
    }
}

/// Writes the checksum of a version of our own, and a checkpoint when one is due. Failures are passed over: the commit
/// stands, and the next one tries again.
pub(crate) async fn after_commit(table: &Table, state: &Arc<TableState>, token: &str) {
    let checksum = VersionChecksum::from_state(state, Some(token));
    let _ = table.log_store().write_new(&checksum_name(state.version), Bytes::from(checksum.to_json())).await;
    let interval = state.properties.checkpoint_interval.max(1);
    let due = state.version.get() > 0 && state.version.get().is_multiple_of(interval);
    // An old log is only cleaned behind a new checkpoint.
    if due && write_checkpoint(table, state).await.is_ok() && state.properties.enable_expired_log_cleanup {
        let _ = clean_up(table, state).await;
    }
}

pub(crate) async fn write_checkpoint(table: &Table, state: &Arc<TableState>) -> Result<()> {
    let (uri, log) = (table.uri(), table.log_store());
    if state.properties.wants_v2_checkpoints() {
        return Err(table.refuse(
            "write a checkpoint",
            "delta.checkpointPolicy is v2 and floe writes classic checkpoints; the log stays readable without one",
        ));
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

/// Deletes log files that no version needs which is younger than so many milliseconds.
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
    Ok(deleted)
}
