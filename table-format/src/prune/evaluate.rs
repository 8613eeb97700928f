//! A predicate over a chunk of files at once.

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, BinaryArray, BooleanArray, Int64Array, StringArray, cast::AsArray,
};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{
    DataType as ArrowType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, TimestampMicrosecondType,
};

use super::ColumnNames;
use super::literal::{self, HIGHEST, LOWEST, Range};
use crate::error::Result;
use crate::predicate::{CompareOp, Predicate, Truth};
use crate::scalar::{Scalar, scalar_array};
use crate::schema::{DataType, PrimitiveType};
use crate::state::FileChunk;
use crate::stats::around_float;

/// Text statistics may have been cut to this many characters: an upper bound of that length may be too low if its
/// writer did not round it up (protocol section "Per-file Statistics", footnote 1).
pub(super) const TEXT_PREFIX_CHARS: usize = 32;

/// Lists longer than this are searched instead of walked.
const WALKED_LIST_MAX: usize = 16;

/// For every file of a chunk, which outcomes a predicate may have on its rows. Set is "may", clear is "surely not".
#[derive(Debug, Clone)]
pub(crate) struct Masks {
    pub(crate) may_true: BooleanBuffer,
    pub(crate) may_false: BooleanBuffer,
    pub(crate) may_null: BooleanBuffer,
}

impl Masks {
    fn anything(rows: usize) -> Self {
        let all = BooleanBuffer::new_set(rows);
        Masks { may_true: all.clone(), may_false: all.clone(), may_null: all }
    }

    fn always(rows: usize, value: bool) -> Self {
        let (all, none) = (BooleanBuffer::new_set(rows), BooleanBuffer::new_unset(rows));
        let (may_true, may_false) = if value { (all, none.clone()) } else { (none.clone(), all) };
        Masks { may_true, may_false, may_null: none }
    }

    /// What is proved of one file.
    pub(crate) fn truth(&self, row: usize) -> Truth {
        if !self.may_true.value(row) {
            Truth::No
        } else if !self.may_false.value(row) && !self.may_null.value(row) {
            Truth::Yes
        } else {
            Truth::Unknown
        }
    }
}

/// Evaluates a predicate over every file of a chunk, live or not.
pub(super) fn evaluate(chunk: &FileChunk, names: ColumnNames<'_>, predicate: &Predicate) -> Result<Masks> {
    let rows = chunk.rows();
    let column = |path: &[String]| Bounds::of(chunk, names, path);
    Ok(match predicate {
        Predicate::True => Masks::always(rows, true),
        Predicate::False => Masks::always(rows, false),
        Predicate::Unknown => Masks::anything(rows),
        Predicate::And(parts) => {
            let mut all = Masks::always(rows, true);
            for part in parts {
                let part = evaluate(chunk, names, part)?;
                all.may_true = &all.may_true & &part.may_true;
                all.may_false = &all.may_false | &part.may_false;
                all.may_null = &all.may_null | &part.may_null;
            }
            all
        }
        Predicate::Or(parts) => {
            let mut any = Masks::always(rows, false);
            for part in parts {
                let part = evaluate(chunk, names, part)?;
                any.may_true = &any.may_true | &part.may_true;
                any.may_false = &any.may_false & &part.may_false;
                any.may_null = &any.may_null | &part.may_null;
            }
            any
        }
        Predicate::Not(inner) => {
            let inner = evaluate(chunk, names, inner)?;
            Masks { may_true: inner.may_false, may_false: inner.may_true, may_null: inner.may_null }
        }
        Predicate::IsNull(path) => match column(path)? {
            None => Masks::anything(rows),
            Some(bounds) => Masks {
                may_true: bounds.may_be_null,
                may_false: bounds.may_have_value,
                may_null: BooleanBuffer::new_unset(rows),
            },
        },
        Predicate::IsNotNull(path) => evaluate(chunk, names, &Predicate::IsNull(path.clone()))?.negated(),
        Predicate::Compare { column: path, op, value } => match column(path)? {
            None => Masks::anything(rows),
            Some(_) if value.is_null() => Masks::never(rows),
            Some(bounds) => {
                let (may_true, may_false) = (bounds.may(*op, value), bounds.may(op.negated(), value));
                bounds.masks(may_true, may_false)
            }
        },
        // Nothing is in an empty list, not even maybe: null is not.
        Predicate::In { values, .. } if values.is_empty() => Masks::always(rows, false),
        Predicate::In { column: path, values } => match column(path)? {
            None => Masks::anything(rows),
            Some(bounds) => {
                let may_true = bounds.may_equal_any(values);
                let has_null = values.iter().any(Scalar::is_null);
                let may_false = if has_null {
                    Some(BooleanBuffer::new_unset(rows))
                } else if values.len() > WALKED_LIST_MAX {
                    // All rows of a file are in a long list only by luck; do not look for it.
                    None
                } else {
                    values
                        .iter()
                        .map(|value| bounds.may(CompareOp::NotEq, value))
                        .try_fold(BooleanBuffer::new_set(rows), |all, may| may.map(|may| &all & &may))
                };
                let mut masks = bounds.masks(may_true, may_false);
                if has_null {
                    masks.may_null = BooleanBuffer::new_set(rows);
                }
                masks
            }
        },
        Predicate::StartsWith { column: path, prefix } => match column(path)? {
            None => Masks::anything(rows),
            Some(bounds) => {
                let (may_true, may_false) = (bounds.may_start_with(prefix), bounds.may_start_otherwise(prefix));
                bounds.masks(may_true, may_false)
            }
        },
    })
}

