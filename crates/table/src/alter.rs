//! Changing what a table is: properties, columns, constraints. One commit each.

mod column;
mod constraint;
mod feature_drop;
mod identity;
mod mapping;

use std::collections::BTreeMap;
use std::sync::Arc;

use floe_table_format::feature;
use floe_table_format::{Metadata, Operation, Protocol, StructType, TableProperties, TableState, Version};

use crate::error::{OnTable, Result};
use crate::snapshot::Snapshot;
use crate::table::Table;

pub use column::{ColumnChange, NewColumn};
pub(crate) use mapping::{map_columns, new_physical_name};

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

impl Snapshot {
    /// This version as it would be with the columns that these rows have and the table lacks, at any depth. A change that is
    /// begun on it commits the columns with its rows; until then nobody else sees them.
    ///
    /// # Errors
    /// [`crate::TableError::Format`] for columns that the table cannot have.
    pub fn grown_by(self: &Arc<Self>, rows: &StructType) -> Result<Arc<Snapshot>> {
        let state = self.state();
        let grown = state.schema.grown_by(rows).on(self.table().uri())?;
        if grown == *state.schema {
            return Ok(self.clone());
        }
        let metadata = Metadata { schema_string: grown.to_json(), ..state.metadata.clone() };
        let (protocol, metadata) = completed(self.table(), self.committed(), metadata)?;
        Ok(Arc::new(self.seen_as(protocol, metadata)?))
    }
}

/// Changed metadata with what it needs to be the table's, and the protocol to go with it.
///
/// # Errors
/// What the table cannot be: see [`Table::set_properties`] and [`Table::add_columns_at`].
pub(crate) fn completed(table: &Table, state: &TableState, mut metadata: Metadata) -> Result<(Protocol, Metadata)> {
    let uri = table.uri();
    map_columns(table, &state.metadata, &mut metadata)?;
    crate::row_tracking::name_columns(uri, table.env(), &mut metadata.configuration)?;
    crate::key::check_roles(uri, &metadata)?;
    let schema = StructType::parse(&metadata.schema_string).on(uri)?;
    schema.check_names(feature::column_mapping_mode(&metadata).on(uri)?).on(uri)?;
    crate::change_feed::check_columns(table, &metadata, &schema)?;
    let required = feature::required_for(&metadata, &schema).on(uri)?;
    Ok((feature::enable(&state.protocol, &required), metadata))
}
