//! INSERT, UPDATE, DELETE, MERGE, TRUNCATE, COPY.

use super::World;

#[tokio::test]
async fn insert_fills_missing_columns_with_defaults_and_nulls() {
    let world = World::new().await;
    world.run("CREATE TABLE t (id BIGINT, name STRING DEFAULT 'unnamed', weight DOUBLE)").await;
    let done = world.run("INSERT INTO t VALUES (1, 'a', 0.5), (2, DEFAULT, 1)").await;
    assert_eq!(done.affected_rows, Some(2));
    assert_eq!(done.message, "inserted 2 rows into t (version 1)");
    world.run("INSERT INTO t (WEIGHT, id) VALUES (2.5, 3); INSERT INTO TABLE t (name) SELECT 'only'").await;
    world.check("SELECT * FROM t", &["1|a|0.5", "2|unnamed|1.0", "3|unnamed|2.5", "null|only|null"]).await;
    world.run("INSERT INTO t SELECT id + 10, name, weight FROM t WHERE id < 3").await;
    world.check("SELECT id FROM t WHERE id > 10", &["11", "12"]).await;
    world.run("INSERT OVERWRITE t VALUES (9, 'z', null)").await;
    world.check("SELECT * FROM t", &["9|z|null"]).await;
    world.run("INSERT OVERWRITE TABLE t SELECT id, name, weight FROM t VERSION AS OF 1").await;
    world.check("SELECT id FROM t", &["1", "2"]).await;
}

#[tokio::test]
async fn rows_that_a_deletion_vector_marks_are_not_counted() {
    // trino 16884, ClickHouse 115872: counts and extremes taken from statistics that know nothing of the vector.
    let world = World::new().await;
    world.run("CREATE TABLE t AS SELECT value AS id FROM range(1000)").await;
    world.run("DELETE FROM t WHERE id % 3 = 0 OR id > 900").await;
    world.check("SELECT \"deletedRecords\" FROM files('t')", &["400"]).await;
    world.check("SELECT count(*), count(id), min(id), max(id) FROM t", &["600|600|1|899"]).await;
    world.check("SELECT count(*) FROM t WHERE id > 898", &["1"]).await;
}

#[tokio::test]
async fn insert_reaches_partitions_and_nested_types() {
    let world = World::new().await;
    world
        .run("CREATE TABLE t (id INT, tags ARRAY<STRING>, s STRUCT<a: INT, b: STRING>, day DATE) PARTITIONED BY (day)")
        .await;
    world
        .run("INSERT INTO t VALUES (1, ['x', 'y'], struct(1 AS a, 'b' AS b), '2024-01-02'), (2, NULL, NULL, NULL)")
        .await;
    world.check("SELECT id, tags[2], s.a, day FROM t", &["1|y|1|2024-01-02", "2|null|null|null"]).await;
    world.check("SELECT id FROM t WHERE day IS NULL", &["2"]).await;
    world.check_error("INSERT INTO t PARTITION (day = '2024-01-02') SELECT 1", "PARTITION clause").await;
}

#[tokio::test]
async fn update_and_delete_see_subqueries() {
    let world = World::new().await;
    world.run("CREATE TABLE t (id BIGINT, v BIGINT); INSERT INTO t VALUES (1, 10), (2, 20), (3, 30), (4, NULL)").await;
    world.run("CREATE TABLE s (id BIGINT); INSERT INTO s VALUES (2), (3)").await;
    let done = world.run("UPDATE t SET v = v + 1 WHERE id IN (SELECT id FROM s)").await;
    assert_eq!(done.affected_rows, Some(2));
    world.check("SELECT * FROM t", &["1|10", "2|21", "3|31", "4|null"]).await;
    world.run("UPDATE t AS x SET V = x.id * 100 WHERE x.v IS NULL").await;
    world.check("SELECT v FROM t WHERE id = 4", &["400"]).await;
    let done = world.run("DELETE FROM t WHERE EXISTS (SELECT 1 FROM s WHERE s.id = t.id)").await;
    assert_eq!((done.affected_rows, done.message.as_str()), (Some(2), "deleted 2 rows of t (version 4)"));
    world.check("SELECT id FROM t", &["1", "4"]).await;
    world.run("DELETE FROM t WHERE id > (SELECT max(id) FROM s)").await;
    world.check("SELECT id FROM t", &["1"]).await;
    let done = world.run("DELETE FROM t WHERE id = 77").await;
    assert_eq!((done.affected_rows, done.version), (Some(0), None));
    world.run("TRUNCATE TABLE t").await;
    world.check("SELECT count(*) FROM t", &["0"]).await;
    world.run("INSERT INTO t VALUES (1, 1); DELETE FROM t").await;
    world.check("SELECT count(*) FROM t", &["0"]).await;
}

