//! UPSERT INTO, and INSERT ... ON CONFLICT.

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::dataframe::DataFrame;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::ast::{self, Ident, visit_expressions_mut};
use datafusion::sql::sqlparser::parser::Parser;
use floe_table::{BatchStream, Snapshot, UpsertOptions, UpsertReport};
use floe_table_format::{MergeMode, Operation};
use futures::{StreamExt, TryStreamExt};

use crate::dialect::FloeDialect;
use crate::error::{QueryError, Result};
use crate::output::{Done, Outcome};
use crate::planning::Planning;
use crate::provider::FloeTableProvider;
use crate::rows::{Cell, Rows};
use crate::session::Session;
use crate::statement::change::{
    InsertTarget, TARGET, check_width, column_count, fill_defaults, rows, rows_of, target_name,
};
use crate::statement::merge;
use crate::types::quoted;

/// What the rows given are called in DO UPDATE.
const EXCLUDED: &str = "excluded";

/// Upserts rows by the rules that the table declares.
pub(super) async fn upsert(session: &Session, insert: ast::Insert) -> Result<Outcome> {
    let name = table_of(&insert)?;
    let table = session.table_named(&name).await?;
    let snapshot = table.cached_snapshot().await?;
    require_key(&snapshot, "UPSERT")?;
    let input = planned_rows(session, &snapshot, insert).await?;
    let report = Box::pin(table.upsert_stream(input, UpsertOptions::default())).await?;
    Ok(told("upserted into", &name, &report))
}

/// How the keys of an upsert would be looked up, and why so. Runs the source, and changes nothing.
pub(super) async fn explain(session: &Session, insert: ast::Insert) -> Result<Outcome> {
    let name = table_of(&insert)?;
    let table = session.table_named(&name).await?;
    let snapshot = table.snapshot().await?;
    require_key(&snapshot, "UPSERT")?;
    let key = snapshot.primary_key().to_vec();
    let source = planned_rows(session, &snapshot, insert).await?;
    let keys = source.map(move |batch| -> Result<RecordBatch> {
        let batch = batch?;
        let schema = batch.schema();
        let columns = key.iter().map(|column| schema.index_of(column)).collect::<Result<Vec<_>, _>>()?;
        Ok(batch.project(&columns)?)
    });
    let keys: Vec<RecordBatch> = keys.boxed().try_collect().await?;
    explained(&snapshot, &keys).await
}

/// The plan of a look-up of these keys.
async fn explained(snapshot: &Snapshot, keys: &[RecordBatch]) -> Result<Outcome> {
    let mut out = Rows::new(&[("plan_type", Cell::Text(None)), ("plan", Cell::Text(None))]);
    if let Some(first) = keys.first() {
        let keys = arrow::compute::concat_batches(&first.schema(), keys)?;
        let found = snapshot.locate_keys(&keys).await?;
        let rows: u64 = found.files.iter().map(|(_, rows)| rows.len()).sum();
        out.push(vec!["look-up".to_owned().into(), found.lookup.to_string().into()])?;
        let write = format!("{rows} rows in {} files give way to {} rows", found.files.len(), keys.num_rows());
        out.push(vec!["write".to_owned().into(), write.into()])?;
    }
    out.outcome()
}

fn table_of(insert: &ast::Insert) -> Result<ast::ObjectName> {
    match &insert.table {
        ast::TableObject::TableName(name) => Ok(name.clone()),
        _ => Err(QueryError::unsupported("UPSERT into a function or a query", "UPSERT INTO table")),
    }
}

fn require_key(snapshot: &Snapshot, what: &str) -> Result<()> {
    if snapshot.primary_key().is_empty() {
        return Err(QueryError::invalid_argument(format!(
            "{what} needs a primary key, and {} has none: ALTER TABLE ... ADD PRIMARY KEY (columns) declares one",
            snapshot.table().uri()
        )));
    }
    Ok(())
}

