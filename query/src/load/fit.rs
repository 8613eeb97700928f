//! Text as values of columns: exactly what it says, or a reason why it is none.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, ListArray, MapArray, RecordBatch, RecordBatchOptions, StringArray,
    StructArray,
};
use arrow::compute::{CastOptions, cast_with_options, filter};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Float32Type, Float64Type, SchemaRef};
use floe_table_format::error::printable;

use crate::error::Result;
use crate::types::arrow_type_name;

/// Characters of a value that a reason shows.
const SHOWN: usize = 100;

/// Rows that have no value, in their order, each once, and why.
pub(super) type Reasons = Vec<(usize, String)>;

/// Values of a column, and the rows that have none.
#[derive(Debug)]
pub(super) struct Fitted {
    pub(super) values: ArrayRef,
    pub(super) reasons: Reasons,
}

/// The type in which values are read before they are fitted: where a library would round them, as text.
pub(super) fn read_as(data_type: &DataType) -> DataType {
    let of = |field: &Field| field.clone().with_data_type(read_as(field.data_type()));
    match data_type {
        exact if is_exact(exact) => DataType::Utf8,
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(|field| of(field)).collect()),
        DataType::List(item) => DataType::List(Arc::new(of(item))),
        DataType::Map(entries, sorted) => DataType::Map(Arc::new(of(entries)), *sorted),
        other => other.clone(),
    }
}

fn is_exact(data_type: &DataType) -> bool {
    data_type.is_integer()
        || data_type.is_floating()
        || matches!(
            data_type,
            DataType::Decimal32(..)
                | DataType::Decimal64(..)
                | DataType::Decimal128(..)
                | DataType::Decimal256(..)
                | DataType::Date32
                | DataType::Date64
                | DataType::Timestamp(..)
        )
}

/// Columns that were read as [`read_as`] says, as rows of a schema; none where no row is left. A row is left out where a value does
/// not fit, or is NULL where that may not be, for the first reason that there is.
///
/// # Errors
/// As [`fitted`].
pub(super) fn fitted_batch(
    columns: &[ArrayRef],
    schema: &SchemaRef,
    rows: usize,
) -> Result<(Option<RecordBatch>, Reasons)> {
    let mut reasons = Reasons::new();
    let mut values = Vec::with_capacity(columns.len());
    for (column, field) in columns.iter().zip(schema.fields()) {
        let column = fitted(column, field, field.name())?;
        reasons.extend(column.reasons);
        if !field.is_nullable() && column.values.null_count() > 0 {
            let nulls = (0..rows).filter(|row| column.values.is_null(*row));
            reasons.extend(nulls.map(|row| (row, format!("column {} is NULL", printable(field.name())))));
        }
        values.push(column.values);
    }
    first_of_each(&mut reasons);
    if reasons.len() == rows {
        return Ok((None, reasons));
    }
    if !reasons.is_empty() {
        // A batch may hold no NULL where its schema forbids them, so the rows go before it is one.
        let mut good = vec![true; rows];
        reasons.iter().for_each(|(row, _)| good[*row] = false);
        let good = BooleanArray::from(good);
        values = values.iter().map(|column| Ok(filter(column, &good)?)).collect::<Result<_>>()?;
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows - reasons.len()));
    Ok((Some(RecordBatch::try_new_with_options(schema.clone(), values, &options)?), reasons))
}

/// Leaves the first reason of each row, in the order of the rows.
fn first_of_each(reasons: &mut Reasons) {
    reasons.sort_by_key(|(row, _)| *row);
    reasons.dedup_by_key(|(row, _)| *row);
}

