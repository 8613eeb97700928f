//! What shall change, collected until it is committed.

mod prepare;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::RecordBatch;
use floe_index::{KeySet, Sieve};
use floe_table_format::{
    Add, Cdc, ChangeSet, DomainMetadata, Dropped, FileView, IsolationLevel, Metadata, Operation, Predicate, Protocol,
    ReadSet, Remove, RowSet, TableState, Txn, Version, feature,
};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};

use crate::conform::conform;
use crate::error::{OnTable, Result};
use crate::generated::IdentityValues;
use crate::guard::{KeyGuard, OnDuplicate};
use crate::key::KeyBounds;
use crate::locate::{KeyedRows, LookupReport};
use crate::replacing::{ChangedRows, stage_apart};
use crate::row_tracking::RowIdColumns;
use crate::rows::BatchStream;
use crate::snapshot::Snapshot;
use crate::stage::{InOrder, KeySink, StagedRows, WriteTarget, discard, stage};
use crate::table::Table;

pub(crate) use prepare::{Preparation, Prepared};

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
        let Some(base) = self.base_to_replace_in()? else {
            return self.stage_rows(changes.map_ok(|changed| changed.rows).boxed()).await;
        };
        let target = self.write_target()?;
        self.guard()?;
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

    /// Whether [`Transaction::stage_changes`] looks at which rows replace others; else nobody need say.
    ///
    /// # Errors
    /// A primary key or properties that do not decode.
    pub fn tells_replaced_rows(&self) -> Result<bool> {
        Ok(self.base_to_replace_in()?.is_some())
    }

    /// What the rows that are replaced are rows of, where it matters which they are: where ids go on, and where images belong
    /// together and no key tells.
    fn base_to_replace_in(&self) -> Result<Option<Arc<TableState>>> {
        let Some(base) = &self.base else { return Ok(None) };
        let base = self.shaped(base)?;
        let tracked = RowIdColumns::of(self.table.uri(), &base.metadata)?.is_some();
        let keyed = !base.properties.primary_key.is_empty();
        Ok((tracked || (base.has_change_feed() && !keyed)).then_some(base))
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
