//! A block of files as Arrow columns.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arrow::array::{Array, ArrayRef, BooleanArray, Int32Array, Int64Array, StringArray, StructArray, new_null_array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{concat, filter};
use arrow::datatypes::DataType as ArrowType;

use super::column_stats::{self, ColumnStats, Reading, StatsColumnSpec};
use super::index::{PathHash, PathIndex};
use super::stats_text;
use crate::action::{Add, DeletionVectorDescriptor};
use crate::error::{FormatError, Result};
use crate::path::DataPath;
use crate::schema::PrimitiveType;

/// The columns a [`FileChunk`] is made of. All have the same length; a missing column is one of nulls.
#[derive(Debug, Clone)]
pub struct ChunkColumns {
    /// As in the log: relative, percent-encoded. Never null.
    pub paths: StringArray,
    /// Bytes. Never null.
    pub sizes: Int64Array,
    /// Milliseconds since 1970. Never null.
    pub modification_times: Int64Array,
    /// Serialised partition values by physical column name, in order of first appearance.
    pub partitions: Vec<(String, StringArray)>,
    /// Deletion vectors, if any file has one.
    pub deletion_vectors: Option<DeletionVectorColumns>,
    /// Row id of each file's first row.
    pub base_row_ids: Option<Int64Array>,
    /// Version in which each file was first added.
    pub default_row_commit_versions: Option<Int64Array>,
    /// Tags as JSON text.
    pub tags: Option<StringArray>,
    /// Which implementation clustered the file.
    pub clustering_providers: Option<StringArray>,
    /// Statistics as JSON text.
    pub stats: Option<StringArray>,
    /// Statistics as a checkpoint's `stats_parsed`.
    pub stats_parsed: Option<StructArray>,
}

/// Deletion vector descriptors as columns. A file without one has nulls.
#[derive(Debug, Clone)]
pub struct DeletionVectorColumns {
    /// `u`, `i` or `p`; null means no deletion vector.
    pub storage_types: StringArray,
    /// Encoded UUID, bitmap or path.
    pub paths_or_inline: StringArray,
    /// Byte offsets.
    pub offsets: Int32Array,
    /// Bytes.
    pub sizes: Int32Array,
    /// Marked rows.
    pub cardinalities: Int64Array,
}

/// What identifies a logical file beside its path: the parts of a deletion vector's unique id.
///
/// Protocol section "Deletion Vectors", derived field `uniqueId`: storage type, path and offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct DvKey<'a> {
    pub(crate) storage_type: &'a str,
    pub(crate) path: &'a str,
    pub(crate) offset: Option<i32>,
}

impl<'a> From<&'a DeletionVectorDescriptor> for DvKey<'a> {
    fn from(dv: &'a DeletionVectorDescriptor) -> Self {
        DvKey { storage_type: &dv.storage_type, path: &dv.path_or_inline_dv, offset: dv.offset }
    }
}

/// A logical file: protocol section "Action Reconciliation", primary key `(path, deletionVector.uniqueId)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct FileKey<'a> {
    pub(crate) path: &'a str,
    pub(crate) dv: Option<DvKey<'a>>,
}

/// A block of files as Arrow columns. Immutable; which of its rows are live is known to the
/// [`FileTable`](super::FileTable) that holds it.
pub struct FileChunk {
    columns: ChunkColumns,
    index: OnceLock<PathIndex>,
    summary: OnceLock<Summary>,
    parsed: Mutex<Vec<CachedStats>>,
}

/// One parsed statistics column: physical path, type, arrays.
type CachedStats = (Vec<String>, PrimitiveType, Arc<ColumnStats>);

/// Statistics of whole files.
struct Summary {
    num_records: Int64Array,
    tight_bounds: BooleanArray,
}

impl fmt::Debug for FileChunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileChunk").field("rows", &self.rows()).finish_non_exhaustive()
    }
}

impl FileChunk {
    /// A chunk of these columns.
    ///
    /// # Errors
    /// [`FormatError::InvalidValue`] if lengths differ or a column that must not be null is.
    pub fn new(columns: ChunkColumns) -> Result<Self> {
        columns.check()?;
        Ok(FileChunk { columns, index: OnceLock::new(), summary: OnceLock::new(), parsed: Mutex::default() })
    }

    pub(crate) fn with_index(columns: ChunkColumns, index: PathIndex) -> Result<Self> {
        let chunk = FileChunk::new(columns)?;
        // The cell was just made, so it is empty and the value is taken.
        let _ = chunk.index.set(index);
        Ok(chunk)
    }

