//! Rows in the order of a curve through some of their columns, in bounded memory.
//!
//! A first pass over the rows draws a sample, which says of each value how large a share of all values lies below it: so types and
//! skewed distributions do not matter to the curve. Rows that fit into memory are held by then, and sorted there. Others are sorted
//! piece by piece in a second pass, each piece goes into a file of the table's folder that no version refers to, and the
//! pieces are merged while they are read.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryBuilder, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::{concat, concat_batches, interleave_record_batch, nullif, take, take_record_batch};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use arrow::row::{OwnedRow, Row, RowConverter, Rows, SortField};
use floe_storage::{DataFileWriter, ReadOptions, WriterSettings, read_data_file};
use floe_table_format::{FileId, TableState};
use futures::{StreamExt, TryStreamExt};

use super::curve::Curve;
use crate::error::{OnTable, Result};
use crate::meter::Meter;
use crate::rows::{BatchStream, stream_of};
use crate::scan::{metered_rows_of, moving_rows_of};
use crate::stage::batch_bytes;
use crate::table::Table;

/// Rows of the sample, and at most twice as many.
const SAMPLE_ROWS: usize = 32 * 1024;
/// Rows of a batch that is given out.
const BATCH_ROWS: usize = 4 * 1024;
/// Rows of a batch that is read of a sorted piece: many pieces are open at once.
const PIECE_BATCH_ROWS: usize = 2 * 1024;
/// Rows of a row group of a sorted piece: a reader holds one.
const PIECE_GROUP_ROWS: usize = 8 * 1024;

/// By what rows are ordered.
#[derive(Debug, Clone)]
pub(super) struct OrderBy {
    /// Paths of column names, as the schema spells them.
    pub(super) columns: Vec<Vec<String>>,
    pub(super) curve: Curve,
    /// Bytes of rows that are held at once.
    pub(super) memory: usize,
}

/// Rows in order, and the files that hold some of them until they have been read.
pub(super) struct Ordered {
    pub(super) rows: BatchStream,
    /// To be deleted by the caller.
    pub(super) pieces: Vec<String>,
}

/// The live rows of these files in order. `meter` counts the pass over the files that all of them need.
///
/// # Errors
/// Whatever reading and writing meets. Pieces written so far are deleted.
pub(super) async fn ordered(
    table: &Table,
    state: &Arc<TableState>,
    files: &[FileId],
    by: &OrderBy,
    meter: Option<Arc<Meter>>,
) -> Result<Ordered> {
    let mut sample = Sample::new(by);
    let mut held: Option<Vec<RecordBatch>> = Some(Vec::new());
    let mut bytes = 0;
    let mut rows = metered_rows_of(table, state, files.to_vec(), meter);
    while let Some(batch) = rows.try_next().await? {
        let batch = without_untyped(&batch)?;
        sample.draw(&batch)?;
        bytes += batch_bytes(&batch);
        if bytes > by.memory {
            held = None;
        }
        if let Some(held) = &mut held {
            held.push(batch);
        }
    }
    let order = sample.finish()?;
    match held {
        Some(batches) => Ok(Ordered { rows: stream_of(order.sorted(batches)?), pieces: Vec::new() }),
        None => in_pieces(table, moving_rows_of(table, state, files.to_vec()), order, by.memory).await,
    }
}

/// Columns of no type are in no file, and come back as null where they lack.
fn without_untyped(batch: &RecordBatch) -> Result<RecordBatch> {
    let typed: Vec<usize> =
        (0..batch.num_columns()).filter(|at| *batch.schema_ref().field(*at).data_type() != DataType::Null).collect();
    Ok(batch.project(&typed)?)
}

