//! Parquet files of rows: written in one pass with bounded memory, read as the table's schema wants them.

use std::collections::{HashSet, VecDeque};
use std::io::Write;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type, Int64Type, Schema, SchemaRef, TimeUnit};
use bytes::Bytes;
use floe_table_format::{FormatError, RowSet};
use futures::StreamExt;
use futures::stream::BoxStream;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, RowSelection};
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::arrow::{ArrowWriter, ParquetRecordBatchStreamBuilder, ProjectionMask, RowNumber};
use parquet::basic::{
    Compression, ConvertedType, LogicalType, TimeUnit as ParquetTimeUnit, Type as PhysicalType, ZstdLevel,
};
use parquet::file::metadata::ParquetMetaData;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::statistics::Statistics;
use parquet::schema::types::{ColumnPath, SchemaDescriptor};
use serde::{Deserialize, Serialize};

use crate::conform::{conform, find_field};
use crate::data_store::{DataStore, Footer};
use crate::error::{Result, StorageError};
use crate::parquet_source::ParquetSource;
use crate::upload::{PART_BYTES, Upload, encode_error};
use crate::variant::Shredding;

#[cfg(test)]
mod tests;

/// The name of the column that [`ReadOptions::with_row_numbers`] adds.
pub const ROW_NUMBER_COLUMN: &str = "_row_number";

/// How a file's pages are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileCompression {
    /// Not at all.
    None,
    /// Snappy.
    Snappy,
    /// LZ4 blocks without a frame.
    Lz4,
    /// Zstandard with a level from 1 to 22.
    Zstd(i32),
}

impl Default for FileCompression {
    /// Zstandard at level 1: as fast as Snappy here, a third smaller.
    fn default() -> Self {
        FileCompression::Zstd(1)
    }
}

/// How data files are laid out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct WriterSettings {
    /// Compression of all columns.
    pub compression: FileCompression,
    /// The most rows of a row group.
    pub row_group_rows: usize,
    /// The most bytes, encoded, of a row group. This is what a writer holds in memory, so it bounds that too.
    pub row_group_bytes: usize,
    /// The most rows of a page. A single row costs its pages: small ones suit tables that are read by key.
    pub page_rows: usize,
    /// Whether columns with repeated values get a dictionary.
    pub dictionary: bool,
    /// Whether variants are shredded: what most of the first rows hold becomes columns of its own.
    pub shred_variants: bool,
}

impl Default for WriterSettings {
    fn default() -> Self {
        WriterSettings {
            compression: FileCompression::default(),
            row_group_rows: 1 << 20,
            row_group_bytes: 64 << 20,
            page_rows: 20_000,
            dictionary: true,
            shred_variants: false,
        }
    }
}

impl WriterSettings {
    fn properties(&self, plain: Vec<ColumnPath>) -> Result<WriterProperties, String> {
        let compression = match self.compression {
            FileCompression::None => Compression::UNCOMPRESSED,
            FileCompression::Snappy => Compression::SNAPPY,
            FileCompression::Lz4 => Compression::LZ4_RAW,
            FileCompression::Zstd(level) => {
                Compression::ZSTD(ZstdLevel::try_new(level).map_err(|error| error.to_string())?)
            }
        };
        let mut properties = WriterProperties::builder()
            .set_created_by(concat!("floe version ", env!("CARGO_PKG_VERSION")).into())
            .set_compression(compression)
            .set_dictionary_enabled(self.dictionary)
            .set_statistics_enabled(EnabledStatistics::Page)
            .set_statistics_truncate_length(Some(64))
            .set_data_page_row_count_limit(self.page_rows.max(1))
            .set_write_batch_size(self.page_rows.clamp(1, 1024))
            .set_max_row_group_row_count(Some(self.row_group_rows.max(1)))
            .set_max_row_group_bytes(Some(self.row_group_bytes.max(1)));
        for column in plain {
            properties = properties.set_column_dictionary_enabled(column, false);
        }
        Ok(properties.build())
    }
}

/// A file that is complete in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenFile {
    /// Relative to the table's root, decoded.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Rows.
    pub rows: u64,
}

