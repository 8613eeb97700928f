//! Expressions of generated columns.
//!
//! What a generated column holds follows from the other columns, for every engine that writes the table and for those that skip
//! files by it. So an expression is evaluated only where it certainly means here what it means to Spark, which the
//! protocol leaves its meaning to. Anything else is refused by name, and the table is not written to.
//!
//! Times are those of UTC, as everywhere in Floe.

use std::sync::Arc;

use arrow::datatypes::{DataType, Schema};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, ScalarValue, plan_err};
use datafusion::error::Result;
use datafusion::execution::context::SessionState;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, Operator};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::BinaryExpr as PhysicalBinaryExpr;

use crate::expressions;

/// The expression of a generated column, which sees the columns `seen`, ready to evaluate on batches of `schema`, as a value
/// of a type.
///
/// # Errors
/// Text that is no expression over these columns, what may mean something else to others, a type that cannot become the
/// wanted one.
pub(crate) fn compile(
    state: Option<&SessionState>,
    sql: &str,
    seen: &Schema,
    schema: &Schema,
    data_type: &DataType,
) -> Result<Arc<dyn PhysicalExpr>> {
    let state = state.unwrap_or_else(|| expressions::built_in());
    let expr = expressions::parse_in(state, sql, seen)?;
    let seen = DFSchema::try_from(seen.clone())?;
    expr.apply(|part| {
        check(part, &seen)?;
        Ok(TreeNodeRecursion::Continue)
    })?;
    let schema = DFSchema::try_from(schema.clone())?;
    let expr = expr.cast_to(data_type, &schema)?;
    let expr = state.create_physical_expr(expr, &schema)?;
    // A sum that is too large is an error, and not another number.
    let strict = |part: Arc<dyn PhysicalExpr>| match part.downcast_ref::<PhysicalBinaryExpr>() {
        Some(binary) => Ok(Transformed::yes(Arc::new(binary.clone().with_fail_on_overflow(true)) as _)),
        None => Ok(Transformed::no(part)),
    };
    expr.transform_up(strict).data()
}

/// Refuses a part that other engines may understand otherwise.
fn check(part: &Expr, schema: &DFSchema) -> Result<()> {
    match part {
        Expr::Column(_)
        | Expr::Literal(..)
        | Expr::Alias(_)
        | Expr::Not(_)
        | Expr::Negative(_)
        | Expr::IsNull(_)
        | Expr::IsNotNull(_)
        | Expr::IsTrue(_)
        | Expr::IsFalse(_)
        | Expr::IsUnknown(_)
        | Expr::IsNotTrue(_)
        | Expr::IsNotFalse(_)
        | Expr::IsNotUnknown(_) => Ok(()),
        Expr::Between(between) => check_alike(schema, [&*between.expr, &*between.low, &*between.high]),
        Expr::InList(list) => check_alike(schema, std::iter::once(&*list.expr).chain(&list.list)),
        Expr::Case(case) => {
            let (when, then): (Vec<&Expr>, Vec<&Expr>) =
                case.when_then_expr.iter().map(|(when, then)| (&**when, &**then)).unzip();
            if let Some(of) = &case.expr {
                check_alike(schema, std::iter::once(&**of).chain(when))?;
            }
            check_alike(schema, then.into_iter().chain(case.else_expr.as_deref()))
        }
        Expr::BinaryExpr(binary) => check_operator(binary, schema),
        Expr::Cast(cast) => {
            let (from, to) = (cast.expr.get_type(schema)?, cast.field.data_type());
            match keeps_its_meaning(&from, to) {
                true => Ok(()),
                false => plan_err!("a cast from {from} to {to} is not the same to every engine"),
            }
        }
        Expr::ScalarFunction(call) => check_function(call, schema),
        other => plan_err!("{} is not known to mean the same to every engine", other.human_display()),
    }
}

fn check_operator(BinaryExpr { left, op, right }: &BinaryExpr, schema: &DFSchema) -> Result<()> {
    use Operator::*;
    let types = (left.get_type(schema)?, right.get_type(schema)?);
    match op {
        And | Or => Ok(()),
        Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom => {
            check_alike(schema, [left.as_ref(), right.as_ref()])
        }
        StringConcat if is_text(&types.0) && is_text(&types.1) => Ok(()),
        StringConcat => plan_err!("|| joins text, found {} and {}: cast them", types.0, types.1),
        Plus | Minus | Multiply if types.0.is_numeric() && types.1.is_numeric() => Ok(()),
        Modulo if types.0.is_integer() && types.1.is_integer() => Ok(()),
        // Of integers Spark makes a fraction, where this engine makes an integer.
        Divide if types.0.is_floating() && types.1.is_floating() => Ok(()),
        op => plan_err!("{op} of {} and {} is not the same to every engine", types.0, types.1),
    }
}