/// The rows of an INSERT's query, with the columns that it names.
async fn planned_rows(session: &Session, snapshot: &Arc<Snapshot>, mut insert: ast::Insert) -> Result<BatchStream> {
    if insert.on.is_some() || insert.returning.is_some() || insert.source.is_none() || insert.overwrite {
        return Err(QueryError::unsupported(
            "this form of UPSERT",
            "UPSERT INTO t [(columns)] VALUES ... or SELECT ...",
        ));
    }
    let computed = fill_defaults(&mut insert, snapshot)?;
    let provider = FloeTableProvider::at(snapshot.clone())?;
    // Rows without names are the table's columns, and those do not include a delete marker that the table lacks.
    let target = match insert.columns.is_empty() {
        true => InsertTarget::new(provider),
        false => InsertTarget::for_upsert(provider, snapshot),
    };
    let named: Vec<String> = insert
        .columns
        .iter()
        .filter_map(|name| name.0.last().and_then(|part| part.as_ident()).map(|ident| ident.value.clone()))
        .collect();
    if named.is_empty() {
        check_width(&insert, snapshot)?;
    }
    insert.table = ast::TableObject::TableName(target_name());
    let all = named.is_empty();
    let mut statement = ast::Statement::Insert(insert);
    let planning = Planning::prepare(session, &mut statement, vec![(TARGET, Arc::new(target))]).await?;
    let plan = planning.plan(statement).map_err(|error| column_count(error, snapshot))?;
    let LogicalPlan::Dml(dml) = plan else {
        return Err(QueryError::invalid_argument("the UPSERT has no source"));
    };
    let frame = DataFrame::new(session.context().state(), Arc::unwrap_or_clone(dml.input));
    let rows = rows_of(frame).await?;
    let marker = snapshot.state().properties.delete_marker.clone();
    let rows = rows.map(move |batch| {
        let batch = batch?;
        // A column that is not named is not given, which is not the same as null.
        let given = |name: &str| match all {
            _ if computed.iter().any(|column| column == name) => false,
            true => marker.as_deref() != Some(name),
            false => named.iter().any(|column| column.eq_ignore_ascii_case(name)),
        };
        let schema = batch.schema();
        let columns: Vec<usize> = (0..batch.num_columns()).filter(|at| given(schema.field(*at).name())).collect();
        Ok(batch.project(&columns)?)
    });
    Ok(rows.boxed())
}

/// INSERT INTO t ... ON CONFLICT (key) DO NOTHING | DO UPDATE SET ... [WHERE ...].
pub(super) async fn insert_on_conflict(session: &Session, mut insert: ast::Insert) -> Result<Outcome> {
    let name = table_of(&insert)?;
    let table = session.table_named(&name).await?;
    let snapshot = table.cached_snapshot().await?;
    require_key(&snapshot, "ON CONFLICT")?;
    let Some(ast::OnInsert::OnConflict(on)) = insert.on.take() else {
        return Err(QueryError::unsupported("ON DUPLICATE KEY UPDATE", "ON CONFLICT (key) DO UPDATE SET ..."));
    };
    check_conflict_target(&snapshot, on.conflict_target.as_ref())?;
    match on.action {
        ast::OnConflictAction::DoNothing => {
            let input = planned_rows(session, &snapshot, insert).await?;
            let options = UpsertOptions {
                merge_mode: Some(MergeMode::FirstRow),
                operation: Operation::new("WRITE").with_parameter("mode", "Append"),
                ..UpsertOptions::default()
            };
            let report = Box::pin(table.upsert_stream(input, options)).await?;
            let text = match report.version {
                Some(version) => format!("inserted {} into {name} (version {version})", rows(report.rows_inserted)),
                None => format!("nothing to insert into {name}"),
            };
            let mut done = Done::new(text).with_affected_rows(report.rows_inserted);
            done.version = report.version;
            Ok(done.into())
        }
        ast::OnConflictAction::DoUpdate(update) => {
            let merge = as_merge(&snapshot, &name, insert, update)?;
            merge::merge(session, merge, merge::Grows::No).await
        }
    }
}

fn check_conflict_target(snapshot: &Snapshot, target: Option<&ast::ConflictTarget>) -> Result<()> {
    let key = snapshot.primary_key();
    let named = match target {
        None => return Ok(()),
        Some(ast::ConflictTarget::Columns(columns)) => columns,
        Some(ast::ConflictTarget::OnConstraint(_)) => {
            return Err(QueryError::unsupported(
                "ON CONFLICT ON CONSTRAINT",
                "ON CONFLICT (columns of the primary key)",
            ));
        }
    };
    let same = named.len() == key.len()
        && named.iter().all(|column| key.iter().any(|name| name.eq_ignore_ascii_case(&column.value)));
    if same {
        return Ok(());
    }
    let named: Vec<&str> = named.iter().map(|column| column.value.as_str()).collect();
    Err(QueryError::invalid_argument(format!(
        "ON CONFLICT ({}): the primary key is ({})",
        named.join(", "),
        key.join(", ")
    )))
}

