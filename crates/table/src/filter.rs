//! Evaluating a predicate on rows, exactly.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, RecordBatch,
    Scalar as ArrowScalar, StringArray, StructArray, TimestampMicrosecondArray,
};
use arrow::compute::kernels::cmp;
use arrow::compute::{and_kleene, cast, is_not_null, is_null, not, or_kleene, prep_null_mask_filter};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use floe_table_format::{CompareOp, Predicate, Scalar};

use crate::error::Result;

/// Which rows satisfy the predicate; none where all do.
///
/// # Errors
/// A column that is not there, or values that do not compare with it.
pub(crate) fn matching(predicate: &Predicate, batch: &RecordBatch) -> Result<Option<BooleanArray>> {
    if matches!(predicate, Predicate::True) {
        return Ok(None);
    }
    let mask = evaluate(predicate, batch)?;
    // The kernel wants a mask that has nulls.
    Ok(Some(if mask.null_count() == 0 { mask } else { prep_null_mask_filter(&mask) }))
}

fn evaluate(predicate: &Predicate, batch: &RecordBatch) -> Result<BooleanArray> {
    let rows = batch.num_rows();
    let constant = |value: bool| BooleanArray::from(vec![value; rows]);
    Ok(match predicate {
        Predicate::True => constant(true),
        Predicate::False => constant(false),
        Predicate::Unknown => {
            return Err(ArrowError::ComputeError("an unknown predicate cannot be evaluated on rows".into()).into());
        }
        Predicate::And(parts) => {
            let mut all = constant(true);
            for part in parts {
                all = and_kleene(&all, &evaluate(part, batch)?)?;
            }
            all
        }
        Predicate::Or(parts) => {
            let mut any = constant(false);
            for part in parts {
                any = or_kleene(&any, &evaluate(part, batch)?)?;
            }
            any
        }
        Predicate::Not(part) => not(&evaluate(part, batch)?)?,
        Predicate::IsNull(path) => is_null(&column(batch, path)?)?,
        Predicate::IsNotNull(path) => is_not_null(&column(batch, path)?)?,
        Predicate::Compare { column: path, op, value } => compare(&column(batch, path)?, *op, value)?,
        Predicate::In { column: path, values } => {
            let column = column(batch, path)?;
            let mut any = constant(false);
            for value in values {
                any = or_kleene(&any, &compare(&column, CompareOp::Eq, value)?)?;
            }
            any
        }
        Predicate::StartsWith { column: path, prefix } => {
            let strings = cast(&column(batch, path)?, &DataType::Utf8)?;
            let strings = strings.as_any().downcast_ref::<StringArray>().expect("cast to this type");
            strings.iter().map(|s| s.map(|s| s.starts_with(prefix.as_str()))).collect()
        }
    })
}

fn column(batch: &RecordBatch, path: &[String]) -> Result<ArrayRef> {
    let missing = || ArrowError::SchemaError(format!("there is no column {}", path.join(".")));
    let (first, rest) = path.split_first().ok_or_else(missing)?;
    let mut array = batch.column_by_name(first).ok_or_else(missing)?.clone();
    for name in rest {
        let parent = array.as_any().downcast_ref::<StructArray>().ok_or_else(missing)?;
        let child = parent.column_by_name(name).ok_or_else(missing)?.clone();
        array = match parent.nulls() {
            None => child,
            // A field of a null struct is null, whatever lies in its buffer.
            Some(nulls) => arrow::compute::nullif(&child, &BooleanArray::new(!nulls.inner(), None))?,
        };
    }
    Ok(array)
}

fn compare(column: &ArrayRef, op: CompareOp, value: &Scalar) -> Result<BooleanArray> {
    let literal: ArrayRef = match value {
        Scalar::Null => return Ok(BooleanArray::from(vec![None; column.len()])),
        Scalar::Boolean(v) => Arc::new(BooleanArray::from(vec![*v])),
        Scalar::Long(v) => Arc::new(Int64Array::from(vec![*v])),
        Scalar::Double(v) => Arc::new(Float64Array::from(vec![*v])),
        Scalar::String(v) => Arc::new(StringArray::from(vec![v.as_str()])),
        Scalar::Binary(v) => Arc::new(BinaryArray::from(vec![v.as_slice()])),
        Scalar::Date(v) => Arc::new(Date32Array::from(vec![*v])),
        Scalar::Timestamp(v) => Arc::new(TimestampMicrosecondArray::from(vec![*v]).with_timezone("UTC")),
        Scalar::TimestampNtz(v) => Arc::new(TimestampMicrosecondArray::from(vec![*v])),
        Scalar::Decimal { unscaled, scale } => {
            Arc::new(Decimal128Array::from(vec![*unscaled]).with_precision_and_scale(38, *scale as i8)?)
        }
    };
    let target = common_type(column.data_type(), literal.data_type());
    let (left, right) = (cast(column, &target)?, cast(&literal, &target)?);
    if right.is_null(0) {
        // The literal lies outside the column's type; nothing compares with it.
        return Ok(BooleanArray::from(vec![None; column.len()]));
    }
    let right = ArrowScalar::new(right);
    Ok(match op {
        CompareOp::Eq => cmp::eq(&left, &right)?,
        CompareOp::NotEq => cmp::neq(&left, &right)?,
        CompareOp::Lt => cmp::lt(&left, &right)?,
        CompareOp::LtEq => cmp::lt_eq(&left, &right)?,
        CompareOp::Gt => cmp::gt(&left, &right)?,
        CompareOp::GtEq => cmp::gt_eq(&left, &right)?,
    })
}

/// The type both sides are compared in.
fn common_type(column: &DataType, literal: &DataType) -> DataType {
    match (column, literal) {
        (column, DataType::Int64) if column.is_floating() => DataType::Float64,
        (DataType::Decimal128(_, scale), DataType::Int64) => DataType::Decimal128(38, *scale),
        (DataType::Decimal128(_, a), DataType::Decimal128(_, b)) => DataType::Decimal128(38, *a.max(b)),
        (DataType::Timestamp(_, Some(zone)), DataType::Date32) => {
            DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, Some(zone.clone()))
        }
        (column @ DataType::Timestamp(_, None), DataType::Date32) => column.clone(),
        (_, literal) => literal.clone(),
    }
}
