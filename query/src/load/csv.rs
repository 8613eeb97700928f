//! Records of CSV.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringBuilder};
use arrow::datatypes::{DataType, SchemaRef};
use csv_core::ReadRecordResult;
use floe_table_format::error::printable;

use crate::error::{QueryError, Result};
use crate::load::fit::fitted_batch;
use crate::load::{BATCH_BYTES, BATCH_ROWS, BadRecord, Decoded, Packing, RECORD_BYTES_MAX, Records};

/// How the files are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CsvOptions {
    /// Whether the first record of each file names its columns.
    pub(crate) header: bool,
    /// By the name of the file where nothing is said: a tab for `.tsv`, else a comma.
    pub(crate) delimiter: Option<u8>,
    pub(crate) quote: u8,
    /// Beside a quote in a quoted field written twice.
    pub(crate) escape: Option<u8>,
    /// What begins a line that says nothing.
    pub(crate) comment: Option<u8>,
    /// The text that is NULL.
    pub(crate) null: String,
}

impl Default for CsvOptions {
    fn default() -> Self {
        CsvOptions { header: true, delimiter: None, quote: b'"', escape: None, comment: None, null: String::new() }
    }
}

impl CsvOptions {
    fn delimiter(&self, path: &str) -> u8 {
        let tabs = Packing::of_path(path).1.to_ascii_lowercase().ends_with(".tsv");
        self.delimiter.unwrap_or(if tabs { b'\t' } else { b',' })
    }

    /// A quote that escapes itself is one written twice.
    fn escape(&self) -> Option<u8> {
        self.escape.filter(|escape| *escape != self.quote)
    }

    pub(crate) fn reader(&self, path: &str) -> csv_core::Reader {
        csv_core::ReaderBuilder::new()
            .delimiter(self.delimiter(path))
            .quote(self.quote)
            .escape(self.escape())
            .comment(self.comment)
            .build()
    }
}

/// Where the columns of the rows are in a file's records.
enum Columns {
    /// The first record will tell.
    InHeader,
    At {
        /// Fields of a record.
        width: usize,
        /// For each column of the rows its field.
        fields: Vec<Option<usize>>,
    },
}

/// The records of one file.
pub(crate) struct CsvRecords {
    reader: csv_core::Reader,
    null: String,
    comment: Option<u8>,
    delimiter: u8,
    quote: u8,
    escape: Option<u8>,
    schema: SchemaRef,
    columns: Columns,
    /// What has been read of the record that is being read: its bytes, the text of its fields, and where those end.
    raw: Vec<u8>,
    text: Vec<u8>,
    text_len: usize,
    ends: Vec<usize>,
    ends_len: usize,
    /// Line breaks before [`CsvRecords::raw`].
    lines: u64,
    /// Rows that are not yet a batch, and the records they come from.
    builders: Vec<StringBuilder>,
    rows: Vec<(u64, usize)>,
    raws: Vec<u8>,
    /// Records among them that do not even have the right fields.
    bad: Vec<BadRecord>,
}

impl CsvRecords {
    /// Reads rows of this schema. Without a header, records have the columns of the schema in its order.
    pub(crate) fn new(options: &CsvOptions, path: &str, schema: SchemaRef) -> Self {
        let width = schema.fields().len();
        let columns = match options.header {
            true => Columns::InHeader,
            false => Columns::At { width, fields: (0..width).map(Some).collect() },
        };
        CsvRecords {
            reader: options.reader(path),
            null: options.null.clone(),
            comment: options.comment,
            delimiter: options.delimiter(path),
            quote: options.quote,
            escape: options.escape(),
            columns,
            raw: Vec::new(),
            text: vec![0; 4096],
            text_len: 0,
            ends: vec![0; width.max(16)],
            ends_len: 0,
            lines: 0,
            builders: (0..width).map(|_| StringBuilder::new()).collect(),
            rows: Vec::new(),
            raws: Vec::new(),
            bad: Vec::new(),
            schema,
        }
    }

