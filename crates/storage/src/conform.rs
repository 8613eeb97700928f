//! Columns as a file has them, made into columns as the table declares them.
//!
//! A table's schema may have moved on since a file was written, and other writers choose other Parquet types for the same
//! Delta type. Columns that the file lacks become null; types are widened where no value can change its meaning;
//! everything else means that the file is not what the log says.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, ListArray, MapArray, RecordBatch, RecordBatchOptions, StructArray, new_null_array,
};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, SchemaRef, TimeUnit, TimestampMicrosecondType};
use floe_table_format::schema::{STORED_TYPE, is_variant_type};

use crate::variant;

mod interval;

/// The key under which Arrow fields carry Parquet's field ids.
const FIELD_ID: &str = "PARQUET:field_id";

/// The position among `fields` of the one that `wanted` stands for.
///
/// By field id where both sides have ids (Protocol section "Column Mapping"), else by exact name.
pub fn find_field(fields: &Fields, wanted: &Field) -> Option<usize> {
    if let Some(id) = wanted.metadata().get(FIELD_ID)
        && fields.iter().any(|field| field.metadata().contains_key(FIELD_ID))
    {
        return fields.iter().position(|field| field.metadata().get(FIELD_ID) == Some(id));
    }
    fields.iter().position(|field| field.name() == wanted.name())
}

/// The batch with exactly the columns of `schema`: found by id or name, missing ones null, types widened.
///
/// # Errors
/// What does not fit: a column whose type cannot become the wanted one, or a null where the schema allows none.
pub fn conform(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, String> {
    let rows = batch.num_rows();
    let found = batch.schema_ref().fields();
    let columns = schema.fields().iter().map(|field| match find_field(found, field) {
        Some(index) => conform_array(batch.column(index), field),
        None => missing(field, rows),
    });
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema.clone(), columns, &options).map_err(|error| error.to_string())
}

fn missing(field: &Field, rows: usize) -> Result<ArrayRef, String> {
    if !field.is_nullable() && rows > 0 {
        return Err(format!("column {} is missing and must not be null", field.name()));
    }
    Ok(new_null_array(field.data_type(), rows))
}

/// One column as `wanted`: as [`conform`] does, at any depth.
///
/// # Errors
/// What does not fit.
pub fn conform_column(array: &ArrayRef, wanted: &Field) -> Result<ArrayRef, String> {
    conform_array(array, wanted)
}

fn conform_array(array: &ArrayRef, wanted: &Field) -> Result<ArrayRef, String> {
    // Even where the type is right: bytes of another writer need not decode.
    if is_variant_type(wanted.data_type()) {
        let checked = variant::checked(array);
        return checked
            .map_err(|what| format!("column {}: {what}", floe_table_format::error::printable(wanted.name())));
    }
    if array.data_type() == wanted.data_type() && !holds_variant(wanted.data_type()) {
        return Ok(array.clone());
    }
    if let Some(stored) = wanted.metadata().get(STORED_TYPE) {
        let shown = interval::to_text(array, stored);
        return shown.map_err(|what| format!("column {}: {what}", floe_table_format::error::printable(wanted.name())));
    }
    let broken = |error: arrow::error::ArrowError| format!("column {}: {error}", wanted.name());
    match (array.data_type(), wanted.data_type()) {
        (DataType::Struct(_), DataType::Struct(fields)) => {
            let Some(source) = array.as_any().downcast_ref::<StructArray>() else { return mismatch(array, wanted) };
            let children = fields.iter().map(|field| conform_child(source, field)).collect::<Result<Vec<_>, _>>()?;
            let nulls = source.nulls().cloned();
            let made = StructArray::try_new_with_length(fields.clone(), children, nulls, source.len());
            Ok(Arc::new(made.map_err(broken)?))
        }
        (DataType::List(_), DataType::List(element)) => {
            let Some(source) = array.as_any().downcast_ref::<ListArray>() else { return mismatch(array, wanted) };
            let values = conform_array(source.values(), element)?;
            let made = ListArray::try_new(element.clone(), source.offsets().clone(), values, source.nulls().cloned());
            Ok(Arc::new(made.map_err(broken)?))
        }
        (DataType::Map(_, _), DataType::Map(entries, sorted)) => {
            let Some(source) = array.as_any().downcast_ref::<MapArray>() else { return mismatch(array, wanted) };
            let DataType::Struct(fields) = entries.data_type() else { return mismatch(array, wanted) };
            let [key, value] = &fields[..] else { return mismatch(array, wanted) };
            let children = vec![conform_array(source.keys(), key)?, conform_array(source.values(), value)?];
            let made = StructArray::try_new(fields.clone(), children, None).map_err(broken)?;
            let (offsets, nulls) = (source.offsets().clone(), source.nulls().cloned());
            Ok(Arc::new(MapArray::try_new(entries.clone(), offsets, made, nulls, *sorted).map_err(broken)?))
        }
        (from, to) if keeps_meaning(from, to) => {
            let strict = CastOptions { safe: false, ..CastOptions::default() };
            let (DataType::Timestamp(_, from), DataType::Timestamp(unit, to)) = (from, to) else {
                return cast_with_options(array, to, &strict).map_err(broken);
            };
            // Time without a zone and time in UTC are the same numbers: only the unit is cast, and the zone is put on.
            let times = cast_with_options(array, &DataType::Timestamp(*unit, from.clone()), &strict).map_err(broken)?;
            match times.as_primitive_opt::<TimestampMicrosecondType>() {
                Some(times) => Ok(Arc::new(times.clone().with_timezone_opt(to.clone()))),
                None => mismatch(array, wanted),
            }
        }
        _ => mismatch(array, wanted),
    }
}

