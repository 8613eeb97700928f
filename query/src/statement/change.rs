//! INSERT, UPDATE, DELETE, TRUNCATE.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::TableProvider;
use datafusion::common::TableReference;
use datafusion::dataframe::DataFrame;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::parser::Parser;
use floe_table::{AppendOptions, BatchStream, CommitReport, SaveMode, Snapshot, Table, TableError};
use floe_table_format::{Rule, StructField};
use futures::StreamExt;

use crate::dialect::FloeDialect;
use crate::dml;
use crate::error::{QueryError, Result};
use crate::expressions;
use crate::output::{Done, Outcome};
use crate::planning::Planning;
use crate::provider::FloeTableProvider;
use crate::session::Session;

/// What the target of a statement is called while it is planned, so that its source may name the same table.
pub(super) const TARGET: &str = "__floe_target__";

pub(super) fn target_name() -> ast::ObjectName {
    ast::ObjectName::from(vec![ast::Ident::new(TARGET)])
}

/// Rows of a data frame as rows to write.
pub(super) async fn rows_of(frame: DataFrame) -> Result<BatchStream> {
    let stream = super::query::rows_of(frame).await?;
    Ok(stream.map(|batch| batch.map_err(|error| TableError::Input(Box::new(error)))).boxed())
}

/// How often a statement is made anew because another writer gave out the same identity values.
const ATTEMPTS_MAX: u32 = 50;

pub(super) async fn insert(session: &Session, insert: ast::Insert) -> Result<Outcome> {
    again_for_identity(
        session,
        &insert,
        |insert| insert_once(session, insert),
        |insert| match &insert.table {
            ast::TableObject::TableName(name) => Some(name.clone()),
            _ => None,
        },
    )
    .await
}

/// Makes a statement anew for as long as another writer gives out the identity values that it gives out.
pub(super) async fn again_for_identity<S: Clone, F: Future<Output = Result<Outcome>>>(
    session: &Session,
    statement: &S,
    run: impl Fn(S) -> F,
    target: impl Fn(&S) -> Option<ast::ObjectName>,
) -> Result<Outcome> {
    for _ in 1..ATTEMPTS_MAX {
        let done = run(statement.clone()).await;
        let lost = matches!(
            &done,
            Err(QueryError::Table(TableError::Conflict { why, .. })) if why.rule == Rule::MetadataChanged
        );
        let Some(name) = target(statement).filter(|_| lost) else { return done };
        let snapshot = session.table_named(&name).await?.snapshot().await?;
        if !snapshot.schema().any_field(StructField::is_identity) {
            return done;
        }
    }
    run(statement.clone()).await
}

async fn insert_once(session: &Session, mut insert: ast::Insert) -> Result<Outcome> {
    let ast::TableObject::TableName(name) = insert.table.clone() else {
        return Err(QueryError::unsupported("INSERT into a function or a query", "INSERT INTO table"));
    };
    if insert.partitioned.is_some() {
        return Err(QueryError::unsupported(
            "the PARTITION clause of INSERT",
            "list the partition columns with the others: they find their partition by value",
        ));
    }
    if insert.or.is_some() || insert.replace_into || insert.ignore {
        return Err(QueryError::unsupported(
            "REPLACE, INSERT OR and INSERT IGNORE",
            "UPSERT INTO t, or INSERT INTO t ... ON CONFLICT (key) DO UPDATE SET ... or DO NOTHING",
        ));
    }
    if insert.on.is_some() && insert.returning.is_none() && insert.output.is_none() {
        return super::upsert::insert_on_conflict(session, insert).await;
    }
    if insert.returning.is_some() || insert.output.is_some() {
        return Err(QueryError::unsupported("RETURNING", "table_changes('table', version)"));
    }
    if insert.source.is_none() {
        return Err(QueryError::unsupported("INSERT without a query", "INSERT INTO t VALUES (...) or SELECT ..."));
    }
    let table = session.table_named(&name).await?;
    let snapshot = table.cached_snapshot().await?;
    let overwrite = insert.overwrite;
    let mut computed = fill_defaults(&mut insert, &snapshot)?;
    check_width(&insert, &snapshot)?;
    computed.extend(columns_left_out(&insert, &snapshot));
    insert.overwrite = false;
    insert.table = ast::TableObject::TableName(target_name());
    let provider = Arc::new(InsertTarget::new(FloeTableProvider::at(snapshot.clone())?));
    let mut statement = ast::Statement::Insert(insert);
    let planning = Planning::prepare(session, &mut statement, vec![(TARGET, provider)]).await?;
    let plan = planning.plan(statement).map_err(|error| column_count(error, &snapshot))?;
    let LogicalPlan::Dml(dml) = plan else {
        return Err(QueryError::invalid_argument("the INSERT has no source"));
    };
    let input = rows_of(DataFrame::new(session.context().state(), Arc::unwrap_or_clone(dml.input))).await?;
    let input = without_columns(input, computed);
    let mode = if overwrite { SaveMode::Overwrite } else { SaveMode::Append };
    let report = Box::pin(table.append_with(input, AppendOptions { mode, ..AppendOptions::default() })).await?;
    let Some(CommitReport { version, rows_added, .. }) = report else {
        return Ok(Done::new(format!("nothing to insert into {name}")).with_affected_rows(0).into());
    };
    let verb = if overwrite { "overwrote" } else { "inserted" };
    let text = match overwrite {
        true => format!("{verb} {name} with {} (version {version})", rows(rows_added)),
        false => format!("{verb} {} into {name} (version {version})", rows(rows_added)),
    };
    Ok(Done::new(text).with_affected_rows(rows_added).with_version(version).into())
}

