//! One bound of one column, from its spelling in JSON statistics to a typed value.
//!
//! Whatever is not exactly a value of the column's type is missing. A wrong bound would hide rows.

use std::sync::Arc;

use super::{
    Array, ArrayRef, BooleanBuilder, Date32Builder, Decimal128Builder, Float32Builder, Float64Builder, FormatError,
    Int8Builder, Int16Builder, Int32Builder, Int64Builder, PrimitiveType, Result, StringBuilder,
    TimestampMicrosecondBuilder, Token, arrow_type, new_null_array, printable,
};

pub(super) enum BoundBuilder {
    Text(StringBuilder),
    Long(Int64Builder),
    Integer(Int32Builder),
    Short(Int16Builder),
    Byte(Int8Builder),
    Float(Float32Builder),
    Double(Float64Builder),
    Decimal {
        builder: Decimal128Builder,
        precision: u8,
        scale: u8,
        side: Option<Side>,
    },
    Boolean(BooleanBuilder),
    Date(Date32Builder),
    Timestamp(TimestampMicrosecondBuilder),
    TimestampNtz(TimestampMicrosecondBuilder),
    /// A type without an order; only counts rows.
    Nothing(PrimitiveType, usize),
}

/// Which way a doubtful bound gives way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Min,
    Max,
}

impl BoundBuilder {
    /// `side` is none if values are wanted exactly as written.
    pub(super) fn new(data_type: PrimitiveType, rows: usize, side: Option<Side>) -> Result<Self> {
        let micros = || TimestampMicrosecondBuilder::with_capacity(rows).with_data_type(arrow_type(data_type));
        Ok(match data_type {
            PrimitiveType::String => BoundBuilder::Text(StringBuilder::new()),
            PrimitiveType::Long => BoundBuilder::Long(Int64Builder::with_capacity(rows)),
            PrimitiveType::Integer => BoundBuilder::Integer(Int32Builder::with_capacity(rows)),
            PrimitiveType::Short => BoundBuilder::Short(Int16Builder::with_capacity(rows)),
            PrimitiveType::Byte => BoundBuilder::Byte(Int8Builder::with_capacity(rows)),
            PrimitiveType::Float => BoundBuilder::Float(Float32Builder::with_capacity(rows)),
            PrimitiveType::Double => BoundBuilder::Double(Float64Builder::with_capacity(rows)),
            PrimitiveType::Decimal(precision, scale) => {
                let builder = Decimal128Builder::with_capacity(rows)
                    .with_precision_and_scale(precision, scale as i8)
                    .map_err(|e| FormatError::invalid_schema(printable(&e.to_string())))?;
                BoundBuilder::Decimal { builder, precision, scale, side }
            }
            PrimitiveType::Boolean => BoundBuilder::Boolean(BooleanBuilder::with_capacity(rows)),
            PrimitiveType::Date => BoundBuilder::Date(Date32Builder::with_capacity(rows)),
            PrimitiveType::Timestamp => BoundBuilder::Timestamp(micros()),
            PrimitiveType::TimestampNtz => BoundBuilder::TimestampNtz(micros()),
            PrimitiveType::Binary => BoundBuilder::Nothing(data_type, 0),
        })
    }

