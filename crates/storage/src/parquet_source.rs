//! A Parquet file as its decoder wants it: footer and ranges, with a distrust of both.
//!
//! A file may be cut short, be of another kind or be made to harm. What the footer claims is checked against the file's
//! size before anything is allocated for it, and what still makes the decoder panic is caught at the file's edge.

use std::any::Any;
use std::ops::Range;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use floe_table_format::FormatError;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use object_store::path::Path;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::{AsyncFileReader, ParquetRecordBatchStream};
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};

use crate::access::Access;
use crate::error::{Result, StorageError};

/// Read from the end of a file at once: the whole footer of most files.
const TAIL_BYTES: u64 = 64 << 10;

/// Files up to this size are read in one request.
const WHOLE_FILE_BYTES_MAX: u64 = 512 << 10;

/// The largest footer that is decoded, in bytes.
const FOOTER_BYTES_MAX: u64 = 256 << 20;

/// Length and magic at the end of a file.
const TRAILER_BYTES: u64 = 8;

/// One Parquet file in a store.
#[derive(Clone, Debug)]
pub(crate) struct ParquetSource {
    access: Access,
    path: Path,
    /// The path as the table knows it.
    name: String,
    size: u64,
    /// The end of the file, once read.
    tail: Option<Bytes>,
}

impl ParquetSource {
    /// The file at `path`, of `size` bytes; without a size, the store is asked.
    pub(crate) async fn open(access: Access, path: Path, name: &str, size: Option<u64>) -> Result<Self> {
        let size = match size {
            Some(size) => size,
            None => access.head(&path).await?.size,
        };
        Ok(ParquetSource { access, path, name: name.to_owned(), size, tail: None })
    }

    /// The file's size in bytes.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// The file's footer, checked.
    pub(crate) async fn metadata(&mut self, options: &ArrowReaderOptions) -> Result<Arc<ParquetMetaData>> {
        match AssertUnwindSafe(self.get_metadata(Some(options))).catch_unwind().await {
            Ok(metadata) => metadata.map_err(|error| self.error(error)),
            Err(panic) => Err(self.panicked(&*panic)),
        }
    }

