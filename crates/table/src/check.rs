//! Looking whether a table is what it says it is: every file there, every key once, an index that tells the truth.

use std::collections::HashSet;
use std::sync::Arc;

use floe_index::{Entry, KeyHash, KeySet, Slice, slices};
use floe_table_format::path::DataPath;
use floe_table_format::{FileId, RowSet, TableState, Version};
use futures::TryStreamExt;

use crate::error::{OnTable, Result};
use crate::key::PrimaryKey;
use crate::locate::hashes_of_file;
use crate::scan::{RowFilter, file_rows};
use crate::table::Table;

/// Hashes held at a time: 96 MiB.
const HASHES_A_SLICE: u64 = 4 << 20;
/// Findings of a kind that are told in full.
const TOLD_MAX: usize = 20;

/// A key that several live rows have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepeatedKey {
    /// Columns and values.
    pub key: String,
    /// The rows: file, as in the log, and position in it.
    pub rows: Vec<(String, u64)>,
}

/// What [`Table::check`] found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CheckReport {
    /// The version looked at.
    pub version: Version,
    /// Live files.
    pub files: u64,
    /// Live rows that were looked at for their keys; zero for a table without a primary key.
    pub rows: u64,
    /// Files that the version needs and the store does not have.
    pub files_missing: Vec<String>,
    /// Files whose size in the store is not the one in the log: path, size in the store, size in the log.
    pub files_of_other_size: Vec<(String, u64, i64)>,
    /// Keys that several rows have; the first few.
    pub repeated_keys: Vec<RepeatedKey>,
    /// How many such keys there are.
    pub repeated_keys_total: u64,
    /// Rows with a null in their key.
    pub rows_without_key: u64,
    /// Rows of files covered by the index that it does not know. There should be none, ever.
    pub index_entries_missing: u64,
    /// Index runs that are damaged, or about another table or key. They do no harm.
    pub index_runs_unusable: u64,
}

impl CheckReport {
    /// Whether nothing is wrong with the table itself.
    pub fn is_sound(&self) -> bool {
        self.files_missing.is_empty()
            && self.files_of_other_size.is_empty()
            && self.repeated_keys_total == 0
            && self.rows_without_key == 0
            && self.index_entries_missing == 0
    }
}

impl CheckReport {
    /// The report for people, a finding and its details a line; the last line says whether the table is sound.
    pub fn findings(&self) -> Vec<(&'static str, String)> {
        let mut lines = Vec::new();
        lines.extend(self.files_missing.iter().map(|path| ("file missing", path.clone())));
        lines.extend(
            self.files_of_other_size
                .iter()
                .map(|(path, found, log)| ("file of another size", format!("{path}: {found} bytes, {log} in the log"))),
        );
        for repeated in &self.repeated_keys {
            let rows: Vec<String> = repeated.rows.iter().map(|(file, row)| format!("row {row} of {file}")).collect();
            lines.push(("key with several rows", format!("{}: {}", repeated.key, rows.join(", "))));
        }
        if self.repeated_keys_total > self.repeated_keys.len() as u64 {
            lines.push(("keys with several rows", format!("{} in all", self.repeated_keys_total)));
        }
        for (count, what) in [
            (self.rows_without_key, "rows without a key"),
            (self.index_entries_missing, "rows that the index should know"),
            (self.index_runs_unusable, "unusable index runs, which do no harm"),
        ] {
            if count > 0 {
                lines.push((what, count.to_string()));
            }
        }
        let looked_at = match self.rows {
            0 => format!("version {}, {} files", self.version, self.files),
            rows => format!("version {}, {} files, {rows} rows with keys", self.version, self.files),
        };
        lines.push((if self.is_sound() { "sound" } else { "not sound" }, looked_at));
        lines
    }
}

/// What a look at all keys found.
#[derive(Debug, Default)]
pub(crate) struct KeysFound {
    pub(crate) repeated: Vec<RepeatedKey>,
    pub(crate) repeated_total: u64,
    pub(crate) rows_without_key: u64,
    pub(crate) rows: u64,
    index_entries_missing: u64,
}

