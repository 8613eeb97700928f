//! A table at one version.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use floe_table_format::{StructType, TableState, Version};

use crate::error::{OnTable, Result};
use crate::scan::Scan;
use crate::table::Table;

/// A table at one [`Version`]: it never changes, whatever others commit.
#[derive(Clone)]
pub struct Snapshot {
    table: Table,
    state: Arc<TableState>,
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot").field("uri", &self.table.uri()).field("version", &self.version()).finish()
    }
}

impl Snapshot {
    pub(crate) fn new(table: Table, state: Arc<TableState>) -> Self {
        Snapshot { table, state }
    }

    /// The version.
    pub fn version(&self) -> Version {
        self.state.version
    }

    /// The table this is a version of.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Protocol, metadata and live files at this version.
    pub fn state(&self) -> &Arc<TableState> {
        &self.state
    }

    /// The columns as Delta types.
    pub fn schema(&self) -> &StructType {
        &self.state.schema
    }

    /// The columns as Arrow types: string as `Utf8`, timestamp as microseconds in UTC, decimal as `Decimal128`.
    ///
    /// # Errors
    /// `UnsupportedFeature` inside [`crate::TableError::Format`] for a type this build does not read.
    pub fn arrow_schema(&self) -> Result<SchemaRef> {
        self.state.schema.to_arrow().on(self.table.uri())
    }

    /// Starts reading rows of this version.
    pub fn scan(&self) -> Scan {
        Scan::new(Arc::new(self.clone()))
    }
}