    pub(super) fn append(&mut self, token: Option<&Token<'_>>) {
        let bare = match token {
            Some(Token::Bare(text)) => Some(*text),
            _ => None,
        };
        let text = match token {
            Some(Token::Text(text)) => Some(text.as_ref()),
            _ => None,
        };
        match self {
            BoundBuilder::Text(builder) => builder.append_option(text),
            BoundBuilder::Long(builder) => builder.append_option(bare.and_then(|t| t.parse().ok())),
            BoundBuilder::Integer(builder) => builder.append_option(bare.and_then(|t| t.parse().ok())),
            BoundBuilder::Short(builder) => builder.append_option(bare.and_then(|t| t.parse().ok())),
            BoundBuilder::Byte(builder) => builder.append_option(bare.and_then(|t| t.parse().ok())),
            BoundBuilder::Float(builder) => {
                let number = bare.and_then(|t| t.parse::<f32>().ok()).filter(|n| n.is_finite());
                builder.append_option(number.or_else(|| text.and_then(infinity).map(|n| n as f32)));
            }
            BoundBuilder::Double(builder) => {
                let number = bare.and_then(|t| t.parse::<f64>().ok()).filter(|n| n.is_finite());
                builder.append_option(number.or_else(|| text.and_then(infinity)));
            }
            BoundBuilder::Decimal { builder, precision, scale, side } => {
                let value = bare.or(text).and_then(|t| decimal(t, *precision, *scale));
                let doubtful = side.filter(|_| bare.is_some_and(|t| may_be_rounded(t, *precision, *scale)));
                builder.append_option(match doubtful {
                    None => value,
                    Some(side) => value.and_then(|value| give_way(value, *precision, side)),
                });
            }
            BoundBuilder::Boolean(builder) => builder.append_option(bare.and_then(|t| t.parse().ok())),
            BoundBuilder::Date(builder) => builder.append_option(text.and_then(date)),
            BoundBuilder::Timestamp(builder) => builder.append_option(text.and_then(|t| micros(t, true))),
            BoundBuilder::TimestampNtz(builder) => builder.append_option(text.and_then(|t| micros(t, false))),
            BoundBuilder::Nothing(_, rows) => *rows += 1,
        }
    }

    pub(super) fn finish(&mut self) -> ArrayRef {
        fn shared(array: impl Array + 'static) -> ArrayRef {
            Arc::new(array)
        }
        match self {
            BoundBuilder::Text(builder) => shared(builder.finish()),
            BoundBuilder::Long(builder) => shared(builder.finish()),
            BoundBuilder::Integer(builder) => shared(builder.finish()),
            BoundBuilder::Short(builder) => shared(builder.finish()),
            BoundBuilder::Byte(builder) => shared(builder.finish()),
            BoundBuilder::Float(builder) => shared(builder.finish()),
            BoundBuilder::Double(builder) => shared(builder.finish()),
            BoundBuilder::Decimal { builder, .. } => shared(builder.finish()),
            BoundBuilder::Boolean(builder) => shared(builder.finish()),
            BoundBuilder::Date(builder) => shared(builder.finish()),
            BoundBuilder::Timestamp(builder) | BoundBuilder::TimestampNtz(builder) => shared(builder.finish()),
            BoundBuilder::Nothing(data_type, rows) => new_null_array(&arrow_type(*data_type), *rows),
        }
    }
}

/// The spellings Spark gives infinities. Its "NaN" bounds nothing.
fn infinity(text: &str) -> Option<f64> {
    match text {
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        _ => None,
    }
}

/// The unscaled value of a decimal number, if it has one at this scale without rounding.
fn decimal(text: &str, precision: u8, scale: u8) -> Option<i128> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (negative, digits) = match mantissa.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, mantissa.strip_prefix('+').unwrap_or(mantissa)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut unscaled: i128 = 0;
    for digit in whole.bytes().chain(fraction.bytes()) {
        if !digit.is_ascii_digit() {
            return None;
        }
        unscaled = unscaled.checked_mul(10)?.checked_add(i128::from(digit - b'0'))?;
    }
    let mut shift = i32::from(scale).checked_add(exponent)?.checked_sub(i32::try_from(fraction.len()).ok()?)?;
    while shift > 0 && unscaled != 0 {
        unscaled = unscaled.checked_mul(10)?;
        shift -= 1;
    }
    while shift < 0 && unscaled != 0 {
        if unscaled % 10 != 0 {
            return None;
        }
        unscaled /= 10;
        shift += 1;
    }
    let limit = 10i128.checked_pow(u32::from(precision))?;
    (unscaled < limit).then_some(if negative { -unscaled } else { unscaled })
}

