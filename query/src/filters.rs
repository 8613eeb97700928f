//! DataFusion expressions as Floe predicates.
//!
//! A [`Predicate`] decides which files a scan can skip and which commits of others a transaction conflicts with. Both uses
//! stay sound when the predicate matches more rows than the expression does, so whatever has no exact counterpart becomes
//! [`Predicate::Unknown`]. Negation is pushed down to the leaves while translating: `NOT (a = 1)` is `a <> 1`, which treats
//! null alike, whereas negating "no row matches" would turn rows with null into matches.

use std::collections::HashSet;

use arrow::datatypes::DataType as ArrowType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::{Between, InList, Like};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, Volatility};
use floe_table_format::{CompareOp, Predicate, PrimitiveType, Scalar, StructType};

/// What the conjunction of these filters says about rows of the table, as far as statistics can tell.
///
/// Every row for which all filters are true matches the result; rows for which they are not may match too.
pub fn to_predicate<'a>(filters: impl IntoIterator<Item = &'a Expr>, schema: &StructType) -> Predicate {
    let parts: Vec<Predicate> = filters
        .into_iter()
        .map(|filter| translate(filter, schema, false))
        .filter(|part| !matches!(part, Predicate::Unknown | Predicate::True))
        .collect();
    conjunction(parts)
}

/// What a transaction that evaluated these filters has read: as [`to_predicate`], with everything unknown read as a match.
pub fn to_read_predicate<'a>(filters: impl IntoIterator<Item = &'a Expr>, schema: &StructType) -> Predicate {
    known(to_predicate(filters, schema))
}

/// Replaces what is unknown by what surely covers it.
fn known(predicate: Predicate) -> Predicate {
    match predicate {
        Predicate::And(parts) => conjunction(parts.into_iter().map(known).collect()),
        Predicate::Or(parts) => {
            let parts: Vec<Predicate> = parts.into_iter().map(known).collect();
            if parts.iter().any(|part| matches!(part, Predicate::True)) {
                Predicate::True
            } else {
                Predicate::Or(parts)
            }
        }
        // Not produced by the translation; what is under it cannot be weakened by weakening its parts.
        Predicate::Not(_) | Predicate::Unknown => Predicate::True,
        other => other,
    }
}

fn conjunction(mut parts: Vec<Predicate>) -> Predicate {
    parts.retain(|part| !matches!(part, Predicate::True));
    match parts.len() {
        0 => Predicate::True,
        1 => parts.swap_remove(0),
        _ => Predicate::And(parts),
    }
}

