//! Bitmaps of deleted rows: loaded from wherever their descriptor points, written inline or into one file a commit.

use bytes::Bytes;
use floe_table_format::deletion_vector::{
    DvFileWriter, blob_range, decode_inline, descriptor_for_file, encode_inline, file_path, path_in, read_at,
};
use floe_table_format::{DeletionVectorDescriptor, FormatError, RowSet};
use futures::StreamExt;
use futures::stream::BoxStream;

use crate::data_store::DataStore;
use crate::env::Env;
use crate::error::{Result, StorageError};

#[cfg(test)]
mod tests;

/// Bitmaps up to this size, serialised, may be kept in the log itself, which saves every reader a request and the writer
/// one. A file's rows deleted here and there by hundreds fit in.
const INLINE_BYTES_MAX: usize = 1024;
/// And so many bytes of them in one commit; the rest goes into a file, because the log is read whole.
const INLINE_BYTES_MAX_A_COMMIT: usize = 16 << 10;

/// Bitmaps loaded at the same time.
const LOADS_IN_FLIGHT: usize = 16;

/// The rows a deletion vector marks.
///
/// # Errors
/// `CorruptDv` for one that is missing, cut short, fails its checksum or marks another number of rows than it says;
/// `PathEscapesTable` for one outside the table; the failures of the store.
pub async fn load(store: &DataStore, descriptor: &DeletionVectorDescriptor) -> Result<RowSet> {
    let Some(path) = path_in(descriptor, &store.location().table_root())? else {
        return Ok(decode_inline(descriptor)?);
    };
    let range = blob_range(descriptor)?;
    let bytes = store.get_range(&path, range.clone()).await.map_err(|error| match error {
        StorageError::NotFound { .. } => FormatError::corrupt_dv(&path, "the file is missing").into(),
        StorageError::CorruptDataFile { what, .. } => FormatError::corrupt_dv(&path, what).into(),
        other => other,
    });
    let bytes = match bytes {
        Ok(bytes) => bytes,
        Err(error @ StorageError::Unavailable { .. }) => {
            // Stores answer differently to a range beyond the end.
            return Err(match store.head(&path).await {
                Ok(file) if file.size < range.end => {
                    let what = format!("it should end at byte {} of a file of {}", range.end, file.size);
                    FormatError::corrupt_dv(&path, what).into()
                }
                _ => error,
            });
        }
        Err(error) => return Err(error),
    };
    Ok(read_at(&bytes, descriptor)?)
}

/// The rows that several deletion vectors mark, in order, at most 16 loading at a time.
pub fn load_many(store: &DataStore, descriptors: Vec<DeletionVectorDescriptor>) -> BoxStream<'static, Result<RowSet>> {
    let store = store.clone();
    futures::stream::iter(descriptors)
        .map(move |descriptor| {
            let store = store.clone();
            async move { load(&store, &descriptor).await }
        })
        .buffered(LOADS_IN_FLIGHT)
        .boxed()
}

/// Where bitmaps are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// All in one file a commit, which every reader of deletion vectors takes.
    File,
    /// Small ones inside the log, which saves the file. Trino 476 refuses tables with those.
    Inline,
}

/// Descriptors for `sets`, in order. Sets that are not put inside the log go into one new file, in one request.
///
/// # Errors
/// `LimitExceeded` if the file would outgrow its 32-bit offsets, and the failures of the store.
pub async fn write_vectors(
    store: &DataStore,
    env: &Env,
    sets: &[RowSet],
    placement: Placement,
) -> Result<Vec<DeletionVectorDescriptor>> {
    let uuid = env.uuid();
    let mut file = DvFileWriter::new();
    let mut descriptors = Vec::with_capacity(sets.len());
    let mut any_in_file = false;
    let mut inline_bytes_left = match placement {
        Placement::File => 0,
        Placement::Inline => INLINE_BYTES_MAX_A_COMMIT,
    };
    for rows in sets {
        if inline_bytes_left > 0 {
            let inline = encode_inline(rows);
            let size = usize::try_from(inline.size_in_bytes).unwrap_or(usize::MAX);
            if size <= INLINE_BYTES_MAX.min(inline_bytes_left) {
                inline_bytes_left -= size;
                descriptors.push(inline);
                continue;
            }
        }
        let (offset, size) = file.add(rows)?;
        any_in_file = true;
        descriptors.push(descriptor_for_file("", uuid, offset, size, rows.len()));
    }
    if any_in_file {
        store.put(&file_path("", uuid), Bytes::from(file.finish())).await?;
    }
    Ok(descriptors)
}
