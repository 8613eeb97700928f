//! Mending what can be mended without guessing: files that are derived from the log are made anew, and files that are gone
//! are given up where the caller says so.

use floe_storage::StorageError;
use floe_storage::checkpoint_file::read_checkpoint;
use floe_table_format::error::printable;
use floe_table_format::segment::{CheckpointKind, LastCheckpointHint, LogSurvey};
use floe_table_format::{Operation, Version};
use futures::{StreamExt, stream};
use serde::Serialize;

use super::finding::Rule;
use super::{CheckOptions, CheckReport};
use crate::checkpoint::write_checkpoint;
use crate::error::{OnTable, Result};
use crate::table::Table;

/// Files asked for at the same time.
const FILES_AT_ONCE: usize = 16;

/// What may be mended, and how.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RepairOptions {
    /// How to look.
    pub check: CheckOptions,
    /// Whether entries of files that are gone are removed from the table. Their rows are lost to it then.
    pub drop_missing_files: bool,
    /// Whether nothing is changed, and only said what would be.
    pub dry_run: bool,
}

/// A file that is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DroppedFile {
    /// As in the log.
    pub path: String,
    /// Live rows it had, if its statistics say.
    pub rows: Option<u64>,
}

/// One thing that was mended, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "repair")]
pub enum Repair {
    /// A new checkpoint takes the place of one that nobody can read.
    CheckpointWritten {
        /// Its version.
        version: Version,
    },
    /// `_last_checkpoint` names the newest complete checkpoint.
    HintRewritten {
        /// Its version.
        version: Version,
    },
    /// `_last_checkpoint` named a checkpoint and there is none.
    HintDeleted,
    /// The record index was built anew.
    IndexRebuilt,
    /// Files that are gone are no longer part of the table.
    FilesDropped {
        /// The commit that says so; none in a dry run.
        version: Option<Version>,
        /// The files.
        files: Vec<DroppedFile>,
    },
}

impl std::fmt::Display for Repair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Repair::CheckpointWritten { version } => write!(f, "checkpoint of version {version} written"),
            Repair::HintRewritten { version } => write!(f, "_last_checkpoint names version {version}"),
            Repair::HintDeleted => f.write_str("_last_checkpoint deleted: there is no checkpoint"),
            Repair::IndexRebuilt => f.write_str("record index rebuilt"),
            Repair::FilesDropped { version, files } => {
                match version {
                    Some(version) => write!(f, "{} missing files given up in version {version}", files.len())?,
                    None => write!(f, "{} missing files to give up", files.len())?,
                }
                files.iter().try_for_each(|file| match file.rows {
                    Some(rows) => write!(f, "; {} with {rows} rows", printable(&file.path)),
                    None => write!(f, "; {} with unknown rows", printable(&file.path)),
                })
            }
        }
    }
}

/// What was found and what of it was mended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RepairReport {
    /// What the check before the repair found.
    pub before: CheckReport,
    /// What was done; in a dry run what would be.
    pub repairs: Vec<Repair>,
    /// Whether nothing was changed.
    pub dry_run: bool,
    /// The check after the repair; none in a dry run, or where there was nothing to do.
    pub after: Option<CheckReport>,
}

impl RepairReport {
    /// Whether nothing is wrong any more.
    pub fn is_sound(&self) -> bool {
        self.after.as_ref().unwrap_or(&self.before).is_sound()
    }
}

impl Table {
    /// Checks the table and mends what is certainly safe to mend: writes a checkpoint where the newest one is damaged and the
    /// commits suffice, rewrites `_last_checkpoint`, rebuilds the record index, and, where asked to, removes the entries of
    /// missing files by an ordinary commit.
    ///
    /// # Errors
    /// As [`Table::check_with`], a conflict with another writer, and a table that this build cannot write to.
    pub async fn repair(&self, options: RepairOptions) -> Result<RepairReport> {
        let before = self.check_with(options.check.clone()).await?;
        let mut repairs = Vec::new();
        let dry_run = options.dry_run;
        if before.of(Rule::FileThere).next().is_some() && options.drop_missing_files {
            repairs.extend(self.drop_missing_files(dry_run).await?);
        }
        if let Some(repair) = self.mend_checkpoint(&before, dry_run).await? {
            repairs.push(repair);
        } else if before.of(Rule::HintRight).next().is_some() {
            repairs.extend(self.mend_hint(dry_run).await?);
        }
        if before.index_entries_missing > 0 || before.index_runs_unusable > 0 {
            if !dry_run {
                self.drop_index().await?;
                self.build_index().await?;
            }
            repairs.push(Repair::IndexRebuilt);
        }
        let after = match dry_run || repairs.is_empty() {
            true => None,
            false => Some(self.check_with(options.check).await?),
        };
        Ok(RepairReport { before, repairs, dry_run, after })
    }

