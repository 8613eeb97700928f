//! The columns of files of text, by their first bytes.

use std::collections::HashSet;
use std::io::Cursor;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::compute::concat;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::json::reader::infer_json_schema;
use csv_core::ReadRecordResult;
use floe_table_format::error::printable;
use futures::TryStreamExt;
use object_store::ObjectStoreExt;
use serde_json::value::RawValue;

use crate::error::{QueryError, Result};
use crate::load::csv::CsvRecords;
use crate::load::fit::fitted;
use crate::load::unpack::{Unpack, unpacked_badly};
use crate::load::{CsvOptions, Decoded, Packing, Records, Source, SourceFile, TextFormat};

/// Unpacked bytes of a file that are looked at.
const SAMPLE_BYTES: usize = 1 << 20;

/// Files of JSON that are looked at: each line of them may have names of its own.
const SAMPLE_FILES: usize = 8;

/// The columns of files of text, as far as their beginnings tell, with the types that their values have. CSV without a header
/// has columns `_c0`, `_c1` and so on.
///
/// # Errors
/// A file that cannot be read, or values of JSON that no type has.
pub(crate) async fn columns_of(source: &Source, format: &TextFormat, packing: Option<Packing>) -> Result<Schema> {
    match format {
        TextFormat::Csv(options) => {
            let Some(file) = source.files.first() else { return Ok(Schema::empty()) };
            let sample = sample(source, file, packing).await?;
            csv_columns(&sample, options, file)
        }
        TextFormat::Json(_) => {
            let lines = json_lines(source, packing).await?;
            let inferred = infer_json_schema(Cursor::new(lines), None);
            let (schema, _) = inferred.map_err(|error| QueryError::UnreadablePath {
                path: printable(&source.location.uri),
                what: format!("its records fit no columns: {}", printable(&error.to_string())),
            })?;
            let fields = schema.fields().iter().map(|field| Field::new(field.name(), known(field.data_type()), true));
            Ok(Schema::new(fields.collect::<Vec<_>>()))
        }
    }
}

/// The names of the columns alone, all as text: what their values are is for somebody else to say.
///
/// # Errors
/// A file that cannot be read.
pub(crate) async fn names_of(source: &Source, format: &TextFormat, packing: Option<Packing>) -> Result<Schema> {
    let names = match format {
        TextFormat::Csv(options) => {
            let Some(file) = source.files.first() else { return Ok(Schema::empty()) };
            let sample = sample(source, file, packing).await?;
            csv_names(&sample, options, file)
        }
        TextFormat::Json(_) => {
            let (mut names, mut seen) = (Vec::new(), HashSet::new());
            for line in json_lines(source, packing).await?.split(|byte| *byte == b'\n') {
                let Ok(record) = serde_json::from_slice::<serde_json::Map<_, _>>(line) else { continue };
                names.extend(record.into_iter().map(|(name, _)| name).filter(|name| seen.insert(name.clone())));
            }
            names
        }
    };
    Ok(as_texts(&names))
}

fn as_texts(names: &[String]) -> Schema {
    Schema::new(names.iter().map(|name| Field::new(name, DataType::Utf8, true)).collect::<Vec<_>>())
}

/// The first bytes of a file, up to the last whole line, without a byte order mark.
async fn sample(source: &Source, file: &SourceFile, packing: Option<Packing>) -> Result<Vec<u8>> {
    let location = &source.location;
    let failed = |error: &object_store::Error| location.error("read", &file.uri, error);
    let unreadable = |error: std::io::Error| unpacked_badly(file, &error);
    let mut unpack =
        Unpack::new(packing.unwrap_or(Packing::of_path(file.object.location.as_ref()).0)).map_err(unreadable)?;
    let mut bytes = location.store.get(&file.object.location).await.map_err(|e| failed(&e))?.into_stream();
    let mut out = Vec::new();
    let mut whole = false;
    while out.len() < SAMPLE_BYTES {
        let mut take = |bytes: &[u8]| -> std::io::Result<()> {
            out.extend_from_slice(bytes);
            Ok(())
        };
        let Some(chunk) = bytes.try_next().await.map_err(|e| failed(&e))? else {
            unpack.finish(take).map_err(unreadable)?;
            whole = true;
            break;
        };
        unpack.push(&chunk, &mut take).map_err(unreadable)?;
    }
    if let (false, Some(end)) = (whole, out.iter().rposition(|byte| *byte == b'\n')) {
        out.truncate(end + 1);
    }
    if out.starts_with(b"\xef\xbb\xbf") {
        out.drain(..3);
    }
    Ok(out)
}

