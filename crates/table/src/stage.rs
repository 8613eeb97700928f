//! Writing rows into data files that no version refers to yet.
//!
//! Rows stream through: they are brought into the table's shape, checked, split by partition and written to one file a
//! partition at a time, statistics collected on the way. Memory is bounded by the open files, not by the input. Small inputs
//! use one writer and make one file; from [`PARALLEL_BYTES`] on, every core encodes a file of its own.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::{Array, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{DataType as ArrowType, Field, Schema, SchemaRef};
use arrow::row::{RowConverter, SortField};
use floe_storage::{DataFileWriter, WriterSettings};
use floe_table_format::feature::column_mapping_mode;
use floe_table_format::iceberg::IcebergCompat;
use floe_table_format::schema::ColumnMappingMode;
use floe_table_format::stats::StatsCollector;
use floe_table_format::{
    Add, DataType, FormatError, Metadata, PrimitiveType, Protocol, Scalar, StructType, TableProperties, path,
};
use futures::StreamExt;
use tokio::sync::{Mutex, mpsc, oneshot};

use crate::checks::Constraints;
use crate::conform::conform;
use crate::error::{OnTable, Result, TableError};
use crate::generated::{Generator, IdentityValues};
use crate::key::{KeyBounds, KeyRanges, PrimaryKey};
use crate::metadata::CHANGE_TYPE_COLUMN;
use crate::record_index::{NewKeys, Run, StagedFile, write_run};
use crate::row_tracking::RowIdColumns;
use crate::rows::BatchStream;
use crate::scan::relabel;
use crate::table::Table;

/// From this much input on, several files are written at once.
const PARALLEL_BYTES: usize = 96 << 20;
/// At most this many partitions have an open file; beyond it the largest is finished.
const OPEN_FILES_MAX: usize = 128;
/// Bytes that one worker's open files may hold before the largest is finished.
const OPEN_BYTES_MAX: u64 = 192 << 20;
/// Rows of a file in a table with a primary key: their hashes are held until the file is complete.
const KEYED_FILE_ROWS_MAX: usize = 4 << 20;
/// Rows of a page in such a table, whose rows are read one by one as well.
const KEYED_PAGE_ROWS: usize = 4096;
/// Hashes of complete files that are held, 16 bytes each; beyond, they go into a run of the index.
const HASHES_HELD_MAX: usize = 6 << 20;
/// First key columns that are held for a fast look-up, in rows.
const SIEVED_ROWS_MAX: usize = 2 << 20;

/// Files that were written and are not part of any version yet.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct StagedRows {
    /// Rows in these files.
    pub(crate) rows: u64,
    /// Bytes of these files.
    pub(crate) bytes: u64,
    /// One `add` a file.
    pub(crate) adds: Vec<Add>,
}

impl StagedRows {
    fn absorb(&mut self, other: StagedRows) {
        self.rows += other.rows;
        self.bytes += other.bytes;
        self.adds.extend(other.adds);
    }
}

/// Where change files lie.
const CHANGE_FOLDER: &str = "_change_data";

/// Which files of a table are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FileKind {
    /// Rows of the table.
    Data,
    /// Rows that changed, with [`CHANGE_TYPE_COLUMN`] behind the table's columns.
    Changes,
}

/// What files of a table must look like.
pub(crate) struct WriteTarget {
    kind: FileKind,
    pub(crate) schema: StructType,
    pub(crate) arrow: SchemaRef,
    file_schema: SchemaRef,
    file_columns: Vec<usize>,
    partition_columns: Vec<PartitionColumn>,
    properties: TableProperties,
    mode: ColumnMappingMode,
    constraints: Constraints,
    pub(crate) generator: Generator,
    /// Where the keys of rows go; none for a table without a primary key.
    keys: Option<Arc<KeySink>>,
    /// The columns of the files in which rows keep their ids, for rows that were there before.
    row_ids: Option<RowIdColumns>,
    /// How many partition columns the files hold, behind the others.
    with_partitions: usize,
}

/// The keys of the rows that a change writes, collected on the way.
pub(crate) struct KeySink {
    pub(crate) key: Arc<PrimaryKey>,
    state: std::sync::Mutex<StagedKeys>,
}

