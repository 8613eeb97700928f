//! Statistics of single columns for a block of files.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, BooleanBuilder, Date32Builder, Decimal128Builder, Float32Builder,
    Float64Builder, Int8Builder, Int16Builder, Int32Builder, Int64Array, Int64Builder, StringArray, StringBuilder,
    StructArray, TimestampMicrosecondArray, TimestampMicrosecondBuilder, new_null_array,
};
use arrow::buffer::BooleanBuffer;
use arrow::compute::kernels::zip::zip;
use arrow::compute::{CastOptions, cast_with_options, nullif};
use arrow::datatypes::{DataType as ArrowType, Int64Type, TimeUnit, TimestampMicrosecondType};

use super::chunk::{ChunkColumns, text_at};
use super::stats_text::{Scanner, Token};
use crate::error::{FormatError, Result, printable};
use crate::schema::PrimitiveType;

mod parse;

/// Statistics of one column, a value per file. Null is missing: not known, or not readable.
#[derive(Debug, Clone)]
pub struct ColumnStats {
    /// No value of the column is smaller. Of the Arrow type that the schema gives the column.
    pub min: ArrayRef,
    /// No value of the column is larger. Text may be cut short and then made larger by its writer; timestamps that were
    /// cut to milliseconds are already widened here, so that the bound holds but need not be met by a row.
    pub max: ArrayRef,
    /// How many rows are null. With wide bounds only 0 and the number of records mean something.
    pub null_count: Int64Array,
}

/// Which statistics to parse.
#[derive(Debug, Clone, PartialEq)]
pub struct StatsColumnSpec {
    /// Physical names from the top level down.
    pub path: Vec<String>,
    /// The column's type.
    pub data_type: PrimitiveType,
    /// Whether minimum and maximum are wanted; the null count always is.
    pub bounds: bool,
}

/// How statistics in JSON text are to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// The values as they are spelled, to be written elsewhere.
    AsWritten,
    /// Bounds to rely on: where a spelling may have been rounded by its writer, the bound gives way by as much.
    AsBounds,
}

impl ColumnStats {
    fn missing(data_type: PrimitiveType, rows: usize) -> Self {
        let arrow = arrow_type(data_type);
        ColumnStats {
            min: new_null_array(&arrow, rows),
            max: new_null_array(&arrow, rows),
            null_count: Int64Array::new_null(rows),
        }
    }

    /// Protocol section "Per-file Statistics", footnote: timestamps are truncated down to milliseconds. A maximum at a
    /// full millisecond may therefore stand for any microsecond of it.
    pub(super) fn with_truncated_timestamps_widened(mut self) -> Self {
        if let Some(max) = self.max.as_any().downcast_ref::<TimestampMicrosecondArray>() {
            let widen = |us: i64| if us % 1000 == 0 { us.saturating_add(999) } else { us };
            let zone = max.timezone().map(str::to_owned);
            self.max = Arc::new(max.unary::<_, TimestampMicrosecondType>(widen).with_timezone_opt(zone));
        }
        self
    }
}

/// The Arrow type of a column's bounds.
pub(crate) fn arrow_type(data_type: PrimitiveType) -> ArrowType {
    match data_type {
        PrimitiveType::String => ArrowType::Utf8,
        PrimitiveType::Long => ArrowType::Int64,
        PrimitiveType::Integer => ArrowType::Int32,
        PrimitiveType::Short => ArrowType::Int16,
        PrimitiveType::Byte => ArrowType::Int8,
        PrimitiveType::Float => ArrowType::Float32,
        PrimitiveType::Double => ArrowType::Float64,
        PrimitiveType::Decimal(precision, scale) => ArrowType::Decimal128(precision, scale as i8),
        PrimitiveType::Boolean => ArrowType::Boolean,
        PrimitiveType::Binary => ArrowType::Binary,
        PrimitiveType::Date => ArrowType::Date32,
        PrimitiveType::Timestamp => ArrowType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        PrimitiveType::TimestampNtz => ArrowType::Timestamp(TimeUnit::Microsecond, None),
    }
}

