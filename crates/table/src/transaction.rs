//! What shall change, collected until it is committed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use arrow::array::RecordBatch;
use floe_index::{KeySet, Sieve};
use floe_storage::deletion_vectors::{self, Placement};
use floe_table_format::conflict::{Redo, Rule, Why, Winner};
use floe_table_format::{
    Action, Add, Cdc, ChangeSet, DomainMetadata, Dropped, FileView, IsolationLevel, KeyRead, Metadata, Operation,
    Predicate, Protocol, ReadSet, Remove, RowSet, TableState, Txn, Version, feature, stats,
};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};

use crate::change_feed::{Pairs, RowChanges, Taken};
use crate::conform::conform;
use crate::error::{OnTable, Result, TableError};
use crate::generated::IdentityValues;
use crate::guard::{KeyGuard, OnDuplicate, Settled, Unsettled};
use crate::key::{KeyBounds, PrimaryKey};
use crate::locate::{KeyedRows, LookupReport, Wanted, hashes_of_rows, locate};
use crate::record_index::Upkeep;
use crate::replacing::{ChangedRows, stage_apart};
use crate::row_tracking::RowIdColumns;
use crate::rows::BatchStream;
use crate::scan::{RowFilter, file_rows, moving_rows, moving_staged_rows, raw_file_rows, staged_file_rows};
use crate::snapshot::Snapshot;
use crate::stage::{InOrder, KeySink, StagedRows, WriteTarget, discard, stage};
use crate::table::Table;

/// A change of a table in the making, on the snapshot it was begun at.
///
/// Rows are staged as files at once; nothing is part of the table before [`Transaction::commit`]. A transaction that is
/// dropped leaves at most files that no version refers to, which vacuum collects.
pub struct Transaction {
    table: Table,
    base: Option<Arc<TableState>>,
    change: ChangeSet,
    read: ReadSet,
    deleted: BTreeMap<String, RowSet>,
    rows_staged: u64,
    rows_removed: u64,
    target: Option<Arc<WriteTarget>>,
    /// Keeps the primary key true; none while nothing of the change has keys.
    guard: Option<KeyGuard>,
    /// Whether the change depends on rows it read, so that a key that came meanwhile asks for reading again.
    depends_on_rows: bool,
    /// Files that this change has written for itself, as in the log.
    staged: Vec<String>,
    /// Whether each row staged replaces a row taken out.
    only_updates: bool,
    /// Of rows that were staged apart: the files of those that replace others.
    replacing: Option<BTreeSet<String>>,
    /// The rows taken out that others replace, by file.
    replaced: BTreeMap<String, RowSet>,
    /// What becomes of identity columns.
    identity_values: IdentityValues,
    /// Change files written for the version tried last.
    change_files: Vec<Cdc>,
}

impl std::fmt::Debug for Transaction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transaction")
            .field("table", &self.table.uri())
            .field("base", &self.base.as_ref().map(|b| b.version))
            .field("operation", &self.change.operation.name)
            .field("adds", &self.change.adds.len())
            .field("removes", &self.change.removes.len())
            .field("deleted", &self.deleted.len())
            .finish()
    }
}

impl Table {
    /// Begins a change on the newest version this handle knows; a change of rows wants [`Table::begin_at`] with the snapshot
    /// that was read.
    ///
    /// # Errors
    /// Whatever reading the log meets, if no version is known yet; `UnsupportedFeature` if the table is not writable.
    pub async fn begin(&self, operation: Operation) -> Result<Transaction> {
        let snapshot = self.recent_snapshot().await?;
        self.begin_at(&snapshot, operation)
    }

