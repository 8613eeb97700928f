//! Deletion vectors of the files of a scan, as row selections.

use datafusion::datasource::physical_plan::parquet::ParquetRowSelection;
use floe_storage::{DataStore, StorageError, deletion_vectors};
use floe_table::ScanFile;
use floe_table_format::{FormatError, RowSet};
use futures::{StreamExt, TryStreamExt};
use parquet::arrow::arrow_reader::{RowSelection, RowSelector};

/// How many deletion vectors are fetched at a time.
const IN_FLIGHT_MAX: usize = 16;

/// The deleted rows of every file, in the order of the files; none for files without a deletion vector.
pub(crate) async fn load(store: &DataStore, files: &[ScanFile]) -> Result<Vec<Option<RowSet>>, StorageError> {
    let loads: Vec<_> = files.iter().map(|file| load_one(store, file)).collect();
    futures::stream::iter(loads).buffered(IN_FLIGHT_MAX).try_collect().await
}

async fn load_one(store: &DataStore, file: &ScanFile) -> Result<Option<RowSet>, StorageError> {
    match &file.deletion_vector {
        Some(descriptor) => deletion_vectors::load(store, descriptor).await.map(Some),
        None => Ok(None),
    }
}

/// The rows of a file of `rows` rows that are not deleted.
///
/// # Errors
/// [`FormatError::CorruptDv`] if a row beyond the file's end is marked: the vector belongs to another file.
pub(crate) fn selection(path: &str, deleted: &RowSet, rows: u64) -> Result<ParquetRowSelection, FormatError> {
    if let Some(last) = deleted.max().filter(|last| *last >= rows) {
        return Err(FormatError::corrupt_dv(path, format!("row {last} is marked in a file of {rows} rows")));
    }
    let mut selectors: Vec<RowSelector> = Vec::new();
    let mut next = 0u64;
    for row in deleted.iter() {
        if row > next {
            selectors.push(RowSelector::select((row - next) as usize));
        }
        match selectors.last_mut() {
            Some(last) if last.skip => last.row_count += 1,
            _ => selectors.push(RowSelector::skip(1)),
        }
        next = row + 1;
    }
    if next < rows {
        selectors.push(RowSelector::select((rows - next) as usize));
    }
    Ok(ParquetRowSelection::new(RowSelection::from(selectors)))
}

/// Of a file of `rows` rows, the ones chosen that are not deleted.
///
/// # Errors
/// [`FormatError::CorruptDv`] if a row beyond the file's end is deleted, and [`FormatError::CorruptLog`] if one is chosen.
pub(crate) fn chosen(
    path: &str,
    only: &[u64],
    deleted: Option<&RowSet>,
    rows: u64,
) -> Result<ParquetRowSelection, FormatError> {
    let beyond = deleted.and_then(RowSet::max).filter(|last| *last >= rows);
    if let Some(last) = beyond {
        return Err(FormatError::corrupt_dv(path, format!("row {last} is marked in a file of {rows} rows")));
    }
    if let Some(last) = only.last().filter(|last| **last >= rows) {
        let what = format!("row {last} is wanted of a file of {rows} rows");
        return Err(FormatError::corrupt_log(None, path.to_owned(), what));
    }
    let kept = only.iter().filter(|row| deleted.is_none_or(|deleted| !deleted.contains(**row)));
    let ranges = kept.map(|row| *row as usize..*row as usize + 1);
    Ok(ParquetRowSelection::new(RowSelection::from_consecutive_ranges(ranges, rows as usize)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_selection_keeps_exactly_the_rows_that_are_not_deleted(deleted in prop::collection::btree_set(0u64..200, 0..80)) {
            let set: RowSet = deleted.iter().copied().collect();
            let selection = selection("f", &set, 200).expect("all rows are in the file").into_inner();
            let mut row = 0u64;
            let mut kept = Vec::new();
            for selector in selection.iter() {
                if !selector.skip {
                    kept.extend(row..row + selector.row_count as u64);
                }
                row += selector.row_count as u64;
            }
            prop_assert_eq!(row, 200);
            prop_assert_eq!(kept, (0..200).filter(|r| !deleted.contains(r)).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_row_beyond_the_end_is_an_error() {
        let set: RowSet = [10u64].into_iter().collect();
        assert!(selection("f", &set, 10).is_err());
    }
}
