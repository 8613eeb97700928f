//! Tables in memory and queries over them.

use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::prelude::{SessionConfig, SessionContext};
use floe_query::provider::FloeTableProvider;
use floe_query::row_checks::SqlRowChecks;
use floe_storage::Location;
use floe_table::{CreateTable, Table};
use floe_testkit::rows;
use object_store::memory::InMemory;
use object_store::path::Path;

/// A new table in a store of its own.
pub(crate) async fn create(create: CreateTable) -> Table {
    let location = Location::with_store(Arc::new(InMemory::new()), Path::default(), "memory:///table");
    Table::builder("memory:///table")
        .with_location(location)
        .with_row_checks(Arc::new(SqlRowChecks::default()))
        .create(create)
        .await
        .expect("a table in memory can be made")
}

/// A new table of these rows, each batch a file of its own.
pub(crate) async fn table_of(files: Vec<RecordBatch>) -> Table {
    let schema = files[0].schema();
    let table = create(CreateTable::from_arrow(&schema).expect("a schema Delta can hold")).await;
    for file in files {
        table.append(vec![file]).await.expect("rows of the table's schema");
    }
    table
}

/// A session with the newest version of the table as `t`.
pub(crate) async fn session(table: &Table) -> SessionContext {
    session_with(table, SessionConfig::new().with_target_partitions(4)).await
}

pub(crate) async fn session_with(table: &Table, config: SessionConfig) -> SessionContext {
    let context = SessionContext::new_with_config(config);
    let provider = FloeTableProvider::live(table.clone()).await.expect("the table opens");
    context.register_table("t", Arc::new(provider)).expect("a free name");
    context
}

/// The result of a query as sorted text.
pub(crate) async fn query(context: &SessionContext, sql: &str) -> Vec<String> {
    let batches = context.sql(sql).await.expect(sql).collect().await.expect(sql);
    rows(&batches)
}

/// The plan of a query as text.
pub(crate) async fn explain(context: &SessionContext, sql: &str) -> String {
    let plan = context.sql(sql).await.expect(sql).create_physical_plan().await.expect(sql);
    datafusion::physical_plan::displayable(plan.as_ref()).indent(true).to_string()
}