    /// Removes the entries of live files that are not in the store by one commit; none if every file is there.
    ///
    /// # Errors
    /// A table that does not load or that this build cannot write to; a conflict with another writer, who changed such a
    /// file meanwhile; the failures of the store.
    pub async fn drop_missing_files(&self, dry_run: bool) -> Result<Option<Repair>> {
        let snapshot = self.snapshot().await?;
        let state = snapshot.state();
        let paths: Vec<(String, Option<u64>)> = state
            .files
            .iter()
            .map(|file| (file.path().to_owned(), file.num_records().map(|n| n.saturating_sub(file.deleted_rows()))))
            .collect();
        let mut asked = stream::iter(paths)
            .map(|(path, rows)| {
                let table = self.clone();
                async move {
                    let relative = table.root().decode(&path).on(table.uri())?;
                    match table.data_store().head(&relative).await {
                        Ok(_) => Ok(None),
                        Err(StorageError::NotFound { .. }) => Ok(Some(DroppedFile { path, rows })),
                        Err(error) => Err(error).on(table.uri()),
                    }
                }
            })
            .buffered(FILES_AT_ONCE);
        let mut files = Vec::new();
        while let Some(missing) = asked.next().await {
            files.extend(missing?);
        }
        drop(asked);
        if files.is_empty() {
            return Ok(None);
        }
        if dry_run {
            return Ok(Some(Repair::FilesDropped { version: None, files }));
        }
        let operation = Operation::new("FSCK REPAIR TABLE").with_metric("numRemovedFiles", files.len() as u64);
        let mut transaction = self.begin_at(&snapshot, operation)?;
        for file in &files {
            transaction.remove_file(&file.path)?;
        }
        let report = transaction.commit().await?.committed()?;
        Ok(Some(Repair::FilesDropped { version: Some(report.version), files }))
    }

    /// Writes a checkpoint of the newest version where the newest one cannot be used.
    async fn mend_checkpoint(&self, before: &CheckReport, dry_run: bool) -> Result<Option<Repair>> {
        let listing = self.log_store().list(Version::ZERO).await.on(self.uri())?;
        let survey = LogSurvey::of(&listing);
        let damaged = before
            .of(Rule::CheckpointReadable)
            .chain(before.of(Rule::CheckpointComplete))
            .filter_map(|finding| finding.version)
            .max();
        let usable = |version: &Version| !before.of(Rule::CheckpointReadable).any(|f| f.version == Some(*version));
        let newest_usable = survey.checkpoints.keys().rev().find(|version| usable(version)).copied();
        let Some(damaged) = damaged.filter(|damaged| newest_usable.is_none_or(|usable| usable < *damaged)) else {
            return Ok(None);
        };
        // A checkpoint of a state that does not load would only spread the damage.
        let Ok(state) = crate::load::at(self, None).await else { return Ok(None) };
        if state.version < damaged {
            return Ok(None);
        }
        if !dry_run {
            write_checkpoint(self, &state).await?;
        }
        Ok(Some(Repair::CheckpointWritten { version: state.version }))
    }

    /// Makes `_last_checkpoint` name the newest complete checkpoint that reads.
    async fn mend_hint(&self, dry_run: bool) -> Result<Option<Repair>> {
        let (uri, log) = (self.uri(), self.log_store());
        let listing = log.list(Version::ZERO).await.on(uri)?;
        let survey = LogSurvey::of(&listing);
        let newest =
            survey.checkpoints.iter().next_back().and_then(|(version, found)| Some((*version, found.first()?)));
        let Some((version, checkpoint)) = newest else {
            if !dry_run {
                log.delete(LastCheckpointHint::NAME).await.on(uri)?;
            }
            return Ok(Some(Repair::HintDeleted));
        };
        if dry_run {
            return Ok(Some(Repair::HintRewritten { version }));
        }
        let mut size = 0i64;
        for file in &checkpoint.files {
            if checkpoint.kind == (CheckpointKind::Uuid { json: true }) {
                let bytes = log.read(&file.name).await.on(uri)?;
                size += bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).count() as i64;
                continue;
            }
            // The version of the protocol is one column, and as long as all others.
            let columns: &[&str] = &["protocol.minReaderVersion"];
            let mut batches = read_checkpoint(log, &file.name, Some(file.size), Some(columns)).await.on(uri)?;
            while let Some(batch) = batches.next().await {
                size += batch.on(uri)?.num_rows() as i64;
            }
        }
        // Without saying where a V2 checkpoint lies, which only spares a reader the listing.
        let parts = (checkpoint.kind == CheckpointKind::MultiPart)
            .then(|| u32::try_from(checkpoint.files.len()).unwrap_or(u32::MAX));
        let hint = LastCheckpointHint { version, size, parts, ..LastCheckpointHint::default() };
        log.write(LastCheckpointHint::NAME, hint.to_json().into()).await.on(uri)?;
        Ok(Some(Repair::HintRewritten { version }))
    }
}
