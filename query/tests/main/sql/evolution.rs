//! Tables that get columns with the rows that have them.

use floe_table::{AppendOptions, SaveMode, SchemaMode};
use floe_testkit::Batch;
use futures::StreamExt;

use super::World;

fn rows(batches: Vec<arrow::array::RecordBatch>) -> floe_table::BatchStream {
    futures::stream::iter(batches.into_iter().map(Ok)).boxed()
}

#[tokio::test]
async fn an_insert_brings_columns_with_it() {
    let world = World::new().await;
    world.run("CREATE TABLE t (id BIGINT, v STRING DEFAULT 'none'); INSERT INTO t VALUES (1, 'a')").await;
    world.run("INSERT WITH SCHEMA EVOLUTION INTO t SELECT 2, 'b', 2.5 AS amount").await;
    world.run("INSERT WITH SCHEMA EVOLUTION INTO t BY NAME SELECT DATE '2026-01-01' AS day, 3 AS ID").await;
    world.run("INSERT WITH SCHEMA EVOLUTION INTO t (id, note) VALUES (4, 'x')").await;
    let expected = ["1|a|null|null|null", "2|b|2.5|null|null", "3|none|null|2026-01-01|null", "4|none|null|null|x"];
    world.check("SELECT * FROM t", &expected).await;
    super::check_in(&world.again().await, "SELECT * FROM t", &expected).await;
    world.check("SELECT max(version) FROM history('t')", &["4"]).await;
    world.check("SELECT count(*) FROM t VERSION AS OF 1", &["1"]).await;
    world.check_error("INSERT INTO t BY NAME SELECT 1 AS id, 2 AS other", "unknown column other").await;
    world.run("INSERT INTO t BY NAME SELECT 'y' AS note, 5 AS id").await;
    world.check("SELECT id, note, v FROM t WHERE id = 5", &["5|y|none"]).await;
    world.check_error("INSERT WITH SCHEMA EVOLUTION INTO t SELECT 1", "is for 5 columns, the rows have 1").await;
    world.check_error("INSERT WITH SCHEMA EVOLUTION INTO t (id, Id) VALUES (1, 2)", "given twice").await;
    world
        .check_error("INSERT WITH SCHEMA EVOLUTION INTO t (id, `a b`) VALUES (1, 2)", "delta.columnMapping.mode")
        .await;
    world.check_error("INSERT WITH SCHEMA EVOLUTION INTO t BY NAME SELECT 'word' AS id", "word").await;
    world.run("INSERT WITH SCHEMA EVOLUTION OVERWRITE t BY NAME SELECT 9 AS id, true AS last").await;
    world.check("SELECT * FROM t", &["9|none|null|null|null|true"]).await;
    world.check("SELECT count(*) FROM t ORDER BY 1", &["1"]).await;
}

#[tokio::test]
async fn structs_get_fields_with_the_rows_that_have_them() {
    let world = World::new().await;
    world.run("CREATE TABLE t (id BIGINT, s STRUCT<a: INT>, l ARRAY<STRUCT<x: INT>>) TBLPROPERTIES ('delta.columnMapping.mode' = 'name')").await;
    world.run("INSERT INTO t VALUES (1, named_struct('a', 1), make_array(named_struct('x', 1)))").await;
    world
        .run(
            "INSERT WITH SCHEMA EVOLUTION INTO t
             SELECT 2, named_struct('b', 'new', 'a', 2), make_array(named_struct('y', 20, 'x', 2))",
        )
        .await;
    let rows = ["1|1|null|1|null", "2|2|new|2|20"];
    world.check("SELECT id, s['a'], s['b'], l[1]['x'], l[1]['y'] FROM t", &rows).await;
    super::check_in(&world.again().await, "SELECT id, s['a'], s['b'], l[1]['x'], l[1]['y'] FROM t", &rows).await;
    world.check_error("INSERT INTO t BY NAME SELECT 3 AS id, named_struct('a', 1, 'c', 2) AS s", "s.c").await;
}

