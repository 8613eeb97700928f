//! What becomes of rows under one key: which of the staged ones counts, and which of the table's goes.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use floe_index::{Entry, KeyHash, KeySet, slices, sort_by_hash};
use floe_table_format::property::DuplicateKeys;
use floe_table_format::{RowSet, TableState};

use super::{KEYS_A_SLICE, KeyGuard, OnDuplicate, Settled, Unsettled, lost_run};
use crate::error::Result;
use crate::table::Table;

impl KeyGuard {
    /// Finds staged rows of one key, and lets one of them count.
    pub(super) async fn settle_staged(&mut self, table: &Table) -> Result<Result<(), Unsettled>> {
        let mut left_out: BTreeMap<String, RowSet> = BTreeMap::new();
        if self.deleted.is_empty() && self.sink.staged().ranges.are_distinct() {
            // Rows in the order of their keys: no two can have one.
            self.settled = Some(left_out);
            return Ok(Ok(()));
        }
        let (runs, total, order) = {
            let staged = self.sink.staged();
            (staged.runs.clone(), staged.rows as u64 + self.deleted.len() as u64, staged.order.clone())
        };
        let mut paths: Vec<&String> = order.keys().collect();
        paths.sort_by_key(|path| order[*path]);
        for slice in slices(total, KEYS_A_SLICE) {
            let mut entries: Vec<Entry> = Vec::new();
            {
                let staged = self.sink.staged();
                for file in &staged.files {
                    let number = order[&file.path];
                    let rows = file.hashes.iter().enumerate().filter(|(_, hash)| slice.contains(hash));
                    entries.extend(rows.map(|(row, hash)| Entry { hash: *hash, file: number, row: row as u32 }));
                }
            }
            for run in &runs {
                let found = run.slice(table.data_store(), slice).await.ok_or_else(|| lost_run(table))?;
                entries
                    .extend(found.into_iter().map(|e| Entry { file: order[&run.about.files[e.file as usize]], ..e }));
            }
            sort_by_hash(&mut entries, |entry| entry.hash.high);
            for group in entries.chunk_by(|a, b| a.hash == b.hash) {
                // What was staged before its key was deleted is gone by that.
                let deleted_after = self.deleted.get(&group[0].hash).copied().unwrap_or(0);
                let mut counting = group.iter().filter(|entry| entry.file >= deleted_after);
                let counts = match self.on_duplicate {
                    OnDuplicate::Keep => counting.next(),
                    OnDuplicate::Replace => counting.next_back(),
                    OnDuplicate::Fail => {
                        let first = counting.next();
                        if let Some(Entry { file, row, .. }) = counting.next() {
                            let file = paths[*file as usize].clone();
                            return Ok(Err(Unsettled::Duplicate { file, row: *row, in_table: false }));
                        }
                        first
                    }
                };
                for entry in group.iter().filter(|entry| Some(*entry) != counts) {
                    left_out.entry(paths[entry.file as usize].clone()).or_default().insert(u64::from(entry.row));
                }
            }
        }
        self.settled = Some(left_out);
        Ok(Ok(()))
    }

    /// What becomes of the rows, given which rows of the files with found keys are gone.
    pub(crate) async fn settle(
        &self,
        table: &Table,
        state: Option<&TableState>,
        gone: &HashMap<String, Arc<RowSet>>,
        taken_out: &BTreeMap<String, RowSet>,
        duplicate_keys: DuplicateKeys,
    ) -> Result<Result<Settled, Unsettled>> {
        let mut settled = Settled { left_out: self.settled.clone().unwrap_or_default(), ..Settled::default() };
        let Some(state) = state else { return Ok(Ok(settled)) };
        let mut live: BTreeMap<&String, RowSet> = BTreeMap::new();
        for (path, found) in &self.found {
            if state.files.find(path).is_none() {
                continue;
            }
            let rows = match gone.get(path) {
                Some(gone) => found.rows.difference(gone),
                None => found.rows.clone(),
            };
            if !rows.is_empty() {
                live.insert(path, rows);
            }
        }
        if let Some(given) = &self.given {
            let moved = given.relied_on.iter().find(|(path, rows)| live.get(path).is_none_or(|now| now != *rows));
            let come = live.keys().find(|path| !given.relied_on.contains_key(**path));
            if let Some(file) = moved.map(|(path, _)| path).or(come.copied()) {
                return Ok(Err(Unsettled::Stale { file: file.clone() }));
            }
        }
        // What the change takes out itself is in nobody's way.
        for (path, rows) in &mut live {
            if let Some(ours) = taken_out.get(*path) {
                *rows = rows.difference(ours);
            }
        }
        live.retain(|_, rows| !rows.is_empty());
        if duplicate_keys == DuplicateKeys::Fail
            && self.on_duplicate != OnDuplicate::Fail
            && let Some((file, row)) = self.key_with_several_rows(&live)
        {
            return Ok(Err(Unsettled::Duplicate { file, row, in_table: true }));
        }
        match self.on_duplicate {
            OnDuplicate::Fail => {
                if let Err(unsettled) = self.refuse_taken(table, live, &mut settled).await? {
                    return Ok(Err(unsettled));
                }
            }
            OnDuplicate::Replace => settled.replaced = self.rows_to_replace(live),
            OnDuplicate::Keep => self.keep_old(table, live, &mut settled).await?,
        }
        settled.deleted = self.count_deleted(table, &settled.replaced).await?;
        Ok(Ok(settled))
    }

