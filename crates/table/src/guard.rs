//! What keeps a primary key true while a change is committed.
//!
//! The guard knows the keys of the rows that a change writes and of those it deletes by key. Before every attempt to commit
//! it finds out where rows of these keys are in the version the attempt is made on, and settles each: an older row gives way
//! to the new one, or the new one to it, or the change is refused. After a lost race only files that are new are searched;
//! what was found in a file stays true for as long as the file is part of the table.
//!
//! Law 3 for keys: whatever writers race, each version has at most one live row of a key, as long as every writer guards
//! them. A writer without the key, another engine's, can leave several; they are noticed when a change touches them.

mod settle;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use floe_index::{KeyHash, KeySet, Sieve, Slice, slices};
use floe_table_format::{Predicate, RowSet, TableState, prune};

use crate::error::{OnTable, Result};
use crate::key::KeyBounds;
use crate::locate::{Found, LookupReport, Wanted, locate};
use crate::record_index::Run;
use crate::stage::KeySink;
use crate::table::Table;

/// Keys that are looked up at a time.
const KEYS_A_SLICE: u64 = 4 << 20;
/// Rows found of which the key is remembered as well, where only their places are needed.
const FOUND_KEYS_MAX: usize = 8 << 20;

/// What happens where a new row's key has a row already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnDuplicate {
    /// The change is refused.
    #[default]
    Fail,
    /// The new row takes its place.
    Replace,
    /// The new row is left out.
    Keep,
}

/// The keys of a change.
pub(crate) struct KeyGuard {
    sink: Arc<KeySink>,
    on_duplicate: OnDuplicate,
    /// Keys whose rows go, each with the number of files that were staged before it was deleted.
    deleted: HashMap<KeyHash, u32>,
    deleted_bounds: KeyBounds,
    /// Keys that were looked up before anything was staged, because the new rows depend on the old.
    given: Option<Given>,
    /// Rows of the keys, deleted ones included, by file.
    found: BTreeMap<String, FoundIn>,
    searched: HashSet<String>,
    report: LookupReport,
    /// Keys that were looked up and came to nothing: their rows stay.
    idle: HashSet<KeyHash>,
    /// Keys that came to something in some chunk: a later chunk of which nothing comes does not take that back.
    acted: HashSet<KeyHash>,
    /// Rows staged that later ones of the change replaced; known once the staged rows were settled.
    settled: Option<BTreeMap<String, RowSet>>,
}

#[derive(Default)]
struct FoundIn {
    rows: RowSet,
    /// The key of each row; empty where that is too much to hold.
    keys: Vec<(KeyHash, u32)>,
}

/// Keys that new rows were computed for.
struct Given {
    keys: Arc<KeySet>,
    /// What all keys ever looked up lie within.
    bounds: KeyBounds,
    sieve: Option<Arc<Sieve>>,
    /// The live rows that the new ones were computed from.
    relied_on: BTreeMap<String, RowSet>,
    /// Whether the keys are all that were ever looked up. Those of earlier chunks are staged, deleted or idle.
    whole: bool,
}

/// What becomes of rows under the keys of a change.
#[derive(Debug, Default)]
pub(crate) struct Settled {
    /// Rows of the table that go, by file.
    pub(crate) replaced: BTreeMap<String, RowSet>,
    /// Staged rows that are left out, by file.
    pub(crate) left_out: BTreeMap<String, RowSet>,
    /// How many of the replaced rows are of keys that have no new row.
    pub(crate) deleted: u64,
}

/// Why keys cannot be settled.
#[derive(Debug)]
pub(crate) enum Unsettled {
    /// The rows of this key are several: in the table, or one there and one staged, or two staged.
    Duplicate { file: String, row: u32, in_table: bool },
    /// Rows that the change was computed from are others now.
    Stale { file: String },
}

