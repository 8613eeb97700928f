//! Features that leave the protocol, and what they leave behind.

use floe_table::{CreateTable, Table, TableError};
use floe_table_format::feature::{Feature, has_feature};
use floe_table_format::{Protocol, VersionSpec};
use floe_testkit::Batch;

use crate::world::{World, delete_ids, later, names, range, rows_at, rows_now};

async fn world(properties: &[(&str, &str)]) -> World {
    let create = CreateTable::from_arrow(&names(&[]).schema()).expect("schema");
    let create = properties.iter().fold(create, |create, (key, value)| create.with_property(*key, *value));
    World::new(create).await
}

async fn protocol(table: &Table) -> Protocol {
    table.snapshot().await.expect("loaded").state().protocol.clone()
}

async fn property(table: &Table, key: &str) -> Option<String> {
    table.snapshot().await.expect("loaded").state().metadata.configuration.get(key).cloned()
}

async fn delete(world: &World, ids: &[i64]) {
    let snapshot = world.table.snapshot().await.expect("loaded");
    let change = delete_ids(&world.table, &snapshot, ids).await.expect("planned");
    let _ = change.commit().await.expect("written").committed().expect("no conflict");
}

async fn refused(table: &Table, feature: &str, truncate_history: bool) -> String {
    let error = table.drop_feature(feature, truncate_history).await.expect_err("refused");
    assert!(matches!(error, TableError::InvalidRequest { .. }), "{error}");
    error.to_string()
}

#[tokio::test]
async fn deletion_vectors_go_and_the_history_stays_behind_protected_checkpoints() {
    let world = world(&[]).await;
    world.table.append(vec![range(0..6)]).await.expect("appended");
    delete(&world, &[1, 2]).await;
    let before = rows_now(&world).await;
    let report = world.table.drop_feature("deletionVectors", false).await.expect("dropped");
    assert_eq!(rows_now(&world).await, before);
    let after = protocol(&world.table).await;
    assert_eq!((after.min_reader_version, after.min_writer_version, after.reader_features.clone()), (1, 7, None));
    assert!(has_feature(&after, &Feature::CheckpointProtection) && !has_feature(&after, &Feature::DeletionVectors));
    let protected = property(&world.table, "delta.requireCheckpointProtectionBeforeVersion").await;
    assert_eq!(protected, Some(report.version.to_string()));
    assert_eq!(property(&world.table, "delta.enableDeletionVectors").await, None);
    let files: Vec<String> =
        world.table.log_store().list(Default::default()).await.expect("listed").into_iter().map(|e| e.name).collect();
    for version in report.version.get() - 3..=report.version.get() {
        let name = format!("{version:020}.checkpoint.parquet");
        assert!(files.contains(&name), "{name}: {files:?}");
    }
    let snapshot = world.table.snapshot().await.expect("loaded");
    assert!(snapshot.state().files.iter().all(|file| file.deletion_vector().is_none()));
    // Time travel still shows what was there, and changes go on by rewriting files.
    assert_eq!(rows_at(&world.table, 1).await.len(), 6);
    delete(&world, &[3]).await;
    world.table.append(vec![range(7..8)]).await.expect("appended");
    assert_eq!(rows_now(&world).await, ["0|n0", "4|n4", "5|n5", "7|n7"]);
    assert!(refused(&world.table, "deletionVectors", false).await.contains("does not have it"));
}

#[tokio::test]
async fn column_mapping_goes_with_every_file_rewritten() {
    let world = world(&[("delta.columnMapping.mode", "name"), ("delta.enableDeletionVectors", "false")]).await;
    world.table.append(vec![range(0..3)]).await.expect("appended");
    world.table.rename_column(&["name".to_owned()], "label").await.expect("renamed");
    world.table.append(vec![Batch::new().long("id", [9]).text("label", ["new"]).build()]).await.expect("appended");
    world.table.drop_feature("columnMapping", false).await.expect("dropped");
    assert_eq!(rows_now(&world).await, ["0|n0", "1|n1", "2|n2", "9|new"]);
    let snapshot = world.table.snapshot().await.expect("loaded");
    assert!(!snapshot.schema().any_field(|field| !field.metadata.is_empty()));
    assert!(!has_feature(&snapshot.state().protocol, &Feature::ColumnMapping));
    assert_eq!(property(&world.table, "delta.columnMapping.maxColumnId").await, None);
    assert_eq!(rows_at(&world.table, 1).await.len(), 3);
    world.table.append(vec![Batch::new().long("id", [10]).text("label", ["x"]).build()]).await.expect("appended");
    assert_eq!(rows_now(&world).await.len(), 5);
}

