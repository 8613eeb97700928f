//! Where the rows of some keys are, in the files of one version.
//!
//! Three ways lead there, and a look-up takes each where it is cheapest ([`floe_index::plan`]):
//!
//! ```text
//!   files ─ statistics ─► ruled out
//!             │
//!             ├─ covered by a run, few keys for its size ─► the run's blocks
//!             └─ the others ─► their key columns, row groups ruled out by statistics again
//! ```
//!
//! What is found are positions, deleted rows included: whether a row is live is a question of the version, and is asked by
//! the caller. So what was found in a file holds for every later version that has the file.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::{concat, take};
use arrow::datatypes::{Int64Type, Schema};
use floe_index::plan::{Choice, CostModel, Way};
use floe_index::{KeyHash, KeySet, Sieve};
use floe_storage::{ReadOptions, StoreKind, read_data_file};
use floe_table_format::feature::column_mapping_mode;
use floe_table_format::scalar::partition_array;
use floe_table_format::{DataType, FileId, Predicate, RowSet, TableState, prune};
use futures::{StreamExt, TryStreamExt};
use tokio::sync::oneshot;

use crate::error::{OnTable, Result};
use crate::key::{KeyBounds, PrimaryKey};
use crate::table::Table;

/// Rows of key columns decoded at a time.
const SCAN_BATCH_ROWS: usize = 32 << 10;

/// Keys to look for.
pub(crate) struct Wanted<'a> {
    pub(crate) keys: &'a Arc<KeySet>,
    /// What the keys lie within.
    pub(crate) bounds: &'a KeyBounds,
    /// Lets the rows of these keys pass; none lets all.
    pub(crate) sieve: Option<&'a Arc<Sieve>>,
}

/// How many rows of key columns a look-up may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReadAtMost {
    /// As many as it takes.
    AllRows,
    /// So many; a look-up that would take more is not made.
    Rows(u64),
}

/// Rows of wanted keys in one file: the place of the key among the wanted ones, and the row.
pub(crate) type Found = Vec<(u32, u32)>;

/// Where rows of some keys are: for each file, as in the log, the live ones.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct KeyedRows {
    /// File and positions in it.
    pub files: Vec<(String, RowSet)>,
    /// How they were found.
    pub lookup: LookupReport,
}

/// How keys were looked up.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LookupReport {
    /// Keys looked for.
    pub keys: u64,
    /// Live files of the table.
    pub files_total: u64,
    /// Files whose statistics rule them out.
    pub files_pruned: u64,
    /// Files looked up through the record index.
    pub files_by_index: u64,
    /// Files whose key columns were read.
    pub files_scanned: u64,
    /// Rows of those.
    pub rows_scanned: u64,
    /// Runs of the index used.
    pub runs: u64,
    /// Runs that turned out to be damaged; their files were read instead.
    pub runs_unusable: u64,
    /// For files that the index covers, the estimated microseconds through it.
    pub index_cost_us: u64,
    /// For those files, the estimated microseconds through their key columns.
    pub scan_cost_us: u64,
}

impl LookupReport {
    pub(crate) fn absorb(&mut self, other: &LookupReport) {
        self.keys = self.keys.max(other.keys);
        self.files_total = self.files_total.max(other.files_total);
        self.files_pruned += other.files_pruned;
        self.files_by_index += other.files_by_index;
        self.files_scanned += other.files_scanned;
        self.rows_scanned += other.rows_scanned;
        self.runs += other.runs;
        self.runs_unusable += other.runs_unusable;
        self.index_cost_us += other.index_cost_us;
        self.scan_cost_us += other.scan_cost_us;
    }

    /// The way most files went.
    pub fn way(&self) -> &'static str {
        match (self.files_by_index, self.files_scanned) {
            (0, 0) => "statistics",
            (by_index, scanned) if by_index >= scanned => "index",
            _ if self.files_pruned > 0 => "pruned key columns",
            _ => "key columns",
        }
    }
}

impl fmt::Display for LookupReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} keys in {} files by {}: {} ruled out by statistics, {} through {} index runs, {} by their key columns ({} rows)",
            self.keys,
            self.files_total,
            self.way(),
            self.files_pruned,
            self.files_by_index,
            self.runs,
            self.files_scanned,
            self.rows_scanned
        )?;
        match self.scan_cost_us {
            0 => Ok(()),
            scan => write!(f, "; estimated {} us through the index, {scan} us by key columns", self.index_cost_us),
        }
    }
}

