//! Rows made here and not read from a table: what DESCRIBE, SHOW and the table functions give.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Int32Builder, Int64Builder, ListBuilder, MapBuilder, RecordBatch, StringBuilder,
    TimestampMillisecondBuilder,
};
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::catalog::{MemTable, TableProvider};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use floe_table_format::{TimestampMs, Version};
use futures::stream;

use crate::error::Result;
use crate::output::Outcome;

/// One cell.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cell {
    Text(Option<String>),
    Long(Option<i64>),
    Integer(Option<i32>),
    Boolean(Option<bool>),
    /// Shown in UTC.
    Time(Option<TimestampMs>),
    List(Vec<String>),
    Map(Vec<(String, Option<String>)>),
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Cell::Text(Some(text.to_owned()))
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Cell::Text(Some(text))
    }
}

impl From<Option<String>> for Cell {
    fn from(text: Option<String>) -> Self {
        Cell::Text(text)
    }
}

impl From<Version> for Cell {
    fn from(version: Version) -> Self {
        Cell::Long(Some(version.as_i64()))
    }
}

impl From<bool> for Cell {
    fn from(value: bool) -> Self {
        Cell::Boolean(Some(value))
    }
}

/// Builds one column of cells of one kind.
enum Column {
    Text(StringBuilder),
    Long(Int64Builder),
    Integer(Int32Builder),
    Boolean(BooleanBuilder),
    Time(TimestampMillisecondBuilder),
    List(ListBuilder<StringBuilder>),
    Map(MapBuilder<StringBuilder, StringBuilder>),
}

impl Column {
    fn like(cell: &Cell) -> Column {
        match cell {
            Cell::Text(_) => Column::Text(StringBuilder::new()),
            Cell::Long(_) => Column::Long(Int64Builder::new()),
            Cell::Integer(_) => Column::Integer(Int32Builder::new()),
            Cell::Boolean(_) => Column::Boolean(BooleanBuilder::new()),
            Cell::Time(_) => Column::Time(TimestampMillisecondBuilder::new().with_timezone("UTC")),
            Cell::List(_) => Column::List(ListBuilder::new(StringBuilder::new())),
            Cell::Map(_) => Column::Map(MapBuilder::new(None, StringBuilder::new(), StringBuilder::new())),
        }
    }

    fn push(&mut self, cell: Cell) -> Result<()> {
        match (self, cell) {
            (Column::Text(out), Cell::Text(value)) => out.append_option(value),
            (Column::Long(out), Cell::Long(value)) => out.append_option(value),
            (Column::Integer(out), Cell::Integer(value)) => out.append_option(value),
            (Column::Boolean(out), Cell::Boolean(value)) => out.append_option(value),
            (Column::Time(out), Cell::Time(value)) => out.append_option(value.map(|t| t.0)),
            (Column::List(out), Cell::List(values)) => {
                for value in values {
                    out.values().append_value(value);
                }
                out.append(true);
            }
            (Column::Map(out), Cell::Map(entries)) => {
                for (key, value) in entries {
                    out.keys().append_value(key);
                    out.values().append_option(value);
                }
                out.append(true)?;
            }
            _ => {
                return Err(crate::QueryError::invalid_argument("a row with cells of other kinds than its columns"));
            }
        }
        Ok(())
    }

    fn finish(mut self) -> ArrayRef {
        match &mut self {
            Column::Text(out) => Arc::new(out.finish()),
            Column::Long(out) => Arc::new(out.finish()),
            Column::Integer(out) => Arc::new(out.finish()),
            Column::Boolean(out) => Arc::new(out.finish()),
            Column::Time(out) => Arc::new(out.finish()),
            Column::List(out) => Arc::new(out.finish()),
            Column::Map(out) => Arc::new(out.finish()),
        }
    }
}

/// A small table of rows. The kinds of its columns are those of `kinds`, so that a table without rows has columns too.
pub(crate) struct Rows {
    names: Vec<&'static str>,
    columns: Vec<Column>,
}

impl Rows {
    /// Columns by name, each with a cell of its kind.
    pub(crate) fn new(columns: &[(&'static str, Cell)]) -> Self {
        Rows {
            names: columns.iter().map(|(name, _)| *name).collect(),
            columns: columns.iter().map(|(_, cell)| Column::like(cell)).collect(),
        }
    }

    pub(crate) fn push(&mut self, cells: Vec<Cell>) -> Result<()> {
        for (column, cell) in self.columns.iter_mut().zip(cells) {
            column.push(cell)?;
        }
        Ok(())
    }

    fn finish(self) -> Result<(SchemaRef, RecordBatch)> {
        let arrays: Vec<ArrayRef> = self.columns.into_iter().map(Column::finish).collect();
        let fields: Vec<Field> = self
            .names
            .iter()
            .zip(&arrays)
            .map(|(name, array)| Field::new(*name, array.data_type().clone(), true))
            .collect();
        let schema = Arc::new(Schema::new(fields));
        let batch = RecordBatch::try_new(schema.clone(), arrays)?;
        Ok((schema, batch))
    }

    /// As the rows of a statement.
    pub(crate) fn outcome(self) -> Result<Outcome> {
        let (schema, batch) = self.finish()?;
        let stream = RecordBatchStreamAdapter::new(schema, stream::iter([Ok(batch)]));
        Ok(Outcome::Rows(Box::pin(stream)))
    }

    /// As a relation of a query.
    pub(crate) fn provider(self) -> Result<Arc<dyn TableProvider>> {
        let (schema, batch) = self.finish()?;
        Ok(Arc::new(MemTable::try_new(schema, vec![vec![batch]])?))
    }
}
