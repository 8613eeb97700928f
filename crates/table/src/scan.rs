//! The one way rows of a version are found: prune files, plan, read.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, make_array};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType as ArrowType, Field, FieldRef, Schema, SchemaRef};
use floe_storage::{ReadOptions, read_data_file};
use floe_table_format::feature::column_mapping_mode;
use floe_table_format::path::TableRoot;
use floe_table_format::scalar::partition_array;
use floe_table_format::schema::{ColumnMappingMode, nearest};
use floe_table_format::{
    Add, DataType, DeletionVectorDescriptor, FileId, FileView, Predicate, RowSet, StructType, TableState, Version,
    prune,
};
use futures::{FutureExt, StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};

use crate::error::{OnTable, Result};
use crate::filter;
use crate::locate::KeyedRows;
use crate::meter::Meter;
use crate::row_tracking::{FileRowIds, RowIdColumns};
use crate::rows::BatchStream;
use crate::snapshot::Snapshot;
use crate::table::Table;

/// How many files of a scan are opened ahead.
const FILES_AHEAD: usize = 2;

/// A read of one version: which columns, which rows.
#[derive(Debug, Clone)]
pub struct Scan {
    snapshot: Arc<Snapshot>,
    columns: Option<Vec<String>>,
    predicate: Predicate,
    row_ids: bool,
}

impl Snapshot {
    /// Starts reading rows of this version.
    pub fn scan(&self) -> Scan {
        Scan::new(Arc::new(self.clone()))
    }
}

/// A file of a [`ScanPlan`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScanFile {
    /// Relative to the table's root, not encoded; with a slash in front, from the top of the store, for a file elsewhere.
    pub path: String,
    /// As it stands in the log, the name of the file in a [`crate::Transaction`].
    pub log_path: String,
    /// Bytes.
    pub size: u64,
    /// Milliseconds since 1970.
    pub modification_time: i64,
    /// Serialised values in the order of the table's partition columns; `None` is null.
    pub partition_values: Vec<Option<String>>,
    /// Rows of the file that are not part of the table.
    pub deletion_vector: Option<DeletionVectorDescriptor>,
    /// Rows the file holds, deleted ones included, if its statistics tell.
    pub num_records: Option<u64>,
    /// The only rows of the file to read, ascending, where a look-up by key has told which they are; none for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only_rows: Option<Vec<u64>>,
}

/// What to read, as a value that can be shipped to another machine. Deletion vectors are part of it: without them
/// deleted rows would come back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScanPlan {
    /// Where the table lies.
    pub table_uri: String,
    /// The version read.
    pub version: Version,
    /// The table's schema as Delta's JSON text.
    pub schema: String,
    /// The table's partition columns, logical names.
    pub partition_columns: Vec<String>,
    /// How logical columns are found in files.
    pub column_mapping: ColumnMappingMode,
    /// Files that may hold matching rows.
    pub files: Vec<ScanFile>,
    /// Files the version has, pruned ones included.
    pub files_total: u64,
    /// Why the others need not be read.
    #[serde(default)]
    pub pruned: PrunedFiles,
}

/// How many files of a version need not be read, each counted once, by the first reason in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PrunedFiles {
    /// Their partition values do not match.
    pub by_partition: u64,
    /// Their statistics prove that no row matches.
    pub by_statistics: u64,
    /// A look-up by key has found none of the keys in them.
    pub by_index: u64,
    /// The files before them hold as many rows as are wanted.
    pub by_limit: u64,
}

impl ScanPlan {
    /// Leaves only these rows, which a look-up by key has found.
    pub fn retain_rows(&mut self, rows: &KeyedRows) {
        let before = self.files.len();
        let mut found: HashMap<&str, &RowSet> = rows.files.iter().map(|(path, rows)| (path.as_str(), rows)).collect();
        self.files.retain_mut(|file| match found.remove(file.log_path.as_str()) {
            Some(rows) => {
                file.only_rows = Some(rows.iter().collect());
                true
            }
            None => false,
        });
        self.pruned.by_index += (before - self.files.len()) as u64;
    }
}

impl Scan {
    pub(crate) fn new(snapshot: Arc<Snapshot>) -> Self {
        Scan { snapshot, columns: None, predicate: Predicate::True, row_ids: false }
    }