/// The values of a column by its path; null where a struct around it is.
fn column_at(batch: &RecordBatch, path: &[String]) -> Result<ArrayRef> {
    let missing = || arrow::error::ArrowError::SchemaError(format!("no column {}", path.join(".")));
    let (first, rest) = path.split_first().ok_or_else(missing)?;
    let mut column = batch.column_by_name(first).ok_or_else(missing)?.clone();
    for name in rest {
        let parts = column.as_struct_opt().ok_or_else(missing)?;
        let inner = parts.column_by_name(name).ok_or_else(missing)?.clone();
        column = match parts.nulls() {
            Some(nulls) => nullif(&inner, &BooleanArray::new(!nulls.inner(), None))?,
            None => inner,
        };
    }
    Ok(column)
}

/// Every so many-th row, of which there are always about as many.
struct Sample {
    columns: Vec<Vec<String>>,
    curve: Curve,
    /// The values drawn, batch by batch, and how many they are.
    drawn: Vec<Vec<ArrayRef>>,
    rows: usize,
    stride: usize,
    /// Rows to pass over before the next is drawn.
    skip: usize,
}

impl Sample {
    fn new(by: &OrderBy) -> Self {
        Sample { columns: by.columns.clone(), curve: by.curve, drawn: Vec::new(), rows: 0, stride: 1, skip: 0 }
    }

    fn draw(&mut self, batch: &RecordBatch) -> Result<()> {
        let places: Vec<u32> = (self.skip..batch.num_rows()).step_by(self.stride).map(|at| at as u32).collect();
        let Some(last) = places.last().map(|last| *last as usize) else {
            self.skip -= batch.num_rows();
            return Ok(());
        };
        self.skip = last + self.stride - batch.num_rows();
        let places = UInt32Array::from(places);
        let values: Result<Vec<ArrayRef>> =
            self.columns.iter().map(|path| Ok(take(&column_at(batch, path)?, &places, None)?)).collect();
        self.drawn.push(values?);
        self.rows += places.len();
        if self.rows > 2 * SAMPLE_ROWS {
            let values = self.joined()?;
            let every_second = UInt32Array::from_iter_values((0..self.rows as u32).step_by(2));
            let kept: Result<Vec<ArrayRef>> =
                values.iter().map(|column| Ok(take(column, &every_second, None)?)).collect();
            self.drawn = vec![kept?];
            self.rows = every_second.len();
            self.stride *= 2;
        }
        Ok(())
    }

    fn joined(&self) -> Result<Vec<ArrayRef>> {
        (0..self.columns.len())
            .map(|at| {
                let parts: Vec<&dyn Array> = self.drawn.iter().map(|values| values[at].as_ref()).collect();
                Ok(concat(&parts)?)
            })
            .collect()
    }

    fn finish(self) -> Result<Order> {
        let mut scales = Vec::with_capacity(self.columns.len());
        let mut fields = vec![SortField::new(DataType::Binary)];
        if !self.drawn.is_empty() {
            for column in self.joined()? {
                fields.push(SortField::new(column.data_type().clone()));
                scales.push(Scale::of(&column)?);
            }
        }
        Ok(Order { columns: self.columns, curve: self.curve, scales, converter: RowConverter::new(fields)? })
    }
}

/// Bits of a coordinate. Rows whose coordinates are equal are ordered by their values.
const BITS: u32 = 16;

/// How large a share of the values of a sample lies below a value.
struct Scale {
    converter: RowConverter,
    /// The different values of the sample, ascending, each with the coordinate that stands for it.
    steps: Vec<(OwnedRow, u32)>,
}

impl Scale {
    fn of(sample: &ArrayRef) -> Result<Self> {
        let converter = RowConverter::new(vec![SortField::new(sample.data_type().clone())])?;
        let rows = converter.convert_columns(std::slice::from_ref(sample))?;
        let mut sorted: Vec<Row<'_>> = rows.iter().collect();
        sorted.sort_unstable();
        let mut steps: Vec<(OwnedRow, u32)> = Vec::new();
        for (below, row) in sorted.iter().enumerate() {
            if steps.last().is_none_or(|(last, _)| last.row() != *row) {
                let coordinate = ((below as u64) << BITS) / sorted.len() as u64;
                steps.push((row.owned(), coordinate as u32));
            }
        }
        Ok(Scale { converter, steps })
    }

