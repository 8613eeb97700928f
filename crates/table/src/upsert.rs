//! Upserts: rows that take the place of the rows of their keys.
//!
//! ```text
//!   rows ─► chunk ─► one row a key ─► (old rows, where the new ones depend on them) ─► staged once
//!                                                                                         │
//!   keys ──────────────────────────────────────────────────────────────► look-up ─► old rows marked ─► one commit
//! ```
//!
//! What the new rows do not depend on is not read: an overwriting upsert knows the old rows by their addresses alone. With
//! ordering fields, or where columns are kept, the old rows of the batch's keys are fetched by address first, and nothing
//! else of the table. Memory is bounded by the chunk: rows beyond it are staged, and their keys go into runs of the index.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::{concat_batches, interleave, take, take_record_batch};
use arrow::datatypes::{DataType as ArrowType, Schema, SchemaRef};
use arrow::row::{OwnedRow, RowConverter, SortField};
use floe_index::{KeyHash, KeySet, Sieve};
use floe_table_format::feature::{self, Feature};
use floe_table_format::property::MergeMode;
use floe_table_format::schema::nearest;
use floe_table_format::{Operation, RowSet, TableProperties, Version};
use futures::{StreamExt, TryStreamExt};

use crate::commit::{Attempted, CommitOutcome, commit_if_changed};
use crate::conform::conform;
use crate::error::{OnTable, Result, TableError};
use crate::generated::IdentityValues;
use crate::guard::OnDuplicate;
use crate::key::{KeyBounds, PrimaryKey};
use crate::locate::LookupReport;
use crate::rows::{BatchStream, stream_of};
use crate::scan::{RowFilter, file_rows, staged_file_rows};
use crate::snapshot::Snapshot;
use crate::table::Table;
use crate::transaction::Transaction;

/// How often an upsert that depends on old rows starts anew because they changed meanwhile.
const ATTEMPTS_MAX: u32 = 50;

/// Settings of [`Table::upsert_stream`].
#[derive(Debug, Clone, PartialEq)]
pub struct UpsertOptions {
    /// Bytes that the upsert may hold at a time, about, whatever the sizes of the rows and of the table.
    pub memory_limit: u64,
    /// An application and how far it has come with these rows; see [`crate::AppendOptions::app_progress`].
    pub app_progress: Option<(String, i64)>,
    /// How a new row and the row its key has become one; the table's `floe.mergeMode` by default.
    pub merge_mode: Option<MergeMode>,
    /// Whether a key that comes twice in the rows is an error; else the later row counts, by the ordering fields or by
    /// position.
    pub refuse_repeats: bool,
    /// What the commit calls itself in the history.
    pub operation: Operation,
}

impl Default for UpsertOptions {
    /// 512 MiB, the table's merge mode.
    fn default() -> Self {
        UpsertOptions {
            memory_limit: 512 << 20,
            app_progress: None,
            merge_mode: None,
            refuse_repeats: false,
            operation: Operation::new("UPSERT"),
        }
    }
}

/// What an upsert did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UpsertReport {
    /// The version it became; none where there was nothing to change.
    pub version: Option<Version>,
    /// Rows of keys that had none.
    pub rows_inserted: u64,
    /// Rows that took the place of others.
    pub rows_updated: u64,
    /// Rows that are gone without another in their place.
    pub rows_deleted: u64,
    /// Rows given that came to nothing: older than what is there, repeated, or of a key that keeps its first row.
    pub rows_ignored: u64,
    /// Files written.
    pub files_added: u64,
    /// Files that are gone or got a new deletion vector.
    pub files_removed: u64,
    /// How the keys were looked up.
    pub lookup: LookupReport,
}

