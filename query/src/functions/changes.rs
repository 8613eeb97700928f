//! `table_changes('t', from[, to])`: the rows that commits inserted and deleted.
//!
//! A commit that wrote change files is read from them, as the protocol asks. For any other commit the changes follow from
//! its file actions: rows of added files came, rows of removed files went, and where a file got a new deletion vector the
//! difference of the two vectors went, or came back. Commits that keep the rows (`dataChange` false) change nothing. An
//! update without change files shows as the row that went and the row that came.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, ListArray, MapArray, RecordBatch, StringArray, StructArray,
    TimestampMicrosecondArray, UInt32Array,
};
use arrow::compute::{cast, filter_record_batch, take};
use arrow::datatypes::{DataType as ArrowType, Field, FieldRef, Int64Type, Schema, SchemaRef, TimeUnit};
use datafusion::catalog::TableProvider;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use floe_storage::{ROW_NUMBER_COLUMN, ReadOptions, deletion_vectors, read_data_file};
use floe_table::Table;
use floe_table_format::feature::column_mapping_mode;
use floe_table_format::path::commit_name;
use floe_table_format::scalar::partition_array;
use floe_table_format::{
    Action, Add, DataType, FormatError, Remove, RowSet, StructField, TableState, TimestampMs, Version, VersionSpec,
    parse_commit,
};
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};

use crate::error::{QueryError, Result};
use crate::functions::version_of;

const CHANGE_TYPE: &str = "_change_type";
const COMMIT_VERSION: &str = "_commit_version";
const COMMIT_TIMESTAMP: &str = "_commit_timestamp";

/// Opens the changes of a range of versions, both ends included; up to the newest without an end.
pub(super) async fn open(table: Table, from: VersionSpec, to: Option<VersionSpec>) -> Result<Arc<dyn TableProvider>> {
    let latest = table.snapshot().await?;
    let from = match from {
        // A time means the first commit that is not before it.
        VersionSpec::Timestamp(at) => first_not_before(&table, at).await?,
        other => version_of(&table, other).await?,
    };
    let to = match to {
        Some(to) => version_of(&table, to).await?,
        None => latest.version(),
    };
    if to > latest.version() || from > latest.version() {
        return Err(QueryError::invalid_argument(format!(
            "table_changes to version {}: the newest version is {}",
            to.max(from),
            latest.version()
        )));
    }
    if from > to {
        return Err(QueryError::invalid_argument(format!(
            "table_changes from version {from} to the earlier version {to}"
        )));
    }
    let span = latest.version().get() - from.get() + 1;
    let times: HashMap<Version, TimestampMs> = table
        .history(usize::try_from(span).ok())
        .await?
        .into_iter()
        .map(|entry| (entry.version, entry.timestamp))
        .collect();
    let mut commits = Vec::new();
    let mut version = from;
    loop {
        let Some(time) = times.get(&version) else {
            let earliest = times.keys().min().copied().unwrap_or(latest.version());
            return Err(FormatError::VersionNotFound { requested: version, earliest, latest: latest.version() }.into());
        };
        commits.push((version, *time));
        if version == to {
            break;
        }
        version = version.next()?;
    }
    // Rows show the columns of the last version asked for: what came later did not exist, what came earlier is null.
    let state = table.at(VersionSpec::Version(to)).await?.state().clone();
    let changes = Arc::new(Changes::new(table, state, commits)?);
    let schema = changes.output.clone();
    Ok(Arc::new(StreamingTable::try_new(schema, vec![changes])?))
}

async fn first_not_before(table: &Table, at: TimestampMs) -> Result<Version> {
    let entries = table.history(None).await?;
    let found = entries.iter().rev().find(|entry| entry.timestamp >= at).map(|entry| entry.version);
    found.ok_or_else(|| {
        let newest = entries.first().map(|entry| entry.timestamp.to_string()).unwrap_or_default();
        QueryError::invalid_argument(format!("table_changes from {at}: the newest commit is of {newest}"))
    })
}

/// A range of commits, read when the query runs.
struct Changes {
    table: Table,
    state: Arc<TableState>,
    /// The columns in the files, under physical names.
    stored: SchemaRef,
    logical: SchemaRef,
    output: SchemaRef,
    commits: Vec<(Version, TimestampMs)>,
}

