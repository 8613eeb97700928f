//! INSERT.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::{not_impl_err, plan_err};
use datafusion::datasource::sink::{DataSink, DataSinkExec};
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::LogicalPlan;
use datafusion::logical_expr::dml::InsertOp;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan};
use floe_table::{AppendOptions, BatchStream, SaveMode, Table, TableError};
use futures::StreamExt;

use super::{DmlReport, run, staging_error};
use crate::error::{QueryError, Result};

/// What an insert does with the rows that are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum InsertMode {
    /// They stay.
    #[default]
    Append,
    /// They are replaced, all of them.
    Overwrite,
}

/// Inserts the rows of a query, matched to the table's columns by name; a column the query lacks becomes null.
///
/// # Errors
/// Rows that do not fit or break a constraint, [`TableError::Conflict`], storage. Nothing is committed then.
pub async fn insert(state: &dyn Session, table: &Table, source: &LogicalPlan, mode: InsertMode) -> Result<DmlReport> {
    let rows = run(state, source).await?;
    write(table, rows, mode).await
}

async fn write(table: &Table, rows: SendableRecordBatchStream, mode: InsertMode) -> Result<DmlReport> {
    let rows: BatchStream = rows.map(|batch| batch.map_err(|e| TableError::Input(Box::new(e)))).boxed();
    let mode = match mode {
        InsertMode::Append => SaveMode::Append,
        InsertMode::Overwrite => SaveMode::Overwrite,
    };
    let options = AppendOptions { mode, ..AppendOptions::default() };
    let report = table.append_with(rows, options).await.map_err(staging_error)?;
    Ok(report.map_or_else(DmlReport::default, |report| DmlReport {
        version: Some(report.version),
        rows_inserted: report.rows_added,
        rows_deleted: report.rows_removed,
        files_added: report.files_added,
        files_removed: report.files_removed,
        ..DmlReport::default()
    }))
}

/// The plan that inserts the rows of another plan, matched to the table's columns by position.
pub(crate) fn insert_plan(
    table: &Table,
    schema: &SchemaRef,
    input: Arc<dyn ExecutionPlan>,
    op: InsertOp,
) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
    let mode = match op {
        InsertOp::Append => InsertMode::Append,
        InsertOp::Overwrite => InsertMode::Overwrite,
        InsertOp::Replace => return not_impl_err!("REPLACE INTO; MERGE INTO says which rows to replace"),
    };
    let given = input.schema();
    if given.fields().len() != schema.fields().len() {
        let (given, wanted) = (given.fields().len(), schema.fields().len());
        return plan_err!("{given} columns are inserted into a table of {wanted}");
    }
    // Null is refused by the table's own constraints, which name the row.
    let nullable = |field: &Arc<Field>| field.as_ref().clone().with_nullable(true);
    let schema = Arc::new(Schema::new(schema.fields().iter().map(nullable).collect::<Vec<_>>()));
    Ok(Arc::new(DataSinkExec::new(input, Arc::new(TableSink { table: table.clone(), schema, mode }), None)))
}

/// Streams rows into a table: one commit at the end.
#[derive(Debug)]
struct TableSink {
    table: Table,
    schema: SchemaRef,
    mode: InsertMode,
}

impl DisplayAs for TableSink {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TableSink: table={}, mode={:?}", self.table.uri(), self.mode)
    }
}

#[async_trait]
impl DataSink for TableSink {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    async fn write_all(&self, data: SendableRecordBatchStream, _: &Arc<TaskContext>) -> DataFusionResult<u64> {
        let schema = self.schema.clone();
        // The planner has put the columns in the table's order; what it calls them is not the table's concern.
        let renamed = data.map(move |batch| {
            let batch = batch?;
            let fields = schema.fields().iter().zip(batch.columns());
            let fields: Vec<Field> = fields
                .map(|(field, column)| field.as_ref().clone().with_data_type(column.data_type().clone()))
                .collect();
            let rows = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
            let columns = batch.columns().to_vec();
            Ok(arrow::array::RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &rows)?)
        });
        let stream = datafusion::physical_plan::stream::RecordBatchStreamAdapter::new(self.schema.clone(), renamed);
        let report = write(&self.table, Box::pin(stream), self.mode).await;
        Ok(report.map_err(|e: QueryError| DataFusionError::from(e))?.rows_inserted)
    }
}