/// Keys of staged rows.
#[derive(Default)]
pub(crate) struct StagedKeys {
    /// Files whose hashes are in memory.
    pub(crate) files: Vec<StagedFile>,
    /// Files whose hashes were too many to hold.
    pub(crate) runs: Vec<Arc<Run>>,
    /// What all keys lie within.
    pub(crate) bounds: KeyBounds,
    /// What the keys of each batch lie within, as long as they ascend.
    pub(crate) ranges: KeyRanges,
    /// The first key column of all rows; none if that is too much to hold.
    pub(crate) first_columns: Option<Vec<arrow::array::ArrayRef>>,
    /// Rows staged.
    pub(crate) rows: usize,
    /// Which file was completed when, by path.
    pub(crate) order: HashMap<String, u32>,
}

impl KeySink {
    fn new(key: Arc<PrimaryKey>) -> Self {
        let state = StagedKeys { first_columns: Some(Vec::new()), ..StagedKeys::default() };
        KeySink { key, state: std::sync::Mutex::new(state) }
    }

    pub(crate) fn staged(&self) -> std::sync::MutexGuard<'_, StagedKeys> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The keys collected, for the index; they are here no longer.
    pub(crate) fn hand_over(&self) -> NewKeys {
        let mut staged = self.staged();
        NewKeys { files: std::mem::take(&mut staged.files), runs: std::mem::take(&mut staged.runs) }
    }

    /// The hashes of the keys of rows about to be written.
    fn take_in(&self, table: &Table, batch: &RecordBatch) -> Result<Vec<floe_index::KeyHash>> {
        let columns = self.key.arrays(batch);
        let hashes = self.key.hash(table.uri(), &columns)?;
        if let Some(row) = hashes.iter().position(|hash| *hash == floe_index::KeyHash::NONE) {
            return Err(TableError::ConstraintViolation {
                table: table.uri().into(),
                constraint: format!("PRIMARY KEY ({})", self.key.names.join(", ")),
                row: crate::checks::describe_row(batch, row),
            });
        }
        let mut staged = self.staged();
        staged.bounds.widen(KeyBounds::of(&columns));
        staged.ranges.add(&columns)?;
        staged.rows += batch.num_rows();
        if staged.rows > SIEVED_ROWS_MAX {
            staged.first_columns = None;
        } else if let Some(held) = &mut staged.first_columns {
            held.push(columns[0].clone());
        }
        Ok(hashes)
    }

    /// Takes in the keys of a complete file.
    async fn add(&self, table: &Table, file: StagedFile) -> Result<()> {
        let full = {
            let mut staged = self.staged();
            let number = staged.order.len() as u32;
            staged.order.insert(file.path.clone(), number);
            staged.files.push(file);
            let held: usize = staged.files.iter().map(|file| file.hashes.len()).sum();
            if held > HASHES_HELD_MAX { std::mem::take(&mut staged.files) } else { Vec::new() }
        };
        if !full.is_empty() {
            let run = write_run(table.data_store(), table.env(), &self.key, &full).await.on(table.uri())?;
            self.staged().runs.push(Arc::new(run));
        }
        Ok(())
    }
}

struct PartitionColumn {
    index: usize,
    physical_name: String,
    data_type: PrimitiveType,
}

impl WriteTarget {
    /// The data files that this metadata describes, for rows that are checked and get what they lack.
    pub(crate) fn new(
        table: &Table,
        protocol: &Protocol,
        metadata: &Metadata,
        identity_values: IdentityValues,
    ) -> Result<Self> {
        let mut target = WriteTarget::of_kind(table, metadata, FileKind::Data)?;
        let (uri, checks) = (table.uri(), table.0.row_checks.as_ref());
        target.constraints = Constraints::compile(uri, &target.schema, &target.properties.constraints, checks)?;
        target.generator = Generator::compile(uri, protocol, &target.schema, checks, identity_values)?;
        Ok(target)
    }

    /// The data files that this metadata describes, for rows that are in the table as they are, as
    /// [`moving_rows`](crate::scan::moving_rows) gives them.
    pub(crate) fn of_kept(table: &Table, metadata: &Metadata) -> Result<Self> {
        WriteTarget::of_kind(table, metadata, FileKind::Data)?.keeping_row_ids(table, metadata)
    }

    /// For rows that replace others, whose ids they carry behind the table's columns. Keys go where those of new rows go.
    pub(crate) fn for_updates(
        table: &Table,
        protocol: &Protocol,
        metadata: &Metadata,
        identity_values: IdentityValues,
        keys: Option<Arc<KeySink>>,
    ) -> Result<Self> {
        let target = WriteTarget::new(table, protocol, metadata, identity_values)?;
        WriteTarget { keys, ..target }.keeping_row_ids(table, metadata)
    }