/// The rows of the wanted keys in the files of `state`, but for those that `skip` names: by log path.
///
/// # Errors
/// A data file that is missing or damaged; the failures of the store. Never a damaged index.
pub(crate) async fn locate(
    table: &Table,
    state: &Arc<TableState>,
    key: &Arc<PrimaryKey>,
    wanted: &Wanted<'_>,
    skip: &HashSet<String>,
) -> Result<(BTreeMap<String, Found>, LookupReport)> {
    let located = locate_within(table, state, key, wanted, skip, ReadAtMost::AllRows).await?;
    Ok(located.unwrap_or_default())
}

/// As [`locate`], unless that would read more rows than it may.
///
/// # Errors
/// As [`locate`].
pub(crate) async fn locate_within(
    table: &Table,
    state: &Arc<TableState>,
    key: &Arc<PrimaryKey>,
    wanted: &Wanted<'_>,
    skip: &HashSet<String>,
    at_most: ReadAtMost,
) -> Result<Option<(BTreeMap<String, Found>, LookupReport)>> {
    let uri = table.uri();
    let mut report =
        LookupReport { keys: wanted.keys.len() as u64, files_total: state.files.len() as u64, ..Default::default() };
    let mut found = BTreeMap::new();
    if wanted.keys.is_empty() {
        return Ok(Some((found, report)));
    }
    let predicate = wanted.bounds.predicate(key);
    let candidates: Vec<FileId> = match skip.is_empty() && predicate == Predicate::True {
        true => state.files.iter().map(|file| file.id()).collect(),
        false => prune::prune(state, &predicate).on(uri)?,
    };
    report.files_pruned = state.files.len().saturating_sub(candidates.len()) as u64;
    let candidates: Vec<FileId> =
        candidates.into_iter().filter(|id| !skip.contains(state.files.get(id).path())).collect();
    let (by_index, mut scanned) = choose(table, state, key, wanted, candidates, &mut report).await;
    if let ReadAtMost::Rows(most) = at_most {
        let rows: u64 = scanned.iter().map(|id| state.files.get(id).num_records().unwrap_or(u64::MAX >> 20)).sum();
        if rows > most {
            return Ok(None);
        }
    }

    let index = table.index();
    for (run, files) in by_index {
        match index.look_up(table.data_store(), &run, wanted.keys).await {
            Some(entries) => {
                report.runs += 1;
                report.files_by_index += files.len() as u64;
                let live: HashSet<&str> = files.iter().map(|id| state.files.get(id).path()).collect();
                for entry in entries {
                    let path = &run.about.files[entry.file as usize];
                    let Some(position) = wanted.keys.position(&entry.hash).filter(|_| live.contains(path.as_str()))
                    else {
                        continue;
                    };
                    found.entry(path.clone()).or_insert_with(Vec::new).push((position as u32, entry.row));
                }
            }
            None => {
                index.distrust(&run);
                report.runs_unusable += 1;
                scanned.extend(files);
            }
        }
    }

    report.files_scanned = scanned.len() as u64;
    let tasks = scanned.into_iter().map(|id| {
        let scan = KeyScan::of(table, state, key, wanted, id);
        async move { scan?.run_elsewhere().await }
    });
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    let mut scans = futures::stream::iter(tasks).buffer_unordered(2 * cores);
    while let Some((path, rows, hits)) = scans.try_next().await? {
        report.rows_scanned += rows;
        if !hits.is_empty() {
            found.insert(path, hits);
        }
    }
    Ok(Some((found, report)))
}

type RunFiles = Vec<(Arc<crate::record_index::Run>, Vec<FileId>)>;

