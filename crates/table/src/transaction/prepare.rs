//! A change as it reads on a version: what is put there, and what becomes of it where another writer was faster.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use floe_index::KeySet;
use floe_storage::deletion_vectors::{self, Placement};
use floe_table_format::conflict::{Redo, Rule, Why, Winner};
use floe_table_format::{
    Action, Add, Cdc, ChangeSet, FileView, IsolationLevel, KeyRead, Metadata, Predicate, RowSet, TableState, feature,
    stats,
};
use futures::TryStreamExt;

use super::{Transaction, remove_of};
use crate::change_feed::{Pairs, RowChanges, Taken};
use crate::error::{OnTable, Result, TableError};
use crate::guard::{KeyGuard, Settled, Unsettled};
use crate::key::{KeyBounds, PrimaryKey};
use crate::locate::{Wanted, hashes_of_rows, locate};
use crate::record_index::Upkeep;
use crate::scan::{RowFilter, file_rows, moving_rows, moving_staged_rows, raw_file_rows, staged_file_rows};
use crate::stage::{InOrder, WriteTarget, discard, stage};

impl Transaction {
    /// The change as it reads on `base`, keys settled, deleted rows turned into deletion vectors or rewritten files.
    pub(crate) async fn prepare(&mut self, base: Option<&Arc<TableState>>) -> Result<Preparation> {
        let settled = match self.settle_keys(base).await? {
            Ok(settled) => settled,
            Err(kept_back) => return Ok(kept_back),
        };
        let uri = self.table.uri().to_owned();
        let mut change = self.change.clone();
        let mut rows_removed = self.rows_removed;
        let mut rows_added = self.rows_staged;
        let now = self.table.0.env.now().0;
        let mut vectors: Vec<(Add, RowSet)> = Vec::new();
        let mut taken: Vec<(String, Taken)> = Vec::new();
        change.whole_files = true;
        // Rows are read and written as the table will be, while its files are those that it has.
        let shaped = base.map(|base| self.shaped(base)).transpose()?;
        if let (Some(base), Some(shaped)) = (base, &shaped) {
            let with_vectors = deletion_vectors_allowed(base, change.metadata.as_ref());
            let mut deleted: BTreeMap<String, RowSet> = self.deleted.clone();
            for (path, rows) in settled.replaced {
                let known = deleted.entry(path).or_default();
                *known = known.union(&rows);
            }
            for (path, rows) in deleted {
                if rows.is_empty() {
                    continue;
                }
                let view = base.files.find(&path);
                let view =
                    view.ok_or_else(|| self.table.refuse("delete rows", format!("{path} is not a live file")))?;
                let gone = self.rows_gone(&view).await?;
                let total = self.total_rows(&view).await?;
                if let Some(beyond) = rows.max().filter(|max| *max >= total) {
                    let what = format!("row {beyond} is beyond the {total} rows of {path}");
                    return Err(self.table.refuse("delete rows", what));
                }
                if rows.is_subset(&gone) {
                    continue;
                }
                let all = gone.union(&rows);
                rows_removed += all.len() - gone.len();
                // Of a file that goes as a whole, the rows are gone by that; unless they have new images.
                change.whole_files &= all.len() == total && self.change.adds.is_empty();
                taken.push((path, Taken::Rows(rows.difference(&gone))));
                change.removes.push(remove_of(&view, now, true));
                if all.len() == total {
                    continue;
                }
                if with_vectors {
                    let mut add = view.to_add();
                    add.data_change = true;
                    add.stats = Some(match &add.stats {
                        Some(json) => stats::widen(json, total),
                        // A deletion vector needs the row count; nothing else is known of such a file.
                        None => stats::only_row_count(total),
                    });
                    vectors.push((add, all));
                } else {
                    let kept = moving_rows(&self.table, shaped, &view, RowFilter::Without(&all)).await?;
                    // Rows that stay are not new: their keys are not guarded.
                    let target = Arc::new(WriteTarget::of_kept(&self.table, &shaped.metadata)?);
                    change.adds.extend(stage(&self.table, target, kept, true, InOrder::No).await?.adds);
                }
            }
            for (path, rows) in &settled.left_out {
                let Some(at) = change.adds.iter().position(|add| add.path == *path) else { continue };
                let mut add = change.adds.remove(at);
                rows_added = rows_added.saturating_sub(rows.len());
                let total = add.stats.as_deref().and_then(stats::parse_num_records).unwrap_or(u64::MAX);
                if rows.len() >= total {
                    continue;
                }
                if with_vectors {
                    // Such a file is not wholly new, and not every reader of change feeds looks at its vector.
                    change.whole_files &= !self.change.removes.is_empty();
                    add.stats = add.stats.map(|json| stats::widen(&json, total));
                    vectors.push((add, rows.clone()));
                } else {
                    let kept = moving_staged_rows(&self.table, shaped, &add, RowFilter::Without(rows)).await?;
                    let target = Arc::new(WriteTarget::of_kept(&self.table, &shaped.metadata)?);
                    change.adds.extend(stage(&self.table, target, kept, true, InOrder::No).await?.adds);
                }
            }
        }
        self.discard_change_files().await;
        if let Some(shaped) = &shaped
            && !change.whole_files
            && shaped.has_change_feed()
        {
            let whole = self.change.removes.iter().map(|remove| (remove.path.clone(), Taken::AllLive));
            taken.extend(whole);
            change.cdc = self.write_change_files(shaped, &taken, &settled.left_out).await?;
        }
        if !vectors.is_empty() {
            let sets: Vec<RowSet> = vectors.iter().map(|(_, rows)| rows.clone()).collect();
            let inline = base.is_some_and(|base| base.properties.inline_deletion_vectors);
            let placement = if inline { Placement::Inline } else { Placement::File };
            let (store, env) = (&self.table.0.data, &self.table.0.env);
            let written = deletion_vectors::write_vectors(store, env, &sets, placement).await.on(&uri)?;
            for ((mut add, rows), descriptor) in vectors.into_iter().zip(written) {
                self.table.vectors().keep(&descriptor, Arc::new(rows));
                add.deletion_vector = Some(descriptor);
                change.adds.push(add);
            }
        }
        // Last, because what comes before asks whether the table itself is to change.
        if let Some(target) = &self.target {
            let metadata = change.metadata.as_ref().or(base.map(|base| &base.metadata));
            if let Some(noted) = metadata.map(|metadata| target.generator.noted(metadata)).transpose()?.flatten() {
                change.metadata = Some(noted);
            }
        }
        self.register_keys(base);
        let prepared = Prepared { rows_added, rows_removed, rows_deleted_by_key: settled.deleted, change };
        Ok(Preparation::Ready(Box::new(prepared.with_metrics())))
    }