    /// Begins a change on a snapshot of this table.
    ///
    /// # Errors
    /// `UnsupportedFeature` if the table is not writable by this build.
    pub fn begin_at(&self, snapshot: &Snapshot, operation: Operation) -> Result<Transaction> {
        let state = snapshot.committed().clone();
        feature::check_writable(&state.protocol, &state.metadata, &state.schema).on(self.uri())?;
        let read = ReadSet { version: Some(state.version), isolation: isolation_of(&state), ..ReadSet::default() };
        let mut change = ChangeSet::new(operation);
        // Columns that the snapshot shows and the log does not have yet are part of the change.
        let shown = snapshot.state();
        change.metadata = (shown.metadata != state.metadata).then(|| shown.metadata.clone());
        change.protocol = (shown.protocol != state.protocol).then(|| shown.protocol.clone());
        Ok(Transaction::new(self.clone(), Some(state), change, read))
    }
}

fn isolation_of(state: &TableState) -> IsolationLevel {
    state.properties.isolation_level
}

impl Transaction {
    pub(crate) fn new(table: Table, base: Option<Arc<TableState>>, change: ChangeSet, read: ReadSet) -> Self {
        Transaction {
            table,
            base,
            change,
            read,
            deleted: BTreeMap::new(),
            rows_staged: 0,
            rows_removed: 0,
            target: None,
            guard: None,
            depends_on_rows: false,
            staged: Vec::new(),
            only_updates: false,
            replacing: None,
            replaced: BTreeMap::new(),
            identity_values: IdentityValues::default(),
            change_files: Vec::new(),
        }
    }

    /// The table that changes.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// The state the change was begun on; none for a table in the making.
    pub fn base(&self) -> Option<&Arc<TableState>> {
        self.base.as_ref()
    }

    /// The version the change was begun on; none for a table in the making.
    pub fn read_version(&self) -> Option<Version> {
        self.base.as_ref().map(|b| b.version)
    }

    /// The verb with its parameters and counts, as it will stand in the history.
    pub fn operation(&self) -> &Operation {
        &self.change.operation
    }

    /// The verb with its parameters and counts, to complete.
    pub fn operation_mut(&mut self) -> &mut Operation {
        &mut self.change.operation
    }

    pub(crate) fn read_set(&self) -> &ReadSet {
        &self.read
    }

    pub(crate) fn change(&self) -> &ChangeSet {
        &self.change
    }

    pub(crate) fn change_mut(&mut self) -> &mut ChangeSet {
        &mut self.change
    }

    /// Registers that the rows matching a predicate were read: a commit that adds such rows meanwhile is a conflict.
    pub fn read_predicate(&mut self, predicate: Predicate) {
        match predicate {
            Predicate::True | Predicate::Unknown => self.read.whole_table = true,
            predicate => self.read.predicates.push(predicate),
        }
    }

    /// Registers that the whole table was read.
    pub fn read_whole_table(&mut self) {
        self.read.whole_table = true;
    }

    /// Registers that rows of a file were read, other than to take just those rows out: another writer's change of the file
    /// is a conflict then, whichever rows it is about. `path` as in [`FileView::path`].
    pub fn read_file(&mut self, path: &str) {
        self.read.files.insert(path.to_owned());
    }

    /// Sets how strict the conflict rules are; the table's own level by default.
    pub fn set_isolation(&mut self, isolation: IsolationLevel) {
        self.read.isolation = isolation;
    }

    /// Records an application's progress in this commit, and refuses to run beside another commit of that application.
    pub fn record_app_progress(&mut self, app_id: &str, version: i64) {
        self.read.app_ids.insert(app_id.to_owned());
        let last_updated = Some(self.table.0.env.now().0);
        self.change.txns.push(Txn { app_id: app_id.to_owned(), version, last_updated });
    }

    /// How far an application had written at the snapshot this change began on.
    pub fn app_progress(&self, app_id: &str) -> Option<i64> {
        self.base.as_ref().and_then(|b| b.txns.get(app_id)).map(|t| t.version)
    }

    /// Sets or removes a domain's configuration.
    pub fn set_domain(&mut self, domain: DomainMetadata) {
        self.change.domains.push(domain);
    }

    pub(crate) fn set_metadata(&mut self, metadata: Metadata) {
        self.change.metadata = Some(metadata);
        self.target = None;
    }