/// Statistics of these columns for every row, from the struct where there is one and from the text otherwise.
pub(super) fn of_chunk(
    columns: &ChunkColumns,
    wanted: &[StatsColumnSpec],
    reading: Reading,
) -> Result<Vec<ColumnStats>> {
    let rows = columns.paths.len();
    let Some(parsed) = &columns.stats_parsed else {
        return match &columns.stats {
            Some(text) => parse_stats_columns(text, wanted, reading),
            None => Ok(wanted.iter().map(|spec| ColumnStats::missing(spec.data_type, rows)).collect()),
        };
    };
    let from_struct: Vec<ColumnStats> = wanted.iter().map(|spec| of_struct(parsed, spec)).collect();
    // A row without a struct may still have text.
    let only_text =
        BooleanBuffer::collect_bool(rows, |row| parsed.is_null(row) && text_at(&columns.stats, row).is_some());
    let Some(text) = columns.stats.as_ref().filter(|_| only_text.has_true()) else { return Ok(from_struct) };
    let only_text = BooleanArray::new(only_text, None);
    let text: StringArray = (0..rows).map(|row| only_text.value(row).then(|| text.value(row))).collect();
    let from_text = parse_stats_columns(&text, wanted, reading)?;
    from_struct
        .into_iter()
        .zip(from_text)
        .map(|(a, b)| {
            Ok(ColumnStats {
                min: zip(&only_text, &b.min, &a.min).map_err(unexpected)?,
                max: zip(&only_text, &b.max, &a.max).map_err(unexpected)?,
                null_count: zip(&only_text, &b.null_count, &a.null_count)
                    .map_err(unexpected)?
                    .as_primitive::<Int64Type>()
                    .clone(),
            })
        })
        .collect()
}

fn of_struct(parsed: &StructArray, spec: &StatsColumnSpec) -> ColumnStats {
    let arrow = arrow_type(spec.data_type);
    let rows = parsed.len();
    let bound = |group: &str| match spec.bounds.then(|| descend(parsed, group, &spec.path)).flatten() {
        Some(column) => cast_or_null(&column, &arrow),
        None => new_null_array(&arrow, rows),
    };
    let null_count = descend(parsed, "nullCount", &spec.path)
        .map(|column| cast_or_null(&column, &ArrowType::Int64))
        .map_or_else(|| Int64Array::new_null(rows), |column| column.as_primitive::<Int64Type>().clone());
    let (min, max) = (bound("minValues"), bound("maxValues"));
    // Not-a-number bounds nothing.
    ColumnStats { min: without_nan(min), max: without_nan(max), null_count }
}

/// The column below `group` at this path, null wherever one of its parents is.
fn descend(parsed: &StructArray, group: &str, path: &[String]) -> Option<ArrayRef> {
    let mut at: ArrayRef = Arc::new(parsed.clone());
    for name in std::iter::once(group).chain(path.iter().map(String::as_str)) {
        let parent = at.as_struct_opt()?.clone();
        at = Arc::clone(parent.column_by_name(name)?);
        if let Some(nulls) = parent.nulls() {
            at = nullif(&at, &BooleanArray::new(!nulls.inner(), None)).ok()?;
        }
    }
    Some(at)
}

fn cast_or_null(column: &ArrayRef, to: &ArrowType) -> ArrayRef {
    if column.data_type() == to {
        return Arc::clone(column);
    }
    // Only between spellings of one kind: text read as a date would be a guess.
    let kind = |t: &ArrowType| match t {
        ArrowType::Utf8 | ArrowType::LargeUtf8 | ArrowType::Utf8View => 1,
        t if t.is_integer() => 2,
        ArrowType::Float32 | ArrowType::Float64 => 3,
        ArrowType::Decimal32(..) | ArrowType::Decimal64(..) | ArrowType::Decimal128(..) | ArrowType::Decimal256(..) => {
            4
        }
        ArrowType::Timestamp(..) => 5,
        ArrowType::Binary | ArrowType::LargeBinary | ArrowType::BinaryView => 6,
        _ => 0,
    };
    let from = match column.data_type() {
        ArrowType::Dictionary(_, value) => value.as_ref(),
        other => other,
    };
    // Narrowing a float rounds, and a rounded bound may be wrong.
    let narrows = *from == ArrowType::Float64 && *to == ArrowType::Float32;
    let same_kind = kind(from) != 0 && kind(from) == kind(to) && !narrows;
    let options = CastOptions { safe: true, ..CastOptions::default() };
    match same_kind.then(|| cast_with_options(column, to, &options)) {
        Some(Ok(cast)) => cast,
        _ => new_null_array(to, column.len()),
    }
}

