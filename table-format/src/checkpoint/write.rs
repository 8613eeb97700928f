//! From a state to the rows of a checkpoint.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Int32Array, Int64Array, ListBuilder, MapArray, StringArray, StringBuilder,
    StructArray, new_null_array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType as ArrowType, Field, Fields, SchemaRef};
use arrow::record_batch::RecordBatch;

use super::LastCheckpoint;
use super::schema::{self, checkpoint_schema};
use super::stats_schema::StatsSchema;
use crate::action::{DeletionVectorDescriptor, DomainMetadata, Remove, Txn};
use crate::error::{FormatError, Result, printable};
use crate::scalar::partition_array;
use crate::schema::PrimitiveType;
use crate::state::{DeletionVectorColumns, FileChunk, TableState};
use crate::version::TimestampMs;

/// The rows of a V1 checkpoint of this state: protocol, metadata, application progress and domains in the first batch,
/// then the live files, then the tombstones that are not yet expired at `now`.
///
/// A batch holds at most `rows_per_batch` rows, at least one of which is asked for. All batches have the schema that
/// [`checkpoint_schema`] gives.
///
/// # Errors
/// As [`checkpoint_schema`]; a batch is an error if a partition value does not fit its column's type.
pub fn checkpoint_batches(state: &TableState, now: TimestampMs, rows_per_batch: usize) -> Result<CheckpointBatches> {
    batches_from(At::Head, checkpoint_schema(state)?, state, now, rows_per_batch)
}

/// The live files and the unexpired tombstones alone, as the sidecars of a V2 checkpoint hold them.
pub(super) fn file_batches(state: &TableState, now: TimestampMs, rows_per_batch: usize) -> Result<CheckpointBatches> {
    let files = At::Files { chunk: 0, live: None, row: 0 };
    batches_from(files, schema::sidecar_schema(state)?, state, now, rows_per_batch)
}

fn batches_from(
    at: At,
    schema: SchemaRef,
    state: &TableState,
    now: TimestampMs,
    rows_per_batch: usize,
) -> Result<CheckpointBatches> {
    let horizon = now.minus_ms(state.properties.deleted_file_retention_ms).0;
    // Protocol section "Add File and Remove File": a remove without a time counts as long ago.
    let unexpired = |remove: &&&Remove| remove.deletion_timestamp.unwrap_or(0) > horizon;
    let removes = state.tombstones.live(&state.files).iter().filter(unexpired).map(|r| (*r).clone()).collect();
    Ok(CheckpointBatches {
        schema,
        partitions: schema::partition_columns(state)?,
        stats: state.properties.write_stats_as_struct.then(|| StatsSchema::of(state)),
        with_text: state.properties.write_stats_as_json,
        state: state.clone(),
        now,
        removes,
        rows_per_batch: rows_per_batch.max(1),
        at,
    })
}

/// The progress of applications that a checkpoint made at `now` keeps.
pub(super) fn kept_txns(state: &TableState, now: TimestampMs) -> impl Iterator<Item = &Txn> {
    let horizon = state.properties.set_transaction_retention_ms.map(|retention| now.minus_ms(retention).0);
    state.txns.values().filter(move |txn| match (horizon, txn.last_updated) {
        (Some(horizon), Some(updated)) => updated > horizon,
        // An identifier without a time never expires: protocol section "Transaction Identifiers".
        _ => true,
    })
}

/// The content of `_last_checkpoint` for a checkpoint written from this state.
pub fn last_checkpoint(state: &TableState, rows: u64, size_in_bytes: u64) -> LastCheckpoint {
    LastCheckpoint {
        version: state.version,
        size: i64::try_from(rows).unwrap_or(i64::MAX),
        parts: None,
        size_in_bytes: i64::try_from(size_in_bytes).ok(),
        num_of_add_files: i64::try_from(state.files.len()).ok(),
        ..LastCheckpoint::default()
    }
}

/// The batches of a checkpoint, made one at a time.
pub struct CheckpointBatches {
    schema: SchemaRef,
    partitions: Vec<(String, PrimitiveType)>,
    stats: Option<StatsSchema>,
    with_text: bool,
    state: TableState,
    /// When the checkpoint is made: what has expired by then is left out.
    now: TimestampMs,
    removes: Vec<Remove>,
    rows_per_batch: usize,
    at: At,
}

/// What comes next.
enum At {
    Head,
    /// The live rows of a chunk from one row on. The chunk is made when it is reached.
    Files {
        chunk: usize,
        live: Option<Box<FileChunk>>,
        row: usize,
    },
    Removes {
        row: usize,
    },
    End,
}

