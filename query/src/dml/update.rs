//! UPDATE.

use std::sync::{Arc, Mutex};

use arrow::array::RecordBatch;
use datafusion::catalog::Session;
use datafusion::common::{Column, TableReference};
use datafusion::logical_expr::{Expr, ExprSchemable};
use floe_table::{ChangedRows, IdentityValues, Table, TableError};
use floe_table_format::{Operation, Predicate, StructType};
use futures::StreamExt;

use super::touched::{TouchedRows, addresses};
use super::{DmlReport, address_columns, addressed_scan, commit, read_by, reads_elsewhere, run, shown, staging_error};
use crate::error::{QueryError, Result};
use crate::provider::FloeTableProvider;

/// Gives columns new values in the rows for which the predicate is true; in all rows without one.
///
/// Assignments name columns of the table; their values, like the predicate, see the row as it was, with columns unqualified
/// or qualified by `target`. A value is cast to its column's type, and one that does not fit is an error.
///
/// # Errors
/// Unknown columns, values that do not fit, constraints, [`TableError::Conflict`], storage. Nothing is committed then.
pub async fn update(
    state: &dyn Session,
    table: &Table,
    target: &TableReference,
    assignments: Vec<(String, Expr)>,
    predicate: Option<Expr>,
) -> Result<DmlReport> {
    let snapshot = table.snapshot().await?;
    let columns = FloeTableProvider::at(snapshot.clone())?.columns();
    let operation = Operation::new("UPDATE").with_parameter("predicate", shown(predicate.as_ref()));
    let mut transaction = table.begin_at(&snapshot, operation)?;
    transaction.identity_values(IdentityValues::Keep);
    let read = predicate.as_ref().map_or(Predicate::True, |p| read_by(p, &snapshot, target));
    transaction.read_predicate(read);

    let mut scan = addressed_scan(&snapshot, target)?;
    if let Some(predicate) = predicate {
        scan = scan.filter(predicate)?;
    }
    let mut output = Vec::with_capacity(columns.fields().len() + 2);
    check_assignments(&assignments, columns.fields().iter().map(|f| f.name().as_str()))?;
    refuse_identity(snapshot.schema(), assignments.iter().map(|(column, _)| column.as_str()))?;
    for field in columns.fields() {
        let value = match assignments.iter().find(|(column, _)| column == field.name()) {
            Some((_, value)) => datafusion::logical_expr::expr_rewriter::normalize_col(value.clone(), scan.plan())?
                .cast_to(field.data_type(), scan.schema())?,
            None => Expr::Column(Column::new(Some(target.clone()), field.name())),
        };
        output.push(value.alias(field.name()));
    }
    output.extend(address_columns(target));
    let plan = scan.project(output)?.build()?;

    if reads_elsewhere(&plan, table)? {
        transaction.read_whole_table();
    }

    let width = columns.fields().len();
    // What is generated from others is computed anew, for they may have changed.
    let assigned = |name: &String| assignments.iter().any(|(column, _)| column == name);
    let written: Vec<usize> = (0..width)
        .filter(|at| {
            let field = &snapshot.schema().fields[*at];
            field.generation_expression().is_none() || assigned(&field.name)
        })
        .collect();
    let tells = transaction.tells_replaced_rows()?;
    let touched = Arc::new(Mutex::new(TouchedRows::default()));
    let collector = touched.clone();
    let rows = run(state, &plan).await?.map(move |batch| {
        let split = |batch: RecordBatch| {
            collector.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).add(&batch, width, width + 1)?;
            let replaces = if tells { addresses(&batch, width, width + 1)? } else { Vec::new() };
            Ok(ChangedRows { rows: batch.project(&written)?, replaces })
        };
        batch.and_then(split).map_err(|e| TableError::Input(Box::new(e)))
    });
    transaction.stage_changes(rows.boxed()).await.map_err(staging_error)?;

    let touched = std::mem::take(&mut *touched.lock().unwrap_or_else(|poisoned| poisoned.into_inner()));
    if touched.is_empty() {
        return Ok(DmlReport::default());
    }
    let rows_updated = touched.rows();
    touched.replace_in(&mut transaction, snapshot.state());
    transaction.only_updates();
    commit(table, transaction, DmlReport { rows_updated, ..DmlReport::default() }).await
}

/// Refuses assignments to identity columns: what is given out is given out once.
pub(super) fn refuse_identity<'a>(schema: &StructType, assigned: impl Iterator<Item = &'a str>) -> Result<()> {
    let identity = |name: &str| schema.fields.iter().any(|field| field.name == name && field.is_identity());
    match assigned.into_iter().find(|name| identity(name)) {
        Some(name) => Err(QueryError::invalid_argument(format!(
            "UPDATE cannot give identity column {name} a value: each is given out once, to a row that is inserted"
        ))),
        None => Ok(()),
    }
}

/// Refuses assignments to columns that are not there, and two to one column.
pub(super) fn check_assignments<'a>(
    assignments: &[(String, Expr)],
    columns: impl Iterator<Item = &'a str>,
) -> Result<()> {
    let columns: Vec<&str> = columns.collect();
    for (index, (column, _)) in assignments.iter().enumerate() {
        if !columns.contains(&column.as_str()) {
            return Err(QueryError::unknown_column(column, columns.iter().map(|c| c.to_string()).collect()));
        }
        if assignments[..index].iter().any(|(earlier, _)| earlier == column) {
            return Err(QueryError::invalid_argument(format!("column {column} is assigned twice")));
        }
    }
    Ok(())
}