#[tokio::test]
async fn merge_takes_any_number_of_clauses() {
    let world = World::new().await;
    world.run("CREATE TABLE t (id BIGINT, name STRING, n INT); INSERT INTO t VALUES (1, 'a', 1), (2, 'b', 2), (3, 'c', 3), (4, 'd', 4)").await;
    world.run("CREATE TABLE s (ID BIGINT, NAME STRING, N INT, gone BOOLEAN)").await;
    world
        .run("INSERT INTO s VALUES (1, 'A', 10, false), (2, 'B', 20, true), (5, 'E', 50, false), (6, 'F', 60, true)")
        .await;
    let done = world
        .run(
            "MERGE INTO t USING s ON t.id = s.id
             WHEN MATCHED AND s.gone THEN DELETE
             WHEN MATCHED THEN UPDATE SET *
             WHEN NOT MATCHED AND NOT s.gone THEN INSERT *
             WHEN NOT MATCHED BY SOURCE AND t.n > 3 THEN DELETE
             WHEN NOT MATCHED BY SOURCE THEN UPDATE SET n = -t.n",
        )
        .await;
    assert_eq!(done.message, "merged into t: 1 inserted, 2 updated, 2 deleted (version 2)");
    world.check("SELECT * FROM t", &["1|A|10", "3|c|-3", "5|E|50"]).await;
}

#[tokio::test]
async fn merge_reads_queries_aliases_and_its_own_target() {
    let world = World::new().await;
    world.run("CREATE TABLE t (id BIGINT, n INT DEFAULT 7); INSERT INTO t VALUES (1, 1), (2, 2)").await;
    world
        .run(
            "MERGE INTO t AS a USING (SELECT id + 1 AS id, n FROM t) AS b ON a.id = b.id
             WHEN MATCHED THEN UPDATE SET a.n = b.n * 10 WHEN NOT MATCHED THEN INSERT (id) VALUES (b.id)",
        )
        .await;
    world.check("SELECT * FROM t", &["1|1", "2|10", "3|7"]).await;
    world
        .run("MERGE INTO t USING (SELECT 1 AS id, 5 AS n) ON t.id = __floe_source__.id WHEN MATCHED THEN UPDATE SET *")
        .await;
    world.check("SELECT * FROM t WHERE id = 1", &["1|5"]).await;
    world
        .check_error(
            "MERGE INTO t USING (VALUES (1, 8), (1, 9)) AS s(id, n) ON t.id = s.id WHEN MATCHED THEN UPDATE SET *",
            "several rows of the source match",
        )
        .await;
    world.check("SELECT * FROM t WHERE id = 1", &["1|5"]).await;
    world
        .check_error(
            "MERGE INTO t USING (SELECT 1 AS id) AS s ON t.id = s.id WHEN MATCHED THEN UPDATE SET *",
            "unknown column n",
        )
        .await;
}

#[tokio::test]
async fn copy_writes_files_that_read_back() {
    let world = World::new().await;
    world.run("CREATE TABLE t (id BIGINT, name STRING); INSERT INTO t VALUES (1, 'a'), (2, 'b,c'), (3, NULL)").await;
    for file in ["out.parquet", "out.csv", "out.json"] {
        let path = world.path(file);
        let done = world.run(&format!("COPY (SELECT * FROM t WHERE id < 3) TO '{path}'")).await;
        assert_eq!(done.affected_rows, Some(2), "{file}");
        world.check(&format!("SELECT id, name FROM '{path}'"), &["1|a", "2|b,c"]).await;
    }
    let folder = world.path("by_name");
    world.run(&format!("COPY t TO '{folder}/' STORED AS PARQUET PARTITIONED BY (name)")).await;
    world.check_error("COPY t TO '/tmp/what.xyz'", "the format of /tmp/what.xyz is not known").await;
}

#[tokio::test]
async fn timestamps_reach_from_year_1_to_9999() {
    let world = World::new().await;
    world.run("CREATE TABLE t (id INT, moment TIMESTAMP, local TIMESTAMP_NTZ)").await;
    world
        .run(
            "INSERT INTO t VALUES (1, TIMESTAMP '9999-12-31 23:59:59.999999', TIMESTAMP '0001-01-01 00:00:00'),
             (2, CAST('1600-02-29 12:00:00' AS TIMESTAMP), CAST('2262-04-12' AS TIMESTAMP))",
        )
        .await;
    world.check("SELECT id FROM t WHERE moment > TIMESTAMP '2500-01-01 00:00:00'", &["1"]).await;
    world.check("SELECT id FROM t WHERE moment = TIMESTAMP '1600-02-29 12:00:00'", &["2"]).await;
    world.check("SELECT id FROM t WHERE local < TIMESTAMP '1000-01-01 00:00:00'", &["1"]).await;
}
