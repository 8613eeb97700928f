//! SUMMARIZE: what the columns of a table or query hold, in one pass over its rows. The columns of the answer are DuckDB's.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::Column;
use datafusion::functions_aggregate::expr_fn::{approx_distinct, approx_percentile_cont, avg, count, max, min, stddev};
use datafusion::logical_expr::{Expr, ExprSchemable, lit};
use datafusion::prelude::DataFrame;
use datafusion::sql::sqlparser::ast::Query;
use floe_table_format::DataType as DeltaType;
use futures::TryStreamExt;

use crate::error::Result;
use crate::output::Outcome;
use crate::rows::{Cell, Rows};
use crate::session::Session;
use crate::statement::query;
use crate::types::type_name;

/// The aggregates of one column, in this order; null where they make no sense.
const PARTS: usize = 9;

pub(super) async fn summarize(session: &Session, query: Query) -> Result<Outcome> {
    let frame = query::data_frame(session, query).await?;
    let schema = frame.schema().clone();
    let mut parts = Vec::with_capacity(schema.fields().len() * PARTS + 1);
    for (at, (qualifier, field)) in schema.iter().enumerate() {
        let column = Expr::Column(Column::new(qualifier.cloned(), field.name()));
        let aggregates = aggregates(column, field.data_type(), &schema)?;
        parts.extend(aggregates.into_iter().enumerate().map(|(part, expr)| expr.alias(format!("{at}.{part}"))));
    }
    parts.push(count(lit(1)).alias("rows"));
    let (state, plan) = frame.into_parts();
    let frame = DataFrame::new(state, plan).aggregate(Vec::new(), parts)?;
    let batches: Vec<_> = query::rows_of(frame).await?.try_collect().await?;
    let mut rows = Rows::new(&[
        ("column_name", Cell::Text(None)),
        ("column_type", Cell::Text(None)),
        ("min", Cell::Text(None)),
        ("max", Cell::Text(None)),
        ("approx_unique", Cell::Long(None)),
        ("avg", Cell::Text(None)),
        ("std", Cell::Text(None)),
        ("q25", Cell::Text(None)),
        ("q50", Cell::Text(None)),
        ("q75", Cell::Text(None)),
        ("count", Cell::Long(None)),
        ("null_percentage", Cell::Text(None)),
    ]);
    let Some(found) = batches.iter().find(|batch| batch.num_rows() == 1) else { return rows.outcome() };
    let total = long(found.column(found.num_columns() - 1))?.unwrap_or(0);
    for (at, field) in schema.fields().iter().enumerate() {
        let part = |part: usize| found.column(at * PARTS + part);
        let own = DeltaType::from_arrow(field.data_type());
        let nulls = total - long(part(8))?.unwrap_or(0);
        let percentage = if total == 0 { 0.0 } else { nulls as f64 * 100.0 / total as f64 };
        let mut cells = vec![
            Cell::from(field.name().clone()),
            own.map_or_else(|_| field.data_type().to_string(), |own| type_name(&own)).into(),
            text(part(0))?.into(),
            text(part(1))?.into(),
            Cell::Long(long(part(2))?),
        ];
        for number in 3..8 {
            cells.push(text(part(number))?.into());
        }
        cells.push(Cell::Long(Some(total)));
        cells.push(format!("{percentage:.2}").into());
        rows.push(cells)?;
    }
    rows.outcome()
}

fn aggregates(column: Expr, data_type: &DataType, schema: &datafusion::common::DFSchema) -> Result<[Expr; PARTS]> {
    let nothing = || min(lit(datafusion::common::ScalarValue::Utf8(None)));
    let is_plain = !data_type.is_nested() && *data_type != DataType::Null;
    let (least, most, distinct) = match is_plain {
        true => {
            let values =
                match data_type.is_floating() || matches!(data_type, DataType::Boolean) || is_decimal(data_type) {
                    true => column.clone().cast_to(&DataType::Utf8, schema)?,
                    false => column.clone(),
                };
            (min(column.clone()), max(column.clone()), approx_distinct(values))
        }
        false => (nothing(), nothing(), nothing()),
    };
    let numbers = match data_type.is_numeric() {
        true => {
            let number = column.clone().cast_to(&DataType::Float64, schema)?;
            let quantile = |share: f64| approx_percentile_cont(number.clone().sort(true, false), lit(share), None);
            [avg(number.clone()), stddev(number.clone()), quantile(0.25), quantile(0.5), quantile(0.75)]
        }
        false => std::array::from_fn(|_| nothing()),
    };
    let [mean, deviation, q25, q50, q75] = numbers;
    Ok([least, most, distinct, mean, deviation, q25, q50, q75, count(column)])
}

fn is_decimal(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Decimal128(..) | DataType::Decimal256(..))
}

fn text(value: &ArrayRef) -> Result<Option<String>> {
    let value = cast(value, &DataType::Utf8)?;
    let texts = value.as_string::<i32>();
    Ok(texts.is_valid(0).then(|| texts.value(0).to_owned()))
}

fn long(value: &ArrayRef) -> Result<Option<i64>> {
    let value = cast(value, &DataType::Int64)?;
    let longs = value.as_primitive::<Int64Type>();
    Ok(longs.is_valid(0).then(|| longs.value(0)))
}