    /// A version of the table with the columns and properties that this change gives it.
    pub(super) fn shaped(&self, base: &Arc<TableState>) -> Result<Arc<TableState>> {
        let Some(metadata) = &self.change.metadata else { return Ok(base.clone()) };
        let protocol = self.change.protocol.as_ref().unwrap_or(&base.protocol).clone();
        Ok(Arc::new(base.seen_as(protocol, metadata.clone()).on(self.table.uri())?))
    }

    /// Writes which rows change how; nothing where that is not known, which the commit refuses.
    async fn write_change_files(
        &mut self,
        base: &Arc<TableState>,
        taken: &[(String, Taken)],
        left_out: &BTreeMap<String, RowSet>,
    ) -> Result<Vec<Cdc>> {
        let pairs = match &self.guard {
            _ if self.change.adds.is_empty() => Pairs::None,
            Some(guard) => Pairs::ByKey(guard),
            None if self.only_updates => Pairs::All,
            None if self.replacing.is_some() => {
                let files = self.replacing.iter().flatten().cloned().collect();
                Pairs::Apart { replaced: &self.replaced, files }
            }
            None => return Ok(Vec::new()),
        };
        let changes = RowChanges { table: &self.table, base, taken, written: &self.change.adds, left_out, pairs };
        self.change_files = changes.write().await?;
        Ok(self.change_files.clone())
    }

    /// Deletes change files that were written for a version that was not to be.
    pub(super) async fn discard_change_files(&mut self) {
        let files = std::mem::take(&mut self.change_files);
        discard(&self.table, files.iter().map(|file| file.path.as_str())).await;
    }