    fn coordinates(&self, column: &ArrayRef) -> Result<Vec<u32>> {
        let rows = self.converter.convert_columns(std::slice::from_ref(column))?;
        let coordinate = |row: Row<'_>| {
            let above = self.steps.partition_point(|(step, _)| step.row() <= row);
            above.checked_sub(1).map_or(0, |at| self.steps[at].1)
        };
        Ok(rows.iter().map(coordinate).collect())
    }
}

/// The order itself: first the place on the curve, then the columns one after the other.
struct Order {
    columns: Vec<Vec<String>>,
    curve: Curve,
    scales: Vec<Scale>,
    converter: RowConverter,
}

impl Order {
    /// What compares as the rows of a batch do.
    fn keys(&self, batch: &RecordBatch) -> Result<Rows> {
        let columns: Vec<ArrayRef> = self.columns.iter().map(|path| column_at(batch, path)).collect::<Result<_>>()?;
        let scaled = self.scales.iter().zip(&columns).map(|(scale, column)| scale.coordinates(column));
        let scaled: Vec<Vec<u32>> = scaled.collect::<Result<_>>()?;
        let mut places = BinaryBuilder::new();
        let (mut point, mut place) = (vec![0u32; scaled.len()], Vec::new());
        for row in 0..batch.num_rows() {
            place.clear();
            for (coordinate, scaled) in point.iter_mut().zip(&scaled) {
                *coordinate = scaled[row];
            }
            self.curve.place(&mut point, BITS, &mut place);
            places.append_value(&place);
        }
        let mut sorted_by: Vec<ArrayRef> = vec![Arc::new(places.finish())];
        sorted_by.extend(columns);
        Ok(self.converter.convert_columns(&sorted_by)?)
    }

    /// The rows of these batches in order.
    fn sorted(&self, batches: Vec<RecordBatch>) -> Result<Vec<RecordBatch>> {
        let Some(first) = batches.first() else { return Ok(Vec::new()) };
        let all = concat_batches(&first.schema(), &batches)?;
        drop(batches);
        let keys = self.keys(&all)?;
        let mut places: Vec<u32> = (0..all.num_rows() as u32).collect();
        places.sort_by(|a, b| keys.row(*a as usize).cmp(&keys.row(*b as usize)));
        drop(keys);
        let places = UInt32Array::from(places);
        (0..places.len())
            .step_by(BATCH_ROWS)
            .map(|at| Ok(take_record_batch(&all, &places.slice(at, BATCH_ROWS.min(places.len() - at)))?))
            .collect()
    }
}

/// Sorts rows in pieces of so many bytes, and merges them.
async fn in_pieces(table: &Table, mut rows: BatchStream, order: Order, memory: usize) -> Result<Ordered> {
    let mut pieces: Vec<String> = Vec::new();
    let written = async {
        let (mut held, mut bytes) = (Vec::new(), 0);
        let mut schema: Option<SchemaRef> = None;
        loop {
            let batch = rows.try_next().await?.map(|batch| without_untyped(&batch)).transpose()?;
            let last = batch.is_none();
            if let Some(batch) = batch {
                schema.get_or_insert_with(|| batch.schema());
                bytes += batch_bytes(&batch);
                held.push(batch);
            }
            // Sorting takes the rows twice.
            if !held.is_empty() && (last || bytes > memory / 2) {
                let path = format!("part-00000-{}-c000.zstd.parquet", table.env().uuid());
                pieces.push(path.clone());
                write_piece(table, &path, order.sorted(std::mem::take(&mut held))?).await?;
                bytes = 0;
            }
            if last {
                return Ok(schema.unwrap_or_else(|| Arc::new(Schema::empty())));
            }
        }
    };
    let merged = match written.await {
        Ok(schema) => Merge::open(table, &pieces, schema, order).await,
        Err(error) => Err(error),
    };
    match merged {
        Ok(merge) => Ok(Ordered { rows: merge.stream(), pieces }),
        Err(error) => {
            let _ = table.data_store().delete_many(pieces).await;
            Err(error)
        }
    }
}