    /// Says that the new protocol does without a feature.
    pub(crate) fn set_dropped(&mut self, dropped: Dropped) {
        self.change.dropped = Some(dropped);
    }

    pub(crate) fn set_protocol(&mut self, protocol: Protocol) {
        self.change.protocol = Some(protocol);
    }

    /// Writes new rows of the table into files; they become part of it with the commit.
    ///
    /// The rows are matched to the table's columns by name; a column they lack becomes null.
    ///
    /// # Errors
    /// [`crate::TableError::ConstraintViolation`] or [`crate::TableError::SchemaMismatch`] for rows that do not fit; an error of the stream;
    /// storage. Files written so far are deleted then.
    pub async fn stage_rows(&mut self, rows: BatchStream) -> Result<u64> {
        let target = self.write_target()?;
        self.guard()?;
        let staged = self.stage(target, rows, true, InOrder::No).await?;
        self.rows_staged += staged.rows;
        Ok(staged.rows)
    }

    /// As [`Transaction::stage_rows`], for rows of which it is known which of them replace rows of the table: a replaced row's id
    /// goes on to the row in its place, and a change feed has the two as images of one row. Say with
    /// [`Transaction::replace_rows`] which rows go for it.
    ///
    /// # Errors
    /// As [`Transaction::stage_rows`].
    pub async fn stage_changes(&mut self, changes: BoxStream<'static, Result<ChangedRows>>) -> Result<u64> {
        let target = self.write_target()?;
        self.guard()?;
        let keyed = target.keys().is_some();
        let apart = match &self.base {
            Some(base) => {
                let base = self.shaped(base)?;
                let tracked = RowIdColumns::of(self.table.uri(), &base.metadata)?.is_some();
                (tracked || (base.has_change_feed() && !keyed)).then_some(base)
            }
            None => None,
        };
        let Some(base) = apart else {
            return self.stage_rows(changes.map_ok(|changed| changed.rows).boxed()).await;
        };
        let replacing = WriteTarget::for_updates(
            &self.table,
            &base.protocol,
            &base.metadata,
            self.identity_values,
            target.keys().cloned(),
        )?;
        let staged = stage_apart(&self.table, &base, (Arc::new(replacing), target), changes).await?;
        let paths = staged.replacing.adds.iter().map(|add| add.path.clone());
        self.replacing.get_or_insert_default().extend(paths);
        let mut rows = 0;
        for staged in [staged.replacing, staged.new] {
            rows += staged.rows;
            self.staged.extend(staged.adds.iter().map(|add| add.path.clone()));
            self.change.adds.extend(staged.adds);
        }
        self.rows_staged += rows;
        Ok(rows)
    }

    /// As [`Transaction::delete_rows`], for rows that rows of [`Transaction::stage_changes`] replace.
    pub fn replace_rows(&mut self, path: &str, rows: RowSet) {
        let known = self.replaced.entry(path.to_owned()).or_default();
        *known = known.union(&rows);
        self.delete_rows(path, rows);
    }

    /// Writes rows that the table has already, in another layout; gives with them where their keys went.
    pub(crate) async fn stage_kept_rows(
        &mut self,
        rows: BatchStream,
        in_order: InOrder,
    ) -> Result<(StagedRows, Option<Arc<KeySink>>)> {
        let target = Arc::new(WriteTarget::of_kept(&self.table, self.metadata()?)?);
        let keys = target.keys().cloned();
        Ok((self.stage(target, rows, false, in_order).await?, keys))
    }

    async fn stage(
        &mut self,
        target: Arc<WriteTarget>,
        rows: BatchStream,
        data_change: bool,
        in_order: InOrder,
    ) -> Result<StagedRows> {
        let staged = stage(&self.table, target, rows, data_change, in_order).await?;
        self.staged.extend(staged.adds.iter().map(|add| add.path.clone()));
        self.change.adds.extend(staged.adds.iter().cloned());
        Ok(staged)
    }

    /// A file that this change has staged, by its path as in the log.
    pub(crate) fn staged_add(&self, path: &str) -> Option<Add> {
        self.change.adds.iter().find(|add| add.path == path).cloned()
    }