/// Whether a type is that of variants or holds some.
pub fn holds_variant(data_type: &DataType) -> bool {
    is_variant_type(data_type)
        || match data_type {
            DataType::Struct(fields) => fields.iter().any(|field| holds_variant(field.data_type())),
            DataType::List(inner) | DataType::Map(inner, _) => holds_variant(inner.data_type()),
            _ => false,
        }
}

fn conform_child(source: &StructArray, field: &FieldRef) -> Result<ArrayRef, String> {
    match find_field(source.fields(), field) {
        Some(index) => conform_array(source.column(index), field),
        // Under a null parent a missing child need not have a value.
        None if source.null_count() == source.len() => Ok(new_null_array(field.data_type(), source.len())),
        None => missing(field, source.len()),
    }
}

fn mismatch(array: &ArrayRef, wanted: &Field) -> Result<ArrayRef, String> {
    Err(format!(
        "column {} is {} in the file and {} in the table",
        floe_table_format::error::printable(wanted.name()),
        array.data_type(),
        wanted.data_type()
    ))
}

/// Whether every value of one type has the same meaning in the other. A value that still does not fit, such as a time
/// out of range, makes the cast fail and not the value null.
pub(crate) fn keeps_meaning(from: &DataType, to: &DataType) -> bool {
    use DataType::*;
    let utc = |zone: &Option<Arc<str>>| zone.as_deref().is_none_or(|zone| matches!(zone, "UTC" | "+00:00" | "Z"));
    match (from, to) {
        (Dictionary(_, values), to) => **values == *to || keeps_meaning(values, to),
        (Utf8 | LargeUtf8 | Utf8View, Utf8 | LargeUtf8 | Utf8View) => true,
        // Old writers leave out that a column is text.
        (Binary | LargeBinary | BinaryView | FixedSizeBinary(_), Binary | LargeBinary | BinaryView) => true,
        (Binary | LargeBinary | BinaryView, Utf8 | LargeUtf8 | Utf8View) => true,
        (Int8, Int16 | Int32 | Int64) | (Int16, Int32 | Int64) | (Int32, Int64) => true,
        // Parquet has no smaller integer, and some writers leave out that a column is narrow.
        (Int32, Int8 | Int16) | (Int16, Int8) => true,
        (UInt8, Int16 | Int32 | Int64) | (UInt16, Int32 | Int64) | (UInt32, Int64) => true,
        (Int8 | Int16 | Int32 | Float32, Float64) | (Int8 | Int16, Float32) => true,
        (Decimal128(_, from), Decimal128(_, to)) => to >= from,
        (Int8 | Int16 | Int32 | Int64, Decimal128(precision, scale)) => {
            let digits = match from {
                Int8 => 3,
                Int16 => 5,
                Int32 => 10,
                _ => 19,
            };
            i16::from(*precision) - i16::from(*scale) >= digits && *scale >= 0
        }
        (Timestamp(_, from), Timestamp(TimeUnit::Microsecond, to)) => utc(from) && utc(to),
        (Date32, Timestamp(TimeUnit::Microsecond, None)) => true,
        (Date64, Date32) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