impl Iterator for CheckpointBatches {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.step();
        if let Some(Err(_)) = batch {
            self.at = At::End;
        }
        batch
    }
}

impl CheckpointBatches {
    /// The schema of every batch.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn step(&mut self) -> Option<Result<RecordBatch>> {
        loop {
            match std::mem::replace(&mut self.at, At::End) {
                At::Head => {
                    self.at = At::Files { chunk: 0, live: None, row: 0 };
                    return Some(self.head());
                }
                At::Files { chunk, live, row } => {
                    let Some(source) = self.state.files.chunks().get(chunk) else {
                        self.at = At::Removes { row: 0 };
                        continue;
                    };
                    let live = match live {
                        Some(live) => live,
                        None => match FileChunk::concat(&[(source, self.state.files.live_mask(chunk))]) {
                            Ok(live) => Box::new(live),
                            Err(error) => return Some(Err(error)),
                        },
                    };
                    let len = self.rows_per_batch.min(live.rows() - row);
                    if len == 0 {
                        self.at = At::Files { chunk: chunk + 1, live: None, row: 0 };
                        continue;
                    }
                    let batch = live.slice(row, len).and_then(|part| self.files(&part));
                    self.at = At::Files { chunk, live: Some(live), row: row + len };
                    return Some(batch);
                }
                At::Removes { row } => {
                    let len = self.rows_per_batch.min(self.removes.len() - row);
                    if len == 0 {
                        return None;
                    }
                    self.at = At::Removes { row: row + len };
                    return Some(self.tombstones(&self.removes[row..row + len]));
                }
                At::End => return None,
            }
        }
    }

    /// A batch with only these columns set.
    fn batch(&self, rows: usize, columns: BTreeMap<&str, StructArray>) -> Result<RecordBatch> {
        let column = |field: &Arc<Field>| match columns.get(field.name().as_str()) {
            Some(column) => Arc::new(column.clone()) as ArrayRef,
            None => new_null_array(field.data_type(), rows),
        };
        let arrays = self.schema.fields().iter().map(column).collect();
        RecordBatch::try_new(Arc::clone(&self.schema), arrays).map_err(|error| {
            FormatError::corrupt_checkpoint(
                "new checkpoint",
                format!("its columns disagree: {}", printable(&error.to_string())),
            )
        })
    }

    /// Protocol, metadata, application progress and domains, in this order.
    fn head(&self) -> Result<RecordBatch> {
        let txns: Vec<&Txn> = kept_txns(&self.state, self.now).collect();
        let domains: Vec<&DomainMetadata> = self.state.domains.values().filter(|d| !d.removed).collect();
        let rows = 2 + txns.len() + domains.len();
        let only = |at: usize| NullBuffer::from_iter((0..rows).map(|row| row == at));
        let between =
            |from: usize, len: usize| NullBuffer::from_iter((0..rows).map(|row| (from..from + len).contains(&row)));
        let spread = |at: usize, column: ArrayRef| spread(rows, at, &column);

        let protocol = &self.state.protocol;
        let protocol: Vec<ArrayRef> = vec![
            Arc::new(Int32Array::from(vec![protocol.min_reader_version])),
            Arc::new(Int32Array::from(vec![protocol.min_writer_version])),
            list(protocol.reader_features.as_deref()),
            list(protocol.writer_features.as_deref()),
        ];
        let metadata = &self.state.metadata;
        let options = metadata.format.options.iter().map(|(k, v)| (k.as_str(), Some(v.as_str())));
        let format = StructArray::new(
            schema::format(),
            vec![text([Some(metadata.format.provider.as_str())]), map([Some(options)])?],
            None,
        );
        let configuration = metadata.configuration.iter().map(|(k, v)| (k.as_str(), Some(v.as_str())));
        let metadata: Vec<ArrayRef> = vec![
            text([Some(metadata.id.as_str())]),
            text([metadata.name.as_deref()]),
            text([metadata.description.as_deref()]),
            Arc::new(format),
            text([Some(metadata.schema_string.as_str())]),
            list(Some(&metadata.partition_columns)),
            Arc::new(Int64Array::from(vec![metadata.created_time])),
            map([Some(configuration)])?,
        ];
        let txn: Vec<ArrayRef> = vec![
            text(txns.iter().map(|t| Some(t.app_id.as_str()))),
            Arc::new(txns.iter().map(|t| Some(t.version)).collect::<Int64Array>()),
            Arc::new(txns.iter().map(|t| t.last_updated).collect::<Int64Array>()),
        ];
        let domain: Vec<ArrayRef> = vec![
            text(domains.iter().map(|d| Some(d.domain.as_str()))),
            text(domains.iter().map(|d| Some(d.configuration.as_str()))),
            Arc::new(BooleanArray::from(vec![false; domains.len()])),
        ];
        let build = |fields: Fields, columns: Vec<ArrayRef>, at: usize, nulls: NullBuffer| {
            let columns = columns.into_iter().map(|c| spread(at, c)).collect::<Result<Vec<_>>>()?;
            Ok::<_, FormatError>(StructArray::new(fields, columns, Some(nulls)))
        };
        let (first_txn, first_domain) = (2, 2 + txns.len());
        let columns = BTreeMap::from([
            ("protocol", build(schema::protocol(), protocol, 0, only(0))?),
            ("metaData", build(schema::metadata(), metadata, 1, only(1))?),
            ("txn", build(schema::txn(), txn, first_txn, between(first_txn, txns.len()))?),
            ("domainMetadata", build(schema::domain(), domain, first_domain, between(first_domain, domains.len()))?),
        ]);
        self.batch(rows, columns)
    }

    fn files(&self, chunk: &FileChunk) -> Result<RecordBatch> {
        let rows = chunk.rows();
        let columns = chunk.columns();
        let fields = schema::add(&self.state)?;
        let mut arrays: Vec<ArrayRef> = vec![
            Arc::new(columns.paths.clone()),
            partition_map(&columns.partitions, rows)?,
            Arc::new(columns.sizes.clone()),
            Arc::new(columns.modification_times.clone()),
            // Protocol section "Add File and Remove File": a checkpoint does not change data.
            Arc::new(BooleanArray::from(vec![false; rows])),
        ];
        if self.with_text {
            arrays.push(Arc::new(chunk.stats_text()));
        }
        let long = |column: &Option<Int64Array>| -> ArrayRef {
            Arc::new(column.clone().unwrap_or_else(|| Int64Array::new_null(rows)))
        };
        arrays.extend([
            match &columns.tags {
                None => new_null_array(&schema::map_type(), rows),
                Some(_) => {
                    let tags: Vec<_> = (0..rows).map(|row| columns.tags(row)).collect();
                    map(tags.iter().map(|tags| tags.as_ref().map(borrowed)))?
                }
            },
            deletion_vectors(&columns.deletion_vectors, rows),
            long(&columns.base_row_ids),
            long(&columns.default_row_commit_versions),
            Arc::new(columns.clustering_providers.clone().unwrap_or_else(|| StringArray::new_null(rows))),
        ]);
        if let Some(stats) = &self.stats {
            if !self.partitions.is_empty() {
                arrays.push(Arc::new(self.typed_partitions(chunk)?));
            }
            arrays.push(Arc::new(stats.column(chunk)?));
        }
        self.batch(rows, BTreeMap::from([("add", StructArray::new(fields, arrays, None))]))
    }

    fn typed_partitions(&self, chunk: &FileChunk) -> Result<StructArray> {
        let mut fields = Vec::new();
        let mut arrays = Vec::new();
        for (name, data_type) in &self.partitions {
            let values = chunk.partition_column(name);
            let value = |row: usize| values.filter(|v| v.is_valid(row)).map(|v| v.value(row));
            arrays.push(partition_array((0..chunk.rows()).map(value), data_type)?);
            fields.push(Field::new(name, crate::state::stats_arrow_type(*data_type), true));
        }
        Ok(StructArray::new(fields.into(), arrays, None))
    }

    fn tombstones(&self, removes: &[Remove]) -> Result<RecordBatch> {
        let rows = removes.len();
        let long = |value: fn(&Remove) -> Option<i64>| -> ArrayRef {
            Arc::new(removes.iter().map(value).collect::<Int64Array>())
        };
        let boolean = |value: fn(&Remove) -> Option<bool>| -> ArrayRef {
            Arc::new(removes.iter().map(value).collect::<BooleanArray>())
        };
        let arrays = vec![
            text(removes.iter().map(|r| Some(r.path.as_str()))),
            long(|r| r.deletion_timestamp),
            boolean(|_| Some(false)),
            boolean(|r| r.extended_file_metadata),
            map(removes.iter().map(|r| r.partition_values.as_ref().map(borrowed)))?,
            long(|r| r.size),
            descriptors(removes.iter().map(|r| r.deletion_vector.as_ref())),
            long(|r| r.base_row_id),
            long(|r| r.default_row_commit_version),
        ];
        self.batch(rows, BTreeMap::from([("remove", StructArray::new(schema::remove(), arrays, None))]))
    }
}

