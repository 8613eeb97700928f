//! CREATE TABLE ... CLONE and CONVERT TO DELTA.

use std::fs;

use floe_query::{Session, SessionOptions};

use super::{World, check_in, error_in, rows_of};

const SOURCE: &str = "CREATE TABLE source (id BIGINT, k STRING, v STRING) PARTITIONED BY (k) \
     TBLPROPERTIES ('mine' = 'x', 'delta.checkpointInterval' = '3');
     INSERT INTO source SELECT value, CASE WHEN value % 2 = 0 THEN 'a b' END, concat('v', value) FROM range(100);
     DELETE FROM source WHERE id % 10 = 3";

async fn check_sound(world: &World, table: &str) {
    let found = rows_of(&world.session, &format!("CHECK TABLE {table}")).await;
    assert!(found.len() == 1 && found[0].starts_with("sound|"), "{found:?}");
}

#[tokio::test]
async fn a_shallow_clone_shares_files_and_lives_its_own_life() {
    let world = World::new().await;
    world.run(SOURCE).await;
    let done = world.run("CREATE TABLE c SHALLOW CLONE source TBLPROPERTIES ('mine' = 'y')").await;
    assert!(done.message.contains("names 2 files"), "{}", done.message);
    let of = |table: &str| format!("SELECT count(*), sum(id), count(k), max(v) FROM {table}");
    let before = rows_of(&world.session, &of("source")).await;
    assert_eq!(rows_of(&world.session, &of("c")).await, before);
    assert!(rows_of(&world.session, "SHOW TBLPROPERTIES c").await.contains(&"mine|y".to_owned()));
    world.check("SELECT count(*) FROM files('c') WHERE path LIKE '/%'", &["2"]).await;
    // What changes here does not there, and the other way: rows of the source's files are deleted by a vector of the clone.
    world.run("DELETE FROM c WHERE id < 50; UPDATE c SET v = 'mine' WHERE id = 60; INSERT INTO c VALUES (1000, 'new', 'z')").await;
    assert_eq!(rows_of(&world.session, &of("source")).await, before);
    world.run("INSERT INTO source VALUES (2000, 'c', 'late')").await;
    world.check("SELECT count(*), max(id) FROM c", &["46|1000"]).await;
    world.check("SELECT v FROM c WHERE id = 60", &["mine"]).await;
    // A file of the source stands in a vacuum's way neither there nor here, and no vacuum of the clone takes it.
    world.run("OPTIMIZE c; SET floe.retention_check = false; VACUUM c RETAIN 0 HOURS").await;
    world.check("SELECT count(*), max(id) FROM c", &["46|1000"]).await;
    world.check("SELECT count(*) FROM source", &["91"]).await;
    check_in(&world.again().await, "SELECT count(*) FROM c VERSION AS OF 0", &["90"]).await;
    world.check("SELECT operation FROM history('c') WHERE version = 0", &["CLONE"]).await;
    world.check_error("CREATE TABLE c SHALLOW CLONE source", "exists").await;
}

#[tokio::test]
async fn a_clone_is_of_the_version_that_was_asked_for_and_replaces_only_when_told() {
    let world = World::new().await;
    world.run(SOURCE).await;
    world.run("CREATE TABLE c SHALLOW CLONE source VERSION AS OF 1").await;
    world.check("SELECT count(*) FROM c", &["100"]).await;
    world.run("CREATE TABLE IF NOT EXISTS c DEEP CLONE source").await;
    world.check("SELECT count(*) FROM c", &["100"]).await;
    let done = world.run("CREATE OR REPLACE TABLE c SHALLOW CLONE source").await;
    assert_eq!(done.version.map(|version| version.get()), Some(1));
    world.check("SELECT count(*) FROM c", &["90"]).await;
    world.check("SELECT count(*) FROM c VERSION AS OF 0", &["100"]).await;
    world.run("CREATE OR REPLACE TABLE c DEEP CLONE source VERSION AS OF 1").await;
    world.check("SELECT count(*) FROM c", &["100"]).await;
    world.check("SELECT count(*) FROM files('c') WHERE path LIKE '/%'", &["0"]).await;
    world.check_error("CREATE TABLE d CLONE source VERSION AS OF 99", "99").await;
    world.check_error("CREATE OR REPLACE TABLE source CLONE source", "itself").await;
    world.check_error("CREATE TABLE d CLONE sourc", "source").await;
}