impl Table {
    /// Looks whether the newest version has all its files, each key once, and an index that knows every row it covers.
    /// Changes nothing.
    ///
    /// # Errors
    /// Whatever reading the log meets, and a file that cannot be read for its keys.
    pub async fn check(&self) -> Result<CheckReport> {
        let snapshot = self.snapshot().await?;
        let state = snapshot.state();
        let mut report =
            CheckReport { version: state.version, files: state.files.len() as u64, ..CheckReport::default() };
        for view in state.files.iter() {
            let path = DataPath::decode(view.path()).on(self.uri())?;
            match self.data_store().head(&path).await {
                Ok(file) if u64::try_from(view.size()).is_ok_and(|size| size == file.size) => {}
                Ok(file) => report.files_of_other_size.push((path, file.size, view.size())),
                Err(floe_storage::StorageError::NotFound { .. }) => report.files_missing.push(path),
                Err(error) => return Err(error).on(self.uri()),
            }
            if let Some(descriptor) = view.deletion_vector() {
                self.vectors().load(self.data_store(), &descriptor).await.on(self.uri())?;
            }
        }
        let Some(key) = PrimaryKey::of(self.uri(), &state.metadata)? else { return Ok(report) };
        if !report.files_missing.is_empty() || !report.files_of_other_size.is_empty() {
            return Ok(report);
        }
        let _ = self.index().list(self.data_store(), self.env(), &key).await;
        let found = find_repeated_keys(self, state, &key, TOLD_MAX).await?;
        report.rows = found.rows;
        report.repeated_keys = found.repeated;
        report.repeated_keys_total = found.repeated_total;
        report.rows_without_key = found.rows_without_key;
        report.index_entries_missing = found.index_entries_missing;
        report.index_runs_unusable = self.index().status(state, &key, 0).runs_unusable;
        Ok(report)
    }
}

/// Looks at the keys of all live rows. The key columns are read once for every four million rows of the table, so that
/// memory does not grow with it.
pub(crate) async fn find_repeated_keys(
    table: &Table,
    state: &Arc<TableState>,
    key: &PrimaryKey,
    told_max: usize,
) -> Result<KeysFound> {
    let mut found = KeysFound::default();
    let ids: Vec<FileId> = state.files.iter().map(|file| file.id()).collect();
    let rows: u64 = ids.iter().map(|id| state.files.get(id).num_records().unwrap_or(1 << 20)).sum();
    for (number, slice) in slices(rows, HASHES_A_SLICE).enumerate() {
        let mut entries: Vec<Entry> = Vec::new();
        for (file, id) in ids.iter().enumerate() {
            let hashes = hashes_of_file(table, state, key, *id).await?;
            found.index_entries_missing += index_entries_missing(table, state, key, *id, &hashes, slice).await;
            let gone = match state.files.get(id).deletion_vector() {
                Some(descriptor) => table.vectors().load(table.data_store(), &descriptor).await.on(table.uri())?,
                None => Arc::default(),
            };
            for (row, hash) in hashes.iter().enumerate().filter(|(row, _)| !gone.contains(*row as u64)) {
                if *hash == KeyHash::NONE {
                    found.rows_without_key += u64::from(number == 0);
                } else if slice.contains(hash) {
                    entries.push(Entry { hash: *hash, file: file as u32, row: row as u32 });
                }
            }
        }
        found.rows += entries.len() as u64;
        entries.sort_unstable();
        for group in entries.chunk_by(|a, b| a.hash == b.hash).filter(|group| group.len() > 1) {
            found.repeated_total += 1;
            if found.repeated.len() < told_max {
                let key = describe(table, state, key, &ids, &group[0]).await?;
                let place = |entry: &Entry| {
                    (state.files.get(&ids[entry.file as usize]).path().to_owned(), u64::from(entry.row))
                };
                found.repeated.push(RepeatedKey { key, rows: group.iter().map(place).collect() });
            }
        }
    }
    Ok(found)
}

async fn describe(
    table: &Table,
    state: &Arc<TableState>,
    key: &PrimaryKey,
    ids: &[FileId],
    entry: &Entry,
) -> Result<String> {
    let rows: RowSet = [u64::from(entry.row)].into_iter().collect();
    let view = state.files.get(&ids[entry.file as usize]);
    let batches = file_rows(table, state, &view, RowFilter::Only(&rows)).await?;
    let batches: Vec<_> = batches.try_collect().await?;
    let batch = batches.iter().find(|batch| batch.num_rows() > 0);
    Ok(batch.map_or_else(|| "?".to_owned(), |batch| key.describe(&key.arrays(batch), 0)))
}

/// How many rows of a file, of a slice of keys, the runs that cover it do not know.
async fn index_entries_missing(
    table: &Table,
    state: &TableState,
    key: &PrimaryKey,
    id: FileId,
    hashes: &[KeyHash],
    slice: Slice,
) -> u64 {
    let path = state.files.get(&id).path();
    let mut missing = 0;
    for run in table.index().runs(key) {
        let Some(file) = run.about.files.iter().position(|covered| covered == path) else { continue };
        let keys = KeySet::new(hashes.iter().filter(|hash| slice.contains(hash)).copied().collect());
        let Some(entries) = table.index().look_up(table.data_store(), &run, &keys).await else {
            table.index().distrust(&run);
            continue;
        };
        let known: HashSet<(KeyHash, u32)> = entries
            .into_iter()
            .filter(|entry| entry.file as usize == file)
            .map(|entry| (entry.hash, entry.row))
            .collect();
        let rows = hashes.iter().enumerate().filter(|(_, hash)| **hash != KeyHash::NONE && slice.contains(hash));
        missing += rows.filter(|(row, hash)| !known.contains(&(**hash, *row as u32))).count() as u64;
    }
    missing
}
