//! Single values: partition values, bounds from statistics and the constants of predicates.
//!
//! Protocol section "Partition Value Serialization". A scalar has a *kind*, coarser than the column's type: every
//! integer is a [`Scalar::Long`], `float` and `double` are a [`Scalar::Double`]. Values compare within a kind only.

use std::cmp::Ordering;
use std::fmt;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, BinaryBuilder, BooleanBuilder, PrimitiveBuilder, StringBuilder, cast::AsArray,
};
use arrow::datatypes::{
    DataType, Date32Type, Date64Type, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type, Float16Type,
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type,
    UInt64Type,
};
use serde::{Deserialize, Serialize};

use crate::error::{FormatError, Result, printable};
use crate::schema::PrimitiveType;
use text::{binary_text, compare_decimals, double_text, parse_binary};
pub(crate) use text::{
    date_text, decimal_text, parse_date, parse_decimal, parse_timestamp, power_of_ten, timestamp_text,
};

mod text;

#[cfg(test)]
mod tests;

/// One value of a primitive type, or null.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scalar {
    /// No value.
    Null,
    /// `boolean`
    Boolean(bool),
    /// `byte`, `short`, `integer` and `long`
    Long(i64),
    /// `float` and `double`
    Double(#[serde(with = "double_as_text")] f64),
    /// `string`
    String(String),
    /// `binary`
    Binary(Vec<u8>),
    /// `date`: days since 1970-01-01.
    Date(i32),
    /// `timestamp`: microseconds since 1970-01-01T00:00:00Z.
    Timestamp(i64),
    /// `timestamp_ntz`: microseconds since 1970-01-01T00:00:00 of a wall clock.
    TimestampNtz(i64),
    /// `decimal`: `unscaled / 10^scale`.
    Decimal {
        /// The digits.
        #[serde(with = "integer_as_text")]
        unscaled: i128,
        /// Digits after the point, at most 38.
        scale: u8,
    },
}

impl Scalar {
    /// Whether this is null.
    pub fn is_null(&self) -> bool {
        matches!(self, Scalar::Null)
    }

