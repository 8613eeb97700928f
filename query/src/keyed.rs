//! Queries that name keys: which keys a filter or a join names, and where their rows are.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{Field, Schema};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use floe_table::{KeyedRows, Result, ScanPlan, Snapshot};

/// Keys that one query may name to be answered by looking them up.
const KEYS_MAX: usize = 10_000;
/// Files of fewer rows than these are as well read whole.
const ROWS_MIN: u64 = 200_000;

/// The rows that filters leave, where they name the primary key by equality and the record index knows where its rows are;
/// none where reading the table is as good.
///
/// # Errors
/// Whatever looking keys up meets.
pub(crate) async fn look_up(snapshot: &Snapshot, plan: &ScanPlan, filters: &[Expr]) -> Result<Option<KeyedRows>> {
    if snapshot.primary_key().is_empty() || filters.is_empty() {
        return Ok(None);
    }
    let rows: u64 = plan.files.iter().map(|file| file.num_records.unwrap_or(ROWS_MIN)).sum();
    if rows < ROWS_MIN {
        return Ok(None);
    }
    match keys_named(snapshot, filters) {
        Some(keys) => snapshot.locate_indexed_keys(&keys, rows / 8).await,
        None => Ok(None),
    }
}

/// The keys that filters leave, as a batch of the key's columns; none if they leave other keys, or too many.
fn keys_named(snapshot: &Snapshot, filters: &[Expr]) -> Option<RecordBatch> {
    let arrow = snapshot.arrow_schema().ok()?;
    let parts: Vec<&Expr> = filters.iter().flat_map(split_conjunction).collect();
    let mut named: Vec<(Arc<Field>, Vec<ScalarValue>)> = Vec::new();
    for column in snapshot.primary_key() {
        let field = arrow.fields().iter().find(|field| field.name() == column)?.clone();
        let values = parts.iter().find_map(|part| values_of(part, column))?;
        let values: Option<Vec<ScalarValue>> = values
            .into_iter()
            .filter(|value| !value.is_null())
            // A constant that is no value of the column may be equal to one all the same, as 1.0 is to 1.
            .map(|value| value.cast_to(field.data_type()).ok().filter(|cast| !cast.is_null()))
            .collect();
        named.push((Arc::new(field.as_ref().clone().with_nullable(true)), values?));
    }
    let count = named.iter().try_fold(1usize, |count, (_, values)| count.checked_mul(values.len()))?;
    if count == 0 || count > KEYS_MAX {
        return None;
    }
    // Every combination of the columns' values.
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(named.len());
    let mut repeat = count;
    for (_, values) in &named {
        repeat /= values.len();
        let column = (0..count).map(|row| values[row / repeat % values.len()].clone());
        columns.push(ScalarValue::iter_to_array(column).ok()?);
    }
    let schema = Schema::new(named.into_iter().map(|(field, _)| field).collect::<Vec<_>>());
    RecordBatch::try_new(Arc::new(schema), columns).ok()
}

/// The constants that a column equals one of where this is true; none if it says something else.
fn values_of(part: &Expr, column: &str) -> Option<Vec<ScalarValue>> {
    let is_column = |expr: &Expr| matches!(expr, Expr::Column(found) if found.name == column);
    match part {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => match (left.as_ref(), right.as_ref()) {
            (own, Expr::Literal(value, _)) | (Expr::Literal(value, _), own) if is_column(own) => {
                Some(vec![value.clone()])
            }
            _ => None,
        },
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            let mut values = values_of(left, column)?;
            values.extend(values_of(right, column)?);
            Some(values)
        }
        Expr::InList(list) if !list.negated && is_column(&list.expr) => list
            .list
            .iter()
            .map(|item| match item {
                Expr::Literal(value, _) => Some(value.clone()),
                _ => None,
            })
            .collect(),
        _ => None,
    }
}
