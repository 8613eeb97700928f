//! The rows of files of text, as a relation.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use datafusion::catalog::TableProvider;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::error::Result as DataFusionResult;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use floe_table::Meter;
use floe_table_format::error::printable;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectStoreExt;

use crate::error::{QueryError, Result};
use crate::load::csv::CsvRecords;
use crate::load::json::JsonRecords;
use crate::load::unpack::{Unpack, unpacked_badly};
use crate::load::{BadRecord, BadRecords, Decoded, Packing, Records, Source, SourceFile, TextFormat};

/// Bytes that are read before the rows of them are given on; of packed text so few, because they may stand for a thousand
/// times as many.
const STEP: usize = 1 << 20;
const PACKED_STEP: usize = 16 << 10;

/// What is put before UTF-8 by some.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The rows of files of text, with these columns. A record that is no row goes to the bad ones; where there is no place for
/// those, reading fails there. `meter` counts files, bytes and rows.
///
/// # Errors
/// Whatever DataFusion has against the columns. The relation's rows end in an error for a file that cannot be read.
pub(crate) fn text_rows(
    source: &Source,
    format: &TextFormat,
    packing: Option<Packing>,
    schema: SchemaRef,
    partitions: usize,
    bad: Option<Arc<BadRecords>>,
    meter: Arc<Meter>,
) -> Result<Arc<dyn TableProvider>> {
    let bytes = source.files.iter().map(|file| file.object.size).sum();
    Meter::add(&meter.files_total, source.files.len() as u64);
    Meter::add(&meter.files_to_do, source.files.len() as u64);
    Meter::add(&meter.bytes_to_do, bytes);
    let partitions = partitions.clamp(1, source.files.len().max(1));
    let parts = (0..partitions).map(|part| {
        let files = source.files.iter().skip(part).step_by(partitions).cloned().collect();
        let part = Part {
            source: Source { files, ..source.clone() },
            format: format.clone(),
            packing,
            schema: schema.clone(),
            bad: bad.clone(),
            meter: meter.clone(),
        };
        Arc::new(part) as Arc<dyn PartitionStream>
    });
    Ok(Arc::new(StreamingTable::try_new(schema.clone(), parts.collect())?))
}

/// Files that are read one after another.
#[derive(Clone)]
struct Part {
    source: Source,
    format: TextFormat,
    packing: Option<Packing>,
    schema: SchemaRef,
    bad: Option<Arc<BadRecords>>,
    meter: Arc<Meter>,
}

impl std::fmt::Debug for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Part").field("files", &self.source.files.len()).finish_non_exhaustive()
    }
}

impl PartitionStream for Part {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let part = Arc::new(self.clone());
        let files = stream::iter(self.source.files.clone());
        let rows = files.then(move |file| {
            let part = part.clone();
            async move { part.rows_of(file).await }
        });
        let rows = rows.try_flatten().map(|batch| -> DataFusionResult<RecordBatch> { Ok(batch?) });
        Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), rows))
    }
}

impl Part {
    async fn rows_of(self: &Arc<Self>, file: SourceFile) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        let location = &self.source.location;
        let bytes = location.store.get(&file.object.location).await;
        let bytes = bytes.map_err(|error| location.error("read", &file.uri, &error))?;
        let records: Box<dyn Records> = match &self.format {
            TextFormat::Csv(options) => {
                Box::new(CsvRecords::new(options, file.object.location.as_ref(), self.schema.clone()))
            }
            TextFormat::Json(options) => Box::new(JsonRecords::new(*options, self.schema.clone())),
        };
        let packing = self.packing.unwrap_or(Packing::of_path(file.object.location.as_ref()).0);
        let unpack = Unpack::new(packing).map_err(|error| unpacked_badly(&file, &error))?;
        let part = self.clone();
        let (place, uri) = (location.clone(), file.uri.clone());
        let bytes = bytes.into_stream().map_err(move |error| place.error("read", &uri, &error).into());
        let reading = Reading {
            part,
            file,
            bytes: bytes.boxed(),
            chunk: Bytes::new(),
            packed: packing != Packing::None,
            unpack,
            records,
            start: Some(Vec::new()),
            ready: VecDeque::new(),
            ended: false,
        };
        Ok(stream::try_unfold(reading, Reading::next).boxed())
    }

    async fn put_aside(&self, file: &SourceFile, mut records: Vec<BadRecord>) -> Result<()> {
        match &self.bad {
            Some(bad) => bad.add(&file.uri, records).await,
            None if records.is_empty() => Ok(()),
            None => Err(records.swap_remove(0).error(&file.uri)),
        }
    }
}

