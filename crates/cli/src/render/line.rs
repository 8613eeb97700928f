//! One field a line, for rows too wide to read side by side.

use std::io::Write;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use unicode_width::UnicodeWidthStr;

use super::cells::{Cells, escape_control};
use super::{RenderError, Renderer, Shown};

pub(super) struct Line {
    names: Vec<String>,
    rows: u64,
}

impl Line {
    pub(super) fn new(schema: &SchemaRef) -> Self {
        let names: Vec<_> = schema.fields().iter().map(|field| escape_control(field.name()).into_owned()).collect();
        let width = names.iter().map(|name| name.width()).max().unwrap_or(0);
        let names = names.into_iter().map(|name| format!("{}{name}", " ".repeat(width - name.width()))).collect();
        Self { names, rows: 0 }
    }
}

impl Renderer for Line {
    fn batch(&mut self, batch: &RecordBatch, out: &mut dyn Write) -> Result<(), RenderError> {
        let cells = Cells::new(batch)?;
        for row in 0..batch.num_rows() {
            if self.rows > 0 {
                writeln!(out)?;
            }
            for (name, value) in self.names.iter().zip(cells.readable(row)?) {
                writeln!(out, "{name} = {}", value.text)?;
            }
            self.rows += 1;
        }
        Ok(())
    }

    fn finish(&mut self, _out: &mut dyn Write) -> Result<Shown, RenderError> {
        Ok(Shown { rows: self.rows, shown: self.rows })
    }
}
