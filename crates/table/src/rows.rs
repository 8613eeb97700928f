//! Rows on their way: streams of Arrow batches.

use arrow::array::RecordBatch;
use futures::StreamExt;
use futures::stream::BoxStream;

use crate::error::{Result, TableError};

/// Rows read or to be written. Rows to be written end with an error if there is one, and nothing is committed then.
pub type BatchStream = BoxStream<'static, Result<RecordBatch>>;

/// Rows held in memory as a stream.
pub(crate) fn stream_of(batches: Vec<RecordBatch>) -> BatchStream {
    futures::stream::iter(batches.into_iter().map(Ok::<_, TableError>)).boxed()
}
