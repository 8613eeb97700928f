use datafusion::logical_expr::{col, lit, not};
use floe_table_format::{DataType, StructField};

use super::*;

fn schema() -> StructType {
    let field = |name: &str, kind| StructField::new(name, DataType::Primitive(kind), true);
    StructType {
        fields: vec![
            field("id", PrimitiveType::Long),
            field("small", PrimitiveType::Integer),
            field("name", PrimitiveType::String),
            field("price", PrimitiveType::Double),
            field("ok", PrimitiveType::Boolean),
        ],
    }
}

fn predicate(expr: Expr) -> Predicate {
    to_predicate([&expr], &schema())
}

fn compared(column: &str, op: CompareOp, value: Scalar) -> Predicate {
    Predicate::Compare { column: vec![column.into()], op, value }
}

#[test]
fn comparisons_hold_whichever_side_the_column_is_on() {
    assert_eq!(predicate(col("id").gt(lit(3i64))), compared("id", CompareOp::Gt, Scalar::Long(3)));
    assert_eq!(predicate(lit(3i64).gt(col("id"))), compared("id", CompareOp::Lt, Scalar::Long(3)));
}

#[test]
fn negation_reaches_the_leaves() {
    let expr = not(col("id").gt(lit(3i64)).and(col("name").is_null()));
    let expected = Predicate::Or(vec![
        compared("id", CompareOp::LtEq, Scalar::Long(3)),
        Predicate::IsNotNull(vec!["name".into()]),
    ]);
    assert_eq!(predicate(expr), expected);
}

#[test]
fn what_statistics_cannot_say_is_left_out_of_a_conjunction() {
    let expr = col("id").eq(lit(1i64)).and(col("id").eq(col("small")));
    let Predicate::And(parts) = predicate(expr) else { panic!("a conjunction stays one") };
    assert_eq!(parts[0], compared("id", CompareOp::Eq, Scalar::Long(1)));
    assert_eq!(parts[1], Predicate::Unknown);
}

#[test]
fn what_is_unknown_counts_as_read() {
    let expr = col("id").eq(lit(1i64)).or(col("id").eq(col("small")));
    assert_eq!(to_read_predicate([&expr], &schema()), Predicate::True);
    let expr = col("id").eq(lit(1i64)).and(col("id").eq(col("small")));
    assert_eq!(to_read_predicate([&expr], &schema()), compared("id", CompareOp::Eq, Scalar::Long(1)));
}

#[test]
fn null_and_nan_are_never_bounds() {
    assert_eq!(predicate(col("id").eq(lit(ScalarValue::Int64(None)))), Predicate::True);
    assert_eq!(predicate(col("price").lt(lit(f64::NAN))), Predicate::True);
}

#[test]
fn like_gives_its_prefix() {
    let expected = Predicate::StartsWith { column: vec!["name".into()], prefix: "ab".into() };
    assert_eq!(predicate(col("name").like(lit("ab%c_"))), expected);
    assert_eq!(predicate(col("name").like(lit("%c"))), Predicate::True);
    assert_eq!(predicate(col("name").not_like(lit("ab%"))), Predicate::True);
}

#[test]
fn boolean_columns_are_predicates() {
    assert_eq!(predicate(col("ok")), compared("ok", CompareOp::Eq, Scalar::Boolean(true)));
    assert_eq!(predicate(not(col("ok"))), compared("ok", CompareOp::Eq, Scalar::Boolean(false)));
}
