//! Variants as JSON text, and JSON text as variants.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, ListArray, MapArray, RecordBatch, RecordBatchOptions, StringBuilder, StructArray,
};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef};
use floe_table_format::schema::is_variant_type;
use parquet_variant::{
    ObjectFieldBuilder, Variant, VariantBuilderExt, VariantDecimal4, VariantDecimal8, VariantDecimal16,
};
use parquet_variant_json::VariantToJson;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{DEPTH_MAX, Variants};

/// JSON text of each value of a column of [`variant_type`](floe_table_format::schema::variant_type), null for a row without
/// one. A variant that is null is the text `null`.
///
/// Times are written as Spark writes them; all else as JSON has it.
///
/// # Errors
/// A column of another type, and bytes that do not decode.
pub fn to_json(column: &ArrayRef) -> Result<ArrayRef, String> {
    let variants = Variants::of(column).ok_or_else(|| format!("{} is no variant", column.data_type()))?;
    let mut texts = StringBuilder::new();
    let mut text = String::new();
    for row in 0..column.len() {
        match variants.get(row)? {
            None => texts.append_null(),
            Some(variant) => {
                text.clear();
                write(&variant, &mut text, 0)?;
                texts.append_value(&text);
            }
        }
    }
    Ok(Arc::new(texts.finish()))
}

/// JSON text of one variant.
///
/// # Errors
/// One that nests too deep.
pub fn text_of(variant: &Variant<'_, '_>) -> Result<String, String> {
    let mut text = String::new();
    write(variant, &mut text, 0)?;
    Ok(text)
}

/// The batch with its variants, at any depth, as JSON text: for those who read values.
///
/// # Errors
/// Bytes that do not decode.
pub fn shown(batch: &RecordBatch) -> Result<RecordBatch, String> {
    let schema = shown_schema(batch.schema_ref());
    if schema == *batch.schema_ref() {
        return Ok(batch.clone());
    }
    let columns = schema.fields().iter().zip(batch.columns());
    let columns = columns.map(|(field, column)| shown_column(column, field.data_type())).collect::<Result<_, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(schema, columns, &options).map_err(|error| error.to_string())
}

