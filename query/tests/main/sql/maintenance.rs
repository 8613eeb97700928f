//! ALTER TABLE, OPTIMIZE, VACUUM, settings.

use super::{World, rows_of};

#[tokio::test]
async fn columns_properties_and_constraints_are_altered() {
    let world = World::new().await;
    world.run("CREATE TABLE t (id BIGINT); INSERT INTO t VALUES (1)").await;
    world.run("ALTER TABLE t ADD COLUMNS (name STRING COMMENT 'new', n INT); INSERT INTO t VALUES (2, 'b', 5)").await;
    world.check("SELECT * FROM t", &["1|null|null", "2|b|5"]).await;
    world.run("ALTER TABLE t SET TBLPROPERTIES ('delta.appendOnly' = 'true', 'mine' = 'x')").await;
    world.check("SHOW TBLPROPERTIES t", &["delta.appendOnly|true", "delta.enableDeletionVectors|true", "mine|x"]).await;
    world.check_error("DELETE FROM t WHERE id = 1", "ppend").await;
    world.run("ALTER TABLE t UNSET TBLPROPERTIES ('delta.appendOnly'); ALTER TABLE t UNSET TBLPROPERTIES IF EXISTS ('gone')").await;
    world.run("DELETE FROM t WHERE id = 1").await;
    world.check_error("ALTER TABLE t SET TBLPROPERTIES ('delta.apendOnly' = 'true')", "delta.appendOnly").await;
    world.run("ALTER TABLE t ADD CONSTRAINT positive CHECK (id > 0)").await;
    world.check_error("INSERT INTO t VALUES (3, 'c', 1), (-1, 'd', 1)", "positive").await;
    world.check_error("ALTER TABLE t ADD CONSTRAINT big CHECK (id > 100)", "big").await;
    world.run("ALTER TABLE t DROP CONSTRAINT positive; INSERT INTO t VALUES (-1, 'd', 1)").await;
    world.check("SELECT id FROM t", &["2", "-1"]).await;
}

#[tokio::test]
async fn optimise_keeps_rows_and_vacuum_deletes_what_it_replaced() {
    let world = World::new().await;
    world.run("CREATE TABLE t (id BIGINT, k STRING) PARTITIONED BY (k)").await;
    for i in 0..6 {
        world.run(&format!("INSERT INTO t VALUES ({i}, '{}')", ["a", "b"][i % 2])).await;
    }
    let done = world.run("OPTIMIZE t WHERE k = 'a'").await;
    assert!(done.message.starts_with("optimised t: 3 files"), "{}", done.message);
    world.check("SELECT count(*) FROM files('t')", &["4"]).await;
    world.run("OPTIMIZE t ZORDER BY (id)").await;
    world.check("SELECT count(*), sum(id) FROM t", &["6|15"]).await;
    assert!(world.error("OPTIMIZE t WHERE id = 1").await.to_string().contains("no partition column"));
    world.check_error("OPTIMIZE t ZORDER BY (idd)", "did you mean id?").await;
    world.check_error("VACUUM t RETAIN 0 HOURS", "retention").await;
    world.run("SET spark.databricks.delta.retentionDurationCheck.enabled = false").await;
    let doomed = rows_of(&world.session, "VACUUM t RETAIN 0 HOURS DRY RUN").await.len();
    assert!(doomed > 0);
    let done = world.run("VACUUM t RETAIN 0 HOURS").await;
    assert!(done.message.contains(&format!("deleted {doomed} files")), "{}", done.message);
    world.check("SELECT count(*), sum(id) FROM t", &["6|15"]).await;
}

#[tokio::test]
async fn missing_files_are_listed_and_given_up_by_fsck() {
    let world = World::new().await;
    world.run("CREATE TABLE t (id BIGINT); INSERT INTO t VALUES (1), (2); INSERT INTO t VALUES (3)").await;
    world.check("CHECK TABLE t", &["sound|version 2, 2 files"]).await;
    assert!(world.run("FSCK REPAIR TABLE t").await.message.contains("every file is there"));
    let table = world.session.table("t").await.expect("opened");
    let file = table
        .snapshot()
        .await
        .expect("loaded")
        .state()
        .files
        .iter()
        .find(|f| f.num_records() == Some(1))
        .expect("one row")
        .path()
        .to_owned();
    for deleted in table.data_store().delete_many(vec![file.clone()]).await {
        deleted.expect("deleted");
    }
    world.check("FSCK REPAIR TABLE t DRY RUN", &[&format!("{file}|1")]).await;
    let found = rows_of(&world.session, "CHECK TABLE t").await;
    assert!(found[0].starts_with("error file-there|") && found[1].starts_with("not sound|"), "{found:?}");
    let read_only = world.read_only().await;
    super::check_in(&read_only, "FSCK REPAIR TABLE t DRY RUN", &[&format!("{file}|1")]).await;
    assert!(super::error_in(&read_only, "FSCK REPAIR TABLE t").await.to_string().contains("FSCK REPAIR TABLE"));
    let done = world.run("FSCK REPAIR TABLE t").await;
    assert_eq!(done.message, "repaired t: gave up 1 missing files with 1 rows (version 3)");
    world.check("SELECT * FROM t", &["1", "2"]).await;
    world.check("CHECK TABLE t", &["sound|version 3, 1 files"]).await;
}

#[tokio::test]
async fn settings_are_set_shown_and_reset() {
    let world = World::new().await;
    world.run("SET datafusion.execution.batch_size = 1234").await;
    world.check("SHOW datafusion.execution.batch_size", &["datafusion.execution.batch_size|1234"]).await;
    world.run("RESET datafusion.execution.batch_size").await;
    world.check("SHOW datafusion.execution.batch_size", &["datafusion.execution.batch_size|8192"]).await;
    world.check_error("SET datafusion.execution.batchsize = 1", "did you mean datafusion.execution.batch_size?").await;
}

#[tokio::test]
async fn a_feature_is_dropped_by_statement_and_what_cannot_go_is_told() {
    let world = World::new().await;
    world
        .run(
            "CREATE TABLE t (id INT) TBLPROPERTIES ('delta.enableTypeWidening' = 'true');
             INSERT INTO t VALUES (1);
             ALTER TABLE t ALTER COLUMN id TYPE BIGINT;
             INSERT INTO t VALUES (5000000000);
             INSERT INTO t VALUES (2), (3);
             DELETE FROM t WHERE id = 2",
        )
        .await;
    world.run("ALTER TABLE t DROP FEATURE typeWidening").await;
    world.check("SELECT id FROM t", &["1", "3", "5000000000"]).await;
    world.check_error("ALTER TABLE t ALTER COLUMN id TYPE DECIMAL(20, 0)", "delta.enableTypeWidening").await;
    world.check_error("ALTER TABLE t DROP FEATURE typeWidening", "does not have it").await;
    world.check_error("ALTER TABLE t DROP FEATURE deletionVectors TRUNCATE HISTORY", "younger than").await;
    let droppable = "columnMapping, typeWidening, v2Checkpoint";
    world.run("CREATE TABLE a (id INT, at TIMESTAMP_NTZ)").await;
    world.check_error("ALTER TABLE a DROP FEATURE timestampNtz", droppable).await;
}