    fn keeping_row_ids(mut self, table: &Table, metadata: &Metadata) -> Result<Self> {
        self.row_ids = RowIdColumns::of(table.uri(), metadata)?;
        if let Some(columns) = &self.row_ids {
            let own = self.schema.fields.len();
            self.file_columns.extend([own, own + 1]);
            let mut fields: Vec<Arc<Field>> = self.file_schema.fields().iter().cloned().collect();
            fields.extend(columns.fields().map(Arc::new));
            self.file_schema = Arc::new(Schema::new(fields));
        }
        Ok(self)
    }

    /// The change files of a table with this metadata: rows of its columns and [`CHANGE_TYPE_COLUMN`].
    pub(crate) fn of_changes(table: &Table, metadata: &Metadata) -> Result<Self> {
        WriteTarget::of_kind(table, metadata, FileKind::Changes)
    }

    fn of_kind(table: &Table, metadata: &Metadata, kind: FileKind) -> Result<Self> {
        let uri = table.uri();
        let schema = StructType::parse(&metadata.schema_string).on(uri)?;
        let properties = TableProperties::parse(&metadata.configuration).on(uri)?;
        let mode = column_mapping_mode(metadata).on(uri)?;
        let arrow = schema.nullable_inside().to_arrow().on(uri)?;
        let physical = schema.nullable_inside().to_physical_arrow(mode).on(uri)?;
        let mut partition_columns = Vec::new();
        for name in &metadata.partition_columns {
            let index = schema.fields.iter().position(|f| f.name == *name);
            let index =
                index.ok_or_else(|| table.refuse("write", format!("partition column {name} is not in the schema")))?;
            let field = &schema.fields[index];
            let DataType::Primitive(data_type) = field.data_type else {
                return Err(table.refuse("write", format!("partition column {name} has a nested type")));
            };
            let physical_name = physical.field(index).name().clone();
            partition_columns.push(PartitionColumn { index, physical_name, data_type });
        }
        for field in &schema.fields {
            let read_only = field.data_type.first_read_only();
            if let Some(kind) = read_only.or_else(|| field.data_type.contains_void().then_some(DataType::Void)) {
                let features = vec![format!("type {kind} of column {}", field.name)];
                return Err(FormatError::UnsupportedFeature { operation: "write rows".into(), features }).on(uri);
            }
        }
        // A column of no type is in no file.
        let is_stored = |column: &usize| {
            schema.fields[*column].data_type != DataType::Void && partition_columns.iter().all(|p| p.index != *column)
        };
        let mut file_columns: Vec<usize> = (0..schema.fields.len()).filter(is_stored).collect();
        // Whether a column may be null is the table's rule, enforced before writing; files allow null, as Spark's do,
        // so that a constraint can be dropped without rewriting them.
        let mut file_fields: Vec<Field> =
            file_columns.iter().map(|i| physical.field(*i).clone().with_nullable(true)).collect();
        // Readers of Iceberg know partitions by the files alone: their values come last.
        let mut with_partitions = 0;
        if kind == FileKind::Data && IcebergCompat::of(metadata).on(uri)?.is_some() {
            with_partitions = partition_columns.len();
            for column in &partition_columns {
                file_columns.push(column.index);
                file_fields.push(physical.field(column.index).clone().with_nullable(true));
            }
        }
        let (arrow, keys) = match kind {
            FileKind::Data => (arrow, PrimaryKey::of(uri, metadata)?.map(|key| Arc::new(KeySink::new(key)))),
            FileKind::Changes => {
                let change_type = Field::new(CHANGE_TYPE_COLUMN, ArrowType::Utf8, true);
                file_columns.push(schema.fields.len());
                file_fields.push(change_type.clone());
                let mut fields: Vec<Field> = arrow.fields().iter().map(|field| field.as_ref().clone()).collect();
                fields.push(change_type);
                (Arc::new(Schema::new(fields)), None)
            }
        };
        Ok(WriteTarget {
            kind,
            schema,
            arrow,
            file_schema: Arc::new(Schema::new(file_fields)),
            file_columns,
            partition_columns,
            properties,
            mode,
            constraints: Constraints::none(uri),
            generator: Generator::none(uri),
            keys,
            row_ids: None,
            with_partitions,
        })
    }

    /// Where the keys of rows go.
    pub(crate) fn keys(&self) -> Option<&Arc<KeySink>> {
        self.keys.as_ref()
    }
}