/// Writes one Parquet file, front to back.
///
/// Memory is bounded by one row group and a few parts on their way. The file appears when [`DataFileWriter::finish`]
/// returns; a writer that is dropped or aborted leaves nothing under its name.
pub struct DataFileWriter {
    path: String,
    schema: SchemaRef,
    settings: WriterSettings,
    /// Made with the first batch, which tells where dictionaries pay.
    encoder: Option<ArrowWriter<PartBuffer>>,
    /// Made with the first batch too, which tells what variants are made of.
    shredding: Option<Shredding>,
    upload: Upload,
    rows: u64,
}

impl DataFileWriter {
    /// A writer of the file at `relative`. Nothing is sent yet.
    ///
    /// `schema` has the names the file shall have, physical ones under column mapping, and field ids as
    /// `PARQUET:field_id` metadata.
    ///
    /// # Errors
    /// [`StorageError::InvalidLocation`] for a path that leaves the table.
    pub fn new(store: &DataStore, relative: &str, schema: SchemaRef, settings: WriterSettings) -> Result<Self> {
        let path = store.location().absolute(relative)?;
        Ok(DataFileWriter {
            path: relative.to_owned(),
            schema,
            settings,
            encoder: None,
            shredding: None,
            upload: Upload::new(store.access().clone(), path),
            rows: 0,
        })
    }

    /// Takes in rows. Columns are matched by position, so that a batch may have logical names.
    ///
    /// # Errors
    /// [`StorageError::Encode`] for a batch of another shape or a null where the schema allows none; the failures of the
    /// store. The writer is of no use after an error.
    pub async fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.check(batch)?;
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let mut encoder = match self.encoder.take() {
            Some(encoder) => encoder,
            None => {
                if self.settings.shred_variants {
                    self.shredding = Shredding::suited(&self.schema, batch).map_err(|what| self.broken(what))?;
                }
                self.encoder_for(Some(batch))?
            }
        };
        let shredded = match &self.shredding {
            Some(shredding) => &shredding.apply(batch).map_err(|what| self.broken(what))?,
            None => batch,
        };
        encoder.write(shredded).map_err(|error| encode_error(&self.path, &error))?;
        self.rows += batch.num_rows() as u64;
        let full = std::mem::take(&mut encoder.inner_mut().full);
        self.encoder = Some(encoder);
        for part in full {
            self.upload.push(part).await?;
        }
        Ok(())
    }

    fn broken(&self, what: String) -> StorageError {
        StorageError::Encode { path: self.path.clone(), what }
    }

    fn check(&self, batch: &RecordBatch) -> Result<()> {
        let bad = |what: String| Err(self.broken(what));
        if batch.num_columns() != self.schema.fields().len() {
            return bad(format!("{} columns instead of {}", batch.num_columns(), self.schema.fields().len()));
        }
        for (field, column) in self.schema.fields().iter().zip(batch.columns()) {
            // The encoder would write some value in its place.
            if !field.is_nullable() && column.logical_null_count() > 0 {
                return bad(format!("column {} has nulls and must not", field.name()));
            }
        }
        Ok(())
    }

    fn encoder_for(&self, first: Option<&RecordBatch>) -> Result<ArrowWriter<PartBuffer>> {
        let plain = first.map(|batch| columns_without_repetition(&self.schema, batch)).unwrap_or_default();
        let properties = self.settings.properties(plain).map_err(|what| encode_error(&self.path, &what))?;
        // The Delta schema says what the columns are; the hint for Arrow readers would be one more thing to disagree.
        let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
        let schema = self.shredding.as_ref().map_or(&self.schema, Shredding::schema).clone();
        ArrowWriter::try_new_with_options(PartBuffer::default(), schema, options)
            .map_err(|error| encode_error(&self.path, &error))
    }

    /// The size in bytes that the file would have if it ended here, estimated.
    pub fn in_progress_bytes(&self) -> u64 {
        let encoding = self.encoder.as_ref().map_or(0, |encoder| encoder.in_progress_size() + encoder.inner().len());
        self.upload.size() + encoding as u64
    }

    /// Rows taken in so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Completes the file.
    ///
    /// # Errors
    /// [`StorageError::Encode`] and the failures of the store; there is no file then.
    pub async fn finish(mut self) -> Result<WrittenFile> {
        let mut encoder = match self.encoder.take() {
            Some(encoder) => encoder,
            None => self.encoder_for(None)?,
        };
        encoder.finish().map_err(|error| encode_error(&self.path, &error))?;
        let buffer = std::mem::take(encoder.inner_mut());
        drop(encoder);
        for part in buffer.into_parts() {
            self.upload.push(part).await?;
        }
        let size = self.upload.finish().await?;
        Ok(WrittenFile { path: self.path, size, rows: self.rows })
    }

    /// Gives up and takes back what was sent, as far as the store answers.
    pub async fn abort(mut self) {
        self.upload.abort().await;
    }
}

