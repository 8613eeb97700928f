//! CLUSTER BY and OPTIMIZE of clustered tables.

use super::{World, rows_of};

const CLUSTERED: &str = "CREATE TABLE t (id BIGINT, a INT, s STRUCT<b: STRING>, v STRING) CLUSTER BY (a, s.b)";

/// How many files are clustered, by the log.
async fn clustered_files(world: &World) -> usize {
    let mut live = std::collections::BTreeMap::new();
    let log = world.folder.path().join("warehouse/default/t/_delta_log");
    let mut names: Vec<_> =
        std::fs::read_dir(log).expect("a log").map(|entry| entry.expect("an entry").path()).collect();
    names.sort();
    for path in names.iter().filter(|path| path.extension().is_some_and(|end| end == "json")) {
        for line in std::fs::read_to_string(path).expect("read").lines() {
            let action: serde_json::Value = serde_json::from_str(line).expect("JSON");
            if let Some(path) = action["remove"]["path"].as_str() {
                live.remove(path);
            }
            if let Some(path) = action["add"]["path"].as_str() {
                live.insert(path.to_owned(), action["add"]["clusteringProvider"] == "floe");
            }
        }
    }
    live.values().filter(|clustered| **clustered).count()
}

#[tokio::test]
async fn a_clustered_table_is_optimised_as_far_as_there_is_news() {
    let world = World::new().await;
    world.run(CLUSTERED).await;
    world.run("INSERT INTO t SELECT value, value * 7 % 100, named_struct('b', concat('b', value % 10)), 'x' FROM range(1000)").await;
    world.check("SHOW TBLPROPERTIES t", &["delta.enableDeletionVectors|true"]).await;
    let shown = rows_of(&world.session, "SHOW CREATE TABLE t").await.join("");
    assert!(shown.contains("CLUSTER BY (a, s.b)"), "{shown}");
    world.check("SELECT count(*), sum(id) FROM t", &["1000|499500"]).await;
    assert_eq!(clustered_files(&world).await, 0);
    let done = world.run("OPTIMIZE t").await;
    assert!(done.message.starts_with("optimised t: 1 files"), "{}", done.message);
    assert_eq!(clustered_files(&world).await, 1);
    world.check("SELECT count(*), sum(id), count(DISTINCT s.b) FROM t", &["1000|499500|10"]).await;
    // Nothing came, so nothing is done; little comes, and only that is ordered.
    let done = world.run("OPTIMIZE t").await;
    assert_eq!(done.version, None, "{}", done.message);
    world.run("INSERT INTO t VALUES (5000, 1, NULL, 'y')").await;
    world.run("OPTIMIZE t").await;
    world.check("SELECT count(*), sum(id) FROM t", &["1001|504500"]).await;
    assert_eq!(clustered_files(&world).await, rows_of(&world.session, "SELECT * FROM files('t')").await.len());
    let done = world.run("OPTIMIZE t FULL").await;
    assert!(done.version.is_some(), "{}", done.message);
    assert_eq!(clustered_files(&world).await, 1);
    world.check("CHECK TABLE t", &["sound|version 5, 1 files"]).await;
}

#[tokio::test]
async fn the_clustering_is_changed_and_taken_away() {
    let world = World::new().await;
    world.run(CLUSTERED).await;
    world
        .run("INSERT INTO t VALUES (1, 1, named_struct('b', 'x'), 'v'); OPTIMIZE t; ALTER TABLE t CLUSTER BY (id)")
        .await;
    let detail = rows_of(&world.session, "DESCRIBE DETAIL t").await.join("");
    assert!(detail.contains("[id]") && detail.contains("clustering"), "{detail}");
    // Files ordered by other columns stay until all are asked for.
    assert_eq!(world.run("OPTIMIZE t").await.version, None);
    assert!(world.run("OPTIMIZE t FULL").await.version.is_some());
    world.run("ALTER TABLE t CLUSTER BY NONE").await;
    let shown = rows_of(&world.session, "SHOW CREATE TABLE t").await.join("");
    assert!(!shown.contains("CLUSTER BY"), "{shown}");
    world.check_error("OPTIMIZE t FULL", "not clustered").await;
    world.run("RESTORE t TO VERSION AS OF 2").await;
    let shown = rows_of(&world.session, "SHOW CREATE TABLE t").await.join("");
    assert!(shown.contains("CLUSTER BY (a, s.b)"), "{shown}");
    world.run("CREATE OR REPLACE TABLE t (id BIGINT)").await;
    let shown = rows_of(&world.session, "SHOW CREATE TABLE t").await.join("");
    assert!(!shown.contains("CLUSTER BY"), "{shown}");
    world.run("ALTER TABLE t CLUSTER BY (id); INSERT INTO t VALUES (1); OPTIMIZE t").await;
    assert_eq!(clustered_files(&world).await, 1);
}

#[tokio::test]
async fn what_no_table_can_be_clustered_by_is_refused() {
    let world = World::new().await;
    for (statement, part) in [
        ("CREATE TABLE x (id INT) CLUSTER BY (ids)", "id"),
        ("CREATE TABLE x (id INT, p INT) PARTITIONED BY (p) CLUSTER BY (id)", "partitioned"),
        ("CREATE TABLE x (id BOOLEAN) CLUSTER BY (id)", "least and greatest"),
        (
            "CREATE TABLE x (id INT) CLUSTER BY (id) TBLPROPERTIES ('delta.dataSkippingNumIndexedCols' = '0')",
            "statistics",
        ),
        ("CREATE TABLE x (id INT) CLUSTER BY AUTO", "CLUSTER BY AUTO"),
        ("CREATE TABLE x (id INT) CLUSTERED BY (id)", "buckets"),
    ] {
        world.check_error(statement, part).await;
    }
    world.run(CLUSTERED).await;
    world.check_error("OPTIMIZE t ZORDER BY (v)", "clustered").await;
    world.check_error("OPTIMIZE t WHERE id = 1", "partition").await;
    world
        .check_error("ALTER TABLE t SET TBLPROPERTIES ('delta.dataSkippingStatsColumns' = 'id')", "no statistics")
        .await;
    world.check_error("ALTER TABLE t CLUSTER BY (a, a)", "twice").await;
    world.run("ALTER TABLE t SET TBLPROPERTIES ('delta.columnMapping.mode' = 'name')").await;
    world.check_error("ALTER TABLE t DROP COLUMN a", "clustered by it").await;
    world.run("ALTER TABLE t RENAME COLUMN a TO c; INSERT INTO t VALUES (1, 2, NULL, 'z'); OPTIMIZE t").await;
    let shown = rows_of(&world.session, "SHOW CREATE TABLE t").await.join("");
    assert!(shown.contains("CLUSTER BY (c, s.b)"), "{shown}");
}