#[tokio::test]
async fn a_deep_clone_needs_its_source_no_more() {
    let world = World::new().await;
    world.run(SOURCE).await;
    let done = world.run("CREATE TABLE c DEEP CLONE source").await;
    assert!(done.message.contains("copied 3 files"), "two of rows and one of vectors: {}", done.message);
    fs::remove_dir_all(world.folder.path().join("warehouse/default/source")).expect("removed");
    check_in(&world.again().await, "SELECT count(*), sum(id) FROM c", &["90|4470"]).await;
    check_sound(&world, "c").await;
}

#[tokio::test]
async fn a_clone_of_a_keyed_table_has_its_key() {
    let world = World::new().await;
    world
        .run("CREATE TABLE k (id BIGINT PRIMARY KEY, v STRING); INSERT INTO k SELECT value, 'a' FROM range(1000)")
        .await;
    for depth in ["SHALLOW", "DEEP"] {
        world.run(&format!("CREATE OR REPLACE TABLE c {depth} CLONE k")).await;
        world.check_error("INSERT INTO c VALUES (5, 'twice')", "key id = 5 is there already").await;
        world.run("UPSERT INTO c VALUES (5, 'new'), (5000, 'new')").await;
        world.check("SELECT count(*), count(CASE WHEN v = 'new' THEN 1 END) FROM c", &["1001|2"]).await;
        world.check("SELECT v FROM c WHERE id = 5", &["new"]).await;
    }
    world.check("SELECT v FROM k WHERE id = 5", &["a"]).await;
}

#[tokio::test]
async fn row_ids_and_mapped_columns_come_along() {
    let world = World::new().await;
    world
        .run(
            "CREATE TABLE m (id BIGINT, old STRING) TBLPROPERTIES ('delta.columnMapping.mode' = 'name', \
             'delta.enableRowTracking' = 'true');
             INSERT INTO m VALUES (1, 'a'), (2, 'b'); ALTER TABLE m RENAME COLUMN old TO fresh; INSERT INTO m VALUES (3, 'c')",
        )
        .await;
    for depth in ["SHALLOW", "DEEP"] {
        world.run(&format!("CREATE OR REPLACE TABLE c {depth} CLONE m")).await;
        world.check("SELECT fresh FROM c WHERE id > 1", &["b", "c"]).await;
        world.run("INSERT INTO c VALUES (4, 'd'); ALTER TABLE c RENAME COLUMN fresh TO again").await;
        world.check("SELECT count(again) FROM c", &["4"]).await;
        check_sound(&world, "c").await;
    }
}

#[tokio::test]
async fn files_outside_are_read_where_their_folder_is_trusted() {
    let world = World::new().await;
    let lake = world.path("lake/source");
    let clone = world.path("clones/c");
    world.run(&format!("CREATE TABLE delta.`{lake}` (id BIGINT); INSERT INTO delta.`{lake}` VALUES (1), (2)")).await;
    let statement = format!("CREATE TABLE delta.`{clone}` SHALLOW CLONE delta.`{lake}`");
    world.check_error(&statement, "floe_trusted_roots").await;
    let trusting = |roots: String| {
        let options = floe_storage::StorageOptions::new().with("floe_trusted_roots", roots);
        SessionOptions::new(world.path("warehouse")).with_storage_options(options)
    };
    let session = Session::open(trusting(format!("s3://elsewhere/x, {}", world.path("lake")))).await.expect("opened");
    let _ = session.sql(&statement).await.expect("cloned");
    check_in(&session, &format!("SELECT id FROM delta.`{clone}`"), &["1", "2"]).await;
    // Who does not trust the folder gets no rows, and not fewer either.
    let error = error_in(&world.session, &format!("SELECT id FROM delta.`{clone}`")).await.to_string();
    assert!(error.contains("outside the table") && error.contains("floe_trusted_roots"), "{error}");
    let found = rows_of(&world.session, &format!("CHECK TABLE delta.`{clone}`")).await;
    assert!(
        found.iter().any(|finding| finding.contains("path-inside") && finding.contains("floe_trusted_roots")),
        "{found:?}"
    );
    // A folder whose name only begins like a trusted one is another.
    let other = Session::open(trusting(world.path("la"))).await.expect("opened");
    error_in(&other, &format!("SELECT id FROM delta.`{clone}`")).await;
}

