//! Statistics as JSON text: walking it without building values, and making it from a checkpoint's struct.

use std::borrow::Cow;
use std::fmt::Write as _;

use arrow::array::{Array, AsArray, StructArray};
use arrow::datatypes::{
    DataType as ArrowType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, TimeUnit, TimestampMicrosecondType,
};

/// A scalar of a JSON text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Token<'a> {
    /// A string, unescaped.
    Text(Cow<'a, str>),
    /// A number, `true` or `false`, as spelled.
    Bare(&'a str),
    /// `null`.
    Null,
    /// An object or array, skipped.
    Nested,
}

/// Walks a JSON text.
///
/// It only follows the structure: most of a file's statistics concern columns nobody asked for, and skipping them is
/// several times faster than parsing them. Anything unexpected gives `None`, and the caller takes the statistics as
/// missing.
pub(crate) struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Scanner { text, at: 0 }
    }

    /// Visits the members of the object that starts here. The visitor consumes each value.
    pub(crate) fn object(&mut self, mut visit: impl FnMut(&str, &mut Scanner<'a>) -> Option<()>) -> Option<()> {
        self.expect(b'{')?;
        if self.peek()? == b'}' {
            self.at += 1;
            return Some(());
        }
        loop {
            self.peek().filter(|b| *b == b'"')?;
            let key = self.string()?;
            self.expect(b':')?;
            visit(&key, self)?;
            match self.peek()? {
                b',' => self.at += 1,
                b'}' => {
                    self.at += 1;
                    return Some(());
                }
                _ => return None,
            }
        }
    }

    /// Whether an object starts here.
    pub(crate) fn at_object(&mut self) -> bool {
        self.peek() == Some(b'{')
    }

    /// The value that starts here.
    pub(crate) fn value(&mut self) -> Option<Token<'a>> {
        match self.peek()? {
            b'"' => self.string().map(Token::Text),
            b'{' | b'[' => self.skip_nested().map(|()| Token::Nested),
            _ => match self.bare()? {
                "null" => Some(Token::Null),
                text => Some(Token::Bare(text)),
            },
        }
    }

    /// Passes over the value that starts here.
    pub(crate) fn skip(&mut self) -> Option<()> {
        match self.peek()? {
            b'"' => self.skip_string().map(|_| ()),
            b'{' | b'[' => self.skip_nested(),
            _ => self.bare().map(|_| ()),
        }
    }

    /// Whether only white space is left.
    pub(crate) fn at_end(&mut self) -> bool {
        self.peek().is_none()
    }

    /// The next byte that is not white space.
    fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while bytes.get(self.at).is_some_and(|b| matches!(b, b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
        bytes.get(self.at).copied()
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        self.peek().filter(|found| *found == byte)?;
        self.at += 1;
        Some(())
    }

    fn string(&mut self) -> Option<Cow<'a, str>> {
        let from = self.at;
        let escaped = self.skip_string()?;
        let raw = &self.text[from..self.at];
        if escaped {
            return serde_json::from_str::<String>(raw).ok().map(Cow::Owned);
        }
        Some(Cow::Borrowed(&raw[1..raw.len() - 1]))
    }

    /// Passes over a string; whether it holds escapes.
    fn skip_string(&mut self) -> Option<bool> {
        let bytes = self.text.as_bytes();
        let mut at = self.at + 1;
        let mut escaped = false;
        loop {
            match bytes.get(at)? {
                b'"' => break,
                b'\\' => {
                    escaped = true;
                    at += 2;
                }
                _ => at += 1,
            }
        }
        self.at = at + 1;
        Some(escaped)
    }

    fn skip_nested(&mut self) -> Option<()> {
        let bytes = self.text.as_bytes();
        // A count and not a stack: brackets of the wrong kind pass, in a value that nobody looks at.
        let mut depth = 0usize;
        loop {
            match bytes.get(self.at)? {
                b'"' => {
                    self.skip_string()?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return Some(());
            }
        }
    }

    fn bare(&mut self) -> Option<&'a str> {
        let from = self.at;
        let rest = &self.text.as_bytes()[from..];
        let ends = |b: &u8| matches!(b, b',' | b'}' | b']' | b':' | b'"' | b'{' | b'[' | b' ' | b'\t' | b'\n' | b'\r');
        let len = rest.iter().position(ends).unwrap_or(rest.len());
        self.at += len;
        (len > 0).then(|| &self.text[from..from + len])
    }
}