/// Whether a decimal number may have passed through a 64-bit float, as some writers have it.
///
/// A writer of exact decimals gives as many fraction digits as the scale has. A float gives as few as tell it apart, at
/// most 17 digits in all, and holds up to 15 digits exactly.
fn may_be_rounded(text: &str, precision: u8, scale: u8) -> bool {
    if precision <= 15 {
        return false;
    }
    let fraction = text.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let has_exponent = text.contains(['e', 'E']);
    has_exponent || fraction != usize::from(scale) || (16..=17).contains(&digits)
}

/// The bound moved outwards by what a float of its size may have lost.
fn give_way(value: i128, precision: u8, side: Side) -> Option<i128> {
    let slack = (value.abs() >> 52) + 1;
    let moved = match side {
        Side::Min => value.checked_sub(slack)?,
        Side::Max => value.checked_add(slack)?,
    };
    (moved.abs() < 10i128.checked_pow(u32::from(precision))?).then_some(moved)
}

/// Days since 1970 of `yyyy-MM-dd`.
fn date(text: &str) -> Option<i32> {
    let bytes = text.as_bytes();
    if bytes.len() != 10 || bytes[4] != b'-' || bytes[7] != b'-' {
        return None;
    }
    let year = number(&bytes[..4])?;
    let date = chrono::NaiveDate::from_ymd_opt(year as i32, number(&bytes[5..7])?, number(&bytes[8..])?)?;
    i32::try_from(date.signed_duration_since(chrono::NaiveDate::default()).num_days()).ok()
}

/// Microseconds since 1970 of `yyyy-MM-dd[T ]HH:mm[:ss[.f]][zone]`.
///
/// A time with a zone is an instant: without one it is not known which, and the statistic is missing. A time without a
/// zone is a wall clock's: `Z` is tolerated, because some writers put it everywhere, any other offset is not.
fn micros(text: &str, zoned: bool) -> Option<i64> {
    let bytes = text.as_bytes();
    let days = date(text.get(..10)?)?;
    if !matches!(bytes.get(10)?, b'T' | b' ') || bytes.get(13)? != &b':' {
        return None;
    }
    let (hours, minutes) = (number(bytes.get(11..13)?)?, number(bytes.get(14..16)?)?);
    let mut rest = &bytes[16..];
    let mut seconds = 0;
    let mut fraction: i64 = 0;
    if rest.first() == Some(&b':') {
        seconds = number(rest.get(1..3)?)?;
        rest = &rest[3..];
        if rest.first() == Some(&b'.') {
            let digits = rest[1..].iter().take_while(|b| b.is_ascii_digit()).count();
            if digits == 0 {
                return None;
            }
            // What is beyond microseconds is cut off, as in the data itself.
            for position in 0..6 {
                let digit = if position < digits { rest[1 + position] - b'0' } else { 0 };
                fraction = fraction * 10 + i64::from(digit);
            }
            rest = &rest[1 + digits..];
        }
    }
    if hours > 23 || minutes > 59 || seconds > 59 {
        return None;
    }
    let offset_minutes = match (rest, zoned) {
        ([], false) | ([b'Z'], _) => 0,
        (zone, true) => zone_minutes(zone)?,
        _ => return None,
    };
    let seconds = i64::from(days) * 86_400 + i64::from(hours) * 3600 + i64::from(minutes) * 60 + i64::from(seconds);
    Some((seconds - offset_minutes * 60) * 1_000_000 + fraction)
}

/// Minutes east of UTC of `+HH:mm`, `+HHmm` or `+HH`.
fn zone_minutes(zone: &[u8]) -> Option<i64> {
    let sign = match zone.first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = match zone.len() {
        3 => (number(&zone[1..3])?, 0),
        5 => (number(&zone[1..3])?, number(&zone[3..5])?),
        6 if zone[3] == b':' => (number(&zone[1..3])?, number(&zone[4..6])?),
        _ => return None,
    };
    (hours <= 18 && minutes <= 59).then(|| sign * (i64::from(hours) * 60 + i64::from(minutes)))
}

