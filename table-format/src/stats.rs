//! Statistics of data files: collected while a file is written, kept as JSON text in `add.stats`.
//!
//! Protocol section "Per-file Statistics". What is collected follows the reference writer:
//!
//! - Bounds for numbers, dates, times and text; null counts for every indexed column. Which columns are indexed follows
//!   `delta.dataSkippingStatsColumns` or else the first `delta.dataSkippingNumIndexedCols` leaf columns.
//! - Text is cut to 32 characters, an upper bound then made larger. Times are cut to milliseconds, an upper bound up.
//! - A column with a NaN has no bounds: engines disagree where NaN sorts.
//! - A bound that JSON or other readers cannot hold (infinity, years beyond 9999) is left out, never bent.

mod extent;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, cast::AsArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType as ArrowType, Float64Type};
use arrow::record_batch::RecordBatch;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::error::{FormatError, Result, printable};
use crate::property::TableProperties;
use crate::schema::{ColumnMappingMode, DataType, StructField, StructType};
use extent::Extent;

/// Text bounds are cut to this many characters.
pub(crate) const TEXT_PREFIX_CHARS: usize = 32;

/// Statistics of one data file, ready for `add.stats`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileStats {
    /// Rows in the file.
    pub num_records: u64,
    /// All statistics as JSON text.
    pub json: String,
}

/// Collects the statistics of one data file from the batches written to it.
///
/// ```
/// use std::sync::Arc;
/// use arrow::array::{ArrayRef, Int64Array};
/// use arrow::record_batch::RecordBatch;
/// use floe_table_format::schema::{ColumnMappingMode, DataType, PrimitiveType, StructField, StructType};
/// use floe_table_format::stats::StatsCollector;
/// use floe_table_format::TableProperties;
///
/// let schema = StructType::new(vec![StructField::new("n", DataType::Primitive(PrimitiveType::Long), true)])?;
/// let mut stats = StatsCollector::new(&schema, &[], ColumnMappingMode::None, &TableProperties::default())?;
/// let column: ArrayRef = Arc::new(Int64Array::from(vec![Some(3), None, Some(1)]));
/// stats.update(&RecordBatch::try_from_iter([("n", column)]).expect("one column"))?;
/// let json = r#"{"numRecords":3,"minValues":{"n":1},"maxValues":{"n":3},"nullCount":{"n":1},"tightBounds":true}"#;
/// assert_eq!(stats.finish().json, json);
/// # Ok::<(), floe_table_format::FormatError>(())
/// ```
#[derive(Debug, Clone)]
pub struct StatsCollector {
    rows: u64,
    columns: Vec<Node>,
}

/// A column or a field inside a struct.
#[derive(Debug, Clone)]
enum Node {
    /// Not indexed.
    Skipped,
    Leaf(Leaf),
    Struct {
        name: String,
        fields: Vec<Node>,
    },
}

#[derive(Debug, Clone)]
struct Leaf {
    name: String,
    nulls: u64,
    extent: Extent,
}

impl StatsCollector {
    /// A collector for files of a table with this (logical) schema.
    ///
    /// The files hold the schema's columns in order, without the partition columns; statistics are written under
    /// physical names if the column mapping mode asks for them.
    ///
    /// # Errors
    /// [`FormatError::UnsupportedFeature`] if the schema has a column of a type whose files this build cannot write.
    pub fn new(
        schema: &StructType,
        partition_columns: &[String],
        mode: ColumnMappingMode,
        properties: &TableProperties,
    ) -> Result<Self> {
        let mut indexed = match &properties.data_skipping_stats_columns {
            Some(columns) => Indexed::Named(columns),
            None => Indexed::First(properties.data_skipping_num_indexed_cols.unwrap_or(usize::MAX)),
        };
        let columns = schema
            .fields
            .iter()
            .filter(|field| !partition_columns.contains(&field.name) && field.data_type != DataType::Void)
            .map(|field| node(field, mode, &mut indexed, &mut Vec::new()))
            .collect::<Result<_>>()?;
        Ok(StatsCollector { rows: 0, columns })
    }