/// A column of these rows at `at`, null before and after.
fn spread(rows: usize, at: usize, column: &ArrayRef) -> Result<ArrayRef> {
    let before = new_null_array(column.data_type(), at);
    let after = new_null_array(column.data_type(), rows - at - column.len());
    arrow::compute::concat(&[&before, column, &after])
        .map_err(|error| FormatError::corrupt_checkpoint("new checkpoint", printable(&error.to_string())))
}

fn text<'a>(values: impl IntoIterator<Item = Option<&'a str>>) -> ArrayRef {
    Arc::new(values.into_iter().collect::<StringArray>())
}

/// One row with a list of texts.
fn list(values: Option<&[String]>) -> ArrayRef {
    let field = Field::new("element", ArrowType::Utf8, true);
    let mut builder = ListBuilder::new(StringBuilder::new()).with_field(field);
    match values {
        Some(values) => builder.append_value(values.iter().map(Some)),
        None => builder.append_null(),
    }
    Arc::new(builder.finish())
}

fn borrowed(map: &BTreeMap<String, Option<String>>) -> impl Iterator<Item = (&str, Option<&str>)> {
    map.iter().map(|(key, value)| (key.as_str(), value.as_deref()))
}

/// A row of text pairs each; none is a null map.
fn map<'a, M>(rows: impl IntoIterator<Item = Option<M>>) -> Result<ArrayRef>
where
    M: Iterator<Item = (&'a str, Option<&'a str>)>,
{
    let (mut keys, mut values) = (StringBuilder::new(), StringBuilder::new());
    let (mut lengths, mut known) = (Vec::new(), Vec::new());
    for row in rows {
        known.push(row.is_some());
        let mut length = 0;
        for (key, value) in row.into_iter().flatten() {
            keys.append_value(key);
            values.append_option(value);
            length += 1;
        }
        lengths.push(length);
    }
    map_array(keys.finish(), values.finish(), OffsetBuffer::from_lengths(lengths), Some(NullBuffer::from(known)))
}