impl KeyGuard {
    pub(crate) fn new(sink: Arc<KeySink>) -> Self {
        KeyGuard {
            sink,
            on_duplicate: OnDuplicate::Fail,
            deleted: HashMap::new(),
            deleted_bounds: KeyBounds::default(),
            given: None,
            found: BTreeMap::new(),
            searched: HashSet::new(),
            report: LookupReport::default(),
            idle: HashSet::new(),
            acted: HashSet::new(),
            settled: None,
        }
    }

    pub(crate) fn sink(&self) -> &Arc<KeySink> {
        &self.sink
    }

    pub(crate) fn on_duplicate(&mut self, what: OnDuplicate) {
        self.on_duplicate = what;
    }

    pub(crate) fn report(&self) -> &LookupReport {
        &self.report
    }

    /// Whether the change relies on what it knows of any key.
    pub(crate) fn is_empty(&self) -> bool {
        self.deleted.is_empty() && self.given.is_none() && self.sink.staged().rows == 0
    }

    /// Takes the rows of these keys out, wherever they are, and the rows staged so far of them.
    pub(crate) fn delete(&mut self, keys: impl IntoIterator<Item = KeyHash>, bounds: KeyBounds) {
        let staged_before = self.sink.staged().order.len() as u32;
        self.deleted.extend(keys.into_iter().map(|key| (key, staged_before)));
        self.deleted_bounds.widen(bounds);
        self.settled = None;
    }

    /// Says which of the keys looked up last came to nothing, and which did not.
    pub(crate) fn set_idle(&mut self, keys: impl Iterator<Item = (KeyHash, bool)>) {
        for (key, idle) in keys {
            match idle {
                true if self.acted.contains(&key) => {}
                true => drop(self.idle.insert(key)),
                false => {
                    self.idle.remove(&key);
                    self.acted.insert(key);
                }
            }
        }
    }

    /// Whether a key was deleted by this change.
    pub(crate) fn is_deleted(&self, key: &KeyHash) -> bool {
        self.deleted.contains_key(key)
    }

    /// Files in which rows of the keys were found.
    pub(crate) fn found_in(&self) -> impl Iterator<Item = &String> {
        self.found.keys()
    }

    /// What all of the keys satisfy.
    pub(crate) fn predicate(&self) -> Predicate {
        if self.is_empty() {
            return Predicate::False;
        }
        self.bounds().predicate(&self.sink.key)
    }

    fn bounds(&self) -> KeyBounds {
        let mut bounds = self.sink.staged().bounds.clone();
        if let Some(given) = &self.given {
            bounds.widen(given.bounds.clone());
        }
        if !self.deleted.is_empty() {
            bounds.widen(self.deleted_bounds.clone());
        }
        bounds
    }

    /// Looks keys up before rows are staged for them: all their rows in the table, deleted ones included.
    pub(crate) async fn look_up(
        &mut self,
        table: &Table,
        state: &Arc<TableState>,
        keys: Arc<KeySet>,
        bounds: KeyBounds,
        sieve: Option<Arc<Sieve>>,
    ) -> Result<BTreeMap<String, Found>> {
        let wanted = Wanted { keys: &keys, bounds: &bounds, sieve: sieve.as_ref() };
        let (found, report) = locate(table, state, &self.sink.key, &wanted, &HashSet::new()).await?;
        self.report.absorb(&report);
        for (path, hits) in &found {
            self.remember(path, hits.iter().map(|(position, row)| (keys.hashes()[*position as usize], *row)));
        }
        self.searched.extend(state.files.iter().map(|file| file.path().to_owned()));
        let mut bounds = bounds;
        let (relied_on, whole) = match self.given.take() {
            Some(given) => {
                bounds.widen(given.bounds);
                (given.relied_on, false)
            }
            None => (BTreeMap::new(), true),
        };
        self.given = Some(Given { keys, bounds, sieve, relied_on, whole });
        Ok(found)
    }

