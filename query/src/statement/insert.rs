//! INSERT of rows whose columns are not those of the table: by name, or with columns that the table gets with them.

use std::sync::Arc;

use arrow::datatypes::DataType as ArrowType;
use datafusion::catalog::TableProvider;
use datafusion::common::Column;
use datafusion::dataframe::DataFrame;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::sqlparser::ast;
use floe_table::{AppendOptions, SaveMode, SchemaMode, Snapshot};
use floe_table_format::{DataType, StructField};

use crate::error::{QueryError, Result};
use crate::output::{Done, Outcome};
use crate::provider::FloeTableProvider;
use crate::session::Session;
use crate::statement::change::{again_for_identity, fill_defaults, rows, rows_of};
use crate::statement::{Modifiers, query};

pub(super) async fn insert_as(session: &Session, insert: ast::Insert, modifiers: Modifiers) -> Result<Outcome> {
    let run = |insert| insert_once(session, insert, modifiers);
    again_for_identity(session, &insert, run, |insert| match &insert.table {
        ast::TableObject::TableName(name) => Some(name.clone()),
        _ => None,
    })
    .await
}

async fn insert_once(session: &Session, mut insert: ast::Insert, modifiers: Modifiers) -> Result<Outcome> {
    let ast::TableObject::TableName(name) = insert.table.clone() else {
        return Err(QueryError::unsupported("INSERT into a function or a query", "INSERT INTO table"));
    };
    let other_form = insert.partitioned.is_some()
        || insert.or.is_some()
        || insert.replace_into
        || insert.ignore
        || insert.on.is_some()
        || insert.returning.is_some()
        || insert.output.is_some();
    if other_form {
        return Err(QueryError::unsupported(
            "this form of INSERT with SCHEMA EVOLUTION or BY NAME",
            "INSERT [WITH SCHEMA EVOLUTION] INTO t [(columns)] [BY NAME] SELECT ... or VALUES ...",
        ));
    }
    if modifiers.by_name && !insert.columns.is_empty() {
        return Err(QueryError::syntax("BY NAME and a list of columns exclude each other"));
    }
    let table = session.table_named(&name).await?;
    let snapshot = table.snapshot().await?;
    let computed = fill_defaults(&mut insert, &snapshot)?;
    let Some(source) = insert.source.take() else {
        return Err(QueryError::unsupported("INSERT without a query", "INSERT INTO t VALUES (...) or SELECT ..."));
    };
    let frame = query::data_frame(session, *source).await?;
    let given: Vec<String> = frame.schema().fields().iter().map(|field| field.name().clone()).collect();
    let names = column_names(&snapshot, &insert, &given, modifiers)?;
    let (state, plan) = frame.into_parts();
    let plan = as_columns(&snapshot, plan, &names, &computed, modifiers.grows)?;
    let input = rows_of(DataFrame::new(state, plan)).await?;
    let mode = if insert.overwrite { SaveMode::Overwrite } else { SaveMode::Append };
    let schema = if modifiers.grows { SchemaMode::Merge } else { SchemaMode::Fixed };
    let options = AppendOptions { mode, schema, ..AppendOptions::default() };
    let Some(report) = Box::pin(table.append_with(input, options)).await? else {
        return Ok(Done::new(format!("nothing to insert into {name}")).with_affected_rows(0).into());
    };
    let text = match insert.overwrite {
        true => format!("overwrote {name} with {} (version {})", rows(report.rows_added), report.version),
        false => format!("inserted {} into {name} (version {})", rows(report.rows_added), report.version),
    };
    Ok(Done::new(text).with_affected_rows(report.rows_added).with_version(report.version).into())
}

