//! Bringing rows into the shape of the table before they are written.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, SchemaRef};
use floe_table_format::schema::nearest;

use crate::error::{Result, TableError};

/// The batch with the table's columns, in the table's order and types.
///
/// Columns are matched by name, exactly and then without regard to case. A column the batch lacks becomes null. A value is
/// cast only where the cast keeps it: widening of numbers, other encodings of strings, other units of timestamps that
/// lose nothing; a value that does not fit is an error and not null.
pub(crate) fn conform(table: &str, batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    if batch.schema_ref() == schema {
        return Ok(batch.clone());
    }
    let found = batch.schema();
    let mut taken = vec![false; batch.num_columns()];
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        let position = found
            .fields()
            .iter()
            .position(|f| f.name() == field.name())
            .or_else(|| found.fields().iter().position(|f| f.name().eq_ignore_ascii_case(field.name())));
        let column = match position {
            None => new_null_array(field.data_type(), batch.num_rows()),
            Some(position) => {
                if std::mem::replace(&mut taken[position], true) {
                    let what = format!("two columns of the input match column {}", field.name());
                    return Err(TableError::SchemaMismatch { table: table.into(), what });
                }
                conform_column(table, field.name(), batch.column(position), field.data_type())?
            }
        };
        columns.push(column);
    }
    if let Some(extra) = taken.iter().position(|taken| !taken) {
        let name = found.field(extra).name();
        let known: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
        let hint = nearest(name, known.iter().copied()).map(|n| format!("; did you mean {n}?")).unwrap_or_default();
        let what = format!("the input has a column {name} that the table lacks{hint}");
        return Err(TableError::SchemaMismatch { table: table.into(), what });
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    // Nullability is checked by the constraints, which name the offending row; here every column may hold nulls.
    let nullable = Arc::new(arrow::datatypes::Schema::new(
        schema.fields().iter().map(|f| f.as_ref().clone().with_nullable(true)).collect::<Vec<_>>(),
    ));
    Ok(RecordBatch::try_new_with_options(nullable, columns, &options)?)
}

fn conform_column(table: &str, name: &str, column: &ArrayRef, target: &DataType) -> Result<ArrayRef> {
    if column.data_type() == target {
        return Ok(column.clone());
    }
    let mismatch = |why: String| TableError::SchemaMismatch {
        table: table.into(),
        what: format!("column {name}: {} does not fit {target}{why}", column.data_type()),
    };
    if !keeps_values(column.data_type(), target) {
        return Err(mismatch("; cast it".into()));
    }
    let options = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(column, target, &options).map_err(|e| mismatch(format!(": {e}")))
}

/// Whether a checked cast between these types either keeps the value or fails.
fn keeps_values(from: &DataType, to: &DataType) -> bool {
    use DataType::*;
    match (from, to) {
        (Null, _) => true,
        (Dictionary(_, value), to) => value.as_ref() == to || keeps_values(value, to),
        (Utf8 | LargeUtf8 | Utf8View, Utf8) => true,
        (Binary | LargeBinary | BinaryView | FixedSizeBinary(_), Binary) => true,
        (Date64, Date32) => true,
        (Timestamp(_, Some(_)), Timestamp(_, Some(_))) | (Timestamp(_, None), Timestamp(_, None)) => true,
        // As Spark and DuckDB do for a session in UTC: a wall clock reading is taken as UTC.
        (Timestamp(_, None), Timestamp(_, Some(_))) => true,
        (Date32, Timestamp(_, _)) => true,
        (from, to) if from.is_integer() && (to.is_integer() || to.is_floating()) => true,
        (Float16 | Float32, Float32 | Float64) | (Float64, Float64) => true,
        (Decimal32(_, s1) | Decimal64(_, s1) | Decimal128(_, s1) | Decimal256(_, s1), Decimal128(_, s2)) => s1 <= s2,
        (from, Decimal128(_, _)) if from.is_integer() => true,
        (List(a) | LargeList(a) | ListView(a) | LargeListView(a), List(b)) => {
            a.data_type() == b.data_type() || keeps_values(a.data_type(), b.data_type())
        }
        (FixedSizeList(a, _), List(b)) => a.data_type() == b.data_type() || keeps_values(a.data_type(), b.data_type()),
        (Map(a, _), Map(b, _)) => a.data_type() == b.data_type() || keeps_values(a.data_type(), b.data_type()),
        (Struct(a), Struct(b)) => {
            a.len() == b.len()
                && a.iter()
                    .zip(b.iter())
                    .all(|(a, b)| a.data_type() == b.data_type() || keeps_values(a.data_type(), b.data_type()))
        }
        (from, to) => from == to,
    }
}
