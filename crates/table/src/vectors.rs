//! Deletion vectors that were seen or written: what one marks never changes, so it is fetched once.

use std::sync::Arc;

use floe_storage::{DataStore, Kept, deletion_vectors};
use floe_table_format::deletion_vector::unique_id;
use floe_table_format::{DeletionVectorDescriptor, RowSet};

/// Rows that all vectors kept mark together, at most; a few bytes each.
const ROWS_MAX: u64 = 16 << 20;

/// Deletion vectors of a table by what identifies them.
#[derive(Debug)]
pub(crate) struct VectorCache {
    kept: Kept<String, Arc<RowSet>>,
}

impl Default for VectorCache {
    fn default() -> Self {
        VectorCache { kept: Kept::new(ROWS_MAX) }
    }
}

impl VectorCache {
    /// The rows that a vector marks.
    ///
    /// # Errors
    /// A vector that is missing or damaged; the failures of the store.
    pub(crate) async fn load(
        &self,
        store: &DataStore,
        descriptor: &DeletionVectorDescriptor,
    ) -> floe_storage::Result<Arc<RowSet>> {
        if let Some(rows) = self.kept.get(&unique_id(descriptor)) {
            return Ok(rows);
        }
        let rows = Arc::new(deletion_vectors::load(store, descriptor).await?);
        self.keep(descriptor, rows.clone());
        Ok(rows)
    }

    /// Keeps a vector for later.
    pub(crate) fn keep(&self, descriptor: &DeletionVectorDescriptor, rows: Arc<RowSet>) {
        let weight = rows.len();
        self.kept.insert(unique_id(descriptor), rows, weight);
    }
}