impl std::fmt::Debug for DataFileWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DataFileWriter").field("path", &self.path).field("rows", &self.rows).finish_non_exhaustive()
    }
}

/// Encoded bytes, cut into pieces the upload can take without copying.
#[derive(Default)]
struct PartBuffer {
    full: VecDeque<Bytes>,
    current: Vec<u8>,
}

impl PartBuffer {
    fn len(&self) -> usize {
        self.full.iter().map(Bytes::len).sum::<usize>() + self.current.len()
    }

    fn into_parts(mut self) -> VecDeque<Bytes> {
        if !self.current.is_empty() {
            self.full.push_back(self.current.into());
        }
        self.full
    }
}

impl Write for PartBuffer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let taken = bytes.len().min(PART_BYTES - self.current.len());
        self.current.extend_from_slice(&bytes[..taken]);
        if self.current.len() == PART_BYTES {
            self.full.push_back(std::mem::take(&mut self.current).into());
        }
        Ok(taken)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Columns for which a dictionary would be built only to be thrown away: nearly all values of a sample differ.
fn columns_without_repetition(schema: &Schema, batch: &RecordBatch) -> Vec<ColumnPath> {
    const SAMPLE_ROWS: usize = 4096;
    const FEWEST_ROWS: usize = 1024;

    let rows = batch.num_rows().min(SAMPLE_ROWS);
    if rows < FEWEST_ROWS {
        return Vec::new();
    }
    let differ = |column: &dyn Array| {
        let distinct = match column.data_type() {
            DataType::Int64 => column.as_primitive::<Int64Type>().values()[..rows].iter().collect::<HashSet<_>>().len(),
            DataType::Float64 => {
                let values = column.as_primitive::<Float64Type>().values()[..rows].iter();
                values.map(|value| value.to_bits()).collect::<HashSet<_>>().len()
            }
            DataType::Utf8 => {
                let values = column.as_string::<i32>();
                (0..rows).map(|row| values.value(row)).collect::<HashSet<_>>().len()
            }
            DataType::Utf8View => {
                let values = column.as_string_view();
                (0..rows).map(|row| values.value(row)).collect::<HashSet<_>>().len()
            }
            _ => 0,
        };
        distinct * 10 > rows * 9
    };
    let columns = schema.fields().iter().zip(batch.columns());
    columns.filter(|(_, column)| differ(column)).map(|(field, _)| ColumnPath::from(field.name().as_str())).collect()
}

/// What to read of a data file, and as what.
#[derive(Debug, Clone)]
#[must_use]
pub struct ReadOptions<'a> {
    schema: SchemaRef,
    projection: Option<Vec<String>>,
    size: Option<u64>,
    deleted: Option<&'a RowSet>,
    only: Option<&'a RowSet>,
    bounds: Vec<ColumnBounds>,
    row_numbers: bool,
    batch_rows: usize,
}

/// What is wanted of a column, to leave out row groups whose statistics say that they hold nothing of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnBounds {
    /// The column, by the name it has in the file.
    pub column: String,
    /// The values wanted.
    pub values: ValueRange,
}

/// Values from a smallest to a largest one, both included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ValueRange {
    /// Integers; days and microseconds likewise.
    Long(i64, i64),
    /// Text and binary, by bytes.
    Bytes(Vec<u8>, Vec<u8>),
}

impl<'a> ReadOptions<'a> {
    /// All columns of `schema`, which has physical names and, under column mapping, field ids as `PARQUET:field_id`
    /// metadata. Columns that the file lacks are null.
    pub fn new(schema: SchemaRef) -> Self {
        ReadOptions {
            schema,
            projection: None,
            size: None,
            deleted: None,
            only: None,
            bounds: Vec::new(),
            row_numbers: false,
            batch_rows: 8192,
        }
    }

