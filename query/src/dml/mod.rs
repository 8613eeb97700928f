//! Changes of rows: DELETE, UPDATE, MERGE and INSERT.
//!
//! Each is one query and one commit. The query runs over a provider whose rows carry their address ([`FILE_COLUMN`],
//! [`ROW_COLUMN`]); subqueries, joins and functions work because the whole is one logical plan. What comes out of it is
//! streamed: addresses go into bitmaps, new rows into files. The transaction turns bitmaps into deletion vectors, or into
//! rewritten files where the table has none, and commits both together.
//!
//! ```text
//!             ┌ addresses ─► RowSets ─► transaction.delete_rows ┐
//!   query ────┤                                                 ├─► one commit
//!             └ new rows  ─► transaction.stage_rows ────────────┘
//! ```
//!
//! Nothing is committed where nothing changed. What was asked of the table is registered as read, so that a commit which
//! adds such rows meanwhile is a conflict and not a lost change.

mod by_key;
mod delete;
mod insert;
mod merge;
mod plan;
mod touched;
mod update;

use std::sync::Arc;

use datafusion::catalog::Session;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Column, TableReference};
use datafusion::datasource::{provider_as_source, source_as_provider};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use floe_table::{CommitOutcome, Snapshot, Table, TableError, Transaction};
use floe_table_format::{Predicate, Version};

use crate::error::{QueryError, Result};
use crate::filters;
use crate::progress::run_watched;
use crate::provider::FloeTableProvider;
use crate::scan_exec::{FILE_COLUMN, ROW_COLUMN};

pub use delete::delete;
pub use insert::{InsertMode, insert};
pub use merge::merge;
pub use update::update;

pub(crate) use insert::insert_plan;
pub(crate) use merge::{explain_merge, merge_growing};
pub(crate) use plan::{RowChange, change_plan, planned_source};

/// What a change of rows did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[must_use]
pub struct DmlReport {
    /// The version it became; none where there was nothing to change.
    pub version: Option<Version>,
    /// Rows that are new.
    pub rows_inserted: u64,
    /// Rows that got new values.
    pub rows_updated: u64,
    /// Rows that are gone. Not known where whole files without statistics were removed.
    pub rows_deleted: u64,
    /// Files written.
    pub files_added: u64,
    /// Files that are gone or got a new deletion vector.
    pub files_removed: u64,
}

impl DmlReport {
    /// All rows that changed.
    pub fn rows_changed(&self) -> u64 {
        self.rows_inserted + self.rows_updated + self.rows_deleted
    }
}

/// Scans the snapshot's rows with their addresses, under the name by which expressions call them.
fn addressed_scan(snapshot: &Arc<Snapshot>, target: &TableReference) -> Result<LogicalPlanBuilder> {
    let provider = FloeTableProvider::at(snapshot.clone())?.with_row_address()?;
    Ok(LogicalPlanBuilder::scan(target.clone(), provider_as_source(Arc::new(provider)), None)?)
}

/// The address of a row of the target.
fn address_columns(target: &TableReference) -> [Expr; 2] {
    [FILE_COLUMN, ROW_COLUMN].map(|name| Expr::Column(Column::new(Some(target.clone()), name)))
}

/// Runs a query, its partitions as one stream in no particular order.
async fn run(state: &dyn Session, plan: &LogicalPlan) -> Result<SendableRecordBatchStream> {
    let physical = state.create_physical_plan(plan).await?;
    Ok(run_watched(state.config(), physical, state.task_ctx())?)
}

/// What a condition on rows of the target reads. Parts that name other relations or hold subqueries count as true.
fn read_by(predicate: &Expr, snapshot: &Snapshot, target: &TableReference) -> Predicate {
    let own: Vec<&Expr> = split_conjunction(predicate).into_iter().filter(|part| is_about(part, target)).collect();
    filters::to_read_predicate(own, &snapshot.state().schema)
}

/// Whether all columns an expression names may be columns of the target.
fn is_about(expr: &Expr, target: &TableReference) -> bool {
    let own = |column: &Column| column.relation.as_ref().is_none_or(|relation| relation.resolved_eq(target));
    expr.column_refs().into_iter().all(own)
}

/// Whether a query reads the table besides scanning it for the rows to change: in a subquery or as the source of a merge.
fn reads_elsewhere(plan: &LogicalPlan, table: &Table) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Ok(provider) = source_as_provider(&scan.source)
            && let Some(provider) = provider.downcast_ref::<FloeTableProvider>()
        {
            found |= provider.table().uri() == table.uri() && !provider.has_row_address();
        }
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

/// Commits; a lost race is an error here, with the staged files deleted.
async fn commit(table: &Table, transaction: Transaction, counts: DmlReport) -> Result<DmlReport> {
    match transaction.commit().await? {
        CommitOutcome::Committed(report) => {
            // The change stands, whatever becomes of the upkeep.
            let _ = Box::pin(table.upkeep()).await;
            Ok(DmlReport {
                version: Some(report.version),
                files_added: report.files_added,
                files_removed: report.files_removed,
                ..counts
            })
        }
        CommitOutcome::Conflicted { transaction, why } => {
            let operation = transaction.operation().name.clone();
            transaction.roll_back().await;
            Err(TableError::Conflict { table: table.uri().to_owned(), operation, why }.into())
        }
    }
}

/// An expression as the history shows it: a list of conditions, as Spark writes it.
fn shown(predicate: Option<&Expr>) -> String {
    let parts: Vec<String> = predicate.into_iter().map(|p| p.human_display().to_string()).collect();
    serde_json::Value::from(parts).to_string()
}

/// An error of staging, with what the query said unwrapped.
fn staging_error(error: TableError) -> QueryError {
    match error {
        TableError::Input(source) => QueryError::from(datafusion::error::DataFusionError::External(source)),
        other => other.into(),
    }
}
