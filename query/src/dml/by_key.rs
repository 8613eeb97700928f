//! Merges whose condition is that the primary keys are equal: what the source says of the keys is enough to find the rows.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::{MemTable, Session};
use datafusion::common::{Column, DFSchemaRef, TableReference};
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::dml::{MergeIntoAction, MergeIntoClause, MergeIntoClauseKind};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Operator, TryCast};
use floe_table::{BatchStream, Snapshot, Table, TableError};
use floe_table_format::MergeMode;
use futures::{StreamExt, TryStreamExt};

use super::run;
use crate::error::Result;

/// Bytes of a source that are held to look its keys up. A larger source is joined with the table as a whole.
pub(super) const HELD_BYTES_MAX: usize = 256 << 20;

/// A merge by primary key.
pub(super) struct ByKey {
    /// For each column of the key the source's value.
    values: Vec<Expr>,
    fields: Vec<Arc<Field>>,
    /// Whether every column of a matched row, and of a new one, comes from the source: old rows need not be read.
    pub(super) overwrites: bool,
}

/// What the merge is by key; none if it is something else.
///
/// Clauses that would give a row another key, or that look at rows which only the table has, make it something else.
pub(super) fn of(
    snapshot: &Snapshot,
    target: &TableReference,
    source: &LogicalPlan,
    on: &Expr,
    clauses: &[MergeIntoClause],
) -> Option<ByKey> {
    let key = snapshot.primary_key();
    let arrow = snapshot.arrow_schema().ok()?;
    if key.is_empty() || clauses.is_empty() {
        return None;
    }
    let own_rows = clauses.iter().any(|clause| clause.kind.canonical() == MergeIntoClauseKind::NotMatchedBySource);
    let parts = split_conjunction(on);
    if own_rows || parts.len() != key.len() {
        return None;
    }
    let is_of_target = |column: &Column| match &column.relation {
        Some(relation) => relation.resolved_eq(target),
        None => !source.schema().has_column_with_unqualified_name(&column.name),
    };
    let (mut values, mut fields) = (Vec::new(), Vec::new());
    for name in key {
        let field = arrow.field_with_name(name).ok()?;
        let is_key = |expr: &Expr| matches!(without_widening(expr, field.data_type()), Expr::Column(c) if c.name == *name && is_of_target(c));
        let value = parts.iter().find_map(|part| match part {
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) if is_key(left) => Some(right.as_ref()),
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) if is_key(right) => Some(left.as_ref()),
            _ => None,
        })?;
        // A value that the key's type cannot hold equals no key, but may become one when it is cast; not so integers, see
        // `keys_of`.
        let inner = without_widening_of_any(value);
        let holds = inner.get_type(source.schema()).is_ok_and(|found| {
            widens(&found, field.data_type()) || widens(field.data_type(), &found) && found.is_integer()
        });
        if value.column_refs().into_iter().any(is_of_target)
            || contains_subquery(value)
            || value.is_volatile()
            || !holds
        {
            return None;
        }
        let value = inner;
        values.push(value.clone());
        fields.push(Arc::new(field.clone().with_nullable(true)));
    }
    let keeps_key = |assignments: &[(String, Expr)], all: bool| {
        key.iter().zip(&values).zip(&fields).all(|((name, value), field)| {
            match assignments.iter().find(|(column, _)| column == name) {
                Some((_, assigned)) => {
                    without_cast_to(assigned, field.data_type()) == without_cast_to(value, field.data_type())
                }
                None => !all,
            }
        })
    };
    let from_source = |assignments: &[(String, Expr)]| {
        assignments.len() == arrow.fields().len()
            && assignments.iter().all(|(_, value)| !value.column_refs().into_iter().any(is_of_target))
    };
    // The id of a row is told by where it lies.
    let mut overwrites = clauses.len() == 2 && !snapshot.state().properties.enable_row_tracking;
    let mut full: Vec<Vec<(String, Expr)>> = Vec::new();
    for clause in clauses {
        overwrites &= clause.predicate.is_none();
        match &clause.action {
            MergeIntoAction::Delete => overwrites = false,
            MergeIntoAction::Update(assignments) => {
                if !keeps_key(assignments, false) {
                    return None;
                }
                overwrites &= from_source(assignments);
                full.push(assignments.clone());
            }
            MergeIntoAction::Insert { columns, values } => {
                let names: Vec<String> = match columns.is_empty() {
                    true => arrow.fields().iter().map(|field| field.name().clone()).collect(),
                    false => columns.clone(),
                };
                let assignments: Vec<(String, Expr)> = names.into_iter().zip(values.iter().cloned()).collect();
                if !keeps_key(&assignments, true) {
                    return None;
                }
                overwrites &= from_source(&assignments);
                full.push(assignments);
            }
        }
    }
    for assignments in &mut full {
        assignments.sort_by(|a, b| a.0.cmp(&b.0));
    }
    overwrites &= full.windows(2).all(|pair| pair[0] == pair[1]);
    let kinds: Vec<_> = clauses.iter().map(|clause| clause.kind.canonical()).collect();
    overwrites &=
        kinds.contains(&MergeIntoClauseKind::Matched) && kinds.contains(&MergeIntoClauseKind::NotMatchedByTarget);
    Some(ByKey { values, fields, overwrites })
}

