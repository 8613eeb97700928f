use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use floe_storage::Location;
use floe_storage::object_store::memory::InMemory;

use super::*;
use crate::create::CreateTable;

#[tokio::test]
async fn a_large_checkpoint_is_cut_into_sidecars_that_together_are_the_state() {
    let schema = Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, true)]));
    let location = Location::with_store(Arc::new(InMemory::new()), "t".into(), "memory:///t");
    let create = CreateTable::from_arrow(&schema).expect("schema").with_property("delta.checkpointPolicy", "v2");
    let table = Table::builder("memory:///t").with_location(location).create(create).await.expect("created");
    for id in 0..7 {
        let ids = Arc::new(Int64Array::from(vec![id]));
        let batch = RecordBatch::try_new(schema.clone(), vec![ids]).expect("a batch");
        table.append(vec![batch]).await.expect("appended");
    }
    let before = table.snapshot().await.expect("loaded");
    write(&table, before.state(), 3).await.expect("written");
    let sidecars = table.log_store().list_sidecars().await.expect("listed");
    assert_eq!(sidecars.len(), 3, "seven files, three in a sidecar");
    for version in 0..7 {
        table.log_store().delete(&format!("{version:020}.json")).await.expect("deleted");
    }
    let after = Table::builder("memory:///t").with_location(table.location().clone()).open().await.expect("opened");
    let after = after.snapshot().await.expect("loaded");
    let paths = |state: &TableState| {
        let mut paths: Vec<String> = state.files.iter().map(|file| file.path().to_owned()).collect();
        paths.sort();
        paths
    };
    assert_eq!(paths(after.state()), paths(before.state()));
    let hint = table.log_store().read_hint().await.expect("read").expect("a hint");
    assert_eq!(hint.v2_checkpoint.and_then(|v2| v2.sidecar_files).map(|files| files.len()), Some(3));
    assert_eq!(hint.size, 7 + 3 + 3, "files, sidecars, and what every manifest has");
}