    /// The live ones of rows that were looked up, on which the change relies from here on. `gone` gives the rows of a file
    /// that are deleted.
    pub(crate) fn rely_on(
        &mut self,
        mut found: BTreeMap<String, Found>,
        gone: &HashMap<String, RowSet>,
    ) -> BTreeMap<String, Found> {
        for (path, hits) in &mut found {
            if let Some(gone) = gone.get(path) {
                hits.retain(|(_, row)| !gone.contains(u64::from(*row)));
            }
            if let Some(given) = &mut self.given
                && !hits.is_empty()
            {
                let relied_on = given.relied_on.entry(path.clone()).or_default();
                for (_, row) in hits.iter() {
                    relied_on.insert(u64::from(*row));
                }
            }
        }
        found.retain(|_, hits| !hits.is_empty());
        found
    }

    fn remember(&mut self, path: &str, hits: impl Iterator<Item = (KeyHash, u32)>) {
        // Where every row found is replaced, its place is enough; all else is decided key by key.
        let places_do = self.on_duplicate == OnDuplicate::Replace && self.given.is_none() && self.deleted.is_empty();
        let held: usize = self.found.values().map(|found| found.keys.len()).sum();
        let found = self.found.entry(path.to_owned()).or_default();
        for (hash, row) in hits {
            if found.rows.insert(u64::from(row)) && (held < FOUND_KEYS_MAX || !places_do) {
                found.keys.push((hash, row));
            }
        }
    }

    /// The staged rows of these keys that count: for each key that has one, the file and the row.
    pub(crate) async fn staged_rows(&self, table: &Table, keys: &KeySet) -> Result<Vec<(u32, String, u32)>> {
        let order = self.sink.staged().order.clone();
        let mut last: BTreeMap<u32, (u32, String, u32)> = BTreeMap::new();
        for (position, path, row) in self.all_staged(table, keys).await? {
            let number = order[&path];
            let is_deleted = self.deleted.get(&keys.hashes()[position as usize]).is_some_and(|before| number < *before);
            if !is_deleted && last.get(&position).is_none_or(|(known, _, _)| number >= *known) {
                last.insert(position, (number, path, row));
            }
        }
        Ok(last.into_iter().map(|(position, (_, path, row))| (position, path, row)).collect())
    }

    /// All staged rows of these keys: the place of the key, the file and the row.
    async fn all_staged(&self, table: &Table, keys: &KeySet) -> Result<Vec<(u32, String, u32)>> {
        let mut found = Vec::new();
        let runs: Vec<Arc<Run>> = {
            let staged = self.sink.staged();
            for file in &staged.files {
                for (row, hash) in file.hashes.iter().enumerate() {
                    if let Some(position) = keys.position(hash) {
                        found.push((position as u32, file.path.clone(), row as u32));
                    }
                }
            }
            staged.runs.clone()
        };
        for run in runs {
            let entries = table.index().look_up(table.data_store(), &run, keys).await;
            for entry in entries.ok_or_else(|| lost_run(table))? {
                let position = keys.position(&entry.hash).unwrap_or_default() as u32;
                found.push((position, run.about.files[entry.file as usize].clone(), entry.row));
            }
        }
        Ok(found)
    }

