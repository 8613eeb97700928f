//! Primary keys: UPSERT, ON CONFLICT, MERGE by key, look-ups, the index.

use super::{World, rows_of};

#[tokio::test]
async fn keys_are_declared_enforced_and_shown() {
    let world = World::new().await;
    world.run("CREATE TABLE t (id BIGINT PRIMARY KEY, name STRING); INSERT INTO t VALUES (1, 'a'), (2, 'b')").await;
    world.check_error("INSERT INTO t VALUES (3, 'c'), (2, 'x')", "the key id = 2 is there already").await;
    world.check_error("INSERT INTO t VALUES (NULL, 'c')", "NOT NULL id").await;
    world.check_error("UPDATE t SET id = 1 WHERE id = 2", "the key id = 1 is there already").await;
    world.run("UPDATE t SET id = id + 10, name = 'moved'").await;
    world.check("SELECT * FROM t", &["11|moved", "12|moved"]).await;
    world.run("CREATE TABLE pairs (a INT, b STRING, v INT, PRIMARY KEY (a, b)) PARTITIONED BY (b)").await;
    world.run("INSERT INTO pairs VALUES (1, 'x', 1), (1, 'y', 2)").await;
    world.check_error("INSERT INTO pairs VALUES (1, 'y', 3)", "a = 1, b = y").await;
    let shown = rows_of(&world.session, "SHOW CREATE TABLE pairs").await.join("\n");
    assert!(shown.contains("PRIMARY KEY (a, b)") && !shown.contains("floe.primaryKey"), "{shown}");
    world.check_error("CREATE TABLE u (id INT, PRIMARY KEY (nam))", "nam").await;
    world.check_error("CREATE TABLE u (id INT PRIMARY KEY, v INT PRIMARY KEY)", "one primary key").await;
    world
        .check_error("ALTER TABLE t SET TBLPROPERTIES ('floe.primaryKey' = 'name')", "declare it with PRIMARY KEY")
        .await;
    world.run("CREATE TABLE late AS SELECT 1 AS id, 'a' AS name UNION ALL SELECT 2, 'b'").await;
    world.run("ALTER TABLE late ADD PRIMARY KEY (id)").await;
    world.check_error("INSERT INTO late VALUES (1, 'x')", "id = 1 is there already").await;
    world.run("ALTER TABLE late DROP PRIMARY KEY; INSERT INTO late VALUES (1, 'x')").await;
    world.check_error("ALTER TABLE late ADD CONSTRAINT pk PRIMARY KEY (id)", "several rows").await;
    world.run("CREATE TABLE copied (PRIMARY KEY (id)) AS SELECT * FROM t").await;
    world.check_error("INSERT INTO copied VALUES (11, 'x')", "is there already").await;
}

#[tokio::test]
async fn upsert_goes_by_what_the_table_declares() {
    let world = World::new().await;
    world.run("CREATE TABLE t (id BIGINT PRIMARY KEY, name STRING, n INT)").await;
    let done = world.run("UPSERT INTO t VALUES (1, 'a', 1), (2, 'b', 2)").await;
    assert_eq!(done.message, "upserted into t: 2 inserted, 0 updated (version 1)");
    let done = world.run("UPSERT INTO t SELECT id + 1, 'again', n FROM t").await;
    assert_eq!(
        (done.affected_rows, done.message.as_str()),
        (Some(2), "upserted into t: 1 inserted, 1 updated (version 2)")
    );
    world.check("SELECT * FROM t", &["1|a|1", "2|again|1", "3|again|2"]).await;
    world
        .run(
            "CREATE TABLE events (id BIGINT PRIMARY KEY, ts BIGINT, a STRING, b STRING)
             TBLPROPERTIES ('floe.orderingFields' = 'ts', 'floe.mergeMode' = 'partial', 'floe.deleteMarker' = 'gone');
             UPSERT INTO events (id, ts, a, b) VALUES (1, 5, 'a', 'b'), (2, 5, 'c', 'd')",
        )
        .await;
    let done = world.run("UPSERT INTO events (id, ts, a) VALUES (1, 4, 'late'), (2, 6, 'new'), (3, 1, 'x')").await;
    assert_eq!(done.message, "upserted into events: 1 inserted, 1 updated, 1 ignored (version 2)");
    world.check("SELECT * FROM events", &["1|5|a|b", "2|6|new|d", "3|1|x|null"]).await;
    let done = world.run("UPSERT INTO events (id, ts, gone) VALUES (2, 7, true), (3, 0, true), (9, 9, true)").await;
    assert_eq!(done.message, "upserted into events: 0 inserted, 0 updated, 1 deleted, 1 ignored (version 3)");
    world.check("SELECT id FROM events", &["1", "3"]).await;
    world.run("UPSERT INTO events VALUES (5, 1, 'all', 'given')").await;
    world.check("SELECT a, b FROM events WHERE id = 5", &["all|given"]).await;
    world.run("CREATE TABLE plain (id INT)").await;
    world.check_error("UPSERT INTO plain VALUES (1)", "needs a primary key").await;
    world.check_error("UPSERT t VALUES (1)", "INTO").await;
    world
        .check_error("CREATE TABLE u (id INT) TBLPROPERTIES ('floe.mergeMode' = 'partial')", "need a primary key")
        .await;
    world
        .check_error("CREATE TABLE u (id INT) TBLPROPERTIES ('floe.mergMode' = 'x')", "did you mean floe.mergeMode?")
        .await;
    world
        .check_error(
            "CREATE TABLE u (id INT PRIMARY KEY) TBLPROPERTIES ('floe.orderingFields' = 'idd')",
            "did you mean id?",
        )
        .await;
}

