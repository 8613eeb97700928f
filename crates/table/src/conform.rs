//! Bringing rows into the shape of the table before they are written.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, ListArray, MapArray, RecordBatch, RecordBatchOptions, StructArray, new_null_array,
};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Fields, SchemaRef};
use floe_storage::conform::holds_variant;
use floe_storage::variant;
use floe_table_format::schema::{is_variant_type, nearest};

use crate::error::{Result, TableError};

/// The batch with the table's columns, in the table's order and types.
///
/// Columns are matched by name, exactly and then without regard to case, and so are the fields of structs. What the batch
/// lacks becomes null. A value is
/// cast only where the cast keeps it: widening of numbers, other encodings of strings, other units of timestamps that
/// lose nothing; a value that does not fit is an error and not null.
pub(crate) fn conform(table: &str, batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let has_variants = schema.fields().iter().any(|field| holds_variant(field.data_type()));
    if batch.schema_ref() == schema && !has_variants {
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
    if column.data_type() == target && !holds_variant(target) {
        return Ok(column.clone());
    }
    let mismatch = |why: String| TableError::SchemaMismatch {
        table: table.into(),
        what: format!("column {name}: {} does not fit {target}{why}", column.data_type()),
    };
    if is_variant_type(target) {
        return match column.data_type() {
            DataType::Null => Ok(new_null_array(target, column.len())),
            DataType::Struct(_) => variant::checked(column).map_err(|what| TableError::SchemaMismatch {
                table: table.into(),
                what: format!("column {name}: {what}"),
            }),
            other => Err(TableError::SchemaMismatch {
                table: table.into(),
                what: format!(
                    "column {name} holds variants, found {other}: parse_json(text) makes one of JSON, \
                     CAST(value AS VARIANT) of any value"
                ),
            }),
        };
    }
    if let Some(conformed) = conform_nested(table, name, column, target)? {
        return Ok(conformed);
    }
    if !keeps_values(column.data_type(), target) {
        return Err(mismatch("; cast it".into()));
    }
    let options = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(column, target, &options).map_err(|e| mismatch(format!(": {e}")))
}

/// A nested column with the fields of its structs found by name; none for one without structs, or whose fields have other
/// names altogether, such as those of a row that was written as values.
fn conform_nested(table: &str, name: &str, column: &ArrayRef, target: &DataType) -> Result<Option<ArrayRef>> {
    let element = |inner: &str| format!("{name}.{inner}");
    let broken = |error: arrow::error::ArrowError| TableError::SchemaMismatch {
        table: table.into(),
        what: format!("column {name}: {error}"),
    };
    Ok(match (column.data_type(), target) {
        (DataType::Struct(found), DataType::Struct(wanted)) if has_common_names(found, wanted) => {
            let source = column.as_struct();
            let position = |name: &str| {
                let exact = found.iter().position(|f| f.name() == name);
                exact.or_else(|| found.iter().position(|f| f.name().eq_ignore_ascii_case(name)))
            };
            let extra = found.iter().find(|f| !wanted.iter().any(|w| w.name().eq_ignore_ascii_case(f.name())));
            if let Some(extra) = extra {
                let what = format!("the input has a column {} that the table lacks", element(extra.name()));
                return Err(TableError::SchemaMismatch { table: table.into(), what });
            }
            let children = wanted.iter().map(|field| match position(field.name()) {
                Some(at) => conform_column(table, &element(field.name()), source.column(at), field.data_type()),
                None => Ok(new_null_array(field.data_type(), source.len())),
            });
            let children = children.collect::<Result<Vec<_>>>()?;
            let nulls = source.nulls().cloned();
            Some(Arc::new(
                StructArray::try_new_with_length(wanted.clone(), children, nulls, source.len()).map_err(broken)?,
            ))
        }
        (DataType::List(found), DataType::List(wanted)) if holds_struct(found.data_type()) => {
            let source = column.as_list::<i32>();
            let values = conform_column(table, &element("element"), source.values(), wanted.data_type())?;
            let (offsets, nulls) = (source.offsets().clone(), source.nulls().cloned());
            Some(Arc::new(ListArray::try_new(wanted.clone(), offsets, values, nulls).map_err(broken)?))
        }
        (DataType::Map(..), DataType::Map(wanted, sorted)) if holds_struct(column.data_type()) => {
            let (source, DataType::Struct(fields)) = (column.as_map(), wanted.data_type()) else { return Ok(None) };
            let [key, value] = &fields[..] else { return Ok(None) };
            let keys = conform_column(table, &element("key"), source.keys(), key.data_type())?;
            let values = conform_column(table, &element("value"), source.values(), value.data_type())?;
            let entries = StructArray::try_new(fields.clone(), vec![keys, values], None).map_err(broken)?;
            let (offsets, nulls) = (source.offsets().clone(), source.nulls().cloned());
            Some(Arc::new(MapArray::try_new(wanted.clone(), offsets, entries, nulls, *sorted).map_err(broken)?))
        }
        _ => None,
    })
}

fn has_common_names(one: &Fields, other: &Fields) -> bool {
    one.iter().any(|field| other.iter().any(|other| other.name().eq_ignore_ascii_case(field.name())))
}

fn holds_struct(data_type: &DataType) -> bool {
    match data_type {
        DataType::Struct(_) => true,
        DataType::List(inner) => holds_struct(inner.data_type()),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) => fields.iter().any(|field| holds_struct(field.data_type())),
            _ => false,
        },
        _ => false,
    }
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