    /// How two values of one kind compare; none across kinds and for null.
    ///
    /// As Spark orders them: NaN equals NaN and is greater than every number, the two zeros are equal, text compares by
    /// bytes, decimals by value whatever their scales.
    pub fn compare(&self, other: &Scalar) -> Option<Ordering> {
        match (self, other) {
            (Scalar::Boolean(a), Scalar::Boolean(b)) => Some(a.cmp(b)),
            (Scalar::Long(a), Scalar::Long(b)) => Some(a.cmp(b)),
            (Scalar::Double(a), Scalar::Double(b)) => {
                Some(a.partial_cmp(b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan())))
            }
            (Scalar::String(a), Scalar::String(b)) => Some(a.as_bytes().cmp(b.as_bytes())),
            (Scalar::Binary(a), Scalar::Binary(b)) => Some(a.cmp(b)),
            (Scalar::Date(a), Scalar::Date(b)) => Some(a.cmp(b)),
            (Scalar::Timestamp(a), Scalar::Timestamp(b)) | (Scalar::TimestampNtz(a), Scalar::TimestampNtz(b)) => {
                Some(a.cmp(b))
            }
            (Scalar::Decimal { unscaled: a, scale: sa }, Scalar::Decimal { unscaled: b, scale: sb }) => {
                compare_decimals((*a, *sa), (*b, *sb))
            }
            _ => None,
        }
    }

    /// The value that a partition value's text stands for. The empty text is null for every type.
    ///
    /// Timestamps are read with or without an offset; without one they are taken as UTC.
    ///
    /// # Errors
    /// [`FormatError::InvalidValue`] if the text is not of the type.
    pub fn from_partition_value(text: Option<&str>, data_type: &PrimitiveType) -> Result<Scalar> {
        let Some(text) = text.filter(|t| !t.is_empty()) else { return Ok(Scalar::Null) };
        let invalid = |what: &str| FormatError::InvalidValue {
            value: printable(text),
            target: format!("a partition column of type {data_type}"),
            what: what.into(),
        };
        let integer = |min: i64, max: i64| -> Result<Scalar> {
            let value: i64 = text.parse().map_err(|_| invalid("not an integer"))?;
            if value < min || value > max {
                return Err(invalid("out of the type's range"));
            }
            Ok(Scalar::Long(value))
        };
        match data_type {
            PrimitiveType::String => Ok(Scalar::String(text.to_owned())),
            PrimitiveType::Long => integer(i64::MIN, i64::MAX),
            PrimitiveType::Integer => integer(i32::MIN.into(), i32::MAX.into()),
            PrimitiveType::Short => integer(i16::MIN.into(), i16::MAX.into()),
            PrimitiveType::Byte => integer(i8::MIN.into(), i8::MAX.into()),
            PrimitiveType::Float => {
                let value: f32 = text.parse().map_err(|_| invalid("not a number"))?;
                Ok(Scalar::Double(value.into()))
            }
            PrimitiveType::Double => Ok(Scalar::Double(text.parse().map_err(|_| invalid("not a number"))?)),
            PrimitiveType::Decimal(precision, scale) => {
                let unscaled = parse_decimal(text, *precision, *scale)
                    .ok_or_else(|| invalid("not a decimal that fits the type exactly"))?;
                Ok(Scalar::Decimal { unscaled, scale: *scale })
            }
            PrimitiveType::Boolean => {
                if text.eq_ignore_ascii_case("true") {
                    Ok(Scalar::Boolean(true))
                } else if text.eq_ignore_ascii_case("false") {
                    Ok(Scalar::Boolean(false))
                } else {
                    Err(invalid("neither true nor false"))
                }
            }
            PrimitiveType::Binary => Ok(Scalar::Binary(parse_binary(text))),
            PrimitiveType::Date => Ok(Scalar::Date(parse_date(text).ok_or_else(|| invalid("not yyyy-MM-dd"))?)),
            PrimitiveType::Timestamp => Ok(Scalar::Timestamp(
                parse_timestamp(text).ok_or_else(|| invalid("not yyyy-MM-dd HH:mm:ss[.SSSSSS] or ISO 8601"))?,
            )),
            PrimitiveType::TimestampNtz => Ok(Scalar::TimestampNtz(
                parse_timestamp(text).ok_or_else(|| invalid("not yyyy-MM-dd HH:mm:ss[.SSSSSS]"))?,
            )),
        }
    }

    /// The text that stands for this value in `partitionValues`; none for null.
    ///
    /// The protocol reads the empty text as null, so empty text and empty binary become null. A timestamp is written in
    /// UTC and in ISO 8601 with a `Z`, as the protocol recommends: without it every reader would apply its own zone.
    /// A `float` is written as such: its value as a double has digits that it never had.
    pub fn to_partition_value(&self, data_type: &PrimitiveType) -> Option<String> {
        match self {
            Scalar::Null => None,
            Scalar::Boolean(value) => Some(value.to_string()),
            Scalar::Long(value) => Some(value.to_string()),
            Scalar::Double(value) if *data_type == PrimitiveType::Float && value.is_finite() => {
                Some(format!("{:?}", *value as f32))
            }
            Scalar::Double(value) => Some(double_text(*value)),
            Scalar::String(value) => Some(value.clone()).filter(|v| !v.is_empty()),
            Scalar::Binary(value) => Some(binary_text(value)).filter(|v| !v.is_empty()),
            Scalar::Date(days) => Some(date_text(*days)),
            Scalar::Timestamp(micros) => Some(timestamp_text(*micros, 'T', 6) + "Z"),
            Scalar::TimestampNtz(micros) => Some(timestamp_text(*micros, ' ', 6)),
            Scalar::Decimal { unscaled, scale } => Some(decimal_text(*unscaled, *scale)),
        }
    }

    /// The value at a row of an Arrow array of any type that a Delta column can be read from.
    ///
    /// Units finer than the microsecond are rounded down.
    ///
    /// # Errors
    /// [`FormatError::InvalidValue`] for a row beyond the end, a type that no Delta primitive stands for, and a value
    /// that the kind cannot hold.
    pub fn from_array(array: &dyn Array, row: usize) -> Result<Scalar> {
        let invalid = |what: &str| FormatError::InvalidValue {
            value: format!("row {row} of {}", array.len()),
            target: format!("a scalar from {}", array.data_type()),
            what: what.into(),
        };
        if row >= array.len() {
            return Err(invalid("there is no such row"));
        }
        if array.is_null(row) {
            return Ok(Scalar::Null);
        }
        fn at<T: ArrowPrimitiveType>(array: &dyn Array, row: usize) -> T::Native {
            array.as_primitive::<T>().value(row)
        }
        let timestamp = |micros: i64, zone: bool| {
            if zone { Scalar::Timestamp(micros) } else { Scalar::TimestampNtz(micros) }
        };
        let decimal = |unscaled: i128, scale: i8| match u8::try_from(scale) {
            Ok(scale) if scale <= 38 => Ok(Scalar::Decimal { unscaled, scale }),
            _ => Err(invalid("the scale is not between 0 and 38")),
        };
        Ok(match array.data_type() {
            DataType::Null => Scalar::Null,
            DataType::Boolean => Scalar::Boolean(array.as_boolean().value(row)),
            DataType::Int8 => Scalar::Long(at::<Int8Type>(array, row).into()),
            DataType::Int16 => Scalar::Long(at::<Int16Type>(array, row).into()),
            DataType::Int32 => Scalar::Long(at::<Int32Type>(array, row).into()),
            DataType::Int64 => Scalar::Long(at::<Int64Type>(array, row)),
            DataType::UInt8 => Scalar::Long(at::<UInt8Type>(array, row).into()),
            DataType::UInt16 => Scalar::Long(at::<UInt16Type>(array, row).into()),
            DataType::UInt32 => Scalar::Long(at::<UInt32Type>(array, row).into()),
            DataType::UInt64 => {
                let value = at::<UInt64Type>(array, row);
                match i64::try_from(value) {
                    Ok(value) => Scalar::Long(value),
                    Err(_) => Scalar::Decimal { unscaled: value.into(), scale: 0 },
                }
            }
            DataType::Float16 => Scalar::Double(at::<Float16Type>(array, row).into()),
            DataType::Float32 => Scalar::Double(at::<Float32Type>(array, row).into()),
            DataType::Float64 => Scalar::Double(at::<Float64Type>(array, row)),
            DataType::Utf8 => Scalar::String(array.as_string::<i32>().value(row).to_owned()),
            DataType::LargeUtf8 => Scalar::String(array.as_string::<i64>().value(row).to_owned()),
            DataType::Utf8View => Scalar::String(array.as_string_view().value(row).to_owned()),
            DataType::Binary => Scalar::Binary(array.as_binary::<i32>().value(row).to_vec()),
            DataType::LargeBinary => Scalar::Binary(array.as_binary::<i64>().value(row).to_vec()),
            DataType::BinaryView => Scalar::Binary(array.as_binary_view().value(row).to_vec()),
            DataType::FixedSizeBinary(_) => Scalar::Binary(array.as_fixed_size_binary().value(row).to_vec()),
            DataType::Date32 => Scalar::Date(at::<Date32Type>(array, row)),
            DataType::Date64 => {
                let days = at::<Date64Type>(array, row).div_euclid(86_400_000);
                Scalar::Date(i32::try_from(days).map_err(|_| invalid("the date is out of range"))?)
            }
            DataType::Timestamp(unit, zone) => {
                let micros = match unit {
                    TimeUnit::Second => at::<TimestampSecondType>(array, row).checked_mul(1_000_000),
                    TimeUnit::Millisecond => at::<TimestampMillisecondType>(array, row).checked_mul(1_000),
                    TimeUnit::Microsecond => Some(at::<TimestampMicrosecondType>(array, row)),
                    TimeUnit::Nanosecond => Some(at::<TimestampNanosecondType>(array, row).div_euclid(1_000)),
                };
                timestamp(micros.ok_or_else(|| invalid("the time is out of range"))?, zone.is_some())
            }
            DataType::Decimal32(_, scale) => decimal(at::<Decimal32Type>(array, row).into(), *scale)?,
            DataType::Decimal64(_, scale) => decimal(at::<Decimal64Type>(array, row).into(), *scale)?,
            DataType::Decimal128(_, scale) => decimal(at::<Decimal128Type>(array, row), *scale)?,
            DataType::Decimal256(_, scale) => {
                let wide = at::<Decimal256Type>(array, row).to_i128();
                decimal(wide.ok_or_else(|| invalid("more than 38 digits"))?, *scale)?
            }
            DataType::Dictionary(_, _) => {
                let dictionary = array.as_any_dictionary();
                let keys = dictionary.normalized_keys();
                let key = keys.get(row).ok_or_else(|| invalid("there is no such row"))?;
                return Scalar::from_array(dictionary.values().as_ref(), *key);
            }
            _ => return Err(invalid("no Delta primitive type stands for it")),
        })
    }
}