    /// Files in this chunk, live or not.
    pub fn rows(&self) -> usize {
        self.columns.paths.len()
    }

    /// The columns.
    pub fn columns(&self) -> &ChunkColumns {
        &self.columns
    }

    /// Serialised values of the partition column with this physical name; none if no file of the chunk names it.
    pub fn partition_column(&self, name: &str) -> Option<&StringArray> {
        self.columns.partitions.iter().find(|(n, _)| n == name).map(|(_, values)| values)
    }

    /// Rows in each file, deleted ones included; null where the statistics do not say.
    pub fn num_records(&self) -> &Int64Array {
        &self.summary().num_records
    }

    /// Whether minimum and maximum are those of a row that is still there. Never null.
    pub fn tight_bounds(&self) -> &BooleanArray {
        &self.summary().tight_bounds
    }

    /// Minimum, maximum and null count of one column for every file of the chunk.
    ///
    /// `path` is the physical path of the column. Only this column is parsed, once; the result is kept. A statistic that
    /// is missing or malformed is null.
    ///
    /// # Errors
    /// None of today's inputs; the type leaves room for columns that cannot be built.
    pub fn stats_column(&self, path: &[String], data_type: &PrimitiveType) -> Result<Arc<ColumnStats>> {
        let find = |cache: &[CachedStats]| {
            cache.iter().find(|(p, t, _)| t == data_type && p == path).map(|(_, _, stats)| Arc::clone(stats))
        };
        if let Some(found) = find(&self.cache()) {
            return Ok(found);
        }
        // Parsed outside the lock: two queries may do it twice, but none waits for another's column.
        let stats = Arc::new(self.widened_stats(path, *data_type)?);
        let mut cache = self.cache();
        if let Some(found) = find(&cache) {
            return Ok(found);
        }
        cache.push((path.to_vec(), *data_type, Arc::clone(&stats)));
        Ok(stats)
    }