    /// Takes in one batch of the file.
    ///
    /// # Errors
    /// [`FormatError::InvalidValue`] if the batch has other columns than the files of the table.
    pub fn update(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.num_columns() != self.columns.len() {
            return Err(FormatError::InvalidValue {
                value: format!("{} columns", batch.num_columns()),
                target: "file statistics".into(),
                what: format!("the files of the table have {}", self.columns.len()),
            });
        }
        self.rows += batch.num_rows() as u64;
        for (node, column) in self.columns.iter_mut().zip(batch.columns()) {
            node.update(column, None)?;
        }
        Ok(())
    }

    /// Whether a column gets a minimum and a maximum, by the path of its names in files.
    pub fn collects(&self, path: &[String]) -> bool {
        let mut nodes = &self.columns;
        for (depth, name) in path.iter().enumerate() {
            let node = nodes.iter().find(|node| match node {
                Node::Leaf(leaf) => leaf.name == *name,
                Node::Struct { name: own, .. } => own == name,
                Node::Skipped => false,
            });
            match node {
                Some(Node::Leaf(_)) => return depth + 1 == path.len(),
                Some(Node::Struct { fields, .. }) => nodes = fields,
                _ => return false,
            }
        }
        false
    }

    /// Rows taken in so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The statistics of everything taken in.
    pub fn finish(self) -> FileStats {
        let object = |value: &dyn Fn(&Leaf) -> Option<String>| {
            let mut out = String::new();
            write_object(&self.columns, value, &mut out);
            out
        };
        let json = format!(
            r#"{{"numRecords":{},"minValues":{},"maxValues":{},"nullCount":{},"tightBounds":true}}"#,
            self.rows,
            object(&|leaf| leaf.extent.min_json()),
            object(&|leaf| leaf.extent.max_json()),
            object(&|leaf| Some(leaf.nulls.to_string())),
        );
        FileStats { num_records: self.rows, json }
    }
}

/// Which leaf columns still get statistics.
enum Indexed<'a> {
    /// This many more.
    First(usize),
    /// Those at or below one of these paths.
    Named(&'a [Vec<String>]),
}

impl Indexed<'_> {
    fn takes(&mut self, path: &[String]) -> bool {
        match self {
            Indexed::First(left) => {
                let takes = *left > 0;
                *left = left.saturating_sub(1);
                takes
            }
            Indexed::Named(paths) => paths.iter().any(|wanted| {
                wanted.len() <= path.len() && wanted.iter().zip(path).all(|(a, b)| a.eq_ignore_ascii_case(b))
            }),
        }
    }
}

fn node(
    field: &StructField,
    mode: ColumnMappingMode,
    indexed: &mut Indexed<'_>,
    path: &mut Vec<String>,
) -> Result<Node> {
    let name = field.physical_name_in(mode).to_owned();
    path.push(field.name.clone());
    let node = match &field.data_type {
        DataType::Struct(inner) => {
            let fields = inner.fields.iter().map(|f| node(f, mode, indexed, path));
            Node::Struct { name, fields: fields.collect::<Result<_>>()? }
        }
        DataType::Interval(_) => {
            return Err(FormatError::UnsupportedFeature {
                operation: format!("write column {}", printable(&field.name)),
                features: vec![format!("type {}", field.data_type)],
            });
        }
        // In no file, and left out above; inside of another type it is not written.
        DataType::Void => Node::Skipped,
        _ if !indexed.takes(path) => Node::Skipped,
        DataType::Primitive(data_type) => Node::Leaf(Leaf { name, nulls: 0, extent: Extent::of(*data_type) }),
        DataType::Array(_) | DataType::Map(_) | DataType::Variant => {
            Node::Leaf(Leaf { name, nulls: 0, extent: Extent::NullsOnly })
        }
    };
    path.pop();
    Ok(node)
}

