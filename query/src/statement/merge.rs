//! MERGE INTO.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema};
use datafusion::common::TableReference;
use datafusion::logical_expr::LogicalPlan;
use datafusion::logical_expr::dml::{MergeIntoOp, WriteOp};
use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::parser::Parser;
use floe_table::{Snapshot, Table};
use floe_table_format::StructType;

use crate::dialect::FloeDialect;
use crate::dml;
use crate::error::{QueryError, Result};
use crate::output::{Done, Outcome};
use crate::planning::Planning;
use crate::provider::FloeTableProvider;
use crate::rows::{Cell, Rows};
use crate::session::Session;
use crate::statement::change::{TARGET, again_for_identity, target_name};
use crate::statement::tokens::ALL_COLUMNS;

/// What a source without an alias is called.
const SOURCE: &str = "__floe_source__";

/// Whether the table gets columns that it lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Grows {
    No,
    Yes,
}

pub(super) async fn merge(session: &Session, merge: ast::Merge, grows: Grows) -> Result<Outcome> {
    again_for_identity(
        session,
        &merge,
        |merge| merge_once(session, merge, grows),
        |merge| match &merge.table {
            ast::TableFactor::Table { name, .. } => Some(name.clone()),
            _ => None,
        },
    )
    .await
}

async fn merge_once(session: &Session, merge: ast::Merge, grows: Grows) -> Result<Outcome> {
    let Planned { name: table_name, table, source, operation, new_columns } = planned(session, merge, grows).await?;
    let target = TableReference::bare(TARGET);
    let state = session.context().state();
    let merging =
        dml::merge_growing(&state, &table, &target, source, operation.on, operation.clauses, new_columns.as_ref());
    let report = Box::pin(merging).await?;
    let place = report.version.map(|version| format!(" (version {version})")).unwrap_or_default();
    let text = format!(
        "merged into {table_name}: {} inserted, {} updated, {} deleted{place}",
        report.rows_inserted, report.rows_updated, report.rows_deleted
    );
    let mut done = Done::new(text).with_affected_rows(report.rows_changed());
    done.version = report.version;
    Ok(done.into())
}

/// How the rows of a merge would be found. Runs the source where that is by key, and changes nothing.
pub(super) async fn explain(session: &Session, merge: ast::Merge) -> Result<Outcome> {
    let Planned { table, source, operation, .. } = planned(session, merge, Grows::No).await?;
    let target = TableReference::bare(TARGET);
    let state = session.context().state();
    let lines = Box::pin(dml::explain_merge(&state, &table, &target, source, operation.on, operation.clauses)).await?;
    let mut rows = Rows::new(&[("plan_type", Cell::Text(None)), ("plan", Cell::Text(None))]);
    for (kind, plan) in lines {
        rows.push(vec![kind.into(), plan.into()])?;
    }
    rows.outcome()
}

/// A merge that is planned and not made yet.
struct Planned {
    name: ast::ObjectName,
    table: Table,
    source: LogicalPlan,
    operation: Box<MergeIntoOp>,
    /// The columns, at any depth, that the table may get.
    new_columns: Option<StructType>,
}

async fn planned(session: &Session, mut merge: ast::Merge, grows: Grows) -> Result<Planned> {
    if merge.output.is_some() {
        return Err(QueryError::unsupported("OUTPUT in MERGE", "table_changes('table', version)"));
    }
    let ast::TableFactor::Table { name, alias, version: None, .. } = &mut merge.table else {
        return Err(QueryError::unsupported(
            "MERGE into something that is no table",
            "MERGE INTO table USING source ON ...",
        ));
    };
    let table_name = std::mem::replace(name, target_name());
    alias.get_or_insert_with(|| ast::TableAlias {
        explicit: true,
        name: table_name.0.last().and_then(|p| p.as_ident().cloned()).unwrap_or_else(|| ast::Ident::new(TARGET)),
        columns: Vec::new(),
        at: None,
    });
    let source = source_qualifier(&mut merge.source);
    let table = session.table_named(&table_name).await?;
    let mut snapshot = table.cached_snapshot().await?;
    let source_relation = merge.source.clone();
    let mut new_columns = None;
    if grows == Grows::Yes {
        let provider = Arc::new(FloeTableProvider::at(snapshot.clone())?);
        let mut statement = ast::Statement::Merge(merge.clone());
        let planning = Planning::prepare(session, &mut statement, vec![(TARGET, provider)]).await?;
        let columns = columns_to_add(&merge, &source_schema(&planning, source_relation.clone())?)?;
        snapshot = snapshot.grown_by(&columns)?;
        new_columns = Some(columns);
    }
    let mut statement = ast::Statement::Merge(merge);
    let provider = Arc::new(FloeTableProvider::at(snapshot.clone())?);
    let planning = Planning::prepare(session, &mut statement, vec![(TARGET, provider)]).await?;
    if let ast::Statement::Merge(merge) = &mut statement {
        if has_stars(merge) {
            let columns = source_schema(&planning, source_relation)?;
            let columns: Vec<String> = columns.fields().iter().map(|field| field.name().clone()).collect();
            expand_stars(merge, &snapshot, &source, &columns)?;
        }
        name_inserted_columns(merge, &snapshot);
    }
    let LogicalPlan::Dml(plan) = planning.plan(statement)? else {
        return Err(QueryError::invalid_argument("the MERGE changes nothing"));
    };
    let WriteOp::MergeInto(operation) = plan.op else {
        return Err(QueryError::invalid_argument("the MERGE was planned in a way that is not understood"));
    };
    let source = Arc::unwrap_or_clone(plan.input);
    Ok(Planned { name: table_name, table, source, operation, new_columns })
}