/// Whether an expression can be decided from partition values alone: it names partition columns, no other columns, and
/// nothing that changes from call to call.
pub(crate) fn is_partition_only(filter: &Expr, partition_columns: &HashSet<&str>) -> bool {
    use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
    let mut named = false;
    let mut decidable = true;
    let walked = filter.apply(|node| {
        decidable &= match node {
            Expr::Column(column) => {
                named = true;
                partition_columns.contains(column.name())
            }
            Expr::Literal(..)
            | Expr::Alias(_)
            | Expr::BinaryExpr(_)
            | Expr::Like(_)
            | Expr::SimilarTo(_)
            | Expr::Not(_)
            | Expr::IsNotNull(_)
            | Expr::IsNull(_)
            | Expr::IsTrue(_)
            | Expr::IsFalse(_)
            | Expr::IsUnknown(_)
            | Expr::IsNotTrue(_)
            | Expr::IsNotFalse(_)
            | Expr::IsNotUnknown(_)
            | Expr::Negative(_)
            | Expr::Between(_)
            | Expr::Case(_)
            | Expr::Cast(_)
            | Expr::TryCast(_)
            | Expr::InList(_) => true,
            Expr::ScalarFunction(call) => call.func.signature().volatility == Volatility::Immutable,
            _ => false,
        };
        Ok(if decidable { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    });
    walked.is_ok() && named && decidable
}

/// `expr`, or its negation, as a predicate that at least covers it.
fn translate(expr: &Expr, schema: &StructType, negated: bool) -> Predicate {
    match expr {
        Expr::Alias(alias) => translate(&alias.expr, schema, negated),
        Expr::Not(inner) => translate(inner, schema, !negated),
        Expr::BinaryExpr(binary) => translate_binary(binary, schema, negated),
        Expr::IsNull(inner) | Expr::IsNotNull(inner) => {
            let Some((path, _)) = column_path(inner, schema) else { return Predicate::Unknown };
            if matches!(expr, Expr::IsNull(_)) != negated {
                Predicate::IsNull(path)
            } else {
                Predicate::IsNotNull(path)
            }
        }
        Expr::Between(Between { expr: inner, negated: outside, low, high }) => {
            let (lower, upper) =
                if *outside != negated { (Operator::Lt, Operator::Gt) } else { (Operator::GtEq, Operator::LtEq) };
            let parts = vec![compare(inner, lower, low, schema), compare(inner, upper, high, schema)];
            if *outside != negated { Predicate::Or(parts) } else { Predicate::And(parts) }
        }
        Expr::InList(InList { expr: inner, list, negated: excluded }) => {
            if *excluded != negated {
                return Predicate::And(list.iter().map(|item| compare(inner, Operator::NotEq, item, schema)).collect());
            }
            let Some((column, kind)) = column_path(inner, schema) else { return Predicate::Unknown };
            let values: Option<Vec<Scalar>> =
                list.iter().map(|item| literal(item).and_then(|value| to_scalar(value, kind))).collect();
            values.map(|values| Predicate::In { column, values }).unwrap_or(Predicate::Unknown)
        }
        Expr::Like(Like { negated: false, expr: inner, pattern, escape_char: None, case_insensitive: false })
            if !negated =>
        {
            like_prefix(inner, pattern, schema)
        }
        Expr::IsTrue(inner) if !negated => translate(inner, schema, false),
        Expr::IsFalse(inner) if !negated => translate(inner, schema, true),
        Expr::Literal(ScalarValue::Boolean(Some(value)), _) => {
            if *value != negated {
                Predicate::True
            } else {
                Predicate::False
            }
        }
        Expr::Column(_) => match column_path(expr, schema) {
            Some((column, PrimitiveType::Boolean)) => {
                Predicate::Compare { column, op: CompareOp::Eq, value: Scalar::Boolean(!negated) }
            }
            _ => Predicate::Unknown,
        },
        _ => Predicate::Unknown,
    }
}

fn translate_binary(binary: &BinaryExpr, schema: &StructType, negated: bool) -> Predicate {
    let BinaryExpr { left, op, right } = binary;
    match op {
        Operator::And | Operator::Or => {
            let parts = vec![translate(left, schema, negated), translate(right, schema, negated)];
            // De Morgan: the negation of a conjunction is the disjunction of the negations.
            if (*op == Operator::And) != negated { Predicate::And(parts) } else { Predicate::Or(parts) }
        }
        op => {
            let op = if negated { op.negate() } else { Some(*op) };
            match op {
                Some(op) => compare(left, op, right, schema),
                None => Predicate::Unknown,
            }
        }
    }
}

/// A comparison of a column with a literal, on whichever side the column stands.
fn compare(left: &Expr, op: Operator, right: &Expr, schema: &StructType) -> Predicate {
    let (column, op, value) = match (column_path(left, schema), literal(right)) {
        (Some(column), Some(value)) => (column, op, value),
        _ => match (literal(left), column_path(right, schema), op.swap()) {
            (Some(value), Some(column), Some(op)) => (column, op, value),
            _ => return Predicate::Unknown,
        },
    };
    let op = match op {
        Operator::Eq => CompareOp::Eq,
        Operator::NotEq => CompareOp::NotEq,
        Operator::Lt => CompareOp::Lt,
        Operator::LtEq => CompareOp::LtEq,
        Operator::Gt => CompareOp::Gt,
        Operator::GtEq => CompareOp::GtEq,
        _ => return Predicate::Unknown,
    };
    let (path, kind) = column;
    let Some(value) = to_scalar(value, kind) else { return Predicate::Unknown };
    let op = match (&value, op) {
        // The engine orders -0.0 before 0.0, statistics may hold either for both.
        (Scalar::Double(v), CompareOp::Lt) if *v == 0.0 => CompareOp::LtEq,
        (Scalar::Double(v), CompareOp::Gt) if *v == 0.0 => CompareOp::GtEq,
        (Scalar::Double(v), CompareOp::NotEq) if *v == 0.0 => return Predicate::Unknown,
        (_, op) => op,
    };
    Predicate::Compare { column: path, op, value }
}

/// `column LIKE 'prefix%...'` as the prefix it implies.
fn like_prefix(column: &Expr, pattern: &Expr, schema: &StructType) -> Predicate {
    let Some((column, PrimitiveType::String)) = column_path(column, schema) else { return Predicate::Unknown };
    let Some(pattern) = literal(pattern).and_then(|value| value.try_as_str().flatten()) else {
        return Predicate::Unknown;
    };
    // A backslash escapes in LIKE even when no escape character is named: such patterns are left alone.
    let prefix: String = pattern.chars().take_while(|c| !matches!(c, '%' | '_' | '\\')).collect();
    if prefix.is_empty() { Predicate::Unknown } else { Predicate::StartsWith { column, prefix } }
}

/// The column an expression stands for, with its type; through casts that keep order and every value.
fn column_path(expr: &Expr, schema: &StructType) -> Option<(Vec<String>, PrimitiveType)> {
    match expr {
        Expr::Alias(alias) => column_path(&alias.expr, schema),
        Expr::Column(column) => {
            let field = schema.fields.iter().find(|f| f.name == column.name)?;
            Some((vec![field.name.clone()], primitive_of(field)))
        }
        Expr::Cast(cast) => {
            let (path, kind) = column_path(&cast.expr, schema)?;
            keeps_order(kind, cast.field.data_type()).then_some((path, kind))
        }
        Expr::ScalarFunction(call) if call.name() == "get_field" => {
            let (base, keys) = call.args.split_first()?;
            let mut path = struct_path(base)?;
            for key in keys {
                path.push(literal(key)?.try_as_str().flatten()?.to_string());
            }
            let field = schema.field_at(&path)?;
            // The statistics of a leaf are found by its full path; anything else has none.
            field.data_type.as_primitive().map(|kind| (path, kind))
        }
        _ => None,
    }
}

fn struct_path(expr: &Expr) -> Option<Vec<String>> {
    match expr {
        Expr::Column(column) => Some(vec![column.name.clone()]),
        Expr::ScalarFunction(call) if call.name() == "get_field" => {
            let (base, keys) = call.args.split_first()?;
            let mut path = struct_path(base)?;
            for key in keys {
                path.push(literal(key)?.try_as_str().flatten()?.to_string());
            }
            Some(path)
        }
        _ => None,
    }
}

/// The type that comparisons with the field's values go by. A nested column has none; only `IS NULL` may name it, and that
/// looks at no value.
fn primitive_of(field: &floe_table_format::StructField) -> PrimitiveType {
    field.data_type.as_primitive().unwrap_or(PrimitiveType::Binary)
}

/// Whether comparing the column after the cast orders its values as before, none lost.
fn keeps_order(from: PrimitiveType, to: &ArrowType) -> bool {
    use PrimitiveType::*;
    match (from, to) {
        (String, ArrowType::Utf8 | ArrowType::LargeUtf8 | ArrowType::Utf8View) => true,
        (Binary, ArrowType::Binary | ArrowType::LargeBinary | ArrowType::BinaryView) => true,
        (Byte, ArrowType::Int8 | ArrowType::Int16 | ArrowType::Int32 | ArrowType::Int64) => true,
        (Short, ArrowType::Int16 | ArrowType::Int32 | ArrowType::Int64) => true,
        (Integer, ArrowType::Int32 | ArrowType::Int64) => true,
        (Long, ArrowType::Int64) => true,
        (Float, ArrowType::Float32 | ArrowType::Float64) => true,
        (Double, ArrowType::Float64) => true,
        (Date, ArrowType::Date32) => true,
        (Boolean, ArrowType::Boolean) => true,
        (Decimal(precision, scale), ArrowType::Decimal128(to_precision, to_scale)) => {
            // Digits before and after the point must all fit.
            *to_scale >= scale as i8
                && i16::from(*to_precision) - i16::from(*to_scale) >= i16::from(precision) - i16::from(scale)
        }
        _ => false,
    }
}

fn literal(expr: &Expr) -> Option<&ScalarValue> {
    match expr {
        Expr::Literal(value, _) => Some(value),
        Expr::Alias(alias) => literal(&alias.expr),
        _ => None,
    }
}

/// A literal as a value that compares with values of `kind`; none for null, NaN and other kinds of values.
pub(crate) fn to_scalar(value: &ScalarValue, kind: PrimitiveType) -> Option<Scalar> {
    let integer = match value {
        ScalarValue::Int8(Some(v)) => Some(i64::from(*v)),
        ScalarValue::Int16(Some(v)) => Some(i64::from(*v)),
        ScalarValue::Int32(Some(v)) => Some(i64::from(*v)),
        ScalarValue::Int64(Some(v)) => Some(*v),
        ScalarValue::UInt8(Some(v)) => Some(i64::from(*v)),
        ScalarValue::UInt16(Some(v)) => Some(i64::from(*v)),
        ScalarValue::UInt32(Some(v)) => Some(i64::from(*v)),
        ScalarValue::UInt64(Some(v)) => i64::try_from(*v).ok(),
        _ => None,
    };
    match kind {
        PrimitiveType::Byte | PrimitiveType::Short | PrimitiveType::Integer | PrimitiveType::Long => {
            integer.map(Scalar::Long)
        }
        PrimitiveType::Float | PrimitiveType::Double => match value {
            ScalarValue::Float64(Some(v)) if !v.is_nan() => Some(Scalar::Double(*v)),
            ScalarValue::Float32(Some(v)) if !v.is_nan() => Some(Scalar::Double(f64::from(*v))),
            // Only integers that a double holds exactly.
            _ => integer.filter(|v| v.unsigned_abs() <= 1 << 53).map(|v| Scalar::Double(v as f64)),
        },
        PrimitiveType::String => value.try_as_str().flatten().map(|v| Scalar::String(v.to_string())),
        PrimitiveType::Boolean => match value {
            ScalarValue::Boolean(Some(v)) => Some(Scalar::Boolean(*v)),
            _ => None,
        },
        PrimitiveType::Date => match value {
            ScalarValue::Date32(Some(days)) => Some(Scalar::Date(*days)),
            _ => None,
        },
        PrimitiveType::Timestamp => match value {
            ScalarValue::TimestampMicrosecond(Some(us), Some(_)) => Some(Scalar::Timestamp(*us)),
            _ => None,
        },
        PrimitiveType::TimestampNtz => match value {
            ScalarValue::TimestampMicrosecond(Some(us), None) => Some(Scalar::TimestampNtz(*us)),
            _ => None,
        },
        PrimitiveType::Decimal(_, _) => match value {
            ScalarValue::Decimal128(Some(unscaled), _, scale) => {
                Some(Scalar::Decimal { unscaled: *unscaled, scale: u8::try_from(*scale).ok()? })
            }
            _ => integer.map(|v| Scalar::Decimal { unscaled: i128::from(v), scale: 0 }),
        },
        PrimitiveType::Binary => None,
    }
}

#[cfg(test)]
mod tests;
