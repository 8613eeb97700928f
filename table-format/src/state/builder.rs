//! Grows a [`FileChunk`](super::FileChunk) row by row, indexed as it grows.

use std::borrow::Cow;
use std::collections::BTreeMap;

use arrow::array::{Array, Int32Builder, Int64Builder, PrimitiveArray, StringArray, StringBuilder};
use arrow::datatypes::ArrowPrimitiveType;

use super::chunk::{ChunkColumns, DeletionVectorColumns, DvKey, FileChunk, FileKey};
use super::index::{PathHash, PathIndex};
use crate::action::{Add, DeletionVectorDescriptor};
use crate::error::Result;
use crate::path::DataPath;

/// Rows after which a chunk is closed. Small under test, so that generated tables have boundaries to cross.
pub(crate) const CHUNK_ROWS: usize = if cfg!(test) { 64 } else { 1 << 17 };
/// Bytes of one text column after which a chunk is closed: well below what 32-bit offsets address.
pub(crate) const CHUNK_TEXT_BYTES: usize = 512 << 20;

/// An `add` with borrowed parts, so that a line of a commit can go into the columns without a struct of its own.
pub(crate) struct AddRow<'a> {
    pub(crate) path: &'a str,
    pub(crate) size: i64,
    pub(crate) modification_time: i64,
    pub(crate) stats: Option<&'a str>,
    /// As JSON text.
    pub(crate) tags: Option<Cow<'a, str>>,
    pub(crate) deletion_vector: Option<&'a DeletionVectorDescriptor>,
    pub(crate) base_row_id: Option<i64>,
    pub(crate) default_row_commit_version: Option<i64>,
    pub(crate) clustering_provider: Option<&'a str>,
}

impl<'a> AddRow<'a> {
    pub(crate) fn of(add: &'a Add) -> Self {
        AddRow {
            path: &add.path,
            size: add.size,
            modification_time: add.modification_time,
            stats: add.stats.as_deref(),
            tags: add.tags.as_ref().map(|tags| Cow::Owned(tags_text(tags))),
            deletion_vector: add.deletion_vector.as_ref(),
            base_row_id: add.base_row_id,
            default_row_commit_version: add.default_row_commit_version,
            clustering_provider: add.clustering_provider.as_deref(),
        }
    }

    pub(crate) fn key(&self) -> FileKey<'a> {
        FileKey { path: DataPath::identity(self.path), dv: self.deletion_vector.map(DvKey::from) }
    }
}

pub(crate) fn tags_text(tags: &BTreeMap<String, Option<String>>) -> String {
    serde_json::to_string(tags).expect("a map of text to text is JSON")
}

/// Partition columns as they come: a file names its values, columns it does not name are null.
#[derive(Default)]
pub(crate) struct PartitionColumns {
    columns: Vec<(String, StringBuilder)>,
    rows: usize,
}

impl PartitionColumns {
    pub(crate) fn push<'p>(&mut self, values: impl Iterator<Item = (&'p str, Option<&'p str>)>) {
        for (position, (name, value)) in values.enumerate() {
            // Files of one table name their columns in one order, so the position is nearly always right.
            let at = match self.columns.get(position) {
                Some((expected, _)) if expected == name => position,
                _ => self.position(name),
            };
            let builder = &mut self.columns[at].1;
            // A column named twice by one file: the first counts.
            if builder.offsets_slice().len() == self.rows + 1 {
                builder.append_option(value);
            }
        }
        self.rows += 1;
        for (_, builder) in &mut self.columns {
            if builder.offsets_slice().len() <= self.rows {
                builder.append_null();
            }
        }
    }

    fn position(&mut self, name: &str) -> usize {
        if let Some(found) = self.columns.iter().position(|(n, _)| n == name) {
            return found;
        }
        let mut builder = StringBuilder::new();
        builder.append_nulls(self.rows);
        self.columns.push((name.to_owned(), builder));
        self.columns.len() - 1
    }

    pub(crate) fn finish(self) -> Vec<(String, StringArray)> {
        self.columns.into_iter().map(|(name, mut builder)| (name, builder.finish())).collect()
    }
}

#[derive(Default)]
pub(crate) struct ChunkBuilder {
    paths: StringBuilder,
    sizes: Int64Builder,
    modification_times: Int64Builder,
    partitions: PartitionColumns,
    dv_storage_types: StringBuilder,
    dv_paths: StringBuilder,
    dv_offsets: Int32Builder,
    dv_sizes: Int32Builder,
    dv_cardinalities: Int64Builder,
    base_row_ids: Int64Builder,
    default_row_commit_versions: Int64Builder,
    tags: StringBuilder,
    clustering_providers: StringBuilder,
    stats: StringBuilder,
    index: PathIndex,
}

impl ChunkBuilder {
    pub(crate) fn rows(&self) -> usize {
        self.partitions.rows
    }

