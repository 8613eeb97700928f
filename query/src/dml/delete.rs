//! DELETE.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::catalog::Session;
use datafusion::common::{ScalarValue, TableReference};
use datafusion::logical_expr::Expr;
use floe_table::{Snapshot, Table, Transaction};
use floe_table_format::{Operation, Predicate};
use futures::StreamExt;

use super::touched::TouchedRows;
use super::{DmlReport, address_columns, addressed_scan, commit, read_by, reads_elsewhere, run, shown};
use crate::error::Result;
use crate::filters;
use crate::provider::FloeTableProvider;

/// Deletes the rows for which the predicate is true; all of them without one.
///
/// Columns of the predicate are unqualified or qualified by `target`. A predicate on partition columns alone reads no data
/// file, and neither does deleting everything.
///
/// # Errors
/// A predicate that cannot be planned or evaluated, [`floe_table::TableError::Conflict`], storage. Nothing is committed then.
pub async fn delete(
    state: &dyn Session,
    table: &Table,
    target: &TableReference,
    predicate: Option<Expr>,
) -> Result<DmlReport> {
    let snapshot = table.snapshot().await?;
    let operation = Operation::new("DELETE").with_parameter("predicate", shown(predicate.as_ref()));
    let mut transaction = table.begin_at(&snapshot, operation)?;
    let rows_deleted = match predicate {
        None | Some(Expr::Literal(ScalarValue::Boolean(Some(true)), _)) => {
            transaction.read_whole_table();
            let everything = snapshot.scan().plan()?;
            remove_files(&mut transaction, &everything)?
        }
        Some(predicate) => {
            transaction.read_predicate(read_by(&predicate, &snapshot, target));
            match whole_files(state, &snapshot, &predicate)? {
                Some(files) => remove_files(&mut transaction, &files)?,
                None => delete_rows(state, &mut transaction, &snapshot, target, predicate).await?,
            }
        }
    };
    if transaction.is_empty() {
        return Ok(DmlReport::default());
    }
    commit(table, transaction, DmlReport { rows_deleted, ..DmlReport::default() }).await
}

/// The files whose rows are all to be deleted, if the predicate is about files alone.
fn whole_files(
    state: &dyn Session,
    snapshot: &Arc<Snapshot>,
    predicate: &Expr,
) -> Result<Option<floe_table::ScanPlan>> {
    let table_state = snapshot.state();
    let partition_columns: HashSet<&str> = table_state.metadata.partition_columns.iter().map(String::as_str).collect();
    if !filters::is_partition_only(predicate, &partition_columns) {
        return Ok(None);
    }
    let pruning = match filters::to_predicate([predicate], &table_state.schema) {
        Predicate::Unknown => Predicate::True,
        known => known,
    };
    let plan = snapshot.scan().with_predicate(pruning).plan()?;
    let provider = FloeTableProvider::at(snapshot.clone())?;
    Ok(Some(provider.retain_matching_files(state, plan, std::slice::from_ref(predicate))?))
}

fn remove_files(transaction: &mut Transaction, plan: &floe_table::ScanPlan) -> Result<u64> {
    let mut rows = 0;
    for file in &plan.files {
        rows += crate::scan_exec::live_rows(file).unwrap_or(0);
        transaction.remove_file(&file.log_path)?;
    }
    Ok(rows)
}

async fn delete_rows(
    state: &dyn Session,
    transaction: &mut Transaction,
    snapshot: &Arc<Snapshot>,
    target: &TableReference,
    predicate: Expr,
) -> Result<u64> {
    let plan = addressed_scan(snapshot, target)?.filter(predicate)?.project(address_columns(target))?.build()?;
    if reads_elsewhere(&plan, snapshot.table())? {
        transaction.read_whole_table();
    }
    let mut rows = run(state, &plan).await?;
    let mut touched = TouchedRows::default();
    while let Some(batch) = rows.next().await {
        touched.add(&batch?, 0, 1)?;
    }
    let count = touched.rows();
    touched.delete_from(transaction, snapshot.state());
    Ok(count)
}