/// Every row names every partition column of the chunk.
fn partition_map(partitions: &[(String, StringArray)], rows: usize) -> Result<ArrayRef> {
    let (mut keys, mut values) = (StringBuilder::new(), StringBuilder::new());
    for row in 0..rows {
        for (name, column) in partitions {
            keys.append_value(name);
            values.append_option(column.is_valid(row).then(|| column.value(row)));
        }
    }
    let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(partitions.len(), rows));
    map_array(keys.finish(), values.finish(), offsets, None)
}

fn map_array(
    keys: StringArray,
    values: StringArray,
    offsets: OffsetBuffer<i32>,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef> {
    let ArrowType::Map(field, sorted) = schema::map_type() else {
        return Err(FormatError::corrupt_checkpoint("new checkpoint", "a map is not a map"));
    };
    let entries = StructArray::new(schema::map_fields(), vec![Arc::new(keys), Arc::new(values)], None);
    MapArray::try_new(field, offsets, entries, nulls, sorted)
        .map(|map| Arc::new(map) as ArrayRef)
        .map_err(|error| FormatError::corrupt_checkpoint("new checkpoint", printable(&error.to_string())))
}

fn deletion_vectors(columns: &Option<DeletionVectorColumns>, rows: usize) -> ArrayRef {
    let fields = schema::deletion_vector();
    let Some(dv) = columns else { return new_null_array(&ArrowType::Struct(fields), rows) };
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(dv.storage_types.clone()),
        Arc::new(dv.paths_or_inline.clone()),
        Arc::new(dv.offsets.clone()),
        Arc::new(dv.sizes.clone()),
        Arc::new(dv.cardinalities.clone()),
    ];
    Arc::new(StructArray::new(fields, arrays, dv.storage_types.nulls().cloned()))
}

fn descriptors<'a>(rows: impl Iterator<Item = Option<&'a DeletionVectorDescriptor>>) -> ArrayRef {
    let rows: Vec<_> = rows.collect();
    let columns = DeletionVectorColumns {
        storage_types: rows.iter().map(|dv| dv.map(|dv| dv.storage_type.as_str())).collect(),
        paths_or_inline: rows.iter().map(|dv| dv.map(|dv| dv.path_or_inline_dv.as_str())).collect(),
        offsets: rows.iter().map(|dv| dv.and_then(|dv| dv.offset)).collect(),
        sizes: rows.iter().map(|dv| dv.map(|dv| dv.size_in_bytes)).collect(),
        cardinalities: rows.iter().map(|dv| dv.map(|dv| dv.cardinality)).collect(),
    };
    deletion_vectors(&Some(columns), rows.len())
}