    /// Only these columns of the schema, in this order.
    pub fn with_projection(mut self, columns: Vec<String>) -> Self {
        self.projection = Some(columns);
        self
    }

    /// The file's size in bytes, which saves a request. A file of another size is corrupt.
    pub fn with_size(mut self, size: u64) -> Self {
        self.size = Some(size);
        self
    }

    /// Without these rows, which are counted from 0 at the start of the file.
    pub fn with_deleted(mut self, rows: &'a RowSet) -> Self {
        self.deleted = Some(rows);
        self
    }

    /// Only these rows, which are counted from 0 at the start of the file; of the file only the pages that hold them are
    /// read, where it has a page index.
    pub fn with_only(mut self, rows: &'a RowSet) -> Self {
        self.only = Some(rows);
        self
    }

    /// Leaves out row groups that surely hold no row within all of these bounds. Other rows may come all the same.
    pub fn with_bounds(mut self, bounds: Vec<ColumnBounds>) -> Self {
        self.bounds = bounds;
        self
    }

    /// With a last column [`ROW_NUMBER_COLUMN`]: each row's position in the file, deleted rows counted, as `Int64`.
    pub fn with_row_numbers(mut self) -> Self {
        self.row_numbers = true;
        self
    }

    /// At most this many rows a batch; 8192 if not set.
    pub fn with_batch_rows(mut self, rows: usize) -> Self {
        self.batch_rows = rows.max(1);
        self
    }
}

/// The footer of a file with the places of its pages; of files that single rows were read from before, without asking the
/// store.
async fn page_places(
    store: &DataStore,
    relative: &str,
    source: &mut ParquetSource,
    reading: &ArrowReaderOptions,
) -> Result<Arc<ParquetMetaData>> {
    if let Some(known) = store.footers().get(relative).filter(|known| known.size == source.size()) {
        return Ok(known.metadata);
    }
    let metadata = source.metadata(reading).await?;
    let metadata = source.with_page_index(metadata).await?;
    let weight = metadata.memory_size() as u64;
    store.footers().insert(relative.to_owned(), Footer { size: source.size(), metadata: metadata.clone() }, weight);
    Ok(metadata)
}

/// The rows of a data file, in order. The footer is read before this returns, the rest as the stream is polled.
///
/// # Errors
/// [`StorageError::NotFound`]; [`StorageError::CorruptDataFile`] for a file that is cut short, is no Parquet file or has
/// columns that do not fit the schema; `CorruptDv` for a deleted row beyond the end; the failures of the store.
pub async fn read_data_file(
    store: &DataStore,
    relative: &str,
    options: ReadOptions<'_>,
) -> Result<BoxStream<'static, Result<RecordBatch>>> {
    let path = store.location().readable(relative)?;
    let mut source = ParquetSource::open(store.access().clone(), path, relative, options.size).await?;
    let wanted = wanted_schema(relative, &options)?;

    let row_number = Arc::new(Field::new(ROW_NUMBER_COLUMN, DataType::Int64, false).with_extension_type(RowNumber));
    let mut reading = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let metadata = match options.only {
        Some(_) => page_places(store, relative, &mut source, &reading).await?,
        None => source.metadata(&reading).await?,
    };
    let corrupt = |error| source.error(error);
    let plain = ArrowReaderMetadata::try_new(metadata.clone(), reading.clone()).map_err(corrupt)?;
    if let Some(schema) = better_types(plain.schema(), plain.parquet_schema(), &wanted) {
        reading = reading.with_schema(schema);
    }
    if options.row_numbers {
        reading = reading.with_virtual_columns(vec![row_number.clone()]).map_err(corrupt)?;
    }
    let reader = ArrowReaderMetadata::try_new(metadata.clone(), reading).map_err(corrupt)?;

    let fields = plain.schema().fields();
    let roots = wanted.fields().iter().filter_map(|field| find_field(fields, field));
    let mask = ProjectionMask::roots(plain.parquet_schema(), roots);
    let mut builder = ParquetRecordBatchStreamBuilder::new_with_metadata(source.clone(), reader)
        .with_projection(mask)
        .with_batch_size(options.batch_rows);
    if let Some(only) = options.only {
        let kept = match options.deleted {
            Some(deleted) => &only.difference(deleted),
            None => only,
        };
        let (groups, selection) = chosen_rows(relative, &metadata, kept)?;
        builder = builder.with_row_groups(groups).with_row_selection(selection);
    } else {
        if !options.bounds.is_empty() {
            let groups: Vec<usize> = (0..metadata.num_row_groups())
                .filter(|group| options.bounds.iter().all(|bounds| may_hold(&metadata, *group, bounds)))
                .collect();
            if options.deleted.is_none() && groups.len() < metadata.num_row_groups() {
                builder = builder.with_row_groups(groups);
            }
        }
        if let Some(deleted) = options.deleted.filter(|deleted| !deleted.is_empty()) {
            builder = builder.with_row_selection(kept_rows(relative, &metadata, deleted)?);
        }
    }
    let stream = builder.build().map_err(|error| source.error(error))?;

    let name = relative.to_owned();
    let row_number = options.row_numbers.then_some(row_number);
    let batches = source.guarded(stream).map(move |batch| {
        let batch = batch?;
        as_wanted(&batch, &wanted, row_number.as_ref()).map_err(|what| StorageError::corrupt_file(&name, what))
    });
    Ok(batches.boxed())
}

