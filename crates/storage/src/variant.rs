//! Variants: checked as they come, shown as JSON text, and shredded on their way to files.
//!
//! Inside Floe a variant is a struct of [`metadata` and `value`](floe_table_format::schema::variant_type), whatever file it
//! came from. Protocol sections "Variant Data Type" and "Variant Shredding"; Parquet's "Variant Binary Encoding" and
//! "Variant Shredding".

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StructArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Fields};
use arrow::error::ArrowError;
pub use floe_table_format::schema::is_variant_type;
use floe_table_format::schema::variant_type;
use parquet_variant::Variant;
use parquet_variant_compute::{VariantArray, unshred_variant};

mod json;
mod shred;

pub use json::{append_json, shown, shown_schema, text_of, to_json};
pub(crate) use shred::Shredding;

/// How deep a value may nest before it is given up.
const DEPTH_MAX: usize = 250;

/// The column as variants of the one type that Floe knows: whole where it was shredded, and each value known to decode.
///
/// # Errors
/// What is not a variant: another shape of columns, or bytes that do not decode.
pub fn checked(column: &ArrayRef) -> Result<ArrayRef, String> {
    if column.null_count() == column.len() {
        return Ok(arrow::array::new_null_array(&variant_type(), column.len()));
    }
    // The library follows what values claim to hold by recursion.
    check_values(column, 0)?;
    let array = VariantArray::try_new(column.as_ref()).map_err(|error| error.to_string())?;
    let array = match array.typed_value_column() {
        None => array,
        // The library checks the shape of what is shredded, and indexes into the bytes that are not.
        Some(_) => catch_unwind(AssertUnwindSafe(|| unshred_variant(&array)))
            .unwrap_or_else(|_| Err(ArrowError::ParseError("a shredded variant is damaged".into())))
            .map_err(|error| error.to_string())?,
    };
    let parts = Parts::of(&array)?;
    for row in (0..array.len()).filter(|row| array.is_valid(*row)) {
        parts.variant(row)?;
    }
    let view = |part: &ArrayRef| cast(part, &DataType::BinaryView).map_err(|error| error.to_string());
    let columns = vec![view(array.value_column())?, view(array.metadata_column())?];
    let whole = StructArray::try_new(fields(), columns, array.inner().nulls().cloned());
    Ok(Arc::new(whole.map_err(|error| error.to_string())?))
}

fn fields() -> Fields {
    match variant_type() {
        DataType::Struct(fields) => fields,
        _ => Fields::empty(),
    }
}

/// A column of [`variant_type`] row by row.
pub struct Variants<'a> {
    array: &'a StructArray,
    metadata: &'a arrow::array::BinaryViewArray,
    values: &'a arrow::array::BinaryViewArray,
}

impl<'a> Variants<'a> {
    /// The column's rows; none for a column of another type.
    pub fn of(column: &'a ArrayRef) -> Option<Self> {
        if !is_variant_type(column.data_type()) {
            return None;
        }
        let array = column.as_struct_opt()?;
        let part = |at: usize| array.column(at).as_binary_view_opt();
        Some(Variants { array, values: part(0)?, metadata: part(1)? })
    }

    /// The variant of a row; none where there is none.
    ///
    /// # Errors
    /// Bytes that do not decode.
    pub fn get(&self, row: usize) -> Result<Option<Variant<'a, 'a>>, String> {
        if self.array.is_null(row) {
            return Ok(None);
        }
        // A scan whose files have just this type need not have looked.
        check_depth(self.values.value(row))?;
        decode(row, self.metadata.value(row), self.values.value(row)).map(Some)
    }
}

fn decode<'a>(row: usize, metadata: &'a [u8], value: &'a [u8]) -> Result<Variant<'a, 'a>, String> {
    Variant::try_new(metadata, value).map_err(|error| format!("row {row} of the batch holds no variant: {error}"))
}

/// The bytes of a variant that is not shredded, whatever arrays hold them.
struct Parts<'a> {
    metadata: Bytes<'a>,
    values: Bytes<'a>,
}

impl<'a> Parts<'a> {
    fn of(array: &'a VariantArray) -> Result<Self, String> {
        Ok(Parts { metadata: Bytes::of(array.metadata_column())?, values: Bytes::of(array.value_column())? })
    }

    fn variant(&self, row: usize) -> Result<Variant<'a, 'a>, String> {
        decode(row, self.metadata.at(row), self.values.at(row))
    }
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

#[cfg(test)]
mod tests;