impl Masks {
    fn negated(self) -> Self {
        Masks { may_true: self.may_false, may_false: self.may_true, may_null: self.may_null }
    }

    /// Null on every row.
    fn never(rows: usize) -> Self {
        let none = BooleanBuffer::new_unset(rows);
        Masks { may_true: none.clone(), may_false: none, may_null: BooleanBuffer::new_set(rows) }
    }
}

/// A predicate's column among a table's columns.
#[derive(Debug, PartialEq)]
pub(super) enum Column {
    /// Physical name of a partition column.
    Partition(String, PrimitiveType),
    /// Physical path of a column in the files, and whether its values were floats once.
    Data(Vec<String>, PrimitiveType, bool),
}

/// Finds a column by its logical path; none if there is no such column or it is not primitive.
pub(super) fn resolve(names: ColumnNames<'_>, path: &[String]) -> Option<Column> {
    let (mut fields, mut physical) = (names.schema, Vec::with_capacity(path.len()));
    for (depth, name) in path.iter().enumerate() {
        let field = fields.field(name)?;
        physical.push(field.physical_name_in(names.mode).to_owned());
        match &field.data_type {
            DataType::Primitive(data_type) if depth + 1 == path.len() => {
                let partitioned = depth == 0 && names.partition_columns.contains(&field.name);
                return Some(match physical.pop() {
                    Some(name) if partitioned => Column::Partition(name, *data_type),
                    last => {
                        physical.extend(last);
                        Column::Data(physical, *data_type, field.was(PrimitiveType::Float))
                    }
                });
            }
            DataType::Struct(inner) => fields = inner,
            _ => return None,
        }
    }
    None
}

/// What is known of one column for every file of a chunk.
struct Bounds {
    data_type: PrimitiveType,
    values: Values,
    /// Whether some row of the file may be null.
    may_be_null: BooleanBuffer,
    /// Whether some row of the file may hold a value.
    may_have_value: BooleanBuffer,
    /// Whether bounds say something about every row. Bounds of floating point columns do not: some writers leave NaN out
    /// of them. What they say of rows that compare is used, "every row matches" is never concluded from them.
    complete: bool,
}

/// Bounds in a form that compares.
enum Values {
    Numbers { min: Vec<i128>, max: Vec<i128> },
    Text { min: StringArray, max: StringArray },
    Bytes { min: BinaryArray, max: BinaryArray },
    Unknown,
}

impl Bounds {
    /// None if the column is unknown or not primitive.
    fn of(chunk: &FileChunk, names: ColumnNames<'_>, path: &[String]) -> Result<Option<Bounds>> {
        let rows = chunk.rows();
        match resolve(names, path) {
            None => Ok(None),
            Some(Column::Partition(name, data_type)) => {
                let Some(texts) = chunk.partition_column(&name) else { return Ok(None) };
                let parsed: Vec<Option<Scalar>> =
                    texts.iter().map(|text| Scalar::from_partition_value(text, &data_type).ok()).collect();
                let may_be_null = BooleanBuffer::collect_bool(rows, |i| parsed[i].as_ref().is_none_or(Scalar::is_null));
                let may_have_value =
                    BooleanBuffer::collect_bool(rows, |i| parsed[i].as_ref().is_none_or(|v| !v.is_null()));
                let typed = parsed.into_iter().map(|value| Ok(value.unwrap_or(Scalar::Null)));
                let typed = scalar_array(typed, &data_type)?;
                let values = Values::of(&typed, &typed);
                Ok(Some(Bounds { data_type, values, may_be_null, may_have_value, complete: true }))
            }
            Some(Column::Data(path, data_type, was_float)) => {
                let stats = chunk.stats_column(&path, &data_type)?;
                let (nulls, records) = (&stats.null_count, chunk.num_records());
                let known = |array: &Int64Array, i: usize| array.is_valid(i).then(|| array.value(i));
                let may_be_null = BooleanBuffer::collect_bool(rows, |i| known(nulls, i) != Some(0));
                let may_have_value =
                    BooleanBuffer::collect_bool(rows, |i| match (known(nulls, i), known(records, i)) {
                        (Some(nulls), Some(records)) => nulls < records,
                        _ => true,
                    });
                let values = match was_float {
                    true => Values::of(&around_float(&stats.min, f64::min), &around_float(&stats.max, f64::max)),
                    false => Values::of(&stats.min, &stats.max),
                };
                let complete = !matches!(data_type, PrimitiveType::Float | PrimitiveType::Double);
                Ok(Some(Bounds { data_type, values, may_be_null, may_have_value, complete }))
            }
        }
    }

