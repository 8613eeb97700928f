//! Which files may hold a matching row.
//!
//! Law 4 binds this module: pruning never drops a matching row. Everything here is a proof or says that there is none:
//! a file goes only if no row of it can make the predicate true, whatever its missing statistics would have been.
//!
//! - No statistic, a malformed one or one of another kind than the constant: the file stays.
//! - Bounds are bounds, not values: text is cut, times are rounded to milliseconds, rows may have been deleted since.
//! - `-0.0` and `0.0` count as equal *and* as different, because engines disagree; NaN bounds count as missing.
//! - Null rows never match a comparison; a file is all null only if the null count says so.
//!
//! The evaluation works on whole chunks: one pass over the columns a predicate names, not one over the files.

mod evaluate;
mod literal;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, Int64Array, StringArray};
use arrow::buffer::BooleanBuffer;

use crate::action::Add;
use crate::error::Result;
use crate::predicate::{Predicate, Truth};
use crate::scalar::Scalar;
use crate::schema::{ColumnMappingMode, PrimitiveType, StructType};
use crate::state::{ChunkColumns, ColumnStats, FileChunk, FileId, TableState};

pub(crate) use evaluate::Masks;

/// How a predicate's column names find a file's partition values and statistics.
#[derive(Debug, Clone, Copy)]
pub struct ColumnNames<'a> {
    /// The table's schema, logical names.
    pub schema: &'a StructType,
    /// Logical names of the partition columns.
    pub partition_columns: &'a [String],
    /// Whether files use physical names.
    pub mode: ColumnMappingMode,
}

impl<'a> ColumnNames<'a> {
    /// The names of a table.
    pub fn of(state: &'a TableState) -> Self {
        ColumnNames {
            schema: &state.schema,
            partition_columns: &state.metadata.partition_columns,
            mode: state.properties.column_mapping_mode,
        }
    }
}

/// The live files that may hold a row for which the predicate is true, in the order of the table.
///
/// # Errors
/// Errors of reading the statistics' columns.
pub fn prune(state: &TableState, predicate: &Predicate) -> Result<Vec<FileId>> {
    let mut files = Vec::new();
    for_each_chunk(state, predicate, |chunk, live, masks| {
        let kept = match live {
            Some(live) => &masks.may_true & live,
            None => masks.may_true,
        };
        files.extend(kept.set_indices().map(|row| FileId { chunk, row: row as u32 }));
    })?;
    Ok(files)
}

/// The files that [`prune`] keeps, each with whether *every* row of it matches.
///
/// [`Truth::Yes`] lets a delete take the file whole; [`Truth::No`] does not occur.
///
/// # Errors
/// As [`prune`].
pub fn prune_with_truth(state: &TableState, predicate: &Predicate) -> Result<Vec<(FileId, Truth)>> {
    let mut files = Vec::new();
    for_each_chunk(state, predicate, |chunk, live, masks| {
        for row in masks.may_true.set_indices().filter(|row| live.is_none_or(|live| live.value(*row))) {
            files.push((FileId { chunk, row: row as u32 }, masks.truth(row)));
        }
    })?;
    Ok(files)
}

fn for_each_chunk(
    state: &TableState,
    predicate: &Predicate,
    mut each: impl FnMut(u32, Option<&BooleanBuffer>, Masks),
) -> Result<()> {
    for (index, chunk) in state.files.chunks().iter().enumerate() {
        let masks = evaluate::evaluate(chunk, ColumnNames::of(state), predicate)?;
        each(index as u32, state.files.live_mask(index), masks);
    }
    Ok(())
}

/// What a predicate says of the rows of a file, as far as its partition values tell.
///
/// `partition_values` has physical names, as in the log. A value that does not parse is unknown.
pub fn evaluate_partitions(
    partition_values: &BTreeMap<String, Option<String>>,
    names: ColumnNames<'_>,
    predicate: &Predicate,
) -> Truth {
    let add = Add { path: "partition".into(), partition_values: partition_values.clone(), ..Add::default() };
    match truth_of_adds(&[&add], names, predicate) {
        Ok(truths) => truths.first().copied().unwrap_or(Truth::Unknown),
        Err(_) => Truth::Unknown,
    }
}

