//! What the log knows of a scan's rows, in the engine's terms.
//!
//! The engine answers `count(*)`, `min` and `max` from exact statistics without reading, replaces columns that exact
//! statistics call constant, and drops files by exact bounds alone. So only what is certain is called exact: row counts,
//! less deleted rows, and bounds of integers and dates. Other writers may have dropped NaN from the bounds of floats, cut
//! strings where Floe does not, or written decimals as floats; with a deletion vector the row at the bound may be gone.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, ScalarValue, Statistics};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::FileGroup;
use datafusion::error::Result;
use floe_table::ScanFile;
use floe_table_format::prune::{self, FileStatistics};
use floe_table_format::{Scalar, TableState};

use super::spec::{FILE_COLUMN, ROW_COLUMN, ScanLayout, ScanSpec, external, file_ids, live_rows};

/// For tables of more files only row counts are handed to the engine: reading the bounds of every column of every file costs
/// more than what they still could prune after the files were chosen.
const FILES_WITH_BOUNDS_MAX: usize = 10_000;

/// Statistics of the files of a scan, in the order of its spec.
pub(crate) struct ScanStatistics {
    files: Vec<Arc<Statistics>>,
}

impl ScanStatistics {
    /// What the log knows of the spec's files, with bounds for those columns of the layout's schema that are named.
    ///
    /// # Errors
    /// Partition values or statistics that do not parse.
    pub(crate) fn collect(
        state: &TableState,
        spec: &ScanSpec,
        layout: &ScanLayout,
        columns: &HashSet<usize>,
    ) -> Result<Self> {
        let files = &spec.plan.files;
        let constants = spec.constants(layout)?;
        let with_bounds = state.files.len() <= FILES_WITH_BOUNDS_MAX && !columns.is_empty();
        let known: Vec<Option<FileStatistics>> = match with_bounds {
            true => {
                let known = prune::files_stats(state, &file_ids(state, files)?).map_err(external)?;
                known.into_iter().map(Some).collect()
            }
            false => vec![None; files.len()],
        };
        let files = files
            .iter()
            .zip(&known)
            .zip(&constants)
            .map(|((file, known), constants)| Arc::new(of_file(file, known.as_ref(), constants, layout, columns)))
            .collect();
        Ok(ScanStatistics { files })
    }

    /// Row counts and partition values only.
    ///
    /// # Errors
    /// Partition values that do not parse.
    pub(crate) fn counts(spec: &ScanSpec, layout: &ScanLayout) -> Result<Self> {
        let constants = spec.constants(layout)?;
        let none = HashSet::new();
        let files = spec.plan.files.iter().zip(&constants);
        Ok(ScanStatistics {
            files: files.map(|(file, constants)| Arc::new(of_file(file, None, constants, layout, &none))).collect(),
        })
    }

    pub(super) fn of_file(&self, ordinal: usize) -> Option<Arc<Statistics>> {
        self.files.get(ordinal).cloned()
    }

    pub(super) fn of_all(&self, layout: &ScanLayout) -> Result<Statistics> {
        merged(self.files.iter().map(Arc::as_ref), layout)
    }
}

/// The group with the statistics of its files together.
pub(super) fn of_group(group: FileGroup, layout: &ScanLayout) -> Result<FileGroup> {
    // A part of a file has not all of its rows; nobody asks for groups of parts before the optimiser makes them itself.
    if group.files().iter().any(|file| file.range.is_some()) {
        return Ok(group);
    }
    let together =
        merged(group.files().iter().filter_map(|file: &PartitionedFile| file.statistics.as_deref()), layout)?;
    Ok(group.with_statistics(Arc::new(together)))
}

fn merged<'a>(files: impl Iterator<Item = &'a Statistics>, layout: &ScanLayout) -> Result<Statistics> {
    let mut files = files.peekable();
    if files.peek().is_none() {
        let mut none = Statistics::new_unknown(layout.reader.table_schema());
        none.num_rows = Precision::Exact(0);
        return Ok(none);
    }
    Statistics::try_merge_iter(files, layout.reader.table_schema())
}

/// Statistics of a whole table at a version, over its own columns.
pub(crate) fn table_statistics(state: &TableState, columns: usize) -> Statistics {
    let mut rows = Some(0u64);
    for file in state.files.iter() {
        rows = rows.zip(file.num_records()).map(|(sum, n)| sum.saturating_add(n.saturating_sub(file.deleted_rows())));
    }
    Statistics {
        num_rows: rows.map_or(Precision::Absent, |rows| Precision::Exact(rows as usize)),
        total_byte_size: Precision::Inexact(state.files.total_bytes() as usize),
        column_statistics: vec![ColumnStatistics::new_unknown(); columns],
    }
}

