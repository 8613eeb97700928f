//! The TPC-H queries over Floe tables and over the same Parquet files without a log.

use std::sync::Arc;

use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};
use floe_query::provider::FloeTableProvider;
use floe_table::{CreateTable, Table};
use floe_testkit::rows_rounded;
use floe_testkit::tpch::{TpchTable, queries};

/// A session over the tables and one over their files, tables as listings of Parquet files.
async fn sessions(folder: &std::path::Path, scale_factor: f64) -> (SessionContext, SessionContext) {
    let config = || SessionConfig::new().with_target_partitions(2);
    let (floe, raw) = (SessionContext::new_with_config(config()), SessionContext::new_with_config(config()));
    for table in TpchTable::ALL {
        let path = folder.join(table.name());
        let uri = path.to_string_lossy().into_owned();
        let create = CreateTable::from_arrow(&table.schema()).expect("a schema Delta can hold");
        let opened: Table = Table::builder(&uri).create(create).await.expect("an empty folder");
        let batches = table.batches(scale_factor).collect();
        opened.append(batches).await.expect("rows of its schema");
        let provider = FloeTableProvider::at(opened.snapshot().await.expect("it reads")).expect("it opens");
        floe.register_table(table.name(), Arc::new(provider)).expect("a free name");
        raw.register_parquet(table.name(), format!("{uri}/"), ParquetReadOptions::default()).await.expect("files");
    }
    (floe, raw)
}

/// The plan's operators by depth, without what they work on.
async fn shape(context: &SessionContext, sql: &str) -> Vec<String> {
    let plan = context.sql(sql).await.expect(sql).create_physical_plan().await.expect(sql);
    let text = datafusion::physical_plan::displayable(plan.as_ref()).indent(false).to_string();
    let operator = |line: &str| line.split([':', ',']).next().unwrap_or_default().trim_end().to_string();
    text.lines().map(|line| operator(line).replace("DeltaScanExec", "DataSourceExec")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_give_what_they_give_on_raw_parquet_by_the_same_plans() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (floe, raw) = sessions(folder.path(), 0.01).await;
    let mut differ = Vec::new();
    for (number, sql) in queries() {
        let over = |context: SessionContext| async move {
            let batches = context.sql(sql).await.expect(sql).collect().await.expect(sql);
            rows_rounded(&batches, 4)
        };
        assert_eq!(over(floe.clone()).await, over(raw.clone()).await, "query {number}");
        // Parquet files do not say that keys are never null, which the tables do: NOT IN becomes a plain anti join.
        if number == 16 {
            continue;
        }
        let (ours, theirs) = (shape(&floe, sql).await, shape(&raw, sql).await);
        if ours != theirs {
            differ.push(format!("query {number}:\n{}\n--- raw\n{}", ours.join("\n"), theirs.join("\n")));
        }
    }
    assert!(differ.is_empty(), "{}", differ.join("\n\n"));
}