    /// Settles all keys for a version of the table.
    ///
    /// `gone` gives, for files in which keys were found, the rows that are not part of the table, or are taken out by the
    /// change itself; it is asked after the keys were found. `removed` are files that the change takes away as a whole.
    pub(crate) async fn search(
        &mut self,
        table: &Table,
        state: Option<&Arc<TableState>>,
        removed: &HashSet<&str>,
    ) -> Result<Result<(), Unsettled>> {
        if self.settled.is_none()
            && let Err(unsettled) = self.settle_staged(table).await?
        {
            return Ok(Err(unsettled));
        }
        let Some(state) = state else { return Ok(Ok(())) };
        let mut skip = self.searched.clone();
        skip.extend(removed.iter().map(|path| (*path).to_owned()));
        let new: Vec<String> = state
            .files
            .iter()
            .map(|file| file.path())
            .filter(|path| !skip.contains(*path))
            .map(str::to_owned)
            .collect();
        if let Some(given) = self.given.as_ref().filter(|given| given.whole)
            && self.staged_hashes(Slice::ALL).iter().any(|hash| !given.keys.contains(hash))
        {
            return Err(table.refuse("settle keys", "rows were written with other keys than those looked up for them"));
        }
        if new.is_empty() {
            return Ok(Ok(()));
        }
        let predicate = self.predicate();
        let ruled_out = predicate != Predicate::True
            && prune::prune(state, &predicate)
                .on(table.uri())?
                .iter()
                .all(|id| skip.contains(state.files.get(id).path()));
        if ruled_out {
            // No need to know the keys themselves: rows appended in the order of their keys cost no look-up.
            self.report.absorb(&LookupReport {
                keys: self.sink.staged().rows as u64,
                files_total: state.files.len() as u64,
                files_pruned: new.len() as u64,
                ..LookupReport::default()
            });
            self.searched.extend(new);
            return Ok(Ok(()));
        }
        let in_parts = self.given.as_ref().is_some_and(|given| !given.whole);
        if in_parts && self.on_duplicate != OnDuplicate::Replace {
            // Something may depend on keys that are neither staged nor deleted nor idle, and no longer at hand.
            return Ok(Err(Unsettled::Stale { file: new[0].clone() }));
        }
        let whole = self.given.as_ref().filter(|given| given.whole);
        let whole = whole.map(|given| (given.keys.clone(), given.bounds.clone(), given.sieve.clone()));
        if let Some((keys, bounds, sieve)) = whole {
            self.search_for(table, state, &keys, &bounds, sieve.as_ref(), &skip).await?;
        } else {
            let (runs, total) = {
                let staged = self.sink.staged();
                (staged.runs.clone(), staged.rows + self.deleted.len() + self.idle.len())
            };
            let bounds = self.bounds();
            let only_staged = self.deleted.is_empty() && self.idle.is_empty();
            let first_columns = self.sink.staged().first_columns.clone().filter(|_| only_staged);
            let sieve = first_columns.map(|columns| Arc::new(Sieve::new(columns.iter())));
            for slice in slices(total as u64, KEYS_A_SLICE) {
                let mut hashes = self.staged_hashes(slice);
                hashes.extend(self.idle.iter().filter(|hash| slice.contains(hash)));
                for run in &runs {
                    let entries = run.slice(table.data_store(), slice).await.ok_or_else(|| lost_run(table))?;
                    hashes.extend(entries.iter().map(|entry| entry.hash));
                }
                let keys = Arc::new(KeySet::new(hashes));
                self.search_for(table, state, &keys, &bounds, sieve.as_ref(), &skip).await?;
            }
        }
        self.searched.extend(new);
        Ok(Ok(()))
    }

    async fn search_for(
        &mut self,
        table: &Table,
        state: &Arc<TableState>,
        keys: &Arc<KeySet>,
        bounds: &KeyBounds,
        sieve: Option<&Arc<Sieve>>,
        skip: &HashSet<String>,
    ) -> Result<()> {
        let wanted = Wanted { keys, bounds, sieve };
        let (found, report) = locate(table, state, &self.sink.key, &wanted, skip).await?;
        self.report.absorb(&report);
        for (path, hits) in found {
            self.remember(&path, hits.iter().map(|(position, row)| (keys.hashes()[*position as usize], *row)));
        }
        Ok(())
    }

    /// The hashes of staged rows in memory and of deleted keys, in a slice.
    fn staged_hashes(&self, slice: Slice) -> Vec<KeyHash> {
        let staged = self.sink.staged();
        let staged = staged.files.iter().flat_map(|file| &file.hashes);
        let deleted = self.deleted.keys();
        staged.chain(deleted).filter(|hash| slice.contains(hash)).copied().collect()
    }
}

fn lost_run(table: &Table) -> crate::error::TableError {
    table.refuse("look keys up", "a file of keys that this change wrote is gone or damaged; try again")
}