fn of_file(
    file: &ScanFile,
    known: Option<&FileStatistics>,
    constants: &[ScalarValue],
    layout: &ScanLayout,
    columns: &HashSet<usize>,
) -> Statistics {
    let reader = layout.reader.table_schema();
    let file_columns = layout.reader.file_schema().fields().len();
    let rows = live_rows(file).map(|rows| rows as usize);
    let deleted_some = file.deletion_vector.is_some();
    let mut column_statistics = vec![ColumnStatistics::new_unknown(); reader.fields().len()];

    for (column, position) in layout.to_reader.iter().enumerate() {
        let field = reader.field(*position);
        let statistics = &mut column_statistics[*position];
        if let (Some(width), Some(rows)) = (field.data_type().primitive_width(), rows) {
            statistics.byte_size = Precision::Exact(width * rows);
        }
        if field.name() == FILE_COLUMN || field.name() == ROW_COLUMN {
            continue;
        }
        if let Some(value) = position.checked_sub(file_columns).and_then(|constant| constants.get(constant)) {
            constant_column(statistics, value, rows);
        } else if columns.contains(&column)
            && let Some(known) = known.and_then(|known| known.columns.get(column))
        {
            let certain = !deleted_some && has_certain_bounds(field.data_type());
            statistics.min_value = bound(known.min.as_ref(), known.min_exact && certain, field.data_type());
            statistics.max_value = bound(known.max.as_ref(), known.max_exact && certain, field.data_type());
            statistics.null_count = match known.null_count {
                Some(nulls) if deleted_some => Precision::Inexact(nulls as usize),
                Some(nulls) => Precision::Exact(nulls as usize),
                None => Precision::Absent,
            };
        }
    }
    estimate_text(&mut column_statistics, file.size, layout);
    Statistics {
        num_rows: rows.map_or(Precision::Absent, Precision::Exact),
        // As for raw Parquet: the engine adds up the columns of fixed width, and compares rows where there are others.
        total_byte_size: Precision::Absent,
        column_statistics,
    }
}

fn constant_column(statistics: &mut ColumnStatistics, value: &ScalarValue, rows: Option<usize>) {
    if value.is_null() {
        statistics.null_count = rows.map_or(Precision::Absent, Precision::Exact);
        return;
    }
    statistics.null_count = Precision::Exact(0);
    statistics.min_value = Precision::Exact(value.clone());
    statistics.max_value = Precision::Exact(value.clone());
    statistics.distinct_count = Precision::Exact(1);
}

/// Text has no width. It is taken to have its share of the file, twice that when it is no longer compressed: near what the
/// engine reads from footers for raw Parquet, so that joins come out in the same order.
fn estimate_text(columns: &mut [ColumnStatistics], file_bytes: u64, layout: &ScanLayout) {
    let file_columns = layout.reader.file_schema().fields().len();
    let Some(share) = (file_bytes as usize).saturating_mul(2).checked_div(file_columns) else { return };
    for column in columns[..file_columns].iter_mut().filter(|c| c.byte_size.get_value().is_none()) {
        column.byte_size = Precision::Inexact(share);
    }
}

/// Whether a bound that a writer calls exact is one, whoever wrote it.
fn has_certain_bounds(data_type: &DataType) -> bool {
    data_type.is_signed_integer() || matches!(data_type, DataType::Date32)
}

fn bound(value: Option<&Scalar>, exact: bool, data_type: &DataType) -> Precision<ScalarValue> {
    match value.and_then(|value| to_engine(value, data_type)) {
        Some(value) if exact => Precision::Exact(value),
        Some(value) => Precision::Inexact(value),
        None => Precision::Absent,
    }
}

/// A value of the log as a value of the engine; none if it does not fit the type.
fn to_engine(value: &Scalar, data_type: &DataType) -> Option<ScalarValue> {
    Some(match (value, data_type) {
        (Scalar::Boolean(v), DataType::Boolean) => ScalarValue::Boolean(Some(*v)),
        (Scalar::Long(v), DataType::Int8) => ScalarValue::Int8(Some(i8::try_from(*v).ok()?)),
        (Scalar::Long(v), DataType::Int16) => ScalarValue::Int16(Some(i16::try_from(*v).ok()?)),
        (Scalar::Long(v), DataType::Int32) => ScalarValue::Int32(Some(i32::try_from(*v).ok()?)),
        (Scalar::Long(v), DataType::Int64) => ScalarValue::Int64(Some(*v)),
        (Scalar::Double(v), DataType::Float32) => ScalarValue::Float32(Some(*v as f32)),
        (Scalar::Double(v), DataType::Float64) => ScalarValue::Float64(Some(*v)),
        (Scalar::String(v), DataType::Utf8) => ScalarValue::Utf8(Some(v.clone())),
        (Scalar::String(v), DataType::Utf8View) => ScalarValue::Utf8View(Some(v.clone())),
        (Scalar::Date(v), DataType::Date32) => ScalarValue::Date32(Some(*v)),
        (Scalar::Timestamp(v), DataType::Timestamp(TimeUnit::Microsecond, zone @ Some(_))) => {
            ScalarValue::TimestampMicrosecond(Some(*v), zone.clone())
        }
        (Scalar::TimestampNtz(v), DataType::Timestamp(TimeUnit::Microsecond, None)) => {
            ScalarValue::TimestampMicrosecond(Some(*v), None)
        }
        (Scalar::Decimal { unscaled, scale }, DataType::Decimal128(precision, to_scale)) => {
            let digits = u32::try_from(i32::from(*to_scale) - i32::from(*scale)).ok()?;
            let unscaled = unscaled.checked_mul(10i128.checked_pow(digits)?)?;
            ScalarValue::Decimal128(Some(unscaled), *precision, *to_scale)
        }
        _ => return None,
    })
}
