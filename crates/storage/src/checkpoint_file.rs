//! Checkpoints and their sidecars: Parquet files of the log.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use floe_table_format::path::checkpoint_name;
use floe_table_format::{FormatError, Result as FormatResult, Sidecar, Version};
use futures::channel::oneshot;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::arrow::{ParquetRecordBatchStreamBuilder, ProjectionMask};
use parquet::file::metadata::ParquetMetaData;

use crate::data_file::{DataFileWriter, WriterSettings};
use crate::data_store::{DataStore, LOG_DIRECTORY};
use crate::env::Env;
use crate::error::{Result, StorageError};
use crate::log_store::{LogStore, SIDECAR_FOLDER};
use crate::parquet_source::ParquetSource;

#[cfg(test)]
mod tests;

/// Row groups decoded at the same time, each a task of its own. With [`ROW_GROUP_ROWS`] the bound on memory.
const ROW_GROUPS_IN_FLIGHT: usize = 4;

/// Rows of a row group of a checkpoint: several groups, so that they can be decoded side by side.
const ROW_GROUP_ROWS: usize = 1 << 17;

/// Rows of a batch that is read.
const BATCH_ROWS: usize = 1 << 15;

/// The batches of a checkpoint's Parquet file, in order.
///
/// `name` is relative to `_delta_log`, see [`sidecar_name`] for sidecars. `columns` are paths such as `add.path`, each
/// with all that lies below it; those the file lacks are left out.
///
/// # Errors
/// `CorruptCheckpoint` for a file that is missing, cut short or no Parquet file; the failures of the store.
pub async fn read_checkpoint(
    log: &LogStore,
    name: &str,
    size: Option<u64>,
    columns: Option<&[&str]>,
) -> Result<BoxStream<'static, Result<RecordBatch>>> {
    let path = log.path(name)?;
    let open = async {
        let mut source = ParquetSource::open(log.access().clone(), path, name, size).await?;
        let reading = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let metadata = source.metadata(&reading).await?;
        let reader = ArrowReaderMetadata::try_new(metadata, reading).map_err(|error| source.error(error))?;
        Ok((source, reader))
    };
    let (source, reader) = open.await.map_err(|error| corrupt_checkpoint(name, error))?;
    let mask = match columns {
        Some(columns) => ProjectionMask::columns(reader.parquet_schema(), columns.iter().copied()),
        None => ProjectionMask::all(),
    };
    let (env, name) = (log.env().clone(), name.to_owned());
    let groups = groups_of(reader.metadata());
    let batches = futures::stream::iter(groups)
        .map(move |group| {
            let decode = decode_row_group(source.clone(), reader.clone(), mask.clone(), group);
            let (done, result) = oneshot::channel();
            // Decoding is work for a core. As tasks, the groups use as many cores as there are.
            env.spawn(async move {
                // Nobody waits any more if the stream was dropped.
                let _ = done.send(decode.await);
            });
            async move {
                let lost = |_| StorageError::corrupt_file("a checkpoint", "the task that decoded it ended early");
                result.await.map_err(lost)?
            }
        })
        .buffered(ROW_GROUPS_IN_FLIGHT)
        .map_ok(|batches: Vec<RecordBatch>| futures::stream::iter(batches).map(Ok))
        .try_flatten()
        .map_err(move |error: StorageError| corrupt_checkpoint(&name, error));
    Ok(batches.boxed())
}

fn groups_of(metadata: &Arc<ParquetMetaData>) -> std::ops::Range<usize> {
    0..metadata.num_row_groups()
}

async fn decode_row_group(
    source: ParquetSource,
    reader: ArrowReaderMetadata,
    mask: ProjectionMask,
    group: usize,
) -> Result<Vec<RecordBatch>> {
    let stream = ParquetRecordBatchStreamBuilder::new_with_metadata(source.clone(), reader)
        .with_projection(mask)
        .with_batch_size(BATCH_ROWS)
        .with_row_groups(vec![group])
        .build()
        .map_err(|error| source.error(error))?;
    source.guarded(stream).try_collect().await
}

fn corrupt_checkpoint(name: &str, error: StorageError) -> StorageError {
    match error {
        StorageError::CorruptDataFile { what, .. } => FormatError::corrupt_checkpoint(name, what).into(),
        StorageError::NotFound { .. } => FormatError::corrupt_checkpoint(name, "the file is missing").into(),
        other => other,
    }
}

/// The name, relative to `_delta_log`, of a sidecar's file.
///
/// # Errors
/// `PathEscapesTable` for a path that is not a plain file name: Protocol section "Sidecar File Information".
pub fn sidecar_name(sidecar: &Sidecar) -> FormatResult<String> {
    let name = sidecar.path.as_str();
    let plain = !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\', '%', ':', '\0']);
    if plain {
        return Ok(format!("{SIDECAR_FOLDER}/{name}"));
    }
    Err(FormatError::PathEscapesTable {
        path: floe_table_format::error::printable(name),
        what: "a sidecar is named by its file name alone".into(),
    })
}

/// Writes the checkpoint of a version as one Parquet file; returns its size in bytes and its rows.
///
/// Batches are taken one by one. An error, of a batch or of the store, leaves nothing under the checkpoint's name.
///
/// # Errors
/// That of the first batch that has one, and the failures of the store.
pub async fn write_checkpoint(
    log: &LogStore,
    version: Version,
    schema: SchemaRef,
    batches: impl Iterator<Item = FormatResult<RecordBatch>>,
) -> Result<(u64, u64)> {
    write_log_parquet(log, &checkpoint_name(version), schema, batches).await
}

/// As [`write_checkpoint`], for a file of any name in the log: a part, a sidecar.
///
/// # Errors
/// As [`write_checkpoint`].
pub async fn write_log_parquet(
    log: &LogStore,
    name: &str,
    schema: SchemaRef,
    batches: impl Iterator<Item = FormatResult<RecordBatch>>,
) -> Result<(u64, u64)> {
    let store = DataStore::new(log.location().clone(), Env::clone(log.env()));
    let settings = WriterSettings { row_group_rows: ROW_GROUP_ROWS, ..WriterSettings::default() };
    let mut writer = DataFileWriter::new(&store, &format!("{LOG_DIRECTORY}/{name}"), schema, settings)?;
    for batch in batches {
        let written = match batch {
            Ok(batch) => writer.write(&batch).await,
            Err(error) => Err(error.into()),
        };
        if let Err(error) = written {
            // Never completed: half a checkpoint that looks whole would lose files of the table.
            writer.abort().await;
            return Err(error);
        }
    }
    let written = writer.finish().await?;
    Ok((written.size, written.rows))
}