#[tokio::test]
async fn a_history_that_still_shows_the_feature_is_not_cut_off_before_its_time() {
    let world = world(&[]).await;
    world.table.append(vec![range(0..6)]).await.expect("appended");
    delete(&world, &[1]).await;
    let told = refused(&world.table, "deletionVectors", true).await;
    assert!(told.contains("history up to version 4 does") && told.contains("24 hours"), "{told}");
    assert!(has_feature(&protocol(&world.table).await, &Feature::DeletionVectors));
    let soon = ("delta.dropFeatureTruncateHistory.retentionDuration".to_owned(), "0 hours".to_owned());
    world.table.set_properties([soon].into()).await.expect("set");
    later(&world).await;
    world.table.append(vec![range(6..7)]).await.expect("appended");
    later(&world).await;
    world.table.drop_feature("deletionVectors", true).await.expect("dropped");
    let after = protocol(&world.table).await;
    assert_eq!((after.min_reader_version, after.min_writer_version), (1, 2), "nothing is left to know");
    assert_eq!(rows_now(&world).await.len(), 6);
    assert!(world.table.at(VersionSpec::Version(floe_table_format::Version::ZERO)).await.is_err(), "it is cut off");
}

#[tokio::test]
async fn features_of_writers_go_at_once() {
    let world = world(&[("delta.enableInCommitTimestamps", "true"), ("delta.enableDeletionVectors", "false")]).await;
    world.table.append(vec![range(0..2)]).await.expect("appended");
    assert!(refused(&world.table, "inCommitTimestamp", true).await.contains("leave TRUNCATE HISTORY out"));
    world.table.drop_feature("inCommitTimestamp", false).await.expect("dropped");
    let after = protocol(&world.table).await;
    assert_eq!((after.min_reader_version, after.min_writer_version, after.writer_features), (1, 2, None));
    world.table.append(vec![range(2..3)]).await.expect("appended");
    assert_eq!(rows_now(&world).await.len(), 3);
}

#[tokio::test]
async fn row_tracking_goes_with_its_ids_and_its_domain() {
    let world = world(&[("delta.feature.rowTracking", "supported"), ("delta.enableDeletionVectors", "false")]).await;
    world.table.append(vec![range(0..2)]).await.expect("appended");
    assert!(refused(&world.table, "domainMetadata", false).await.contains("rowTracking needs it"));
    world.table.drop_feature("rowTracking", false).await.expect("dropped");
    let snapshot = world.table.snapshot().await.expect("loaded");
    assert!(snapshot.state().files.iter().all(|file| file.base_row_id().is_none()));
    assert!(snapshot.state().domains.is_empty());
    world.table.drop_feature("domainMetadata", false).await.expect("dropped");
    assert_eq!(protocol(&world.table).await.min_writer_version, 2);
    world.table.append(vec![range(2..3)]).await.expect("appended");
    assert_eq!(rows_now(&world).await.len(), 3);
}

#[tokio::test]
async fn what_cannot_be_dropped_is_told() {
    let supported = [("delta.feature.vacuumProtocolCheck", "supported"), ("delta.feature.timestampNtz", "supported")];
    let world = world(&supported).await;
    for (feature, truncate_history, expected) in [
        ("nosuch", false, "does not have it"),
        ("timestampNtz", false, "can be dropped"),
        ("checkpointProtection", false, "does not have it"),
    ] {
        let told = refused(&world.table, feature, truncate_history).await;
        assert!(told.contains(expected), "{feature}: {told}");
    }
    world.table.drop_feature("vacuumProtocolCheck", false).await.expect("dropped");
    let told = refused(&world.table, "checkpointProtection", false).await;
    assert!(told.contains("add TRUNCATE HISTORY"), "{told}");
    let told = refused(&world.table, "checkpointProtection", true).await;
    assert!(told.contains("is still there and younger than 24 hours"), "{told}");
    let soon = ("delta.dropFeatureTruncateHistory.retentionDuration".to_owned(), "0 hours".to_owned());
    world.table.set_properties([soon].into()).await.expect("set");
    later(&world).await;
    world.table.drop_feature("checkpointProtection", true).await.expect("dropped");
    assert_eq!(property(&world.table, "delta.requireCheckpointProtectionBeforeVersion").await, None);
}

#[tokio::test]
async fn protected_checkpoints_are_not_cleaned_up_one_by_one() {
    let world = world(&[("delta.logRetentionDuration", "0 seconds")]).await;
    world.table.append(vec![range(0..6)]).await.expect("appended");
    delete(&world, &[1]).await;
    world.table.checkpoint().await.expect("written");
    let report = world.table.drop_feature("deletionVectors", false).await.expect("dropped");
    later(&world).await;
    let deleted = world.table.clean_up_log().await.expect("cleaned");
    assert!(
        deleted.iter().all(|name| name[..20].parse::<u64>().is_ok_and(|v| v < report.version.get())),
        "{deleted:?}"
    );
    assert!(
        deleted.is_empty() || deleted.iter().any(|name| name.starts_with(&format!("{:020}", report.version.get() - 1)))
    );
    assert_eq!(rows_now(&world).await.len(), 5);
}

#[tokio::test]
async fn a_writer_that_knows_the_feature_loses_against_its_drop() {
    let world = world(&[]).await;
    world.table.append(vec![range(0..6)]).await.expect("appended");
    let other = world.other_handle().await;
    let late = delete_ids(&other, &other.snapshot().await.expect("loaded"), &[1]).await.expect("planned");
    world.table.drop_feature("deletionVectors", false).await.expect("dropped");
    let error = late.commit().await.expect("decided").committed().expect_err("a conflict");
    assert!(matches!(error, TableError::Conflict { .. }), "{error}");
    assert_eq!(rows_now(&world).await.len(), 6);
}