/// The expression without the cast by which the planner brings a column of a type to a wider one to compare it.
fn without_widening<'a>(expr: &'a Expr, from: &DataType) -> &'a Expr {
    match expr {
        Expr::Cast(cast) if widens(from, cast.field.data_type()) => &cast.expr,
        other => other,
    }
}

/// A column without a cast around it: whether its own type will do is asked next.
fn without_widening_of_any(expr: &Expr) -> &Expr {
    match expr {
        Expr::Cast(cast) if matches!(cast.expr.as_ref(), Expr::Column(_)) => &cast.expr,
        other => other,
    }
}

/// The expression without a cast to the column's own type around it.
fn without_cast_to<'a>(expr: &'a Expr, to: &DataType) -> &'a Expr {
    match expr {
        Expr::Cast(cast) if cast.field.data_type() == to => &cast.expr,
        other => other,
    }
}

/// Whether every value of one type is a value of the other, and equal values stay equal.
fn widens(from: &DataType, to: &DataType) -> bool {
    let width = |data_type: &DataType| match data_type {
        DataType::Int8 => Some(1),
        DataType::Int16 => Some(2),
        DataType::Int32 => Some(4),
        DataType::Int64 => Some(8),
        _ => None,
    };
    let is_text = |t: &DataType| matches!(t, DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8);
    match (width(from), width(to)) {
        (Some(from), Some(to)) => from <= to,
        _ => from == to || (is_text(from) && is_text(to)),
    }
}

fn contains_subquery(expr: &Expr) -> bool {
    use datafusion::common::tree_node::TreeNode;
    expr.exists(|part| Ok(matches!(part, Expr::ScalarSubquery(_) | Expr::InSubquery(_) | Expr::Exists(_))))
        .unwrap_or(true)
}

impl ByKey {
    /// Whether the table's own rules agree with overwriting rows.
    pub(super) async fn is_declared_so(&self, table: &Table) -> Result<bool> {
        let snapshot = table.cached_snapshot().await?;
        let properties = &snapshot.state().properties;
        Ok(properties.merge_mode == MergeMode::Overwrite
            && properties.ordering_fields.is_empty()
            && properties.delete_marker.is_none())
    }