/// A table as DataFusion plans an INSERT for it: every column may be null.
///
/// DataFusion takes NOT NULL as a promise that the rows given keep, and fails without naming the row that does not. The
/// table checks its constraints when the rows arrive, and names it.
#[derive(Debug)]
pub(super) struct InsertTarget {
    table: FloeTableProvider,
    schema: SchemaRef,
}

impl InsertTarget {
    pub(super) fn new(table: FloeTableProvider) -> Self {
        let schema = table.schema();
        let nullable = schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
        InsertTarget { schema: Arc::new(Schema::new(nullable.collect::<Vec<_>>())), table }
    }

    /// As rows for an upsert may be given: with the delete marker, where the table has none of its own.
    pub(super) fn for_upsert(table: FloeTableProvider, snapshot: &Snapshot) -> Self {
        let mut target = InsertTarget::new(table);
        if let Some(marker) = &snapshot.state().properties.delete_marker
            && snapshot.schema().field(marker).is_none()
        {
            let mut fields = target.schema.fields().to_vec();
            fields.push(Arc::new(Field::new(marker, DataType::Boolean, true)));
            target.schema = Arc::new(Schema::new(fields));
        }
        target
    }
}

#[async_trait]
impl TableProvider for InsertTarget {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn get_column_default(&self, column: &str) -> Option<&Expr> {
        self.table.get_column_default(column)
    }