#[tokio::test]
async fn on_conflict_updates_or_does_nothing() {
    let world = World::new().await;
    world.run("CREATE TABLE t (id BIGINT PRIMARY KEY, name STRING, n INT); INSERT INTO t VALUES (1, 'a', 1)").await;
    let done = world.run("INSERT INTO t VALUES (1, 'x', 9), (2, 'b', 2) ON CONFLICT (id) DO NOTHING").await;
    assert_eq!((done.affected_rows, done.message.as_str()), (Some(1), "inserted 1 row into t (version 2)"));
    let done = world.run("INSERT INTO t VALUES (1, 'y', 9) ON CONFLICT DO NOTHING").await;
    assert_eq!(done.message, "nothing to insert into t");
    world
        .run("INSERT INTO t VALUES (1, 'z', 5), (3, 'c', 3) ON CONFLICT (id) DO UPDATE SET n = n + excluded.n, name = excluded.name")
        .await;
    world.check("SELECT * FROM t", &["1|z|6", "2|b|2", "3|c|3"]).await;
    world
        .run("INSERT INTO t (id, n) SELECT 1, 100 UNION ALL SELECT 2, 1 ON CONFLICT (id) DO UPDATE SET n = excluded.n WHERE t.n < excluded.n - 10")
        .await;
    world.check("SELECT * FROM t", &["1|z|100", "2|b|2", "3|c|3"]).await;
    world
        .check_error("INSERT INTO t VALUES (1, 'a', 1) ON CONFLICT (name) DO NOTHING", "the primary key is (id)")
        .await;
    world
        .check_error("INSERT INTO t VALUES (5, 'a', 1), (5, 'b', 2) ON CONFLICT (id) DO UPDATE SET n = 0", "id = 5")
        .await;
    world.run("CREATE TABLE plain (id INT)").await;
    world.check_error("INSERT INTO plain VALUES (1) ON CONFLICT DO NOTHING", "needs a primary key").await;
}

#[tokio::test]
async fn a_merge_by_a_narrow_key_takes_wide_values_that_fit() {
    let world = World::new().await;
    world.run("CREATE TABLE t (id INT PRIMARY KEY, v STRING); INSERT INTO t VALUES (1, 'a'), (2, 'b')").await;
    let source =
        "USING (VALUES (1, 'x'), (4294967298, 'far'), (CAST(NULL AS BIGINT), 'none')) AS s(id, v) ON t.id = s.id";
    let plan =
        rows_of(&world.session, &format!("EXPLAIN MERGE INTO t {source} WHEN MATCHED THEN UPDATE SET v = s.v")).await;
    assert!(plan.join("\n").contains("look-up"), "{plan:?}");
    world.run(&format!("MERGE INTO t {source} WHEN MATCHED THEN UPDATE SET v = s.v")).await;
    world.check("SELECT * FROM t", &["1|x", "2|b"]).await;
    world.run("MERGE INTO t USING (VALUES (2, 'y'), (3, 'z')) AS s(id, v) ON t.id = s.id WHEN MATCHED THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *").await;
    world.check("SELECT * FROM t", &["1|x", "2|y", "3|z"]).await;
}

