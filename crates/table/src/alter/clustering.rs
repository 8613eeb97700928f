//! By what a table is clustered.

use floe_table_format::Operation;
use floe_table_format::clustering::{
    check_clustering, clustering_columns, clustering_domain, physical_clustering_columns,
};
use floe_table_format::feature::{self, Feature};

use super::AlterReport;
use crate::error::{OnTable, Result};
use crate::table::Table;

impl Table {
    /// Says by what the table is clustered from now on, each column a path of names; by nothing, if there are none. Files stay as
    /// they are: [`Table::optimize`] orders new rows by the new columns, and with `full` all rows.
    ///
    /// # Errors
    /// `InvalidChange` inside [`crate::TableError::Format`] for columns that no table can be clustered by, such as one without
    /// statistics, and for a partitioned table; see also [`crate::Transaction::commit`].
    pub async fn cluster_by(&self, columns: Vec<Vec<String>>) -> Result<AlterReport> {
        let snapshot = self.snapshot().await?;
        let (state, uri) = (snapshot.state(), self.uri());
        let partition_columns = &state.metadata.partition_columns;
        let columns = check_clustering(&state.schema, partition_columns, &state.properties, &columns).on(uri)?;
        let physical: Vec<Vec<String>> = columns.iter().filter_map(|path| state.schema.physical_path(path)).collect();
        let now = physical_clustering_columns(state).on(uri)?;
        if now.as_ref() == Some(&physical) || (now.is_none() && physical.is_empty()) {
            return Ok(AlterReport { version: snapshot.version() });
        }
        let shown = |columns: &[Vec<String>]| columns.iter().map(|path| path.join(".")).collect::<Vec<_>>().join(",");
        let before = clustering_columns(state).on(uri)?.unwrap_or_default();
        let operation = Operation::new("CLUSTER BY")
            .with_parameter("oldClusteringColumns", shown(&before))
            .with_parameter("newClusteringColumns", shown(&columns));
        let mut transaction = self.begin_at(&snapshot, operation)?;
        let protocol = feature::enable(&state.protocol, &[Feature::Clustering]);
        if protocol != state.protocol {
            transaction.set_protocol(protocol);
        }
        transaction.set_domain(clustering_domain(physical));
        let version = transaction.commit().await?.committed()?.version;
        Ok(AlterReport { version })
    }
}