impl Node {
    /// `around` marks rows in which a struct around this column is null, and with it the column.
    fn update(&mut self, column: &ArrayRef, around: Option<&NullBuffer>) -> Result<()> {
        match self {
            Node::Skipped => Ok(()),
            Node::Leaf(leaf) => {
                let nulls = NullBuffer::union(around, column.logical_nulls().as_ref());
                leaf.nulls += nulls.as_ref().map_or(0, |n| n.null_count() as u64);
                leaf.extent.update(column, nulls.as_ref())
            }
            Node::Struct { name, fields } => {
                let parts = match column.data_type() {
                    ArrowType::Struct(_) => column.as_struct(),
                    other => return Err(unexpected(name, &format!("{other} where a struct belongs"))),
                };
                if parts.num_columns() != fields.len() {
                    return Err(unexpected(
                        name,
                        &format!("{} fields, expected {}", parts.num_columns(), fields.len()),
                    ));
                }
                let around = NullBuffer::union(around, parts.nulls());
                fields.iter_mut().zip(parts.columns()).try_for_each(|(field, c)| field.update(c, around.as_ref()))
            }
        }
    }
}

fn unexpected(column: &str, what: &str) -> FormatError {
    FormatError::InvalidValue { value: printable(column), target: "file statistics".into(), what: what.into() }
}

/// Writes the leaves that have a value as nested JSON; says whether there was any.
fn write_object(nodes: &[Node], value: &dyn Fn(&Leaf) -> Option<String>, out: &mut String) -> bool {
    let mut any = false;
    out.push('{');
    for node in nodes {
        let before = out.len();
        let key = |out: &mut String, name: &str| {
            if any {
                out.push(',');
            }
            out.push_str(&json_text(name));
            out.push(':');
        };
        let written = match node {
            Node::Skipped => false,
            Node::Leaf(leaf) => match value(leaf) {
                None => false,
                Some(value) => {
                    key(out, &leaf.name);
                    out.push_str(&value);
                    true
                }
            },
            Node::Struct { name, fields } => {
                key(out, name);
                write_object(fields, value, out)
            }
        };
        if !written {
            out.truncate(before);
        }
        any |= written;
    }
    out.push('}');
    any
}

/// JSON of a text.
pub(crate) fn json_text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Bounds of a column of doubles that held floats once: their text has too few digits for the double that a float is. `outer` is
/// `f64::min` for lower and `f64::max` for upper ones.
pub fn around_float(bounds: &ArrayRef, outer: fn(f64, f64) -> f64) -> ArrayRef {
    match bounds.as_primitive_opt::<Float64Type>() {
        Some(values) => Arc::new(values.unary::<_, Float64Type>(|value| outer(value, f64::from(value as f32)))),
        None => bounds.clone(),
    }
}

/// The same statistics, marked as no longer tight, for a file of `num_records` rows some of which are deleted.
///
/// Bounds stay, they are still bounds. `numRecords` counts the rows of the file, deleted ones included; the protocol asks
/// for it wherever there is a deletion vector. Statistics that do not parse are replaced by the row count alone.
pub fn widen(json: &str, num_records: u64) -> String {
    // Raw values, so that decimals keep digits that no number type of JSON readers has.
    let Ok(mut fields) = serde_json::from_str::<BTreeMap<String, Box<RawValue>>>(json) else {
        return only_row_count(num_records);
    };
    for (name, value) in [("tightBounds", "false".to_owned()), ("numRecords", num_records.to_string())] {
        if let Ok(value) = RawValue::from_string(value) {
            fields.insert(name.into(), value);
        }
    }
    serde_json::to_string(&fields).unwrap_or_else(|_| only_row_count(num_records))
}

/// Statistics of a file with a deletion vector of which only the number of rows, deleted ones included, is known.
pub fn only_row_count(num_records: u64) -> String {
    format!(r#"{{"numRecords":{num_records},"tightBounds":false}}"#)
}

/// Rows in the file, as its statistics say; none if they do not.
pub fn parse_num_records(json: &str) -> Option<u64> {
    #[derive(Deserialize)]
    struct NumRecords {
        #[serde(rename = "numRecords")]
        num_records: Option<u64>,
    }
    serde_json::from_str::<NumRecords>(json).ok()?.num_records
}