    /// Finds the rows of the change's keys in `base`, and says what becomes of them, or why the change cannot be made there.
    async fn settle_keys(
        &mut self,
        base: Option<&Arc<TableState>>,
    ) -> Result<std::result::Result<Settled, Preparation>> {
        let Some(mut guard) = self.guard.take() else { return Ok(Ok(Settled::default())) };
        let removed: std::collections::HashSet<&str> = self.change.removes.iter().map(|r| r.path.as_str()).collect();
        let searched = guard.search(&self.table, base, &removed).await;
        drop(removed);
        let unsettled = match searched {
            Ok(Ok(())) => {
                let mut gone = HashMap::new();
                if let Some(base) = base {
                    for path in guard.found_in() {
                        if let Some(view) = base.files.find(path) {
                            gone.insert(path.clone(), self.rows_gone(&view).await?);
                        }
                    }
                }
                let policy = base.map(|base| base.properties.duplicate_keys).unwrap_or_default();
                match guard.settle(&self.table, base.map(|base| base.as_ref()), &gone, &self.deleted, policy).await? {
                    Ok(settled) => {
                        self.guard = Some(guard);
                        return Ok(Ok(settled));
                    }
                    Err(unsettled) => unsettled,
                }
            }
            Ok(Err(unsettled)) => unsettled,
            Err(error) => return Err(error),
        };
        let key = guard.sink().key.clone();
        self.guard = Some(guard);
        self.register_keys(base);
        let conflict = |file: String| match base {
            Some(base) => {
                let why = Why { version: base.version, file: Some(file), rule: Rule::ConcurrentAppend };
                Ok(Err(Preparation::Stale(why)))
            }
            None => Err(self.table.refuse("settle keys", "the table has no version yet")),
        };
        match unsettled {
            Unsettled::Stale { file } => conflict(file),
            Unsettled::Duplicate { file, in_table: false, .. } if self.depends_on_rows && self.has_moved(base) => {
                conflict(file)
            }
            Unsettled::Duplicate { file, row, in_table } => {
                let described = self.describe_key(base, &key, &file, row).await;
                let error = TableError::DuplicateKey { table: self.table.uri().into(), key: described, in_table };
                Ok(Err(Preparation::Refused(error)))
            }
        }
    }

    fn has_moved(&self, base: Option<&Arc<TableState>>) -> bool {
        base.map(|base| base.version) != self.base.as_ref().map(|base| base.version)
    }

    /// For these files, as far as they are live, the rows that are deleted or taken out by this change.
    pub(crate) async fn rows_out_of(
        &self,
        base: &TableState,
        paths: impl Iterator<Item = &String>,
    ) -> Result<HashMap<String, RowSet>> {
        let mut gone = HashMap::new();
        for path in paths {
            let Some(view) = base.files.find(path) else { continue };
            let mut rows = (*self.rows_gone(&view).await?).clone();
            if let Some(ours) = self.deleted.get(path) {
                rows = rows.union(ours);
            }
            if !rows.is_empty() {
                gone.insert(path.clone(), rows);
            }
        }
        Ok(gone)
    }

    /// The key of a row, for people; its place if it cannot be read.
    async fn describe_key(&self, base: Option<&Arc<TableState>>, key: &PrimaryKey, file: &str, row: u32) -> String {
        let place = || format!("of row {row} in {file}");
        let rows: RowSet = [u64::from(row)].into_iter().collect();
        let staged = self.change.adds.iter().find(|add| add.path == file);
        let read = match (base, staged) {
            (Some(base), Some(add)) => staged_file_rows(&self.table, base, add, RowFilter::Only(&rows)).await,
            (Some(base), None) => match base.files.find(file) {
                Some(view) => file_rows(&self.table, base, &view, RowFilter::Only(&rows)).await,
                None => return place(),
            },
            (None, _) => return place(),
        };
        let Ok(rows) = read else { return place() };
        match rows.try_collect::<Vec<_>>().await {
            Ok(batches) => match batches.iter().find(|batch| batch.num_rows() > 0) {
                Some(batch) => key.describe(&key.arrays(batch), 0),
                None => place(),
            },
            Err(_) => place(),
        }
    }

