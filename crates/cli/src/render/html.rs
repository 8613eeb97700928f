//! An HTML table.

use std::io::Write;

use arrow::array::Array;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;

use super::cells::{Cells, escape_control, is_number};
use super::{RenderError, Renderer, Shown};

pub(super) struct Html {
    head: Option<String>,
    numbers: Vec<bool>,
    rows: u64,
}

impl Html {
    pub(super) fn new(schema: &SchemaRef) -> Self {
        let mut head = String::from("<table>\n<thead>\n<tr>");
        for field in schema.fields() {
            head.push_str(&format!("<th>{}</th>", escaped(field.name())));
        }
        head.push_str("</tr>\n</thead>\n<tbody>\n");
        let numbers = schema.fields().iter().map(|field| is_number(field.data_type())).collect();
        Self { head: Some(head), numbers, rows: 0 }
    }

    fn head(&mut self, out: &mut dyn Write) -> Result<(), RenderError> {
        if let Some(head) = self.head.take() {
            out.write_all(head.as_bytes())?;
        }
        Ok(())
    }
}

impl Renderer for Html {
    fn batch(&mut self, batch: &RecordBatch, out: &mut dyn Write) -> Result<(), RenderError> {
        self.head(out)?;
        let cells = Cells::new(batch)?;
        for row in 0..batch.num_rows() {
            let mut line = String::from("<tr>");
            for (column, number) in self.numbers.iter().enumerate() {
                let value = cells.text(row, column)?.filter(|_| !batch.column(column).is_null(row));
                line.push_str(match (&value, number) {
                    // An empty text is a cell like any other.
                    (None, _) => "<td class=\"null\">",
                    (Some(_), true) => "<td align=\"right\">",
                    (Some(_), false) => "<td>",
                });
                line.push_str(&value.map_or_else(String::new, |value| escaped(&value)));
                line.push_str("</td>");
            }
            writeln!(out, "{line}</tr>")?;
        }
        self.rows += batch.num_rows() as u64;
        Ok(())
    }

    fn finish(&mut self, out: &mut dyn Write) -> Result<Shown, RenderError> {
        self.head(out)?;
        writeln!(out, "</tbody>\n</table>")?;
        Ok(Shown { rows: self.rows, shown: self.rows })
    }
}

/// Text that is no markup, in an element as in an attribute in double quotes.
pub(crate) fn escaped(text: &str) -> String {
    escape_control(text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