/// Which files to look up through which run, and which to read.
async fn choose(
    table: &Table,
    state: &Arc<TableState>,
    key: &PrimaryKey,
    wanted: &Wanted<'_>,
    candidates: Vec<FileId>,
    report: &mut LookupReport,
) -> (RunFiles, Vec<FileId>) {
    let rows_of = |id: &FileId| state.files.get(id).num_records().unwrap_or(1 << 20);
    let rows: u64 = candidates.iter().map(&rows_of).sum();
    let scan_bytes_per_row = 8.0 * key.columns.len() as f64;
    let local = CostModel { scan_bytes_per_row, ..CostModel::LOCAL };
    let cost = match table.location().kind {
        StoreKind::Memory | StoreKind::Local => local,
        _ => CostModel { scan_bytes_per_row, ..CostModel::REMOTE },
    };
    let index = table.index();
    if state.properties.record_index && rows >= table.0.index_from_rows {
        index.refresh(table.data_store(), table.env(), key).await;
    }
    let runs = index.runs(key);
    let mut covering: HashMap<&str, usize> = HashMap::new();
    for (number, run) in runs.iter().enumerate() {
        covering.extend(run.about.files.iter().map(|path| (path.as_str(), number)));
    }
    let mut by_run: BTreeMap<usize, Vec<FileId>> = BTreeMap::new();
    let mut scanned = Vec::new();
    for id in candidates {
        match covering.get(state.files.get(&id).path()) {
            Some(number) => by_run.entry(*number).or_default().push(id),
            None => scanned.push(id),
        }
    }
    let mut by_index = Vec::new();
    for (number, files) in by_run {
        let choice = Choice {
            keys: wanted.keys.len() as u64,
            blocks: runs[number].blocks(),
            files: files.len() as u64,
            rows: files.iter().map(&rows_of).sum(),
        };
        let (run, scan_ns) = (&runs[number], choice.scan_ns(&cost));
        let (mut way, mut index_ns) = (choice.way(&cost), choice.index_ns(&cost));
        // A run on the local disk is as good as one of a local store, and what reading without it costs counts towards
        // fetching it. (A look-up through the run counts for itself.)
        if way == Way::Scan
            && choice.index_ns(&local) < scan_ns
            && run.keep(table.data_store(), scan_ns / cost.byte_ns).await
        {
            (way, index_ns) = (Way::Index, choice.index_ns(&local));
        }
        report.index_cost_us += (index_ns / 1000.0) as u64;
        report.scan_cost_us += (scan_ns / 1000.0) as u64;
        match way {
            Way::Index => by_index.push((run.clone(), files)),
            Way::Scan => scanned.extend(files),
        }
    }
    (by_index, scanned)
}

/// The key columns of one file, to be read.
struct KeyScan {
    table: Table,
    key: Arc<PrimaryKey>,
    log_path: String,
    size: i64,
    /// The key columns that lie in the file.
    file_schema: Arc<Schema>,
    /// For each key column its place among the file's, or its value.
    columns: Vec<KeySource>,
    bounds: KeyBounds,
    keys: Arc<KeySet>,
    sieve: Option<Arc<Sieve>>,
}

enum KeySource {
    File(usize),
    Partition(ArrayRef),
}

impl KeyScan {
    fn of(table: &Table, state: &TableState, key: &Arc<PrimaryKey>, wanted: &Wanted<'_>, id: FileId) -> Result<Self> {
        let view = state.files.get(&id);
        let (file_schema, columns) = key_sources(table, state, key, id)?;
        Ok(KeyScan {
            table: table.clone(),
            key: key.clone(),
            log_path: view.path().to_owned(),
            size: view.size(),
            file_schema,
            columns,
            bounds: wanted.bounds.clone(),
            keys: wanted.keys.clone(),
            sieve: wanted.sieve.cloned(),
        })
    }

    /// Runs as a task of its own, so that files are decoded by several threads.
    async fn run_elsewhere(self) -> Result<(String, u64, Found)> {
        let (done, result) = oneshot::channel();
        let table = self.table.clone();
        self.table.env().clone().spawn(async move {
            // Nobody waits any more for the result of a look-up that was given up.
            let _ = done.send(self.run().await);
        });
        result.await.unwrap_or_else(|_| Err(table.refuse("look keys up", "the task that read a file was ended")))
    }

    async fn run(self) -> Result<(String, u64, Found)> {
        let mut found = Vec::new();
        let mut read = 0u64;
        let relative = self.table.root().decode(&self.log_path).on(self.table.uri())?;
        let mut options = ReadOptions::new(self.file_schema.clone())
            .with_row_numbers()
            .with_batch_rows(SCAN_BATCH_ROWS)
            .with_bounds(self.bounds.of_files(&self.key));
        if let Ok(size) = u64::try_from(self.size) {
            options = options.with_size(size);
        }
        let mut batches = read_data_file(self.table.data_store(), &relative, options).await.on(self.table.uri())?;
        while let Some(batch) = batches.next().await {
            let batch = batch.on(self.table.uri())?;
            read += batch.num_rows() as u64;
            self.take_in(&batch, &mut found)?;
        }
        Ok((self.log_path, read, found))
    }

    fn take_in(&self, batch: &RecordBatch, found: &mut Found) -> Result<()> {
        let numbers = batch.column(batch.num_columns() - 1).as_primitive::<Int64Type>();
        let mut columns = key_arrays(&self.columns, batch)?;
        let passing = match &self.sieve {
            Some(sieve) if columns[0].null_count() == 0 => {
                let passing = sieve.passing(&columns[0]);
                let rows = arrow::array::UInt32Array::from_iter_values(passing.iter().map(|row| *row as u32));
                for column in &mut columns {
                    *column = take(column, &rows, None)?;
                }
                Some(passing)
            }
            _ => None,
        };
        let hashes = self.key.hash(self.table.uri(), &columns)?;
        for (at, hash) in hashes.iter().enumerate().filter(|(_, hash)| **hash != KeyHash::NONE) {
            if let Some(position) = self.keys.position(hash) {
                let row = passing.as_ref().map_or(at, |passing| passing[at]);
                let row = u32::try_from(numbers.value(row)).map_err(|_| {
                    self.table.refuse("look keys up", format!("{} has more than 2^32 rows", self.log_path))
                })?;
                found.push((position as u32, row));
            }
        }
        Ok(())
    }
}

