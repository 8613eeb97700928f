//! Records of JSON: one a line, or as many as an array holds.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::json::ReaderBuilder;
use floe_table_format::error::printable;

use crate::error::{QueryError, Result};
use crate::load::fit::{fitted_batch, read_as};
use crate::load::{BATCH_BYTES, BATCH_ROWS, BadRecord, Decoded, RECORD_BYTES_MAX, Records};

/// How the files are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct JsonOptions {
    /// Whether a record may take several lines, or all of them lie in one array. A file that begins with a bracket says so
    /// itself.
    pub(crate) multi_line: bool,
}

/// Where one record ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    /// Nothing but blanks has been read.
    Unknown,
    Lines,
    /// With the last bracket of an object that is in no other.
    Objects {
        depth: usize,
        in_text: bool,
        escaped: bool,
    },
}

const OBJECTS: Cut = Cut::Objects { depth: 0, in_text: false, escaped: false };

/// The array around all records, where there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Around {
    Nothing,
    Open,
    Closed,
}

/// The records of one file.
pub(crate) struct JsonRecords {
    schema: SchemaRef,
    /// The columns as they are read, before their values are fitted.
    read: SchemaRef,
    cut: Cut,
    around: Around,
    /// Whether a record has been read: an array around all of them can begin before that only.
    begun: bool,
    /// The record that is being read, and the line it begins on.
    record: Vec<u8>,
    record_line: u64,
    /// The line that is being read; the first is 1.
    line: u64,
    /// Records that are not yet rows: their bytes, a line break after each, and the line and the end of each.
    texts: Vec<u8>,
    records: Vec<(u64, usize)>,
}

impl JsonRecords {
    /// Reads rows of this schema; a name that the schema lacks makes a record bad, so that no value is lost silently.
    pub(crate) fn new(options: JsonOptions, schema: SchemaRef) -> Self {
        let read = schema.fields().iter().map(|field| {
            // What is NULL and may not be is found when the values are fitted.
            field.as_ref().clone().with_data_type(read_as(field.data_type())).with_nullable(true)
        });
        JsonRecords {
            read: Arc::new(Schema::new(read.collect::<Vec<_>>())),
            schema,
            around: Around::Nothing,
            begun: false,
            cut: if options.multi_line { OBJECTS } else { Cut::Unknown },
            record: Vec::new(),
            record_line: 1,
            line: 1,
            texts: Vec::new(),
            records: Vec::new(),
        }
    }

    /// Takes the record that has just been read up.
    fn take(&mut self, out: &mut Decoded) -> Result<()> {
        if self.record.iter().any(|byte| !byte.is_ascii_whitespace()) {
            self.texts.extend_from_slice(&self.record);
            self.records.push((self.record_line, self.texts.len()));
            self.texts.push(b'\n');
            self.begun = true;
        }
        self.record.clear();
        self.record_line = self.line;
        let full = self.records.len() == BATCH_ROWS || self.texts.len() >= BATCH_BYTES;
        if full { self.flush(out) } else { Ok(()) }
    }

    fn flush(&mut self, out: &mut Decoded) -> Result<()> {
        self.decode(0..self.records.len(), out)?;
        self.records.clear();
        self.texts.clear();
        Ok(())
    }

    /// Makes rows of some of the records; of half of them at a time where one of them is bad.
    fn decode(&self, range: Range<usize>, out: &mut Decoded) -> Result<()> {
        if range.is_empty() {
            return Ok(());
        }
        let start = if range.start == 0 { 0 } else { self.records[range.start - 1].1 + 1 };
        let text = &self.texts[start..self.records[range.end - 1].1];
        match self.rows(text, range.len()) {
            Ok(batch) => self.fit(&batch, range, out)?,
            Err(reason) if range.len() == 1 => {
                let record = String::from_utf8_lossy(text).into_owned();
                out.bad.push(BadRecord { line: self.records[range.start].0, reason, record });
            }
            Err(_) => {
                let middle = range.start + range.len() / 2;
                self.decode(range.start..middle, out)?;
                self.decode(middle..range.end, out)?;
            }
        }
        Ok(())
    }