    fn widened_stats(&self, path: &[String], data_type: PrimitiveType) -> Result<ColumnStats> {
        let wanted = [StatsColumnSpec { path: path.to_vec(), data_type, bounds: true }];
        let stats = column_stats::of_chunk(&self.columns, &wanted, Reading::AsBounds)?.remove(0);
        Ok(stats.with_truncated_timestamps_widened())
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, Vec<CachedStats>> {
        // A panic while holding the lock cannot leave a half-made entry: entries are pushed whole.
        self.parsed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn summary(&self) -> &Summary {
        self.summary.get_or_init(|| {
            let (num_records, tight_bounds) = column_stats::summary(&self.columns);
            Summary { num_records, tight_bounds }
        })
    }

    pub(crate) fn index(&self) -> &PathIndex {
        self.index.get_or_init(|| {
            let mut index = PathIndex::with_capacity(self.rows());
            for (row, path) in self.columns.paths.iter().enumerate() {
                index.insert(PathHash::of(path.unwrap_or_default()), row as u32);
            }
            index
        })
    }

    /// Rows of this logical file, live or not.
    pub(crate) fn rows_of<'a>(&'a self, hash: PathHash, key: FileKey<'a>) -> impl Iterator<Item = u32> + 'a {
        self.index().candidates(hash).filter(move |row| {
            let row = *row as usize;
            DataPath::identity(self.columns.paths.value(row)) == key.path && self.columns.dv_key(row) == key.dv
        })
    }

    /// Rows of any logical file with this path, live or not.
    pub(crate) fn rows_of_path<'a>(&'a self, hash: PathHash, path: &'a str) -> impl Iterator<Item = u32> + 'a {
        let path = DataPath::identity(path);
        let is_same = move |row: &u32| DataPath::identity(self.columns.paths.value(*row as usize)) == path;
        self.index().candidates(hash).filter(is_same)
    }

    /// Statistics of one file as JSON text, made from the parsed ones if there is no text.
    pub(crate) fn stats_json(&self, row: usize) -> Option<Cow<'_, str>> {
        if let Some(text) = text_at(&self.columns.stats, row) {
            return Some(Cow::Borrowed(text));
        }
        let parsed = self.columns.stats_parsed.as_ref()?;
        stats_text::struct_to_stats_json(parsed, row).map(Cow::Owned)
    }

    pub(crate) fn to_add(&self, row: usize) -> Add {
        let columns = &self.columns;
        Add {
            path: columns.paths.value(row).to_owned(),
            partition_values: columns.partition_values(row),
            size: columns.sizes.value(row),
            modification_time: columns.modification_times.value(row),
            data_change: false,
            stats: self.stats_json(row).map(Cow::into_owned),
            tags: columns.tags(row),
            deletion_vector: columns.deletion_vector(row),
            base_row_id: long_at(&columns.base_row_ids, row),
            default_row_commit_version: long_at(&columns.default_row_commit_versions, row),
            clustering_provider: text_at(&columns.clustering_providers, row).map(str::to_owned),
        }
    }

    /// Statistics of several columns exactly as they were written, in one pass and not kept.
    pub(crate) fn stats_columns_as_written(&self, wanted: &[StatsColumnSpec]) -> Result<Vec<ColumnStats>> {
        column_stats::of_chunk(&self.columns, wanted, Reading::AsWritten)
    }

    /// Whether a file has statistics.
    pub(crate) fn has_stats(&self, row: usize) -> bool {
        text_at(&self.columns.stats, row).is_some()
            || self.columns.stats_parsed.as_ref().is_some_and(|parsed| parsed.is_valid(row))
    }

    /// Statistics of every file as JSON text, made from the parsed ones where there is no text.
    pub(crate) fn stats_text(&self) -> StringArray {
        if self.columns.stats_parsed.is_none() {
            return self.columns.stats.clone().unwrap_or_else(|| StringArray::new_null(self.rows()));
        }
        (0..self.rows()).map(|row| self.stats_json(row)).collect()
    }

    /// Some of the rows.
    pub(crate) fn slice(&self, from: usize, len: usize) -> Result<FileChunk> {
        FileChunk::new(self.columns.slice(from, len))
    }

    /// One chunk of the live rows of several, in order. `live` of none means all rows.
    pub(crate) fn concat(parts: &[(&FileChunk, Option<&BooleanBuffer>)]) -> Result<FileChunk> {
        let kept = parts.iter().map(|(chunk, live)| chunk.columns.keep(*live)).collect::<Result<Vec<_>>>()?;
        FileChunk::new(ChunkColumns::concat(&kept)?)
    }
}

impl ChunkColumns {
    fn check(&self) -> Result<()> {
        let rows = self.paths.len();
        let invalid = |what: &str| {
            Err(FormatError::InvalidValue {
                value: what.into(),
                target: "file columns".into(),
                what: "columns disagree".into(),
            })
        };
        let optional: [&Option<Int64Array>; 2] = [&self.base_row_ids, &self.default_row_commit_versions];
        let texts: [&Option<StringArray>; 3] = [&self.tags, &self.clustering_providers, &self.stats];
        let lengths = [self.sizes.len(), self.modification_times.len()]
            .into_iter()
            .chain(self.partitions.iter().map(|(_, values)| values.len()))
            .chain(optional.iter().filter_map(|c| c.as_ref().map(Array::len)))
            .chain(texts.iter().filter_map(|c| c.as_ref().map(Array::len)))
            .chain(self.stats_parsed.iter().map(Array::len))
            .chain(self.deletion_vectors.iter().flat_map(|dv| {
                [
                    dv.storage_types.len(),
                    dv.paths_or_inline.len(),
                    dv.offsets.len(),
                    dv.sizes.len(),
                    dv.cardinalities.len(),
                ]
            }));
        for length in lengths {
            if length != rows {
                return invalid("lengths");
            }
        }
        if self.paths.null_count() + self.sizes.null_count() + self.modification_times.null_count() > 0 {
            return invalid("nulls in path, size or modification time");
        }
        Ok(())
    }

    pub(crate) fn dv_key(&self, row: usize) -> Option<DvKey<'_>> {
        let dv = self.deletion_vectors.as_ref()?;
        dv.storage_types.is_valid(row).then(|| DvKey {
            storage_type: dv.storage_types.value(row),
            path: dv.paths_or_inline.value(row),
            offset: dv.offsets.is_valid(row).then(|| dv.offsets.value(row)),
        })
    }

    pub(crate) fn deletion_vector(&self, row: usize) -> Option<DeletionVectorDescriptor> {
        let key = self.dv_key(row)?;
        let dv = self.deletion_vectors.as_ref()?;
        Some(DeletionVectorDescriptor {
            storage_type: key.storage_type.to_owned(),
            path_or_inline_dv: key.path.to_owned(),
            offset: key.offset,
            size_in_bytes: dv.sizes.value(row),
            cardinality: dv.cardinalities.value(row),
        })
    }

    pub(crate) fn partition_values(&self, row: usize) -> BTreeMap<String, Option<String>> {
        let value = |values: &StringArray| values.is_valid(row).then(|| values.value(row).to_owned());
        self.partitions.iter().map(|(name, values)| (name.clone(), value(values))).collect()
    }