    pub(crate) fn is_full(&self) -> bool {
        self.rows() >= CHUNK_ROWS
            || self.stats.values_slice().len() >= CHUNK_TEXT_BYTES
            || self.paths.values_slice().len() >= CHUNK_TEXT_BYTES
            || self.tags.values_slice().len() >= CHUNK_TEXT_BYTES
    }

    pub(crate) fn push<'p>(
        &mut self,
        hash: PathHash,
        add: &AddRow<'_>,
        partition_values: impl Iterator<Item = (&'p str, Option<&'p str>)>,
    ) -> u32 {
        let row = self.rows() as u32;
        self.paths.append_value(add.path);
        self.sizes.append_value(add.size);
        self.modification_times.append_value(add.modification_time);
        self.partitions.push(partition_values);
        let dv = add.deletion_vector;
        self.dv_storage_types.append_option(dv.map(|dv| &dv.storage_type));
        self.dv_paths.append_option(dv.map(|dv| &dv.path_or_inline_dv));
        self.dv_offsets.append_option(dv.and_then(|dv| dv.offset));
        self.dv_sizes.append_option(dv.map(|dv| dv.size_in_bytes));
        self.dv_cardinalities.append_option(dv.map(|dv| dv.cardinality));
        self.base_row_ids.append_option(add.base_row_id);
        self.default_row_commit_versions.append_option(add.default_row_commit_version);
        self.tags.append_option(add.tags.as_deref());
        self.clustering_providers.append_option(add.clustering_provider);
        self.stats.append_option(add.stats);
        self.index.insert(hash, row);
        row
    }

    /// [`push`](Self::push) for whoever does not need the hash.
    pub(crate) fn push_row<'p>(
        &mut self,
        add: &AddRow<'_>,
        partition_values: impl Iterator<Item = (&'p str, Option<&'p str>)>,
    ) {
        self.push(PathHash::of(add.path), add, partition_values);
    }

    pub(crate) fn size(&self, row: u32) -> i64 {
        self.sizes.values_slice()[row as usize]
    }

    /// Rows of this logical file.
    pub(crate) fn rows_of<'a>(&'a self, hash: PathHash, key: FileKey<'a>) -> impl Iterator<Item = u32> + 'a {
        self.index.candidates(hash).filter(move |row| self.is(*row as usize, &key))
    }

    fn is(&self, row: usize, key: &FileKey<'_>) -> bool {
        let same =
            std::str::from_utf8(bytes_at(&self.paths, row)).is_ok_and(|path| DataPath::identity(path) == key.path);
        if !same {
            return false;
        }
        let storage_type = bytes_at(&self.dv_storage_types, row);
        match &key.dv {
            // A storage type is never empty, so an empty one is a null.
            None => storage_type.is_empty(),
            Some(dv) => {
                let offset_is_set = self.dv_offsets.validity_slice().is_none_or(|bits| bit(bits, row));
                let offset = offset_is_set.then(|| self.dv_offsets.values_slice()[row]);
                storage_type == dv.storage_type.as_bytes()
                    && bytes_at(&self.dv_paths, row) == dv.path.as_bytes()
                    && offset == dv.offset
            }
        }
    }

    /// The chunk; columns that hold only nulls are left out.
    pub(crate) fn finish(mut self) -> Result<FileChunk> {
        let storage_types = self.dv_storage_types.finish();
        let deletion_vectors = (storage_types.null_count() < storage_types.len()).then(|| DeletionVectorColumns {
            storage_types,
            paths_or_inline: self.dv_paths.finish(),
            offsets: self.dv_offsets.finish(),
            sizes: self.dv_sizes.finish(),
            cardinalities: self.dv_cardinalities.finish(),
        });
        let columns = ChunkColumns {
            paths: self.paths.finish(),
            sizes: self.sizes.finish(),
            modification_times: self.modification_times.finish(),
            partitions: self.partitions.finish(),
            deletion_vectors,
            base_row_ids: unless_null(self.base_row_ids.finish()),
            default_row_commit_versions: unless_null(self.default_row_commit_versions.finish()),
            tags: text_unless_null(self.tags.finish()),
            clustering_providers: text_unless_null(self.clustering_providers.finish()),
            stats: text_unless_null(self.stats.finish()),
            stats_parsed: None,
        };
        FileChunk::with_index(columns, self.index)
    }
}

fn bytes_at(column: &StringBuilder, row: usize) -> &[u8] {
    let offsets = column.offsets_slice();
    &column.values_slice()[offsets[row] as usize..offsets[row + 1] as usize]
}

fn bit(bits: &[u8], at: usize) -> bool {
    bits[at / 8] >> (at % 8) & 1 == 1
}

pub(crate) fn unless_null<T: ArrowPrimitiveType>(column: PrimitiveArray<T>) -> Option<PrimitiveArray<T>> {
    (column.null_count() < column.len()).then_some(column)
}

pub(crate) fn text_unless_null(column: StringArray) -> Option<StringArray> {
    (column.null_count() < column.len()).then_some(column)
}
