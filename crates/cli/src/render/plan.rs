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
                let (step, counts) = parts(line);
                writeln!(out, "  {}", escape_control(step))?;
                if !counts.is_empty() {
                    let depth = step.len() - step.trim_start().len();
                    writeln!(out, "  {:depth$}    [{}]", "", escape_control(&counts.join(", ")))?;
                }
            }
        }
        Ok(())
    }

    fn finish(&mut self, _: &mut dyn Write) -> Result<Shown, RenderError> {
        Ok(Shown { rows: self.rows, shown: self.rows })
    }
}

/// A line of a plan, and what was counted while it ran: what is nought says nothing.
fn parts(line: &str) -> (&str, Vec<&str>) {
    let Some((step, counts)) = line.rsplit_once(", metrics=[") else { return (line, Vec::new()) };
    let counts = counts.strip_suffix(']').unwrap_or(counts);
    let nothing = |count: &str| {
        let (name, value) = count.split_once('=').unwrap_or(("", count));
        name != "output_rows" && value == "0" || value.starts_with("0 total")
    };
    (step, counts.split(", ").filter(|count| !count.is_empty() && !nothing(count)).collect())
}

#[cfg(test)]
mod tests {
    use super::parts;

    #[test]
    fn counts_stand_apart_from_their_step_and_noughts_are_left_out() {
        let line =
            "  FilterExec: a@0 > 1, metrics=[output_rows=0, elapsed=3.5µs, spilled=0, pages=0 total → 0 matched]";
        assert_eq!(parts(line), ("  FilterExec: a@0 > 1", vec!["output_rows=0", "elapsed=3.5µs"]));
        assert_eq!(parts("  UnionExec, metrics=[]"), ("  UnionExec", vec![]));
        assert_eq!(parts("FilterExec: a@0 > 1"), ("FilterExec: a@0 > 1", vec![]));
    }
}