impl std::fmt::Debug for Changes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Changes").field("table", &self.table.uri()).field("commits", &self.commits.len()).finish()
    }
}

/// What happened to some rows of a file.
struct Piece {
    /// As in the log.
    path: String,
    size: Option<u64>,
    partition_values: BTreeMap<String, Option<String>>,
    /// None where the file says it itself.
    change: Option<&'static str>,
    rows: Rows,
}

enum Rows {
    Except(RowSet),
    Only(RowSet),
}

impl Changes {
    fn new(table: Table, state: Arc<TableState>, commits: Vec<(Version, TimestampMs)>) -> Result<Self> {
        let mode = column_mapping_mode(&state.metadata)?;
        let schema = state.schema.nullable_inside();
        let physical = schema.to_physical_arrow(mode)?;
        let partitioned = |field: &StructField| state.metadata.partition_columns.contains(&field.name);
        let stored: Vec<FieldRef> = state
            .schema
            .fields
            .iter()
            .zip(physical.fields())
            .filter(|(field, _)| !partitioned(field))
            .map(|(_, physical)| Arc::new(physical.as_ref().clone().with_nullable(true)))
            .collect();
        let logical = schema.to_arrow()?;
        let mut fields: Vec<Field> =
            logical.fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect();
        fields.push(Field::new(CHANGE_TYPE, ArrowType::Utf8, true));
        fields.push(Field::new(COMMIT_VERSION, ArrowType::Int64, true));
        fields.push(Field::new(
            COMMIT_TIMESTAMP,
            ArrowType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            true,
        ));
        let output = Arc::new(Schema::new(fields));
        Ok(Changes { table, state, stored: Arc::new(Schema::new(stored)), logical, output, commits })
    }

