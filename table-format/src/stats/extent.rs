//! The smallest and the greatest value seen of one column.

use arrow::array::{Array, ArrayRef, OffsetSizeTrait, PrimitiveArray, cast::AsArray};
use arrow::buffer::NullBuffer;
use arrow::compute::{cast, max, min};
use arrow::datatypes::{
    ArrowNumericType, DataType as ArrowType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType,
};

use super::{TEXT_PREFIX_CHARS, json_text};
use crate::error::{FormatError, Result, printable};
use crate::scalar::{date_text, decimal_text, timestamp_text};
use crate::schema::PrimitiveType;

/// The bounds of one column, of the kind its type has.
#[derive(Debug, Clone)]
pub(super) enum Extent {
    /// Bounds of this type say nothing or are not kept.
    NullsOnly,
    /// Whole numbers.
    Integers(Option<(i64, i64)>),
    Dates(Option<(i64, i64)>),
    /// Microseconds, and whether they are instants: those end in `Z`.
    Times(Option<(i64, i64)>, bool),
    Floats(Numbers<f32>),
    Doubles(Numbers<f64>),
    /// Unscaled values, precision, scale.
    Decimals(Option<(i128, i128)>, u8, u8),
    Texts(Option<(Vec<u8>, Vec<u8>)>),
}

/// Floating point values.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Numbers<T> {
    range: Option<(T, T)>,
    has_nan: bool,
}

impl Extent {
    pub(super) fn of(data_type: PrimitiveType) -> Self {
        match data_type {
            PrimitiveType::Long | PrimitiveType::Integer | PrimitiveType::Short | PrimitiveType::Byte => {
                Extent::Integers(None)
            }
            PrimitiveType::Date => Extent::Dates(None),
            PrimitiveType::Timestamp => Extent::Times(None, true),
            PrimitiveType::TimestampNtz => Extent::Times(None, false),
            PrimitiveType::Float => Extent::Floats(Numbers::default()),
            PrimitiveType::Double => Extent::Doubles(Numbers::default()),
            PrimitiveType::Decimal(precision, scale) => Extent::Decimals(None, precision, scale),
            PrimitiveType::String => Extent::Texts(None),
            PrimitiveType::Boolean | PrimitiveType::Binary => Extent::NullsOnly,
        }
    }

    /// Takes in a column. `nulls` are the rows without a value, those inside null structs included.
    pub(super) fn update(&mut self, column: &ArrayRef, nulls: Option<&NullBuffer>) -> Result<()> {
        if matches!(self, Extent::NullsOnly) || nulls.is_some_and(|n| n.null_count() == n.len()) {
            return Ok(());
        }
        let given = column.data_type();
        match self {
            Extent::NullsOnly => {}
            Extent::Integers(range) => match given {
                ArrowType::Int8 => widen(range, ends::<Int8Type>(column, nulls)),
                ArrowType::Int16 => widen(range, ends::<Int16Type>(column, nulls)),
                ArrowType::Int32 => widen(range, ends::<Int32Type>(column, nulls)),
                ArrowType::Int64 => widen(range, ends::<Int64Type>(column, nulls)),
                _ => return self.update(&converted(column, &ArrowType::Int64)?, nulls),
            },
            Extent::Dates(range) => match given {
                ArrowType::Date32 => widen(range, ends::<Date32Type>(column, nulls)),
                _ => return self.update(&converted(column, &ArrowType::Date32)?, nulls),
            },
            Extent::Times(range, _) => match given {
                ArrowType::Timestamp(TimeUnit::Microsecond, _) => {
                    widen(range, ends::<TimestampMicrosecondType>(column, nulls));
                }
                ArrowType::Timestamp(_, zone) => {
                    let micros = ArrowType::Timestamp(TimeUnit::Microsecond, zone.clone());
                    return self.update(&converted(column, &micros)?, nulls);
                }
                other => return Err(unexpected(other, "a timestamp")),
            },
            Extent::Floats(numbers) => match given {
                ArrowType::Float32 => numbers.widen(ends::<Float32Type>(column, nulls), |v: f32| v.is_nan()),
                _ => return self.update(&converted(column, &ArrowType::Float32)?, nulls),
            },
            Extent::Doubles(numbers) => match given {
                ArrowType::Float64 => numbers.widen(ends::<Float64Type>(column, nulls), |v: f64| v.is_nan()),
                _ => return self.update(&converted(column, &ArrowType::Float64)?, nulls),
            },
            Extent::Decimals(range, precision, scale) => match given {
                ArrowType::Decimal128(_, given) if i16::from(*given) == i16::from(*scale) => {
                    widen(range, ends::<Decimal128Type>(column, nulls));
                }
                _ => {
                    let target = ArrowType::Decimal128(*precision, *scale as i8);
                    return self.update(&converted(column, &target)?, nulls);
                }
            },
            Extent::Texts(range) => {
                let seen = range.take();
                let mut texts = Texts::new(seen.as_ref().map(|(a, b)| (a.as_slice(), b.as_slice())));
                match given {
                    ArrowType::Utf8 => texts.scan_offsets::<i32>(column, nulls),
                    ArrowType::LargeUtf8 => texts.scan_offsets::<i64>(column, nulls),
                    ArrowType::Utf8View => texts.scan_views(column, nulls),
                    _ => {
                        *range = seen;
                        return self.update(&converted(column, &ArrowType::Utf8)?, nulls);
                    }
                }
                *range = texts.owned();
            }
        }
        Ok(())
    }