/// Whether rows come in an order that the files are to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InOrder {
    /// They may be dealt out to several files at once.
    No,
    /// They are written to one file after the other, so that each holds a stretch of them.
    Yes,
}

/// Writes rows for `target`; `data_change` says whether they are new rows of the table or kept ones.
///
/// # Errors
/// The first row that does not fit or breaks a constraint, or whatever storage meets. Files written so far are deleted.
pub(crate) async fn stage(
    table: &Table,
    target: Arc<WriteTarget>,
    mut rows: BatchStream,
    data_change: bool,
    in_order: InOrder,
) -> Result<StagedRows> {
    let mut worker = Worker::new(table.clone(), target.clone(), data_change);
    let mut seen_bytes = 0usize;
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    while let Some(batch) = rows.next().await {
        let written = match batch {
            Ok(batch) => {
                seen_bytes += batch_bytes(&batch);
                worker.write(&batch).await
            }
            Err(error) => Err(error),
        };
        if let Err(error) = written {
            worker.abandon().await;
            return Err(error);
        }
        if cores > 1 && seen_bytes >= PARALLEL_BYTES && in_order == InOrder::No {
            return stage_parallel(table, target, worker, rows, data_change, cores.min(8)).await;
        }
    }
    worker.finish_or_abandon().await
}

async fn stage_parallel(
    table: &Table,
    target: Arc<WriteTarget>,
    first: Worker,
    mut rows: BatchStream,
    data_change: bool,
    workers: usize,
) -> Result<StagedRows> {
    let (sender, receiver) = mpsc::channel::<RecordBatch>(workers);
    let receiver = Arc::new(Mutex::new(receiver));
    // A channel that closes without this mark means the caller is gone: then nothing is finished.
    let complete = Arc::new(AtomicBool::new(false));
    let mut results = Vec::new();
    let mut pending = vec![first];
    pending.extend((1..workers).map(|_| Worker::new(table.clone(), target.clone(), data_change)));
    for mut worker in pending {
        let (receiver, complete) = (receiver.clone(), complete.clone());
        let (done, result) = oneshot::channel();
        table.0.env.spawn(Box::pin(async move {
            let outcome = loop {
                let next = receiver.lock().await.recv().await;
                match next {
                    Some(batch) => {
                        if let Err(error) = worker.write(&batch).await {
                            worker.abandon().await;
                            break Err(error);
                        }
                    }
                    None if complete.load(Ordering::Acquire) => break worker.finish_or_abandon().await,
                    None => {
                        worker.abandon().await;
                        return;
                    }
                }
            };
            // The receiver may have been dropped with its caller; then there is nobody to tell.
            let _ = done.send(outcome);
        }));
        results.push(result);
    }
    drop(receiver);
    let mut failure = None;
    while let Some(batch) = rows.next().await {
        match batch {
            // All workers have failed: their errors are below.
            Ok(batch) => {
                if sender.send(batch).await.is_err() {
                    break;
                }
            }
            Err(error) => {
                failure = Some(error);
                break;
            }
        }
    }
    complete.store(failure.is_none(), Ordering::Release);
    drop(sender);
    let mut staged = StagedRows::default();
    for result in results {
        match result.await {
            Ok(Ok(part)) => staged.absorb(part),
            Ok(Err(error)) => failure = failure.or(Some(error)),
            Err(_) => {}
        }
    }
    match failure {
        None => Ok(staged),
        Some(error) => {
            discard(table, staged.adds.iter().map(|add| add.path.as_str())).await;
            Err(error)
        }
    }
}

/// Deletes staged files, by their paths as in the log, that will not be committed. Best effort: vacuum collects what
/// remains.
pub(crate) async fn discard(table: &Table, staged: impl Iterator<Item = &str>) {
    let paths: Vec<String> = staged.filter_map(|path| path::DataPath::decode(path).ok()).collect();
    if !paths.is_empty() {
        let _ = table.0.data.delete_many(paths).await;
    }
}

/// Writes rows, batch by batch, into one open file a partition.
pub(crate) struct Worker {
    table: Table,
    target: Arc<WriteTarget>,
    data_change: bool,
    open: HashMap<Vec<Option<String>>, OpenFile>,
    staged: StagedRows,
}

struct OpenFile {
    writer: DataFileWriter,
    /// None for a change file, which has no statistics.
    stats: Option<StatsCollector>,
    relative: String,
    hashes: Vec<floe_index::KeyHash>,
}