/// The schema of a batch that is [`shown`].
pub fn shown_schema(schema: &SchemaRef) -> SchemaRef {
    let fields: Fields = schema.fields().iter().map(shown_field).collect();
    if fields == *schema.fields() {
        return schema.clone();
    }
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

fn shown_field(field: &FieldRef) -> FieldRef {
    match shown_type(field.data_type()) {
        Some(data_type) => Arc::new(field.as_ref().clone().with_data_type(data_type)),
        None => field.clone(),
    }
}

/// The type as it is shown; none if there is no variant in it.
fn shown_type(data_type: &DataType) -> Option<DataType> {
    let within = |field: &FieldRef| -> Option<FieldRef> {
        let data_type = shown_type(field.data_type())?;
        Some(Arc::new(Field::clone(field).with_data_type(data_type)))
    };
    match data_type {
        variant if is_variant_type(variant) => Some(DataType::Utf8),
        DataType::Struct(fields) => {
            let shown: Fields = fields.iter().map(shown_field).collect();
            (shown != *fields).then_some(DataType::Struct(shown))
        }
        DataType::List(element) => within(element).map(DataType::List),
        DataType::Map(entries, sorted) => within(entries).map(|entries| DataType::Map(entries, *sorted)),
        _ => None,
    }
}

fn shown_column(column: &ArrayRef, to: &DataType) -> Result<ArrayRef, String> {
    if column.data_type() == to {
        return Ok(column.clone());
    }
    let broken = |error: arrow::error::ArrowError| error.to_string();
    match (column.data_type(), to) {
        (DataType::Struct(_), DataType::Utf8) => to_json(column),
        (DataType::Struct(_), DataType::Struct(fields)) => {
            let (_, parts, nulls) = column.as_struct().clone().into_parts();
            let parts = fields.iter().zip(&parts).map(|(field, part)| shown_column(part, field.data_type()));
            let parts = parts.collect::<Result<_, _>>()?;
            let shown = StructArray::try_new_with_length(fields.clone(), parts, nulls, column.len());
            Ok(Arc::new(shown.map_err(broken)?))
        }
        (DataType::List(_), DataType::List(element)) => {
            let (_, offsets, values, nulls) = column.as_list::<i32>().clone().into_parts();
            let values = shown_column(&values, element.data_type())?;
            Ok(Arc::new(ListArray::try_new(element.clone(), offsets, values, nulls).map_err(broken)?))
        }
        (DataType::Map(..), DataType::Map(entries, _)) => {
            let (_, offsets, parts, nulls, sorted) = column.as_map().clone().into_parts();
            let parts: ArrayRef = Arc::new(parts);
            let parts = shown_column(&parts, entries.data_type())?.as_struct().clone();
            Ok(Arc::new(MapArray::try_new(entries.clone(), offsets, parts, nulls, sorted).map_err(broken)?))
        }
        (from, to) => Err(format!("{from} cannot be shown as {to}")),
    }
}

fn write(variant: &Variant<'_, '_>, text: &mut String, depth: usize) -> Result<(), String> {
    if depth > DEPTH_MAX {
        return Err(format!("a variant nests deeper than {DEPTH_MAX}"));
    }
    let quoted = |name: &str| Variant::String(name).to_json_string().map_err(|error| error.to_string());
    match variant {
        Variant::Object(object) => {
            text.push('{');
            for (at, (name, value)) in object.iter().enumerate() {
                if at > 0 {
                    text.push(',');
                }
                text.push_str(&quoted(name)?);
                text.push(':');
                write(&value, text, depth + 1)?;
            }
            text.push('}');
        }
        Variant::List(list) => {
            text.push('[');
            for (at, value) in list.iter().enumerate() {
                if at > 0 {
                    text.push(',');
                }
                write(&value, text, depth + 1)?;
            }
            text.push(']');
        }
        Variant::TimestampMicros(time) | Variant::TimestampNanos(time) => {
            write_time(text, &time.naive_utc().to_string(), "+00:00");
        }
        Variant::TimestampNtzMicros(time) | Variant::TimestampNtzNanos(time) => write_time(text, &time.to_string(), ""),
        Variant::Double(number) => write_number(text, *number, format!("{number:?}")),
        Variant::Float(number) => write_number(text, f64::from(*number), format!("{number:?}")),
        other => text.push_str(&other.to_json_string().map_err(|error| error.to_string())?),
    }
    Ok(())
}

/// With an exponent where there are many digits. JSON has no words for what is no number.
fn write_number(text: &mut String, number: f64, shown: String) {
    if number.is_nan() {
        text.push_str("\"NaN\"");
    } else if number.is_infinite() {
        text.push_str(if number > 0.0 { "\"Infinity\"" } else { "\"-Infinity\"" });
    } else {
        text.push_str(&shown);
    }
}

/// `2024-01-01 12:00:00.5`: without zeros behind the last digit.
fn write_time(text: &mut String, time: &str, zone: &str) {
    let time = if time.contains('.') { time.trim_end_matches('0') } else { time };
    // Into a String, which takes everything.
    let _ = write!(text, "\"{time}{zone}\"");
}

/// Appends the value that a JSON text stands for. A number is an integer or a decimal where it is written as one with no
/// more than 38 digits, and a double otherwise.
///
/// # Errors
/// Text that is no JSON or nests too deep, and an object that names a field twice.
pub fn append_json(text: &str, builder: &mut impl VariantBuilderExt) -> Result<(), String> {
    let value: &RawValue = serde_json::from_str(text).map_err(|error| error.to_string())?;
    append(value, builder, 0)
}

/// The text was parsed as a whole before, which bounds how deep it nests.
fn append(value: &RawValue, builder: &mut impl VariantBuilderExt, depth: usize) -> Result<(), String> {
    if depth > DEPTH_MAX {
        return Err(format!("the value nests deeper than {DEPTH_MAX}"));
    }
    let text = value.get();
    let broken = |error: serde_json::Error| error.to_string();
    match text.as_bytes().first() {
        Some(b'{') => {
            let fields = serde_json::Deserializer::from_str(text).deserialize_map(ObjectFields).map_err(broken)?;
            let mut object = builder.try_new_object().map_err(|error| error.to_string())?;
            for (name, value) in &fields {
                append(value, &mut ObjectFieldBuilder::new(name, &mut object), depth + 1)?;
            }
            object.finish();
        }
        Some(b'[') => {
            let values: Vec<&RawValue> = serde_json::from_str(text).map_err(broken)?;
            let mut list = builder.try_new_list().map_err(|error| error.to_string())?;
            for value in values {
                append(value, &mut list, depth + 1)?;
            }
            list.finish();
        }
        Some(b'"') => builder.append_value(serde_json::from_str::<String>(text).map_err(broken)?.as_str()),
        Some(b't') => builder.append_value(true),
        Some(b'f') => builder.append_value(false),
        Some(b'n') => builder.append_value(Variant::Null),
        _ => builder.append_value(number(text)?),
    }
    Ok(())
}

/// The fields of an object, in order, each once.
struct ObjectFields;

impl<'de> Visitor<'de> for ObjectFields {
    type Value = std::collections::BTreeMap<String, &'de RawValue>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
        let mut found = Self::Value::new();
        while let Some((name, value)) = fields.next_entry::<String, &RawValue>()? {
            let shown = floe_table_format::error::printable(&name);
            if found.insert(name, value).is_some() {
                return Err(A::Error::custom(format!("the field {shown} is there twice")));
            }
        }
        Ok(found)
    }
}

fn number(text: &str) -> Result<Variant<'static, 'static>, String> {
    let double = || text.parse::<f64>().map(Variant::from).map_err(|error| format!("{text}: {error}"));
    if text.contains(['e', 'E']) {
        return double();
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let Ok(digits) = format!("{whole}{fraction}").parse::<i128>() else { return double() };
    if fraction.is_empty()
        && let Ok(long) = i64::try_from(digits)
    {
        return Ok(integer(long));
    }
    let scale = u8::try_from(fraction.len()).unwrap_or(u8::MAX);
    let narrow = i32::try_from(digits).ok().and_then(|digits| VariantDecimal4::try_new(digits, scale).ok());
    let wide = || i64::try_from(digits).ok().and_then(|digits| VariantDecimal8::try_new(digits, scale).ok());
    let widest = || VariantDecimal16::try_new(digits, scale).ok().map(Variant::from);
    narrow.map(Variant::from).or_else(|| wide().map(Variant::from)).or_else(widest).map_or_else(double, Ok)
}

/// In as few bytes as will do.
fn integer(long: i64) -> Variant<'static, 'static> {
    if let Ok(byte) = i8::try_from(long) {
        return byte.into();
    }
    if let Ok(short) = i16::try_from(long) {
        return short.into();
    }
    i32::try_from(long).map_or_else(|_| long.into(), Variant::from)
}