    /// JSON of the lower bound; none if there is none or JSON readers could not hold it.
    pub(super) fn min_json(&self) -> Option<String> {
        match self {
            Extent::NullsOnly => None,
            Extent::Integers(range) => range.map(|(min, _)| min.to_string()),
            Extent::Dates(range) => range.and_then(|(min, _)| date_json(min)),
            Extent::Times(range, zoned) => range.and_then(|(min, _)| time_json(min.div_euclid(1000), *zoned)),
            Extent::Floats(numbers) => numbers.finite().and_then(|(min, _)| number_json(f64::from(min), min)),
            Extent::Doubles(numbers) => numbers.finite().and_then(|(min, _)| number_json(min, min)),
            Extent::Decimals(range, _, scale) => range.map(|(min, _)| decimal_text(min, *scale)),
            Extent::Texts(range) => range.as_ref().and_then(|(min, _)| Some(json_text(cut_min(text(min)?)))),
        }
    }

    /// JSON of the upper bound; none if there is none or JSON readers could not hold it.
    pub(super) fn max_json(&self) -> Option<String> {
        match self {
            Extent::NullsOnly => None,
            Extent::Integers(range) => range.map(|(_, max)| max.to_string()),
            Extent::Dates(range) => range.and_then(|(_, max)| date_json(max)),
            Extent::Times(range, zoned) => range.and_then(|(_, max)| {
                let up = i64::from(max.rem_euclid(1000) != 0);
                time_json(max.div_euclid(1000) + up, *zoned)
            }),
            Extent::Floats(numbers) => numbers.finite().and_then(|(_, max)| number_json(f64::from(max), max)),
            Extent::Doubles(numbers) => numbers.finite().and_then(|(_, max)| number_json(max, max)),
            Extent::Decimals(range, _, scale) => range.map(|(_, max)| decimal_text(max, *scale)),
            Extent::Texts(range) => range.as_ref().and_then(|(_, max)| cut_max(text(max)?)).map(|t| json_text(&t)),
        }
    }
}

impl<T: Copy + PartialOrd> Numbers<T> {
    fn widen(&mut self, ends: Option<(T, T)>, is_nan: impl Fn(T) -> bool) {
        // Arrow orders NaN outside all numbers, on the side of its sign: the ends show whether there is one.
        let Some((min, max)) = ends else { return };
        if is_nan(min) || is_nan(max) {
            self.has_nan = true;
            return;
        }
        self.range = Some(match self.range {
            None => (min, max),
            Some((low, high)) => (if min < low { min } else { low }, if max > high { max } else { high }),
        });
    }

    fn finite(&self) -> Option<(T, T)> {
        self.range.filter(|_| !self.has_nan)
    }
}

/// Smallest and greatest value; none if all are null.
fn ends<T: ArrowNumericType>(column: &ArrayRef, nulls: Option<&NullBuffer>) -> Option<(T::Native, T::Native)> {
    let values = column.as_primitive::<T>();
    if nulls.map(NullBuffer::null_count) == values.nulls().map(NullBuffer::null_count) {
        return min(values).zip(max(values));
    }
    // A struct around the column has nulls of its own. The values are shared, not copied.
    let values = PrimitiveArray::<T>::new(values.values().clone(), nulls.cloned());
    min(&values).zip(max(&values))
}

fn widen<T: Ord + Copy, N: Into<T>>(range: &mut Option<(T, T)>, ends: Option<(N, N)>) {
    if let Some((min, max)) = ends {
        let (min, max) = (min.into(), max.into());
        *range = Some(match *range {
            None => (min, max),
            Some((low, high)) => (low.min(min), high.max(max)),
        });
    }
}

fn converted(column: &ArrayRef, to: &ArrowType) -> Result<ArrayRef> {
    let given = column.data_type();
    if given == to {
        return Err(unexpected(given, "another type"));
    }
    cast(column, to).map_err(|e| unexpected(given, &printable(&e.to_string())))
}

fn unexpected(given: &ArrowType, what: &str) -> FormatError {
    FormatError::InvalidValue {
        value: given.to_string(),
        target: "file statistics".into(),
        what: format!("the column's type does not fit the table's: {what}"),
    }
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

/// Smallest and greatest text of a batch, borrowed from it until the batch is done.
struct Texts<'a> {
    ends: Option<(&'a [u8], &'a [u8])>,
    min_key: u64,
    max_key: u64,
}