/// One row of a `stats_parsed` column as the JSON text of protocol section "Per-file Statistics". None for a null row.
pub fn struct_to_stats_json(parsed: &StructArray, row: usize) -> Option<String> {
    if parsed.is_null(row) {
        return None;
    }
    let mut out = String::with_capacity(256);
    write_struct(parsed, row, &mut out);
    Some(out)
}

fn write_struct(values: &StructArray, row: usize, out: &mut String) {
    out.push('{');
    let mut first = true;
    for (field, column) in values.fields().iter().zip(values.columns()) {
        if column.is_null(row) {
            continue;
        }
        let before = out.len();
        if !first {
            out.push(',');
        }
        write_text(field.name(), out);
        out.push(':');
        if write_value(column.as_ref(), row, out) {
            first = false;
        } else {
            out.truncate(before);
        }
    }
    out.push('}');
}

/// Writes a value; false if it has no spelling in JSON statistics.
fn write_value(column: &dyn Array, row: usize, out: &mut String) -> bool {
    let written = match column.data_type() {
        ArrowType::Struct(_) => {
            write_struct(column.as_struct(), row, out);
            Ok(())
        }
        ArrowType::Utf8 => {
            write_text(column.as_string::<i32>().value(row), out);
            Ok(())
        }
        ArrowType::Boolean => write!(out, "{}", column.as_boolean().value(row)),
        ArrowType::Int8 => write!(out, "{}", column.as_primitive::<Int8Type>().value(row)),
        ArrowType::Int16 => write!(out, "{}", column.as_primitive::<Int16Type>().value(row)),
        ArrowType::Int32 => write!(out, "{}", column.as_primitive::<Int32Type>().value(row)),
        ArrowType::Int64 => write!(out, "{}", column.as_primitive::<Int64Type>().value(row)),
        ArrowType::Float32 => {
            let value = column.as_primitive::<Float32Type>().value(row);
            if value.is_finite() { write!(out, "{value:?}") } else { write_not_finite(value.into(), out) }
        }
        ArrowType::Float64 => {
            let value = column.as_primitive::<Float64Type>().value(row);
            if value.is_finite() { write!(out, "{value:?}") } else { write_not_finite(value, out) }
        }
        ArrowType::Decimal128(..) => {
            write!(out, "{}", column.as_primitive::<Decimal128Type>().value_as_string(row))
        }
        ArrowType::Date32 => match column.as_primitive::<Date32Type>().value_as_date(row) {
            Some(date) => write!(out, "\"{}\"", date.format("%Y-%m-%d")),
            None => return false,
        },
        ArrowType::Timestamp(TimeUnit::Microsecond, zone) => {
            let micros = column.as_primitive::<TimestampMicrosecondType>().value(row);
            let Some(time) = chrono::DateTime::from_timestamp_micros(micros) else { return false };
            let zone = if zone.is_some() { "Z" } else { "" };
            // Milliseconds are what others write and expect; more digits only where they would be lost.
            if micros % 1000 == 0 {
                write!(out, "\"{}{zone}\"", time.format("%Y-%m-%dT%H:%M:%S%.3f"))
            } else {
                write!(out, "\"{}{zone}\"", time.format("%Y-%m-%dT%H:%M:%S%.6f"))
            }
        }
        _ => return false,
    };
    written.is_ok()
}

fn write_not_finite(value: f64, out: &mut String) -> std::fmt::Result {
    let name = if value.is_nan() {
        "NaN"
    } else if value > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    };
    write!(out, "\"{name}\"")
}

fn write_text(text: &str, out: &mut String) {
    out.push_str(&serde_json::to_string(text).expect("text is JSON"));
}