impl Table {
    /// Writes rows in one commit, each in the place of the row that has its primary key, if there is one.
    ///
    /// Columns are matched by name. How a new row and an old one become one is declared on the table: `floe.mergeMode`,
    /// `floe.orderingFields`, `floe.deleteMarker`. Of several rows of one key the latest counts.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use arrow::array::{Int64Array, RecordBatch, StringArray};
    /// use floe_table::{CreateTable, Table};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), floe_table::TableError> {
    /// let rows = |names: [&str; 2], ids: [i64; 2]| RecordBatch::try_from_iter([
    ///     ("id", Arc::new(Int64Array::from_iter_values(ids)) as _),
    ///     ("name", Arc::new(StringArray::from_iter_values(names)) as _),
    /// ]);
    /// let first = rows(["Alma", "Bert"], [1, 2])?;
    /// let create = CreateTable::from_arrow(&first.schema())?.with_primary_key(["id"]);
    /// let table = Table::builder("memory://upsert/ducks").create(create).await?;
    /// table.upsert(vec![first]).await?;
    /// let report = table.upsert(vec![rows(["Berta", "Cleo"], [2, 3])?]).await?;
    /// assert_eq!((report.rows_inserted, report.rows_updated), (1, 1));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`TableError::InvalidRequest`] for a table without a primary key; [`TableError::DuplicateKey`] for a key that another
    /// writer has left with several rows; constraints, storage. Nothing is committed then.
    pub async fn upsert(&self, batches: Vec<RecordBatch>) -> Result<UpsertReport> {
        self.upsert_stream(stream_of(batches), UpsertOptions::default()).await
    }

    /// As [`Table::upsert`], of a stream of rows of any length.
    ///
    /// # Errors
    /// As [`Table::upsert`], and an error of the stream. Where the new rows depend on old ones (ordering fields, partial
    /// updates), other writers keep changing them and the stream is too long to be held, a conflict.
    pub async fn upsert_stream(&self, rows: BatchStream, options: UpsertOptions) -> Result<UpsertReport> {
        let mut input = Input::new(rows, options.memory_limit);
        // Where new rows are computed from old ones that change meanwhile, the computation is made anew.
        for attempt in 0..ATTEMPTS_MAX {
            let snapshot = match attempt == 0 && options.app_progress.is_none() {
                true => self.recent_snapshot().await?,
                false => self.snapshot().await?,
            };
            let mut upsert = Upsert::begin(self, &snapshot, &options)?;
            if !upsert.record(&options) {
                return Ok(UpsertReport::default());
            }
            if let Err(error) = upsert.take_all(&mut input).await {
                upsert.transaction.roll_back().await;
                return Err(error);
            }
            match upsert.commit().await? {
                Ok(report) => {
                    // The upsert stands, whatever becomes of the upkeep.
                    let _ = self.upkeep().await;
                    return Ok(report);
                }
                Err(conflict) if input.can_begin_anew() => drop(conflict),
                Err(conflict) => return Err(conflict),
            }
        }
        Err(TableError::TooManyAttempts {
            table: self.uri().into(),
            operation: options.operation.name.clone(),
            attempts: ATTEMPTS_MAX,
        })
    }

    /// Deletes the rows of these keys, in one commit. The batches hold the columns of the primary key; others are passed
    /// over.
    ///
    /// # Errors
    /// As [`Table::upsert`].
    pub async fn delete_keys(&self, keys: Vec<RecordBatch>) -> Result<UpsertReport> {
        let options = UpsertOptions { operation: Operation::new("DELETE"), ..UpsertOptions::default() };
        self.delete_keys_with(keys, options).await
    }

    /// As [`Table::delete_keys`], with settings.
    ///
    /// # Errors
    /// As [`Table::upsert`].
    pub async fn delete_keys_with(&self, keys: Vec<RecordBatch>, options: UpsertOptions) -> Result<UpsertReport> {
        let snapshot = match options.app_progress {
            None => self.recent_snapshot().await?,
            Some(_) => self.snapshot().await?,
        };
        let mut upsert = Upsert::begin(self, &snapshot, &options)?;
        if !upsert.record(&options) {
            return Ok(UpsertReport::default());
        }
        for batch in &keys {
            let columns = upsert.rules.key_columns(self.uri(), batch)?;
            let hashes = upsert.rules.key.hash(self.uri(), &columns)?;
            upsert.counts.rows += batch.num_rows() as u64;
            upsert.delete(hashes, KeyBounds::of(&columns))?;
        }
        upsert.commit().await?
    }
}

/// How rows of a key become one, as the table and the call say.
struct Rules {
    key: Arc<PrimaryKey>,
    mode: MergeMode,
    /// The ordering fields' places in the schema.
    ordering: Vec<usize>,
    delete_marker: Option<String>,
    /// The table's columns, all nullable.
    columns: SchemaRef,
    /// Which of them are computed from others.
    generated: Vec<bool>,
    /// The identity columns whose values rows may not bring, by their places.
    counted: Vec<usize>,
    refuse_repeats: bool,
}