    /// Reads only these columns, in this order.
    pub fn with_columns<S: Into<String>>(mut self, columns: impl IntoIterator<Item = S>) -> Self {
        self.columns = Some(columns.into_iter().map(Into::into).collect());
        self
    }

    /// Reads only rows for which the predicate is true.
    pub fn with_predicate(mut self, predicate: Predicate) -> Self {
        self.predicate = predicate;
        self
    }

    /// Gives two columns more, behind the others, in a table with row tracking: `_row_id`, which a row keeps for as long as it lives, and
    /// `_row_commit_version`, the version that wrote it as it is. Both are `Int64`; null in a file that was never given ids.
    ///
    /// Protocol section "Row Tracking".
    pub fn with_row_ids(mut self) -> Self {
        self.row_ids = true;
        self
    }

    /// The files to read: every one that may hold a matching row.
    ///
    /// # Errors
    /// A path in the log that escapes the table, or a predicate on values that its column cannot hold.
    pub fn plan(&self) -> Result<ScanPlan> {
        let state = self.snapshot.state();
        let uri = self.snapshot.table().uri();
        let mut files = Vec::new();
        let root = self.snapshot.table().root();
        for id in prune::prune(state, &self.predicate).on(uri)? {
            files.push(scan_file(state, &root, &state.files.get(&id)).on(uri)?);
        }
        let total = state.files.len() as u64;
        let by_partition = match partition_part(&self.predicate, &state.metadata.partition_columns) {
            Predicate::True => 0,
            whole if whole == self.predicate => total - files.len() as u64,
            part => total - prune::prune(state, &part).on(uri)?.len() as u64,
        };
        let by_statistics = total - by_partition - files.len() as u64;
        Ok(ScanPlan {
            table_uri: uri.to_owned(),
            version: state.version,
            schema: state.metadata.schema_string.clone(),
            partition_columns: state.metadata.partition_columns.clone(),
            column_mapping: column_mapping_mode(&state.metadata).on(uri)?,
            files,
            files_total: total,
            pruned: PrunedFiles { by_partition, by_statistics, ..PrunedFiles::default() },
        })
    }

    /// The matching rows as Arrow batches with the table's logical columns.
    ///
    /// # Errors
    /// An unknown column, with the nearest name; a type this build does not read. The stream ends with an error where a
    /// file is missing or damaged: rows are never left out.
    pub async fn stream(&self) -> Result<BatchStream> {
        let state = self.snapshot.state().clone();
        let table = self.snapshot.table().clone();
        let arrow = self.snapshot.arrow_schema()?;
        let mut projection = self.projection(&arrow)?;
        let row_ids = self.row_ids;
        if row_ids {
            if RowIdColumns::of(table.uri(), &state.metadata)?.is_none() {
                return Err(table.refuse("read row ids", "the table has none: delta.enableRowTracking is not set"));
            }
            projection.extend([arrow.fields().len(), arrow.fields().len() + 1]);
        }
        let ids = prune::prune(&state, &self.predicate).on(table.uri())?;
        let predicate = self.predicate.clone();
        let stream = futures::stream::iter(ids)
            .map(move |id| {
                let (table, state) = (table.clone(), state.clone());
                async move {
                    match row_ids {
                        true => moving_rows(&table, &state, &state.files.get(&id), RowFilter::Live).await,
                        false => file_rows(&table, &state, &state.files.get(&id), RowFilter::Live).await,
                    }
                }
                .boxed()
            })
            .buffered(FILES_AHEAD)
            .try_flatten()
            .map(move |batch| {
                let batch = batch?;
                let batch = match filter::matching(&predicate, &batch)? {
                    Some(mask) => filter_record_batch(&batch, &mask)?,
                    None => batch,
                };
                let batch = batch.project(&projection)?;
                if row_ids { with_public_names(&batch) } else { Ok(batch) }
            })
            .try_filter(|batch| std::future::ready(batch.num_rows() > 0));
        Ok(stream.boxed())
    }

    fn projection(&self, arrow: &SchemaRef) -> Result<Vec<usize>> {
        let Some(columns) = &self.columns else { return Ok((0..arrow.fields().len()).collect()) };
        let mut projection = Vec::with_capacity(columns.len());
        for name in columns {
            let position = arrow.fields().iter().position(|f| f.name() == name);
            let position = position.or_else(|| arrow.fields().iter().position(|f| f.name().eq_ignore_ascii_case(name)));
            projection.push(position.ok_or_else(|| {
                let known: Vec<&str> = arrow.fields().iter().map(|f| f.name().as_str()).collect();
                let hint =
                    nearest(name, known.iter().copied()).map(|n| format!("; did you mean {n}?")).unwrap_or_default();
                self.snapshot.table().refuse("read", format!("there is no column {name}{hint}"))
            })?);
        }
        Ok(projection)
    }
}

