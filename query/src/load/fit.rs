//! Text as values of columns: exactly what it says, or a reason why it is none.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, ListArray, MapArray, RecordBatch, RecordBatchOptions, StringArray,
    StructArray,
};
use arrow::compute::{CastOptions, cast_with_options, filter, kernels::cmp};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Float32Type, Float64Type, SchemaRef};
use floe_table_format::error::printable;

use crate::error::Result;
use crate::types::arrow_type_name;

/// Characters of a value that a reason shows.
const SHOWN: usize = 100;

/// The widest decimal, to which every other one can be compared.
const WIDEST: DataType = DataType::Decimal256(76, 38);

/// Values, and for each row why it has none.
#[derive(Debug)]
pub(super) struct Fitted {
    pub(super) values: ArrayRef,
    pub(super) reasons: Vec<Option<String>>,
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
/// not fit, or is NULL where that may not be, and the reason stands in its place.
///
/// # Errors
/// As [`fitted`].
pub(super) fn fitted_batch(
    columns: &[ArrayRef],
    schema: &SchemaRef,
    rows: usize,
) -> Result<(Option<RecordBatch>, Vec<Option<String>>)> {
    let mut reasons: Vec<Option<String>> = vec![None; rows];
    let mut values = Vec::with_capacity(columns.len());
    for (column, field) in columns.iter().zip(schema.fields()) {
        let column = fitted(column, field, field.name())?;
        for (row, (reason, found)) in reasons.iter_mut().zip(column.reasons).enumerate() {
            let null = || {
                let missing = !field.is_nullable() && column.values.is_null(row);
                missing.then(|| format!("column {} is NULL", printable(field.name())))
            };
            if reason.is_none() {
                *reason = found.or_else(null);
            }
        }
        values.push(column.values);
    }
    let good: BooleanArray = reasons.iter().map(|reason| Some(reason.is_none())).collect();
    if good.true_count() == 0 {
        return Ok((None, reasons));
    }
    if good.true_count() < rows {
        // A batch may hold no NULL where its schema forbids them, so the rows go before it is one.
        values = values.iter().map(|column| Ok(filter(column, &good)?)).collect::<Result<_>>()?;
    }
    let options = RecordBatchOptions::new().with_row_count(Some(good.true_count()));
    Ok((Some(RecordBatch::try_new_with_options(schema.clone(), values, &options)?), reasons))
}

/// Values that were read as [`read_as`] says, as values of the field. `name` is said in reasons.
///
/// # Errors
/// Types that Arrow does not cast into each other.
pub(super) fn fitted(values: &ArrayRef, field: &Field, name: &str) -> Result<Fitted> {
    if values.data_type() == field.data_type() {
        return Ok(Fitted { values: values.clone(), reasons: vec![None; values.len()] });
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

fn fitted_fields(parts: &StructArray, fields: &Fields, name: &str) -> Result<(Vec<ArrayRef>, Vec<Option<String>>)> {
    let mut reasons = vec![None; parts.len()];
    let mut columns = Vec::with_capacity(fields.len());
    for (column, field) in parts.columns().iter().zip(fields) {
        let inside: &FieldRef = field;
        let of = fitted(column, inside, &format!("{name}.{}", field.name()))?;
        for (reason, found) in reasons.iter_mut().zip(of.reasons) {
            if reason.is_none() {
                *reason = found;
            }
        }
        columns.push(of.values);
    }
    Ok((columns, reasons))
}

/// The first reason of each list's items.
fn of_lists(offsets: &[i32], items: Vec<Option<String>>) -> Vec<Option<String>> {
    let list = |ends: &[i32]| {
        let items = items.get(usize::try_from(ends[0]).ok()?..usize::try_from(ends[1]).ok()?)?;
        items.iter().find_map(Clone::clone)
    };
    offsets.windows(2).map(list).collect()
}

fn as_text(values: &ArrayRef, field: &Field, name: &str) -> Result<Fitted> {
    let lenient = CastOptions { safe: true, ..CastOptions::default() };
    let cast = cast_with_options(values, field.data_type(), &lenient)?;
    let mut reasons = vec![None; values.len()];
    let Some(texts) = values.as_any().downcast_ref::<StringArray>() else {
        return Ok(Fitted { values: cast, reasons });
    };
    let misfit = |row: usize| {
        let shown: String = texts.value(row).chars().take(SHOWN).collect();
        let wanted = arrow_type_name(field.data_type()).to_uppercase();
        Some(format!("column {}: {shown:?} is no {wanted}", printable(name)))
    };
    let exact = match field.data_type() {
        DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) | DataType::Decimal256(..) => {
            let (wide, wider) =
                (cast_with_options(values, &WIDEST, &lenient)?, cast_with_options(&cast, &WIDEST, &lenient)?);
            Some(cmp::not_distinct(&wide, &wider)?)
        }
        _ => None,
    };
    for (row, reason) in reasons.iter_mut().enumerate().filter(|(row, _)| texts.is_valid(*row)) {
        let text = texts.value(row);
        let loses = match field.data_type() {
            DataType::Date32 | DataType::Date64 => text.contains([':', 'T', 't', ' ']),
            DataType::Timestamp(_, None) => has_zone(text),
            // Too large to be held, and not written as infinite.
            kind if kind.is_floating() => is_infinite(&cast, row) && text.contains(|c: char| c.is_ascii_digit()),
            _ => exact.as_ref().is_some_and(|exact| !exact.value(row)),
        };
        if loses || cast.is_null(row) {
            *reason = misfit(row);
        }
    }
    Ok(Fitted { values: cast, reasons })
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
        for (at, (text, reason)) in texts.iter().zip(&fitted.reasons).enumerate() {
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
}
