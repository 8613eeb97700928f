//! The warehouse as DataFusion sees it.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{CatalogProvider, SchemaProvider, TableProvider};

use crate::catalog::{DEFAULT_SCHEMA, DELTA_SCHEMA, Warehouse};
use crate::error::QueryError;
use crate::provider::FloeTableProvider;

/// A warehouse as a catalog for a DataFusion context.
///
/// Tables are opened when a query names them and read at their newest version. Schemas need listing to be known, which
/// DataFusion's catalog cannot wait for: every name is taken for a schema until a table is looked for in it.
#[derive(Debug)]
pub struct WarehouseCatalog {
    warehouse: Arc<Warehouse>,
}

impl WarehouseCatalog {
    /// A catalog over this warehouse.
    pub fn new(warehouse: Arc<Warehouse>) -> Self {
        WarehouseCatalog { warehouse }
    }
}

impl CatalogProvider for WarehouseCatalog {
    fn schema_names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.warehouse.names_seen().into_iter().map(|entry| entry.schema).collect();
        names.push(DEFAULT_SCHEMA.into());
        names.sort();
        names.dedup();
        names
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        Some(Arc::new(WarehouseSchema { warehouse: self.warehouse.clone(), name: name.into() }))
    }
}

#[derive(Debug)]
struct WarehouseSchema {
    warehouse: Arc<Warehouse>,
    name: String,
}

#[async_trait]
impl SchemaProvider for WarehouseSchema {
    fn table_names(&self) -> Vec<String> {
        let seen = self.warehouse.names_seen().into_iter();
        seen.filter(|entry| entry.schema == self.name).map(|entry| entry.name).collect()
    }

    async fn table(&self, name: &str) -> datafusion::error::Result<Option<Arc<dyn TableProvider>>> {
        if let Some(registered) = self.warehouse.registered(&self.name, name) {
            return Ok(Some(registered));
        }
        let table = if self.name == DELTA_SCHEMA {
            self.warehouse.table_at(name).await?
        } else {
            match self.warehouse.table(&self.name, name).await {
                Ok(table) => Some(table),
                Err(QueryError::UnknownTable { .. } | QueryError::UnknownSchema { .. }) => None,
                Err(error) => return Err(error.into()),
            }
        };
        match table {
            Some(table) => {
                let provider = FloeTableProvider::live(table).await?;
                Ok(Some(Arc::new(provider)))
            }
            None => Ok(None),
        }
    }

    fn register_table(
        &self,
        name: String,
        table: Arc<dyn TableProvider>,
    ) -> datafusion::error::Result<Option<Arc<dyn TableProvider>>> {
        Ok(self.warehouse.register_provider(&self.name, &name, Some(table)))
    }

    fn deregister_table(&self, name: &str) -> datafusion::error::Result<Option<Arc<dyn TableProvider>>> {
        Ok(self.warehouse.register_provider(&self.name, name, None))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.warehouse.registered(&self.name, name).is_some()
            || self.table_names().iter().any(|known| known.eq_ignore_ascii_case(name))
    }
}
