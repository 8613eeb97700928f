//! Values separated by commas after RFC 4180, or by tabs with the same quotes.

use std::io::Write;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::record_batch::RecordBatch;

use super::cells::{Cells, escape_control};
use super::json::json_texts;
use super::{RenderError, Renderer, Shown, Surface};

pub(super) struct Csv {
    header: Option<Vec<String>>,
    separator: char,
    terminal: bool,
    rows: u64,
}

impl Csv {
    pub(super) fn new(schema: &SchemaRef, surface: Surface, separator: char) -> Self {
        let header = schema.fields().iter().map(|field| field.name().clone()).collect();
        Self { header: Some(header), separator, terminal: surface.terminal, rows: 0 }
    }

    /// Quotes what a reader would split or take for null. A terminal is no file: there, control characters are escaped.
    fn field(&self, text: &str, line: &mut String) {
        let text = if self.terminal { escape_control(text) } else { text.into() };
        if text.is_empty() || text.contains([self.separator, '"', '\n', '\r']) {
            line.push('"');
            line.push_str(&text.replace('"', "\"\""));
            line.push('"');
        } else {
            line.push_str(&text);
        }
    }

    fn header(&mut self, out: &mut dyn Write) -> Result<(), RenderError> {
        let Some(names) = self.header.take() else { return Ok(()) };
        let mut line = String::new();
        for (column, name) in names.iter().enumerate() {
            if column > 0 {
                line.push(self.separator);
            }
            self.field(name, &mut line);
        }
        line.push('\n');
        out.write_all(line.as_bytes())?;
        Ok(())
    }
}

impl Renderer for Csv {
    fn batch(&mut self, batch: &RecordBatch, out: &mut dyn Write) -> Result<(), RenderError> {
        self.header(out)?;
        let cells = Cells::new(batch)?;
        // Nested values have no form of their own in this format; JSON is the one that other tools read back.
        let nested: Vec<Option<Vec<String>>> = batch.columns().iter().map(nested_as_json).collect();
        let mut line = String::new();
        for row in 0..batch.num_rows() {
            line.clear();
            for (column, json) in nested.iter().enumerate() {
                if column > 0 {
                    line.push(self.separator);
                }
                if batch.column(column).is_null(row) {
                    continue;
                }
                match json {
                    Some(json) => self.field(&json[row], &mut line),
                    None => {
                        if let Some(text) = cells.text(row, column)? {
                            self.field(&text, &mut line);
                        }
                    }
                }
            }
            line.push('\n');
            out.write_all(line.as_bytes())?;
        }
        self.rows += batch.num_rows() as u64;
        Ok(())
    }

    fn finish(&mut self, out: &mut dyn Write) -> Result<Shown, RenderError> {
        self.header(out)?;
        Ok(Shown { rows: self.rows, shown: self.rows })
    }
}

/// The column's values as JSON where they are nested and JSON can say them; a map with keys other than strings cannot,
/// and keeps the form it has in a table.
fn nested_as_json(column: &ArrayRef) -> Option<Vec<String>> {
    match column.data_type() {
        DataType::Struct(_)
        | DataType::Map(..)
        | DataType::List(_)
        | DataType::LargeList(_)
        | DataType::FixedSizeList(..) => json_texts(column.as_ref()).ok(),
        _ => None,
    }
}
