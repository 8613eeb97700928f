//! Variants of data files as JSON text. Protocol section "Variant Data Type"; Parquet's "Variant Binary Encoding" and
//! "Variant Shredding".

use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringBuilder};
use arrow::datatypes::DataType;
use parquet_variant::Variant;
use parquet_variant_compute::{VariantArray, unshred_variant};
use parquet_variant_json::VariantToJson;

/// How deep a value may nest before its text is given up.
const DEPTH_MAX: usize = 500;

/// JSON text of each value, null for a row without one. A variant that is null is the text `null`.
///
/// Times are written as Spark writes them; all else as JSON has it.
///
/// # Errors
/// What is not a variant: another shape of columns, or bytes that do not decode.
pub(super) fn to_json(column: &ArrayRef) -> Result<ArrayRef, String> {
    if column.null_count() == column.len() {
        return Ok(arrow::array::new_null_array(&DataType::Utf8, column.len()));
    }
    let array = VariantArray::try_new(column.as_ref()).map_err(|error| error.to_string())?;
    let array = match array.typed_value_column() {
        None => array,
        // The library checks the shape of what is shredded, and indexes into the bytes that are not.
        Some(_) => catch_unwind(AssertUnwindSafe(|| unshred_variant(&array)))
            .unwrap_or_else(|_| Err(arrow::error::ArrowError::ParseError("a shredded variant is damaged".into())))
            .map_err(|error| error.to_string())?,
    };
    let (metadata, values) = (Bytes::of(array.metadata_column())?, Bytes::of(array.value_column())?);
    let mut texts = StringBuilder::new();
    let mut text = String::new();
    for row in 0..array.len() {
        if array.is_null(row) {
            texts.append_null();
            continue;
        }
        let decoded = Variant::try_new(metadata.at(row), values.at(row));
        let variant = decoded.map_err(|error| format!("row {row} of the batch holds no variant: {error}"))?;
        text.clear();
        write(&variant, &mut text, 0)?;
        texts.append_value(&text);
    }
    Ok(Arc::new(texts.finish()))
}

/// Binary values, whatever array holds them.
enum Bytes<'a> {
    Small(&'a arrow::array::BinaryArray),
    Large(&'a arrow::array::LargeBinaryArray),
    View(&'a arrow::array::BinaryViewArray),
}

impl<'a> Bytes<'a> {
    fn of(array: &'a ArrayRef) -> Result<Self, String> {
        match array.data_type() {
            DataType::Binary => Ok(Bytes::Small(array.as_binary())),
            DataType::LargeBinary => Ok(Bytes::Large(array.as_binary())),
            DataType::BinaryView => Ok(Bytes::View(array.as_binary_view())),
            other => Err(format!("a part of a variant is {other} and not binary")),
        }
    }

    fn at(&self, row: usize) -> &'a [u8] {
        match self {
            Bytes::Small(array) => array.value(row),
            Bytes::Large(array) => array.value(row),
            Bytes::View(array) => array.value(row),
        }
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
