//! Names for tables and files that lie outside the warehouse, for one session.

use floe_storage::Location;

use crate::error::Result;
use crate::in_place;
use crate::pattern::has_glob;
use crate::session::Session;

impl Session {
    /// Gives what lies at a path or URI a name in the current schema, for as long as this session lasts: a Delta table,
    /// which can then be changed by that name as well, or Parquet, CSV or JSON files. Nothing is written, and a table of
    /// the warehouse that has the name is hidden.
    ///
    /// # Errors
    /// [`crate::QueryError::UnreadablePath`] where nothing lies that can be read as a table.
    pub async fn attach(&self, name: &str, path: &str) -> Result<()> {
        let schema = self.current_schema();
        let warehouse = self.warehouse();
        if !has_glob(path) && warehouse.table_at(path).await?.is_some() {
            let uri = Location::open(path, warehouse.storage_options())?.uri;
            warehouse.attach(&schema, name, &uri);
            return Ok(());
        }
        let files = in_place::open(self, None, path).await?;
        warehouse.register_provider(&schema, name, Some(files));
        Ok(())
    }
}