impl fmt::Display for Scalar {
    /// As an SQL literal, bounded and safe to print.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scalar::Null => f.write_str("NULL"),
            Scalar::Boolean(value) => write!(f, "{value}"),
            Scalar::Long(value) => write!(f, "{value}"),
            Scalar::Double(value) => f.write_str(&double_text(*value)),
            Scalar::String(value) => write!(f, "'{}'", printable(value).replace('\'', "''")),
            Scalar::Binary(value) => {
                f.write_str("X'")?;
                for byte in value.iter().take(64) {
                    write!(f, "{byte:02X}")?;
                }
                f.write_str(if value.len() > 64 { "…'" } else { "'" })
            }
            Scalar::Date(days) => write!(f, "DATE '{}'", date_text(*days)),
            Scalar::Timestamp(micros) => write!(f, "TIMESTAMP '{}Z'", timestamp_text(*micros, 'T', 6)),
            Scalar::TimestampNtz(micros) => write!(f, "TIMESTAMP_NTZ '{}'", timestamp_text(*micros, ' ', 6)),
            Scalar::Decimal { unscaled, scale } => f.write_str(&decimal_text(*unscaled, *scale)),
        }
    }
}

/// A typed Arrow array of partition values, in the type that [`PrimitiveType::to_arrow`] gives.
///
/// # Errors
/// As [`Scalar::from_partition_value`].
pub fn partition_array<'a>(
    values: impl Iterator<Item = Option<&'a str>>,
    data_type: &PrimitiveType,
) -> Result<ArrayRef> {
    // Files of one partition tend to lie together: parse a run of equal texts once.
    let mut last: Option<(Option<&'a str>, Scalar)> = None;
    let scalars = values.map(move |text| {
        if let Some((known, scalar)) = &last
            && *known == text
        {
            return Ok(scalar.clone());
        }
        let scalar = Scalar::from_partition_value(text, data_type)?;
        last = Some((text, scalar.clone()));
        Ok(scalar)
    });
    scalar_array(scalars, data_type)
}

/// A typed Arrow array of scalars; a scalar of another kind becomes null.
pub(crate) fn scalar_array(
    values: impl Iterator<Item = Result<Scalar>>,
    data_type: &PrimitiveType,
) -> Result<ArrayRef> {
    fn primitive<T: ArrowPrimitiveType>(
        values: impl Iterator<Item = Result<Scalar>>,
        arrow_type: DataType,
        native: impl Fn(Scalar) -> Option<T::Native>,
    ) -> Result<ArrayRef> {
        let mut builder = PrimitiveBuilder::<T>::with_capacity(values.size_hint().0).with_data_type(arrow_type);
        for value in values {
            builder.append_option(native(value?));
        }
        Ok(std::sync::Arc::new(builder.finish()))
    }
    let long = |value: Scalar| match value {
        Scalar::Long(v) => Some(v),
        _ => None,
    };
    let double = |value: Scalar| match value {
        Scalar::Double(v) => Some(v),
        _ => None,
    };
    let time = |value: Scalar| match value {
        Scalar::Timestamp(v) | Scalar::TimestampNtz(v) => Some(v),
        _ => None,
    };
    match data_type {
        PrimitiveType::String => {
            let mut builder = StringBuilder::new();
            for value in values {
                match value? {
                    Scalar::String(v) => builder.append_value(v),
                    _ => builder.append_null(),
                }
            }
            Ok(std::sync::Arc::new(builder.finish()))
        }
        PrimitiveType::Binary => {
            let mut builder = BinaryBuilder::new();
            for value in values {
                match value? {
                    Scalar::Binary(v) => builder.append_value(v),
                    _ => builder.append_null(),
                }
            }
            Ok(std::sync::Arc::new(builder.finish()))
        }
        PrimitiveType::Boolean => {
            let mut builder = BooleanBuilder::new();
            for value in values {
                match value? {
                    Scalar::Boolean(v) => builder.append_value(v),
                    _ => builder.append_null(),
                }
            }
            Ok(std::sync::Arc::new(builder.finish()))
        }
        PrimitiveType::Long => primitive::<Int64Type>(values, DataType::Int64, long),
        PrimitiveType::Integer => {
            primitive::<Int32Type>(values, DataType::Int32, |v| long(v).and_then(|v| v.try_into().ok()))
        }
        PrimitiveType::Short => {
            primitive::<Int16Type>(values, DataType::Int16, |v| long(v).and_then(|v| v.try_into().ok()))
        }
        PrimitiveType::Byte => {
            primitive::<Int8Type>(values, DataType::Int8, |v| long(v).and_then(|v| v.try_into().ok()))
        }
        PrimitiveType::Float => primitive::<Float32Type>(values, DataType::Float32, |v| double(v).map(|v| v as f32)),
        PrimitiveType::Double => primitive::<Float64Type>(values, DataType::Float64, double),
        PrimitiveType::Decimal(precision, scale) => {
            let arrow_type = DataType::Decimal128(*precision, *scale as i8);
            primitive::<Decimal128Type>(values, arrow_type, |v| match v {
                Scalar::Decimal { unscaled, scale: s } if s == *scale => Some(unscaled),
                _ => None,
            })
        }
        PrimitiveType::Date => primitive::<Date32Type>(values, DataType::Date32, |v| match v {
            Scalar::Date(days) => Some(days),
            _ => None,
        }),
        PrimitiveType::Timestamp => {
            let arrow_type = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
            primitive::<TimestampMicrosecondType>(values, arrow_type, time)
        }
        PrimitiveType::TimestampNtz => {
            let arrow_type = DataType::Timestamp(TimeUnit::Microsecond, None);
            primitive::<TimestampMicrosecondType>(values, arrow_type, time)
        }
    }
}

/// Doubles as text: JSON has no NaN and no infinity, and not every JSON reader rounds the last digit correctly.
mod double_as_text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::double_text(*value))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|_| D::Error::custom("not a number"))
    }
}

/// 128-bit integers as text: few JSON readers hold them.
mod integer_as_text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(value: &i128, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i128, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|_| D::Error::custom("not an integer"))
    }
}