#[tokio::test]
async fn a_merge_brings_columns_with_it() {
    let world = World::new().await;
    for (keyed, feed) in [(false, false), (true, false), (true, true)] {
        let key = if keyed { ", PRIMARY KEY (id)" } else { "" };
        world
            .run(&format!(
                "CREATE OR REPLACE TABLE t (id BIGINT, v INT{key}) TBLPROPERTIES ('delta.enableChangeDataFeed' = '{feed}');
                 INSERT INTO t VALUES (1, 1), (2, 2); CREATE OR REPLACE TABLE s (id BIGINT, v INT, note STRING);
                 INSERT INTO s VALUES (2, 20, 'b'), (3, 30, 'c')"
            ))
            .await;
        let stars = "USING s ON t.id = s.id WHEN MATCHED THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *";
        world.run(&format!("MERGE INTO t {stars}")).await;
        world.check("SELECT * FROM t", &["1|1", "2|20", "3|30"]).await;
        let done = world.run(&format!("MERGE WITH SCHEMA EVOLUTION INTO t {stars}")).await;
        world.check("SELECT * FROM t", &["1|1|null", "2|20|b", "3|30|c"]).await;
        if feed {
            let version = done.version.expect("made");
            let sql = format!("SELECT _change_type, id, note FROM table_changes('t', {version})");
            let expected =
                ["update_postimage|2|b", "update_postimage|3|c", "update_preimage|2|null", "update_preimage|3|null"];
            world.check(&sql, &expected).await;
        }
        world
            .run(
                "MERGE WITH SCHEMA EVOLUTION INTO t USING (SELECT 1 AS id, 5 AS extra, 6 AS unused) AS s ON t.id = s.id
                 WHEN MATCHED THEN UPDATE SET extra = s.extra",
            )
            .await;
        world.check("SELECT * FROM t WHERE id = 1", &["1|1|null|5"]).await;
        let error =
            world.error("MERGE INTO t USING s ON t.id = s.id WHEN MATCHED THEN UPDATE SET missing = s.note").await;
        assert!(error.to_string().contains("missing"), "{error}");
        let nothing =
            "USING (SELECT 1 AS id, 1 AS more) AS s ON t.id = s.id + 100 WHEN MATCHED THEN UPDATE SET more = s.more";
        world.run(&format!("MERGE WITH SCHEMA EVOLUTION INTO t {nothing}")).await;
        // The columns come also where no row was there to bring them.
        super::check_in(&world.again().await, "SELECT * FROM t WHERE id = 3", &["3|30|c|null|null"]).await;
    }
}

#[tokio::test]
async fn a_library_append_merges_or_overwrites_the_schema() {
    let world = World::new().await;
    world.run("CREATE TABLE t (id BIGINT NOT NULL, p STRING) PARTITIONED BY (p) TBLPROPERTIES ('owner' = 'me')").await;
    let table = world.session.table("t").await.expect("there");
    let wide = || Batch::new().long("id", [2]).text("p", ["x"]).double("more", [2.5]).build();
    let error = table.append(vec![wide()]).await.expect_err("refused").to_string();
    assert!(error.contains("a column more that the table lacks"), "{error}");
    let merge = AppendOptions { schema: SchemaMode::Merge, ..AppendOptions::default() };
    table.append_with(rows(vec![wide()]), merge.clone()).await.expect("appended");
    let narrow = Batch::new().long("id", [3]).build();
    table.append_with(rows(vec![narrow]), merge.clone()).await.expect("appended");
    table.append_with(rows(Vec::new()), merge).await.expect("no rows bring no columns");
    world.check("SELECT * FROM t", &["2|x|2.5", "3|null|null"]).await;

    let new = || Batch::new().text("p", ["y"]).boolean("flag", [true]).build();
    let overwrite = |mode| AppendOptions { mode, schema: SchemaMode::Overwrite, ..AppendOptions::default() };
    assert!(table.append_with(rows(vec![new()]), overwrite(SaveMode::Append)).await.is_err());
    let lost = Batch::new().boolean("flag", [true]).build();
    let error = table.append_with(rows(vec![lost]), overwrite(SaveMode::Overwrite)).await.expect_err("refused");
    assert!(error.to_string().contains("partitioned by p"), "{error}");
    table.append_with(rows(vec![new()]), overwrite(SaveMode::Overwrite)).await.expect("overwritten");
    world.check("SELECT * FROM t", &["y|true"]).await;
    world.check("SELECT id FROM t VERSION AS OF 2", &["2", "3"]).await;
    let snapshot = table.snapshot().await.expect("loaded");
    assert_eq!(snapshot.state().metadata.configuration.get("owner").map(String::as_str), Some("me"));
    assert_eq!(snapshot.state().metadata.partition_columns, ["p"]);
}

