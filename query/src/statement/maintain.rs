//! OPTIMIZE, VACUUM, RESTORE.

use std::sync::Arc;

use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::ast::{self, ObjectName};
use datafusion::sql::sqlparser::parser::Parser;
use floe_table::{OptimizeOptions, Table, VacuumOptions};
use floe_table_format::Predicate;

use crate::dialect::FloeDialect;
use crate::error::{QueryError, Result};
use crate::filters;
use crate::output::{Done, Outcome};
use crate::planning::{Planning, version_spec};
use crate::provider::FloeTableProvider;
use crate::rows::{Cell, Rows};
use crate::session::Session;
use crate::statement::change::{TARGET, target_name};

const HOUR_MS: f64 = 3_600_000.0;

pub(super) async fn optimize(
    session: &Session,
    name: &ObjectName,
    filter: Option<Box<ast::Expr>>,
    zorder: Vec<String>,
) -> Result<Outcome> {
    let table = session.table_named(name).await?;
    let snapshot = table.cached_snapshot().await?;
    let mut zorder_by = Vec::with_capacity(zorder.len());
    for column in zorder {
        let Some(field) = snapshot.schema().field(&column) else {
            let columns = snapshot.schema().fields.iter().map(|f| f.name.clone()).collect();
            return Err(QueryError::unknown_column(column, columns));
        };
        zorder_by.push(field.name.clone());
    }
    let predicate = match filter {
        Some(filter) => Some(predicate(session, &table, *filter).await?),
        None => None,
    };
    let report = table.optimize(OptimizeOptions { predicate, zorder_by, ..OptimizeOptions::default() }).await?;
    let Some(version) = report.version else {
        return Ok(Done::new(format!("nothing to optimise in {name}")).into());
    };
    let lost = match report.groups_lost {
        0 => String::new(),
        lost => format!("; {lost} groups were changed by other writers meanwhile and are left as they are"),
    };
    let text = format!(
        "optimised {name}: {} files of {} bytes became {} of {} bytes (version {version}){lost}",
        report.files_removed, report.bytes_removed, report.files_added, report.bytes_added
    );
    Ok(Done::new(text).with_version(version).into())
}

/// The condition, as far as it says which files to take.
///
/// # Errors
/// [`QueryError::Unsupported`] for columns that are no partition columns: files hold both rows that match and rows that do
/// not, and taking them would optimise more than was asked for.
async fn predicate(session: &Session, table: &Table, filter: ast::Expr) -> Result<Predicate> {
    let snapshot = table.cached_snapshot().await?;
    let mut query =
        Parser::new(&FloeDialect).try_with_sql(&format!("SELECT * FROM {} WHERE true", target_name()))?.parse_query()?;
    if let ast::SetExpr::Select(select) = query.body.as_mut() {
        select.selection = Some(filter);
    }
    let mut statement = ast::Statement::Query(query);
    let provider = Arc::new(FloeTableProvider::at(snapshot.clone())?);
    let planning = Planning::prepare(session, &mut statement, vec![(TARGET, provider)]).await?;
    let plan = session.context().state().analyzer().execute_and_check(
        planning.plan(statement)?,
        session.context().copied_config().options(),
        |_, _| {},
    )?;
    let mut condition = None;
    let mut current = &plan;
    while condition.is_none() {
        match current {
            LogicalPlan::Filter(filter) => condition = Some(filter.predicate.clone()),
            other => match other.inputs().first() {
                Some(input) => current = input,
                None => break,
            },
        }
    }
    let condition = condition.ok_or_else(|| QueryError::invalid_argument("the condition of OPTIMIZE is empty"))?;
    let partition_columns = &snapshot.state().metadata.partition_columns;
    if let Some(other) = condition.column_refs().iter().find(|column| !partition_columns.contains(&column.name)) {
        return Err(QueryError::unsupported(
            format!("OPTIMIZE WHERE over {}, which is no partition column", other.name),
            "conditions on partition columns, or OPTIMIZE without WHERE",
        ));
    }
    Ok(filters::to_predicate([&condition], &snapshot.state().schema))
}

pub(super) async fn vacuum(
    session: &Session,
    name: &ObjectName,
    retain_hours: Option<f64>,
    dry_run: bool,
) -> Result<Outcome> {
    let table = session.table_named(name).await?;
    if retain_hours.is_some_and(|hours| !hours.is_finite() || hours < 0.0 || hours > 1e9) {
        return Err(QueryError::invalid_argument("RETAIN wants a number of hours that is not negative"));
    }
    let retention_ms = retain_hours.map(|hours| (hours * HOUR_MS) as i64);
    let options =
        VacuumOptions { retention_ms, dry_run, force: !session.checks_retention(), ..VacuumOptions::default() };
    let report = table.vacuum(options).await?;
    if dry_run {
        let mut rows = Rows::new(&[("path", Cell::Text(None))]);
        for file in report.files {
            rows.push(vec![file.into()])?;
        }
        return rows.outcome();
    }
    let failed = match report.failed.as_slice() {
        [] => String::new(),
        [(path, why), ..] => format!("; {} could not be deleted, the first is {path}: {why}", report.failed.len()),
    };
    let text = format!("vacuumed {name}: deleted {} files of {} bytes{failed}", report.files.len(), report.bytes);
    Ok(Done::new(text).into())
}

pub(super) async fn restore(session: &Session, name: &ObjectName, version: ast::TableVersion) -> Result<Outcome> {
    let spec = version_spec(&session.context().state(), &version)?;
    let table = session.table_named(name).await?;
    let report = table.restore(spec).await?;
    let text = format!(
        "restored {name} to version {}: {} files came back, {} went (version {})",
        report.restored, report.files_restored, report.files_removed, report.version
    );
    Ok(Done::new(text).with_version(report.version).into())
}
