//! Deletion vectors that were seen or written: what one marks never changes, so it is fetched once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use floe_storage::{DataStore, deletion_vectors};
use floe_table_format::deletion_vector::unique_id;
use floe_table_format::{DeletionVectorDescriptor, RowSet};

/// Rows that all vectors kept mark together, at most; a few bytes each.
const ROWS_MAX: u64 = 16 << 20;

/// Deletion vectors of a table by what identifies them.
#[derive(Debug, Default)]
pub(crate) struct VectorCache {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    vectors: HashMap<String, Arc<RowSet>>,
    rows: u64,
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
        let id = unique_id(descriptor);
        let known = self.kept.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).vectors.get(&id).cloned();
        if let Some(rows) = known {
            return Ok(rows);
        }
        let rows = Arc::new(deletion_vectors::load(store, descriptor).await?);
        self.keep(descriptor, rows.clone());
        Ok(rows)
    }

    /// Keeps a vector for later.
    pub(crate) fn keep(&self, descriptor: &DeletionVectorDescriptor, rows: Arc<RowSet>) {
        let mut kept = self.kept.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if kept.rows + rows.len() > ROWS_MAX {
            *kept = Kept::default();
        }
        kept.rows += rows.len();
        kept.vectors.insert(unique_id(descriptor), rows);
    }
}
