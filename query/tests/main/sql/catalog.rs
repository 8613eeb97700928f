//! CREATE, DROP, SHOW, DESCRIBE, USE.

use floe_query::QueryError;

use super::{World, check_in, rows_of};

#[tokio::test]
async fn show_tables_lists_managed_and_external_tables() {
    let world = World::new().await;
    let away = world.path("away");
    world.run(&format!("CREATE TABLE here (id BIGINT); CREATE TABLE there (id BIGINT) LOCATION '{away}'")).await;
    let listed: Vec<String> = rows_of(&world.session, "SHOW TABLES").await;
    let shown: Vec<&str> = listed.iter().map(|row| row.rsplit_once('|').expect("a location").0).collect();
    assert_eq!(shown, ["default|here|MANAGED", "default|there|EXTERNAL"]);
    // Another process sees the same.
    let other = world.again().await;
    assert_eq!(rows_of(&other, "SHOW TABLES").await, listed);
    world.run("INSERT INTO there VALUES (1)").await;
    check_in(&other, "SELECT * FROM there", &["1"]).await;
    world.run("DROP TABLE there; DROP TABLE here").await;
    assert!(rows_of(&world.session, "SHOW TABLES").await.is_empty());
    // The pointer is gone, the files are not.
    world.check(&format!("SELECT * FROM delta.`{away}`"), &["1"]).await;
    world.run(&format!("CREATE TABLE back LOCATION '{away}'")).await;
    world.check("SELECT * FROM back", &["1"]).await;
    world
        .check_error(&format!("CREATE TABLE other (x STRING) LOCATION '{away}'"), "with other columns: id BIGINT")
        .await;
}

#[tokio::test]
async fn dropping_a_managed_table_deletes_its_files_and_the_name_is_free_again() {
    let world = World::new().await;
    world.run("CREATE TABLE t (id BIGINT); INSERT INTO t VALUES (1); DROP TABLE t; CREATE TABLE t (name STRING)").await;
    world.check("SELECT * FROM t", &[]).await;
    world.run("INSERT INTO t VALUES ('a')").await;
    world.check("SELECT * FROM t", &["a"]).await;
    world.run("DROP TABLE t").await;
    let left: Vec<_> = walk(world.folder.path());
    assert!(left.is_empty(), "{left:?}");
    assert!(matches!(world.error("DROP TABLE t").await, QueryError::UnknownTable { .. }));
    world.run("DROP TABLE IF EXISTS t").await;
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() { files.extend(walk(&path)) } else { files.push(path) }
    }
    files
}

#[tokio::test]
async fn a_table_is_kept_refused_or_replaced() {
    let world = World::new().await;
    world.run("CREATE TABLE t (id BIGINT); INSERT INTO t VALUES (1)").await;
    let error = world.error("CREATE TABLE t (id BIGINT)").await;
    assert!(matches!(error, QueryError::TableExists { .. }));
    assert!(error.hint().expect("a hint").contains("CREATE OR REPLACE TABLE"));
    world.run("CREATE TABLE IF NOT EXISTS t (other STRING)").await;
    world.check("SELECT * FROM t", &["1"]).await;
    world.run("CREATE OR REPLACE TABLE t (name STRING)").await;
    world.check("SELECT * FROM t", &[]).await;
    world.check("SELECT * FROM t VERSION AS OF 1", &["1"]).await;
    world.run("CREATE OR REPLACE TABLE t AS SELECT 5 AS five").await;
    world.check("SELECT * FROM t", &["5"]).await;
}

#[tokio::test]
async fn a_table_is_made_from_a_query_in_one_commit() {
    let world = World::new().await;
    let done = world
        .run("CREATE TABLE t PARTITIONED BY (k) AS SELECT value AS id, value % 2 AS k FROM generate_series(1, 4)")
        .await;
    assert_eq!(done.affected_rows, Some(4));
    assert_eq!(done.version.map(|v| v.get()), Some(0));
    world.check("SELECT id, k FROM t", &["1|1", "2|0", "3|1", "4|0"]).await;
    // A query that fails leaves no table behind.
    world
        .check_error("CREATE TABLE bad AS SELECT 1 / (value - 2) AS x FROM generate_series(1, 3)", "ivide by zero")
        .await;
    assert!(matches!(world.error("SELECT * FROM bad").await, QueryError::UnknownTable { .. }));
}

#[tokio::test]
async fn schemas_hold_tables_of_the_same_name() {
    let world = World::new().await;
    world.run("CREATE SCHEMA sales; CREATE TABLE sales.t (id BIGINT); CREATE TABLE t (id BIGINT)").await;
    world.run("INSERT INTO sales.t VALUES (1); INSERT INTO t VALUES (2)").await;
    world.check("SELECT * FROM SALES.T", &["1"]).await;
    world.check("SELECT a.id, b.id FROM sales.t a, default.t b", &["1|2"]).await;
    world.check("SHOW SCHEMAS", &["default", "sales"]).await;
    world.run("USE sales").await;
    world.check("SELECT * FROM t", &["1"]).await;
    let error = world.error("DROP SCHEMA sales").await;
    assert!(matches!(error, QueryError::SchemaNotEmpty { tables: 1, .. }));
    world.run("DROP SCHEMA sales CASCADE").await;
    assert_eq!(world.session.current_schema(), "default");
    world.check("SELECT * FROM t", &["2"]).await;
    world.check_error("CREATE TABLE slaes.t (id INT)", "unknown schema slaes").await;
}