    /// The keys of the source, as a batch of the key's columns.
    pub(super) fn keys_of(&self, state: &dyn Session, source: &Held) -> Result<RecordBatch> {
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.values.len());
        for (value, field) in self.values.iter().zip(&self.fields) {
            let value = match widens(&value.get_type(&source.schema)?, field.data_type()) {
                true => value.clone().cast_to(field.data_type(), &source.schema)?,
                // What does not fit becomes null, which is no key.
                false => Expr::TryCast(TryCast::new(Box::new(value.clone()), field.data_type().clone())),
            };
            let value = state.create_physical_expr(value, &source.schema)?;
            columns.push(value.evaluate(&source.rows)?.into_array(source.rows.num_rows())?);
        }
        Ok(RecordBatch::try_new(Arc::new(Schema::new(self.fields.clone())), columns)?)
    }
}

/// The rows of a source, in memory.
pub(super) struct Held {
    schema: DFSchemaRef,
    rows: RecordBatch,
}

/// A source of a merge.
pub(super) enum Source {
    Held(Held),
    /// More than is held; to be run again.
    TooLarge(LogicalPlan),
}

/// Runs the source and holds its rows, if they are not too many.
///
/// # Errors
/// Whatever the source meets.
pub(super) async fn hold(state: &dyn Session, source: LogicalPlan) -> Result<Source> {
    let mut stream = run(state, &source).await?;
    let (mut batches, mut bytes) = (Vec::new(), 0);
    while let Some(batch) = stream.try_next().await? {
        bytes += batch.get_array_memory_size();
        if bytes > HELD_BYTES_MAX {
            return Ok(Source::TooLarge(source));
        }
        batches.push(batch);
    }
    let physical: SchemaRef = stream.schema();
    let rows = concat_batches(&physical, &batches)?;
    Ok(Source::Held(Held { schema: source.schema().clone(), rows }))
}

impl Held {
    /// The rows as a relation whose columns are named as the source named them.
    pub(super) fn plan(&self) -> Result<LogicalPlan> {
        // Columns of one name in two relations are two columns here.
        let fields: Vec<Field> = self
            .rows
            .schema()
            .fields()
            .iter()
            .enumerate()
            .map(|(at, field)| field.as_ref().clone().with_name(format!("column{at}")).with_nullable(true))
            .collect();
        let schema = Arc::new(Schema::new(fields));
        let rows = RecordBatch::try_new(schema.clone(), self.rows.columns().to_vec())?;
        let held = MemTable::try_new(schema, vec![vec![rows]])?;
        let relation = TableReference::bare("_floe_held");
        let renamed = self.schema.iter().enumerate().map(|(at, (qualifier, field))| {
            let column = Expr::Column(Column::new(Some(relation.clone()), format!("column{at}")));
            column.alias_qualified(qualifier.cloned(), field.name())
        });
        let renamed: Vec<Expr> = renamed.collect();
        Ok(LogicalPlanBuilder::scan(relation.clone(), provider_as_source(Arc::new(held)), None)?
            .project(renamed)?
            .build()?)
    }

    /// The rows as the table's, every column as the clauses say.
    pub(super) async fn rows_of_table(
        &self,
        state: &dyn Session,
        table: &Table,
        clauses: &[MergeIntoClause],
    ) -> Result<BatchStream> {
        let snapshot = table.cached_snapshot().await?;
        let arrow = snapshot.arrow_schema()?;
        let assignments: Vec<(String, Expr)> = clauses
            .iter()
            .find_map(|clause| match &clause.action {
                MergeIntoAction::Update(assignments) => Some(assignments.clone()),
                _ => None,
            })
            .unwrap_or_default();
        let plan = self.plan()?;
        let mut columns = Vec::with_capacity(arrow.fields().len());
        for field in arrow.fields() {
            if let Some((_, value)) = assignments.iter().find(|(name, _)| name == field.name()) {
                let value = datafusion::logical_expr::expr_rewriter::normalize_col(value.clone(), &plan)?;
                columns.push(value.cast_to(field.data_type(), plan.schema())?.alias(field.name()));
            }
        }
        let plan = LogicalPlanBuilder::from(plan).project(columns)?.build()?;
        let rows = run(state, &plan).await?;
        Ok(rows.map(|batch| batch.map_err(|error| TableError::Input(Box::new(error)))).boxed())
    }
}