impl Rules {
    fn of(table: &Table, snapshot: &Snapshot, options: &UpsertOptions) -> Result<Self> {
        let state = snapshot.state();
        let key = PrimaryKey::of(table.uri(), &state.metadata)?.ok_or_else(|| {
            table.refuse("upsert", "the table has no primary key; ALTER TABLE ... ADD PRIMARY KEY (...) declares one")
        })?;
        let properties: &TableProperties = &state.properties;
        let mut ordering = Vec::new();
        for name in &properties.ordering_fields {
            let at = state.schema.fields.iter().position(|field| field.name == *name);
            ordering.push(at.ok_or_else(|| {
                let known: Vec<&str> = state.schema.fields.iter().map(|f| f.name.as_str()).collect();
                let hint = nearest(name, known.iter().copied()).map(|n| format!("; did you mean {n}?"));
                let hint = hint.unwrap_or_default();
                table.refuse("upsert", format!("floe.orderingFields names {name}, which is no column{hint}"))
            })?);
        }
        let arrow = snapshot.arrow_schema()?;
        let columns = arrow.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
        let mut counted = Vec::new();
        if feature::has_feature(&state.protocol, &Feature::IdentityColumns) {
            for (at, field) in state.schema.fields.iter().enumerate() {
                if field.identity().on(table.uri())?.is_some_and(|identity| !identity.allow_explicit_insert) {
                    counted.push(at);
                }
            }
        }
        Ok(Rules {
            generated: state.schema.fields.iter().map(|field| field.generation_expression().is_some()).collect(),
            counted,
            key,
            mode: options.merge_mode.unwrap_or(properties.merge_mode),
            ordering,
            delete_marker: properties.delete_marker.clone(),
            columns: Arc::new(Schema::new(columns.collect::<Vec<_>>())),
            refuse_repeats: options.refuse_repeats,
        })
    }

    /// Whether new rows depend on the old ones.
    fn reads_old_rows(&self) -> bool {
        self.mode != MergeMode::FirstRow && (self.mode == MergeMode::Partial || !self.ordering.is_empty())
    }

    /// The key columns of rows that need not have the others.
    fn key_columns(&self, table: &str, batch: &RecordBatch) -> Result<Vec<ArrayRef>> {
        let wanted: Vec<_> = self.key.columns.iter().map(|column| self.columns.field(*column).clone()).collect();
        let found = batch.schema();
        let given = found
            .fields()
            .iter()
            .enumerate()
            .filter(|(_, field)| wanted.iter().any(|column| column.name().eq_ignore_ascii_case(field.name())));
        let given: Vec<usize> = given.map(|(at, _)| at).collect();
        if given.len() < wanted.len() {
            let missing = wanted
                .iter()
                .find(|column| !given.iter().any(|at| found.field(*at).name().eq_ignore_ascii_case(column.name())));
            let name = missing.map_or("?", |column| column.name().as_str());
            let what = format!("the rows lack column {name} of the primary key");
            return Err(TableError::SchemaMismatch { table: table.into(), what });
        }
        let keys = conform(table, &batch.project(&given)?, &Arc::new(Schema::new(wanted)))?;
        Ok(keys.columns().to_vec())
    }
}

/// The rows given: the first chunk is kept, so that an upsert that has to begin anew still has it.
struct Input {
    rows: BatchStream,
    chunk_bytes: usize,
    first: Option<Vec<RecordBatch>>,
    chunks: u32,
    ended: bool,
    /// The first batch of the next chunk, if it has other columns than the one before.
    pending: Option<RecordBatch>,
}

impl Input {
    fn new(rows: BatchStream, memory_limit: u64) -> Self {
        // A chunk, its rows in order, the rows they replace, and a file in the making.
        let chunk_bytes = usize::try_from(memory_limit / 3).unwrap_or(usize::MAX).max(1 << 20);
        Input { rows, chunk_bytes, first: None, chunks: 0, ended: false, pending: None }
    }

    /// Whether all rows given are still here.
    fn can_begin_anew(&mut self) -> bool {
        let can = self.ended && self.chunks <= 1;
        self.chunks = 0;
        can
    }

