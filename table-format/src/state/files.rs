//! The live files of a table.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::Array;
use arrow::buffer::BooleanBuffer;

use super::chunk::{FileChunk, FileKey, long_at};
use super::index::PathHash;
use crate::action::{Add, DeletionVectorDescriptor};
use crate::path::DataPath;

/// Where a file lies in one [`FileTable`]. Means nothing in the table of another version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId {
    /// Index into [`FileTable::chunks`].
    pub chunk: u32,
    /// Row of that chunk.
    pub row: u32,
}

/// The live files of a table: chunks of Arrow columns and, for each, which rows are live.
///
/// Immutable; a clone shares everything.
#[derive(Debug, Clone, Default)]
pub struct FileTable {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    chunks: Vec<Arc<FileChunk>>,
    live: Vec<LiveRows>,
    len: usize,
    total_bytes: u64,
}

/// Which rows of a chunk are live.
#[derive(Debug, Clone)]
pub(crate) struct LiveRows {
    /// None if all are.
    pub(crate) mask: Option<BooleanBuffer>,
    pub(crate) count: usize,
}

impl FileTable {
    pub(crate) fn new(parts: Vec<(Arc<FileChunk>, LiveRows)>, total_bytes: u64) -> Self {
        let (chunks, live): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
        let len = live.iter().map(|l| l.count).sum();
        FileTable { inner: Arc::new(Inner { chunks, live, len, total_bytes }) }
    }

    pub(crate) fn parts(&self) -> impl Iterator<Item = (&Arc<FileChunk>, &LiveRows)> {
        self.inner.chunks.iter().zip(&self.inner.live)
    }

    /// Live files.
    pub fn len(&self) -> usize {
        self.inner.len
    }

    /// Whether no file is live.
    pub fn is_empty(&self) -> bool {
        self.inner.len == 0
    }

    /// Bytes of all live files together, saturating.
    pub fn total_bytes(&self) -> u64 {
        self.inner.total_bytes
    }

    /// The chunks, each with rows that may no longer be live: see [`live_mask`](Self::live_mask).
    pub fn chunks(&self) -> &[Arc<FileChunk>] {
        &self.inner.chunks
    }

    /// Which rows of a chunk are live; none if all are, or there is no such chunk.
    pub fn live_mask(&self, chunk: usize) -> Option<&BooleanBuffer> {
        self.inner.live.get(chunk)?.mask.as_ref()
    }

    /// Live rows of a chunk.
    pub fn live_count(&self, chunk: usize) -> usize {
        self.inner.live.get(chunk).map_or(0, |l| l.count)
    }

    /// Whether this names a live file of this table.
    pub fn is_live(&self, id: FileId) -> bool {
        let Some(chunk) = self.inner.chunks.get(id.chunk as usize) else { return false };
        let row = id.row as usize;
        row < chunk.rows() && self.live_mask(id.chunk as usize).is_none_or(|mask| mask.value(row))
    }

    /// Every live file, chunk by chunk.
    pub fn iter(&self) -> impl Iterator<Item = FileView<'_>> {
        self.inner.chunks.iter().enumerate().flat_map(move |(index, chunk)| {
            let mask = self.live_mask(index);
            (0..chunk.rows())
                .filter(move |row| mask.is_none_or(|mask| mask.value(*row)))
                .map(move |row| FileView { chunk, id: FileId { chunk: index as u32, row: row as u32 } })
        })
    }

    /// The file with this id.
    ///
    /// # Panics
    /// If the id is not one of this table.
    pub fn get(&self, id: &FileId) -> FileView<'_> {
        let chunk = &self.inner.chunks[id.chunk as usize];
        assert!((id.row as usize) < chunk.rows(), "a file id of another table");
        FileView { chunk, id: *id }
    }

    /// The live file with this path, spelled as in the log. The first look-up in a chunk indexes it.
    pub fn find(&self, path: &str) -> Option<FileView<'_>> {
        let hash = PathHash::of(path);
        self.first_live(|chunk| chunk.rows_of_path(hash, path))
    }

    /// The live logical file with this path and deletion vector.
    pub fn find_logical(&self, path: &str, deletion_vector: Option<&DeletionVectorDescriptor>) -> Option<FileView<'_>> {
        let hash = PathHash::of(path);
        // A closure that borrows the key's parts would tie them to the chunk's lifetime; a plain loop does not.
        for (index, chunk) in self.inner.chunks.iter().enumerate() {
            let key = FileKey { path: DataPath::identity(path), dv: deletion_vector.map(Into::into) };
            for row in chunk.rows_of(hash, key) {
                let id = FileId { chunk: index as u32, row };
                if self.is_live(id) {
                    return Some(FileView { chunk, id });
                }
            }
        }
        None
    }

    fn first_live<'a, I: Iterator<Item = u32>>(&'a self, rows: impl Fn(&'a FileChunk) -> I) -> Option<FileView<'a>> {
        self.inner.chunks.iter().enumerate().find_map(|(index, chunk)| {
            let id = |row| FileId { chunk: index as u32, row };
            rows(chunk).map(id).find(|id| self.is_live(*id)).map(|id| FileView { chunk, id })
        })
    }
}

