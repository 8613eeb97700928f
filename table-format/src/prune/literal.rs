//! Constants and bounds as numbers that order alike.
//!
//! Integers, dates, times, booleans, doubles and decimals of one column all become `i128`s whose order is the order of
//! the values. A constant that lies between two values of the column's type becomes the pair around it.

use crate::scalar::{Scalar, power_of_ten};
use crate::schema::PrimitiveType;

/// Stands for an unknown lower bound: below every number that [`number`] gives.
pub(super) const LOWEST: i128 = i128::MIN;
/// Stands for an unknown upper bound.
pub(super) const HIGHEST: i128 = i128::MAX;

/// The numbers at and around a constant, in the order of a column's values: `low <= constant <= high`, and no value of
/// the column lies strictly between them except where engines disagree what equals the constant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) low: i128,
    pub(super) high: i128,
}

impl Range {
    fn at(number: i128) -> Option<Self> {
        Some(Range { low: number, high: number })
    }
}

/// The constant among the values of a column; none if they are not comparable soundly.
pub(super) fn number(value: &Scalar, column: &PrimitiveType) -> Option<Range> {
    match (column, value) {
        (
            PrimitiveType::Long | PrimitiveType::Integer | PrimitiveType::Short | PrimitiveType::Byte,
            Scalar::Long(value),
        ) => Range::at((*value).into()),
        (
            PrimitiveType::Long | PrimitiveType::Integer | PrimitiveType::Short | PrimitiveType::Byte,
            Scalar::Decimal { unscaled, scale },
        ) => rescale(*unscaled, *scale, 0),
        (PrimitiveType::Float | PrimitiveType::Double, Scalar::Double(value)) => double(*value, column),
        // Exact as a double; greater integers would be rounded by some engines and not by others.
        (PrimitiveType::Float | PrimitiveType::Double, Scalar::Long(value)) if value.unsigned_abs() <= 1 << 53 => {
            double(*value as f64, column)
        }
        (PrimitiveType::Decimal(_, scale), Scalar::Decimal { unscaled, scale: from }) => {
            rescale(*unscaled, *from, *scale)
        }
        (PrimitiveType::Decimal(_, scale), Scalar::Long(value)) => rescale((*value).into(), 0, *scale),
        (PrimitiveType::Boolean, Scalar::Boolean(value)) => Range::at((*value).into()),
        (PrimitiveType::Date, Scalar::Date(days)) => Range::at((*days).into()),
        (PrimitiveType::Timestamp, Scalar::Timestamp(micros))
        | (PrimitiveType::TimestampNtz, Scalar::TimestampNtz(micros)) => Range::at((*micros).into()),
        _ => None,
    }
}

/// `unscaled / 10^from` in units of `10^-to`.
fn rescale(unscaled: i128, from: u8, to: u8) -> Option<Range> {
    if to >= from {
        let factor = power_of_ten(to - from)?;
        // A constant beyond what 128 bits hold is beyond every value of the column too.
        let number = unscaled.saturating_mul(factor).clamp(LOWEST + 1, HIGHEST - 1);
        return Range::at(number);
    }
    let divisor = power_of_ten(from - to)?;
    let low = unscaled.div_euclid(divisor);
    let high = if unscaled.rem_euclid(divisor) == 0 { low } else { low + 1 };
    Some(Range { low, high })
}

fn double(value: f64, column: &PrimitiveType) -> Option<Range> {
    if value.is_nan() {
        return None;
    }
    if value == 0.0 {
        return Some(Range { low: double_order(-0.0), high: double_order(0.0) });
    }
    let mut range = Range { low: double_order(value), high: double_order(value) };
    if *column == PrimitiveType::Float {
        // Some engines compare as floats and round the constant first.
        let rounded = double_order(f64::from(value as f32));
        range = Range { low: range.low.min(rounded), high: range.high.max(rounded) };
    }
    Some(range)
}

/// A number that orders as IEEE 754's total order does.
pub(super) fn double_order(value: f64) -> i128 {
    let bits = value.to_bits() as i64;
    i128::from(bits ^ (((bits >> 63) as u64) >> 1) as i64)
}

/// A lower bound that is sound whichever way zeros are told apart.
pub(super) fn double_min(value: f64) -> i128 {
    if value.is_nan() {
        LOWEST
    } else if value == 0.0 {
        double_order(-0.0)
    } else {
        double_order(value)
    }
}

/// An upper bound that is sound whichever way zeros are told apart.
pub(super) fn double_max(value: f64) -> i128 {
    if value.is_nan() {
        HIGHEST
    } else if value == 0.0 {
        double_order(0.0)
    } else {
        double_order(value)
    }
}