    async fn commit(
        self: Arc<Self>,
        version: Version,
        time: TimestampMs,
    ) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        let name = commit_name(version);
        let bytes = self.table.log_store().read(&name).await?;
        let pieces = self.pieces(version, parse_commit(version, &name, &bytes)?).await?;
        let rows = stream::iter(pieces.into_iter().map(Ok))
            .and_then(move |piece| {
                let changes = self.clone();
                async move { changes.read(piece, version, time).await }
            })
            .try_flatten();
        Ok(rows.boxed())
    }

    /// What a commit did to which rows.
    async fn pieces(&self, version: Version, actions: Vec<Action>) -> Result<Vec<Piece>> {
        let (mut adds, mut removes, mut cdc) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        for action in actions {
            match action {
                Action::Add(add) if add.data_change => drop(adds.insert(add.path.clone(), add)),
                Action::Remove(remove) if remove.data_change => drop(removes.insert(remove.path.clone(), remove)),
                Action::Cdc(file) => cdc.push(file),
                _ => {}
            }
        }
        if !cdc.is_empty() {
            return Ok(cdc
                .into_iter()
                .map(|file| Piece {
                    path: file.path,
                    size: u64::try_from(file.size).ok(),
                    partition_values: file.partition_values,
                    change: None,
                    rows: Rows::Except(RowSet::new()),
                })
                .collect());
        }
        let mut pieces = Vec::new();
        for (path, remove) in removes {
            let add = adds.remove(&path);
            let remove = self.complete(version, remove).await?;
            self.removed(&mut pieces, remove, add).await?;
        }
        for add in adds.into_values() {
            let gone = self.vector(&add.deletion_vector).await?;
            pieces.push(piece(add, "insert", Rows::Except(gone)));
        }
        Ok(pieces)
    }

    async fn removed(&self, pieces: &mut Vec<Piece>, remove: Remove, add: Option<Add>) -> Result<()> {
        let before = self.vector(&remove.deletion_vector).await?;
        let Some(add) = add else {
            pieces.push(Piece {
                path: remove.path,
                size: remove.size.and_then(|size| u64::try_from(size).ok()),
                partition_values: remove.partition_values.unwrap_or_default(),
                change: Some("delete"),
                rows: Rows::Except(before),
            });
            return Ok(());
        };
        let after = self.vector(&add.deletion_vector).await?;
        for (change, rows) in [("delete", after.difference(&before)), ("insert", before.difference(&after))] {
            if !rows.is_empty() {
                pieces.push(piece(add.clone(), change, Rows::Only(rows)));
            }
        }
        Ok(())
    }

    /// Old writers leave out of a remove what the add had said.
    async fn complete(&self, version: Version, mut remove: Remove) -> Result<Remove> {
        if remove.partition_values.is_some() || self.state.metadata.partition_columns.is_empty() {
            return Ok(remove);
        }
        let Some(previous) = version.previous() else {
            return Ok(remove);
        };
        let before = self.table.at(VersionSpec::Version(previous)).await?;
        if let Some(file) = before.state().files.find(&remove.path) {
            remove.partition_values = Some(file.to_add().partition_values);
            return Ok(remove);
        }
        let what = format!("it removes {}, which is no file of version {previous}", remove.path);
        Err(FormatError::corrupt_log(Some(version), commit_name(version), what).into())
    }

    async fn vector(&self, descriptor: &Option<floe_table_format::DeletionVectorDescriptor>) -> Result<RowSet> {
        match descriptor {
            Some(descriptor) => Ok(deletion_vectors::load(self.table.data_store(), descriptor).await?),
            None => Ok(RowSet::new()),
        }
    }

    async fn read(
        self: Arc<Self>,
        piece: Piece,
        version: Version,
        time: TimestampMs,
    ) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        let mut schema = self.stored.clone();
        if piece.change.is_none() {
            let mut fields: Vec<FieldRef> = schema.fields().iter().cloned().collect();
            fields.push(Arc::new(Field::new(CHANGE_TYPE, ArrowType::Utf8, true)));
            schema = Arc::new(Schema::new(fields));
        }
        let mut options = ReadOptions::new(schema);
        if let Some(size) = piece.size {
            options = options.with_size(size);
        }
        options = match &piece.rows {
            Rows::Except(gone) => options.with_deleted(gone),
            Rows::Only(_) => options.with_row_numbers(),
        };
        let relative = self.table.location().table_root().decode(&piece.path)?;
        let batches = read_data_file(self.table.data_store(), &relative, options).await?;
        let constants = self.constants(&piece.partition_values)?;
        let rows = batches.map(move |batch| {
            let batch = match &piece.rows {
                Rows::Except(_) => batch?,
                Rows::Only(wanted) => only(batch?, wanted)?,
            };
            self.assemble(&batch, &constants, piece.change, version, time)
        });
        Ok(rows.try_filter(|batch| std::future::ready(batch.num_rows() > 0)).boxed())
    }

    /// The values of the partition columns, in the place of the columns they are.
    fn constants(&self, values: &BTreeMap<String, Option<String>>) -> Result<Vec<Option<ArrayRef>>> {
        let mut constants = Vec::with_capacity(self.state.schema.fields.len());
        for field in &self.state.schema.fields {
            let constant = match &field.data_type {
                DataType::Primitive(primitive) if self.state.metadata.partition_columns.contains(&field.name) => {
                    let value = values.get(field.physical_name()).or_else(|| values.get(&field.name));
                    let value = value.and_then(|value| value.as_deref());
                    Some(partition_array(std::iter::once(value), primitive)?)
                }
                _ => None,
            };
            constants.push(constant);
        }
        Ok(constants)
    }

    fn assemble(
        &self,
        batch: &RecordBatch,
        constants: &[Option<ArrayRef>],
        change: Option<&'static str>,
        version: Version,
        time: TimestampMs,
    ) -> Result<RecordBatch> {
        let rows = batch.num_rows();
        let mut stored = batch.columns().iter();
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.output.fields().len());
        for (field, constant) in self.logical.fields().iter().zip(constants) {
            columns.push(match (constant, stored.next_if_none(constant)) {
                (Some(value), _) => take(value, &UInt32Array::from(vec![0; rows]), None)?,
                (None, Some(column)) => relabel(column, field.data_type())?,
                (None, None) => {
                    return Err(QueryError::invalid_argument("a file with fewer columns than were asked for"));
                }
            });
        }
        columns.push(match change {
            Some(change) => Arc::new(StringArray::from(vec![change; rows])),
            None => match batch.column_by_name(CHANGE_TYPE) {
                Some(column) => cast(column, &ArrowType::Utf8)?,
                None => return Err(QueryError::invalid_argument("a change file without the column _change_type")),
            },
        });
        columns.push(Arc::new(Int64Array::from(vec![version.as_i64(); rows])));
        let micros = time.0.saturating_mul(1000);
        columns.push(Arc::new(TimestampMicrosecondArray::from(vec![micros; rows]).with_timezone("UTC")));
        Ok(RecordBatch::try_new(self.output.clone(), columns)?)
    }
}

