//! OPTIMIZE, VACUUM, RESTORE.

use std::sync::Arc;

use datafusion::common::DFSchemaRef;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::sql::sqlparser::ast::{self, ObjectName};
use datafusion::sql::sqlparser::parser::Parser;
use floe_table::{OptimizeOptions, Table, VacuumOptions};
use floe_table_format::Predicate;

use crate::dialect::FloeDialect;
use crate::error::{QueryError, Result};
use crate::filters;
use crate::output::{Done, Outcome};
use crate::planning::{Planning, version_spec};
use crate::progress::watch;
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
    full: bool,
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
    let meter = Some(watch(session.context().state().config()));
    let options = OptimizeOptions { predicate, zorder_by, full, meter, ..OptimizeOptions::default() };
    let report = Box::pin(table.optimize(options)).await?;
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
    let mut query = Parser::new(&FloeDialect)
        .try_with_sql(&format!("SELECT * FROM {} WHERE true", target_name()))?
        .parse_query()?;
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
    let mut current = &plan;
    let condition = loop {
        match current {
            LogicalPlan::Filter(filter) => break simplified(session, &filter.predicate, filter.input.schema())?,
            other => match other.inputs().first() {
                Some(input) => current = input,
                None => return Err(QueryError::invalid_argument("the condition of OPTIMIZE is empty")),
            },
        }
    };
    let partition_columns = &snapshot.state().metadata.partition_columns;
    if let Some(other) = condition.column_refs().iter().find(|column| !partition_columns.contains(&column.name)) {
        return Err(QueryError::unsupported(
            format!("OPTIMIZE WHERE over {}, which is no partition column", other.name),
            "conditions on partition columns, or OPTIMIZE without WHERE",
        ));
    }
    match filters::to_predicate([&condition], &snapshot.state().schema) {
        Predicate::Unknown | Predicate::True => Err(QueryError::unsupported(
            format!("OPTIMIZE WHERE {condition}"),
            "comparisons of partition columns with constants, or OPTIMIZE without WHERE",
        )),
        predicate => Ok(predicate),
    }
}

/// The condition with its constants computed, so that it compares columns with values.
fn simplified(session: &Session, condition: &Expr, schema: &DFSchemaRef) -> Result<Expr> {
    let state = session.context().state();
    let context = SimplifyContext::builder()
        .with_schema(schema.clone())
        .with_config_options(Arc::clone(state.config_options()))
        .with_query_execution_start_time(state.execution_props().query_execution_start_time)
        .build();
    Ok(ExprSimplifier::new(context).simplify(condition.clone())?)
}

pub(super) async fn vacuum(
    session: &Session,
    name: &ObjectName,
    retain_hours: Option<f64>,
    dry_run: bool,
) -> Result<Outcome> {
    let table = session.table_named(name).await?;
    if retain_hours.is_some_and(|hours| !(0.0..=1e9).contains(&hours)) {
        return Err(QueryError::invalid_argument("RETAIN wants a number of hours that is not negative"));
    }
    let retention_ms = retain_hours.map(|hours| (hours * HOUR_MS) as i64);
    let meter = Some(watch(session.context().state().config()));
    let options = VacuumOptions { retention_ms, dry_run, force: !session.checks_retention(), meter };
    let report = Box::pin(table.vacuum(options)).await?;
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

pub(super) async fn restore(session: &Session, name: &ObjectName, version: &ast::TableVersion) -> Result<Outcome> {
    let spec = version_spec(&session.context().state(), version)?;
    let table = session.table_named(name).await?;
    let report = Box::pin(table.restore(spec)).await?;
    let text = format!(
        "restored {name} to version {}: {} files came back, {} went (version {})",
        report.restored, report.files_restored, report.files_removed, report.version
    );
    Ok(Done::new(text).with_version(report.version).into())
}