    /// Masks from what rows with a value may do; `None` is "anything".
    fn masks(self, may_true: Option<BooleanBuffer>, may_false: Option<BooleanBuffer>) -> Masks {
        let with_value = |may: Option<BooleanBuffer>| match may {
            Some(may) => &may & &self.may_have_value,
            None => self.may_have_value.clone(),
        };
        Masks {
            may_true: with_value(may_true),
            may_false: with_value(may_false.filter(|_| self.complete)),
            may_null: self.may_be_null,
        }
    }

    /// Whether a row with a value may compare so; none if nothing is known of any file.
    fn may(&self, op: CompareOp, value: &Scalar) -> Option<BooleanBuffer> {
        match (&self.values, value) {
            (Values::Numbers { min, max }, _) => {
                let Range { low, high } = literal::number(value, &self.data_type)?;
                let below = |i: usize| min[i] < high;
                let above = |i: usize| max[i] > low;
                let test: &dyn Fn(usize) -> bool = match op {
                    CompareOp::Lt => &below,
                    CompareOp::LtEq => &|i| min[i] <= high,
                    CompareOp::Gt => &above,
                    CompareOp::GtEq => &|i| max[i] >= low,
                    CompareOp::Eq => &|i| min[i] <= high && max[i] >= low,
                    CompareOp::NotEq => &|i| below(i) || above(i),
                };
                Some(BooleanBuffer::collect_bool(min.len(), test))
            }
            (Values::Text { min, max }, Scalar::String(value)) => Some(may_compare(
                op,
                value.as_bytes(),
                min.len(),
                |i| min.is_valid(i).then(|| min.value(i).as_bytes()),
                |i| max.is_valid(i).then(|| max.value(i).as_bytes()),
            )),
            (Values::Bytes { min, max }, Scalar::Binary(value)) => Some(may_compare(
                op,
                value,
                min.len(),
                |i| min.is_valid(i).then(|| min.value(i)),
                |i| max.is_valid(i).then(|| max.value(i)),
            )),
            _ => None,
        }
    }

    fn may_equal_any(&self, values: &[Scalar]) -> Option<BooleanBuffer> {
        let rows = self.may_have_value.len();
        let values: Vec<&Scalar> = values.iter().filter(|v| !v.is_null()).collect();
        if values.len() <= WALKED_LIST_MAX {
            return values
                .into_iter()
                .map(|value| self.may(CompareOp::Eq, value))
                .try_fold(BooleanBuffer::new_unset(rows), |any, may| may.map(|may| &any | &may));
        }
        match &self.values {
            Values::Numbers { min, max } => {
                let ranges = values.iter().map(|v| literal::number(v, &self.data_type)).collect::<Option<Vec<_>>>()?;
                // A bound is a value of the column, and none of those lies strictly inside a range: its ends will do.
                let mut numbers: Vec<i128> = ranges.into_iter().flat_map(|r| [r.low, r.high]).collect();
                numbers.sort_unstable();
                Some(BooleanBuffer::collect_bool(rows, |i| {
                    let first = numbers.partition_point(|n| *n < min[i]);
                    numbers.get(first).is_some_and(|n| *n <= max[i])
                }))
            }
            Values::Text { min, max } => {
                let mut texts = values
                    .iter()
                    .map(|v| match v {
                        Scalar::String(text) => Some(text.as_str()),
                        _ => None,
                    })
                    .collect::<Option<Vec<_>>>()?;
                texts.sort_unstable();
                Some(BooleanBuffer::collect_bool(rows, |i| {
                    let least = if min.is_valid(i) { min.value(i) } else { "" };
                    let first = texts.partition_point(|t| *t < least);
                    texts
                        .get(first)
                        .is_some_and(|text| max.is_null(i) || !surely_less(max.value(i).as_bytes(), text.as_bytes()))
                }))
            }
            Values::Bytes { .. } | Values::Unknown => None,
        }
    }

    fn may_start_with(&self, prefix: &str) -> Option<BooleanBuffer> {
        let Values::Text { min, max } = &self.values else { return None };
        Some(BooleanBuffer::collect_bool(min.len(), |i| {
            let not_above = min.is_null(i) || min.value(i) <= prefix || min.value(i).starts_with(prefix);
            let not_below = max.is_null(i) || !surely_less(max.value(i).as_bytes(), prefix.as_bytes());
            not_above && not_below
        }))
    }