/// One file of a [`FileTable`], read from its columns.
#[derive(Debug, Clone, Copy)]
pub struct FileView<'a> {
    chunk: &'a FileChunk,
    id: FileId,
}

impl<'a> FileView<'a> {
    fn row(&self) -> usize {
        self.id.row as usize
    }

    /// Where it lies in its table.
    pub fn id(&self) -> FileId {
        self.id
    }

    /// The chunk it lies in.
    pub fn chunk(&self) -> &'a FileChunk {
        self.chunk
    }

    /// Relative to the table's root, percent-encoded, as in the log.
    pub fn path(&self) -> &'a str {
        self.chunk.columns().paths.value(self.row())
    }

    /// Bytes.
    pub fn size(&self) -> i64 {
        self.chunk.columns().sizes.value(self.row())
    }

    /// Milliseconds since 1970.
    pub fn modification_time(&self) -> i64 {
        self.chunk.columns().modification_times.value(self.row())
    }

    /// Serialised value of the partition column with this physical name; none for null and for columns the file lacks.
    pub fn partition_value(&self, column: &str) -> Option<&'a str> {
        let values = self.chunk.partition_column(column)?;
        values.is_valid(self.row()).then(|| values.value(self.row()))
    }

    /// Rows of the file that are not part of the table.
    pub fn deletion_vector(&self) -> Option<DeletionVectorDescriptor> {
        self.chunk.columns().deletion_vector(self.row())
    }

    /// Whether it has a deletion vector.
    pub fn has_deletion_vector(&self) -> bool {
        self.chunk.columns().dv_key(self.row()).is_some()
    }

    /// How many rows the deletion vector marks; zero without one.
    pub fn deleted_rows(&self) -> u64 {
        let Some(dv) = &self.chunk.columns().deletion_vectors else { return 0 };
        let known = dv.storage_types.is_valid(self.row());
        if known { u64::try_from(dv.cardinalities.value(self.row())).unwrap_or(0) } else { 0 }
    }

    /// Statistics as JSON text, as in the log or made from a checkpoint's struct.
    pub fn stats_json(&self) -> Option<Cow<'a, str>> {
        self.chunk.stats_json(self.row())
    }

    /// Rows in the file, deleted ones included; none where the statistics do not say.
    pub fn num_records(&self) -> Option<u64> {
        let records = self.chunk.num_records();
        records.is_valid(self.row()).then(|| records.value(self.row())).and_then(|n| u64::try_from(n).ok())
    }

    /// Row id of the file's first row.
    pub fn base_row_id(&self) -> Option<i64> {
        long_at(&self.chunk.columns().base_row_ids, self.row())
    }

    /// Version in which the file was first added.
    pub fn default_row_commit_version(&self) -> Option<i64> {
        long_at(&self.chunk.columns().default_row_commit_versions, self.row())
    }

    /// The file as an action. `data_change` is false: it describes state and not a change.
    pub fn to_add(&self) -> Add {
        self.chunk.to_add(self.row())
    }
}