/// How the key columns of a file are had: those that lie in it, and for each key column where it comes from.
fn key_sources(
    table: &Table,
    state: &TableState,
    key: &PrimaryKey,
    id: FileId,
) -> Result<(Arc<Schema>, Vec<KeySource>)> {
    let uri = table.uri();
    let view = state.files.get(&id);
    let mode = column_mapping_mode(&state.metadata).on(uri)?;
    let physical = state.schema.to_physical_arrow(mode).on(uri)?;
    let (mut fields, mut columns) = (Vec::new(), Vec::new());
    for at in &key.columns {
        let field = &state.schema.fields[*at];
        match (&field.data_type, state.metadata.partition_columns.contains(&field.name)) {
            (DataType::Primitive(primitive), true) => {
                let value = view.partition_value(field.physical_name_in(mode));
                columns.push(KeySource::Partition(partition_array(std::iter::once(value), primitive).on(uri)?));
            }
            _ => {
                columns.push(KeySource::File(fields.len()));
                fields.push(physical.field(*at).clone().with_nullable(true));
            }
        }
    }
    Ok((Arc::new(Schema::new(fields)), columns))
}

fn key_arrays(sources: &[KeySource], batch: &RecordBatch) -> Result<Vec<ArrayRef>> {
    let arrays = sources.iter().map(|source| match source {
        KeySource::File(at) => Ok(batch.column(*at).clone()),
        KeySource::Partition(value) => {
            let rows = arrow::array::UInt32Array::from(vec![0; batch.num_rows()]);
            Ok(take(value, &rows, None)?)
        }
    });
    arrays.collect()
}

/// The hashes of all keys of a live file, row by row, deleted rows included.
///
/// # Errors
/// A file that is missing or damaged; the failures of the store.
pub(crate) async fn hashes_of_file(
    table: &Table,
    state: &TableState,
    key: &PrimaryKey,
    id: FileId,
) -> Result<Vec<KeyHash>> {
    let mut hashes = Vec::new();
    for columns in key_columns(table, state, key, id, None).await? {
        hashes.extend(key.hash(table.uri(), &columns)?);
    }
    Ok(hashes)
}

/// The hashes of the keys of these rows of a live file, and the key columns.
///
/// # Errors
/// As [`hashes_of_file`].
pub(crate) async fn hashes_of_rows(
    table: &Table,
    state: &TableState,
    key: &PrimaryKey,
    id: FileId,
    rows: &RowSet,
) -> Result<(Vec<KeyHash>, Vec<ArrayRef>)> {
    let batches = key_columns(table, state, key, id, Some(rows)).await?;
    let mut columns = Vec::with_capacity(key.columns.len());
    for column in 0..key.columns.len() {
        let parts: Vec<&dyn Array> = batches.iter().map(|batch| batch[column].as_ref()).collect();
        columns.push(match parts.is_empty() {
            true => arrow::array::new_empty_array(&arrow::datatypes::DataType::Null),
            false => concat(&parts)?,
        });
    }
    let hashes = if batches.is_empty() { Vec::new() } else { key.hash(table.uri(), &columns)? };
    Ok((hashes, columns))
}

/// The key columns of a live file, batch by batch: of these rows, or of all.
async fn key_columns(
    table: &Table,
    state: &TableState,
    key: &PrimaryKey,
    id: FileId,
    rows: Option<&RowSet>,
) -> Result<Vec<Vec<ArrayRef>>> {
    let uri = table.uri();
    let view = state.files.get(&id);
    let (schema, sources) = key_sources(table, state, key, id)?;
    let relative = table.root().decode(view.path()).on(uri)?;
    let mut options = ReadOptions::new(schema).with_batch_rows(SCAN_BATCH_ROWS);
    if let Ok(size) = u64::try_from(view.size()) {
        options = options.with_size(size);
    }
    if let Some(rows) = rows {
        options = options.with_only(rows);
    }
    let batches = read_data_file(table.data_store(), &relative, options).await.on(uri)?;
    let batches: Vec<RecordBatch> = batches.try_collect().await.on(uri)?;
    batches.iter().map(|batch| key_arrays(&sources, batch)).collect()
}