async fn write_piece(table: &Table, path: &str, batches: Vec<RecordBatch>) -> Result<()> {
    let Some(first) = batches.first() else { return Ok(()) };
    let settings = WriterSettings { row_group_rows: PIECE_GROUP_ROWS, ..WriterSettings::default() };
    let mut writer = DataFileWriter::new(table.data_store(), path, first.schema(), settings).on(table.uri())?;
    for batch in &batches {
        if let Err(error) = writer.write(batch).await {
            writer.abort().await;
            return Err(error).on(table.uri());
        }
    }
    writer.finish().await.on(table.uri()).map(drop)
}

/// One sorted piece, as far as it has been read.
struct Piece {
    rest: BatchStream,
    batch: RecordBatch,
    keys: Rows,
    at: usize,
}

/// Sorted pieces that become one.
struct Merge {
    order: Order,
    pieces: Vec<Piece>,
    /// The next row of each piece that has one.
    heads: BinaryHeap<Reverse<(Box<[u8]>, usize)>>,
}

impl Merge {
    async fn open(table: &Table, paths: &[String], schema: SchemaRef, order: Order) -> Result<Merge> {
        let mut merge = Merge { order, pieces: Vec::with_capacity(paths.len()), heads: BinaryHeap::new() };
        for path in paths {
            let options = ReadOptions::new(schema.clone()).with_batch_rows(PIECE_BATCH_ROWS);
            let uri = table.uri().to_owned();
            let rest = read_data_file(table.data_store(), path, options).await.on(&uri)?;
            let rest = rest.map(move |batch| batch.on(&uri)).boxed();
            let empty = RecordBatch::new_empty(schema.clone());
            let keys = merge.order.keys(&empty)?;
            let number = merge.pieces.len();
            merge.pieces.push(Piece { rest, batch: empty, keys, at: 0 });
            merge.read_on(number).await?;
        }
        Ok(merge)
    }

    /// Reads the next batch of a piece, and puts its first row among the heads.
    async fn read_on(&mut self, number: usize) -> Result<()> {
        let piece = &mut self.pieces[number];
        while let Some(batch) = piece.rest.try_next().await? {
            if batch.num_rows() > 0 {
                piece.keys = self.order.keys(&batch)?;
                (piece.batch, piece.at) = (batch, 0);
                self.heads.push(Reverse((piece.keys.row(0).data().into(), number)));
                break;
            }
        }
        Ok(())
    }

    /// The next rows, none at the end. Ends early where a piece has to be read on: batches differ in size.
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        let mut places: Vec<(usize, usize)> = Vec::with_capacity(BATCH_ROWS);
        let mut exhausted = None;
        while places.len() < BATCH_ROWS
            && exhausted.is_none()
            && let Some(Reverse((_, number))) = self.heads.pop()
        {
            let piece = &mut self.pieces[number];
            places.push((number, piece.at));
            piece.at += 1;
            if piece.at < piece.batch.num_rows() {
                self.heads.push(Reverse((piece.keys.row(piece.at).data().into(), number)));
            } else {
                exhausted = Some(number);
            }
        }
        if places.is_empty() {
            return Ok(None);
        }
        let batches: Vec<&RecordBatch> = self.pieces.iter().map(|piece| &piece.batch).collect();
        let batch = interleave_record_batch(&batches, &places)?;
        if let Some(number) = exhausted {
            self.read_on(number).await?;
        }
        Ok(Some(batch))
    }

    fn stream(self) -> BatchStream {
        futures::stream::try_unfold(
            self,
            |mut merge| async move { Ok(merge.next().await?.map(|batch| (batch, merge))) },
        )
        .boxed()
    }
}
