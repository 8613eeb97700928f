//! Deletion vectors: readable, and true of what they say of themselves.

use std::sync::Arc;

use floe_storage::deletion_vectors;
use floe_table_format::{FileView, RowSet, TableState};

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
        Ok(rows) => Ok(Some(Arc::new(rows))),
        Err(error) => {
            found.push(about(Rule::VectorReadable, about_file(error).on(table.uri())?));
            Ok(None)
        }
    }
}