    /// Whether the change moves an application's progress.
    pub(crate) fn records_progress(&self) -> bool {
        !self.change.txns.is_empty()
    }

    /// What files of this change must look like.
    pub(crate) fn write_target(&mut self) -> Result<Arc<WriteTarget>> {
        if let Some(target) = &self.target {
            return Ok(target.clone());
        }
        let protocol = self.change.protocol.as_ref().or(self.base.as_ref().map(|b| &b.protocol));
        let protocol = protocol.ok_or_else(|| self.table.refuse("write", "the table has no protocol yet"))?;
        let target = WriteTarget::new(&self.table, protocol, self.metadata()?, self.identity_values)?;
        let target = Arc::new(target);
        self.target = Some(target.clone());
        Ok(target)
    }

    /// The metadata that rows are written for.
    fn metadata(&self) -> Result<&Metadata> {
        let metadata = self.change.metadata.as_ref().or(self.base.as_ref().map(|b| &b.metadata));
        metadata.ok_or_else(|| self.table.refuse("write", "the table has no metadata yet"))
    }

    /// Says what becomes of identity columns in the rows that are staged from here on; by default they are new rows.
    pub fn identity_values(&mut self, values: IdentityValues) {
        self.identity_values = values;
        self.target = None;
    }

    /// What keeps the keys of this change apart from those of the table; none for a table without a primary key.
    pub(crate) fn guard(&mut self) -> Result<Option<&mut KeyGuard>> {
        if self.guard.is_none()
            && let Some(sink) = self.write_target()?.keys()
        {
            self.guard = Some(KeyGuard::new(sink.clone()));
        }
        Ok(self.guard.as_mut())
    }

    /// What happens where the key of a new row has a row already, in a table with a primary key: by default the commit is
    /// refused.
    ///
    /// # Errors
    /// [`crate::TableError::InvalidRequest`] for a table without one.
    pub fn on_duplicate(&mut self, what: OnDuplicate) -> Result<()> {
        let table = self.table.clone();
        match self.guard()? {
            Some(guard) => guard.on_duplicate(what),
            None => return Err(table.refuse("settle keys", "the table has no primary key")),
        }
        Ok(())
    }

    /// Says that the new rows were computed from rows of the table: where a key comes up meanwhile, the commit conflicts,
    /// and can be made anew, where it would else be refused.
    pub fn depends_on_rows(&mut self) {
        self.depends_on_rows = true;
    }

    /// Says that each row staged replaces one of the rows taken out: a change feed has them as the two images of an update.
    /// In a table with a primary key the keys tell.
    pub fn only_updates(&mut self) {
        self.only_updates = true;
    }

    /// Looks up the rows of these keys (a batch of the primary key's columns) in the version the change was begun on, and
    /// relies on them: if other rows of these keys are there by the commit, it conflicts.
    ///
    /// # Errors
    /// [`crate::TableError::InvalidRequest`] for a table without a primary key, and whatever reading meets.
    pub async fn look_up(&mut self, keys: &RecordBatch) -> Result<KeyedRows> {
        let (table, base) = (self.table.clone(), self.base.clone());
        let Some(base) = base else { return Err(table.refuse("look keys up", "the table has no version yet")) };
        self.guard()?;
        let Some(mut guard) = self.guard.take() else {
            return Err(table.refuse("look keys up", "the table has no primary key"));
        };
        let found = self.look_up_guarded(&mut guard, &table, &base, keys).await;
        self.guard = Some(guard);
        found
    }