/// What a predicate says of the rows of each of these files, from partition values and statistics.
///
/// # Errors
/// As [`prune`].
pub fn truth_of_adds(adds: &[&Add], names: ColumnNames<'_>, predicate: &Predicate) -> Result<Vec<Truth>> {
    let chunk = chunk_of_adds(adds)?;
    let masks = evaluate::evaluate(&chunk, names, predicate)?;
    Ok((0..adds.len()).map(|row| masks.truth(row)).collect())
}

/// A chunk of files that are not (yet) part of a table: partition values and statistics only.
fn chunk_of_adds(adds: &[&Add]) -> Result<FileChunk> {
    let mut partitions: BTreeMap<&str, Vec<Option<&str>>> = BTreeMap::new();
    for name in adds.iter().flat_map(|add| add.partition_values.keys()) {
        partitions.entry(name).or_default();
    }
    for (name, values) in &mut partitions {
        values.extend(adds.iter().map(|add| add.partition_values.get(*name).and_then(|v| v.as_deref())));
    }
    FileChunk::new(ChunkColumns {
        paths: adds.iter().map(|add| Some(add.path.as_str())).collect(),
        sizes: Int64Array::from_iter_values(adds.iter().map(|add| add.size)),
        modification_times: Int64Array::from_iter_values(adds.iter().map(|add| add.modification_time)),
        partitions: partitions.into_iter().map(|(name, values)| (name.to_owned(), values.into())).collect(),
        deletion_vectors: None,
        base_row_ids: None,
        default_row_commit_versions: None,
        tags: None,
        clustering_providers: None,
        stats: Some(adds.iter().map(|add| add.stats.as_deref()).collect::<StringArray>()),
        stats_parsed: None,
    })
}

/// What is known of one column in one file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ColumnStatistics {
    /// Null rows that are part of the table; none if unknown.
    pub null_count: Option<u64>,
    /// No row is smaller; none if unknown.
    pub min: Option<Scalar>,
    /// No row is greater; none if unknown.
    pub max: Option<Scalar>,
    /// Whether a row that is part of the table has the value [`min`](Self::min).
    pub min_exact: bool,
    /// Whether a row that is part of the table has the value [`max`](Self::max).
    pub max_exact: bool,
}

/// What is known of one file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FileStatistics {
    /// Rows that are part of the table: deleted ones are not. None if unknown.
    pub num_rows: Option<u64>,
    /// One entry for each top-level field of the table's schema.
    pub columns: Vec<ColumnStatistics>,
}

/// What is known of one live file.
///
/// # Errors
/// As [`prune`].
///
/// # Panics
/// If the id is not one of this state's files.
pub fn file_stats(state: &TableState, file: FileId) -> Result<FileStatistics> {
    Ok(files_stats(state, &[file])?.pop().unwrap_or_default())
}

