//! Statistics against the rows: no value outside the bounds, as many nulls as said. Law 4 rests on this.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, RecordBatch, Scalar, StringArray, TimestampMicrosecondArray,
};
use arrow::buffer::NullBuffer;
use arrow::compute::kernels::cmp::{gt, lt};
use arrow::datatypes::{DataType as ArrowType, Float32Type, Float64Type, Schema, SchemaRef, TimestampMicrosecondType};
use arrow::util::display::array_value_to_string;
use floe_storage::{ReadOptions, read_data_file};
use floe_table_format::error::printable;
use floe_table_format::state::{Reading, StatsColumnSpec, parse_stats_columns};
use floe_table_format::stats::around_float;
use floe_table_format::{DataType, FileView, PrimitiveType, RowSet, StructField, TableState};
use futures::StreamExt;

use crate::error::{OnTable, Result};
use crate::table::Table;

/// The columns that files of a table can have statistics of.
pub(super) struct StatisticsOf {
    specs: Vec<StatsColumnSpec>,
    /// Those of them whose values were floats once.
    were_floats: Vec<bool>,
    /// The columns of files, under physical names.
    file_schema: SchemaRef,
}

/// Every leaf of the schema that no list or map lies around, without the partition columns.
pub(super) fn columns_of(state: &TableState) -> floe_table_format::Result<StatisticsOf> {
    let mode = state.properties.column_mapping_mode;
    let stored = |field: &&StructField| !state.metadata.partition_columns.contains(&field.name);
    let (mut specs, mut were_floats) = (Vec::new(), Vec::new());
    let mut open: Vec<(Vec<String>, &StructField)> =
        state.schema.fields.iter().filter(stored).map(|field| (Vec::new(), field)).rev().collect();
    while let Some((mut path, field)) = open.pop() {
        path.push(field.physical_name_in(mode).to_owned());
        match &field.data_type {
            DataType::Primitive(data_type) => {
                specs.push(StatsColumnSpec { path, data_type: *data_type, bounds: true });
                were_floats.push(field.was(PrimitiveType::Float));
            }
            DataType::Struct(inner) => open.extend(inner.fields.iter().rev().map(|field| (path.clone(), field))),
            _ => {}
        }
    }
    let physical = state.schema.to_physical_arrow(mode)?;
    let fields = state.schema.fields.iter().zip(physical.fields()).filter(|(field, _)| stored(field));
    let fields = fields.map(|(_, field)| Arc::new(field.as_ref().clone().with_nullable(true)));
    Ok(StatisticsOf { specs, were_floats, file_schema: Arc::new(Schema::new(fields.collect::<Vec<_>>())) })
}

/// Whether statistics are a JSON object.
pub(super) fn parses(json: &str) -> std::result::Result<(), String> {
    serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(json)
        .map(drop)
        .map_err(|error| format!("its statistics are no JSON object: {}", printable(&error.to_string())))
}

/// One column of a file, and what was seen of it so far.
struct Watched<'a> {
    path: &'a [String],
    min: Option<ArrayRef>,
    max: Option<ArrayRef>,
    null_count: Option<u64>,
    nulls: u64,
    lies: Vec<String>,
}

/// What the statistics of a file say that is not true of its live rows. Reads the columns that have statistics, a batch at
/// a time.
///
/// # Errors
/// A file that cannot be read; the failures of the store.
pub(super) async fn compare(
    table: &Table,
    view: &FileView<'_>,
    path: &str,
    size: u64,
    file_rows: u64,
    gone: &RowSet,
    columns: &StatisticsOf,
) -> Result<Vec<String>> {
    let Some(json) = view.stats_json() else { return Ok(Vec::new()) };
    let text = StringArray::from(vec![json.as_ref()]);
    let stats = parse_stats_columns(&text, &columns.specs, Reading::AsBounds).on(table.uri())?;
    let known = |bound: &ArrayRef| bound.is_valid(0).then(|| bound.clone());
    let mut watched: Vec<Watched<'_>> = columns
        .specs
        .iter()
        .zip(stats)
        .zip(&columns.were_floats)
        .map(|((spec, stats), was_float)| Watched {
            path: &spec.path,
            min: known(&stats.min).map(|min| if *was_float { around_float(&min, f64::min) } else { min }),
            max: known(&stats.max).map(|max| if *was_float { around_float(&max, f64::max) } else { widened(&max) }),
            null_count: stats
                .null_count
                .is_valid(0)
                .then(|| stats.null_count.value(0))
                .and_then(|n| u64::try_from(n).ok()),
            nulls: 0,
            lies: Vec::new(),
        })
        .filter(|column| column.min.is_some() || column.max.is_some() || column.null_count.is_some())
        .collect();
    let mut names: Vec<String> = watched.iter().map(|column| column.path[0].clone()).collect();
    names.dedup();
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let options =
        ReadOptions::new(columns.file_schema.clone()).with_projection(names).with_size(size).with_deleted(gone);
    let mut batches = read_data_file(table.data_store(), path, options).await.on(table.uri())?;
    let mut rows = 0;
    while let Some(batch) = batches.next().await {
        let batch = batch.on(table.uri())?;
        rows += batch.num_rows() as u64;
        watched.iter_mut().for_each(|column| column.look_at(&batch));
    }
    let tight = view.chunk().tight_bounds().value(view.id().row as usize);
    Ok(watched.into_iter().flat_map(|column| column.conclude(rows, file_rows, tight)).collect())
}

