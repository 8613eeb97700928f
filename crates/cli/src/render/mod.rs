//! Results as text: one renderer a format, fed batch by batch.
//!
//! A renderer holds a bounded part of the result. All but `table` write each batch as it
//! comes; `table` has to know its column widths first, so it looks at the first rows and then streams with these widths.

mod cells;
mod csv;
mod harmless;
mod html;
mod insert;
mod json;
mod line;
mod markdown;
mod plan;
mod table;

use std::io::{self, Write};

use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use floe_storage::variant::{shown, shown_schema};

pub use cells::escape_control;
pub(crate) use html::escaped as escaped_html;

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// Boxes with column names and types.
    #[default]
    Table,
    /// Comma-separated values with a header line; an empty field is null, `""` an empty string.
    Csv,
    /// As csv, with tabs between.
    Tsv,
    /// One JSON array of objects.
    Json,
    /// One JSON object a line.
    Jsonl,
    /// A Markdown table.
    Markdown,
    /// An HTML table.
    Html,
    /// One INSERT statement a row.
    Insert,
    /// One `name = value` line a field.
    Line,
}

/// What the place that the text goes to can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Surface {
    /// Whether a person watches: long results are cut, control characters never pass.
    pub terminal: bool,
    /// Columns of text that fit side by side; `None` is no limit.
    pub width: Option<usize>,
    /// Rows of a table that are shown, the first and the last half of them; `None` is all.
    pub rows: Option<usize>,
    /// Whether boxes are drawn with ASCII alone.
    pub ascii: bool,
    /// Whether colours are shown.
    pub colours: bool,
}

/// Rows shown on a terminal.
const ROWS_ON_TERMINAL: usize = 40;

impl Surface {
    /// The surface that standard output is.
    pub fn stdout() -> Self {
        use std::io::IsTerminal;
        let ascii = !crate::locale::has_unicode();
        if !io::stdout().is_terminal() {
            return Self { ascii, ..Self::default() };
        }
        let width = terminal_size::terminal_size().map(|(width, _)| usize::from(width.0));
        let colours = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { terminal: true, width, rows: Some(ROWS_ON_TERMINAL), ascii, colours }
    }

    /// Standard output through a pager: everything is shown, however long and wide.
    pub fn paged() -> Self {
        Self { width: None, rows: None, colours: false, ..Self::stdout() }
    }
}

/// What went wrong while writing rows.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// The output refused the text; a closed pipe is one of the reasons.
    #[error("cannot write the result")]
    Output(#[from] io::Error),
    /// A value has no text form.
    #[error("cannot show a value of the result")]
    Value(#[from] ArrowError),
}

/// How many rows a result had, and how many of them were written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    /// Rows of the result.
    pub rows: u64,
    /// Rows written; fewer only for a table on a terminal.
    pub shown: u64,
}

/// Writes one result. `batch` any number of times, then `finish` once.
pub trait Renderer {
    /// Takes the next rows.
    ///
    /// # Errors
    /// When the output refuses text or a value cannot be shown.
    fn batch(&mut self, batch: &RecordBatch, out: &mut dyn Write) -> Result<(), RenderError>;

    /// Writes what is still held back and says how much there was.
    ///
    /// # Errors
    /// As [`Renderer::batch`].
    fn finish(&mut self, out: &mut dyn Write) -> Result<Shown, RenderError>;
}

/// The renderer of a format for results of this schema.
///
/// Rows of [`Format::Insert`] go into `insert_into`, written as it stands.
pub fn renderer(format: Format, schema: &SchemaRef, surface: Surface, insert_into: &str) -> Box<dyn Renderer + Send> {
    let of_values: Box<dyn Renderer + Send> = match format {
        Format::Table if plan::Plans::are(schema) => Box::new(plan::Plans::new()),
        Format::Table => Box::new(table::Table::new(schema, surface)),
        Format::Csv => Box::new(csv::Csv::new(schema, surface, ',')),
        Format::Tsv => Box::new(csv::Csv::new(schema, surface, '\t')),
        Format::Json => Box::new(json::Json::array()),
        Format::Jsonl => Box::new(json::Json::lines()),
        Format::Markdown => Box::new(markdown::Markdown::new(schema)),
        Format::Html => Box::new(html::Html::new(schema)),
        Format::Insert => Box::new(insert::Insert::new(schema, insert_into)),
        Format::Line => Box::new(line::Line::new(schema)),
    };
    let of_values: Box<dyn Renderer + Send> = match format {
        Format::Json | Format::Jsonl | Format::Insert if surface.terminal => {
            Box::new(harmless::Harmless::new(of_values))
        }
        _ => of_values,
    };
    match shown_schema(schema) == *schema {
        true => of_values,
        false => Box::new(VariantsAsJson(of_values)),
    }
}

/// Shows variants as the JSON that they hold.
struct VariantsAsJson(Box<dyn Renderer + Send>);

impl Renderer for VariantsAsJson {
    fn batch(&mut self, batch: &RecordBatch, out: &mut dyn Write) -> Result<(), RenderError> {
        self.0.batch(&shown(batch).map_err(ArrowError::ParseError)?, out)
    }

    fn finish(&mut self, out: &mut dyn Write) -> Result<Shown, RenderError> {
        self.0.finish(out)
    }
}

#[cfg(test)]
mod tests;