    async fn next_chunk(&mut self) -> Result<Option<Vec<RecordBatch>>> {
        if self.chunks == 0
            && let Some(first) = &self.first
        {
            self.chunks = 1;
            return Ok(Some(first.clone()));
        }
        if self.ended {
            return Ok(None);
        }
        let (mut chunk, mut bytes): (Vec<RecordBatch>, usize) = (Vec::new(), 0);
        loop {
            let next = match self.pending.take() {
                Some(batch) => Some(batch),
                None => self.rows.next().await.transpose()?,
            };
            let Some(batch) = next else {
                self.ended = true;
                break;
            };
            // Which columns are given is a matter of the chunk.
            if chunk.first().is_some_and(|first| !same_columns(first, &batch)) {
                self.pending = Some(batch);
                break;
            }
            bytes += crate::stage::batch_bytes(&batch);
            chunk.push(batch);
            if bytes >= self.chunk_bytes {
                break;
            }
        }
        if chunk.is_empty() {
            return Ok(None);
        }
        self.chunks += 1;
        self.first = (self.chunks == 1).then(|| chunk.clone());
        Ok(Some(chunk))
    }
}

fn same_columns(one: &RecordBatch, other: &RecordBatch) -> bool {
    let names = |batch: &RecordBatch| -> Vec<String> {
        batch.schema().fields().iter().map(|field| field.name().to_lowercase()).collect()
    };
    one.schema() == other.schema() || names(one) == names(other)
}

#[derive(Default)]
struct Counts {
    rows: u64,
    deleted_keys: u64,
}

struct Upsert {
    transaction: Transaction,
    snapshot: Arc<Snapshot>,
    rules: Rules,
    counts: Counts,
    /// The ordering fields of rows that deleted their key, for chunks to come.
    deleted_at: HashMap<KeyHash, OwnedRow>,
}

/// A chunk of rows in the table's shape, one a key.
struct Chunk {
    rows: RecordBatch,
    hashes: Vec<KeyHash>,
    /// Which columns were given.
    given: Vec<bool>,
    /// Which rows delete their key; none if none does.
    deletes: Option<BooleanArray>,
}

impl Upsert {
    fn begin(table: &Table, snapshot: &Arc<Snapshot>, options: &UpsertOptions) -> Result<Self> {
        let rules = Rules::of(table, snapshot, options)?;
        let mut transaction = table.begin_at(snapshot, options.operation.clone())?;
        // Rows that get columns from old ones keep their values; those of new keys have none yet.
        transaction.identity_values(IdentityValues::KeepOrGenerate);
        transaction.on_duplicate(match rules.mode {
            MergeMode::Overwrite | MergeMode::Partial => OnDuplicate::Replace,
            MergeMode::FirstRow => OnDuplicate::Keep,
        })?;
        Ok(Upsert {
            transaction,
            snapshot: snapshot.clone(),
            rules,
            counts: Counts::default(),
            deleted_at: HashMap::new(),
        })
    }

    /// Takes note of the application's progress; false if the table shows that it came as far before.
    fn record(&mut self, options: &UpsertOptions) -> bool {
        let Some((app_id, version)) = &options.app_progress else { return true };
        if self.transaction.app_progress(app_id).is_some_and(|done| done >= *version) {
            return false;
        }
        self.transaction.record_app_progress(app_id, *version);
        true
    }

    fn uri(&self) -> String {
        self.transaction.table().uri().to_owned()
    }

    async fn take_all(&mut self, input: &mut Input) -> Result<()> {
        while let Some(batches) = input.next_chunk().await? {
            self.counts.rows += batches.iter().map(|batch| batch.num_rows() as u64).sum::<u64>();
            let Some(mut chunk) = self.shape(batches)? else { continue };
            if self.rules.reads_old_rows() {
                chunk = self.merge_with_old_rows(chunk).await?;
            }
            self.stage(chunk).await?;
        }
        Ok(())
    }