/// What the footer of a data file says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileFooter {
    /// Rows.
    pub rows: u64,
    /// Who wrote the file, as it says itself.
    pub created_by: Option<String>,
}

/// Reads the footer of a data file and checks that it can be true of a file of its size.
///
/// # Errors
/// [`StorageError::NotFound`]; [`StorageError::CorruptDataFile`] for a file of another size, that is cut short or is no
/// Parquet file; the failures of the store.
pub async fn read_footer(store: &DataStore, relative: &str, size: u64) -> Result<FileFooter> {
    let path = store.location().readable(relative)?;
    let mut source = ParquetSource::open(store.access().clone(), path, relative, Some(size)).await?;
    let metadata = source.metadata(&ArrowReaderOptions::new().with_skip_arrow_metadata(true)).await?;
    let file = metadata.file_metadata();
    // Checked when the footer was read: it is not negative.
    Ok(FileFooter { rows: file.num_rows() as u64, created_by: file.created_by().map(str::to_owned) })
}

fn wanted_schema(path: &str, options: &ReadOptions<'_>) -> Result<SchemaRef> {
    let Some(columns) = &options.projection else { return Ok(options.schema.clone()) };
    let indices = columns.iter().map(|column| {
        options.schema.index_of(column).map_err(|_| {
            let known = options.schema.fields().iter().map(|field| field.name().as_str());
            let hint = floe_table_format::schema::nearest(column, known);
            let hint = hint.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
            FormatError::invalid_schema(format!("cannot read column {column:?} of {path}: no such column{hint}"))
        })
    });
    let indices = indices.collect::<Result<Vec<_>, _>>()?;
    let schema = options.schema.project(&indices);
    Ok(Arc::new(schema.map_err(|error| FormatError::invalid_schema(error.to_string()))?))
}

/// The file's schema with types that its columns can be decoded to at no cost; none if it is right as it is.
///
/// Times of the old 96-bit kind must be decoded to microseconds: as nanoseconds, which is how they are stored, years before
/// 1677 and after 2262 would wrap around; also inside structs, lists and maps. Text can be decoded straight to views.
fn better_types(file: &Schema, parquet: &SchemaDescriptor, wanted: &Schema) -> Option<SchemaRef> {
    let mut changed = false;
    let fields: Vec<FieldRef> = file
        .fields()
        .iter()
        .enumerate()
        .map(|(root, field)| {
            let better = match field.data_type() {
                DataType::Utf8 | DataType::Binary => find_field(wanted.fields(), field)
                    .map(|index| wanted.field(index).data_type().clone())
                    .filter(|to| {
                        matches!((field.data_type(), to), (DataType::Utf8, DataType::Utf8View))
                            || matches!((field.data_type(), to), (DataType::Binary, DataType::BinaryView))
                    }),
                _ => None,
            };
            let mut leaves = (0..parquet.num_columns()).filter(|leaf| parquet.get_column_root_idx(*leaf) == root);
            let mut old_time =
                || leaves.next().is_some_and(|l| parquet.column(l).physical_type() == PhysicalType::INT96);
            let better = better.unwrap_or_else(|| with_old_times_in_microseconds(field.data_type(), &mut old_time));
            if better == *field.data_type() {
                return field.clone();
            }
            changed = true;
            Arc::new(field.as_ref().clone().with_data_type(better))
        })
        .collect();
    changed.then(|| Arc::new(Schema::new_with_metadata(fields, file.metadata().clone())))
}