/// What a predicate says of partition columns alone.
fn partition_part(predicate: &Predicate, partition_columns: &[String]) -> Predicate {
    let of_partitions = |part: &Predicate| match part.columns() {
        columns if columns.is_empty() => false,
        columns => columns.iter().all(|path| matches!(path.as_slice(), [name] if partition_columns.contains(name))),
    };
    match predicate {
        Predicate::And(parts) => {
            let parts = parts.iter().filter(|part| of_partitions(part)).cloned();
            parts.fold(Predicate::True, Predicate::and)
        }
        whole if of_partitions(whole) => whole.clone(),
        _ => Predicate::True,
    }
}

/// Names the last two columns as readers know them.
fn with_public_names(batch: &RecordBatch) -> Result<RecordBatch> {
    let schema = batch.schema();
    let first = schema.fields().len().saturating_sub(2);
    let name = |at: usize| ["_row_id", "_row_commit_version"].get(at.checked_sub(first)?).copied();
    let fields = schema.fields().iter().enumerate().map(|(at, field)| match name(at) {
        Some(name) => Arc::new(field.as_ref().clone().with_name(name)),
        None => field.clone(),
    });
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields.collect::<Vec<_>>())), batch.columns().to_vec())?)
}

/// A live file as a scan reads it.
fn scan_file(state: &TableState, root: &TableRoot, view: &FileView<'_>) -> floe_table_format::Result<ScanFile> {
    let mode = column_mapping_mode(&state.metadata)?;
    let mut partition_values = Vec::with_capacity(state.metadata.partition_columns.len());
    for name in &state.metadata.partition_columns {
        let physical = state.schema.field(name).map_or(name.as_str(), |f| f.physical_name_in(mode));
        partition_values.push(view.partition_value(physical).map(str::to_owned));
    }
    Ok(ScanFile {
        path: root.decode(view.path())?,
        log_path: view.path().to_owned(),
        size: u64::try_from(view.size()).unwrap_or(0),
        modification_time: view.modification_time(),
        partition_values,
        deletion_vector: view.deletion_vector(),
        num_records: view.num_records(),
        only_rows: None,
    })
}