    /// The rows of a chunk in the table's shape, of each key the one that counts.
    fn shape(&self, batches: Vec<RecordBatch>) -> Result<Option<Chunk>> {
        let uri = self.uri();
        let Some(first) = batches.first() else { return Ok(None) };
        let names = first.schema();
        let given = self.rules.columns.fields().iter();
        let given = given.map(|column| names.fields().iter().any(|f| f.name().eq_ignore_ascii_case(column.name())));
        let given: Vec<bool> = given.collect();
        let mut rows = Vec::with_capacity(batches.len());
        let mut marks: Vec<ArrayRef> = Vec::new();
        for batch in &batches {
            let (batch, marker) = self.without_marker(batch)?;
            rows.push(conform(&uri, &batch, &self.rules.columns)?);
            marks.extend(marker);
        }
        drop(batches);
        let rows = match rows.as_slice() {
            [only] => only.clone(),
            _ => concat_batches(&self.rules.columns, &rows)?,
        };
        if rows.num_rows() == 0 {
            return Ok(None);
        }
        let deletes = match marks.is_empty() {
            true => None,
            false => {
                let parts: Vec<&dyn Array> = marks.iter().map(|mark| mark.as_ref()).collect();
                Some(arrow::compute::concat(&parts)?.as_boolean().clone())
            }
        };
        for at in &self.rules.counted {
            if let Some(row) = (0..rows.num_rows()).find(|row| rows.column(*at).is_valid(*row)) {
                let name = self.rules.columns.field(*at).name();
                return Err(TableError::ConstraintViolation {
                    table: uri,
                    constraint: format!("{name} GENERATED ALWAYS AS IDENTITY, whose values rows do not bring,"),
                    row: crate::checks::describe_row(&rows, row),
                });
            }
        }
        let columns = self.rules.key.arrays(&rows);
        let hashes = self.rules.key.hash(&uri, &columns)?;
        if let Some(row) = hashes.iter().position(|hash| *hash == KeyHash::NONE) {
            return Err(TableError::ConstraintViolation {
                table: uri,
                constraint: format!("PRIMARY KEY ({})", self.rules.key.names.join(", ")),
                row: crate::checks::describe_row(&rows, row),
            });
        }
        let counting = self.rows_that_count(&rows, &hashes, &columns)?;
        if counting.len() == rows.num_rows() {
            return Ok(Some(Chunk { rows, hashes, given, deletes }));
        }
        let at = UInt32Array::from(counting);
        let hashes = at.values().iter().map(|row| hashes[*row as usize]).collect();
        let deletes = deletes.map(|marks| take(&marks, &at, None)).transpose()?.map(|marks| marks.as_boolean().clone());
        Ok(Some(Chunk { rows: take_record_batch(&rows, &at)?, hashes, given, deletes }))
    }

    /// The rows without the marker column, unless the table has it too, and the marker.
    fn without_marker(&self, batch: &RecordBatch) -> Result<(RecordBatch, Option<ArrayRef>)> {
        let Some(name) = &self.rules.delete_marker else { return Ok((batch.clone(), None)) };
        let found = batch.schema();
        let Some(at) = found.fields().iter().position(|field| field.name().eq_ignore_ascii_case(name)) else {
            return Ok((batch.clone(), None));
        };
        let marker = batch.column(at).clone();
        if marker.data_type() != &ArrowType::Boolean {
            let what = format!("the delete marker {name} is of type {} and must be boolean", marker.data_type());
            return Err(TableError::SchemaMismatch { table: self.uri(), what });
        }
        if self.rules.columns.fields().iter().any(|field| field.name().eq_ignore_ascii_case(name)) {
            return Ok((batch.clone(), Some(marker)));
        }
        let others: Vec<usize> = (0..batch.num_columns()).filter(|column| *column != at).collect();
        Ok((batch.project(&others)?, Some(marker)))
    }