/// Takes the next stored column where the column is no constant.
trait NextIfNone<'a> {
    fn next_if_none(&mut self, constant: &Option<ArrayRef>) -> Option<&'a ArrayRef>;
}

impl<'a, I: Iterator<Item = &'a ArrayRef>> NextIfNone<'a> for I {
    fn next_if_none(&mut self, constant: &Option<ArrayRef>) -> Option<&'a ArrayRef> {
        if constant.is_some() { None } else { self.next() }
    }
}

fn piece(add: Add, change: &'static str, rows: Rows) -> Piece {
    Piece {
        path: add.path,
        size: u64::try_from(add.size).ok(),
        partition_values: add.partition_values,
        change: Some(change),
        rows,
    }
}

/// The rows of a batch whose positions in the file are wanted.
fn only(batch: RecordBatch, wanted: &RowSet) -> Result<RecordBatch> {
    let numbers = batch
        .column_by_name(ROW_NUMBER_COLUMN)
        .and_then(|column| column.as_primitive_opt::<Int64Type>())
        .ok_or_else(|| QueryError::invalid_argument("a data file was read without row numbers"))?;
    let mask: BooleanArray =
        numbers.values().iter().map(|number| Some(u64::try_from(*number).is_ok_and(|n| wanted.contains(n)))).collect();
    Ok(filter_record_batch(&batch, &mask)?)
}

/// The array under the names of `target`, child by child: under column mapping, files hold physical names.
fn relabel(array: &ArrayRef, target: &ArrowType) -> Result<ArrayRef> {
    if array.data_type() == target {
        return Ok(array.clone());
    }
    match (array.data_type(), target) {
        (ArrowType::Struct(found), ArrowType::Struct(fields)) if found.len() == fields.len() => {
            let array = array.as_struct();
            let columns = array
                .columns()
                .iter()
                .zip(fields)
                .map(|(column, field)| relabel(column, field.data_type()))
                .collect::<Result<Vec<_>>>()?;
            Ok(Arc::new(StructArray::try_new(fields.clone(), columns, array.nulls().cloned())?))
        }
        (ArrowType::List(_), ArrowType::List(field)) => {
            let array = array.as_list::<i32>();
            let values = relabel(array.values(), field.data_type())?;
            Ok(Arc::new(ListArray::try_new(field.clone(), array.offsets().clone(), values, array.nulls().cloned())?))
        }
        (ArrowType::Map(_, _), ArrowType::Map(field, sorted)) => {
            let array = array.as_map();
            let entries: ArrayRef = Arc::new(array.entries().clone());
            let entries = relabel(&entries, field.data_type())?.as_struct().clone();
            let offsets = array.offsets().clone();
            Ok(Arc::new(MapArray::try_new(field.clone(), offsets, entries, array.nulls().cloned(), *sorted)?))
        }
        _ => Ok(cast(array, target)?),
    }
}

impl PartitionStream for Changes {
    fn schema(&self) -> &SchemaRef {
        &self.output
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let changes = Arc::new(Changes {
            table: self.table.clone(),
            state: self.state.clone(),
            stored: self.stored.clone(),
            logical: self.logical.clone(),
            output: self.output.clone(),
            commits: self.commits.clone(),
        });
        let commits = changes.commits.clone();
        let rows = stream::iter(commits.into_iter().map(Ok))
            .and_then(move |(version, time)| changes.clone().commit(version, time))
            .try_flatten()
            .map_err(DataFusionError::from);
        Box::pin(RecordBatchStreamAdapter::new(self.output.clone(), rows))
    }
}