fn without_nan(column: ArrayRef) -> ArrayRef {
    let nan = match column.data_type() {
        ArrowType::Float32 => {
            let values = column.as_primitive::<arrow::datatypes::Float32Type>();
            BooleanBuffer::collect_bool(values.len(), |row| values.value(row).is_nan())
        }
        ArrowType::Float64 => {
            let values = column.as_primitive::<arrow::datatypes::Float64Type>();
            BooleanBuffer::collect_bool(values.len(), |row| values.value(row).is_nan())
        }
        _ => return column,
    };
    match nan.has_true().then(|| nullif(&column, &BooleanArray::new(nan, None))) {
        Some(Ok(cleaned)) => cleaned,
        Some(Err(_)) => new_null_array(column.data_type(), column.len()),
        None => column,
    }
}

/// Number of records and tightness of bounds for every row.
pub(super) fn summary(columns: &ChunkColumns) -> (Int64Array, BooleanArray) {
    let rows = columns.paths.len();
    let child = |name: &str, to: ArrowType| {
        let parsed = columns.stats_parsed.as_ref()?;
        descend(parsed, name, &[])
            .filter(|c| *c.data_type() == to || c.data_type().is_integer())
            .map(|c| cast_or_null(&c, &to))
    };
    let records = child("numRecords", ArrowType::Int64);
    let records = records.as_ref().map(|c| c.as_primitive::<Int64Type>());
    let tight = child("tightBounds", ArrowType::Boolean);
    let tight = tight.as_ref().and_then(|c| c.as_boolean_opt());
    let mut num_records = Int64Builder::with_capacity(rows);
    let mut tight_bounds = BooleanBuilder::with_capacity(rows);
    for row in 0..rows {
        let of_struct = records.filter(|c| c.is_valid(row)).map(|c| c.value(row));
        let tight_of_struct = tight.filter(|c| c.is_valid(row)).map(|c| c.value(row));
        let (of_text, tight_of_text) = text_at(&columns.stats, row).map_or((None, None), text_summary);
        num_records.append_option(of_struct.or(of_text).filter(|n| *n >= 0));
        // Protocol section "Per-file Statistics": bounds are tight unless the statistics say otherwise.
        tight_bounds.append_value(tight_of_struct.or(tight_of_text).unwrap_or(true));
    }
    (num_records.finish(), tight_bounds.finish())
}

fn text_summary(text: &str) -> (Option<i64>, Option<bool>) {
    if !text.contains("tightBounds") {
        // Nearly every writer puts the number of records first.
        let digits = text.strip_prefix("{\"numRecords\":").and_then(|rest| rest.split([',', '}']).next());
        if let Some(records) = digits.and_then(|digits| digits.parse().ok()) {
            return (Some(records), None);
        }
    }
    let (mut records, mut tight) = (None, None);
    let mut scanner = Scanner::new(text);
    let walked = scanner.object(|key, scanner| match key {
        "numRecords" => {
            records = scanner.value()?.as_long();
            Some(())
        }
        "tightBounds" => {
            tight = scanner.value()?.as_boolean();
            Some(())
        }
        _ => scanner.skip(),
    });
    match walked {
        Some(()) if scanner.at_end() => (records, tight),
        // Unreadable statistics promise nothing.
        _ => (None, Some(false)),
    }
}