/// The MERGE that does what an INSERT with DO UPDATE says.
fn as_merge(
    snapshot: &Snapshot,
    name: &ast::ObjectName,
    mut insert: ast::Insert,
    update: ast::DoUpdate,
) -> Result<ast::Merge> {
    fill_defaults(&mut insert, snapshot)?;
    check_width(&insert, snapshot)?;
    let Some(source) = insert.source.take() else {
        return Err(QueryError::unsupported("INSERT without a query", "INSERT INTO t VALUES (...) or SELECT ..."));
    };
    let alias = match &insert.table_alias {
        Some(alias) => alias.alias.value.clone(),
        None => name.0.last().and_then(|part| part.as_ident()).map_or(TARGET.to_owned(), |ident| ident.value.clone()),
    };
    let columns: Vec<String> = match insert.columns.is_empty() {
        true => snapshot.schema().fields.iter().map(|field| field.name.clone()).collect(),
        false => insert
            .columns
            .iter()
            .filter_map(|column| column.0.last().and_then(|part| part.as_ident()))
            .map(|ident| ident.value.clone())
            .collect(),
    };
    let quoted_columns: Vec<String> = columns.iter().map(|column| quoted(column)).collect();
    let on: Vec<String> = snapshot
        .primary_key()
        .iter()
        .map(|column| format!("{}.{} = {EXCLUDED}.{}", quoted(&alias), quoted(column), quoted(column)))
        .collect();
    let qualify = |mut expr: ast::Expr| {
        // A bare name in DO UPDATE is a column of the table.
        let _ = visit_expressions_mut(&mut expr, |part| {
            if let ast::Expr::Identifier(ident) = part {
                *part = ast::Expr::CompoundIdentifier(vec![Ident::with_quote('"', alias.clone()), ident.clone()]);
            }
            ControlFlow::<()>::Continue(())
        });
        expr
    };
    let assignments: Vec<String> = update
        .assignments
        .into_iter()
        .map(|assignment| format!("{} = {}", assignment.target, qualify(assignment.value)))
        .collect();
    let condition = update.selection.map(|selection| format!(" AND {}", qualify(selection))).unwrap_or_default();
    let values: Vec<String> = quoted_columns.iter().map(|column| format!("{EXCLUDED}.{column}")).collect();
    let text = format!(
        "MERGE INTO {name} AS {alias} USING ({source}) AS {EXCLUDED} ({columns}) ON {on} \
         WHEN MATCHED{condition} THEN UPDATE SET {assignments} \
         WHEN NOT MATCHED THEN INSERT ({columns}) VALUES ({values})",
        alias = quoted(&alias),
        columns = quoted_columns.join(", "),
        on = on.join(" AND "),
        assignments = assignments.join(", "),
        values = values.join(", "),
    );
    match Parser::new(&FloeDialect).try_with_sql(&text)?.parse_statement()? {
        ast::Statement::Merge(merge) => Ok(merge),
        other => Err(QueryError::invalid_argument(format!("ON CONFLICT was read as {other}"))),
    }
}

fn told(verb: &str, name: &ast::ObjectName, report: &UpsertReport) -> Outcome {
    let UpsertReport { rows_inserted, rows_updated, rows_deleted, rows_ignored, .. } = report;
    let mut text = format!("{verb} {name}: {rows_inserted} inserted, {rows_updated} updated");
    for (count, what) in [(rows_deleted, "deleted"), (rows_ignored, "ignored")] {
        if *count > 0 {
            text.push_str(&format!(", {count} {what}"));
        }
    }
    if let Some(version) = report.version {
        text.push_str(&format!(" (version {version})"));
    }
    let mut done = Done::new(text).with_affected_rows(rows_inserted + rows_updated + rows_deleted);
    done.version = report.version;
    done.into()
}