    /// The footer with the places of its pages, if the file has a page index.
    pub(crate) async fn with_page_index(&mut self, metadata: Arc<ParquetMetaData>) -> Result<Arc<ParquetMetaData>> {
        let metadata = Arc::unwrap_or_clone(metadata);
        let mut reader = ParquetMetaDataReader::new_with_metadata(metadata)
            .with_column_index_policy(PageIndexPolicy::Skip)
            .with_offset_index_policy(PageIndexPolicy::Optional);
        let mut source = self.clone();
        match AssertUnwindSafe(reader.load_page_index(&mut source)).catch_unwind().await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(self.error(error)),
            Err(panic) => return Err(self.panicked(&*panic)),
        }
        reader.finish().map(Arc::new).map_err(|error| self.error(error))
    }

    async fn footer(&mut self, options: Option<&ArrowReaderOptions>) -> Result<ParquetMetaData> {
        let name = self.name.clone();
        let corrupt = |what: String| StorageError::corrupt_file(&name, what);
        if self.size < TRAILER_BYTES + 4 {
            return Err(corrupt(format!("{} bytes are too few for a Parquet file", self.size)));
        }
        let tail_bytes = if self.size <= WHOLE_FILE_BYTES_MAX { self.size } else { TAIL_BYTES };
        let tail = self.read_tail(tail_bytes).await?;
        let Some((rest, trailer)) = tail.split_last_chunk::<{ TRAILER_BYTES as usize }>() else {
            return Err(corrupt("the end is missing".into()));
        };
        let (length, magic) = trailer.split_at(4);
        if magic == b"PARE" {
            let features = vec!["encrypted Parquet files".to_owned()];
            return Err(FormatError::UnsupportedFeature { operation: format!("read {}", self.name), features }.into());
        }
        if magic != b"PAR1" {
            return Err(corrupt("it does not end like a Parquet file".into()));
        }
        let length = u64::from(u32::from_le_bytes(length.try_into().unwrap_or_default()));
        if length > self.size - TRAILER_BYTES {
            let what = format!("the footer claims {length} bytes in a file of {}", self.size);
            return Err(corrupt(what));
        }
        if length > FOOTER_BYTES_MAX {
            let which = format!("footer of {}", self.name);
            return Err(FormatError::LimitExceeded { which, found: length, limit: FOOTER_BYTES_MAX }.into());
        }
        let footer = match rest.len().checked_sub(length as usize) {
            Some(start) => tail.slice(start..rest.len()),
            None => {
                let end = self.size - TRAILER_BYTES;
                self.access.get_range(&self.path, end - length..end).await.map_err(|error| self.named(error))?
            }
        };
        let decoded = ParquetMetaDataReader::decode_metadata_with_options(
            &footer,
            options.map(ArrowReaderOptions::metadata_options),
        );
        let metadata = decoded.map_err(|error| self.error(error))?;
        self.check(&metadata).map_err(|what| StorageError::corrupt_file(&self.name, what))?;
        Ok(metadata)
    }

    async fn read_tail(&mut self, length: u64) -> Result<Bytes> {
        let length = length.min(self.size);
        if let Some(tail) = &self.tail {
            return Ok(tail.clone());
        }
        match self.access.get_range_and_size(&self.path, self.size - length..self.size).await {
            Ok((_, size)) if size != self.size => Err(self.wrong_size(size)),
            Ok((tail, _)) => Ok(self.tail.insert(tail).clone()),
            Err(error @ (StorageError::CorruptDataFile { .. } | StorageError::Unavailable { .. })) => {
                // Stores answer differently to a range beyond the end.
                match self.access.head(&self.path).await {
                    Ok(meta) if meta.size != self.size => Err(self.wrong_size(meta.size)),
                    _ => Err(self.named(error)),
                }
            }
            Err(error) => Err(self.named(error)),
        }
    }

    fn wrong_size(&self, found: u64) -> StorageError {
        StorageError::corrupt_file(&self.name, format!("it has {found} bytes and should have {}", self.size))
    }

    /// Whether what the footer says can be true of a file of this size.
    fn check(&self, metadata: &ParquetMetaData) -> Result<(), String> {
        let mut rows = 0i64;
        for (number, group) in metadata.row_groups().iter().enumerate() {
            if group.num_rows() < 0 {
                return Err(format!("row group {number} claims {} rows", group.num_rows()));
            }
            rows = rows.checked_add(group.num_rows()).ok_or("it claims more rows than can be counted")?;
            for column in group.columns() {
                let start = column.dictionary_page_offset().unwrap_or_else(|| column.data_page_offset());
                let start = start.min(column.data_page_offset());
                let (length, decoded) = (column.compressed_size(), column.uncompressed_size());
                let end = start.checked_add(length).and_then(|end| u64::try_from(end).ok());
                if start < 0 || length < 0 || decoded < 0 || end.is_none_or(|end| end > self.size) {
                    let path = floe_table_format::error::printable(&column.column_path().string());
                    return Err(format!(
                        "column {path} of row group {number} claims {length} bytes from {start} on in a file of {}",
                        self.size
                    ));
                }
            }
        }
        if rows != metadata.file_metadata().num_rows() {
            return Err(format!(
                "it claims {} rows and its row groups hold {rows}",
                metadata.file_metadata().num_rows()
            ));
        }
        Ok(())
    }

    /// The bytes of a range that was read with the end of the file.
    fn in_tail(&self, range: &Range<u64>) -> Option<Bytes> {
        let tail = self.tail.as_ref()?;
        let tail_start = self.size - tail.len() as u64;
        if range.start < tail_start || range.end > self.size || range.start > range.end {
            return None;
        }
        Some(tail.slice((range.start - tail_start) as usize..(range.end - tail_start) as usize))
    }

    async fn ranges(&self, ranges: Vec<Range<u64>>) -> Result<Vec<Bytes>> {
        if let Some(bad) = ranges.iter().find(|range| range.start > range.end || range.end > self.size) {
            let what = format!("bytes {}..{} are asked of a file of {}", bad.start, bad.end, self.size);
            return Err(StorageError::corrupt_file(&self.name, what));
        }
        if let Some(all) = ranges.iter().map(|range| self.in_tail(range)).collect::<Option<Vec<_>>>() {
            return Ok(all);
        }
        self.access.get_ranges(&self.path, &ranges).await.map_err(|error| self.named(error))
    }

    /// Batches of the file, with errors and panics of the decoder as errors of the file.
    pub(crate) fn guarded(
        &self,
        stream: ParquetRecordBatchStream<ParquetSource>,
    ) -> BoxStream<'static, Result<RecordBatch>> {
        let source = self.without_tail();
        AssertUnwindSafe(stream)
            .catch_unwind()
            .map(move |item| match item {
                Ok(Ok(batch)) => Ok(batch),
                Ok(Err(error)) => Err(source.error(error)),
                Err(panic) => Err(source.panicked(&*panic)),
            })
            .boxed()
    }

    fn without_tail(&self) -> ParquetSource {
        ParquetSource { tail: None, ..self.clone() }
    }

    /// What an error of the decoder says about the file.
    pub(crate) fn error(&self, error: ParquetError) -> StorageError {
        match error {
            ParquetError::External(inner) => match inner.downcast::<StorageError>() {
                Ok(error) => *error,
                Err(other) => StorageError::corrupt_file(&self.name, other.to_string()),
            },
            other => StorageError::corrupt_file(&self.name, floe_table_format::error::printable(&other.to_string())),
        }
    }

    fn panicked(&self, panic: &(dyn Any + Send)) -> StorageError {
        let text = panic.downcast_ref::<&str>().copied().or(panic.downcast_ref::<String>().map(String::as_str));
        let text = floe_table_format::error::printable(text.unwrap_or("no reason given"));
        StorageError::corrupt_file(&self.name, format!("the decoder gave up: {text}"))
    }

    /// The error with the path as the table knows it.
    fn named(&self, error: StorageError) -> StorageError {
        match error {
            StorageError::CorruptDataFile { what, .. } => StorageError::corrupt_file(&self.name, what),
            other => other,
        }
    }
}

fn external(error: StorageError) -> ParquetError {
    ParquetError::External(Box::new(error))
}

impl AsyncFileReader for ParquetSource {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, parquet::errors::Result<Bytes>> {
        async move {
            let parts = self.ranges(vec![range]).await.map_err(external)?;
            parts.into_iter().next().ok_or_else(|| ParquetError::EOF("no bytes".into()))
        }
        .boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, parquet::errors::Result<Vec<Bytes>>> {
        async move { self.ranges(ranges).await.map_err(external) }.boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, parquet::errors::Result<Arc<ParquetMetaData>>> {
        async move { self.footer(options).await.map(Arc::new).map_err(external) }.boxed()
    }
}