    async fn look_up_guarded(
        &self,
        guard: &mut KeyGuard,
        table: &Table,
        base: &Arc<TableState>,
        keys: &RecordBatch,
    ) -> Result<KeyedRows> {
        let key = guard.sink().key.clone();
        let arrow = base.schema.to_arrow().on(table.uri())?;
        let fields: Vec<_> =
            key.columns.iter().map(|column| arrow.field(*column).clone().with_nullable(true)).collect();
        let keys = conform(table.uri(), keys, &Arc::new(arrow::datatypes::Schema::new(fields)))?;
        let columns = keys.columns().to_vec();
        let set = Arc::new(KeySet::new(key.hash(table.uri(), &columns)?));
        let sieve = Arc::new(Sieve::new(columns.iter().take(1)));
        let found = guard.look_up(table, base, set, KeyBounds::of(&columns), Some(sieve)).await?;
        let gone = self.rows_out_of(base, found.keys()).await?;
        let live = guard.rely_on(found, &gone);
        let rows_of = |hits: Vec<(u32, u32)>| hits.into_iter().map(|(_, row)| u64::from(row)).collect::<RowSet>();
        let files = live.into_iter().map(|(path, hits)| (path, rows_of(hits))).collect();
        Ok(KeyedRows { files, lookup: guard.report().clone() })
    }

    /// How the keys of this change were looked up so far.
    pub fn lookup_report(&self) -> LookupReport {
        self.guard.as_ref().map(|guard| guard.report().clone()).unwrap_or_default()
    }

    /// Takes rows out of the table: positions in the file at `path` (as in [`FileView::path`]), counted from 0 over all
    /// rows the file holds.
    pub fn delete_rows(&mut self, path: &str, rows: RowSet) {
        match self.deleted.get_mut(path) {
            Some(known) => *known = known.union(&rows),
            None => drop(self.deleted.insert(path.to_owned(), rows)),
        }
    }

    /// Takes a whole file out of the table.
    ///
    /// # Errors
    /// [`crate::TableError::InvalidRequest`] if no such file is live.
    pub fn remove_file(&mut self, path: &str) -> Result<()> {
        let base = self.base.clone();
        let view = base.as_ref().and_then(|b| b.files.find(path));
        let view = view.ok_or_else(|| self.table.refuse("remove a file", format!("{path} is not a live file")))?;
        self.rows_removed += live_rows(&view).unwrap_or(0);
        self.remove_view(&view, true);
        Ok(())
    }

    pub(crate) fn remove_view(&mut self, view: &FileView<'_>, data_change: bool) {
        self.read.files.insert(view.path().to_owned());
        self.change.removes.push(remove_of(view, self.table.0.env.now().0, data_change));
    }

    /// Deletes the files this change staged. For a change that will not be committed.
    pub async fn roll_back(mut self) {
        self.discard_change_files().await;
        discard(&self.table, self.staged.iter().map(String::as_str)).await;
        let runs = self.guard.iter().flat_map(|guard| guard.sink().hand_over().runs);
        let runs: Vec<String> = runs.filter_map(|run| run.path().map(str::to_owned)).collect();
        if !runs.is_empty() {
            let _ = self.table.0.data.delete_many(runs).await;
        }
    }

    /// Whether committing would change anything.
    pub fn is_empty(&self) -> bool {
        self.change.is_empty() && self.deleted.is_empty()
    }

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
    fn shaped(&self, base: &Arc<TableState>) -> Result<Arc<TableState>> {
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
    async fn discard_change_files(&mut self) {
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

/// Rows of a file that are part of the table, if its statistics tell.
pub(crate) fn live_rows(view: &FileView<'_>) -> Option<u64> {
    let gone = view.deletion_vector().map_or(0, |d| d.cardinality.max(0) as u64);
    view.num_records().map(|rows| rows.saturating_sub(gone))
}

/// The `remove` that takes back a live file.
pub(crate) fn remove_of(view: &FileView<'_>, now_ms: i64, data_change: bool) -> Remove {
    let add = view.to_add();
    Remove {
        path: add.path,
        deletion_timestamp: Some(now_ms),
        data_change,
        extended_file_metadata: Some(true),
        partition_values: Some(add.partition_values),
        size: Some(add.size),
        stats: add.stats,
        tags: add.tags,
        deletion_vector: add.deletion_vector,
        base_row_id: add.base_row_id,
        default_row_commit_version: add.default_row_commit_version,
    }
}