/// Writes files as other programs lay them out: no log.
async fn folder_of_files(world: &World) -> String {
    let folder = world.path("files");
    world
        .run(&format!(
            "COPY (SELECT CAST(value AS INT) AS id, concat('v', value) AS v, DATE '2024-01-01' AS d FROM range(10)) \
             TO '{folder}/region=a%2Fb/one.parquet';
             COPY (SELECT CAST(value AS INT) AS id, concat('w', value) AS v, 1.5 AS later FROM range(10, 15)) \
             TO '{folder}/region=__HIVE_DEFAULT_PARTITION__/two.parquet'"
        ))
        .await;
    fs::write(format!("{folder}/_SUCCESS"), b"").expect("written");
    fs::create_dir_all(format!("{folder}/_temporary")).expect("made");
    fs::write(format!("{folder}/_temporary/half.parquet"), b"PAR1").expect("written");
    folder
}

#[tokio::test]
async fn a_folder_of_parquet_files_becomes_a_table() {
    let world = World::new().await;
    let folder = folder_of_files(&world).await;
    world.check_error(&format!("CONVERT TO DELTA parquet.`{folder}`"), "PARTITIONED BY").await;
    world.check_error(&format!("CONVERT TO DELTA parquet.`{folder}` PARTITIONED BY (region INT)"), "a/b").await;
    let done = world.run(&format!("CONVERT TO DELTA parquet.`{folder}` PARTITIONED BY (region STRING)")).await;
    assert!(done.message.contains("2 files with 15 rows"), "{}", done.message);
    let table = format!("delta.`{folder}`");
    world
        .check(
            &format!("SELECT region, count(*), min(id), max(v), count(d), sum(later) FROM {table} GROUP BY region"),
            &["a/b|10|0|v9|10|null", "null|5|10|w14|0|7.5"],
        )
        .await;
    // Statistics are those of the rows, and files can be skipped by them.
    check_sound(&world, &format!("'{folder}'")).await;
    world.check(&format!("SELECT v FROM {table} WHERE id = 12"), &["w12"]).await;
    world.run(&format!("DELETE FROM {table} WHERE id = 3; INSERT INTO {table} (id, region) VALUES (99, 'c')")).await;
    world.check(&format!("SELECT count(*), max(id) FROM {table}"), &["15|99"]).await;
    world.check_error(&format!("CONVERT TO DELTA parquet.`{folder}` PARTITIONED BY (region STRING)"), "exists").await;
    world.check(&format!("SELECT operation FROM history('{folder}') WHERE version = 0"), &["CONVERT"]).await;
}

#[tokio::test]
async fn files_that_make_no_table_are_refused() {
    let world = World::new().await;
    let folder = world.path("files");
    world.check_error(&format!("CONVERT TO DELTA parquet.`{folder}`"), "no Parquet files").await;
    world
        .run(&format!(
            "COPY (SELECT 1 AS a) TO '{folder}/one.parquet'; COPY (SELECT 'x' AS a) TO '{folder}/two.parquet'"
        ))
        .await;
    let error = world.error(&format!("CONVERT TO DELTA parquet.`{folder}`")).await.to_string();
    assert!(error.contains("one.parquet") && error.contains("two.parquet"), "{error}");
    fs::write(format!("{folder}/two.parquet"), b"PAR1 no more").expect("written");
    world.check_error(&format!("CONVERT TO DELTA '{folder}'"), "two.parquet").await;
    fs::remove_file(format!("{folder}/two.parquet")).expect("removed");
    world.run(&format!("CONVERT TO DELTA '{folder}' NO STATISTICS")).await;
    world.check(&format!("SELECT * FROM '{folder}'"), &["1"]).await;
    world.check_error("CONVERT TO DELTA csv.`x`", "CONVERT TO DELTA csv").await;
}