    fn may_start_otherwise(&self, prefix: &str) -> Option<BooleanBuffer> {
        let Values::Text { min, max } = &self.values else { return None };
        Some(BooleanBuffer::collect_bool(min.len(), |i| {
            // Between two texts with a prefix, every text has it.
            let starts = |a: &StringArray| a.is_valid(i) && a.value(i).starts_with(prefix);
            !(starts(min) && starts(max))
        }))
    }
}

/// Whether a row between the bounds may compare so with a value; bytes order text as its characters do.
fn may_compare<'a>(
    op: CompareOp,
    value: &[u8],
    rows: usize,
    min: impl Fn(usize) -> Option<&'a [u8]>,
    max: impl Fn(usize) -> Option<&'a [u8]>,
) -> BooleanBuffer {
    let below = |i: usize| min(i).is_none_or(|m| m < value);
    let not_above = |i: usize| min(i).is_none_or(|m| m <= value);
    // For `>` a bound that was cut at the value itself may stand for something longer.
    let above = |i: usize| max(i).is_none_or(|m| m > value || may_be_cut_short_of(m, value));
    let not_below = |i: usize| max(i).is_none_or(|m| !surely_less(m, value));
    let test: &dyn Fn(usize) -> bool = match op {
        CompareOp::Lt => &below,
        CompareOp::LtEq => &not_above,
        CompareOp::Gt => &above,
        CompareOp::GtEq => &not_below,
        CompareOp::Eq => &|i| not_above(i) && not_below(i),
        CompareOp::NotEq => &|i| below(i) || above(i),
    };
    BooleanBuffer::collect_bool(rows, test)
}

/// Whether every row at or below this upper bound is less than the value.
fn surely_less(max: &[u8], value: &[u8]) -> bool {
    max < value && !may_be_cut_short_of(max, value)
}

/// Whether an upper bound may be the beginning of a text that reaches the value.
fn may_be_cut_short_of(max: &[u8], value: &[u8]) -> bool {
    // Counting characters by their first bytes is enough: statistics hold whole characters.
    value.starts_with(max) && max.iter().filter(|b| **b & 0xC0 != 0x80).count() >= TEXT_PREFIX_CHARS
}

impl Values {
    fn of(min: &ArrayRef, max: &ArrayRef) -> Values {
        fn ends<T: ArrowPrimitiveType>(
            min: &ArrayRef,
            max: &ArrayRef,
            low: impl Fn(T::Native) -> i128,
            high: impl Fn(T::Native) -> i128,
        ) -> Values {
            let (Some(min), Some(max)) = (min.as_primitive_opt::<T>(), max.as_primitive_opt::<T>()) else {
                return Values::Unknown;
            };
            Values::Numbers {
                min: min.iter().map(|v| v.map_or(LOWEST, &low)).collect(),
                max: max.iter().map(|v| v.map_or(HIGHEST, &high)).collect(),
            }
        }
        fn integers<T: ArrowPrimitiveType>(min: &ArrayRef, max: &ArrayRef) -> Values
        where
            T::Native: Into<i128>,
        {
            ends::<T>(min, max, Into::into, Into::into)
        }
        if min.data_type() != max.data_type() {
            return Values::Unknown;
        }
        match min.data_type() {
            ArrowType::Int8 => integers::<Int8Type>(min, max),
            ArrowType::Int16 => integers::<Int16Type>(min, max),
            ArrowType::Int32 => integers::<Int32Type>(min, max),
            ArrowType::Int64 => integers::<Int64Type>(min, max),
            ArrowType::Date32 => integers::<Date32Type>(min, max),
            ArrowType::Decimal128(_, _) => integers::<Decimal128Type>(min, max),
            ArrowType::Timestamp(_, _) => integers::<TimestampMicrosecondType>(min, max),
            ArrowType::Float32 => {
                ends::<Float32Type>(min, max, |v| literal::double_min(v.into()), |v| literal::double_max(v.into()))
            }
            ArrowType::Float64 => ends::<Float64Type>(min, max, literal::double_min, literal::double_max),
            ArrowType::Boolean => {
                let numbers =
                    |array: &BooleanArray, unknown: i128| array.iter().map(|v| v.map_or(unknown, i128::from)).collect();
                Values::Numbers { min: numbers(min.as_boolean(), LOWEST), max: numbers(max.as_boolean(), HIGHEST) }
            }
            ArrowType::Utf8 => Values::Text { min: min.as_string().clone(), max: max.as_string().clone() },
            ArrowType::Binary => Values::Bytes { min: min.as_binary().clone(), max: max.as_binary().clone() },
            _ => Values::Unknown,
        }
    }
}
