//! Primary keys: each has one row, and the record index knows it.

use std::collections::HashSet;
use std::sync::Arc;

use floe_index::{Entry, KeyHash, KeySet, Slice, slices};
use floe_table_format::{FileId, RowSet, TableState};
use futures::TryStreamExt;
use serde::Serialize;

use super::CheckReport;
use super::finding::{Finding, Findings, Rule, TOLD_MAX};
use crate::error::{OnTable, Result};
use crate::key::PrimaryKey;
use crate::locate::hashes_of_file;
use crate::scan::{RowFilter, file_rows};
use crate::table::Table;

/// Hashes held at a time: 96 MiB.
const HASHES_A_SLICE: u64 = 4 << 20;

/// A key that several live rows have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RepeatedKey {
    /// Columns and values.
    pub key: String,
    /// The rows: file, as in the log, and position in it.
    pub rows: Vec<(String, u64)>,
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

/// Looks at the keys of a version, and at the record index.
///
/// # Errors
/// A file that cannot be read for its keys; the failures of the store.
pub(super) async fn examine(
    table: &Table,
    state: &Arc<TableState>,
    report: &mut CheckReport,
    findings: &mut Findings,
) -> Result<()> {
    let Some(key) = PrimaryKey::of(table.uri(), &state.metadata)? else { return Ok(()) };
    let _ = table.index().list(table.data_store(), table.env(), &key).await;
    let found = find_repeated_keys(table, state, &key, TOLD_MAX).await?;
    for repeated in &found.repeated {
        let rows: Vec<String> = repeated.rows.iter().map(|(file, row)| format!("row {row} of {file}")).collect();
        let what = format!("{}: {}", repeated.key, rows.join(", "));
        findings.push(Finding::new(Rule::KeyUnique, what).at(state.version));
    }
    findings.count_more(Rule::KeyUnique, found.repeated_total.saturating_sub(found.repeated.len() as u64));
    report.index_runs_unusable = table.index().status(state, &key, 0).runs_unusable;
    for (rule, count, what) in [
        (Rule::KeyThere, found.rows_without_key, "rows without a key"),
        (Rule::IndexTrue, found.index_entries_missing, "rows that the index should know"),
        (Rule::IndexUsable, report.index_runs_unusable, "index runs that cannot be used, which do no harm"),
    ] {
        if count > 0 {
            findings.push(Finding::new(rule, format!("{count} {what}")).at(state.version));
        }
    }
    report.rows = found.rows;
    report.repeated_keys = found.repeated;
    report.repeated_keys_total = found.repeated_total;
    report.rows_without_key = found.rows_without_key;
    report.index_entries_missing = found.index_entries_missing;
    Ok(())
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