/// Which rows of a file to read.
#[derive(Debug, Clone, Copy)]
pub(crate) enum RowFilter<'a> {
    /// Those that are not in its deletion vector.
    Live,
    /// All but these, whatever its deletion vector says.
    Without(&'a RowSet),
    /// These, whatever its deletion vector says.
    Only(&'a RowSet),
}

/// The rows of a live file with the table's logical columns.
pub(crate) async fn file_rows(
    table: &Table,
    state: &Arc<TableState>,
    view: &FileView<'_>,
    filter: RowFilter<'_>,
) -> Result<BatchStream> {
    rows_of_live(table, state, view, filter, None).await
}

/// As [`file_rows`], for rows that are written anew: in a table with row tracking, with what they keep behind the table's columns.
pub(crate) async fn moving_rows(
    table: &Table,
    state: &Arc<TableState>,
    view: &FileView<'_>,
    filter: RowFilter<'_>,
) -> Result<BatchStream> {
    let (base, version) = (view.base_row_id(), view.default_row_commit_version());
    let columns = RowIdColumns::of(table.uri(), &state.metadata)?;
    rows_of_live(table, state, view, filter, columns.map(|columns| FileRowIds { columns, base, version })).await
}

/// The live rows of several files, one file after the other, as [`moving_rows`] gives them.
pub(crate) fn moving_rows_of(table: &Table, state: &Arc<TableState>, files: Vec<FileId>) -> BatchStream {
    let (table, state) = (table.clone(), state.clone());
    futures::stream::iter(files)
        .then(move |id| {
            let (table, state) = (table.clone(), state.clone());
            async move { moving_rows(&table, &state, &state.files.get(&id), RowFilter::Live).await }.boxed()
        })
        .try_flatten()
        .boxed()
}

/// As [`moving_rows_of`]; `meter` counts rows as they come, and files and bytes as they are read to their end.
pub(crate) fn metered_rows_of(
    table: &Table,
    state: &Arc<TableState>,
    files: Vec<FileId>,
    meter: Option<Arc<Meter>>,
) -> BatchStream {
    let Some(meter) = meter else { return moving_rows_of(table, state, files) };
    let (table, state) = (table.clone(), state.clone());
    let rows_of = move |id: FileId| {
        let bytes = u64::try_from(state.files.get(&id).size()).unwrap_or(0);
        let (rows, file) = (meter.clone(), meter.clone());
        let end = futures::stream::poll_fn(move |_| {
            Meter::add(&file.files_done, 1);
            Meter::add(&file.bytes_done, bytes);
            std::task::Poll::Ready(None)
        });
        moving_rows_of(&table, &state, vec![id])
            .inspect_ok(move |batch| Meter::add(&rows.rows_done, batch.num_rows() as u64))
            .chain(end)
    };
    futures::stream::iter(files).flat_map(rows_of).boxed()
}

/// The rows of a staged file, with what they keep behind the table's columns where `ids` says so.
async fn rows_of_staged(
    table: &Table,
    state: &Arc<TableState>,
    add: &Add,
    filter: RowFilter<'_>,
    ids: Option<FileRowIds>,
) -> Result<BatchStream> {
    let value = |column: &str| add.partition_values.get(column).and_then(|value| value.as_deref());
    logical_rows(table, state, &add.path, add.size, value, filter, ids).await
}

async fn rows_of_live(
    table: &Table,
    state: &Arc<TableState>,
    view: &FileView<'_>,
    filter: RowFilter<'_>,
    ids: Option<FileRowIds>,
) -> Result<BatchStream> {
    let uri = table.uri();
    let loaded;
    let filter = match (filter, view.deletion_vector()) {
        (RowFilter::Live, Some(descriptor)) => {
            loaded = table.vectors().load(&table.0.data, &descriptor).await.on(uri)?;
            RowFilter::Without(&loaded)
        }
        (filter, _) => filter,
    };
    logical_rows(table, state, view.path(), view.size(), |column| view.partition_value(column), filter, ids).await
}

/// The rows of a file that is staged for the table, with its logical columns.
pub(crate) async fn staged_file_rows(
    table: &Table,
    state: &Arc<TableState>,
    add: &Add,
    filter: RowFilter<'_>,
) -> Result<BatchStream> {
    rows_of_staged(table, state, add, filter, None).await
}

/// As [`staged_file_rows`], for rows that are written once more: with what they keep of the rows they replace.
pub(crate) async fn moving_staged_rows(
    table: &Table,
    state: &Arc<TableState>,
    add: &Add,
    filter: RowFilter<'_>,
) -> Result<BatchStream> {
    let columns = RowIdColumns::of(table.uri(), &state.metadata)?;
    let ids = columns.map(|columns| FileRowIds { columns, base: None, version: None });
    rows_of_staged(table, state, add, filter, ids).await
}

async fn logical_rows<'v>(
    table: &Table,
    state: &Arc<TableState>,
    log_path: &str,
    size: i64,
    partition_value: impl Fn(&str) -> Option<&'v str>,
    filter: RowFilter<'_>,
    ids: Option<FileRowIds>,
) -> Result<BatchStream> {
    let uri = table.uri();
    let shape = FileShape::of(state).on(uri)?;
    let mode = column_mapping_mode(&state.metadata).on(uri)?;
    let mut constants: Vec<Option<ArrayRef>> = Vec::new();
    for field in &state.schema.fields {
        let constant = match (state.metadata.partition_columns.contains(&field.name), &field.data_type) {
            (true, DataType::Primitive(primitive)) => {
                let value = partition_value(field.physical_name_in(mode));
                Some(partition_array(std::iter::once(value), primitive).on(uri)?)
            }
            _ => None,
        };
        constants.push(constant);
    }
    let relative = table.root().decode(log_path).on(uri)?;
    let Some(ids) = ids else {
        let rows = stored_rows(table, &relative, size, shape.file_schema.clone(), filter, false).await?;
        return Ok(rows.map(move |batch| shape.assemble(batch?, &constants)).boxed());
    };
    let mut fields: Vec<FieldRef> = shape.file_schema.fields().iter().cloned().collect();
    let own = fields.len();
    fields.extend(ids.columns.fields().map(Arc::new));
    let rows = stored_rows(table, &relative, size, Arc::new(Schema::new(fields)), filter, true).await?;
    Ok(rows
        .map(move |batch| {
            let batch = batch?;
            let kept = ids.of_rows(batch.column(own), batch.column(own + 1), batch.column(own + 2));
            let rows = shape.assemble(batch.project(&(0..own).collect::<Vec<_>>())?, &constants)?;
            ids.columns.put_behind(&rows, kept)
        })
        .boxed())
}