    /// Of the rows of each key the one that counts, in the order of the rows.
    fn rows_that_count(&self, rows: &RecordBatch, hashes: &[KeyHash], key: &[ArrayRef]) -> Result<Vec<u32>> {
        let mut order: Vec<u32> = (0..rows.num_rows() as u32).collect();
        order.sort_unstable_by_key(|row| (hashes[*row as usize], *row));
        if order.windows(2).all(|pair| hashes[pair[0] as usize] != hashes[pair[1] as usize]) {
            return Ok((0..rows.num_rows() as u32).collect());
        }
        let times = match self.rules.ordering.is_empty() || self.rules.mode == MergeMode::FirstRow {
            true => None,
            false => Some(ordering_rows(rows, &self.rules.ordering)?),
        };
        let mut counting = Vec::with_capacity(order.len());
        for group in order.chunk_by(|a, b| hashes[*a as usize] == hashes[*b as usize]) {
            if group.len() > 1 && self.rules.refuse_repeats {
                let key = self.rules.key.describe(key, group[1] as usize);
                return Err(TableError::DuplicateKey { table: self.uri(), key, in_table: false });
            }
            let mut best = group[0];
            for row in &group[1..] {
                let later = match (&times, self.rules.mode) {
                    (_, MergeMode::FirstRow) => false,
                    (Some(times), _) => times.row(*row as usize) >= times.row(best as usize),
                    (None, _) => true,
                };
                best = if later { *row } else { best };
            }
            counting.push(best);
        }
        counting.sort_unstable();
        Ok(counting)
    }

    /// The rows after what the table, and what was staged before, has for their keys: late ones are gone, and columns that
    /// were not given are filled from the old rows.
    async fn merge_with_old_rows(&mut self, chunk: Chunk) -> Result<Chunk> {
        let Chunk { rows, hashes, given, deletes } = chunk;
        let columns = self.rules.key.arrays(&rows);
        let keys = Arc::new(KeySet::new(hashes.clone()));
        let old = self.old_rows(&keys, &columns).await?;
        // For each row the old row of its key.
        let old_of: Vec<Option<u32>> = hashes
            .iter()
            .map(|hash| keys.position(hash).and_then(|at| old.by_key.get(&(at as u32)).copied()))
            .collect();
        let mut kept: Vec<u32> = (0..rows.num_rows() as u32).collect();
        if !self.rules.ordering.is_empty() {
            let (new_times, old_times) =
                (ordering_rows(&rows, &self.rules.ordering)?, ordering_rows(&old.rows, &self.rules.ordering)?);
            kept.retain(|row| {
                let new = new_times.row(*row as usize);
                let deleted_later = self.deleted_at.get(&hashes[*row as usize]).is_some_and(|at| at.row() > new);
                let older = old_of[*row as usize].is_some_and(|old| old_times.row(old as usize) > new);
                !deleted_later && !older
            });
            for row in kept.iter().filter(|row| deletes.as_ref().is_some_and(|marks| is_marked(marks, **row))) {
                self.deleted_at.insert(hashes[*row as usize], new_times.row(*row as usize).owned());
            }
        }
        if let Some(guard) = self.transaction.guard()? {
            let acting: HashSet<u32> = kept.iter().copied().collect();
            guard.set_idle(hashes.iter().enumerate().map(|(row, hash)| (*hash, !acting.contains(&(row as u32)))));
        }
        let at = UInt32Array::from(kept);
        let mut rows_kept = take_record_batch(&rows, &at)?;
        if self.rules.mode == MergeMode::Partial && given.iter().any(|given| !given) {
            let mut merged = Vec::with_capacity(rows_kept.num_columns());
            for (column, given) in given.iter().enumerate() {
                if *given || old.rows.num_rows() == 0 {
                    merged.push(rows_kept.column(column).clone());
                    continue;
                }
                let from = at.values().iter().enumerate().map(|(kept, row)| match old_of[*row as usize] {
                    Some(old) => (1, old as usize),
                    None => (0, kept),
                });
                let sources = [rows_kept.column(column).as_ref(), old.rows.column(column).as_ref()];
                merged.push(interleave(&sources, &from.collect::<Vec<_>>())?);
            }
            let options = RecordBatchOptions::new().with_row_count(Some(rows_kept.num_rows()));
            rows_kept = RecordBatch::try_new_with_options(self.rules.columns.clone(), merged, &options)?;
        }
        let hashes = at.values().iter().map(|row| hashes[*row as usize]).collect();
        let deletes = deletes.map(|marks| take(&marks, &at, None)).transpose()?.map(|marks| marks.as_boolean().clone());
        Ok(Chunk { rows: rows_kept, hashes, given, deletes })
    }