/// The names in the header, or as many as the first record has fields.
fn csv_names(sample: &[u8], options: &CsvOptions, file: &SourceFile) -> Vec<String> {
    let mut reader = options.reader(file.object.location.as_ref());
    let (mut text, mut ends) = (vec![0; sample.len() + 1], vec![0; sample.len() + 2]);
    let (result, _, mut written, mut ended) = reader.read_record(sample, &mut text, &mut ends);
    if result == ReadRecordResult::InputEmpty {
        // The only record of the file has no line break behind it.
        let (_, _, more, last) = reader.read_record(&[], &mut text[written..], &mut ends[ended..]);
        (written, ended) = (written + more, ended + last);
    }
    let text = &text[..written];
    let starts = std::iter::once(0).chain(ends.iter().copied());
    let fields =
        starts.zip(&ends[..ended]).map(|(start, end)| String::from_utf8_lossy(&text[start..*end]).into_owned());
    match options.header {
        true => fields.collect(),
        false => (0..fields.count()).map(|at| format!("_c{at}")).collect(),
    }
}

/// The columns of CSV with the narrowest type that all values of the sample have.
fn csv_columns(sample: &[u8], options: &CsvOptions, file: &SourceFile) -> Result<Schema> {
    let texts: SchemaRef = Arc::new(as_texts(&csv_names(sample, options, file)));
    let mut records = CsvRecords::new(options, file.object.location.as_ref(), texts.clone());
    let mut read = Decoded::default();
    records.push(sample, &mut read)?;
    records.finish(&mut read)?;
    let mut fields = Vec::with_capacity(texts.fields().len());
    for (at, field) in texts.fields().iter().enumerate() {
        let parts: Vec<&dyn Array> = read.batches.iter().map(|batch| batch.column(at).as_ref()).collect();
        let data_type = match parts.is_empty() {
            true => DataType::Utf8,
            false => narrowest(&concat(&parts)?)?,
        };
        fields.push(Field::new(field.name(), data_type, true));
    }
    Ok(Schema::new(fields))
}

fn narrowest(texts: &ArrayRef) -> Result<DataType> {
    let own: &StringArray = texts.as_string();
    let all = |holds: &dyn Fn(&str) -> bool| own.iter().flatten().all(|text| holds(text.trim()));
    if own.null_count() == own.len() {
        return Ok(DataType::Utf8);
    }
    if all(&|text| text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false")) {
        return Ok(DataType::Boolean);
    }
    // Words that some read as numbers, such as nan and inf, are words.
    if !all(&|text| text.contains(|c: char| c.is_ascii_digit())) {
        return Ok(DataType::Utf8);
    }
    let trimmed: ArrayRef = Arc::new(own.iter().map(|text| text.map(str::trim)).collect::<StringArray>());
    let zoned = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let local = DataType::Timestamp(TimeUnit::Microsecond, None);
    for data_type in [DataType::Int64, DataType::Float64, DataType::Date32, local, zoned] {
        let fitted = fitted(&trimmed, &Field::new("", data_type.clone(), true), "")?;
        if fitted.reasons.is_empty() {
            return Ok(data_type);
        }
    }
    Ok(DataType::Utf8)
}

/// The records at the beginning of the files, one a line. What is no JSON is for the load to tell, with its place.
async fn json_lines(source: &Source, packing: Option<Packing>) -> Result<Vec<u8>> {
    let mut lines = Vec::new();
    for file in source.files.iter().take(SAMPLE_FILES) {
        let sample = sample(source, file, packing).await?;
        let text = sample.trim_ascii_start();
        let one_a_line = text.split(|byte| *byte == b'\n').next().is_some_and(is_object);
        match one_a_line {
            true => {
                for line in text.split(|byte| *byte == b'\n').filter(|line| is_object(line)) {
                    lines.extend_from_slice(line.trim_ascii());
                    lines.push(b'\n');
                }
            }
            false => objects(text, &mut lines),
        }
    }
    Ok(lines)
}

fn is_object(text: &[u8]) -> bool {
    text.trim_ascii_start().starts_with(b"{") && serde_json::from_slice::<&RawValue>(text).is_ok()
}

/// The objects of an array, or that follow each other over several lines.
fn objects(text: &[u8], lines: &mut Vec<u8>) {
    let mut rest = text.strip_prefix(b"[").unwrap_or(text);
    loop {
        rest = rest.trim_ascii_start();
        rest = rest.strip_prefix(b",").unwrap_or(rest);
        let mut values = serde_json::Deserializer::from_slice(rest).into_iter::<serde_json::Value>();
        // The last one may be cut short.
        let Some(Ok(value)) = values.next() else { return };
        if value.is_object() {
            lines.extend(value.to_string().into_bytes());
            lines.push(b'\n');
        }
        rest = &rest[values.byte_offset()..];
    }
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