    /// No key of a staged row may have a row; those of deleted keys go.
    async fn refuse_taken(
        &self,
        table: &Table,
        mut live: BTreeMap<&String, RowSet>,
        settled: &mut Settled,
    ) -> Result<Result<(), Unsettled>> {
        if self.given.is_some() {
            self.retain_rows_of_staged_keys(table, &mut live).await?;
        }
        for (path, rows) in live {
            let keys = self.found[path].keys.iter().filter(|(hash, _)| self.is_deleted(hash));
            let of_deleted: RowSet = keys.map(|(_, row)| u64::from(*row)).collect();
            if let Some(row) = rows.difference(&of_deleted).min() {
                return Ok(Err(Unsettled::Duplicate { file: path.clone(), row: row as u32, in_table: false }));
            }
            settled.replaced.insert(path.clone(), rows);
        }
        Ok(Ok(()))
    }

    /// Staged rows of keys that have a row are left out; rows of deleted keys go.
    async fn keep_old(&self, table: &Table, live: BTreeMap<&String, RowSet>, settled: &mut Settled) -> Result<()> {
        let mut kept: HashSet<KeyHash> = HashSet::new();
        for (path, rows) in live {
            for (hash, row) in self.found[path].keys.iter().filter(|(_, row)| rows.contains(u64::from(*row))) {
                if self.is_deleted(hash) {
                    settled.replaced.entry(path.clone()).or_default().insert(u64::from(*row));
                } else {
                    kept.insert(*hash);
                }
            }
        }
        if !kept.is_empty() {
            let kept = KeySet::new(kept.into_iter().collect());
            for (_, path, row) in self.all_staged(table, &kept).await? {
                settled.left_out.entry(path).or_default().insert(u64::from(row));
            }
        }
        Ok(())
    }

    /// Leaves only rows of keys that have a staged row: others were looked up and are not touched.
    async fn retain_rows_of_staged_keys(&self, table: &Table, live: &mut BTreeMap<&String, RowSet>) -> Result<()> {
        let hashes = live.iter().flat_map(|(path, rows)| {
            let keys = self.found[*path].keys.iter();
            keys.filter(|(_, row)| rows.contains(u64::from(*row))).map(|(hash, _)| *hash)
        });
        let keys = KeySet::new(hashes.collect());
        let staged: HashSet<u32> =
            self.staged_rows(table, &keys).await?.into_iter().map(|(position, _, _)| position).collect();
        for (path, rows) in live.iter_mut() {
            let keys_here = self.found[*path].keys.iter();
            let touched = keys_here
                .filter(|(hash, _)| keys.position(hash).is_some_and(|position| staged.contains(&(position as u32))));
            let touched: RowSet = touched.map(|(_, row)| u64::from(*row)).collect();
            *rows = rows.intersection(&touched);
        }
        live.retain(|_, rows| !rows.is_empty());
        Ok(())
    }

    /// How many of these rows are of keys that were deleted, and not written again after that.
    async fn count_deleted(&self, table: &Table, replaced: &BTreeMap<String, RowSet>) -> Result<u64> {
        if self.deleted.is_empty() {
            return Ok(0);
        }
        let keys = KeySet::new(self.deleted.keys().copied().collect());
        let written: HashSet<u32> =
            self.staged_rows(table, &keys).await?.into_iter().map(|(position, _, _)| position).collect();
        let gone = |hash: &KeyHash| keys.position(hash).is_some_and(|at| !written.contains(&(at as u32)));
        let counts = replaced.iter().filter_map(|(path, rows)| Some((self.found.get(path)?, rows)));
        Ok(counts
            .map(|(found, rows)| {
                found.keys.iter().filter(|(hash, row)| rows.contains(u64::from(*row)) && gone(hash)).count() as u64
            })
            .sum())
    }

    /// The rows that staged rows and deletions replace: all but those of keys that came to nothing.
    fn rows_to_replace(&self, live: BTreeMap<&String, RowSet>) -> BTreeMap<String, RowSet> {
        let mut replaced = BTreeMap::new();
        for (path, mut rows) in live {
            if !self.idle.is_empty() {
                let keys = &self.found[path].keys;
                let idle = keys.iter().filter(|(hash, _)| self.idle.contains(hash)).map(|(_, row)| u64::from(*row));
                rows = rows.difference(&idle.collect());
            }
            if !rows.is_empty() {
                replaced.insert(path.clone(), rows);
            }
        }
        replaced
    }

    fn key_with_several_rows(&self, live: &BTreeMap<&String, RowSet>) -> Option<(String, u32)> {
        let mut seen: HashSet<KeyHash> = HashSet::new();
        for (path, rows) in live {
            for (hash, row) in &self.found[*path].keys {
                if rows.contains(u64::from(*row)) && !seen.insert(*hash) {
                    return Some(((*path).clone(), *row));
                }
            }
        }
        None
    }
}
