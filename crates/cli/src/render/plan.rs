//! Plans as the trees that they are: EXPLAIN on a terminal.

use std::io::Write;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;

use super::cells::{Cells, escape_control};
use super::{RenderError, Renderer, Shown};

/// Writes each plan below its name, indented.
pub(super) struct Plans {
    rows: u64,
}

impl Plans {
    pub(super) fn new() -> Self {
        Self { rows: 0 }
    }

    /// Whether rows of this schema are plans.
    pub(super) fn are(schema: &SchemaRef) -> bool {
        let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        names == ["plan_type", "plan"]
    }
}

impl Renderer for Plans {
    fn batch(&mut self, batch: &RecordBatch, out: &mut dyn Write) -> Result<(), RenderError> {
        let cells = Cells::new(batch)?;
        for row in 0..batch.num_rows() {
            if self.rows > 0 {
                writeln!(out)?;
            }
            self.rows += 1;
            let name = cells.text(row, 0)?.unwrap_or_default();
            writeln!(out, "{}", escape_control(&name.replace('_', " ")))?;
            for line in cells.text(row, 1)?.unwrap_or_default().lines() {
                writeln!(out, "  {}", escape_control(line))?;
            }
        }
        Ok(())
    }

    fn finish(&mut self, _: &mut dyn Write) -> Result<Shown, RenderError> {
        Ok(Shown { rows: self.rows, shown: self.rows })
    }
}
