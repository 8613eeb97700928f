//! A Markdown table, numbers to the right.

use std::io::Write;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;

use super::cells::{Cells, escape_control, is_number};
use super::{RenderError, Renderer, Shown};

pub(super) struct Markdown {
    header: Option<String>,
    rows: u64,
}

impl Markdown {
    pub(super) fn new(schema: &SchemaRef) -> Self {
        let mut header = String::from("|");
        for field in schema.fields() {
            header.push_str(&format!(" {} |", cell(&escape_control(field.name()))));
        }
        header.push_str("\n|");
        for field in schema.fields() {
            header.push_str(if is_number(field.data_type()) { "---:|" } else { "---|" });
        }
        header.push('\n');
        Self { header: Some(header), rows: 0 }
    }

    fn header(&mut self, out: &mut dyn Write) -> Result<(), RenderError> {
        if let Some(header) = self.header.take() {
            out.write_all(header.as_bytes())?;
        }
        Ok(())
    }
}

impl Renderer for Markdown {
    fn batch(&mut self, batch: &RecordBatch, out: &mut dyn Write) -> Result<(), RenderError> {
        self.header(out)?;
        let cells = Cells::new(batch)?;
        for row in 0..batch.num_rows() {
            let mut line = String::from("|");
            for value in cells.readable(row)? {
                line.push_str(&format!(" {} |", cell(&value.text)));
            }
            writeln!(out, "{line}")?;
        }
        self.rows += batch.num_rows() as u64;
        Ok(())
    }

    fn finish(&mut self, out: &mut dyn Write) -> Result<Shown, RenderError> {
        self.header(out)?;
        Ok(Shown { rows: self.rows, shown: self.rows })
    }
}

/// A bar would end the cell, and a backslash before it would undo the escape.
fn cell(text: &str) -> String {
    text.replace('\\', "\\\\").replace('|', "\\|")
}