impl Watched<'_> {
    fn look_at(&mut self, batch: &RecordBatch) {
        let Some((values, nulls)) = descend(batch, self.path) else { return };
        self.nulls += nulls.as_ref().map_or(0, |nulls| nulls.null_count() as u64);
        for (bound, below) in [(&mut self.min, true), (&mut self.max, false)] {
            let Some(limit) = bound.as_ref() else { continue };
            let Some(row) = first_outside(&values, nulls.as_ref(), limit, below) else { continue };
            let shown = |array: &ArrayRef, row| array_value_to_string(array, row).map(|text| printable(&text));
            let (value, limit) = (shown(&values, row).unwrap_or_default(), shown(limit, 0).unwrap_or_default());
            let (relation, which) = if below { ("below", "minimum") } else { ("above", "maximum") };
            let column = self.path.join(".");
            self.lies.push(format!("column {}: value {value} lies {relation} the {which} {limit}", printable(&column)));
            // One row that is outside is enough.
            *bound = None;
        }
    }

    /// Protocol section "Per-file Statistics": with wide bounds a null count says something only where it is zero or all.
    fn conclude(mut self, rows: u64, file_rows: u64, tight: bool) -> Vec<String> {
        let found = self.nulls;
        let lie = self.null_count.filter(|said| {
            if tight {
                *said != found
            } else {
                (*said == 0 && found > 0) || (*said == file_rows && file_rows > 0 && found < rows)
            }
        });
        if let Some(said) = lie {
            let column = printable(&self.path.join("."));
            self.lies.push(format!("column {column}: {found} of {rows} rows are null, nullCount is {said}"));
        }
        self.lies
    }
}

/// The column at a path of physical names, and where it or a struct around it is null.
fn descend(batch: &RecordBatch, path: &[String]) -> Option<(ArrayRef, Option<NullBuffer>)> {
    let (first, rest) = path.split_first()?;
    let mut at = batch.column_by_name(first)?.clone();
    let mut nulls = at.logical_nulls();
    for name in rest {
        at = at.as_struct_opt()?.column_by_name(name)?.clone();
        nulls = NullBuffer::union(nulls.as_ref(), at.logical_nulls().as_ref());
    }
    Some((at, nulls))
}

/// The first row whose value lies below (or above) the bound. Not-a-number has no place in the order of readers, and is
/// passed over; the zeros are equal.
fn first_outside(values: &ArrayRef, nulls: Option<&NullBuffer>, bound: &ArrayRef, below: bool) -> Option<usize> {
    let is_live = |row: usize| nulls.is_none_or(|nulls| nulls.is_valid(row));
    let outside = |value: f64, bound: f64| if below { value < bound } else { value > bound };
    match bound.data_type() {
        ArrowType::Float64 => {
            let limit = bound.as_primitive::<Float64Type>().value(0);
            let values = values.as_primitive_opt::<Float64Type>()?;
            (0..values.len()).find(|row| is_live(*row) && outside(values.value(*row), limit))
        }
        ArrowType::Float32 => {
            let limit = f64::from(bound.as_primitive::<Float32Type>().value(0));
            let values = values.as_primitive_opt::<Float32Type>()?;
            (0..values.len()).find(|row| is_live(*row) && outside(f64::from(values.value(*row)), limit))
        }
        kind => {
            let cast;
            let values = if values.data_type() == kind {
                values
            } else {
                cast = arrow::compute::cast(values, kind).ok()?;
                &cast
            };
            let bound = Scalar::new(bound.clone());
            let mask: BooleanArray = if below { lt(values, &bound) } else { gt(values, &bound) }.ok()?;
            (0..mask.len()).find(|row| mask.is_valid(*row) && mask.value(*row) && is_live(*row))
        }
    }
}

/// Protocol section "Per-file Statistics", footnote: times are cut down to milliseconds, so that a maximum at a full
/// millisecond stands for all of it.
fn widened(max: &ArrayRef) -> ArrayRef {
    let Some(times) = max.as_any().downcast_ref::<TimestampMicrosecondArray>() else { return max.clone() };
    let zone = times.timezone().map(str::to_owned);
    let widen = |us: i64| if us % 1000 == 0 { us.saturating_add(999) } else { us };
    Arc::new(times.unary::<_, TimestampMicrosecondType>(widen).with_timezone_opt(zone))
}