/// The rows as the table's columns of these names, one for each of theirs and cast to their types, with the defaults of the
/// columns that they lack. What the table computes is left out.
///
/// # Errors
/// [`QueryError::UnknownColumn`] for a column that the table lacks, unless it is to get it.
pub(super) fn as_columns(
    snapshot: &Arc<Snapshot>,
    plan: LogicalPlan,
    names: &[String],
    computed: &[String],
    grows: bool,
) -> Result<LogicalPlan> {
    let unknown = names.iter().find(|name| snapshot.schema().field(name).is_none());
    if let Some(unknown) = unknown.filter(|_| !grows) {
        let columns = snapshot.schema().fields.iter().map(|field| field.name.clone()).collect();
        return Err(QueryError::unknown_column(unknown.clone(), columns));
    }
    let provider = FloeTableProvider::at(snapshot.clone())?;
    let arrow = snapshot.arrow_schema()?;
    let mut output = Vec::with_capacity(names.len());
    for (at, name) in names.iter().enumerate() {
        if computed.contains(name) {
            continue;
        }
        let (qualifier, field) = plan.schema().qualified_field(at);
        let value = Expr::Column(Column::new(qualifier.cloned(), field.name()));
        let value = match arrow.field_with_name(name) {
            Ok(_) if grows && widens(snapshot, name, field.data_type()) && !is_literal(&plan, at) => value,
            // Nested values are fitted field by field where they are written.
            Ok(column) if !column.data_type().is_nested() => value.cast_to(column.data_type(), plan.schema())?,
            _ => value,
        };
        output.push(value.alias(name));
    }
    for field in left_out(snapshot, names) {
        if let Some(default) = provider.get_column_default(&field.name) {
            output.push(default.clone().alias(&field.name));
        }
    }
    Ok(LogicalPlanBuilder::from(plan).project(output)?.build()?)
}

/// Whether rows of this type give the column a wider one.
fn widens(snapshot: &Snapshot, column: &str, rows: &ArrowType) -> bool {
    let own = snapshot.schema().field(column).map(|field| field.data_type.clone());
    match (own, DataType::from_arrow(rows)) {
        (Some(DataType::Primitive(own)), Ok(DataType::Primitive(rows))) => {
            snapshot.state().properties.enable_type_widening && own.widens_with_rows_of(&rows)
        }
        _ => false,
    }
}

/// Whether a column of the rows is written down as values: their type is the parser's, and says nothing about the rows.
fn is_literal(plan: &LogicalPlan, column: usize) -> bool {
    match plan {
        LogicalPlan::Values(_) => true,
        LogicalPlan::Projection(projection) => match projection.expr.get(column).map(|expr| expr.clone().unalias()) {
            Some(Expr::Literal(_, _)) => true,
            Some(Expr::Column(from)) => {
                projection.input.schema().index_of_column(&from).is_ok_and(|at| is_literal(&projection.input, at))
            }
            _ => false,
        },
        LogicalPlan::SubqueryAlias(alias) => is_literal(&alias.input, column),
        _ => false,
    }
}

/// What the columns of the rows are called in the table, spelled as there if they are there.
fn column_names(
    snapshot: &Snapshot,
    insert: &ast::Insert,
    given: &[String],
    modifiers: Modifiers,
) -> Result<Vec<String>> {
    let own = &snapshot.schema().fields;
    let spelled = |name: &str| snapshot.schema().field(name).map_or(name.to_owned(), |field| field.name.clone());
    let listed: Vec<&ast::Ident> = insert.columns.iter().filter_map(|name| name.0.last()?.as_ident()).collect();
    let width = |expected: usize| {
        let found = given.len();
        let what = format!("the INSERT is for {expected} columns, the rows have {found}: name the columns, or BY NAME");
        Err(QueryError::invalid_argument(what))
    };
    let names: Vec<String> = if modifiers.by_name {
        given.iter().map(|name| spelled(name)).collect()
    } else if !listed.is_empty() {
        if listed.len() != given.len() {
            return width(listed.len());
        }
        listed.iter().map(|name| spelled(&name.value)).collect()
    } else {
        // By position, and what the table lacks behind that.
        if given.len() < own.len() {
            return width(own.len());
        }
        own.iter().map(|field| field.name.clone()).chain(given[own.len()..].iter().map(|name| spelled(name))).collect()
    };
    match names.iter().enumerate().find(|(at, name)| names[..*at].iter().any(|n| n.eq_ignore_ascii_case(name))) {
        Some((_, twice)) => Err(QueryError::invalid_argument(format!("column {twice} is given twice"))),
        None => Ok(names),
    }
}

/// The columns of the table that are not given.
fn left_out<'a>(snapshot: &'a Snapshot, names: &'a [String]) -> impl Iterator<Item = &'a StructField> {
    snapshot.schema().fields.iter().filter(|field| !names.contains(&field.name))
}
