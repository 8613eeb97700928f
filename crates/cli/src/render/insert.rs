//! Statements that insert the rows again.

use std::io::Write;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

use super::cells::{Cells, is_number};
use super::{RenderError, Renderer, Shown};

pub(super) struct Insert {
    /// What stands before the values of a row.
    before: String,
    rows: u64,
}

impl Insert {
    pub(super) fn new(schema: &SchemaRef, table: &str) -> Self {
        let names: Vec<String> = schema.fields().iter().map(|field| quoted(field.name())).collect();
        Self { before: format!("INSERT INTO {table} ({}) VALUES (", names.join(", ")), rows: 0 }
    }
}

impl Renderer for Insert {
    fn batch(&mut self, batch: &RecordBatch, out: &mut dyn Write) -> Result<(), RenderError> {
        let cells = Cells::new(batch)?;
        for row in 0..batch.num_rows() {
            let mut line = self.before.clone();
            for column in 0..batch.num_columns() {
                if column > 0 {
                    line.push_str(", ");
                }
                line.push_str(&value(batch, &cells, row, column)?);
            }
            writeln!(out, "{line});")?;
        }
        self.rows += batch.num_rows() as u64;
        Ok(())
    }

    fn finish(&mut self, _out: &mut dyn Write) -> Result<Shown, RenderError> {
        Ok(Shown { rows: self.rows, shown: self.rows })
    }
}

/// A value as SQL says it.
fn value(batch: &RecordBatch, cells: &Cells<'_>, row: usize, column: usize) -> Result<String, RenderError> {
    let array = batch.column(column);
    let Some(text) = cells.text(row, column)?.filter(|_| !array.is_null(row)) else { return Ok("NULL".to_owned()) };
    let literal = || format!("'{}'", text.replace('\'', "''"));
    Ok(match array.data_type() {
        DataType::Boolean => text,
        // NaN and the infinities are no numbers in SQL.
        DataType::Float16 | DataType::Float32 | DataType::Float64 if !text.ends_with(|c: char| c.is_ascii_digit()) => {
            format!("CAST({} AS DOUBLE)", literal())
        }
        kind if is_number(kind) => text,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => literal(),
        DataType::Date32 | DataType::Date64 => format!("DATE {}", literal()),
        DataType::Timestamp(_, _) => format!("TIMESTAMP {}", literal()),
        DataType::Binary => format!("X'{}'", hex(array.as_binary::<i32>().value(row))),
        DataType::BinaryView => format!("X'{}'", hex(array.as_binary_view().value(row))),
        other => {
            let name = batch.schema().field(column).name().clone();
            let what = format!("column {name} is {other}, which has no literal in SQL; .mode json shows it");
            return Err(ArrowError::NotYetImplemented(what).into());
        }
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}
