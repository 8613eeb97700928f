//! Deleting files that no version inside the retention reaches.

use std::collections::HashSet;
use std::sync::Arc;

use floe_table_format::plan::vacuum::{ListedFile, plan_vacuum, referenced_paths, required_paths};
use floe_table_format::{TableState, TimestampMs, feature};
use futures::TryStreamExt;

use crate::error::{OnTable, Result};
use crate::key::PrimaryKey;
use crate::meter::Meter;
use crate::record_index::INDEX_FOLDER;
use crate::table::Table;

/// Settings of [`Table::vacuum`].
#[derive(Debug, Clone, Default)]
pub struct VacuumOptions {
    /// How long a file stays after it was removed or left behind; the table's `delta.deletedFileRetentionDuration` by
    /// default, seven days where that is not set.
    pub retention_ms: Option<i64>,
    /// Only tells what would be deleted.
    pub dry_run: bool,
    /// Accepts a retention below the table's own. Readers of older versions and writers that have not committed yet
    /// may lose their files then.
    pub force: bool,
    /// Counts the files that are found, those to be deleted, and those that are deleted.
    pub meter: Option<Arc<Meter>>,
}

/// Files whose deletion is asked for together: stores take a thousand with a request, and some twenty requests at a time.
const DELETED_TOGETHER: usize = 20_000;

/// What a vacuum did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VacuumReport {
    /// Files deleted, or to be deleted in a dry run; relative to the table.
    pub files: Vec<String>,
    /// Their bytes.
    pub bytes: u64,
    /// Files the store would not delete, with its reason.
    pub failed: Vec<(String, String)>,
}

impl Table {
    /// Deletes files that are not part of the table, were not part of it within the retention, and are older than it.
    ///
    /// # Errors
    /// A feature of the table that this build cannot write; [`crate::TableError::InvalidRequest`] for a retention below the table's own without `force`, or if a live file is missing in
    /// the store's listing: then paths are spelled differently there, and deleting would be a guess.
    pub async fn vacuum(&self, options: VacuumOptions) -> Result<VacuumReport> {
        let uri = self.uri();
        let snapshot = self.snapshot().await?;
        let state = snapshot.state();
        // Protocol section "Vacuum Protocol Check": a feature of writers may keep files that nothing else names.
        feature::check_writable(&state.protocol, &state.metadata, &state.schema).on(uri)?;
        state.properties.check().on(uri)?;
        let floor = state.properties.deleted_file_retention_ms;
        let retention = options.retention_ms.unwrap_or(floor);
        if retention < 0 {
            return Err(self.refuse("vacuum", "the retention is negative"));
        }
        if retention < floor && !options.force && !options.dry_run {
            let hours = floor / 3_600_000;
            return Err(self.refuse(
                "vacuum",
                format!(
                    "a retention of {} hours is below the table's {hours}; files of running readers and writers would go. \
                     set delta.deletedFileRetentionDuration, or force it",
                    retention / 3_600_000
                ),
            ));
        }
        let horizon = self.env().now().minus_ms(retention);
        let root = self.root();
        let referenced: HashSet<String> = referenced_paths(state, &root, horizon).on(uri)?;
        let required: HashSet<String> = required_paths(state, &root).on(uri)?;
        let meter = options.meter.unwrap_or_default();
        let listing = self.data_store().list_all().inspect_ok(|_| Meter::add(&meter.files_total, 1));
        let listing: Vec<ListedFile> = listing.try_collect().await.on(uri)?;
        let plan = plan_vacuum(&referenced, &required, listing, horizon).on(uri)?;
        let mut report = VacuumReport {
            files: plan.files.iter().map(|f| f.path.clone()).collect(),
            bytes: plan.files.iter().map(|f| f.size).sum(),
            failed: Vec::new(),
        };
        if !options.dry_run {
            // What stays behind of the index does no harm.
            let _ = self.vacuum_index(state, horizon).await;
        }
        if options.dry_run || report.files.is_empty() {
            return Ok(report);
        }
        Meter::add(&meter.files_to_do, report.files.len() as u64);
        Meter::add(&meter.bytes_to_do, report.bytes);
        for paths in report.files.chunks(DELETED_TOGETHER) {
            let outcomes = self.data_store().delete_many(paths.to_vec()).await;
            for (path, outcome) in paths.iter().zip(outcomes) {
                if let Err(error) = outcome {
                    report.failed.push((path.clone(), error.to_string()));
                }
            }
            Meter::add(&meter.files_done, paths.len() as u64);
        }
        let failed: HashSet<String> = report.failed.iter().map(|(path, _)| path.clone()).collect();
        report.bytes = plan.files.iter().filter(|f| !failed.contains(&f.path)).map(|f| f.size).sum();
        report.files.retain(|path| !failed.contains(path));
        Ok(report)
    }

    /// Deletes runs of the record index that are about no live file, or unusable, and older than the horizon: a writer that
    /// has not committed yet may have written younger ones.
    async fn vacuum_index(&self, state: &TableState, horizon: TimestampMs) -> Result<()> {
        let Some(key) = PrimaryKey::of(self.uri(), &state.metadata)? else { return Ok(()) };
        self.index().list(self.data_store(), self.env(), &key).await.on(self.uri())?;
        let wanted = self.index().wanted(state, &key);
        let listing = self.data_store().list_folder(INDEX_FOLDER).await.on(self.uri())?;
        let doomed: Vec<String> = listing
            .into_iter()
            .filter(|file| file.modified < horizon && !wanted.contains(&file.path))
            .map(|file| file.path)
            .collect();
        if !doomed.is_empty() {
            self.index().forget(&doomed);
            for outcome in self.data_store().delete_many(doomed).await {
                outcome.on(self.uri())?;
            }
        }
        Ok(())
    }
}