/// The type with microseconds for the leaves that are times of the old kind, at any depth; `old_time` is asked once for each
/// leaf, in the order in which they lie in the file.
fn with_old_times_in_microseconds(data_type: &DataType, old_time: &mut impl FnMut() -> bool) -> DataType {
    let mut child = |field: &FieldRef| -> FieldRef {
        let inner = with_old_times_in_microseconds(field.data_type(), old_time);
        Arc::new(field.as_ref().clone().with_data_type(inner))
    };
    match data_type {
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(child).collect()),
        DataType::List(field) => DataType::List(child(field)),
        DataType::Map(field, sorted) => DataType::Map(child(field), *sorted),
        DataType::Timestamp(TimeUnit::Nanosecond, zone) if old_time() => {
            DataType::Timestamp(TimeUnit::Microsecond, zone.clone())
        }
        // Every leaf counts; the guard above has asked for its own.
        DataType::Timestamp(TimeUnit::Nanosecond, _) => data_type.clone(),
        leaf => {
            old_time();
            leaf.clone()
        }
    }
}

/// The rows that are left.
fn kept_rows(path: &str, metadata: &ParquetMetaData, deleted: &RowSet) -> Result<RowSelection> {
    // Checked when the footer was read: it is not negative.
    let rows = metadata.file_metadata().num_rows() as u64;
    if let Some(beyond) = deleted.max().filter(|last| *last >= rows) {
        let what = format!("it deletes row {beyond} of a file with {rows} rows");
        return Err(FormatError::corrupt_dv(path, what).into());
    }
    let mut next = 0;
    let mut kept = Vec::new();
    for row in deleted.iter() {
        if row > next {
            kept.push(next as usize..row as usize);
        }
        next = row + 1;
    }
    if rows > next {
        kept.push(next as usize..rows as usize);
    }
    Ok(RowSelection::from_consecutive_ranges(kept.into_iter(), rows as usize))
}

/// The row groups that hold some of these rows, and the rows among all rows of those groups.
fn chosen_rows(path: &str, metadata: &ParquetMetaData, rows: &RowSet) -> Result<(Vec<usize>, RowSelection)> {
    let total = metadata.file_metadata().num_rows() as u64;
    if let Some(beyond) = rows.max().filter(|last| *last >= total) {
        return Err(StorageError::corrupt_file(path, format!("row {beyond} is wanted of its {total} rows")));
    }
    let (mut groups, mut ranges) = (Vec::new(), Vec::new());
    let (mut start, mut chosen_before) = (0u64, 0u64);
    let mut rows = rows.iter().peekable();
    for (number, group) in metadata.row_groups().iter().enumerate() {
        let end = start + group.num_rows() as u64;
        if rows.peek().is_some_and(|row| *row < end) {
            groups.push(number);
            while let Some(row) = rows.next_if(|row| *row < end) {
                let at = (row - start + chosen_before) as usize;
                ranges.push(at..at + 1);
            }
            chosen_before += end - start;
        }
        start = end;
    }
    Ok((groups, RowSelection::from_consecutive_ranges(ranges.into_iter(), chosen_before as usize)))
}