    pub(crate) fn tags(&self, row: usize) -> Option<BTreeMap<String, Option<String>>> {
        serde_json::from_str(text_at(&self.tags, row)?).ok()
    }

    /// Bytes of text, to keep chunks below what 32-bit offsets can address.
    pub(crate) fn text_bytes(&self) -> usize {
        let stats = self.stats.as_ref().map_or(0, |s| s.get_buffer_memory_size());
        let parsed = self.stats_parsed.as_ref().map_or(0, |s| s.get_buffer_memory_size());
        stats.max(parsed).max(self.paths.get_buffer_memory_size())
    }

    fn slice(&self, from: usize, len: usize) -> ChunkColumns {
        ChunkColumns {
            paths: self.paths.slice(from, len),
            sizes: self.sizes.slice(from, len),
            modification_times: self.modification_times.slice(from, len),
            partitions: self.partitions.iter().map(|(name, v)| (name.clone(), v.slice(from, len))).collect(),
            deletion_vectors: self.deletion_vectors.as_ref().map(|dv| DeletionVectorColumns {
                storage_types: dv.storage_types.slice(from, len),
                paths_or_inline: dv.paths_or_inline.slice(from, len),
                offsets: dv.offsets.slice(from, len),
                sizes: dv.sizes.slice(from, len),
                cardinalities: dv.cardinalities.slice(from, len),
            }),
            base_row_ids: self.base_row_ids.as_ref().map(|c| c.slice(from, len)),
            default_row_commit_versions: self.default_row_commit_versions.as_ref().map(|c| c.slice(from, len)),
            tags: self.tags.as_ref().map(|c| c.slice(from, len)),
            clustering_providers: self.clustering_providers.as_ref().map(|c| c.slice(from, len)),
            stats: self.stats.as_ref().map(|c| c.slice(from, len)),
            stats_parsed: self.stats_parsed.as_ref().map(|c| c.slice(from, len)),
        }
    }

    /// These columns without the rows that are not live.
    fn keep(&self, live: Option<&BooleanBuffer>) -> Result<ChunkColumns> {
        let Some(live) = live else { return Ok(self.clone()) };
        let mask = BooleanArray::new(live.clone(), None);
        Ok(ChunkColumns {
            paths: kept(&self.paths, &mask)?,
            sizes: kept(&self.sizes, &mask)?,
            modification_times: kept(&self.modification_times, &mask)?,
            partitions: self
                .partitions
                .iter()
                .map(|(name, values)| Ok((name.clone(), kept(values, &mask)?)))
                .collect::<Result<_>>()?,
            deletion_vectors: self
                .deletion_vectors
                .as_ref()
                .map(|dv| {
                    Ok::<_, FormatError>(DeletionVectorColumns {
                        storage_types: kept(&dv.storage_types, &mask)?,
                        paths_or_inline: kept(&dv.paths_or_inline, &mask)?,
                        offsets: kept(&dv.offsets, &mask)?,
                        sizes: kept(&dv.sizes, &mask)?,
                        cardinalities: kept(&dv.cardinalities, &mask)?,
                    })
                })
                .transpose()?,
            base_row_ids: self.base_row_ids.as_ref().map(|c| kept(c, &mask)).transpose()?,
            default_row_commit_versions: self
                .default_row_commit_versions
                .as_ref()
                .map(|c| kept(c, &mask))
                .transpose()?,
            tags: self.tags.as_ref().map(|c| kept(c, &mask)).transpose()?,
            clustering_providers: self.clustering_providers.as_ref().map(|c| kept(c, &mask)).transpose()?,
            stats: self.stats.as_ref().map(|c| kept(c, &mask)).transpose()?,
            stats_parsed: self.stats_parsed.as_ref().map(|c| kept(c, &mask)).transpose()?,
        })
    }