/// Values that were read as [`read_as`] says, as values of the field. `name` is said in reasons.
///
/// # Errors
/// Types that Arrow does not cast into each other.
pub(super) fn fitted(values: &ArrayRef, field: &Field, name: &str) -> Result<Fitted> {
    if values.data_type() == field.data_type() {
        return Ok(Fitted { values: values.clone(), reasons: Reasons::new() });
    }
    match (values.data_type(), field.data_type()) {
        (DataType::Struct(_), DataType::Struct(fields)) => {
            let parts = values.as_struct();
            let (columns, reasons) = fitted_fields(parts, fields, name)?;
            let values = StructArray::try_new(fields.clone(), columns, parts.nulls().cloned())?;
            Ok(Fitted { values: Arc::new(values), reasons })
        }
        (DataType::List(_), DataType::List(item)) => {
            let list = values.as_list::<i32>();
            let inside = fitted(list.values(), item, name)?;
            let reasons = of_lists(list.value_offsets(), inside.reasons);
            let (offsets, nulls) = (list.offsets().clone(), list.nulls().cloned());
            let values = ListArray::try_new(item.clone(), offsets, inside.values, nulls)?;
            Ok(Fitted { values: Arc::new(values), reasons })
        }
        (DataType::Map(..), DataType::Map(entries, sorted)) => {
            let map = values.as_map();
            let DataType::Struct(fields) = entries.data_type() else { return as_text(values, field, name) };
            let (columns, inside) = fitted_fields(map.entries(), fields, name)?;
            let reasons = of_lists(map.value_offsets(), inside);
            let inside = StructArray::try_new(fields.clone(), columns, map.entries().nulls().cloned())?;
            let (offsets, nulls) = (map.offsets().clone(), map.nulls().cloned());
            let values = MapArray::try_new(entries.clone(), offsets, inside, nulls, *sorted)?;
            Ok(Fitted { values: Arc::new(values), reasons })
        }
        _ => as_text(values, field, name),
    }
}

fn fitted_fields(parts: &StructArray, fields: &Fields, name: &str) -> Result<(Vec<ArrayRef>, Reasons)> {
    let mut reasons = Reasons::new();
    let mut columns = Vec::with_capacity(fields.len());
    for (column, field) in parts.columns().iter().zip(fields) {
        let inside: &FieldRef = field;
        let of = fitted(column, inside, &format!("{name}.{}", field.name()))?;
        reasons.extend(of.reasons);
        columns.push(of.values);
    }
    first_of_each(&mut reasons);
    Ok((columns, reasons))
}

/// The first reason of each list's items.
fn of_lists(offsets: &[i32], items: Reasons) -> Reasons {
    let list = |item: usize| offsets.partition_point(|offset| usize::try_from(*offset).is_ok_and(|at| at <= item));
    let mut reasons: Reasons =
        items.into_iter().filter_map(|(item, reason)| Some((list(item).checked_sub(1)?, reason))).collect();
    first_of_each(&mut reasons);
    reasons
}

fn as_text(values: &ArrayRef, field: &Field, name: &str) -> Result<Fitted> {
    let lenient = CastOptions { safe: true, ..CastOptions::default() };
    let cast = cast_with_options(values, field.data_type(), &lenient)?;
    let Some(texts) = values.as_any().downcast_ref::<StringArray>() else {
        return Ok(Fitted { values: cast, reasons: Reasons::new() });
    };
    let unread = cast.null_count() > texts.null_count();
    // What Arrow takes, and something of it would be lost.
    let loses: &dyn Fn(usize, &str) -> bool = match field.data_type() {
        DataType::Date32 | DataType::Date64 => &|_, text| text.contains([':', 'T', 't', ' ']),
        DataType::Timestamp(_, None) => &|_, text| has_zone(text),
        // Too large to be held, and not written as infinite.
        DataType::Float32 | DataType::Float64 => {
            &|row, text| is_infinite(&cast, row) && text.contains(|c: char| c.is_ascii_digit())
        }
        DataType::Decimal32(_, scale)
        | DataType::Decimal64(_, scale)
        | DataType::Decimal128(_, scale)
        | DataType::Decimal256(_, scale) => &|_, text| fraction_digits(text) > usize::try_from(*scale).unwrap_or(0),
        _ if !unread => return Ok(Fitted { values: cast, reasons: Reasons::new() }),
        _ => &|_, _| false,
    };
    let mut reasons = Reasons::new();
    for (row, text) in texts.iter().enumerate() {
        let Some(text) = text else { continue };
        if (unread && cast.is_null(row)) || loses(row, text) {
            let shown: String = text.chars().take(SHOWN).collect();
            let wanted = arrow_type_name(field.data_type()).to_uppercase();
            reasons.push((row, format!("column {}: {shown:?} is no {wanted}", printable(name))));
        }
    }
    Ok(Fitted { values: cast, reasons })
}