#[tokio::test]
async fn columns_are_replaced_as_a_whole() {
    let world = World::new().await;
    world.run("CREATE TABLE t (id BIGINT NOT NULL, v INT, gone STRING); INSERT INTO t VALUES (1, 2, 'x')").await;
    world.check_error("ALTER TABLE t REPLACE COLUMNS (id BIGINT)", "'delta.columnMapping.mode' = 'name'").await;
    world.run("ALTER TABLE t SET TBLPROPERTIES ('delta.columnMapping.mode' = 'name')").await;
    world.run("ALTER TABLE t REPLACE COLUMNS (V INT COMMENT 'kept', new STRING, ID BIGINT)").await;
    world.check("SELECT * FROM t", &["2|null|1"]).await;
    world
        .check(
            "DESCRIBE t",
            &["v|int|true|null|null|kept", "new|string|true|null|null|null", "id|bigint|true|null|null|null"],
        )
        .await;
    for (columns, expected) in [
        ("v STRING", "is integer and would be string"),
        ("v INT NOT NULL", "may have nulls"),
        ("v INT, v INT", "exists twice"),
        ("v INT, w INT NOT NULL", "is NOT NULL"),
    ] {
        world.check_error(&format!("ALTER TABLE t REPLACE COLUMNS ({columns})"), expected).await;
    }
}

#[tokio::test]
async fn replacing_a_table_keeps_its_history() {
    let world = World::new().await;
    world.run("CREATE TABLE t (id BIGINT, v INT); INSERT INTO t VALUES (1, 2)").await;
    world.run("CREATE OR REPLACE TABLE t AS SELECT 'x' AS name").await;
    world.check("SELECT * FROM t", &["x"]).await;
    world.check("SELECT * FROM t VERSION AS OF 1", &["1|2"]).await;
    world.check("SELECT count(*) FROM history('t')", &["3"]).await;
}

#[tokio::test]
async fn types_become_wider_by_statement_and_with_rows() {
    let world = World::new().await;
    world
        .run(
            "CREATE TABLE t (id INT, f FLOAT, d DATE, s STRUCT<a: SMALLINT>, l ARRAY<INT>, m MAP<STRING, DECIMAL(5, 2)>) PARTITIONED BY (d);
             INSERT INTO t VALUES (1, 0.1, DATE '2024-02-29', named_struct('a', 1), [1], MAP {'k': 1.25}), (2, 2.5, NULL, NULL, NULL, NULL)",
        )
        .await;
    world.check_error("ALTER TABLE t ALTER COLUMN id TYPE BIGINT", "delta.enableTypeWidening").await;
    world
        .run(
            "ALTER TABLE t SET TBLPROPERTIES ('delta.enableTypeWidening' = 'true');
             ALTER TABLE t ALTER COLUMN id TYPE BIGINT;
             ALTER TABLE t ALTER COLUMN f TYPE DOUBLE;
             ALTER TABLE t ALTER COLUMN d TYPE TIMESTAMP_NTZ;
             ALTER TABLE t ALTER COLUMN s.a TYPE INT;
             ALTER TABLE t ALTER COLUMN l.element TYPE BIGINT;
             ALTER TABLE t ALTER COLUMN m.value TYPE DECIMAL(10, 4)",
        )
        .await;
    world.check_error("ALTER TABLE t ALTER COLUMN id TYPE INT", "long does not widen to integer").await;
    world.check_error("ALTER TABLE t ALTER COLUMN s TYPE INT", "s").await;
    world
        .run("INSERT INTO t VALUES (5000000000, 1e300, TIMESTAMP '2024-03-01 10:00:00', named_struct('a', 70000), [5000000000], MAP {'k': 12345.6789})")
        .await;
    // A float is not the double of its text: files must not be skipped for it.
    world.check("SELECT id FROM t WHERE f > 0.1 AND f < 0.2", &["1"]).await;
    world.check("SELECT id FROM t WHERE d = TIMESTAMP '2024-02-29 00:00:00'", &["1"]).await;
    world.check("SELECT id FROM t WHERE id > 2 OR s.a = 1", &["1", "5000000000"]).await;
    world.check("SELECT l[1], m['k'] FROM t WHERE id = 1", &["1|1.2500"]).await;
    world.run("UPDATE t SET id = id + 1 WHERE id < 10; DELETE FROM t WHERE id = 3; OPTIMIZE t").await;
    world.check("SELECT id, f < 0.2 FROM t", &["2|true", "5000000000|false"]).await;
    world
        .run(
            "CREATE TABLE w (id INT, v FLOAT) TBLPROPERTIES ('delta.enableTypeWidening' = 'true');
             INSERT INTO w VALUES (1, 1.5);
             INSERT WITH SCHEMA EVOLUTION INTO w SELECT arrow_cast(5000000000, 'Int64') AS id, arrow_cast(0.1, 'Float64') AS v",
        )
        .await;
    world.check("SELECT id, v FROM w", &["1|1.5", "5000000000|0.1"]).await;
}
