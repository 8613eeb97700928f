//! JSON: an array of objects, or an object a line.

use std::io::Write;
use std::sync::Arc;

use arrow::array::{Array, StructArray};
use arrow::datatypes::{Field, FieldRef};
use arrow::error::ArrowError;
use arrow::json::writer::{EncoderOptions, make_encoder};
use arrow::record_batch::RecordBatch;

use super::{RenderError, Renderer, Shown};

pub(super) struct Json {
    array: bool,
    rows: u64,
}

impl Json {
    /// One array around all rows.
    pub(super) fn array() -> Self {
        Self { array: true, rows: 0 }
    }

    /// One object a line.
    pub(super) fn lines() -> Self {
        Self { array: false, rows: 0 }
    }
}

impl Renderer for Json {
    fn batch(&mut self, batch: &RecordBatch, out: &mut dyn Write) -> Result<(), RenderError> {
        let objects = StructArray::from(batch.clone());
        let (array, rows) = (self.array, &mut self.rows);
        each_value(&objects, |object| {
            if array {
                out.write_all(if *rows == 0 { b"[\n  " } else { b",\n  " })?;
            }
            out.write_all(object)?;
            if !array {
                out.write_all(b"\n")?;
            }
            *rows += 1;
            Ok(())
        })
    }

    fn finish(&mut self, out: &mut dyn Write) -> Result<Shown, RenderError> {
        if self.array {
            out.write_all(if self.rows == 0 { b"[]\n" } else { b"\n]\n" })?;
        }
        Ok(Shown { rows: self.rows, shown: self.rows })
    }
}

/// Hands over the JSON text of each value. Nulls are spelled out, so that every row has every field.
fn each_value(array: &dyn Array, mut take: impl FnMut(&[u8]) -> Result<(), RenderError>) -> Result<(), RenderError> {
    let field: FieldRef = Arc::new(Field::new("value", array.data_type().clone(), true));
    let options = EncoderOptions::default().with_explicit_nulls(true);
    let mut encoder = make_encoder(&field, array, &options)?;
    let mut text = Vec::new();
    for row in 0..array.len() {
        text.clear();
        if encoder.is_null(row) {
            text.extend_from_slice(b"null");
        } else {
            encoder.encode(row, &mut text);
        }
        take(&text)?;
    }
    Ok(())
}

/// The JSON text of each value of one column of one batch.
///
/// # Errors
/// When a value has no JSON form (a map whose keys are no strings).
pub(super) fn json_texts(array: &dyn Array) -> Result<Vec<String>, RenderError> {
    let mut texts = Vec::with_capacity(array.len());
    each_value(array, |text| {
        let text = std::str::from_utf8(text).map_err(|e| ArrowError::JsonError(e.to_string()))?;
        texts.push(text.to_owned());
        Ok(())
    })?;
    Ok(texts)
}