fn number(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0u32, |n, d| d.is_ascii_digit().then(|| n * 10 + u32::from(d - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_read_in_every_spelling() {
        let expected = Some(1_609_459_200_000_000);
        for text in [
            "2021-01-01T00:00:00.000Z",
            "2021-01-01T00:00:00Z",
            "2021-01-01 00:00:00Z",
            "2021-01-01T00:00Z",
            "2021-01-01T02:00:00.000+02:00",
            "2021-01-01T02:00:00+0200",
            "2020-12-31T22:00:00.000000-02",
        ] {
            assert_eq!(micros(text, true), expected, "{text}");
        }
        assert_eq!(micros("2021-01-01T00:00:00.123456789Z", true), Some(1_609_459_200_123_456));
        assert_eq!(micros("1969-12-31T23:59:59.999Z", true), Some(-1000));
        assert_eq!(micros("2021-01-01T00:00:00.5", false), Some(1_609_459_200_500_000));
        for text in [
            "",
            "2021",
            "2021-01-01",
            "2021-13-01T00:00:00Z",
            "2021-01-01T00:00:00",
            "2021-01-01T24:00:00Z",
            "2021-01-01T00:00:00.Z",
            "2021-01-01T00:00:00 CET",
            "2021-01-01T0€:00:00Z",
        ] {
            assert_eq!(micros(text, true), None, "{text}");
        }
        assert_eq!(micros("2021-01-01T00:00:00+02:00", false), None);
    }

    #[test]
    fn decimals_are_exact_or_missing() {
        assert_eq!(decimal("12.50", 10, 2), Some(1250));
        assert_eq!(decimal("-0.01", 10, 2), Some(-1));
        assert_eq!(decimal("1.25e1", 10, 2), Some(1250));
        assert_eq!(decimal("1E3", 10, 0), Some(1000));
        assert_eq!(decimal("99999999999999999999999999999999999999", 38, 0), Some(10i128.pow(38) - 1));
        for text in ["", "-", ".", "1.255", "1000000000", "NaN", "1e999999999999", "0x10"] {
            assert_eq!(decimal(text, 10, 2).filter(|_| text != "1000000000"), None, "{text}");
        }
        assert_eq!(decimal("100000000", 10, 2), None);
    }

    /// 0.1 as a float stands for any decimal within its rounding.
    #[test]
    fn decimals_that_were_floats_give_way() {
        assert!(!may_be_rounded("12.50", 10, 2));
        assert!(!may_be_rounded("12.1", 10, 2));
        assert!(!may_be_rounded("12.50", 38, 2));
        assert!(!may_be_rounded("123456789012345678.50", 38, 2));
        for text in ["0.1", "1234567890123456.7", "1.2e18", "12.5"] {
            assert!(may_be_rounded(text, 38, 2), "{text}");
        }
        assert_eq!(give_way(100, 38, Side::Min), Some(99));
        assert_eq!(give_way(-(1 << 60), 38, Side::Min), Some(-(1 << 60) - (1 << 8) - 1));
        assert_eq!(give_way(1 << 60, 38, Side::Max), Some((1 << 60) + (1 << 8) + 1));
        assert_eq!(give_way(10i128.pow(38) - 1, 38, Side::Max), None);
    }

    #[test]
    fn dates_are_exact_or_missing() {
        assert_eq!(date("1970-01-02"), Some(1));
        assert_eq!(date("1969-12-31"), Some(-1));
        assert_eq!(date("2021-02-30"), None);
        assert_eq!(date("2021-1-1"), None);
        assert_eq!(date("2021-01-01T00:00:00Z"), None);
    }
}