    /// Says in the read set which keys the change relies on.
    fn register_keys(&mut self, base: Option<&Arc<TableState>>) {
        let keyed = base.is_some_and(|base| !base.properties.primary_key.is_empty());
        let guarding = self.guard.as_ref().filter(|guard| !guard.is_empty());
        if guarding.is_none() && (!keyed || self.deleted.is_empty()) {
            self.read.keys = None;
            return;
        }
        if guarding.is_some() {
            self.read.isolation = IsolationLevel::Serializable;
        }
        self.read.keys = Some(KeyRead {
            predicate: guarding.map_or(Predicate::False, KeyGuard::predicate),
            found_in: guarding.map(|guard| guard.found_in().cloned().collect()).unwrap_or_default(),
            movable: self.deleted.keys().cloned().collect(),
        });
    }

    /// Brings the change onto a newer state as far as a verdict asks for it; a conflict if that cannot be.
    pub(crate) async fn rebase(
        &mut self,
        rebased: &Arc<TableState>,
        redo: &Redo,
        winners: &[Winner],
    ) -> Result<Option<Why>> {
        if !redo.look_up_keys.is_empty()
            && let Some(why) = self.follow_moved_rows(rebased, winners).await?
        {
            return Ok(Some(why));
        }
        self.first_row_gone(rebased).await
    }

    /// Finds rows that this change takes out, and that were rewritten into other files meanwhile, again by their keys.
    async fn follow_moved_rows(&mut self, rebased: &Arc<TableState>, winners: &[Winner]) -> Result<Option<Why>> {
        let moved: Vec<String> =
            self.deleted.keys().filter(|path| rebased.files.find(path).is_none()).cloned().collect();
        let (Some(base), Some(key)) = (self.base.clone(), PrimaryKey::of(self.table.uri(), &rebased.metadata)?) else {
            return Ok(None);
        };
        for path in moved {
            let why = || Why { version: rebased.version, file: Some(path.clone()), rule: Rule::ConcurrentDeleteDelete };
            // Only a rewrite that kept the rows has them as they were read.
            let rewritten: std::collections::HashSet<&str> = winners
                .iter()
                .flat_map(|winner| &winner.actions)
                .filter_map(|action| match action {
                    Action::Add(add) if !add.data_change => Some(add.path.as_str()),
                    _ => None,
                })
                .collect();
            // Where some winner took rows out of the file, or out of what it became, the row of a key may be another's by now.
            let changed = winners.iter().flat_map(|winner| &winner.actions).any(|action| match action {
                Action::Remove(remove) => {
                    remove.data_change && (remove.path == path || rewritten.contains(remove.path.as_str()))
                }
                _ => false,
            });
            if changed {
                return Ok(Some(why()));
            }
            let (Some(view), Some(rows)) = (base.files.find(&path), self.deleted.get(&path)) else {
                return Ok(Some(why()));
            };
            let (hashes, columns) = hashes_of_rows(&self.table, &base, &key, view.id(), rows).await?;
            let keys = Arc::new(KeySet::new(hashes));
            let elsewhere = rebased
                .files
                .iter()
                .map(|file| file.path())
                .filter(|path| !rewritten.contains(path))
                .map(str::to_owned);
            let bounds = KeyBounds::of(&columns);
            let wanted = Wanted { keys: &keys, bounds: &bounds, sieve: None };
            let (found, _) = locate(&self.table, rebased, &key, &wanted, &elsewhere.collect()).await?;
            let mut located: HashMap<String, RowSet> = HashMap::new();
            let mut count = 0u64;
            for (path, hits) in found {
                let Some(view) = rebased.files.find(&path) else { continue };
                let gone = self.rows_gone(&view).await?;
                let live: RowSet =
                    hits.iter().map(|(_, row)| u64::from(*row)).filter(|row| !gone.contains(*row)).collect();
                count += live.len();
                located.insert(path, live);
            }
            if count != rows.len() || keys.len() as u64 != rows.len() {
                return Ok(Some(why()));
            }
            self.deleted.remove(&path);
            for (path, rows) in located {
                self.delete_rows(&path, rows);
            }
        }
        Ok(None)
    }