/// Refuses values that engines bring together in different ways, such as text and numbers.
fn check_alike<'a>(schema: &DFSchema, parts: impl IntoIterator<Item = &'a Expr>) -> Result<()> {
    let mut first: Option<DataType> = None;
    for part in parts {
        let found = part.get_type(schema)?;
        let written = matches!(part, Expr::Literal(..)) && is_text(&found);
        if found.is_null() || written && first.as_ref().is_some_and(DataType::is_temporal) {
            continue;
        }
        match &first {
            None => first = Some(found),
            Some(first) if are_alike(first, &found) => {}
            Some(first) => return plan_err!("{first} and {found} are not brought together in one way by every engine"),
        }
    }
    Ok(())
}

fn are_alike(one: &DataType, other: &DataType) -> bool {
    one == other || one.is_numeric() && other.is_numeric() || is_text(one) && is_text(other)
}

fn check_function(call: &ScalarFunction, schema: &DFSchema) -> Result<()> {
    let types: Vec<DataType> = call.args.iter().map(|arg| arg.get_type(schema)).collect::<Result<_>>()?;
    let text = |at: usize| types.get(at).is_some_and(is_text);
    let is_time = |at: usize| matches!(types.get(at), Some(DataType::Date32 | DataType::Timestamp(..)));
    let unit = |known: &[&str]| match call.args.first() {
        Some(Expr::Literal(ScalarValue::Utf8(Some(unit)) | ScalarValue::Utf8View(Some(unit)), _)) => {
            known.iter().any(|known| known.eq_ignore_ascii_case(unit))
        }
        _ => false,
    };
    let positive = |at: usize| match call.args.get(at) {
        Some(Expr::Literal(ScalarValue::Int64(Some(number)), _)) => *number > 0,
        None => true,
        _ => false,
    };
    let one = types.len() == 1;
    let known = match call.func.name() {
        "date_part" => unit(&["year", "quarter", "month", "day", "hour", "minute"]) && is_time(1),
        "date_trunc" => {
            unit(&["year", "quarter", "month", "week", "day", "hour", "minute", "second"])
                && matches!(types.get(1), Some(DataType::Timestamp(..)))
        }
        "lower" | "upper" | "character_length" | "md5" => one && text(0),
        "substr" | "substring" => text(0) && positive(1) && positive(2),
        "abs" => one && types[0].is_signed_integer(),
        "floor" | "ceil" => one && types[0].is_floating(),
        "get_field" | "struct" | "named_struct" => true,
        _ => false,
    };
    match known {
        true => Ok(()),
        false => {
            let types: Vec<String> = types.iter().map(DataType::to_string).collect();
            plan_err!(
                "function {}({}) is not known to mean the same to every engine",
                call.func.name(),
                types.join(", ")
            )
        }
    }
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// Whether a value means the same in another type to every engine, and how it is written where that is text.
fn keeps_its_meaning(from: &DataType, to: &DataType) -> bool {
    use DataType::*;
    match (from, to) {
        (from, to) if from == to || is_text(from) && is_text(to) => true,
        (from, to) if from.is_signed_integer() => to.is_signed_integer() || to.is_floating() || is_text(to),
        (Float32, Float64) => true,
        (Date32 | Boolean, to) if is_text(to) => true,
        (Timestamp(..), Date32) => true,
        (Timestamp(_, from), Timestamp(_, to)) => from.is_some() == to.is_some(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{
        ArrayRef, AsArray, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
    };
    use arrow::compute::cast;
    use arrow::datatypes::{Field, TimeUnit};

    use super::*;

    fn batch() -> RecordBatch {
        // 2026-11-27 18:30:00 UTC.
        let at = TimestampMicrosecondArray::from(vec![Some(1_795_804_200_000_000), None]).with_timezone("UTC");
        RecordBatch::try_from_iter([
            ("n", Arc::new(Int32Array::from(vec![Some(7), None])) as ArrayRef),
            ("id", Arc::new(Int64Array::from(vec![3, 4])) as ArrayRef),
            ("Name", Arc::new(StringArray::from(vec![Some("Alma"), None])) as ArrayRef),
            ("at", Arc::new(at) as ArrayRef),
        ])
        .expect("columns fit")
    }

    fn computed(sql: &str, to: DataType) -> Result<String> {
        let batch = batch();
        let schema = batch.schema();
        let value = compile(None, sql, &schema, &schema, &to)?.evaluate(&batch)?.into_array(2)?;
        assert_eq!(value.data_type(), &to, "{sql}");
        let text = cast(&value, &DataType::Utf8)?;
        let text = text.as_string::<i32>();
        Ok(text.iter().map(|value| value.unwrap_or("NULL").to_owned()).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn what_is_the_same_to_every_engine_is_computed() {
        for (sql, to, expected) in [
            ("n + 1", DataType::Int32, "8 NULL"),
            ("id * 2 - n % 4", DataType::Int64, "3 NULL"),
            ("CAST(at AS DATE)", DataType::Date32, "2026-11-27 NULL"),
            ("DATE(at)", DataType::Date32, "2026-11-27 NULL"),
            ("year(at)", DataType::Int32, "2026 NULL"),
            ("MONTH(at) * 100 + day(at)", DataType::Int32, "1127 NULL"),
            ("hour(at)", DataType::Int32, "18 NULL"),
            ("CAST(date_trunc('MONTH', at) AS DATE)", DataType::Date32, "2026-11-01 NULL"),
            ("concat(name, '-', CAST(id AS STRING))", DataType::Utf8, "Alma-3 NULL"),
            ("upper(substring(name, 1, 2))", DataType::Utf8, "AL NULL"),
            ("substr(name, 2)", DataType::Utf8, "lma NULL"),
            ("nullif(n, 7)", DataType::Int32, "NULL NULL"),
            ("length(name)", DataType::Int32, "4 NULL"),
            (
                "CASE WHEN n IS NULL THEN 'none' WHEN n BETWEEN 1 AND 9 THEN 'few' ELSE 'many' END",
                DataType::Utf8,
                "few none",
            ),
            ("coalesce(name, 'nobody')", DataType::Utf8, "Alma nobody"),
            (
                "at > '2026-01-01' AND CAST(at AS DATE) BETWEEN '2026-01-01' AND '2026-12-31'",
                DataType::Boolean,
                "true NULL",
            ),
            ("id IN (1, 3)", DataType::Boolean, "true false"),
        ] {
            assert_eq!(computed(sql, to).unwrap_or_else(|e| panic!("{sql}: {e}")), expected, "{sql}");
        }
        let micros = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        assert_eq!(computed("date_trunc('hour', at)", micros).expect("computed"), "2026-11-27T18:00:00Z NULL");
    }

    #[test]
    fn what_another_engine_may_understand_otherwise_is_refused() {
        for sql in [
            "date_format(at, 'yyyy-MM')",
            "to_char(at, '%Y')",
            "n / 2",
            "CAST(at AS STRING)",
            "CAST(name AS INT)",
            "CAST(1.5 AS STRING)",
            "concat(name, id)",
            "substring(name, 0, 2)",
            "random()",
            "current_timestamp()",
            "now()",
            "sum(id)",
            "(SELECT 1)",
            "row_number() OVER ()",
            "date_trunc('fortnight', at)",
            "name LIKE 'A%'",
            "name = 5",
            "CASE WHEN id = 1 THEN name ELSE id END",
            "id IN ('1', 2)",
            "nosuch",
        ] {
            assert!(computed(sql, DataType::Utf8).is_err(), "{sql}");
        }
    }

    #[test]
    fn a_value_that_does_not_fit_is_an_error_and_not_null() {
        let schema = Schema::new(vec![Field::new("id", DataType::Int64, true)]);
        let batch = RecordBatch::try_from_iter([("id", Arc::new(Int64Array::from(vec![i64::MAX])) as ArrayRef)]);
        let value = compile(None, "id - 1", &schema, &schema, &DataType::Int32).expect("compiles");
        let batch = batch.expect("columns fit");
        assert!(value.evaluate(&batch).is_err());
        let value = compile(None, "id + 1", &schema, &schema, &DataType::Int64).expect("compiles");
        assert!(value.evaluate(&batch).is_err(), "it is too large for 64 bits");
    }
}