    /// The rows that these keys have now, in the table or staged.
    async fn old_rows(&mut self, keys: &Arc<KeySet>, columns: &[ArrayRef]) -> Result<OldRows> {
        let (table, state) = (self.transaction.table().clone(), self.snapshot.state().clone());
        let staged: Vec<(u32, String, u32)> = match self.transaction.guard()? {
            Some(guard) => guard.staged_rows(&table, keys).await?,
            None => Vec::new(),
        };
        let in_staged: HashSet<u32> = staged.iter().map(|(position, _, _)| *position).collect();
        let first = &columns[0];
        let sieve = Arc::new(Sieve::new(std::iter::once(first)));
        let bounds = KeyBounds::of(columns);
        let hits = match self.transaction.guard()? {
            Some(guard) => guard.look_up(&table, &state, keys.clone(), bounds, Some(sieve)).await?,
            None => Default::default(),
        };
        let gone: HashMap<String, RowSet> = self.transaction.rows_out_of(&state, hits.keys()).await?;
        let live = match self.transaction.guard()? {
            Some(guard) => guard.rely_on(hits, &gone),
            None => Default::default(),
        };
        // What is staged is newer than what the table has, and so is a deletion.
        let deleted: HashSet<u32> = match self.transaction.guard()? {
            Some(guard) => {
                let hashes = keys.hashes().iter().enumerate();
                hashes.filter(|(_, hash)| guard.is_deleted(hash)).map(|(position, _)| position as u32).collect()
            }
            None => HashSet::new(),
        };
        let mut wanted: BTreeMap<String, Vec<(u32, u32)>> = BTreeMap::new();
        for (path, rows) in live {
            let rows: Vec<(u32, u32)> =
                rows.into_iter().filter(|(at, _)| !in_staged.contains(at) && !deleted.contains(at)).collect();
            if !rows.is_empty() {
                wanted.insert(path, rows);
            }
        }
        let mut parts: Vec<RecordBatch> = Vec::new();
        let mut found: Vec<(u32, u32)> = Vec::new();
        let mut fetched = 0u32;
        for (path, rows) in &mut wanted {
            let Some(view) = state.files.find(path) else { continue };
            let set: RowSet = rows.iter().map(|(_, row)| u64::from(*row)).collect();
            let batches = file_rows(&table, &state, &view, RowFilter::Only(&set)).await?;
            fetched = take_in_order(batches, rows, fetched, &mut parts, &mut found).await?;
        }
        let mut by_staged: BTreeMap<String, Vec<(u32, u32)>> = BTreeMap::new();
        for (position, path, row) in staged {
            by_staged.entry(path).or_default().push((position, row));
        }
        for (path, rows) in &mut by_staged {
            let Some(add) = self.transaction.staged_add(path) else { continue };
            let set: RowSet = rows.iter().map(|(_, row)| u64::from(*row)).collect();
            let batches = staged_file_rows(&table, &state, &add, RowFilter::Only(&set)).await?;
            fetched = take_in_order(batches, rows, fetched, &mut parts, &mut found).await?;
        }
        let rows = concat_batches(&self.rules.columns, &parts)?;
        let mut by_key: HashMap<u32, u32> = HashMap::with_capacity(found.len());
        let times = match self.rules.ordering.is_empty() {
            true => None,
            false => Some(ordering_rows(&rows, &self.rules.ordering)?),
        };
        for (position, row) in found {
            let known = by_key.get(&position).copied();
            // A key with several rows, left by a writer without the key: the latest counts.
            let later = match (known, &times) {
                (Some(known), Some(times)) => times.row(row as usize) >= times.row(known as usize),
                _ => true,
            };
            if later {
                by_key.insert(position, row);
            }
        }
        Ok(OldRows { rows, by_key })
    }

    /// Stages the rows of a chunk, and takes note of its deletions.
    async fn stage(&mut self, chunk: Chunk) -> Result<()> {
        let Chunk { rows, hashes, deletes, given } = chunk;
        let Some(deletes) = deletes.filter(|marks| marks.iter().any(|mark| mark == Some(true))) else {
            return self.stage_rows(rows, &given).await;
        };
        let is_deleted = |row: &u32| is_marked(&deletes, *row);
        let (gone, kept): (Vec<u32>, Vec<u32>) = (0..rows.num_rows() as u32).partition(is_deleted);
        let gone_rows = take_record_batch(&rows, &UInt32Array::from(gone.clone()))?;
        let bounds = KeyBounds::of(&self.rules.key.arrays(&gone_rows));
        self.delete(gone.iter().map(|row| hashes[*row as usize]).collect(), bounds)?;
        self.stage_rows(take_record_batch(&rows, &UInt32Array::from(kept))?, &given).await
    }