impl<'a> Texts<'a> {
    fn new(ends: Option<(&'a [u8], &'a [u8])>) -> Self {
        let mut texts = Texts { ends, min_key: 0, max_key: 0 };
        texts.set_keys();
        texts
    }

    fn set_keys(&mut self) {
        if let Some((min, max)) = self.ends {
            (self.min_key, self.max_key) = (key_of(min), key_of(max));
        }
    }

    fn take(&mut self, value: &'a [u8]) {
        let Some((min, max)) = self.ends else {
            self.ends = Some((value, value));
            return self.set_keys();
        };
        if value < min {
            self.ends = Some((value, max));
            self.set_keys();
        } else if value > max {
            self.ends = Some((min, value));
            self.set_keys();
        }
    }

    /// The first eight bytes decide most comparisons without touching the text again.
    fn scan_offsets<O: OffsetSizeTrait>(&mut self, column: &'a ArrayRef, nulls: Option<&NullBuffer>) {
        let strings = column.as_string::<O>();
        let (data, offsets) = (strings.value_data(), strings.value_offsets());
        for (row, bounds) in offsets.windows(2).enumerate() {
            if nulls.is_some_and(|n| n.is_null(row)) {
                continue;
            }
            let (start, end) = (bounds[0].as_usize(), bounds[1].as_usize());
            let key = match data.get(start..).and_then(|d| d.first_chunk::<8>()) {
                Some(head) => {
                    let head = u64::from_be_bytes(*head);
                    let length = end - start;
                    if length >= 8 { head } else { head & !(u64::MAX >> (8 * length)) }
                }
                None => key_of(&data[start..end]),
            };
            if self.ends.is_some() && key > self.min_key && key < self.max_key {
                continue;
            }
            self.take(&data[start..end]);
        }
    }

    /// A view holds the first four bytes itself.
    fn scan_views(&mut self, column: &'a ArrayRef, nulls: Option<&NullBuffer>) {
        let strings = column.as_string_view();
        for (row, view) in strings.views().iter().enumerate() {
            if nulls.is_some_and(|n| n.is_null(row)) {
                continue;
            }
            let key = u64::from(((view >> 32) as u32).swap_bytes());
            if self.ends.is_some() && key > self.min_key >> 32 && key < self.max_key >> 32 {
                continue;
            }
            self.take(strings.value(row).as_bytes());
        }
    }

    fn owned(self) -> Option<(Vec<u8>, Vec<u8>)> {
        self.ends.map(|(min, max)| (min.to_vec(), max.to_vec()))
    }
}

/// The first eight bytes as a number, with zeros for bytes that are not there: orders as the texts do, or equal.
fn key_of(value: &[u8]) -> u64 {
    let mut head = [0; 8];
    let length = value.len().min(8);
    head[..length].copy_from_slice(&value[..length]);
    u64::from_be_bytes(head)
}

/// The first characters of a text: not greater than it.
fn cut_min(value: &str) -> &str {
    match value.char_indices().nth(TEXT_PREFIX_CHARS) {
        Some((end, _)) => &value[..end],
        None => value,
    }
}

/// A short text not less than this one.
///
/// The first 32 characters and a character that no cut-off one can exceed: `U+007F` if the next one is below it, else
/// `U+10FFFF`. A next character that is itself the greatest there is joins the prefix, up to twice the length; beyond
/// that there is no bound. The rule is the reference writer's.
pub(super) fn cut_max(value: &str) -> Option<String> {
    let mut characters = value.char_indices().skip(TEXT_PREFIX_CHARS);
    for _ in 0..=TEXT_PREFIX_CHARS {
        match characters.next() {
            None => return Some(value.to_owned()),
            Some((_, char::MAX)) => {}
            Some((end, next)) => {
                let mut out = value[..end].to_owned();
                out.push(if next < '\u{7f}' { '\u{7f}' } else { char::MAX });
                return Some(out);
            }
        }
    }
    None
}

fn number_json<T: serde::Serialize>(value: f64, written_as: T) -> Option<String> {
    if !value.is_finite() {
        return None;
    }
    serde_json::to_string(&written_as).ok()
}

/// Days and milliseconds of years that every reader parses: 0001 to 9999.
const DAYS: std::ops::RangeInclusive<i64> = -719_162..=2_932_896;
const MILLIS_PER_DAY: i64 = 86_400_000;

fn date_json(days: i64) -> Option<String> {
    let days = DAYS.contains(&days).then_some(days)?;
    Some(json_text(&date_text(i32::try_from(days).ok()?)))
}

fn time_json(millis: i64, zoned: bool) -> Option<String> {
    if !DAYS.contains(&millis.div_euclid(MILLIS_PER_DAY)) {
        return None;
    }
    let text = timestamp_text(millis.checked_mul(1000)?, 'T', 3);
    Some(json_text(&(text + if zoned { "Z" } else { "" })))
}
