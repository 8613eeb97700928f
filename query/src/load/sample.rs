//! The columns of files of text, by their first bytes.

use std::io::Cursor;

use arrow::csv::reader::Format;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::json::reader::infer_json_schema;
use futures::TryStreamExt;
use object_store::ObjectStoreExt;

use crate::error::{QueryError, Result};
use crate::load::unpack::{Unpack, unpacked_badly};
use crate::load::{CsvOptions, Packing, Source, SourceFile, TextFormat};

/// Unpacked bytes of a file that are looked at.
const SAMPLE_BYTES: usize = 1 << 20;

/// Files of JSON that are looked at: each line of them may have names of its own.
const SAMPLE_FILES: usize = 8;

/// The columns of files of text as far as their beginnings tell. CSV without a header has columns `_c0`, `_c1` and so on.
///
/// # Errors
/// A file that cannot be read, or holds something else.
pub(crate) async fn columns_of(source: &Source, format: &TextFormat, packing: Option<Packing>) -> Result<Schema> {
    let failed = |file: &SourceFile, error: arrow::error::ArrowError| QueryError::UnreadablePath {
        path: file.uri.clone(),
        what: floe_table_format::error::printable(&error.to_string()),
    };
    match format {
        TextFormat::Csv(options) => {
            let Some(file) = source.files.first() else { return Ok(Schema::empty()) };
            let sample = sample(source, file, packing).await?;
            csv_columns(&sample, options).map_err(|error| failed(file, error))
        }
        TextFormat::Json(_) => {
            let mut schemas = Vec::new();
            for file in source.files.iter().take(SAMPLE_FILES) {
                let sample = as_lines(sample(source, file, packing).await?);
                schemas.push(json_columns(&sample).map_err(|error| failed(file, error))?);
            }
            match Schema::try_merge(schemas) {
                Ok(schema) => Ok(schema),
                Err(error) => Err(failed(&source.files[0], error)),
            }
        }
    }
}

/// The first bytes of a file, up to the last whole line.
async fn sample(source: &Source, file: &SourceFile, packing: Option<Packing>) -> Result<Vec<u8>> {
    let location = &source.location;
    let failed = |error: &object_store::Error| location.error("read", &file.uri, error);
    let unreadable = |error: std::io::Error| unpacked_badly(file, &error);
    let mut unpack =
        Unpack::new(packing.unwrap_or(Packing::of_path(file.object.location.as_ref()).0)).map_err(unreadable)?;
    let mut bytes = location.store.get(&file.object.location).await.map_err(|e| failed(&e))?.into_stream();
    let mut out = Vec::new();
    while out.len() < SAMPLE_BYTES {
        let mut take = |bytes: &[u8]| -> std::io::Result<()> {
            out.extend_from_slice(bytes);
            Ok(())
        };
        let Some(chunk) = bytes.try_next().await.map_err(|e| failed(&e))? else {
            unpack.finish(take).map_err(unreadable)?;
            return Ok(out);
        };
        unpack.push(&chunk, &mut take).map_err(unreadable)?;
    }
    if let Some(end) = out.iter().rposition(|byte| *byte == b'\n') {
        out.truncate(end + 1);
    }
    Ok(out)
}

fn csv_columns(sample: &[u8], options: &CsvOptions) -> std::result::Result<Schema, arrow::error::ArrowError> {
    let mut format = Format::default()
        .with_header(options.header)
        .with_delimiter(options.delimiter)
        .with_quote(options.quote)
        .with_truncated_rows(true);
    if let Some(escape) = options.escape {
        format = format.with_escape(escape);
    }
    if let Some(comment) = options.comment {
        format = format.with_comment(comment);
    }
    let (schema, _) = format.infer_schema(Cursor::new(sample), None)?;
    let fields = schema.fields().iter().enumerate().map(|(at, field)| {
        let name = if options.header { field.name().clone() } else { format!("_c{at}") };
        let data_type = match field.data_type() {
            // Nothing but NULL.
            DataType::Null => DataType::Utf8,
            DataType::Timestamp(_, zone) => DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, zone.clone()),
            other => other.clone(),
        };
        Field::new(name, data_type, true)
    });
    Ok(Schema::new(fields.collect::<Vec<_>>()))
}

fn json_columns(sample: &[u8]) -> std::result::Result<Schema, arrow::error::ArrowError> {
    // A line that is no JSON is for the load to tell, with its place.
    let readable = sample.split_inclusive(|byte| *byte == b'\n').filter(|line| {
        let value = serde_json::from_slice::<serde_json::Value>(line);
        value.is_ok_and(|value| value.is_object())
    });
    let lines: Vec<u8> = readable.flatten().copied().collect();
    let (schema, _) = infer_json_schema(Cursor::new(lines), None)?;
    let fields = schema.fields().iter().map(|field| Field::new(field.name(), known(field.data_type()), true));
    Ok(Schema::new(fields.collect::<Vec<_>>()))
}

/// The type with text where nothing but NULL was seen.
fn known(data_type: &DataType) -> DataType {
    let of = |field: &Field| Field::new(field.name(), known(field.data_type()), true);
    match data_type {
        DataType::Null => DataType::Utf8,
        DataType::List(item) => DataType::List(of(item).into()),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(|field| of(field)).collect()),
        other => other.clone(),
    }
}

/// Records of an array, or of several lines each, as one a line.
fn as_lines(sample: Vec<u8>) -> Vec<u8> {
    let text = sample.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&sample);
    let text = text.trim_ascii_start();
    let one_a_line = text
        .split(|byte| *byte == b'\n')
        .next()
        .is_some_and(|line| serde_json::from_slice::<serde_json::Value>(line).is_ok_and(|value| value.is_object()));
    if one_a_line {
        return text.to_vec();
    }
    let mut out = Vec::new();
    let text = text.strip_prefix(b"[").unwrap_or(text);
    let mut rest = text;
    loop {
        rest = rest.trim_ascii_start();
        rest = rest.strip_prefix(b",").unwrap_or(rest);
        let mut values = serde_json::Deserializer::from_slice(rest).into_iter::<serde_json::Value>();
        // The last one may be cut short.
        let Some(Ok(value)) = values.next() else { break };
        out.extend(value.to_string().into_bytes());
        out.push(b'\n');
        rest = &rest[values.byte_offset()..];
    }
    if out.is_empty() { text.to_vec() } else { out }
}