/// Digits behind the point that say something.
fn fraction_digits(text: &str) -> usize {
    text.split_once('.').map_or(0, |(_, fraction)| fraction.trim_end_matches('0').len())
}

fn is_infinite(values: &ArrayRef, row: usize) -> bool {
    match values.data_type() {
        DataType::Float32 => values.as_primitive::<Float32Type>().value(row).is_infinite(),
        DataType::Float64 => values.as_primitive::<Float64Type>().value(row).is_infinite(),
        _ => false,
    }
}

/// Whether a point in time says how far it is from Greenwich: to a column without a zone that would be lost.
fn has_zone(text: &str) -> bool {
    text.get(10..).is_some_and(|time| time.contains(['+', '-', 'Z', 'z']))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::TimeUnit;

    fn check(data_type: DataType, good: &[&str], bad: &[&str]) {
        let texts: Vec<&str> = good.iter().chain(bad).copied().collect();
        let values: ArrayRef = Arc::new(StringArray::from(texts.clone()));
        let fitted = fitted(&values, &Field::new("a", data_type.clone(), true), "a").expect("cast");
        for (at, text) in texts.iter().enumerate() {
            let reason = fitted.reasons.iter().find(|(row, _)| *row == at);
            assert_eq!(reason.is_none(), at < good.len(), "{text:?} as {data_type}: {reason:?}");
            assert!(reason.is_some() || fitted.values.is_valid(at), "{text:?} as {data_type} is null");
        }
    }

    #[test]
    fn nothing_is_rounded_cut_or_shifted_silently() {
        check(DataType::Int32, &["1", "-7"], &["1.7", "1e3", "", "3000000000", "x"]);
        check(DataType::Decimal128(8, 2), &["1.25", "1.250", "-3"], &["1.239", "12345678.9", "1e1", "x"]);
        check(DataType::Float32, &["1e38", "inf", "-0.5", "NaN"], &["1e39", "-1e400", "x"]);
        check(DataType::Date32, &["2024-05-01"], &["2024-05-01T23:30:00-05:00", "2024-05-01 10:00:00", "never"]);
        let local = DataType::Timestamp(TimeUnit::Microsecond, None);
        check(
            local,
            &["2024-05-01 10:00:00", "2024-05-01T10:00:00.5"],
            &["2024-05-01T10:00:00Z", "2024-05-01 10:00:00+02:00"],
        );
        let zoned = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        check(zoned, &["2024-05-01T10:00:00Z", "2024-05-01 10:00:00+02:00"], &["soon"]);
    }

    #[test]
    fn the_first_misfit_of_a_list_is_that_of_its_row() {
        let items = Arc::new(Field::new("item", DataType::Utf8, true));
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["1", "x", "y", "2", "z"]));
        let offsets = arrow::buffer::OffsetBuffer::new(vec![0, 0, 3, 3, 4, 5].into());
        let lists: ArrayRef = Arc::new(ListArray::new(items, offsets, texts, None));
        let wanted = DataType::new_list(DataType::Int32, true);
        let fitted = fitted(&lists, &Field::new("a", wanted, true), "a").expect("cast");
        let rows: Vec<_> = fitted.reasons.iter().map(|(row, reason)| (*row, reason.as_str())).collect();
        assert_eq!(rows, [(1, "column a: \"x\" is no INT"), (4, "column a: \"z\" is no INT")]);
    }
}