/// The columns of the source that the clauses give to the table: all of them where a clause says `*`.
fn columns_to_add(merge: &ast::Merge, source: &Schema) -> Result<StructType> {
    let mut named: Vec<String> = Vec::new();
    for clause in &merge.clauses {
        match &clause.action {
            ast::MergeAction::Update(update) => {
                named.extend(update.assignments.iter().filter_map(|assignment| match &assignment.target {
                    ast::AssignmentTarget::ColumnName(name) => Some(name.0.last()?.as_ident()?.value.clone()),
                    _ => None,
                }));
            }
            ast::MergeAction::Insert(insert) => {
                named.extend(insert.columns.iter().filter_map(|name| Some(name.0.last()?.as_ident()?.value.clone())));
            }
            ast::MergeAction::Delete { .. } => {}
        }
    }
    let all = has_stars(merge);
    let wanted = |field: &Field| all || named.iter().any(|name| name.eq_ignore_ascii_case(field.name()));
    let fields = source.fields().iter().filter(|field| wanted(field.as_ref())).cloned().collect::<Vec<_>>();
    Ok(StructType::from_arrow(&Schema::new(fields))?)
}

/// What columns of the source are qualified with; a source without a name gets one.
fn source_qualifier(source: &mut ast::TableFactor) -> ast::Ident {
    let named = |name: ast::Ident| ast::TableAlias { explicit: true, name, columns: Vec::new(), at: None };
    match source {
        ast::TableFactor::Table { name, alias, args, .. } => {
            let last = name.0.last().and_then(|p| p.as_ident().cloned()).filter(|_| args.is_none());
            alias.get_or_insert_with(|| named(last.unwrap_or_else(|| ast::Ident::new(SOURCE)))).name.clone()
        }
        ast::TableFactor::Derived { alias, .. } | ast::TableFactor::NestedJoin { alias, .. } => {
            alias.get_or_insert_with(|| named(ast::Ident::new(SOURCE))).name.clone()
        }
        _ => ast::Ident::new(SOURCE),
    }
}

/// The columns of the source, in order.
fn source_schema(planning: &Planning, relation: ast::TableFactor) -> Result<Schema> {
    let mut query = Parser::new(&FloeDialect).try_with_sql("SELECT * FROM t")?.parse_query()?;
    if let ast::SetExpr::Select(select) = query.body.as_mut() {
        select.from = vec![ast::TableWithJoins { relation, joins: Vec::new() }];
    }
    let plan = planning.plan(ast::Statement::Query(query))?;
    Ok(plan.schema().as_arrow().clone())
}

fn is_star(name: &ast::ObjectName) -> bool {
    matches!(name.0.as_slice(), [only] if only.as_ident().is_some_and(|ident| ident.value == ALL_COLUMNS))
}

fn stars_update(update: &ast::MergeUpdateExpr) -> bool {
    matches!(update.assignments.as_slice(), [only] if matches!(&only.target, ast::AssignmentTarget::ColumnName(name) if is_star(name)))
}

fn stars_insert(insert: &ast::MergeInsertExpr) -> bool {
    matches!(insert.columns.as_slice(), [only] if is_star(only))
}

fn has_stars(merge: &ast::Merge) -> bool {
    merge.clauses.iter().any(|clause| match &clause.action {
        ast::MergeAction::Update(update) => stars_update(update),
        ast::MergeAction::Insert(insert) => stars_insert(insert),
        ast::MergeAction::Delete { .. } => false,
    })
}

/// Puts every column of the table in the place of `*`, each from the source's column of that name.
fn expand_stars(
    merge: &mut ast::Merge,
    snapshot: &Snapshot,
    source: &ast::Ident,
    source_columns: &[String],
) -> Result<()> {
    let mut pairs: Vec<(ast::Ident, ast::Expr)> = Vec::new();
    for field in &snapshot.schema().fields {
        let exact = source_columns.iter().find(|column| **column == field.name);
        let found = exact.or_else(|| source_columns.iter().find(|c| c.to_lowercase() == field.name.to_lowercase()));
        // What the table gives the rows itself, they need not bring.
        if found.is_none() && (field.generation_expression().is_some() || field.is_identity()) {
            continue;
        }
        let Some(found) = found else {
            return Err(QueryError::unknown_column(field.name.clone(), source_columns.to_vec()));
        };
        let value = ast::Expr::CompoundIdentifier(vec![source.clone(), ast::Ident::with_quote('"', found.clone())]);
        pairs.push((ast::Ident::with_quote('"', field.name.clone()), value));
    }
    for clause in &mut merge.clauses {
        match &mut clause.action {
            ast::MergeAction::Update(update) if stars_update(update) => {
                update.assignments = pairs
                    .iter()
                    .map(|(column, value)| ast::Assignment {
                        target: ast::AssignmentTarget::ColumnName(ast::ObjectName::from(vec![column.clone()])),
                        value: value.clone(),
                    })
                    .collect();
            }
            ast::MergeAction::Insert(insert) if stars_insert(insert) => {
                insert.columns = pairs.iter().map(|(column, _)| ast::ObjectName::from(vec![column.clone()])).collect();
                if let ast::MergeInsertKind::Values(values) = &mut insert.kind
                    && let Some(row) = values.rows.first_mut()
                {
                    row.content = pairs.iter().map(|(_, value)| value.clone()).collect();
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// `INSERT VALUES (...)` means all columns, in order.
fn name_inserted_columns(merge: &mut ast::Merge, snapshot: &Snapshot) {
    for clause in &mut merge.clauses {
        if let ast::MergeAction::Insert(insert) = &mut clause.action
            && insert.columns.is_empty()
        {
            let names = snapshot.schema().fields.iter().map(|field| ast::Ident::with_quote('"', field.name.clone()));
            insert.columns = names.map(|name| ast::ObjectName::from(vec![name])).collect();
        }
    }
}