/// Parses the statistics of these columns out of JSON texts, in one pass. Null and unreadable texts give nulls.
///
/// # Errors
/// [`FormatError::InvalidSchema`] if a column's type cannot be built.
pub fn parse_stats_columns(
    text: &StringArray,
    wanted: &[StatsColumnSpec],
    reading: Reading,
) -> Result<Vec<ColumnStats>> {
    let mut tree = Node::default();
    for (index, spec) in wanted.iter().enumerate() {
        tree.insert(&spec.path, index);
    }
    let mut columns =
        wanted.iter().map(|spec| ColumnBuilder::new(spec, text.len(), reading)).collect::<Result<Vec<_>>>()?;
    let mut found: [Vec<Option<Token<'_>>>; 3] = std::array::from_fn(|_| vec![None; wanted.len()]);
    let bounds = wanted.iter().any(|spec| spec.bounds);
    for row in text.iter() {
        found.iter_mut().flatten().for_each(|slot| *slot = None);
        if let Some(text) = row {
            let [min, max, nulls] = &mut found;
            let mut scanner = Scanner::new(text);
            let walked = scanner.object(|key, scanner| match key {
                "minValues" if bounds => tree.walk(scanner, min),
                "maxValues" if bounds => tree.walk(scanner, max),
                "nullCount" => tree.walk(scanner, nulls),
                _ => scanner.skip(),
            });
            if walked.is_none() || !scanner.at_end() {
                found.iter_mut().flatten().for_each(|slot| *slot = None);
            }
        }
        for (index, column) in columns.iter_mut().enumerate() {
            let [min, max, nulls] = &found;
            column.append(min[index].as_ref(), max[index].as_ref(), nulls[index].as_ref());
        }
    }
    Ok(columns.into_iter().map(ColumnBuilder::finish).collect())
}

/// The wanted columns as a tree of names.
#[derive(Default)]
struct Node {
    children: Vec<(String, Node)>,
    column: Option<usize>,
}

impl Node {
    fn insert(&mut self, path: &[String], column: usize) {
        let Some((name, rest)) = path.split_first() else {
            self.column = Some(column);
            return;
        };
        let at = self.children.iter().position(|(n, _)| n == name).unwrap_or_else(|| {
            self.children.push((name.clone(), Node::default()));
            self.children.len() - 1
        });
        self.children[at].1.insert(rest, column);
    }

    fn walk<'a>(&self, scanner: &mut Scanner<'a>, found: &mut [Option<Token<'a>>]) -> Option<()> {
        if self.children.is_empty() || !scanner.at_object() {
            return scanner.skip();
        }
        // Writers keep the order of the schema, so the next wanted name is usually the one after the last.
        let mut next = 0;
        scanner.object(|key, scanner| {
            let count = self.children.len();
            let at = (0..count).map(|i| (next + i) % count).find(|i| self.children[*i].0 == key);
            let Some(at) = at else { return scanner.skip() };
            next = at + 1;
            let child = &self.children[at].1;
            match child.column {
                Some(column) if !scanner.at_object() => found[column] = Some(scanner.value()?),
                _ => child.walk(scanner, found)?,
            }
            Some(())
        })
    }
}

struct ColumnBuilder {
    min: parse::BoundBuilder,
    max: parse::BoundBuilder,
    null_count: Int64Builder,
}

impl ColumnBuilder {
    fn new(spec: &StatsColumnSpec, rows: usize, reading: Reading) -> Result<Self> {
        let side = |side| (reading == Reading::AsBounds).then_some(side);
        Ok(ColumnBuilder {
            min: parse::BoundBuilder::new(spec.data_type, rows, side(parse::Side::Min))?,
            max: parse::BoundBuilder::new(spec.data_type, rows, side(parse::Side::Max))?,
            null_count: Int64Builder::with_capacity(rows),
        })
    }

    fn append(&mut self, min: Option<&Token<'_>>, max: Option<&Token<'_>>, nulls: Option<&Token<'_>>) {
        self.min.append(min);
        self.max.append(max);
        self.null_count.append_option(nulls.and_then(Token::as_long).filter(|n| *n >= 0));
    }

    fn finish(mut self) -> ColumnStats {
        ColumnStats { min: self.min.finish(), max: self.max.finish(), null_count: self.null_count.finish() }
    }
}

impl Token<'_> {
    fn as_long(&self) -> Option<i64> {
        if let Token::Bare(text) = self { text.parse().ok() } else { None }
    }

    fn as_boolean(&self) -> Option<bool> {
        if let Token::Bare(text) = self { text.parse().ok() } else { None }
    }
}

fn unexpected(error: arrow::error::ArrowError) -> FormatError {
    FormatError::InvalidValue {
        value: printable(&error.to_string()),
        target: "statistics".into(),
        what: "the columns cannot be combined".into(),
    }
}