impl Worker {
    pub(crate) fn new(table: Table, target: Arc<WriteTarget>, data_change: bool) -> Self {
        Worker { table, target, data_change, open: HashMap::new(), staged: StagedRows::default() }
    }

    pub(crate) async fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let kept = match &self.target.row_ids {
            Some(columns) => Some((columns, columns.taken_from(batch)?)),
            None => None,
        };
        let batch = kept.as_ref().map_or(batch, |(_, (batch, _))| batch);
        let given = batch.schema();
        let mut batch = conform(self.table.uri(), batch, &self.target.arrow)?;
        if !self.target.generator.is_idle() {
            let given = |name: &str| given.fields().iter().any(|field| field.name().eq_ignore_ascii_case(name));
            batch = self.target.generator.fill(batch, given)?;
        }
        self.target.constraints.enforce(&batch)?;
        if let Some((columns, (_, kept))) = kept {
            batch = columns.put_behind(&batch, kept)?;
        }
        if self.target.partition_columns.is_empty() {
            return self.write_partition(Vec::new(), batch).await;
        }
        for (values, part) in self.split(&batch)? {
            self.write_partition(values, part).await?;
        }
        Ok(())
    }

    /// The batch cut by partition values, in order of first appearance.
    fn split(&self, batch: &RecordBatch) -> Result<Vec<(Vec<Option<String>>, RecordBatch)>> {
        let columns = &self.target.partition_columns;
        let arrays: Vec<_> = columns.iter().map(|c| batch.column(c.index).clone()).collect();
        let converter = RowConverter::new(arrays.iter().map(|a| SortField::new(a.data_type().clone())).collect())?;
        let keys = converter.convert_columns(&arrays)?;
        let mut groups: Vec<Vec<u32>> = Vec::new();
        let mut group_of: HashMap<&[u8], usize> = HashMap::new();
        for row in 0..batch.num_rows() {
            let group = *group_of.entry(keys.row(row).data()).or_insert_with(|| {
                groups.push(Vec::new());
                groups.len() - 1
            });
            groups[group].push(row as u32);
        }
        let mut parts = Vec::with_capacity(groups.len());
        for rows in groups {
            let first = rows[0] as usize;
            let mut values = Vec::with_capacity(columns.len());
            for (column, array) in columns.iter().zip(&arrays) {
                let scalar = Scalar::from_array(array.as_ref(), first).on(self.table.uri())?;
                values.push(scalar.to_partition_value(&column.data_type));
            }
            let part = match rows.len() == batch.num_rows() {
                true => batch.clone(),
                false => take_record_batch(batch, &UInt32Array::from(rows))?,
            };
            parts.push((values, part));
        }
        Ok(parts)
    }

    async fn write_partition(&mut self, values: Vec<Option<String>>, batch: RecordBatch) -> Result<()> {
        let fields = self.target.file_schema.fields().iter();
        let columns: Vec<_> = self
            .target
            .file_columns
            .iter()
            .zip(fields)
            .map(|(i, f)| relabel(batch.column(*i), f.data_type()))
            .collect();
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let hashes = match &self.target.keys {
            Some(sink) => sink.take_in(&self.table, &batch)?,
            None => Vec::new(),
        };
        let batch = RecordBatch::try_new_with_options(self.target.file_schema.clone(), columns, &options)?;
        if !self.open.contains_key(&values) {
            if self.open.len() >= OPEN_FILES_MAX {
                self.finish_largest().await?;
            }
            let file = self.start_file(&values)?;
            self.open.insert(values.clone(), file);
        }
        let file = self.open.get_mut(&values).expect("the file was opened just above");
        if let Some(stats) = &mut file.stats {
            // Of partitions, and of ids that rows keep, there are no statistics.
            let kept = if self.target.row_ids.is_some() { 2 } else { 0 };
            let own = batch.num_columns() - kept - self.target.with_partitions;
            stats.update(&batch.project(&(0..own).collect::<Vec<_>>())?).on(self.table.uri())?;
        }
        file.writer.write(&batch).await.on(self.table.uri())?;
        file.hashes.extend(hashes);
        let full = file.writer.in_progress_bytes() >= self.target.properties.target_file_size;
        if full || file.hashes.len() >= KEYED_FILE_ROWS_MAX {
            self.finish_file(&values).await?;
        }
        if self.open.len() > 1 && self.open.values().map(|f| f.writer.in_progress_bytes()).sum::<u64>() > OPEN_BYTES_MAX
        {
            self.finish_largest().await?;
        }
        Ok(())
    }

    fn start_file(&self, values: &[Option<String>]) -> Result<OpenFile> {
        let id = self.table.0.env.uuid();
        let name = match self.target.kind {
            FileKind::Data => format!("part-00000-{id}-c000.zstd.parquet"),
            FileKind::Changes => format!("cdc-00000-{id}.c000.zstd.parquet"),
        };
        let columns: Vec<(String, Option<&str>)> = self
            .target
            .partition_columns
            .iter()
            .zip(values)
            .map(|(c, v)| (c.physical_name.clone(), v.as_deref()))
            .collect();
        let relative = match columns.is_empty() {
            true => name,
            false => format!("{}/{name}", path::partition_directory(&columns)),
        };
        let relative = match self.target.kind {
            FileKind::Data => relative,
            FileKind::Changes => format!("{CHANGE_FOLDER}/{relative}"),
        };
        let mut settings = WriterSettings::default();
        if self.target.keys.is_some() {
            settings.page_rows = KEYED_PAGE_ROWS;
        }
        settings.shred_variants = self.target.properties.enable_variant_shredding;
        let writer = DataFileWriter::new(&self.table.0.data, &relative, self.target.file_schema.clone(), settings);
        let writer = writer.on(self.table.uri())?;
        let partitions: Vec<String> =
            self.target.partition_columns.iter().map(|c| self.target.schema.fields[c.index].name.clone()).collect();
        let target = &self.target;
        let stats = match target.kind {
            FileKind::Data => Some(
                StatsCollector::new(&target.schema, &partitions, target.mode, &target.properties)
                    .on(self.table.uri())?,
            ),
            FileKind::Changes => None,
        };
        Ok(OpenFile { writer, stats, relative, hashes: Vec::new() })
    }

    async fn finish_file(&mut self, values: &Vec<Option<String>>) -> Result<()> {
        let Some(file) = self.open.remove(values) else { return Ok(()) };
        let written = file.writer.finish().await.on(self.table.uri())?;
        let stats = file.stats.map(StatsCollector::finish);
        debug_assert!(
            stats.as_ref().is_none_or(|stats| stats.num_records == written.rows),
            "every row written was counted"
        );
        let partition_values = self
            .target
            .partition_columns
            .iter()
            .zip(values)
            .map(|(column, value)| (column.physical_name.clone(), value.clone()))
            .collect();
        self.staged.rows += written.rows;
        self.staged.bytes += written.size;
        let log_path = path::DataPath::encode(&file.relative);
        self.staged.adds.push(Add {
            path: log_path.clone(),
            partition_values,
            size: i64::try_from(written.size).unwrap_or(i64::MAX),
            modification_time: self.table.0.env.now().0,
            data_change: self.data_change,
            stats: stats.map(|stats| stats.json),
            ..Add::default()
        });
        match &self.target.keys {
            Some(sink) => sink.add(&self.table, StagedFile { path: log_path, hashes: file.hashes }).await,
            None => Ok(()),
        }
    }

    async fn finish_largest(&mut self) -> Result<()> {
        let largest = self.open.iter().max_by_key(|(_, f)| f.writer.in_progress_bytes()).map(|(v, _)| v.clone());
        match largest {
            Some(values) => self.finish_file(&values).await,
            None => Ok(()),
        }
    }

    /// Completes the open files; if that fails, as [`Worker::abandon`].
    pub(crate) async fn finish_or_abandon(mut self) -> Result<StagedRows> {
        let mut keys: Vec<Vec<Option<String>>> = self.open.keys().cloned().collect();
        keys.sort();
        for values in keys {
            if let Err(error) = self.finish_file(&values).await {
                self.abandon().await;
                return Err(error);
            }
        }
        Ok(self.staged)
    }

    /// Gives up: open uploads are aborted, finished files deleted.
    pub(crate) async fn abandon(self) {
        for (_, file) in self.open {
            file.writer.abort().await;
        }
        discard(&self.table, self.staged.adds.iter().map(|add| add.path.as_str())).await;
    }
}

/// Bytes that the rows of a batch take, not those of the buffers it shares with others.
pub(crate) fn batch_bytes(batch: &RecordBatch) -> usize {
    batch
        .columns()
        .iter()
        .map(|c| c.to_data().get_slice_memory_size().unwrap_or_else(|_| c.get_array_memory_size()))
        .sum()
}