#[tokio::test]
async fn merges_by_key_give_what_other_merges_give() {
    let clauses = [
        "WHEN MATCHED THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *",
        "WHEN MATCHED AND s.n > 20 THEN DELETE WHEN MATCHED THEN UPDATE SET n = t.n + s.n WHEN NOT MATCHED AND s.n < 50 THEN INSERT *",
        "WHEN NOT MATCHED THEN INSERT (id, n) VALUES (s.id, s.n * 2)",
        "WHEN MATCHED THEN DELETE",
        "WHEN MATCHED AND t.n = 3 THEN UPDATE SET name = 'three'",
        "WHEN MATCHED THEN UPDATE SET id = s.id, name = upper(t.name), n = s.n WHEN NOT MATCHED THEN INSERT *",
    ];
    for clauses in clauses {
        let world = World::new().await;
        for (table, key) in [("keyed", "PRIMARY KEY"), ("plain", "NOT NULL")] {
            world
                .run(&format!(
                    "CREATE TABLE {table} (id BIGINT {key}, name STRING, n INT);
                     INSERT INTO {table} VALUES (1, 'a', 1), (2, 'b', 2), (3, 'c', 3); INSERT INTO {table} VALUES (4, 'd', 4)"
                ))
                .await;
            world
                .run(&format!(
                    "MERGE INTO {table} AS t USING (VALUES (2, 'B', 20), (3, 'C', 30), (7, 'G', 40), (8, 'H', 80)) AS s (id, name, n)
                     ON t.id = s.id {clauses}"
                ))
                .await;
        }
        let plain = rows_of(&world.session, "SELECT * FROM plain ORDER BY id").await;
        assert_eq!(rows_of(&world.session, "SELECT * FROM keyed ORDER BY id").await, plain, "{clauses}");
    }
}

#[tokio::test]
async fn a_merge_by_key_says_how_it_finds_its_rows() {
    let world = World::new().await;
    world.run("CREATE TABLE t (id BIGINT PRIMARY KEY, n INT); INSERT INTO t SELECT value AS id, value AS n FROM range(1000)").await;
    let merge = "MERGE INTO t USING (SELECT 5 AS id, 6 AS n) AS s ON s.id = t.id";
    let plan = rows_of(
        &world.session,
        &format!("EXPLAIN {merge} WHEN MATCHED THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *"),
    )
    .await;
    assert!(plan[0].starts_with("look-up|1 keys in 1 files by"), "{plan:?}");
    assert_eq!(plan[1], "merge|1 rows in 1 files are replaced unread");
    let plan = rows_of(&world.session, &format!("EXPLAIN {merge} WHEN MATCHED THEN UPDATE SET n = t.n + s.n")).await;
    assert_eq!(plan[1], "merge|1 rows in 1 files are read by their places");
    let plan = rows_of(&world.session, &format!("EXPLAIN {merge} AND t.n > 3 WHEN MATCHED THEN DELETE")).await;
    assert!(plan[0].starts_with("join|"), "{plan:?}");
    let plan = rows_of(&world.session, "EXPLAIN UPSERT INTO t VALUES (3, 4), (5000, 1)").await;
    assert!(plan[0].starts_with("look-up|2 keys in 1 files"), "{plan:?}");
    assert_eq!(plan[1], "write|1 rows in 1 files give way to 2 rows");
    world.check("SELECT count(*), sum(n) FROM t", &["1000|499500"]).await;
    let twice = "MERGE INTO t USING (VALUES (5, 1), (5, 2)) AS s (id, n) ON t.id = s.id";
    for clauses in
        ["WHEN MATCHED THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *", "WHEN MATCHED THEN UPDATE SET n = s.n"]
    {
        world.check_error(&format!("{twice} {clauses}"), "several rows of the source match one row").await;
    }
}

