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
const DEPTH_MAX: usize = 250;

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
    // The library follows what values claim to hold by recursion.
    check_values(column, 0)?;
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

/// Checks that no value in a variant's columns, in what is left of a shredded one too, nests too deep to be followed.
fn check_values(column: &ArrayRef, depth: usize) -> Result<(), String> {
    if depth > DEPTH_MAX {
        return Err(format!("a variant is shredded deeper than {DEPTH_MAX}"));
    }
    if let Some(list) = column.as_list_opt::<i32>() {
        return check_values(list.values(), depth + 1);
    }
    let Some(parts) = column.as_struct_opt() else { return Ok(()) };
    for (field, part) in parts.fields().iter().zip(parts.columns()) {
        match Bytes::of(part) {
            Ok(values) if field.name() == "value" => {
                let rows = (0..part.len()).filter(|row| part.is_valid(*row));
                rows.into_iter().try_for_each(|row| check_depth(values.at(row)))?;
            }
            _ => check_values(part, depth + 1)?,
        }
    }
    Ok(())
}

/// Checks that a value nests no deeper than [`DEPTH_MAX`] and does not hold one part of itself again and again. What else
/// may be wrong with it is left to who decodes it.
fn check_depth(bytes: &[u8]) -> Result<(), String> {
    const TWICE: &str = "a variant holds one part of itself several times";
    if bytes.is_empty() {
        return Ok(());
    }
    let mut open = vec![(0usize, 0usize)];
    // Each value takes a byte of its own.
    let mut left = bytes.len();
    while let Some((start, depth)) = open.pop() {
        if depth > DEPTH_MAX {
            return Err(format!("a variant nests deeper than {DEPTH_MAX}"));
        }
        left = left.checked_sub(1).ok_or(TWICE)?;
        let Some(header) = bytes.get(start) else { continue };
        let (kind, about) = (header & 3, header >> 2);
        let (id_bytes, is_large) = match kind {
            // Field ids come before the offsets.
            2 => (usize::from(about >> 2 & 3) + 1, about >> 4 & 1 == 1),
            3 => (0, about >> 2 & 1 == 1),
            _ => continue,
        };
        let (offset_bytes, count_bytes) = (usize::from(about & 3) + 1, if is_large { 4 } else { 1 });
        let Some(count) = number_at(bytes, start.saturating_add(1), count_bytes) else { continue };
        let offsets = count.saturating_mul(id_bytes).saturating_add(start + 1 + count_bytes);
        let values = count.saturating_add(1).saturating_mul(offset_bytes).saturating_add(offsets);
        if values > bytes.len() {
            continue;
        }
        if count.saturating_add(open.len()) > left {
            return Err(TWICE.into());
        }
        for at in 0..count {
            if let Some(offset) = number_at(bytes, offsets + at * offset_bytes, offset_bytes) {
                open.push((values.saturating_add(offset), depth + 1));
            }
        }
    }
    Ok(())
}

fn number_at(bytes: &[u8], at: usize, length: usize) -> Option<usize> {
    let bytes = bytes.get(at..at.checked_add(length)?)?;
    Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte)))
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