    /// Where the record begins in [`CsvRecords::raw`], behind empty lines and comments.
    fn record_start(&self) -> usize {
        let mut start = 0;
        loop {
            let rest = &self.raw[start..];
            start += rest.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(rest.len());
            match self.raw.get(start) {
                Some(first) if Some(*first) == self.comment => {
                    let rest = &self.raw[start..];
                    start += rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
                }
                _ => return start,
            }
        }
    }

    /// Takes the record that has just been read up.
    fn take(&mut self, out: &mut Decoded) -> Result<()> {
        let start = self.record_start();
        let end = self.raw.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n')).map_or(start, |last| last + 1);
        let end = end.max(start);
        let line = self.lines + breaks(&self.raw[..start]) + 1;
        let text = std::str::from_utf8(&self.text[..self.text_len]);
        let ends = &self.ends[..self.ends_len];
        let starts = std::iter::once(0).chain(ends.iter().copied());
        // Fields of which only all together are UTF-8 are cut inside of a character.
        let fields: Option<Vec<&str>> =
            text.ok().and_then(|text| starts.zip(ends).map(|(start, end)| text.get(start..*end)).collect());
        match (&self.columns, fields) {
            (Columns::InHeader, fields) => {
                let fields = fields.ok_or_else(|| QueryError::invalid_argument("the header is no UTF-8"))?;
                self.columns = find_columns(&self.schema, &fields)?;
            }
            (Columns::At { width, .. }, Some(fields)) if fields.len() != *width => {
                let reason = format!("it has {} fields where {width} are expected", fields.len());
                self.bad.push(self.bad_record(line, reason, start, end));
            }
            (Columns::At { fields: places, .. }, Some(fields)) => {
                // An empty text in quotes is no NULL.
                let quoted = match self.null.is_empty() && fields.iter().any(|field| field.is_empty()) {
                    true => self.quoted_fields(&self.raw[start..end]),
                    false => Vec::new(),
                };
                for (at, place) in places.iter().enumerate() {
                    let value = place.and_then(|place| Some((*fields.get(place)?, quoted.get(place) == Some(&true))));
                    let value = value.and_then(|(value, quoted)| match is_text(self.schema.field(at).data_type()) {
                        true => (value != self.null || quoted).then_some(value),
                        false => Some(value.trim()).filter(|value| *value != self.null),
                    });
                    self.builders[at].append_option(value);
                }
                self.raws.extend_from_slice(&self.raw[start..end]);
                self.rows.push((line, self.raws.len()));
            }
            (Columns::At { .. }, None) => self.bad.push(self.bad_record(line, "it is no UTF-8".into(), start, end)),
        }
        self.begin_next();
        let full = self.rows.len() + self.bad.len() >= BATCH_ROWS || self.raws.len() >= BATCH_BYTES;
        if full { self.flush(out) } else { Ok(()) }
    }

    /// Which fields of a record are in quotes.
    fn quoted_fields(&self, record: &[u8]) -> Vec<bool> {
        let mut fields = vec![record.first() == Some(&self.quote)];
        let mut inside = false;
        let mut bytes = record.iter();
        while let Some(byte) = bytes.next() {
            match *byte {
                byte if inside && Some(byte) == self.escape => _ = bytes.next(),
                // Two of them leave and enter again.
                byte if byte == self.quote => inside = !inside,
                byte if byte == self.delimiter && !inside => {
                    fields.push(bytes.as_slice().first() == Some(&self.quote));
                }
                _ => {}
            }
        }
        fields
    }

    fn begin_next(&mut self) {
        self.lines += breaks(&self.raw);
        self.raw.clear();
        (self.text_len, self.ends_len) = (0, 0);
    }

    fn bad_record(&self, line: u64, reason: String, start: usize, end: usize) -> BadRecord {
        BadRecord { line, reason, record: String::from_utf8_lossy(&self.raw[start..end]).into_owned() }
    }

