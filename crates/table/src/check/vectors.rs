//! Deletion vectors: readable, and true of what they say of themselves.

use std::sync::Arc;

use floe_storage::{StorageError, deletion_vectors};
use floe_table_format::deletion_vector::path_in;
use floe_table_format::{DeletionVectorDescriptor, FileView, RowSet, TableState};

use super::files::about_file;
use super::finding::{Finding, Rule};
use crate::error::{OnTable, Result};
use crate::table::Table;

/// The rows that the vector of a file marks; none without a vector, or where it cannot be read. Its checksum, its
/// cardinality and that no row stands in it twice are seen to where it is decoded.
///
/// # Errors
/// The failures of the store.
pub(super) async fn examine(
    table: &Table,
    state: &TableState,
    view: &FileView<'_>,
    found: &mut Vec<Finding>,
) -> Result<Option<Arc<RowSet>>> {
    let Some(descriptor) = view.deletion_vector() else { return Ok(None) };
    let about = |rule, what: String| Finding::new(rule, what).at(state.version).of(view.path());
    if view.num_records().is_none() {
        // Protocol section "Deletion Vectors": numRecords must be there.
        found.push(about(Rule::VectorRowCount, "its statistics do not say how many rows it has".into()));
    }
    // Not from memory: what the store has is what is looked at.
    match deletion_vectors::load(table.data_store(), &descriptor).await {
        Ok(rows) => {
            found.extend(format_version(table, &descriptor).await?.map(|what| about(Rule::VectorReadable, what)));
            Ok(Some(Arc::new(rows)))
        }
        Err(error) => {
            found.push(about(Rule::VectorReadable, about_file(error).on(table.uri())?));
            Ok(None)
        }
    }
}

/// What is wrong with the first byte of a vector's file, which readers of one vector do not come by. Protocol section
/// "Deletion Vector File Storage Format": it says 1.
async fn format_version(table: &Table, descriptor: &DeletionVectorDescriptor) -> Result<Option<String>> {
    let Some(path) = path_in(descriptor, &table.root()).on(table.uri())? else { return Ok(None) };
    match table.data_store().get_range(&path, 0..1).await {
        Ok(first) if *first == [1] => Ok(None),
        Ok(first) => Ok(Some(format!("the file of its deletion vector is of format version {}, expected 1", first[0]))),
        // The vector itself was read a moment ago.
        Err(StorageError::NotFound { .. } | StorageError::CorruptDataFile { .. }) => Ok(None),
        Err(error) => Err(error).on(table.uri()),
    }
}
