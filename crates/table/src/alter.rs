//! Changing what a table is: properties, columns, constraints. One commit each.

mod clustering;
mod column;
mod constraint;
mod feature_drop;
mod identity;

use std::collections::BTreeMap;

use floe_table_format::{Metadata, Operation, TableProperties, Version};

use crate::error::{OnTable, Result};
use crate::metadata::completed;
use crate::snapshot::Snapshot;
use crate::table::Table;

pub use column::{ColumnChange, NewColumn};

/// What an alteration did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AlterReport {
    /// The version it made; the newest one where there was nothing to change.
    pub version: Version,
}

impl Table {
    /// Sets table properties; features they need are enabled by name.
    ///
    /// `delta.columnMapping.mode = name` gives every column an id, and its own name as its physical name: files stay as
    /// they are, and columns can be renamed and dropped from then on.
    ///
    /// # Errors
    /// `InvalidProperty` inside [`crate::TableError::Format`] for an unknown `delta.` property, with the nearest name;
    /// `UnsupportedFeature` for another change of the column mapping of a table.
    pub async fn set_properties(&self, properties: BTreeMap<String, String>) -> Result<AlterReport> {
        TableProperties::check_settable(&properties).on(self.uri())?;
        let operation =
            Operation::new("SET TBLPROPERTIES").with_parameter("properties", serde_json::json!(properties).to_string());
        self.alter(operation, |metadata| {
            metadata.configuration.extend(properties);
            Ok(())
        })
        .await
    }

    /// Takes table properties away.
    ///
    /// # Errors
    /// [`crate::TableError::InvalidRequest`] for one that is not set, unless `if_exists`.
    pub async fn unset_properties(&self, keys: Vec<String>, if_exists: bool) -> Result<AlterReport> {
        let operation = Operation::new("UNSET TBLPROPERTIES")
            .with_parameter("properties", serde_json::json!(keys).to_string())
            .with_parameter("ifExists", if_exists.to_string());
        self.alter(operation, |metadata| {
            for key in keys {
                if floe_table_format::property::is_internal(&key) {
                    return Err(self.refuse("unset a property", format!("{key} is part of the table's protocol")));
                }
                if metadata.configuration.remove(&key).is_none() && !if_exists {
                    return Err(self.refuse("unset a property", format!("{key} is not set")));
                }
            }
            Ok(())
        })
        .await
    }

    /// Sets the description for people.
    ///
    /// # Errors
    /// See [`crate::Transaction::commit`].
    pub async fn set_description(&self, description: Option<String>) -> Result<AlterReport> {
        self.alter(Operation::new("SET TBLPROPERTIES"), |metadata| {
            metadata.description = description;
            Ok(())
        })
        .await
    }

    async fn alter(&self, operation: Operation, edit: impl FnOnce(&mut Metadata) -> Result<()>) -> Result<AlterReport> {
        let snapshot = self.snapshot().await?;
        self.alter_at(&snapshot, operation, false, edit).await
    }

    async fn alter_at(
        &self,
        snapshot: &Snapshot,
        operation: Operation,
        reads_rows: bool,
        edit: impl FnOnce(&mut Metadata) -> Result<()>,
    ) -> Result<AlterReport> {
        let state = snapshot.state();
        let mut transaction = self.begin_at(snapshot, operation)?;
        if reads_rows {
            transaction.read_whole_table();
            transaction.set_isolation(floe_table_format::IsolationLevel::Serializable);
        }
        let mut metadata = state.metadata.clone();
        edit(&mut metadata)?;
        if metadata == state.metadata {
            return Ok(AlterReport { version: snapshot.version() });
        }
        let (protocol, metadata) = completed(self, state, metadata)?;
        if protocol != state.protocol {
            transaction.set_protocol(protocol);
        }
        transaction.set_metadata(metadata);
        let version = transaction.commit().await?.committed()?.version;
        Ok(AlterReport { version })
    }
}