    /// The rows of several sets of columns, one after another.
    fn concat(parts: &[ChunkColumns]) -> Result<ChunkColumns> {
        if let [only] = parts {
            return Ok(only.clone());
        }
        // Struct statistics of different shapes do not concatenate; their text does.
        let same_struct = parts.windows(2).all(|pair| {
            pair[0].stats_parsed.as_ref().map(Array::data_type) == pair[1].stats_parsed.as_ref().map(Array::data_type)
        });
        let as_text;
        let parts = if same_struct {
            parts
        } else {
            as_text = parts.iter().map(ChunkColumns::with_stats_as_text).collect::<Vec<_>>();
            &as_text
        };
        let mut names: Vec<&String> = Vec::new();
        for (name, _) in parts.iter().flat_map(|p| &p.partitions) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let partition = |part: &ChunkColumns, name: &String| {
            part.partitions.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone())
        };
        let partitions = names
            .iter()
            .map(|name| {
                Ok((
                    (*name).clone(),
                    joined(parts, |p| partition(p, name))?.unwrap_or_else(|| StringArray::new_null(0)),
                ))
            })
            .collect::<Result<Vec<_>>>()?;
        let dv = |part: &ChunkColumns| part.deletion_vectors.clone();
        let deletion_vectors = match joined(parts, |p| dv(p).map(|d| d.storage_types))? {
            None => None,
            Some(storage_types) => Some(DeletionVectorColumns {
                storage_types,
                paths_or_inline: required(joined(parts, |p| dv(p).map(|d| d.paths_or_inline))?)?,
                offsets: required(joined(parts, |p| dv(p).map(|d| d.offsets))?)?,
                sizes: required(joined(parts, |p| dv(p).map(|d| d.sizes))?)?,
                cardinalities: required(joined(parts, |p| dv(p).map(|d| d.cardinalities))?)?,
            }),
        };
        Ok(ChunkColumns {
            paths: required(joined(parts, |p| Some(p.paths.clone()))?)?,
            sizes: required(joined(parts, |p| Some(p.sizes.clone()))?)?,
            modification_times: required(joined(parts, |p| Some(p.modification_times.clone()))?)?,
            partitions,
            deletion_vectors,
            base_row_ids: joined(parts, |p| p.base_row_ids.clone())?,
            default_row_commit_versions: joined(parts, |p| p.default_row_commit_versions.clone())?,
            tags: joined(parts, |p| p.tags.clone())?,
            clustering_providers: joined(parts, |p| p.clustering_providers.clone())?,
            stats: joined(parts, |p| p.stats.clone())?,
            stats_parsed: joined(parts, |p| p.stats_parsed.clone())?,
        })
    }

    fn with_stats_as_text(&self) -> ChunkColumns {
        let mut columns = self.clone();
        if let Some(parsed) = columns.stats_parsed.take() {
            let text = (0..parsed.len()).map(|row| match text_at(&self.stats, row) {
                Some(text) => Some(Cow::Borrowed(text)),
                None => stats_text::struct_to_stats_json(&parsed, row).map(Cow::Owned),
            });
            columns.stats = Some(text.collect());
        }
        columns
    }
}

pub(crate) fn text_at(column: &Option<StringArray>, row: usize) -> Option<&str> {
    let column = column.as_ref()?;
    column.is_valid(row).then(|| column.value(row))
}

pub(crate) fn long_at(column: &Option<Int64Array>, row: usize) -> Option<i64> {
    let column = column.as_ref()?;
    column.is_valid(row).then(|| column.value(row))
}

fn kept<A: Array + Clone + 'static>(column: &A, mask: &BooleanArray) -> Result<A> {
    typed(filter(column, mask).map_err(unexpected)?)
}

/// The concatenation of one column of each part; parts without it give nulls. None if no part has it.
fn joined<A: Array + Clone + 'static>(
    parts: &[ChunkColumns],
    column: impl Fn(&ChunkColumns) -> Option<A>,
) -> Result<Option<A>> {
    let columns: Vec<Option<A>> = parts.iter().map(&column).collect();
    let Some(data_type): Option<ArrowType> = columns.iter().flatten().next().map(|c| c.data_type().clone()) else {
        return Ok(None);
    };
    let arrays: Vec<ArrayRef> = columns
        .into_iter()
        .zip(parts)
        .map(|(column, part)| match column {
            Some(column) => Arc::new(column) as ArrayRef,
            None => new_null_array(&data_type, part.paths.len()),
        })
        .collect();
    let arrays: Vec<&dyn Array> = arrays.iter().map(AsRef::as_ref).collect();
    typed(concat(&arrays).map_err(unexpected)?).map(Some)
}

fn required<A>(column: Option<A>) -> Result<A> {
    column.ok_or_else(|| FormatError::InvalidValue {
        value: "file columns".into(),
        target: "chunk".into(),
        what: "no chunk to merge".into(),
    })
}

fn typed<A: Array + Clone + 'static>(array: ArrayRef) -> Result<A> {
    array.as_any().downcast_ref::<A>().cloned().ok_or_else(|| FormatError::InvalidValue {
        value: array.data_type().to_string(),
        target: "file columns".into(),
        what: "unexpected array type".into(),
    })
}

fn unexpected(error: arrow::error::ArrowError) -> FormatError {
    FormatError::InvalidValue {
        value: crate::error::printable(&error.to_string()),
        target: "file columns".into(),
        what: "the columns cannot be merged".into(),
    }
}