/// One file that is being read.
struct Reading {
    part: Arc<Part>,
    file: SourceFile,
    bytes: BoxStream<'static, Result<Bytes>>,
    /// What has come of the file and is not yet read.
    chunk: Bytes,
    packed: bool,
    unpack: Unpack,
    records: Box<dyn Records>,
    /// The first bytes, for as long as they may be a byte order mark.
    start: Option<Vec<u8>>,
    ready: VecDeque<RecordBatch>,
    ended: bool,
}

impl Reading {
    /// The next batch, and how to go on.
    async fn next(mut self) -> Result<Option<(RecordBatch, Reading)>> {
        loop {
            if let Some(batch) = self.ready.pop_front() {
                Meter::add(&self.part.meter.rows_done, batch.num_rows() as u64);
                return Ok(Some((batch, self)));
            }
            if self.ended {
                return Ok(None);
            }
            if self.chunk.is_empty() {
                match self.bytes.try_next().await? {
                    Some(chunk) => self.chunk = chunk,
                    None => self.ended = true,
                }
            }
            let step = if self.packed { PACKED_STEP } else { STEP };
            let piece = self.chunk.split_to(self.chunk.len().min(step));
            let mut out = Decoded::default();
            let done = self.decode(&piece, &mut out);
            // What came before the fault is told first.
            self.part.put_aside(&self.file, out.bad).await?;
            done.map_err(|error| self.placed(error))?;
            self.ready = out.batches.into();
            Meter::add(&self.part.meter.bytes_done, piece.len() as u64);
            if self.ended {
                Meter::add(&self.part.meter.files_done, 1);
            }
        }
    }

    /// Reads the next bytes, or the end of the file.
    fn decode(&mut self, piece: &[u8], out: &mut Decoded) -> Result<(), Fault> {
        let Reading { unpack, records, start, ended, .. } = self;
        let mut take = |bytes: &[u8]| -> Result<(), Fault> {
            let Some(held) = start else { return Ok(records.push(bytes, out)?) };
            held.extend_from_slice(bytes);
            if held.len() < BYTE_ORDER_MARK.len() {
                return Ok(());
            }
            let held = start.take().unwrap_or_default();
            Ok(records.push(held.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&held), out)?)
        };
        if !*ended {
            return unpack.push(piece, take);
        }
        unpack.finish(&mut take)?;
        let held = start.take().unwrap_or_default();
        records.push(&held, out)?;
        Ok(records.finish(out)?)
    }

    fn placed(&self, fault: Fault) -> QueryError {
        match fault {
            Fault::Unpacking(error) => unpacked_badly(&self.file, &error),
            Fault::Reading(QueryError::InvalidArgument { what }) => {
                QueryError::UnreadablePath { path: printable(&self.file.uri), what }
            }
            Fault::Reading(error) => error,
        }
    }
}

/// Why bytes could not be read.
enum Fault {
    Unpacking(std::io::Error),
    Reading(QueryError),
}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Self {
        Fault::Unpacking(error)
    }
}

impl From<QueryError> for Fault {
    fn from(error: QueryError) -> Self {
        Fault::Reading(error)
    }
}