    async fn stage_rows(&mut self, rows: RecordBatch, given: &[bool]) -> Result<()> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        // What is generated follows from the other columns, old values of it count for nothing.
        let left_out = |column: &usize| !given[*column] && self.rules.generated[*column];
        let columns: Vec<usize> = (0..rows.num_columns()).filter(|column| !left_out(column)).collect();
        let rows = if columns.len() < rows.num_columns() { rows.project(&columns)? } else { rows };
        // In pieces that writers can share among cores.
        const PIECE_ROWS: usize = 64 << 10;
        let pieces: Vec<RecordBatch> = (0..rows.num_rows())
            .step_by(PIECE_ROWS)
            .map(|start| rows.slice(start, PIECE_ROWS.min(rows.num_rows() - start)))
            .collect();
        drop(rows);
        self.transaction.stage_rows(stream_of(pieces)).await.map(drop)
    }

    fn delete(&mut self, hashes: Vec<KeyHash>, bounds: KeyBounds) -> Result<()> {
        self.counts.deleted_keys += hashes.len() as u64;
        if let Some(guard) = self.transaction.guard()? {
            guard.delete(hashes, bounds);
        }
        Ok(())
    }

    /// Commits; a conflict comes back as the error it is.
    async fn commit(self) -> Result<Result<UpsertReport, TableError>> {
        if self.counts.rows == 0 && !self.transaction.records_progress() {
            return Ok(Ok(UpsertReport::default()));
        }
        let table = self.transaction.table().clone();
        match commit_if_changed(self.transaction).await? {
            Attempted::Outcome(CommitOutcome::Committed(report)) => {
                let deleted = report.rows_deleted_by_key;
                let updated = report.rows_removed.saturating_sub(deleted);
                Ok(Ok(UpsertReport {
                    version: Some(report.version),
                    rows_inserted: report.rows_added.saturating_sub(updated),
                    rows_updated: updated,
                    rows_deleted: deleted,
                    rows_ignored: self.counts.rows.saturating_sub(report.rows_added + self.counts.deleted_keys),
                    files_added: report.files_added,
                    files_removed: report.files_removed,
                    lookup: report.lookup,
                }))
            }
            Attempted::Outcome(CommitOutcome::Conflicted { transaction, why }) => {
                let operation = transaction.operation().name.clone();
                transaction.roll_back().await;
                Ok(Err(TableError::Conflict { table: table.uri().to_owned(), operation, why }))
            }
            Attempted::Nothing(transaction) => {
                let lookup = transaction.lookup_report();
                transaction.roll_back().await;
                Ok(Ok(UpsertReport { rows_ignored: self.counts.rows, lookup, ..UpsertReport::default() }))
            }
        }
    }
}

fn is_marked(marks: &BooleanArray, row: u32) -> bool {
    marks.is_valid(row as usize) && marks.value(row as usize)
}

/// The ordering fields of rows, to be compared; null is the earliest.
fn ordering_rows(rows: &RecordBatch, columns: &[usize]) -> Result<arrow::row::Rows> {
    let arrays: Vec<ArrayRef> = columns.iter().map(|column| rows.column(*column).clone()).collect();
    let fields = arrays.iter().map(|array| SortField::new(array.data_type().clone())).collect();
    Ok(RowConverter::new(fields)?.convert_columns(&arrays)?)
}

/// Takes in the rows of a file that were asked for, which come in the file's order: `next` is the number of the first.
async fn take_in_order(
    mut batches: BatchStream,
    asked: &mut [(u32, u32)],
    mut next: u32,
    parts: &mut Vec<RecordBatch>,
    found: &mut Vec<(u32, u32)>,
) -> Result<u32> {
    asked.sort_unstable_by_key(|(_, row)| *row);
    let mut positions = asked.iter().map(|(position, _)| *position);
    while let Some(batch) = batches.try_next().await? {
        for position in positions.by_ref().take(batch.num_rows()) {
            found.push((position, next));
            next += 1;
        }
        parts.push(batch);
    }
    Ok(next)
}

struct OldRows {
    rows: RecordBatch,
    /// For each key that has one, by its place among the keys, the row.
    by_key: HashMap<u32, u32>,
}