    /// Makes a batch of the rows that are there, and hands the bad records over in their order.
    fn flush(&mut self, out: &mut Decoded) -> Result<()> {
        if !self.rows.is_empty() {
            self.make_batch(out)?;
        }
        self.bad.sort_by_key(|bad| bad.line);
        out.bad.append(&mut self.bad);
        Ok(())
    }

    fn make_batch(&mut self, out: &mut Decoded) -> Result<()> {
        let texts = self.builders.iter_mut().map(|builder| Arc::new(builder.finish()) as ArrayRef);
        let (batch, reasons) = fitted_batch(&texts.collect::<Vec<_>>(), &self.schema, self.rows.len())?;
        for (row, reason) in reasons {
            let start = if row == 0 { 0 } else { self.rows[row - 1].1 };
            let (line, end) = self.rows[row];
            let record = String::from_utf8_lossy(&self.raws[start..end]).into_owned();
            self.bad.push(BadRecord { line, reason, record });
        }
        out.batches.extend(batch);
        self.rows.clear();
        self.raws.clear();
        Ok(())
    }

    fn step(&mut self, bytes: &mut &[u8], out: &mut Decoded) -> Result<ReadRecordResult> {
        let (text, ends) = (&mut self.text[self.text_len..], &mut self.ends[self.ends_len..]);
        let (result, read, written, ended) = self.reader.read_record(bytes, text, ends);
        self.raw.extend_from_slice(&bytes[..read]);
        *bytes = &bytes[read..];
        self.text_len += written;
        self.ends_len += ended;
        match result {
            ReadRecordResult::OutputFull => self.text.resize(self.text.len() * 2, 0),
            ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
            ReadRecordResult::Record => self.take(out)?,
            ReadRecordResult::InputEmpty | ReadRecordResult::End => {}
        }
        if self.raw.len() > RECORD_BYTES_MAX {
            if self.raw[self.record_start()..].is_empty() {
                self.begin_next();
                return Ok(result);
            }
            return Err(QueryError::invalid_argument(format!(
                "the record on line {} takes more than {} MiB: is a quote not closed?",
                self.lines + breaks(&self.raw[..self.record_start()]) + 1,
                RECORD_BYTES_MAX >> 20
            )));
        }
        Ok(result)
    }
}

impl Records for CsvRecords {
    fn push(&mut self, mut bytes: &[u8], out: &mut Decoded) -> Result<()> {
        while !bytes.is_empty() {
            self.step(&mut bytes, out)?;
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut Decoded) -> Result<()> {
        if !self.raw[self.record_start()..].is_empty() {
            // A line break ends the last record, unless it lies in a field that a quote has begun and none has ended.
            let read = self.raw.len();
            self.push(b"\n", out)?;
            if !self.raw.is_empty() {
                let start = self.record_start();
                let line = self.lines + breaks(&self.raw[..start]) + 1;
                let reason = "a quote is not closed, up to the end of the file".to_owned();
                self.bad.push(self.bad_record(line, reason, start, read));
                self.begin_next();
            }
        }
        self.flush(out)
    }
}

fn breaks(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte == b'\n').count() as u64
}

fn is_text(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Utf8
            | DataType::LargeUtf8
            | DataType::Utf8View
            | DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView
    )
}

/// Finds the columns of the rows in a header.
fn find_columns(schema: &SchemaRef, header: &[&str]) -> Result<Columns> {
    let place = |name: &str| {
        let exact = header.iter().position(|column| *column == name);
        exact.or_else(|| header.iter().position(|column| column.eq_ignore_ascii_case(name)))
    };
    let fields: Vec<Option<usize>> = schema.fields().iter().map(|field| place(field.name())).collect();
    let unknown = (0..header.len()).find(|at| !fields.contains(&Some(*at)));
    if let Some(at) = unknown {
        let known: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        return Err(QueryError::invalid_argument(format!(
            "its header names a column {} that the first of the files has not: they have {}; load it by itself",
            printable(header[at]),
            printable(&known.join(", "))
        )));
    }
    Ok(Columns::At { width: header.len(), fields })
}
