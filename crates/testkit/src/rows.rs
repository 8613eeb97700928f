//! Results as text, so that they compare as multisets and print well when they differ.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use arrow::util::display::{ArrayFormatter, FormatOptions};

/// How a null is written.
const NULL: &str = "NULL";

/// The rows of the batches as text, one row a line of `|`-separated values, sorted: equal exactly when the batches
/// hold the same multiset of rows.
///
/// Types that print alike (`Utf8` and `Utf8View`, `Int32` and `Int64`) count as alike.
///
/// # Panics
/// If a column has a type that Arrow cannot print.
pub fn rows(batches: &[RecordBatch]) -> Vec<String> {
    let mut lines = rows_in_order(batches);
    lines.sort_unstable();
    lines
}

/// As [`rows`], but in the order the batches give.
///
/// # Panics
/// As [`rows`].
pub fn rows_in_order(batches: &[RecordBatch]) -> Vec<String> {
    lines(batches, None)
}

/// As [`rows`], with floating-point numbers rounded to this many digits after the point, for sums whose order of
/// addition is not fixed.
///
/// # Panics
/// As [`rows`].
pub fn rows_rounded(batches: &[RecordBatch], digits: usize) -> Vec<String> {
    let mut lines = lines(batches, Some(digits));
    lines.sort_unstable();
    lines
}

fn lines(batches: &[RecordBatch], digits: Option<usize>) -> Vec<String> {
    let options = FormatOptions::default().with_null(NULL);
    let mut out = Vec::with_capacity(batches.iter().map(RecordBatch::num_rows).sum());
    for batch in batches {
        let columns: Vec<Box<dyn Fn(usize) -> String + '_>> =
            batch.columns().iter().map(|column| printer(column, digits, &options)).collect();
        for row in 0..batch.num_rows() {
            out.push(columns.iter().map(|print| print(row)).collect::<Vec<_>>().join("|"));
        }
    }
    out
}

fn printer<'a>(
    column: &'a dyn Array,
    digits: Option<usize>,
    options: &FormatOptions<'a>,
) -> Box<dyn Fn(usize) -> String + 'a> {
    // `-0.0` and `0.0` are one value to a reader, and rounding makes more of the former.
    let rounded = |value: f64, digits: usize| {
        let text = format!("{value:.digits$}");
        if text.trim_start_matches(['-', '0', '.']).is_empty() { text.trim_start_matches('-').to_owned() } else { text }
    };
    match (column.data_type(), digits) {
        (DataType::Float64, Some(digits)) => {
            let values = column.as_primitive::<Float64Type>();
            Box::new(move |row| if values.is_null(row) { NULL.into() } else { rounded(values.value(row), digits) })
        }
        (DataType::Float32, Some(digits)) => {
            let values = column.as_primitive::<Float32Type>();
            Box::new(
                move |row| {
                    if values.is_null(row) { NULL.into() } else { rounded(f64::from(values.value(row)), digits) }
                },
            )
        }
        _ => {
            let formatter = ArrayFormatter::try_new(column, options).expect("a type that Arrow prints");
            Box::new(move |row| formatter.value(row).to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Batch;

    #[test]
    fn rows_compare_as_multisets() {
        let twice = Batch::new().long("id", [1, 2, 1]).build();
        let once = Batch::new().long("id", [1, 2]).build();
        assert_eq!(rows(std::slice::from_ref(&twice)), ["1", "1", "2"]);
        assert_eq!(rows(&[twice.slice(1, 2)]), rows(&[once]));
    }

    #[test]
    fn nulls_are_not_empty_text() {
        let batch = Batch::new().text("t", [Some(""), None]).build();
        assert_eq!(rows(&[batch]), ["", "NULL"]);
    }

    #[test]
    fn rounding_hides_the_order_of_addition() {
        let one = Batch::new().double("d", [0.1 + 0.2, -0.0]).build();
        let other = Batch::new().double("d", [0.0, 0.3]).build();
        assert_ne!(rows(std::slice::from_ref(&one)), rows(std::slice::from_ref(&other)));
        assert_eq!(rows_rounded(&[one], 9), rows_rounded(&[other], 9));
    }
}