/// Whether a row group may hold a value within the bounds: it may unless its statistics prove that it does not.
fn may_hold(metadata: &ParquetMetaData, group: usize, bounds: &ColumnBounds) -> bool {
    let columns = metadata.row_group(group).columns();
    let Some(column) = columns.iter().find(|column| column.column_path().parts() == [bounds.column.as_str()]) else {
        return true;
    };
    // Other units and scales mean other values than the bounds do.
    let comparable = match column.column_descr().logical_type_ref() {
        None => matches!(column.column_descr().converted_type(), ConvertedType::NONE | ConvertedType::UTF8),
        Some(LogicalType::Date | LogicalType::String) => true,
        Some(LogicalType::Integer(integer)) => integer.is_signed,
        Some(LogicalType::Timestamp(timestamp)) => matches!(timestamp.unit, ParquetTimeUnit::MICROS),
        Some(_) => false,
    };
    if !comparable {
        return true;
    }
    match (column.statistics(), &bounds.values) {
        (Some(Statistics::Int64(found)), ValueRange::Long(first, last)) => {
            found.max_opt().is_none_or(|max| max >= first) && found.min_opt().is_none_or(|min| min <= last)
        }
        (Some(Statistics::Int32(found)), ValueRange::Long(first, last)) => {
            found.max_opt().is_none_or(|max| i64::from(*max) >= *first)
                && found.min_opt().is_none_or(|min| i64::from(*min) <= *last)
        }
        (Some(Statistics::ByteArray(found)), ValueRange::Bytes(first, last)) => {
            found.max_opt().is_none_or(|max| max.data() >= first.as_slice())
                && found.min_opt().is_none_or(|min| min.data() <= last.as_slice())
        }
        _ => true,
    }
}

fn as_wanted(batch: &RecordBatch, wanted: &SchemaRef, row_number: Option<&FieldRef>) -> Result<RecordBatch, String> {
    let Some(row_number) = row_number else { return conform(batch, wanted) };
    let (Some(numbers), rows) = (batch.columns().last(), batch.num_rows()) else {
        return Err("the decoder gave no row numbers".into());
    };
    // The table may have a column of that name too: the decoder's is the last.
    let data = batch.project(&(0..batch.num_columns() - 1).collect::<Vec<_>>()).map_err(|error| error.to_string())?;
    let conformed = conform(&data, wanted)?;
    let mut columns = conformed.columns().to_vec();
    columns.push(numbers.clone());
    let mut fields = wanted.fields().to_vec();
    fields.push(Arc::new(Field::new(row_number.name(), DataType::Int64, false)));
    let schema = Arc::new(Schema::new_with_metadata(fields, wanted.metadata().clone()));
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema, columns, &options).map_err(|error| error.to_string())
}

/// The columns of a Parquet file, from its footer alone: times in microseconds, those of the old 96-bit kind in UTC, as Spark
/// and Hive wrote them. What the writer says of Arrow types is not regarded.
///
/// # Errors
/// As [`read_footer`].
pub async fn read_file_schema(store: &DataStore, relative: &str, size: u64) -> Result<SchemaRef> {
    let path = store.location().readable(relative)?;
    let mut source = ParquetSource::open(store.access().clone(), path, relative, Some(size)).await?;
    let metadata = source.metadata(&ArrowReaderOptions::new().with_skip_arrow_metadata(true)).await?;
    let parquet = metadata.file_metadata().schema_descr();
    let arrow = parquet::arrow::parquet_to_arrow_schema(parquet, None)
        .map_err(|error| StorageError::corrupt_file(relative, error.to_string()))?;
    let mut leaves = parquet.columns().iter().map(|column| column.physical_type() == PhysicalType::INT96);
    let fields: Vec<FieldRef> = arrow.fields().iter().map(|field| in_microseconds(field, &mut leaves)).collect();
    Ok(Arc::new(Schema::new(fields)))
}

/// `leaves` says of each column without inner ones, in order, whether its times are of the old kind.
fn in_microseconds(field: &FieldRef, leaves: &mut impl Iterator<Item = bool>) -> FieldRef {
    let data_type = match field.data_type() {
        DataType::Struct(fields) => {
            DataType::Struct(fields.iter().map(|field| in_microseconds(field, leaves)).collect())
        }
        DataType::List(element) => DataType::List(in_microseconds(element, leaves)),
        DataType::Map(entries, sorted) => DataType::Map(in_microseconds(entries, leaves), *sorted),
        leaf => {
            let old_kind = leaves.next().unwrap_or(false);
            match leaf {
                DataType::Timestamp(_, _) if old_kind => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
                DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Microsecond, zone.clone()),
                other => other.clone(),
            }
        }
    };
    Arc::new(field.as_ref().clone().with_data_type(data_type))
}
