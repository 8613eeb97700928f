//! Rows of files, and the memory of which files they were.
//!
//! A table remembers a file as an application of its own that has come as far as the file's time: protocol section
//! "Transaction Identifiers". So the memory is committed with the rows, two loads of one file conflict, checkpoints of every
//! writer carry it, and `delta.setTransactionRetentionDuration` says how long.

use std::sync::Arc;

use floe_table_format::{Operation, TimestampMs};

use crate::append::SchemaMode;
use crate::commit::CommitReport;
use crate::error::Result;
use crate::rows::BatchStream;
use crate::snapshot::Snapshot;
use crate::table::Table;

/// What stands before a file's URI in the name of its application.
const APP_ID_PREFIX: &str = "floe.loaded:";

/// A file whose rows are loaded into a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadedFile {
    /// Where it lies, without credentials.
    pub uri: String,
    /// When it was modified last, as of loading it.
    pub modified: TimestampMs,
}

impl LoadedFile {
    fn app_id(uri: &str) -> String {
        format!("{APP_ID_PREFIX}{uri}")
    }
}

impl Snapshot {
    /// When the file at a URI was last modified, if its rows are loaded: none if the table does not remember it.
    pub fn loaded(&self, uri: &str) -> Option<TimestampMs> {
        let txn = self.state().txns.get(&LoadedFile::app_id(uri))?;
        Some(TimestampMs(txn.version))
    }
}

impl Table {
    /// Appends the rows of files in one commit, and remembers the files in it: [`Snapshot::loaded`] tells from then on.
    ///
    /// `read` is the snapshot by which the files were chosen.
    ///
    /// # Errors
    /// As [`Table::append_with`]; [`crate::TableError::Conflict`] if another writer has loaded one of the files since `read`.
    pub async fn load_files(
        &self,
        read: &Arc<Snapshot>,
        rows: BatchStream,
        files: &[LoadedFile],
        schema: SchemaMode,
    ) -> Result<CommitReport> {
        let (rows, snapshot) = match schema {
            SchemaMode::Fixed => (rows, read.clone()),
            SchemaMode::Merge => match self.columns_of(rows).await? {
                (rows, Some(found)) => (rows, read.grown_by(&found)?),
                (rows, None) => (rows, read.clone()),
            },
            SchemaMode::Overwrite => {
                return Err(self.refuse("give the table other columns", "the rows it has would lack them"));
            }
        };
        let partition_by = serde_json::json!(snapshot.state().metadata.partition_columns).to_string();
        let operation = Operation::new("COPY INTO")
            .with_parameter("mode", "Append")
            .with_parameter("partitionBy", partition_by)
            .with_parameter("files", files.len().to_string());
        let mut transaction = self.begin_at(&snapshot, operation)?;
        for file in files {
            transaction.record_app_progress(&LoadedFile::app_id(&file.uri), file.modified.0);
        }
        transaction.append(rows).await
    }
}
