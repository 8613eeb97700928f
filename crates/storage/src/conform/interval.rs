//! Intervals of data files as text. The protocol does not have them; Spark writes them as plain integers.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringBuilder};
use arrow::datatypes::{Int32Type, Int64Type};

/// Units of time, from the largest, with their microseconds.
const UNITS: [(&str, u64); 4] =
    [("DAY", 86_400_000_000), ("HOUR", 3_600_000_000), ("MINUTE", 60_000_000), ("SECOND", 1_000_000)];

/// The text of each interval as SQL has it: `INTERVAL '1-2' YEAR TO MONTH`. `name` is the type's in the table's schema.
///
/// # Errors
/// Values of another type than Spark writes: months as 32-bit, microseconds as 64-bit integers.
pub(super) fn to_text(column: &ArrayRef, name: &str) -> Result<ArrayRef, String> {
    let units = name.strip_prefix("interval ").unwrap_or(name).to_uppercase();
    let (first, last) = units.split_once(" TO ").unwrap_or((&units, &units));
    let mut texts = StringBuilder::new();
    let mut text = String::new();
    let wrong = || format!("{name} is {} in the file", column.data_type());
    if matches!(first, "YEAR" | "MONTH") {
        let months = column.as_primitive_opt::<Int32Type>().ok_or_else(wrong)?;
        for value in months.iter() {
            texts.append_option(value.map(|months| {
                let (sign, size) = (if months < 0 { "-" } else { "" }, months.unsigned_abs());
                match (first, last) {
                    ("YEAR", "YEAR") => format!("INTERVAL '{sign}{}' YEAR", size / 12),
                    ("MONTH", _) => format!("INTERVAL '{sign}{size}' MONTH"),
                    _ => format!("INTERVAL '{sign}{}-{}' YEAR TO MONTH", size / 12, size % 12),
                }
            }));
        }
        return Ok(Arc::new(texts.finish()));
    }
    let at =
        |unit: &str| UNITS.iter().position(|(name, _)| *name == unit).ok_or_else(|| format!("{name} is no interval"));
    let (first_at, last_at) = (at(first)?, at(last)?);
    let micros = column.as_primitive_opt::<Int64Type>().ok_or_else(wrong)?;
    for value in micros.iter() {
        texts.append_option(value.map(|micros| {
            text.clear();
            let mut rest = micros.unsigned_abs();
            for (number, (unit, size)) in UNITS.iter().enumerate().take(last_at + 1).skip(first_at) {
                let (count, parted) = (rest / size, number > first_at);
                rest %= size;
                if parted {
                    text.push(if *unit == "HOUR" { ' ' } else { ':' });
                }
                // Into a String, which takes everything.
                let _ = if parted { write!(text, "{count:02}") } else { write!(text, "{count}") };
                if *unit == "SECOND" && rest > 0 {
                    let _ = write!(text, ".{}", format!("{rest:06}").trim_end_matches('0'));
                }
            }
            let sign = if micros < 0 { "-" } else { "" };
            let to = if first_at == last_at { String::new() } else { format!(" TO {last}") };
            format!("INTERVAL '{sign}{text}' {first}{to}")
        }));
    }
    Ok(Arc::new(texts.finish()))
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int32Array, Int64Array};

    use super::*;

    fn text(column: impl Array + 'static, name: &str) -> String {
        let column: ArrayRef = Arc::new(column);
        to_text(&column, name).expect("an interval").as_string::<i32>().value(0).to_owned()
    }

    #[test]
    fn intervals_are_written_as_sql_has_them() {
        let micros = 93_784_000_005;
        for (name, expected) in [
            ("interval day", "INTERVAL '1' DAY"),
            ("interval day to hour", "INTERVAL '1 02' DAY TO HOUR"),
            ("interval day to minute", "INTERVAL '1 02:03' DAY TO MINUTE"),
            ("interval day to second", "INTERVAL '1 02:03:04.000005' DAY TO SECOND"),
            ("interval hour to second", "INTERVAL '26:03:04.000005' HOUR TO SECOND"),
            ("interval minute", "INTERVAL '1563' MINUTE"),
            ("interval second", "INTERVAL '93784.000005' SECOND"),
        ] {
            assert_eq!(text(Int64Array::from(vec![micros]), name), expected);
        }
        assert_eq!(text(Int64Array::from(vec![-1_500_000]), "interval second"), "INTERVAL '-1.5' SECOND");
        assert_eq!(text(Int32Array::from(vec![14]), "interval year to month"), "INTERVAL '1-2' YEAR TO MONTH");
        assert_eq!(text(Int32Array::from(vec![-14]), "interval month"), "INTERVAL '-14' MONTH");
        assert_eq!(text(Int32Array::from(vec![i32::MIN]), "interval year"), "INTERVAL '-178956970' YEAR");
        let wrong: ArrayRef = Arc::new(Int64Array::from(vec![1]));
        assert!(to_text(&wrong, "interval month").is_err() && to_text(&wrong, "interval fortnight").is_err());
    }
}