#[tokio::test]
async fn describe_shows_columns_and_detail_shows_the_table() {
    let world = World::new().await;
    world
        .run(
            "CREATE TABLE t (id BIGINT NOT NULL, name STRING DEFAULT 'x' COMMENT 'words', day DATE)
             PARTITIONED BY (day) COMMENT 'all of it' TBLPROPERTIES ('custom' = 'yes')",
        )
        .await;
    world
        .check(
            "DESCRIBE t",
            &["id|bigint|false|null|null|null", "name|string|true|null|'x'|words", "day|date|true|0|null|null"],
        )
        .await;
    world.check("DESCRIBE SELECT 1 AS one", &["one|bigint|false|null|null|null"]).await;
    let detail = rows_of(&world.session, "DESCRIBE DETAIL t").await.join("\n");
    for expected in ["delta", "all of it", "[day]", "custom: yes"] {
        assert!(detail.contains(expected), "{expected}: {detail}");
    }
    let history = rows_of(&world.session, "DESCRIBE HISTORY t").await;
    assert_eq!(history.len(), 1);
    assert!(history[0].starts_with("0|"), "{history:?}");
}

#[tokio::test]
async fn show_create_table_makes_the_same_table_again() {
    let world = World::new().await;
    world
        .run(
            "CREATE TABLE t (id BIGINT NOT NULL, `two-words` STRING DEFAULT 'it''s', s STRUCT<a: INT, b: ARRAY<DOUBLE>>,
             CONSTRAINT positive CHECK (id > 0)) PARTITIONED BY (`two-words`) TBLPROPERTIES ('custom' = 'yes')",
        )
        .await;
    let statement = rows_of(&world.session, "SHOW CREATE TABLE t").await.remove(0);
    let (before, _) = statement.split_once("\nLOCATION").expect("a location");
    let (_, after) = statement.split_once("TBLPROPERTIES").expect("properties");
    let again = format!("{before}\nTBLPROPERTIES{after}").replacen("TABLE t", "TABLE u", 1);
    world.run(&again).await;
    assert_eq!(rows_of(&world.session, "DESCRIBE u").await, rows_of(&world.session, "DESCRIBE t").await);
    world.check_error("INSERT INTO u (id) VALUES (0)", "positive").await;
}

#[tokio::test]
async fn names_that_are_paths_are_refused() {
    let world = World::new().await;
    for name in ["`a/b`", "`..`", "_log", "`.hidden`", "`a\\b`"] {
        let error = world.error(&format!("CREATE TABLE default.{name} (id INT)")).await;
        assert!(matches!(error, QueryError::InvalidName { .. }), "{name}: {error}");
    }
    assert!(matches!(world.error("CREATE SCHEMA delta").await, QueryError::InvalidName { .. }));
}

#[tokio::test]
async fn a_program_can_register_tables_of_its_own() {
    use std::sync::Arc;

    use arrow::array::{Int64Array, RecordBatch};
    let world = World::new().await;
    let ids: arrow::array::ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
    let batch = RecordBatch::try_from_iter([("id", ids)]).expect("a batch");
    world.session.context().register_batch("updates", batch).expect("registers");
    world.run("CREATE TABLE t AS SELECT * FROM updates").await;
    world.check("SELECT * FROM t", &["1", "2"]).await;
    // The warehouse is a catalog for DataFusion's own SQL too.
    let frame = world.session.context().sql("SELECT count(*) FROM t").await.expect("plans");
    assert_eq!(frame.collect().await.expect("runs")[0].num_rows(), 1);
}

#[tokio::test]
async fn from_alone_selects_everything() {
    let world = World::new().await;
    world.run("CREATE TABLE t AS SELECT 1 AS id, 'a' AS name UNION ALL SELECT 2, NULL").await;
    world.check("FROM t", &["1|a", "2|null"]).await;
    world.check("FROM t WHERE id = 2", &["2|null"]).await;
    world.check("SELECT count(*) FROM (FROM t UNION ALL FROM t) AS both_of_them", &["4"]).await;
    world.check("WITH x AS (FROM t LIMIT 1) FROM x", &["1|a"]).await;
    world.check("FROM t SELECT name WHERE id = 1", &["a"]).await;
}

#[tokio::test]
async fn summarize_tells_of_each_column() {
    let world = World::new().await;
    world
        .run(
            "CREATE TABLE t AS SELECT value AS id, CASE WHEN value % 4 > 0 THEN concat('n', value % 2) END AS name, \
              value * 1.5 AS f, [value] AS l, value > 2 AS b FROM generate_series(1, 8)",
        )
        .await;
    let expected = [
        "id|bigint|1|8|8|4.5|2.449489742783178|2.5|4.5|6.5|8|0.00",
        "name|string|n0|n1|2|null|null|null|null|null|8|25.00",
        "f|double|1.5|12.0|8|6.75|3.6742346141747673|3.75|6.75|9.75|8|0.00",
        "l|array<bigint>|null|null|null|null|null|null|null|null|8|0.00",
        "b|boolean|false|true|2|null|null|null|null|null|8|0.00",
    ];
    world.check("SUMMARIZE t", &expected).await;
    world.check("SUMMARIZE SELECT id FROM t", &expected[..1]).await;
    world
        .check(
            "SUMMARIZE FROM t WHERE false",
            &[
                "id|bigint|null|null|0|null|null|null|null|null|0|0.00",
                "name|string|null|null|0|null|null|null|null|null|0|0.00",
                "f|double|null|null|0|null|null|null|null|null|0|0.00",
                "l|array<bigint>|null|null|null|null|null|null|null|null|0|0.00",
                "b|boolean|null|null|0|null|null|null|null|null|0|0.00",
            ],
        )
        .await;
    world.check_error("SUMMARIZE nothing", "unknown table nothing").await;
}