    /// After the commit: what it knows of keys goes into the index. Advisory, so failures are passed over.
    pub(crate) async fn hand_over_keys(&mut self, state: &TableState) {
        let Some(guard) = &self.guard else { return };
        if !state.properties.record_index {
            return;
        }
        let (sink, table) = (guard.sink(), &self.table.0);
        let upkeep = if guard.report().runs == 0 { Upkeep::Unasked } else { Upkeep::Asked };
        table.index.take_in(&table.data, &table.env, &sink.key, sink.hand_over(), state, upkeep).await;
    }

    /// The first of our deleted rows that `base` has lost already.
    pub(crate) async fn first_row_gone(&self, base: &TableState) -> Result<Option<Why>> {
        for (path, rows) in &self.deleted {
            let conflict = |rule| Some(Why { version: base.version, file: Some(path.clone()), rule });
            let Some(view) = base.files.find(path) else { return Ok(conflict(Rule::ConcurrentDeleteDelete)) };
            if !self.rows_gone(&view).await?.is_disjoint(rows) {
                return Ok(conflict(Rule::ConcurrentDeleteDelete));
            }
        }
        Ok(None)
    }

    async fn rows_gone(&self, view: &FileView<'_>) -> Result<Arc<RowSet>> {
        match view.deletion_vector() {
            None => Ok(Arc::default()),
            Some(descriptor) => self.table.vectors().load(&self.table.0.data, &descriptor).await.on(self.table.uri()),
        }
    }

    async fn total_rows(&self, view: &FileView<'_>) -> Result<u64> {
        match view.num_records() {
            Some(rows) => Ok(rows),
            None => {
                let relative = self.table.root().decode(view.path()).on(self.table.uri())?;
                let nothing = Arc::new(arrow::datatypes::Schema::empty());
                let batches = raw_file_rows(&self.table, &relative, view.size(), nothing).await?;
                batches.try_fold(0, |rows, batch| std::future::ready(Ok(rows + batch.num_rows() as u64))).await
            }
        }
    }
}

/// What preparing a change for a base came to.
pub(crate) enum Preparation {
    /// It can be committed there.
    Ready(Box<Prepared>),
    /// Rows it was computed from are others there.
    Stale(Why),
    /// A key of it is taken there.
    Refused(TableError),
}

/// A change in its final form for one base.
pub(crate) struct Prepared {
    pub(crate) change: ChangeSet,
    pub(crate) rows_added: u64,
    pub(crate) rows_removed: u64,
    pub(crate) rows_deleted_by_key: u64,
}

impl Prepared {
    /// Fills in the counts of the history that every operation shares, where the verb gave none.
    fn with_metrics(mut self) -> Self {
        let bytes = |sizes: &mut dyn Iterator<Item = i64>| sizes.map(|s| s.max(0) as u64).sum::<u64>();
        let vectors = self.change.adds.iter().filter(|a| a.deletion_vector.is_some()).count() as u64;
        let new_files = self.change.adds.len() as u64 - vectors;
        let added_bytes = bytes(&mut self.change.adds.iter().filter(|a| a.deletion_vector.is_none()).map(|a| a.size));
        let counts = [
            ("numFiles", new_files),
            ("numAddedFiles", new_files),
            ("numRemovedFiles", (self.change.removes.len() as u64).saturating_sub(vectors)),
            ("numDeletionVectorsAdded", vectors),
            ("numOutputRows", self.rows_added),
            ("numDeletedRows", self.rows_removed),
            ("numOutputBytes", added_bytes),
        ];
        for (name, value) in counts {
            if value > 0 {
                self.change.operation.metrics.entry(name.into()).or_insert(value);
            }
        }
        self
    }
}

fn deletion_vectors_allowed(base: &TableState, new_metadata: Option<&Metadata>) -> bool {
    let enabled = match new_metadata {
        Some(metadata) => metadata.configuration.get("delta.enableDeletionVectors").is_some_and(|v| v == "true"),
        None => base.properties.enable_deletion_vectors,
    };
    enabled && feature::has_feature(&base.protocol, &feature::Feature::DeletionVectors)
}