    /// Fits the values of some of the records to their columns.
    fn fit(&self, batch: &RecordBatch, range: Range<usize>, out: &mut Decoded) -> Result<()> {
        let (fitted, reasons) = fitted_batch(batch.columns(), &self.schema, batch.num_rows())?;
        for (row, reason) in reasons {
            let at = range.start + row;
            let start = if at == 0 { 0 } else { self.records[at - 1].1 + 1 };
            let record = String::from_utf8_lossy(&self.texts[start..self.records[at].1]).into_owned();
            out.bad.push(BadRecord { line: self.records[at].0, reason, record });
        }
        out.batches.extend(fitted);
        Ok(())
    }

    /// The rows of a text of as many records.
    fn rows(&self, text: &[u8], expected: usize) -> std::result::Result<RecordBatch, String> {
        let words = |error: arrow::error::ArrowError| {
            let text = error.to_string();
            printable(text.strip_prefix("Json error: ").unwrap_or(&text))
        };
        let builder = ReaderBuilder::new(self.read.clone()).with_batch_size(expected + 1).with_strict_mode(true);
        let mut decoder = builder.with_coerce_primitive(true).build_decoder().map_err(words)?;
        let read = decoder.decode(text).map_err(words)?;
        if decoder.has_partial_record() {
            return Err("it ends in the middle of a value".into());
        }
        let batch = decoder.flush().map_err(words)?;
        match batch.filter(|batch| batch.num_rows() == expected && read == text.len()) {
            Some(batch) => Ok(batch),
            None => Err("it is not one JSON object".into()),
        }
    }

    /// The next byte of a file whose records are objects, wherever its lines end.
    fn object_byte(&mut self, byte: u8, out: &mut Decoded) -> Result<()> {
        let Cut::Objects { mut depth, mut in_text, mut escaped } = self.cut else { return Ok(()) };
        let outside = depth == 0 && !in_text;
        if outside {
            // Between two records; what is neither is a record of its own, and a bad one.
            match byte {
                byte if byte.is_ascii_whitespace() => return self.take(out),
                b',' if self.around == Around::Open => return self.take(out),
                b'[' if self.around == Around::Nothing && !self.begun && self.record.is_empty() => {
                    self.around = Around::Open;
                    return Ok(());
                }
                b']' if self.around == Around::Open => {
                    self.around = Around::Closed;
                    return self.take(out);
                }
                _ => {}
            }
        }
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'{' | b'[' if !in_text => depth += 1,
            b'}' | b']' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
        let ends = byte == b'}' && depth == 0 && !in_text;
        self.cut = Cut::Objects { depth, in_text, escaped };
        self.record.push(byte);
        if ends { self.take(out) } else { Ok(()) }
    }

    fn check_length(&self) -> Result<()> {
        match self.record.len() > RECORD_BYTES_MAX {
            true => Err(QueryError::invalid_argument(format!(
                "the record on line {} takes more than {} MiB",
                self.record_line,
                RECORD_BYTES_MAX >> 20
            ))),
            false => Ok(()),
        }
    }
}

impl Records for JsonRecords {
    fn push(&mut self, mut bytes: &[u8], out: &mut Decoded) -> Result<()> {
        if self.cut == Cut::Unknown {
            let Some(first) = bytes.iter().position(|byte| !byte.is_ascii_whitespace()) else {
                self.line += bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
                return Ok(());
            };
            self.line += bytes[..first].iter().filter(|byte| **byte == b'\n').count() as u64;
            self.record_line = self.line;
            bytes = &bytes[first..];
            self.cut = if bytes[0] == b'[' { OBJECTS } else { Cut::Lines };
        }
        if self.cut == Cut::Lines {
            while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
                let line = &bytes[..end];
                self.record.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
                self.line += 1;
                self.take(out)?;
                bytes = &bytes[end + 1..];
            }
            self.record.extend_from_slice(bytes);
            return self.check_length();
        }
        for byte in bytes {
            self.line += u64::from(*byte == b'\n');
            self.object_byte(*byte, out)?;
        }
        self.check_length()
    }

    fn finish(&mut self, out: &mut Decoded) -> Result<()> {
        self.take(out)?;
        self.flush(out)?;
        match self.around {
            Around::Open => Err(QueryError::invalid_argument("its array does not end: the file is cut short")),
            Around::Nothing | Around::Closed => Ok(()),
        }
    }
}