    async fn scan(
        &self,
        state: &dyn datafusion::catalog::Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> datafusion::error::Result<Arc<dyn ExecutionPlan>> {
        self.table.scan(state, projection, filters, limit).await
    }
}

/// `1 row`, `3 rows`.
pub(super) fn rows(count: u64) -> String {
    format!("{count} {}", if count == 1 { "row" } else { "rows" })
}

/// The generated columns that an INSERT does not name: the table computes them, where the planner would put null.
pub(super) fn columns_left_out(insert: &ast::Insert, snapshot: &Snapshot) -> Vec<String> {
    let names: Vec<&ast::Ident> = insert.columns.iter().filter_map(|name| name.0.last()?.as_ident()).collect();
    let named = |field: &StructField| {
        insert.columns.is_empty() || names.iter().any(|name| name.value.eq_ignore_ascii_case(&field.name))
    };
    let generated = snapshot.schema().fields.iter().filter(|field| field.generation_expression().is_some());
    generated.filter(|field| !named(field)).map(|field| field.name.clone()).collect()
}

/// The rows without some of their columns.
pub(super) fn without_columns(rows: BatchStream, columns: Vec<String>) -> BatchStream {
    if columns.is_empty() {
        return rows;
    }
    let kept = move |batch: RecordBatch| {
        let schema = batch.schema();
        let kept = |at: &usize| !columns.contains(schema.field(*at).name());
        Ok(batch.project(&(0..batch.num_columns()).filter(kept).collect::<Vec<_>>())?)
    };
    rows.map(move |batch| batch.and_then(&kept)).boxed()
}

/// Puts the columns' defaults where the values say DEFAULT, and gives the columns that the table is to compute.
///
/// # Errors
/// DEFAULT for a generated column in some rows and not in others.
pub(super) fn fill_defaults(insert: &mut ast::Insert, snapshot: &Snapshot) -> Result<Vec<String>> {
    let fields = &snapshot.schema().fields;
    let named: Vec<Option<&StructField>> = match insert.columns.is_empty() {
        true => fields.iter().map(Some).collect(),
        false => insert
            .columns
            .iter()
            .map(|name| name.0.last().and_then(|p| p.as_ident()).and_then(|i| snapshot.schema().field(&i.value)))
            .collect(),
    };
    let Some(query) = insert.source.as_mut() else {
        return Ok(Vec::new());
    };
    let ast::SetExpr::Values(values) = query.body.as_mut() else {
        return Ok(Vec::new());
    };
    let mut computed = Vec::new();
    for (at, field) in named.iter().enumerate() {
        let Some(field) = field.filter(|field| field.generation_expression().is_some()) else { continue };
        let left_out = values.rows.iter().filter(|row| row.content.get(at).is_some_and(is_default)).count();
        if left_out > 0 && left_out < values.rows.len() {
            return Err(QueryError::unsupported(
                format!("DEFAULT for generated column {} in some rows only", field.name),
                "DEFAULT in every row, or leave the column out",
            ));
        }
        if left_out > 0 {
            computed.push(field.name.clone());
        }
    }
    for row in &mut values.rows {
        for (value, field) in row.content.iter_mut().zip(&named) {
            if !is_default(value) {
                continue;
            }
            let sql = field.and_then(|field| field.default_expression()).unwrap_or("NULL");
            *value = Parser::new(&FloeDialect).try_with_sql(sql)?.parse_expr()?;
        }
    }
    Ok(computed)
}

/// Whether a value says DEFAULT.
fn is_default(value: &ast::Expr) -> bool {
    matches!(
        value,
        ast::Expr::Identifier(ident) if ident.quote_style.is_none() && ident.value.eq_ignore_ascii_case("default")
    )
}

/// Refuses rows of VALUES that are wider or narrower than the columns they are for.
pub(super) fn check_width(insert: &ast::Insert, snapshot: &Snapshot) -> Result<()> {
    let Some(ast::SetExpr::Values(values)) = insert.source.as_ref().map(|query| query.body.as_ref()) else {
        return Ok(());
    };
    let expected = if insert.columns.is_empty() { snapshot.schema().fields.len() } else { insert.columns.len() };
    match values.rows.iter().map(|row| row.content.len()).find(|width| *width != expected) {
        Some(found) => Err(wrong_width(expected, Some(found), snapshot)),
        None => Ok(()),
    }
}

fn wrong_width(expected: usize, found: Option<usize>, snapshot: &Snapshot) -> QueryError {
    let names: Vec<&str> = snapshot.schema().fields.iter().map(|f| f.name.as_str()).collect();
    let found = found.map(|n| format!(", the rows have {n}")).unwrap_or_default();
    QueryError::invalid_argument(format!(
        "the INSERT is for {expected} columns{found}; the table has ({}), name the columns to leave others out",
        names.join(", ")
    ))
}

pub(super) fn column_count(error: QueryError, snapshot: &Snapshot) -> QueryError {
    match &error {
        QueryError::DataFusion(inner) if inner.to_string().contains("Column count doesn't match") => {
            wrong_width(snapshot.schema().fields.len(), None, snapshot)
        }
        _ => error,
    }
}

/// Refuses a default that is no constant expression of the column's type.
pub(super) fn check_default(_session: &Session, field: &StructField) -> Result<()> {
    let Some(sql) = field.default_expression() else {
        return Ok(());
    };
    let refuse = |what: String| {
        QueryError::invalid_argument(format!("the default {sql} of column {} cannot be used: {what}", field.name))
    };
    let schema = floe_table_format::StructType { fields: vec![field.clone()] }.to_arrow()?;
    let nothing = datafusion::common::DFSchema::empty();
    let expr = expressions::parse(sql, &Schema::empty()).map_err(|e| refuse(e.strip_backtrace()))?;
    expr.cast_to(schema.field(0).data_type(), &nothing).map_err(|e| refuse(e.strip_backtrace()))?;
    Ok(())
}

pub(super) async fn truncate(session: &Session, name: ast::ObjectName) -> Result<Outcome> {
    let table = session.table_named(&name).await?;
    let report = Box::pin(dml::delete(&session.context().state(), &table, &TableReference::bare(TARGET), None)).await?;
    Ok(changed("truncated", &name, report))
}

pub(super) async fn delete(session: &Session, statement: ast::Statement) -> Result<Outcome> {
    let ast::Statement::Delete(delete) = statement else {
        return Err(QueryError::invalid_argument("no DELETE"));
    };
    if delete.using.is_some() || !delete.tables.is_empty() {
        return Err(QueryError::unsupported(
            "DELETE from several tables",
            "DELETE FROM t WHERE key IN (SELECT ...), or MERGE INTO",
        ));
    }
    if delete.returning.is_some() || delete.output.is_some() || delete.limit.is_some() || !delete.order_by.is_empty() {
        return Err(QueryError::unsupported(
            "RETURNING, ORDER BY and LIMIT in DELETE",
            "DELETE FROM t WHERE condition",
        ));
    }
    let (ast::FromTable::WithFromKeyword(tables) | ast::FromTable::WithoutKeyword(tables)) = delete.from;
    let (name, target, relation) = single_target(tables, "DELETE")?;
    let table = session.table_named(&name).await?;
    let predicate = match delete.selection {
        Some(condition) => Some(filter(session, &table, relation, condition).await?),
        None => None,
    };
    let report = Box::pin(dml::delete(&session.context().state(), &table, &target, predicate)).await?;
    Ok(changed("deleted", &name, report))
}

/// The only table that a statement changes, what its columns are qualified with, and the relation to plan with.
fn single_target(
    mut tables: Vec<ast::TableWithJoins>,
    verb: &str,
) -> Result<(ast::ObjectName, TableReference, ast::TableFactor)> {
    let several = || QueryError::unsupported(format!("{verb} of several tables"), "MERGE INTO");
    let only = tables.pop().filter(|only| tables.is_empty() && only.joins.is_empty()).ok_or_else(several)?;
    let mut relation = only.relation;
    let ast::TableFactor::Table { name, alias, version, .. } = &mut relation else {
        return Err(QueryError::unsupported(format!("{verb} of something that is no table"), "name a table"));
    };
    if version.is_some() {
        return Err(QueryError::unsupported(
            format!("{verb} of an earlier version"),
            "RESTORE TABLE t TO VERSION AS OF n",
        ));
    }
    let original = std::mem::replace(name, target_name());
    let alias = alias.get_or_insert_with(|| ast::TableAlias {
        explicit: true,
        // Columns stay reachable by the table's name.
        name: original.0.last().and_then(|p| p.as_ident().cloned()).unwrap_or_else(|| ast::Ident::new(TARGET)),
        columns: Vec::new(),
        at: None,
    });
    alias.name.quote_style = alias.name.quote_style.map(|_| '"');
    // The planner reads names without quotes in small letters, but for that of the table that an UPDATE is of.
    if alias.name.quote_style.is_none() {
        alias.name.value = alias.name.value.to_lowercase();
    }
    let target = TableReference::bare(alias.name.value.clone());
    Ok((original, target, relation))
}

/// The condition as DataFusion plans it over the table, subqueries included.
async fn filter(session: &Session, table: &Table, relation: ast::TableFactor, condition: ast::Expr) -> Result<Expr> {
    let mut query = Parser::new(&FloeDialect).try_with_sql("SELECT * FROM t WHERE true")?.parse_query()?;
    if let ast::SetExpr::Select(select) = query.body.as_mut() {
        select.from = vec![ast::TableWithJoins { relation, joins: Vec::new() }];
        select.selection = Some(condition);
    }
    let mut statement = ast::Statement::Query(query);
    let provider = Arc::new(FloeTableProvider::at(table.cached_snapshot().await?)?);
    let planning = Planning::prepare(session, &mut statement, vec![(TARGET, provider)]).await?;
    match planning.plan(statement)? {
        LogicalPlan::Projection(projection) => match projection.input.as_ref() {
            LogicalPlan::Filter(filter) => Ok(filter.predicate.clone()),
            other => Err(QueryError::invalid_argument(format!("the condition was planned as {}", other.display()))),
        },
        other => Err(QueryError::invalid_argument(format!("the condition was planned as {}", other.display()))),
    }
}

pub(super) async fn update(session: &Session, statement: ast::Statement) -> Result<Outcome> {
    let ast::Statement::Update(mut update) = statement else {
        return Err(QueryError::invalid_argument("no UPDATE"));
    };
    if update.from.is_some() {
        return Err(QueryError::unsupported(
            "UPDATE ... FROM",
            "MERGE INTO t USING source ON ... WHEN MATCHED THEN UPDATE SET ...",
        ));
    }
    if update.returning.is_some() || update.limit.is_some() || !update.order_by.is_empty() || update.or.is_some() {
        return Err(QueryError::unsupported(
            "RETURNING, ORDER BY and LIMIT in UPDATE",
            "UPDATE t SET ... WHERE condition",
        ));
    }
    let (name, target, relation) = single_target(vec![update.table], "UPDATE")?;
    update.table = ast::TableWithJoins { relation, joins: Vec::new() };
    let table = session.table_named(&name).await?;
    let snapshot = table.cached_snapshot().await?;
    let assigned = assigned_columns(&update.assignments, &snapshot)?;
    for assignment in &mut update.assignments {
        replace_default(assignment, &snapshot)?;
    }
    let mut statement = ast::Statement::Update(update);
    let provider = Arc::new(FloeTableProvider::at(snapshot)?);
    let planning = Planning::prepare(session, &mut statement, vec![(TARGET, provider)]).await?;
    let LogicalPlan::Dml(dml) = planning.plan(statement)? else {
        return Err(QueryError::invalid_argument("the UPDATE changes nothing"));
    };
    let LogicalPlan::Projection(projection) = dml.input.as_ref() else {
        return Err(QueryError::invalid_argument("the UPDATE was planned in a way that is not understood"));
    };
    let predicate = match projection.input.as_ref() {
        LogicalPlan::Filter(filter) => Some(filter.predicate.clone()),
        _ => None,
    };
    let assignments: Vec<(String, Expr)> = projection
        .expr
        .iter()
        .filter_map(|expr| match expr {
            Expr::Alias(alias) if assigned.contains(&alias.name) => Some((alias.name.clone(), (*alias.expr).clone())),
            _ => None,
        })
        .collect();
    let report = Box::pin(dml::update(&session.context().state(), &table, &target, assignments, predicate)).await?;
    Ok(changed("updated", &name, report))
}

/// The names of the assigned columns as the table spells them.
fn assigned_columns(assignments: &[ast::Assignment], snapshot: &Snapshot) -> Result<HashSet<String>> {
    let mut assigned = HashSet::new();
    for assignment in assignments {
        let ast::AssignmentTarget::ColumnName(name) = &assignment.target else {
            return Err(QueryError::unsupported("assigning several columns at once", "SET a = ..., b = ..."));
        };
        let idents: Vec<&ast::Ident> = name.0.iter().filter_map(|p| p.as_ident()).collect();
        let [.., last] = idents.as_slice() else {
            return Err(QueryError::syntax("an assignment without a column"));
        };
        let Some(field) = snapshot.schema().field(&last.value) else {
            let columns = snapshot.schema().fields.iter().map(|f| f.name.clone()).collect();
            return Err(QueryError::unknown_column(last.value.clone(), columns));
        };
        if !assigned.insert(field.name.clone()) {
            return Err(QueryError::invalid_argument(format!("column {} is assigned twice", field.name)));
        }
    }
    Ok(assigned)
}

/// `SET a = DEFAULT`.
fn replace_default(assignment: &mut ast::Assignment, snapshot: &Snapshot) -> Result<()> {
    if let (true, ast::AssignmentTarget::ColumnName(name)) = (is_default(&assignment.value), &assignment.target) {
        let field = name.0.last().and_then(|p| p.as_ident()).and_then(|i| snapshot.schema().field(&i.value));
        let sql = field.and_then(|field| field.default_expression()).unwrap_or("NULL");
        assignment.value = Parser::new(&FloeDialect).try_with_sql(sql)?.parse_expr()?;
    }
    Ok(())
}

/// What a change of rows did, in words.
pub(super) fn changed(verb: &str, name: &ast::ObjectName, report: dml::DmlReport) -> Outcome {
    let affected = report.rows_changed();
    let place = match report.version {
        Some(version) => format!(" (version {version})"),
        None => String::new(),
    };
    let mut done = Done::new(format!("{verb} {} of {name}{place}", rows(affected))).with_affected_rows(affected);
    done.version = report.version;
    done.into()
}