/// All rows of one stored file, streamed.
pub(crate) async fn raw_file_rows(table: &Table, relative: &str, size: i64, schema: SchemaRef) -> Result<BatchStream> {
    stored_rows(table, relative, size, schema, RowFilter::Live, false).await
}

async fn stored_rows(
    table: &Table,
    relative: &str,
    size: i64,
    schema: SchemaRef,
    filter: RowFilter<'_>,
    row_numbers: bool,
) -> Result<BatchStream> {
    let uri = table.uri().to_owned();
    let mut options = ReadOptions::new(schema);
    if row_numbers {
        options = options.with_row_numbers();
    }
    if let Ok(size) = u64::try_from(size) {
        options = options.with_size(size);
    }
    match filter {
        RowFilter::Live => {}
        RowFilter::Without(rows) => options = options.with_deleted(rows),
        RowFilter::Only(rows) => options = options.with_only(rows),
    }
    let stream = read_data_file(&table.0.data, relative, options).await.on(&uri)?;
    Ok(stream.map_err(move |e| Err::<(), _>(e).on(&uri).expect_err("mapped from an error")).boxed())
}

/// How a table's rows lie in its files.
struct FileShape {
    logical: SchemaRef,
    file_schema: SchemaRef,
}

impl FileShape {
    fn of(state: &TableState) -> floe_table_format::Result<Self> {
        let mode: ColumnMappingMode = column_mapping_mode(&state.metadata)?;
        let schema: &StructType = &state.schema.nullable_inside();
        let physical = schema.to_physical_arrow(mode)?;
        let fields: Vec<FieldRef> = schema
            .fields
            .iter()
            .zip(physical.fields())
            .filter(|(field, _)| !state.metadata.partition_columns.contains(&field.name))
            .map(|(_, physical)| Arc::new(physical.as_ref().clone().with_nullable(true)))
            .collect();
        Ok(FileShape { logical: schema.to_arrow()?, file_schema: Arc::new(Schema::new(fields)) })
    }

    fn assemble(&self, batch: RecordBatch, constants: &[Option<ArrayRef>]) -> Result<RecordBatch> {
        let mut stored = batch.columns().iter();
        let mut columns = Vec::with_capacity(constants.len());
        let mut fields: Vec<Field> = Vec::with_capacity(constants.len());
        for (field, constant) in self.logical.fields().iter().zip(constants) {
            let column = match constant {
                Some(value) => {
                    let rows = arrow::array::UInt32Array::from(vec![0; batch.num_rows()]);
                    arrow::compute::take(value, &rows, None)?
                }
                None => relabel(
                    stored.next().expect("a file column for every column that is no partition"),
                    field.data_type(),
                ),
            };
            columns.push(column);
            fields.push(field.as_ref().clone().with_nullable(true));
        }
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)?)
    }
}

/// The array under the names of `target`: nested fields carry physical names in the file and logical ones in the table.
pub(crate) fn relabel(array: &ArrayRef, target: &ArrowType) -> ArrayRef {
    if array.data_type() == target {
        return array.clone();
    }
    let data = array.to_data();
    let children: Vec<ArrowType> = match target {
        ArrowType::Struct(fields) => fields.iter().map(|f| f.data_type().clone()).collect(),
        ArrowType::List(field) | ArrowType::LargeList(field) | ArrowType::Map(field, _) => {
            vec![field.data_type().clone()]
        }
        _ => return array.clone(),
    };
    if children.len() != data.child_data().len() {
        return array.clone();
    }
    let children: Vec<_> = data
        .child_data()
        .iter()
        .zip(&children)
        .map(|(child, target)| relabel(&make_array(child.clone()), target).to_data())
        .collect();
    match data.clone().into_builder().data_type(target.clone()).child_data(children).build() {
        Ok(data) => make_array(data),
        Err(_) => array.clone(),
    }
}