#[tokio::test]
async fn plans_say_how_many_files_the_index_left_out() {
    let world = World::new().await;
    world
        .run(
            "CREATE TABLE t (k STRING PRIMARY KEY, n BIGINT) TBLPROPERTIES ('floe.autoCompact' = 'false');
              INSERT INTO t SELECT concat('key-', value), value FROM range(400000) WHERE value % 2 = 0;
              INSERT INTO t SELECT concat('key-', value), value FROM range(400000) WHERE value % 2 = 1;
              CREATE INDEX ON t",
        )
        .await;
    let plan = rows_of(&world.again().await, "EXPLAIN SELECT n FROM t WHERE k = 'key-7'").await.join("\n");
    assert!(plan.contains("files=1/2 (pruned: 0 by partition, 0 by statistics, 1 by index)"), "{plan}");
}

#[tokio::test]
async fn the_index_is_built_shown_used_and_dropped() {
    let world = World::new().await;
    world
        .run(
            "CREATE TABLE t (k STRING PRIMARY KEY, n BIGINT) TBLPROPERTIES ('floe.autoCompact' = 'false');
              INSERT INTO t SELECT concat('key-', value), value FROM range(300000)",
        )
        .await;
    let done = world.run("CREATE INDEX ON t").await;
    assert!(done.message.starts_with("the index of t covers 1 of 1 files with 300000 entries"), "{}", done.message);
    let shown = rows_of(&world.session, "SHOW INDEX ON t").await;
    assert!(
        shown.contains(&"files covered|1 of 1".to_owned()) && shown.contains(&"primary key|k".to_owned()),
        "{shown:?}"
    );
    let again = world.again().await;
    let query = "SELECT n FROM t WHERE k IN ('key-7', 'key-299999', 'nothing') AND n <> 8";
    let plan = rows_of(&again, &format!("EXPLAIN {query}")).await.join("\n");
    assert!(plan.contains("looked_up_by_key=2 rows"), "{plan}");
    super::check_in(&again, query, &["7", "299999"]).await;
    world.run("DELETE FROM t WHERE k = 'key-7'").await;
    world.check(query, &["299999"]).await;
    world.check("SELECT count(*) FROM t WHERE k = 'key-299999'", &["1"]).await;
    world.check("SELECT count(*) FROM t WHERE k = 'key-7'", &["0"]).await;
    world.check("CHECK TABLE t", &["sound|version 2, 1 files, 299999 rows with keys"]).await;
    world.run("DROP INDEX ON t").await;
    world.check(query, &["299999"]).await;
    world.check_error("CREATE INDEX i ON t (n)", "an index of (n)").await;
}

#[tokio::test]
async fn casts_in_a_merge_do_not_change_which_rows_match() {
    let world = World::new().await;
    world
        .run(
            "CREATE TABLE t (ts TIMESTAMP_NTZ PRIMARY KEY, n INT);
              INSERT INTO t VALUES ('2024-01-02 00:00:00', 1), ('2024-01-02 10:00:00', 2)",
        )
        .await;
    world
        .run(
            "MERGE INTO t USING (SELECT DATE '2024-01-02' AS d, 9 AS n) AS s ON CAST(t.ts AS DATE) = s.d AND t.n = 2
              WHEN MATCHED THEN UPDATE SET n = s.n",
        )
        .await;
    world.check("SELECT n FROM t", &["1", "9"]).await;
    world
        .check_error(
            "MERGE INTO t USING (SELECT TIMESTAMP '2024-01-02 07:00:00' AS ts, 9 AS n) AS s ON t.ts = s.ts
             WHEN MATCHED AND false THEN DELETE
             WHEN NOT MATCHED THEN INSERT (ts, n) VALUES (CAST(CAST(s.ts AS DATE) AS TIMESTAMP), s.n)",
            "is there already",
        )
        .await;
    world.run("CREATE TABLE u (id BIGINT PRIMARY KEY, n INT); INSERT INTO u VALUES (1, 1)").await;
    world
        .check_error(
            "MERGE INTO u USING (SELECT 1.5 AS id, 9 AS n) AS s ON u.id = s.id
             WHEN MATCHED THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *",
            "",
        )
        .await;
    world.check("SELECT * FROM u", &["1|1"]).await;
}