/// What is known of each of these live files, in their order.
///
/// # Errors
/// As [`prune`].
///
/// # Panics
/// If an id is not one of this state's files.
pub fn files_stats(state: &TableState, files: &[FileId]) -> Result<Vec<FileStatistics>> {
    let names = ColumnNames::of(state);
    let mut known: Option<(u32, Vec<Source<'_>>)> = None;
    let mut out = Vec::with_capacity(files.len());
    for file in files {
        let view = state.files.get(file);
        if known.as_ref().is_none_or(|(chunk, _)| *chunk != file.chunk) {
            known = Some((file.chunk, sources(view.chunk(), names)?));
        }
        let Some((_, sources)) = &known else { continue };
        let row = file.row as usize;
        let records = view.num_records();
        let num_rows = records.map(|n| n.saturating_sub(view.deleted_rows()));
        let untouched = !view.has_deletion_vector() && view.chunk().tight_bounds().value(row);
        let columns = sources
            .iter()
            .map(|source| match source {
                Source::Unknown => Ok(ColumnStatistics::default()),
                Source::Partition(text, data_type) => Ok(of_partition(text.map(|t| (t, row)), data_type, num_rows)),
                Source::Data(stats, data_type) => of_data(stats, data_type, row, records, num_rows, untouched),
            })
            .collect::<Result<_>>()?;
        out.push(FileStatistics { num_rows, columns });
    }
    Ok(out)
}

/// Where the statistics of one field lie in a chunk.
enum Source<'a> {
    Unknown,
    Partition(Option<&'a StringArray>, PrimitiveType),
    Data(Arc<ColumnStats>, PrimitiveType),
}

fn sources<'a>(chunk: &'a FileChunk, names: ColumnNames<'_>) -> Result<Vec<Source<'a>>> {
    names
        .schema
        .fields
        .iter()
        .map(|field| {
            Ok(match evaluate::resolve(names, std::slice::from_ref(&field.name)) {
                Some(evaluate::Column::Partition(name, data_type)) => {
                    Source::Partition(chunk.partition_column(&name), data_type)
                }
                Some(evaluate::Column::Data(path, data_type, _)) => {
                    Source::Data(chunk.stats_column(&path, &data_type)?, data_type)
                }
                None => Source::Unknown,
            })
        })
        .collect()
}

fn of_partition(
    at: Option<(&StringArray, usize)>,
    data_type: &PrimitiveType,
    num_rows: Option<u64>,
) -> ColumnStatistics {
    let Some((texts, row)) = at else { return ColumnStatistics::default() };
    let text = texts.is_valid(row).then(|| texts.value(row));
    match Scalar::from_partition_value(text, data_type) {
        Err(_) => ColumnStatistics::default(),
        Ok(Scalar::Null) => ColumnStatistics { null_count: num_rows, ..ColumnStatistics::default() },
        Ok(value) => {
            // The bounds of no rows at all are not attained.
            let exact = num_rows.is_some_and(|n| n > 0);
            ColumnStatistics {
                null_count: Some(0),
                min: Some(value.clone()),
                max: Some(value),
                min_exact: exact,
                max_exact: exact,
            }
        }
    }
}

fn of_data(
    stats: &ColumnStats,
    data_type: &PrimitiveType,
    row: usize,
    records: Option<u64>,
    num_rows: Option<u64>,
    untouched: bool,
) -> Result<ColumnStatistics> {
    let bound = |values: &dyn Array| -> Result<Option<Scalar>> {
        Ok(match Scalar::from_array(values, row)? {
            Scalar::Null => None,
            Scalar::Double(value) if value.is_nan() => None,
            value => Some(value),
        })
    };
    let exact = |value: &Option<Scalar>| {
        untouched
            && match (data_type, value) {
                (_, None) => false,
                // Rounded to milliseconds, and a NaN may hide beside them.
                (PrimitiveType::Timestamp | PrimitiveType::TimestampNtz, _) => false,
                (PrimitiveType::Float | PrimitiveType::Double, _) => false,
                (_, Some(Scalar::String(text))) => text.chars().count() < evaluate::TEXT_PREFIX_CHARS,
                _ => true,
            }
    };
    let (min, max) = (bound(&stats.min)?, bound(&stats.max)?);
    let nulls = stats.null_count.is_valid(row).then(|| stats.null_count.value(row));
    // Protocol section "Per-file Statistics": once rows are deleted, only "no null" and "all null" still mean something.
    let null_count = match nulls.and_then(|n| u64::try_from(n).ok()) {
        Some(0) => Some(0),
        Some(n) if Some(n) == records => num_rows,
        Some(n) if untouched => Some(n),
        _ => None,
    };
    Ok(ColumnStatistics { null_count, min_exact: exact(&min), max_exact: exact(&max), min, max })
}
