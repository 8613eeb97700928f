//! Bitmaps of deleted rows: loaded from wherever their descriptor points, written into one file a commit.

use bytes::Bytes;
use floe_table_format::deletion_vector::{
    DvFileWriter, blob_range, decode_inline, descriptor_for_file, file_path, read_at, relative_path_in,
};
use floe_table_format::{DeletionVectorDescriptor, FormatError, RowSet};
use futures::StreamExt;
use futures::stream::BoxStream;

use crate::data_store::DataStore;
use crate::env::Env;
use crate::error::{Result, StorageError};

#[cfg(test)]
mod tests;

/// Bitmaps loaded at the same time.
const LOADS_IN_FLIGHT: usize = 16;

/// The rows a deletion vector marks.
///
/// # Errors
/// `CorruptDv` for one that is missing, cut short, fails its checksum or marks another number of rows than it says;
/// `PathEscapesTable` for one outside the table; the failures of the store.
pub async fn load(store: &DataStore, descriptor: &DeletionVectorDescriptor) -> Result<RowSet> {
    let Some(path) = relative_path_in(descriptor, &store.location().uri)? else {
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

/// Descriptors for `sets`, in order, all in one new file that is written in one request. Small ones too: Trino 476 refuses
/// vectors inside the log.
///
/// # Errors
/// `LimitExceeded` if the file would outgrow its 32-bit offsets, and the failures of the store.
pub async fn write_file(store: &DataStore, env: &Env, sets: &[RowSet]) -> Result<Vec<DeletionVectorDescriptor>> {
    if sets.is_empty() {
        return Ok(Vec::new());
    }
    let uuid = env.uuid();
    let mut file = DvFileWriter::new();
    let mut descriptors = Vec::with_capacity(sets.len());
    for rows in sets {
        let (offset, size) = file.add(rows)?;
        descriptors.push(descriptor_for_file("", uuid, offset, size, rows.len()));
    }
    store.put(&file_path("", uuid), Bytes::from(file.finish())).await?;
    Ok(descriptors)
}
